//! What the driver knows of the cluster.

use std::net::SocketAddr;

use cdrs_tokio::cluster::topology::NodeState;
use cdrs_tokio::cluster::{ClusterMetadata, ConnectionManager};
use cdrs_tokio::transport::CdrsTransport;

use super::CassandraSession;

/// A node of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct KnownNode {
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
    pub(crate) datacenter: String,
    /// Whether it can not be reached, or the others say so.
    pub(crate) down: bool,
}

impl CassandraSession {
    /// The nodes that the driver knows of.
    pub(crate) fn nodes(&self) -> Vec<KnownNode> {
        match self {
            Self::Tcp(session) => known(&session.cluster_metadata()),
            Self::Tls(session) => known(&session.cluster_metadata()),
        }
    }
}

fn known<T: CdrsTransport, CM: ConnectionManager<T>>(cluster: &ClusterMetadata<T, CM>) -> Vec<KnownNode> {
    let node = |node: &std::sync::Arc<cdrs_tokio::cluster::topology::Node<T, CM>>| KnownNode {
        address: node.broadcast_rpc_address(),
        datacenter: node.datacenter().to_owned(),
        down: matches!(node.state(), NodeState::Down | NodeState::ForcedDown),
    };
    cluster.nodes().values().map(node).collect()
}
