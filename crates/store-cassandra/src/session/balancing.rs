//! Which node is asked.
//!
//! The driver's own policies leave a node out whose distance or state it does not know. After its control connection was
//! lost it knows neither of any node (it holds the port between nodes against that for clients), and finds nobody to ask
//! from then on. So nodes are chosen here, and none of the datacentre is ever left out: those that are down come last.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cdrs_tokio::cluster::topology::{Node, NodeDistance, NodeState, ReplicationStrategy};
use cdrs_tokio::cluster::{ClusterMetadata, ConnectionManager, Murmur3Token};
use cdrs_tokio::load_balancing::{LoadBalancingStrategy, QueryPlan, Request};
use cdrs_tokio::transport::CdrsTransport;

use super::asking;
use crate::config::CassandraBalancingPolicy;

/// Which node is asked, for sessions that [`from_session`](crate::CassandraBackend::from_session) takes.
#[derive(Debug)]
pub struct CassandraBalancing {
    policy: CassandraBalancingPolicy,
    datacenter: Option<String>,
    turn: AtomicUsize,
}

impl CassandraBalancing {
    /// A replica of what is asked for, before the other nodes.
    #[must_use]
    pub fn token_aware() -> Self {
        Self::new(CassandraBalancingPolicy::TokenAware)
    }

    /// Each node in turn.
    #[must_use]
    pub fn round_robin() -> Self {
        Self::new(CassandraBalancingPolicy::RoundRobin)
    }

    /// Asks the nodes of this datacentre only. Without it all are asked that the session does not take for remote.
    #[must_use]
    pub fn with_datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = Some(name.into());
        self
    }

    pub(crate) fn new(policy: CassandraBalancingPolicy) -> Self {
        Self { policy, datacenter: None, turn: AtomicUsize::new(0) }
    }

    fn is_near<T: CdrsTransport, CM: ConnectionManager<T>>(&self, node: &Node<T, CM>) -> bool {
        match &self.datacenter {
            Some(name) => node.datacenter() == name,
            None => node.distance() != Some(NodeDistance::Remote),
        }
    }

    /// The replicas of a token among the near nodes.
    fn replicas<T: CdrsTransport, CM: ConnectionManager<T>>(
        &self,
        token: Murmur3Token,
        keyspace: Option<&str>,
        cluster: &ClusterMetadata<T, CM>,
    ) -> Vec<SocketAddr> {
        let Some(keyspace) = keyspace.and_then(|keyspace| cluster.keyspace(keyspace)) else {
            return Vec::new();
        };
        let ring = cluster.token_map().nodes_for_token(token);
        match &keyspace.replication_strategy {
            ReplicationStrategy::SimpleStrategy { replication_factor } => ring
                .take(*replication_factor)
                .filter(|node| self.is_near(node))
                .map(|node| node.broadcast_rpc_address())
                .collect(),
            ReplicationStrategy::NetworkTopologyStrategy { datacenter_replication_factor } => {
                let (mut found, mut left) = (Vec::new(), datacenter_replication_factor.clone());
                let mut racks = HashSet::new();
                let mut repeats = left.clone();
                for (datacenter, repeats) in &mut repeats {
                    let racks = cluster.datacenter(datacenter).map_or(0, |datacenter| datacenter.rack_count);
                    *repeats = repeats.saturating_sub(racks);
                }
                for node in ring.filter(|node| self.is_near(node)) {
                    let datacenter = node.datacenter();
                    let Some(left) = left.get_mut(datacenter).filter(|left| **left > 0) else { continue };
                    // A replica for each rack, before a rack has two.
                    if !racks.insert((datacenter.to_owned(), node.rack().to_owned())) {
                        let Some(repeats) = repeats.get_mut(datacenter).filter(|repeats| **repeats > 0)
                        else {
                            continue;
                        };
                        *repeats -= 1;
                    }
                    *left -= 1;
                    found.push(node.broadcast_rpc_address());
                }
                found
            }
            ReplicationStrategy::Other => Vec::new(),
        }
    }
}

impl<T: CdrsTransport, CM: ConnectionManager<T>> LoadBalancingStrategy<T, CM> for CassandraBalancing {
    fn query_plan(&self, request: Option<Request>, cluster: &ClusterMetadata<T, CM>) -> QueryPlan<T, CM> {
        let near = cluster.nodes().values().filter(|node| self.is_near(node));
        let mut nodes: Vec<Arc<Node<T, CM>>> = near.cloned().collect();
        if nodes.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len();
            nodes.rotate_left(turn);
            let replicas = match request.filter(|_| self.policy == CassandraBalancingPolicy::TokenAware) {
                Some(request) => request
                    .token
                    .or_else(|| request.routing_key.map(Murmur3Token::generate))
                    .or_else(asking::token)
                    .map(|token| self.replicas(token, request.keyspace, cluster))
                    .unwrap_or_default(),
                None => Vec::new(),
            };
            nodes.sort_by_cached_key(|node| {
                let address = node.broadcast_rpc_address();
                let down = matches!(node.state(), NodeState::Down | NodeState::ForcedDown);
                (asking::rank(address), down, !replicas.contains(&address))
            });
        }
        let addresses: Vec<SocketAddr> =
            nodes.iter().take(2).map(|node| node.broadcast_rpc_address()).collect();
        asking::planned(&addresses);
        QueryPlan::new(nodes)
    }
}
