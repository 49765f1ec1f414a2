//! How the suite reaches a backend.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use store_core::{Backend, ChatStore, DocStore, Error, ErrorKind, KvStore, Result, VectorStore};

use crate::check::{CaseResult, Failure};
use crate::server;

type Open = dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn Backend>>> + Send + Sync;

const MODEL_RUNS: &str = "STORE_TEST_MODEL_RUNS";
const RANDOM_FILTERS: &str = "STORE_TEST_RANDOM_FILTERS";

/// What a backend is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    Chats,
    /// Chats that take no more than an item of a server does, 400 KB.
    SmallChats,
    Vectors,
}

/// A backend to be held against the suite: its name, and how to open it.
#[derive(Clone)]
pub struct Harness {
    pub(crate) name: &'static str,
    open: Option<Arc<Open>>,
    pub(crate) missing: Option<String>,
    pub(crate) required: bool,
    pub(crate) durable: bool,
    pub(crate) scope: Scope,
    pub(crate) deadline: Duration,
    pub(crate) model_runs: u32,
    pub(crate) random_filters: u32,
    pub(crate) seed: u64,
}

impl Harness {
    /// A backend that `open` opens in the namespace it is given (`[a-z][a-z0-9]{0,31}`).
    ///
    /// The suite opens one fresh namespace for each case and drops it afterwards. It also opens a namespace a
    /// second time while the first handle is in use: both must see the same data. `name` comes first in the
    /// names of the tests.
    #[must_use]
    pub fn new<O, F>(name: &'static str, open: O) -> Self
    where
        O: Fn(String) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Arc<dyn Backend>>> + Send + 'static,
    {
        Self { open: Some(Arc::new(move |namespace| open(namespace).boxed())), ..Self::closed(name) }
    }

    /// A backend on the server that a variable names: `open` is given the server's URL and the namespace. Without a server
    /// it is [`unavailable`](Self::unavailable).
    pub fn on_server<O, F>(name: &'static str, variable: &str, open: O) -> Self
    where
        O: Fn(&str, String) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Arc<dyn Backend>>> + Send + 'static,
    {
        match server::url(variable) {
            Some(url) => Self::new(name, move |namespace| open(&url, namespace)),
            None => Self::unavailable(name, server::missing(variable)),
        }
    }

    /// A backend that can not be tested here, and why: `STORE_TEST_REDIS_URL is not set`.
    ///
    /// Its tests are shown as ignored; with `STORE_TEST_REQUIRE` set they fail.
    #[must_use]
    pub fn unavailable(name: &'static str, reason: impl Into<String>) -> Self {
        Self { missing: Some(reason.into()), ..Self::closed(name) }
    }

    fn closed(name: &'static str) -> Self {
        Self {
            name,
            open: None,
            missing: None,
            required: server::is_required(),
            durable: true,
            scope: Scope::All,
            deadline: Duration::from_mins(2),
            model_runs: setting(MODEL_RUNS, 48),
            random_filters: setting(RANDOM_FILTERS, 2_000),
            seed: setting("STORE_TEST_SEED", 20_240_501),
        }
    }

    /// Says whether data outlives the last handle on it; default `true`, `false` for a store in memory.
    #[must_use]
    pub fn with_durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Asks only what is about chats, for another layout of a store whose other roles are asked already. `great` says
    /// whether a chat may take more than 400 KB in it.
    #[must_use]
    pub fn with_chats_only(mut self, great: bool) -> Self {
        self.scope = if great { Scope::Chats } else { Scope::SmallChats };
        self
    }

    /// Asks only what is about vectors, for another layout of a store whose other roles are asked already.
    #[must_use]
    pub fn with_vectors_only(mut self) -> Self {
        self.scope = Scope::Vectors;
        self
    }

    /// Sets how long one case may take before it counts as hanging; default two minutes.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how many random histories each model test runs; default 48. `STORE_TEST_MODEL_RUNS` comes before it.
    #[must_use]
    pub fn with_model_runs(mut self, runs: u32) -> Self {
        self.model_runs = setting(MODEL_RUNS, runs);
        self
    }

    /// Sets how many random filters are held against the oracle; default 2,000. `STORE_TEST_RANDOM_FILTERS` comes before
    /// it.
    #[must_use]
    pub fn with_random_filters(mut self, filters: u32) -> Self {
        self.random_filters = setting(RANDOM_FILTERS, filters);
        self
    }

    /// Sets the seed of everything random; default a fixed number, or `STORE_TEST_SEED`.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Opens a namespace.
    pub(crate) async fn open(&self, namespace: &str) -> Result<Arc<dyn Backend>> {
        match &self.open {
            Some(open) => open(namespace.to_owned()).await,
            None => Err(Error::new(
                ErrorKind::Unavailable,
                self.missing.as_deref().unwrap_or("no way to open it"),
            )),
        }
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("name", &self.name)
            .field("missing", &self.missing)
            .field("durable", &self.durable)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

fn setting<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What a case works with: a backend in a namespace of its own.
pub(crate) struct Env {
    pub(crate) harness: Harness,
    namespace: String,
    backend: Arc<dyn Backend>,
    others: Mutex<Vec<String>>,
}

impl Env {
    pub(crate) async fn open(harness: &Harness, namespace: String) -> CaseResult<Self> {
        let backend = harness.open(&namespace).await?;
        Ok(Self { harness: harness.clone(), namespace, backend, others: Mutex::default() })
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn kv(&self) -> CaseResult<Arc<dyn KvStore>> {
        Ok(self.backend.kv()?)
    }

    pub(crate) fn docs(&self) -> CaseResult<Arc<dyn DocStore>> {
        Ok(self.backend.docs()?)
    }

    pub(crate) fn chat(&self) -> CaseResult<Arc<dyn ChatStore>> {
        Ok(self.backend.chat()?)
    }

    pub(crate) fn vectors(&self) -> CaseResult<Arc<dyn VectorStore>> {
        Ok(self.backend.vectors()?)
    }

    /// Another handle on the same namespace.
    pub(crate) async fn again(&self) -> CaseResult<Arc<dyn Backend>> {
        Ok(self.harness.open(&self.namespace).await?)
    }

    /// A handle on another namespace, whose name starts with this one's.
    pub(crate) async fn neighbour(&self, suffix: &str) -> CaseResult<Arc<dyn Backend>> {
        let namespace = format!("{}{suffix}", self.namespace);
        let backend = self.harness.open(&namespace).await?;
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(namespace);
        Ok(backend)
    }

    /// Removes all that the case left behind.
    pub(crate) async fn clean_up(&self) -> CaseResult {
        let mut namespaces = std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        // A case may have closed its own handle.
        if self.backend.drop_namespace().await.is_err() {
            namespaces.push(self.namespace.clone());
        }
        for namespace in namespaces {
            let dropped = async { self.harness.open(&namespace).await?.drop_namespace().await };
            dropped
                .await
                .map_err(|error| Failure::new(format!("can not drop the case's namespace: {error:?}")))?;
        }
        // Letting go of the handle is the backend's own business, its errors are not the case's.
        drop(self.backend.close().await);
        Ok(())
    }
}
