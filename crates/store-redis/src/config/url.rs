//! The server's URL: our own settings taken out, the rest read into a [`RedisConnection`]. The driver's own reader is
//! not used: it passes over what it does not know. No message shows any part that may be a password.

use std::path::PathBuf;

use secrecy::SecretString;
use store_core::kit::settings::{self, decoded, millis, must_be, parsed, put};
use store_core::kit::url_text::{self, host_and_port};
use store_core::{Error, Result};

use super::connection::{Protocol, RedisConnection, Topology};
use super::refused;

/// Settings of ours in a URL, in order.
const OWN: [&str; 11] = [
    "store.chat_ttl_secs",
    "store.create",
    "store.hnsw_ef_construction",
    "store.hnsw_ef_runtime",
    "store.hnsw_epsilon",
    "store.hnsw_m",
    "store.namespace",
    "store.operation_timeout_ms",
    "store.prefix",
    "store.vector_engine",
    "store.vector_index",
];
/// Settings of the connection.
const KNOWN: [&str; 14] = [
    "connectTimeoutMS",
    "keepAliveMS",
    "node",
    "poolSize",
    "protocol",
    "readFromReplicas",
    "reconnectMaxDelayMS",
    "reconnectMinDelayMS",
    "sentinelPassword",
    "sentinelServiceName",
    "sentinelUsername",
    "tlsCAFile",
    "tlsCertificateFile",
    "tlsKeyFile",
];
/// What to say of a password that makes the URL unreadable.
const ENCODE: &str = "write %XX for each of : / ? # [ ] @ and % in a user's name and a password";

/// The error of a setting that nobody knows.
pub(super) fn unknown(key: &str) -> Error {
    settings::unknown(key, &OWN, &KNOWN)
}

/// Reads a URL without settings of ours.
pub(super) fn read(url: &str) -> Result<RedisConnection> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let (topology, tls) = read_scheme(&scheme.to_ascii_lowercase())?;
    let (user, place, query) = url_text::split(rest).map_err(|error| refused(error.message()))?;
    let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
    if hosts.is_empty() {
        return Err(refused("no server is named; write redis://host:6379"));
    }
    let mut connection =
        RedisConnection { topology: Some(topology), tls: Some(tls), ..RedisConnection::default() };
    connection.hosts = hosts.split(',').map(str::to_owned).collect();
    check_hosts(&connection.hosts)?;
    if let Some(user) = user {
        (connection.user, connection.password) = read_user(user)?;
    }
    connection.database = read_database(path)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        read_pair(&mut connection, pair)?;
    }
    check_hosts(&connection.hosts)?;
    Ok(connection)
}

/// `redis`, `rediss` (TLS), and both with what the hosts are; Valkey's are the same.
fn read_scheme(scheme: &str) -> Result<(Topology, bool)> {
    let (product, topology) = match scheme.split_once('-') {
        None => (scheme, Topology::Single),
        Some((product, "cluster")) => (product, Topology::Cluster),
        Some((product, "sentinel")) => (product, Topology::Sentinel),
        Some(_) => ("", Topology::Single),
    };
    match product {
        "redis" | "valkey" => Ok((topology, false)),
        "rediss" | "valkeys" => Ok((topology, true)),
        "redis+unix" | "valkey+unix" | "unix" => Err(refused(
            "sockets of the file system can not be used; give the server a port: redis://127.0.0.1:6379",
        )),
        _ => Err(refused(
            "the URL begins with none of redis://, rediss://, redis-cluster://, rediss-cluster://, redis-sentinel:// \
             and rediss-sentinel://, nor with the same of valkey",
        )),
    }
}

fn read_user(text: &str) -> Result<(Option<String>, Option<SecretString>)> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, rest)| (user, Some(rest)));
    let decoded = |text: &str| {
        if text.contains([':', '/', '?', '[', ']', '@']) {
            return Err(refused(format!("the user or the password can not be read: {ENCODE}")));
        }
        url_text::decode(text)
            .map_err(|_| refused(format!("the user or the password can not be read: {ENCODE}")))
    };
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    let password = password.map(decoded).transpose()?;
    match (user, password) {
        (None, None) => Err(refused("the URL has an @ before the server, but no user and no password")),
        (Some(_), None) => Err(refused(
            "the URL has a user without a password; write user:password@host, or :password@host for a password alone",
        )),
        (None, Some(password)) if password.is_empty() => Ok((None, None)),
        (user, Some(password)) => Ok((user, Some(SecretString::from(password)))),
    }
}

fn read_database(path: &str) -> Result<Option<u8>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(None);
    }
    let database = path.parse().map_err(|_| {
        refused(
            "the URL's path must be the number of a database, 0 to 255: redis://host:6379/0. A password stands before \
             an @, with %XX for each of : / ? # [ ] @ and % in it",
        )
    });
    database.map(Some)
}

/// The hosts themselves are not shown: a password that is not encoded may be taken for one.
pub(super) fn check_hosts(hosts: &[String]) -> Result<()> {
    for (place, host) in hosts.iter().enumerate() {
        host_and_port(host, 0).ok_or_else(|| {
            refused(format!(
                "server {} of {} can not be read: write host or host:port, with a port of 1 to 65535 and an IPv6 address \
                 in [brackets]. A password stands before an @, with %XX for each of : / ? # [ ] @ and % in it",
                place + 1,
                hosts.len()
            ))
        })?;
    }
    Ok(())
}

fn read_pair(connection: &mut RedisConnection, pair: &str) -> Result<()> {
    let Some((key, value)) = pair.split_once('=') else {
        return Err(refused(format!(
            "a part of the URL's query is no key=value; if it is of a password: {ENCODE}"
        )));
    };
    if key.starts_with("store.") {
        return Err(refused(format!(
            "the URL has the option {key} of the store; read such a URL with parse::<RedisConfig>()"
        )));
    }
    let Some(key) = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(key)) else {
        return Err(unknown(key));
    };
    let value = decoded(key, value)?;
    match key {
        "node" => {
            connection.hosts.push(value);
            Ok(())
        }
        "sentinelServiceName" => put(key, &mut connection.sentinel_service, value),
        "sentinelUsername" => put(key, &mut connection.sentinel_user, value),
        "sentinelPassword" => put(key, &mut connection.sentinel_password, SecretString::from(value)),
        "tlsCAFile" => put(key, &mut connection.tls_ca_file, PathBuf::from(value)),
        "tlsCertificateFile" => put(key, &mut connection.tls_certificate_file, PathBuf::from(value)),
        "tlsKeyFile" => put(key, &mut connection.tls_key_file, PathBuf::from(value)),
        "poolSize" => put(key, &mut connection.pool_size, parsed(key, &value, "a whole number")?),
        "connectTimeoutMS" => put(key, &mut connection.connect_timeout, millis(key, &value)?),
        "keepAliveMS" => put(key, &mut connection.keep_alive, millis(key, &value)?),
        "reconnectMinDelayMS" => put(key, &mut connection.reconnect_min_delay, millis(key, &value)?),
        "reconnectMaxDelayMS" => put(key, &mut connection.reconnect_max_delay, millis(key, &value)?),
        "readFromReplicas" => {
            put(key, &mut connection.read_from_replicas, parsed(key, &value, "true or false")?)
        }
        "protocol" => {
            let protocol = match value.as_str() {
                "resp2" | "2" => Protocol::Resp2,
                "resp3" | "3" => Protocol::Resp3,
                _ => return Err(must_be(key, "resp2 or resp3")),
            };
            put(key, &mut connection.protocol, protocol)
        }
        _ => Err(unknown(key)),
    }
}
