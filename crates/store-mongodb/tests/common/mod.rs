//! What the tests on a real server share: they run on the server of `STORE_TEST_MONGODB_URL`, each in a database of
//! its own. Without a server they are shown as ignored, and fail with `STORE_TEST_REQUIRE` set.

#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use bson::Document as BsonDocument;
use libtest_mimic::Trial;
use store_conformance::server;
pub(crate) use store_conformance::server::run;
use store_core::Backend as _;
use store_mongodb::mongodb::{Collection, Database};
use store_mongodb::{MongoBackend, MongoConfig};

const SERVER: &str = "STORE_TEST_MONGODB_URL";

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
    server::url(SERVER)
}

/// One test, by its name.
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

/// A store on this server, in a database that no other test has.
pub(crate) async fn open(url: &str) -> Db {
    let name = server::fresh_namespace();
    let config = MongoConfig::new(url.to_owned()).with_namespace(name.clone());
    Db { store: MongoBackend::connect(config).await.unwrap(), name }
}
