//! What the tests on real nodes share: they run on the cluster of `STORE_TEST_CASSANDRA_URL`, one node or a ring, each in
//! a namespace of its own. Without a cluster they are shown as ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::time::Duration;

use libtest_mimic::Trial;
use store_cassandra::{CassandraBackend, CassandraConfig, CassandraSession};
use store_conformance::server;
pub(crate) use store_conformance::server::{eventually, run};
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
    server::test(name, SERVER, move |url| async move {
        let db = open(&url).await;
        body(db.clone()).await;
        db.store.drop_namespace().await.unwrap();
    })
}

/// A store on this cluster, in a namespace that no other test has.
async fn open(url: &str) -> Db {
    let name = server::fresh_namespace();
    let config: CassandraConfig = url.parse().unwrap();
    // Server and tests share a machine that may be busy.
    let config = config.with_namespace(name.clone()).with_create(true);
    let config = config.with_operation_timeout(Duration::from_mins(1));
    Db { store: CassandraBackend::connect(config.clone()).await.unwrap(), config, name }
}
