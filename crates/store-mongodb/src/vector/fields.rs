//! Questions about metadata fields, answered by aggregation.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use store_core::kit::{check, field_values};
use store_core::{
    Condition, DistinctOptions, DistinctValues, FieldKind, Filter, Result, Selector, VectorFields,
};

use super::rows::METADATA;
use super::select::Selected;
use super::{MongoVectorStore, QUERIES};
use crate::codec::to_json;
use crate::error::at;
use crate::filter::{HIDDEN, Place, RESERVED, spelled_back};

/// The server's names of the types whose values are scalars.
const SCALARS: [&str; 6] = ["bool", "int", "long", "double", "decimal", "string"];

impl MongoVectorStore {
    /// The match of a selector, of a store that is configured.
    async fn asked(&self, selector: &Selector) -> Result<Document> {
        self.configured().await?;
        check::valid_selector(selector)?;
        self.matches(Selected::of(selector)?).await
    }

    async fn rows(&self, stages: Vec<Document>) -> Result<Vec<RawDocumentBuf>> {
        let mut cursor = self.aggregate(stages).await?;
        let mut rows = Vec::new();
        while let Some(row) = self.space.call(cursor.try_next()).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    async fn scalars(&self, matches: Document, key: &str) -> Result<Vec<Value>> {
        let rows = self.rows(scalars(matches, key)?).await?;
        let mut values = Vec::with_capacity(rows.len());
        for row in &rows {
            values.extend(to_json(row)?.shift_remove("value"));
        }
        values.sort_by(field_values::compare);
        Ok(values)
    }
}

/// One row for each different scalar of a field. The server finds `1` and `1.0` equal, we do not.
fn scalars(matches: Document, key: &str) -> Result<Vec<Document>> {
    let any = Filter::Field { key: key.to_owned(), condition: Condition::Exists(true) };
    any.validate()?;
    let float = doc! {"$eq": [{"$type": "$value"}, "double"]};
    Ok(vec![
        doc! {"$match": matches},
        doc! {"$project": {"_id": 0, "value": Place::Vectors.expression(key)}},
        doc! {"$match": {"$expr": {"$in": [{"$type": "$value"}, SCALARS.as_slice()]}}},
        doc! {"$group": {"_id": {"float": float, "value": "$value"}}},
        doc! {"$project": {"_id": 0, "value": "$_id.value"}},
    ])
}

#[async_trait]
impl VectorFields for MongoVectorStore {
    async fn distinct(
        &self,
        key: &str,
        selector: &Selector,
        options: DistinctOptions,
    ) -> Result<DistinctValues> {
        let distinct = async {
            let values = self.scalars(self.asked(selector).await?, key).await?;
            Ok(field_values::page(values, &options))
        };
        distinct.await.map_err(at("vectors.distinct"))
    }

    async fn count_distinct(&self, keys: &[&str], selector: &Selector) -> Result<Vec<usize>> {
        let count = async {
            let matches = self.asked(selector).await?;
            let counts: Vec<_> = keys
                .iter()
                .map(|key| {
                    let matches = matches.clone();
                    async move {
                        let mut stages = scalars(matches, key)?;
                        stages.push(doc! {"$count": "count"});
                        let rows = self.rows(stages).await?;
                        let count = rows.first().and_then(|row| row.get_i32("count").ok());
                        Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
                    }
                })
                .collect();
            stream::iter(counts).buffered(QUERIES).try_collect().await
        };
        count.await.map_err(at("vectors.count_distinct"))
    }

    async fn min_max(&self, key: &str, selector: &Selector) -> Result<Option<(Value, Value)>> {
        let ends = async {
            let mut stages = scalars(self.asked(selector).await?, key)?;
            stages.truncate(3);
            stages.push(doc! {"$match": {"$expr": {"$ne": [{"$type": "$value"}, "bool"]}}});
            // Numbers are before texts in the server's order, too.
            stages.push(doc! {"$group": {
                "_id": null,
                "least": {"$min": "$value"},
                "greatest": {"$max": "$value"},
            }});
            let Some(row) = self.rows(stages).await?.into_iter().next() else { return Ok(None) };
            let mut row = to_json(&row)?;
            Ok(row.shift_remove("least").zip(row.shift_remove("greatest")))
        };
        ends.await.map_err(at("vectors.min_max"))
    }

    async fn field_info(&self) -> Result<Vec<(String, FieldKind)>> {
        let info = async {
            self.configured().await?;
            let members = |path: &str| doc! {"$objectToArray": {"$ifNull": [format!("${path}"), {}]}};
            let ours = doc! {"$in": ["$$member.k", RESERVED.as_slice()]};
            let own =
                doc! {"$filter": {"input": members(METADATA), "as": "member", "cond": {"$not": [ours]}}};
            let rows = self.rows(vec![
                doc! {"$project": {"_id": 0, "member": {"$concatArrays": [own, members(HIDDEN)]}}},
                doc! {"$unwind": "$member"},
                doc! {"$group": {"_id": {"name": "$member.k", "type": {"$type": "$member.v"}}}},
            ]);
            let mut kinds: BTreeMap<String, FieldKind> = BTreeMap::new();
            for row in rows.await? {
                let row = to_json(&row)?;
                let text = |name: &str| row.get("_id").and_then(|id| id.get(name)).and_then(Value::as_str);
                let (Some(name), Some(kind)) = (text("name"), text("type").and_then(kind)) else { continue };
                let known = kinds.entry(spelled_back(name)).or_insert(kind);
                if *known != kind {
                    *known = FieldKind::Mixed;
                }
            }
            Ok(kinds.into_iter().collect())
        };
        info.await.map_err(at("vectors.field_info"))
    }
}

/// The kind that values of a type have once they are read; `None` for null.
fn kind(server_type: &str) -> Option<FieldKind> {
    Some(match server_type {
        "null" | "undefined" | "missing" => return None,
        "bool" => FieldKind::Bool,
        "int" | "long" | "decimal" => FieldKind::Integer,
        "double" => FieldKind::Float,
        "array" => FieldKind::List,
        "object" => FieldKind::Object,
        _ => FieldKind::Text,
    })
}
