//! The settings of a store, as its URL, a variable of the environment or a file gives them, for those who write a
//! backend. Errors are `Config` and name the setting; one of the connection, which may be a secret, is never shown.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::kit::url_text;
use crate::{Error, Result};

/// What the keys of our own settings in a URL begin with.
const OWN: &str = "store.";

/// Keys and decoded values of a URL.
pub type Pairs = Vec<(String, String)>;

/// Reads settings from the URL in a variable; `example` is what the variable should be set to.
pub fn from_env<C: FromStr<Err = Error>>(variable: &str, example: &str) -> Result<C> {
    let url = std::env::var(variable)
        .map_err(|_| Error::config(format!("the variable {variable} is not set; set it to {example}")))?;
    url.parse()
}

/// Takes our own settings out of a URL: the URL without them, and these.
pub fn take_own(url: &str) -> Result<(String, Pairs)> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // Before anything of it can be shown.
    url_text::split(rest)?;
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), Vec::new())) };
    let (own, theirs): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with(OWN));
    let own = own.into_iter().map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((key.to_owned(), decoded(key, value)?))
    });
    let joint = if theirs.is_empty() { "" } else { "?" };
    Ok((format!("{base}{joint}{}", theirs.join("&")), own.collect::<Result<_>>()?))
}

/// Reads the query of a URL: our own settings are answered, each at most once, others go to `set`. `hint` is what to do
/// about a part that is no `key=value`: a secret that is not encoded may have taken the URL apart.
pub fn read_query(query: &str, hint: &str, mut set: impl FnMut(&str, String) -> Result<()>) -> Result<Pairs> {
    let mut own = Pairs::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::config(format!("a part of the URL's query is no key=value; {hint}")));
        };
        let value = decoded(key, value)?;
        if !key.starts_with(OWN) {
            set(key, value)?;
        } else if own.iter().any(|(other, _)| other == key) {
            return Err(repeated(key));
        } else {
            own.push((key.to_owned(), value));
        }
    }
    Ok(own)
}

/// A user's name or a secret before the `@` of a URL; `None` where it is empty, or not encoded as it must be.
#[must_use]
pub fn decoded_secret(text: &str) -> Option<String> {
    let decoded = url_text::decode(text).ok().filter(|_| !text.contains([':', '/', '@']))?;
    (!decoded.is_empty()).then_some(decoded)
}

/// The value of a setting, decoded.
pub fn decoded(key: &str, value: &str) -> Result<String> {
    url_text::decode(value).map_err(|error| Error::config(format!("{key}: {}", error.message())))
}

/// Keeps a setting of the connection that a URL may have once.
pub fn put<T>(key: &str, slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.replace(value).is_some() { Err(repeated(key)) } else { Ok(()) }
}

/// A setting of the connection; `what` is what it must be.
pub fn parsed<T: FromStr>(key: &str, value: &str, what: &str) -> Result<T> {
    value.parse().map_err(|_| must_be(key, what))
}

/// A setting of the connection in milliseconds.
pub fn millis(key: &str, value: &str) -> Result<Duration> {
    parsed(key, value, "a number of milliseconds").map(Duration::from_millis)
}

/// The error of a setting of the connection that must be something else.
#[must_use]
pub fn must_be(key: &str, what: &str) -> Error {
    Error::config(format!("{key} must be {what}"))
}

/// The error of a setting that is in a URL twice.
#[must_use]
pub fn repeated(key: &str) -> Error {
    Error::config(format!("{key} is in the URL twice; keep one of them"))
}

/// The error of a setting that nobody knows: `own` are ours, `connection` those of the connection.
#[must_use]
pub fn unknown(key: &str, own: &[&str], connection: &[&str]) -> Error {
    let connection = if key.starts_with(OWN) { &[] } else { connection };
    let known = [own, connection].concat().join(", ");
    Error::config(format!("unknown option {key:?} in the URL; known are {known}"))
}

/// One of our own settings, which may be shown.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Its key: `store.create`.
    pub key: &'a str,
    /// Its value, decoded.
    pub value: &'a str,
}

impl Setting<'_> {
    /// The error of a value that must be something else.
    #[must_use]
    pub fn must_be(self, what: &str) -> Error {
        Error::config(format!("the option {} is {:?}; it must be {what}", self.key, self.value))
    }

    /// The value; `what` is what it must be.
    pub fn parsed<T: FromStr>(self, what: &str) -> Result<T> {
        self.value.parse().map_err(|_| self.must_be(what))
    }

    /// A bool.
    pub fn switch(self) -> Result<bool> {
        self.parsed("true or false")
    }

    /// A whole number.
    pub fn number<T: FromStr>(self) -> Result<T> {
        self.parsed("a whole number")
    }

    /// A time in seconds.
    pub fn seconds(self) -> Result<Duration> {
        self.parsed("a number of seconds").map(Duration::from_secs)
    }

    /// A time in milliseconds.
    pub fn millis(self) -> Result<Duration> {
        self.parsed("a number of milliseconds").map(Duration::from_millis)
    }
}

/// Refuses a time for a call in which none could succeed.
pub fn check_operation_timeout(timeout: Duration) -> Result<()> {
    if timeout.is_zero() {
        return Err(Error::config("the operation timeout is zero, so no call could succeed"));
    }
    Ok(())
}

/// Refuses a time to live of chats under a second.
pub fn check_chat_ttl(ttl: Option<Duration>) -> Result<()> {
    if ttl.is_some_and(|ttl| ttl < Duration::from_secs(1)) {
        return Err(Error::config(
            "the time to live of chats is less than a second; leave it out to keep them for ever",
        ));
    }
    Ok(())
}

/// For serde's `deserialize_with`: a secret.
pub fn secret<'de, D: Deserializer<'de>, S: From<String>>(deserializer: D) -> Result<S, D::Error> {
    String::deserialize(deserializer).map(S::from)
}

/// For serde's `deserialize_with`: a secret that may be missing.
pub fn optional_secret<'de, D: Deserializer<'de>, S: From<String>>(
    deserializer: D,
) -> Result<Option<S>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(S::from))
}

/// For serde's `deserialize_with`: a time in milliseconds.
pub fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// For serde's `deserialize_with`: a time in milliseconds that may be missing.
pub fn from_optional_millis<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
}

/// For serde's `deserialize_with`: a time in seconds that may be missing.
pub fn from_optional_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_settings_come_out_of_a_url_and_the_rest_stays() {
        let (url, own) = take_own("x://h/?a=%20&store.b=%20c&d=1&store.e").unwrap();
        assert_eq!(url, "x://h/?a=%20&d=1");
        assert_eq!(own, [("store.b".to_owned(), " c".to_owned()), ("store.e".to_owned(), String::new())]);
        assert_eq!(take_own("x://h?store.a=1").unwrap().0, "x://h");
        assert_eq!(take_own("x://h").unwrap(), ("x://h".to_owned(), Vec::new()));
        assert!(take_own("x://h?store.a=%").is_err());
    }

    #[test]
    fn a_query_is_read_once_each_and_never_shown() {
        let mut theirs = Pairs::new();
        let mut set = |key: &str, value: String| {
            theirs.push((key.to_owned(), value));
            Ok(())
        };
        assert_eq!(read_query("a=%31&&store.b=2", "hint", &mut set).unwrap().len(), 1);
        assert!(read_query("store.b=1&store.b=1", "hint", &mut set).unwrap_err().message().contains("twice"));
        let error = read_query("s3cret", "write it so", &mut set).unwrap_err();
        assert!(error.message().ends_with("write it so") && !error.message().contains("s3cret"), "{error}");
        assert_eq!(theirs, [("a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn settings_name_themselves_and_what_they_must_be() {
        let setting = Setting { key: "store.create", value: "yes" };
        let told = setting.switch().unwrap_err();
        assert_eq!(told.message(), r#"the option store.create is "yes"; it must be true or false"#);
        assert_eq!(parsed::<u8>("n", "s3cret", "a number").unwrap_err().message(), "n must be a number");
        let own = unknown("store.x", &["store.a"], &["b"]);
        assert_eq!(own.message(), r#"unknown option "store.x" in the URL; known are store.a"#);
        let theirs = unknown("x", &["store.a"], &["b"]);
        assert_eq!(theirs.message(), r#"unknown option "x" in the URL; known are store.a, b"#);
        assert_eq!(decoded_secret("p%40ss").as_deref(), Some("p@ss"));
        assert!(["", "a@b", "a:b", "%"].into_iter().all(|text| decoded_secret(text).is_none()));
    }
}
