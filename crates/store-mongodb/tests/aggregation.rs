//! Typed aggregations, on a real server.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use bson::{Bson, DateTime, Document as BsonDocument, doc};
use common::{Db, test};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use store_core::filter::field;
use store_core::{ErrorKind, Order};
use store_mongodb::{DateRange, MongoAggregation, ReadConcern, ReadPreference, stage};

fn main() -> ExitCode {
    common::run(vec![
        test("results_are_typed_and_streamed", results_are_typed_and_streamed),
        test("a_result_of_another_type_is_named", a_result_of_another_type_is_named),
        test("values_stay_values", values_stay_values),
        test("date_ranges_use_the_index", date_ranges_use_the_index),
        test("options_reach_the_server", options_reach_the_server),
        test("out_and_merge_run_to_the_end", out_and_merge_run_to_the_end),
        test("bad_arguments_are_refused", bad_arguments_are_refused),
    ])
}

#[derive(Debug, Deserialize, PartialEq)]
struct Total {
    #[serde(rename = "_id")]
    kind: String,
    sum: i64,
}

async fn fill(db: &Db, documents: impl IntoIterator<Item = BsonDocument>) -> MongoAggregation {
    db.collection("c").insert_many(documents).await.unwrap();
    db.store.aggregation("c")
}

async fn ids(aggregation: &MongoAggregation) -> Vec<i32> {
    let rows: Vec<BsonDocument> = aggregation.stream().try_collect().await.unwrap();
    rows.iter().map(|row| row.get_i32("_id").unwrap()).collect()
}

async fn results_are_typed_and_streamed(db: Db) {
    let kinds = ["a", "b", "c"];
    let aggregation =
        fill(&db, (0..300).map(|i| doc! {"kind": kinds[usize::try_from(i % 3).unwrap()], "n": i})).await;
    let sums = aggregation
        .clone()
        .stage(doc! {"$group": {"_id": "$kind", "sum": {"$sum": "$n"}}})
        .stage(stage::sort([("sum", Order::Descending)]).unwrap());
    let total = |kind: &str, sum| Total { kind: kind.to_owned(), sum };
    let totals: Vec<Total> = sums.clone().with_batch_size(1).stream().try_collect().await.unwrap();
    assert_eq!(totals, [total("c", 15_050), total("b", 14_950), total("a", 14_850)]);
    assert_eq!(sums.first::<Total>().await.unwrap(), Some(total("c", 15_050)));
    assert_eq!(db.store.aggregation("nothing").first::<Total>().await.unwrap(), None);
    // In batches, with the stream left half read.
    let mut rows = aggregation.with_batch_size(7).stream::<BsonDocument>();
    for _ in 0..30 {
        rows.try_next().await.unwrap().unwrap();
    }
    assert_eq!(rows.count().await, 270);
}

async fn a_result_of_another_type_is_named(db: Db) {
    let documents = [doc! {"_id": "a", "sum": 1}, doc! {"_id": "b", "sum": "x"}, doc! {"_id": "c", "sum": 3}];
    let rows: Vec<_> = fill(&db, documents).await.stream::<Total>().collect().await;
    assert_eq!(rows.len(), 3);
    let error = rows[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.key(), error.collection()), (ErrorKind::Corrupt, Some("b"), Some("c")));
    assert!(error.to_string().contains("result 1"), "{error}");
    assert_eq!(rows[2].as_ref().unwrap().sum, 3);
}

async fn values_stay_values(db: Db) {
    let aggregation = fill(
        &db,
        [
            doc! {"_id": 1, "v": "$secret", "secret": "x"},
            doc! {"_id": 2, "v": {"$gt": ""}},
            doc! {"_id": 3, "v": "x", "n": 5},
            doc! {"_id": 4, "v": ["x"], "n": 7},
        ],
    )
    .await;
    let equal = async |value: Bson| ids(&aggregation.clone().stage(stage::equals("v", value).unwrap())).await;
    assert_eq!(equal("$secret".into()).await, [1]);
    assert_eq!(equal(doc! {"$gt": ""}.into()).await, [2]);
    assert_eq!(equal("x".into()).await, [3, 4]);
    let literal = doc! {"$match": {"$expr": {"$eq": ["$v", stage::literal("$secret")]}}};
    assert_eq!(ids(&aggregation.clone().stage(literal)).await, [1]);
    let filter = stage::filter(&field("n").gt(5).or(field("v").eq("x"))).unwrap();
    assert_eq!(ids(&aggregation.clone().stage(filter)).await, [3, 4]);
    let counted = aggregation.clone().stage(stage::count_by("v").unwrap()).stage(stage::limit(1).unwrap());
    assert_eq!(counted.first::<BsonDocument>().await.unwrap().unwrap().get_i32("count").unwrap(), 1);
    for name in ["$where", "a.$b", "", "a..b", "a\0"] {
        assert!(stage::equals(name, 1).is_err() && stage::path(name).is_err(), "{name:?}");
        assert!(
            stage::sort([(name, Order::Ascending)]).is_err() && stage::count_by(name).is_err(),
            "{name:?}"
        );
        assert!(stage::filter(&field(name).eq(1)).is_err() && stage::dates(name, DateRange::all()).is_err());
    }
    assert!(stage::limit(0).is_err() && stage::sort([]).is_err());
}

async fn date_ranges_use_the_index(db: Db) {
    let day = 86_400_000;
    let documents = (0..100).map(|i| doc! {"_id": i, "at": DateTime::from_millis(i64::from(i) * day)});
    let aggregation = fill(&db, documents).await;
    let index = doc! {"createIndexes": "c", "indexes": [{"key": {"at": 1}, "name": "at"}]};
    db.database().run_command(index).await.unwrap();
    let range = DateRange::parse("1970-01-11T01:00:00+01:00", "1970-01-13T00:00:00Z").unwrap();
    let aggregation = aggregation.stage(stage::dates("at", range).unwrap());
    // The first instant is in, the last is not.
    assert_eq!(ids(&aggregation).await, [10, 11]);
    let explain = doc! {"explain": {"aggregate": "c", "cursor": {}, "pipeline": [stage::dates("at", range).unwrap()]},
    "verbosity": "executionStats"};
    let plan = db.database().run_command(explain).await.unwrap();
    let examined = plan.get_document("executionStats").unwrap().get_i32("totalDocsExamined").unwrap();
    assert_eq!(examined, 2, "{plan}");
    // Ranges that follow each other share nothing and leave nothing out.
    let at =
        |day: i64| store_core::Timestamp::from_nanoseconds(i128::from(day) * 86_400_000_000_000).unwrap();
    let mut all = Vec::new();
    let ranges =
        [DateRange::until(at(10)), DateRange::between(at(10), at(50)).unwrap(), DateRange::since(at(50))];
    for range in ranges {
        all.extend(ids(&db.store.aggregation("c").stage(stage::dates("at", range).unwrap())).await);
    }
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert!(
        ids(&db
            .store
            .aggregation("c")
            .stage(stage::dates("at", DateRange::last(Duration::from_mins(1)).unwrap()).unwrap()))
        .await
        .is_empty()
    );
}

async fn options_reach_the_server(db: Db) {
    let aggregation =
        fill(&db, (0..20).map(|i| doc! {"_id": i, "name": if i % 2 == 0 { "Zoe" } else { "ZOE" }})).await;
    let same = aggregation
        .clone()
        .stage(stage::equals("name", "zoe").unwrap())
        .with_collation(doc! {"locale": "en", "strength": 1})
        .with_comment("the comment")
        .with_allow_disk_use(true)
        .with_max_time(Duration::from_mins(1))
        .with_read_concern(ReadConcern::Majority)
        .with_read_preference(ReadPreference::PrimaryPreferred)
        .with_index("_id_");
    assert_eq!(ids(&same).await.len(), 20);
    let error = same.clone().with_index("nope").first::<BsonDocument>().await.unwrap_err();
    assert!(error.to_string().contains("mongodb aggregation.run c"), "{error}");
    let error = same.with_collation(doc! {"strength": "x"}).first::<BsonDocument>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Slow to compute.
    let slow = doc! {"$match": {"$expr": {"$function": {
        "body": "function() { sleep(200); return true; }", "args": [], "lang": "js",
    }}}};
    let error = aggregation
        .clone()
        .stage(slow)
        .with_max_time(Duration::from_millis(300))
        .first::<BsonDocument>()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // What does not fit into memory says what to do.
    let big = doc! {"$project": {"list": {"$range": [0, 500_000]}}};
    let heavy =
        aggregation.stage(big).stage(doc! {"$unwind": "$list"}).stage(doc! {"$sort": {"list": -1, "_id": 1}});
    let error = heavy.clone().with_allow_disk_use(false).first::<BsonDocument>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.to_string().contains("with_allow_disk_use"), "{error}");
}

async fn out_and_merge_run_to_the_end(db: Db) {
    let aggregation = fill(&db, (0..500).map(|i| doc! {"_id": i})).await;
    aggregation.clone().stage(doc! {"$out": "copy"}).run().await.unwrap();
    assert_eq!(db.collection("copy").count_documents(doc! {}).await.unwrap(), 500);
    let small = stage::filter(&field("_id").lt(10)).unwrap();
    aggregation.stage(small).stage(doc! {"$merge": {"into": "few"}}).run().await.unwrap();
    assert_eq!(db.collection("few").count_documents(doc! {}).await.unwrap(), 10);
}

async fn bad_arguments_are_refused(db: Db) {
    let error = db.store.aggregation("c").stage(doc! {"$nope": 1}).run().await.unwrap_err();
    assert!(error.to_string().contains("$nope"), "{error}");
    assert_eq!(db.store.aggregation("").run().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let elsewhere = db.store.aggregation("c").in_database("a b");
    assert_eq!(elsewhere.run().await.unwrap_err().kind(), ErrorKind::InvalidInput);
}
