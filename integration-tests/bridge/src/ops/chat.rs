//! Chats.

use nodestore::{ChatMessage, Result};
use serde_json::{Number, Value};

use super::nodes::read_all;
use super::{Call, Op};
use crate::args::{AFTER, Arg, Args, COUNT, LIMIT, TEXT, may, must};
use crate::page;

const KEY: Arg = must("key", TEXT);
const INDEX: Arg = must("index", "an integer; negative counts from the end");
const MESSAGES: Arg = must("messages", r#"a list of messages {"role","additional_kwargs","blocks"}"#);

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "chat.append",
        args: &[KEY, MESSAGES],
        answer: "null",
        about: "Adds messages at the end.",
        run: |call| Box::pin(append(call)),
    },
    Op {
        name: "chat.messages",
        args: &[KEY, may("last", COUNT)],
        answer: "[message...]",
        about: "The history, oldest first, or only the newest of it.",
        run: |call| Box::pin(messages(call)),
    },
    Op {
        name: "chat.replace",
        args: &[KEY, MESSAGES],
        answer: "null",
        about: "Replaces the whole history, atomically.",
        run: |call| Box::pin(replace(call)),
    },
    Op {
        name: "chat.remove_at",
        args: &[KEY, INDEX],
        answer: "message|null",
        about: "Removes and answers a message.",
        run: |call| Box::pin(remove_at(call)),
    },
    Op {
        name: "chat.insert_at",
        args: &[KEY, INDEX, must("message", "a message")],
        answer: "null",
        about: "Inserts before the message there.",
        run: |call| Box::pin(insert_at(call)),
    },
    Op {
        name: "chat.pop",
        args: &[KEY],
        answer: "message|null",
        about: "Removes and answers the last message.",
        run: |call| Box::pin(pop(call)),
    },
    Op {
        name: "chat.delete",
        args: &[KEY],
        answer: "bool",
        about: "Removes the history; answers whether there was any message.",
        run: |call| Box::pin(delete(call)),
    },
    Op {
        name: "chat.keys",
        args: &[AFTER, LIMIT],
        answer: r#"{"items":[key...],"next":text|null}"#,
        about: "A page of the keys of all histories.",
        run: |call| Box::pin(keys(call)),
    },
];

async fn append(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let messages = read_messages(&mut call.args)?;
    call.store()?.chat()?.append(&key, messages).await?;
    Ok(Value::Null)
}

async fn messages(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let last: Option<usize> = call.args.may("last")?;
    let messages = call.store()?.chat()?.messages(&key, last).await?;
    Ok(Value::Array(messages.into_iter().map(|message| Value::Object(message.to_json())).collect()))
}

async fn replace(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let messages = read_messages(&mut call.args)?;
    call.store()?.chat()?.replace(&key, messages).await?;
    Ok(Value::Null)
}

async fn remove_at(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let index = index(&mut call.args)?;
    Ok(or_null(call.store()?.chat()?.remove_at(&key, index).await?))
}

async fn insert_at(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    let index = index(&mut call.args)?;
    let message = ChatMessage::from_json(call.args.must("message")?)?;
    call.store()?.chat()?.insert_at(&key, index, message).await?;
    Ok(Value::Null)
}

async fn pop(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    Ok(or_null(call.store()?.chat()?.pop(&key).await?))
}

async fn delete(mut call: Call) -> Result<Value> {
    let key: String = call.args.must("key")?;
    Ok(call.store()?.chat()?.delete(&key).await?.into())
}

async fn keys(mut call: Call) -> Result<Value> {
    let after: Option<String> = call.args.may("after")?;
    let limit = call.args.limit()?;
    let all = call.store()?.chat()?.keys(after);
    page::of_stream(all, limit, |key: String| (key.clone(), Value::String(key))).await
}

fn read_messages(args: &mut Args) -> Result<Vec<ChatMessage>> {
    read_all("messages", args.must("messages")?, ChatMessage::from_json)
}

/// No history is as long as the greatest index: one beyond it stands for it.
fn index(args: &mut Args) -> Result<i64> {
    let index: Number = args.must("index")?;
    let beyond = index.is_u64().then_some(i64::MAX);
    index.as_i64().or(beyond).ok_or_else(|| args.wrong("index", "it has a fraction"))
}

fn or_null(message: Option<ChatMessage>) -> Value {
    message.map_or(Value::Null, |message| Value::Object(message.to_json()))
}
