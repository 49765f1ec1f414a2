//! The store's URL, `dynamodb://region/table?…`. No message shows any part that may be a secret.

use secrecy::SecretString;
use store_core::kit::settings::{self, Pairs, decoded_secret, millis, must_be, parsed, put};
use store_core::kit::url_text;
use store_core::{Error, Result};

use super::connection::{DynamoDbConnection, DynamoDbRetryMode};
use super::{DynamoDbConfig, refused};

/// Settings of the connection.
const KNOWN: [&str; 10] = [
    "attempt_timeout_ms",
    "connect_timeout_ms",
    "endpoint_url",
    "max_attempts",
    "profile",
    "read_timeout_ms",
    "retry_mode",
    "session_token",
    "use_dual_stack",
    "use_fips",
];
/// How an access key is written.
const KEY: &str = "write the access key before the region, id:secret@region, with %XX for what is no letter and no digit in it";

/// The error of a setting that nobody knows.
pub(super) fn unknown(key: &str) -> Error {
    settings::unknown(key, &super::OWN, &KNOWN)
}

/// Reads a URL: the configuration without settings of ours, and these.
pub(super) fn read(url: &str) -> Result<(DynamoDbConfig, Pairs)> {
    let Some((_, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("dynamodb"))
    else {
        return Err(refused("the URL does not begin with dynamodb://"));
    };
    let (user, place, query) = url_text::split(rest).map_err(|error| refused(error.message()))?;
    let (region, table) = place.split_once('/').unwrap_or((place, ""));
    let table = table.strip_suffix('/').unwrap_or(table);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());

    let mut connection = DynamoDbConnection { region: some(region), ..DynamoDbConnection::default() };
    if let Some(user) = user {
        read_key(&mut connection, user)?;
    }
    let hint = format!("if it is of a secret, {KEY}");
    let own = settings::read_query(query, &hint, |key, value| set(&mut connection, key, value))?;
    Ok((DynamoDbConfig { connection, table: some(table), ..DynamoDbConfig::default() }, own))
}

fn read_key(connection: &mut DynamoDbConnection, text: &str) -> Result<()> {
    let Some((id, secret)) = text.split_once(':') else {
        return Err(refused(format!("the URL has an access key without a secret; {KEY}")));
    };
    let decoded = |text: &str| {
        decoded_secret(text).ok_or_else(|| refused(format!("the access key can not be read; {KEY}")))
    };
    connection.access_key_id = Some(decoded(id)?);
    connection.secret_access_key = Some(SecretString::from(decoded(secret)?));
    Ok(())
}

fn set(connection: &mut DynamoDbConnection, key: &str, value: String) -> Result<()> {
    match key {
        "endpoint_url" => put(key, &mut connection.endpoint_url, value),
        "profile" => put(key, &mut connection.profile, value),
        "session_token" => put(key, &mut connection.session_token, SecretString::from(value)),
        "use_fips" => put(key, &mut connection.use_fips, parsed(key, &value, "true or false")?),
        "use_dual_stack" => put(key, &mut connection.use_dual_stack, parsed(key, &value, "true or false")?),
        "connect_timeout_ms" => put(key, &mut connection.connect_timeout, millis(key, &value)?),
        "read_timeout_ms" => put(key, &mut connection.read_timeout, millis(key, &value)?),
        "attempt_timeout_ms" => put(key, &mut connection.attempt_timeout, millis(key, &value)?),
        "max_attempts" => put(key, &mut connection.max_attempts, parsed(key, &value, "a whole number")?),
        "retry_mode" => {
            let mode = match value.as_str() {
                "standard" => DynamoDbRetryMode::Standard,
                "adaptive" => DynamoDbRetryMode::Adaptive,
                _ => return Err(must_be(key, "standard or adaptive")),
            };
            put(key, &mut connection.retry_mode, mode)
        }
        _ => Err(unknown(key)),
    }
}
