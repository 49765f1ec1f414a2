//! The backends, and a bridge for each.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tempfile::TempDir;

use crate::CaseResult;
use crate::process::Bridge;
use crate::store::Store;

/// Each server, the variable that names it, and what its URL gets besides.
const SERVERS: [(&str, &str, &str); 10] = [
    ("mongodb", "STORE_TEST_MONGODB_URL", ""),
    ("mongodb_atlas", ATLAS, ""),
    ("redis", "STORE_TEST_REDIS_URL", ""),
    ("redis_stack", "STORE_TEST_REDIS_STACK_URL", ""),
    ("redis8", "STORE_TEST_REDIS8_URL", ""),
    ("redis_cluster", "STORE_TEST_REDIS_CLUSTER_URL", ""),
    ("redis_tls", "STORE_TEST_REDIS_TLS_URL", ""),
    ("dynamodb", "STORE_TEST_DYNAMODB_URL", "store.create=true&store.consistent_reads=true"),
    ("dynoxide", "STORE_TEST_DYNOXIDE_URL", "store.create=true&store.consistent_reads=true"),
    ("cassandra", "STORE_TEST_CASSANDRA_URL", "store.create=true"),
];

/// It comes only as a container: where there is none, the run on a plain server has to do.
const ATLAS: &str = "STORE_TEST_MONGODB_ATLAS_URL";

/// A store to drive.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    /// Its URL, or why there is none.
    url: Result<String, String>,
    namespace: String,
    /// Starts with the first case.
    store: OnceLock<CaseResult<Arc<Store>>>,
    /// Removed at the end.
    folder: Mutex<Option<TempDir>>,
}

/// Those that need no server, then the servers.
pub(crate) fn all() -> Vec<Backend> {
    let folder = tempfile::tempdir();
    let path = folder.as_ref().map(|folder| format!("embedded://{}", folder.path().display()));
    let mut embedded = Backend::new("embedded", path.map_err(ToString::to_string));
    embedded.folder = Mutex::new(folder.ok());
    let local = [Backend::new("memory", Ok("memory:".to_owned())), embedded];
    let servers = SERVERS.into_iter().filter_map(|(name, variable, options)| {
        let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
        if url.is_none() && variable == ATLAS {
            return None;
        }
        let reason = || format!("{variable} is not set; scripts/servers/with starts a server and sets it");
        Some(Backend::new(name, url.map(|url| with_options(&url, options)).ok_or_else(reason)))
    });
    local.into_iter().chain(servers).collect()
}

fn with_options(url: &str, options: &str) -> String {
    match (options, url.contains('?')) {
        ("", _) => url.to_owned(),
        (_, true) => format!("{url}&{options}"),
        (_, false) => format!("{url}?{options}"),
    }
}

impl Backend {
    fn new(name: &'static str, url: Result<String, String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let namespace = format!("b{:x}{:x}", now.as_micros(), std::process::id());
        Self { name, url, namespace, store: OnceLock::new(), folder: Mutex::default() }
    }

    /// Why it can not be driven.
    pub(crate) fn missing(&self) -> Option<String> {
        self.url.clone().err()
    }

    /// The store, with its bridge.
    pub(crate) fn store(&self) -> CaseResult<Arc<Store>> {
        let open = || Store::open(Bridge::start()?, self.url.clone()?, &self.namespace).map(Arc::new);
        self.store.get_or_init(open).clone()
    }

    /// Removes what the cases wrote and ends the bridge. With `all`, every operation that the store offers must have
    /// been answered by then.
    pub(crate) fn end(&self, all: bool) -> CaseResult {
        let Some(Ok(store)) = self.store.get() else { return Ok(()) };
        store.is("drop", json!({}), json!(null))?;
        if all {
            store.is("close", json!({}), json!(null))?;
            let offered: Vec<String> = store.offered().map(str::to_owned).collect();
            let done = store.bridge.done();
            let missing: Vec<_> = offered.iter().filter(|op| !done.contains(*op)).collect();
            if !missing.is_empty() {
                return Err(format!("no case was answered by {missing:?}"));
            }
        }
        store.bridge.end()?;
        drop(self.folder.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}
