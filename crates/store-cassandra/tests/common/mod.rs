//! What the tests on real nodes share: they run on the cluster of `STORE_TEST_CASSANDRA_URL`, one node or a ring, each in
//! a namespace of its own. Without a cluster they are shown as ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::future::Future;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Arguments, Trial};
use store_cassandra::{CassandraBackend, CassandraConfig, CassandraSession};
use store_core::Backend as _;

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";

/// A store in a namespace of its own.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) store: CassandraBackend,
    pub(crate) config: CassandraConfig,
    pub(crate) name: String,
}

impl Db {
    /// Another store on the same namespace, with a session of its own: what another process would have.
    pub(crate) async fn another(&self) -> CassandraBackend {
        self.with(|config| config).await
    }

    /// So many of them.
    pub(crate) async fn others(&self, count: usize) -> Vec<CassandraBackend> {
        let mut others = Vec::with_capacity(count);
        for _ in 0..count {
            others.push(self.another().await);
        }
        others
    }

    /// The same namespace, opened otherwise.
    pub(crate) async fn with(
        &self,
        change: impl FnOnce(CassandraConfig) -> CassandraConfig,
    ) -> CassandraBackend {
        CassandraBackend::connect(change(self.config.clone())).await.unwrap()
    }

    /// A table's full name.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}.{}", self.config.keyspace.as_deref().unwrap_or("nodestore"), self.own(name))
    }

    /// A table's name in its keyspace.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// Runs a statement past the store.
    pub(crate) async fn cql(&self, statement: &str) {
        let done = match self.store.session().unwrap() {
            CassandraSession::Tcp(session) => session.query(statement).await,
            CassandraSession::Tls(session) => session.query(statement).await,
        };
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

/// The test on a cluster, by its name.
pub(crate) fn test<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + 'static,
) -> Trial {
    let Some(url) = std::env::var(SERVER).ok().filter(|url| !url.is_empty()) else {
        let required = std::env::var_os("STORE_TEST_REQUIRE").is_some_and(|value| !value.is_empty());
        let fail = move || Err(format!("{SERVER} is not set").into());
        return Trial::test(name, fail).with_ignored_flag(!required);
    };
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let db = open(&url).await;
            body(db.clone()).await;
            db.store.drop_namespace().await.unwrap();
        });
        Ok(())
    })
}

/// A store on this cluster, in a namespace that no other test has.
async fn open(url: &str) -> Db {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let name = format!("t{now}x{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let config: CassandraConfig = url.parse().unwrap();
    // Server and tests share a machine that may be busy.
    let config = config.with_namespace(name.clone()).with_create(true);
    let config = config.with_operation_timeout(Duration::from_mins(1));
    Db { store: CassandraBackend::connect(config.clone()).await.unwrap(), config, name }
}

/// Waits until something is so, and fails when it takes half a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    for _ in 0..600 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// Runs them.
pub(crate) fn run(tests: impl IntoIterator<Item = Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), tests.into_iter().collect()).exit_code()
}
