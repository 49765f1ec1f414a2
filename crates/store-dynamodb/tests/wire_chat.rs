//! Chats as they are stored: what LlamaIndex's Python package writes is read, what we write in its layout is its form,
//! and what our own layout does with items.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;
mod faults;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::{Db, ITEM, attributes, names, numbers, seconds, test, told};
use faults::{Fault, Faults};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{Backend as _, ChatMessage, ChatStore, ChatWindow, ErrorKind};
use store_dynamodb::{DynamoDbBackend, DynamoDbChatLayout, DynamoDbConfig};

fn main() -> ExitCode {
    common::run([
        test("python_writes_its_form", python_writes_its_form),
        test("python_reads_what_python_wrote", python_reads_what_python_wrote),
        test("python_keeps_order_and_numbers_beside", python_keeps_order_and_numbers_beside),
        test("python_refuses_more_than_an_item", python_refuses_more_than_an_item),
        test("python_hides_what_expired", python_hides_what_expired),
        test("python_leaves_what_is_no_history", python_leaves_what_is_no_history),
        test("python_table_of_another_shape_is_refused", python_table_of_another_shape_is_refused),
        test("own_layout_is_an_item_for_each_message", own_layout_is_an_item_for_each_message),
        test("own_layout_leaves_nothing_behind", own_layout_leaves_nothing_behind),
        test("what_is_left_of_old_generations_is_not_seen", what_is_left_of_old_generations_is_not_seen),
        test("a_batch_that_was_not_finished_is_not_seen", a_batch_that_was_not_finished_is_not_seen),
        test("a_full_spot_is_written_anew", a_full_spot_is_written_anew),
        test("expired_messages_are_hidden", expired_messages_are_hidden),
        test("what_can_not_be_read_is_named_and_stays", what_can_not_be_read_is_named_and_stays),
        test("a_great_history_costs_as_a_small_one", a_great_history_costs_as_a_small_one),
        test("lost_answers_neither_lose_nor_double", lost_answers_neither_lose_nor_double),
        test("limits_are_told_before_a_write", limits_are_told_before_a_write),
        test("messages_at_the_limit", messages_at_the_limit),
        test("keys_at_the_limit", keys_at_the_limit),
        test("odd_numbers_and_names_come_back", odd_numbers_and_names_come_back),
    ])
}

fn message(json: Value) -> ChatMessage {
    serde_json::from_value(json).unwrap()
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::user(text)
}

async fn texts(chats: &Arc<dyn ChatStore>, key: &str) -> Vec<String> {
    let messages = chats.messages(key, None).await.unwrap();
    messages.iter().map(|message| message.text().unwrap_or_default()).collect()
}

async fn keys(chats: &Arc<dyn ChatStore>) -> Vec<String> {
    chats.keys(None).try_collect().await.unwrap()
}

/// The chats in Python's layout, their table there.
async fn python(db: &Db) -> Arc<dyn ChatStore> {
    let store = db.with(|config| config.with_chat_layout(DynamoDbChatLayout::LlamaIndex)).await;
    let chats = store.chat().unwrap();
    assert_eq!(keys(&chats).await, [""; 0]);
    chats
}

/// A message of one text, as Python's `TypeSerializer` writes it.
fn said(text: &str) -> Value {
    json!({"M": {
        "role": {"S": "user"},
        "additional_kwargs": {"M": {}},
        "blocks": {"L": [{"M": {"block_type": {"S": "text"}, "text": {"S": text}}}]},
    }})
}

async fn python_writes_its_form(db: Db) {
    let (chats, table) = (python(&db).await, db.beside("chats"));
    let whole = message(
        json!({"role": "assistant", "additional_kwargs": {"a": 1, "b": [2.5, null, true, "x"]}, "blocks": [
            {"block_type": "image", "image": "aGVsbG8=", "path": null, "url": null, "image_mimetype": "image/png",
                "detail": "low"},
        ]}),
    );
    chats.append("k", vec![user("first")]).await.unwrap();
    chats.append("k", vec![whole.clone()]).await.unwrap();
    chats.insert_at("k", 1, user("second")).await.unwrap();
    let native = json!({"M": {
        "role": {"S": "assistant"},
        "additional_kwargs": {"M": {
            "a": {"N": "1"}, "b": {"L": [{"N": "2.5"}, {"NULL": true}, {"BOOL": true}, {"S": "x"}]}}},
        "blocks": {"L": [{"M": {
            "block_type": {"S": "image"}, "image": {"S": "aGVsbG8="}, "path": {"NULL": true}, "url": {"NULL": true},
            "image_mimetype": {"S": "image/png"}, "detail": {"S": "low"}}}]},
    }});
    let expected =
        json!({"SessionId": {"S": "k"}, "History": {"L": [said("first"), said("second"), native.clone()]}});
    assert_eq!(db.items(&table).await, [expected]);
    assert_eq!(chats.remove_at("k", 0).await.unwrap(), Some(user("first")));
    let expected = json!({"SessionId": {"S": "k"}, "History": {"L": [said("second"), native]}});
    assert_eq!(db.items(&table).await, [expected]);
    assert_eq!(chats.messages("k", Some(1)).await.unwrap(), std::slice::from_ref(&whole));
    assert_eq!(chats.pop("k").await.unwrap(), Some(whole));
    assert_eq!(chats.pop("k").await.unwrap(), Some(user("second")));
    assert_eq!(db.items(&table).await, [Value::Null; 0]);
}

async fn python_reads_what_python_wrote(db: Db) {
    let (chats, table) = (python(&db).await, db.beside("chats"));
    // Decimals, and bytes as Python writes them: a binary value of base64 text.
    let tool = json!({"M": {
        "role": {"S": "tool"},
        "additional_kwargs": {"M": {"tool_call_id": {"S": "t"}, "score": {"N": "0.25"}, "count": {"N": "3"}}},
        "blocks": {"L": [
            {"M": {"block_type": {"S": "thinking"}, "content": {"S": "hm"}, "num_tokens": {"N": "3"},
                "additional_information": {"M": {}}}},
            {"M": {"block_type": {"S": "image"}, "image": {"B": "aGVsbG8="}, "path": {"NULL": true},
                "url": {"NULL": true}, "image_mimetype": {"S": "image/png"}, "detail": {"NULL": true}}},
        ]},
    }});
    let old =
        json!({"M": {"role": {"S": "user"}, "content": {"S": "older"}, "additional_kwargs": {"M": {}}}});
    db.put(&table, json!({"SessionId": {"S": "k"}, "History": {"L": [said("first"), tool, old]}})).await;
    db.put(&table, json!({"SessionId": {"S": "empty"}, "History": {"L": []}})).await;
    let found = serde_json::to_value(chats.messages("k", None).await.unwrap()).unwrap();
    let kwargs = json!({"count": 3, "score": 0.25, "tool_call_id": "t"});
    assert_eq!(found[1]["additional_kwargs"], kwargs);
    assert_eq!(found[1]["blocks"][1]["image"], "aGVsbG8=");
    assert_eq!(found[2]["blocks"], json!([{"block_type": "text", "text": "older"}]));
    assert_eq!(texts(&chats, "k").await[0], "first");
    assert_eq!(keys(&chats).await, ["k"]);
    assert!(!chats.delete("empty").await.unwrap());
    // What another member writes beside is passed over.
    chats.append("k", vec![user("ours")]).await.unwrap();
    let stored = db.items(&table).await;
    assert_eq!(stored[0]["History"]["L"][3], said("ours"));
    assert!(chats.delete("k").await.unwrap());
    assert_eq!(db.items(&table).await, [Value::Null; 0]);
}

async fn python_keeps_order_and_numbers_beside(db: Db) {
    let (chats, table) = (python(&db).await, db.beside("chats"));
    let odd = message(
        json!({"role": "user", "additional_kwargs": {"z": 1.0, "a": {"y": 2, "b": -0.0}}, "blocks": []}),
    );
    chats.append("k", vec![odd.clone()]).await.unwrap();
    let stored = db.items(&table).await.remove(0);
    let kept = &stored["History"]["L"][0]["M"];
    // The service writes 1, DynamoDB Local what it was given.
    let kwargs = kept["additional_kwargs"].to_string().replace("1.0", "1");
    assert_eq!(kwargs, r#"{"M":{"a":{"M":{"b":{"N":"0"},"y":{"N":"2"}}},"z":{"N":"1"}}}"#);
    assert!(kept["_nodestore"]["S"].is_string(), "{kept}");
    let found = chats.messages("k", None).await.unwrap();
    assert_eq!(serde_json::to_string(&found).unwrap(), serde_json::to_string(&[odd]).unwrap());
    // Python changed the message: what stands beside fits it no more.
    let Value::Object(mut changed) = stored else { return };
    changed["History"]["L"][0]["M"]["additional_kwargs"]["M"]["z"] = json!({"N": "2"});
    db.client().put_item().table_name(&table).set_item(Some(attributes(changed))).send().await.unwrap();
    let found = serde_json::to_value(chats.messages("k", None).await.unwrap()).unwrap();
    assert_eq!(found[0]["additional_kwargs"]["z"], 2);
}

async fn python_refuses_more_than_an_item(db: Db) {
    let (chats, table) = (python(&db).await, db.beside("chats"));
    chats.append("k", vec![user(&"x".repeat(300 << 10))]).await.unwrap();
    let great = || user(&"y".repeat(120 << 10));
    for error in [
        chats.append("k", vec![great()]).await.unwrap_err(),
        chats.insert_at("k", 0, great()).await.unwrap_err(),
        chats.replace("k", vec![great(), great(), great(), great()]).await.unwrap_err(),
        chats.append("new", vec![great(), great(), great(), great()]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(
            error.message().contains("409600") && error.message().contains("store.chat_layout"),
            "{error}"
        );
    }
    assert_eq!(db.items(&table).await.len(), 1);
    assert_eq!(chats.messages("k", None).await.unwrap().len(), 1);
}

async fn python_hides_what_expired(db: Db) {
    let (_, table) = (python(&db).await, db.beside("chats"));
    let store = db.with(|config| {
        config.with_chat_layout(DynamoDbChatLayout::LlamaIndex).with_chat_ttl(Duration::from_hours(1))
    });
    let chats = store.await.chat().unwrap();
    let past = (seconds() - 1).to_string();
    for key in ["a", "b", "c"] {
        db.put(&table, json!({"SessionId": {"S": key}, "History": {"L": [said("old")]}, "TTL": {"N": past}}))
            .await;
    }
    assert_eq!(texts(&chats, "a").await, [""; 0]);
    assert_eq!((keys(&chats).await, chats.pop("a").await.unwrap()), (vec![], None));
    assert!(!chats.delete("c").await.unwrap());
    chats.append("a", vec![user("new")]).await.unwrap();
    chats.insert_at("b", 0, user("new")).await.unwrap();
    for key in ["a", "b"] {
        assert_eq!(texts(&chats, key).await, ["new"]);
    }
    for item in db.items(&table).await {
        let until: u64 = item["TTL"]["N"].as_str().unwrap().parse().unwrap();
        assert!(until > seconds() + 3_500, "{item}");
    }
    // A store without a time to live keeps what it writes to.
    let forever =
        db.with(|config| config.with_chat_layout(DynamoDbChatLayout::LlamaIndex)).await.chat().unwrap();
    forever.append("a", vec![user("newer"), user("newest")]).await.unwrap();
    assert!(db.items(&table).await[0].get("TTL").is_none());
    chats.pop("a").await.unwrap();
    assert!(db.items(&table).await[0].get("TTL").is_some());
    forever.pop("a").await.unwrap();
    assert!(db.items(&table).await[0].get("TTL").is_none());
}

async fn python_leaves_what_is_no_history(db: Db) {
    let (chats, table) = (python(&db).await, db.beside("chats"));
    let other = json!({"SessionId": {"S": "k"}, "History": {"S": "text"}});
    db.put(&table, other.clone()).await;
    for error in [
        chats.messages("k", None).await.map(drop).unwrap_err(),
        chats.append("k", vec![user("a")]).await.unwrap_err(),
        chats.pop("k").await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("k")), "{error}");
    }
    assert_eq!(db.items(&table).await, [other]);
    db.put(&table, json!({"SessionId": {"S": "k"}, "History": {"L": [said("good"), {"S": "bad"}]}})).await;
    assert_eq!(chats.pop("k").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(chats.remove_at("k", 0).await.unwrap(), Some(user("good")));
    assert!(chats.delete("k").await.unwrap());
}

async fn python_table_of_another_shape_is_refused(db: Db) {
    db.store.chat().unwrap().append("k", vec![user("a")]).await.unwrap();
    // The main table has a sort key.
    let other = DynamoDbConfig::new("nodestore").with_connection(db.config.connection.clone());
    let other = other.with_chat_layout(DynamoDbChatLayout::LlamaIndex).with_chat_table(db.main());
    let store = DynamoDbBackend::connect(other.clone()).await.unwrap();
    let error = store.chat().unwrap().messages("k", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let store = DynamoDbBackend::connect(other.with_chat_table(db.beside("none"))).await.unwrap();
    let error = store.chat().unwrap().messages("k", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// The sort keys of a session's partition.
async fn sorts(db: &Db, session: &str) -> Vec<String> {
    let partition = json!({"S": format!("nodestore:chat/{session}")});
    let items = db.items(&db.main()).await.into_iter().filter(|item| item["pk"] == partition);
    items.map(|item| item["sk"]["S"].as_str().unwrap().to_owned()).collect()
}

async fn own_layout_is_an_item_for_each_message(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", vec![user("a"), user("b")]).await.unwrap();
    chats.insert_at("k", 1, user("between")).await.unwrap();
    let items = db.items(&db.main()).await;
    assert_eq!(items.len(), 5);
    let texts: Vec<&str> = items.iter().filter_map(|item| item["_message"]["S"].as_str()).collect();
    let text = |text: &str| {
        format!(
            r#"{{"role":"user","additional_kwargs":{{}},"blocks":[{{"block_type":"text","text":"{text}"}}]}}"#
        )
    };
    assert_eq!(texts, [text("a"), text("between"), text("b")]);
    assert_eq!((&items[3]["sk"]["S"], &items[3]["_count"]["N"]), (&json!("n"), &json!("3")));
    assert_eq!(items[4], json!({"pk": {"S": "nodestore:chats"}, "sk": {"S": "k"}}));
}

async fn own_layout_leaves_nothing_behind(db: Db) {
    let chats = db.store.chat().unwrap();
    let many = |count: usize| (0..count).map(|number| user(&number.to_string())).collect::<Vec<_>>();
    chats.append("k", many(250)).await.unwrap();
    chats.append("k", many(5)).await.unwrap();
    chats.replace("k", many(300)).await.unwrap();
    assert_eq!(sorts(&db, "k").await.len(), 302);
    chats.insert_at("k", 150, user("x")).await.unwrap();
    chats.replace("k", many(3)).await.unwrap();
    assert_eq!(sorts(&db, "k").await.len(), 4);
    chats.append("k", many(200)).await.unwrap();
    for _ in 0..203 {
        chats.remove_at("k", 0).await.unwrap().unwrap();
    }
    assert_eq!(db.items(&db.main()).await, [Value::Null; 0]);
    chats.append("k", many(200)).await.unwrap();
    assert!(chats.delete("k").await.unwrap());
    assert_eq!(db.items(&db.main()).await, [Value::Null; 0]);
}

/// A replacement that died before it removed what it replaced.
async fn what_is_left_of_old_generations_is_not_seen(db: Db) {
    let chats = db.store.chat().unwrap();
    let table = db.main();
    assert_eq!(texts(&chats, "k").await, [""; 0]);
    let (old, newer) = (format!("{:016x}0000", 1_000), format!("{:016x}0000", u64::MAX >> 8));
    for generation in [&old, &newer] {
        for place in 0..40 {
            let sort = format!("m/{generation}/{:012x}", (1_u64 << 46) + (place << 16));
            db.put(
                &table,
                json!({"pk": {"S": "nodestore:chat/k"}, "sk": {"S": sort}, "_message": {"S": "left"}}),
            )
            .await;
        }
    }
    assert_eq!(texts(&chats, "k").await, [""; 0]);
    assert_eq!(chats.pop("k").await.unwrap(), None);
    chats.append("k", vec![user("a"), user("b"), user("c")]).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["a", "b", "c"]);
    assert_eq!(chats.messages("k", Some(2)).await.unwrap(), [user("b"), user("c")]);
    assert_eq!(chats.remove_at("k", 0).await.unwrap(), Some(user("a")));
    chats.insert_at("k", 0, user("front")).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["front", "b", "c"]);
    assert!(chats.delete("k").await.unwrap());
    // What is a day old is gone, what may yet be written is not.
    let left = sorts(&db, "k").await;
    assert_eq!(left.len(), 40);
    assert!(left.iter().all(|sort| sort.contains(&newer)));
}

/// An append that died before its run had a place.
async fn a_batch_that_was_not_finished_is_not_seen(db: Db) {
    let chats = db.store.chat().unwrap();
    let table = db.main();
    chats.append("k", vec![user("a")]).await.unwrap();
    let sort = sorts(&db, "k").await.remove(0);
    let generation = sort.split('/').nth(1).unwrap();
    for place in 0..40 {
        let sort = format!("a/{generation}/run/{place:012x}");
        db.put(
            &table,
            json!({"pk": {"S": "nodestore:chat/k"}, "sk": {"S": sort}, "_message": {"S": "left"}}),
        )
        .await;
    }
    chats.append("k", vec![user("b")]).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["a", "b"]);
    chats.replace("k", vec![user("c")]).await.unwrap();
    assert_eq!(sorts(&db, "k").await.len(), 2);
}

async fn a_full_spot_is_written_anew(db: Db) {
    let chats = db.store.chat().unwrap();
    let table = db.main();
    chats.append("k", vec![user("a"), user("b")]).await.unwrap();
    // As after thousands of inserts before `b`: no shorter place is free.
    let items = db.items(&table).await;
    let generation = items[0]["sk"]["S"].as_str().unwrap().split('/').nth(1).unwrap().to_owned();
    let place = |digits: &str| format!("m/{generation}/{:012x}{digits}", 1_u64 << 46);
    let mut moved = items[1].as_object().unwrap().clone();
    db.client()
        .delete_item()
        .table_name(&table)
        .set_key(Some(attributes(
            moved
                .iter()
                .filter(|(name, _)| *name != "_message")
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        )))
        .send()
        .await
        .unwrap();
    moved["sk"] = json!({"S": place(&format!("{}1", "0".repeat(888)))});
    db.put(&table, Value::Object(moved)).await;
    assert_eq!(texts(&chats, "k").await, ["a", "b"]);
    chats.insert_at("k", 1, user("between")).await.unwrap();
    assert_eq!(texts(&chats, "k").await, ["a", "between", "b"]);
    let sorts = sorts(&db, "k").await;
    assert!(
        sorts.len() == 4 && sorts.iter().all(|sort| sort.len() < 50 && !sort.contains(&generation)),
        "{sorts:?}"
    );
}

async fn expired_messages_are_hidden(db: Db) {
    let table = db.main();
    let mortal = db.with(|config| config.with_chat_ttl(Duration::from_secs(2))).await.chat().unwrap();
    let forever = db.store.chat().unwrap();
    mortal.append("gone", vec![user("a")]).await.unwrap();
    mortal.append("run", (0..120).map(|number| user(&number.to_string())).collect()).await.unwrap();
    mortal.append("mixed", vec![user("a"), user("b")]).await.unwrap();
    forever.append("mixed", vec![user("c")]).await.unwrap();
    mortal.append("mixed", vec![user("d")]).await.unwrap();
    for item in db.items(&table).await {
        let kept = item["_nodestore_expires"]["N"].as_str().is_none();
        let of_mixed = ["nodestore:chat/mixed", "mixed"].iter().any(|name| item.to_string().contains(name));
        assert!(!kept || of_mixed, "{item}");
    }
    assert_eq!(texts(&mortal, "mixed").await, ["a", "b", "c", "d"]);
    assert_eq!(texts(&mortal, "run").await.len(), 120);
    common::eventually("they expire", || async { texts(&forever, "mixed").await == ["c"] }).await;
    common::eventually("all", || async { keys(&forever).await == ["mixed"] }).await;
    for key in ["gone", "run"] {
        assert_eq!(texts(&forever, key).await, [""; 0], "{key}");
        assert_eq!(forever.pop(key).await.unwrap(), None);
        assert!(!forever.delete(key).await.unwrap());
    }
    // Positions count what is there.
    forever.insert_at("mixed", 0, user("front")).await.unwrap();
    forever.append("mixed", vec![user("end")]).await.unwrap();
    assert_eq!(texts(&forever, "mixed").await, ["front", "c", "end"]);
    assert_eq!(forever.remove_at("mixed", 1).await.unwrap(), Some(user("c")));
    assert_eq!(forever.remove_at("mixed", 2).await.unwrap(), None);
    assert_eq!(forever.messages("mixed", Some(5)).await.unwrap().len(), 2);
    forever.append("gone", vec![user("again")]).await.unwrap();
    assert_eq!(texts(&forever, "gone").await, ["again"]);
    for _ in 0..2 {
        forever.pop("mixed").await.unwrap().unwrap();
    }
    assert_eq!(keys(&forever).await, ["gone"]);
}

async fn what_can_not_be_read_is_named_and_stays(db: Db) {
    let chats = db.store.chat().unwrap();
    chats.append("k", vec![user("good"), user("bad")]).await.unwrap();
    let mut items = db.items(&db.main()).await;
    items[1]["_message"] = json!({"S": r#"{"role":"king","blocks":[]}"#});
    db.put(&db.main(), items[1].clone()).await;
    for error in [
        chats.messages("k", None).await.map(drop).unwrap_err(),
        chats.messages("k", Some(1)).await.map(drop).unwrap_err(),
        chats.pop("k").await.map(drop).unwrap_err(),
        chats.remove_at("k", 1).await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("k")), "{error}");
    }
    // The others can be reached, and all of it removed.
    chats.append("k", vec![user("more")]).await.unwrap();
    assert_eq!(chats.messages("k", Some(1)).await.unwrap(), [user("more")]);
    assert_eq!(chats.remove_at("k", 0).await.unwrap(), Some(user("good")));
    assert!(chats.delete("k").await.unwrap());
    assert_eq!(db.items(&db.main()).await, [Value::Null; 0]);
}

fn counted(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(operation, count)| ((*operation).to_owned(), *count)).collect()
}

/// What an append and a window cost does not depend on how long the history is.
async fn a_great_history_costs_as_a_small_one(db: Db) {
    let faults = Faults::default();
    let chats = faults.store(db.client(), db.config.clone()).chat().unwrap();
    chats.append("k", vec![user("first")]).await.unwrap();
    for batch in 0..20 {
        chats.append("k", (0..150).map(|n| user(&format!("{batch} {n}"))).collect()).await.unwrap();
        faults.counts();
        chats.append("k", (0..98).map(|n| user(&format!("{batch} {n}"))).collect()).await.unwrap();
        assert_eq!(faults.counts(), counted(&[("TransactWriteItems", 1)]));
        let window = chats.messages("k", Some(10)).await.unwrap();
        assert_eq!((window.len(), window[9].text()), (10, Some(format!("{batch} 97"))));
        assert_eq!(faults.counts(), counted(&[("Query", 1)]));
        assert!(chats.pop("k").await.unwrap().is_some());
        assert_eq!(faults.counts(), counted(&[("Query", 1), ("TransactWriteItems", 1)]));
    }
    let whole = chats.messages("k", None).await.unwrap();
    assert_eq!(whole.len(), 1 + 20 * (150 + 97));
    // Twenty runs, the history itself, and a look whether it is the same still.
    assert!(faults.counts()["Query"] <= 25);
    let window = ChatWindow::last_messages(10).read(&*chats, "k").await.unwrap();
    assert_eq!(window.len(), 10);
    // A process that does not know the history reads its head once.
    let other = faults.store(db.client(), db.config.clone()).chat().unwrap();
    other.append("k", vec![user("more")]).await.unwrap();
    faults.counts();
    for (chats, text) in [(&chats, "stale"), (&other, "again"), (&chats, "again")] {
        chats.append("k", vec![user(text)]).await.unwrap();
        // What another wrote meanwhile is told by the refusal.
        assert_eq!(faults.counts(), counted(&[("TransactWriteItems", 2)]));
    }
}

/// The service did it, and its answer was lost: the driver asks again.
async fn lost_answers_neither_lose_nor_double(db: Db) {
    for layout in [DynamoDbChatLayout::Nodestore, DynamoDbChatLayout::LlamaIndex] {
        let faults = Faults::default();
        let chats = faults.store(db.client(), db.config.clone().with_chat_layout(layout)).chat().unwrap();
        let lose = || faults.spoil("TransactWriteItems", Fault::Lost, 1);
        let mut expected = Vec::new();
        for number in 0..5 {
            lose();
            chats.append("k", vec![user(&format!("a{number}")), user("second")]).await.unwrap();
            expected.extend([format!("a{number}"), "second".to_owned()]);
        }
        for place in [0, 5] {
            lose();
            chats.insert_at("k", place, user("in")).await.unwrap();
            expected.insert(usize::try_from(place).unwrap(), "in".to_owned());
            lose();
            let removed = chats.remove_at("k", place + 2).await.unwrap().unwrap();
            assert_eq!(removed.text().unwrap(), expected.remove(usize::try_from(place + 2).unwrap()));
        }
        lose();
        assert_eq!(chats.pop("k").await.unwrap().unwrap().text(), expected.pop());
        assert_eq!(texts(&chats, "k").await, expected);
        lose();
        chats.append("k", (0..200).map(|number| user(&number.to_string())).collect()).await.unwrap();
        assert_eq!(texts(&chats, "k").await.len(), expected.len() + 200);
        lose();
        chats.replace("k", vec![user("new")]).await.unwrap();
        assert_eq!(texts(&chats, "k").await, ["new"]);
        lose();
        assert!(chats.delete("k").await.unwrap());
        assert_eq!(keys(&chats).await, [""; 0]);
    }
}

async fn limits_are_told_before_a_write(db: Db) {
    let chats = db.store.chat().unwrap();
    let great = user(&"x".repeat(410_000));
    for error in [
        chats.append("k", vec![user("a"), great.clone()]).await.unwrap_err(),
        chats.replace("k", vec![great.clone()]).await.unwrap_err(),
        chats.insert_at("k", 0, great).await.unwrap_err(),
        chats.append(&"k".repeat(1_025), vec![user("a")]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    }
    let longest = "k".repeat(1_024);
    chats.append(&longest, vec![user(&"x".repeat(400_000))]).await.unwrap();
    // More than a transaction takes, in few messages.
    chats.append(&longest, vec![user(&"y".repeat(390_000)); 13]).await.unwrap();
    assert_eq!(chats.messages(&longest, None).await.unwrap().len(), 14);
    assert_eq!(keys(&chats).await, [longest]);
}

const LAYOUTS: [DynamoDbChatLayout; 2] = [DynamoDbChatLayout::Nodestore, DynamoDbChatLayout::LlamaIndex];

/// A message takes an item of our own layout, a chat one of Python's, and not a byte more.
async fn messages_at_the_limit(db: Db) {
    for layout in LAYOUTS {
        let chats = db.with(|config| config.with_chat_layout(layout)).await.chat().unwrap();
        let text = |length: usize| vec![user(&"x".repeat(length))];
        let great = 10 << 20;
        let error = chats.append("a", text(great)).await.unwrap_err();
        let fits = ITEM - (told(&error) - great);
        chats.append("b", text(fits)).await.unwrap();
        assert_eq!(chats.messages("b", None).await.unwrap(), text(fits));
        let error = chats.append("c", text(fits + 1)).await.unwrap_err();
        assert_eq!((told(&error), error.failed()), (ITEM + 1, &["c".to_owned()][..]), "{error}");
        assert_eq!(keys(&chats).await, ["b"]);
    }
}

async fn keys_at_the_limit(db: Db) {
    for (layout, most) in LAYOUTS.into_iter().zip([1_024, 2_048]) {
        let chats = db.with(|config| config.with_chat_layout(layout)).await.chat().unwrap();
        let (longest, longer) = ("k".repeat(most), "k".repeat(most + 1));
        chats.append(&longest, vec![user("a")]).await.unwrap();
        assert_eq!(keys(&chats).await, std::slice::from_ref(&longest));
        assert!(chats.delete(&longest).await.unwrap());
        for (key, kind, says) in [
            (longer.as_str(), ErrorKind::LimitExceeded, most.to_string()),
            ("", ErrorKind::InvalidInput, "empty".into()),
        ] {
            for error in [
                chats.append(key, vec![user("a")]).await.unwrap_err(),
                chats.messages(key, None).await.map(drop).unwrap_err(),
                chats.insert_at(key, 0, user("a")).await.unwrap_err(),
                chats.replace(key, vec![user("a")]).await.unwrap_err(),
                chats.pop(key).await.map(drop).unwrap_err(),
                chats.delete(key).await.map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.message().contains(&says), "{error}");
            }
        }
        assert_eq!(keys(&chats).await, [""; 0]);
    }
}

async fn odd_numbers_and_names_come_back(db: Db) {
    let mut kwargs = json!({"numbers": numbers()});
    for name in names() {
        kwargs[name] = json!({name: 2.0});
    }
    let odd = message(json!({"role": "user", "additional_kwargs": kwargs, "blocks": []}));
    let text = serde_json::to_string(&odd).unwrap();
    for layout in LAYOUTS {
        let chats = db.with(|config| config.with_chat_layout(layout)).await.chat().unwrap();
        chats.append("k", vec![odd.clone(), user("next")]).await.unwrap();
        let found = chats.messages("k", None).await.unwrap();
        assert_eq!(serde_json::to_string(&found[0]).unwrap(), text);
        assert_eq!(serde_json::to_string(&chats.remove_at("k", 0).await.unwrap().unwrap()).unwrap(), text);
    }
}
