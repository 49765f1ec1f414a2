//! The index of the search module: made, compared with what is wanted, and waited for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fred::types::Value;
use store_core::{Error, ErrorKind, FieldType, Metric, Result, VectorConfig};

use super::answer::{member, members, name};
use super::options::RedisVectorIndex;
use super::rows::{DOC_ID, ID, TEXT, VECTOR, WORDS, stands_beside};
use super::set::Set;
use super::terms;
use crate::driver::{Cmd, items, text};
use crate::space::Space;

/// How often an index that is being built is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Removes every index of the space; the rows stay.
pub(super) async fn drop_all(space: &Space) -> Result<()> {
    for name in items(space.call(Cmd::keyless("FT._LIST")).await?) {
        if let Some(name) = text(&name).filter(|name| name.starts_with(&space.prefix)) {
            drop_one(space, name).await?;
        }
    }
    Ok(())
}

/// Removes one index, if it is there; the rows stay.
pub(super) async fn drop_one(space: &Space, index: &str) -> Result<()> {
    match space.call(Cmd::write("FT.DROPINDEX", index)).await {
        Err(error) if is_unknown(&error) => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// Makes the index of a set if it is not there and may be made, compares it if it is, and waits until it holds all
/// rows.
pub(super) async fn prepare(set: &Set, config: &VectorConfig) -> Result<()> {
    let found = if let Some(found) = look(set).await? {
        found
    } else {
        create(set, config).await?;
        look(set).await?.ok_or_else(|| missing(set))?
    };
    compare(set, config, &found)?;
    let found = wait(set, found).await?;
    if extend(set, config, &found).await? {
        wait(set, look(set).await?.ok_or_else(|| missing(set))?).await?;
    }
    Ok(())
}

/// The vector field as it should be: the names and values that a description of it holds.
fn vector_field(set: &Set, config: &VectorConfig) -> Vec<(&'static str, String)> {
    let metric = match config.metric {
        Metric::Cosine => "COSINE",
        Metric::Dot => "IP",
        Metric::Euclidean => "L2",
    };
    let algorithm = match set.space.config.vectors.index {
        RedisVectorIndex::Flat => "FLAT",
        RedisVectorIndex::Hnsw => "HNSW",
    };
    vec![
        ("algorithm", algorithm.to_owned()),
        ("data_type", "FLOAT32".to_owned()),
        ("dim", config.dimensions.to_string()),
        ("distance_metric", metric.to_owned()),
    ]
}

async fn create(set: &Set, config: &VectorConfig) -> Result<()> {
    if !set.space.config.create {
        return Err(missing(set));
    }
    let options = &set.space.config.vectors;
    let [algorithm, data_type, dimensions, metric] =
        vector_field(set, config).try_into().unwrap_or_else(|_| Default::default());
    let mut vector: Vec<String> = ["TYPE", &data_type.1, "DIM", &dimensions.1, "DISTANCE_METRIC", &metric.1]
        .map(str::to_owned)
        .to_vec();
    if options.index == RedisVectorIndex::Hnsw {
        let numbers = [
            ("M", options.hnsw_m.to_string()),
            ("EF_CONSTRUCTION", options.hnsw_ef_construction.to_string()),
            ("EF_RUNTIME", options.hnsw_ef_runtime.to_string()),
            ("EPSILON", options.hnsw_epsilon.to_string()),
        ];
        vector.extend(numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    }
    // As LlamaIndex makes it, but that no word is left out as too common.
    let prefix = format!("{}/vector", set.index);
    let command = Cmd::write("FT.CREATE", set.index.as_str())
        .args(["ON", "HASH", "PREFIX", "1", &prefix, "SCORE", "1.0", "STOPWORDS", "0", "SCHEMA"])
        .args([ID, "TAG", "SEPARATOR", ",", DOC_ID, "TAG", "SEPARATOR", ",", TEXT, "TEXT", "WEIGHT", "1.0"])
        .args([VECTOR, "VECTOR", &algorithm.1, &vector.len().to_string()])
        .args(vector.iter().map(String::as_str))
        .args(own_fields(config).iter().flatten().map(String::as_str));
    match set.space.call(command).await {
        // Another made it at the same moment; it is compared like any other.
        Err(error) if says(&error, "already exists") => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// Our own fields of the schema, each as its arguments.
fn own_fields(config: &VectorConfig) -> Vec<Vec<String>> {
    let field = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<String>>();
    let mut fields = vec![
        field(&[terms::FIELD, "TAG", "SEPARATOR", &terms::SEPARATOR.to_string(), "INDEXMISSING"]),
        field(&[WORDS, "TEXT", "NOSTEM"]),
    ];
    for declared in config.filterable.iter().flatten() {
        let names = match declared.field_type {
            FieldType::Integer | FieldType::Float => vec![terms::number_field(&declared.key)],
            FieldType::Timestamp => {
                let (first, second) = terms::instant_fields(&declared.key);
                vec![first, second]
            }
            // Terms are enough.
            FieldType::Text | FieldType::Bool => Vec::new(),
        };
        for name in names {
            let numeric = field(&[&name, "NUMERIC"]);
            if !fields.contains(&numeric) {
                fields.push(numeric);
            }
        }
    }
    fields
}

/// The fields that Python filters by, if its schema names them: what was declared, as it stands in the rows. One of
/// numbers is only for an index without rows: the server leaves a row out that has something else there, which ours
/// never have (see [`rows`](super::rows)), but older ones and Python's may.
fn pythons_fields(config: &VectorConfig, found: &Found) -> Vec<Vec<String>> {
    let declared = config.filterable.iter().flatten().filter(|declared| stands_beside(&declared.key));
    let fields = declared.filter_map(|declared| match declared.field_type {
        FieldType::Text => Some(vec![declared.key.as_str(), "TAG", "SEPARATOR", ","]),
        FieldType::Integer | FieldType::Float if found.rows == 0 => {
            Some(vec![declared.key.as_str(), "NUMERIC"])
        }
        // Python has no field for the others.
        _ => None,
    });
    fields.map(|field| field.into_iter().map(str::to_owned).collect()).collect()
}

/// An index that is there.
#[derive(Debug, Default)]
struct Found {
    prefixes: Vec<String>,
    /// How many rows it holds.
    rows: u64,
    /// The description of each field: names and values, in upper or lower case.
    fields: Vec<Vec<String>>,
    indexing: bool,
    /// The share of the rows that it holds.
    done: f64,
}

impl Found {
    /// The description of a field.
    fn field(&self, name: &str) -> Option<&[String]> {
        let named = |field: &&Vec<String>| value_of(field, "identifier").is_some_and(|found| found == name);
        self.fields.iter().find(named).map(Vec::as_slice)
    }
}

/// What stands behind a name in a description.
fn value_of<'a>(field: &'a [String], name: &str) -> Option<&'a str> {
    let place = field.iter().position(|word| word.eq_ignore_ascii_case(name))?;
    field.get(place + 1).map(String::as_str)
}

/// Every text and number in an answer, one after the other.
fn words(value: Value, into: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.into_iter().for_each(|value| words(value, into)),
        Value::Map(_) => {
            for (member, value) in members(value) {
                into.push(name(&member));
                words(value, into);
            }
        }
        Value::Integer(number) => into.push(number.to_string()),
        Value::Double(number) => into.push(number.to_string()),
        other => into.extend(text(&other).map(str::to_owned)),
    }
}

/// The index of a set; `None` when there is none.
async fn look(set: &Set) -> Result<Option<Found>> {
    let answer = match set.space.call(Cmd::read("FT.INFO", set.index.as_str()).at_primary()).await {
        Err(error) if is_unknown(&error) => return Ok(None),
        answer => answer?,
    };
    let mut answer = members(answer);
    let mut take = |name: &str| {
        let mut found = Vec::new();
        words(member(&mut answer, name), &mut found);
        found
    };
    let number = |found: Vec<String>| found.first().and_then(|text| text.parse::<f64>().ok());
    let definition = take("index_definition");
    let start = definition.iter().position(|word| word == "prefixes").map_or(definition.len(), |at| at + 1);
    let prefixes = definition.into_iter().skip(start).collect();
    let (indexing, done) = (number(take("indexing")), number(take("percent_indexed")));
    let rows = take("num_docs").first().and_then(|rows| rows.parse().ok());
    let fields = items(member(&mut answer, "attributes")).into_iter().map(|field| {
        let mut description = Vec::new();
        words(field, &mut description);
        description
    });
    Ok(Some(Found {
        prefixes,
        // Not known is not none.
        rows: rows.unwrap_or(u64::MAX),
        fields: fields.collect(),
        indexing: indexing.is_some_and(|indexing| indexing != 0.0),
        done: done.unwrap_or(1.0),
    }))
}

/// Refuses an index that finds other rows, or compares them in another way.
fn compare(set: &Set, config: &VectorConfig, found: &Found) -> Result<()> {
    let mut differs = String::new();
    let mut note = |what: &str, found: &str, wanted: &str| {
        let joint = if differs.is_empty() { "" } else { "; " };
        let _ = write!(differs, "{joint}{what} is {found:?}, not {wanted:?}");
    };
    if !found.prefixes.iter().any(|prefix| set.rows.starts_with(prefix.as_str())) {
        note("the prefix of its keys", &found.prefixes.join(", "), &set.rows);
    }
    for (name, wanted) in [(ID, "TAG"), (DOC_ID, "TAG"), (TEXT, "TEXT"), (VECTOR, "VECTOR")] {
        let field_type = found.field(name).and_then(|field| value_of(field, "type")).unwrap_or("not there");
        if field_type != wanted {
            note(&format!("the field {name}"), field_type, wanted);
        }
    }
    if let Some(vector) = found.field(VECTOR) {
        for (name, wanted) in vector_field(set, config) {
            let value = value_of(vector, name).unwrap_or("unknown");
            if !value.eq_ignore_ascii_case(&wanted) {
                note(name, value, &wanted);
            }
        }
    }
    if differs.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the index {:?} is there and differs: {differs}; configure the store as the index is, or drop the index \
         (FT.DROPINDEX, the nodes stay) and configure again",
        set.index
    ))
    .with_collection(&set.name))
}

/// Adds the fields of ours that an index lacks (LlamaIndex made it, or a field was declared since); answers whether
/// there were any.
async fn extend(set: &Set, config: &VectorConfig, found: &Found) -> Result<bool> {
    let lacks = |field: &Vec<String>| field.first().is_some_and(|name| found.field(name).is_none());
    let mut lacking: Vec<Vec<String>> = own_fields(config).into_iter().filter(lacks).collect();
    if set.space.config.create {
        lacking.extend(pythons_fields(config, found).into_iter().filter(lacks));
    }
    if lacking.is_empty() {
        return Ok(false);
    }
    if !set.space.config.create {
        let lacking: Vec<String> = lacking.iter().map(|field| field.join(" ")).collect();
        return Err(Error::config(format!(
            "the index {:?} lacks fields that filters and words are found by; let the store add them \
             (store.create=true), or add them yourself: FT.ALTER {} SCHEMA ADD {}",
            set.index,
            set.index,
            lacking.join(" ")
        ))
        .with_collection(&set.name));
    }
    for field in lacking {
        let alter = Cmd::write("FT.ALTER", set.index.as_str()).args(["SCHEMA", "ADD"]);
        match set.space.call(alter.args(field.iter().map(String::as_str))).await {
            // Another added it at the same moment.
            Err(error) if says(&error, "duplicate") => {}
            answer => answer.map(|_| ())?,
        }
    }
    Ok(true)
}

/// Waits until the index holds all rows that were there before it, and answers it as it is then.
async fn wait(set: &Set, found: Found) -> Result<Found> {
    let limit = set.space.config.operation_timeout;
    let deadline = Instant::now() + limit;
    let mut found = found;
    while found.indexing {
        if Instant::now() >= deadline {
            let message = format!(
                "the index {:?} is still being built, {:.0} % of the nodes are in it; it goes on, call again later",
                set.index,
                found.done * 100.0
            );
            return Err(Error::new(ErrorKind::Timeout, message).with_retryable(true));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        found = look(set).await?.ok_or_else(|| missing(set))?;
    }
    Ok(found)
}

fn missing(set: &Set) -> Error {
    let message = format!(
        "the index {:?} is not there, and store.create=false; let the store make it, or make it yourself (FT.CREATE)",
        set.index
    );
    Error::new(ErrorKind::NotFound, message).with_collection(&set.name)
}

/// Whether the server does not know the index.
pub(super) fn is_unknown(error: &Error) -> bool {
    says(error, "unknown index name") || says(error, "no such index")
}

fn says(error: &Error, text: &str) -> bool {
    error.message().to_ascii_lowercase().contains(text)
}
