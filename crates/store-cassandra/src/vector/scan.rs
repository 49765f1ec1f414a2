//! The rows of a set: all of them in pages, by id, or by source document.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::{BoxStream, RefDocId, Result};

use super::rows::{self, Keep, Row, latest};
use super::set::{Ready, Set};
use super::terms::TERMS;
use crate::codec::{text, varint};
use crate::filter::{Test, Tests};
use crate::session::{Call, Class, Rows, Value};

/// Lookups that are under way at once.
pub(super) const AT_ONCE: usize = 16;
/// Rows of a page at most, and at least.
const PAGE: [usize; 2] = [50, 1_000];
/// Bytes of a page, about.
const PAGE_BYTES: usize = 4 << 20;
/// Bytes of a node without its embedding, about.
const NODE_BYTES: usize = 4 << 10;

/// A test as CQL has it, and its values.
pub(super) fn condition(test: &Test) -> (String, Vec<Value>) {
    match test {
        Test::Entry(key, value) => {
            ("metadata_s[?] = ?".to_owned(), vec![text(key.as_str()), text(value.as_str())])
        }
        Test::Term(term) => (format!("{TERMS} CONTAINS ?"), vec![text(term.as_str())]),
        Test::Number(column, order, number) => {
            (format!("{column} {} ?", order.sign()), vec![varint(*number)])
        }
    }
}

/// Alternatives, for people.
pub(super) fn shown(alternatives: &[Tests]) -> String {
    let test = |test: &Test| match test {
        Test::Entry(key, text) => format!("metadata_s[{key:?}] = {text:?}"),
        Test::Term(term) => format!("{TERMS} CONTAINS {term:?}"),
        Test::Number(column, order, number) => format!("{column} {} {number}", order.sign()),
    };
    let tests = |tests: &Tests| tests.iter().map(test).collect::<Vec<_>>().join(" AND ");
    alternatives.iter().map(tests).collect::<Vec<_>>().join("; and one WHERE ")
}

/// What is read of the rows.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) keep: Keep,
    /// A row must satisfy one of these.
    pub(super) alternatives: Vec<Tests>,
    /// The partition and the id after which it begins.
    pub(super) after: Option<(String, String)>,
}

impl Want {
    /// Of every row.
    pub(super) fn all(keep: Keep) -> Self {
        Self { keep, alternatives: vec![Tests::new()], after: None }
    }
}

/// A statement, and its values.
#[derive(Clone, Debug)]
struct Part {
    statement: String,
    values: Vec<Value>,
}

impl Want {
    /// The statements whose rows, one after the other, are those of an alternative.
    fn parts(&self, ready: &Ready, keep: Keep, tests: &Tests) -> Vec<Part> {
        let select = format!("SELECT {} FROM {}", keep.columns(ready.live.own), ready.table);
        let part = |begin: Vec<&str>, mut values: Vec<Value>| {
            let mut conditions: Vec<String> = begin.into_iter().map(str::to_owned).collect();
            for (condition, operands) in tests.iter().map(condition) {
                conditions.push(condition);
                values.extend(operands);
            }
            let statement = match conditions.as_slice() {
                [] => select.clone(),
                conditions => format!("{select} WHERE {}", conditions.join(" AND ")),
            };
            Part { statement, values }
        };
        match &self.after {
            None => vec![part(Vec::new(), Vec::new())],
            Some((partition, id)) => {
                let partition = || text(partition.as_str());
                vec![
                    part(vec!["partition_id = ?", "row_id > ?"], vec![partition(), text(id.as_str())]),
                    part(vec!["token(partition_id) > token(?)"], vec![partition()]),
                ]
            }
        }
    }
}

/// Rows of a page.
fn page_rows(ready: &Ready, keep: Keep) -> i32 {
    let [least, most] = PAGE;
    let vector = if keep.embedding { ready.config.dimensions * 4 } else { 0 };
    let node = if keep.node || keep.text { NODE_BYTES } else { 100 };
    i32::try_from((PAGE_BYTES / (vector + node)).clamp(least, most)).unwrap_or(1)
}

fn read(rows: &Rows, ready: &Ready, keep: Keep) -> Result<Vec<Row>> {
    rows.iter().map(|row| rows::read(&row, keep, ready.live.own)).collect()
}

/// All rows of a set that are wanted, in pages, in the order of the partitions' tokens and of the ids.
pub(super) fn rows(set: &Arc<Set>, ready: &Arc<Ready>, want: &Want) -> BoxStream<Vec<Row>> {
    match want.alternatives.as_slice() {
        [] => stream::empty().boxed(),
        [tests] => pages(set, ready, want.keep, want.parts(ready, want.keep, tests)),
        several => {
            let keep = want.keep.with_token();
            let alternative = |tests| Alternative {
                rows: pages(set, ready, keep, want.parts(ready, keep, tests)),
                read: VecDeque::new(),
                ended: false,
            };
            merged(several.iter().map(alternative).collect())
        }
    }
}

/// The rows of an alternative, which come in order.
struct Alternative {
    rows: BoxStream<Vec<Row>>,
    read: VecDeque<Row>,
    ended: bool,
}

/// The rows of several alternatives in one order, each row once.
fn merged(alternatives: Vec<Alternative>) -> BoxStream<Vec<Row>> {
    stream::try_unfold(alternatives, |mut alternatives| async move {
        for alternative in &mut alternatives {
            while alternative.read.is_empty() && !alternative.ended {
                match alternative.rows.try_next().await? {
                    Some(rows) => alternative.read.extend(rows),
                    None => alternative.ended = true,
                }
            }
        }
        let mut merged = Vec::new();
        // Until one must be read on.
        while !alternatives.iter().any(|alternative| alternative.read.is_empty() && !alternative.ended) {
            let heads = alternatives.iter().enumerate();
            let heads = heads.filter_map(|(at, alternative)| Some((place(alternative.read.front()?), at)));
            let first = heads.min().map(|(_, at)| at);
            let first = first.and_then(|at| alternatives.get_mut(at)?.read.pop_front());
            let Some(first) = first else { break };
            for alternative in &mut alternatives {
                if alternative.read.front().is_some_and(|row| place(row) == place(&first)) {
                    alternative.read.pop_front();
                }
            }
            merged.push(first);
        }
        Ok((!merged.is_empty()).then_some((merged, alternatives)))
    })
    .boxed()
}

/// Where a row stands among all.
fn place(row: &Row) -> (i64, &str, &str) {
    (row.token, &row.partition, &row.id)
}

/// The rows of statements, one after the other, in pages.
fn pages(set: &Arc<Set>, ready: &Arc<Ready>, keep: Keep, parts: Vec<Part>) -> BoxStream<Vec<Row>> {
    let (set, ready) = (Arc::clone(set), Arc::clone(ready));
    let parts = parts.into_iter();
    stream::try_unfold((parts, None::<(Part, Option<Vec<u8>>)>), move |(mut parts, open)| {
        let (set, ready) = (Arc::clone(&set), Arc::clone(&ready));
        async move {
            let Some((part, state)) = open.or_else(|| parts.next().map(|part| (part, None))) else {
                return Ok(None);
            };
            let mut call = Call::new(Class::Read, part.statement.clone(), part.values.clone());
            call = call.with_page(page_rows(&ready, keep));
            if let Some(state) = state {
                call = call.after(state);
            }
            let answer = set.space.run(call).await?;
            let open = answer.next().map(|next| (part, Some(next.to_vec())));
            Ok(Some((latest(read(&answer, &ready, keep)?), (parts, open))))
        }
    })
    .boxed()
}

/// Every row with one of these ids: more than one of an id where it is in several partitions.
pub(super) async fn by_ids(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    ids: &[String],
    keep: Keep,
) -> Result<Vec<Row>> {
    if !ready.live.by_id {
        // No index tells where they are.
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        let mut all = rows(set, ready, &Want::all(keep));
        while let Some(part) = all.try_next().await? {
            found.extend(part.into_iter().filter(|row| wanted.contains(row.id.as_str())));
        }
        return Ok(found);
    }
    let statement = format!("SELECT {} FROM {} WHERE row_id = ?", keep.columns(ready.live.own), ready.table);
    let lookups: Vec<_> = ids
        .iter()
        .map(|id| {
            let call = Call::new(Class::Read, statement.clone(), vec![text(id.as_str())]);
            async move { read(&set.space.run(call).await?, ready, keep) }
        })
        .collect();
    let found: Vec<Vec<Row>> = stream::iter(lookups).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// The rows of these ids, in their order; `None` where there is none.
pub(super) async fn named(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    ids: &[String],
    keep: Keep,
) -> Result<Vec<Option<Row>>> {
    let found = latest(by_ids(set, ready, ids, keep).await?);
    let mut found: HashMap<String, Row> = found.into_iter().map(|row| (row.id.clone(), row)).collect();
    Ok(ids.iter().map(|id| found.remove(id)).collect())
}

/// The rows of the partitions of these source documents, in order, after a partition and an id.
pub(super) fn of_sources(
    set: &Arc<Set>,
    ready: &Arc<Ready>,
    sources: &[RefDocId],
    keep: Keep,
    after: Option<(String, String)>,
) -> BoxStream<Vec<Row>> {
    let mut sources: Vec<String> = sources.iter().map(|source| source.as_str().to_owned()).collect();
    sources.sort_unstable();
    sources.dedup();
    // A longer one can not be a key, and no node has it.
    sources.retain(|source| !source.is_empty() && source.len() <= rows::MAX_PARTITION);
    sources.retain(|source| after.as_ref().is_none_or(|(partition, _)| source >= partition));
    let parts = sources.into_iter().map(move |source| {
        let after = after.as_ref().filter(|(partition, _)| *partition == source).map(|(_, id)| id.clone());
        Within { source, after }
    });
    let parts: Vec<Part> = parts.map(|within| within.part(ready, keep)).collect();
    pages(set, ready, keep, parts)
}

/// A partition, after an id.
struct Within {
    source: String,
    after: Option<String>,
}

impl Within {
    fn part(self, ready: &Ready, keep: Keep) -> Part {
        let (columns, table) = (keep.columns(ready.live.own), &ready.table);
        let mut statement = format!("SELECT {columns} FROM {table} WHERE partition_id = ?");
        let mut values = vec![text(self.source)];
        if let Some(after) = self.after {
            statement += " AND row_id > ?";
            values.push(text(after));
        }
        Part { statement, values }
    }
}
