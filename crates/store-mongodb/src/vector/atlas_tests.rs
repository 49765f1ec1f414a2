//! The pipelines, compared with what LlamaIndex 0.11 sends, member by member and type by type.

use bson::raw::RawDocumentBuf;
use serde_json::{Value, json};

use super::*;

/// JSON as the driver of Python encodes it: whole numbers that fit are int32.
fn bson(value: Value) -> Bson {
    match value {
        Value::Number(number) if number.is_f64() => Bson::Double(number.as_f64().unwrap()),
        Value::Number(number) => Bson::Int32(i32::try_from(number.as_i64().unwrap()).unwrap()),
        Value::Array(items) => Bson::Array(items.into_iter().map(bson).collect()),
        Value::Object(members) => Bson::Document(members.into_iter().map(|(k, v)| (k, bson(v))).collect()),
        Value::String(text) => Bson::String(text),
        Value::Bool(value) => Bson::Boolean(value),
        Value::Null => Bson::Null,
    }
}

fn assert_bytes(stages: Vec<Document>, expected: Value) {
    let bytes = |stages: Bson| RawDocumentBuf::try_from(&doc! {"pipeline": stages}).unwrap().into_bytes();
    let (ours, theirs) = (Bson::from(stages), bson(expected));
    assert_eq!(ours, theirs);
    assert_eq!(bytes(ours), bytes(theirs));
}

fn vector(vector: &[f32], limit: usize) -> VectorStage<'_> {
    VectorStage {
        index: "vector_index",
        path: "embedding",
        vector,
        limit,
        oversampling: Some(10),
        filter: Document::new(),
    }
}

fn text(query: &str, limit: usize) -> TextStage<'_> {
    TextStage { index: "fulltext_index", path: "text", query, limit, matching: Document::new() }
}

#[test]
fn dense_is_what_llamaindex_sends() {
    // Values that single and double precision share.
    let mut stage = vector(&[0.125, 0.25, 0.5], 3);
    stage.filter = doc! {"metadata.year": {"$eq": 1999}};
    assert_bytes(
        stage.pipeline(Keep::All),
        json!([
            {"$vectorSearch": {"index": "vector_index", "path": "embedding", "queryVector": [0.125, 0.25, 0.5],
                "numCandidates": 30, "limit": 3, "filter": {"metadata.year": {"$eq": 1999}}}},
            {"$set": {"score": {"$meta": "vectorSearchScore"}}},
        ]),
    );
    assert_bytes(
        vector(&[1.5], 2).pipeline(Keep::Without("embedding")),
        json!([
            {"$vectorSearch": {"index": "vector_index", "path": "embedding", "queryVector": [1.5],
                "numCandidates": 20, "limit": 2, "filter": {}}},
            {"$set": {"score": {"$meta": "vectorSearchScore"}}},
            {"$project": {"embedding": 0}},
        ]),
    );
}

#[test]
fn text_is_what_llamaindex_sends() {
    assert_bytes(
        text("cats", 5).pipeline(Keep::All),
        json!([
            {"$search": {"index": "fulltext_index", "text": {"query": "cats", "path": "text"}}},
            {"$limit": 5},
            {"$set": {"score": {"$meta": "searchScore"}}},
        ]),
    );
    let mut stage = text("cats", 5);
    stage.matching = doc! {"metadata.year": {"$eq": 1999}};
    assert_bytes(
        stage.pipeline(Keep::Without("embedding")),
        json!([
            {"$search": {"index": "fulltext_index", "text": {"query": "cats", "path": "text"}}},
            {"$match": {"metadata.year": {"$eq": 1999}}},
            {"$limit": 5},
            {"$set": {"score": {"$meta": "searchScore"}}},
            {"$project": {"embedding": 0}},
        ]),
    );
}

#[test]
fn an_exact_search_names_no_candidates() {
    let mut stage = vector(&[1.0], 3);
    stage.oversampling = None;
    assert_bytes(
        stage.pipeline(Keep::All),
        json!([
            {"$vectorSearch": {"index": "vector_index", "path": "embedding", "queryVector": [1.0], "exact": true,
                "limit": 3, "filter": {}}},
            {"$set": {"score": {"$meta": "vectorSearchScore"}}},
        ]),
    );
}

#[test]
fn fusion_weighs_with_alpha_itself() {
    // LlamaIndex reads alpha 0 as 0.5.
    for (alpha, other) in [(0.0, 1.0), (0.25, 0.75), (1.0, 0.0)] {
        assert_bytes(
            rank_fusion(&vector(&[1.0], 4), &text("cats", 4), alpha, 2, Keep::Without("embedding")),
            json!([
                {"$rankFusion": {
                    "input": {"pipelines": {
                        "vector": [{"$vectorSearch": {"index": "vector_index", "path": "embedding",
                            "queryVector": [1.0], "numCandidates": 40, "limit": 4, "filter": {}}}],
                        "text": [
                            {"$search": {"index": "fulltext_index", "text": {"query": "cats", "path": "text"}}},
                            {"$limit": 4},
                        ],
                    }},
                    "combination": {"weights": {"vector": alpha, "text": other}},
                }},
                {"$limit": 2},
                {"$set": {"score": {"$meta": "score"}}},
                {"$project": {"embedding": 0}},
            ]),
        );
    }
}

#[test]
fn candidates_stay_within_the_servers_limit() {
    let candidates = |limit, oversampling| {
        VectorStage { oversampling: Some(oversampling), ..vector(&[1.0], limit) }.candidates().unwrap()
    };
    assert_eq!(candidates(3, 10), 30);
    assert_eq!(candidates(3, 0), 3);
    assert_eq!(candidates(2_000, 10), MAX_CANDIDATES);
    assert_eq!(candidates(MAX_CANDIDATES, usize::MAX), MAX_CANDIDATES);
}

#[test]
fn scores_are_converted_to_ours() {
    // Lucene's own arithmetic, in single precision.
    let vectors: [&[f32]; 5] = [&[1.0, 0.0], &[0.6, 0.8], &[0.0, 1.0], &[-0.6, 0.8], &[-1.0, 0.0]];
    let query: &[f32] = &[1.0, 0.0];
    for other in vectors {
        let dot: f32 = query.iter().zip(other).map(|(a, b)| a * b).sum();
        let squared: f32 = query.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum();
        let natives = [
            (Metric::Cosine, f32::midpoint(1.0, dot)),
            (Metric::Dot, f32::midpoint(1.0, dot)),
            (Metric::Euclidean, 1.0 / (1.0 + squared)),
        ];
        for (metric, native) in natives {
            let (ours, exact) = (score(metric, f64::from(native)), metric.score(query, other));
            assert!((ours - exact).abs() < 1e-6, "{metric} {other:?}: {ours} {exact}");
        }
    }
    assert!((score(Metric::Euclidean, 1.0) - 1.0).abs() < f64::EPSILON);
    // A score above 1 by rounding.
    assert!(score(Metric::Cosine, 1.000_000_1) <= 1.0);
    assert!(score(Metric::Euclidean, 1.000_000_1) <= 1.0);
}
