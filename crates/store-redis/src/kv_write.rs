//! Putting and deleting key-values.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use store_core::kit::batches::cut;
use store_core::kit::check;
use store_core::{Error, ErrorKind, KvCapabilities, PutMode, PutOptions, Result};

use crate::driver::{Cmd, integer, items, unexpected};
use crate::kv::{RUN_BYTES, RUN_KEYS, RedisKvStore, TRIP_BYTES, TRIP_KEYS, encode_into};
use crate::script::Script;
use crate::time_to_live::millis;

/// Puts fields, and answers the places of those that an insert met. `KEYS`: the hash. `ARGV`: `insert` or `upsert`,
/// the time to live in milliseconds or 0, then each field with its value. HPEXPIRE (Redis 7.4) comes in the same
/// step, so that nobody sees a value that was to end without its end.
static PUT: Script = Script::new(
    "local there, written = {}, {}
local insert = ARGV[1] == 'insert'
for i = 3, #ARGV, 2 do
  local fresh = 1
  if insert then
    fresh = redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
  if fresh == 1 then
    written[#written + 1] = ARGV[i]
  else
    there[#there + 1] = (i - 3) / 2
  end
end
if ARGV[2] ~= '0' and #written > 0 then
  redis.call('HPEXPIRE', KEYS[1], ARGV[2], 'FIELDS', #written, unpack(written))
end
return there",
);

/// Bytes of one block that keys and values lie in; a quarter of it is the most that one of them takes there.
const BLOCK: usize = 64 << 10;

/// Keys and values in few large blocks: one for each would be taken, grown, shared and given back by itself.
#[derive(Debug)]
struct Packer {
    block: BytesMut,
    /// The value that is being encoded.
    text: Vec<u8>,
    /// How many entries are to come.
    left: usize,
    alone: bool,
}

impl Packer {
    fn new(count: usize) -> Self {
        Self { block: BytesMut::new(), text: Vec::new(), left: count, alone: count == 1 }
    }

    fn entry(&mut self, key: String, value: &impl Serialize) -> Result<Entry> {
        self.text.clear();
        encode_into(&mut self.text, &key, value)?;
        let size = key.len() + self.text.len();
        if self.alone || size > BLOCK / 4 {
            let value = Bytes::from(std::mem::take(&mut self.text));
            return Ok(Entry { key: Bytes::from(key), value });
        }
        if self.block.capacity() < size {
            // Those to come are about as large as this one.
            let wanted = size.saturating_add(size / 8).saturating_mul(self.left);
            self.block = BytesMut::with_capacity(wanted.clamp(size, BLOCK));
        }
        self.left = self.left.saturating_sub(1);
        self.block.extend_from_slice(key.as_bytes());
        let key = self.block.split().freeze();
        self.block.extend_from_slice(&self.text);
        Ok(Entry { key, value: self.block.split().freeze() })
    }
}

/// A field and its value, as they are sent.
#[derive(Debug)]
struct Entry {
    key: Bytes,
    value: Bytes,
}

impl Entry {
    fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }
}

impl RedisKvStore {
    /// Puts values, or nodes, that are their JSON: no object is made of them in between.
    pub(crate) async fn put<V: Serialize + Send>(
        &self,
        collection: &str,
        entries: Vec<(String, V)>,
        options: PutOptions,
    ) -> Result<()> {
        let hash = self.hash(collection)?;
        if options.ttl.is_some() && !self.space.server.field_expiry {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "single key-values expire on Redis 7.4, Valkey 9 and later only; leave the time to live out, or \
                 update the server",
            ));
        }
        // Values are measured as they are encoded, not once more before.
        check::put(collection, &entries, &options, &KvCapabilities::new().with_ttl(true))?;
        let entries = last_of_each(entries);
        let mut packer = Packer::new(entries.len());
        let entries = entries.into_iter().map(|(key, value)| packer.entry(key, &value));
        let entries = entries.collect::<Result<Vec<Entry>>>()?;
        let mut existing = Vec::new();
        let mut sent = 0;
        for trip in cut(&entries, TRIP_KEYS, TRIP_BYTES, Entry::size) {
            sent += trip.len();
            let unsent = entries.get(sent..).unwrap_or_default();
            existing.extend(self.put_trip(&hash, trip, unsent, &options).await?);
        }
        if existing.is_empty() { Ok(()) } else { Err(check::already_exist("key", existing)) }
    }

    /// Puts what goes in one round trip; answers the keys that an insert met. `unsent` is what would come next.
    async fn put_trip<'a>(
        &self,
        hash: &Bytes,
        entries: &'a [Entry],
        unsent: &[Entry],
        options: &PutOptions,
    ) -> Result<Vec<String>> {
        let runs: Vec<&[Entry]> = cut(entries, RUN_KEYS, RUN_BYTES, Entry::size).collect();
        let failed = |error: Error, lost: &[&[Entry]]| {
            error.with_failed(lost.iter().copied().flatten().chain(unsent).map(Entry::name))
        };
        let pairs = |run: &&'a [Entry]| run.iter().flat_map(|entry| [entry.key.clone(), entry.value.clone()]);
        let answers = if options.mode == PutMode::Upsert && options.ttl.is_none() {
            let commands = runs.iter().map(|run| Cmd::write("HSET", hash.clone()).args(pairs(run)));
            self.space.pipeline(commands.collect()).await
        } else {
            let mode = if options.mode == PutMode::Insert { "insert" } else { "upsert" };
            let ttl = options.ttl.map_or(0, millis);
            let calls = runs.iter().map(|run| {
                let mut args = vec![Bytes::from_static(mode.as_bytes()), Bytes::from(ttl.to_string())];
                args.extend(pairs(run));
                (vec![hash.clone()], args)
            });
            self.space.scripts(&PUT, calls.collect()).await
        };
        let answers = answers.map_err(|error| failed(error, &runs))?;
        let (mut existing, mut lost, mut first) = (Vec::new(), Vec::new(), None);
        for (run, answer) in runs.into_iter().zip(answers) {
            match answer {
                Ok(there) => {
                    let places = items(there).into_iter().filter_map(|place| place_of(&place));
                    existing.extend(places.filter_map(|place| run.get(place)).map(Entry::name));
                }
                Err(error) => {
                    lost.push(run);
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(existing), |error| Err(failed(error, &lost)))
    }

    pub(crate) async fn delete(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        let hash = self.keyed(collection, keys)?;
        let keys = check::unique_by(keys.to_vec(), false, |key| *key);
        let (mut deleted, mut sent) = (0, 0);
        for trip in cut(&keys, TRIP_KEYS, TRIP_BYTES, |key| key.len()) {
            sent += trip.len();
            let unsent = keys.get(sent..).unwrap_or_default();
            let runs: Vec<&[&str]> = cut(trip, RUN_KEYS, RUN_BYTES, |key| key.len()).collect();
            let commands = runs.iter().map(|run| Cmd::write("HDEL", hash.clone()).args(run.iter().copied()));
            let answers = self.space.pipeline(commands.collect()).await;
            let answers = answers.map_err(|error| error.with_failed(trip.iter().chain(unsent).copied()))?;
            let (mut lost, mut first) = (Vec::new(), None);
            for (run, answer) in runs.into_iter().zip(answers) {
                let count = answer.and_then(|answer| {
                    let count = integer(&answer).and_then(|count| usize::try_from(count).ok());
                    count.ok_or_else(|| unexpected("HDEL", &answer))
                });
                match count {
                    Ok(count) => deleted += count,
                    Err(error) => {
                        lost.extend(run);
                        first.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = first {
                return Err(error.with_failed(lost.into_iter().chain(unsent).copied()));
            }
        }
        Ok(deleted)
    }
}

/// The last of the entries of each key.
fn last_of_each<V>(entries: Vec<(String, V)>) -> Vec<(String, V)> {
    let mut seen = HashSet::with_capacity(entries.len());
    // Nearly always each key is there once, and nothing has to be moved.
    if entries.iter().all(|(key, _)| seen.insert(key.as_str())) {
        return entries;
    }
    check::unique_by(entries, true, |(key, _)| key.clone())
}

/// A place that a script answers.
pub(crate) fn place_of(answer: &fred::types::Value) -> Option<usize> {
    integer(answer).and_then(|place| usize::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_core::JsonObject;

    #[test]
    fn what_is_packed_is_what_was_given() {
        for count in [1, 2, 300] {
            let mut packer = Packer::new(count);
            // Shorter and longer than the first, and too long for a block.
            let given: Vec<(String, JsonObject)> = (0..count)
                .map(|n| {
                    let text = "é\"".repeat(n * 7 % 50 * (n % 11) * 12);
                    (format!("key {n}"), JsonObject::from_iter([("v".to_owned(), text.into())]))
                })
                .collect();
            let entries: Vec<Entry> =
                given.iter().map(|(key, value)| packer.entry(key.clone(), value).unwrap()).collect();
            for ((key, value), entry) in given.iter().zip(&entries) {
                assert_eq!(entry.key, key.as_bytes());
                assert_eq!(entry.value, serde_json::to_vec(value).unwrap());
            }
        }
    }
}
