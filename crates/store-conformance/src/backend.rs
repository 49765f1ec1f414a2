//! Namespaces, handles, capabilities and errors: bridge section 2, design sections 4 and 5.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use store_core::{
    AddMode, AddOptions, Backend, ChatMessage, Cursor, Diagnosis, DocQuery, ErrorKind, GetOptions,
    IndexStruct, KvStoreExt, MetadataPatch, Metric, Node, PutOptions, QueryKind, QueryKindName, Result,
    ScanOptions, Selector, VectorConfig, VectorQuery, VectorStoreExt,
};

use crate::case::{Case, Need, cases};
use crate::check::{CaseResult, Failure, describe, holds, invalid, refused, same};
use crate::data::{all, numbered, object};
use crate::harness::Env;
use crate::run::in_tasks;
use crate::vectors::{configure, put, vector};

pub(crate) const SUITES: &[&[Case]] = &[CASES];

cases! { "backend", Env:
    name_and_ping,
    diagnosis_looks_only,
    roles_are_offered_as_declared,
    capabilities_stay,
    query_kinds_are_offered_as_declared [Need::Vectors],
    metrics_are_offered_as_declared [Need::Vectors],
    fields_are_offered_as_declared [Need::Vectors],
    ttl_is_offered_as_declared [Need::Kv],
    namespaces_never_meet,
    bad_namespaces_are_refused [Need::Durable],
    second_handle_sees_everything,
    data_outlives_the_last_handle [Need::Durable],
    closed_handle_is_unavailable [Need::Durable],
    drop_removes_everything,
    drop_leaves_other_namespaces,
    first_use_by_many_at_once,
    errors_name_backend_operation_and_kind,
}

/// Leaves a mark in every role.
async fn write_mark(backend: &dyn Backend, mark: &str) -> CaseResult {
    let offers = backend.capabilities();
    if offers.kv.is_some() {
        backend.kv()?.put("marks", "mark", object(json!({"mark": mark}))).await?;
    }
    if offers.docs {
        let node = Node::text(mark).with_id("mark").with_source("marks");
        backend.docs()?.add(vec![node], AddOptions::default()).await?;
    }
    if offers.index {
        let data = object(json!({"index_id": "mark", "summary": mark, "nodes": []}));
        backend.index()?.put(IndexStruct::new("list", data)?).await?;
    }
    if offers.chat {
        backend.chat()?.replace("mark", vec![ChatMessage::user(mark)]).await?;
    }
    if offers.vectors.is_some() {
        let vectors = backend.vectors()?;
        configure(&*vectors, 2).await?;
        put(&*vectors, vec![vector("mark", &[1.0, 0.0]).with_metadata("mark", mark)]).await?;
    }
    Ok(())
}

/// Holds every role against the mark that it should have, and against having nothing else.
async fn expect_mark(what: &str, backend: &dyn Backend, mark: Option<&str>) -> CaseResult {
    let offers = backend.capabilities();
    if offers.kv.is_some() {
        let expected: Vec<_> =
            mark.iter().map(|mark| ("mark".to_owned(), object(json!({"mark": mark})))).collect();
        let found = all(backend.kv()?.scan("marks", ScanOptions::default())).await?;
        same(format!("{what}: kv"), &found, &expected)?;
    }
    if offers.docs {
        let found: Vec<String> = all(backend.docs()?.scan(None))
            .await?
            .iter()
            .map(|node| node.text_content().to_owned())
            .collect();
        same(format!("{what}: docs"), &found, &mark.as_slice())?;
        let ref_docs = all(backend.docs()?.scan_ref_docs(None)).await?.len();
        same(format!("{what}: ref docs"), &ref_docs, &usize::from(mark.is_some()))?;
        let hashes = all(backend.docs()?.scan_hashes(None)).await?.len();
        same(format!("{what}: hashes"), &hashes, &usize::from(mark.is_some()))?;
    }
    if offers.index {
        let structs = all(backend.index()?.scan(None)).await?;
        let found: Vec<&str> = structs.iter().filter_map(IndexStruct::summary).collect();
        same(format!("{what}: index"), &found, &mark.as_slice())?;
    }
    if offers.chat {
        let found: Vec<String> =
            backend.chat()?.messages("mark", None).await?.iter().filter_map(ChatMessage::text).collect();
        same(format!("{what}: chat"), &found, &mark.as_slice())?;
        same(
            format!("{what}: chat keys"),
            &all(backend.chat()?.keys(None)).await?.len(),
            &usize::from(mark.is_some()),
        )?;
    }
    if offers.vectors.is_some() {
        let vectors = backend.vectors()?;
        if mark.is_none() && vectors.config().await?.is_none() {
            return Ok(());
        }
        let found = vectors.get(&Selector::all(), GetOptions::default()).await?.items;
        let found: Vec<_> = found.iter().filter_map(|node| node.metadata.get("mark").cloned()).collect();
        same(format!("{what}: vectors"), &found, &mark.as_slice())?;
    }
    Ok(())
}

/// The name is short lower-case text, and a ping answers.
async fn name_and_ping(env: &Env) -> CaseResult {
    let name = env.backend().name();
    let plain =
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    holds(plain, format!("the name {name:?} is not plain"))?;
    Ok(env.backend().ping().await?)
}

/// A diagnosis answers on a fresh store and on a filled one, changes nothing, and every finding says what it is
/// about, what was found and what to do.
async fn diagnosis_looks_only(env: &Env) -> CaseResult {
    complete(&env.backend().diagnose().await?)?;
    expect_mark("after the diagnosis of a fresh store", &**env.backend(), None).await?;
    if env.backend().capabilities().vectors.is_some() {
        same("configured by looking", &env.vectors()?.config().await?.is_some(), &false)?;
    }
    write_mark(&**env.backend(), "x").await?;
    let again = env.again().await?;
    for backend in [&**env.backend(), &*again] {
        complete(&backend.diagnose().await?)?;
    }
    expect_mark("after the diagnosis", &**env.backend(), Some("x")).await?;
    write_mark(&*again, "y").await?;
    expect_mark("after a later write", &**env.backend(), Some("y")).await
}

fn complete(diagnosis: &Diagnosis) -> CaseResult {
    for fact in &diagnosis.facts {
        holds(!fact.name.is_empty(), format!("{fact:?} has no name"))?;
    }
    for finding in &diagnosis.findings {
        let texts = [&finding.subject, &finding.message, &finding.advice];
        holds(texts.iter().all(|text| !text.trim().is_empty()), format!("{finding:?} leaves something out"))?;
    }
    Ok(())
}

/// A role that is declared is there; one that is not answers `Unsupported`, naming backend and operation.
async fn roles_are_offered_as_declared(env: &Env) -> CaseResult {
    let backend = env.backend();
    let offers = backend.capabilities();
    let roles: [(&str, bool, Result<()>); 5] = [
        ("kv", offers.kv.is_some(), backend.kv().map(drop)),
        ("docs", offers.docs, backend.docs().map(drop)),
        ("index", offers.index, backend.index().map(drop)),
        ("chat", offers.chat, backend.chat().map(drop)),
        ("vectors", offers.vectors.is_some(), backend.vectors().map(drop)),
    ];
    for (role, offered, answer) in roles {
        if offered {
            answer?;
        } else {
            let error = refused(role, answer, &[ErrorKind::Unsupported])?;
            holds(
                error.backend() == Some(backend.name()),
                format!("{role}: {} names no backend", describe(&error)),
            )?;
            holds(error.operation().is_some(), format!("{role}: {} names no operation", describe(&error)))?;
        }
    }
    if let (Some(declared), true) = (&offers.kv, offers.kv.is_some()) {
        let real = backend.kv()?.capabilities();
        holds(&real == declared, format!("the backend declares {declared:?}, the store {real:?}"))?;
    }
    if let Some(declared) = &offers.vectors {
        let real = backend.vectors()?.capabilities();
        holds(&real == declared, format!("the backend declares {declared:?}, the store {real:?}"))?;
    }
    Ok(())
}

/// Capabilities are the same at any time and through any handle.
async fn capabilities_stay(env: &Env) -> CaseResult {
    let first = env.backend().capabilities();
    write_mark(&**env.backend(), "x").await?;
    holds(env.backend().capabilities() == first, "the capabilities changed with the data")?;
    holds(env.again().await?.capabilities() == first, "another handle has other capabilities")
}

/// A kind of query that is declared is answered; another is `Unsupported`.
async fn query_kinds_are_offered_as_declared(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    configure(&*store, 2).await?;
    put(&*store, vec![vector("a", &[1.0, 0.0])]).await?;
    let at = || vec![1.0, 0.0];
    let queries = [
        VectorQuery::dense(at(), 1),
        VectorQuery::text("text", 1),
        VectorQuery::hybrid(at(), "text", 1),
        VectorQuery::mmr(at(), 1),
        VectorQuery::new(QueryKind::Range { embedding: at(), radius: 0.0 }, 1),
    ];
    for query in queries {
        let kind: QueryKindName = query.kind.name();
        let answer = store.query(&query).await;
        if store.capabilities().query_kinds.contains(&kind) {
            same(format!("{kind:?}"), &crate::vectors::found_ids(&answer?), &["a"])?;
            store.explain(&query).await?;
        } else {
            refused(format!("{kind:?}"), answer, &[ErrorKind::Unsupported])?;
            refused(format!("explain of {kind:?}"), store.explain(&query).await, &[ErrorKind::Unsupported])?;
        }
    }
    Ok(())
}

/// A metric that is declared can be configured; another is refused.
async fn metrics_are_offered_as_declared(env: &Env) -> CaseResult {
    for (metric, suffix) in [(Metric::Cosine, "c"), (Metric::Dot, "d"), (Metric::Euclidean, "e")] {
        let backend = env.neighbour(suffix).await?;
        let store = backend.vectors()?;
        let answer = store.configure(VectorConfig::new(2, metric)).await;
        if store.capabilities().metrics.contains(&metric) {
            answer?;
        } else {
            let kinds = [ErrorKind::Unsupported, ErrorKind::Config, ErrorKind::InvalidInput];
            refused(metric.as_str(), answer, &kinds)?;
        }
    }
    Ok(())
}

/// `fields()` answers exactly when it is declared.
async fn fields_are_offered_as_declared(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    same("fields()", &store.fields().is_some(), &store.capabilities().fields)
}

/// A time to live is kept, or refused as `Unsupported` before anything is written.
async fn ttl_is_offered_as_declared(env: &Env) -> CaseResult {
    let store = env.kv()?;
    let options = PutOptions::default().with_ttl(Duration::from_hours(1));
    let answer = store.put_many("c", vec![("a".to_owned(), numbered(1))], options).await;
    if store.capabilities().ttl {
        return Ok(answer?);
    }
    refused("a put with a time to live", answer, &[ErrorKind::Unsupported])?;
    same("what was written", &store.get("c", "a").await?, &None::<store_core::JsonObject>)
}

/// Two namespaces share nothing, in any role, also when the name of one begins with the other's.
async fn namespaces_never_meet(env: &Env) -> CaseResult {
    let (longer, other) = (env.neighbour("x").await?, env.neighbour("0").await?);
    write_mark(&**env.backend(), "mine").await?;
    expect_mark("the longer name, before its first write", &*longer, None).await?;
    write_mark(&*longer, "longer").await?;
    expect_mark("the shorter name", &**env.backend(), Some("mine")).await?;
    expect_mark("the longer name", &*longer, Some("longer")).await?;
    expect_mark("another longer name", &*other, None).await
}

/// A namespace becomes part of names of files, tables and keys: text that is no plain name is `InvalidInput`.
/// (`nodestore::open` takes `[a-z][a-z0-9]{0,31}` only; a backend may take more of plain names.)
async fn bad_namespaces_are_refused(env: &Env) -> CaseResult {
    let long = "a".repeat(200);
    for name in
        ["", "A", "aB", "1a", "a.b", "a/b", "../a", "a b", "é", "a\0", "a\n", "*", "a:b", "{a}", &long]
    {
        invalid(format!("namespace {name:?}"), env.harness.open(name).await)?;
    }
    Ok(())
}

/// The same namespace opened again sees the same data, both ways, while both handles are in use.
async fn second_handle_sees_everything(env: &Env) -> CaseResult {
    write_mark(&**env.backend(), "first").await?;
    let again = env.again().await?;
    expect_mark("the second handle", &*again, Some("first")).await?;
    write_mark(&*again, "second").await?;
    expect_mark("the first handle", &**env.backend(), Some("second")).await?;
    if env.backend().capabilities().vectors.is_some() {
        let (mine, theirs) = (env.vectors()?.config().await?, again.vectors()?.config().await?);
        holds(
            mine.is_some() && mine == theirs,
            format!("one handle is configured {mine:?}, the other {theirs:?}"),
        )?;
    }
    Ok(())
}

/// Closed and opened again, everything acknowledged is there, the vector configuration too.
async fn data_outlives_the_last_handle(env: &Env) -> CaseResult {
    write_mark(&**env.backend(), "kept").await?;
    env.backend().close().await?;
    let again = env.again().await?;
    expect_mark("after closing and opening", &*again, Some("kept")).await?;
    if again.capabilities().vectors.is_some() {
        let found = again.vectors()?.query(&VectorQuery::dense(vec![1.0, 0.0], 5)).await?;
        same("found by vector", &crate::vectors::found_ids(&found), &["mark"])?;
    }
    write_mark(&*again, "newer").await?;
    again.close().await?;
    expect_mark("after the second time", &*env.again().await?, Some("newer")).await
}

/// After `close` calls are `Unavailable`, on roles taken before as well; other handles go on. Closing again is
/// fine.
async fn closed_handle_is_unavailable(env: &Env) -> CaseResult {
    let closed = env.again().await?;
    write_mark(&*closed, "x").await?;
    let offers = closed.capabilities();
    let kv = offers.kv.is_some().then(|| closed.kv()).transpose()?;
    let docs = offers.docs.then(|| closed.docs()).transpose()?;
    let chat = offers.chat.then(|| closed.chat()).transpose()?;
    let vectors = offers.vectors.is_some().then(|| closed.vectors()).transpose()?;
    closed.close().await?;
    closed.close().await?;
    let gone = &[ErrorKind::Unavailable];
    refused("ping", closed.ping().await, gone)?;
    refused("diagnose", closed.diagnose().await, gone)?;
    if let Some(kv) = kv {
        refused("kv.get_many", kv.get_many("marks", &["mark"]).await, gone)?;
        refused("kv.put_many", kv.put("marks", "mark", numbered(1)).await, gone)?;
    }
    if let Some(docs) = docs {
        refused("docs.get_many", docs.get_many(&["mark".into()]).await, gone)?;
    }
    if let Some(chat) = chat {
        refused("chat.append", chat.append("mark", vec![ChatMessage::user("y")]).await, gone)?;
    }
    if let Some(vectors) = vectors {
        refused("vectors.count", vectors.count(&Selector::all()).await, gone)?;
    }
    expect_mark("the other handle", &**env.backend(), Some("x")).await
}

/// Dropping removes all data of the namespace and the vector configuration; the handle stays usable.
async fn drop_removes_everything(env: &Env) -> CaseResult {
    env.backend().drop_namespace().await?;
    for mark in ["first", "second"] {
        write_mark(&**env.backend(), mark).await?;
        let other = env.again().await?;
        expect_mark("another handle before the drop", &*other, Some(mark)).await?;
        env.backend().drop_namespace().await?;
        expect_mark("after the drop", &**env.backend(), None).await?;
        expect_mark("another handle after the drop", &*other, None).await?;
        if env.backend().capabilities().vectors.is_some() {
            let store = env.vectors()?;
            same("configured", &store.config().await?.is_some(), &false)?;
            refused("count", store.count(&Selector::all()).await, &[ErrorKind::Config])?;
            // Another shape may come now.
            let metric = store.capabilities().metrics.first().copied().unwrap_or_default();
            store.configure(VectorConfig::new(5, metric)).await?;
            env.backend().drop_namespace().await?;
        }
    }
    write_mark(&**env.backend(), "third").await?;
    expect_mark("another handle", &*env.again().await?, Some("third")).await
}

/// A drop touches no other namespace, however alike the names.
async fn drop_leaves_other_namespaces(env: &Env) -> CaseResult {
    let longer = env.neighbour("x").await?;
    write_mark(&**env.backend(), "mine").await?;
    write_mark(&*longer, "longer").await?;
    env.backend().drop_namespace().await?;
    expect_mark("the dropped one", &**env.backend(), None).await?;
    expect_mark("the longer name", &*longer, Some("longer")).await?;
    write_mark(&**env.backend(), "again").await?;
    longer.drop_namespace().await?;
    expect_mark("the shorter name", &**env.backend(), Some("again")).await
}

/// What a role needs is created at its first use, also when eight handles use it at the same moment.
async fn first_use_by_many_at_once(env: &Env) -> CaseResult {
    let mut handles = vec![Arc::clone(env.backend())];
    for _ in 1..8 {
        handles.push(env.again().await?);
    }
    in_tasks(8, |task| {
        let handle = handles.get(task).cloned();
        async move {
            let handle = handle.ok_or_else(|| Failure::new("no handle"))?;
            write_mark(&*handle, "the same").await
        }
    })
    .await?;
    expect_mark("after all", &**env.backend(), Some("the same")).await
}

type Refusals = Vec<(&'static str, &'static str, Result<()>)>;

async fn kv_refusals(backend: &dyn Backend) -> Result<Refusals> {
    let kv = backend.kv()?;
    let twice = vec![("a".to_owned(), numbered(1)), ("a".to_owned(), numbered(2))];
    let insert = PutOptions::default().with_mode(store_core::PutMode::Insert);
    let scan = futures::TryStreamExt::try_collect::<Vec<_>>(kv.scan("", ScanOptions::default()));
    let keep = &mut |_: &str, _: Option<&store_core::JsonObject>| Ok(store_core::Update::Keep);
    Ok(vec![
        ("an empty key", "kv.get", kv.get_many("c", &[""]).await.map(drop)),
        ("an empty key", "kv.put", kv.put("c", "", numbered(1)).await),
        ("a key twice", "kv.put", kv.put_many("c", twice, insert).await),
        ("an empty key", "kv.delete", kv.delete_many("c", &[""]).await.map(drop)),
        ("an empty key", "kv.update", kv.update_many("c", &[""], keep).await.map(drop)),
        ("an empty collection", "kv.scan", scan.await.map(drop)),
    ])
}

async fn docs_refusals(backend: &dyn Backend) -> Result<Refusals> {
    let docs = backend.docs()?;
    let nameless = vec![Node::text("x").with_id("")];
    let zero = DocQuery::new().with_limit(0);
    Ok(vec![
        ("an empty id", "docs.add", docs.add(nameless, AddOptions::default()).await.map(drop)),
        ("an empty id", "docs.get", docs.get_many(&["".into()]).await.map(drop)),
        ("an empty id", "docs.delete", docs.delete_many(&["".into()]).await.map(drop)),
        ("a limit of 0", "docs.find", docs.find(&zero).await.map(drop)),
        ("an empty id", "docs.ref_doc", docs.ref_doc(&"".into()).await.map(drop)),
        ("an empty id", "docs.delete_ref_doc", docs.delete_ref_doc(&"".into()).await.map(drop)),
        ("an empty id", "docs.hashes", docs.hashes(&["".into()]).await.map(drop)),
        ("an empty id", "docs.set_hashes", docs.set_hashes(vec![("".into(), "h".to_owned())]).await),
    ])
}

async fn index_and_chat_refusals(backend: &dyn Backend) -> Result<Refusals> {
    let mut refusals = Vec::new();
    if backend.capabilities().index {
        let index = backend.index()?;
        refusals.push(("an empty id", "index.get", index.get("").await.map(drop)));
        refusals.push(("an empty id", "index.delete", index.delete("").await.map(drop)));
    }
    if backend.capabilities().chat {
        let chat = backend.chat()?;
        let message = || ChatMessage::user("x");
        refusals.extend([
            ("an empty key", "chat.messages", chat.messages("", None).await.map(drop)),
            ("an empty key", "chat.append", chat.append("", vec![message()]).await),
            ("an empty key", "chat.replace", chat.replace("", vec![message()]).await),
            ("an empty key", "chat.delete", chat.delete("").await.map(drop)),
            ("an empty key", "chat.remove_at", chat.remove_at("", 0).await.map(drop)),
            ("an empty key", "chat.insert_at", chat.insert_at("", 0, message()).await),
            ("an empty key", "chat.pop", chat.pop("").await.map(drop)),
        ]);
    }
    Ok(refusals)
}

async fn vector_refusals(backend: &dyn Backend) -> Result<Refusals> {
    let vectors = backend.vectors()?;
    let metric = vectors.capabilities().metrics.first().copied().unwrap_or_default();
    vectors.configure(VectorConfig::new(2, metric)).await?;
    let long = || vec![1.0, 0.0, 0.0];
    let bad = vec![vector("a", &long())];
    let all = Selector::all();
    let broken = GetOptions::default().with_after(Cursor::new("no cursor"));
    let both = MetadataPatch::new().with_set("x", 1).with_unset("x");
    Ok(vec![
        ("3 dimensions", "vectors.upsert", vectors.upsert(bad, AddMode::Overwrite).await.map(drop)),
        ("3 dimensions", "vectors.query", vectors.query(&VectorQuery::dense(long(), 1)).await.map(drop)),
        ("3 dimensions", "vectors.explain", vectors.explain(&VectorQuery::dense(long(), 1)).await.map(drop)),
        ("a broken cursor", "vectors.get", vectors.get(&all, broken).await.map(drop)),
        ("everything", "vectors.update", vectors.update(&all, &MetadataPatch::new()).await.map(drop)),
        (
            "a key set and unset",
            "vectors.update",
            vectors.update(&Selector::ids(["a"]), &both).await.map(drop),
        ),
        ("everything", "vectors.delete", vectors.delete(&all).await.map(drop)),
        ("an empty id", "vectors.count", vectors.count(&Selector::ids([""])).await.map(drop)),
    ])
}

/// Every refusal is `InvalidInput`, not worth a retry, says what is wrong, and names backend and operation
/// (`kv.get` stands for `kv.get_many` too).
async fn errors_name_backend_operation_and_kind(env: &Env) -> CaseResult {
    let backend = &**env.backend();
    let offers = backend.capabilities();
    let mut refusals = index_and_chat_refusals(backend).await?;
    if offers.kv.is_some() {
        refusals.extend(kv_refusals(backend).await?);
    }
    if offers.docs {
        refusals.extend(docs_refusals(backend).await?);
    }
    if offers.vectors.is_some() {
        refusals.extend(vector_refusals(backend).await?);
    }
    for (what, operation, answer) in refusals {
        let error = invalid(format!("{operation} with {what}"), answer)?;
        let text = describe(&error);
        holds(
            error.backend() == Some(backend.name()),
            format!("{operation} with {what}: no backend in {text}"),
        )?;
        let named = error.operation().is_some_and(|name| name.starts_with(operation));
        holds(named, format!("{operation} with {what}: operation {:?} in {text}", error.operation()))?;
        holds(!error.is_retryable(), format!("{text} claims that a retry helps"))?;
        holds(!error.message().is_empty(), format!("{operation} with {what}: no message"))?;
    }
    Ok(())
}
