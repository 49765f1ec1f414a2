//! LlamaIndex's `VectorStoreQuery`, and its conversion into ours at the edge.

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    Embedding, Error, ErrorKind, Filter, NodeId, QueryKind, RefDocId, Result, Selector, VectorQuery,
};

/// LlamaIndex's query of a vector store, with its names and defaults; JSON members may be absent, unknown ones are
/// refused.
///
/// `VectorQuery::try_from` turns it into ours:
///
/// ```
/// use store_core::{QueryKind, VectorQuery, VectorStoreQuery};
/// let query: VectorStoreQuery = serde_json::from_str(
///     r#"{"query_embedding": [1.0, 0.0], "query_str": "fast boats", "mode": "hybrid", "similarity_top_k": 5,
///         "alpha": 0, "doc_ids": ["manual"],
///         "filters": {"filters": [{"key": "year", "operator": ">", "value": 2020}], "condition": "and"}}"#,
/// ).unwrap();
/// let query = VectorQuery::try_from(query)?;
/// assert_eq!(query.top_k, 5);
/// assert_eq!(query.kind, QueryKind::Hybrid { embedding: vec![1.0, 0.0], text: "fast boats".into(), alpha: 0.0 });
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorStoreQuery {
    /// The query's embedding, for every mode but the ones by words alone.
    pub query_embedding: Option<Embedding>,
    /// Most answers; default 1.
    pub similarity_top_k: usize,
    /// Only nodes of these source documents; an empty list selects nothing.
    pub doc_ids: Option<Vec<RefDocId>>,
    /// Only these nodes; an empty list selects nothing.
    pub node_ids: Option<Vec<NodeId>>,
    /// The query's text, for the modes that search by words.
    pub query_str: Option<String>,
    /// Columns to answer. Our stores answer whole nodes; `embedding` among them asks for the embeddings too.
    pub output_fields: Option<Vec<String>>,
    /// Another vector column to search. Our stores have one, so that only absent is supported.
    pub embedding_field: Option<String>,
    /// What sort of search; default [`VectorStoreQueryMode::Default`].
    pub mode: VectorStoreQueryMode,
    /// Weight of the vectors in a hybrid search, from 0 (words only) to 1 (vectors only); absent = 0.5.
    pub alpha: Option<f64>,
    /// Only nodes whose metadata matches.
    #[serde(serialize_with = "as_group")]
    pub filters: Option<Filter>,
    /// Weight of relevance against novelty in an MMR search, 0 to 1; absent = 0.5.
    pub mmr_threshold: Option<f64>,
    /// Most answers of a search by words, instead of `similarity_top_k`.
    pub sparse_top_k: Option<usize>,
    /// Most answers of a hybrid search, instead of `similarity_top_k`.
    pub hybrid_top_k: Option<usize>,
}

impl Default for VectorStoreQuery {
    fn default() -> Self {
        Self {
            query_embedding: None,
            similarity_top_k: 1,
            doc_ids: None,
            node_ids: None,
            query_str: None,
            output_fields: None,
            embedding_field: None,
            mode: VectorStoreQueryMode::Default,
            alpha: None,
            filters: None,
            mmr_threshold: None,
            sparse_top_k: None,
            hybrid_top_k: None,
        }
    }
}

/// What sort of search a [`VectorStoreQuery`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VectorStoreQueryMode {
    /// Nearest by embedding: [`QueryKind::Dense`].
    #[default]
    Default,
    /// By words: [`QueryKind::Text`].
    Sparse,
    /// By embedding and words: [`QueryKind::Hybrid`].
    Hybrid,
    /// By words: [`QueryKind::Text`].
    TextSearch,
    /// A service's own re-ranking; unsupported.
    SemanticHybrid,
    /// A learner over all embeddings; unsupported.
    Svm,
    /// A learner over all embeddings; unsupported.
    LogisticRegression,
    /// A learner over all embeddings; unsupported.
    LinearRegression,
    /// Maximal marginal relevance: [`QueryKind::Mmr`].
    Mmr,
}

impl VectorStoreQueryMode {
    /// LlamaIndex's name of the mode: `text_search`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Sparse => "sparse",
            Self::Hybrid => "hybrid",
            Self::TextSearch => "text_search",
            Self::SemanticHybrid => "semantic_hybrid",
            Self::Svm => "svm",
            Self::LogisticRegression => "logistic_regression",
            Self::LinearRegression => "linear_regression",
            Self::Mmr => "mmr",
        }
    }
}

/// `MetadataFilters` is always a group in Python.
#[expect(clippy::ref_option, reason = "serde passes the field so")]
fn as_group<S: Serializer>(filters: &Option<Filter>, serializer: S) -> Result<S::Ok, S::Error> {
    match filters {
        Some(Filter::Field { .. }) => Filter::all(filters.clone()).serialize(serializer),
        filters => filters.serialize(serializer),
    }
}

/// An `alpha` of 0 stays 0, words only (some Python stores read it as 0.5).
///
/// `InvalidInput` when the mode's embedding or text is missing; `Unsupported` for the modes that no store of ours
/// offers and for an `embedding_field`.
impl TryFrom<VectorStoreQuery> for VectorQuery {
    type Error = Error;

    fn try_from(query: VectorStoreQuery) -> Result<Self> {
        use VectorStoreQueryMode as Mode;

        let mode = query.mode;
        if let Some(field) = query.embedding_field {
            return Err(unsupported(format!(
                "a query names the embedding_field {field:?}, but a store keeps one embedding per node; leave it out"
            )));
        }
        let embedding = query.query_embedding.ok_or_else(|| missing(mode, "query_embedding"));
        let text = query.query_str.ok_or_else(|| missing(mode, "query_str"));
        let (kind, top_k) = match mode {
            Mode::Default => (QueryKind::Dense { embedding: embedding? }, None),
            Mode::Sparse | Mode::TextSearch => (QueryKind::Text { text: text? }, query.sparse_top_k),
            Mode::Hybrid => {
                let alpha = query.alpha.unwrap_or(0.5);
                (QueryKind::Hybrid { embedding: embedding?, text: text?, alpha }, query.hybrid_top_k)
            }
            Mode::Mmr => {
                let threshold = query.mmr_threshold.unwrap_or(0.5);
                (QueryKind::Mmr { embedding: embedding?, threshold }, None)
            }
            Mode::SemanticHybrid | Mode::Svm | Mode::LogisticRegression | Mode::LinearRegression => {
                return Err(unsupported(format!(
                    "no store offers the query mode {}; use default, text_search, sparse, hybrid or mmr",
                    mode.as_str()
                )));
            }
        };
        let mut selector = Selector::all();
        selector.ids = query.node_ids;
        selector.ref_docs = query.doc_ids;
        selector.filter = query.filters;
        let with_embeddings =
            query.output_fields.is_some_and(|fields| fields.iter().any(|name| name == "embedding"));
        Ok(Self::new(kind, top_k.unwrap_or(query.similarity_top_k))
            .with_selector(selector)
            .with_embeddings(with_embeddings))
    }
}

/// `Unsupported` for what LlamaIndex's query can not say: [`QueryKind::Range`] and a `min_score`.
impl TryFrom<VectorQuery> for VectorStoreQuery {
    type Error = Error;

    fn try_from(query: VectorQuery) -> Result<Self> {
        use VectorStoreQueryMode as Mode;

        if query.min_score.is_some() {
            return Err(unsupported("LlamaIndex's query has no least score; filter its answers instead"));
        }
        let mut converted = Self {
            similarity_top_k: query.top_k,
            doc_ids: query.selector.ref_docs,
            node_ids: query.selector.ids,
            filters: query.selector.filter,
            output_fields: query.with_embeddings.then(|| vec!["embedding".to_owned()]),
            ..Self::default()
        };
        match query.kind {
            QueryKind::Dense { embedding } => converted.query_embedding = Some(embedding),
            QueryKind::Text { text } => {
                converted.mode = Mode::TextSearch;
                converted.query_str = Some(text);
            }
            QueryKind::Hybrid { embedding, text, alpha } => {
                converted.mode = Mode::Hybrid;
                converted.query_embedding = Some(embedding);
                converted.query_str = Some(text);
                converted.alpha = Some(alpha);
            }
            QueryKind::Mmr { embedding, threshold } => {
                converted.mode = Mode::Mmr;
                converted.query_embedding = Some(embedding);
                converted.mmr_threshold = Some(threshold);
            }
            QueryKind::Range { .. } => {
                return Err(unsupported("LlamaIndex's query has no search by radius"));
            }
        }
        Ok(converted)
    }
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn missing(mode: VectorStoreQueryMode, member: &str) -> Error {
    Error::invalid_input(format!("a query of the mode {} needs its {member}", mode.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::filter::field;

    fn converted(json: Value) -> Result<VectorQuery> {
        serde_json::from_value::<VectorStoreQuery>(json).unwrap().try_into()
    }

    #[test]
    fn the_defaults_are_llamaindexs() {
        let query: VectorStoreQuery = serde_json::from_str("{}").unwrap();
        assert_eq!(query, VectorStoreQuery::default());
        assert_eq!(
            serde_json::to_string(&query).unwrap(),
            r#"{"query_embedding":null,"similarity_top_k":1,"doc_ids":null,"node_ids":null,"query_str":null,"output_fields":null,"embedding_field":null,"mode":"default","alpha":null,"filters":null,"mmr_threshold":null,"sparse_top_k":null,"hybrid_top_k":null}"#
        );
    }

    #[test]
    fn every_mode_has_llamaindexs_name() {
        for name in [
            "default",
            "sparse",
            "hybrid",
            "text_search",
            "semantic_hybrid",
            "svm",
            "logistic_regression",
            "linear_regression",
            "mmr",
        ] {
            let mode: VectorStoreQueryMode = serde_json::from_value(json!(name)).unwrap();
            assert_eq!((mode.as_str(), serde_json::to_value(mode).unwrap()), (name, json!(name)));
        }
    }

    #[test]
    fn modes_become_kinds() {
        let embedding = vec![0.5_f32, 1.0];
        let both = |mode: &str| {
            json!({"mode": mode, "query_embedding": [0.5, 1], "query_str": "q", "similarity_top_k": 3,
            "sparse_top_k": 5, "hybrid_top_k": 7})
        };
        let with = |mode: &str, name: &str, value: Value| {
            let mut query = both(mode);
            query[name] = value;
            converted(query).unwrap()
        };
        assert_eq!(converted(both("default")).unwrap(), VectorQuery::dense(embedding.clone(), 3));
        assert_eq!(converted(both("text_search")).unwrap(), VectorQuery::text("q", 5));
        assert_eq!(converted(both("sparse")).unwrap(), VectorQuery::text("q", 5));
        assert_eq!(with("sparse", "sparse_top_k", Value::Null), VectorQuery::text("q", 3));
        assert_eq!(converted(both("hybrid")).unwrap(), VectorQuery::hybrid(embedding.clone(), "q", 7));
        assert_eq!(with("hybrid", "hybrid_top_k", Value::Null).top_k, 3);
        assert_eq!(converted(both("mmr")).unwrap(), VectorQuery::mmr(embedding.clone(), 3));
        let hybrid = |alpha| QueryKind::Hybrid { embedding: embedding.clone(), text: "q".into(), alpha };
        assert_eq!(with("hybrid", "alpha", json!(0)).kind, hybrid(0.0));
        assert_eq!(with("hybrid", "alpha", json!(0.25)).kind, hybrid(0.25));
        let mmr = |threshold| QueryKind::Mmr { embedding: embedding.clone(), threshold };
        assert_eq!(with("mmr", "mmr_threshold", json!(0)).kind, mmr(0.0));
    }

    #[test]
    fn the_parts_of_the_selector_are_kept() {
        let query = converted(json!({"query_embedding": [1], "node_ids": ["n"], "doc_ids": [],
            "filters": {"filters": [{"key": "a", "value": 1}], "condition": "not"}, "output_fields": ["embedding"]}))
        .unwrap();
        let selector =
            Selector::ids(["n"]).with_ref_docs([""; 0]).with_filter(Filter::none([field("a").eq(1)]));
        assert_eq!(query, VectorQuery::dense(vec![1.0], 1).with_selector(selector).with_embeddings(true));
    }

    #[test]
    fn what_is_missing_or_unknown_is_refused() {
        for (query, kind, message) in [
            (json!({}), ErrorKind::InvalidInput, "a query of the mode default needs its query_embedding"),
            (
                json!({"mode": "hybrid", "query_embedding": [1]}),
                ErrorKind::InvalidInput,
                "needs its query_str",
            ),
            (
                json!({"mode": "text_search", "query_embedding": [1]}),
                ErrorKind::InvalidInput,
                "needs its query_str",
            ),
            (json!({"mode": "svm", "query_embedding": [1]}), ErrorKind::Unsupported, "query mode svm"),
            (json!({"mode": "semantic_hybrid"}), ErrorKind::Unsupported, "query mode semantic_hybrid"),
            (
                json!({"query_embedding": [1], "embedding_field": "v"}),
                ErrorKind::Unsupported,
                "embedding_field \"v\"",
            ),
        ] {
            let error = converted(query).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.message().contains(message), "{error}");
        }
        for query in [
            json!({"top_k": 3}),
            json!({"mode": "fuzzy"}),
            json!({"similarity_top_k": -1}),
            json!({"filters": []}),
        ] {
            assert!(serde_json::from_value::<VectorStoreQuery>(query).is_err());
        }
    }

    #[test]
    fn ours_converts_back() {
        let selector = Selector::ids(["n"]).with_ref_docs(["d"]).with_filter(field("a").gt(1));
        for query in [
            VectorQuery::dense(vec![1.0], 2).with_selector(selector),
            VectorQuery::text("q", 2).with_embeddings(true),
            VectorQuery::new(QueryKind::Hybrid { embedding: vec![1.0], text: "q".into(), alpha: 0.0 }, 2),
            VectorQuery::new(QueryKind::Mmr { embedding: vec![1.0], threshold: 0.9 }, 2),
        ] {
            let theirs = VectorStoreQuery::try_from(query.clone()).unwrap();
            assert_eq!(VectorQuery::try_from(theirs).unwrap(), query);
        }
        for query in [
            VectorQuery::dense(vec![1.0], 2).with_min_score(0.5),
            VectorQuery::new(QueryKind::Range { embedding: vec![1.0], radius: 0.5 }, 2),
        ] {
            assert_eq!(VectorStoreQuery::try_from(query).unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }

    #[test]
    fn a_bare_filter_is_written_as_a_group() {
        let query = VectorStoreQuery { filters: Some(field("a").eq(1)), ..VectorStoreQuery::default() };
        let written = serde_json::to_value(&query).unwrap();
        let group = json!({"filters": [{"key": "a", "value": 1, "operator": "=="}], "condition": "and"});
        assert_eq!(written["filters"], group);
    }
}
