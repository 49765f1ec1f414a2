//! The search indexes of Atlas: what they declare, what they should, and whether this server has any.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::{SearchIndexModel, SearchIndexType};
use serde::{Deserialize, Deserializer};
use store_core::{Error, VectorConfig};

use super::atlas::{number, similarity};
use super::rows::REF_DOC_PATH;
use crate::error::server_code;
use crate::filter::Place;

/// How Atlas search is used, on servers that have it (Atlas, and Atlas deployments on one's own machine). The names
/// of the indexes are settings of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SearchConfig {
    /// Whether it is used at all; `false`: every query is answered by the plain server. Default `true`.
    pub enabled: bool,
    /// How many neighbours are looked at for each answer, up to 10,000 in all: more find better answers and take
    /// longer. Default 10, as in LlamaIndex.
    pub oversampling: usize,
    /// Whether every embedding is compared, instead of walking a graph of neighbours. Default `false`.
    pub exact: bool,
    /// How long [`configure`](store_core::VectorStore::configure) waits for new indexes to become queryable; zero:
    /// not at all. Default two minutes. Until then queries are answered by the plain server.
    #[serde(rename = "index_wait_secs", deserialize_with = "seconds")]
    pub index_wait: Duration,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { enabled: true, oversampling: 10, exact: false, index_wait: Duration::from_mins(2) }
    }
}

impl SearchConfig {
    /// Sets whether search is used at all.
    #[must_use]
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Sets how many neighbours are looked at for each answer.
    #[must_use]
    pub fn with_oversampling(mut self, oversampling: usize) -> Self {
        self.oversampling = oversampling;
        self
    }

    /// Sets whether every embedding is compared.
    #[must_use]
    pub fn with_exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Sets how long new indexes are waited for.
    #[must_use]
    pub fn with_index_wait(mut self, wait: Duration) -> Self {
        self.index_wait = wait;
        self
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// The definition of the index of embeddings: LlamaIndex's form, with the declared fields and the id of the source
/// document as filter fields.
pub(crate) fn vector_definition(config: &VectorConfig, path: &str) -> Document {
    let mut fields = vec![Bson::Document(doc! {
        "numDimensions": number(config.dimensions),
        "path": path,
        "similarity": similarity(config.metric),
        "type": "vector",
    })];
    let filters =
        filter_paths(config).into_iter().map(|path| Bson::from(doc! {"type": "filter", "path": path}));
    fields.extend(filters);
    doc! {"fields": fields}
}

/// The paths that queries of this store may filter by inside the index.
pub(crate) fn filter_paths(config: &VectorConfig) -> BTreeSet<String> {
    let declared = config.filterable.iter().flatten().map(|field| Place::Vectors.path(&field.key));
    declared.chain([REF_DOC_PATH.to_owned()]).collect()
}

/// The definition of the index of texts.
pub(crate) fn text_definition(path: &str) -> Document {
    doc! {"mappings": {"dynamic": false, "fields": {path: [{"type": "string"}]}}}
}

/// A new index of embeddings.
pub(crate) fn vector_model(name: &str, definition: Document) -> SearchIndexModel {
    let model = SearchIndexModel::builder().name(name.to_owned()).definition(definition);
    model.index_type(SearchIndexType::VectorSearch).build()
}

/// A new index of texts.
pub(crate) fn text_model(name: &str, definition: Document) -> SearchIndexModel {
    let model = SearchIndexModel::builder().name(name.to_owned()).definition(definition);
    model.index_type(SearchIndexType::Search).build()
}

/// An index that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundIndex {
    pub(crate) name: String,
    /// `READY`, `BUILDING`, `FAILED` and so on.
    pub(crate) status: String,
    /// Whether it answers queries; an index that is rebuilt does so with what it was before.
    pub(crate) queryable: bool,
    /// The first field of embeddings.
    pub(crate) vector: Option<VectorField>,
    /// The fields that may be filtered by.
    pub(crate) filters: BTreeSet<String>,
    /// The fields whose words are indexed.
    pub(crate) texts: BTreeSet<String>,
    /// Whether every text is indexed.
    pub(crate) dynamic: bool,
}

/// A field of embeddings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VectorField {
    pub(crate) path: String,
    pub(crate) dimensions: Option<u64>,
    /// The server's name of the metric.
    pub(crate) similarity: Option<String>,
}

impl FoundIndex {
    /// Reads an entry of `$listSearchIndexes`. `None` without a name.
    ///
    /// Definitions are of three forms: `fields` of type `vector` and `filter`; the older `mappings` with a
    /// `knnVector`; and `mappings` of texts. A member that is not known is passed over.
    pub(crate) fn read(entry: &Document) -> Option<Self> {
        let name = entry.get_str("name").ok()?.to_owned();
        let status = entry.get_str("status").unwrap_or("UNKNOWN").to_owned();
        let queryable = entry.get_bool("queryable").unwrap_or(status == "READY");
        let mut found = Self { name, status, queryable, ..Self::default() };
        let definition =
            ["latestDefinition", "definition"].iter().find_map(|name| entry.get_document(name).ok());
        let Some(definition) = definition else { return Some(found) };
        for field in definition.get_array("fields").into_iter().flatten().filter_map(Bson::as_document) {
            found.declare(field.get_str("path").unwrap_or_default(), field);
        }
        found.dynamic =
            definition.get_document("mappings").is_ok_and(|it| it.get_bool("dynamic").unwrap_or_default());
        if let Ok(fields) = definition.get_document("mappings").and_then(|it| it.get_document("fields")) {
            found.map(fields, "");
        }
        Some(found)
    }

    fn declare(&mut self, path: &str, field: &Document) {
        match field.get_str("type") {
            Ok("vector" | "knnVector") if self.vector.is_none() => {
                let dimensions = field.get("numDimensions").or_else(|| field.get("dimensions"));
                self.vector = Some(VectorField {
                    path: path.to_owned(),
                    dimensions: dimensions.and_then(count),
                    similarity: field.get_str("similarity").ok().map(str::to_owned),
                });
            }
            Ok("filter" | "token" | "number" | "boolean") => {
                self.filters.insert(path.to_owned());
            }
            Ok("string") => {
                self.texts.insert(path.to_owned());
            }
            _ => {}
        }
    }

    /// The older form: a tree of names, each with one definition or a list of them.
    fn map(&mut self, fields: &Document, prefix: &str) {
        for (name, definition) in fields {
            let path = format!("{prefix}{name}");
            let definitions = match definition {
                Bson::Array(several) => several.iter().filter_map(Bson::as_document).collect(),
                one => Vec::from_iter(one.as_document()),
            };
            for definition in definitions {
                self.declare(&path, definition);
                if let Ok(inner) = definition.get_document("fields") {
                    self.map(inner, &format!("{path}."));
                }
            }
        }
    }

    /// What makes it unfit to answer queries by vector of a store, in words; empty when it is fit.
    pub(crate) fn differences(&self, config: &VectorConfig, path: &str) -> Vec<String> {
        let Some(vector) = &self.vector else {
            return vec!["it declares no field of embeddings".to_owned()];
        };
        let mut differences = Vec::new();
        let mut differs = |what: &str, found: &dyn fmt::Display, wanted: &dyn fmt::Display| {
            differences.push(format!("{what}: {found} in the index, {wanted} in the store"));
        };
        if vector.path != path {
            differs("field", &vector.path, &path);
        }
        if let Some(dimensions) = vector.dimensions
            && dimensions != config.dimensions as u64
        {
            differs("dimensions", &dimensions, &config.dimensions);
        }
        if let Some(metric) = &vector.similarity
            && metric != similarity(config.metric)
        {
            differs("metric", metric, &similarity(config.metric));
        }
        differences
    }

    /// Whether it finds words in this field.
    pub(crate) fn has_words_of(&self, path: &str) -> bool {
        self.dynamic || self.texts.contains(path)
    }

    /// The fields that the store wants to filter by and the index does not declare.
    pub(crate) fn missing_filters(&self, config: &VectorConfig) -> Vec<String> {
        filter_paths(config).difference(&self.filters).cloned().collect()
    }
}

fn count(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(count) => u64::try_from(*count).ok(),
        Bson::Int64(count) => u64::try_from(*count).ok(),
        Bson::Double(count) if *count >= 0.0 && count.fract() == 0.0 => format!("{count}").parse().ok(),
        _ => None,
    }
}

/// The error of an index that can not serve the store.
pub(crate) fn unfit(index: &FoundIndex, differences: &[String]) -> Error {
    Error::config(format!(
        "the search index {:?} does not fit the store ({}); drop it to have it made anew, or name another with \
         search.vector_index",
        index.name,
        differences.join("; ")
    ))
}

/// Whether by this error a server says that it has no search: stages and commands that it does not know (59, 40324),
/// or knows and refuses outside Atlas (115, 31082, 6047401).
pub(crate) fn no_search(error: &Error) -> bool {
    server_code(error).is_some_and(|code| [59, 115, 31_082, 40_324, 6_047_401].contains(&code))
}

/// Whether the server refused a command, in contrast to not being reached or having no time for it.
pub(crate) fn refused(error: &Error) -> bool {
    server_code(error).is_some() && !error.is_retryable()
}

#[cfg(test)]
#[path = "search_index_tests.rs"]
mod tests;
