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
    use tokio::time::{advance, sleep, timeout_at};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_parts_of_a_call_share_its_time() {
        let begin = Instant::now();
        let call = within(10 * SECOND, async {
            sleep(8 * SECOND).await;
            assert_eq!(until(SECOND), begin + 9 * SECOND);
            assert_eq!(until(10 * SECOND), begin + 10 * SECOND);
            // A call within it gets no more.
            within(10 * SECOND, timeout_at(until(10 * SECOND), sleep(10 * SECOND))).await
        });
        assert!(call.await.is_err() && begin.elapsed() == 10 * SECOND);
        assert_eq!(until(SECOND), begin + 11 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn time_can_be_given_back() {
        let begin = Instant::now();
        within(SECOND, async {
            advance(5 * SECOND).await;
            give_back(begin);
            assert_eq!(until(10 * SECOND), begin + 6 * SECOND);
        })
        .await;
        give_back(begin);
    }
}
