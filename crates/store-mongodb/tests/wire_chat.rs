//! Chats as LlamaIndex's Python package keeps them: what it writes is read, and what we write is its form.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};
use common::{Db, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{Backend as _, ChatMessage, ChatStore, ErrorKind};
use store_mongodb::MongoBackend;
use store_mongodb::mongodb::IndexModel;
use store_mongodb::mongodb::options::IndexOptions;

fn main() -> ExitCode {
    common::run(vec![
        test("writes_pythons_form", writes_pythons_form),
        test("reads_what_python_wrote", reads_what_python_wrote),
        test("reads_older_messages", reads_older_messages),
        test("orders_repeated_and_odd_positions", orders_repeated_and_odd_positions),
        test("counts_on_from_pythons_end", counts_on_from_pythons_end),
        test("inserts_and_removals_write_one_message", inserts_and_removals_write_one_message),
        test("python_writing_at_once_loses_nothing", python_writing_at_once_loses_nothing),
        test("what_can_not_be_read_is_named_and_stays", what_can_not_be_read_is_named_and_stays),
        test("indexes_are_made_once", indexes_are_made_once),
        test("another_time_to_live_is_told", another_time_to_live_is_told),
        test("what_has_expired_is_gone_at_once", what_has_expired_is_gone_at_once),
        test("a_call_costs_the_same_in_a_long_history", a_call_costs_the_same_in_a_long_history),
        test("python_sees_nothing_of_ours", python_sees_nothing_of_ours),
        test("a_lost_head_is_made_good", a_lost_head_is_made_good),
    ])
}

fn message(json: Value) -> ChatMessage {
    serde_json::from_value(json).unwrap()
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::user(text)
}

fn said(text: &str) -> Document {
    doc! {"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": text}]}
}

fn bytes(base64: &str) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: base64.as_bytes().to_vec() }
}

fn row(key: &str, index: impl Into<Bson>, message: Document) -> Document {
    doc! {"session_id": key, "index": index.into(), "message": message, "created_at": DateTime::now()}
}

async fn insert(db: &Db, rows: impl IntoIterator<Item = Document>) {
    db.collection("sessions").insert_many(rows).await.unwrap();
}

async fn found(db: &Db, collection: &str, filter: Document, sort: Document) -> Vec<Document> {
    db.collection(collection).find(filter).sort(sort).await.unwrap().try_collect().await.unwrap()
}

async fn stored(db: &Db, key: &str) -> Vec<Document> {
    found(db, "sessions", doc! {"session_id": key}, doc! {"index": 1, "_id": 1}).await
}

async fn indexes(db: &Db, key: &str) -> Vec<Bson> {
    stored(db, key).await.into_iter().map(|mut row| row.remove("index").unwrap()).collect()
}

async fn texts(chats: &Arc<dyn ChatStore>, key: &str) -> Vec<String> {
    chats
        .messages(key, None)
        .await
        .unwrap()
        .iter()
        .map(|message| message.text().unwrap_or_default())
        .collect()
}

/// Every kind of block, in JSON and as it is stored.
fn blocks() -> Vec<(Value, Document)> {
    vec![
        (json!({"block_type": "text", "text": "hi"}), doc! {"block_type": "text", "text": "hi"}),
        (
            json!({"block_type": "image", "image": "aGVsbG8=", "path": null, "url": null, "image_mimetype": "image/png",
                "detail": "low"}),
            doc! {"block_type": "image", "image": bytes("aGVsbG8="), "path": null, "url": null,
            "image_mimetype": "image/png", "detail": "low"},
        ),
        (
            json!({"block_type": "audio", "audio": "AAEC", "path": null, "url": null, "format": "mp3"}),
            doc! {"block_type": "audio", "audio": bytes("AAEC"), "path": null, "url": null, "format": "mp3"},
        ),
        (
            json!({"block_type": "video", "video": "AAEC", "path": null, "url": null, "video_mimetype": null,
                "detail": null, "fps": 25}),
            doc! {"block_type": "video", "video": bytes("AAEC"), "path": null, "url": null,
            "video_mimetype": null, "detail": null, "fps": 25},
        ),
        (
            json!({"block_type": "document", "data": "AAEC", "path": null, "url": null, "title": "t",
                "document_mimetype": "application/pdf"}),
            doc! {"block_type": "document", "data": bytes("AAEC"), "path": null, "url": null, "title": "t",
            "document_mimetype": "application/pdf"},
        ),
        (
            json!({"block_type": "cache", "cache_control": {"type": "ephemeral", "ttl": "5m"}}),
            doc! {"block_type": "cache", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
        ),
        (
            json!({"block_type": "citable", "title": "t", "source": "s", "content": [
                {"block_type": "text", "text": "x"},
                {"block_type": "document", "data": "AAEC", "path": null, "url": null, "title": "d",
                    "document_mimetype": null}]}),
            doc! {"block_type": "citable", "title": "t", "source": "s", "content": [
            {"block_type": "text", "text": "x"},
            {"block_type": "document", "data": bytes("AAEC"), "path": null, "url": null, "title": "d",
                "document_mimetype": null}]},
        ),
        (
            json!({"block_type": "citation", "cited_content": {"block_type": "image", "image": "AAEC", "path": null,
                "url": null, "image_mimetype": null, "detail": null}, "source": "s", "title": "t",
                "additional_location_info": {"page": 3}}),
            doc! {"block_type": "citation", "cited_content": {"block_type": "image", "image": bytes("AAEC"),
            "path": null, "url": null, "image_mimetype": null, "detail": null}, "source": "s", "title": "t",
            "additional_location_info": {"page": 3}},
        ),
        (
            json!({"block_type": "thinking", "content": "hm", "num_tokens": 3,
                "additional_information": {"image": "AAEC"}}),
            doc! {"block_type": "thinking", "content": "hm", "num_tokens": 3,
            "additional_information": {"image": "AAEC"}},
        ),
        (
            json!({"block_type": "tool_call", "tool_call_id": "c", "tool_name": "f",
                "tool_kwargs": {"$where": "1", "data": "AAEC", "n": 1.0, "big": 5_000_000_000_i64}}),
            doc! {"block_type": "tool_call", "tool_call_id": "c", "tool_name": "f",
            "tool_kwargs": {"$where": "1", "data": "AAEC", "n": 1.0, "big": 5_000_000_000_i64}},
        ),
    ]
}

/// To the letter: members in their order, each of its type.
async fn writes_pythons_form(db: Db) {
    let chats = db.store.chat().unwrap();
    let (json, bson): (Vec<Value>, Vec<Document>) = blocks().into_iter().unzip();
    let kwargs = json!({"z": 1, "a": {"$set": 2.5}});
    let whole = message(json!({"role": "assistant", "additional_kwargs": kwargs, "blocks": json}));
    let before = DateTime::now().timestamp_millis();
    chats.append("k", vec![user("first"), whole.clone()]).await.unwrap();
    let after = DateTime::now().timestamp_millis();

    let rows = stored(&db, "k").await;
    let names: Vec<&String> = rows[1].keys().collect();
    assert_eq!(names, ["_id", "session_id", "index", "message", "created_at"]);
    assert!(rows[0].get_object_id("_id").unwrap() < rows[1].get_object_id("_id").unwrap());
    assert_eq!(rows[0].get_str("session_id").unwrap(), "k");
    assert_eq!(indexes(&db, "k").await, [Bson::Int32(0), Bson::Int32(1)]);
    let created = rows[1].get_datetime("created_at").unwrap().timestamp_millis();
    assert!((before..=after).contains(&created), "the time is not UTC");
    let encoded = |document: &Document| bson::serialize_to_vec(document).unwrap();
    assert_eq!(encoded(rows[0].get_document("message").unwrap()), encoded(&said("first")));
    let expected =
        doc! {"role": "assistant", "additional_kwargs": {"z": 1, "a": {"$set": 2.5}}, "blocks": bson};
    assert_eq!(encoded(rows[1].get_document("message").unwrap()), encoded(&expected));
    assert_eq!(chats.messages("k", Some(1)).await.unwrap(), [whole]);
}

async fn reads_what_python_wrote(db: Db) {
    let (json, bson): (Vec<Value>, Vec<Document>) = blocks().into_iter().unzip();
    let stored = doc! {"role": "tool", "additional_kwargs": {"n": 1}, "blocks": bson};
    insert(&db, [row("k", 1, stored), row("k", 0, said("first")), row("other", 0, said("not this"))]).await;
    let chats = db.store.chat().unwrap();
    let expected =
        [user("first"), message(json!({"role": "tool", "additional_kwargs": {"n": 1}, "blocks": json}))];
    assert_eq!(chats.messages("k", None).await.unwrap(), expected);
    let keys: Vec<String> = chats.keys(None).try_collect().await.unwrap();
    assert_eq!(keys, ["k", "other"]);
}

/// The form with `content`, bytes that are no base64, values that JSON has no type for.
async fn reads_older_messages(db: Db) {
    let id = ObjectId::new();
    let raw = Binary { subtype: BinarySubtype::Generic, bytes: vec![0xff, 0] };
    let list = doc! {"role": "user", "content": [{"block_type": "image", "image": bytes("aGVsbG8=")}]};
    insert(
        &db,
        [
            row("k", 0, doc! {"role": "user", "content": "hello", "additional_kwargs": {}}),
            row("k", 1, doc! {"role": "assistant", "content": Bson::Null, "additional_kwargs": {"id": id}}),
            row("k", 2, list),
            row("k", 3, doc! {"blocks": [{"block_type": "image", "image": raw}], "unknown": 1}),
            row("k", 4, doc! {"blocks": [{"block_type": "citation", "source": "s", "title": "t",
                "additional_location_info": {"page": 1_i64}, "cited_content": [{"block_type": "text", "text": "x"}]}]}),
        ],
    )
    .await;
    let image = |base64: &str| json!({"block_type": "image", "image": base64, "path": null, "url": null, "image_mimetype": null, "detail": null});
    let citation = json!({"block_type": "citation", "cited_content": {"block_type": "text", "text": "x"}, "source": "s",
        "title": "t", "additional_location_info": {"page": 1}});
    let expected = [
        json!({"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": "hello"}]}),
        json!({"role": "assistant", "additional_kwargs": {"id": id.to_hex()}, "blocks": []}),
        json!({"role": "user", "additional_kwargs": {}, "blocks": [image("aGVsbG8=")]}),
        json!({"role": "user", "additional_kwargs": {}, "blocks": [image("/wA=")]}),
        json!({"role": "user", "additional_kwargs": {}, "blocks": [citation]}),
    ];
    let chats = db.store.chat().unwrap();
    let found = serde_json::to_value(chats.messages("k", None).await.unwrap()).unwrap();
    assert_eq!(found, json!(expected));
}

/// Racing appends of Python's repeat a position; other programs write other numbers.
async fn orders_repeated_and_odd_positions(db: Db) {
    insert(
        &db,
        [
            row("k", 2.0, said("d")),
            row("k", 1, said("b")),
            row("k", 1, said("c")),
            row("k", 0_i64, said("a")),
            row("k", 5_000_000_000_i64, said("e")),
        ],
    )
    .await;
    let chats = db.store.chat().unwrap();
    assert_eq!(texts(&chats, "k").await, ["a", "b", "c", "d", "e"]);
    assert_eq!(chats.remove_at("k", 2).await.unwrap(), Some(user("c")));
    chats.insert_at("k", 2, user("C")).await.unwrap();
    chats.append("k", vec![user("f")]).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["a", "b", "C", "d", "e", "f"]);
    assert_eq!(chats.messages("k", Some(2)).await.unwrap(), [user("e"), user("f")]);
}

async fn counts_on_from_pythons_end(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", vec![user("0"), user("1")]).await.unwrap();
    insert(&db, [row("k", 2, said("2")), row("k", 3, said("3"))]).await;
    chats.append("k", vec![user("4"), user("5")]).await.unwrap();
    // Python removes its last one and adds another.
    db.collection("sessions").delete_one(doc! {"session_id": "k", "index": 5}).await.unwrap();
    insert(&db, [row("k", 5, said("five"))]).await;
    chats.append("k", vec![user("6")]).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["0", "1", "2", "3", "4", "five", "6"]);
    assert_eq!(indexes(&db, "k").await, (0..7).map(Bson::Int32).collect::<Vec<_>>());
    // It removes everything: the next one is the first again.
    db.collection("sessions").delete_many(doc! {"session_id": "k"}).await.unwrap();
    chats.append("k", vec![user("new")]).await.unwrap();
    assert_eq!(indexes(&db, "k").await, [Bson::Int32(0)]);
    chats.pop("k").await.unwrap();
    chats.append("k", vec![user("newer")]).await.unwrap();
    assert_eq!(indexes(&db, "k").await, [Bson::Int32(0)]);
}

/// The others stay as they are, and sorted by `index` alone, as Python does, they stand in the same order.
async fn inserts_and_removals_write_one_message(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", ["a", "b", "c", "d"].map(user).to_vec()).await.unwrap();
    let before = stored(&db, "k").await;
    for (index, text) in [(0, "front"), (3, "middle"), (-1, "late")] {
        chats.insert_at("k", index, user(text)).await.unwrap();
    }
    let after = stored(&db, "k").await;
    let expected = ["front", "a", "b", "middle", "c", "late", "d"];
    assert_eq!(texts(&chats, "k").await, expected);
    assert!(before.iter().all(|row| after.contains(row)), "a message was moved");
    assert_eq!(indexes(&db, "k").await, [0, 0, 1, 2, 2, 3, 3].map(Bson::Int32));
    assert_eq!(found(&db, "sessions", doc! {"session_id": "k"}, doc! {"index": 1}).await, after);

    chats.remove_at("k", 2).await.unwrap();
    let left = stored(&db, "k").await;
    assert_eq!(left.len(), 6);
    assert!(left.iter().all(|row| after.contains(row)), "a message was moved");
    // The place that was freed is filled.
    chats.insert_at("k", 2, user("B")).await.unwrap();
    assert_eq!(indexes(&db, "k").await, [0, 0, 1, 2, 2, 3, 3].map(Bson::Int32));
}

async fn python_writing_at_once_loses_nothing(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", vec![user("begin")]).await.unwrap();
    let python = |task: usize| {
        let db = db.clone();
        async move {
            for n in 0..15 {
                let sessions = db.collection("sessions");
                let last =
                    sessions.find_one(doc! {"session_id": "k"}).sort(doc! {"index": -1}).await.unwrap();
                let index = last.map_or(0, |last| last.get_i32("index").unwrap() + 1);
                insert(&db, [row("k", index, said(&format!("python {task} {n:02}")))]).await;
            }
        }
    };
    let ours = |task: usize| {
        let chats = Arc::clone(&chats);
        async move {
            for n in 0..15 {
                chats.append("k", vec![user(&format!("ours {task} {n:02}"))]).await.unwrap();
            }
        }
    };
    futures::join!(python(1), python(2), ours(1), ours(2));
    let found = texts(&chats, "k").await;
    assert_eq!(found.len(), 61);
    for writer in ["python 1", "python 2", "ours 1", "ours 2"] {
        let own: Vec<&String> = found.iter().filter(|text| text.starts_with(writer)).collect();
        assert_eq!(own.len(), 15, "{writer}");
        assert!(own.is_sorted(), "{writer}: {own:?}");
    }
}

async fn what_can_not_be_read_is_named_and_stays(db: Db) {
    let chats = db.store.chat().unwrap();
    let bad = [
        doc! {"role": "king", "blocks": []},
        doc! {"role": "user", "blocks": [{"block_type": "smell"}]},
        doc! {"role": "user", "blocks": [{"text": "x"}]},
        doc! {"role": 1},
    ];
    for bad in bad {
        let id = ObjectId::new();
        let mut bad = row("k", 0, bad);
        bad.insert("_id", id);
        insert(&db, [bad]).await;
        for error in [
            chats.messages("k", None).await.map(drop).unwrap_err(),
            chats.pop("k").await.map(drop).unwrap_err(),
            chats.remove_at("k", 0).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(&id.to_hex()), "{error}");
            assert_eq!(error.key(), Some("k"));
        }
        assert_eq!(stored(&db, "k").await.len(), 1);
        assert!(chats.delete("k").await.unwrap());
    }
    insert(&db, [doc! {"session_id": "no message", "index": 0}, row("no number", "x", said("x"))]).await;
    let error = chats.messages("no message", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let error = chats.append("no number", vec![user("y")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(texts(&chats, "no number").await, ["x"]);
}

fn config(db: &Db) -> store_mongodb::MongoConfig {
    store_mongodb::MongoConfig::new(common::url().unwrap()).with_namespace(db.name.clone())
}

async fn index_names(db: &Db, collection: &str) -> Vec<String> {
    let mut names = db.collection(collection).list_index_names().await.unwrap();
    names.sort();
    names
}

async fn indexes_are_made_once(db: Db) {
    let chats = db.store.chat().unwrap();
    for _ in 0..2 {
        chats.append("k", vec![user("a")]).await.unwrap();
    }
    assert_eq!(index_names(&db, "sessions").await, ["_id_", "session_id_1_index_1__id_1"]);
    let lasting = MongoBackend::connect(config(&db).with_chat_ttl(Duration::from_hours(1))).await.unwrap();
    lasting.chat().unwrap().append("k", vec![user("b")]).await.unwrap();
    let names = index_names(&db, "sessions").await;
    assert_eq!(names, ["_id_", "created_at_1", "session_id_1_index_1__id_1"]);
    let listed: Vec<IndexModel> =
        db.collection("sessions").list_indexes().await.unwrap().try_collect().await.unwrap();
    let expiring = listed.iter().find(|index| index.keys == doc! {"created_at": 1}).unwrap();
    assert_eq!(expiring.options.as_ref().unwrap().expire_after, Some(Duration::from_hours(1)));

    // After the namespace was dropped they come back.
    db.store.drop_namespace().await.unwrap();
    chats.append("k", vec![user("a")]).await.unwrap();
    assert_eq!(index_names(&db, "sessions").await, ["_id_", "session_id_1_index_1__id_1"]);

    // None is made where none shall be.
    db.store.drop_namespace().await.unwrap();
    let mut config = config(&db);
    config.create = false;
    let given = MongoBackend::connect(config).await.unwrap().chat().unwrap();
    given.append("k", vec![user("a")]).await.unwrap();
    assert_eq!(index_names(&db, "sessions").await, ["_id_"]);
    assert_eq!(texts(&given, "k").await, ["a"]);
}

async fn another_time_to_live_is_told(db: Db) {
    let options = IndexOptions::builder().expire_after(Duration::from_mins(1)).build();
    let model = IndexModel::builder().keys(doc! {"created_at": 1}).options(options).build();
    db.collection("sessions").create_index(model).await.unwrap();
    let lasting = MongoBackend::connect(config(&db).with_chat_ttl(Duration::from_hours(1))).await.unwrap();
    let error = lasting.chat().unwrap().append("k", vec![user("a")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("3600 s"), "{error}");
    let same = MongoBackend::connect(config(&db).with_chat_ttl(Duration::from_mins(1))).await.unwrap();
    same.chat().unwrap().append("k", vec![user("a")]).await.unwrap();
}

/// Whether the server has removed it yet or not; a message without a date stays, as on the server.
async fn what_has_expired_is_gone_at_once(db: Db) {
    let hour = MongoBackend::connect(config(&db).with_chat_ttl(Duration::from_hours(1))).await.unwrap();
    let chats = hour.chat().unwrap();
    let aged = |key: &str, index: i32, text: &str, minutes: i64| {
        let mut aged = row(key, index, said(text));
        let written = DateTime::now().timestamp_millis() - minutes * 60_000;
        aged.insert("created_at", DateTime::from_millis(written));
        aged
    };
    let mut dateless = row("k", 3, said("dateless"));
    dateless.remove("created_at");
    let old = |key| [aged(key, 0, "old", 300), aged(key, 1, "older", 61)];
    insert(&db, old("k").into_iter().chain([aged("k", 2, "young", 59), dateless])).await;
    insert(&db, old("gone")).await;
    insert(&db, old("gone too")).await;

    assert_eq!(texts(&chats, "k").await, ["young", "dateless"]);
    assert_eq!(chats.messages("k", Some(3)).await.unwrap(), [user("young"), user("dateless")]);
    let keys: Vec<String> = chats.keys(None).try_collect().await.unwrap();
    assert_eq!(keys, ["k"]);
    assert_eq!(chats.messages("gone", None).await.unwrap(), []);
    assert_eq!(chats.pop("gone").await.unwrap(), None);
    assert_eq!(chats.remove_at("gone", 0).await.unwrap(), None);
    assert!(!chats.delete("gone").await.unwrap(), "nothing was there");
    assert_eq!(stored(&db, "gone").await, [], "what has expired goes with its history");

    // Positions count what is there.
    chats.insert_at("k", 0, user("first")).await.unwrap();
    chats.insert_at("k", 1, user("second")).await.unwrap();
    chats.append("k", vec![user("last")]).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["first", "second", "young", "dateless", "last"]);
    assert_eq!(chats.remove_at("k", 1).await.unwrap(), Some(user("second")));
    chats.insert_at("gone too", 0, user("new")).await.unwrap();
    assert_eq!(texts(&chats, "gone too").await, ["new"]);
    assert!(chats.delete("k").await.unwrap());
}

/// As the server's profiler counts: no call but a read of everything looks at more than a few documents.
async fn a_call_costs_the_same_in_a_long_history(db: Db) {
    let chats = db.store.chat().unwrap();
    for key in ["j", "k", "l"] {
        chats.append(key, (0..1_500).map(|n| user(&n.to_string())).collect()).await.unwrap();
    }
    db.database().run_command(doc! {"profile": 2}).await.unwrap();
    chats.append("k", vec![user("x")]).await.unwrap();
    chats.append("k", vec![user("y"), user("z")]).await.unwrap();
    assert_eq!(chats.messages("k", Some(3)).await.unwrap().len(), 3);
    chats.insert_at("k", 0, user("front")).await.unwrap();
    chats.insert_at("k", -2, user("late")).await.unwrap();
    chats.pop("k").await.unwrap();
    chats.remove_at("k", 1).await.unwrap();
    let keys: Vec<String> = chats.keys(None).try_collect().await.unwrap();
    assert_eq!(keys, ["j", "k", "l"]);
    db.database().run_command(doc! {"profile": 0}).await.unwrap();
    let ours = doc! {"ns": format!("{}.sessions", db.name)};
    let entries = found(&db, "system.profile", ours, doc! {"ts": 1}).await;
    assert!(entries.len() >= 12, "{}", entries.len());
    for entry in entries {
        for count in ["docsExamined", "keysExamined"] {
            let seen = entry.get_i32(count).unwrap_or_default();
            assert!(seen <= 8, "{seen} {count}: {entry}");
        }
    }
}

async fn python_sees_nothing_of_ours(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", vec![user("a")]).await.unwrap();
    chats.insert_at("k", 0, user("b")).await.unwrap();
    chats.replace("l", vec![user("c")]).await.unwrap();
    chats.delete("l").await.unwrap();
    let count = db.collection("sessions").count_documents(doc! {}).await.unwrap();
    assert_eq!(count, 2);
    let mut collections = db.database().list_collection_names().await.unwrap();
    collections.sort();
    assert_eq!(collections, ["nodestore.sessions", "sessions"]);
}

async fn a_lost_head_is_made_good(db: Db) {
    let chats = db.store.chat().unwrap();
    let heads = db.collection("nodestore.sessions");
    for n in 0..6 {
        chats.append("k", vec![user(&format!("{n}"))]).await.unwrap();
        if n % 2 == 0 {
            heads.delete_many(doc! {}).await.unwrap();
        } else if n == 3 {
            heads.update_one(doc! {"_id": "k"}, doc! {"$set": {"tail": "nonsense"}}).await.unwrap();
            heads.replace_one(doc! {"_id": "k"}, doc! {"_id": "k", "tail": 77_i64}).await.unwrap();
        }
    }
    assert_eq!(indexes(&db, "k").await, (0..6).map(Bson::Int32).collect::<Vec<_>>());
    assert_eq!(index_names(&db, "nodestore.sessions").await, ["_id_", "since_1"]);
}
