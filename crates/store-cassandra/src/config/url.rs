//! The store's URL, `cassandra://user:password@host,host:port/keyspace?…`. No message shows any part that may be a
//! secret.

use std::path::PathBuf;

use secrecy::SecretString;
use store_core::kit::settings::{self, Pairs, decoded_secret, millis, must_be, parsed, put};
use store_core::kit::url_text::{self, host_and_port};
use store_core::{Error, Result};

use super::connection::{CassandraBalancingPolicy, CassandraCompression, CassandraConnection};
use super::{CassandraConfig, refused};

/// Settings of the connection.
const KNOWN: [&str; 12] = [
    "compression",
    "connectTimeoutMS",
    "datacenter",
    "load_balancing",
    "poolSize",
    "reconnectMaxDelayMS",
    "speculativeDelayMS",
    "tls",
    "tlsCAFile",
    "tlsCertificateFile",
    "tlsHostName",
    "tlsKeyFile",
];
/// The port of the native protocol.
pub(super) const PORT: u16 = 9042;
/// How a password is written.
const USER: &str =
    "write user:password@host, with %XX for what is no letter and no digit in user and password";

/// The error of a setting that nobody knows.
pub(super) fn unknown(key: &str) -> Error {
    settings::unknown(key, &super::OWN, &KNOWN)
}

/// Reads a URL: the configuration without settings of ours, and these.
pub(super) fn read(url: &str) -> Result<(CassandraConfig, Pairs)> {
    let Some((_, rest)) =
        url.split_once("://").filter(|(scheme, _)| scheme.eq_ignore_ascii_case("cassandra"))
    else {
        return Err(refused("the URL does not begin with cassandra://"));
    };
    let (user, place, query) = url_text::split(rest).map_err(|error| refused(error.message()))?;
    let (hosts, keyspace) = place.split_once('/').unwrap_or((place, ""));
    let keyspace = keyspace.strip_suffix('/').unwrap_or(keyspace);

    let mut connection = CassandraConnection::default();
    if !hosts.is_empty() {
        connection.hosts = hosts.split(',').map(str::to_owned).collect();
    }
    if let Some(user) = user {
        read_user(&mut connection, user)?;
    }
    let hint = format!("if it is of a secret, {USER}");
    let own = settings::read_query(query, &hint, |key, value| set(&mut connection, key, value))?;
    let keyspace = (!keyspace.is_empty()).then(|| keyspace.to_owned());
    Ok((CassandraConfig { connection, keyspace, ..CassandraConfig::default() }, own))
}

fn read_user(connection: &mut CassandraConnection, text: &str) -> Result<()> {
    let Some((user, password)) = text.split_once(':') else {
        return Err(refused(format!("the URL has a user without a password; {USER}")));
    };
    let decoded = |text: &str| {
        decoded_secret(text).ok_or_else(|| refused(format!("user and password can not be read; {USER}")))
    };
    connection.user = Some(decoded(user)?);
    connection.password = Some(SecretString::from(decoded(password)?));
    Ok(())
}

fn set(connection: &mut CassandraConnection, key: &str, value: String) -> Result<()> {
    match key {
        "datacenter" => put(key, &mut connection.datacenter, value),
        "load_balancing" => {
            let policy = CassandraBalancingPolicy::from_name(&value);
            put(
                key,
                &mut connection.load_balancing,
                policy.ok_or_else(|| must_be(key, "token_aware or round_robin"))?,
            )
        }
        "tls" => put(key, &mut connection.tls, parsed(key, &value, "true or false")?),
        "tlsCAFile" => put(key, &mut connection.tls_ca_file, PathBuf::from(value)),
        "tlsCertificateFile" => put(key, &mut connection.tls_certificate_file, PathBuf::from(value)),
        "tlsKeyFile" => put(key, &mut connection.tls_key_file, PathBuf::from(value)),
        "tlsHostName" => put(key, &mut connection.tls_host_name, value),
        "compression" => {
            let compression = CassandraCompression::from_name(&value);
            put(
                key,
                &mut connection.compression,
                compression.ok_or_else(|| must_be(key, "none, lz4 or snappy"))?,
            )
        }
        "poolSize" => put(key, &mut connection.pool_size, parsed(key, &value, "a whole number")?),
        "connectTimeoutMS" => put(key, &mut connection.connect_timeout, millis(key, &value)?),
        "reconnectMaxDelayMS" => put(key, &mut connection.reconnect_max_delay, millis(key, &value)?),
        "speculativeDelayMS" => put(key, &mut connection.speculative_delay, millis(key, &value)?),
        _ => Err(unknown(key)),
    }
}

/// The hosts themselves are not shown: a password that is not encoded may be taken for one.
pub(super) fn check_hosts(hosts: &[String]) -> Result<()> {
    let Some(place) = hosts.iter().position(|host| host_and_port(host, PORT).is_none()) else {
        return Ok(());
    };
    Err(refused(format!(
        "node {} of {} can not be read: write host, host:port or [v6]:port; {USER}",
        place + 1,
        hosts.len()
    )))
}
