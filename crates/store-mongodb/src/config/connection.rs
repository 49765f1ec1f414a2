//! The server and how to reach it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use store_core::kit::settings;

/// The server and how to reach it. What is `None` or empty is left to the URL, and then to the driver.
///
/// ```
/// use store_mongodb::{MongoConfig, MongoConnection, WriteConcern};
///
/// let connection = MongoConnection::default()
///     .with_hosts(["a:27017", "b:27017"])
///     .with_user("app", "s3cret")
///     .with_replica_set("rs0")
///     .with_write_concern(WriteConcern::Majority);
/// let config = MongoConfig::default().with_connection(connection);
/// assert!(!format!("{config:?}").contains("s3cret"));
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct MongoConnection {
    /// `host` or `host:port` (27017) of each known server; the driver finds the other members of a replica set.
    pub hosts: Vec<String>,
    /// The one host is a DNS name whose SRV records list the servers, as `mongodb+srv://` says; default `false`.
    pub srv: bool,
    /// The user's name. Of a client certificate (`MONGODB-X509`) it is not needed.
    pub user: Option<String>,
    /// The user's password.
    #[serde(deserialize_with = "settings::optional_secret")]
    pub password: Option<SecretString>,
    /// The database the user was made in; the driver's default is the database in the URL's path, else `admin`.
    pub auth_source: Option<String>,
    /// How the user is known; the driver's default is the better SCRAM that the server has for the user.
    pub auth_mechanism: Option<AuthMechanism>,
    /// Whether connections are encrypted; the driver's default is yes with SRV or another TLS setting, else no.
    pub tls: Option<bool>,
    /// The file of the certificates, in PEM, that the server's must be signed by; the default are Mozilla's.
    pub tls_ca_file: Option<PathBuf>,
    /// The file of the client's certificate and its key, in PEM.
    pub tls_certificate_file: Option<PathBuf>,
    /// The password of that key (cargo feature `cert-key-password`).
    #[serde(deserialize_with = "settings::optional_secret")]
    pub tls_certificate_password: Option<SecretString>,
    /// The replica set's name; a server of another set is not used.
    pub replica_set: Option<String>,
    /// Speaks to the one host only, and does not look for the other members.
    pub direct: Option<bool>,
    /// Connections held open to each server; the driver's default is 0.
    pub min_pool_size: Option<u32>,
    /// Most connections to each server; calls beyond wait. Default 100.
    pub max_pool_size: Option<u32>,
    /// How long making a connection may take; the driver's default is 10 s.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub connect_timeout: Option<Duration>,
    /// How long a call waits for a server that can serve it; default two thirds of the operation timeout, so that
    /// the reason is still told.
    #[serde(rename = "server_selection_timeout_ms", deserialize_with = "settings::from_optional_millis")]
    pub server_selection_timeout: Option<Duration>,
    /// The program's name in the server's log; default `nodestore`.
    pub app_name: Option<String>,
    /// What messages are packed with, best first, as far as the server can too (cargo features `compression` and
    /// `zstd`); default none.
    pub compressors: Vec<Compressor>,
    /// Which members reads go to; the driver's default is the primary. From any other a read may miss what was just
    /// written.
    pub read_preference: Option<ReadPreference>,
    /// Which writes reads see; the server's default is `local`.
    pub read_concern: Option<ReadConcern>,
    /// How many members have a write before it is acknowledged; default a majority, so that no acknowledged write
    /// is lost.
    pub write_concern: Option<WriteConcern>,
    /// Whether a write is in the journal before it is acknowledged; the server's default is yes for a majority.
    pub journal: Option<bool>,
    /// Whether the driver repeats a read once on a connection that failed; its default is yes.
    pub retry_reads: Option<bool>,
    /// Whether the driver repeats a write once on a connection that failed; its default is yes.
    pub retry_writes: Option<bool>,
}

impl MongoConnection {
    /// Sets the known servers.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the DNS name whose SRV records list the servers.
    #[must_use]
    pub fn with_srv(mut self, host: impl Into<String>) -> Self {
        self.hosts = vec![host.into()];
        self.srv = true;
        self
    }

    /// Sets the user and the password.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: impl Into<SecretString>) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// Sets the database the user was made in.
    #[must_use]
    pub fn with_auth_source(mut self, database: impl Into<String>) -> Self {
        self.auth_source = Some(database.into());
        self
    }

    /// Sets how the user is known.
    #[must_use]
    pub fn with_auth_mechanism(mut self, mechanism: AuthMechanism) -> Self {
        self.auth_mechanism = Some(mechanism);
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

    /// Sets the file of the client's certificate and its key.
    #[must_use]
    pub fn with_tls_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls_certificate_file = Some(path.into());
        self
    }

    /// Sets the password of the client certificate's key.
    #[must_use]
    pub fn with_tls_certificate_password(mut self, password: impl Into<SecretString>) -> Self {
        self.tls_certificate_password = Some(password.into());
        self
    }

    /// Sets the replica set's name.
    #[must_use]
    pub fn with_replica_set(mut self, name: impl Into<String>) -> Self {
        self.replica_set = Some(name.into());
        self
    }

    /// Says whether to speak to the one host only.
    #[must_use]
    pub fn with_direct(mut self, direct: bool) -> Self {
        self.direct = Some(direct);
        self
    }

    /// Sets the least and the most connections to each server.
    #[must_use]
    pub fn with_pool_size(mut self, min: u32, max: u32) -> Self {
        self.min_pool_size = Some(min);
        self.max_pool_size = Some(max);
        self
    }

    /// Sets how long making a connection may take.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets how long a call waits for a server that can serve it.
    #[must_use]
    pub fn with_server_selection_timeout(mut self, timeout: Duration) -> Self {
        self.server_selection_timeout = Some(timeout);
        self
    }

    /// Sets the program's name in the server's log.
    #[must_use]
    pub fn with_app_name(mut self, name: impl Into<String>) -> Self {
        self.app_name = Some(name.into());
        self
    }

    /// Sets what messages are packed with, best first.
    #[must_use]
    pub fn with_compressors(mut self, compressors: impl IntoIterator<Item = Compressor>) -> Self {
        self.compressors = compressors.into_iter().collect();
        self
    }

    /// Sets which members reads go to.
    #[must_use]
    pub fn with_read_preference(mut self, preference: ReadPreference) -> Self {
        self.read_preference = Some(preference);
        self
    }

    /// Sets which writes reads see.
    #[must_use]
    pub fn with_read_concern(mut self, concern: ReadConcern) -> Self {
        self.read_concern = Some(concern);
        self
    }

    /// Sets how many members have a write before it is acknowledged.
    #[must_use]
    pub fn with_write_concern(mut self, concern: WriteConcern) -> Self {
        self.write_concern = Some(concern);
        self
    }

    /// Says whether a write is in the journal before it is acknowledged.
    #[must_use]
    pub fn with_journal(mut self, journal: bool) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Says whether the driver repeats reads and writes once on a connection that failed.
    #[must_use]
    pub fn with_retries(mut self, reads: bool, writes: bool) -> Self {
        self.retry_reads = Some(reads);
        self.retry_writes = Some(writes);
        self
    }
}

/// How the user is known to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub enum AuthMechanism {
    /// A password, hashed with SHA-1.
    #[serde(rename = "SCRAM-SHA-1")]
    ScramSha1,
    /// A password, hashed with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The client's certificate.
    #[serde(rename = "MONGODB-X509")]
    X509,
}

impl AuthMechanism {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::X509 => "MONGODB-X509",
        }
    }
}

/// What messages are packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compressor {
    /// Quick; cargo feature `compression`.
    Snappy,
    /// Small; cargo feature `compression`.
    Zlib,
    /// Both, from a library in C; cargo feature `zstd`.
    Zstd,
}

impl Compressor {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }
}

/// Which members reads go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ReadPreference {
    /// The primary.
    Primary,
    /// The primary, and a secondary while there is none.
    PrimaryPreferred,
    /// A secondary.
    Secondary,
    /// A secondary, and the primary while there is none.
    SecondaryPreferred,
    /// The nearest.
    Nearest,
}

impl ReadPreference {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::PrimaryPreferred => "primaryPreferred",
            Self::Secondary => "secondary",
            Self::SecondaryPreferred => "secondaryPreferred",
            Self::Nearest => "nearest",
        }
    }
}

/// Which writes reads see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ReadConcern {
    /// Those of the member that is asked; some may yet be undone.
    Local,
    /// As `Local`, and on a sharded cluster also documents that are being moved.
    Available,
    /// Those that a majority has and nothing undoes.
    Majority,
    /// As `Majority`, and every write that was acknowledged before the read began.
    Linearizable,
}

impl ReadConcern {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Available => "available",
            Self::Majority => "majority",
            Self::Linearizable => "linearizable",
        }
    }
}

/// How many members have a write before it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "WriteConcernText")]
#[non_exhaustive]
pub enum WriteConcern {
    /// More than half of the voting members.
    Majority,
    /// So many members, at least one. With fewer than a majority an acknowledged write may be lost.
    Members(u32),
    /// The members that a custom write concern of the replica set's settings names.
    Custom(String),
}

impl fmt::Display for WriteConcern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Majority => f.write_str("majority"),
            Self::Members(members) => write!(f, "{members}"),
            Self::Custom(name) => f.write_str(name),
        }
    }
}

/// `"majority"`, a name or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum WriteConcernText {
    Members(u32),
    Name(String),
}

impl From<WriteConcernText> for WriteConcern {
    fn from(text: WriteConcernText) -> Self {
        match text {
            WriteConcernText::Members(members) => Self::Members(members),
            WriteConcernText::Name(name) if name == "majority" => Self::Majority,
            WriteConcernText::Name(name) => Self::Custom(name),
        }
    }
}
