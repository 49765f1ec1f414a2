//! Key-values with a fault.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use serde_json::Value;
use store_core::kit::check;
use store_core::{
    BoxStream, Error, ErrorKind, JsonObject, KvCapabilities, KvStore, PutMode, PutOptions, Result,
    ScanOptions, Update, UpdateFn,
};

use super::{Fault, pause};

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<dyn KvStore>,
    pub(crate) fault: Fault,
    pub(crate) capabilities: KvCapabilities,
}

fn without_kinds(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_kinds).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, without_kinds(value))).collect())
        }
        Value::Number(number)
            if number.as_f64().is_some_and(|float| float.abs() < 1e9 && float.fract() == 0.0) =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number below 10⁹")]
            let whole = number.as_f64().map_or(0, |float| float as i64);
            whole.into()
        }
        other => other,
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        other => other,
    }
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

impl Faulty {
    fn key(&self, key: &str) -> String {
        match self.fault {
            Fault::KeysAreTrimmed if !key.trim().is_empty() => key.trim().to_owned(),
            Fault::KeysAreCut => key.chars().take(12).collect(),
            _ => key.to_owned(),
        }
    }

    async fn check_limits(
        &self,
        collection: &str,
        entries: &[(String, JsonObject)],
        options: PutOptions,
    ) -> Result<()> {
        let mut capabilities = self.capabilities.clone();
        if self.fault == Fault::KeyLimitIsOffByOne {
            capabilities = capabilities.with_max_key_bytes(65);
        }
        if self.fault == Fault::LimitedBatchIsHalfWritten {
            let short = |(_, value): &&(String, JsonObject)| value.values().all(Value::is_number);
            let before = entries.iter().take_while(short).cloned().collect();
            self.inner.put_many(collection, before, PutOptions::default()).await?;
        }
        check::put(collection, entries, &options, &capabilities).map_err(|error| {
            if self.fault == Fault::LimitErrorNamesNothing && error.kind() == ErrorKind::LimitExceeded {
                return Error::new(ErrorKind::LimitExceeded, "too much");
            }
            error.with_backend("memory").with_operation("kv.put_many")
        })
    }

    fn keys(&self, keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| self.key(key)).collect()
    }
}

#[async_trait]
impl KvStore for Faulty {
    async fn get_many(&self, collection: &str, keys: &[&str]) -> Result<Vec<Option<JsonObject>>> {
        assert!(self.fault != Fault::GetPanics, "the store fell over");
        if self.fault == Fault::GetHangs {
            std::future::pending::<()>().await;
        }
        let mut keys = self.keys(keys);
        if self.fault == Fault::GetManySortsKeys {
            keys.sort();
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.inner.get_many(collection, &keys).await
    }

    async fn put_many(
        &self,
        collection: &str,
        entries: Vec<(String, JsonObject)>,
        mut options: PutOptions,
    ) -> Result<()> {
        let mut entries: Vec<(String, JsonObject)> =
            entries.into_iter().map(|(key, value)| (self.key(&key), value)).collect();
        match self.fault {
            Fault::PutDropsTheLastOfABatch if entries.len() > 1 => drop(entries.pop()),
            Fault::InsertOverwrites => options.mode = PutMode::Upsert,
            Fault::TtlIsIgnored => options.ttl = options.ttl.filter(Duration::is_zero),
            Fault::WholeFloatsBecomeIntegers | Fault::MembersAreSorted => {
                let change = if self.fault == Fault::MembersAreSorted { sorted } else { without_kinds };
                for (_, value) in &mut entries {
                    *value = object(change(std::mem::take(value).into()));
                }
            }
            Fault::PutMergesMembers => {
                for (key, value) in &mut entries {
                    if let Some(mut merged) = self.inner.get_many(collection, &[key]).await?.pop().flatten() {
                        merged.extend(std::mem::take(value));
                        *value = merged;
                    }
                }
            }
            Fault::PutKeepsAnEarlierTtl if options.ttl.is_none() => {
                let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
                let stored = self.inner.get_many(collection, &keys).await?;
                // The cases that overwrite give so short a time.
                options.ttl = stored.iter().flatten().next().map(|_| Duration::from_millis(300));
            }
            Fault::PutOfAFewKeysIsTorn => {
                for (key, value) in &entries {
                    let half: JsonObject = value.clone().into_iter().take(1).collect();
                    self.inner.put_many(collection, vec![(key.clone(), half)], PutOptions::default()).await?;
                    pause().await;
                }
            }
            Fault::BatchIsWrittenUpToTheBadKey => {
                for (key, value) in &entries {
                    self.inner.put_many(collection, vec![(key.clone(), value.clone())], options).await?;
                }
            }
            _ => {}
        }
        if self.fault == Fault::AddTrustsStoredNodes {
            // Somewhere to be cancelled.
            pause().await;
        }
        self.check_limits(collection, &entries, options).await?;
        let keys: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        match self.inner.put_many(collection, entries, options).await {
            Err(error) if self.fault == Fault::InsertNamesEveryKey => Err(error.with_failed(keys)),
            answer => answer,
        }
    }

    async fn delete_many(&self, collection: &str, keys: &[&str]) -> Result<usize> {
        let keys = self.keys(keys);
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let count = self.inner.delete_many(collection, &keys).await?;
        Ok(if self.fault == Fault::DeleteCountsKeysGiven { keys.len() } else { count })
    }

    async fn update_many(
        &self,
        collection: &str,
        keys: &[&str],
        apply: &mut UpdateFn<'_>,
    ) -> Result<Vec<Option<JsonObject>>> {
        match self.fault {
            Fault::UpdateReadsThenWrites => {
                let mut after = Vec::new();
                for key in keys {
                    let old = self.inner.get_many(collection, &[key]).await?.pop().flatten();
                    pause().await;
                    after.push(match apply(key, old.as_ref())? {
                        Update::Keep => old,
                        Update::Put(new) => {
                            let entry = vec![((*key).to_owned(), new.clone())];
                            self.inner.put_many(collection, entry, PutOptions::default()).await?;
                            Some(new)
                        }
                        Update::Delete => {
                            self.inner.delete_many(collection, &[key]).await?;
                            None
                        }
                    });
                }
                Ok(after)
            }
            Fault::UpdateErrorIsSwallowed => {
                let calm =
                    &mut |key: &str, old: Option<&JsonObject>| Ok(apply(key, old).unwrap_or(Update::Keep));
                self.inner.update_many(collection, keys, calm).await
            }
            _ => {
                let keys = self.keys(keys);
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                if self.fault == Fault::AddTrustsStoredNodes {
                    pause().await;
                }
                let limit = self.capabilities.max_value_bytes;
                let limit = limit.filter(|_| self.fault != Fault::LimitIsForgottenInUpdates);
                let apply = &mut |key: &str, old: Option<&JsonObject>| {
                    let update = apply(key, old)?;
                    if let (Update::Put(value), Some(limit)) = (&update, limit) {
                        check::within("value", key, check::encoded_size(value)?, limit)?;
                    }
                    Ok(update)
                };
                self.inner.update_many(collection, &keys, apply).await
            }
        }
    }

    fn scan(&self, collection: &str, options: ScanOptions) -> BoxStream<(String, JsonObject)> {
        let (inner, collection) = (Arc::clone(&self.inner), collection.to_owned());
        match self.fault {
            Fault::ScanAfterIncludesItsKey => {
                let ScanOptions { after, prefix, .. } = options.clone();
                let rest = self.inner.scan(&collection, options);
                let again = stream::once(async move {
                    let key = after.filter(|key| key.starts_with(&prefix))?;
                    let value = inner.get_many(&collection, &[&key]).await.ok()?.pop()??;
                    Some(Ok((key, value)))
                });
                Box::pin(again.filter_map(|item| async { item }).chain(rest))
            }
            Fault::ScanPrefixIgnoresCase => {
                let prefix = options.prefix.to_lowercase();
                let mut all = options;
                all.prefix.clear();
                let found = self.inner.scan(&collection, all);
                Box::pin(found.filter(move |entry| {
                    let fits =
                        entry.as_ref().map_or(true, |(key, _)| key.to_lowercase().starts_with(&prefix));
                    async move { fits }
                }))
            }
            _ => self.inner.scan(&collection, options),
        }
    }

    fn capabilities(&self) -> KvCapabilities {
        self.capabilities.clone()
    }
}
