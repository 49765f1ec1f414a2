//! Opening a store by its URL.

use std::sync::Arc;

use store_core::{Backend, Result};

use crate::Registry;

/// Settings that may stand beside a URL instead of in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Keeps stores in one place apart: `[a-z][a-z0-9]{0,31}`. `None` (default) = the backend's default names.
    /// In a URL: `store.namespace`.
    pub namespace: Option<String>,
    /// Whether what a role needs is created at its first use; `None` (default) = the backend's own default.
    /// In a URL: `store.create`.
    pub create: Option<bool>,
}

impl OpenOptions {
    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Says whether what a role needs is created at its first use.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = Some(create);
        self
    }
}

/// Opens the store of a URL: `embedded:///path`, `mongodb://host`, `redis://host`, `dynamodb://region/table`,
/// `cassandra://host/keyspace`, `memory:`.
///
/// The URL of a database driver goes to that driver as it is, without our own settings `store.namespace` and
/// `store.create`. Opening the same folder, or the same namespace of `memory:`, again in one process shares the
/// store.
///
/// # Errors
/// `Config` for an unknown scheme (the message lists what can be opened and names a cargo feature that is off),
/// a path in place of a URL, and unknown options; `InvalidInput` for a namespace that is not allowed; and what
/// the backend says. No error shows a password.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// let store = nodestore::open("memory:").await?;
/// assert_eq!(store.name(), "memory");
/// # Ok(())
/// # }
/// ```
pub async fn open(url: &str) -> Result<Arc<dyn Backend>> {
    Registry::new().open(url).await
}

/// Opens the store of a URL with settings beside it; as [`open`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// use nodestore::OpenOptions;
///
/// let options = OpenOptions::default().with_namespace("tests");
/// let store = nodestore::open_with("memory:", &options).await?;
/// # Ok(())
/// # }
/// ```
pub async fn open_with(url: &str, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
    Registry::new().open_with(url, options).await
}
