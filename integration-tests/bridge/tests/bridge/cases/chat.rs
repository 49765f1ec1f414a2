//! Chats.

use serde_json::{Value, json};

use super::{Case, sorted};
use crate::CaseResult;
use crate::store::{Store, same};

pub(super) const CASES: &[Case] = &[
    Case { name: "chat::messages_come_back_equal", run: messages_come_back_equal },
    Case { name: "chat::places_count_from_both_ends", run: places_count_from_both_ends },
    Case { name: "chat::writers_at_the_same_time_lose_nothing", run: writers_at_the_same_time_lose_nothing },
    Case { name: "chat::keys_have_pages", run: keys_have_pages },
];

fn say(text: &str) -> Value {
    json!({"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": text}]})
}

/// The texts of messages, joined.
fn texts(messages: &Value) -> String {
    let text = |message: &Value| message.pointer("/blocks/0/text").and_then(Value::as_str).map(str::to_owned);
    messages.as_array().into_iter().flatten().filter_map(text).collect()
}

fn messages_come_back_equal(store: &Store) -> CaseResult {
    let key = json!({"key": "equal"});
    store.is("chat.messages", key.clone(), json!([]))?;
    let full = json!({
        "role": "assistant",
        "additional_kwargs": {"z": 1, "a": 1.0, "l": [null]},
        "blocks": [{"block_type": "text", "text": "é\u{0}"}, {"block_type": "text", "text": ""}],
    });
    let older = json!({"role": "user", "content": "o"});
    store.is("chat.append", json!({"key": "equal", "messages": [full, older]}), Value::Null)?;
    store.is("chat.messages", key.clone(), json!([full, say("o")]))?;
    store.is("chat.messages", json!({"key": "equal", "last": 1}), json!([say("o")]))?;
    store.is("chat.messages", json!({"key": "equal", "last": 0}), json!([]))?;
    store.is("chat.pop", key.clone(), say("o"))?;
    store.is("chat.replace", json!({"key": "equal", "messages": [say("a")]}), Value::Null)?;
    store.is("chat.messages", key.clone(), json!([say("a")]))?;
    store.is("chat.delete", key.clone(), json!(true))?;
    store.is("chat.delete", key.clone(), json!(false))?;
    store.is("chat.pop", key.clone(), Value::Null)?;
    // A bad message refuses the whole call.
    let bad = json!({"key": "equal", "messages": [say("a"), {"role": "nobody", "blocks": []}]});
    let message = store.refused("chat.append", bad.clone(), "invalid_input", &[])?;
    same("the place", &json!(message.starts_with("messages[1]: ")), &json!(true))?;
    store.refused("chat.replace", bad, "invalid_input", &[])?;
    store.is("chat.messages", key, json!([]))
}

fn places_count_from_both_ends(store: &Store) -> CaseResult {
    let all = json!({"key": "place"});
    let messages: Vec<_> = ["b", "c", "d"].map(say).into();
    store.ok("chat.replace", json!({"key": "place", "messages": messages}))?;
    for (index, text, now) in [
        (json!(0), "a", "abcd"),
        (json!(-1), "x", "abcxd"),
        (json!(-99), "y", "yabcxd"),
        (json!(u64::MAX), "z", "yabcxdz"),
    ] {
        store.is(
            "chat.insert_at",
            json!({"key": "place", "index": index, "message": say(text)}),
            Value::Null,
        )?;
        same(now, &json!(texts(&store.ok("chat.messages", all.clone())?)), &json!(now))?;
    }
    let at = |index: Value| json!({"key": "place", "index": index});
    store.is("chat.remove_at", at(json!(-1)), say("z"))?;
    store.is("chat.remove_at", at(json!(0)), say("y"))?;
    for outside in [json!(5), json!(-6), json!(u64::MAX), json!(i64::MIN)] {
        store.is("chat.remove_at", at(outside), Value::Null)?;
    }
    store.refused("chat.remove_at", at(json!(0.0)), "invalid_input", &[])?;
    same("the rest", &json!(texts(&store.ok("chat.messages", all)?)), &json!("abcxd"))
}

fn writers_at_the_same_time_lose_nothing(store: &Store) -> CaseResult {
    let append = |n: u32| json!({"key": "many", "messages": [say(&format!("{n:02}."))]});
    let pending: Vec<_> =
        (0..12).map(|n| store.send("chat.append", &append(n))).collect::<CaseResult<_>>()?;
    for one in pending {
        one.wait()?.map_err(|error| error.to_string())?;
    }
    let found = texts(&store.ok("chat.messages", json!({"key": "many"}))?);
    let mut found: Vec<&str> = found.split_inclusive('.').collect();
    found.sort_unstable();
    same("the messages", &json!(found), &json!((0..12).map(|n| format!("{n:02}.")).collect::<Vec<_>>()))
}

fn keys_have_pages(store: &Store) -> CaseResult {
    let keys: Vec<_> = (1..=5).map(|n| json!(format!("page é{n}"))).collect();
    for key in &keys {
        store.ok("chat.append", json!({"key": key, "messages": [say("a")]}))?;
    }
    let mut found = store.pages("chat.keys", json!({}))?;
    found.retain(|key| key.as_str().is_some_and(|key| key.starts_with("page ")));
    same("all keys", &sorted(found), &sorted(keys))
}
