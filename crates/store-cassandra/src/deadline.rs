//! The time of a whole call, which its requests and its waits for others share.
//!
//! It is a value of the task that makes the call, so that all that it comes to knows of it. What makes a table takes its own
//! time, beside that of the call.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    /// `None` is beside any call.
    static UNTIL: Cell<Option<Instant>>;
}

/// When the call ends that this is a part of.
fn end() -> Option<Instant> {
    UNTIL.try_with(Cell::get).ok().flatten()
}

/// Makes a call that may take this long; as a part of another it has that one's time.
pub(crate) async fn within<F: Future>(limit: Duration, call: F) -> F::Output {
    if end().is_some() {
        return call.await;
    }
    UNTIL.scope(Cell::new(Some(Instant::now() + limit)), call).await
}

/// When something must end that may take this long, as a part of its call.
pub(crate) fn until(limit: Duration) -> Instant {
    let until = Instant::now() + limit;
    end().map_or(until, |end| end.min(until))
}

/// Does something that has its own time, for which the call waits without losing any of its own.
pub(crate) async fn beside<F: Future>(work: F) -> F::Output {
    let begin = Instant::now();
    let done = UNTIL.scope(Cell::new(None), work).await;
    // Outside of a call there is no time to give back.
    let _ = UNTIL.try_with(|end| end.set(end.get().map(|end| end + begin.elapsed())));
    done
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout_at};

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(100);

    #[tokio::test]
    async fn the_parts_of_a_call_share_its_time() {
        let begin = Instant::now();
        let call = within(SHORT, async {
            let end = until(LONG);
            assert!(end < begin + LONG && until(SHORT / 100) < end);
            sleep(SHORT / 2).await;
            assert_eq!(until(LONG), end);
            // A call within it gets no more.
            within(LONG, timeout_at(until(LONG), sleep(LONG))).await
        });
        assert!(call.await.is_err() && begin.elapsed() < LONG);
        assert!(until(LONG) >= begin + LONG);
    }

    #[tokio::test]
    async fn what_is_beside_a_call_takes_none_of_its_time() {
        within(SHORT, async {
            let end = until(LONG);
            beside(async {
                sleep(SHORT * 2).await;
                assert!(until(LONG) > end, "it has its own time");
                let call = within(SHORT / 10, async { timeout_at(until(LONG), sleep(LONG)).await });
                assert!(call.await.is_err(), "a call within it has that call's time");
            })
            .await;
            assert!(until(LONG) >= end + SHORT * 2);
        })
        .await;
        beside(async {}).await;
    }
}
