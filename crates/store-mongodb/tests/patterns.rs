//! Indexes, single inserts, transactions and shard keys, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use bson::{Document, doc};
use common::{Db, test};
use futures::FutureExt as _;
use futures::future::join_all;
use store_core::ErrorKind;
use store_mongodb::mongodb::error::Error as DriverError;
use store_mongodb::{MongoIndex, ShardKey};

fn main() -> ExitCode {
    common::run(vec![
        test("indexes_of_every_kind_are_made_once", indexes_of_every_kind_are_made_once),
        test("indexes_do_what_they_say", indexes_do_what_they_say),
        test("different_indexes_are_told_and_left", different_indexes_are_told_and_left),
        test("a_unique_index_over_duplicates_is_refused", a_unique_index_over_duplicates_is_refused),
        test("indexes_that_no_server_takes_are_refused", indexes_that_no_server_takes_are_refused),
        test("indexes_made_by_many_at_once", indexes_made_by_many_at_once),
        test("insert_once_answers_one", insert_once_answers_one),
        test("insert_once_refuses_what_can_not_be", insert_once_refuses_what_can_not_be),
        test("transactions_are_whole", transactions_are_whole),
        test("transactions_run_again_on_conflict", transactions_run_again_on_conflict),
        test("transactions_end_at_their_deadline", transactions_end_at_their_deadline),
        test("a_dropped_transaction_runs_to_its_end", a_dropped_transaction_runs_to_its_end),
        test("shard_keys_want_a_mongos", shard_keys_want_a_mongos),
    ])
}

fn every_kind() -> Vec<MongoIndex> {
    vec![
        MongoIndex::ascending("country").and_descending("year"),
        MongoIndex::ascending("email").unique(),
        MongoIndex::ascending("seen").expiring_after(Duration::from_hours(1)),
        MongoIndex::text("title", 10).and_text("body", 1).language("german"),
        MongoIndex::sphere("place").and_ascending("kind"),
        MongoIndex::ascending("owner").only_where(doc! {"open": true, "n": {"$gt": 5}}).named("open_ones"),
        MongoIndex::hashed("customer"),
        MongoIndex::descending("a.b"),
    ]
}

fn names(indexes: &[MongoIndex]) -> Vec<String> {
    indexes.iter().map(MongoIndex::name).collect()
}

async fn indexes_of_every_kind_are_made_once(db: Db) {
    let collection = db.collection("c");
    let indexes = every_kind();
    let first = db.store.ensure_indexes(&collection, &indexes).await.unwrap();
    assert_eq!(first.made, names(&indexes));
    assert!(
        first.present.is_empty() && first.different.is_empty() && first.undeclared.is_empty(),
        "{first:?}"
    );
    let again = db.store.ensure_indexes(&collection, &indexes).await.unwrap();
    assert_eq!(again.present, names(&indexes));
    assert!(again.made.is_empty() && again.different.is_empty() && again.undeclared.is_empty(), "{again:?}");
    let mut listed = collection.list_index_names().await.unwrap();
    listed.retain(|name| name != "_id_");
    assert_eq!(listed, names(&indexes));
    // Another name is no other index.
    let renamed = [MongoIndex::ascending("country").and_descending("year").named("by_country")];
    let report = db.store.ensure_indexes(&collection, &renamed).await.unwrap();
    assert_eq!(report.present, ["country_1_year_-1"]);
    assert_eq!(report.undeclared, names(&indexes)[1..]);
    assert!(report.all_as_declared().is_ok());
}

async fn indexes_do_what_they_say(db: Db) {
    let collection = db.collection("c");
    db.store.ensure_indexes(&collection, &every_kind()).await.unwrap();
    let listed = db.database().run_command(doc! {"listIndexes": "c"}).await.unwrap();
    let listed = listed.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    let by_name: BTreeMap<String, Document> = listed
        .iter()
        .map(|index| index.as_document().unwrap().clone())
        .map(|index| (index.get_str("name").unwrap().to_owned(), index))
        .collect();
    assert_eq!(by_name["seen_1"].get_i32("expireAfterSeconds").unwrap(), 3_600);
    assert!(by_name["email_1"].get_bool("unique").unwrap());
    let text = &by_name["title_text_body_text"];
    assert_eq!(text.get_document("weights").unwrap(), &doc! {"title": 10, "body": 1});
    assert_eq!(text.get_str("default_language").unwrap(), "german");
    let condition = doc! {"open": true, "n": {"$gt": 5}};
    assert_eq!(by_name["open_ones"].get_document("partialFilterExpression").unwrap(), &condition);
    let rows = [
        doc! {"email": "a", "body": "Häuser am Fluss", "place": {"type": "Point", "coordinates": [19.0, 47.5]}},
        doc! {"email": "b", "body": "Berge"},
    ];
    collection.insert_many(rows).await.unwrap();
    let found = collection.find_one(doc! {"$text": {"$search": "haus"}}).await.unwrap().unwrap();
    assert_eq!(found.get_str("email").unwrap(), "a");
    let near = doc! {"place": {"$near": {"$geometry": {"type": "Point", "coordinates": [19.1, 47.5]}}}};
    assert_eq!(collection.find_one(near).await.unwrap().unwrap().get_str("email").unwrap(), "a");
    assert!(collection.insert_one(doc! {"email": "b"}).await.is_err());
}

async fn different_indexes_are_told_and_left(db: Db) {
    let collection = db.collection("c");
    db.store.ensure_indexes(&collection, &every_kind()).await.unwrap();
    let before = db.database().run_command(doc! {"listIndexes": "c"}).await.unwrap();
    let changed = [
        (MongoIndex::ascending("country").and_descending("year").unique(), "unique"),
        (MongoIndex::ascending("email"), "unique"),
        (MongoIndex::ascending("seen").expiring_after(Duration::from_mins(1)), "expireAfterSeconds"),
        (MongoIndex::text("title", 1), "weights"),
        (MongoIndex::text("title", 10).and_text("body", 1), "default_language"),
        (MongoIndex::ascending("owner").named("open_ones"), "partialFilterExpression"),
        (MongoIndex::ascending("other").named("open_ones"), "key"),
    ];
    for (index, what) in changed {
        let report = db.store.ensure_indexes(&collection, std::slice::from_ref(&index)).await.unwrap();
        assert!(report.made.is_empty() && report.present.is_empty(), "{index:?} {report:?}");
        assert_eq!(report.different.len(), 1, "{index:?}");
        assert!(report.different[0].to_string().contains(what), "{report:?}");
        let error = report.all_as_declared().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(what), "{error}");
    }
    let after = db.database().run_command(doc! {"listIndexes": "c"}).await.unwrap();
    assert_eq!(before.get("cursor"), after.get("cursor"));
    // What is missing is made nevertheless, and another condition makes another index.
    let some = [
        MongoIndex::ascending("email"),
        MongoIndex::ascending("new"),
        MongoIndex::ascending("owner").only_where(doc! {"open": false}).named("closed_ones"),
    ];
    let report = db.store.ensure_indexes(&collection, &some).await.unwrap();
    assert_eq!((report.made.len(), report.different.len()), (2, 1), "{report:?}");
}

async fn a_unique_index_over_duplicates_is_refused(db: Db) {
    let collection = db.collection("c");
    collection.insert_many([doc! {"a": 1}, doc! {"a": 1}]).await.unwrap();
    let indexes = [MongoIndex::ascending("b"), MongoIndex::ascending("a").unique()];
    let error = db.store.ensure_indexes(&collection, &indexes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!((error.operation(), error.collection()), (Some("ensure_indexes"), Some("c")));
    assert_eq!(collection.list_index_names().await.unwrap(), ["_id_"]);
}

async fn indexes_that_no_server_takes_are_refused(db: Db) {
    let collection = db.collection("c");
    let bad = [
        MongoIndex::ascending(""),
        MongoIndex::ascending("a").and_ascending("b").expiring_after(Duration::from_mins(1)),
        MongoIndex::ascending("a").only_where(doc! {"$where": "true"}),
        MongoIndex::text("a", 1).language("klingon"),
        MongoIndex::ascending("$a"),
        MongoIndex::hashed("a").unique(),
    ];
    for index in bad {
        let error = db.store.ensure_indexes(&collection, std::slice::from_ref(&index)).await.unwrap_err();
        let refused = matches!(error.kind(), ErrorKind::Config | ErrorKind::InvalidInput);
        assert!(refused, "{index:?}: {:?} {error}", error.kind());
    }
}

async fn indexes_made_by_many_at_once(db: Db) {
    let calls = (0..6).map(|_| {
        let db = db.clone();
        async move { db.store.ensure_indexes(&db.collection("c"), &every_kind()).await }
    });
    for report in join_all(calls).await {
        assert!(report.unwrap().all_as_declared().is_ok());
    }
    let report = db.store.ensure_indexes(&db.collection("c"), &every_kind()).await.unwrap();
    assert_eq!(report.present.len(), every_kind().len());
}

async fn insert_once_answers_one(db: Db) {
    let jobs = db.collection("jobs");
    jobs.insert_one(doc! {"_id": "made"}).await.unwrap();
    let calls = (0..40).map(|n| {
        let (db, jobs) = (db.clone(), jobs.clone());
        async move {
            let document = doc! {"_id": format!("job {}", n % 5), "by": n};
            db.store.insert_once(&jobs, &document).await.unwrap().then_some(n)
        }
    });
    let winners: Vec<i32> = join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 5, "{winners:?}");
    for winner in winners {
        let stored = jobs.find_one(doc! {"_id": format!("job {}", winner % 5)}).await.unwrap().unwrap();
        assert_eq!(stored.get_i32("by").unwrap(), winner);
    }
    // A unique index counts as the _id does.
    db.store
        .ensure_indexes(
            &jobs,
            &[MongoIndex::ascending("by").unique().only_where(doc! {"by": {"$exists": true}})],
        )
        .await
        .unwrap();
    assert!(db.store.insert_once(&jobs, &doc! {"by": 1_000}).await.unwrap());
    assert!(!db.store.insert_once(&jobs, &doc! {"by": 1_000}).await.unwrap());
    // Without any key every document is new.
    for _ in 0..2 {
        assert!(db.store.insert_once(&jobs, &doc! {"x": 1}).await.unwrap());
    }
}

async fn insert_once_refuses_what_can_not_be(db: Db) {
    let large = doc! {"_id": 1, "text": "x".repeat(17 << 20)};
    let error = db.store.insert_once(&db.collection("c"), &large).await.unwrap_err();
    assert_eq!((error.operation(), error.collection()), (Some("insert_once"), Some("c")), "{error}");
    assert_eq!(db.collection("c").count_documents(doc! {}).await.unwrap(), 0);
    let numbers = db.database().collection::<i32>("c");
    let error = db.store.insert_once(&numbers, &7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    db.collection("c").insert_one(doc! {"_id": 0}).await.unwrap();
    let validator = doc! {"collMod": "c", "validator": {"n": {"$gt": 0}}};
    db.database().run_command(validator).await.unwrap();
    let error = db.store.insert_once(&db.collection("c"), &doc! {"_id": 2, "n": -1}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

async fn transactions_are_whole(db: Db) {
    let accounts = db.collection("accounts");
    accounts.insert_many([doc! {"_id": "a", "n": 10}, doc! {"_id": "b", "n": 0}]).await.unwrap();
    let transfer = |amount: i32| {
        let accounts = accounts.clone();
        db.store.transaction().run(move |session| {
            let accounts = accounts.clone();
            async move {
                accounts
                    .update_one(doc! {"_id": "b"}, doc! {"$inc": {"n": amount}})
                    .session(&mut *session)
                    .await?;
                let from = doc! {"_id": "a", "n": {"$gte": amount}};
                let taken = accounts.update_one(from, doc! {"$inc": {"n": -amount}}).session(session).await?;
                if taken.matched_count == 0 {
                    Err(DriverError::custom("too little".to_owned()))
                } else {
                    Ok(amount)
                }
            }
            .boxed()
        })
    };
    assert_eq!(transfer(4).await.unwrap(), 4);
    let error = transfer(7).await.unwrap_err();
    assert_eq!(error.operation(), Some("transaction"));
    let driver: &DriverError = error.downcast_ref().unwrap();
    assert_eq!(driver.get_custom::<String>().unwrap(), "too little");
    let balance =
        async |id: &str| accounts.find_one(doc! {"_id": id}).await.unwrap().unwrap().get_i32("n").unwrap();
    assert_eq!((balance("a").await, balance("b").await), (6, 4));
}

/// Eight at once read a counter and write it one greater.
async fn transactions_run_again_on_conflict(db: Db) {
    let counters = db.collection("counters");
    counters.insert_one(doc! {"_id": "n", "n": 0}).await.unwrap();
    let count = |_| {
        let (store, counters) = (db.store.clone(), counters.clone());
        async move {
            for _ in 0..5 {
                let counters = counters.clone();
                let add = store.transaction().run(move |session| {
                    let counters = counters.clone();
                    async move {
                        let found =
                            counters.find_one(doc! {"_id": "n"}).session(&mut *session).await?.unwrap();
                        let next = found.get_i32("n").unwrap() + 1;
                        let change = doc! {"$set": {"n": next}};
                        counters.update_one(doc! {"_id": "n"}, change).session(session).await.map(drop)
                    }
                    .boxed()
                });
                add.await.unwrap();
            }
        }
    };
    join_all((0..8).map(count)).await;
    let found = counters.find_one(doc! {"_id": "n"}).await.unwrap().unwrap();
    assert_eq!(found.get_i32("n").unwrap(), 40);
}

async fn transactions_end_at_their_deadline(db: Db) {
    let locks = db.collection("locks");
    locks.insert_one(doc! {"_id": 1, "n": 0}).await.unwrap();
    let mut other = db.store.client().unwrap().start_session().await.unwrap();
    other.start_transaction().await.unwrap();
    locks.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 100}}).session(&mut other).await.unwrap();
    let target = locks.clone();
    let tried = db.store.transaction().within(Duration::from_millis(400)).run(move |session| {
        let target = target.clone();
        async move { target.update_one(doc! {"_id": 1}, doc! {"$inc": {"n": 1}}).session(session).await }
            .boxed()
    });
    let error = tried.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.is_retryable());
    other.commit_transaction().await.unwrap();
    let found = locks.find_one(doc! {"_id": 1}).await.unwrap().unwrap();
    assert_eq!(found.get_i32("n").unwrap(), 100);
}

/// Dropped at any point, it leaves no lock behind: the next one goes through, and nothing is written in part.
async fn a_dropped_transaction_runs_to_its_end(db: Db) {
    let pairs = db.collection("pairs");
    pairs.insert_many([doc! {"_id": 1, "n": 0}, doc! {"_id": 2, "n": 0}]).await.unwrap();
    let add = || {
        let pairs = pairs.clone();
        db.store.transaction().run(move |session| {
            let pairs = pairs.clone();
            async move {
                for id in [1, 2] {
                    pairs
                        .update_one(doc! {"_id": id}, doc! {"$inc": {"n": 1}})
                        .session(&mut *session)
                        .await?;
                }
                Ok(())
            }
            .boxed()
        })
    };
    for micros in (0..40).map(|round| round * 100) {
        // What comes of it is looked at below.
        let _ = tokio::time::timeout(Duration::from_micros(micros), add()).await;
    }
    add().await.unwrap();
    let mut session = db.store.client().unwrap().start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let mut counts = Vec::new();
    for id in [1, 2] {
        let found = pairs.find_one(doc! {"_id": id}).session(&mut session).await.unwrap().unwrap();
        counts.push(found.get_i32("n").unwrap());
    }
    assert_eq!(counts[0], counts[1]);
    assert!((1..=41).contains(&counts[0]), "{counts:?}");
}

async fn shard_keys_want_a_mongos(db: Db) {
    let collection = db.collection("c");
    let sharded = db.store.shard_collection(&collection, &ShardKey::hashed("_id")).await.unwrap_err();
    let asked = db.store.shard_key(&collection).await.unwrap_err();
    for (error, operation) in [(sharded, "shard_collection"), (asked, "shard_key")] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!((error.operation(), error.collection()), (Some(operation), Some("c")));
        assert!(error.to_string().contains("mongos"), "{error}");
    }
    let bad = ShardKey::hashed("a").and_hashed("b");
    let error = db.store.shard_collection(&collection, &bad).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
