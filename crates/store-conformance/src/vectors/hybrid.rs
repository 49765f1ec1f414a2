//! Search by vector and words together.

use store_core::{Node, QueryKind, QueryKindName, ScoredNode, VectorQuery, VectorStore, VectorStoreExt};

use super::{configure, in_order, put, query_ids};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, invalid, near, same};
use crate::data::Random;

const HYBRID: Need = Need::Query(QueryKindName::Hybrid);
const DENSE: Need = Need::Query(QueryKindName::Dense);
const TEXT: Need = Need::Query(QueryKindName::Text);

cases! { "vectors", Vectors:
    hybrid_follows_the_formula [HYBRID, DENSE, TEXT],
    hybrid_takes_nodes_from_either_side [HYBRID, Need::BareNodes],
    hybrid_ties_are_ordered_by_id [HYBRID, Need::BareNodes],
    hybrid_weight_of_one_side_alone [HYBRID, Need::BareNodes],
    hybrid_keeps_top_k_and_min_score [HYBRID],
    hybrid_weight_out_of_range_is_refused [HYBRID],
}

fn hybrid(embedding: &[f32], text: &str, alpha: f64, top_k: usize) -> VectorQuery {
    VectorQuery::new(QueryKind::Hybrid { embedding: embedding.to_vec(), text: text.to_owned(), alpha }, top_k)
}

async fn fill(store: &dyn VectorStore) -> CaseResult {
    configure(store, 6).await?;
    let mut random = Random(51);
    let words = ["quartz", "granite", "zircon", "marble", "basalt"];
    let nodes = (0..60).map(|n| {
        let text: Vec<&str> = (0..7)
            .filter_map(|_| words.get(usize::try_from(random.next() % 9).unwrap_or(9)).copied())
            .collect();
        let node = Node::text(text.join(" ")).with_id(format!("n{n:02}"));
        // Every sixth has no embedding: it can only come in by its words.
        if n % 6 == 0 { node } else { node.with_embedding(random.embedding(6)) }
    });
    put(store, nodes.collect()).await
}

fn rank(list: &[ScoredNode], id: &str) -> Option<f64> {
    list.iter().position(|found| found.node.id.as_str() == id).map(|place| place as f64 + 1.0)
}

/// alpha / (60 + rank by vector) + (1 − alpha) / (60 + rank by text), ranks from 1, recomputed from the two
/// rankings that the store itself gives; equal scores by id; what only the side without weight holds is left out.
async fn hybrid_follows_the_formula(store: &dyn VectorStore) -> CaseResult {
    fill(store).await?;
    let mut random = Random(52);
    for (round, alpha) in [0.0, 0.2, 0.5, 0.75, 1.0].into_iter().enumerate() {
        let (embedding, text) = (random.embedding(6), "quartz zircon");
        let by_vector = store.query(&VectorQuery::dense(embedding.clone(), 100)).await?;
        let by_text = store.query(&VectorQuery::text(text, 100)).await?;
        let mut expected: Vec<(f64, String)> = (0..60)
            .filter_map(|n| {
                let id = format!("n{n:02}");
                let part = |weight: f64, rank: Option<f64>| rank.map_or(0.0, |rank| weight / (60.0 + rank));
                let fused = part(alpha, rank(&by_vector, &id)) + part(1.0 - alpha, rank(&by_text, &id));
                (fused > 0.0).then_some((fused, id))
            })
            .collect();
        expected.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
        let found = store.query(&hybrid(&embedding, text, alpha, 100)).await?;
        let ids: Vec<&String> = expected.iter().map(|(_, id)| id).collect();
        same(format!("round {round}, alpha {alpha}"), &super::found_ids(&found), &ids)?;
        for (answer, (fused, id)) in found.iter().zip(&expected) {
            near(format!("the score of {id} with alpha {alpha}"), answer.score, *fused, 1e-9)?;
        }
        in_order("hybrid", &found)?;
    }
    Ok(())
}

fn two_sided() -> Vec<Node> {
    vec![
        Node::text("granite").with_id("vector only").with_embedding([1.0, 0.0]),
        Node::text("quartz").with_id("text only"),
        Node::text("quartz quartz").with_id("both").with_embedding([1.0, 0.1]),
        Node::text("marble").with_id("neither"),
    ]
}

/// A node without embedding comes in by its words, one without a query word by its vector, one with neither not.
async fn hybrid_takes_nodes_from_either_side(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, two_sided()).await?;
    let found = query_ids(store, &hybrid(&[1.0, 0.0], "quartz", 0.5, 10)).await?;
    crate::check::same_items("three of four", &found, &["both", "vector only", "text only"])?;
    same("both comes first", &found.first(), &Some("both"))?;
    let found = query_ids(store, &hybrid(&[1.0, 0.0], "feldspar", 0.5, 10)).await?;
    same("a word that nobody holds", &found, &["vector only", "both"])?;
    let found = query_ids(store, &hybrid(&[1.0, 0.0], "…", 0.5, 10)).await?;
    same("a text without words", &found, &["vector only", "both"])
}

/// The best by vector and the best by text have the same score when both sides weigh the same.
async fn hybrid_ties_are_ordered_by_id(store: &dyn VectorStore) -> CaseResult {
    for (by_vector, by_text) in [("a", "b"), ("d", "c")] {
        configure(store, 2).await?;
        let nodes = vec![
            Node::text("quartz").with_id(by_text),
            Node::text("granite").with_id(by_vector).with_embedding([1.0, 0.0]),
        ];
        put(store, nodes).await?;
        let mut expected = vec![by_vector, by_text];
        expected.sort_unstable();
        let found = store.query(&hybrid(&[1.0, 0.0], "quartz", 0.5, 10)).await?;
        same("in order", &super::found_ids(&found), &expected)?;
        for answer in &found {
            near("their score", answer.score, 0.5 / 61.0, 1e-9)?;
        }
        store.clear().await?;
    }
    Ok(())
}

/// alpha 1 is vectors only, alpha 0 text only.
async fn hybrid_weight_of_one_side_alone(store: &dyn VectorStore) -> CaseResult {
    configure(store, 2).await?;
    put(store, two_sided()).await?;
    let vectors = query_ids(store, &hybrid(&[1.0, 0.0], "quartz", 1.0, 10)).await?;
    same("alpha 1", &vectors, &["vector only", "both"])?;
    let words = query_ids(store, &hybrid(&[1.0, 0.0], "quartz", 0.0, 10)).await?;
    crate::check::same_items("alpha 0", &words, &["both", "text only"])
}

/// `top_k` gives the best of the fused order, `min_score` what reaches it.
async fn hybrid_keeps_top_k_and_min_score(store: &dyn VectorStore) -> CaseResult {
    fill(store).await?;
    let embedding = Random(53).embedding(6);
    let whole = store.query(&hybrid(&embedding, "granite marble", 0.4, 100)).await?;
    let ids = super::found_ids(&whole);
    for top_k in [1, 3, 10] {
        let found = query_ids(store, &hybrid(&embedding, "granite marble", 0.4, top_k)).await?;
        same(format!("top {top_k}"), &found, ids.get(..top_k).unwrap_or_default())?;
    }
    let least = whole.get(6).ok_or_else(|| Failure::new("too few answers"))?.score - 1e-12;
    let reached = whole.iter().filter(|answer| answer.score >= least).count();
    let query = hybrid(&embedding, "granite marble", 0.4, 100).with_min_score(least);
    same("min_score", &query_ids(store, &query).await?, ids.get(..reached).unwrap_or_default())
}

/// The weight lies between 0 and 1.
async fn hybrid_weight_out_of_range_is_refused(store: &dyn VectorStore) -> CaseResult {
    fill(store).await?;
    for alpha in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        invalid(format!("alpha {alpha}"), store.query(&hybrid(&[1.0; 6], "quartz", alpha, 3)).await)?;
    }
    Ok(())
}
