//! When to repeat a request.

use std::time::{Duration, Instant};

use store_core::{Error, ErrorKind};

use super::request::Endpoint;

/// The limit of the first wait; it doubles from then on.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(20);
/// From when on a repeat is worth a warning.
const WORRYING_ATTEMPT: usize = 4;
const WORRYING_WAIT: Duration = Duration::from_secs(5);
/// Attempts at an endpoint that never answered: it is probably not there, and a person waits.
const ATTEMPTS_UNREACHED: usize = 4;

/// The attempts at one request.
#[derive(Debug)]
pub(super) struct Retry {
    start: Instant,
    most_time: Duration,
    most_attempts: usize,
    attempts: usize,
}

impl Retry {
    pub(super) fn new(most_time: Duration, most_attempts: usize) -> Self {
        Self { start: Instant::now(), most_time, most_attempts, attempts: 1 }
    }

    /// An event about the wait before the next attempt. A hiccup is nothing to worry about.
    pub(super) fn tell(&self, endpoint: &Endpoint, error: &Error, wait: Duration) {
        let (endpoint, attempt, message) = (endpoint.config.shown_url(), self.attempts, error.message());
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if attempt > WORRYING_ATTEMPT || wait > WORRYING_WAIT {
            tracing::warn!(%endpoint, attempt, wait_ms, "embedding again: {message}");
        } else {
            tracing::info!(%endpoint, attempt, wait_ms, "embedding again: {message}");
        }
    }

    /// How long to wait before the next attempt; `None` to give up.
    pub(super) fn next(&mut self, retry_after: Option<Duration>, unreachable: bool) -> Option<Duration> {
        let most = if unreachable { self.most_attempts.min(ATTEMPTS_UNREACHED) } else { self.most_attempts };
        if self.attempts >= most {
            return None;
        }
        let doublings = u32::try_from(self.attempts - 1).unwrap_or(u32::MAX).min(10);
        let limit = FIRST.saturating_mul(1 << doublings).min(LONGEST);
        // Full jitter: those who were refused together do not come back together.
        let wait = retry_after.unwrap_or_default().saturating_add(limit.mul_f64(fastrand::f64()));
        if self.start.elapsed().saturating_add(wait) > self.most_time {
            return None;
        }
        self.attempts += 1;
        Some(wait)
    }

    /// The last error, with what was tried.
    pub(super) fn gave_up(&self, endpoint: &Endpoint, error: Error, retry_after: Option<Duration>) -> Error {
        let mut message = error.message().to_owned();
        if self.attempts > 1 {
            let seconds = self.start.elapsed().as_secs_f64();
            message = format!("{message}; given up after {} attempts in {seconds:.1} s", self.attempts);
        }
        if let Some(wait) = retry_after.filter(|wait| *wait > self.most_time) {
            message = format!("{message}; it asks to come back in {} s", wait.as_secs());
        }
        endpoint.plain_error(error.kind(), message).with_source(error)
    }
}

/// What a `Retry-After` header asks: seconds, or an HTTP date.
pub(super) fn retry_after(header: &str) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

/// Whether another attempt may help against this status, and what kind of error it is.
pub(super) fn kind(status: u16) -> Option<ErrorKind> {
    match status {
        408 => Some(ErrorKind::Timeout),
        409 => Some(ErrorKind::Conflict),
        429 => Some(ErrorKind::Throttled),
        500..600 => Some(ErrorKind::Unavailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("3"), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(" 0.5 "), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("-1"), Some(Duration::ZERO));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = std::time::SystemTime::now() + Duration::from_hours(1);
        let wait = retry_after(&httpdate::fmt_http_date(later)).unwrap();
        assert!(wait > Duration::from_mins(50) && wait <= Duration::from_hours(1));
        for rubbish in ["", "soon", "NaN", "1e300"] {
            assert!(retry_after(rubbish).unwrap_or_default() == Duration::ZERO, "{rubbish}");
        }
    }

    #[test]
    fn waits_stay_below_their_limit_and_end() {
        let minute = Duration::from_mins(1);
        let mut retry = Retry::new(Duration::MAX, 100);
        for attempt in 1..100_u32 {
            let limit = FIRST.saturating_mul(1 << (attempt - 1).min(10)).min(LONGEST);
            assert!(retry.next(None, false).unwrap() <= limit);
        }
        assert_eq!(retry.next(None, false), None);
        assert!(
            Retry::new(minute, 2).next(Some(Duration::from_secs(7)), false).unwrap()
                >= Duration::from_secs(7)
        );
        assert_eq!(Retry::new(minute, 9).next(Some(Duration::from_secs(61)), false), None);
        let mut unreachable = Retry::new(minute, 9);
        assert_eq!((0..9).map_while(|_| unreachable.next(None, true)).count(), ATTEMPTS_UNREACHED - 1);
    }
}
