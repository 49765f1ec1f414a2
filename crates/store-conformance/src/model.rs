//! Random histories against a model: the same on each run for the same seed, made small when they fail.

use futures::future::BoxFuture;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::check::{CaseResult, Failure};
use crate::harness::Harness;

fn runner(harness: &Harness, runs: u32) -> TestRunner {
    let mut seed = [0; 32];
    for (byte, value) in seed.iter_mut().zip(harness.seed.to_le_bytes()) {
        *byte = value;
    }
    let config =
        Config { cases: runs, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

/// Runs `history` on so many random inputs as the harness asks for; a failing one is made as small as it gets.
///
/// Each history gets a number of its own, also while a failing one is made smaller, so that it can work with
/// fresh names.
///
/// The strategy is made by a function because recursive ones can not be sent to another thread.
pub(crate) async fn histories<S>(
    harness: &Harness,
    strategy: fn() -> S,
    history: impl Fn(usize, S::Value) -> BoxFuture<'static, CaseResult> + Send + 'static,
) -> CaseResult
where
    S: Strategy<Value: Send> + 'static,
{
    let (mut runner, seed) = (runner(harness, harness.model_runs), harness.seed);
    let handle = tokio::runtime::Handle::current();
    let number = std::sync::atomic::AtomicUsize::new(0);
    let run = tokio::task::spawn_blocking(move || {
        runner.run(&strategy(), |input| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            handle
                .block_on(history(number, input))
                .map_err(|failure| TestCaseError::fail(failure.to_string()))
        })
    });
    match run.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(TestError::Fail(reason, input))) => Err(Failure::new(format!(
            "{reason}\n  with {input:?}\n  seed {seed} (STORE_TEST_SEED repeats it)"
        ))),
        Ok(Err(TestError::Abort(reason))) => Err(Failure::new(format!("the model gave up: {reason}"))),
        Err(error) => Err(Failure::new(crate::run::panic_message(error))),
    }
}

/// So many random inputs, without running anything.
pub(crate) fn samples<S: Strategy>(
    harness: &Harness,
    strategy: fn() -> S,
    count: u32,
) -> CaseResult<Vec<S::Value>> {
    let (mut runner, strategy) = (runner(harness, count), strategy());
    (0..count)
        .map(|_| match strategy.new_tree(&mut runner) {
            Ok(tree) => Ok(tree.current()),
            Err(reason) => Err(Failure::new(format!("no random input: {reason}"))),
        })
        .collect()
}
