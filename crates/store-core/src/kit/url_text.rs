//! Text in URLs: their parts, and what stands behind a `%`.

use crate::{Error, Result};

/// Decodes `%XX` (RFC 3986, section 2.1); `Config` for a `%` that is none, and for bytes that are no UTF-8. The
/// text is not shown: it may be a secret.
///
/// ```
/// assert_eq!(store_core::kit::url_text::decode("a%20b%C3%A9")?, "a bé");
/// assert!(store_core::kit::url_text::decode("100%").is_err());
/// # Ok::<(), store_core::Error>(())
/// ```
pub fn decode(text: &str) -> Result<String> {
    let refuse = || Error::config("a part of the URL has a % that is no %XX of UTF-8; write %25 for a %");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(refuse)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refuse())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

/// Parts `user:password@place?query`, what stands behind the `://` of a server's URL: the user with the password, the
/// place, the query, each as it stands there.
///
/// `Config` for a `#`, and as [`check_user`] says.
///
/// ```
/// use store_core::kit::url_text::split;
/// assert_eq!(split("me:s3cret@host:1/db?tls=true")?, (Some("me:s3cret"), "host:1/db", "tls=true"));
/// assert_eq!(split("host")?, (None, "host", ""));
/// assert!(split("me:s3?cret@host").is_err() && split("me:s@3?cret@host").is_err());
/// # Ok::<(), store_core::Error>(())
/// ```
pub fn split(text: &str) -> Result<(Option<&str>, &str, &str)> {
    if text.contains('#') {
        return Err(Error::config("the URL has a # in it; write %23 for it, also in a password"));
    }
    check_user(text)?;
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    Ok(match before.rsplit_once('@') {
        Some((user, place)) => (Some(user), place, query),
        None => (None, before, query),
    })
}

/// Refuses, as `Config`, an `@` behind the first `?` or `#` of what follows the `://` of a server's URL.
///
/// It may be the one after a password in which these are not encoded: parts of the password would be taken for a host or
/// for options, and shown.
///
/// ```
/// use store_core::kit::url_text::check_user;
/// assert!(check_user("me:s%233cret@host?tls=true#part").is_ok());
/// assert!(check_user("me:s?3cret@host").is_err() && check_user("host/?a=b#c@d").is_err());
/// ```
pub fn check_user(text: &str) -> Result<()> {
    let behind = text.find(['?', '#']).and_then(|place| text.get(place..));
    if behind.is_some_and(|behind| behind.contains('@')) {
        return Err(Error::config(
            "the URL has an @ behind a ? or a #; write %3F and %23 for these in a password, %40 for an @ in an option",
        ));
    }
    Ok(())
}

/// Name and port of `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for what is none of these.
///
/// ```
/// use store_core::kit::url_text::host_and_port;
///
/// assert_eq!(host_and_port("node1", 9042), Some(("node1", 9042)));
/// assert_eq!(host_and_port("[::1]:7000", 9042), Some(("::1", 7000)));
/// assert_eq!(host_and_port("node1:", 9042), None);
/// ```
#[must_use]
pub fn host_and_port(text: &str, default: u16) -> Option<(&str, u16)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (name, None),
                rest => (name, Some(rest.strip_prefix(':')?)),
            }
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    if name.is_empty() || name.contains(|c: char| "/?#@,%[]".contains(c) || c.is_whitespace()) {
        return None;
    }
    match port {
        None => Some((name, default)),
        Some(port) => port.parse().ok().filter(|port| *port > 0).map(|port| (name, port)),
    }
}

/// Encodes all but letters, digits and `-._~`, so that the text may stand in any part of a URL.
///
/// ```
/// assert_eq!(store_core::kit::url_text::encode("p@ss: é"), "p%40ss%3A%20%C3%A9");
/// ```
#[must_use]
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String can not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
