//! A session of the driver's for a configuration.
//!
//! The driver goes on for ever where it can not connect, and does not say why. So a connection is made first by its own
//! means, which fails with the cause; and building the session has a time limit.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdrs_tokio::authenticators::{
    NoneAuthenticatorProvider, SaslAuthenticatorProvider, StaticPasswordAuthenticatorProvider,
};
use cdrs_tokio::cluster::connection_pool::ConnectionPoolConfigBuilder;
use cdrs_tokio::cluster::session::{RustlsSessionBuilder, SessionBuilder, TcpSessionBuilder};
use cdrs_tokio::cluster::{
    ConnectionManager, KeyspaceHolder, NodeAddress, NodeRustlsConfigBuilder, NodeTcpConfigBuilder,
    RustlsConnectionManager, TcpConnectionManager,
};
use cdrs_tokio::compression::Compression;
use cdrs_tokio::error::Error as DriverError;
use cdrs_tokio::frame::Version;
use cdrs_tokio::frame_encoding::ProtocolFrameEncodingFactory;
use cdrs_tokio::load_balancing::LoadBalancingStrategy;
use cdrs_tokio::load_balancing::node_distance_evaluator::TopologyAwareNodeDistanceEvaluator;
use cdrs_tokio::retry::{ExponentialReconnectionPolicy, FallthroughRetryPolicy};
use cdrs_tokio::transport::CdrsTransport;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use store_core::kit::url_text::host_and_port;
use store_core::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

use super::connection::{CassandraCompression, CassandraConnection};
use super::url::PORT;
use super::{CassandraConfig, refused};
use crate::error::{NAME, from_driver};
use crate::session::{CassandraBalancing, CassandraSession};

/// How long connecting may take when nothing else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest and the longest wait before a lost connection is made again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long the reason of a lost connection is waited for.
const REASON: Duration = Duration::from_millis(200);
/// The protocol. Version 5 has nothing that the store needs, and checksums that cost the client more.
const VERSION: Version = Version::V4;
/// Bytes that a connection gathers before it sends.
const BUFFER: usize = 1 << 14;

type Authenticator = Arc<dyn SaslAuthenticatorProvider + Send + Sync>;

impl CassandraConfig {
    /// A session of the driver's, connected.
    pub(crate) async fn session(&self) -> Result<CassandraSession> {
        self.validate()?;
        let limit = self.connection.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let nodes = self.connection.addresses(limit).await?;
        let session = match self.connection.encryption()? {
            None => self.plain(nodes, limit).await?,
            Some((name, tls)) => self.encrypted(nodes, name, tls, limit).await?,
        };
        self.connection.check_datacenter(&session)?;
        Ok(session)
    }

    async fn plain(&self, mut nodes: Vec<SocketAddr>, limit: Duration) -> Result<CassandraSession> {
        let connection = &self.connection;
        let probe = TcpConnectionManager::new(
            connection.authenticator(),
            no_keyspace(),
            Box::new(ProtocolFrameEncodingFactory),
            connection.codec(),
            BUFFER,
            true,
            VERSION,
        );
        reach(&probe, &mut nodes, limit).await?;
        let config = NodeTcpConfigBuilder::new()
            .with_authenticator_provider(connection.authenticator())
            .with_contact_points(nodes.into_iter().map(NodeAddress::Direct).collect())
            .with_version(VERSION);
        let build = async {
            let config = config.build().await.map_err(from_driver)?;
            let balancing = connection.balancing();
            let builder = connection.settled(TcpSessionBuilder::new(balancing, config), limit);
            builder.build().await.map_err(|error| not_built(&error.to_string()))
        };
        Ok(CassandraSession::Tcp(Arc::new(within(limit, build).await?)))
    }

    async fn encrypted(
        &self,
        mut nodes: Vec<SocketAddr>,
        name: ServerName<'static>,
        tls: Arc<ClientConfig>,
        limit: Duration,
    ) -> Result<CassandraSession> {
        let connection = &self.connection;
        let probe = RustlsConnectionManager::new(
            name.clone(),
            connection.authenticator(),
            Arc::clone(&tls),
            no_keyspace(),
            Box::new(ProtocolFrameEncodingFactory),
            connection.codec(),
            BUFFER,
            true,
            VERSION,
        );
        reach(&probe, &mut nodes, limit).await?;
        let config = NodeRustlsConfigBuilder::new(name, tls)
            .with_authenticator_provider(connection.authenticator())
            .with_contact_points(nodes.into_iter().map(NodeAddress::Direct).collect())
            .with_version(VERSION);
        let build = async {
            let config = config.build().await.map_err(from_driver)?;
            let balancing = connection.balancing();
            let builder = connection.settled(RustlsSessionBuilder::new(balancing, config), limit);
            builder.build().await.map_err(|error| not_built(&error.to_string()))
        };
        Ok(CassandraSession::Tls(Arc::new(within(limit, build).await?)))
    }
}

impl CassandraConnection {
    /// What is the same with and without TLS.
    fn settled<T, CM, LB, B>(&self, builder: B, limit: Duration) -> B
    where
        T: CdrsTransport + 'static,
        CM: ConnectionManager<T>,
        LB: LoadBalancingStrategy<T, CM> + Send + Sync + 'static,
        B: SessionBuilder<T, CM, LB>,
    {
        let size = self.pool_size.unwrap_or(1);
        // The driver may forget which nodes are near.
        let pool = ConnectionPoolConfigBuilder::new()
            .with_local_size(size)
            .with_remote_size(size)
            .with_connect_timeout(Some(limit))
            .build();
        let longest = self.reconnect_max_delay.unwrap_or(RECONNECT.1);
        // So many attempts that they never end.
        let again = ExponentialReconnectionPolicy::new(RECONNECT.0.min(longest), longest, usize::MAX);
        let mut builder = builder
            .with_compression(self.codec())
            .with_transport_buffer_size(BUFFER)
            .with_connection_pool_config(pool)
            .with_retry_policy(Box::new(FallthroughRetryPolicy))
            .with_reconnection_policy(Arc::new(again));
        if let Some(datacenter) = &self.datacenter {
            let near = TopologyAwareNodeDistanceEvaluator::new(datacenter.clone());
            builder = builder.with_node_distance_evaluator(Box::new(near));
        }
        builder
    }

    fn balancing(&self) -> CassandraBalancing {
        let balancing = CassandraBalancing::new(self.load_balancing.unwrap_or_default());
        match &self.datacenter {
            Some(datacenter) => balancing.with_datacenter(datacenter.as_str()),
            None => balancing,
        }
    }

    /// Refuses a datacentre that the cluster does not have: nobody would be asked.
    fn check_datacenter(&self, session: &CassandraSession) -> Result<()> {
        let Some(datacenter) = &self.datacenter else { return Ok(()) };
        let there: BTreeSet<String> = session.nodes().into_iter().map(|node| node.datacenter).collect();
        if there.contains(datacenter) {
            return Ok(());
        }
        let there: Vec<String> = there.into_iter().collect();
        Err(refused(format!(
            "the cluster has no datacentre {datacenter:?}; it has {}; correct datacenter, or leave it out",
            there.join(", ")
        )))
    }

    fn authenticator(&self) -> Authenticator {
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                Arc::new(StaticPasswordAuthenticatorProvider::new(user.as_str(), password.expose_secret()))
            }
            _ => Arc::new(NoneAuthenticatorProvider),
        }
    }

    fn codec(&self) -> Compression {
        match self.compression.unwrap_or_default() {
            CassandraCompression::None => Compression::None,
            CassandraCompression::Lz4 => Compression::Lz4,
            CassandraCompression::Snappy => Compression::Snappy,
        }
    }

    /// Name and settings of TLS, if connections are encrypted.
    fn encryption<'a>(&'a self) -> Result<Option<(ServerName<'static>, Arc<ClientConfig>)>> {
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
        let first = self
            .hosts
            .first()
            .and_then(|host| host_and_port(host, PORT))
            .map_or("127.0.0.1", |(name, _)| name);
        let name = self.tls_host_name.as_deref().unwrap_or(first);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            refused(format!("{name:?} can not be the name in a certificate; give tlsHostName"))
        })?;
        Ok(Some((name, Arc::new(tls))))
    }

    /// The addresses of the known nodes. A name that is not known is left out while there are others.
    async fn addresses(&self, limit: Duration) -> Result<Vec<SocketAddr>> {
        let local = ["127.0.0.1".to_owned()];
        let hosts = if self.hosts.is_empty() { &local[..] } else { &self.hosts };
        let (mut found, mut why) = (Vec::new(), None);
        for host in hosts {
            let (name, port) = host_and_port(host, PORT).unwrap_or((host, PORT));
            match within(limit, async {
                tokio::net::lookup_host((name, port)).await.map_err(|error| {
                    Error::new(ErrorKind::Unavailable, format!("the host {name:?} is not known: {error}"))
                })
            })
            .await
            {
                Ok(addresses) => found.extend(addresses),
                Err(error) => why = Some(error),
            }
        }
        match why {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

/// Makes a connection to each of the nodes; the first that takes it comes to the front. Fails with the reason when none
/// does.
async fn reach<T, M>(manager: &M, nodes: &mut [SocketAddr], limit: Duration) -> Result<()>
where
    T: CdrsTransport,
    M: ConnectionManager<T>,
{
    let tries = nodes.iter().copied().enumerate().map(|(place, node)| {
        let connect = async move {
            let (sender, mut lost) = mpsc::channel(1);
            let Err(error) = manager.connection(None, Some(sender), node).await else { return Ok(()) };
            // Why it lost the connection half-way the driver tells there only.
            let why = match &error {
                DriverError::General(_) => tokio::time::timeout(REASON, lost.recv()).await.ok().flatten(),
                _ => None,
            };
            Err(not_connected(node, why.unwrap_or(error)))
        };
        async move { within(limit, connect).await.map(|()| place) }
    });
    let mut tries: FuturesUnordered<_> = tries.collect();
    let mut why: Option<Error> = None;
    while let Some(answer) = tries.next().await {
        match answer {
            Ok(place) => {
                drop(tries);
                nodes.swap(0, place);
                return Ok(());
            }
            // The others ask for the same password.
            Err(error) if error.kind() == ErrorKind::Unauthorized => return Err(error),
            // What can be mended says more than what may pass by.
            Err(error) if why.as_ref().is_none_or(Error::is_retryable) => why = Some(error),
            Err(_) => {}
        }
    }
    Err(why.unwrap_or_else(|| refused("no node is named; write cassandra://host/keyspace")))
}

fn not_connected(node: SocketAddr, error: DriverError) -> Error {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    let (kind, message) = match &error {
        DriverError::Server { .. } => return from_driver(error),
        DriverError::General(_) if says("authenticator") => (
            ErrorKind::Unauthorized,
            format!("the node {node} asks for a user; write user:password@ before the host"),
        ),
        DriverError::Io(why) if why.kind() == std::io::ErrorKind::ConnectionRefused => (
            ErrorKind::Unavailable,
            format!("nothing listens at {node}; start the server, or check host and port"),
        ),
        _ if says("peer certificate") => (
            ErrorKind::Config,
            format!("the certificate of {node} is not accepted ({text}); check tlsCAFile and tlsHostName"),
        ),
        _ if says("fatal alert") => (
            ErrorKind::Config,
            format!(
                "the node {node} refuses the encryption ({text}); give a certificate that it accepts in \
                 tlsCertificateFile"
            ),
        ),
        // Nodes of Cassandra that do not accept the client's certificate say so, or just go.
        _ => (
            ErrorKind::Unavailable,
            format!(
                "no connection to {node} ({text}); check the host, the port, whether it wants TLS (tls=true or \
                 tls=false), and with TLS whether it asks for a certificate (tlsCertificateFile)"
            ),
        ),
    };
    Error::new(kind, message).with_backend(NAME).with_source(error)
}

fn not_built(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the driver could not begin a session: {why}"))
        .with_backend(NAME)
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, Box::pin(call)).await.map_err(|_| {
        let message = format!(
            "no connection within {} ms; check the hosts, the datacentre, and whether they want TLS",
            limit.as_millis()
        );
        Error::new(ErrorKind::Unavailable, message).with_backend(NAME)
    })?
}

fn no_keyspace() -> Arc<KeyspaceHolder> {
    Arc::new(KeyspaceHolder::new(tokio::sync::watch::channel(None).0))
}
