//! What is held for a time and renewed while it is held, a lock or a permit, for those who write a backend: all but how
//! a store keeps it. Needs a Tokio runtime.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

mod lock;

pub use lock::{LockConfig, LockGuard};

/// The longest wait for anything: a hundred years.
const MAX_WAIT: Duration = Duration::from_hours(100 * 366 * 24);
/// How many times in a lease it is renewed.
const RENEWALS: u32 = 3;

/// Where something is held, as a store keeps it. Tokens are random, one for each attempt to hold it.
#[async_trait]
pub trait LeasePlace: Debug + Send + Sync + 'static {
    /// Takes it for a token, if it is free, with a lease that begins no sooner than this call. A token that has it
    /// already, since an answer was lost, is given it again, with a new lease.
    async fn take(&self, token: &str) -> Result<LeaseTaken>;

    /// Begins the token's lease anew, no sooner than this call; `false` when the token no longer has it.
    async fn prolong(&self, token: &str) -> Result<bool>;

    /// Gives it back; whether the token had it until now. `number` is what [`take`](Self::take) answered, if that is
    /// known.
    async fn give_back(&self, token: &str, number: Option<u64>) -> Result<bool>;
}

/// What became of [`LeasePlace::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseTaken {
    /// The token has it, with this number; what it says is the store's affair.
    Held(u64),
    /// Another has it, and may have it for so long.
    ByAnother(Duration),
}

/// How something is held.
#[derive(Clone, Debug)]
pub struct LeaseTerms {
    /// The backend's name, in errors.
    pub backend: &'static str,
    /// What it is called in errors: `lock`.
    pub what: &'static str,
    /// Its name, the key in errors.
    pub name: String,
    /// After what time it is free again when its holder is gone.
    pub lease: Duration,
    /// Whether the lease is renewed, three times in each, while it is held.
    pub renew: bool,
    /// The first and the longest pause before something that is taken is tried again.
    pub pauses: (Duration, Duration),
}

/// Something that can be held. Clones are the same.
#[derive(Clone, Debug)]
pub struct Lease {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Box<dyn LeasePlace>,
    terms: LeaseTerms,
}

impl Lease {
    /// What is held there. Nothing is sent yet.
    #[must_use]
    pub fn new(place: impl LeasePlace, terms: LeaseTerms) -> Self {
        Self { inner: Arc::new(Inner { place: Box::new(place), terms }) }
    }

    /// Takes it if it is free; `None` when another has it. Dropped before its end, or after an error, it is given back in
    /// the background, and if that is not possible, ends with its lease.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<LeaseHeld>> {
        let mut claim = Claim::new(&self.inner);
        let begin = Instant::now();
        match claim.take().await.map_err(|error| self.inner.named("try_acquire", error))? {
            LeaseTaken::Held(_) => Ok(Some(LeaseHeld::new(claim, begin))),
            LeaseTaken::ByAnother(_) => Ok(None),
        }
    }

    /// Takes it, and waits so long while others have it or the store can not be reached. Dropped, it is as with
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `Timeout` when others had it all the time; else the last error of the store.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn acquire(&self, patience: Duration) -> Result<LeaseHeld> {
        let mut claim = Claim::new(&self.inner);
        let end = Instant::now() + patience.min(MAX_WAIT);
        let (mut pause, longest) = self.inner.terms.pauses;
        loop {
            let begin = Instant::now();
            let (wait, refusal) = match claim.take().await {
                Ok(LeaseTaken::Held(_)) => return Ok(LeaseHeld::new(claim, begin)),
                Ok(LeaseTaken::ByAnother(wait)) => (wait, None),
                Err(error) if error.is_retryable() => (MAX_WAIT, Some(error)),
                Err(error) => return Err(self.inner.named("acquire", error)),
            };
            let now = Instant::now();
            if now >= end {
                let refusal = refusal.unwrap_or_else(|| self.inner.not_had(patience));
                return Err(self.inner.named("acquire", refusal));
            }
            let wait = wait.saturating_add(Duration::from_millis(1));
            tokio::time::sleep(in_part(pause).min(wait).min(end - now)).await;
            pause = (pause * 2).min(longest);
        }
    }
}

impl Inner {
    fn named(&self, operation: &'static str, error: Error) -> Error {
        error.with_backend(self.terms.backend).with_operation(operation).with_key(self.terms.name.as_str())
    }

    fn not_had(&self, patience: Duration) -> Error {
        let message = format!(
            "the {} was held by others for the {} ms that it was waited for",
            self.terms.what,
            patience.as_millis()
        );
        Error::new(ErrorKind::Timeout, message)
    }
}

/// Between half of it and all, by chance, so that those who wait do not all come at once.
fn in_part(pause: Duration) -> Duration {
    let [.., random] = Uuid::new_v4().into_bytes();
    pause / 2 + pause / 2 * u32::from(random) / 255
}

/// A token that the store may have. Dropped, it is taken back in the background.
#[derive(Debug)]
struct Claim {
    inner: Arc<Inner>,
    token: String,
    runtime: Handle,
    /// Whether the store may have it.
    asked: bool,
    /// The number that came with it.
    number: Option<u64>,
}

impl Claim {
    fn new(inner: &Arc<Inner>) -> Self {
        let token = Uuid::new_v4().simple().to_string();
        Self { inner: Arc::clone(inner), token, runtime: Handle::current(), asked: false, number: None }
    }

    async fn take(&mut self) -> Result<LeaseTaken> {
        let before = std::mem::replace(&mut self.asked, true);
        let taken = self.inner.place.take(&self.token).await?;
        // What went unanswered before may yet come to the store, whatever is answered now.
        self.asked = before;
        if let LeaseTaken::Held(number) = taken {
            self.asked = true;
            self.number = Some(number);
        }
        Ok(taken)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.asked {
            return;
        }
        let (inner, token, number) = (Arc::clone(&self.inner), self.token.clone(), self.number);
        // Ends when it is given back, and at the latest with the lease.
        self.runtime.spawn(async move {
            for pause in looks(inner.terms.pauses.0, inner.terms.lease) {
                tokio::time::sleep(pause).await;
                match inner.place.give_back(&token, number).await {
                    // What was only asked for may still be on its way.
                    Ok(false) if number.is_none() => {}
                    Err(error) if error.is_retryable() => {}
                    Ok(_) | Err(_) => return,
                }
            }
        });
    }
}

/// The pauses before each look whether something that was given up came to the store after all: none at first, then
/// each twice the last, until the lease is over. So they are few for the longest lease too.
fn looks(first: Duration, lease: Duration) -> impl Iterator<Item = Duration> {
    let (mut pause, mut left) = (first, lease.min(MAX_WAIT));
    let further = std::iter::from_fn(move || {
        let next = pause.min(left);
        left = left.saturating_sub(next);
        pause = pause.saturating_mul(2);
        Some(next).filter(|next| !next.is_zero())
    });
    std::iter::once(Duration::ZERO).chain(further)
}

#[derive(Clone, Copy, Debug)]
struct State {
    until: Instant,
    lost: bool,
}

/// Something held. Dropped, it is given back in the background; [`release`](Self::release) waits for it.
#[derive(Debug)]
pub struct LeaseHeld {
    claim: Claim,
    state: watch::Receiver<State>,
    renewal: JoinHandle<()>,
}

impl LeaseHeld {
    /// Begins the renewal of what was taken by a call that began then.
    fn new(claim: Claim, begin: Instant) -> Self {
        let until = begin + claim.inner.terms.lease.min(MAX_WAIT);
        let (sender, state) = watch::channel(State { until, lost: false });
        // Ended by `release` and by drop.
        let renewal = claim.runtime.spawn(keep(Arc::clone(&claim.inner), claim.token.clone(), sender));
        Self { claim, state, renewal }
    }

    /// The number that came with it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.claim.number.unwrap_or_default()
    }

    /// Whether it was lost, as far as is known here.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let state = *self.state.borrow();
        state.lost || Instant::now() >= state.until
    }

    /// Waits until it is lost, if ever.
    pub async fn lost(&self) {
        // An error says that the renewal is no more, which happens only when it is lost.
        let _ = self.state.clone().wait_for(|state| state.lost).await;
    }

    /// Ends the renewal, then gives it back; `false` if it had been lost.
    ///
    /// # Errors
    /// When the store can not be reached: it is tried again in the background, and the lease ends.
    pub async fn release(mut self) -> Result<bool> {
        self.renewal.abort();
        // A renewal that is under way finds the token or not; it does not bring it back.
        let _ = (&mut self.renewal).await;
        let inner = Arc::clone(&self.claim.inner);
        let held = inner.place.give_back(&self.claim.token, self.claim.number).await;
        let held = held.map_err(|error| inner.named("release", error))?;
        self.claim.asked = false;
        Ok(held)
    }
}

impl Drop for LeaseHeld {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews what is held until it is lost.
async fn keep(inner: Arc<Inner>, token: String, state: watch::Sender<State>) {
    let LeaseTerms { what, name, lease, renew, .. } = &inner.terms;
    let mut until = state.borrow().until;
    let lose = |why: &str| {
        warn!(%name, why, "a {what} was lost");
        state.send_modify(|state| state.lost = true);
    };
    if !renew {
        tokio::time::sleep_until(until).await;
        return lose("its lease ended, and it is not renewed");
    }
    let mut pause = *lease / RENEWALS;
    loop {
        tokio::time::sleep_until((Instant::now() + pause).min(until)).await;
        let next = Instant::now() + *lease;
        match tokio::time::timeout_at(until, inner.place.prolong(&token)).await {
            Ok(Ok(true)) => {
                until = next;
                pause = *lease / RENEWALS;
                state.send_modify(|state| state.until = until);
            }
            Ok(Ok(false)) => return lose("another has it, or it was removed"),
            Ok(Err(_)) if Instant::now() < until => pause = *lease / (4 * RENEWALS),
            Ok(Err(_)) | Err(_) => return lose("it could not be renewed in time"),
        }
    }
}

#[cfg(test)]
mod tests;
