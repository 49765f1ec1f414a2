//! What a store says of its own health: the cluster, the keyspace, the tables, and what is going to hurt.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use store_core::{Diagnosis, Finding, Result, Severity};

use crate::codec::{read_map, text};
use crate::config::{CassandraConnection, CassandraConsistency};
use crate::session::{Call, Class, Rows};
use crate::space::Space;
use crate::tables;

/// A node in the same datacentre answers within a few milliseconds.
const SLOW: Duration = Duration::from_millis(20);
/// How often the cluster is asked for its answer time; the middle one counts.
const PINGS: usize = 5;
/// Vectors came with this version.
const VECTORS: u32 = 5;

/// Looks through the cluster and the tables.
pub(crate) async fn look(space: &Space) -> Result<Diagnosis> {
    let answer_time = answer_time(space).await?;
    let local =
        ask(space, "SELECT release_version, cluster_name, data_center FROM system.local WHERE key = 'local'");
    let local = local.await?;
    let of_local = |column: &str| -> Result<String> {
        Ok(local.first().map(|row| row.text(column)).transpose()?.flatten().unwrap_or("unknown").to_owned())
    };
    let version = of_local("release_version")?;
    let peers = ask(space, "SELECT data_center FROM system.peers").await?;
    let mut datacenters: BTreeMap<String, usize> = BTreeMap::from([(of_local("data_center")?, 1)]);
    for row in peers.iter() {
        *datacenters.entry(row.text("data_center")?.unwrap_or("unknown").to_owned()).or_default() += 1;
    }
    let nodes = peers.len() + 1;

    let mut facts = Diagnosis::new()
        .with_fact("store-cassandra", env!("CARGO_PKG_VERSION"))
        .with_fact("server", version.as_str())
        .with_fact("cluster", of_local("cluster_name")?)
        .with_fact("nodes", listed(&datacenters))
        .with_fact("answers within", shown(answer_time));
    let connection = &space.config.connection;
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(far(answer_time));
    findings.extend(plain(connection));
    findings.extend(old(&version));
    findings.extend(elsewhere(connection, &datacenters));
    match replication(space).await? {
        None => {
            facts = facts.with_fact("keyspace", format!("{}, which is not there", space.keyspace));
            findings.push(missing(space));
        }
        Some(copies) => {
            facts = facts.with_fact("keyspace", format!("{}, {}", space.keyspace, copies.shown()));
            findings.extend(copies.findings(nodes, &datacenters));
            let names = tables::of_store(space).await?;
            let names = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
            facts = facts.with_fact("tables", names);
        }
    }
    if space.driver().await_agreement().await.is_err() {
        findings.push(Finding::warning(
            "schema",
            "the nodes do not agree on the schema: statements may fail on some of them",
            "see which of them is behind with nodetool describecluster, and restart that one",
        ));
    }
    findings.extend(weak(space, nodes));
    facts = facts
        .with_fact("reads", format!("{:?}", space.config.read_consistency))
        .with_fact("writes", format!("{:?}", space.config.write_consistency))
        .with_fact("time for a call", format!("{} ms", space.config.operation_timeout.as_millis()));
    Ok(findings.into_iter().fold(facts, Diagnosis::with_finding))
}

async fn ask(space: &Space, text: &str) -> Result<Rows> {
    space.run(Call::new(Class::Read, text, Vec::new()).with_consistency(CassandraConsistency::One)).await
}

async fn answer_time(space: &Space) -> Result<Duration> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begin = Instant::now();
        ask(space, "SELECT key FROM system.local WHERE key = 'local'").await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(PINGS / 2).copied().unwrap_or_default())
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// `3 in dc1, 2 in dc2`.
fn listed(datacenters: &BTreeMap<String, usize>) -> String {
    let each: Vec<String> = datacenters.iter().map(|(name, nodes)| format!("{nodes} in {name}")).collect();
    each.join(", ")
}

fn far(time: Duration) -> Option<Finding> {
    (time > SLOW).then(|| {
        Finding::note(
            "answer time",
            format!("the cluster answers after {}, so each call takes that at least", shown(time)),
            "run the program beside the nodes, say which datacentre is the near one, and give calls many items",
        )
    })
}

/// Everything goes over the network as it is.
fn plain(connection: &CassandraConnection) -> Option<Finding> {
    let here = |host: &String| ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here));
    let away = connection.tls != Some(true) && !connection.hosts.iter().all(here);
    away.then(|| {
        Finding::warning(
            "TLS",
            "everything goes to other machines without encryption, the password too",
            "switch client_encryption_options on in cassandra.yaml, and say tls=true",
        )
    })
}

fn old(version: &str) -> Option<Finding> {
    let major = version.split('.').next()?.parse::<u32>().ok()?;
    (major < VECTORS).then(|| {
        Finding::note(
            "version",
            format!("Cassandra {version} has no vectors: that role can not be used"),
            "go to Cassandra 5, if you need it",
        )
    })
}

fn elsewhere(connection: &CassandraConnection, datacenters: &BTreeMap<String, usize>) -> Option<Finding> {
    match &connection.datacenter {
        Some(name) if !datacenters.contains_key(name) => Some(Finding::new(
            Severity::Error,
            "datacentre",
            format!("there is no datacentre {name:?}; there are {}", listed(datacenters)),
            "correct datacenter: until then no node is asked",
        )),
        None if datacenters.len() > 1 => Some(Finding::warning(
            "datacentre",
            format!("nodes of all datacentres are asked alike: {}", listed(datacenters)),
            "say which one is near with datacenter",
        )),
        _ => None,
    }
}

/// How often a keyspace is kept.
#[derive(Debug)]
struct Copies {
    simple: bool,
    each: BTreeMap<String, usize>,
}

impl Copies {
    fn shown(&self) -> String {
        let each: Vec<String> = self
            .each
            .iter()
            .map(|(datacenter, copies)| {
                if self.simple {
                    format!("{copies} copies")
                } else {
                    format!("{copies} copies in {datacenter}")
                }
            })
            .collect();
        each.join(", ")
    }

    fn findings(&self, nodes: usize, datacenters: &BTreeMap<String, usize>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if nodes > 1 && self.each.values().any(|copies| *copies == 1) {
            findings.push(Finding::warning(
                "replication",
                "each row is on one node: without that node it can not be read, and is lost if its disk is",
                "ALTER KEYSPACE to three copies, then nodetool repair",
            ));
        }
        if self.each.values().any(|copies| *copies == 2) {
            findings.push(Finding::note(
                "replication",
                "of two copies a majority is both, so no node may be down",
                "ALTER KEYSPACE to three copies, then nodetool repair",
            ));
        }
        if self.simple && datacenters.len() > 1 {
            findings.push(Finding::warning(
                "replication",
                "SimpleStrategy knows no datacentres: where the copies are is chance",
                "ALTER KEYSPACE to NetworkTopologyStrategy, then nodetool repair",
            ));
        }
        if let Some((datacenter, copies)) = self
            .each
            .iter()
            .find(|(name, copies)| !self.simple && datacenters.get(*name).is_none_or(|nodes| nodes < copies))
        {
            findings.push(Finding::warning(
                "replication",
                format!("{copies} copies are asked for in {datacenter}, which has fewer nodes"),
                "add nodes, or ALTER KEYSPACE to fewer copies: majorities are counted of those asked for",
            ));
        }
        findings
    }
}

/// `None` where there is no such keyspace.
async fn replication(space: &Space) -> Result<Option<Copies>> {
    let find = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let rows = space.run(Call::new(Class::Read, find, vec![text(space.keyspace.as_str())])).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut copies = Copies { simple: false, each: BTreeMap::new() };
    for (name, value) in
        row.bytes("replication")?.map(|map| read_map("replication", map)).transpose()?.unwrap_or_default()
    {
        if name == "class" {
            copies.simple = value.ends_with("SimpleStrategy");
        } else {
            // Transient copies stand behind a slash.
            let number = value.split('/').next().unwrap_or_default();
            copies.each.insert(name.to_owned(), number.parse().unwrap_or_default());
        }
    }
    Ok(Some(copies))
}

fn missing(space: &Space) -> Finding {
    if space.config.create {
        return Finding::note("keyspace", "it is made at the first use", "nothing; or make it beforehand");
    }
    Finding::new(
        Severity::Error,
        "keyspace",
        "it is not there, and is not to be made",
        "make it with CREATE KEYSPACE, or open the store with store.create=true and store.replication",
    )
}

/// Reads that need not see what was written.
fn weak(space: &Space, nodes: usize) -> Option<Finding> {
    let one = |level: CassandraConsistency| {
        matches!(level, CassandraConsistency::One | CassandraConsistency::LocalOne)
    };
    let (read, write) = (space.config.read_consistency, space.config.write_consistency);
    let all = read == CassandraConsistency::All || write == CassandraConsistency::All;
    (nodes > 1 && !all && (one(read) || one(write))).then(|| {
        Finding::note(
            "consistency",
            format!("with reads at {read:?} and writes at {write:?} a read may miss what was just written"),
            "take local_quorum for both, unless that is meant",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(simple: bool, each: &[(&str, usize)]) -> Copies {
        Copies { simple, each: each.iter().map(|(name, copies)| ((*name).to_owned(), *copies)).collect() }
    }

    fn datacenters(each: &[(&str, usize)]) -> BTreeMap<String, usize> {
        copies(false, each).each
    }

    #[test]
    fn too_few_copies_are_told() {
        let one = datacenters(&[("dc1", 1)]);
        assert!(copies(true, &[("replication_factor", 1)]).findings(1, &one).is_empty());
        let three = datacenters(&[("dc1", 3)]);
        assert!(copies(false, &[("dc1", 3)]).findings(3, &three).is_empty());
        for (wrong, says) in [
            (copies(true, &[("replication_factor", 1)]), "on one node"),
            (copies(false, &[("dc1", 2)]), "no node may be down"),
            (copies(false, &[("dc1", 5)]), "fewer nodes"),
            (copies(false, &[("dc9", 3)]), "fewer nodes"),
        ] {
            let found = wrong.findings(3, &three);
            assert!(found.iter().any(|finding| finding.message.contains(says)), "{wrong:?}: {found:?}");
        }
        let two = datacenters(&[("dc1", 3), ("dc2", 3)]);
        let found = copies(true, &[("replication_factor", 3)]).findings(6, &two);
        assert!(found.iter().any(|finding| finding.message.contains("chance")), "{found:?}");
    }

    #[test]
    fn datacentres_are_compared() {
        let two = datacenters(&[("dc1", 3), ("dc2", 3)]);
        let near = |name: &str| CassandraConnection::default().with_datacenter(name);
        assert!(elsewhere(&near("dc1"), &two).is_none());
        assert_eq!(elsewhere(&near("DC1"), &two).unwrap().severity, Severity::Error);
        assert!(elsewhere(&CassandraConnection::default(), &two).is_some());
        assert!(elsewhere(&CassandraConnection::default(), &datacenters(&[("dc1", 3)])).is_none());
        assert!(old("4.1.3").is_some() && old("5.0.8").is_none() && old("x").is_none());
    }

    #[test]
    fn unencrypted_connections_are_told_unless_they_are_local() {
        let to = |host: &str| CassandraConnection::default().with_hosts([host]);
        assert!(plain(&to("127.0.0.1:9042")).is_none());
        assert!(plain(&CassandraConnection::default()).is_none());
        assert!(plain(&to("node1")).is_some());
        assert!(plain(&to("node1").with_tls(true)).is_none());
    }
}
