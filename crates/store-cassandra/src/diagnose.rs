//! What a store says of its own health.

use store_core::{Diagnosis, Result};

use crate::session::{Call, Class};
use crate::space::Space;

/// Looks at the cluster and the tables.
pub(crate) async fn look(space: &Space) -> Result<Diagnosis> {
    let find = "SELECT release_version, cluster_name, data_center FROM system.local WHERE key = 'local'";
    let rows = space.run(Call::new(Class::Read, find, Vec::new())).await?;
    let mut facts = Diagnosis::new().with_fact("store-cassandra", env!("CARGO_PKG_VERSION"));
    if let Some(row) = rows.first() {
        for (fact, column) in
            [("server", "release_version"), ("cluster", "cluster_name"), ("datacentre", "data_center")]
        {
            facts = facts.with_fact(fact, row.text(column)?.unwrap_or_default());
        }
    }
    Ok(facts.with_fact("keyspace", space.keyspace.as_str()))
}
