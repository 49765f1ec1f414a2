//! What the tests that hurt servers share.

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nodestore_integration_tests::required;
use store_core::{Error, ErrorKind, JsonObject};

pub(crate) type Done = Result<(), Failed>;

pub(crate) type Test = fn() -> Done;

/// Runs the tests that the command line asks for, on each core so many at once: of those that mostly wait more than one.
pub(crate) fn run_all(on_each_core: usize, tests: &[&[(&'static str, Test)]]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    arguments.test_threads.get_or_insert(on_each_core * cores);
    let trials = tests.concat().into_iter();
    let trials = trials.map(|(name, test)| Trial::ignorable_test(name, move || run(test))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(test: Test) -> Result<Completion, Failed> {
    if !required() {
        return Ok(Completion::ignored_with("it starts servers: set STORE_TEST_REQUIRE=1"));
    }
    test().map(|()| Completion::Completed)
}

/// Whether the long form of a test is asked for.
pub(crate) fn soak() -> bool {
    std::env::var_os("STORE_TEST_SOAK").is_some()
}

/// Runs a test that must come to an end.
pub(crate) fn block_on(test: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_mins(20), test).await });
    runtime.shutdown_background();
    ended.map_err(|_| "it does not end")?
}

/// Whether an error is of this kind, names a next step by this word, and keeps the secret.
pub(crate) fn expect(error: &Error, kind: ErrorKind, next_step: &str) -> Done {
    let text = error.to_string();
    if error.kind() != kind {
        return Err(format!("expected {kind}, not {}: {text}", error.kind()).into());
    }
    if !text.contains(next_step) {
        return Err(format!("nothing about {next_step:?} in: {text}").into());
    }
    if format!("{text} {error:?}").contains("s3cret") {
        return Err("the error has the password in it".into());
    }
    Ok(())
}

pub(crate) fn value(number: u64) -> JsonObject {
    JsonObject::from_iter([("n".to_owned(), number.into())])
}
