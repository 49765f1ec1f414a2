//! Metadata filters: bridge section 3, in every role that takes them.

mod operators;
mod random;
mod shapes;
mod texts;

use std::sync::Arc;

use serde_json::Value;
use store_core::{
    AddMode, AddOptions, DocQuery, DocStore, Error, ErrorKind, Filter, GetOptions, JsonObject, Node,
    Selector, VectorQuery, VectorStore,
};

use crate::case::Case;
use crate::check::{CaseResult, invalid, same, same_items};
use crate::data::{filter, object};
use crate::harness::Env;
use crate::vectors::{configure, query_ids};

pub(crate) const SUITES: &[&[Case]] = &[operators::CASES, texts::CASES, shapes::CASES, random::CASES];

/// The stores of a backend that take filters, all holding the same nodes.
struct Filtered {
    vectors: Option<Arc<dyn VectorStore>>,
    docs: Option<Arc<dyn DocStore>>,
    may_refuse: bool,
}

impl Filtered {
    async fn open(env: &Env) -> CaseResult<Self> {
        let capabilities = env.backend().capabilities();
        let may_refuse = capabilities.vectors.as_ref().is_some_and(|vectors| vectors.may_refuse_filters);
        let vectors = capabilities.vectors.is_some().then(|| env.vectors()).transpose()?;
        let docs = capabilities.docs.then(|| env.docs()).transpose()?;
        if let Some(vectors) = &vectors {
            configure(&**vectors, 2).await?;
        }
        Ok(Self { vectors, docs, may_refuse })
    }

    /// Opens them with a node for each metadata.
    async fn with(env: &Env, metadata: &[(&str, Value)]) -> CaseResult<Self> {
        let stores = Self::open(env).await?;
        let nodes = metadata.iter().map(|(id, metadata)| node(id, object(metadata.clone())));
        stores.put(nodes.collect()).await?;
        Ok(stores)
    }

    async fn put(&self, nodes: Vec<Node>) -> CaseResult {
        if let Some(vectors) = &self.vectors {
            crate::vectors::put(&**vectors, nodes.clone()).await?;
        }
        if let Some(docs) = &self.docs {
            docs.add(nodes, AddOptions::default()).await?;
        }
        Ok(())
    }

    /// Whether every store can hold this metadata; one that can not says so with `InvalidInput`.
    async fn hold(&self, metadata: Value) -> CaseResult<bool> {
        let nodes = vec![node("probe", object(metadata))];
        let mut answers = Vec::new();
        if let Some(vectors) = &self.vectors {
            answers.push(vectors.upsert(nodes.clone(), AddMode::Overwrite).await);
            vectors.clear().await?;
        }
        if let Some(docs) = &self.docs {
            answers.push(docs.add(nodes, AddOptions::default()).await);
            docs.delete_many(&["probe".into()]).await?;
        }
        let refused: Vec<Error> = answers.into_iter().filter_map(Result::err).collect();
        let holds = refused.is_empty();
        match refused.into_iter().find(|error| error.kind() != ErrorKind::InvalidInput) {
            Some(error) => Err(error.into()),
            None => Ok(holds),
        }
    }

    /// Whether a store may say no to a filter that is right: then the row tells nothing.
    fn may_be(&self, error: &Error) -> bool {
        self.may_refuse && matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
    }

    /// Holds the answers of every call that takes a filter against these ids.
    async fn expect(&self, json: &Value, ids: &[&str]) -> CaseResult {
        let filter = filter(json)?;
        if let Some(vectors) = &self.vectors {
            let selector = Selector::from(filter.clone());
            match vectors.get(&selector, GetOptions::default()).await {
                Err(error) if self.may_be(&error) => {}
                page => {
                    let found = crate::nodes::ids_of(&page?.items);
                    same_items(format!("vectors.get of {json}"), &found, ids)?;
                    same(format!("vectors.count of {json}"), &vectors.count(&selector).await?, &ids.len())?;
                    let query = VectorQuery::dense(vec![1.0, 0.5], 1_000).with_selector(selector);
                    let found = query_ids(&**vectors, &query).await?;
                    same_items(format!("vectors.query of {json}"), &found, ids)?;
                }
            }
        }
        if let Some(docs) = &self.docs {
            match docs.find(&DocQuery::new().with_filter(filter)).await {
                Err(error) if self.may_be(&error) => {}
                page => same_items(format!("docs.find of {json}"), &found_ids(&page?.items), ids)?,
            }
        }
        Ok(())
    }

    /// Holds several filters against their ids.
    async fn expect_all(&self, rows: &[(Value, &[&str])]) -> CaseResult {
        for (json, ids) in rows {
            self.expect(json, ids).await?;
        }
        Ok(())
    }

    /// Fails unless every call refuses the filter with `InvalidInput`.
    async fn refuse(&self, filter: Filter) -> CaseResult {
        let what = format!("{filter:?}");
        if let Some(vectors) = &self.vectors {
            let selector = Selector::from(filter.clone());
            invalid(&what, vectors.get(&selector, GetOptions::default()).await)?;
            invalid(&what, vectors.count(&selector).await)?;
            let query = VectorQuery::dense(vec![1.0, 0.5], 10).with_selector(selector);
            invalid(&what, vectors.query_many(std::slice::from_ref(&query)).await)?;
            invalid(&what, vectors.explain(&query).await)?;
        }
        if let Some(docs) = &self.docs {
            invalid(&what, docs.find(&DocQuery::new().with_filter(filter)).await)?;
        }
        Ok(())
    }
}

/// A condition on the field `v`.
fn op(operator: &str, value: Value) -> Value {
    field("v", operator, value)
}

/// A condition on a field.
fn field(key: &str, operator: &str, value: Value) -> Value {
    let members = [("key", key.into()), ("operator", operator.into()), ("value", value)];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn node(id: &str, metadata: JsonObject) -> Node {
    let mut node = crate::vectors::vector(id, &[1.0, 0.5]);
    node.metadata = metadata;
    node
}

fn found_ids(found: &[JsonObject]) -> Vec<String> {
    let id = |node: &JsonObject| node.get("__data__")?.get("id_")?.as_str().map(str::to_owned);
    found.iter().filter_map(id).collect()
}
