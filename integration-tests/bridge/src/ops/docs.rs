//! Documents.

use nodestore::{
    AddOptions, Cursor, DocQuery, Error, JsonObject, Node, NodeId, Order, RefDocId, RefDocInfo, Result,
};
use serde_json::{Value, json};

use super::filter::FILTER;
use super::nodes::{MODE, NODES, mode, nodes, or_null, report};
use super::{Call, Op};
use crate::answer::object;
use crate::args::{AFTER, Arg, LIMIT, TEXT, TEXTS, may, must};
use crate::page;

const IDS: Arg = must("ids", TEXTS);
const REF_DOC_ID: Arg = must("ref_doc_id", TEXT);

pub(crate) const OPS: &[Op] = &[
    Op {
        name: "docs.add",
        args: &[NODES, MODE, may("store_text", "a bool; false writes hash and ref doc but no node")],
        answer: r#"{"written":int,"skipped":int}"#,
        about: "Writes nodes, their hashes and their ref docs.",
        run: |call| Box::pin(add(call)),
    },
    Op {
        name: "docs.get_many",
        args: &[IDS],
        answer: "[node|null...]",
        about: "The nodes of ids, in their order.",
        run: |call| Box::pin(get_many(call)),
    },
    Op {
        name: "docs.delete_many",
        args: &[IDS],
        answer: "int",
        about: "Removes nodes; answers how many existed.",
        run: |call| Box::pin(delete_many(call)),
    },
    Op {
        name: "docs.ref_doc",
        args: &[REF_DOC_ID],
        answer: r#"{"node_ids":[text...],"metadata":object}|null"#,
        about: "What is known of a source document.",
        run: |call| Box::pin(ref_doc(call)),
    },
    Op {
        name: "docs.ref_docs",
        args: &[AFTER, LIMIT],
        answer: r#"{"items":[[id,info]...],"next":text|null}"#,
        about: "A page of the source documents.",
        run: |call| Box::pin(ref_docs(call)),
    },
    Op {
        name: "docs.delete_ref_doc",
        args: &[REF_DOC_ID],
        answer: r#"{"existed":bool,"nodes":int}"#,
        about: "Removes a source document with its nodes, and the document stored under its id.",
        run: |call| Box::pin(delete_ref_doc(call)),
    },
    Op {
        name: "docs.hashes",
        args: &[IDS],
        answer: "[text|null...]",
        about: "The content hashes of ids, in their order.",
        run: |call| Box::pin(hashes(call)),
    },
    Op {
        name: "docs.set_hashes",
        args: &[must("hashes", "an object: id to text")],
        answer: "null",
        about: "Sets content hashes, also of ids without a node.",
        run: |call| Box::pin(set_hashes(call)),
    },
    Op {
        name: "docs.all_hashes",
        args: &[AFTER, LIMIT],
        answer: r#"{"items":[[id,hash]...],"next":text|null}"#,
        about: "A page of the content hashes.",
        run: |call| Box::pin(all_hashes(call)),
    },
    Op {
        name: "docs.scan",
        args: &[AFTER, LIMIT],
        answer: r#"{"items":[node...],"next":text|null}"#,
        about: "A page of all nodes.",
        run: |call| Box::pin(scan(call)),
    },
    Op {
        name: "docs.find",
        args: &[
            may("filter", FILTER),
            may("sort", r#"a list of [key, "asc" or "desc"]"#),
            may("projection", "a list of texts: members of __data__, or paths metadata.a.b"),
            AFTER,
            LIMIT,
        ],
        answer: r#"{"items":[node...],"next":text|null}"#,
        about: "A page of the nodes whose metadata matches.",
        run: |call| Box::pin(find(call)),
    },
];

async fn add(mut call: Call) -> Result<Value> {
    let nodes = nodes(&mut call.args)?;
    let mut options = AddOptions::default();
    options.mode = mode(&mut call.args)?;
    options.store_text = call.args.may("store_text")?.unwrap_or(options.store_text);
    Ok(report(call.store()?.docs()?.add(nodes, options).await?))
}

async fn get_many(mut call: Call) -> Result<Value> {
    let ids: Vec<NodeId> = call.args.must("ids")?;
    let nodes = call.store()?.docs()?.get_many(&ids).await?;
    Ok(Value::Array(nodes.into_iter().map(or_null).collect()))
}

async fn delete_many(mut call: Call) -> Result<Value> {
    let ids: Vec<NodeId> = call.args.must("ids")?;
    Ok(call.store()?.docs()?.delete_many(&ids).await?.into())
}

async fn ref_doc(mut call: Call) -> Result<Value> {
    let id: RefDocId = call.args.must("ref_doc_id")?;
    Ok(call.store()?.docs()?.ref_doc(&id).await?.map_or(Value::Null, info))
}

async fn ref_docs(mut call: Call) -> Result<Value> {
    let after: Option<RefDocId> = call.args.may("after")?;
    let limit = call.args.limit()?;
    let all = call.store()?.docs()?.scan_ref_docs(after);
    let shape = |(id, known): (RefDocId, RefDocInfo)| {
        let id = id.into_string();
        (id.clone(), Value::Array(vec![id.into(), info(known)]))
    };
    page::of_stream(all, limit, shape).await
}

async fn delete_ref_doc(mut call: Call) -> Result<Value> {
    let id: RefDocId = call.args.must("ref_doc_id")?;
    let deleted = call.store()?.docs()?.delete_ref_doc(&id).await?;
    Ok(json!({"existed": deleted.is_some(), "nodes": deleted.unwrap_or_default().nodes}))
}

async fn hashes(mut call: Call) -> Result<Value> {
    let ids: Vec<NodeId> = call.args.must("ids")?;
    let hashes = call.store()?.docs()?.hashes(&ids).await?;
    Ok(Value::Array(hashes.into_iter().map(Value::from).collect()))
}

async fn set_hashes(mut call: Call) -> Result<Value> {
    let hashes: JsonObject = call.args.must("hashes")?;
    let hashes = hashes.into_iter().map(|(id, hash)| match hash {
        Value::String(hash) => Ok((NodeId::new(id), hash)),
        _ => Err(call.args.wrong("hashes", "the hash must be text").with_key(&id).with_failed([id])),
    });
    let hashes = hashes.collect::<Result<_>>()?;
    call.store()?.docs()?.set_hashes(hashes).await?;
    Ok(Value::Null)
}

async fn all_hashes(mut call: Call) -> Result<Value> {
    let after: Option<NodeId> = call.args.may("after")?;
    let limit = call.args.limit()?;
    let all = call.store()?.docs()?.scan_hashes(after);
    let shape = |(id, hash): (NodeId, String)| {
        let id = id.into_string();
        (id.clone(), Value::Array(vec![id.into(), hash.into()]))
    };
    page::of_stream(all, limit, shape).await
}

async fn scan(mut call: Call) -> Result<Value> {
    let after: Option<NodeId> = call.args.may("after")?;
    let limit = call.args.limit()?;
    let all = call.store()?.docs()?.scan(after);
    let shape = |node: Node| (node.id.as_str().to_owned(), Value::Object(node.to_json()));
    page::of_stream(all, limit, shape).await
}

async fn find(mut call: Call) -> Result<Value> {
    let mut query = DocQuery::new();
    query.filter = call.args.filter("filter")?;
    for (key, order) in call.args.may::<Vec<(String, String)>>("sort")?.unwrap_or_default() {
        let order = match order.as_str() {
            "asc" => Order::Ascending,
            "desc" => Order::Descending,
            _ => return Err(unknown_order(&order)),
        };
        query.sort.push((key, order));
    }
    query.projection = call.args.may("projection")?;
    query.limit = call.args.limit()?;
    query.after = call.args.may::<String>("after")?.map(Cursor::new);
    let page = call.store()?.docs()?.find(&query).await?;
    Ok(page::of_store(page, Value::Object))
}

fn unknown_order(order: &str) -> Error {
    Error::invalid_input(format!("the order {order:?} in \"sort\" is not known; known: asc, desc"))
}

fn info(known: RefDocInfo) -> Value {
    let ids = known.node_ids.into_iter().map(|id| Value::String(id.into_string())).collect();
    object([("node_ids", Value::Array(ids)), ("metadata", Value::Object(known.metadata))])
}
