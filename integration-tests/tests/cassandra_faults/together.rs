//! The shared suite's cases of many writers at once, on a ring: what one node decides alone, three must agree on. A
//! long one.

use std::sync::Arc;
use std::time::Duration;

use store_conformance::{Harness, Verdict, outcomes};
use store_core::Backend;

use crate::common::{Done, Test, block_on};
use crate::{open, ring};

pub(crate) const TRIALS: &[(&str, Test)] = &[("many_writers_at_once_on_a_ring", many_writers)];

/// The machine may be busy with three nodes.
const TIMEOUT: Duration = Duration::from_mins(1);

fn many_writers() -> Done {
    let ring = ring()?;
    let url = ring.url()?.to_owned();
    block_on(async {
        let harness = Harness::new("cassandra_ring", move |namespace| {
            let url = url.clone();
            async move { Ok(Arc::new(open(&url, &namespace, TIMEOUT).await?) as Arc<dyn Backend>) }
        });
        let harness = harness.with_deadline(Duration::from_mins(5));
        let outcomes = outcomes(&harness, &["concurrency"]).await;
        let passed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Passed).count();
        let failed = outcomes.iter().filter_map(|outcome| match &outcome.verdict {
            Verdict::Failed(why) => Some(format!("{}: {why}", outcome.case)),
            _ => None,
        });
        let failed: Vec<String> = failed.collect();
        if passed == 0 || !failed.is_empty() {
            return Err(format!("{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n")).into());
        }
        println!("{passed} cases of many writers passed on three nodes");
        Ok(())
    })
}
