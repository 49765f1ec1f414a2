//! Reading, deciding and writing key-values in one step.
//!
//! Python's layout has no versions: a change is made if the stored bytes are still those that were read, by a script
//! that compares and writes many keys of a hash at once. Those whose bytes have changed are read and decided anew.

use std::time::Duration;

use bytes::Bytes;
use store_core::batches::cut;
use store_core::{Error, ErrorKind, JsonObject, Result, Update, UpdateFn, check};

use crate::driver::items;
use crate::kv::{RUN_BYTES, RUN_KEYS, RedisKvStore, TRIP_BYTES, decode, encode};
use crate::kv_write::place_of;
use crate::script::{Script, hex_sha1};

/// Keys that one round reads, decides and writes.
const KEYS: usize = 2_000;
/// From this size on the SHA-1 of an old value is sent in its place, and compared.
const HASHED_BYTES: usize = 64 << 10;
/// How often an update that meets other writers on its keys looks again before it answers `Conflict`.
const ROUNDS: u64 = 200;

/// Changes the fields whose old value still stands, and answers the places of the others. `KEYS`: the hash. `ARGV`:
/// for each field its name; how the old value is told (`-` there was none, `=` it itself, `#` its SHA-1); the old
/// value; the new one, empty if the field goes.
static CHANGE: Script = Script::new(
    "local lost = {}
for i = 1, #ARGV, 4 do
  local now = redis.call('HGET', KEYS[1], ARGV[i])
  local how, same = ARGV[i + 1], false
  if not now then
    same = how == '-'
  elseif how == '=' then
    same = now == ARGV[i + 2]
  elseif how == '#' then
    same = redis.sha1hex(now) == ARGV[i + 2]
  end
  if not same then
    lost[#lost + 1] = (i - 1) / 4
  elseif ARGV[i + 3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 3])
  end
end
return lost",
);

/// What becomes of a key: the bytes that must still be there, and the new ones; empty if it goes.
#[derive(Debug)]
struct Change<'a> {
    place: usize,
    key: &'a str,
    old: Option<Bytes>,
    new: Bytes,
}

impl Change<'_> {
    fn size(&self) -> usize {
        let old = self.old.as_ref().map_or(0, |old| old.len().min(HASHED_BYTES));
        self.key.len() + old + self.new.len()
    }

    fn args(&self) -> [Bytes; 4] {
        let (how, old) = match &self.old {
            None => ("-", Bytes::new()),
            Some(old) if old.len() < HASHED_BYTES => ("=", old.clone()),
            Some(old) => ("#", Bytes::from(hex_sha1(old))),
        };
        [Bytes::from(self.key.to_owned()), Bytes::from_static(how.as_bytes()), old, self.new.clone()]
    }
}

impl RedisKvStore {
    pub(crate) async fn update(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let hash = self.keyed(collection, keys)?;
        check::no_duplicates("key", keys.iter().copied())?;
        let mut after = Vec::with_capacity(keys.len());
        for keys in cut(keys, KEYS, TRIP_BYTES, |key| key.len()) {
            after.extend(self.update_chunk(&hash, keys, apply).await?);
        }
        Ok(after)
    }

    async fn update_chunk(
        &self,
        hash: &Bytes,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        let mut after = vec![None; keys.len()];
        let mut open: Vec<usize> = (0..keys.len()).collect();
        for round in 0..ROUNDS {
            let wanted: Vec<&str> = open.iter().filter_map(|place| keys.get(*place).copied()).collect();
            let stored = self.read(hash, &wanted, true).await?;
            let (mut changes, mut refused) = (Vec::new(), None);
            for ((place, key), stored) in open.iter().zip(&wanted).zip(stored) {
                match decide(*place, key, stored, apply) {
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
            open = self.change(hash, &changes).await?;
            if let Some(error) = refused {
                return Err(error);
            }
            if open.is_empty() {
                return Ok(after);
            }
            // Those who met are spread, so that they do not meet again.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=round.min(10)))).await;
        }
        let open: Vec<&str> = open.iter().filter_map(|place| keys.get(*place).copied()).collect();
        let message = format!("others changed the key each of the {ROUNDS} times it was read");
        let key = open.first().copied().unwrap_or_default();
        Err(Error::new(ErrorKind::Conflict, message).with_key(key).with_failed(open))
    }

    /// Removes a key if its stored bytes are still these; answers whether they were.
    pub(crate) async fn remove_if(&self, collection: &str, key: &str, old: &Bytes) -> Result<bool> {
        let hash = self.keyed(collection, &[key])?;
        let change = Change { place: 0, key, old: Some(old.clone()), new: Bytes::new() };
        Ok(self.change(&hash, &[change]).await?.is_empty())
    }

    /// Makes the changes whose old value still stands; answers the places of the others, in order.
    async fn change(&self, hash: &Bytes, changes: &[Change<'_>]) -> Result<Vec<usize>> {
        let (mut open, mut sent) = (Vec::new(), 0);
        for trip in cut(changes, KEYS, TRIP_BYTES, Change::size) {
            sent += trip.len();
            let unsent = changes.get(sent..).unwrap_or_default();
            let runs: Vec<&[Change<'_>]> = cut(trip, RUN_KEYS, RUN_BYTES, Change::size).collect();
            let calls = runs.iter().map(|run| {
                let args: Vec<Bytes> = run.iter().flat_map(Change::args).collect();
                (vec![hash.clone()], args)
            });
            let failed = |error: Error, lost: &[&[Change<'_>]]| {
                error.with_failed(lost.iter().copied().flatten().chain(unsent).map(|change| change.key))
            };
            let answers = self.space.scripts(&CHANGE, calls.collect()).await;
            let answers = answers.map_err(|error| failed(error, &runs))?;
            let (mut lost, mut first) = (Vec::new(), None);
            for (run, answer) in runs.into_iter().zip(answers) {
                match answer {
                    Ok(others) => {
                        let places = items(others).into_iter().filter_map(|place| place_of(&place));
                        open.extend(places.filter_map(|place| run.get(place)).map(|change| change.place));
                    }
                    Err(error) => {
                        lost.push(run);
                        first.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = first {
                return Err(failed(error, &lost));
            }
        }
        Ok(open)
    }
}

/// Asks `apply` about one key: the value afterwards, and the change to make, if any.
fn decide<'a>(
    place: usize,
    key: &'a str,
    stored: Option<Bytes>,
    apply: &mut UpdateFn<'_>,
) -> Result<(Option<JsonObject>, Option<Change<'a>>)> {
    let old = stored.as_ref().map(|stored| decode(key, stored)).transpose()?;
    Ok(match apply(key, old.as_ref())? {
        Update::Keep => (old, None),
        Update::Put(value) => {
            let new = encode(key, &value)?;
            (Some(value), Some(Change { place, key, old: stored, new }))
        }
        Update::Delete => (None, stored.map(|old| Change { place, key, old: Some(old), new: Bytes::new() })),
    })
}
