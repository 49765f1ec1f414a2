//! Values of the caller's own types, as JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// A value as JSON; `InvalidInput` for one that can not be written so.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::invalid_input(format!("the value can not be written as JSON: {error}")).with_source(error)
    })
}

/// A value from its JSON; `Corrupt` for one of another type.
pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        Error::corrupt(format!("what is stored is no value of the type asked for: {error}"))
            .with_source(error)
    })
}
