//! URLs in the form in which Python keeps them (the WHATWG URL standard), as far as hashes need it.

use std::fmt::Write;

/// The serialised form of a URL: scheme and host in lower case, no default port, no dot segments, and what may not
/// stand in a URL percent-encoded. A text that is no URL stays as it is; so does a host outside ASCII.
pub(super) fn normalize_url(url: &str) -> String {
    let trimmed: String =
        url.trim_matches(|c: char| c <= ' ').chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let Some((scheme, rest)) = trimmed.split_once(':') else { return url.to_owned() };
    let is_scheme_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme_part) {
        return url.to_owned();
    }
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" | "ws" => Some(":80"),
        "https" | "wss" => Some(":443"),
        "ftp" => Some(":21"),
        _ => None,
    };
    let is_special = default_port.is_some() || scheme == "file";
    let (rest, fragment) = split_at_char(rest, '#');
    let (rest, query) = split_at_char(rest, '?');
    let hierarchy = if is_special { rest.replace('\\', "/") } else { rest.to_owned() };

    let mut out = format!("{scheme}:");
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => {
            // More slashes than two before the host of a web address mean nothing.
            let rest = if default_port.is_some() { rest.trim_start_matches('/') } else { rest };
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(authority), path)
        }
        None => (None, hierarchy.as_str()),
    };
    if let Some(authority) = authority {
        out.push_str("//");
        push_authority(&mut out, authority, default_port, is_special);
    }
    if path.starts_with('/') || (is_special && authority.is_some()) {
        push_path(&mut out, path);
    } else {
        // A path that is no hierarchy (`data:…`, `mailto:…`) keeps its spaces and quotes.
        push_encoded(&mut out, path, "");
    }
    if let Some(query) = query {
        out.push('?');
        push_encoded(&mut out, query, if is_special { " \"#<>'" } else { " \"#<>" });
    }
    if let Some(fragment) = fragment {
        out.push('#');
        push_encoded(&mut out, fragment, " \"<>`");
    }
    out
}

fn split_at_char(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn push_authority(out: &mut String, authority: &str, default_port: Option<&str>, is_special: bool) {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    if !user.is_empty() {
        let (name, password) = split_at_char(user, ':');
        push_encoded(out, name, USER_INFO);
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            out.push(':');
            push_encoded(out, password, USER_INFO);
        }
        out.push('@');
    }
    let host = default_port.and_then(|port| host.strip_suffix(port)).unwrap_or(host);
    let host = host.strip_suffix(':').unwrap_or(host);
    if is_special {
        out.push_str(&host.to_ascii_lowercase());
    } else {
        push_encoded(out, host, "");
    }
}

const USER_INFO: &str = " \"#<>?`{}/:;=@[\\]^|";

fn push_path(out: &mut String, path: &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let dots = part.to_ascii_lowercase().replace("%2e", ".");
        if dots == ".." {
            segments.pop();
        } else if dots != "." {
            segments.push(part);
            continue;
        }
        // A dot segment at the end leaves the slash before it.
        if parts.peek().is_none() {
            segments.push("");
        }
    }
    for segment in segments {
        out.push('/');
        push_encoded(out, segment, " \"#<>?`{}");
    }
}

/// Percent-encodes controls, what is outside ASCII, and the characters of `also`.
fn push_encoded(out: &mut String, text: &str, also: &str) {
    for c in text.chars() {
        if matches!(c, ' '..='~') && !also.contains(c) {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String can not fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `str(pydantic.AnyUrl(url))` gives.
    #[test]
    fn agrees_with_python() {
        for (url, expected) in [
            ("https://h", "https://h/"),
            (
                "HTTPS://ExAmple.COM:443/a b/ä?q=a b'\"<>&ü#fr ag`é",
                "https://example.com/a%20b/%C3%A4?q=a%20b%27%22%3C%3E&%C3%BC#fr%20ag%60%C3%A9",
            ),
            ("http://h/a/../b/./c", "http://h/b/c"),
            ("http://h\\a", "http://h/a"),
            ("ftp://h:21", "ftp://h/"),
            ("file:///a b", "file:///a%20b"),
            ("mailto:a@b c", "mailto:a@b c"),
            ("custom://HOST/a b", "custom://HOST/a%20b"),
            ("data:image/png;base64,AA==", "data:image/png;base64,AA=="),
            ("s3://Bucket/key", "s3://Bucket/key"),
            ("http://h/%zz{}|^`\"", "http://h/%zz%7B%7D|^%60%22"),
            ("http://user:pa ss@h/", "http://user:pa%20ss@h/"),
            ("  http://h/x  ", "http://h/x"),
            ("http://h:8080?x", "http://h:8080/?x"),
            ("http://exa\tmple/", "http://example/"),
            ("http://h/a//b", "http://h/a//b"),
            ("http://[::1]/", "http://[::1]/"),
            ("custom://h", "custom://h"),
            ("http://h/..", "http://h/"),
            ("http://h/a/..", "http://h/"),
            ("http://h/%2e%2E/b", "http://h/b"),
            ("foo:/a/../b", "foo:/b"),
            ("http://h/a?", "http://h/a?"),
            ("http://h/#", "http://h/#"),
            ("http://h/[]~!$&'()*+,;=:@", "http://h/[]~!$&'()*+,;=:@"),
            ("no url", "no url"),
        ] {
            assert_eq!(normalize_url(url), expected, "{url}");
        }
    }
}
