//! Named vector sets beside the default one.

use std::sync::Arc;

use store_core::{
    Backend, ErrorKind, GetOptions, Metric, Selector, VectorConfig, VectorQuery, VectorStore, VectorStoreExt,
};

use super::{configure, found_ids, put, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, invalid, refused, same};
use crate::harness::Env;
use crate::run::in_tasks;

cases! { "vectors", Env:
    sets_share_nothing [Need::Vectors],
    sets_are_seen_by_other_handles [Need::Vectors],
    sets_outlive_the_last_handle [Need::Vectors, Need::Durable],
    sets_of_a_closed_handle_are_unavailable [Need::Vectors, Need::Durable],
    sets_are_listed_once_configured [Need::Vectors],
    set_names_are_plain_names [Need::Vectors],
    sets_are_dropped_one_by_one [Need::Vectors],
    sets_are_searched_as_last_configured [Need::Vectors],
    sets_go_with_the_namespace [Need::Vectors],
    sets_are_first_used_by_many_at_once [Need::Vectors],
}

/// Configures a set and puts one node in it.
async fn mark(store: &dyn VectorStore, text: &str, dimensions: usize) -> CaseResult {
    configure(store, dimensions).await?;
    put(store, vec![vector("n", &vec![1.0; dimensions]).with_metadata("mark", text)]).await
}

/// Holds a set against the one node that it should have.
async fn expect(store: &dyn VectorStore, text: &str, dimensions: usize) -> CaseResult {
    let nodes = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?.items;
    let found: Vec<_> = nodes.iter().map(|node| node.metadata.get("mark").cloned()).collect();
    same(format!("the nodes of {text}"), &found, &[Some(serde_json::Value::from(text))])?;
    let lengths: Vec<_> = nodes.iter().map(|node| node.embedding_f32().map(|vector| vector.len())).collect();
    same(format!("the dimensions of {text}"), &lengths, &[Some(dimensions)])?;
    let hits = store.query(&VectorQuery::dense(vec![1.0; dimensions], 5)).await?;
    same(format!("found in {text}"), &found_ids(&hits), &["n"])
}

async fn expect_unconfigured(what: &str, store: &dyn VectorStore) -> CaseResult {
    same(format!("{what}: configured"), &store.config().await?.is_some(), &false)?;
    refused(what, store.count(&Selector::all()).await, &[ErrorKind::Config])?;
    Ok(())
}

/// A set has its own configuration and nodes, also when its name begins with another's.
async fn sets_share_nothing(env: &Env) -> CaseResult {
    let sets = [env.vectors()?, env.backend().vector_set("a")?, env.backend().vector_set("ab")?];
    let marks = [("default", 2), ("a", 3), ("ab", 4)];
    for (set, (text, dimensions)) in sets.iter().zip(marks) {
        expect_unconfigured(text, &**set).await?;
        mark(&**set, text, dimensions).await?;
    }
    for (set, (text, dimensions)) in sets.iter().zip(marks) {
        expect(&**set, text, dimensions).await?;
    }
    let [default, a, ab] = sets;
    a.clear().await?;
    same("count after clear", &a.count(&Selector::all()).await?, &0_usize)?;
    expect(&*default, "default", 2).await?;
    expect(&*ab, "ab", 4).await
}

/// Another handle on the namespace, or the same name asked for again, is the same set.
async fn sets_are_seen_by_other_handles(env: &Env) -> CaseResult {
    let other = env.again().await?;
    mark(&*env.backend().vector_set("s1")?, "s1", 3).await?;
    expect(&*env.backend().vector_set("s1")?, "s1", 3).await?;
    let theirs = other.vector_set("s1")?;
    expect(&*theirs, "s1", 3).await?;
    mark(&*theirs, "theirs", 3).await?;
    expect(&*env.backend().vector_set("s1")?, "theirs", 3).await
}

/// Closed and opened again, a set is there.
async fn sets_outlive_the_last_handle(env: &Env) -> CaseResult {
    mark(&*env.backend().vector_set("kept")?, "kept", 3).await?;
    env.backend().close().await?;
    let again = env.again().await?;
    expect(&*again.vector_set("kept")?, "kept", 3).await?;
    same("sets", &again.vector_sets().await?, &["kept"])
}

/// A set taken before the handle was closed is `Unavailable` after.
async fn sets_of_a_closed_handle_are_unavailable(env: &Env) -> CaseResult {
    let closed = env.again().await?;
    let set = closed.vector_set("s")?;
    mark(&*set, "s", 2).await?;
    closed.close().await?;
    let gone = &[ErrorKind::Unavailable];
    refused("count", set.count(&Selector::all()).await, gone)?;
    refused("vector_sets", closed.vector_sets().await, gone)?;
    refused("drop_vector_set", closed.drop_vector_set(Some("s")).await, gone)?;
    expect(&*env.backend().vector_set("s")?, "s", 2).await
}

/// A set is listed from its first `configure` on, in the order of names, without the default one.
async fn sets_are_listed_once_configured(env: &Env) -> CaseResult {
    let backend = env.backend();
    same("at first", &backend.vector_sets().await?, &Vec::<String>::new())?;
    configure(&*env.vectors()?, 2).await?;
    drop(backend.vector_set("unused")?);
    for name in ["b", "a10", "a2"] {
        configure(&*backend.vector_set(name)?, 2).await?;
    }
    same("configured", &backend.vector_sets().await?, &["a10", "a2", "b"])?;
    same("through another handle", &env.again().await?.vector_sets().await?, &["a10", "a2", "b"])
}

/// What is no plain name is `InvalidInput`, and leaves nothing behind.
async fn set_names_are_plain_names(env: &Env) -> CaseResult {
    let long = "a".repeat(33);
    for name in ["", "A", "1a", "a_b", "a-b", "a.b", "a/b", "../a", "a b", "é", "a\0", "*", &long] {
        invalid(format!("vector_set {name:?}"), env.backend().vector_set(name))?;
        invalid(format!("drop_vector_set {name:?}"), env.backend().drop_vector_set(Some(name)).await)?;
    }
    mark(&*env.backend().vector_set(&"a".repeat(32))?, "longest", 2).await?;
    same("sets", &env.backend().vector_sets().await?, &["a".repeat(32)])
}

/// Dropping one set leaves the others and the default one; it can be configured otherwise after.
async fn sets_are_dropped_one_by_one(env: &Env) -> CaseResult {
    let backend = env.backend();
    let (default, a, ab) = (env.vectors()?, backend.vector_set("a")?, backend.vector_set("ab")?);
    same("one that never was", &backend.drop_vector_set(Some("a")).await?, &false)?;
    same("the default one before it is", &backend.drop_vector_set(None).await?, &false)?;
    mark(&*default, "default", 2).await?;
    mark(&*a, "a", 3).await?;
    mark(&*ab, "ab", 4).await?;
    same("dropped", &backend.drop_vector_set(Some("a")).await?, &true)?;
    expect_unconfigured("the dropped one", &*a).await?;
    expect_unconfigured("asked for again", &*backend.vector_set("a")?).await?;
    expect_unconfigured("through another handle", &*env.again().await?.vector_set("a")?).await?;
    same("sets", &backend.vector_sets().await?, &["ab"])?;
    expect(&*default, "default", 2).await?;
    mark(&*a, "a again", 5).await?;
    expect(&*a, "a again", 5).await?;
    same("the default one", &backend.drop_vector_set(None).await?, &true)?;
    expect_unconfigured("the default one", &*default).await?;
    expect(&*a, "a again", 5).await?;
    expect(&*ab, "ab", 4).await?;
    mark(&*default, "default again", 6).await?;
    expect(&*default, "default again", 6).await
}

/// A handle that has searched a set sees at once what another made of it.
async fn sets_are_searched_as_last_configured(env: &Env) -> CaseResult {
    let (mine, other) = (env.backend().vector_set("a")?, env.again().await?);
    mark(&*mine, "first", 3).await?;
    expect(&*mine, "first", 3).await?;
    other.drop_vector_set(Some("a")).await?;
    let query = VectorQuery::dense(vec![1.0; 3], 5);
    refused("query of a dropped set", mine.query(&query).await, &[ErrorKind::Config])?;
    mark(&*other.vector_set("a")?, "second", 4).await?;
    invalid("query of the old dimensions", mine.query(&query).await)?;
    expect(&*mine, "second", 4).await
}

/// Dropping the namespace drops its sets, used by this handle or not.
async fn sets_go_with_the_namespace(env: &Env) -> CaseResult {
    let longer = env.neighbour("x").await?;
    mark(&*longer.vector_set("a")?, "longer", 2).await?;
    let mine = env.backend().vector_set("a")?;
    mark(&*mine, "mine", 3).await?;
    let other: Arc<dyn Backend> = env.again().await?;
    other.drop_namespace().await?;
    expect_unconfigured("the set", &*mine).await?;
    same("sets", &env.backend().vector_sets().await?, &Vec::<String>::new())?;
    expect(&*longer.vector_set("a")?, "longer", 2).await?;
    mark(&*mine, "again", 4).await?;
    expect(&*mine, "again", 4).await
}

/// What a set needs is created at its first use, also when eight tasks use it at the same moment.
async fn sets_are_first_used_by_many_at_once(env: &Env) -> CaseResult {
    let metrics = env.vectors()?.capabilities().metrics;
    let metric = metrics.first().copied().unwrap_or(Metric::Cosine);
    let backend = Arc::clone(env.backend());
    in_tasks(8, |task| {
        let backend = Arc::clone(&backend);
        async move {
            let set = backend.vector_set("busy")?;
            set.configure(VectorConfig::new(2, metric)).await?;
            put(&*set, vec![vector(&format!("n{task}"), &[1.0, 0.0])]).await
        }
    })
    .await?;
    same("count", &env.backend().vector_set("busy")?.count(&Selector::all()).await?, &8_usize)
}
