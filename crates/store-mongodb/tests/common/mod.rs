//! What the tests on a real server share: they run on the server of `STORE_TEST_MONGODB_URL`, each in a database of
//! its own. Without a server they are shown as ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::future::Future;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bson::Document as BsonDocument;
use libtest_mimic::{Arguments, Trial};
use store_core::Backend as _;
use store_mongodb::mongodb::{Collection, Database};
use store_mongodb::{MongoBackend, MongoConfig};

/// A store in a database of its own.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) store: MongoBackend,
    pub(crate) name: String,
}

impl Db {
    pub(crate) fn database(&self) -> Database {
        self.store.client().unwrap().database(&self.name)
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<BsonDocument> {
        self.database().collection(name)
    }
}

/// The server's URL.
pub(crate) fn url() -> Option<String> {
    std::env::var("STORE_TEST_MONGODB_URL").ok()
}

/// One test, by its name.
pub(crate) fn test<F: Future<Output = ()> + Send>(
    name: &'static str,
    body: impl Fn(Db) -> F + Send + 'static,
) -> Trial {
    let Some(url) = url() else {
        let required = std::env::var_os("STORE_TEST_REQUIRE").is_some_and(|value| !value.is_empty());
        let fail = || Err("STORE_TEST_MONGODB_URL is not set".into());
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

/// A store on this server, in a database that no other test has.
pub(crate) async fn open(url: &str) -> Db {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let name = format!("t{now}x{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let config = MongoConfig::new(url.to_owned()).with_namespace(name.clone());
    Db { store: MongoBackend::connect(config).await.unwrap(), name }
}

/// Runs them.
pub(crate) fn run(tests: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
