//! Runs the cases.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use store_core::{Capabilities, ErrorKind, Result};
use tokio::runtime::{Builder, Runtime};

use crate::case::Case;
use crate::check::{Failure, describe};
use crate::harness::{Env, Harness, Scope};
use crate::server::fresh_namespace;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The store keeps the rule.
    Passed,
    /// The store was not asked, and why.
    Ignored(String),
    /// The store breaks the rule, and how.
    Failed(String),
}

/// A case and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Suite and name: `kv::put_then_get`.
    pub case: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// All cases, in the order they are listed.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    crate::SUITES.iter().copied().flatten().copied().flatten()
}

/// Runs the suite as a test binary: reads the arguments of the command line (`--list`, a filter, `--exact`,
/// `--test-threads` …) as `cargo test` and cargo-nextest give them, prints what they expect, and answers the
/// code to exit with.
#[must_use]
pub fn run(harness: Harness) -> ExitCode {
    run_all([harness])
}

/// [`run`] for several backends, or several configurations of one, in one test binary.
#[must_use]
pub fn run_all(harnesses: impl IntoIterator<Item = Harness>) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match Builder::new_multi_thread().worker_threads(workers()).enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("can not start the runtime of the tests: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for harness in harnesses {
        // A listing needs no server.
        let reach = if arguments.list { Reach::Unknown } else { runtime.block_on(probe(&harness)) };
        trials.extend(asked(&harness).map(|case| trial(case, &harness, reach.clone(), &runtime)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // A case that hangs must not keep the process.
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
    conclusion.exit_code()
}

/// Runs the cases of these suites (`kv`) or names (`kv::put_then_get`), all if none is given, and answers what
/// became of each; for tests of a suite, or to judge a store by program. Needs a runtime of tokio with several
/// threads.
pub async fn outcomes(harness: &Harness, chosen: &[&str]) -> Vec<Outcome> {
    let reach = probe(harness).await;
    // Collected first: a stream over borrowed cases is not general enough for the compiler.
    let runs: Vec<_> = asked(harness)
        .map(|case| (case, format!("{}::{}", case.suite, case.name)))
        .filter(|(case, name)| chosen.is_empty() || chosen.contains(&case.suite) || chosen.contains(&&**name))
        .map(|(case, name)| {
            let (harness, reach) = (harness.clone(), reach.clone());
            async move { Outcome { case: name, verdict: judge(case, &harness, &reach).await } }
        })
        .collect();
    futures::stream::iter(runs).buffered(workers()).collect().await
}

fn asked(harness: &Harness) -> impl Iterator<Item = &'static Case> + use<> {
    let scope = harness.scope;
    cases().filter(move |case| match scope {
        Scope::All => true,
        Scope::Chats | Scope::SmallChats => case.of_chats(),
        Scope::Vectors => case.of_vectors(),
    })
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(4, |threads| threads.get().max(4))
}

// What is known of a backend before its first case.
#[derive(Clone)]
enum Reach {
    Unknown,
    Offers(Box<Capabilities>),
    Missing(String),
}

async fn probe(harness: &Harness) -> Reach {
    if let Some(reason) = &harness.missing {
        return Reach::Missing(reason.clone());
    }
    let opened: Result<_> = async {
        let backend = harness.open(&fresh_namespace()).await?;
        backend.ping().await?;
        let capabilities = backend.capabilities();
        // Nothing was created, so nothing is lost when it can not be closed.
        drop(backend.close().await);
        Ok(capabilities)
    }
    .await;
    match opened {
        Ok(capabilities) => Reach::Offers(Box::new(capabilities)),
        Err(error) if error.kind() == ErrorKind::Unavailable => Reach::Missing(describe(&error)),
        // Every case fails with the error itself.
        Err(_) => Reach::Unknown,
    }
}

fn trial(case: &'static Case, harness: &Harness, reach: Reach, runtime: &Arc<Runtime>) -> Trial {
    let name = format!("{}::{}::{}", harness.name, case.suite, case.name);
    let (harness, handle) = (harness.clone(), runtime.handle().clone());
    Trial::ignorable_test(name, move || match handle.block_on(judge(case, &harness, &reach)) {
        Verdict::Passed => Ok(Completion::Completed),
        Verdict::Ignored(reason) => Ok(Completion::ignored_with(reason)),
        Verdict::Failed(message) => Err(Failed::from(message)),
    })
}

async fn judge(case: &'static Case, harness: &Harness, reach: &Reach) -> Verdict {
    match reach {
        Reach::Missing(reason) => {
            let message = format!("server unavailable: {reason}");
            return if harness.required { Verdict::Failed(message) } else { Verdict::Ignored(message) };
        }
        Reach::Offers(capabilities) => {
            if let Some(reason) = case.unmet(capabilities, harness) {
                return Verdict::Ignored(reason);
            }
        }
        Reach::Unknown => {}
    }
    let (deadline, name) = (harness.deadline, format!("{}::{}", case.suite, case.name));
    let namespace = fresh_namespace();
    // A task of its own, so that a panic of the store is caught and named.
    let mut task = tokio::spawn({
        let (harness, namespace) = (harness.clone(), namespace.clone());
        async move {
            let env = Env::open(&harness, namespace).await?;
            let result = case.run.run(&env).await;
            let cleaned = env.clean_up().await;
            result.and(cleaned)
        }
    });
    let message = match tokio::time::timeout(deadline, &mut task).await {
        Ok(Ok(Ok(()))) => return Verdict::Passed,
        Ok(Ok(Err(failure))) => return Verdict::Failed(format!("{name}: {failure}")),
        Ok(Err(error)) => format!("{name}: the store panicked: {}", panic_message(error)),
        Err(_) => {
            task.abort();
            format!("{name}: no end after {deadline:?}")
        }
    };
    // The case is lost already; what it left is removed if that is still possible.
    let clean_up = async { harness.open(&namespace).await?.drop_namespace().await };
    drop(tokio::time::timeout(CLEAN_UP, clean_up).await);
    Verdict::Failed(message)
}

const CLEAN_UP: Duration = Duration::from_secs(10);

/// The text of a panic in a task.
pub(crate) fn panic_message(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("(no message)").to_owned()
        }
        Err(error) => error.to_string(),
    }
}

/// Runs `count` tasks at once, on threads of their own as far as there are any, and answers what they answer, in
/// their order.
pub(crate) async fn in_tasks<T, F>(
    count: usize,
    mut task: impl FnMut(usize) -> F,
) -> std::result::Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, Failure>> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(task(number))).collect();
    let mut answers = Vec::with_capacity(count);
    for task in tasks {
        match task.await {
            Ok(answer) => answers.push(answer?),
            Err(error) => return Err(Failure::new(format!("a task panicked: {}", panic_message(error)))),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use store_core::Error;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut seen = BTreeSet::new();
        for case in cases() {
            assert!(seen.insert((case.suite, case.name)), "{case:?} is listed twice");
        }
        assert!(seen.len() > 100);
    }

    #[tokio::test]
    async fn a_missing_server_is_never_a_pass() {
        let unset = Harness::unavailable("none", "no URL");
        let down =
            Harness::new("down", |_| async { Err(Error::new(ErrorKind::Unavailable, "can not connect")) });
        for (mut harness, reason) in [(unset, "no URL"), (down, "can not connect")] {
            for required in [false, true] {
                harness.required = required;
                let outcomes = outcomes(&harness, &[]).await;
                assert_eq!(outcomes.len(), cases().count());
                for outcome in outcomes {
                    let (shown, right) = match outcome.verdict {
                        Verdict::Ignored(shown) => (shown, !required),
                        Verdict::Failed(shown) => (shown, required),
                        Verdict::Passed => (String::new(), false),
                    };
                    assert!(
                        right && shown.contains("server unavailable") && shown.contains(reason),
                        "{shown}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn a_store_that_can_not_be_opened_fails_every_case() {
        let broken = Harness::new("broken", |_| async { Err(Error::config("no such option: x")) });
        for outcome in outcomes(&broken, &["kv"]).await {
            assert!(
                matches!(&outcome.verdict, Verdict::Failed(message) if message.contains("no such option: x")),
                "{outcome:?}"
            );
        }
    }
}
