//! Reading, deciding and writing key-values in one step.
//!
//! Python's layout has no versions: a change is made if the stored bytes are still those that were read, by a script
//! that compares and writes many keys of a hash at once. Those whose bytes have changed are read and decided anew.

use async_trait::async_trait;
use bytes::Bytes;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::kit::rounds::{self, CompareAndSwap};
use store_core::{Error, JsonObject, Result, Update, UpdateFn};

use crate::driver::items;
use crate::kv::{RUN_BYTES, RUN_KEYS, RedisKvStore, TRIP_BYTES, decode, encode};
use crate::kv_write::place_of;
use crate::script::{Script, hex_sha1};

/// Keys that one round reads, decides and writes.
const KEYS: usize = 2_000;
/// From this size on the SHA-1 of an old value is sent in its place, and compared.
const HASHED_BYTES: usize = 64 << 10;

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
struct Change {
    place: usize,
    key: String,
    old: Option<Bytes>,
    new: Bytes,
}

impl Change {
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
        [Bytes::from(self.key.clone()), Bytes::from_static(how.as_bytes()), old, self.new.clone()]
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
            after.extend(rounds::update(&Values { store: self, hash: &hash }, keys, apply).await?);
        }
        Ok(after)
    }

    /// Removes a key if its stored bytes are still these; answers whether they were.
    pub(crate) async fn remove_if(&self, collection: &str, key: &str, old: &Bytes) -> Result<bool> {
        let hash = self.keyed(collection, &[key])?;
        let change = Change { place: 0, key: key.to_owned(), old: Some(old.clone()), new: Bytes::new() };
        Ok(self.change(&hash, &[change]).await?.is_empty())
    }

    /// Makes the changes whose old value still stands; answers the places of the others, in order.
    async fn change(&self, hash: &Bytes, changes: &[Change]) -> Result<Vec<usize>> {
        let (mut open, mut sent) = (Vec::new(), 0);
        for trip in cut(changes, KEYS, TRIP_BYTES, Change::size) {
            sent += trip.len();
            let unsent = changes.get(sent..).unwrap_or_default();
            let runs: Vec<&[Change]> = cut(trip, RUN_KEYS, RUN_BYTES, Change::size).collect();
            let calls = runs.iter().map(|run| {
                let args: Vec<Bytes> = run.iter().flat_map(Change::args).collect();
                (vec![hash.clone()], args)
            });
            let failed = |error: Error, lost: &[&[Change]]| {
                error.with_failed(lost.iter().copied().flatten().chain(unsent).map(|change| &change.key))
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

/// The fields of one hash.
struct Values<'a> {
    store: &'a RedisKvStore,
    hash: &'a Bytes,
}

#[async_trait]
impl CompareAndSwap for Values<'_> {
    type Stored = Bytes;
    type Change = Change;

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Bytes>>> {
        self.store.read(self.hash, keys, true).await
    }

    async fn decide(
        &self,
        place: usize,
        key: &str,
        stored: Option<Bytes>,
        apply: &mut UpdateFn<'_>,
    ) -> Result<(Option<JsonObject>, Option<Change>)> {
        let old = stored.as_ref().map(|stored| decode(key, stored)).transpose()?;
        let change = |old, new| Change { place, key: key.to_owned(), old, new };
        Ok(match apply(key, old.as_ref())? {
            Update::Keep => (old, None),
            Update::Put(value) => {
                let new = encode(key, &value)?;
                (Some(value), Some(change(stored, new)))
            }
            Update::Delete => (None, stored.map(|old| change(Some(old), Bytes::new()))),
        })
    }

    async fn change(&self, changes: Vec<Change>) -> Result<Vec<usize>> {
        self.store.change(self.hash, &changes).await
    }
}
