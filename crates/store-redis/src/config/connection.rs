//! The server and how to reach it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use store_core::Result;
use store_core::kit::settings;

use super::refused;

/// The server and how to reach it. What is `None` or empty is left to the URL, and then to the default.
///
/// ```
/// use store_redis::{RedisConfig, RedisConnection, Topology};
///
/// let connection = RedisConnection::default()
///     .with_topology(Topology::Cluster)
///     .with_hosts(["a:7000", "b:7000"])
///     .with_user("app", "s3cret")
///     .with_tls(true);
/// let config = RedisConfig::default().with_connection(connection);
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RedisConnection {
    /// How the servers stand together; default [`Single`](Topology::Single). In a URL the scheme says it.
    pub topology: Option<Topology>,
    /// `host` or `host:port` of each known server: of a cluster some of its nodes, the driver finds the others; with
    /// Sentinel the sentinels, the driver asks them for the server. The port is 6379 when none is said, of a sentinel
    /// 26379. Default `127.0.0.1`. In a URL also `node=host:port`, once for each.
    pub hosts: Vec<String>,
    /// The name of the server's group that the sentinels watch, `mymaster` in the examples of Redis. In a URL
    /// `sentinelServiceName`.
    pub sentinel_service: Option<String>,
    /// The user of the sentinels, which may be another than the server's. In a URL `sentinelUsername`.
    pub sentinel_user: Option<String>,
    /// The password of the sentinels. In a URL `sentinelPassword`.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub sentinel_password: Option<SecretString>,
    /// The user's name, as the server's access list (ACL) has it. Without one a password is that of the user
    /// `default`.
    pub user: Option<String>,
    /// The password.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub password: Option<SecretString>,
    /// The database's number, 0 to 255; default 0. A cluster has only that. In a URL the path.
    pub database: Option<u8>,
    /// Whether connections are encrypted, those to sentinels too; default `false`. In a URL the scheme says it, with
    /// an `s` behind `redis` or `valkey`.
    pub tls: Option<bool>,
    /// The file of the certificates, in PEM, that the server's must be signed by; the default are the system's. In a
    /// URL `tlsCAFile`.
    pub tls_ca_file: Option<PathBuf>,
    /// The file of the client's certificate, in PEM. In a URL `tlsCertificateFile`.
    pub tls_certificate_file: Option<PathBuf>,
    /// The file of that certificate's key, in PEM and not encrypted; default: it stands in the certificate's file. In
    /// a URL `tlsKeyFile`.
    pub tls_key_file: Option<PathBuf>,
    /// Connections to each server; default 4. Calls share them, and do not wait for each other's answers. In a URL
    /// `poolSize`.
    pub pool_size: Option<usize>,
    /// How long making a connection may take, with TLS and the password; default 5 s, or the time for a call if that
    /// is shorter. In a URL `connectTimeoutMS`.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub connect_timeout: Option<Duration>,
    /// After how long without traffic the system asks whether the other side is still there, so that no firewall
    /// between forgets the connection; default 30 s. In a URL `keepAliveMS`.
    #[serde(rename = "keep_alive_ms", deserialize_with = "settings::from_optional_millis")]
    pub keep_alive: Option<Duration>,
    /// The wait before a lost connection is made again; it doubles with each attempt. Default 50 ms. In a URL
    /// `reconnectMinDelayMS`.
    #[serde(rename = "reconnect_min_delay_ms", deserialize_with = "settings::from_optional_millis")]
    pub reconnect_min_delay: Option<Duration>,
    /// The longest such wait; default 2 s. Attempts never end. In a URL `reconnectMaxDelayMS`.
    #[serde(rename = "reconnect_max_delay_ms", deserialize_with = "settings::from_optional_millis")]
    pub reconnect_max_delay: Option<Duration>,
    /// Whether reads go to a cluster's replicas, which may not yet have what was just written; default `false`. In a
    /// URL `readFromReplicas`.
    pub read_from_replicas: Option<bool>,
    /// The version of the protocol; default [`Resp2`](Protocol::Resp2). In a URL `protocol`.
    pub protocol: Option<Protocol>,
}

/// How the servers stand together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Topology {
    /// One server, or what looks like one (a proxy). In a URL `redis://`.
    #[default]
    Single,
    /// A cluster, each node of which has a part of the keys. In a URL `redis-cluster://`.
    Cluster,
    /// A server and its replicas, of which sentinels know the one to write to. In a URL `redis-sentinel://`.
    Sentinel,
}

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Protocol {
    /// What every server speaks. In a URL `resp2`.
    #[default]
    Resp2,
    /// Of Redis 6 and later. In a URL `resp3`.
    Resp3,
}

impl RedisConnection {
    /// Sets how the servers stand together.
    #[must_use]
    pub fn with_topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// Sets the known servers.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name of the group that the sentinels watch, and with it that the hosts are sentinels.
    #[must_use]
    pub fn with_sentinel_service(mut self, name: impl Into<String>) -> Self {
        self.topology = Some(Topology::Sentinel);
        self.sentinel_service = Some(name.into());
        self
    }

    /// Sets the user and the password of the sentinels.
    #[must_use]
    pub fn with_sentinel_user(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.sentinel_user = Some(user.into());
        self.sentinel_password = Some(password.into());
        self
    }

    /// Sets the user and the password.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// Sets the password of the user `default`.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the database's number.
    #[must_use]
    pub fn with_database(mut self, database: u8) -> Self {
        self.database = Some(database);
        self
    }

    /// Says whether connections are encrypted.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the file of the certificates that the server's must be signed by.
    #[must_use]
    pub fn with_tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls_ca_file = Some(path.into());
        self
    }

    /// Sets the files of the client's certificate and of its key, which may be the same.
    #[must_use]
    pub fn with_tls_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls_certificate_file = Some(certificate.into());
        self.tls_key_file = Some(key.into());
        self
    }

    /// Sets the connections to each server.
    #[must_use]
    pub fn with_pool_size(mut self, size: usize) -> Self {
        self.pool_size = Some(size);
        self
    }

    /// Sets how long making a connection may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets after how long without traffic the system asks whether the other side is still there.
    #[must_use]
    pub fn with_keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = Some(after);
        self
    }

    /// Sets the first and the longest wait before a lost connection is made again.
    #[must_use]
    pub fn with_reconnect_delays(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect_min_delay = Some(min);
        self.reconnect_max_delay = Some(max);
        self
    }

    /// Says whether reads go to a cluster's replicas.
    #[must_use]
    pub fn with_read_from_replicas(mut self, read: bool) -> Self {
        self.read_from_replicas = Some(read);
        self
    }

    /// Sets the version of the protocol.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// What a URL says and what stands beside it, together. A setting may be in both, if it is the same.
    pub(super) fn joined(self, other: &Self) -> Result<Self> {
        if !self.hosts.is_empty() && !other.hosts.is_empty() {
            return Err(refused("the server is named twice, by a URL and by hosts; keep one of them"));
        }
        let has_user = |one: &Self| one.user.is_some() || one.password.is_some();
        if has_user(&self) && has_user(other) {
            return Err(refused(
                "the user or the password is given twice, in the URL and beside it; keep one of them",
            ));
        }
        Ok(Self {
            topology: either("the topology", self.topology, other.topology.as_ref())?,
            hosts: if self.hosts.is_empty() { other.hosts.clone() } else { self.hosts },
            sentinel_service: either(
                "sentinelServiceName",
                self.sentinel_service,
                other.sentinel_service.as_ref(),
            )?,
            sentinel_user: either("sentinelUsername", self.sentinel_user, other.sentinel_user.as_ref())?,
            sentinel_password: either_secret(
                "sentinelPassword",
                self.sentinel_password,
                other.sentinel_password.as_ref(),
            )?,
            user: self.user.or_else(|| other.user.clone()),
            password: self.password.or_else(|| other.password.clone()),
            database: either("the database", self.database, other.database.as_ref())?,
            tls: either("TLS", self.tls, other.tls.as_ref())?,
            tls_ca_file: either("tlsCAFile", self.tls_ca_file, other.tls_ca_file.as_ref())?,
            tls_certificate_file: either(
                "tlsCertificateFile",
                self.tls_certificate_file,
                other.tls_certificate_file.as_ref(),
            )?,
            tls_key_file: either("tlsKeyFile", self.tls_key_file, other.tls_key_file.as_ref())?,
            pool_size: either("poolSize", self.pool_size, other.pool_size.as_ref())?,
            connect_timeout: either(
                "connectTimeoutMS",
                self.connect_timeout,
                other.connect_timeout.as_ref(),
            )?,
            keep_alive: either("keepAliveMS", self.keep_alive, other.keep_alive.as_ref())?,
            reconnect_min_delay: either(
                "reconnectMinDelayMS",
                self.reconnect_min_delay,
                other.reconnect_min_delay.as_ref(),
            )?,
            reconnect_max_delay: either(
                "reconnectMaxDelayMS",
                self.reconnect_max_delay,
                other.reconnect_max_delay.as_ref(),
            )?,
            read_from_replicas: either(
                "readFromReplicas",
                self.read_from_replicas,
                other.read_from_replicas.as_ref(),
            )?,
            protocol: either("protocol", self.protocol, other.protocol.as_ref())?,
        })
    }
}

/// The one setting of two, which must not contradict each other.
fn either<T: PartialEq + Clone>(what: &str, first: Option<T>, second: Option<&T>) -> Result<Option<T>> {
    match (&first, second) {
        (Some(first), Some(second)) if first != second => Err(twice(what)),
        _ => Ok(first.or_else(|| second.cloned())),
    }
}

fn either_secret(
    what: &str,
    first: Option<SecretString>,
    second: Option<&SecretString>,
) -> Result<Option<SecretString>> {
    match (&first, second) {
        (Some(first), Some(second)) if first.expose_secret() != second.expose_secret() => Err(twice(what)),
        _ => Ok(first.or_else(|| second.cloned())),
    }
}

pub(super) fn twice(what: &str) -> store_core::Error {
    refused(format!("{what} is given twice, in the URL and beside it, and differs; keep one of them"))
}
