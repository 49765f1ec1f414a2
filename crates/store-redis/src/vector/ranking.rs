//! Rankings: what the module is asked for, and the scores of what it answers.
//!
//! Every query is of dialect 2: the first that knows vectors, parameters and attributes of a part of a query, and the
//! last whose answers are the same in both protocols (3 and 4 answer texts as lists, for JSON).

use std::collections::HashSet;

use store_core::kit::tokens;
use store_core::{Metric, VectorConfig};

use super::answer::Hit;
use super::prefilter::Prefilter;
use super::rows::{self, Keep, TEXT, VECTOR, WORDS};
use super::set::Set;
use crate::driver::Cmd;

/// The field of an answer that holds the distance.
const DISTANCE: &str = "_nodestore_distance";
/// Rows of one part of a long answer.
const PART: usize = 1_000;
/// Milliseconds after which the server forgets a long answer that nobody reads on.
const IDLE: u32 = 60_000;

/// What ranks.
#[derive(Clone, Debug)]
pub(super) enum By<'a> {
    /// The nearest.
    Vector(&'a [f32]),
    /// Those within this distance, as the module measures it.
    Range(&'a [f32], f64),
    /// The best by these words.
    Words(Vec<String>),
}

/// A ranking to be made by the server.
pub(super) struct Ranking<'a> {
    pub(super) by: By<'a>,
    pub(super) config: &'a VectorConfig,
    pub(super) prefilter: &'a Prefilter,
    pub(super) min_score: Option<f64>,
}

impl Ranking<'_> {
    /// The text of the query.
    pub(super) fn text(&self, wanted: usize) -> String {
        let filter = self.prefilter.native.text();
        match &self.by {
            By::Vector(_) => format!("{filter}=>[KNN {wanted} @{VECTOR} $vector AS {DISTANCE}]"),
            By::Range(..) => {
                let range =
                    format!("@{VECTOR}:[VECTOR_RANGE $radius $vector]=>{{$YIELD_DISTANCE_AS: {DISTANCE}}}");
                if filter == "*" { range } else { format!("{filter} {range}") }
            }
            By::Words(words) => {
                let mut names = (0..words.len()).map(|n| format!("$w{n}")).collect::<Vec<_>>();
                names.dedup();
                let words = format!("@{TEXT}|{WORDS}:({})", names.join("|"));
                // A tag would count as a word.
                if filter == "*" { words } else { format!("({words}) ({filter})=>{{$weight: 0}}") }
            }
        }
    }

    fn params(&self, command: Cmd) -> Cmd {
        let vector = |vector: &[f32]| bytes::Bytes::from(rows::to_bytes(vector));
        match &self.by {
            By::Vector(query) => command.args(["PARAMS", "2", "vector"]).arg(vector(query)),
            By::Range(query, radius) => {
                command.args(["PARAMS", "4", "radius", &radius.to_string(), "vector"]).arg(vector(query))
            }
            By::Words(words) => {
                let mut command = command.arg("PARAMS").arg((words.len() * 2).to_string());
                for (n, word) in words.iter().enumerate() {
                    command = command.arg(format!("w{n}")).arg(word.as_str());
                }
                command
            }
        }
    }

    /// The best rows in one answer, in order.
    pub(super) fn search(&self, set: &Set, wanted: usize, keep: Keep) -> Cmd {
        let command = Cmd::read("FT.SEARCH", set.index.as_str()).arg(self.text(wanted));
        let by_words = matches!(self.by, By::Words(_));
        let fields = keep.fields();
        let returned = fields.len() + usize::from(!by_words);
        let mut command = command.arg("RETURN").arg(returned.to_string()).args(fields.iter().copied());
        if by_words {
            command = command.args(["WITHSCORES", "SCORER", "BM25STD", "VERBATIM"]);
        } else {
            command = command.args([DISTANCE, "SORTBY", DISTANCE, "ASC"]);
        }
        if let Some(keys) = &self.prefilter.keys {
            command = command.arg("INKEYS").arg(keys.len().to_string()).args(keys.iter().map(String::as_str));
        }
        let command = command.args(["LIMIT", "0", &wanted.to_string()]);
        finish(set, self.params(command))
    }

    /// The best rows in parts, without order.
    pub(super) fn aggregate(&self, set: &Set, wanted: usize) -> Cmd {
        let command = Cmd::read("FT.AGGREGATE", set.index.as_str()).arg(self.text(wanted));
        let command = match self.by {
            By::Words(_) => {
                command.args(["VERBATIM", "ADDSCORES", "SCORER", "BM25STD", "LOAD", "1", "@__key"])
            }
            By::Vector(_) | By::Range(..) => command.args(["LOAD", "2", "@__key", &format!("@{DISTANCE}")]),
        };
        finish(set, self.params(in_parts(command)))
    }

    /// The score of a row; `None` for one that is none.
    pub(super) fn score(&self, hit: &Hit) -> Option<f64> {
        let score = match self.by {
            By::Words(_) => hit.score?,
            By::Vector(_) | By::Range(..) => score(self.config.metric, hit.number(DISTANCE)?),
        };
        score.is_finite().then_some(score)
    }

    pub(super) fn enough(&self, score: f64) -> bool {
        self.min_score.is_none_or(|least| score >= least)
    }
}

/// Asks for a long answer in parts.
pub(super) fn in_parts(command: Cmd) -> Cmd {
    // A cursor is known to the server that made it alone.
    let command = command.at_primary();
    command.args(["WITHCURSOR", "COUNT", &PART.to_string(), "MAXIDLE", &IDLE.to_string()])
}

/// The end of every query. The server would give what it has after half a second, as if it were all: we wait no
/// longer than it does.
pub(super) fn finish(set: &Set, command: Cmd) -> Cmd {
    let limit = set.space.config.operation_timeout.as_millis().saturating_mul(2).min(86_400_000);
    command.args(["TIMEOUT", &limit.to_string(), "DIALECT", "2"])
}

/// The score of a distance, as the module measures it: 1 − cosine, 1 − the dot product, the square of the Euclidean
/// distance, all in single precision.
#[expect(clippy::cast_possible_truncation, reason = "distances carry single precision")]
fn score(metric: Metric, distance: f64) -> f64 {
    let score = match metric {
        Metric::Cosine => (1.0 - distance).clamp(-1.0, 1.0),
        Metric::Dot => 1.0 - distance,
        Metric::Euclidean => 1.0 / (1.0 + distance.max(0.0).sqrt()),
    };
    f64::from(score as f32) + 0.0
}

/// The distance within which everything of at least this score lies, and little else; `None` where the module
/// has no such distance.
fn radius(metric: Metric, score: f64) -> Option<f64> {
    let distance = match metric {
        Metric::Cosine | Metric::Dot => 1.0 - score,
        Metric::Euclidean => (1.0 / score - 1.0).powi(2),
    };
    // Wider by what single precision may lose; we look at the scores themselves.
    let wider = distance + 1e-5 * (1.0 + distance.abs());
    let possible = (metric != Metric::Euclidean || score > 0.0) && (0.0..1e30).contains(&wider);
    possible.then_some(wider)
}

/// The ranking of all that has at least this score.
pub(super) fn by_radius(metric: Metric, embedding: &[f32], least: f64) -> By<'_> {
    match radius(metric, least) {
        Some(distance) => By::Range(embedding, distance),
        None => By::Vector(embedding),
    }
}

/// The words to look for.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    tokens::tokens(text)
        .map(|token| token.text.into_owned())
        .filter(|word| seen.insert(word.clone()))
        .collect()
}
