//! Random filters over odd metadata, against the oracle.

use std::sync::Arc;

use futures::StreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use store_core::{
    Condition, DocQuery, ErrorKind, FieldType, Filter, FilterableField, GetOptions, Metric, Node, Scalar,
    Selector, Timestamp, VectorConfig, VectorQuery, VectorStore,
};

use super::{found_ids, node};
use crate::case::{Need, cases};
use crate::check::{CaseResult, Failure, holds, same, same_items};
use crate::data::{Random, object, odd_numbers};
use crate::harness::Env;
use crate::model::samples;
use crate::vectors::{configure, is_ranking, put};

cases! { "filters", Env:
    random_filters_match_the_oracle [Need::Vectors],
    random_filters_match_the_oracle_with_declared_fields [Need::Vectors],
    random_filters_match_the_oracle_in_find [Need::Docs],
}

/// One filter in so many is counted too.
const COUNTED: usize = 4;

const KEYS: [&str; 10] =
    ["v", "w", "year", "tag", "when", "in.a", "in.a.b", "in.list", "ключ", "it's \"$x\""];

/// What is often met, so that filters often match.
fn common() -> Vec<Value> {
    let twins = [json!(1), json!(1.0), json!("1"), json!("a"), json!("A"), json!(true), json!(null)];
    let others =
        [json!(2024), json!("2024-05-01"), json!("2024-05-01T00:00:00Z"), json!(9_007_199_254_740_993_i64)];
    twins.into_iter().chain(others).collect()
}

fn values() -> Vec<Value> {
    let mut values = odd_numbers();
    values.extend([
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!(" "),
        json!("a"),
        json!("A"),
        json!("ab"),
        json!("é"),
        json!("e\u{301}"),
        json!("ß"),
        json!("😀"),
        json!("1"),
        json!("true"),
        json!("null"),
        json!("a%b"),
        json!("a*"),
        json!("a|b"),
        json!("{a}"),
        json!("it's"),
        json!("\\"),
        json!("\0"),
        json!(2024),
        json!(2024.5),
        json!("2024-05-01"),
        json!("2024-05-01T00:00:00Z"),
        json!("2024-05-01T02:00:00+02:00"),
        json!("2024-13-01"),
        json!("2024-05-01T12:00:00.5Z"),
    ]);
    values
}

/// Metadata of a hundred nodes: each field is missing, a scalar, a list or an object.
fn metadata(random: &mut Random) -> Value {
    let (common, values) = (common(), values());
    let below = |random: &mut Random, end: usize| usize::try_from(random.next() % end as u64).unwrap_or(0);
    let scalar = |random: &mut Random| {
        let pool = if random.next().is_multiple_of(3) { &values } else { &common };
        let place = below(random, pool.len());
        pool.get(place).cloned().unwrap_or_default()
    };
    let any = |random: &mut Random| match random.next() % 8 {
        0 => (0..below(random, 4)).map(|_| scalar(random)).collect(),
        1 => json!({"a": scalar(random), "b": [scalar(random)]}),
        2 => {
            json!({"a": {"b": scalar(random), "a": [scalar(random), [scalar(random)]]}, "list": [scalar(random), scalar(random)]})
        }
        _ => scalar(random),
    };
    let mut metadata = serde_json::Map::new();
    for key in KEYS {
        if !random.next().is_multiple_of(3) && !key.contains('.') {
            metadata.insert(key.to_owned(), any(random));
        }
    }
    if random.next().is_multiple_of(2) {
        let inside = json!({"a": any(random), "list": [scalar(random), scalar(random)]});
        metadata.insert("in".to_owned(), inside);
    }
    if random.next().is_multiple_of(4) {
        metadata.insert("in.a".to_owned(), scalar(random));
    }
    Value::Object(metadata)
}

fn nodes() -> Vec<Node> {
    let mut random = Random(101);
    (0..100)
        .map(|n| {
            let embedding = random.embedding(2);
            node(&format!("n{n:02}"), object(metadata(&mut random))).with_embedding(embedding)
        })
        .collect()
}

fn as_scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Null => Some(Scalar::Null),
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Number(number) if number.is_f64() => number.as_f64().map(Scalar::Float),
        Value::Number(number) => number.as_i128().map(Scalar::Integer),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let scalars = |values: Vec<Value>| values.iter().filter_map(as_scalar).collect::<Vec<_>>();
    let instants: Vec<Scalar> =
        ["2024-05-01", "2024-05-01T12:00:00.5Z", "2024-04-30T23:00:00-01:00", "1969-12-31T23:59:59Z"]
            .into_iter()
            .filter_map(Timestamp::from_iso)
            .map(Scalar::Timestamp)
            .collect();
    prop_oneof![
        8 => prop::sample::select(scalars(common())),
        4 => prop::sample::select(scalars(values())),
        1 => prop::sample::select(instants),
    ]
}

/// What can be ordered: no bools.
fn orderable() -> impl Strategy<Value = Scalar> {
    scalar().prop_filter("a bool has no order", |value| !matches!(value, Scalar::Bool(_)))
}

fn condition() -> impl Strategy<Value = Condition> {
    let list = || prop::collection::vec(scalar(), 0..4);
    let text = || {
        prop_oneof![Just("a"), Just("A"), Just(""), Just("é"), Just("%"), Just("2024"), Just("t"), Just("\\")]
    };
    prop_oneof![
        2 => scalar().prop_map(Condition::Eq),
        2 => scalar().prop_map(Condition::Ne),
        1 => orderable().prop_map(Condition::Gt),
        1 => orderable().prop_map(Condition::Gte),
        1 => orderable().prop_map(Condition::Lt),
        1 => orderable().prop_map(Condition::Lte),
        1 => (orderable(), orderable()).prop_map(|(low, high)| Condition::Between(low, high)),
        1 => list().prop_map(Condition::In),
        1 => list().prop_map(Condition::NotIn),
        1 => scalar().prop_map(Condition::Contains),
        1 => list().prop_map(Condition::AnyOf),
        1 => list().prop_map(Condition::AllOf),
        1 => text().prop_map(|text| Condition::TextMatch(text.to_owned())),
        1 => text().prop_map(|text| Condition::TextMatchInsensitive(text.to_owned())),
        1 => Just(Condition::IsEmpty),
        1 => any::<bool>().prop_map(Condition::Exists),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let field = (prop::sample::select(&KEYS[..]), condition())
        .prop_map(|(key, condition)| Filter::Field { key: key.to_owned(), condition });
    field.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            8 => prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::All),
            10 => prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Any),
            8 => inner.prop_map(|inner| Filter::Not(Box::new(inner))),
            1 => prop::sample::select(vec![Filter::All(vec![]), Filter::Any(vec![])]),
        ]
    })
}

/// How filters were answered.
#[derive(Default)]
struct Tally {
    whole: usize,
    finished: usize,
    refused: usize,
}

fn oracle<'a>(nodes: &'a [Node], filter: &Filter) -> Vec<&'a str> {
    nodes.iter().filter(|node| filter.matches(&node.metadata)).map(|node| node.id.as_str()).collect()
}

/// The filter and all its parts, the smallest first.
fn parts(filter: &Filter) -> Vec<&Filter> {
    let mut parts = vec![filter];
    let mut next = 0;
    while let Some(part) = parts.get(next).copied() {
        next += 1;
        match part {
            Filter::All(inner) | Filter::Any(inner) => parts.extend(inner),
            Filter::Not(inner) => parts.push(inner),
            Filter::Field { .. } => {}
        }
    }
    parts.reverse();
    parts
}

enum Answer {
    Whole,
    Finished,
    Refused,
}

async fn ask(
    store: &dyn VectorStore,
    metric: Metric,
    nodes: &[Node],
    filter: &Filter,
    count: bool,
) -> CaseResult<Answer> {
    let selector = Selector::from(filter.clone());
    let expected = oracle(nodes, filter);
    let query = VectorQuery::dense(vec![0.25, -1.0], 7).with_selector(selector.clone());
    let refusable = |kind| {
        store.capabilities().may_refuse_filters
            && matches!(kind, ErrorKind::Unsupported | ErrorKind::InvalidInput)
    };
    let page = match store.get(&selector, GetOptions::default()).await {
        Err(error) if refusable(error.kind()) => {
            let explained = store.explain(&query).await;
            holds(explained.is_err(), "get refuses the filter, explain has a plan for it")?;
            return Ok(Answer::Refused);
        }
        page => page?,
    };
    same_items("get", &crate::nodes::ids_of(&page.items), &expected)?;
    if count {
        same("count", &store.count(&selector).await?, &expected.len())?;
    }
    let part: Vec<Node> = nodes.iter().filter(|node| filter.matches(&node.metadata)).cloned().collect();
    let found =
        store.query_many(std::slice::from_ref(&query)).await?.into_iter().flatten().collect::<Vec<_>>();
    is_ranking("the 7 nearest", metric, &[0.25, -1.0], &part, 7, &found)?;
    let plan = store.explain(&query).await?;
    Ok(if plan.applied_after.is_some() { Answer::Finished } else { Answer::Whole })
}

async fn run(env: &Env, store: Arc<dyn VectorStore>, metric: Metric, count: u32, what: &str) -> CaseResult {
    let nodes = Arc::new(nodes());
    put(&*store, nodes.to_vec()).await?;
    let filters = samples(&env.harness, filter, count)?;
    let total = filters.len();
    let asked: Vec<_> = filters
        .into_iter()
        .enumerate()
        .map(|(number, filter)| {
            let (store, nodes) = (Arc::clone(&store), Arc::clone(&nodes));
            async move {
                // What a count takes is what a page takes: some are enough.
                let count = number.is_multiple_of(COUNTED);
                let answer = ask(&*store, metric, &nodes, &filter, count).await;
                (filter, answer)
            }
        })
        .collect();
    let mut answers = futures::stream::iter(asked).buffered(8);
    let mut tally = Tally::default();
    while let Some((filter, answer)) = answers.next().await {
        match answer {
            Ok(Answer::Whole) => tally.whole += 1,
            Ok(Answer::Finished) => tally.finished += 1,
            Ok(Answer::Refused) => tally.refused += 1,
            Err(failure) => {
                for part in parts(&filter) {
                    if let Err(failure) = ask(&*store, metric, &nodes, part, true).await {
                        return Err(disagrees(part, env.harness.seed, &failure));
                    }
                }
                return Err(disagrees(&filter, env.harness.seed, &failure));
            }
        }
    }
    let Tally { whole, finished, refused } = tally;
    println!(
        "{}: of {total} random filters{what} {whole} were pushed down whole, {finished} finished by us, {refused} refused",
        env.harness.name
    );
    Ok(())
}

fn disagrees(filter: &Filter, seed: u64, failure: &Failure) -> Failure {
    Failure::new(format!(
        "{failure}\n  with the filter {}\n  seed {seed} (STORE_TEST_SEED repeats it)",
        filter.to_json()
    ))
}

/// Random filters over metadata with nulls, gaps, nesting, lists, great numbers, timestamps and odd names: `get` and
/// `query` answer what the oracle says, and `count` for one filter in four. Prints how many the backend answered by itself.
async fn random_filters_match_the_oracle(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let metric = configure(&*store, 2).await?;
    run(env, store, metric, env.harness.random_filters, "").await
}

/// The same when fields are declared, whose values do not all follow their types.
async fn random_filters_match_the_oracle_with_declared_fields(env: &Env) -> CaseResult {
    let store = env.vectors()?;
    let metric = store.capabilities().metrics.first().copied().unwrap_or_default();
    let types = [
        ("v", FieldType::Integer),
        ("w", FieldType::Text),
        ("year", FieldType::Float),
        ("tag", FieldType::Text),
        ("when", FieldType::Timestamp),
        ("in.a", FieldType::Text),
        ("in.a.b", FieldType::Bool),
        ("in.list", FieldType::Text),
        ("ключ", FieldType::Integer),
        ("it's \"$x\"", FieldType::Text),
    ];
    let fields = types.map(|(key, field_type)| FilterableField { key: key.to_owned(), field_type });
    store.configure(VectorConfig::new(2, metric).with_filterable(fields)).await?;
    run(env, store, metric, env.harness.random_filters.div_ceil(4), " over declared fields").await
}

/// The same in a document store's `find`.
async fn random_filters_match_the_oracle_in_find(env: &Env) -> CaseResult {
    let docs = env.docs()?;
    let nodes = nodes();
    docs.add(nodes.clone(), store_core::AddOptions::default()).await?;
    let capabilities = env.backend().capabilities();
    let may_refuse = capabilities.vectors.is_some_and(|vectors| vectors.may_refuse_filters);
    let asked =
        samples(&env.harness, filter, env.harness.random_filters.div_ceil(4))?.into_iter().map(|filter| {
            let docs = Arc::clone(&docs);
            async move {
                let found = docs.find(&DocQuery::new().with_filter(filter.clone())).await;
                (filter, found)
            }
        });
    // Collected first: a stream over what borrows is not general enough for the compiler.
    let asked: Vec<_> = asked.collect();
    let mut answers = futures::stream::iter(asked).buffered(8);
    while let Some((filter, found)) = answers.next().await {
        match found {
            Err(error) if may_refuse && error.kind() == ErrorKind::Unsupported => {}
            page => {
                let found = found_ids(&page?.items);
                same_items("find", &found, &oracle(&nodes, &filter))
                    .map_err(|failure| disagrees(&filter, env.harness.seed, &failure))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_filters_tell_nodes_apart() {
        let (harness, nodes) = (crate::Harness::unavailable("none", "no store"), nodes());
        let filters = samples(&harness, filter, 2_000).unwrap();
        let telling = |filter: &&Filter| (3..98).contains(&oracle(&nodes, filter).len());
        let share = filters.iter().filter(telling).count();
        assert!(share > 700, "only {share} of 2,000 match between 3 and 97 of 100 nodes");
    }
}
