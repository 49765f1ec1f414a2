//! Search by vector: scores, order, bounds.

use store_core::{
    GetOptions, Metric, Node, QueryKind, QueryKindName, Selector, VectorConfig, VectorQuery, VectorStore,
    VectorStoreExt,
};

use super::{cloud, configure, found_ids, is_ranking, put, query_ids, score, vector};
use crate::case::{Need, cases};
use crate::check::{CaseResult, holds, invalid, same};
use crate::data::Random;

cases! { "vectors", Vectors:
    dense_by_cosine_is_exact [Need::Query(QueryKindName::Dense), Need::Metric(Metric::Cosine)],
    dense_by_dot_is_exact [Need::Query(QueryKindName::Dense), Need::Metric(Metric::Dot)],
    dense_by_euclidean_is_exact [Need::Query(QueryKindName::Dense), Need::Metric(Metric::Euclidean)],
    dense_finds_itself_first [Need::Query(QueryKindName::Dense)],
    dense_ties_are_ordered_by_id [Need::Query(QueryKindName::Dense)],
    dense_ties_are_cut_by_id [Need::Query(QueryKindName::Dense)],
    dense_follows_what_was_written [Need::Query(QueryKindName::Dense)],
    top_k_may_exceed_the_store [Need::Query(QueryKindName::Dense)],
    top_k_of_zero_is_refused [Need::Query(QueryKindName::Dense)],
    empty_store_finds_nothing [Need::Query(QueryKindName::Dense)],
    answers_are_whole_nodes [Need::Query(QueryKindName::Dense)],
    min_score_leaves_out_what_is_below [Need::Query(QueryKindName::Dense)],
    range_gives_all_from_its_radius [Need::Query(QueryKindName::Range)],
    range_keeps_top_k_and_min_score [Need::Query(QueryKindName::Range)],
    query_many_answers_each_in_order [Need::Query(QueryKindName::Dense)],
    query_many_refuses_all_for_one [Need::Query(QueryKindName::Dense)],
    bad_query_embeddings_are_refused [Need::Query(QueryKindName::Dense)],
    zero_query_embeddings_are_refused_under_cosine [Need::Query(QueryKindName::Dense), Need::Metric(Metric::Cosine)],
    ten_thousand_vectors [Need::Query(QueryKindName::Dense)],
}

async fn exact(store: &dyn VectorStore, metric: Metric) -> CaseResult {
    store.configure(VectorConfig::new(12, metric)).await?;
    let nodes = cloud(11, 250, 12);
    put(store, nodes.clone()).await?;
    let mut random = Random(12);
    for round in 0..8 {
        let query = random.embedding(12);
        let top_k = [1, 2, 5, 10, 50, 249, 250, 400].get(round).copied().unwrap_or(3);
        let found = store.query(&VectorQuery::dense(query.clone(), top_k)).await?;
        is_ranking(&format!("query {round}"), metric, &query, &nodes, top_k, &found)?;
    }
    Ok(())
}

/// The cosine in [−1, 1], recomputed.
async fn dense_by_cosine_is_exact(store: &dyn VectorStore) -> CaseResult {
    exact(store, Metric::Cosine).await?;
    for node in cloud(11, 250, 12).iter().take(5) {
        let found = store.query(&VectorQuery::dense(node.embedding_f32().unwrap_or_default(), 250)).await?;
        for answer in &found {
            holds((-1.0..=1.0).contains(&answer.score), format!("a cosine of {}", answer.score))?;
        }
    }
    Ok(())
}

/// The dot product, recomputed.
async fn dense_by_dot_is_exact(store: &dyn VectorStore) -> CaseResult {
    exact(store, Metric::Dot).await
}

/// 1 / (1 + distance), recomputed.
async fn dense_by_euclidean_is_exact(store: &dyn VectorStore) -> CaseResult {
    exact(store, Metric::Euclidean).await
}

/// A stored vector, looked for, comes first: by cosine also at another length.
async fn dense_finds_itself_first(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 6).await?;
    let nodes = cloud(3, 60, 6);
    put(store, nodes.clone()).await?;
    let stretch = if metric == Metric::Cosine { 1_000.0 } else { 1.0 };
    // By the dot product another one may come first.
    for node in nodes.iter().filter(|_| metric != Metric::Dot) {
        let query: Vec<f32> =
            node.embedding_f32().unwrap_or_default().iter().map(|value| value * stretch).collect();
        same(node.id.as_str(), &query_ids(store, &VectorQuery::dense(query, 1)).await?, &[node.id.as_str()])?;
    }
    Ok(())
}

// By code point; neither the order of writing, nor by case, nor by language.
const TIED: [&str; 9] = ["10", "9", "A", "B", "a", "aa", "b", "é", "😀"];

async fn put_tied(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let mut order: Vec<&str> = TIED.iter().rev().copied().collect();
    order.rotate_left(4);
    for id in order {
        put(store, vec![vector(id, &[3.0, 4.0])]).await?;
    }
    put(store, vec![vector("zz near", &[3.0, 4.1]), vector("0 far", &[-1.0, 0.0])]).await
}

/// Equal scores are ordered by id.
async fn dense_ties_are_ordered_by_id(store: &dyn VectorStore) -> CaseResult {
    put_tied(store).await?;
    let selector = Selector::ids(TIED);
    let query = VectorQuery::dense(vec![3.0, 4.0], 20).with_selector(selector);
    same("equal scores", &query_ids(store, &query).await?, &TIED)
}

/// Also where top-k cuts through them.
async fn dense_ties_are_cut_by_id(store: &dyn VectorStore) -> CaseResult {
    put_tied(store).await?;
    for top_k in 1..TIED.len() {
        let query = VectorQuery::dense(vec![3.0, 4.0], top_k).with_selector(Selector::ids(TIED));
        let expected = TIED.get(..top_k).unwrap_or_default();
        same(format!("top {top_k}"), &query_ids(store, &query).await?, expected)?;
    }
    Ok(())
}

/// A vector that is replaced or deleted is found where it is now.
async fn dense_follows_what_was_written(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 4).await?;
    let mut nodes = cloud(5, 40, 4);
    put(store, nodes.clone()).await?;
    let mut random = Random(6);
    for round in 0..6 {
        let changed: Vec<Node> = nodes
            .iter()
            .skip(round)
            .step_by(7)
            .map(|node| node.clone().with_embedding(random.embedding(4)))
            .collect();
        put(store, changed.clone()).await?;
        for change in changed {
            if let Some(node) = nodes.iter_mut().find(|node| node.id == change.id) {
                *node = change;
            }
        }
        if let Some(gone) = nodes.pop() {
            same("deleted", &store.delete(&Selector::ids([gone.id.clone()])).await?, &1_usize)?;
        }
        let query = random.embedding(4);
        let found = store.query(&VectorQuery::dense(query.clone(), 12)).await?;
        is_ranking(&format!("round {round}"), metric, &query, &nodes, 12, &found)?;
    }
    Ok(())
}

/// Fewer matches than `top_k`: all of them.
async fn top_k_may_exceed_the_store(store: &dyn VectorStore) -> CaseResult {
    configure(store, 3).await?;
    put(store, cloud(1, 7, 3)).await?;
    for top_k in [7, 8, 1_000, 1_000_000] {
        let found = query_ids(store, &VectorQuery::dense(vec![1.0, 0.0, 0.0], top_k)).await?;
        same(format!("top {top_k} of 7"), &found.len(), &7_usize)?;
    }
    Ok(())
}

/// `top_k` is at least 1.
async fn top_k_of_zero_is_refused(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    invalid("query", store.query(&VectorQuery::dense(vec![1.0, 0.0], 0)).await)?;
    invalid("explain", store.explain(&VectorQuery::dense(vec![1.0, 0.0], 0)).await)?;
    Ok(())
}

/// Nothing stored, nothing found: no error.
async fn empty_store_finds_nothing(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    let at = || vec![1.0, 0.0];
    let queries = [
        VectorQuery::dense(at(), 3),
        VectorQuery::text("quartz", 3),
        VectorQuery::hybrid(at(), "quartz", 3),
        VectorQuery::mmr(at(), 3),
        VectorQuery::new(QueryKind::Range { embedding: at(), radius: 0.0 }, 3),
    ];
    for query in queries {
        if store.capabilities().query_kinds.contains(&query.kind.name()) {
            same(format!("{:?}", query.kind.name()), &query_ids(store, &query).await?, &[(); 0])?;
        }
    }
    same("get", &store.get(&Selector::all(), GetOptions::default()).await?.items, &[(); 0])
}

/// An answer carries the node as `get` does.
async fn answers_are_whole_nodes(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    for form in crate::nodes::every_class() {
        let node = crate::nodes::node(form)?.with_embedding([1.0, 0.5]);
        put(store, vec![node]).await?;
    }
    let stored = store.get(&Selector::all(), GetOptions::default().with_embeddings(true)).await?.items;
    let found = store.query(&VectorQuery::dense(vec![1.0, 0.5], 50).with_embeddings(true)).await?;
    let found: Vec<Node> = found.into_iter().map(|found| found.node).collect();
    crate::check::same_items("the answers", &found, &stored)
}

// Between the scores of two ranks, so that rounding does not decide.
fn between(metric: Metric, query: &[f32], nodes: &[Node], rank: usize) -> f64 {
    let mut scores: Vec<f64> =
        nodes.iter().map(|node| score(metric, query, &node.embedding_f32().unwrap_or_default())).collect();
    scores.sort_by(|left, right| right.total_cmp(left));
    let at = |rank: usize| scores.get(rank).copied().unwrap_or_default();
    f64::midpoint(at(rank - 1), at(rank))
}

/// `min_score` leaves out what is below, before `top_k` cuts.
async fn min_score_leaves_out_what_is_below(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 5).await?;
    let nodes = cloud(21, 60, 5);
    put(store, nodes.clone()).await?;
    let query = Random(22).embedding(5);
    let whole = query_ids(store, &VectorQuery::dense(query.clone(), 60)).await?;
    for rank in [1, 7, 30, 59] {
        let least = between(metric, &query, &nodes, rank);
        let found = query_ids(store, &VectorQuery::dense(query.clone(), 60).with_min_score(least)).await?;
        same(format!("at least {least}"), &found, whole.get(..rank).unwrap_or_default())?;
    }
    let none = VectorQuery::dense(query.clone(), 60).with_min_score(1e9);
    same("nothing is that near", &query_ids(store, &none).await?, &[(); 0])?;
    let all = VectorQuery::dense(query, 60).with_min_score(-1e9);
    same("everything is", &query_ids(store, &all).await?.len(), &60_usize)
}

fn range(embedding: &[f32], radius: f64, top_k: usize) -> VectorQuery {
    VectorQuery::new(QueryKind::Range { embedding: embedding.to_vec(), radius }, top_k)
}

/// Everything whose score is at least the radius, best first.
async fn range_gives_all_from_its_radius(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 5).await?;
    let nodes = cloud(23, 80, 5);
    put(store, nodes.clone()).await?;
    let query = Random(24).embedding(5);
    for rank in [1, 5, 40, 79] {
        let radius = between(metric, &query, &nodes, rank);
        let found = store.query(&range(&query, radius, 80)).await?;
        let inside: Vec<Node> = nodes
            .iter()
            .filter(|node| score(metric, &query, &node.embedding_f32().unwrap_or_default()) >= radius)
            .cloned()
            .collect();
        same(format!("within {radius}"), &found.len(), &rank)?;
        is_ranking(&format!("within {radius}"), metric, &query, &inside, 80, &found)?;
    }
    same("nothing is that near", &query_ids(store, &range(&query, 1e9, 80)).await?, &[(); 0])
}

/// A range is cut by `top_k`, and by the stricter of radius and `min_score`.
async fn range_keeps_top_k_and_min_score(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 5).await?;
    let nodes = cloud(25, 50, 5);
    put(store, nodes.clone()).await?;
    let query = Random(26).embedding(5);
    let whole = query_ids(store, &range(&query, -1e9, 50)).await?;
    let (near, far) = (between(metric, &query, &nodes, 5), between(metric, &query, &nodes, 20));
    let first = |count: usize| whole.get(..count).unwrap_or_default();
    same("top 3 of 20", &query_ids(store, &range(&query, far, 3)).await?, first(3))?;
    let found = query_ids(store, &range(&query, far, 50).with_min_score(near)).await?;
    same("min_score above the radius", &found, first(5))?;
    let found = query_ids(store, &range(&query, near, 50).with_min_score(far)).await?;
    same("min_score below the radius", &found, first(5))
}

/// Several queries, of several kinds, are answered each as if alone, in their order.
async fn query_many_answers_each_in_order(store: &dyn VectorStore) -> CaseResult {
    configure(store, 4).await?;
    put(store, cloud(31, 50, 4)).await?;
    let mut random = Random(32);
    let mut queries: Vec<VectorQuery> =
        (0..40).map(|n| VectorQuery::dense(random.embedding(4), n % 7 + 1)).collect();
    let kinds = store.capabilities().query_kinds;
    for (place, query) in [
        (3, VectorQuery::text("n007", 5)),
        (9, VectorQuery::hybrid(random.embedding(4), "n008", 5)),
        (20, VectorQuery::mmr(random.embedding(4), 5)),
        (33, VectorQuery::dense(random.embedding(4), 5).with_selector(Selector::ids(["n001", "n002"]))),
        (34, VectorQuery::dense(random.embedding(4), 5).with_embeddings(true)),
    ] {
        if kinds.contains(&query.kind.name()) {
            queries.insert(place, query);
        }
    }
    let together = store.query_many(&queries).await?;
    same("answers", &together.len(), &queries.len())?;
    for (number, (query, answer)) in queries.iter().zip(&together).enumerate() {
        let alone = store.query(query).await?;
        same(format!("ids of query {number}"), &found_ids(answer), &found_ids(&alone))?;
        for (one, other) in answer.iter().zip(&alone) {
            same(format!("a node of query {number}"), &one.node, &other.node)?;
            crate::check::near(
                format!("a score of query {number}"),
                one.score,
                other.score,
                super::TOLERANCE,
            )?;
        }
    }
    Ok(())
}

/// One query that can not be answered refuses the call.
async fn query_many_refuses_all_for_one(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    let (good, bad) = (VectorQuery::dense(vec![1.0, 0.0], 1), VectorQuery::dense(vec![1.0], 1));
    invalid("the second of three", store.query_many(&[good.clone(), bad, good]).await)?;
    Ok(())
}

fn kinds_at(store: &dyn VectorStore, embedding: &[f32]) -> Vec<VectorQuery> {
    let at = || embedding.to_vec();
    let mut queries = vec![
        VectorQuery::dense(at(), 3),
        VectorQuery::hybrid(at(), "quartz", 3),
        VectorQuery::mmr(at(), 3),
        range(embedding, 0.0, 3),
    ];
    queries.retain(|query| store.capabilities().query_kinds.contains(&query.kind.name()));
    queries
}

/// A wrong dimension or a number that is not finite, in any kind of query.
async fn bad_query_embeddings_are_refused(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    let bad: [&[f32]; 6] =
        [&[], &[1.0], &[1.0, 0.0, 0.0], &[f32::NAN, 0.0], &[f32::INFINITY, 0.0], &[0.0, f32::NEG_INFINITY]];
    for embedding in bad {
        for query in kinds_at(store, embedding) {
            let what = format!("{:?} with {embedding:?}", query.kind.name());
            invalid(&what, store.query(&query).await)?;
            invalid(format!("explain of {what}"), store.explain(&query).await)?;
        }
    }
    Ok(())
}

/// A query of zeros has no direction.
async fn zero_query_embeddings_are_refused_under_cosine(store: &dyn VectorStore) -> CaseResult {
    store.configure(VectorConfig::new(2, Metric::Cosine)).await?;
    put(store, vec![vector("a", &[1.0, 0.0])]).await?;
    for query in kinds_at(store, &[0.0, -0.0]) {
        invalid(format!("{:?}", query.kind.name()), store.query(&query).await)?;
    }
    Ok(())
}

/// Ten thousand vectors: written in batches, counted, searched exactly.
async fn ten_thousand_vectors(store: &dyn VectorStore) -> CaseResult {
    let metric = configure(store, 8).await?;
    let mut random = Random(41);
    let nodes: Vec<Node> = (0..10_000)
        .map(|n| vector(&format!("n{n:05}"), &random.embedding(8)).with_metadata("n", n))
        .collect();
    for chunk in nodes.chunks(1_000) {
        put(store, chunk.to_vec()).await?;
    }
    same("count", &store.count(&Selector::all()).await?, &10_000_usize)?;
    for round in 0..3 {
        let query = random.embedding(8);
        let found = store.query(&VectorQuery::dense(query.clone(), 20)).await?;
        is_ranking(&format!("query {round}"), metric, &query, &nodes, 20, &found)?;
    }
    Ok(())
}
