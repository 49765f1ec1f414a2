//! Drives the bridge as a process, on the stores without a server and on every server that `scripts/test-all` starts
//! or the variables name.
//!
//! Each backend has one process and one namespace, which all its cases share at the same time, as programs that drive
//! the bridge do. What an operation means is for the conformance suite to say; here it is the protocol.

mod backends;
mod cases;
mod process;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::backends::Backend;

/// What a case answers: why it failed.
type CaseResult<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let backends: Vec<Arc<Backend>> = backends::all().into_iter().map(Arc::new).collect();
    let mut trials = cases::of_the_program();
    trials.extend(backends.iter().flat_map(cases::of_store));
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut ended = conclusion.exit_code();
    for backend in backends {
        // A failed case leaves out what comes behind it.
        if let Err(why) = backend.end(whole && !conclusion.has_failed()) {
            eprintln!("FAILED: {}: {why}", backend.name);
            ended = ExitCode::FAILURE;
        }
    }
    ended
}

/// A trial, ignored without a server unless one is required.
fn trial(name: String, missing: Option<String>, run: impl FnOnce() -> CaseResult + Send + 'static) -> Trial {
    let required = std::env::var_os("STORE_TEST_REQUIRE").is_some_and(|value| !value.is_empty());
    match missing {
        None => Trial::test(name, move || run().map_err(Into::into)),
        Some(why) if required => Trial::test(name, move || Err(why.into())),
        Some(why) => Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why))),
    }
}
