//! The one error type of every store: what failed, where, on which key, and whether a retry helps.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The result of every fallible call in nodestore.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in terms a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something the caller configured (a table, an index, a database) is not there.
    /// A missing key is never an error: it is `None` or `false`.
    NotFound,
    /// An insert met an existing key; [`Error::failed`] lists exactly the existing ones.
    AlreadyExists,
    /// Another writer got in the way and the store gave up retrying.
    Conflict,
    /// The caller's data or arguments are wrong; nothing was written.
    InvalidInput,
    /// The store's configuration is wrong, or contradicts what the store already holds.
    Config,
    /// This backend does not offer the operation.
    Unsupported,
    /// Credentials are missing, wrong, or not allowed to do this.
    Unauthorized,
    /// The store cannot be reached, or can not serve right now.
    Unavailable,
    /// A deadline passed; the outcome of a write is unknown.
    Timeout,
    /// The store asks for a slower pace.
    Throttled,
    /// A size or count limit is exceeded; the message names key, size and limit. Nothing was written.
    LimitExceeded,
    /// Stored data could not be read back as what it should be.
    Corrupt,
    /// Anything else; see [`std::error::Error::source`].
    Other,
}

impl ErrorKind {
    /// Snake-case name, as used in logs and on the wire: `already_exists`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::InvalidInput => "invalid_input",
            Self::Config => "config",
            Self::Unsupported => "unsupported",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::LimitExceeded => "limit_exceeded",
            Self::Corrupt => "corrupt",
            Self::Other => "other",
        }
    }

    fn retry_helps(self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable | Self::Timeout | Self::Throttled)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a store: 8 bytes on the stack, everything a person needs behind it.
///
/// `Display` is one sentence (`redis kv.put_many docstore/data["a"]: value of 5 MB exceeds …`); the driver's
/// own error is the [`source`](StdError::source) and is not repeated in the sentence.
///
/// ```
/// use store_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Throttled, "write capacity exceeded")
///     .with_backend("dynamodb")
///     .with_operation("kv.put_many")
///     .with_key("a");
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), r#"dynamodb kv.put_many "a": write capacity exceeded"#);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    backend: Option<&'static str>,
    operation: Option<&'static str>,
    collection: Option<String>,
    key: Option<String>,
    retryable: bool,
    failed: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// What a message says of a write whose answer was lost.
    pub const UNKNOWN_WRITE: &'static str = "whether a write was made is not known";

    /// A new error; whether a retry helps follows from `kind` until [`Error::with_retryable`] says otherwise.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            backend: None,
            operation: None,
            collection: None,
            key: None,
            retryable: kind.retry_helps(),
            failed: Vec::new(),
            source: None,
        }))
    }

    /// [`ErrorKind::InvalidInput`]: the caller's data is wrong and nothing was written.
    #[must_use]
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// [`ErrorKind::Config`]: the configuration is wrong.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// [`ErrorKind::Corrupt`]: stored data can not be read back.
    #[must_use]
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::Unsupported`]: `backend` does not offer `operation`.
    #[must_use]
    pub fn unsupported(backend: &'static str, operation: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, "this backend does not offer the operation")
            .with_backend(backend)
            .with_operation(operation)
    }

    /// [`ErrorKind::Timeout`]: the error of a call that took longer than the configured time.
    #[must_use]
    pub fn timed_out(limit: Duration) -> Self {
        let message = format!("no answer within {} ms; {}", limit.as_millis(), Self::UNKNOWN_WRITE);
        Self::new(ErrorKind::Timeout, message)
    }

    /// [`ErrorKind::Unavailable`]: the error of every call after [`close`](crate::Backend::close).
    #[must_use]
    pub fn closed() -> Self {
        Self::new(ErrorKind::Unavailable, "the store was closed; open it again").with_retryable(false)
    }

    /// Names the backend (`"mongodb"`); the first name given stays.
    #[must_use]
    pub fn with_backend(mut self, backend: &'static str) -> Self {
        self.0.backend.get_or_insert(backend);
        self
    }

    /// Names the operation as `role.method` (`"kv.put_many"`); the last name given stands, so that an error
    /// carries the call the user made and not one that it made in turn.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Names the collection, table, index or file concerned.
    #[must_use]
    pub fn with_collection(mut self, collection: impl Into<String>) -> Self {
        self.0.collection = Some(collection.into());
        self
    }

    /// Names the key or id at fault.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// For a batch: the keys at fault (input errors) or not written (all other kinds).
    #[must_use]
    pub fn with_failed(mut self, failed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.failed = failed.into_iter().map(Into::into).collect();
        self
    }

    /// Attaches the underlying error, for example the driver's.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Overrides whether the same call may succeed when repeated.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// The kind, for `match`.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence alone, without backend, operation and key.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The backend's name, when known.
    #[must_use]
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// The operation as `role.method`, when known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The collection, table, index or file concerned.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.0.collection.as_deref()
    }

    /// The key or id at fault.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Whether the same call may succeed when repeated.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// For a batch: the keys at fault (`InvalidInput`, `LimitExceeded`, `AlreadyExists`), or for any other
    /// kind every key that was **not** written; what it does not name was written.
    #[must_use]
    pub fn failed(&self) -> &[String] {
        &self.0.failed
    }

    /// The underlying error as the driver's own type, if it is one.
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        let mut prefix = false;
        if let Some(backend) = inner.backend {
            write!(f, "{backend}")?;
            prefix = true;
        }
        if let Some(operation) = inner.operation {
            write!(f, "{}{operation}", if prefix { " " } else { "" })?;
            prefix = true;
        }
        if let Some(collection) = &inner.collection {
            write!(f, "{}{collection}", if prefix { " " } else { "" })?;
            prefix = true;
        }
        if let Some(key) = &inner.key {
            write!(f, "{}{key:?}", if prefix { " " } else { "" })?;
            prefix = true;
        }
        write!(f, "{}{}", if prefix { ": " } else { "" }, inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("message", &self.to_string())
            .field("retryable", &inner.retryable)
            .field("failed", &inner.failed)
            .field("source", &inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn display_names_the_place_and_not_the_source() {
        let error = Error::new(ErrorKind::Unavailable, "can not connect")
            .with_backend("redis")
            .with_operation("kv.get_many")
            .with_collection("docstore/data")
            .with_source(std::io::Error::other("refused"));
        assert_eq!(error.to_string(), "redis kv.get_many docstore/data: can not connect");
        assert!(error.is_retryable());
        assert_eq!(StdError::source(&error).unwrap().to_string(), "refused");
        assert!(error.downcast_ref::<std::io::Error>().is_some());
    }

    #[test]
    fn the_first_backend_stays_and_the_outermost_operation_stands() {
        let error =
            Error::config("x").with_backend("a").with_backend("b").with_operation("c").with_operation("d");
        assert_eq!((error.backend(), error.operation()), (Some("a"), Some("d")));
    }
}
