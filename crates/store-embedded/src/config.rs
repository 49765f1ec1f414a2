//! What an embedded store is opened with.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use store_core::kit::settings::{self, Setting};
use store_core::kit::url_text;
use store_core::{Error, Result};

use crate::error::NAME;

/// The namespace of a store opened without naming one.
pub const DEFAULT_NAMESPACE: &str = "default";

const DEFAULT_CACHE_BYTES: usize = 64 << 20;
const MAX_NAMESPACE_BYTES: usize = 64;
/// Settings of ours in a URL, in order.
const OWN: [&str; 3] = ["store.cache_bytes", "store.create", "store.namespace"];

/// What an embedded store is opened with.
///
/// ```
/// use store_embedded::EmbeddedConfig;
///
/// let config = EmbeddedConfig::new("/var/lib/answers").with_namespace("news");
/// assert_eq!(config, "/var/lib/answers?store.namespace=news".parse()?);
/// # Ok::<(), store_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct EmbeddedConfig {
    /// The store's folder. No default: an empty path is refused.
    pub path: PathBuf,
    /// Keeps stores in one folder apart: 1 to 64 of `a-z`, `0-9`, `_` and `-`, a letter first. Default
    /// `"default"`.
    pub namespace: String,
    /// Whether opening makes the folder and the store when they are absent; default `true`. Otherwise that is
    /// [`store_core::ErrorKind::NotFound`].
    pub create: bool,
    /// Bytes of memory for the engine's page cache; default 64 MiB. A folder that is open already in this
    /// process keeps the size it was opened with.
    pub cache_bytes: usize,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            create: true,
            cache_bytes: DEFAULT_CACHE_BYTES,
        }
    }
}

impl EmbeddedConfig {
    /// The store in this folder, with every default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Says whether an absent store is made.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets the bytes of memory for the engine's page cache.
    #[must_use]
    pub fn with_cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Refuses an empty path and a namespace that is no plain name.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            return Err(Error::config("the store's path is empty; name a folder").with_backend(NAME));
        }
        let name = self.namespace.as_bytes();
        let plain = name.first().is_some_and(u8::is_ascii_lowercase)
            && name.len() <= MAX_NAMESPACE_BYTES
            && name
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(byte));
        if !plain {
            let message = format!(
                "the namespace {:?} is no plain name: use 1 to {MAX_NAMESPACE_BYTES} of a-z, 0-9, _ and -, \
                 beginning with a letter",
                self.namespace
            );
            return Err(Error::invalid_input(message).with_backend(NAME));
        }
        Ok(())
    }
}

/// Reads what stands behind the scheme of a URL: a path, and perhaps `?store.namespace=…&store.create=…&
/// store.cache_bytes=…`. Path and values are percent-decoded; a leading `//` (of `embedded:///path`) is dropped.
impl FromStr for EmbeddedConfig {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.strip_prefix("//").unwrap_or(text);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let decode = |text: &str| url_text::decode(text).map_err(|error| error.with_backend(NAME));
        let mut config = Self::new(decode(path)?);
        let read = || {
            let unknown = |key: &str| settings::unknown(key, &OWN, &[]);
            let hint = "write %3F for a ? in the path";
            for (key, value) in settings::read_query(query, hint, |key, _| Err(unknown(key)))? {
                let setting = Setting { key: &key, value: &value };
                match setting.key {
                    "store.namespace" => config.namespace = value,
                    "store.create" => config.create = setting.switch()?,
                    "store.cache_bytes" => config.cache_bytes = setting.parsed("a number of bytes")?,
                    _ => return Err(unknown(&key)),
                }
            }
            Ok(config)
        };
        read().map_err(|error: Error| error.with_backend(NAME))
    }
}

#[cfg(test)]
mod tests {
    use store_core::ErrorKind;

    use super::*;

    #[test]
    fn reads_what_stands_behind_the_scheme() {
        let parse = |text: &str| text.parse::<EmbeddedConfig>();
        assert_eq!(parse("///data/a").unwrap(), EmbeddedConfig::new("/data/a"));
        assert_eq!(parse("//data/a").unwrap(), EmbeddedConfig::new("data/a"));
        assert_eq!(
            parse("/my%20data/%C3%A9?store.namespace=n&store.create=false&store.cache_bytes=1048576")
                .unwrap(),
            EmbeddedConfig::new("/my data/é")
                .with_namespace("n")
                .with_create(false)
                .with_cache_bytes(1 << 20)
        );
    }

    #[test]
    fn refuses_what_it_can_not_read_and_says_what_it_knows() {
        for text in
            ["/a?store.cache=1", "/a?store.create=yes", "/a?store.cache_bytes=1k", "/100%", "/%ff", "/%+1"]
        {
            let error = text.parse::<EmbeddedConfig>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{text}");
        }
        let error = "/a?store.cache=1".parse::<EmbeddedConfig>().unwrap_err();
        assert!(error.message().contains("store.cache_bytes"), "{error}");
    }

    #[test]
    fn serde_refuses_unknown_fields_and_fills_in_the_rest() {
        let config: EmbeddedConfig = serde_json::from_str(r#"{"path": "/a"}"#).unwrap();
        assert_eq!(config, EmbeddedConfig::new("/a"));
        assert!(serde_json::from_str::<EmbeddedConfig>(r#"{"path": "/a", "cache": 1}"#).is_err());
    }

    #[test]
    fn namespaces_are_plain_names() {
        let check = |name: &str| EmbeddedConfig::new("/a").with_namespace(name).validate();
        for good in ["a", "news-2024_x", &"a".repeat(64)] {
            check(good).unwrap();
        }
        for bad in ["", "1a", "A", "a/b", "a.b", "é", &"a".repeat(65)] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
        assert_eq!(EmbeddedConfig::default().validate().unwrap_err().kind(), ErrorKind::Config);
    }
}
