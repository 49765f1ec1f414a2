//! Opening, describing, emptying and closing stores.

use nodestore::filter::OPERATORS;
use nodestore::{OpenOptions, QueryKindName, Result, open_with};
use serde_json::{Value, json};

use super::{Call, Op, offered};
use crate::args::must;

/// The version of the protocol.
const PROTOCOL: u32 = 1;

/// The kinds of query that the protocol has.
const QUERY_KINDS: [QueryKindName; 4] =
    [QueryKindName::Dense, QueryKindName::Text, QueryKindName::Hybrid, QueryKindName::Mmr];

pub(crate) const WITHOUT: &[Op] = &[
    Op {
        name: "ping",
        args: &[],
        answer: r#"{"protocol":1}"#,
        about: "Says that the bridge is there.",
        run: |_| Box::pin(async { Ok(json!({"protocol": PROTOCOL})) }),
    },
    Op {
        name: "open",
        args: &[
            must("url", "the URL of a store"),
            must("namespace", "a letter a-z, then a-z and 0-9, at most 32"),
        ],
        answer: r#"{"store":int}"#,
        about: "Opens a store. Namespaces keep data apart.",
        run: |call| Box::pin(open(call)),
    },
];

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "capabilities",
        args: &[],
        answer: r#"{"backend","shared","ops","query_kinds","ttl","filter":{"operators","may_refuse"}}"#,
        about: "What the store can do.",
        run: |call| Box::pin(async move { capabilities(&call) }),
    },
    Op {
        name: "drop",
        args: &[],
        answer: "null",
        about: "Removes all data of the namespace; the store stays open, empty and unconfigured.",
        run: |call| Box::pin(drop_all(call)),
    },
    Op {
        name: "close",
        args: &[],
        answer: "null",
        about: "Closes the store; its handle is unknown from then on.",
        run: |call| Box::pin(close(call)),
    },
];

async fn open(mut call: Call) -> Result<Value> {
    let url: String = call.args.must("url")?;
    let namespace: String = call.args.must("namespace")?;
    let store = open_with(&url, &OpenOptions::default().with_namespace(namespace)).await?;
    Ok(json!({"store": call.stores.add(store)}))
}

fn capabilities(call: &Call) -> Result<Value> {
    let store = call.store()?;
    let can = store.capabilities();
    let vectors = can.vectors.as_ref();
    let kinds: Vec<_> = vectors.into_iter().flat_map(|vectors| &vectors.query_kinds).collect();
    let kinds: Vec<_> = QUERY_KINDS.iter().filter(|kind| kinds.contains(kind)).collect();
    // Documents are found by filters, too.
    let operators: &[&str] = if can.docs || can.vectors.is_some() { OPERATORS } else { &[] };
    Ok(json!({
        "backend": store.name(),
        "shared": can.shared,
        "ops": offered(&can),
        "query_kinds": kinds,
        "ttl": can.kv.as_ref().is_some_and(|kv| kv.ttl),
        "filter": {
            "operators": operators,
            "may_refuse": vectors.is_some_and(|vectors| vectors.may_refuse_filters),
        },
    }))
}

async fn drop_all(call: Call) -> Result<Value> {
    call.store()?.drop_namespace().await?;
    Ok(Value::Null)
}

async fn close(call: Call) -> Result<Value> {
    call.stores.take(call.handle)?.close().await?;
    Ok(Value::Null)
}
