//! What became of the attempts of a call whose time is over. The driver sends a request again and again by itself, and
//! one that is dropped between two attempts tells nothing of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
};
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use store_core::{ErrorKind, Result};
use tokio::time::Instant;

use crate::error::{Attempt, answered, cut_off, timed_out};

/// The attempts of one call.
#[derive(Debug, Default)]
struct Attempts {
    /// How the last one failed; `None` while one is on its way.
    last: Option<Attempt>,
    /// Whether the service may have done what one asked for.
    maybe_done: bool,
}

tokio::task_local! {
    static ATTEMPTS: Arc<Mutex<Attempts>>;
}

/// When a call that begins now is over.
pub(crate) fn deadline(limit: Duration) -> Instant {
    let now = Instant::now();
    // A limit too long to be added is as good as thirty years.
    now.checked_add(limit).unwrap_or(now + Duration::from_secs(1 << 30))
}

/// Waits for a call until a deadline, which is `limit` after its beginning.
///
/// When that comes between two attempts: the error of the last one, if the service refused or could not be reached.
/// Else `Timeout`.
pub(crate) async fn until<T>(deadline: Instant, limit: Duration, call: impl Future<Output = T>) -> Result<T> {
    // Of a call within a call they are the same.
    let attempts = ATTEMPTS.try_with(Arc::clone).unwrap_or_default();
    let call = ATTEMPTS.scope(Arc::clone(&attempts), call);
    tokio::time::timeout_at(deadline, call).await.map_err(|_| {
        let attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match &attempts.last {
            Some(last) if matches!(last.kind, ErrorKind::Throttled | ErrorKind::Unavailable) => {
                cut_off(last, limit, attempts.maybe_done)
            }
            _ => timed_out(limit),
        }
    })
}

fn note(change: impl FnOnce(&mut Attempts)) {
    // Outside of any call there is nobody to tell.
    let _ =
        ATTEMPTS.try_with(|attempts| change(&mut attempts.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// Sees each attempt of the driver.
#[derive(Debug)]
pub(crate) struct Watch;

type Seen = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "nodestore attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Seen {
        note(|attempts| attempts.last = None);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Seen {
        if let Some(Err(error)) = context.output_or_error() {
            let attempt = Attempt::new(error.as_connector_error(), context.response());
            note(|attempts| {
                attempts.maybe_done |= attempt.maybe_done;
                attempts.last = Some(attempt);
            });
        }
        Ok(())
    }
}

/// Has the driver repeat a write that a transaction was in the way of. By itself it does not, though nothing was done.
#[derive(Debug)]
pub(crate) struct InTheWay;

impl ClassifyRetry for InTheWay {
    fn name(&self) -> &'static str {
        "nodestore transaction in the way"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = matches!(context.output_or_error(), Some(Err(_)));
        match context.response() {
            Some(response) if failed && answered(response).code() == Some("TransactionConflictException") => {
                RetryAction::transient_error()
            }
            _ => RetryAction::NoActionIndicated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a call that is cut off after these attempts.
    async fn after(attempts: &[(ErrorKind, bool)]) -> store_core::Error {
        let limit = Duration::from_millis(7);
        let call = async {
            for &(kind, maybe_done) in attempts {
                note(|attempts| {
                    attempts.maybe_done |= maybe_done;
                    attempts.last = Some(Attempt { kind, message: "it says no".to_owned(), maybe_done });
                });
            }
            std::future::pending::<()>().await;
        };
        // Of two, the inner one never comes to its end.
        let inner = until(Instant::now() + Duration::from_hours(1), limit, call);
        until(Instant::now() + limit, limit, inner).await.expect_err("it never ends")
    }

    #[tokio::test]
    async fn the_last_attempt_is_told() {
        for kind in [ErrorKind::Throttled, ErrorKind::Unavailable] {
            let error = after(&[(ErrorKind::Timeout, false), (kind, false)]).await;
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains("it says no"), "{error}");
            assert!(error.to_string().contains("7 ms"), "{error}");
            assert!(!error.to_string().contains("not known"), "{error}");
        }
        let error = after(&[(ErrorKind::Unavailable, true), (ErrorKind::Throttled, false)]).await;
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(error.to_string().contains("not known"), "{error}");
    }

    #[tokio::test]
    async fn without_an_answer_it_is_a_timeout() {
        for attempts in [&[][..], &[(ErrorKind::Timeout, true)]] {
            let error = after(attempts).await;
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(error.to_string().contains("not known"), "{error}");
        }
    }
}
