//! What is held for a time, and renewed while it is held: a lock, a permit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use store_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use crate::driver::{integer, items, unexpected};
use crate::error::at;
use crate::script::Script;
use crate::space::Space;

/// The first and the longest wait before something that is taken is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// The longest wait before it is looked again whether something that was given up came to the server after all.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// How many times in a lease it is renewed.
const RENEWALS: u32 = 3;

/// The scripts of a kind of lease. All are given the keys, and as arguments the token, the lease in milliseconds and
/// `limit`.
#[derive(Debug)]
pub(super) struct Scripts {
    /// Answers 1 and a number, or 0 and how many milliseconds it may yet be taken. A token that holds it already is
    /// given it again.
    pub(super) acquire: Script,
    /// Answers 1, or 0 when the token no longer holds it.
    pub(super) renew: Script,
    /// Answers 1, or 0 when the token no longer held it.
    pub(super) release: Script,
}

/// What can be held.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) space: Arc<Space>,
    /// What it is called in errors.
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) keys: Vec<String>,
    pub(super) scripts: &'static Scripts,
    pub(super) lease: Duration,
    pub(super) lease_ms: i64,
    pub(super) limit: i64,
    pub(super) renew: bool,
}

enum Attempt {
    Held { number: i64, until: Instant },
    Taken { wait: Duration },
}

impl Place {
    async fn run(&self, script: &Script, token: &Bytes) -> Result<Value> {
        let args: [Value; 3] = [token.clone().into(), self.lease_ms.into(), self.limit.into()];
        self.space.script(script, self.keys.iter().map(String::as_str), args).await
    }

    async fn attempt(&self, token: &Bytes) -> Result<Attempt> {
        // The server's lease begins later, so that ours is never the longer one.
        let until = Instant::now() + self.lease;
        let answer = self.run(&self.scripts.acquire, token).await?;
        let parts: Vec<i64> = items(answer).iter().filter_map(integer).collect();
        match *parts.as_slice() {
            [1, number] => Ok(Attempt::Held { number, until }),
            [0, wait] => {
                Ok(Attempt::Taken { wait: Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)) })
            }
            _ => Err(unexpected("EVALSHA", &Value::Null)),
        }
    }

    /// Whether the token held it until now.
    async fn release(&self, token: &Bytes) -> Result<bool> {
        Ok(integer(&self.run(&self.scripts.release, token).await?) == Some(1))
    }

    fn named(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        let name = self.name.clone();
        move |error| at(operation)(error).with_key(name.clone())
    }

    /// Takes it if it is free.
    pub(super) async fn try_acquire(self: &Arc<Self>) -> Result<Option<Held>> {
        let mut claim = Claim::new(self);
        match claim.attempt().await.map_err(self.named("try_acquire"))? {
            Attempt::Held { number, until } => Ok(Some(Held::new(claim, number, until))),
            Attempt::Taken { .. } => Ok(None),
        }
    }

    /// Takes it, and waits for it so long.
    pub(super) async fn acquire(self: &Arc<Self>, patience: Duration) -> Result<Held> {
        let mut claim = Claim::new(self);
        let end = Instant::now() + patience.min(super::MAX_TIME);
        let mut backoff = BACKOFF.0;
        loop {
            let (wait, refusal) = match claim.attempt().await {
                Ok(Attempt::Held { number, until }) => return Ok(Held::new(claim, number, until)),
                Ok(Attempt::Taken { wait }) => (wait, None),
                Err(error) if error.is_retryable() => (Duration::MAX, Some(error)),
                Err(error) => return Err(self.named("acquire")(error)),
            };
            let now = Instant::now();
            if now >= end {
                return Err(self.named("acquire")(refusal.unwrap_or_else(|| self.not_had(patience))));
            }
            // Part of it by chance, so that those who wait do not all come at once.
            let pause = backoff.mul_f64(0.5 + 0.5 * fastrand::f64());
            tokio::time::sleep(pause.min(wait.saturating_add(Duration::from_millis(1))).min(end - now)).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn not_had(&self, patience: Duration) -> Error {
        Error::new(
            ErrorKind::Timeout,
            format!(
                "the {} was held by others for the {} ms that it was waited for",
                self.what,
                patience.as_millis()
            ),
        )
    }
}

/// A token that may be known to the server. Dropped, it is taken back in the background.
#[derive(Debug)]
struct Claim {
    place: Arc<Place>,
    token: Bytes,
    runtime: Handle,
    known: Known,
}

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The server does not have it.
    Nothing,
    /// It was sent, and not answered.
    Asked,
    /// The server has it.
    Held,
}

impl Claim {
    fn new(place: &Arc<Place>) -> Self {
        let token = Bytes::from(uuid::Uuid::new_v4().simple().to_string());
        Self { place: Arc::clone(place), token, runtime: Handle::current(), known: Known::Nothing }
    }

    async fn attempt(&mut self) -> Result<Attempt> {
        // Once it went unanswered it may yet come to the server, whatever is answered later.
        if self.known == Known::Nothing {
            self.known = Known::Asked;
            let attempt = self.place.attempt(&self.token).await?;
            let held = matches!(attempt, Attempt::Held { .. });
            self.known = if held { Known::Held } else { Known::Nothing };
            return Ok(attempt);
        }
        self.place.attempt(&self.token).await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.known == Known::Nothing {
            return;
        }
        let (place, token, known) = (Arc::clone(&self.place), self.token.clone(), self.known);
        // Ends when the server has answered, and at the latest with the lease.
        self.runtime.spawn(async move {
            let end = Instant::now() + place.lease;
            let mut pause = BACKOFF.0;
            loop {
                match place.release(&token).await {
                    // What was only asked for may still be on its way, on another connection.
                    Ok(false) if known == Known::Asked => {}
                    Err(error) if error.is_retryable() => {}
                    Ok(_) | Err(_) => return,
                }
                if Instant::now() >= end || pause > LAST_LOOK {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        });
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    until: Instant,
    lost: bool,
}

/// Something held.
#[derive(Debug)]
pub(super) struct Held {
    claim: Claim,
    pub(super) number: i64,
    state: watch::Receiver<State>,
    renewal: JoinHandle<()>,
}

impl Held {
    fn new(claim: Claim, number: i64, until: Instant) -> Self {
        let (sender, state) = watch::channel(State { until, lost: false });
        // Ended by `release` and by drop.
        let renewal = claim.runtime.spawn(keep(Arc::clone(&claim.place), claim.token.clone(), sender));
        Self { claim, number, state, renewal }
    }

    pub(super) fn is_lost(&self) -> bool {
        let state = *self.state.borrow();
        state.lost || Instant::now() >= state.until
    }

    pub(super) async fn lost(&self) {
        // An error says that the renewal is no more, which happens only when it is lost.
        let _ = self.state.clone().wait_for(|state| state.lost).await;
    }

    /// Gives it back; whether it was held until now.
    pub(super) async fn release(mut self) -> Result<bool> {
        self.renewal.abort();
        // A renewal that is under way finds the token or not; it does not bring it back.
        let _ = (&mut self.renewal).await;
        let place = Arc::clone(&self.claim.place);
        let held = place.release(&self.claim.token).await.map_err(place.named("release"))?;
        self.claim.known = Known::Nothing;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews what is held until it is lost.
async fn keep(place: Arc<Place>, token: Bytes, state: watch::Sender<State>) {
    let mut until = state.borrow().until;
    let lose = |why: &str| {
        warn!(name = %place.name, why, "a {} was lost", place.what);
        state.send_modify(|state| state.lost = true);
    };
    if !place.renew {
        tokio::time::sleep_until(until).await;
        return lose("its lease ended, and it is not renewed");
    }
    let mut pause = place.lease / RENEWALS;
    loop {
        tokio::time::sleep_until((Instant::now() + pause).min(until)).await;
        let next = Instant::now() + place.lease;
        match tokio::time::timeout_at(until, place.run(&place.scripts.renew, &token)).await {
            Ok(Ok(answer)) if integer(&answer) == Some(1) => {
                until = next;
                pause = place.lease / RENEWALS;
                state.send_modify(|state| state.until = until);
            }
            Ok(Ok(_)) => return lose("the server no longer has it"),
            Ok(Err(_)) if Instant::now() < until => pause = place.lease / (4 * RENEWALS),
            Ok(Err(_)) | Err(_) => return lose("it could not be renewed in time"),
        }
    }
}
