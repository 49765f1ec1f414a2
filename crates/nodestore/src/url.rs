//! Store URLs: the settings `store.namespace` and `store.create` split off, the rest left untouched.

use std::fmt;

use store_core::kit::settings::{self, Setting};
use store_core::kit::{check, url_text};
use store_core::{Error, Result};

use crate::OpenOptions;

/// What a [`Driver`](crate::Driver) is asked to open.
///
/// `Debug` shows the URL without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    scheme: String,
    url: String,
    namespace: Option<String>,
    create: Option<bool>,
}

impl Target {
    /// Splits a URL; settings in the URL and in `options` must not contradict each other.
    pub(crate) fn parse(url: &str, options: &OpenOptions) -> Result<Self> {
        let url = url.trim();
        let scheme = scheme(url)?;
        let mut target = Self { scheme, url: String::new(), namespace: None, create: None };
        target.url = target.take_our_settings(url).map_err(|error| error.with_operation("open"))?;
        settle("store.namespace", &mut target.namespace, options.namespace.clone())?;
        settle("store.create", &mut target.create, options.create)?;
        if let Some(namespace) = &target.namespace {
            check::plain_name("namespace", namespace).map_err(|error| error.with_operation("open"))?;
        }
        Ok(target)
    }

    /// The scheme, in lower case: `embedded`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The whole URL as given, without `store.namespace` and `store.create`. It may hold a password: see [`redact`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What follows the scheme and its colon: `///path?option=value`.
    #[must_use]
    pub fn rest(&self) -> &str {
        self.url.split_once(':').map_or("", |(_, rest)| rest)
    }

    /// Keeps stores on one server apart; `None` (default) = the backend's default names.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether what a role needs is created at its first use; `None` = the backend's own default.
    #[must_use]
    pub fn create(&self) -> Option<bool> {
        self.create
    }

    /// Reads the `store.*` settings of the query and answers the URL without them.
    fn take_our_settings(&mut self, url: &str) -> Result<String> {
        let (before_fragment, fragment) = split_at_char(url, '#');
        let (base, query) = split_at_char(before_fragment, '?');
        let Some(query) = query.strip_prefix('?') else { return Ok(url.to_owned()) };
        // Without a server there is no user.
        if let Some((_, behind)) = url.split_once("://").filter(|(_, behind)| !behind.starts_with('/')) {
            url_text::check_user(behind)?;
        }
        let mut theirs = Vec::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !matches!(key, "store.namespace" | "store.create") {
                theirs.push(pair);
                continue;
            }
            let value = settings::decoded(key, value)?;
            if key == "store.create" {
                settle(key, &mut self.create, Some(Setting { key, value: &value }.switch()?))?;
            } else {
                settle(key, &mut self.namespace, Some(value))?;
            }
        }
        let joint = if theirs.is_empty() { "" } else { "?" };
        Ok(format!("{base}{joint}{}{fragment}", theirs.join("&")))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("scheme", &self.scheme)
            .field("url", &redact(&self.url))
            .field("namespace", &self.namespace)
            .field("create", &self.create)
            .finish()
    }
}

/// The text up to the first `mark`, and the rest with it.
fn split_at_char(text: &str, mark: char) -> (&str, &str) {
    text.split_at(text.find(mark).unwrap_or(text.len()))
}

/// Keeps a setting that is given once, or several times alike.
fn settle<T: PartialEq>(key: &str, slot: &mut Option<T>, value: Option<T>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    if slot.as_ref().is_some_and(|old| *old != value) {
        return Err(config(format!("{key} is given twice with different values; keep one of them")));
    }
    *slot = Some(value);
    Ok(())
}

/// The scheme in lower case.
fn scheme(url: &str) -> Result<String> {
    if url.is_empty() {
        return Err(config("the store URL is empty; give one such as embedded:///path/to/folder or memory:"));
    }
    match url.split_once(':') {
        Some((scheme, _)) if is_url(url) => Ok(scheme.to_ascii_lowercase()),
        _ => Err(config(no_scheme(url))),
    }
}

/// Whether a text begins with a scheme, as store URLs do; otherwise it may be a path. A single letter before the
/// colon is a drive, and a colon behind a slash is part of a path.
///
/// ```
/// use nodestore::is_url;
/// assert!(is_url("memory:") && is_url("embedded:///data/kb"));
/// assert!(!is_url("/data/kb") && !is_url("./a:b") && !is_url(r"C:\kb"));
/// ```
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| scheme.len() > 1 && is_scheme(scheme))
}

fn is_scheme(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(part)
}

/// What to say about a text without a scheme: most often it is a folder.
fn no_scheme(text: &str) -> String {
    let shown = redact(text);
    if shown != text {
        return format!("{shown:?} has no scheme; a store URL looks like redis://… or embedded:///path");
    }
    match std::path::absolute(text) {
        Ok(path) => format!("{text:?} is a path, not a store URL; write {}", embedded_url(&path)),
        Err(_) => format!("{text:?} is no store URL; for a folder write embedded:///path/to/folder"),
    }
}

/// The URL of the embedded store in a folder; what a URL reserves (`%`, `?`, `#`) is percent-encoded.
///
/// Give an absolute path, so that the URL means the same folder everywhere. Characters that are not Unicode are
/// replaced.
///
/// ```
/// assert_eq!(nodestore::embedded_url("/data/my store".as_ref()), "embedded:///data/my store");
/// assert_eq!(nodestore::embedded_url("/data/50%?".as_ref()), "embedded:///data/50%25%3F");
/// ```
#[must_use]
pub fn embedded_url(path: &std::path::Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("embedded://{path}")
}

/// A URL that can be shown: passwords, tokens and keys are replaced by `***`. In doubt it hides too much.
///
/// ```
/// use nodestore::redact;
/// assert_eq!(redact("redis://app:s3cret@db:6379/0"), "redis://app:***@db:6379/0");
/// assert_eq!(redact("mongodb://db/?tls=true&tlsCertificateKeyFilePassword=x"),
///            "mongodb://db/?tls=true&tlsCertificateKeyFilePassword=***");
/// ```
#[must_use]
pub fn redact(url: &str) -> String {
    // The slashes come right behind a scheme, or first; elsewhere they are part of something else.
    let behind_scheme = url.find("//").filter(|place| {
        let before = url.get(..*place).unwrap_or_default();
        before.is_empty() || before.strip_suffix(':').is_some_and(is_scheme)
    });
    let (start, after_slashes) = url.split_at(behind_scheme.map_or(0, |place| place + 2));
    let (hidden_user, rest) = redact_user(after_slashes);
    let (base, query) = split_at_char(rest, '?');
    let Some(query) = query.strip_prefix('?') else { return format!("{start}{hidden_user}{base}") };
    let (query, fragment) = split_at_char(query, '#');
    let pairs: Vec<String> = query.split('&').map(redact_pair).collect();
    format!("{start}{hidden_user}{base}?{}{fragment}", pairs.join("&"))
}

/// The user part, hidden, and what follows it. A password may hold any character that ought to be encoded, so
/// everything up to the last `@` counts as its own, even behind a `?`.
fn redact_user(text: &str) -> (String, &str) {
    let Some(at) = text.rfind('@') else { return (String::new(), text) };
    if text.starts_with('/') {
        // No server, so no user: a path, in which an `@` is just a character.
        return (String::new(), text);
    }
    let (user, rest) = text.split_at(at);
    match user.split_once(':') {
        Some((name, _)) => (format!("{name}:***"), rest),
        // A token alone may stand where the name does.
        None => ("***".to_owned(), rest),
    }
}

fn redact_pair(pair: &str) -> String {
    const SECRET: [&str; 9] =
        ["pass", "pwd", "secret", "token", "credential", "accesskey", "apikey", "authmechanismprop", "%"];
    let Some((key, _)) = pair.split_once('=') else { return pair.to_owned() };
    let plain = key.to_ascii_lowercase().replace(['_', '-', '.'], "");
    if SECRET.iter().any(|word| plain.contains(word)) { format!("{key}=***") } else { pair.to_owned() }
}

/// An error of opening.
pub(crate) fn config(message: impl Into<String>) -> Error {
    Error::config(message).with_operation("open")
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
