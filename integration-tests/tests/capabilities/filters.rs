//! Who answers which filter, by the plans of the stores.

use nodestore::{FieldType, Filter, FilterableField, Metric, VectorConfig, VectorQuery};

use crate::Outcome;
use crate::stores::Store;
use crate::tables::Rows;

/// `year` is declared when the vectors are configured, the others are not.
const DECLARED: &str = "year";

const FILTERS: [&str; 20] = [
    r#"kind == "a""#,
    r#"kind != "a""#,
    r#"kind in ["a", "b"]"#,
    r#"kind not in ["a", "b"]"#,
    "size == 3",
    "draft == true",
    "year > 2020",
    "year between 2020 and 2024",
    "size > 3",
    r#"kind > "a""#,
    "at >= @2024-05-01",
    r#"tags contains "a""#,
    r#"tags contains any ["a", "b"]"#,
    r#"tags contains all ["a", "b"]"#,
    r#"title matches "owl""#,
    r#"title imatches "owl""#,
    "kind exists",
    "kind is empty",
    r#"author.name == "x""#,
    r#"kind == "a" or not size == 3"#,
];

/// How the store answers each filter: all by itself, or with the rest held against what it found.
pub(crate) async fn answered(store: &Store) -> Outcome<Rows> {
    let vectors = store.vectors()?;
    let year = FilterableField { key: DECLARED.to_owned(), field_type: FieldType::Integer };
    vectors.configure(VectorConfig::new(2, Metric::Cosine).with_filterable([year])).await?;
    let mut rows = Rows::new();
    for text in FILTERS {
        let query = VectorQuery::dense(vec![0.6, 0.8], 3).with_selector(Filter::parse(text)?);
        let plan = vectors.explain(&query).await?;
        let how = if plan.applied_after.is_some() { "here" } else { "whole" };
        rows.push((format!("`{text}`"), how.to_owned()));
    }
    Ok(rows)
}
