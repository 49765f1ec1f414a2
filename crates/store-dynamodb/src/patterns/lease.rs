//! What is held for a time, and renewed while it is held.

use std::sync::Arc;
use std::time::Duration;

use store_core::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;

use super::{change, millis, millis_after, number, number_of, text, text_of};
use crate::error::at;
use crate::kv_layout::{expiry, seconds};
use crate::schema::EXPIRES;
use crate::space::Space;
use crate::transaction::Condition;

/// The first and the longest wait before something that is taken is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How many times in a lease it is renewed.
const RENEWALS: u32 = 3;
/// How long the last number is kept after the last lease: it is at least the clock, so that one that was forgotten does
/// not come again.
const FENCE_KEPT: Duration = Duration::from_hours(7 * 24);

const HOLDER: &str = "_holder";
const FENCE: &str = "_fence";
const UNTIL: &str = "_until";

/// What can be held: one item.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) space: Arc<Space>,
    /// What it is called in errors.
    pub(super) what: &'static str,
    pub(super) name: String,
    pub(super) partition: String,
    pub(super) lease: Duration,
    /// By how much the clocks of those who compete may differ.
    pub(super) skew: Duration,
    pub(super) renew: bool,
}

enum Attempt {
    Held { number: u64, until: Instant },
    Taken { wait: Duration },
}

impl Place {
    /// The names of the attributes and the values that every change has.
    fn condition(&self, expression: &str, token: &str) -> Condition {
        Condition::default()
            .with(expression)
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .named("#x", EXPIRES)
            .valued(":t", text(token))
            .valued(":u", number(millis_after(self.lease)))
            .valued(":x", seconds(expiry(self.lease.saturating_add(FENCE_KEPT))))
    }

    async fn attempt(&self, token: &str) -> Result<Attempt> {
        let mut least = micros();
        loop {
            // The stored lease begins later, so that ours is never the longer one.
            let until = Instant::now() + self.lease;
            let free = millis().saturating_sub(u64::try_from(self.skew.as_millis()).unwrap_or(u64::MAX));
            let condition = self
                .condition(
                    "(attribute_not_exists(#h) OR #u < :free) AND (attribute_not_exists(#f) OR #f < :f)",
                    token,
                )
                .named("#f", FENCE)
                .valued(":f", number(least))
                .valued(":free", number(free));
            let set = "SET #h = :t, #u = :u, #f = :f, #x = :x";
            let met = match change(&self.space, &self.partition, self.what, set, condition).await? {
                Ok(_) => return Ok(Attempt::Held { number: least, until }),
                Err(met) => met.unwrap_or_default(),
            };
            let fence = number_of::<u64>(&met, FENCE).unwrap_or_default();
            let ends = number_of::<u64>(&met, UNTIL).unwrap_or_default();
            match text_of(&met, HOLDER) {
                // An attempt whose answer was lost had it.
                Some(holder) if holder == token => return Ok(Attempt::Held { number: fence, until }),
                Some(_) if ends >= free => {
                    return Ok(Attempt::Taken { wait: Duration::from_millis(ends - free) });
                }
                // It is free, and the last number is ahead of our clock, or came in between.
                _ => least = fence.saturating_add(1).max(least),
            }
        }
    }

    /// Whether the token holds it still.
    async fn prolong(&self, token: &str) -> Result<bool> {
        let condition = self.condition("#h = :t", token);
        Ok(change(&self.space, &self.partition, self.what, "SET #u = :u, #x = :x", condition).await?.is_ok())
    }

    /// Whether the token, with its number if that is known, held it until now.
    async fn release(&self, token: &str, fence: Option<u64>) -> Result<bool> {
        let condition = Condition::default()
            .with("#h = :t")
            .named("#h", HOLDER)
            .named("#u", UNTIL)
            .valued(":t", text(token));
        match change(&self.space, &self.partition, self.what, "REMOVE #h, #u", condition).await? {
            Ok(_) => Ok(true),
            // Nobody has it, and nobody had it since: a request whose answer was lost gave it back.
            Err(Some(met)) => {
                Ok(fence.is_some() && !met.contains_key(HOLDER) && number_of(&met, FENCE) == fence)
            }
            Err(None) => Ok(false),
        }
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
        let message = format!(
            "the {} was held by others for the {} ms that it was waited for",
            self.what,
            patience.as_millis()
        );
        Error::new(ErrorKind::Timeout, message)
    }
}

/// A token that may be stored. Dropped, it is taken back in the background.
#[derive(Debug)]
struct Claim {
    place: Arc<Place>,
    token: String,
    runtime: Handle,
    /// Whether it may be stored.
    asked: bool,
    /// The number that came with it.
    fence: Option<u64>,
}

impl Claim {
    fn new(place: &Arc<Place>) -> Self {
        let token = format!("{:032x}", fastrand::u128(..));
        Self { place: Arc::clone(place), token, runtime: Handle::current(), asked: false, fence: None }
    }

    async fn attempt(&mut self) -> Result<Attempt> {
        let before = std::mem::replace(&mut self.asked, true);
        let attempt = self.place.attempt(&self.token).await?;
        // What went unanswered before may yet come to the service.
        self.asked = before;
        if let Attempt::Held { number, .. } = attempt {
            self.asked = true;
            self.fence = Some(number);
        }
        Ok(attempt)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.asked {
            return;
        }
        let (place, token, fence) = (Arc::clone(&self.place), self.token.clone(), self.fence);
        // Ends when it is given back, and at the latest with the lease.
        self.runtime.spawn(async move {
            let end = Instant::now() + place.lease;
            let mut pause = BACKOFF.0;
            while Instant::now() < end {
                match place.release(&token, fence).await {
                    // What was only asked for may still be on its way.
                    Ok(false) if fence.is_none() => {}
                    Err(error) if error.is_retryable() => {}
                    Ok(_) | Err(_) => return,
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
    pub(super) number: u64,
    state: watch::Receiver<State>,
    renewal: JoinHandle<()>,
}

impl Held {
    fn new(claim: Claim, number: u64, until: Instant) -> Self {
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
        let held =
            place.release(&self.claim.token, Some(self.number)).await.map_err(place.named("release"))?;
        self.claim.asked = false;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews what is held until it is lost.
async fn keep(place: Arc<Place>, token: String, state: watch::Sender<State>) {
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
        match tokio::time::timeout_at(until, place.prolong(&token)).await {
            Ok(Ok(true)) => {
                until = next;
                pause = place.lease / RENEWALS;
                state.send_modify(|state| state.until = until);
            }
            Ok(Ok(false)) => return lose("another has it, or it was removed"),
            Ok(Err(_)) if Instant::now() < until => pause = place.lease / (4 * RENEWALS),
            Ok(Err(_)) | Err(_) => return lose("it could not be renewed in time"),
        }
    }
}

/// The time in microseconds: a number of nobody yet.
fn micros() -> u64 {
    crate::chat::micros()
}
