//! Chats as LlamaIndex's Python package keeps them: what it writes is read, and what we write is its form.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::proxy::Proxy;
use common::{Db, on_both, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::{Backend as _, ChatMessage, ChatStore, ChatWindow, ErrorKind, KvStoreExt as _};
use store_redis::{RedisBackend, RedisCommand, RedisConfig};

fn main() -> ExitCode {
    common::run([
        on_both("writes_pythons_form", writes_pythons_form),
        on_both("reads_what_python_wrote", reads_what_python_wrote),
        on_both("reads_older_messages", reads_older_messages),
        on_both("equal_messages_are_told_apart_by_their_place", equal_messages_are_told_apart_by_their_place),
        on_both("what_can_not_be_read_is_named_and_stays", what_can_not_be_read_is_named_and_stays),
        on_both("every_write_renews_the_time_to_live", every_write_renews_the_time_to_live),
        on_both("great_batches_stay_whole_and_in_order", great_batches_stay_whole_and_in_order),
        on_both("hostile_sessions_are_names", hostile_sessions_are_names),
        on_both("a_key_of_another_role_is_refused_and_left", a_key_of_another_role_is_refused_and_left),
        vec![
            test("prefixes_keep_pythons_bare_sessions_apart", prefixes_keep_pythons_bare_sessions_apart),
            test("python_writing_at_once_loses_nothing", python_writing_at_once_loses_nothing),
            test(
                "a_call_is_one_command_and_reads_what_it_needs",
                a_call_is_one_command_and_reads_what_it_needs,
            ),
            test("too_much_in_one_call_is_refused", too_much_in_one_call_is_refused),
        ],
    ])
}

fn message(json: Value) -> ChatMessage {
    serde_json::from_value(json).unwrap()
}

fn user(text: &str) -> ChatMessage {
    ChatMessage::user(text)
}

fn said(text: &str) -> String {
    format!(
        r#"{{"role":"user","additional_kwargs":{{}},"blocks":[{{"block_type":"text","text":"{text}"}}]}}"#
    )
}

/// Pushes to a list of the namespace, as Python does.
async fn push(db: &Db, list: &str, message: impl Into<Vec<u8>>) {
    let push = RedisCommand::write("RPUSH").key(list).arg(message.into());
    db.store.command(push).await.unwrap();
}

async fn stored(db: &Db, list: &str) -> Vec<String> {
    let range = RedisCommand::read("LRANGE").key(list).arg(0).arg(-1);
    db.store.command(range).await.unwrap().to().unwrap()
}

async fn texts(chats: &Arc<dyn ChatStore>, key: &str) -> Vec<String> {
    let messages = chats.messages(key, None).await.unwrap();
    messages.iter().map(|message| message.text().unwrap_or_default()).collect()
}

async fn keys(chats: &Arc<dyn ChatStore>) -> Vec<String> {
    chats.keys(None).try_collect().await.unwrap()
}

/// A store whose keys begin with the namespace and this text, and have Python's names after it.
async fn bare(db: &Db, prefix: &str) -> RedisBackend {
    let config = RedisConfig::new(db.url.clone()).with_prefix(format!("{}:{prefix}", db.name));
    RedisBackend::connect(config).await.unwrap()
}

async fn writes_pythons_form(db: Db) {
    let chats = db.store.chat().unwrap();
    let whole = message(
        json!({"role": "assistant", "additional_kwargs": {"z": 1, "a": [2.5, null]}, "blocks": [
            {"block_type": "text", "text": "Zażółć 🚀\u{0}\n\"\\"},
            {"block_type": "image", "image": "aGVsbG8=", "path": null, "url": null, "image_mimetype": "image/png",
                "detail": "low"},
            {"block_type": "tool_call", "tool_call_id": "t", "tool_name": "f", "tool_kwargs": {"b": 1, "a": 2}},
        ]}),
    );
    chats.append("k", vec![user("first"), whole.clone()]).await.unwrap();
    // As pydantic's `model_dump_json` writes it.
    let text = concat!(
        r#"{"role":"assistant","additional_kwargs":{"z":1,"a":[2.5,null]},"blocks":["#,
        r#"{"block_type":"text","text":"Zażółć 🚀\u0000\n\"\\"},"#,
        r#"{"block_type":"image","image":"aGVsbG8=","path":null,"url":null,"image_mimetype":"image/png","detail":"low"},"#,
        r#"{"block_type":"tool_call","tool_call_id":"t","tool_name":"f","tool_kwargs":{"b":1,"a":2}}]}"#,
    );
    assert_eq!(stored(&db, "chat:k").await, [said("first"), text.to_owned()]);
    chats.insert_at("k", 1, user("second")).await.unwrap();
    assert_eq!(stored(&db, "chat:k").await, [said("first"), said("second"), text.to_owned()]);
    chats.remove_at("k", 0).await.unwrap();
    chats.replace("l", vec![whole]).await.unwrap();
    assert_eq!(stored(&db, "chat:k").await, [said("second"), text.to_owned()]);
    assert_eq!(stored(&db, "chat:l").await, [text]);
    let mut keys = db.keys().await;
    keys.sort();
    assert_eq!(keys, [("chat:k".to_owned(), -1), ("chat:l".to_owned(), -1)]);
    // Without a namespace it is the session's name itself.
    bare(&db, "").await.chat().unwrap().append("anna", vec![user("hi")]).await.unwrap();
    assert_eq!(stored(&db, "anna").await, [said("hi")]);
}

async fn reads_what_python_wrote(db: Db) {
    push(&db, "chat:k", said("first")).await;
    push(&db, "chat:k", r#"{"role":"tool","additional_kwargs":{"tool_call_id":"t","n":NaN},"blocks":[{"block_type":"thinking","content":"hm","num_tokens":3,"additional_information":{}}]}"#).await;
    push(&db, "chat:other", said("not this")).await;
    let chats = db.store.chat().unwrap();
    let tool =
        message(json!({"role": "tool", "additional_kwargs": {"tool_call_id": "t", "n": null}, "blocks": [
        {"block_type": "thinking", "content": "hm", "num_tokens": 3, "additional_information": {}}]}));
    assert_eq!(chats.messages("k", None).await.unwrap(), [user("first"), tool.clone()]);
    assert_eq!(keys(&chats).await, ["k", "other"]);
    assert_eq!(chats.pop("k").await.unwrap(), Some(tool));
    assert_eq!(stored(&db, "chat:k").await, [said("first")]);
}

/// The form with `content`, escaped text, members that nobody knows.
async fn reads_older_messages(db: Db) {
    for text in [
        r#"{"role": "user", "content": "hello", "additional_kwargs": {}}"#,
        r#"{"role": "assistant", "content": null, "additional_kwargs": {"id": "x"}}"#,
        r#"{"role": "user", "content": [{"block_type": "text", "text": "\ud83d\ude80"}], "blocks": [], "new": 1}"#,
        r#"{"content": ""}"#,
    ] {
        push(&db, "chat:k", text).await;
    }
    let text = |text: &str| json!([{"block_type": "text", "text": text}]);
    let expected = json!([
        {"role": "user", "additional_kwargs": {}, "blocks": text("hello")},
        {"role": "assistant", "additional_kwargs": {"id": "x"}, "blocks": []},
        {"role": "user", "additional_kwargs": {}, "blocks": text("🚀")},
        {"role": "user", "additional_kwargs": {}, "blocks": text("")},
    ]);
    let chats = db.store.chat().unwrap();
    let found = serde_json::to_value(chats.messages("k", None).await.unwrap()).unwrap();
    assert_eq!(found, expected);
    // What is removed is compared as it is stored, not as we would write it.
    assert_eq!(chats.remove_at("k", 1).await.unwrap(), Some(message(expected[1].clone())));
    assert_eq!(stored(&db, "chat:k").await.len(), 3);
}

async fn equal_messages_are_told_apart_by_their_place(db: Db) {
    let chats = db.store.chat().unwrap();
    let letters = ["a", "a", "b", "a", "a", "b", "a"];
    for index in -9_i64..9 {
        let mut expected: Vec<&str> = letters.to_vec();
        chats.replace("k", letters.map(user).to_vec()).await.unwrap();
        let from_start = if index < 0 { index + 7 } else { index };
        let place = usize::try_from(from_start).ok().filter(|place| *place < 7);
        let removed = place.map(|place| user(expected.remove(place)));
        assert_eq!(chats.remove_at("k", index).await.unwrap(), removed, "{index}");
        assert_eq!(texts(&chats, "k").await, expected, "removed at {index}");
        let length = i64::try_from(expected.len()).unwrap();
        let place = if index < 0 { (length + index).max(0) } else { index.min(length) };
        expected.insert(usize::try_from(place).unwrap(), "a");
        chats.insert_at("k", index, user("a")).await.unwrap();
        assert_eq!(texts(&chats, "k").await, expected, "inserted at {index}");
    }
    for index in [i64::MIN, i64::MAX] {
        assert_eq!(chats.remove_at("k", index).await.unwrap(), None);
        chats.insert_at("k", index, user(if index < 0 { "front" } else { "back" })).await.unwrap();
    }
    let found = texts(&chats, "k").await;
    assert_eq!((found[0].as_str(), found[found.len() - 1].as_str()), ("front", "back"));
}

async fn what_can_not_be_read_is_named_and_stays(db: Db) {
    let chats = db.store.chat().unwrap();
    for bad in [
        r#"{"role":"king","blocks":[]}"#,
        r#"{"role":"user","blocks":[{"block_type":"smell"}]}"#,
        r#"["no object"]"#,
        "nodestore 00000000000000000000000000000000",
        "",
    ] {
        push(&db, "chat:k", said("good")).await;
        push(&db, "chat:k", bad).await;
        for error in [
            chats.messages("k", None).await.map(drop).unwrap_err(),
            chats.messages("k", Some(1)).await.map(drop).unwrap_err(),
            chats.pop("k").await.map(drop).unwrap_err(),
            chats.remove_at("k", 1).await.map(drop).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("k")), "{error}");
        }
        assert_eq!(stored(&db, "chat:k").await, [said("good"), bad.to_owned()]);
        // The others can be reached, and all of it removed.
        chats.append("k", vec![user("more")]).await.unwrap();
        assert_eq!(chats.messages("k", Some(1)).await.unwrap(), [user("more")]);
        assert_eq!(chats.remove_at("k", 0).await.unwrap(), Some(user("good")));
        assert!(chats.delete("k").await.unwrap());
    }
    push(&db, "chat:k", vec![0xff]).await;
    assert_eq!(chats.messages("k", None).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

async fn every_write_renews_the_time_to_live(db: Db) {
    let config = RedisConfig::new(db.url.clone()).with_namespace(db.name.clone());
    let lasting = RedisBackend::connect(config.with_chat_ttl(Duration::from_mins(10))).await.unwrap();
    let (chats, plain) = (lasting.chat().unwrap(), db.store.chat().unwrap());
    let left = async || db.keys().await.into_iter().map(|(_, left)| left).collect::<Vec<_>>();
    let renewed = async |what: &str| {
        let found = left().await;
        assert!(found.len() == 1 && (590_000..=600_000).contains(&found[0]), "{what}: {found:?} ms");
        let shorten = RedisCommand::write("PEXPIRE").key("chat:k").arg(100_000);
        db.store.command(shorten).await.unwrap();
    };
    chats.append("k", vec![user("a"), user("b"), user("c")]).await.unwrap();
    renewed("append").await;
    chats.insert_at("k", 1, user("d")).await.unwrap();
    renewed("insert_at").await;
    chats.remove_at("k", 1).await.unwrap();
    renewed("remove_at").await;
    chats.pop("k").await.unwrap();
    renewed("pop").await;
    chats.replace("k", vec![user("e"), user("f")]).await.unwrap();
    renewed("replace").await;
    // Reading, and a store without a time to live, leave it as it is.
    chats.messages("k", None).await.unwrap();
    chats.append("k", vec![]).await.unwrap();
    plain.append("k", vec![user("g")]).await.unwrap();
    plain.insert_at("k", 0, user("h")).await.unwrap();
    plain.pop("k").await.unwrap();
    assert!(left().await[0] <= 100_000);
    // A whole new history is its own, as in Python.
    plain.replace("k", vec![user("i")]).await.unwrap();
    assert_eq!(left().await, [-1]);
    chats.pop("k").await.unwrap();
    assert_eq!(db.keys().await, []);
}

async fn great_batches_stay_whole_and_in_order(db: Db) {
    let config = RedisConfig::new(db.url.clone()).with_namespace(db.name.clone());
    let lasting = RedisBackend::connect(config.with_chat_ttl(Duration::from_mins(10))).await.unwrap();
    let numbers = |from: usize| (from..from + 12_345).map(|n| n.to_string()).collect::<Vec<_>>();
    let messages = |from: usize| numbers(from).iter().map(|text| user(text)).collect::<Vec<_>>();
    for store in [&lasting, &db.store] {
        let chats = store.chat().unwrap();
        chats.append("k", messages(0)).await.unwrap();
        assert_eq!(texts(&chats, "k").await, numbers(0));
        chats.replace("k", messages(70_000)).await.unwrap();
        assert_eq!(texts(&chats, "k").await, numbers(70_000));
        chats.insert_at("k", 6_000, user("x")).await.unwrap();
        assert_eq!(chats.remove_at("k", -6_346).await.unwrap(), Some(user("x")));
        assert_eq!(texts(&chats, "k").await, numbers(70_000));
        assert!(chats.delete("k").await.unwrap());
    }
}

const HOSTILE: [&str; 16] = [
    "*",
    "?",
    "[a-z]",
    "\\*",
    "{}",
    "{",
    "}",
    "{a}b",
    "a}b",
    "\0",
    "a\0",
    "\r\n*1\r\n",
    "\"",
    "chat:",
    ":",
    "nodestore:x",
];

async fn hostile_sessions_are_names(db: Db) {
    let chats = db.store.chat().unwrap();
    let kv = db.store.kv().unwrap();
    kv.put("docs", "k", serde_json::Map::new()).await.unwrap();
    for session in HOSTILE {
        chats.append(session, vec![user(session), user("second")]).await.unwrap();
    }
    let mut sorted = HOSTILE.to_vec();
    sorted.sort_unstable();
    assert_eq!(keys(&chats).await, sorted);
    for session in HOSTILE {
        chats.replace(session, vec![user("new"), user(session)]).await.unwrap();
        chats.insert_at(session, 1, user("middle")).await.unwrap();
        assert_eq!(chats.remove_at(session, 0).await.unwrap(), Some(user("new")));
        assert_eq!(texts(&chats, session).await, ["middle", session]);
    }
    for (place, session) in sorted.iter().enumerate() {
        assert!(chats.delete(session).await.unwrap(), "{session:?}");
        assert_eq!(keys(&chats).await, sorted[place + 1..]);
    }
    assert_eq!(db.keys().await, [("docs".to_owned(), -1)]);
}

/// Every call on a session whose key holds something else.
async fn refusals(chats: &Arc<dyn ChatStore>, session: &str) -> Vec<store_core::Error> {
    vec![
        chats.messages(session, None).await.map(drop).unwrap_err(),
        chats.append(session, vec![user("a")]).await.unwrap_err(),
        chats.replace(session, vec![user("a")]).await.unwrap_err(),
        chats.replace(session, vec![]).await.unwrap_err(),
        chats.insert_at(session, 0, user("a")).await.unwrap_err(),
        chats.remove_at(session, 0).await.map(drop).unwrap_err(),
        chats.pop(session).await.map(drop).unwrap_err(),
        chats.delete(session).await.map(drop).unwrap_err(),
    ]
}

async fn a_key_of_another_role_is_refused_and_left(db: Db) {
    let store = bare(&db, "").await;
    let (kv, chats) = (store.kv().unwrap(), store.chat().unwrap());
    let value: serde_json::Map<String, Value> = serde_json::from_value(json!({"a": 1})).unwrap();
    for taken in [
        "docstore/doc",
        "docstore/ref_doc_info",
        "index_store/index",
        "my collection",
        "llama_index/vector_1",
    ] {
        kv.put(taken, "k", value.clone()).await.unwrap();
        for error in refusals(&chats, taken).await {
            assert_eq!((error.kind(), error.key()), (ErrorKind::InvalidInput, Some(taken)), "{error}");
            assert!(error.to_string().contains("choose another name"), "{error}");
        }
        assert_eq!(kv.get(taken, "k").await.unwrap().as_ref(), Some(&value));
    }
    // Nor is one made where another role, or we ourselves, would have it.
    kv.delete("docstore/doc", "k").await.unwrap();
    for free in ["docstore/doc", "nodestore:queue:jobs"] {
        assert!(refusals(&chats, free).await.iter().all(|error| error.kind() == ErrorKind::InvalidInput));
    }
    push(&db, "nodestore:queue:jobs", "a list of our own").await;
    chats.append("anna", vec![user("a")]).await.unwrap();
    assert_eq!(keys(&chats).await, ["anna"]);
    assert_eq!(stored(&db, "nodestore:queue:jobs").await, ["a list of our own"]);
    // In a namespace sessions have keys of their own.
    let apart = db.store.chat().unwrap();
    apart.append("my collection", vec![user("b")]).await.unwrap();
    assert_eq!(texts(&apart, "my collection").await, ["b"]);
    assert_eq!(kv.get("my collection", "k").await.unwrap(), Some(value));
}

async fn prefixes_keep_pythons_bare_sessions_apart(db: Db) {
    let prefixes = ["", "a", "ab", "*", "[ab]", "\\"];
    for prefix in prefixes {
        let chats = bare(&db, prefix).await.chat().unwrap();
        chats.append(&format!("-{prefix}-"), vec![user(prefix)]).await.unwrap();
    }
    for prefix in ["ab", "*", "[ab]", "\\"] {
        let chats = bare(&db, prefix).await.chat().unwrap();
        assert_eq!(keys(&chats).await, [format!("-{prefix}-")]);
    }
    // What begins with the text of a prefix belongs to it: `a` is the beginning of `ab`.
    let chats = bare(&db, "a").await.chat().unwrap();
    assert_eq!(keys(&chats).await, ["-a-", "b-ab-"]);
    assert!(!chats.delete("").await.is_ok_and(|deleted| deleted));
    assert!(chats.delete("-a-").await.unwrap());
    assert_eq!(keys(&bare(&db, "").await.chat().unwrap()).await.len(), 5);
}

async fn python_writing_at_once_loses_nothing(db: Db) {
    let chats = db.store.chat().unwrap();
    let python = async |task: usize| {
        for n in 0..50 {
            push(&db, "chat:k", said(&format!("python {task} {n:02}"))).await;
        }
    };
    let ours = async |task: usize| {
        for n in 0..50 {
            let text = format!("ours {task} {n:02}");
            match n % 3 {
                0 => chats.append("k", vec![user(&text)]).await.unwrap(),
                _ => chats.insert_at("k", i64::MAX, user(&text)).await.unwrap(),
            }
        }
    };
    tokio::join!(python(1), python(2), ours(1), ours(2));
    let found = texts(&chats, "k").await;
    assert_eq!(found.len(), 200);
    for writer in ["python 1", "python 2", "ours 1", "ours 2"] {
        let own: Vec<&String> = found.iter().filter(|text| text.starts_with(writer)).collect();
        assert_eq!(own.len(), 50, "{writer}");
        assert!(own.is_sorted(), "{writer}: {own:?}");
    }
}

async fn a_call_is_one_command_and_reads_what_it_needs(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let chats = db.through(&proxy.url()).await.chat().unwrap();
    let tool = |id: &str| {
        message(json!({"role": "tool", "additional_kwargs": {"tool_call_id": id}, "content": "42"}))
    };
    let call = |id: &str| {
        message(json!({"role": "assistant", "blocks": [
            {"block_type": "tool_call", "tool_call_id": id, "tool_name": "f", "tool_kwargs": {}}]}))
    };
    let mut history: Vec<ChatMessage> = (0..5_000).map(|n| user(&n.to_string())).collect();
    history.extend([call("t"), tool("t")]);
    chats.append("k", history).await.unwrap();
    assert_eq!(proxy.count("RPUSH"), 1);
    proxy.forget();
    // A tool's answer is not parted from its call.
    let window = ChatWindow::last_messages(2).read(&*chats, "k").await.unwrap();
    assert_eq!(window, [call("t"), tool("t")]);
    assert_eq!(ChatWindow::last_messages(1).read(&*chats, "k").await.unwrap(), []);
    // Never from the beginning.
    assert_eq!((proxy.count("LRANGE") <= 3, proxy.count("0")), (true, 0));
    // Once for the server to learn the scripts.
    for _ in 0..2 {
        proxy.forget();
        chats.insert_at("k", 2_500, user("x")).await.unwrap();
        assert_eq!(chats.remove_at("k", 2_500).await.unwrap(), Some(user("x")));
    }
    assert_eq!((proxy.count("LINDEX"), proxy.count("EVALSHA"), proxy.count("EVAL")), (1, 2, 0));
    assert!(proxy.bytes() < 2_000, "{} bytes", proxy.bytes());
}

async fn too_much_in_one_call_is_refused(db: Db) {
    let chats = db.store.chat().unwrap();
    let many = vec![ChatMessage::default(); 1_000_001];
    for error in
        [chats.append("k", many.clone()).await.unwrap_err(), chats.replace("k", many).await.unwrap_err()]
    {
        assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("k")));
        assert!(error.message().contains("1000001") && error.message().contains("1000000"), "{error}");
    }
    let error = chats.append(&"k".repeat((512 << 20) + 1), vec![user("a")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(db.keys().await, []);
}
