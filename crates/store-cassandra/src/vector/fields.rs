//! Questions about metadata fields, answered from the metadata of what is selected, which is read in pages.

use async_trait::async_trait;
use serde_json::Value;
use store_core::field_values::{self, FieldKinds, ScalarValues};
use store_core::filter::lookup;
use store_core::{
    Condition, DistinctOptions, DistinctValues, FieldKind, Filter, JsonObject, Result, Selector,
    VectorFields, check,
};

use super::CassandraVectorStore;
use crate::error::at;

impl CassandraVectorStore {
    /// Shows the metadata of everything that is selected.
    async fn each_metadata(
        &self,
        selector: &Selector,
        mut show: impl FnMut(&JsonObject) + Send,
    ) -> Result<()> {
        let ready = self.set.configured().await?;
        check::valid_selector(selector)?;
        self.each_selected(&ready, selector, |node| show(&node.metadata)).await
    }

    /// The different scalars of each field, in order.
    async fn scalars(&self, keys: &[&str], selector: &Selector) -> Result<Vec<Vec<Value>>> {
        self.set.configured().await?;
        for key in keys {
            Filter::Field { key: (*key).to_owned(), condition: Condition::Exists(true) }.validate()?;
        }
        let mut values: Vec<ScalarValues> = keys.iter().map(|_| ScalarValues::default()).collect();
        let look = |metadata: &JsonObject| {
            for (key, values) in keys.iter().zip(&mut values) {
                if let Some(value) = lookup(metadata, key) {
                    values.add(value);
                }
            }
        };
        self.each_metadata(selector, look).await?;
        Ok(values.into_iter().map(ScalarValues::into_sorted).collect())
    }
}

#[async_trait]
impl VectorFields for CassandraVectorStore {
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
        let mut kinds = FieldKinds::default();
        let look = |metadata: &JsonObject| kinds.add(metadata);
        self.each_metadata(&Selector::all(), look).await.map_err(at("vectors.field_info"))?;
        Ok(kinds.into_sorted())
    }
}
