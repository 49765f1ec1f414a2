//! JSON that a backend keeps for itself.

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// What a stored JSON text says. `what` names it in the error, which is `Corrupt` and tells the place in the text:
/// serde's own errors show the values they meet, and those may be a user's.
pub fn stored_json<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = if error.is_data() { "has another form" } else { "is no JSON" };
        Error::corrupt(format!("{what} {why} (line {line}, column {column})"))
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::JsonObject;

    #[test]
    fn errors_tell_the_place_and_not_the_text() {
        assert_eq!(stored_json::<u8>("it", b"7").unwrap(), 7);
        for (json, told) in [
            (r#""s3cret""#, "its field x has another form (line 1, column 8)"),
            ("{\n\"a\" s3cret", "its field x is no JSON (line 2, column 5)"),
            ("", "its field x is no JSON (line 1, column 0)"),
        ] {
            let error = stored_json::<JsonObject>("its field x", json.as_bytes()).unwrap_err();
            assert_eq!(error.message(), told);
            assert!(error.source().is_none());
        }
    }
}
