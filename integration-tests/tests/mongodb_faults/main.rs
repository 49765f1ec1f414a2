//! What happens to a store on MongoDB when its server is killed, frozen, started again, or not what it should be.
//!
//! Every test starts a server of its own and hurts it. With `STORE_TEST_SOAK` the failover is the long one.

mod connecting;
mod failover;
mod leftovers;
mod outages;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nodestore_integration_tests::required;
use store_core::{Error, ErrorKind, JsonObject};
use store_mongodb::{MongoBackend, MongoConfig};

type Done = Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [failover::TRIALS, outages::TRIALS, connecting::TRIALS, leftovers::TRIALS].concat();
    let trials =
        trials.into_iter().map(|(name, test)| Trial::ignorable_test(name, move || run(test))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

type Test = fn() -> Done;

fn run(test: Test) -> Result<Completion, Failed> {
    if !required() {
        return Ok(Completion::ignored_with("it starts servers: set STORE_TEST_REQUIRE=1"));
    }
    test().map(|()| Completion::Completed)
}

/// Runs a test that must come to an end.
fn block_on(test: impl Future<Output = Done>) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_mins(20), test).await });
    runtime.shutdown_background();
    ended.map_err(|_| "it does not end")?
}

/// A store in a namespace of its own, whose calls may take this long.
async fn open(url: &str, timeout: Duration) -> Result<MongoBackend, Error> {
    let config = MongoConfig::new(url.to_owned()).with_namespace("faults").with_operation_timeout(timeout);
    MongoBackend::connect(config).await
}

/// Whether an error is of this kind, names a next step by this word, and keeps the secret.
fn expect(error: &Error, kind: ErrorKind, next_step: &str) -> Done {
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

fn value(number: u64) -> JsonObject {
    JsonObject::from_iter([("n".to_owned(), number.into())])
}
