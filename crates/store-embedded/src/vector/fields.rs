//! Questions about metadata fields, answered from the metadata index.

use std::cmp::Ordering;

use async_trait::async_trait;
use serde_json::Value;
use store_core::kit::{check, field_values};
use store_core::{DistinctOptions, DistinctValues, FieldKind, Result, Selector, VectorFields};

use super::filter::Index;
use super::{EmbeddedVectorStore, rows};
use crate::error::at;

const KINDS: [FieldKind; 6] = [
    FieldKind::Text,
    FieldKind::Integer,
    FieldKind::Float,
    FieldKind::Bool,
    FieldKind::List,
    FieldKind::Object,
];

/// A kind as it is stored: its place in a list that only grows.
pub(super) fn kind_byte(kind: FieldKind) -> u8 {
    let place = KINDS.iter().position(|known| *known == kind).unwrap_or_default();
    u8::try_from(place).unwrap_or_default()
}

/// The different scalars of a field, in the order of `distinct`.
fn scalars(index: &Index<'_>, key: &str, selector: &Selector) -> Result<Vec<Value>> {
    let selected = index.select(selector)?;
    let mut values = Vec::new();
    index.scalars(key, selected.as_ref(), |value| values.push(value))?;
    values.sort_by(field_values::compare);
    values.dedup_by(|a, b| field_values::compare(a, b) == Ordering::Equal);
    Ok(values)
}

impl EmbeddedVectorStore {
    async fn with_index<T, F>(&self, operation: &'static str, selector: &Selector, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Index<'_>, &Selector) -> Result<T> + Send + 'static,
    {
        let selector = selector.clone();
        let read = self.handle.read(move |tx, tables| {
            rows::configured(&tx.table(&tables.vector_meta)?)?;
            check::valid_selector(&selector)?;
            super::with_index(tx, tables, |index| work(index, &selector))
        });
        read.await.map_err(at(operation))
    }
}

#[async_trait]
impl VectorFields for EmbeddedVectorStore {
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues> {
        let key = key.to_owned();
        self.with_index("vectors.distinct", selector, move |index, selector| {
            Ok(field_values::page(scalars(index, &key, selector)?, &options))
        })
        .await
    }

    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.with_index("vectors.count_distinct", selector, move |index, selector| {
            keys.iter().map(|key| Ok(scalars(index, key, selector)?.len())).collect()
        })
        .await
    }

    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>> {
        let key = key.to_owned();
        self.with_index("vectors.min_max", selector, move |index, selector| {
            Ok(field_values::least_and_greatest(scalars(index, &key, selector)?))
        })
        .await
    }

    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>> {
        let read = self.handle.read(|tx, tables| {
            rows::configured(&tx.table(&tables.vector_meta)?)?;
            rows::field_kinds(&tx.table(&tables.vector_fields)?)
        });
        let mut fields: Vec<(String, FieldKind)> = Vec::new();
        for (name, kind) in read.await.map_err(at("vectors.field_info"))? {
            let kind = KINDS.get(usize::from(kind)).copied().unwrap_or(FieldKind::Mixed);
            match fields.last_mut().filter(|(last, _)| *last == name) {
                Some((_, known)) => *known = FieldKind::Mixed,
                None => fields.push((name, kind)),
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back() {
        for kind in KINDS {
            assert_eq!(KINDS[usize::from(kind_byte(kind))], kind);
        }
    }
}
