//! What a store says of its own health: the server, its settings, and what is going to hurt.
//!
//! The server is asked for more than a user of the store need be allowed to see; what it refuses is left out.

use std::sync::Arc;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt as _;
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, Tls};
use mongodb::{Database, IndexModel};
use store_core::{Diagnosis, Finding, Result};

use crate::config::{CHAT_DATABASE, KV_DATABASE, VECTOR_DATABASE};
use crate::space::Space;
use crate::vector;

/// Releases that get no more repairs, and since when (the vendor's lifecycle schedules).
const ENDED: [((i32, i32), &str); 3] =
    [((4, 4), "February 2024"), ((5, 0), "October 2024"), ((6, 0), "July 2025")];
/// Clocks that differ more put times of expiry and of chat messages in the wrong place.
const MUCH_SKEW: Duration = Duration::from_secs(5);
/// A shorter log of changes may lose its beginning while a member is restarted or a reader pauses.
const SHORT_LOG: Duration = Duration::from_hours(1);
/// A store has no use for so many connections, and each takes about 1 MB of the server's memory.
const MANY_CONNECTIONS: u32 = 500;

/// The field of a vector's source document.
const REF_DOC: &str = "metadata.ref_doc_id";

/// What `connect` was told that the client does not tell any more.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct Opened {
    user: bool,
    tls: bool,
    any_certificate: bool,
    local: bool,
    atlas: bool,
    retry_writes: Option<bool>,
    min_pool_size: Option<u32>,
    max_pool_size: Option<u32>,
}

impl Opened {
    pub(crate) fn new(options: &ClientOptions) -> Self {
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let tls = match &options.tls {
            Some(Tls::Enabled(tls)) => Some(tls),
            _ => None,
        };
        let local = ["localhost:", "127.", "::1", "[::1]", "/"];
        Self {
            user: options.credential.is_some(),
            tls: tls.is_some(),
            any_certificate: tls.is_some_and(|tls| tls.allow_invalid_certificates == Some(true)),
            local: hosts.iter().all(|host| local.iter().any(|start| host.starts_with(start))),
            atlas: hosts.iter().any(|host| host.contains(".mongodb.net:")),
            retry_writes: options.retry_writes,
            min_pool_size: options.min_pool_size,
            max_pool_size: options.max_pool_size,
        }
    }
}

/// Looks through the server and the namespace's databases.
pub(crate) async fn look(space: &Arc<Space>) -> Result<Diagnosis> {
    let before = DateTime::now();
    let hello = ask(space, "admin", doc! {"hello": 1}).await?;
    let after = DateTime::now();
    let build = ask(space, "admin", doc! {"buildInfo": 1}).await?;
    let version = build.get_str("version").unwrap_or("unknown");
    let topology = Topology::new(&hello);

    let mut facts = Diagnosis::new()
        .with_fact("store-mongodb", env!("CARGO_PKG_VERSION"))
        .with_fact("server", server(version, &build, space))
        .with_fact("topology", topology.to_string());
    if let Ok(me) = hello.get_str("me") {
        facts = facts.with_fact("answered by", me);
    }
    let mut findings = Vec::new();
    findings.extend(old(&build, version));
    findings.extend(topology.findings());

    let databases = databases(space);
    facts = facts.with_fact("databases", databases.join(", "));
    let mut disk = None;
    for name in &databases {
        let Ok(stats) = ask(space, name, doc! {"dbStats": 1}).await else { continue };
        facts = facts.with_fact(format!("in {name}"), stored(&stats));
        let (used, all) = (number(&stats, "fsUsedSize"), number(&stats, "fsTotalSize"));
        disk = disk.or((all > 0.0).then_some((used, all)));
    }
    if let Some((used, all)) = disk {
        facts = facts.with_fact("free on its disk", size(all - used));
        findings.extend(little_space(all - used, all));
    }

    for (name, value) in settings(space)? {
        facts = facts.with_fact(name, value);
    }
    findings.extend(setting_findings(space)?);

    findings
        .extend(no_index(space, space.chat_database()?, &space.config.chat_collection, "session_id").await);
    let vectors = &space.config.vector_collection;
    findings.extend(no_index(space, space.vector_database()?, vectors, REF_DOC).await);
    if let Ok(now) = hello.get_datetime("localTime") {
        findings.extend(skewed(skew(before, *now, after)));
    }
    if let Ok(answer) = ask(space, "admin", doc! {"getParameter": 1, "ttlMonitorEnabled": 1}).await {
        findings.extend((answer.get_bool("ttlMonitorEnabled").ok() == Some(false)).then(no_sweep));
    }
    if topology.set.is_some()
        && let Some(window) = log_window(space).await
    {
        facts = facts.with_fact("log of changes", plural(window));
        findings.extend(short_log(window));
    }
    facts = vector::diagnose(space, facts).await?;
    Ok(findings.into_iter().fold(facts, Diagnosis::with_finding))
}

/// Runs a command that only looks.
async fn ask(space: &Space, database: &str, command: Document) -> Result<Document> {
    let database = space.client()?.database(database);
    space.call(database.run_command(command)).await
}

fn databases(space: &Space) -> Vec<String> {
    let named = space.config.namespace.as_ref().or(space.config.database.as_ref());
    named.map_or_else(
        || [KV_DATABASE, CHAT_DATABASE, VECTOR_DATABASE].map(str::to_owned).to_vec(),
        |name| vec![name.clone()],
    )
}

fn server(version: &str, build: &Document, space: &Space) -> String {
    let modules = build.get_array("modules").map(Vec::as_slice).unwrap_or_default();
    let enterprise = modules.iter().any(|module| module.as_str() == Some("enterprise"));
    match (space.opened.atlas, enterprise) {
        (true, _) => format!("MongoDB {version}, Atlas"),
        (false, true) => format!("MongoDB {version} Enterprise"),
        (false, false) => format!("MongoDB {version}"),
    }
}

fn old(build: &Document, version: &str) -> Option<Finding> {
    let parts = build.get_array("versionArray").ok()?;
    let part = |place: usize| parts.get(place).and_then(Bson::as_i32);
    let release = (part(0)?, part(1)?);
    let (_, since) = ENDED.iter().find(|(ended, _)| release <= *ended)?;
    Some(Finding::warning(
        "version",
        format!("MongoDB {version} gets no more repairs since {since}, not even of security holes"),
        "move to a release that is maintained, one major version after the other",
    ))
}

/// How the servers stand together, as one of them tells it.
#[derive(Debug, Default)]
struct Topology {
    set: Option<String>,
    members: usize,
    arbiters: usize,
    sharded: bool,
    writable: bool,
}

impl Topology {
    fn new(hello: &Document) -> Self {
        let count = |name: &str| hello.get_array(name).map_or(0, Vec::len);
        Self {
            set: hello.get_str("setName").ok().map(str::to_owned),
            members: count("hosts") + count("passives"),
            arbiters: count("arbiters"),
            sharded: hello.get_str("msg").ok() == Some("isdbgrid"),
            writable: hello.get_bool("isWritablePrimary").unwrap_or(false),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.sharded && self.set.is_none() {
            findings.push(Finding::warning(
                "single server",
                "it is no replica set: no transactions, no change streams, no repetition of writes on a lost \
                 connection, and data on one disk only",
                "start it with --replSet and run rs.initiate(); one member is enough for all but the last",
            ));
        }
        if self.arbiters > 0 && self.members < 3 {
            findings.push(Finding::warning(
                "arbiter",
                format!(
                    "the set has {} data-bearing members and an arbiter: while one is down, no write has a majority",
                    self.members
                ),
                "replace the arbiter by a member with data",
            ));
        }
        if !self.sharded && !self.writable {
            findings.push(Finding::warning(
                "not the primary",
                "the server that answers can not be written to",
                "name all members in the URL with replicaSet, and leave out directConnection=true",
            ));
        }
        findings
    }
}

impl std::fmt::Display for Topology {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.set {
            _ if self.sharded => f.write_str("sharded cluster"),
            Some(set) if self.members == 1 => write!(f, "replica set {set}, one member"),
            Some(set) => {
                write!(f, "replica set {set}, {} members", self.members)?;
                if self.arbiters > 0 { write!(f, ", arbiters: {}", self.arbiters) } else { Ok(()) }
            }
            None => f.write_str("single server"),
        }
    }
}

fn stored(stats: &Document) -> String {
    format!(
        "{} documents in {} collections, {} of data, {} on disk, {} of indexes",
        number(stats, "objects"),
        number(stats, "collections"),
        size(number(stats, "dataSize")),
        size(number(stats, "storageSize")),
        size(number(stats, "indexSize")),
    )
}

fn little_space(free: f64, all: f64) -> Option<Finding> {
    (free < all / 10.0).then(|| {
        Finding::warning(
            "disk space",
            format!("{} of {} are free on the server's disk", size(free), size(all)),
            "make some space there: a server on a full disk stops",
        )
    })
}

/// The guarantees that are in force, whoever made the client.
fn settings(space: &Space) -> Result<Vec<(&'static str, String)>> {
    let client = space.client()?;
    let write = match client.write_concern().and_then(|concern| concern.w.as_ref()) {
        Some(Acknowledgment::Majority) => "majority".to_owned(),
        Some(Acknowledgment::Nodes(nodes)) => format!("w={nodes}"),
        Some(Acknowledgment::Custom(name)) => name.clone(),
        _ => "the server's default".to_owned(),
    };
    let read = client.read_concern().map_or_else(
        || "the server's default".to_owned(),
        |concern| format!("{:?}", concern.level).to_lowercase(),
    );
    let opened = &space.opened;
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let mut facts = vec![("write concern", write), ("read concern", read)];
    if space.own {
        if let Some(most) = opened.max_pool_size {
            facts.push(("connections", format!("at most {most} a server")));
        }
        facts.push(("TLS", yes(opened.tls)));
    }
    facts.push(("time for a call", format!("{} ms", space.config.operation_timeout.as_millis())));
    Ok(facts)
}

fn setting_findings(space: &Space) -> Result<Vec<Finding>> {
    let client = space.client()?;
    let mut findings = Vec::new();
    match client.write_concern().and_then(|concern| concern.w.as_ref()) {
        Some(Acknowledgment::Nodes(nodes)) => findings.push(Finding::warning(
            "write concern",
            format!("a write is acknowledged by w={nodes}: it may be lost when the primary fails"),
            "leave w out of the URL, or write w=majority",
        )),
        None if !space.own => findings.push(Finding::note(
            "write concern",
            "the client was made without one, so the server's default holds",
            "give the client the write concern majority",
        )),
        _ => {}
    }
    let elsewhere = match client.selection_criteria() {
        Some(SelectionCriteria::ReadPreference(preference)) => *preference != ReadPreference::Primary,
        Some(_) => true,
        None => false,
    };
    if elsewhere {
        findings.push(Finding::note(
            "read preference",
            "reads may go to secondaries, and miss what was just written",
            "leave readPreference out of the URL unless old answers will do",
        ));
    }
    findings.extend(opened_findings(&space.opened));
    Ok(findings)
}

fn opened_findings(opened: &Opened) -> Vec<Finding> {
    let mut findings = Vec::new();
    if opened.retry_writes == Some(false) {
        findings.push(Finding::warning(
            "retryWrites",
            "writes are not repeated on a lost connection: each election shows as errors",
            "leave retryWrites=false out of the URL",
        ));
    }
    if opened.any_certificate {
        findings.push(Finding::warning(
            "TLS",
            "any certificate is taken for the server's, so anyone between may read and change everything",
            "leave tlsAllowInvalidCertificates and tlsInsecure out of the URL, and give tlsCAFile",
        ));
    }
    if !opened.local && !opened.tls {
        findings.push(Finding::warning(
            "TLS",
            "data goes to another machine unencrypted",
            "write tls=true, and tlsCAFile unless a public authority signed the server's certificate",
        ));
    }
    if !opened.local && !opened.user {
        findings.push(Finding::warning(
            "user",
            "the server lets in whoever can reach it, without a user",
            "start it with --auth, make a user with the role readWrite, and name it in the URL",
        ));
    }
    if opened.max_pool_size == Some(1) {
        findings.push(Finding::note(
            "maxPoolSize",
            "one connection serves one call at a time, so parallel calls wait for each other",
            "leave maxPoolSize out of the URL; the default is 100",
        ));
    }
    let most = opened.max_pool_size.max(opened.min_pool_size);
    if let Some(most) = most.filter(|most| *most > MANY_CONNECTIONS) {
        findings.push(Finding::note(
            "maxPoolSize",
            format!("up to {most} connections may be open, each with a thread and about 1 MB on the server"),
            "take as many as calls run at once, some tens",
        ));
    }
    findings
}

/// A collection without an index that begins with this field, as LlamaIndex's packages leave it behind.
async fn no_index(space: &Space, database: Database, collection: &str, field: &str) -> Option<Finding> {
    let target = database.collection::<RawDocumentBuf>(collection);
    // A collection that is not there has no indexes, and none is missing.
    let listed = space.call(target.list_indexes()).await.ok()?;
    let indexes: Vec<IndexModel> = space.call(listed.try_collect()).await.ok()?;
    let begins = |index: &IndexModel| index.keys.keys().next().is_some_and(|first| first == field);
    (!indexes.is_empty() && !indexes.iter().any(begins)).then(|| {
        Finding::warning(
            "missing index",
            format!(
                "the collection {collection} has no index on {field}: calls that look for one read all of it"
            ),
            "the first write makes it, unless the store was opened with store.create=false",
        )
    })
}

/// How far the server's clock is from ours; zero when it lies within the time the question took.
fn skew(before: DateTime, server: DateTime, after: DateTime) -> Duration {
    let (before, server, after) =
        (before.timestamp_millis(), server.timestamp_millis(), after.timestamp_millis());
    let off = (before.saturating_sub(server)).max(server.saturating_sub(after)).max(0);
    Duration::from_millis(off.unsigned_abs())
}

fn skewed(skew: Duration) -> Option<Finding> {
    (skew > MUCH_SKEW).then(|| {
        Finding::warning(
            "clocks",
            format!("this machine's clock and the server's differ by {} s", skew.as_secs()),
            "keep both by NTP: times of expiry and of chat messages are of this machine",
        )
    })
}

fn no_sweep() -> Finding {
    Finding::warning(
        "expiry",
        "the server does not remove what has expired (ttlMonitorEnabled is false); it is hidden, but takes space",
        "set it to true: db.adminCommand({setParameter: 1, ttlMonitorEnabled: true})",
    )
}

/// The time between the first and the last entry of the log that members and change streams read.
async fn log_window(space: &Space) -> Option<Duration> {
    let log = space.client().ok()?.database("local").collection::<Document>("oplog.rs");
    let seconds = async |direction: i32| {
        let entry =
            space.call(log.find_one(doc! {}).sort(doc! {"$natural": direction}).projection(doc! {"ts": 1}));
        Some(entry.await.ok()??.get_timestamp("ts").ok()?.time)
    };
    let (first, last) = (seconds(1).await?, seconds(-1).await?);
    Some(Duration::from_secs(u64::from(last.saturating_sub(first))))
}

fn short_log(window: Duration) -> Option<Finding> {
    (window < SHORT_LOG).then(|| {
        Finding::note(
            "log of changes",
            format!("it reaches back {} only: a longer pause, and a change stream can not go on", plural(window)),
            "on a server that has run for longer than that, enlarge it: db.adminCommand({replSetResizeOplog: 1, size: \
             990})",
        )
    })
}

fn plural(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

fn number(document: &Document, name: &str) -> f64 {
    match document.get(name) {
        Some(Bson::Double(value)) => *value,
        Some(Bson::Int32(value)) => f64::from(*value),
        Some(Bson::Int64(value)) => *value as f64,
        _ => 0.0,
    }
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
