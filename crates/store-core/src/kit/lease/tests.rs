use std::sync::{Mutex, MutexGuard};

use super::*;

const LONG: Duration = Duration::from_mins(1);

/// What is stored, and which answers are lost though what was asked for is done.
#[derive(Debug, Default)]
struct Stored {
    holder: Option<String>,
    number: u64,
    takes: u32,
    prolonged: u32,
    lost_takes: u32,
    lost_returns: u32,
}

impl Stored {
    fn take(&mut self, token: &str) -> Result<LeaseTaken> {
        self.takes += 1;
        if self.holder.as_ref().is_some_and(|holder| holder != token) {
            return Ok(LeaseTaken::ByAnother(LONG));
        }
        self.holder = Some(token.to_owned());
        self.number += 1;
        if let Some(left) = self.lost_takes.checked_sub(1) {
            self.lost_takes = left;
            return Err(unreachable());
        }
        Ok(LeaseTaken::Held(self.number))
    }
}

/// A place in memory whose leases do not end by themselves.
#[derive(Clone, Debug, Default)]
struct Place(Arc<Mutex<Stored>>);

impl Place {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap()
    }

    fn lease(&self, lease: Duration) -> Lease {
        let (name, pauses) = ("a".to_owned(), (Duration::from_micros(100), Duration::from_millis(5)));
        Lease::new(
            self.clone(),
            LeaseTerms { backend: "test", what: "lock", name, lease, renew: true, pauses },
        )
    }

    async fn eventually(&self, what: &str, so: impl Fn(&Stored) -> bool) {
        for _ in 0..3_000 {
            if so(&self.stored()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }
}

fn unreachable() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer")
}

#[async_trait]
impl LeasePlace for Place {
    async fn take(&self, token: &str) -> Result<LeaseTaken> {
        let answer = self.stored().take(token);
        tokio::task::yield_now().await;
        answer
    }

    async fn prolong(&self, token: &str) -> Result<bool> {
        let mut stored = self.stored();
        stored.prolonged += 1;
        Ok(stored.holder.as_deref() == Some(token))
    }

    async fn give_back(&self, token: &str, _number: Option<u64>) -> Result<bool> {
        let mut stored = self.stored();
        if let Some(left) = stored.lost_returns.checked_sub(1) {
            stored.lost_returns = left;
            return Err(unreachable());
        }
        Ok(stored.holder.take_if(|holder| holder == token).is_some())
    }
}

#[tokio::test]
async fn one_holds_it_at_a_time() {
    let place = Place::default();
    let lease = place.lease(LONG);
    let held = lease.try_acquire().await.unwrap().unwrap();
    assert!(lease.try_acquire().await.unwrap().is_none() && !held.is_lost());
    let error = lease.acquire(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.backend(), error.operation(), error.key()),
        (ErrorKind::Timeout, Some("test"), Some("acquire"), Some("a"))
    );
    let number = held.number();
    let (released, next) = tokio::join!(held.release(), lease.acquire(LONG));
    assert!(released.unwrap() && next.unwrap().number() > number);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_or_given_back() {
    let place = Place::default();
    let lease = place.lease(LONG);
    place.stored().lost_takes = 3;
    let held = lease.acquire(LONG).await.unwrap();
    assert_eq!((held.number(), place.stored().takes), (4, 4));
    place.stored().lost_returns = 2;
    assert_eq!(held.release().await.unwrap_err().operation(), Some("release"));
    place.eventually("given back", |stored| stored.holder.is_none()).await;
    place.stored().lost_takes = 1;
    assert_eq!(lease.try_acquire().await.unwrap_err().kind(), ErrorKind::Unavailable);
    place.eventually("given back, though it was never answered", |stored| stored.holder.is_none()).await;
}

#[tokio::test]
async fn what_is_dropped_is_given_back() {
    let place = Place::default();
    let lease = place.lease(LONG);
    drop(lease.try_acquire().await.unwrap().unwrap());
    place.eventually("the guard's", |stored| stored.holder.is_none()).await;
    // On its way: polled once, then forgotten.
    let mut call = Box::pin(lease.acquire(LONG));
    assert!(futures::poll!(&mut call).is_pending() && place.stored().holder.is_some());
    drop(call);
    place.eventually("the call's", |stored| stored.holder.is_none()).await;
    assert!(lease.try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn it_is_renewed_until_another_has_it() {
    let place = Place::default();
    let held = place.lease(Duration::from_millis(300)).try_acquire().await.unwrap().unwrap();
    place.eventually("renewed", |stored| stored.prolonged >= 3).await;
    place.stored().holder = Some("another".to_owned());
    held.lost().await;
    assert!(held.is_lost() && !held.release().await.unwrap());
    assert_eq!(place.stored().holder.as_deref(), Some("another"));
}

#[test]
fn pauses_are_between_half_and_all() {
    let pause = Duration::from_millis(100);
    let pauses: Vec<Duration> = (0..1_000).map(|_| in_part(pause)).collect();
    assert!(pauses.iter().all(|part| (pause / 2..=pause).contains(part)));
    assert!(
        pauses.iter().any(|part| *part < pause * 3 / 5) && pauses.iter().any(|part| *part > pause * 9 / 10)
    );
}

#[test]
fn it_is_looked_for_until_its_lease_ends() {
    let first = Duration::from_millis(10);
    for lease in
        [Duration::from_millis(1), first, Duration::from_secs(30), Duration::from_hours(24), MAX_WAIT]
    {
        let pauses: Vec<Duration> = looks(first, lease).collect();
        assert_eq!(pauses.first(), Some(&Duration::ZERO));
        assert_eq!(pauses.iter().sum::<Duration>(), lease);
        assert!(pauses.len() < 45, "{} looks in {lease:?}", pauses.len());
    }
    assert_eq!(looks(first, Duration::MAX).sum::<Duration>(), MAX_WAIT);
}
