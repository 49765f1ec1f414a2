//! The backend: one namespace of one folder, every role.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::kit::check;
use store_core::{
    Backend, Capabilities, ChatStore, Diagnosis, DocStore, IndexStore, KvStore, Result, VectorStore,
};

use crate::chat::EmbeddedChatStore;
use crate::config::EmbeddedConfig;
use crate::diagnose::look;
use crate::docs::EmbeddedDocStore;
use crate::engine::{Engine, Table as _, WriteTx, blocking};
use crate::error::{NAME, at};
use crate::index::EmbeddedIndexStore;
use crate::kv::{self, EmbeddedKvStore};
use crate::schema::META;
use crate::space::Handle;
use crate::vector::{self, EmbeddedVectorStore};

/// An embedded store: every role on disk, in one folder, with no server.
///
/// Within one process any number of backends may open the same folder and share its file; a second process that
/// tries gets [`Unavailable`](store_core::ErrorKind::Unavailable). The folder is free again when the last of
/// them is closed or dropped.
#[derive(Clone, Debug)]
pub struct EmbeddedBackend {
    handle: Arc<Handle>,
    config: EmbeddedConfig,
}

impl EmbeddedBackend {
    /// Opens the store in the configured folder, and makes it when it is absent and
    /// [`EmbeddedConfig::create`] says so.
    ///
    /// A folder that can not be written opens for reading: reads work, writes are refused. Errors:
    /// `Unavailable` when another process has the folder open, `Config` for a store of a newer version or a
    /// file of another program, `Corrupt` for a damaged one, `NotFound` when nothing is there to open.
    pub async fn open(config: EmbeddedConfig) -> Result<Self> {
        config.validate()?;
        let (path, create, cache_bytes) = (config.path.clone(), config.create, config.cache_bytes);
        let namespace = config.namespace.clone();
        let open = move || Ok(Engine::open(&path, create, cache_bytes)?.space(&namespace));
        let handle = Arc::new(Handle::new(blocking(open).await?));
        Ok(Self { handle, config })
    }

    /// The folder, as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// What it was opened with.
    #[must_use]
    pub fn config(&self) -> &EmbeddedConfig {
        &self.config
    }

    /// The handle of a vector set.
    fn set(&self, name: &str) -> Arc<Handle> {
        Arc::new(Handle::Set { namespace: Arc::clone(&self.handle), name: name.to_owned() })
    }

    /// The namespace's space; `Unavailable` once closed.
    #[cfg(test)]
    pub(crate) fn space(&self) -> Result<Arc<crate::space::Space>> {
        self.handle.space()
    }
}

#[async_trait]
impl Backend for EmbeddedBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(false);
        capabilities.kv = Some(kv::capabilities());
        capabilities.docs = true;
        capabilities.index = true;
        capabilities.chat = true;
        capabilities.vectors = Some(vector::capabilities());
        capabilities
    }

    async fn ping(&self) -> Result<()> {
        let read = self.handle.read(|tx, _| tx.table(META)?.len());
        read.await.map(|_| ()).map_err(|error| error.with_operation("ping"))
    }

    async fn diagnose(&self) -> Result<Diagnosis> {
        let diagnosis = async {
            let space = self.handle.space()?;
            let inner = Arc::clone(&space);
            space.engine.read(move |tx| look(&inner, tx)).await
        };
        diagnosis.await.map_err(|error| error.with_operation("diagnose"))
    }

    async fn drop_namespace(&self) -> Result<()> {
        let drop = async {
            let space = self.handle.space()?;
            let (inner, after) = (Arc::clone(&space), Arc::clone(&space));
            let drop = move |tx: &WriteTx| {
                tx.drop_tables(&inner.tables.prefix)?;
                tx.drop_tables(&inner.set_prefix())
            };
            space.engine.write_then(drop, move |(): &mut ()| after.dropped()).await
        };
        drop.await.map_err(|error| error.with_operation("drop_namespace"))
    }

    async fn close(&self) -> Result<()> {
        self.handle.close().await
    }

    fn kv(&self) -> Result<Arc<dyn KvStore>> {
        Ok(Arc::new(EmbeddedKvStore::new(Arc::clone(&self.handle))))
    }

    fn docs(&self) -> Result<Arc<dyn DocStore>> {
        Ok(Arc::new(EmbeddedDocStore::new(Arc::clone(&self.handle))))
    }

    fn index(&self) -> Result<Arc<dyn IndexStore>> {
        Ok(Arc::new(EmbeddedIndexStore::new(Arc::clone(&self.handle))))
    }

    fn chat(&self) -> Result<Arc<dyn ChatStore>> {
        Ok(Arc::new(EmbeddedChatStore::new(Arc::clone(&self.handle))))
    }

    fn vectors(&self) -> Result<Arc<dyn VectorStore>> {
        Ok(Arc::new(EmbeddedVectorStore::new(Arc::clone(&self.handle))))
    }

    fn vector_set(&self, name: &str) -> Result<Arc<dyn VectorStore>> {
        check::vector_set_name(name).map_err(at("vector_set"))?;
        Ok(Arc::new(EmbeddedVectorStore::new(self.set(name))))
    }

    async fn vector_sets(&self) -> Result<Vec<String>> {
        let list = async {
            let prefix = self.handle.space()?.set_prefix();
            self.handle.read(move |tx, _| vector::set_names(tx, &prefix)).await
        };
        list.await.map_err(at("vector_sets"))
    }

    async fn drop_vector_set(&self, name: Option<&str>) -> Result<bool> {
        let drop = async {
            name.map_or(Ok(()), check::vector_set_name)?;
            let handle = name.map_or_else(|| Arc::clone(&self.handle), |name| self.set(name));
            vector::drop_set(handle.space()?).await
        };
        drop.await.map_err(at("drop_vector_set"))
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
