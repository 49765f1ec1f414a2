//! The store's URL.

use secrecy::SecretString;
use store_core::{Error, Result, url_text};

use super::{DynamoDbConfig, refused};

/// Settings that are ours.
const OWN: &str = "store.namespace, store.create, store.consistent_reads, store.operation_timeout_ms";
/// Settings of the connection.
const KNOWN: &str = "endpoint_url";

/// The error of a setting that nobody knows.
pub(super) fn unknown(key: &str) -> Error {
    refused(format!("unknown option {key:?} in the URL; known are {OWN}, {KNOWN}"))
}

/// Reads a URL into a configuration.
pub(super) fn read(url: &str, config: &mut DynamoDbConfig) -> Result<()> {
    let Some(rest) = url.strip_prefix("dynamodb://") else {
        return Err(refused("the URL does not begin with dynamodb://"));
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, place) = before.rsplit_once('@').map_or((None, before), |(user, rest)| (Some(user), rest));
    let (region, table) = place.split_once('/').unwrap_or((place, ""));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    config.connection.region = some(region);
    config.table = some(table);
    if let Some(user) = user {
        let (id, secret) = user.split_once(':').ok_or_else(|| {
            refused("the URL has an access key without a secret; write id:secret@region, with %XX for / and + in it")
        })?;
        config.connection.access_key_id = Some(url_text::decode(id)?);
        config.connection.secret_access_key = Some(SecretString::from(url_text::decode(secret)?));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value =
            url_text::decode(value).map_err(|error| refused(format!("{key}: {}", error.message())))?;
        match key {
            "endpoint_url" => config.connection.endpoint_url = Some(value),
            key => config.set(key, value)?,
        }
    }
    Ok(())
}
