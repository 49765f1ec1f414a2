//! Reading collections as documents, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document as BsonDocument, doc};
use common::{Db, test};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use store_core::filter::field;
use store_core::{Cursor, Document, Error, ErrorKind, Filter, JsonObject, Reader};
use store_mongodb::{MissingField, MongoReader};

fn main() -> ExitCode {
    common::run(vec![
        test("reads_as_python", reads_as_python),
        test("ids_and_texts_of_every_type_as_python", ids_and_texts_of_every_type_as_python),
        test("metadata_is_clean_json", metadata_is_clean_json),
        test("dotted_fields", dotted_fields),
        test("extractors", extractors),
        test("missing_fields", missing_fields),
        test("queries_limits_and_batches", queries_limits_and_batches),
        test("filters", filters),
        test("resumes_after_every_id", resumes_after_every_id),
        test("bad_arguments_are_refused", bad_arguments_are_refused),
        test("a_lost_cursor_heals", a_lost_cursor_heals),
        test("hostile_documents", hostile_documents),
    ])
}

async fn all(reader: &MongoReader) -> Vec<Document> {
    reader.read().try_collect().await.unwrap()
}

async fn texts(reader: &MongoReader) -> Vec<String> {
    all(reader).await.iter().map(|document| document.text_content().to_owned()).collect()
}

async fn fails(reader: &MongoReader) -> Error {
    reader.read().try_collect::<Vec<_>>().await.unwrap_err()
}

async fn fill(db: &Db, documents: impl IntoIterator<Item = BsonDocument>) -> MongoReader {
    db.collection("c").insert_many(documents).await.unwrap();
    db.store.reader("c")
}

async fn reads_as_python(db: Db) {
    let reader = fill(
        &db,
        [
            doc! {"_id": 1, "text": "a", "title": "A", "n": 1.0},
            doc! {"_id": 2, "text": Bson::Null, "title": "B", "n": true, "more": [1]},
        ],
    )
    .await;
    // The documents that core makes.
    let empty = all(&reader.clone().with_fields([""; 0])).await;
    assert_eq!(empty[0], Document::new("").with_id("1"));
    assert_eq!(all(&reader).await[0], Document::new("a").with_id("1"));
    // One field, no metadata.
    let plain = all(&reader).await;
    assert_eq!(plain.len(), 2);
    assert_eq!((plain[0].id.as_str(), plain[0].text_content()), ("1", "a"));
    assert_eq!(plain[1].text_content(), "None");
    assert!(plain.iter().all(|document| document.metadata.is_empty()));
    // Several fields, joined; metadata by name, null where there is none, and the collection.
    let reader = reader.with_fields(["title", "n"]).with_separator(" - ").with_metadata(["title", "more"]);
    let documents = all(&reader).await;
    assert_eq!(documents[0].text_content(), "A - 1.0");
    assert_eq!(documents[1].text_content(), "B - True");
    assert_eq!(
        Value::from(documents[0].metadata.clone()),
        json!({"title": "A", "more": null, "collection": "c"})
    );
    assert_eq!(
        Value::from(documents[1].metadata.clone()),
        json!({"title": "B", "more": [1], "collection": "c"})
    );
    // The same in another database of the server, as Python reads it; an unknown collection is empty.
    let elsewhere = db.store.reader("c").in_database(&db.name);
    assert_eq!(all(&elsewhere).await, plain);
    assert!(all(&db.store.reader("nothing")).await.is_empty());
}

fn regex(pattern: &str, options: &str) -> Bson {
    let (pattern, options) = (pattern.try_into().unwrap(), options.try_into().unwrap());
    Bson::RegularExpression(bson::Regex { pattern, options })
}

/// Every type an `_id` may have, with Python's `str` of it, in the server's order.
fn ids() -> Vec<(Bson, &'static str)> {
    let date = DateTime::parse_rfc3339_str("2024-05-01T12:00:00.123Z").unwrap();
    let id = ObjectId::parse_str("6b01a30d1d8e925a66bb8e21").unwrap();
    let bytes = |subtype, bytes: &[u8]| Bson::Binary(Binary { subtype, bytes: bytes.to_vec() });
    let decimal = |text: &str| Bson::Decimal128(text.parse::<Decimal128>().unwrap());
    let code = |code: &str, scope| {
        Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code: code.to_owned(), scope })
    };
    vec![
        (Bson::MinKey, "MinKey()"),
        (Bson::Null, "None"),
        (Bson::Double(f64::NAN), "nan"),
        (Bson::Int32(1), "1"),
        (decimal("1.50"), "1.50"),
        (Bson::Double(2.5), "2.5"),
        (decimal("1E+3"), "1E+3"),
        (Bson::Int64(1 << 40), "1099511627776"),
        (Bson::Double(1e300), "1e+300"),
        (Bson::Double(f64::INFINITY), "inf"),
        (Bson::String("$where".to_owned()), "$where"),
        (Bson::String("zażółć".to_owned()), "zażółć"),
        (
            Bson::Document(
                doc! {"a": 1, "b": id, "c": date, "d": [DateTime::from_millis(1_714_564_800_000)]},
            ),
            "{'a': 1, 'b': ObjectId('6b01a30d1d8e925a66bb8e21'), 'c': datetime.datetime(2024, 5, 1, 12, 0, 0, \
             123000), 'd': [datetime.datetime(2024, 5, 1, 12, 0)]}",
        ),
        (
            Bson::Document(doc! {
                "b": bytes(BinarySubtype::Generic, b"a\0\n\""), "d": decimal("2"), "f": 1.0, "i": 9_i64,
                "l": [Bson::Null, Bson::MinKey, f64::NEG_INFINITY, "it's"],
                "r": regex("a'b", "im"),
                "t": Bson::Timestamp(bson::Timestamp { time: 3, increment: 4 }),
                "c": Bson::JavaScriptCode("q".to_owned()), "cs": code("q", doc! {"z": 1}),
                "u": bytes(BinarySubtype::Uuid, &[0x27; 16]), "ref": {"$ref": "c", "$id": 5},
            }),
            "{'b': b'a\\x00\\n\"', 'd': Decimal128('2'), 'f': 1.0, 'i': 9, 'l': [None, MinKey(), -inf, \"it's\"], \
             'r': Regex(\"a'b\", 10), 't': Timestamp(3, 4), 'c': Code('q', None), 'cs': Code('q', {'z': 1}), \
             'u': Binary(b\"''''''''''''''''\", 4), 'ref': DBRef('c', 5)}",
        ),
        (bytes(BinarySubtype::Generic, b"x'y"), "b\"x'y\""),
        (
            bytes(BinarySubtype::Uuid, &[7; 16]),
            "b'\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07\\x07'",
        ),
        (Bson::ObjectId(id), "6b01a30d1d8e925a66bb8e21"),
        (Bson::Boolean(false), "False"),
        (Bson::Boolean(true), "True"),
        (Bson::DateTime(DateTime::from_millis(1_714_564_800_000)), "2024-05-01 12:00:00"),
        (Bson::DateTime(date), "2024-05-01 12:00:00.123000"),
        (Bson::Timestamp(bson::Timestamp { time: 1, increment: 2 }), "Timestamp(1, 2)"),
        (Bson::JavaScriptCode("x".to_owned()), "x"),
        (code("y", doc! {"a": 1}), "y"),
        (Bson::MaxKey, "MaxKey()"),
    ]
}

async fn ids_and_texts_of_every_type_as_python(db: Db) {
    // Written backwards, so that the order is the reader's.
    let stored = ids().into_iter().rev().map(|(id, _)| doc! {"_id": id.clone(), "text": id});
    let documents = all(&fill(&db, stored).await).await;
    let expected: Vec<_> = ids().into_iter().map(|(_, text)| text).collect();
    assert_eq!(documents.iter().map(|document| document.id.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(documents.iter().map(|document| document.text_content()).collect::<Vec<_>>(), expected);
}

async fn metadata_is_clean_json(db: Db) {
    let id = ObjectId::new();
    let stored = doc! {
        "_id": id, "text": "", "when": DateTime::from_millis(1_714_564_800_123), "id": id,
        "bytes": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] },
        "uuid": bson::Uuid::from_bytes([0x11; 16]), "big": "123".parse::<Decimal128>().unwrap(),
        "price": "9.99".parse::<Decimal128>().unwrap(), "nan": f64::NAN, "deep": {"list": [id, {"x": 1.0}]},
        "regex": regex("a/b", "i"),
        "stamp": Bson::Timestamp(bson::Timestamp { time: 3, increment: 4 }),
    };
    let names = ["when", "id", "bytes", "uuid", "big", "price", "nan", "deep", "regex", "stamp"];
    let documents = all(&fill(&db, [stored]).await.with_metadata(names)).await;
    let hex = id.to_hex();
    assert_eq!(
        Value::from(documents[0].metadata.clone()),
        json!({
            "when": "2024-05-01T12:00:00.123Z", "id": hex, "bytes": "AP8=",
            "uuid": "11111111-1111-1111-1111-111111111111", "big": 123, "price": 9.99, "nan": null,
            "deep": {"list": [hex, {"x": 1.0}]}, "regex": "/a/b/i", "stamp": "3:4", "collection": "c",
        })
    );
}

async fn dotted_fields(db: Db) {
    let stored = doc! {
        "_id": 1, "a": {"b": {"c": "deep"}, "x": 1}, "authors": [{"name": "Ewa"}, {"name": "Jan"}, {}],
        "tags": ["t0", "t1"],
    };
    let reader = fill(&db, [stored]).await;
    let read = async |fields: &[&str]| texts(&reader.clone().with_fields(fields.iter().copied())).await;
    assert_eq!(read(&["a.b.c"]).await, ["deep"]);
    assert_eq!(read(&["authors.name"]).await, ["['Ewa', 'Jan']"]);
    assert_eq!(read(&["authors.1.name"]).await, ["Jan"]);
    assert_eq!(read(&["tags.1", "tags.0"]).await, ["t1t0"]);
    // A path and one within it would collide in the server's projection.
    assert_eq!(read(&["a.x", "a", "a.b.c", "_id"]).await, ["1{'b': {'c': 'deep'}, 'x': 1}deep1"]);
    let reader =
        reader.with_fields(["a.x"]).with_metadata_as([("authors.name", "authors"), ("a.nope", "nope")]);
    let metadata = Value::from(all(&reader).await[0].metadata.clone());
    assert_eq!(metadata, json!({"authors": ["Ewa", "Jan"], "nope": null, "collection": "c"}));
}

async fn extractors(db: Db) {
    let reader = fill(
        &db,
        [doc! {"_id": 1, "text": "a", "tags": ["x", "y"]}, doc! {"_id": 2, "text": "b", "tags": 5}],
    )
    .await
    .with_separator(": ")
    .with_extractor("text", |text| Ok(text.as_str().unwrap_or_default().to_uppercase()))
    .with_extractor("tags", |tags| {
        let tags = tags.as_array().ok_or_else(|| Error::invalid_input("the tags are no list"))?;
        Ok(tags.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("+"))
    });
    let read: Vec<_> = reader.read().collect().await;
    assert_eq!(read[0].as_ref().unwrap().text_content(), "A: x+y");
    let error = read[1].as_ref().unwrap_err();
    assert_eq!((error.key(), error.collection()), (Some("2"), Some("c")));
    assert!(error.to_string().contains("the tags are no list"), "{error}");
}

async fn missing_fields(db: Db) {
    let stored = [
        doc! {"_id": "a", "text": "A", "b": 1},
        doc! {"_id": "b", "text": "B"},
        doc! {"_id": "c", "text": "C", "b": Bson::Null},
    ];
    let reader = fill(&db, stored).await.with_fields(["text", "b"]).with_separator("|");
    // The error names both, and the rest is read nonetheless.
    let read: Vec<_> = reader.read().collect().await;
    assert_eq!(read.len(), 3);
    let error = read[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::InvalidInput, Some("b")));
    assert!(error.to_string().contains("has no field \"b\""), "{error}");
    assert_eq!(read[2].as_ref().unwrap().text_content(), "C|None");
    assert_eq!(texts(&reader.clone().with_missing(MissingField::LeaveOut)).await, ["A|1", "B", "C|None"]);
    let skipping = reader.with_missing(MissingField::SkipDocument);
    assert_eq!(texts(&skipping).await, ["A|1", "C|None"]);
    // The limit counts what is given.
    assert_eq!(texts(&skipping.with_limit(2)).await, ["A|1", "C|None"]);
}

async fn queries_limits_and_batches(db: Db) {
    let reader =
        fill(&db, (0..250).map(|i| doc! {"_id": i, "text": i.to_string(), "even": i % 2 == 0})).await;
    let even = reader.clone().with_query(doc! {"even": true});
    assert_eq!(all(&even).await.len(), 125);
    assert_eq!(texts(&even.clone().with_limit(3).with_batch_size(2)).await, ["0", "2", "4"]);
    assert_eq!(texts(&even.with_limit(0)).await, [""; 0]);
    assert_eq!(all(&reader.clone().with_batch_size(7)).await.len(), 250);
    let Value::Object(query) = json!({"_id": {"$gte": {"$numberLong": "248"}}}) else { unreachable!() };
    assert_eq!(texts(&reader.clone().with_json_query(query).unwrap()).await, ["248", "249"]);
    let mut natural = texts(&reader.in_natural_order()).await;
    natural.sort_by_key(|text| text.parse::<i32>().unwrap());
    assert_eq!(natural, (0..250).map(|i| i.to_string()).collect::<Vec<_>>());
}

async fn filters(db: Db) {
    let when = |text: &str| DateTime::parse_rfc3339_str(text).unwrap();
    let stored = [
        doc! {"_id": 0, "n": 1, "s": "one", "at": when("2024-05-01T00:00:00Z"), "o": {"tags": ["a", "b"]}},
        doc! {"_id": 1, "n": 2.5, "s": "Two", "at": when("2024-05-31T23:59:59.999Z"), "o": {"x": Bson::Null}},
        doc! {"_id": 2, "n": "1", "s": "ΟΔΥΣΣΕΥΣ", "at": "2024-05-15T12:00:00+02:00", "o": [{"x": 1}]},
        doc! {"_id": 3, "n": [1, 2], "s": {"$gt": ""}, "at": when("2024-06-01T00:00:00Z"), "o": {"x": "$n"}},
        doc! {"_id": 4},
    ];
    let reader = fill(&db, stored.clone()).await.with_fields(["_id"]);
    let objects: Vec<JsonObject> =
        stored.iter().map(|document| serde_json::from_value(plain(document)).unwrap()).collect();
    let filters = [
        "n == 1",
        "n != 1",
        "n > 1",
        "n contains 2",
        "n in [1, '1']",
        "s matches 'w'",
        "s imatches 'ΣΕΥΣ'",
        "not (s imatches 'ΣΕΥΣ')",
        "o.tags contains any ['b', 'z']",
        "o.x exists",
        "not (o.x exists)",
        "o.x == '$n'",
        "s is empty",
        "at >= @2024-05-01 and at < @2024-06-01",
        "not (at < @2024-05-31)",
        "at == @2024-05-15T10:00:00Z",
        "n == 1 or o.x == 1",
        "all()",
        "any()",
    ];
    for text in filters {
        let filter: Filter = text.parse().unwrap();
        let expected: Vec<String> =
            (0..objects.len()).filter(|i| filter.matches(&objects[*i])).map(|i| i.to_string()).collect();
        assert_eq!(texts(&reader.clone().with_filter(filter.clone())).await, expected, "{text}");
        // A limit counts what is found, also where the rest of a filter is ours.
        let limited = reader.clone().with_filter(filter).with_limit(1).with_query(doc! {"_id": {"$ne": 9}});
        assert_eq!(texts(&limited).await, expected[..expected.len().min(1)], "{text}");
    }
    for key in ["$where", "a.$gt", "a\0b"] {
        let hostile = reader.clone().with_filter(field(key).eq("sleep(1000)"));
        assert_eq!(fails(&hostile).await.kind(), ErrorKind::InvalidInput, "{key}");
    }
}

/// A document as JSON, dates as RFC 3339.
fn plain(document: &BsonDocument) -> Value {
    let value = |value: &Bson| match value {
        Bson::DateTime(date) => json!(date.try_to_rfc3339_string().unwrap()),
        other => serde_json::to_value(other).unwrap(),
    };
    document.iter().map(|(name, member)| (name.clone(), value(member))).collect::<JsonObject>().into()
}

async fn resumes_after_every_id(db: Db) {
    let stored: Vec<_> =
        ids().into_iter().map(|(id, _)| doc! {"_id": id, "text": "x", "keep": true}).collect();
    let reader = fill(&db, stored).await.with_query(doc! {"keep": true});
    let expected: Vec<_> = ids().into_iter().map(|(_, text)| text).collect();
    let read: Vec<(Document, Cursor)> = reader.read_resumable().try_collect().await.unwrap();
    assert_eq!(read.len(), expected.len());
    for (i, ((_, place), (id, text))) in read.iter().zip(ids()).enumerate() {
        // A place may be stored as text.
        let stored = Cursor::new(place.as_str());
        for rest in [reader.clone().after(stored), reader.clone().after_id(id)] {
            let rest = all(&rest).await;
            let rest: Vec<_> = rest.iter().map(|document| document.id.as_str()).collect();
            assert_eq!(rest, expected[i + 1..], "after {text}");
        }
    }
    // An id that is gone is a place nonetheless, and a place belongs to its query and collection.
    db.collection("c").delete_one(doc! {"_id": 1}).await.unwrap();
    let rest = all(&reader.clone().after_id(1_i64)).await;
    assert_eq!(rest[0].id.as_str(), "1.50");
    let place = || read[0].1.clone();
    let twice = reader.clone().after(place()).after_id(1);
    let others = [reader.with_query(doc! {}), db.store.reader("d")].map(|other| other.after(place()));
    for refused in others.into_iter().chain([twice, db.store.reader("c").after(Cursor::new("x"))]) {
        assert_eq!(fails(&refused).await.kind(), ErrorKind::InvalidInput);
    }
}

async fn bad_arguments_are_refused(db: Db) {
    let reader = fill(&db, [doc! {"_id": 1, "text": "x"}]).await;
    for field in ["", "a..b", "$where", "a.$gt", "a\0b"] {
        assert_eq!(
            fails(&reader.clone().with_fields([field])).await.kind(),
            ErrorKind::InvalidInput,
            "{field:?}"
        );
        assert_eq!(
            fails(&reader.clone().with_metadata([field])).await.kind(),
            ErrorKind::InvalidInput,
            "{field:?}"
        );
    }
    for name in ["", "a$b", "a\0b", ".a"] {
        assert_eq!(fails(&db.store.reader(name)).await.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    for name in ["", "a.b", "a b", "a/b", "a$b", "x".repeat(64).as_str()] {
        let error = fails(&db.store.reader("c").in_database(name)).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
    }
    let natural = reader.clone().in_natural_order();
    assert_eq!(fails(&natural.clone().after_id(1)).await.kind(), ErrorKind::InvalidInput);
    assert!(natural.read_resumable().try_collect::<Vec<_>>().await.is_err());
    let error = fails(&reader.with_query(doc! {"$nope": 1})).await;
    assert!(
        error.to_string().contains("mongodb reader.read c") && error.to_string().contains("$nope"),
        "{error}"
    );
}

async fn a_lost_cursor_heals(db: Db) {
    let reader =
        fill(&db, (0..100).map(|i| doc! {"_id": i, "text": i.to_string()})).await.with_batch_size(10);
    let database = db.database();
    for natural in [false, true] {
        let reader = if natural { reader.clone().in_natural_order() } else { reader.clone() };
        let mut documents = reader.read();
        for _ in 0..25 {
            documents.try_next().await.unwrap().unwrap();
        }
        // What a server does with a cursor that was idle for ten minutes. It is busy while a batch is fetched ahead.
        let admin = db.store.client().unwrap().database("admin");
        let ids = loop {
            let cursors = admin
                .aggregate([
                    doc! {"$currentOp": {"idleCursors": true}},
                    doc! {"$match": {"ns": format!("{}.c", db.name), "type": "idleCursor"}},
                ])
                .await
                .unwrap();
            let cursors: Vec<BsonDocument> = cursors.try_collect().await.unwrap();
            if !cursors.is_empty() {
                let id = |op: &BsonDocument| op.get_document("cursor").unwrap()["cursorId"].clone();
                break cursors.iter().map(id).collect::<Vec<Bson>>();
            }
        };
        database.run_command(doc! {"killCursors": "c", "cursors": ids}).await.unwrap();
        let rest: Vec<_> = documents.collect().await;
        if natural {
            let error = rest.last().unwrap().as_ref().unwrap_err();
            assert!(error.to_string().contains("the server has closed the stream"), "{error}");
        } else {
            let rest: Vec<_> = rest.into_iter().map(|row| row.unwrap().id.to_string()).collect();
            assert_eq!(rest, (25..100).map(|i| i.to_string()).collect::<Vec<_>>());
        }
    }
}

async fn hostile_documents(db: Db) {
    // Operators in names and values are data.
    let operators = doc! {"$where": "sleep(1)", "$gt": "", "a.b": 1};
    let mut nested = Bson::Int32(1);
    for _ in 0..95 {
        nested = Bson::Document(doc! {"n": nested});
    }
    let large = "ż".repeat((15_900_000 - 100) / 2);
    let reader = fill(
        &db,
        [
            doc! {"_id": "ops", "text": Bson::Document(operators)},
            doc! {"_id": "nested", "text": nested},
            doc! {"_id": "large", "text": &large},
        ],
    )
    .await;
    let documents = all(&reader.with_metadata(["text"])).await;
    let find = |id: &str| documents.iter().find(|document| document.id.as_str() == id).unwrap();
    assert_eq!(find("ops").text_content(), "{'$where': 'sleep(1)', '$gt': '', 'a.b': 1}");
    assert_eq!(find("ops").metadata["text"], json!({"$where": "sleep(1)", "$gt": "", "a.b": 1}));
    assert_eq!(find("nested").text_content().matches("{'n': ").count(), 95);
    assert_eq!(find("large").text_content().len(), large.len());
    let _: Arc<dyn Reader> = Arc::new(db.store.reader("c"));
}
