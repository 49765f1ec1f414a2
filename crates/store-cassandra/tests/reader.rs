//! Readers of collections, tables and statements, and the retriever over them, on a real node, which
//! `STORE_TEST_CASSANDRA_URL` names.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::{Value, json};
use store_cassandra::{CassandraBackend, CassandraConfig, CassandraReader, CassandraSession, MissingField};
use store_conformance::server;
use store_core::{
    Backend as _, Cursor, Document, Error, ErrorKind, JsonObject, KvStoreExt as _, Reader as _, Result,
    Retriever as _,
};

const SERVER: &str = "STORE_TEST_CASSANDRA_URL";

fn main() -> ExitCode {
    store_conformance::tests_on! {
        SERVER;
        a_collection_is_read_and_goes_on,
        ten_thousand_rows_come_in_one_order_from_every_place,
        every_row_is_a_place_to_go_on_from,
        partitions_of_one_token_are_all_read,
        a_wide_partition_goes_on_within,
        every_type_is_read,
        odd_names_and_empty_tables_are_read,
        what_is_wrong_is_said,
        a_statement_is_read_and_goes_on,
        a_statement_that_does_not_only_read_is_not_sent,
        an_error_in_the_middle_says_where_to_go_on,
        words_are_found_among_what_is_read,
    }
}

/// A store of the test's own, and where its tables are.
struct Db {
    store: CassandraBackend,
    config: CassandraConfig,
}

async fn db(test: &str) -> Db {
    let config: CassandraConfig = server::url(SERVER).unwrap().parse().unwrap();
    let config = config.with_namespace(format!("rd{test}{}", std::process::id())).with_create(true);
    let config = config.with_operation_timeout(Duration::from_mins(1));
    let store = CassandraBackend::connect(config.clone()).await.unwrap();
    let db = Db { store, config };
    // Makes the keyspace.
    db.store.kv().unwrap().get("any", "any").await.unwrap();
    db
}

impl Db {
    fn keyspace(&self) -> &str {
        self.config.keyspace.as_deref().unwrap_or("nodestore")
    }

    /// A table's name in the namespace, which goes with it.
    fn name(&self, table: &str) -> String {
        format!("{}_{table}", self.config.namespace.as_deref().unwrap())
    }

    /// As CQL has it.
    fn full(&self, table: &str) -> String {
        format!("\"{}\".\"{}\"", self.keyspace(), self.name(table))
    }

    async fn cql(&self, statement: impl AsRef<str>) {
        let CassandraSession::Tcp(session) = self.store.session().unwrap() else { panic!("no TLS here") };
        let statement = statement.as_ref();
        for left in (0..10).rev() {
            match session.query(statement).await {
                Ok(_) => return,
                // Server and tests share a machine that may be busy.
                Err(_) if left > 0 && statement.starts_with("INSERT") => {}
                Err(error) => panic!("{error}: {statement}"),
            }
        }
    }

    /// Makes a table; `definition` stands in parentheses behind its name.
    async fn table(&self, table: &str, definition: &str) {
        self.cql(format!("CREATE TABLE {} {definition}", self.full(table))).await;
    }

    async fn insert(&self, table: &str, rows: impl Iterator<Item = String>) {
        let full = self.full(table);
        let writes = rows.map(|row| {
            let statement = format!("INSERT INTO {full} {row}");
            async move {
                self.cql(statement).await;
                Ok::<(), Error>(())
            }
        });
        let writes: Vec<_> = writes.collect();
        let writes = futures::stream::iter(writes.into_iter().map(Ok::<_, Error>));
        writes.try_buffer_unordered(32).try_collect::<Vec<()>>().await.unwrap();
    }

    fn reader(&self, table: &str) -> CassandraReader {
        self.store.table_reader(self.name(table))
    }

    async fn end(self) {
        self.store.drop_namespace().await.unwrap();
    }
}

async fn all(reader: &CassandraReader) -> Result<Vec<Document>> {
    reader.read().try_collect().await
}

fn ids(documents: &[Document]) -> Vec<String> {
    documents.iter().map(|document| document.id.as_str().to_owned()).collect()
}

async fn refused(reader: &CassandraReader) -> Error {
    match all(reader).await {
        Ok(documents) => panic!("{} documents of {reader:?}", documents.len()),
        Err(error) => error,
    }
}

/// Reads everything by readings of `each` documents, each of which goes on where the one before it ended.
async fn in_parts(reader: impl Fn() -> CassandraReader, each: usize) -> Vec<String> {
    let (mut read, mut place) = (Vec::new(), None::<Cursor>);
    loop {
        let next = reader().with_limit(each);
        let next = match &place {
            Some(place) => next.after(Cursor::new(place.as_str())),
            None => next,
        };
        let part: Vec<(Document, Cursor)> = next.read_resumable().try_collect().await.unwrap();
        let Some((_, last)) = part.last() else { return read };
        place = Some(last.clone());
        read.extend(part.iter().map(|(document, _)| document.id.as_str().to_owned()));
    }
}

/// The place that an error names.
fn place_in(error: &Error) -> Cursor {
    let text = error.to_string();
    let place = text.split("go on after the place \"").nth(1).and_then(|rest| rest.split('"').next());
    Cursor::new(place.unwrap_or_else(|| panic!("no place in {text}")))
}

async fn a_collection_is_read_and_goes_on() {
    let db = db("kv").await;
    let kv = db.store.kv().unwrap();
    let value = |n: usize| -> JsonObject {
        let value = json!({"text": format!("text {n}"), "author": {"name": n}, "n": n as f64});
        value.as_object().unwrap().clone()
    };
    let entries = (0..700).map(|n| (format!("k{n}"), value(n))).collect();
    kv.put_many("pages", entries, store_core::PutOptions::default()).await.unwrap();
    let reader = || db.store.reader("pages").with_fields(["text", "n"]).with_separator(" ");
    let documents = all(&reader().with_metadata_as([("author.name", "by"), ("none", "none")])).await.unwrap();
    assert_eq!(documents.len(), 700);
    for document in &documents {
        let n: usize = document.id.as_str()[1..].parse().unwrap();
        assert_eq!(document.text_content(), format!("text {n} {n}.0"));
        let metadata = json!({"by": n, "none": null, "collection": "pages"});
        assert_eq!(Value::Object(document.metadata.clone()), metadata);
    }
    let expected = ids(&documents);
    assert_eq!(in_parts(reader, 33).await, expected);
    let rest = all(&reader().after_id(expected[99].as_str())).await.unwrap();
    assert_eq!(ids(&rest), expected[100..]);
    let refusals = [
        reader().with_id_field("n"),
        reader().with_page_size(0),
        reader().after_id("k1").after(Cursor::new("x")),
        reader().after(Cursor::new("x")),
        db.store.reader(""),
    ];
    for reader in refusals {
        let error = refused(&reader).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.operation(), Some("reader.read"), "{error}");
    }
    db.end().await;
}

/// Ten thousand rows in two thousand and five hundred partitions.
async fn ten_thousand_rows_come_in_one_order_from_every_place() {
    let db = db("many").await;
    db.table("t", "(a int, b text, c int, text text, more text, PRIMARY KEY ((a, b), c))").await;
    let row = |n: usize| {
        let (a, b, c) = (n / 4, format!("b{}/%", n / 4 % 7), n % 4);
        format!("(a, b, c, text, more) VALUES ({a}, '{b}', {c}, 'row {n}', 'x')")
    };
    db.insert("t", (0..10_000).map(row)).await;
    let documents = all(&db.reader("t")).await.unwrap();
    assert_eq!(documents.len(), 10_000);
    let mut texts: Vec<&str> = documents.iter().map(|document| document.text_content()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 10_000);
    let expected = ids(&documents);
    let n: usize = documents[0].text_content()[4..].parse().unwrap();
    assert_eq!(expected[0], format!("{}/b{}%2F%25/{}", n / 4, n / 4 % 7, n % 4));
    // Cassandra's own order, however many ranges are read at once.
    let names = format!("SELECT a, b, c FROM {}", db.full("t"));
    assert_eq!(ids(&all(&db.store.cql_reader(names).with_fields(["a"])).await.unwrap()), expected);
    for segments in [1, 7, 1_000] {
        let reader = db.reader("t").with_segments(segments).with_page_size(100);
        assert_eq!(ids(&all(&reader).await.unwrap()), expected, "{segments}");
    }
    // From the end of every page, and from places within.
    let mut sizes = [1, 7, 128, 1_000].into_iter().cycle();
    let places: Vec<(Document, Cursor)> = db.reader("t").read_resumable().try_collect().await.unwrap();
    for at in (249..10_000).step_by(250).chain([0, 1, 2, 3, 4, 5, 6_001, 9_997, 9_998, 9_999]) {
        let segments = sizes.next().unwrap();
        let next = db.reader("t").with_segments(segments).with_page_size(250).after(places[at].1.clone());
        let few = all(&next.clone().with_limit(300)).await.unwrap();
        let to = (at + 301).min(10_000);
        assert_eq!(ids(&few), expected[at + 1..to], "after {at} in {segments}");
    }
    let parts = in_parts(|| db.reader("t").with_page_size(97), 501).await;
    assert!(parts == expected, "{} rows in parts", parts.len());
    db.end().await;
}

/// Clustering columns in both directions; another process goes on after every single row, also after one that is gone.
async fn every_row_is_a_place_to_go_on_from() {
    let db = db("rows").await;
    let order = "WITH CLUSTERING ORDER BY (\"Day\" DESC, n ASC, tag DESC)";
    let key = "PRIMARY KEY (user, \"Day\", n, tag)";
    let columns = "user text, \"Day\" date, n int, tag text, s text static, text text";
    db.table("t", &format!("({columns}, {key}) {order}")).await;
    let row = |n: usize| {
        let (user, day, number, tag) = (n % 3, 1 + n / 3 % 3, n / 9 % 3, n / 27);
        format!(
            "(user, \"Day\", n, tag, s, text) VALUES ('u{user}', '2026-01-0{day}', {number}, 't{tag}', 's', 'x{n}')"
        )
    };
    db.insert("t", (0..81).map(row)).await;
    // A partition with static columns only.
    db.insert("t", ["(user, s) VALUES ('alone', 's')".to_owned()].into_iter()).await;
    let reader = |store: &CassandraBackend| {
        store.table_reader(db.name("t")).with_fields(["s", "text"]).with_missing(MissingField::LeaveOut)
    };
    let places: Vec<(Document, Cursor)> = reader(&db.store).read_resumable().try_collect().await.unwrap();
    assert_eq!(places.len(), 82);
    let expected: Vec<String> = places.iter().map(|(document, _)| document.id.as_str().to_owned()).collect();
    assert!(expected.contains(&"alone///".to_owned()), "{expected:?}");
    let other = CassandraBackend::connect(db.config.clone()).await.unwrap();
    for (at, (_, place)) in places.iter().enumerate() {
        let rest = all(&reader(&other).after(Cursor::new(place.as_str()))).await.unwrap();
        assert_eq!(ids(&rest), expected[at + 1..], "after {}", expected[at]);
    }
    // Rows that are gone, one of them with all of its partition.
    for at in [5, 40] {
        let (id, place) = (&expected[at], &places[at].1);
        let user = id.split('/').next().unwrap();
        db.cql(format!("DELETE FROM {} WHERE user = '{user}'", db.full("t"))).await;
        let rest = all(&reader(&other).after(place.clone())).await.unwrap();
        let left = |id: &&String| !id.starts_with(user);
        let expected: Vec<&String> = expected[at + 1..].iter().filter(left).collect();
        assert_eq!(ids(&rest).iter().collect::<Vec<_>>(), expected, "after {id}");
        db.insert("t", (0..81).map(row)).await;
    }
    other.close().await.unwrap();
    db.end().await;
}

/// Keys whose tokens are the same (the hash is no secret one).
async fn partitions_of_one_token_are_all_read() {
    let db = db("token").await;
    db.table("t", "(k blob, c int, text text, PRIMARY KEY (k, c))").await;
    let keys = [
        "0x010000000000000008000000000000008392885b000c34eaa70a6017bcb5d677",
        "0x02000000000000000f000000000000004621feb4e511fb101612d7cc5ddc7e56",
        "0x2c0100000000000035080000000000001ccf689eaaf49382a911e0b6af0e4e15",
    ];
    let rows = (0..30).map(|n| format!("(k, c, text) VALUES ({}, {}, 'x')", keys[n % 3], n / 3));
    db.insert("t", rows).await;
    db.insert("t", (0..50).map(|n| format!("(k, c, text) VALUES (0x{n:04x}, 0, 'y')"))).await;
    let tokens = format!("SELECT token(k) AS t, k FROM {} WHERE c = 0 ALLOW FILTERING", db.full("t"));
    let tokens = db.store.cql_reader(tokens).with_fields(["t"]).with_id_field("k");
    let tokens = all(&tokens).await.unwrap();
    let of = |key: &str| {
        let found = tokens.iter().find(|document| document.id.as_str() == key).unwrap();
        found.text_content().to_owned()
    };
    assert_eq!((of(keys[0]), of(keys[1])), (of(keys[1]), of(keys[2])));
    let reader = || db.reader("t").with_segments(5);
    let expected = ids(&all(&reader()).await.unwrap());
    assert_eq!(expected.len(), 80);
    assert_eq!(in_parts(reader, 1).await, expected);
    assert_eq!(in_parts(|| reader().with_page_size(4), 7).await, expected);
    db.end().await;
}

async fn a_wide_partition_goes_on_within() {
    let db = db("wide").await;
    db.table("t", "(k text, c int, text text, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)").await;
    let filler = "x".repeat(2_000);
    db.insert("t", (0..5_000).map(|n| format!("(k, c, text) VALUES ('wide', {n}, '{filler}')"))).await;
    db.insert("t", (0..5).map(|n| format!("(k, c, text) VALUES ('k{n}', 0, 'x')"))).await;
    let expected = ids(&all(&db.reader("t")).await.unwrap());
    let wide: Vec<&String> = expected.iter().filter(|id| id.starts_with("wide/")).collect();
    assert_eq!((expected.len(), wide.len()), (5_005, 5_000));
    assert_eq!((wide[0].as_str(), wide[4_999].as_str()), ("wide/4999", "wide/0"));
    let parts = in_parts(|| db.reader("t"), 777).await;
    assert!(parts == expected, "{} rows in parts", parts.len());
    db.end().await;
}

async fn every_type_is_read() {
    let db = db("types").await;
    let address = format!("\"{}\".{}_address", db.keyspace(), db.config.namespace.as_deref().unwrap());
    db.cql(format!("CREATE TYPE IF NOT EXISTS {address} (street text, no int)")).await;
    let columns = [
        ("a", "ascii", "'plain'", json!("plain")),
        ("bi", "bigint", "-9223372036854775808", json!(i64::MIN)),
        ("bl", "blob", "0x00ff", json!("0x00ff")),
        ("bo", "boolean", "true", json!(true)),
        ("da", "date", "'2024-02-29'", json!("2024-02-29")),
        ("de", "decimal", "12345678901234567890.125", json!("12345678901234567890.125")),
        ("dob", "double", "0.1", json!(0.1)),
        ("not_a_number", "double", "NaN", json!("NaN")),
        ("fl", "float", "0.1", json!(0.1)),
        ("i", "inet", "'10.0.0.1'", json!("10.0.0.1")),
        ("n", "int", "-7", json!(-7)),
        ("si", "smallint", "7", json!(7)),
        ("ti", "tinyint", "-1", json!(-1)),
        ("tx", "text", "'Zażółć 🚀'", json!("Zażółć 🚀")),
        ("tm", "time", "'13:45:00.5'", json!("13:45:00.500000000")),
        ("uu", "uuid", "123e4567-e89b-12d3-a456-426614174000", json!("123e4567-e89b-12d3-a456-426614174000")),
        ("vi", "varint", "123456789012345678901234567890", json!("123456789012345678901234567890")),
        ("du", "duration", "1y2mo3d4h", json!("1y2mo3d4h")),
        ("li", "list<int>", "[1, 2]", json!([1, 2])),
        ("se", "set<text>", "{'b', 'a'}", json!(["a", "b"])),
        ("ma", "map<text, int>", "{'x': 1, 'y.z': 2}", json!({"x": 1, "y.z": 2})),
        ("tu", "tuple<int, text>", "(1, 'one')", json!([1, "one"])),
        ("ve", "vector<float, 3>", "[0.5, -1.25, 2]", json!([0.5, -1.25, 2.0])),
        ("ad", &address, "{street: 'Long', no: 5}", json!({"street": "Long", "no": 5})),
        ("no", "text", "null", Value::Null),
    ];
    let declared: Vec<String> = columns.iter().map(|(name, kind, ..)| format!("{name} {kind}")).collect();
    db.table("t", &format!("(k uuid, ts timestamp, {}, PRIMARY KEY (k, ts))", declared.join(", "))).await;
    let (names, values): (Vec<&str>, Vec<&str>) =
        columns.iter().map(|(name, _, value, _)| (*name, *value)).unzip();
    let row = format!(
        "(k, ts, {}) VALUES (123e4567-e89b-12d3-a456-426614174000, '2026-01-02T03:04:05.678Z', {})",
        names.join(", "),
        values.join(", ")
    );
    db.insert("t", [row].into_iter()).await;
    let paths = ["ad.street", "ma.x", "ma.none", "tx.deeper"];
    let reader = db.reader("t").with_fields(["n", "li", "bo"]).with_separator("|");
    let reader = reader.with_metadata(names.iter().copied().chain(paths));
    let [document] = all(&reader).await.unwrap().try_into().unwrap();
    let id = document.id.as_str();
    assert!(id.starts_with("123e4567-e89b-12d3-a456-426614174000/2026-01-02T03:04:05.678"), "{id}");
    // Python's `str`.
    assert_eq!(document.text_content(), "-7|[1, 2]|True");
    for (name, kind, _, expected) in &columns {
        assert_eq!(&document.metadata[*name], expected, "{name} {kind}");
    }
    let found: Vec<&Value> = paths.iter().map(|path| &document.metadata[*path]).collect();
    assert_eq!(found, [&json!("Long"), &json!(1), &Value::Null, &Value::Null]);
    assert_eq!(document.metadata["collection"], json!(db.name("t")));
    // And as parameters, by their types.
    let (text, parameters) = (
        format!("SELECT * FROM {} WHERE k = ? AND ts = ?", db.full("t")),
        [json!("123e4567-e89b-12d3-a456-426614174000"), json!("2026-01-02T03:04:05.678Z")],
    );
    let reader = db.store.cql_reader(&text).with_parameters(parameters.clone()).with_fields(["tx"]);
    assert_eq!(all(&reader).await.unwrap()[0].id.as_str(), id);
    let wrong = db.store.cql_reader(&text).with_parameters([json!("no uuid"), json!(0)]).with_fields(["tx"]);
    let error = refused(&wrong).await;
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("uuid"), "{error}");
    db.end().await;
    // It is no table, and so is not dropped with them.
    let db = self::db("types").await;
    db.cql(format!("DROP TYPE IF EXISTS {address}")).await;
    db.end().await;
}

async fn odd_names_and_empty_tables_are_read() {
    let db = db("odd").await;
    db.table("Empty", "(k int PRIMARY KEY, text text)").await;
    assert!(all(&db.reader("Empty")).await.unwrap().is_empty());
    assert!(all(&db.reader("Empty").with_segments(1)).await.unwrap().is_empty());
    assert!(in_parts(|| db.reader("Empty"), 3).await.is_empty());
    let names =
        "\"select\" int, \"a.b\" text, \"Ü\"\"; DROP\" text, \"token\" text, PRIMARY KEY (\"select\")";
    db.table("Names", &format!("({names})")).await;
    let row = "(\"select\", \"a.b\", \"Ü\"\"; DROP\", \"token\") VALUES (1, 'dot', 'quote', 't')".to_owned();
    db.insert("Names", [row].into_iter()).await;
    let reader = db.reader("Names").with_fields(["a.b", "Ü\"; DROP", "token"]).with_separator(" ");
    let [document] = all(&reader).await.unwrap().try_into().unwrap();
    assert_eq!((document.id.as_str(), document.text_content()), ("1", "dot quote t"));
    for name in ["none", "Empty\"; DROP TABLE x; --", "", "key_values\" WHERE \"x", "system.local", "\u{0}"] {
        let error = refused(&db.store.table_reader(name)).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    let error = refused(&db.reader("Names").in_keyspace("no_such_keyspace")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    db.end().await;
}

async fn what_is_wrong_is_said() {
    let db = db("wrong").await;
    db.table("t", "(k int, c int, text text, more text, PRIMARY KEY (k, c))").await;
    db.insert("t", (0..3).map(|n| format!("(k, c, text) VALUES (1, {n}, 'x{n}')"))).await;
    db.insert("t", ["(k, c, more) VALUES (1, 1, 'm')".to_owned()].into_iter()).await;
    db.cql(format!("DELETE text FROM {} WHERE k = 1 AND c = 1", db.full("t"))).await;
    // A row without text is told, and the next one comes.
    let mut documents = db.reader("t").read();
    assert_eq!(documents.try_next().await.unwrap().unwrap().id.as_str(), "1/0");
    let error = documents.try_next().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.key() == Some("1/1"), "{error}");
    assert_eq!(documents.try_next().await.unwrap().unwrap().id.as_str(), "1/2");
    assert!(documents.try_next().await.unwrap().is_none());
    let skip = db.reader("t").with_missing(MissingField::SkipDocument).with_limit(2);
    assert_eq!(ids(&all(&skip).await.unwrap()), ["1/0", "1/2"]);
    let left_out = db.reader("t").with_fields(["text", "more"]).with_missing(MissingField::LeaveOut);
    let texts: Vec<String> =
        all(&left_out).await.unwrap().iter().map(|document| document.text_content().to_owned()).collect();
    assert_eq!(texts, ["x0", "m", "x2"]);
    let of_one = format!("SELECT text, c FROM {} WHERE k = ?", db.full("t"));
    let one = || db.store.cql_reader(&of_one).with_parameters([1]);
    let wrong = [
        (db.reader("t").with_fields(["txt"]), "more"),
        (db.reader("t").with_metadata(["nothing.here"]), "nothing.here"),
        (db.reader("t").with_id_field("text.x"), "text.x"),
        (db.reader("t").with_fields(["TEXT"]), "TEXT"),
        (db.reader("t").with_fields([""]), "no name"),
        (db.reader("t").with_segments(0), "ranges"),
        (db.reader("t").after_id("1"), "read_resumable"),
        (db.reader("t").after(Cursor::new("rubbish")), "cursor"),
        (one(), "\"k\""),
        (one().with_id_field("k"), "\"k\""),
        (one().with_id_field("c").with_fields(["more"]), "more"),
        (one().with_id_field("c").with_parameters([1, 2]), "1 question marks and 2 parameters"),
        (one().with_id_field("c").with_parameters(["x"]), "int"),
        (db.store.cql_reader("SELECT nothing FROM").with_id_field("c"), ""),
    ];
    for (reader, says) in wrong {
        let error = refused(&reader).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.operation(), Some("reader.read"), "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let found = all(&one().with_id_field("c").with_missing(MissingField::SkipDocument)).await.unwrap();
    assert_eq!(ids(&found), ["0", "2"]);
    // A place is bound to what was read.
    let place = db.reader("t").read_resumable().try_next().await.unwrap().unwrap().1;
    let error = refused(&one().with_id_field("c").after(place)).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    // Nothing comes after the store was closed.
    let other = CassandraBackend::connect(db.config.clone()).await.unwrap();
    let mut documents = other.table_reader(db.name("t")).read();
    assert!(documents.try_next().await.unwrap().is_some());
    other.close().await.unwrap();
    assert_eq!(documents.try_next().await.unwrap_err().kind(), ErrorKind::Unavailable);
    db.end().await;
}

async fn a_statement_is_read_and_goes_on() {
    let db = db("cql").await;
    db.table("t", "(k text, c int, text text, tags set<text>, PRIMARY KEY (k, c))").await;
    let row = |n: usize| {
        format!("(k, c, text, tags) VALUES ('k{}', {n}, 'it''s {n}', {{'a', 't{}'}})", n % 2, n % 5)
    };
    db.insert("t", (0..800).map(row)).await;
    let text = format!(
        "SELECT k, c, text FROM {} WHERE k = ? AND c >= ? ORDER BY c DESC; -- not DELETE",
        db.full("t")
    );
    let reader = || db.store.cql_reader(&text).with_parameters([json!("k1"), json!(100)]);
    let expected: Vec<String> = (100..800).rev().filter(|n| n % 2 == 1).map(|n| format!("k1/{n}")).collect();
    assert_eq!(ids(&all(&reader()).await.unwrap()), expected);
    assert_eq!(in_parts(|| reader().with_page_size(8), 5).await, expected);
    assert_eq!(in_parts(|| reader().with_page_size(8), 8).await, expected);
    assert_eq!(in_parts(reader, 111).await, expected);
    // Pages of another size, and a page that ends in its middle.
    let begun: Vec<(Document, Cursor)> =
        reader().with_page_size(100).with_limit(90).read_resumable().try_collect().await.unwrap();
    let rest = all(&reader().with_page_size(7).after(begun[89].1.clone())).await.unwrap();
    assert_eq!(ids(&rest), expected[90..]);
    // A page that has changed meanwhile comes again, and nothing is lost.
    db.cql(format!("DELETE FROM {} WHERE k = 'k1' AND c = 799", db.full("t"))).await;
    let rest = ids(&all(&reader().with_page_size(100).after(begun[89].1.clone())).await.unwrap());
    assert_eq!(rest, expected[1..]);
    // The statement's own limit is not begun anew.
    let limited = format!("SELECT * FROM {} WHERE k = 'k0' LIMIT 50", db.full("t"));
    let limited = || db.store.cql_reader(&limited).with_page_size(20);
    assert_eq!(in_parts(limited, 7).await.len(), 50);
    // What a text or a name says is no word of the statement.
    let text =
        format!("select k, c, text FROM {} WHERE text = 'DROP; it''s 3' ALLOW FILTERING", db.full("t"));
    assert!(all(&db.store.cql_reader(text)).await.unwrap().is_empty());
    db.end().await;
}

async fn a_statement_that_does_not_only_read_is_not_sent() {
    let db = db("hostile").await;
    db.table("t", "(k int PRIMARY KEY, text text)").await;
    db.insert("t", (0..5).map(|n| format!("(k, text) VALUES ({n}, 'x')"))).await;
    let full = db.full("t");
    for text in [
        format!("DELETE FROM {full} WHERE k = 1"),
        format!("/* SELECT */ DELETE FROM {full} WHERE k = 1"),
        format!("-- SELECT\nTRUNCATE {full}"),
        format!("// SELECT\nDROP TABLE {full}"),
        format!("UPDATE {full} SET text = 'y' WHERE k = 1"),
        format!("INSERT INTO {full} (k, text) VALUES (9, 'y')"),
        format!("BEGIN BATCH DELETE FROM {full} WHERE k = 1; APPLY BATCH"),
        format!("SELECT * FROM {full}; DELETE FROM {full} WHERE k = 1"),
        format!("SELECT * FROM {full} WHERE text = 'it''s'; TRUNCATE {full}"),
        "USE system".to_owned(),
        "GRANT ALL ON ALL KEYSPACES TO x".to_owned(),
        "LIST ROLES".to_owned(),
        String::new(),
        ";".to_owned(),
        "SELECT".to_owned(),
    ] {
        let error = refused(&db.store.cql_reader(&text).with_id_field("k")).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
    }
    assert_eq!(all(&db.reader("t")).await.unwrap().len(), 5);
    db.end().await;
}

/// A table that goes in the middle of a reading stands for all that can end one.
async fn an_error_in_the_middle_says_where_to_go_on() {
    let db = db("middle").await;
    let definition = "(k int PRIMARY KEY, text text)";
    let fill = async || {
        db.table("t", definition).await;
        db.insert("t", (0..300).map(|n| format!("(k, text) VALUES ({n}, 'x')"))).await;
    };
    fill().await;
    let expected = ids(&all(&db.reader("t")).await.unwrap());
    let reader = || db.reader("t").with_page_size(5).with_segments(2);
    let mut documents = reader().read();
    let mut read = vec![documents.try_next().await.unwrap().unwrap().id.as_str().to_owned()];
    db.cql(format!("DROP TABLE {}", db.full("t"))).await;
    let error = loop {
        match documents.try_next().await {
            Ok(Some(document)) => read.push(document.id.as_str().to_owned()),
            Ok(None) => panic!("the reading ended without an error"),
            Err(error) => break error,
        }
    };
    // A node may have forgotten the statement first.
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict), "{error}");
    assert!(documents.try_next().await.unwrap().is_none());
    fill().await;
    let rest = all(&reader().after(place_in(&error))).await.unwrap();
    assert!(!rest.is_empty());
    read.extend(ids(&rest));
    assert_eq!(read, expected);
    db.end().await;
}

async fn words_are_found_among_what_is_read() {
    let db = db("words").await;
    db.table("t", "(topic text, id int, body text, year int, PRIMARY KEY (topic, id))").await;
    let texts = ["cats sleep by day, cats", "dogs sleep at night", "the moon", "a cat"];
    let rows = texts
        .iter()
        .enumerate()
        .map(|(n, text)| format!("(topic, id, body, year) VALUES ('pets', {n}, '{text}', {})", 2000 + n));
    db.insert("t", rows).await;
    db.insert("t", ["(topic, id, body) VALUES ('else', 9, 'cats')".to_owned()].into_iter()).await;
    let statement = format!("SELECT * FROM {} WHERE topic = ?", db.full("t"));
    let reader = db.store.cql_reader(statement).with_parameters(["pets"]).with_fields(["body"]);
    let retriever = reader.with_metadata(["year"]).text_retriever();
    let found = retriever.retrieve("Do CATS sleep?").await.unwrap();
    let shown: Vec<(&str, &str)> =
        found.iter().map(|found| (found.node.id.as_str(), found.node.text_content())).collect();
    assert_eq!(shown, [("pets/0", texts[0]), ("pets/1", texts[1])]);
    assert!(found[0].score > found[1].score && found[1].score > 0.0);
    assert_eq!(found[0].node.metadata["year"], json!(2000));
    let best = retriever.clone().with_min_score(found[0].score).retrieve("cats sleep").await.unwrap();
    assert_eq!(best.len(), 1);
    assert_eq!(retriever.clone().with_top_k(1).retrieve("sleep").await.unwrap().len(), 1);
    assert!(retriever.retrieve("?!").await.unwrap().is_empty());
    let whole = db.reader("t").with_fields(["body"]).text_retriever();
    let found: HashSet<String> =
        whole.retrieve("cats").await.unwrap().iter().map(|found| found.node.id.as_str().to_owned()).collect();
    assert_eq!(found, HashSet::from(["pets/0".to_owned(), "else/9".to_owned()]));
    for (bad, question, kind) in [
        (retriever.clone().with_top_k(0), "cats", ErrorKind::InvalidInput),
        (retriever.clone().with_min_score(f64::NAN), "cats", ErrorKind::InvalidInput),
        (retriever.clone(), " ", ErrorKind::InvalidInput),
        (retriever.clone().with_max_rows(3), "cats", ErrorKind::LimitExceeded),
    ] {
        let error = bad.retrieve(question).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.operation(), Some("retriever.retrieve"), "{error}");
    }
    db.end().await;
}
