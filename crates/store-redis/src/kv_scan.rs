//! Reading a whole collection of key-values, in the order of the keys.

use std::collections::HashMap;
use std::vec::IntoIter;

use bytes::Bytes;
use store_core::{JsonObject, Result, ScanOptions};

use crate::driver::{Cmd, bytes, items};
use crate::kv::{RUN_KEYS, RedisKvStore, decode};
use crate::schema::begins_with;

/// Bytes of values that one step should read.
const STEP_BYTES: usize = 1 << 20;
/// Keys in the first step, when nothing is known of their values.
const FIRST_KEYS: usize = 32;
/// Bytes of values that are kept while the names are listed, so that a small collection is read once only.
const KEPT_BYTES: usize = 4 << 20;

/// A scan under way.
#[derive(Debug)]
pub(crate) struct Scan {
    store: RedisKvStore,
    hash: Bytes,
    options: ScanOptions,
    pace: Pace,
    /// The names still to come, in order; `None` until they are listed.
    names: Option<IntoIter<String>>,
    /// Values that came with the names.
    kept: HashMap<String, Bytes>,
    batch: IntoIter<(String, Bytes)>,
}

impl Scan {
    pub(crate) fn new(store: RedisKvStore, hash: Bytes, options: ScanOptions) -> Self {
        let pace = Pace { keys: FIRST_KEYS };
        let (kept, batch) = (HashMap::new(), Vec::new().into_iter());
        Self { store, hash, options, pace, names: None, kept, batch }
    }

    /// The next entry; `Unavailable` once the store is closed.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, JsonObject)>> {
        loop {
            self.store.space.driver()?;
            if let Some((key, value)) = self.batch.next() {
                let value = decode(&key, &value)?;
                return Ok(Some((key, value)));
            }
            if self.names.is_none() {
                self.names = Some(self.list().await?.into_iter());
            }
            let names: Vec<String> = self.names.iter_mut().flatten().take(self.pace.keys).collect();
            if names.is_empty() {
                return Ok(None);
            }
            self.batch = self.values(names).await?.into_iter();
        }
    }

    /// The names and values of a batch; what is gone by now is left out.
    async fn values(&mut self, names: Vec<String>) -> Result<Vec<(String, Bytes)>> {
        if !self.kept.is_empty() {
            let kept =
                names.into_iter().filter_map(|name| self.kept.remove(&name).map(|value| (name, value)));
            return Ok(kept.collect());
        }
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let values = self.store.read(&self.hash, &keys, false).await?;
        self.pace.learn(keys.len(), values.iter().flatten().map(Bytes::len).sum());
        Ok(names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// The names of all fields that are asked for, in order. HSCAN gives one twice if the hash changes, and each one
    /// that is there all the time.
    async fn list(&mut self) -> Result<Vec<String>> {
        let (mut names, mut kept_bytes, mut keep) = (Vec::new(), 0, true);
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let only_names = !keep && self.store.space.server.field_expiry;
            // A cursor says nothing to another node.
            let mut step = Cmd::read("HSCAN", self.hash.clone()).arg(cursor).at_primary();
            if !self.options.prefix.is_empty() {
                step = step.arg("MATCH").arg(begins_with(&self.options.prefix));
            }
            let count = if only_names { RUN_KEYS } else { self.pace.keys };
            step = step.arg("COUNT").arg(i64::try_from(count).unwrap_or(i64::MAX));
            if only_names {
                step = step.arg("NOVALUES");
            }
            let mut answer = items(self.store.space.call(step).await?).into_iter();
            cursor = answer.next().and_then(bytes).unwrap_or_else(|| Bytes::from_static(b"0"));
            let mut fields = answer.next().map(items).unwrap_or_default().into_iter().map(bytes);
            let (mut seen, mut step_bytes) = (0, 0);
            while let Some(name) = fields.next() {
                let value = if only_names { None } else { fields.next().flatten() };
                seen += 1;
                step_bytes += value.as_ref().map_or(0, Bytes::len);
                let Some(name) = name.and_then(|name| String::from_utf8(name.into()).ok()) else { continue };
                if !self.wants(&name) {
                    continue;
                }
                if let Some(value) = value.filter(|_| keep) {
                    kept_bytes += value.len();
                    self.kept.insert(name.clone(), value);
                }
                names.push(name);
            }
            if !only_names {
                self.pace.learn(seen, step_bytes);
            }
            if kept_bytes > KEPT_BYTES {
                keep = false;
                self.kept.clear();
                kept_bytes = 0;
            }
            if cursor.as_ref() == b"0" {
                break;
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn wants(&self, name: &str) -> bool {
        name.starts_with(&self.options.prefix)
            && self.options.after.as_deref().is_none_or(|after| name > after)
    }
}

/// How many keys a step should ask for, by what the last one brought.
#[derive(Debug)]
struct Pace {
    keys: usize,
}

impl Pace {
    fn learn(&mut self, keys: usize, bytes: usize) {
        if keys > 0 {
            let each = bytes.div_ceil(keys).max(1);
            self.keys = (STEP_BYTES / each).clamp(1, RUN_KEYS);
        }
    }
}
