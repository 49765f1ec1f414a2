//! What a MongoDB store is opened with.

use std::time::Duration;

use secrecy::SecretString;

/// The database of key-values, documents and indexes when none is named, as in LlamaIndex.
pub(crate) const KV_DATABASE: &str = "db_docstore";
/// The database of chats when none is named, as in LlamaIndex.
pub(crate) const CHAT_DATABASE: &str = "default";
/// The database of vectors when none is named, as in LlamaIndex.
pub(crate) const VECTOR_DATABASE: &str = "default_db";

/// What a MongoDB store is opened with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MongoConfig {
    /// The server's URL, `mongodb://` or `mongodb+srv://`.
    pub url: SecretString,
    /// Keeps stores on one server apart: all roles live in the database of this name, which
    /// [`drop_namespace`](store_core::Backend::drop_namespace) may drop. `None` (default): LlamaIndex's databases.
    pub namespace: Option<String>,
    /// The collection of chats; default `sessions`.
    pub chat_collection: String,
    /// The collection of the default vector set; default `default_collection`.
    pub vector_collection: String,
    /// How long one call may take; default 30 s.
    pub operation_timeout: Duration,
}

impl MongoConfig {
    /// The store at this URL, with every default.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            namespace: None,
            chat_collection: "sessions".to_owned(),
            vector_collection: "default_collection".to_owned(),
            operation_timeout: Duration::from_secs(30),
        }
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}
