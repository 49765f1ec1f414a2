//! What a store says of its own health: the server, its settings, and what is going to hurt.
//!
//! The server is asked for more than a user of the store need be allowed to see; what it refuses is left out.

use std::time::{Duration, Instant};

use fred::types::Value;
use store_core::kit::epoch;
use store_core::{Diagnosis, ErrorKind, Finding, Result};

use crate::config::{RedisConfig, RedisConnection, Topology};
use crate::driver::{Cmd, integer, items, text};
use crate::space::Space;
use crate::vector::{RedisVectorEngine, capabilities, is_exact};

/// Clocks that differ more put times of expiry and of chat messages in the wrong place.
const MUCH_SKEW: Duration = Duration::from_secs(5);
/// A server in the same network answers within a millisecond.
const SLOW: Duration = Duration::from_millis(20);
/// How often the server is asked for its answer time; the middle one counts.
const PINGS: usize = 5;
/// How full memory and connections may be, in percent.
const NEARLY_FULL: f64 = 90.0;
/// A SCAN of more takes a good part of a second.
const MANY_KEYS: i64 = 100_000;
/// The oldest release that the tests run on.
const OLDEST_TESTED: (u32, u32) = (7, 0);

/// Looks through the server, or all primaries of a cluster.
pub(crate) async fn look(space: &Space) -> Result<Diagnosis> {
    let answer_time = answer_time(space).await?;
    let infos = infos(space).await?;
    let server = &space.server;
    let cluster = space.driver()?.is_cluster();
    let connection = &space.config.connection;

    let mut facts = Diagnosis::new()
        .with_fact("store-redis", env!("CARGO_PKG_VERSION"))
        .with_fact("server", product(&server.product, &server.version))
        .with_fact("topology", topology(connection, cluster, &infos))
        .with_fact("answers within", shown(answer_time));
    if !infos.is_empty() {
        facts = facts.with_fact("memory", memory(&infos));
    }
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(old(&server.product, &server.version));
    findings.extend(far(answer_time));

    let saves = setting(space, "save").await;
    if let Some(first) = infos.first() {
        let fsync = setting(space, "appendfsync").await;
        facts = facts.with_fact("persistence", persistence(first, saves.as_deref(), fsync.as_deref()));
        findings.extend(not_kept(first, saves.as_deref()));
    }
    for info in &infos {
        for finding in info_findings(info, connection.topology.unwrap_or_default(), cluster) {
            if !findings.iter().any(|other| other.subject == finding.subject) {
                findings.push(finding);
            }
        }
    }
    if cluster {
        findings.extend(cluster_findings(space).await);
    }
    for (name, value) in abilities(space) {
        facts = facts.with_fact(name, value);
    }
    if is_exact(space)
        && let Some(keys) = keys(space).await?
    {
        let how = if space.config.vectors.engine == RedisVectorEngine::VectorSet {
            format!(
                "by a vector set: a query by vector walks its graph and reads what it finds; every other query meets all \
                 {keys} keys, and reads every node of its set"
            )
        } else {
            format!("exact, without an index: a query meets all {keys} keys, and reads every node of its set")
        };
        facts = facts.with_fact("vector search", how);
        findings.extend(many_keys(keys));
    }
    if space.driver()?.is_own() {
        facts = facts
            .with_fact("TLS", if connection.tls == Some(true) { "yes" } else { "no" })
            .with_fact("user", connection.user.as_deref().unwrap_or("default"));
        findings.extend(setting_findings(connection));
    }
    facts = facts.with_fact("time for a call", format!("{} ms", space.config.operation_timeout.as_millis()));
    findings.extend(skewed(skew(space).await));
    findings.extend(rights(space).await?);
    Ok(findings.into_iter().fold(facts, Diagnosis::with_finding))
}

/// What a server tells of itself with INFO: a name and a value in each line.
#[derive(Debug)]
struct Info(String);

impl Info {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn number(&self, name: &str) -> f64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }
}

/// Of each primary; none if the user may not ask.
async fn infos(space: &Space) -> Result<Vec<Info>> {
    let asked = space.primaries()?.into_iter().map(|node| Cmd::keyless("INFO").on(node)).collect();
    let mut infos = Vec::new();
    for answer in space.pipeline(asked).await? {
        match answer {
            Ok(answer) => infos.push(Info(text(&answer).unwrap_or_default().to_owned())),
            Err(error) if refused(error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(infos)
}

fn refused(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unauthorized | ErrorKind::Unsupported)
}

/// A setting of the server; `None` if it may not be asked, as with most providers.
async fn setting(space: &Space, name: &'static str) -> Option<String> {
    let asked = Cmd::keyless("CONFIG").arg("GET").arg(name);
    match space.call(asked).await.ok()? {
        // RESP3.
        Value::Map(settings) => {
            settings.inner().into_values().next().as_ref().and_then(text).map(str::to_owned)
        }
        answer => items(answer).get(1).and_then(text).map(str::to_owned),
    }
}

/// How many keys the server holds; `None` if the user may not ask.
async fn keys(space: &Space) -> Result<Option<i64>> {
    let asked = space.primaries()?.into_iter().map(|node| Cmd::keyless("DBSIZE").on(node)).collect();
    let mut keys = 0;
    for answer in space.pipeline(asked).await? {
        match answer {
            Ok(answer) => keys += integer(&answer).unwrap_or(0),
            Err(error) if refused(error.kind()) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(keys))
}

fn many_keys(keys: i64) -> Option<Finding> {
    let finding = || {
        Finding::note(
            "vector search",
            format!("a query that no index serves meets {keys} keys"),
            "use a server with the search module, or keep vectors on a server or in a database of their own",
        )
    };
    (keys > MANY_KEYS).then(finding)
}

async fn answer_time(space: &Space) -> Result<Duration> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let begin = Instant::now();
        // A server that can not save refuses a PING as if it were a write.
        space.call(Cmd::keyless("ECHO").arg("")).await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(PINGS / 2).copied().unwrap_or_default())
}

fn shown(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 1_000 { format!("{micros} µs") } else { format!("{:.1} ms", time.as_secs_f64() * 1e3) }
}

fn far(time: Duration) -> Option<Finding> {
    (time > SLOW).then(|| {
        Finding::note(
            "answer time",
            format!("the server answers a ping after {}, so each call takes that at least", shown(time)),
            "move the program nearer to the server, and give calls many items at a time",
        )
    })
}

fn product(product: &str, version: &str) -> String {
    let name = if product == "valkey" { "Valkey" } else { "Redis" };
    if version.is_empty() {
        format!("{name}, of a version we may not ask")
    } else {
        format!("{name} {version}")
    }
}

fn old(product: &str, version: &str) -> Option<Finding> {
    let mut parts = version.split('.').map(str::parse);
    let release = (parts.next()?.ok()?, parts.next()?.ok()?);
    (product == "redis" && release < OLDEST_TESTED).then(|| {
        Finding::note(
            "version",
            format!(
                "the store is tested from Redis {}.{} on, and this is {version}",
                OLDEST_TESTED.0, OLDEST_TESTED.1
            ),
            "move to a release that is maintained",
        )
    })
}

fn topology(connection: &RedisConnection, cluster: bool, infos: &[Info]) -> String {
    let count: f64 = infos.iter().map(|info| info.number("connected_slaves")).sum();
    // Who may not ask knows of none.
    let replicas = if infos.is_empty() { String::new() } else { format!(", replicas: {count}") };
    match &connection.sentinel_service {
        _ if cluster && infos.is_empty() => "cluster".to_owned(),
        _ if cluster => format!("cluster, {} primaries{replicas}", infos.len()),
        Some(service) => format!("Sentinel, service {service}{replicas}"),
        None if infos.first().is_some_and(|info| info.is("role", "slave")) => "a replica".to_owned(),
        None => format!("single server{replicas}"),
    }
}

fn memory(infos: &[Info]) -> String {
    let sum = |name: &str| infos.iter().map(|info| info.number(name)).sum::<f64>();
    let (used, most) = (sum("used_memory"), sum("maxmemory"));
    let policy = infos.first().and_then(|info| info.get("maxmemory_policy")).unwrap_or("unknown");
    if most > 0.0 {
        format!("{} of {}, policy {policy}", size(used), size(most))
    } else {
        format!("{}, no limit", size(used))
    }
}

fn persistence(info: &Info, saves: Option<&str>, fsync: Option<&str>) -> String {
    let log = match (info.is("aof_enabled", "1"), fsync) {
        (false, _) => None,
        (true, Some("always")) => Some("append-only file, on disk before each answer"),
        (true, Some("no")) => Some("append-only file, on disk when the system likes"),
        (true, _) => Some("append-only file, on disk once a second"),
    };
    let snapshots = saves.filter(|saves| !saves.is_empty()).map(|_| "snapshots");
    match (log, snapshots) {
        (Some(log), Some(snapshots)) => format!("{log}, and {snapshots}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) if saves.is_none() => "no append-only file; of snapshots we may not ask".to_owned(),
        (None, None) => "none".to_owned(),
    }
}

fn not_kept(info: &Info, saves: Option<&str>) -> Option<Finding> {
    (!info.is("aof_enabled", "1") && saves == Some("")).then(|| {
        Finding::note(
            "persistence",
            "the server keeps nothing on disk: a restart of it ends with an empty store",
            "for data that is nowhere else, set appendonly yes (appendfsync everysec may lose a second, always nothing)",
        )
    })
}

/// What one server's own figures say.
fn info_findings(info: &Info, topology: Topology, cluster: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(memory_findings(info));
    if info.is("rdb_last_bgsave_status", "err") || info.is("aof_last_write_status", "err") {
        findings.push(Finding::warning(
            "saving",
            "the server could not write its data to disk the last time it tried",
            "look at its log and at the space on its disk: until it can, it may refuse writes, and a restart loses them",
        ));
    }
    if info.is("role", "slave") {
        findings.push(Finding::warning(
            "not the primary",
            "the server that answers is a replica and takes no writes",
            "name the primary, or the sentinels or the cluster that know it",
        ));
    } else if info.number("connected_slaves") == 0.0 && (cluster || topology == Topology::Sentinel) {
        findings.push(Finding::note(
            "replicas",
            "a primary has no replica: when it fails, nobody takes its place, and its data is gone with its disk",
            "give every primary a replica",
        ));
    }
    let (clients, most) = (info.number("connected_clients"), info.number("maxclients"));
    if most > 0.0 && clients / most * 100.0 > NEARLY_FULL {
        findings.push(Finding::warning(
            "connections",
            format!("{clients} of at most {most} clients are connected"),
            "find who holds them (CLIENT LIST), lower poolSize, or raise maxclients",
        ));
    }
    findings
}

fn memory_findings(info: &Info) -> Vec<Finding> {
    let mut findings = Vec::new();
    let policy = info.get("maxmemory_policy").unwrap_or_default();
    let (used, most) = (info.number("used_memory"), info.number("maxmemory"));
    if policy.starts_with("allkeys") {
        let evicted = info.number("evicted_keys");
        findings.push(Finding::warning(
            "eviction",
            format!(
                "the server throws away any key when memory is short (maxmemory-policy {policy}; {evicted} so far): whole \
                 collections, chats and vectors"
            ),
            "set maxmemory-policy noeviction, and keep caches on a server of their own",
        ));
    } else if policy.starts_with("volatile") {
        findings.push(Finding::note(
            "eviction",
            format!(
                "when memory is short, keys with a time to live go before it ends (maxmemory-policy {policy})"
            ),
            "right for caches; for chats and sessions that must last, set maxmemory-policy noeviction",
        ));
    }
    if most > 0.0 && used / most * 100.0 > NEARLY_FULL {
        findings.push(Finding::warning(
            "memory",
            format!("{} of {} are used", size(used), size(most)),
            "remove something or raise maxmemory: a full server refuses writes, or evicts",
        ));
    } else if most == 0.0 && info.get("maxmemory").is_some() {
        findings.push(Finding::note(
            "memory",
            "no limit is set: the server takes all its machine has, and is then killed by the system",
            "set maxmemory to two thirds of the machine's memory",
        ));
    }
    findings
}

async fn cluster_findings(space: &Space) -> Option<Finding> {
    let answer = space.call(Cmd::keyless("CLUSTER").arg("INFO")).await.ok()?;
    let info = Info(text(&answer)?.to_owned());
    let served = info.number("cluster_slots_ok");
    (!info.is("cluster_state", "ok") || served < 16_384.0).then(|| {
        Finding::warning(
            "cluster",
            format!(
                "the cluster's state is {}, and {served} of its 16384 slots are served",
                info.get("cluster_state").unwrap_or("unknown")
            ),
            "look at redis-cli --cluster check: calls for the keys of the other slots fail",
        )
    })
}

/// What the server can, and what that means for the store.
fn abilities(space: &Space) -> Vec<(&'static str, &'static str)> {
    let server = &space.server;
    let pick = |there: bool, yes: &'static str, no: &'static str| if there { yes } else { no };
    vec![
        (
            "search module",
            match (server.search, capabilities(space).is_some()) {
                (true, _) if space.config.vectors.engine == RedisVectorEngine::VectorSet => {
                    "yes, and not used"
                }
                (true, _) => "yes: vectors and words are found by index",
                (false, true) => "no: vectors are compared exactly, which reads all of a set",
                (false, false) => "no: without it there are no vectors",
            },
        ),
        ("vector sets", pick(server.vector_sets, "yes", "no (Redis 8 has them)")),
        ("JSON module", pick(server.json, "yes", "no")),
        (
            "expiry of values",
            pick(
                server.field_expiry,
                "yes",
                "no (Redis 7.4 and Valkey 9 have it); one that asks for it is refused",
            ),
        ),
    ]
}

fn setting_findings(connection: &RedisConnection) -> Vec<Finding> {
    let mut findings = Vec::new();
    let local = |host: &String| {
        ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start)) || host == "::1"
    };
    let local = connection.hosts.iter().all(local);
    if !local && connection.tls != Some(true) {
        findings.push(Finding::warning(
            "TLS",
            "data and the password go to another machine unencrypted",
            "write rediss:// (rediss-cluster://, rediss-sentinel://), and tlsCAFile unless a public authority signed the \
             server's certificate",
        ));
    }
    if !local && connection.password.is_none() {
        findings.push(Finding::warning(
            "user",
            "the server lets in whoever can reach it, without a password",
            "make a user for the store (ACL SETUSER), and name it in the URL",
        ));
    }
    if connection.read_from_replicas == Some(true) {
        findings.push(Finding::note(
            "readFromReplicas",
            "reads may go to replicas, and miss what was just written",
            "leave it out of the URL unless old answers will do",
        ));
    }
    findings
}

/// How far the server's clock is from ours; zero when it lies within the time the question took, or is not told.
async fn skew(space: &Space) -> Duration {
    let before = epoch::now();
    let Ok(answer) = space.call(Cmd::keyless("TIME")).await else { return Duration::ZERO };
    let after = epoch::now();
    let parts: Vec<u64> =
        items(answer).iter().filter_map(|part| u64::try_from(integer(part)?).ok()).collect();
    match parts.as_slice() {
        [seconds, micros] => {
            difference(before, Duration::from_secs(*seconds) + Duration::from_micros(*micros), after)
        }
        _ => Duration::ZERO,
    }
}

fn difference(before: Duration, server: Duration, after: Duration) -> Duration {
    before.saturating_sub(server).max(server.saturating_sub(after))
}

fn skewed(skew: Duration) -> Option<Finding> {
    (skew > MUCH_SKEW).then(|| {
        Finding::warning(
            "clocks",
            format!("this machine's clock and the server's differ by {} s", skew.as_secs()),
            "keep both by NTP: times of expiry are the server's, those of messages this machine's",
        )
    })
}

/// What the user may not, found by commands that change nothing: they go to a key that is not there.
async fn rights(space: &Space) -> Result<Option<Finding>> {
    let key = format!("{}nodestore:doctor", space.prefix);
    let asked = vec![
        Cmd::read("HLEN", key.clone()),
        Cmd::read("LLEN", key.clone()),
        Cmd::write("HDEL", key.clone()).arg("none"),
        Cmd::write("UNLINK", key.clone()),
        Cmd::write("PERSIST", key.clone()),
        Cmd::keyless("EVAL").arg("return 0").arg(1_i64).arg(key).keyed_at(2),
        Cmd::keyless("SCAN").arg("0").arg("MATCH").arg("nodestore:none").arg("COUNT").arg(1_i64),
    ];
    let names = ["HLEN", "LLEN", "HDEL", "UNLINK", "PERSIST", "EVAL", "SCAN"];
    let answers = space.pipeline(asked).await?;
    let missing: Vec<&str> = names
        .into_iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.as_ref().is_err_and(|error| refused(error.kind())))
        .map(|(name, _)| name)
        .collect();
    Ok(lacking(&space.config, &missing))
}

fn lacking(config: &RedisConfig, missing: &[&str]) -> Option<Finding> {
    (!missing.is_empty()).then(|| {
        let prefix = config.key_prefix();
        Finding::warning(
            "rights",
            format!("the user may not {} on the store's keys, which begin with {prefix:?}", missing.join(", ")),
            format!(
                "calls that need it fail with Unauthorized; to allow all: ACL SETUSER name +@all -@dangerous +info ~{prefix}*"
            ),
        )
    })
}

/// `1.5 MB`, in units of a thousand.
fn size(bytes: f64) -> String {
    match bytes {
        1e9.. => format!("{:.1} GB", bytes / 1e9),
        1e6.. => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} kB", bytes / 1e3),
    }
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
