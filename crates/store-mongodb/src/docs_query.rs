//! The stages of a document query: its sort, the place where it goes on, its projection.
//!
//! The server's own order puts arrays by their elements and bools behind texts, so each sort key becomes two: its
//! rank by type (missing, bool, number, text, the rest) and its value within the rank.

use bson::{Bson, Decimal128, Document, doc};
use serde_json::Value;
use store_core::kit::doc_query::Place;
use store_core::{DocQuery, JsonObject, Order};

/// Where sort keys stand while a query runs.
const SORT: &str = "_nodestore_sort";

/// A node's metadata in its stored JSON.
pub(crate) fn metadata(json: &JsonObject) -> Option<&JsonObject> {
    json.get("__data__")?.get("metadata")?.as_object()
}

/// Whether a node's JSON is of today's form: then its members are where a projection looks for them.
pub(crate) fn is_todays(json: &JsonObject) -> bool {
    let Some(Value::Object(data)) = json.get("__data__") else { return false };
    data.contains_key("metadata_separator")
        && !data.contains_key("metadata_seperator")
        && data.get("class_name").is_some_and(Value::is_string)
}

/// The fields to fetch, or `None` for whole documents. The caller still takes out what is not asked for.
pub(crate) fn projection(query: &DocQuery, with_metadata: bool) -> Option<Document> {
    // What tells today's form from older ones is fetched, too.
    let fixed = ["id_", "class_name", "metadata_separator", "metadata_seperator"].map(str::to_owned);
    let sort = query.sort.iter().map(|(key, _)| fetched(&format!("metadata.{key}")));
    let all = with_metadata.then(|| "metadata".to_owned());
    let asked = query.projection.as_ref()?.iter().map(|path| fetched(path));
    let mut paths: Vec<String> = asked.chain(fixed).chain(sort).chain(all).collect();
    // The server takes no such names in a projection.
    if paths.iter().any(|path| path.contains('\0') || path.starts_with('$')) {
        return None;
    }
    paths.sort_unstable();
    paths.dedup();
    let kept = paths.clone();
    // Nor a path and one below it.
    paths.retain(|path| {
        !kept.iter().any(|other| path.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('.')))
    });
    let mut fields = doc! {"__type__": 1};
    fields.extend(paths.into_iter().map(|path| (format!("__data__.{path}"), Bson::from(1))));
    Some(fields)
}

/// What is fetched for a path: a member, or a member of the metadata. A path that goes deeper may also mean a member
/// whose own name holds a dot, which the server's projections do not see.
fn fetched(path: &str) -> String {
    let mut steps = path.split('.');
    match (steps.next(), steps.next(), steps.next()) {
        (Some("metadata"), Some(name), None) if !name.starts_with('$') => format!("metadata.{name}"),
        (first, ..) => first.unwrap_or_default().to_owned(),
    }
}

/// The stages that sort, and begin after `place`.
pub(crate) fn sort_stages(query: &DocQuery, place: Option<&Place>) -> Vec<Document> {
    let (mut values, mut keys, mut order) = (Document::new(), Document::new(), Document::new());
    for (number, (key, direction)) in query.sort.iter().enumerate() {
        values.insert(format!("x{number}"), field(key));
        let value = format!("${SORT}.x{number}");
        keys.insert(format!("{SORT}.r{number}"), rank(&value));
        keys.insert(format!("{SORT}.v{number}"), scalar(&value));
        let direction = if *direction == Order::Ascending { 1 } else { -1 };
        order.insert(format!("{SORT}.r{number}"), direction);
        order.insert(format!("{SORT}.v{number}"), direction);
    }
    order.insert("_id", 1);
    let mut stages = vec![doc! {"$set": {SORT: values}}, doc! {"$set": keys}];
    stages.extend(place.map(|place| doc! {"$match": after(query, place)}));
    stages.push(doc! {"$sort": order});
    stages.push(doc! {"$unset": SORT});
    stages
}

/// The value of a metadata path: objects only are looked into, never arrays.
fn field(key: &str) -> Bson {
    key.split('.').fold("$__data__.metadata".into(), |input: Bson, step| {
        doc! {"$getField": {"field": {"$literal": step}, "input": input}}.into()
    })
}

/// What is read as null, besides missing: numbers that JSON has none for.
fn no_numbers() -> Vec<Bson> {
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(Bson::from).to_vec()
}

fn rank(value: &str) -> Document {
    let kind = |kinds: &[&str]| doc! {"$in": [{"$type": value}, kinds]};
    doc! {"$switch": {
        "branches": [
            {"case": kind(&["missing", "null", "undefined"]), "then": 0},
            {"case": {"$in": [value, no_numbers()]}, "then": 0},
            {"case": kind(&["bool"]), "then": 1},
            {"case": kind(&["int", "long", "double", "decimal"]), "then": 2},
            {"case": kind(&["string"]), "then": 3},
        ],
        "default": 4,
    }}
}

/// The value itself where values of its rank have an order, else null.
fn scalar(value: &str) -> Document {
    let kinds = ["bool", "int", "long", "double", "decimal", "string"];
    let ordered = doc! {"$and": [
        {"$in": [{"$type": value}, kinds.to_vec()]},
        {"$not": [{"$in": [value, no_numbers()]}]},
    ]};
    doc! {"$cond": [ordered, value, Bson::Null]}
}

/// Matches what stands behind a place in the order.
fn after(query: &DocQuery, place: &Place) -> Document {
    let mut behind = Vec::new();
    let mut equal = Document::new();
    for (number, (_, direction)) in query.sort.iter().enumerate() {
        let (rank, value) = key(place.keys.get(number).unwrap_or(&Value::Null));
        let operator = if *direction == Order::Ascending { "$gt" } else { "$lt" };
        let (rank_path, value_path) = (format!("{SORT}.r{number}"), format!("{SORT}.v{number}"));
        let mut by_rank = equal.clone();
        by_rank.insert(rank_path.clone(), doc! {operator: rank});
        behind.push(by_rank);
        equal.insert(rank_path, rank);
        if value != Bson::Null {
            let mut by_value = equal.clone();
            by_value.insert(value_path.clone(), doc! {operator: value.clone()});
            behind.push(by_value);
            equal.insert(value_path, value);
        }
    }
    equal.insert("_id", doc! {"$gt": &place.id});
    behind.push(equal);
    doc! {"$or": behind}
}

/// A sort key as rank and value.
fn key(value: &Value) -> (i32, Bson) {
    match value {
        Value::Null => (0, Bson::Null),
        Value::Bool(value) => (1, (*value).into()),
        Value::Number(number) => {
            let float = || number.as_f64().map_or(Bson::Null, Bson::from);
            let great = || number.to_string().parse::<Decimal128>().map_or(Bson::Null, Bson::Decimal128);
            let value = match number.as_i64() {
                Some(integer) => integer.into(),
                None if number.is_u64() => great(),
                None => float(),
            };
            (2, value)
        }
        Value::String(text) => (3, text.as_str().into()),
        Value::Array(_) | Value::Object(_) => (4, Bson::Null),
    }
}
