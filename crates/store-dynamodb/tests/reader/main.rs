//! Readers of collections, partitions, tables and statements, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "../common/mod.rs"]
mod common;
mod failures;
#[path = "../faults/mod.rs"]
mod faults;
mod statements;

use std::collections::BTreeMap;
use std::process::ExitCode;

use common::{Db, attributes, test};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{
    Backend as _, Cursor, Document, Error, ErrorKind, Filter, KvStoreExt as _, MissingField, Reader, Result,
};
use store_dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex,
    Projection, ProjectionType, PutRequest, ScalarAttributeType, WriteRequest,
};
use store_dynamodb::{DynamoDbLargeValues, DynamoDbReader, DynamoDbSortKey};

fn main() -> ExitCode {
    let others = [
        test("a_collection_is_read_in_order", a_collection_is_read_in_order),
        test("a_filter_of_a_collection_leaves_nothing_out", a_filter_of_a_collection_leaves_nothing_out),
        test("a_large_value_is_read_and_one_past_its_time_is_not", large_and_expired),
        test("a_table_is_read_in_segments_and_goes_on", a_table_is_read_in_segments_and_goes_on),
        test("a_table_is_filtered_and_projected", a_table_is_filtered_and_projected),
        test("a_partition_is_read_by_sort_key", a_partition_is_read_by_sort_key),
        test("an_index_is_read_or_refused", an_index_is_read_or_refused),
        test("odd_names_and_values_are_read", odd_names_and_values_are_read),
    ];
    common::run(others.into_iter().chain(statements::tests()).chain(failures::tests()))
}

pub(crate) async fn all(reader: &dyn Reader) -> Result<Vec<Document>> {
    reader.read().try_collect().await
}

pub(crate) fn texts(documents: &[Document]) -> Vec<(&str, &str)> {
    documents.iter().map(|document| (document.id.as_str(), document.text_content())).collect()
}

pub(crate) fn ids(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.id.as_str()).collect()
}

pub(crate) async fn refused(reader: &dyn Reader) -> Error {
    let mut documents = reader.read();
    let error = documents.try_next().await.unwrap_err();
    assert!(documents.try_next().await.unwrap().is_none(), "the reading goes on after {error}");
    error
}

/// A table with a partition key `USER` (reserved words all) of type S and a sort key `date` of type N, a local index by
/// `count` and a global one by `name`. It goes with the namespace.
pub(crate) async fn table(db: &Db) -> String {
    let name = db.beside("vectors-read");
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let define = |name: &str, kind| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let whole = Projection::builder().projection_type(ProjectionType::All).build();
    let local = LocalSecondaryIndex::builder().index_name("by.count").projection(whole.clone());
    let local = local.key_schema(key("USER", KeyType::Hash)).key_schema(key("count", KeyType::Range));
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let global = GlobalSecondaryIndex::builder().index_name("by_name").projection(keys_only);
    let global = global.key_schema(key("name", KeyType::Hash));
    let create = db.client().create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
    let create = create.key_schema(key("USER", KeyType::Hash)).key_schema(key("date", KeyType::Range));
    let create = create
        .attribute_definitions(define("USER", ScalarAttributeType::S))
        .attribute_definitions(define("date", ScalarAttributeType::N))
        .attribute_definitions(define("count", ScalarAttributeType::N))
        .attribute_definitions(define("name", ScalarAttributeType::S));
    let create = create.local_secondary_indexes(local.build().unwrap());
    create.global_secondary_indexes(global.build().unwrap()).send().await.unwrap();
    name
}

/// Puts items into a table.
pub(crate) async fn fill(db: &Db, table: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    for items in items.chunks(25) {
        let puts = items.iter().map(|item| {
            let Value::Object(item) = item.clone() else { panic!("no object: {item}") };
            let put = PutRequest::builder().set_item(Some(attributes(item))).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        let write = db.client().batch_write_item().request_items(table, puts.collect());
        let answer = write.send().await.unwrap();
        assert!(answer.unprocessed_items.unwrap_or_default().is_empty());
    }
}

/// Items of ten users.
pub(crate) async fn numbered(db: &Db, table: &str, count: usize) {
    let item = |n: usize| {
        json!({
            "USER": {"S": format!("u{}", n % 10)}, "date": {"N": n.to_string()}, "text": {"S": format!("text {n}")},
            "count": {"N": (n / 7).to_string()}, "group": {"M": {"or": {"S": format!("g{}", n % 3)}}},
            "name": {"S": format!("n{}", n % 4)}, "size": {"S": "x".repeat(300)},
        })
    };
    fill(db, table, (0..count).map(item)).await;
}

async fn a_collection_is_read_in_order(db: Db) {
    let kv = db.store.kv().unwrap();
    for (key, value) in [
        ("b", json!({"text": "two", "author": {"name": "B"}, "n": 2.0})),
        ("a", json!({"text": "one", "author": {"name": "A"}, "n": [1, null, "x"]})),
        ("c", json!({"text": "three", "n": true, "pk": "own"})),
    ] {
        let Value::Object(value) = value else { panic!() };
        kv.put("pages", key, value).await.unwrap();
    }
    let plain = db.store.collection_reader("pages").unwrap();
    let documents = all(&*plain).await.unwrap();
    assert_eq!(texts(&documents), [("a", "one"), ("b", "two"), ("c", "three")]);
    assert!(documents.iter().all(|document| document.metadata.is_empty()));
    let reader = db.store.reader("pages").with_fields(["text", "n"]).with_separator(" ");
    let reader =
        reader.with_metadata_as([("author.name", "author"), ("pk", "pk")]).after_id("a").with_limit(2);
    let documents = all(&reader).await.unwrap();
    // Python's `str`, of the numbers that were stored.
    assert_eq!(texts(&documents), [("b", "two 2.0"), ("c", "three True")]);
    let metadata: Vec<Value> =
        documents.iter().map(|document| Value::Object(document.metadata.clone())).collect();
    let expected = [
        json!({"author": "B", "pk": null, "collection": "pages"}),
        json!({"author": null, "pk": "own", "collection": "pages"}),
    ];
    assert_eq!(metadata, expected);
    let down = db.store.reader("pages").in_descending_order().with_id_field("text");
    assert_eq!(ids(&all(&down).await.unwrap()), ["three", "two", "one"]);
    let begins = db.store.reader("pages").with_sort_key(DynamoDbSortKey::BeginsWith("b".into()));
    assert_eq!(ids(&all(&begins).await.unwrap()), ["b"]);
    assert!(all(&db.store.reader("none")).await.unwrap().is_empty());
}

/// Values that DynamoDB does not hold as they are, and filters that find them.
async fn a_filter_of_a_collection_leaves_nothing_out(db: Db) {
    let kv = db.store.kv().unwrap();
    let deep = (0..40).fold(json!("end"), |value, _| json!({"d": value}));
    let values = [
        ("tiny", json!({"n": 5e-324})),
        ("great", json!({"n": 1e300})),
        ("minus", json!({"n": -1e300})),
        ("tenth", json!({"n": 0.1})),
        ("one", json!({"n": 1, "pk": "x", "s": "", "l": []})),
        ("float", json!({"n": 1.0, "_nodestore": {"a": 1}})),
        ("wide", json!({"n": 9_007_199_254_740_993_i64})),
        ("power", json!({"n": 18_446_744_073_709_551_616.0})),
        ("null", json!({"n": null})),
        ("list", json!({"n": [1, 0.1, "x", null, 1e300]})),
        ("deep", json!({"n": deep, "e": 1})),
        ("text", json!({"n": "1"})),
        ("none", json!({"m": 1})),
    ];
    let mut expected = BTreeMap::new();
    for (key, value) in values {
        let Value::Object(value) = value else { panic!() };
        expected.insert(key, value.clone());
        kv.put("values", key, value).await.unwrap();
    }
    // A number of more digits than a float has, by another hand.
    db.put(
        &db.main(),
        json!({"pk": {"S": "values"}, "sk": {"S": "digits"}, "n": {"N": "0.10000000000000000000001"}}),
    )
    .await;
    let Value::Object(digits) = json!({"n": 0.1}) else { panic!() };
    expected.insert("digits", digits);
    let deep = format!("n{} == \"end\"", ".d".repeat(40));
    let mut filters: Vec<String> =
        vec![deep, "pk == \"x\"".into(), "pk != \"values\"".into(), "sk exists".into()];
    filters.extend(["s is empty", "l is empty", "l contains all []", "n is empty"].map(str::to_owned));
    filters.extend(
        ["n contains 1e300", "n contains 0.1", "n contains \"x\"", "n contains null"].map(str::to_owned),
    );
    for value in [
        "0",
        "0.1",
        "1",
        "-1",
        "5e-324",
        "1e300",
        "9007199254740993",
        "18446744073709551615",
        "\"1\"",
        "null",
    ] {
        for operator in ["==", "!=", ">", ">=", "<", "<="] {
            filters.push(format!("n {operator} {value}"));
            filters.push(format!("not (n {operator} {value} and n exists)"));
        }
    }
    for text in filters {
        let filter: Filter = text.parse().unwrap();
        let reader = db.store.reader("values").with_fields([""; 0]).with_filter(filter.clone());
        let mut matching: Vec<&str> =
            expected.iter().filter(|(_, value)| filter.matches(value)).map(|(key, _)| *key).collect();
        matching.sort_unstable();
        assert_eq!(ids(&all(&reader).await.unwrap()), matching, "{text}");
    }
}

async fn large_and_expired(db: Db) {
    let store = db.with(|config| config.with_large_values(DynamoDbLargeValues::Chunks)).await;
    let kv = store.kv().unwrap();
    let large = json!({"text": "x".repeat(500_000), "n": 1});
    for (key, value) in [("large", large), ("small", json!({"text": "s", "n": 2}))] {
        let Value::Object(value) = value else { panic!() };
        kv.put("pages", key, value).await.unwrap();
    }
    let gone = json!({"pk": {"S": "pages"}, "sk": {"S": "old"}, "text": {"S": "o"}, "_nodestore_expires": {"N": "7"}});
    db.put(&db.main(), gone).await;
    let documents = all(&store.reader("pages")).await.unwrap();
    assert_eq!(ids(&documents), ["large", "small"]);
    assert_eq!(documents[0].text_content().len(), 500_000);
    let one = store.reader("pages").with_filter(field("n").eq(1));
    assert_eq!(ids(&all(&one).await.unwrap()), ["large"]);
    // Also where the items are read as they lie.
    let items = db.store.partition_reader(db.main(), "pages").with_missing(MissingField::SkipDocument);
    assert_eq!(ids(&all(&items).await.unwrap()), ["pages/small"]);
}

/// Reads a part, goes on after it with another reader, and so on; the ids as they came.
pub(crate) async fn in_parts(reader: impl Fn() -> DynamoDbReader, part: usize) -> Vec<String> {
    let (mut ids, mut place) = (Vec::new(), None::<Cursor>);
    loop {
        let next = reader().with_limit(part);
        let next = match place.take() {
            // Through a text, as a client would keep it.
            Some(place) => next.after(Cursor::new(place.as_str())),
            None => next,
        };
        let read: Vec<(Document, Cursor)> = next.read_resumable().try_collect().await.unwrap();
        assert!(read.len() <= part);
        place = read.last().map(|(_, place)| place.clone());
        ids.extend(read.into_iter().map(|(document, _)| document.id.as_str().to_owned()));
        if place.is_none() {
            return ids;
        }
    }
}

async fn a_table_is_read_in_segments_and_goes_on(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 10_000).await;
    let mut expected: Vec<String> = (0..10_000).map(|n| format!("u{}/{n}", n % 10)).collect();
    expected.sort_unstable();
    for segments in [1, 4, 13] {
        let reader = || db.store.table_reader(&table).with_segments(segments).with_fields(["text"]);
        let mut whole: Vec<String> =
            all(&reader()).await.unwrap().iter().map(|document| document.id.as_str().to_owned()).collect();
        whole.sort_unstable();
        assert_eq!(whole, expected, "{segments} segments");
        for part in [1_700, 4_999] {
            let mut parts = in_parts(|| reader().with_page_size(400), part).await;
            parts.sort_unstable();
            assert!(parts == expected, "{segments} segments, {part} at a time");
        }
        let filtered = || reader().with_filter("date >= 100 and date < 120".parse().unwrap());
        assert_eq!(in_parts(filtered, 3).await.len(), 20);
    }
    // A place is bound to what is read.
    let reader = db.store.table_reader(&table);
    let read: Vec<(Document, Cursor)> =
        reader.clone().with_limit(1).read_resumable().try_collect().await.unwrap();
    let place = read[0].1.clone();
    for other in [
        reader.clone().with_segments(5),
        reader.clone().with_filter(field("count").gt(1)),
        reader.clone().with_index("by.count"),
        db.store.partition_reader(&table, "u1"),
    ] {
        assert_eq!(refused(&other.after(place.clone())).await.kind(), ErrorKind::InvalidInput);
    }
    let rest = all(&reader.with_fields(["size"]).after(place)).await.unwrap();
    assert_eq!(rest.len(), 9_999);
}

async fn a_table_is_filtered_and_projected(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 200).await;
    let reader = db.store.table_reader(&table).with_fields(["group.or", "count"]).with_separator(" of ");
    let reader = reader.with_metadata(["group", "nothing", "USER"]).with_consistent_reads(true);
    let filter = "group.or == \"g1\" and count between 3 and 4 and USER != \"u1\" and date < 100";
    let reader = reader.with_filter(filter.parse().unwrap());
    let mut documents = all(&reader).await.unwrap();
    documents.sort_by_key(|document| document.id.clone());
    let expected: Vec<usize> =
        (0..100).filter(|n| n % 3 == 1 && (3..=4).contains(&(n / 7)) && n % 10 != 1).collect();
    let mut names: Vec<String> = expected.iter().map(|n| format!("u{}/{n}", n % 10)).collect();
    names.sort_unstable();
    assert_eq!(ids(&documents), names);
    let first = &documents[0];
    assert!(first.text_content().starts_with("g1 of "), "{}", first.text_content());
    let user = first.id.as_str().split('/').next().unwrap();
    let metadata = json!({"group": {"or": "g1"}, "nothing": null, "USER": user, "collection": table});
    assert_eq!(Value::Object(first.metadata.clone()), metadata);
    let nothing = reader.with_filter(Filter::any([]));
    assert!(all(&nothing).await.unwrap().is_empty());
}

async fn a_partition_is_read_by_sort_key(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 300).await;
    let reader = || db.store.partition_reader(&table, "u7");
    let numbers = |documents: &[Document]| -> Vec<i64> {
        let text =
            |document: &Document| document.text_content().strip_prefix("text ").unwrap().parse().unwrap();
        documents.iter().map(text).collect()
    };
    for (sort, expected) in [
        (DynamoDbSortKey::Equals(17.into()), vec![17]),
        (DynamoDbSortKey::Below(17.into()), vec![7]),
        (DynamoDbSortKey::UpTo(17.into()), vec![7, 17]),
        (DynamoDbSortKey::Above(280.into()), vec![287, 297]),
        (DynamoDbSortKey::From(287.into()), vec![287, 297]),
        (DynamoDbSortKey::Between(100.into(), 120.into()), vec![107, 117]),
    ] {
        let documents = all(&reader().with_sort_key(sort.clone())).await.unwrap();
        assert_eq!(numbers(&documents), expected, "{sort:?}");
    }
    let down = all(&reader().in_descending_order().with_limit(2)).await.unwrap();
    assert_eq!(numbers(&down), [297, 287]);
    // Conditions on the keys are ours to hold.
    let filtered =
        reader().with_filter("date > 250 and USER == \"u7\" and group.or == \"g2\"".parse().unwrap());
    assert_eq!(numbers(&all(&filtered).await.unwrap()), [257, 287]);
    let parts = in_parts(|| reader().in_descending_order().with_page_size(4), 7).await;
    let expected: Vec<String> = (0..300).rev().filter(|n| n % 10 == 7).map(|n| format!("u7/{n}")).collect();
    assert_eq!(parts, expected);
}

async fn an_index_is_read_or_refused(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 100).await;
    let local = || db.store.partition_reader(&table, "u3").with_index("by.count");
    let local = || local().with_sort_key(DynamoDbSortKey::From(5.into())).with_consistent_reads(true);
    let documents = all(&local()).await.unwrap();
    assert_eq!(ids(&documents), ["u3/43", "u3/53", "u3/63", "u3/73", "u3/83", "u3/93"]);
    assert_eq!(in_parts(local, 2).await, ids(&documents));
    let global = || db.store.partition_reader(&table, "n1").with_index("by_name").with_fields(["name"]);
    let eventual = || global().with_consistent_reads(false);
    assert_eq!(in_parts(eventual, 3).await.len(), 25);
    let scanned = || db.store.table_reader(&table).with_index("by_name").with_fields(["name"]);
    assert_eq!(in_parts(|| scanned().with_consistent_reads(false), 30).await.len(), 100);
    let error = refused(&global()).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("with_consistent_reads(false)"), "{error}");
    let error = refused(&db.store.table_reader(&table).with_index("by_date")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("by.count") && error.to_string().contains("by_name"), "{error}");
}

/// Reserved words, names that look like placeholders and paths, and values of all types.
async fn odd_names_and_values_are_read(db: Db) {
    let main = db.main();
    // Makes the table.
    assert!(db.store.kv().unwrap().get("any", "any").await.unwrap().is_none());
    for (n, sort) in ["a/b", "%2F", "\u{1f680}"].into_iter().enumerate() {
        let item = json!({
            "pk": {"S": "odd/x%"}, "sk": {"S": sort}, "select": {"S": "words"}, "#n0": {"S": "hash"}, ":v0": {"N": "1"},
            "a.b": {"S": "dotted"}, "a": {"M": {"b": {"S": "inner"}}}, "_nodestore_x": {"S": "ours"},
            "bytes": {"B": "raw"}, "list": {"L": [{"B": "raw"}, {"N": n.to_string()}]},
        });
        db.put(&main, item).await;
    }
    let reader =
        db.store.partition_reader(&main, "odd/x%").with_fields(["select", "#n0", ":v0", "a.b", "bytes"]);
    let reader = reader.with_separator(",").with_metadata(["list", "a", "_nodestore_x"]);
    let documents = all(&reader).await.unwrap();
    assert_eq!(ids(&documents), ["odd%2Fx%25/%2F", "odd%2Fx%25/a/b", "odd%2Fx%25/\u{1f680}"]);
    assert_eq!(documents[0].text_content(), "words,hash,1,dotted,cmF3");
    let metadata = json!({
        "list": ["cmF3", 1], "a": {"b": "inner"}, "_nodestore_x": null, "collection": main,
    });
    assert_eq!(Value::Object(documents[0].metadata.clone()), metadata);
    // Bytes equal no text, though they are read as one.
    for (filter, count) in [
        ("bytes == \"cmF3\"", 0),
        ("bytes != \"cmF3\"", 3),
        ("bytes exists", 3),
        ("list contains \"cmF3\"", 0),
        ("list contains 1", 1),
        ("`#n0` == \"hash\" and select == \"words\" and `:v0` >= 1", 3),
        ("a.b == \"inner\"", 3),
        ("a.b == \"dotted\"", 0),
    ] {
        let reader = reader.clone().with_filter(filter.parse().unwrap());
        assert_eq!(all(&reader).await.unwrap().len(), count, "{filter}");
    }
}
