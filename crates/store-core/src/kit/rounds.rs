//! Changes of what others change too: read, changed here, written if it is still what was read, and otherwise read again.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, ErrorKind, JsonObject, Result, UpdateFn};

/// How often something is read anew before others are said to be in the way.
const ROUNDS: u32 = 200;

/// The longest pause between two rounds where the store itself does not take long: 10 ms.
pub const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How many rows were written.
    pub written: usize,
    /// The ids of those that others had changed since they were read.
    pub missed: Vec<String>,
}

/// By ids, each with whether its row was written.
impl Extend<(String, bool)> for Round {
    fn extend<I: IntoIterator<Item = (String, bool)>>(&mut self, rows: I) {
        for (id, written) in rows {
            if written {
                self.written += 1;
            } else {
                self.missed.push(id);
            }
        }
    }
}

impl FromIterator<(String, bool)> for Round {
    fn from_iter<I: IntoIterator<Item = (String, bool)>>(rows: I) -> Self {
        let mut round = Self::default();
        round.extend(rows);
        round
    }
}

/// Changes the rows of these ids, as many at once as `at_once` says; answers how many were written.
///
/// `round` reads the rows of the ids it is given, and writes those that it wants changed if they are still what it read.
/// Rows that it missed are given to it again, after a pause of at most `longest_pause`.
///
/// `Conflict` when others change a row each time it is read; the error names the ids that were not written.
pub async fn settle<F>(
    ids: &[String],
    at_once: usize,
    longest_pause: Duration,
    mut round: impl FnMut(Vec<String>) -> F + Send,
) -> Result<usize>
where
    F: Future<Output = Result<Round>> + Send,
{
    let mut written = 0;
    for ids in ids.chunks(at_once.max(1)) {
        let mut open = ids.to_vec();
        for count in 0..ROUNDS {
            let done = round(open).await?;
            written += done.written;
            open = done.missed;
            if open.is_empty() {
                break;
            }
            pause(count, longest_pause).await;
        }
        if !open.is_empty() {
            let message = format!("other writers changed the nodes {ROUNDS} times in a row; repeat the call");
            return Err(Error::new(ErrorKind::Conflict, message).with_retryable(true).with_failed(open));
        }
    }
    Ok(written)
}

/// Key-values that a server changes if they are still what was read, for [`update`].
#[async_trait]
pub trait CompareAndSwap: Sync {
    /// A value as the server has it.
    type Stored: Send;
    /// A change that is to be made.
    type Change: Send;

    /// Reads the values of these keys, in their order.
    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Self::Stored>>>;

    /// Asks `apply` about one key: the value afterwards, and the change to make, if any. `place` is the key's in the call of
    /// [`update`].
    async fn decide(
        &self,
        place: usize,
        key: &str,
        stored: Option<Self::Stored>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<(Option<JsonObject>, Option<Self::Change>)>;

    /// Makes the changes whose old value still stands; answers the places of the others, in order.
    async fn change(&self, changes: Vec<Self::Change>) -> Result<Vec<usize>>;
}

/// [`KvStore::update_many`](crate::KvStore::update_many) of keys that differ; answers the values afterwards.
///
/// When `apply` refuses a key, the changes of those before it are made. `Conflict` when others change a key each time it is
/// read; the error names the keys that were not changed.
pub async fn update<S: CompareAndSwap>(
    store: &S,
    keys: &[&str],
    apply: &mut UpdateFn<'_>,
) -> Result<Vec<Option<JsonObject>>> {
    let mut after = vec![None; keys.len()];
    let mut open: Vec<usize> = (0..keys.len()).collect();
    for round in 0..ROUNDS {
        let wanted = named(keys, &open);
        let stored = store.read(&wanted).await?;
        let (mut changes, mut refused) = (Vec::new(), None);
        for ((place, key), stored) in open.iter().zip(&wanted).zip(stored) {
            match store.decide(*place, key, stored, apply).await {
                Ok((value, change)) => {
                    if let Some(slot) = after.get_mut(*place) {
                        *slot = value;
                    }
                    changes.extend(change);
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        open = store.change(changes).await?;
        if let Some(error) = refused {
            return Err(error);
        }
        if open.is_empty() {
            return Ok(after);
        }
        pause(round, SHORT_PAUSE).await;
    }
    let open = named(keys, &open);
    let key = open.first().copied().unwrap_or_default();
    let message = format!("others changed the key each of the {ROUNDS} times it was read");
    Err(Error::new(ErrorKind::Conflict, message).with_key(key).with_failed(open))
}

fn named<'a>(keys: &[&'a str], places: &[usize]) -> Vec<&'a str> {
    places.iter().filter_map(|place| keys.get(*place).copied()).collect()
}

/// Waits a random time below one that doubles, so that writers that met do not meet again at once.
pub async fn pause(round: u32, longest: Duration) {
    let most = Duration::from_millis(1 << round.min(16)).min(longest);
    tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|id| format!("n{id}")).collect()
    }

    #[tokio::test]
    async fn rows_that_others_changed_are_given_again() {
        let mut rounds = Vec::new();
        let ids = ids(5);
        let written = settle(&ids, 3, Duration::ZERO, |open| {
            let first = open.len() > 1;
            rounds.push(open.clone());
            async move { Ok(open.into_iter().enumerate().map(|(place, id)| (id, place > 0 || !first)).collect()) }
        });
        assert_eq!(written.await.unwrap(), 5);
        let rounds: Vec<String> = rounds.iter().map(|ids| ids.concat()).collect();
        assert_eq!(rounds, ["n0n1n2", "n0", "n3n4", "n3"]);
    }

    #[tokio::test]
    async fn a_row_that_others_change_each_time_is_a_conflict_that_names_it() {
        let never = |open: Vec<String>| async move { Ok(open.into_iter().map(|id| (id, false)).collect()) };
        let error = settle(&ids(2), 1, Duration::ZERO, never).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Conflict, true));
        assert_eq!(error.failed(), ["n0"]);
    }
}
