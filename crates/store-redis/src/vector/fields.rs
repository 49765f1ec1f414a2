//! Questions about metadata fields, answered from the metadata of what is selected, which is read in parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use serde_json::Value;
use store_core::filter::lookup;
use store_core::{
    Condition, DistinctOptions, DistinctValues, FieldKind, Filter, JsonObject, Result, Selector,
    VectorConfig, VectorFields, check, field_values,
};

use super::RedisVectorStore;
use super::rows::Keep;
use super::set::selects;
use crate::error::at;

/// Values that are held before equal ones are looked for.
const UNSORTED: usize = 4_096;

/// The different values of one field.
#[derive(Debug, Default)]
struct Values {
    /// In order, each once.
    sorted: Vec<Value>,
    new: Vec<Value>,
}

impl Values {
    fn add(&mut self, value: &Value) {
        if matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_)) {
            self.new.push(value.clone());
            if self.new.len() >= UNSORTED.max(self.sorted.len()) {
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        self.sorted.append(&mut self.new);
        self.sorted.sort_by(field_values::compare);
        self.sorted.dedup_by(|left, right| field_values::compare(left, right).is_eq());
    }

    fn finish(mut self) -> Vec<Value> {
        self.settle();
        self.sorted
    }
}

impl RedisVectorStore {
    /// Shows the metadata of everything that is selected.
    async fn each_metadata(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
        mut show: impl FnMut(&JsonObject) + Send,
    ) -> Result<()> {
        let mut parts = self.candidates(config, selector);
        while let Some(part) = parts.try_next().await? {
            for node in self.set.read(&part.ids, Keep::NODE).await?.into_iter().flatten() {
                if selects(selector, &node) {
                    show(&node.metadata);
                }
            }
        }
        Ok(())
    }

    /// The different scalars of each field, in order.
    async fn scalars(&self, keys: &[&str], selector: &Selector) -> Result<Vec<Vec<Value>>> {
        let config = self.configured().await?;
        check::valid_selector(selector)?;
        for key in keys {
            Filter::Field { key: (*key).to_owned(), condition: Condition::Exists(true) }.validate()?;
        }
        let mut values: Vec<Values> = keys.iter().map(|_| Values::default()).collect();
        let look = |metadata: &JsonObject| {
            for (key, values) in keys.iter().zip(&mut values) {
                if let Some(value) = lookup(metadata, key) {
                    values.add(value);
                }
            }
        };
        self.each_metadata(&config, selector, look).await?;
        Ok(values.into_iter().map(Values::finish).collect())
    }
}

#[async_trait]
impl VectorFields for RedisVectorStore {
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues> {
        let values = self.scalars(&[key], selector).await.map_err(at("vectors.distinct"))?;
        Ok(field_values::page(values.into_iter().next().unwrap_or_default(), &options))
    }

    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>> {
        let values = self.scalars(keys, selector).await.map_err(at("vectors.count_distinct"))?;
        Ok(values.iter().map(Vec::len).collect())
    }

    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>> {
        let values = self.scalars(&[key], selector).await.map_err(at("vectors.min_max"))?;
        Ok(values.into_iter().next().and_then(field_values::least_and_greatest))
    }

    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>> {
        let info = async {
            let config = self.configured().await?;
            let mut kinds: BTreeMap<String, FieldKind> = BTreeMap::new();
            let look = |metadata: &JsonObject| {
                for (key, value) in metadata {
                    let Some(kind) = field_values::kind_of(value) else { continue };
                    match kinds.get_mut(key) {
                        Some(known) if *known != kind => *known = FieldKind::Mixed,
                        Some(_) => {}
                        None => {
                            kinds.insert(key.clone(), kind);
                        }
                    }
                }
            };
            self.each_metadata(&config, &Selector::all(), look).await?;
            Ok(kinds.into_iter().collect())
        };
        info.await.map_err(at("vectors.field_info"))
    }
}
