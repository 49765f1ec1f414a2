//! What the tests on real servers share: they run on the server of `STORE_TEST_REDIS_URL`, and where slots matter on the
//! cluster of `STORE_TEST_REDIS_CLUSTER_URL` too, each in a namespace of its own. Without a server they are shown as
//! ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

pub(crate) mod proxy;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Trial;
use store_conformance::server;
pub(crate) use store_conformance::server::eventually;
use store_core::Backend as _;
use store_redis::fred::interfaces::{ClientLike as _, ClusterInterface as _};
use store_redis::fred::types::config::Options;
use store_redis::fred::types::{ClusterHash, CustomCommand};
use store_redis::{RedisBackend, RedisCommand, RedisConfig};

const SERVER: &str = "STORE_TEST_REDIS_URL";
const CLUSTER: &str = "STORE_TEST_REDIS_CLUSTER_URL";
const STACK: &str = "STORE_TEST_REDIS_STACK_URL";
const REDIS8: &str = "STORE_TEST_REDIS8_URL";

/// A store in a namespace of its own.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) store: RedisBackend,
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Db {
    /// Another store on the same namespace, with connections of its own: what another process would have.
    pub(crate) async fn another(&self) -> RedisBackend {
        self.through(&self.url).await
    }

    /// The same namespace by another way.
    pub(crate) async fn through(&self, url: &str) -> RedisBackend {
        let config = RedisConfig::new(url.to_owned()).with_namespace(self.name.clone());
        RedisBackend::connect(config).await.unwrap()
    }

    /// All keys of the namespace, without it, with the time that each has left: -1 is for ever.
    pub(crate) async fn keys(&self) -> Vec<(String, i64)> {
        let mut keys = Vec::new();
        let client = self.store.client().unwrap();
        let nodes = if client.is_clustered() {
            client
                .next()
                .cached_cluster_state()
                .unwrap()
                .unique_primary_nodes()
                .into_iter()
                .map(Some)
                .collect()
        } else {
            vec![None]
        };
        for node in nodes {
            let options = Options { cluster_node: node, ..Default::default() };
            // KEYS is for a test server.
            let command = CustomCommand::new_static("KEYS", ClusterHash::Random, false);
            let found: Vec<String> = client
                .next()
                .with_options(&options)
                .custom(command, vec![format!("{}:*", self.name)])
                .await
                .unwrap();
            keys.extend(found.iter().map(|key| key[self.name.len() + 1..].to_owned()));
        }
        let mut found = Vec::new();
        for key in keys {
            let left = self.store.command(RedisCommand::read("PTTL").key(key.as_str())).await.unwrap();
            found.push((key, left.to().unwrap()));
        }
        found
    }

    /// Fails if a key of the namespace would stay for ever.
    pub(crate) async fn assert_all_expire(&self) {
        let keys = self.keys().await;
        assert!(!keys.is_empty(), "there should be keys");
        let forever: Vec<_> = keys.iter().filter(|(_, left)| *left == -1).collect();
        assert!(forever.is_empty(), "{forever:?}");
    }
}

/// The test on a server, by its name.
pub(crate) fn test<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + 'static,
) -> Trial {
    on(name.to_owned(), SERVER, body)
}

/// The test on a server and on a cluster.
pub(crate) fn on_both<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + Sync + 'static,
) -> Vec<Trial> {
    let body = Arc::new(body);
    let again = Arc::clone(&body);
    vec![
        on(name.to_owned(), SERVER, move |db| body(db)),
        on(format!("cluster::{name}"), CLUSTER, move |db| again(db)),
    ]
}

/// The test on a server with the search module, in both versions of the protocol.
pub(crate) fn on_search<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + Sync + 'static,
) -> Vec<Trial> {
    in_both_protocols(name, STACK, body)
}

/// The test on a server with vector sets, in both versions of the protocol.
pub(crate) fn on_vector_sets<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + Sync + 'static,
) -> Vec<Trial> {
    in_both_protocols(name, REDIS8, body)
}

fn in_both_protocols<F: Future<Output = ()> + Send>(
    name: &'static str,
    variable: &'static str,
    body: impl Fn(Db) -> F + Send + Sync + 'static,
) -> Vec<Trial> {
    let body = Arc::new(body);
    let again = Arc::clone(&body);
    let resp3 = move |db: Db| {
        let again = Arc::clone(&again);
        async move {
            let joint = if db.url.contains('?') { "&" } else { "?" };
            let url = format!("{}{joint}protocol=resp3", db.url);
            again(Db { store: db.through(&url).await, url, ..db }).await;
        }
    };
    vec![on(name.to_owned(), variable, move |db| body(db)), on(format!("resp3::{name}"), variable, resp3)]
}

fn on<F: Future<Output = ()> + Send>(
    name: String,
    variable: &'static str,
    body: impl Fn(Db) -> F + Send + 'static,
) -> Trial {
    server::test(name, variable, move |url| async move {
        let db = open(&url).await;
        body(db.clone()).await;
        db.store.drop_namespace().await.unwrap();
    })
}

/// A store on this server, in a namespace that no other test has.
pub(crate) async fn open(url: &str) -> Db {
    let name = server::fresh_namespace();
    let config = RedisConfig::new(url.to_owned()).with_namespace(name.clone());
    Db { store: RedisBackend::connect(config).await.unwrap(), url: url.to_owned(), name }
}

/// Runs them.
pub(crate) fn run(tests: impl IntoIterator<Item = Vec<Trial>>) -> ExitCode {
    server::run(tests.into_iter().flatten())
}
