//! A backend's own tests, beside the suite, on the server that a variable of the environment names.

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

/// What a server that is not named is told to be started by.
const HOW: &str = "scripts/servers/with starts a server and sets it";

/// The server's URL; `None` where the variable is not set.
#[must_use]
pub fn url(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}

/// What is said where it is not.
pub(crate) fn missing(variable: &str) -> String {
    format!("{variable} is not set; {HOW}")
}

/// Whether what is missing is a failure: `STORE_TEST_REQUIRE` is set.
pub(crate) fn is_required() -> bool {
    std::env::var_os("STORE_TEST_REQUIRE").is_some_and(|value| !value.is_empty())
}

/// A test on the server that `variable` names, whose URL `body` is given. Without a server the test is ignored, and fails
/// where `STORE_TEST_REQUIRE` is set.
pub fn test<F: Future<Output = ()>>(
    name: impl Into<String>,
    variable: &str,
    body: impl FnOnce(String) -> F + Send + 'static,
) -> Trial {
    let Some(url) = url(variable) else {
        let missing = missing(variable);
        return Trial::test(name, move || Err(missing.into())).with_ignored_flag(!is_required());
    };
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(body(url));
        Ok(())
    })
}

/// A namespace that nobody used before.
#[must_use]
pub fn fresh_namespace() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("t{}", random.get(..15).unwrap_or(&random))
}

/// Waits until something is so.
///
/// # Panics
/// When it is not within half a minute.
#[allow(clippy::panic, reason = "a test fails by a panic")]
pub async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..1_500 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

/// Runs tests as any test binary does.
#[must_use]
pub fn run(tests: impl IntoIterator<Item = Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().collect()).exit_code()
}

/// Runs async functions without arguments as tests on the server that a variable names, each under its own name; see
/// [`server::test`](crate::server::test).
#[macro_export]
macro_rules! tests_on {
    ($variable:expr; $($test:ident),* $(,)?) => {
        $crate::server::run([$($crate::server::test(stringify!($test), $variable, |_| $test())),*])
    };
}
