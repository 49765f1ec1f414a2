//! Scores of embeddings, as expressions that the server computes.
//!
//! The sums are written out, one product for each dimension: of the forms that a server without vector search
//! knows, this one is the fastest by far (a `$reduce` or `$map` over the array takes about twice as long, since it
//! binds a variable for each number). Norms are had from the mean and the standard deviation of the array, which
//! the server computes without an expression for each number: ‖x‖² = n (σ² + μ²).

use bson::{Bson, Document, doc};
use store_core::Metric;

/// The score of the array at `path` against `query`; higher is better.
pub(super) fn expression(metric: Metric, query: &[f32], path: &str) -> Document {
    let wide = || query.iter().map(|value| f64::from(*value));
    let value = match metric {
        Metric::Dot => dot(wide()),
        Metric::Cosine => {
            let norm = wide().map(|value| value * value).sum::<f64>().sqrt();
            let cosine = doc! {"$divide": [dot(wide().map(|value| value / norm)), {"$sqrt": "$$squares"}]};
            // Rounded so that multiples of one vector tie: their cosines differ in the last digit, and single
            // precision carries seven.
            let clamped = doc! {"$round": [{"$max": [-1.0, {"$min": [1.0, cosine]}]}, 12]};
            let of_zeros = doc! {"$cond": [{"$gt": ["$$squares", 0]}, clamped, 0.0]};
            doc! {"$let": {"vars": {"squares": squares("$$vector", query.len())}, "in": of_zeros}}
        }
        Metric::Euclidean => {
            let differences: Vec<Document> =
                terms(wide()).map(|(at, value)| doc! {"$subtract": [element(at), value]}).collect();
            let distance = doc! {"$sqrt": squares("$$differences", query.len())};
            let score = doc! {"$divide": [1.0, {"$add": [1.0, distance]}]};
            doc! {"$let": {"vars": {"differences": differences}, "in": score}}
        }
    };
    doc! {"$let": {"vars": {"vector": format!("${path}")}, "in": value}}
}

fn dot(query: impl Iterator<Item = f64>) -> Document {
    let products: Vec<Document> =
        terms(query).map(|(at, value)| doc! {"$multiply": [element(at), value]}).collect();
    doc! {"$sum": products}
}

/// The sum of the squares of an array of so many numbers.
fn squares(array: &str, length: usize) -> Document {
    let deviation = doc! {"$pow": [{"$stdDevPop": array}, 2]};
    let mean = doc! {"$pow": [{"$avg": array}, 2]};
    doc! {"$multiply": [length as f64, {"$add": [deviation, mean]}]}
}

fn terms(query: impl Iterator<Item = f64>) -> impl Iterator<Item = (i32, f64)> {
    (0..).zip(query)
}

fn element(at: i32) -> Document {
    doc! {"$arrayElemAt": ["$$vector", at]}
}

/// A pipeline as people read it: long lists cut short.
pub(super) fn shown(pipeline: Vec<Document>) -> String {
    cut(Bson::from(pipeline)).to_string()
}

fn cut(value: Bson) -> Bson {
    const KEPT: usize = 3;
    match value {
        Bson::Array(items) if items.len() > 12 => {
            let more = items.len() - KEPT;
            let mut kept: Vec<Bson> = items.into_iter().take(KEPT).map(cut).collect();
            kept.push(format!("… {more} more").into());
            kept.into()
        }
        Bson::Array(items) => items.into_iter().map(cut).collect::<Vec<_>>().into(),
        Bson::Document(members) => {
            members.into_iter().map(|(name, value)| (name, cut(value))).collect::<Document>().into()
        }
        other => other,
    }
}
