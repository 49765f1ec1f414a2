//! The memory store: every role, in the process's own memory, gone with it. For tests, examples and caches.

mod kv;
mod vectors;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;

pub use kv::MemoryKvStore;
pub use vectors::MemoryVectorStore;

use crate::kit::check;
use crate::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, Finding, IndexStore, KvChatStore, KvDocStore,
    KvIndexStore, KvStore, Result, VectorStore,
};

/// A backend that keeps everything in memory.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use store_core::{AddOptions, Backend, DocStoreExt, MemoryBackend, Node};
///
/// let docs = MemoryBackend::new().docs()?;
/// docs.add(vec![Node::text("hello").with_id("n-1")], AddOptions::default()).await?;
/// assert!(docs.exists(&"n-1".into()).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    kv: Arc<MemoryKvStore>,
    vectors: Arc<MemoryVectorStore>,
    sets: Arc<Mutex<BTreeMap<String, Arc<MemoryVectorStore>>>>,
}

static SHARED: LazyLock<Mutex<HashMap<String, MemoryBackend>>> = LazyLock::new(Mutex::default);

impl MemoryBackend {
    /// An empty store of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The store of that namespace in this process: every call with the same name shares one store, which
    /// lives until the process ends.
    #[must_use]
    pub fn shared(namespace: &str) -> Self {
        let mut stores = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(namespace.to_owned()).or_default().clone()
    }

    fn sets(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryVectorStore>>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(false);
        capabilities.kv = Some(self.kv.capabilities());
        capabilities.docs = true;
        capabilities.index = true;
        capabilities.chat = true;
        capabilities.vectors = Some(self.vectors.capabilities());
        capabilities
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        let lifetime = Finding::note(
            "lifetime",
            "the data is in the memory of this process and goes with it",
            "to keep it, open a store on disk: embedded:///path",
        );
        Ok(Diagnosis::new().with_fact("store-core", env!("CARGO_PKG_VERSION")).with_finding(lifetime))
    }

    async fn drop_namespace(&self) -> Result<()> {
        self.kv.reset();
        self.vectors.reset();
        for set in self.sets().values() {
            set.reset();
        }
        Ok(())
    }

    /// Does nothing: the data lives as long as a handle.
    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::clone(&self.kv) as _)
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(KvDocStore::new(Arc::clone(&self.kv)).with_backend(NAME)))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        Ok(Arc::new(KvIndexStore::new(Arc::clone(&self.kv)).with_backend(NAME)))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(KvChatStore::new(Arc::clone(&self.kv)).with_backend(NAME)))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::clone(&self.vectors) as _)
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        set_name("vector_set", name)?;
        Ok(Arc::clone(self.sets().entry(name.to_owned()).or_default()) as _)
    }

    async fn vector_sets(&self) -> Result<Vec<String>> {
        let configured =
            |(name, set): (&String, &Arc<MemoryVectorStore>)| set.is_configured().then(|| name.clone());
        Ok(self.sets().iter().filter_map(configured).collect())
    }

    async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool> {
        let Some(name) = name else { return Ok(self.vectors.reset()) };
        set_name("drop_vector_set", name)?;
        Ok(self.sets().get(name).is_some_and(|set| set.reset()))
    }
}

const NAME: &str = "memory";

fn set_name(operation: &'static str, name: &str) -> Result<()> {
    check::vector_set_name(name).map_err(|error| error.with_backend(NAME).with_operation(operation))
}

/// Reads under a lock that a panic elsewhere does not take down with it: every change here is made whole.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
