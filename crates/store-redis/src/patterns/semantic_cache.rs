//! A cache of answers to questions that mean the same.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::filter::field;
use store_core::kit::{check, epoch};
use store_core::{
    AddMode, Embedder, Error, FieldType, Filter, FilterableField, Metric, Node, Result, Selector,
    VectorConfig, VectorQuery, VectorStore, VectorStoreExt as _,
};

use crate::script::hex_sha1;

const TENANT: &str = "tenant";
const MODEL: &str = "model";
const EXPIRES: &str = "expires";
const ANSWER: &str = "answer";

/// Whose answers, and whose model's: never mixed with another's, however near the questions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheScope {
    tenant: String,
    model: String,
}

impl CacheScope {
    /// The answers that this model gave this tenant. What else decides on an answer (the system prompt, the tools, the
    /// temperature) belongs to `model`: put a hash of it there.
    #[must_use]
    pub fn new(tenant: impl Into<String>, model: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), model: model.into() }
    }

    fn filter(&self) -> Result<Filter> {
        check::non_empty(TENANT, &self.tenant)?;
        check::non_empty(MODEL, &self.model)?;
        Ok(field(TENANT).eq(self.tenant.as_str()).and(field(MODEL).eq(self.model.as_str())))
    }

    /// Asked again in the same words, the answer is replaced.
    fn id(&self, question: &str) -> String {
        let text = serde_json::json!([self.tenant, self.model, question]).to_string();
        format!("semantic-{}", hex_sha1(text.as_bytes()))
    }
}

/// An answer that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SemanticHit<T> {
    /// The answer.
    pub answer: T,
    /// The question that it was given to.
    pub question: String,
    /// How near that question is: the cosine, at most 1.
    pub similarity: f64,
}

/// A cache of answers, found by what the question means.
///
/// Only answers of the same [`CacheScope`] are ever looked at: tenant and model are equalities that the store checks
/// before it compares vectors. An answer is given for a question whose cosine is at least the threshold, while its time
/// lasts (by this machine's clock). Which threshold is right depends on the embedder: measure it, and begin high;
/// vectors do not tell "with" from "without" well.
///
/// It stands on a vector set of its own, of any store: [`vector_set`](store_core::Backend::vector_set).
/// [`remove_expired`](Self::remove_expired) frees what is too old; call it now and then.
///
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use store_core::{Backend, HashEmbedder};
/// # use store_redis::{CacheScope, RedisBackend, RedisConfig, SemanticCache};
/// # async fn ask(question: &str) -> String { String::new() }
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let answers: SemanticCache<String> =
///     SemanticCache::new(store.vector_set("answers")?, Arc::new(HashEmbedder::default()), 0.92)
///         .with_ttl(Duration::from_hours(24));
/// answers.ensure().await?;
/// let scope = CacheScope::new("acme", "small-2");
/// let question = "How do I reset my password?";
/// let answer = match answers.get(&scope, question).await? {
///     Some(hit) => hit.answer,
///     None => {
///         let answer = ask(question).await;
///         answers.put(&scope, question, &answer).await?;
///         answer
///     }
/// };
/// # Ok(())
/// # }
/// ```
pub struct SemanticCache<T> {
    store: Arc<dyn VectorStore>,
    embedder: Arc<dyn Embedder>,
    threshold: f64,
    ttl: Duration,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for SemanticCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemanticCache").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> SemanticCache<T> {
    /// A cache on a vector set of its own, with answers for questions of at least this cosine.
    #[must_use]
    pub fn new(store: Arc<dyn VectorStore>, embedder: Arc<dyn Embedder>, threshold: f64) -> Self {
        Self { store, embedder, threshold, ttl: Duration::from_hours(24), value: PhantomData }
    }

    /// Sets how long an answer is given; default a day.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Prepares the vector set: the embedder's dimensions, cosine, and the fields that are filtered on.
    pub async fn ensure(&self) -> Result<()> {
        let fields = [(TENANT, FieldType::Text), (MODEL, FieldType::Text), (EXPIRES, FieldType::Integer)]
            .map(|(key, field_type)| FilterableField { key: key.to_owned(), field_type });
        let config = VectorConfig::new(self.embedder.dimensions(), Metric::Cosine).with_filterable(fields);
        self.store.configure(config).await
    }

    /// The answer to the nearest question of the scope, if one is near enough.
    pub async fn get(&self, scope: &CacheScope, question: &str) -> Result<Option<SemanticHit<T>>> {
        self.valid(question)?;
        let filter = scope.filter()?.and(field(EXPIRES).gt(now()));
        let query = VectorQuery::dense(self.embed(question).await?, 1)
            .with_min_score(self.threshold)
            .with_selector(Selector::from(filter));
        let Some(found) = self.store.query(&query).await?.into_iter().next() else { return Ok(None) };
        let text = found.node.metadata.get(ANSWER).and_then(serde_json::Value::as_str);
        let answer = text.ok_or_else(|| {
            Error::corrupt("the node is no cached answer; give the cache a vector set of its own")
                .with_key(found.node.id.as_str())
        })?;
        let answer = super::from_json(found.node.id.as_str(), answer.as_bytes())?;
        let question = found.node.text_content().to_owned();
        Ok(Some(SemanticHit { answer, question, similarity: found.score }))
    }

    /// Keeps an answer.
    pub async fn put(&self, scope: &CacheScope, question: &str, answer: &T) -> Result<()> {
        self.valid(question)?;
        scope.filter()?;
        let id = scope.id(question);
        let answer = String::from_utf8(super::to_json(&id, answer)?)
            .map_err(|error| Error::invalid_input("the answer's JSON is no text").with_source(error))?;
        let expires = now().saturating_add(super::millis("time to live", self.ttl)?);
        let node = Node::text(question)
            .with_id(id)
            .with_metadata(TENANT, scope.tenant.as_str())
            .with_metadata(MODEL, scope.model.as_str())
            .with_metadata(EXPIRES, expires)
            .with_metadata(ANSWER, answer)
            .with_embedding(self.embed(question).await?);
        self.store.upsert(vec![node], AddMode::Overwrite).await.map(|_| ())
    }

    /// Forgets the answer to a question in exactly these words; whether there was one.
    pub async fn invalidate(&self, scope: &CacheScope, question: &str) -> Result<bool> {
        scope.filter()?;
        Ok(self.store.delete(&Selector::ids([scope.id(question)])).await? > 0)
    }

    /// Forgets all answers of a scope; answers how many.
    pub async fn invalidate_scope(&self, scope: &CacheScope) -> Result<usize> {
        self.store.delete(&Selector::from(scope.filter()?)).await
    }

    /// Removes the answers whose time is over; answers how many.
    pub async fn remove_expired(&self) -> Result<usize> {
        self.store.delete(&Selector::from(field(EXPIRES).lte(now()))).await
    }

    fn valid(&self, question: &str) -> Result<()> {
        check::non_empty("question", question)?;
        if !(-1.0..=1.0).contains(&self.threshold) {
            return Err(Error::invalid_input(format!(
                "the threshold is {}; a cosine is -1 to 1",
                self.threshold
            )));
        }
        Ok(())
    }

    async fn embed(&self, question: &str) -> Result<Vec<f32>> {
        let embedded = self.embedder.embed(&[question]).await?;
        embedded.into_iter().next().ok_or_else(|| Error::corrupt("the embedder answers without an embedding"))
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    i64::try_from(epoch::millis()).unwrap_or(i64::MAX)
}
