//! The time of a whole call, which its requests and its waits for others share.
//!
//! It is a value of the task that makes the call, so that all that it comes to knows of it. What makes a table, which takes
//! its own time, gives that time back.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static UNTIL: Cell<Instant>;
}

/// Makes a call that may take this long; as a part of another it has that one's time.
pub(crate) async fn within<F: Future>(limit: Duration, call: F) -> F::Output {
    if UNTIL.try_with(|_| ()).is_ok() {
        return call.await;
    }
    UNTIL.scope(Cell::new(Instant::now() + limit), call).await
}

/// When something must end that may take this long, as a part of its call.
pub(crate) fn until(limit: Duration) -> Instant {
    let until = Instant::now() + limit;
    UNTIL.try_with(|end| end.get().min(until)).unwrap_or(until)
}

/// Gives the call the time again that has passed since.
pub(crate) fn give_back(since: Instant) {
    // Outside of a call there is no time to give back.
    let _ = UNTIL.try_with(|end| end.set(end.get() + since.elapsed()));
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
    async fn time_can_be_given_back() {
        let begin = Instant::now();
        within(SHORT, async {
            let end = until(LONG);
            sleep(SHORT / 2).await;
            give_back(begin);
            assert!(until(LONG) >= end + SHORT / 2);
        })
        .await;
        give_back(begin);
    }
}
