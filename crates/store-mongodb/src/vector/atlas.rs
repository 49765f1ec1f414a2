//! The pipelines of Atlas search, as LlamaIndex writes them, and what their scores mean.
//!
//! | query | stages |
//! |---|---|
//! | by vector | `$vectorSearch` (filter inside), `$set` of the score |
//! | by words | `$search`, `$match`, `$limit`, `$set` of the score |
//! | both | `$rankFusion` of the two where the server has it, otherwise both at once and fused by us |
//!
//! A last `$project` is ours: it keeps what nobody asked for, above all the embedding, off the wire. Unlike in
//! LlamaIndex no stage collects whole documents into one (`$group` with `$push` of them), which fails at 16 MB.

use bson::{Bson, Document, doc};
use store_core::Metric;

/// The most candidates, and so the most answers, that the server takes in one `$vectorSearch`.
pub(crate) const MAX_CANDIDATES: usize = 10_000;

/// The member that holds a document's score in an answer.
pub(crate) const SCORE: &str = "score";

/// What of a document an answer carries besides its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep<'a> {
    /// Everything.
    All,
    /// Everything but the member of this name.
    Without(&'a str),
}

impl Keep<'_> {
    fn stage(self) -> Option<Document> {
        match self {
            Self::All => None,
            Self::Without(name) => Some(doc! {"$project": {name: 0}}),
        }
    }
}

/// A search by vector.
#[derive(Clone, Debug)]
pub(crate) struct VectorStage<'a> {
    /// The name of the index.
    pub(crate) index: &'a str,
    /// The member that holds the embedding.
    pub(crate) path: &'a str,
    pub(crate) vector: &'a [f32],
    /// Most answers; at most [`MAX_CANDIDATES`].
    pub(crate) limit: usize,
    /// Candidates looked at for each answer; `None`: every vector is compared.
    pub(crate) oversampling: Option<usize>,
    /// Applied to the candidates; empty: none.
    pub(crate) filter: Document,
}

impl VectorStage<'_> {
    /// How many neighbours the server looks at; `None`: all of them.
    pub(crate) fn candidates(&self) -> Option<usize> {
        let wanted = self.limit.saturating_mul(self.oversampling?.max(1));
        Some(wanted.clamp(1, MAX_CANDIDATES).max(self.limit))
    }

    fn stage(&self) -> Document {
        let vector: Vec<Bson> = self.vector.iter().map(|value| Bson::Double(f64::from(*value))).collect();
        let mut stage = doc! {"index": self.index, "path": self.path, "queryVector": vector};
        match self.candidates() {
            Some(candidates) => stage.insert("numCandidates", number(candidates)),
            None => stage.insert("exact", true),
        };
        stage.insert("limit", number(self.limit));
        stage.insert("filter", self.filter.clone());
        doc! {"$vectorSearch": stage}
    }

    /// The nearest, best first, each with its score.
    pub(crate) fn pipeline(&self, keep: Keep<'_>) -> Vec<Document> {
        let mut stages = vec![self.stage(), set_score("vectorSearchScore")];
        stages.extend(keep.stage());
        stages
    }
}

/// A search by words.
#[derive(Clone, Debug)]
pub(crate) struct TextStage<'a> {
    /// The name of the index.
    pub(crate) index: &'a str,
    /// The member that holds the text.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) limit: usize,
    /// A `$match` on what holds the words; empty: none.
    pub(crate) matching: Document,
}

impl TextStage<'_> {
    fn stages(&self) -> Vec<Document> {
        let text = doc! {"query": self.query, "path": self.path};
        let mut stages = vec![doc! {"$search": {"index": self.index, "text": text}}];
        if !self.matching.is_empty() {
            stages.push(doc! {"$match": self.matching.clone()});
        }
        stages.push(doc! {"$limit": number(self.limit)});
        stages
    }

    /// The best by words, best first, each with its score.
    pub(crate) fn pipeline(&self, keep: Keep<'_>) -> Vec<Document> {
        let mut stages = self.stages();
        stages.push(set_score("searchScore"));
        stages.extend(keep.stage());
        stages
    }
}

/// Both, fused by the server: `alpha / (60 + rank by vector) + (1 − alpha) / (60 + rank by text)`, ranks from 1,
/// which is what `$rankFusion` computes from these weights.
pub(crate) fn rank_fusion(
    vector: &VectorStage<'_>,
    text: &TextStage<'_>,
    alpha: f64,
    top_k: usize,
    keep: Keep<'_>,
) -> Vec<Document> {
    let pipelines = doc! {"vector": [vector.stage()], "text": text.stages()};
    let weights = doc! {"vector": alpha, "text": 1.0 - alpha};
    let mut stages = vec![
        doc! {"$rankFusion": {"input": {"pipelines": pipelines}, "combination": {"weights": weights}}},
        doc! {"$limit": number(top_k)},
        set_score("score"),
    ];
    stages.extend(keep.stage());
    stages
}

fn set_score(meta: &str) -> Document {
    doc! {"$set": {SCORE: {"$meta": meta}}}
}

/// A count as the server wants it.
pub(crate) fn number(count: usize) -> Bson {
    i32::try_from(count).map_or(Bson::Int64(i64::MAX), Bson::Int32)
}

/// Our score for a `vectorSearchScore`, which is always above 0.
///
/// The server scores by Lucene's similarities in single precision: `(1 + cosine) / 2`, `(1 + dot product) / 2`
/// and, whatever the documentation says of a distance, `1 / (1 + distance²)`. So a cosine is exact to about 10⁻⁷,
/// and 1 / (1 + distance) to about 2·10⁻⁴ for vectors that are nearly equal. A dot product under −1, which vectors
/// of length 1 do not have, is cut off there by the server.
pub(crate) fn score(metric: Metric, native: f64) -> f64 {
    match metric {
        Metric::Cosine => (2.0 * native - 1.0).clamp(-1.0, 1.0),
        Metric::Dot => 2.0 * native - 1.0,
        Metric::Euclidean => {
            let squared = (1.0 / native - 1.0).max(0.0);
            1.0 / (1.0 + squared.sqrt())
        }
    }
}

/// The name of a metric in an index definition.
pub(crate) fn similarity(metric: Metric) -> &'static str {
    match metric {
        Metric::Cosine => "cosine",
        Metric::Dot => "dotProduct",
        Metric::Euclidean => "euclidean",
    }
}

#[cfg(test)]
#[path = "atlas_tests.rs"]
mod tests;
