//! Following the changes of a collection, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use bson::{Bson, Document as BsonDocument, doc};
use common::{Db, test};
use futures::TryStreamExt as _;
use store_core::filter::field;
use store_core::{ErrorKind, Reader as _, Timestamp};
use store_mongodb::{Change, ChangeKind, MissingField, MongoChanges, WatchToken};

fn main() -> ExitCode {
    common::run(vec![
        test("every_kind_of_change", every_kind_of_change),
        test("a_filter_says_what_left", a_filter_says_what_left),
        test("resumes_by_token", resumes_by_token),
        test("starts_at_a_time", starts_at_a_time),
        test("a_dropped_call_loses_nothing", a_dropped_call_loses_nothing),
        test("a_lost_cursor_heals", a_lost_cursor_heals),
        test("the_token_moves_on_in_silence", the_token_moves_on_in_silence),
        test("dropping_the_collection_ends_it", dropping_the_collection_ends_it),
        test("missing_fields", missing_fields),
        test("large_documents", large_documents),
        test("bad_arguments_are_refused", bad_arguments_are_refused),
    ])
}

async fn next(changes: &mut MongoChanges) -> Change {
    tokio::time::timeout(Duration::from_secs(30), changes.next()).await.unwrap().unwrap().unwrap()
}

fn text(change: &Change) -> Option<&str> {
    change.document.as_ref().map(|document| document.text_content())
}

fn shown(change: &Change) -> (ChangeKind, &str, Option<&str>) {
    (change.kind, change.id.as_ref().unwrap().as_str(), text(change))
}

async fn every_kind_of_change(db: Db) {
    let collection = db.collection("c");
    collection.insert_one(doc! {"_id": "before", "text": "x"}).await.unwrap();
    let reader = db.store.reader("c").with_metadata(["o.n"]);
    let mut changes = reader.watch().open().await.unwrap();
    collection.insert_one(doc! {"_id": 1, "text": "a", "o": {"n": 5}, "other": "not read"}).await.unwrap();
    let change = next(&mut changes).await;
    assert_eq!(shown(&change), (ChangeKind::Inserted, "1", Some("a")));
    // The very document that reading gives.
    let read: Vec<_> = reader.clone().after_id(0).with_limit(1).read().try_collect().await.unwrap();
    assert_eq!(change.document.as_ref(), read.first());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(change.at.unwrap().as_nanoseconds() / 1_000_000_000 >= i128::from(now) - 60);

    collection.update_one(doc! {"_id": 1}, doc! {"$set": {"text": "b"}}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Updated, "1", Some("b")));
    collection.replace_one(doc! {"_id": 1}, doc! {"text": "c"}).await.unwrap();
    let replaced = next(&mut changes).await;
    assert_eq!(shown(&replaced), (ChangeKind::Replaced, "1", Some("c")));
    assert_eq!(replaced.document.unwrap().metadata["o.n"], serde_json::Value::Null);
    // An update of what is gone by the time it is read.
    collection.update_one(doc! {"_id": 1}, doc! {"$set": {"text": "d"}}).await.unwrap();
    collection.delete_one(doc! {"_id": 1}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Updated, "1", None));
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Deleted, "1", None));
    // An id of another type is the reader's text of it.
    collection.insert_one(doc! {"_id": {"a": [1, true]}, "text": "t"}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Inserted, "{'a': [1, True]}", Some("t")));
}

async fn a_filter_says_what_left(db: Db) {
    let collection = db.collection("c");
    let reader = db.store.reader("c").with_filter(field("o.public").eq(true).and(field("n").gt(1)));
    let mut changes = reader.watch().open().await.unwrap();
    collection.insert_one(doc! {"_id": 1, "text": "a", "n": 2, "o": {"public": true}}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Inserted, "1", Some("a")));
    collection.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 1}}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Left, "1", None));
    collection.update_one(doc! {"_id": 1}, doc! {"$set": {"n": 9}}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Updated, "1", Some("a")));
    collection.delete_one(doc! {"_id": 1}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Deleted, "1", None));
}

async fn insert(db: &Db, ids: std::ops::Range<i32>) {
    let documents: Vec<BsonDocument> = ids.map(|id| doc! {"_id": id, "text": id.to_string()}).collect();
    db.collection("c").insert_many(documents).await.unwrap();
}

async fn expect(changes: &mut MongoChanges, ids: std::ops::Range<i32>) {
    for id in ids {
        assert_eq!(text(&next(changes).await), Some(id.to_string().as_str()));
    }
}

async fn resumes_by_token(db: Db) {
    let reader = db.store.reader("c");
    let mut changes = reader.watch().open().await.unwrap();
    let begin = changes.token().unwrap().to_string();
    insert(&db, 0..10).await;
    expect(&mut changes, 0..4).await;
    let token = next(&mut changes).await.token;
    assert_eq!(changes.token(), Some(&token));
    drop(changes);
    insert(&db, 10..12).await;
    // After the change, through text and JSON.
    let text: WatchToken = token.to_string().parse().unwrap();
    let json: WatchToken = serde_json::from_str(&serde_json::to_string(&token).unwrap()).unwrap();
    for token in [text, json] {
        let mut changes = reader.watch().after(token).open().await.unwrap();
        expect(&mut changes, 5..12).await;
    }
    // After the opening of the watch, before its first change.
    let mut changes = reader.watch().after(begin.parse().unwrap()).open().await.unwrap();
    expect(&mut changes, 0..12).await;
}

async fn starts_at_a_time(db: Db) {
    let reader = db.store.reader("c");
    let mut changes = reader.watch().open().await.unwrap();
    insert(&db, 0..1).await;
    let first = next(&mut changes).await;
    // Times are to the second.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    insert(&db, 1..2).await;
    let second = next(&mut changes).await;
    assert!(first.at < second.at);
    let mut changes = reader.watch().start_at(first.at.unwrap()).open().await.unwrap();
    expect(&mut changes, 0..2).await;
    let mut changes = reader.watch().start_at(second.at.unwrap()).open().await.unwrap();
    expect(&mut changes, 1..2).await;
    // Long before the oplog, and outside what a server's time can be.
    let error = reader.watch().start_at("1971-01-01".parse().unwrap()).open().await;
    let error = match error {
        Err(error) => error,
        Ok(mut changes) => changes.next().await.unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("oplog") && !error.is_retryable(), "{error}");
    for time in ["1960-01-01", "2200-01-01"] {
        let error = reader.watch().start_at(time.parse::<Timestamp>().unwrap()).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

async fn a_dropped_call_loses_nothing(db: Db) {
    let mut changes = db.store.reader("c").watch().open().await.unwrap();
    let writer = tokio::spawn({
        let db = db.clone();
        async move {
            for id in 0..60 {
                insert(&db, id..id + 1).await;
            }
        }
    });
    let mut ids = Vec::new();
    let mut dropped = 0;
    while ids.len() < 60 {
        match tokio::time::timeout(Duration::from_micros(300), changes.next()).await {
            Ok(change) => ids.push(text(&change.unwrap().unwrap()).unwrap().parse::<i32>().unwrap()),
            Err(_) => dropped += 1,
        }
    }
    assert_eq!(ids, (0..60).collect::<Vec<_>>());
    assert!(dropped > 0, "no call was dropped");
    writer.await.unwrap();
}

async fn a_lost_cursor_heals(db: Db) {
    let mut changes = db.store.reader("c").with_batch_size(2).watch().open().await.unwrap();
    insert(&db, 0..8).await;
    expect(&mut changes, 0..3).await;
    let admin = db.store.client().unwrap().database("admin");
    let match_ours = doc! {"$match": {"ns": format!("{}.c", db.name), "type": "idleCursor"}};
    let pipeline = [doc! {"$currentOp": {"idleCursors": true}}, match_ours];
    let cursors: Vec<BsonDocument> = admin.aggregate(pipeline).await.unwrap().try_collect().await.unwrap();
    let ids: Vec<Bson> =
        cursors.iter().map(|op| op.get_document("cursor").unwrap()["cursorId"].clone()).collect();
    assert!(!ids.is_empty());
    db.database().run_command(doc! {"killCursors": "c", "cursors": ids}).await.unwrap();
    insert(&db, 8..10).await;
    expect(&mut changes, 3..10).await;
}

async fn the_token_moves_on_in_silence(db: Db) {
    let mut changes = db.store.reader("quiet").watch().open().await.unwrap();
    let before = changes.token().cloned();
    for id in 0..3 {
        insert(&db, id..id + 1).await;
        assert!(tokio::time::timeout(Duration::from_millis(1_500), changes.next()).await.is_err());
    }
    assert_ne!(changes.token().cloned(), before);
}

async fn dropping_the_collection_ends_it(db: Db) {
    let reader = db.store.reader("c");
    let mut changes = reader.watch().open().await.unwrap();
    insert(&db, 0..1).await;
    db.collection("c").drop().await.unwrap();
    expect(&mut changes, 0..1).await;
    let dropped = next(&mut changes).await;
    assert_eq!((dropped.kind, dropped.id, dropped.document), (ChangeKind::Dropped, None, None));
    assert_eq!(changes.next().await.unwrap(), None);
    assert_eq!(changes.next().await.unwrap(), None);
    // The place after it leads on to a collection made anew.
    insert(&db, 5..6).await;
    let token = changes.token().unwrap().clone();
    let mut changes = reader.watch().after(token).open().await.unwrap();
    expect(&mut changes, 5..6).await;
}

async fn missing_fields(db: Db) {
    let reader = db.store.reader("c").with_fields(["title"]);
    let mut strict = reader.watch().open().await.unwrap();
    let mut lenient = reader.with_missing(MissingField::SkipDocument).watch().open().await.unwrap();
    db.collection("c").insert_one(doc! {"_id": 1}).await.unwrap();
    db.collection("c").insert_one(doc! {"_id": 2, "title": "t"}).await.unwrap();
    let error = strict.next().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.key(), error.operation()),
        (ErrorKind::InvalidInput, Some("1"), Some("watch.next"))
    );
    assert_eq!(shown(&next(&mut strict).await), (ChangeKind::Inserted, "2", Some("t")));
    assert_eq!(shown(&next(&mut lenient).await), (ChangeKind::Inserted, "1", None));
    assert_eq!(shown(&next(&mut lenient).await), (ChangeKind::Inserted, "2", Some("t")));
    // As a stream, errors of documents do not end it either.
    let stream = db.store.reader("c").with_fields(["title"]).watch().open().await.unwrap().into_stream();
    db.collection("c").insert_one(doc! {"_id": 3}).await.unwrap();
    db.collection("c").insert_one(doc! {"_id": 4, "title": "u"}).await.unwrap();
    db.collection("c").drop().await.unwrap();
    let rows: Vec<_> = futures::StreamExt::collect(stream).await;
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows[0].is_err() && rows[1].is_ok() && rows[2].is_ok());
}

async fn large_documents(db: Db) {
    let mut changes = db.store.reader("c").with_fields(["title"]).watch().open().await.unwrap();
    let large = "x".repeat(15_900_000);
    db.collection("c").insert_one(doc! {"_id": 1, "title": "a", "body": &large}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Inserted, "1", Some("a")));
    // The change and the document after it are more than a message holds, but for what is left out.
    let larger = "y".repeat(15_900_000);
    db.collection("c").update_one(doc! {"_id": 1}, doc! {"$set": {"body": larger}}).await.unwrap();
    assert_eq!(shown(&next(&mut changes).await), (ChangeKind::Updated, "1", Some("a")));
}

async fn bad_arguments_are_refused(db: Db) {
    let reader = db.store.reader("c");
    let kind = |error: store_core::Error| error.kind();
    assert_eq!(
        kind(reader.clone().with_query(doc! {"a": 1}).watch().open().await.unwrap_err()),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind(reader.clone().with_fields(["$a"]).watch().open().await.unwrap_err()),
        ErrorKind::InvalidInput
    );
    for text in ["", "rubbish", "ż", "AAAA"] {
        assert_eq!(kind(text.parse::<WatchToken>().unwrap_err()), ErrorKind::InvalidInput, "{text}");
    }
    // A token that could be one, and that no server gave.
    let forged: Result<WatchToken, _> = serde_json::from_str("\"AAAA\"");
    assert_eq!(
        kind(reader.watch().after(forged.unwrap()).open().await.unwrap_err()),
        ErrorKind::InvalidInput
    );
}
