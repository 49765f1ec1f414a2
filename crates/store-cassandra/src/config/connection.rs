//! The cluster and how to reach it.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use store_core::Result;
use store_core::kit::settings;

use super::refused;

/// More connections to each node are a mistake: each serves thousands of requests at once.
const MOST_CONNECTIONS: usize = 64;

/// The cluster and how to reach it.
///
/// ```
/// use store_cassandra::CassandraConnection;
///
/// let connection = CassandraConnection::default().with_hosts(["node1", "node2"]).with_user("app", "s3cret");
/// assert!(!format!("{connection:?}").contains("s3cret"));
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CassandraConnection {
    /// `host` or `host:port` of some nodes; the driver finds the others. The port is 9042 when none is said. Default
    /// `127.0.0.1`.
    pub hosts: Vec<String>,
    /// The user's name, for clusters that ask for one (SASL PLAIN).
    pub user: Option<String>,
    /// The password.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub password: Option<SecretString>,
    /// The datacentre whose nodes are asked; those of others are not. Default `None`: all nodes are taken for local. In
    /// a URL `datacenter`.
    pub datacenter: Option<String>,
    /// Which node is asked; default [`TokenAware`](CassandraBalancingPolicy::TokenAware). In a URL `load_balancing`.
    pub load_balancing: Option<CassandraBalancingPolicy>,
    /// Whether connections are encrypted; default `false`. In a URL `tls`.
    pub tls: Option<bool>,
    /// The file of the certificates, in PEM, that the nodes' must be signed by; the default are the system's. In a URL
    /// `tlsCAFile`.
    pub tls_ca_file: Option<PathBuf>,
    /// The file of the client's certificate, in PEM. In a URL `tlsCertificateFile`.
    pub tls_certificate_file: Option<PathBuf>,
    /// The file of that certificate's key, in PEM and not encrypted; default: it stands in the certificate's file. In
    /// a URL `tlsKeyFile`.
    pub tls_key_file: Option<PathBuf>,
    /// The name that the nodes' certificates are for; one for all of them, since nodes are found by their addresses.
    /// Default: the first of the hosts. In a URL `tlsHostName`.
    pub tls_host_name: Option<String>,
    /// How answers and requests are compressed; default [`None`](CassandraCompression::None). In a URL `compression`.
    pub compression: Option<CassandraCompression>,
    /// Connections to each node; default 1, which serves thousands of requests at once. In a URL `poolSize`.
    pub pool_size: Option<usize>,
    /// How long connecting may take; default 5 s. In a URL `connectTimeoutMS`.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub connect_timeout: Option<Duration>,
    /// The longest wait before a lost connection is made again; default 10 s. Attempts never end. In a URL
    /// `reconnectMaxDelayMS`.
    #[serde(rename = "reconnect_max_delay_ms", deserialize_with = "settings::from_optional_millis")]
    pub reconnect_max_delay: Option<Duration>,
    /// After how long a read that was not answered is sent to another node as well; default `None`: never. In a URL
    /// `speculativeDelayMS`.
    #[serde(rename = "speculative_delay_ms", deserialize_with = "settings::from_optional_millis")]
    pub speculative_delay: Option<Duration>,
}

/// Which node is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CassandraBalancingPolicy {
    /// A replica of what is asked for. In a URL `token_aware`.
    #[default]
    TokenAware,
    /// Each node in turn. In a URL `round_robin`.
    RoundRobin,
}

impl CassandraBalancingPolicy {
    /// The policy of this name in a URL.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "token_aware" => Some(Self::TokenAware),
            "round_robin" => Some(Self::RoundRobin),
            _ => None,
        }
    }
}

/// How answers and requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CassandraCompression {
    /// Not at all.
    #[default]
    None,
    /// By LZ4.
    Lz4,
    /// By Snappy.
    Snappy,
}

impl CassandraCompression {
    /// The compression of this name in a URL.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "lz4" => Some(Self::Lz4),
            "snappy" => Some(Self::Snappy),
            _ => None,
        }
    }
}

impl CassandraConnection {
    /// Sets the known nodes.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the user and the password.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// Sets the datacentre whose nodes are asked.
    #[must_use]
    pub fn with_datacenter(mut self, datacenter: impl Into<String>) -> Self {
        self.datacenter = Some(datacenter.into());
        self
    }

    /// Says which node is asked.
    #[must_use]
    pub fn with_load_balancing(mut self, policy: CassandraBalancingPolicy) -> Self {
        self.load_balancing = Some(policy);
        self
    }

    /// Says whether connections are encrypted.
    #[must_use]
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the file of the certificates that the nodes' must be signed by, and encrypts.
    #[must_use]
    pub fn with_tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls = Some(true);
        self.tls_ca_file = Some(path.into());
        self
    }

    /// Sets the files of the client's certificate and its key, and encrypts.
    #[must_use]
    pub fn with_tls_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(true);
        self.tls_certificate_file = Some(certificate.into());
        self.tls_key_file = Some(key.into());
        self
    }

    /// Sets the name that the nodes' certificates are for.
    #[must_use]
    pub fn with_tls_host_name(mut self, name: impl Into<String>) -> Self {
        self.tls_host_name = Some(name.into());
        self
    }

    /// Says how requests and answers are compressed.
    #[must_use]
    pub fn with_compression(mut self, compression: CassandraCompression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Sets the connections to each node.
    #[must_use]
    pub fn with_pool_size(mut self, size: usize) -> Self {
        self.pool_size = Some(size);
        self
    }

    /// Sets how long connecting may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets the longest wait before a lost connection is made again.
    #[must_use]
    pub fn with_reconnect_max_delay(mut self, delay: Duration) -> Self {
        self.reconnect_max_delay = Some(delay);
        self
    }

    /// Sets after how long a read is sent to another node as well.
    #[must_use]
    pub fn with_speculative_delay(mut self, delay: Duration) -> Self {
        self.speculative_delay = Some(delay);
        self
    }

    /// Refuses what can not be, or contradicts itself.
    pub(super) fn check(&self) -> Result<()> {
        super::url::check_hosts(&self.hosts)?;
        if self.user.is_some() != self.password.is_some() {
            return Err(refused("a user and a password go together; one of them is missing"));
        }
        let files = [
            ("tlsCAFile", self.tls_ca_file.is_some()),
            ("tlsCertificateFile", self.tls_certificate_file.is_some()),
            ("tlsKeyFile", self.tls_key_file.is_some()),
            ("tlsHostName", self.tls_host_name.is_some()),
        ];
        if self.tls != Some(true)
            && let Some((name, _)) = files.into_iter().find(|(_, given)| *given)
        {
            return Err(refused(format!("{name} is given, but connections are not encrypted; say tls=true")));
        }
        if self.tls_key_file.is_some() && self.tls_certificate_file.is_none() {
            return Err(refused("tlsKeyFile is given without tlsCertificateFile"));
        }
        if self.pool_size.is_some_and(|size| size == 0 || size > MOST_CONNECTIONS) {
            return Err(refused(format!("poolSize must be 1 to {MOST_CONNECTIONS}")));
        }
        for (name, time) in [
            ("connectTimeoutMS", self.connect_timeout),
            ("reconnectMaxDelayMS", self.reconnect_max_delay),
            ("speculativeDelayMS", self.speculative_delay),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(refused(format!("{name} is 0; it must be at least 1")));
            }
        }
        Ok(())
    }
}
