//! The tables, in Markdown.

use std::fmt::Debug;
use std::time::Duration;

use nodestore::cassandra::CassandraConfig;
use nodestore::dynamodb::DynamoDbConfig;
use nodestore::embedded::EmbeddedConfig;
use nodestore::kit::{doc_query, tokens};
use nodestore::mongodb::MongoConfig;
use nodestore::redis::RedisConfig;
use nodestore::{Capabilities, DEFAULT_TOP_K, VectorCapabilities, filter};

use crate::stores::{Kind, Other};

/// What stands in the first column, and what a store has there.
pub(crate) type Rows = Vec<(String, String)>;

/// A column of a table of stores.
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) rows: Rows,
}

/// What is not there, or not limited.
const NONE: &str = "–";

/// What a store declares.
pub(crate) fn declared(capabilities: &Capabilities) -> Rows {
    let rows = store_conformance::capability_rows(capabilities);
    let cells = |row: &str| {
        let (what, says) = row.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((what.to_owned(), says.to_owned()))
    };
    rows.iter().filter_map(|row| cells(row)).collect()
}

/// The table of one store.
pub(crate) fn of_one(capabilities: &Capabilities) -> String {
    table(&["", ""], declared(capabilities).into_iter().map(|(what, says)| vec![what, says]))
}

/// The table of all backends: the roles and kinds of query in numbers, as most have all.
pub(crate) fn of_backends(backends: &[(&Kind, Capabilities)]) -> String {
    let heading = [
        "stored in",
        "URL",
        "cargo feature",
        "roles",
        "kinds of query",
        "values expire",
        "other programs see it",
    ];
    let rows = backends.iter().map(|(kind, can)| {
        let roles = [can.kv.is_some(), can.docs, can.index, can.chat, can.vectors.is_some()];
        let offered = roles.iter().filter(|offered| **offered).count();
        let kinds = |vectors: &VectorCapabilities| vectors.query_kinds.len();
        vec![
            kind.title.to_owned(),
            format!("`{}`", kind.form),
            kind.feature.map_or("always there".to_owned(), |feature| format!("`{feature}`")),
            of_all(offered, roles.len()),
            of_all(can.vectors.as_ref().map_or(0, kinds), kinds(&VectorCapabilities::new())),
            yes(can.kv.as_ref().is_some_and(|kv| kv.ttl)),
            yes(can.shared),
        ]
    });
    table(&heading, rows)
}

/// A row for each name that a column has, in their order.
pub(crate) fn side_by_side(columns: &[Column]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for column in columns {
        let mut next = 0;
        for (name, _) in &column.rows {
            let known = names.iter().position(|known| *known == name.as_str());
            let place = known.unwrap_or_else(|| {
                names.insert(next, name);
                next
            });
            next = place + 1;
        }
    }
    let mut heading = vec![""];
    heading.extend(columns.iter().map(|column| column.title.as_str()));
    let rows = names.iter().map(|name| {
        let cells = columns.iter().map(|column| value(&column.rows, name).unwrap_or(NONE).to_owned());
        [(*name).to_owned()].into_iter().chain(cells).collect()
    });
    table(&heading, rows)
}

fn value<'a>(rows: &'a [(String, String)], name: &str) -> Option<&'a str> {
    rows.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What a store declares other than usual.
pub(crate) fn differing(usual: &[(String, String)], rows: &[(String, String)]) -> Rows {
    let gone = usual.iter().filter(|(name, _)| value(rows, name).is_none());
    let gone = gone.map(|(name, _)| (name.clone(), NONE.to_owned()));
    rows.iter().filter(|row| !usual.contains(row)).cloned().chain(gone).collect()
}

/// A row for each setting that changes something that is declared.
pub(crate) fn of_differences(differences: &[(&Other, Rows)]) -> String {
    let rows = differences.iter().filter(|(_, rows)| !rows.is_empty()).map(|(other, rows)| {
        let says: Vec<String> = rows.iter().map(|(what, says)| format!("{what}: {says}")).collect();
        vec![other.kind.name.to_owned(), format!("`{}`", other.option), says.join("; ")]
    });
    table(&["", "setting", "what changes"], rows)
}

/// Settings that most stores have, where nothing else is said.
pub(crate) fn of_defaults() -> String {
    let (mongodb, redis, dynamodb, cassandra) = (
        MongoConfig::default(),
        RedisConfig::default(),
        DynamoDbConfig::default(),
        CassandraConfig::default(),
    );
    let none = || NONE.to_owned();
    let code = |value: &dyn Debug| format!("`{value:?}`");
    let kept = |ttl: Option<Duration>| ttl.map_or("for ever".to_owned(), seconds);
    let rows = [
        vec![
            "`store.create`: what is missing is made".to_owned(),
            yes(EmbeddedConfig::default().create),
            yes(mongodb.create),
            yes(redis.create),
            yes(dynamodb.create),
            yes(cassandra.create),
        ],
        vec![
            "`store.operation_timeout_ms`: a call ends within".to_owned(),
            none(),
            seconds(mongodb.operation_timeout),
            seconds(redis.operation_timeout),
            seconds(dynamodb.operation_timeout),
            seconds(cassandra.operation_timeout),
        ],
        vec![
            "`store.chat_ttl_secs`: chats are kept".to_owned(),
            none(),
            kept(mongodb.chat_ttl),
            kept(redis.chat_ttl),
            kept(dynamodb.chat_ttl),
            kept(cassandra.chat_ttl),
        ],
        vec![
            "`store.consistent_reads`".to_owned(),
            none(),
            none(),
            none(),
            code(&dynamodb.consistent_reads),
            none(),
        ],
        vec![
            "`store.read_consistency`, `store.write_consistency`".to_owned(),
            none(),
            none(),
            none(),
            none(),
            format!("{}, {}", code(&cassandra.read_consistency), code(&cassandra.write_consistency)),
        ],
    ];
    table(&["", "embedded", "mongodb", "redis", "dynamodb", "cassandra"], rows)
}

/// Limits that are the same in every store.
pub(crate) fn of_limits() -> String {
    let rows = [
        ("groups and negations of a filter in one another", filter::MAX_DEPTH),
        (
            "documents that `find` sorts without a limit, where the database does not sort",
            doc_query::MAX_SORTED,
        ),
        ("bytes of a word that is searched for", tokens::MAX_TOKEN_BYTES),
        ("answers of a retriever, unless told otherwise", DEFAULT_TOP_K),
    ];
    table(&["", "at most"], rows.map(|(what, most)| vec![what.to_owned(), most.to_string()]))
}

fn table(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: String = rows.into_iter().map(|cells| line(&cells)).collect();
    format!("{}|{}\n{rows}", line(&heading), "---|".repeat(heading.len()))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn of_all(count: usize, all: usize) -> String {
    if count == all { format!("all {all}") } else { format!("{count} of {all}") }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
