//! Which node is asked.

use cdrs_tokio::cluster::{ClusterMetadata, ConnectionManager};
use cdrs_tokio::load_balancing::{
    LoadBalancingStrategy, QueryPlan, Request, RoundRobinLoadBalancingStrategy,
    TopologyAwareLoadBalancingStrategy,
};
use cdrs_tokio::transport::CdrsTransport;

/// Which node is asked, for sessions that [`from_session`](crate::CassandraBackend::from_session) takes.
#[derive(Debug)]
pub enum CassandraBalancing<T: CdrsTransport + 'static, CM: ConnectionManager<T> + 'static> {
    /// A replica of what is asked for, in the local datacentre first.
    TokenAware(TopologyAwareLoadBalancingStrategy<T, CM>),
    /// Each node in turn.
    RoundRobin(RoundRobinLoadBalancingStrategy<T, CM>),
}

impl<T: CdrsTransport, CM: ConnectionManager<T>> CassandraBalancing<T, CM> {
    /// A replica of what is asked for, in the local datacentre first; never a node of another one.
    #[must_use]
    pub fn token_aware() -> Self {
        Self::TokenAware(TopologyAwareLoadBalancingStrategy::new(None, false))
    }

    /// Each node in turn.
    #[must_use]
    pub fn round_robin() -> Self {
        Self::RoundRobin(RoundRobinLoadBalancingStrategy::new())
    }
}

impl<T: CdrsTransport, CM: ConnectionManager<T>> LoadBalancingStrategy<T, CM> for CassandraBalancing<T, CM> {
    fn query_plan(&self, request: Option<Request>, cluster: &ClusterMetadata<T, CM>) -> QueryPlan<T, CM> {
        match self {
            Self::TokenAware(strategy) => strategy.query_plan(request, cluster),
            Self::RoundRobin(strategy) => strategy.query_plan(request, cluster),
        }
    }
}
