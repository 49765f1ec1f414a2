//! What an endpoint is asked, and how.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use store_core::{Error, Result};

/// Settings of an [`OpenAiEmbedder`](crate::OpenAiEmbedder).
///
/// `Debug` shows no key and no password.
#[derive(Clone)]
pub struct OpenAiConfig {
    pub(super) base_url: String,
    pub(super) model: String,
    pub(super) api_key: Option<SecretString>,
    pub(super) api_key_env: Option<String>,
    pub(super) dimensions: Option<usize>,
    pub(super) batch_texts: usize,
    pub(super) batch_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) concurrency: usize,
    pub(super) retry_for: Duration,
    pub(super) attempts: usize,
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("base_url", &crate::redact(&self.base_url))
            .field("model", &self.model)
            .field("api_key", &self.api_key)
            .field("api_key_env", &self.api_key_env)
            .field("dimensions", &self.dimensions)
            .field("batch_texts", &self.batch_texts)
            .field("batch_bytes", &self.batch_bytes)
            .field("timeout", &self.timeout)
            .field("concurrency", &self.concurrency)
            .field("retry_for", &self.retry_for)
            .field("attempts", &self.attempts)
            .finish()
    }
}

impl OpenAiConfig {
    /// An endpoint and a model: `https://api.openai.com/v1` and `text-embedding-3-small`, or a server on this machine,
    /// `http://127.0.0.1:8080/v1`. Requests go to the path `/embeddings` below the URL, and keep its query.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            api_key_env: None,
            dimensions: None,
            batch_texts: 96,
            batch_bytes: 256 * 1024,
            timeout: Duration::from_mins(1),
            concurrency: 4,
            retry_for: Duration::from_mins(2),
            attempts: 12,
        }
    }

    /// Sets the key, sent as `Authorization: Bearer …`; default none, as servers on one's own machine have it.
    #[must_use]
    pub fn with_api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Takes the key from an environment variable, where it is set and not empty, and names the variable when the
    /// endpoint refuses.
    #[must_use]
    pub fn with_api_key_env(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let key = std::env::var(&name).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        self.api_key = key.map(SecretString::from);
        self.api_key_env = Some(name);
        self
    }

    /// Asks for shorter embeddings, which some models offer: sent as `dimensions`. Default: the model's own.
    #[must_use]
    pub fn with_dimensions(mut self, dimensions: usize) -> Self {
        self.dimensions = Some(dimensions);
        self
    }

    /// Sets the most texts in one request; default 96, at least 1. Where an endpoint refuses a request but not its
    /// halves, the embedder goes on with smaller ones.
    #[must_use]
    pub fn with_batch_texts(mut self, texts: usize) -> Self {
        self.batch_texts = texts.max(1);
        self
    }

    /// Sets the most bytes of text in one request; default 262,144. A longer text goes alone.
    #[must_use]
    pub fn with_batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes.max(1);
        self
    }

    /// Sets how long one request may take; default 60 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the most requests at one time, over all calls; default 4, at least 1.
    #[must_use]
    pub fn with_concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, 1024);
        self
    }

    /// Sets how long a request may be repeated, from its first attempt; default two minutes.
    #[must_use]
    pub fn with_retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Sets the most attempts for one request; default 12, at least 1, which repeats none.
    #[must_use]
    pub fn with_attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The URL of the requests.
    pub(super) fn url(&self) -> Result<Url> {
        // The parser's words say what is wrong and not what the URL holds.
        let mut url = Url::parse(self.base_url.trim()).map_err(|error| {
            Error::config(format!("the embedder's URL {} is none: {error}", self.shown_url()))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::config(format!(
                "the embedder's URL {} does not begin with http:// or https://",
                self.shown_url()
            )));
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/embeddings").unwrap_or(path);
        url.set_path(&format!("{path}/embeddings"));
        url.set_fragment(None);
        Ok(url)
    }

    /// The URL without secrets.
    pub(super) fn shown_url(&self) -> String {
        crate::redact(self.base_url.trim())
    }

    /// Replaces the key and the URL's password in what an endpoint said.
    pub(super) fn hide_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let password =
            Url::parse(self.base_url.trim()).ok().and_then(|url| url.password().map(str::to_owned));
        let key = self.api_key.as_ref().map(ExposeSecret::expose_secret);
        for secret in key.into_iter().chain(password.as_deref()).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "***");
        }
        text
    }

    /// What to say about the key when the endpoint refuses it.
    pub(super) fn about_key(&self) -> String {
        match (&self.api_key_env, &self.api_key) {
            (Some(name), Some(_)) => {
                format!("the key in the environment variable {name} is wrong or may not do this")
            }
            (Some(name), None) => format!("it wants a key, and the environment variable {name} holds none"),
            (None, Some(_)) => "the key is wrong or may not do this".to_owned(),
            (None, None) => "it wants a key, and none was given".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(base: &str) -> String {
        OpenAiConfig::new(base, "m").url().unwrap().to_string()
    }

    #[test]
    fn requests_go_below_the_base_url() {
        for base in ["http://h:1/v1", "http://h:1/v1/", " http://h:1/v1/embeddings "] {
            assert_eq!(url(base), "http://h:1/v1/embeddings");
        }
        assert_eq!(url("http://h"), "http://h/embeddings");
        assert_eq!(url("https://h/a?api-version=2"), "https://h/a/embeddings?api-version=2");
        for wrong in ["", "h", "ftp://h", "http://"] {
            assert!(OpenAiConfig::new(wrong, "m").url().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let config = OpenAiConfig::new("http://me:s3cret@h/v1", "m").with_api_key("sk-12345");
        let shown = format!(
            "{config:?} {} {}",
            config.shown_url(),
            config.hide_secrets("sk-12345 of s3cret is wrong")
        );
        assert!(!shown.contains("s3cret") && !shown.contains("12345"), "{shown}");
        assert!(shown.ends_with("*** of *** is wrong"));
        let wrong = OpenAiConfig::new("ftp://me:s3cret@h/v1", "m").url().unwrap_err();
        assert!(!format!("{wrong:?}").contains("s3cret"));
    }
}
