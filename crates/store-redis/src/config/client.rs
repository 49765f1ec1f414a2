//! The driver's pool for a configuration.

use std::path::PathBuf;
use std::time::Duration;

use fred::clients::Pool;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server,
    ServerConfig, TcpConfig, TlsConfig, TlsConnector, UnresponsiveConfig,
};
use secrecy::ExposeSecret as _;
use socket2::TcpKeepalive;
use store_core::Result;
use store_core::kit::url_text::host_and_port;

use super::connection::{Protocol, RedisConnection, Topology};
use super::url::check_hosts;
use super::{RedisConfig, refused};
use crate::error::{NAME, from_driver};

/// How long connecting may take when nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to each server. Calls share them without waiting for each other's answers.
const POOL_SIZE: usize = 4;
/// More connections to each server are a mistake: a server has 10,000 for everybody.
const MOST_CONNECTIONS: usize = 1_000;
/// After how long without traffic the system asks for the other side.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The shortest and the longest wait before a lost connection is made again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often the driver looks for connections that answer nothing, unless they have less time than twice that.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The port of a server, and of a sentinel.
const PORTS: (u16, u16) = (6379, 26379);

impl RedisConnection {
    /// Refuses what can not be, or contradicts itself.
    pub(super) fn check(&self) -> Result<()> {
        let topology = self.topology.unwrap_or_default();
        check_hosts(&self.hosts)?;
        if topology == Topology::Single && self.hosts.len() > 1 {
            return Err(refused(
                "several servers are named; write redis-cluster:// if they are a cluster, and redis-sentinel:// if they \
                 are sentinels",
            ));
        }
        let service = self.sentinel_service.as_deref().unwrap_or_default();
        if topology == Topology::Sentinel {
            if service.is_empty() {
                return Err(refused(
                    "sentinels watch several servers: say which with sentinelServiceName, mymaster for example",
                ));
            }
        } else if self.sentinel_service.is_some()
            || self.sentinel_user.is_some()
            || self.sentinel_password.is_some()
        {
            return Err(refused(
                "settings of sentinels are given, but none is used; write redis-sentinel://",
            ));
        }
        if self.sentinel_user.is_some() && self.sentinel_password.is_none() {
            return Err(refused("sentinelUsername is given without sentinelPassword"));
        }
        if self.user.is_some() && self.password.is_none() {
            return Err(refused("a user is given without a password"));
        }
        if topology == Topology::Cluster && self.database.is_some_and(|database| database > 0) {
            return Err(refused("a cluster has the database 0 only; leave the number out"));
        }
        if topology != Topology::Cluster && self.read_from_replicas == Some(true) {
            return Err(refused("readFromReplicas is for clusters only; leave it out"));
        }
        self.check_tls()?;
        self.check_numbers()
    }

    fn check_tls(&self) -> Result<()> {
        let files = [
            ("tlsCAFile", &self.tls_ca_file),
            ("tlsCertificateFile", &self.tls_certificate_file),
            ("tlsKeyFile", &self.tls_key_file),
        ];
        if self.tls != Some(true)
            && let Some((name, _)) = files.into_iter().find(|(_, file)| file.is_some())
        {
            return Err(refused(format!(
                "{name} is given, but connections are not encrypted; write rediss:// (or rediss-cluster://, \
                 rediss-sentinel://), or tls beside the URL"
            )));
        }
        if self.tls_key_file.is_some() && self.tls_certificate_file.is_none() {
            return Err(refused("tlsKeyFile is given without tlsCertificateFile"));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        if self.pool_size.is_some_and(|size| size == 0 || size > MOST_CONNECTIONS) {
            return Err(refused(format!("poolSize must be 1 to {MOST_CONNECTIONS}")));
        }
        for (name, time) in [
            ("connectTimeoutMS", self.connect_timeout),
            ("keepAliveMS", self.keep_alive),
            ("reconnectMinDelayMS", self.reconnect_min_delay),
            ("reconnectMaxDelayMS", self.reconnect_max_delay),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(refused(format!("{name} is 0; it must be at least 1")));
            }
        }
        let (min, max) = self.reconnect_delays();
        if min > max {
            return Err(refused(format!(
                "reconnectMinDelayMS ({} ms) is more than reconnectMaxDelayMS ({} ms)",
                min.as_millis(),
                max.as_millis()
            )));
        }
        Ok(())
    }

    fn reconnect_delays(&self) -> (Duration, Duration) {
        match (self.reconnect_min_delay, self.reconnect_max_delay) {
            (None, None) => RECONNECT,
            (Some(min), None) => (min, RECONNECT.1.max(min)),
            (None, Some(max)) => (RECONNECT.0.min(max), max),
            (Some(min), Some(max)) => (min, max),
        }
    }

    fn servers(&self, port: u16) -> Vec<Server> {
        if self.hosts.is_empty() {
            return vec![Server::new("127.0.0.1", port)];
        }
        let split = self.hosts.iter().filter_map(|host| host_and_port(host, port));
        split.map(|(name, port)| Server::new(name, port)).collect()
    }

    fn server(&self) -> ServerConfig {
        match self.topology.unwrap_or_default() {
            Topology::Single => {
                let server = self.servers(PORTS.0).into_iter().next();
                ServerConfig::Centralized {
                    server: server.unwrap_or_else(|| Server::new("127.0.0.1", PORTS.0)),
                }
            }
            // The nodes it has heard of too: those of the URL may all have been replaced.
            Topology::Cluster => ServerConfig::Clustered {
                hosts: self.servers(PORTS.0),
                policy: ClusterDiscoveryPolicy::UseCache,
            },
            Topology::Sentinel => ServerConfig::Sentinel {
                hosts: self.servers(PORTS.1),
                service_name: self.sentinel_service.clone().unwrap_or_default(),
                username: self.sentinel_user.clone(),
                password: self.sentinel_password.as_ref().map(|text| text.expose_secret().to_owned()),
            },
        }
    }

    /// The driver's TLS.
    fn encryption<'a>(&'a self) -> Result<Option<TlsConfig>> {
        if self.tls != Some(true) {
            return Ok(None);
        }
        let file = |option: &'static str, path: &'a Option<PathBuf>| Some((option, path.as_deref()?));
        let tls = store_core::kit::tls::client(
            file("tlsCAFile", &self.tls_ca_file),
            file("tlsCertificateFile", &self.tls_certificate_file),
            file("tlsKeyFile", &self.tls_key_file),
        )
        .map_err(|error| error.with_backend(NAME))?;
        Ok(Some(TlsConfig::from(TlsConnector::from(tls))))
    }
}

impl RedisConfig {
    /// How long connecting may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connection.connect_timeout.unwrap_or(CONNECT_TIMEOUT.min(self.operation_timeout))
    }

    /// A pool of the driver's clients, not yet connected. The connection must be settled.
    pub(super) fn build(&self) -> Result<Pool> {
        let connection = &self.connection;
        let config = Config {
            server: connection.server(),
            username: connection.user.clone(),
            password: connection.password.as_ref().map(|text| text.expose_secret().to_owned()),
            database: connection.database,
            tls: connection.encryption()?,
            version: match connection.protocol.unwrap_or_default() {
                Protocol::Resp2 => RespVersion::RESP2,
                Protocol::Resp3 => RespVersion::RESP3,
            },
            ..Config::default()
        };
        let performance = PerformanceConfig {
            default_command_timeout: self.operation_timeout,
            ..PerformanceConfig::default()
        };
        let keep_alive = connection.keep_alive.unwrap_or(KEEP_ALIVE);
        let reach = ConnectionConfig {
            connection_timeout: self.connect_timeout(),
            internal_command_timeout: self.connect_timeout(),
            // A server that takes commands and answers none is left, as if the connection had been lost.
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(self.operation_timeout),
                interval: LOOK_EVERY.min(self.operation_timeout / 2).max(Duration::from_millis(2)),
            },
            tcp: TcpConfig {
                nodelay: Some(true),
                keepalive: Some(TcpKeepalive::new().with_time(keep_alive).with_interval(keep_alive / 3)),
                ..TcpConfig::default()
            },
            // We follow a cluster's redirections ourselves (driver/nodes.rs says why).
            max_redirections: 0,
            ..ConnectionConfig::default()
        };
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let (min, max) = connection.reconnect_delays();
        // 0: it never gives up.
        let policy = ReconnectPolicy::new_exponential(0, millis(min), millis(max), 2);
        let size = connection.pool_size.unwrap_or(POOL_SIZE);
        Pool::new(config, Some(performance), Some(reach), Some(policy), size).map_err(from_driver)
    }
}
