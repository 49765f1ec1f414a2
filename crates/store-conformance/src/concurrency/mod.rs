//! Many writers at once, through two handles on one namespace.

mod cancel;
mod chat;
mod docs;
mod kv;
mod vectors;

use std::sync::Arc;

use store_core::Backend;

use crate::case::Case;
use crate::check::CaseResult;
use crate::harness::Env;

pub(crate) const SUITES: &[&[Case]] = &[kv::CASES, docs::CASES, chat::CASES, vectors::CASES, cancel::CASES];

/// How many tasks write at once.
const TASKS: usize = 8;

/// Two handles on one namespace; tasks take them in turn.
async fn handles(env: &Env) -> CaseResult<[Arc<dyn Backend>; 2]> {
    Ok([Arc::clone(env.backend()), env.again().await?])
}

/// One role's store for each task.
fn each<T: Clone>(stores: [T; 2]) -> impl Fn(usize) -> T {
    move |task| {
        let [first, second] = &stores;
        if task % 2 == 0 { first.clone() } else { second.clone() }
    }
}
