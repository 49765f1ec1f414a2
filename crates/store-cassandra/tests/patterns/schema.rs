//! Declared indexes and views.

use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use store_cassandra::{CassandraIndex, CassandraSeries, CassandraTimeSeries, CassandraView, SeriesType};
use store_core::ErrorKind;

use crate::common::{Db, test};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("schema_of_a_table_is_made_once_and_compared", schema_of_a_table_is_made_once_and_compared),
        test("schema_of_a_series_is_made", schema_of_a_series_is_made),
        test("schema_refuses_what_can_not_be", schema_refuses_what_can_not_be),
    ]
}

async fn schema_of_a_table_is_made_once_and_compared(db: Db) {
    let (table, full) = (db.own("birds"), db.table("birds"));
    let other =
        CassandraTimeSeries::<Value>::new(&db.store, CassandraSeries::new("s", Duration::from_hours(1)));
    // Makes the keyspace, if it has to.
    other.unwrap().put(&[json!({"time": 1})]).await.unwrap();
    db.cql(&format!(
        "CREATE TABLE {full} (place text, id bigint, \"Kind\" text, tags set<text>, more map<text, text>, size int, \
         PRIMARY KEY (place, id))"
    ))
    .await;
    let indexes = [
        CassandraIndex::sai("Kind").case_insensitive(),
        CassandraIndex::sai("tags"),
        CassandraIndex::sai("more").on_entries(),
        CassandraIndex::secondary("size"),
        CassandraIndex::secondary("more").on_keys().named(db.own("more_keys")),
    ];
    let by_kind = db.own("birds_by_kind");
    let views = [
        CassandraView::new(by_kind.as_str(), ["Kind"]).then_descending("id").with_columns(["size"]),
        CassandraView::new(db.own("birds_by_id"), ["id"]),
    ];
    let before = db.store.compare_schema(&table, &indexes, &views).await.unwrap();
    assert_eq!((before.missing.len(), before.made.len(), before.present.len()), (7, 0, 0));
    let report = db.store.ensure_schema(&table, &indexes, &views).await.unwrap().all_as_declared().unwrap();
    assert_eq!((&report.made, report.present.len()), (&before.missing, 0), "{report:?}");
    let again = db.another().await.ensure_schema(&table, &indexes, &views).await.unwrap();
    assert_eq!((again.present.len(), again.made.len() + again.different.len()), (7, 0), "{again:?}");
    assert!(again.undeclared.is_empty());
    // The index and the view do what they are for.
    db.cql(&format!("INSERT INTO {full} (place, id, \"Kind\", size) VALUES ('p', 1, 'Crane', 3)")).await;
    db.cql(&format!("SELECT * FROM {full} WHERE \"Kind\" = 'cRANE'")).await;
    db.cql(&format!("SELECT size FROM {} WHERE \"Kind\" = 'Crane'", db.table("birds_by_kind"))).await;
    // Declared otherwise: told, and left as it is.
    let otherwise = [CassandraIndex::sai("Kind").normalized(), CassandraIndex::sai("size")];
    let other_views =
        [CassandraView::new(by_kind.as_str(), ["Kind"]).then("id").with_columns(["size", "tags"])];
    let report = db.store.compare_schema(&table, &otherwise, &other_views).await.unwrap();
    assert_eq!(report.missing, [format!("{table}_size_sai")]);
    let differences: Vec<String> = report.different.iter().map(ToString::to_string).collect();
    let expected = [
        format!(
            "\"{table}_Kind_sai\" (normalize: declared true, found none; case_sensitive: declared none, found false)"
        ),
        format!(
            "\"{by_kind}\" (clustering: declared id ASC, place ASC, found id DESC, place ASC; columns: declared size, \
             tags, found size)"
        ),
    ];
    assert_eq!(differences, expected);
    assert_eq!(report.undeclared.len(), 5, "{report:?}");
    assert_eq!(report.all_as_declared().unwrap_err().kind(), ErrorKind::Config);
}

async fn schema_of_a_series_is_made(db: Db) {
    let series = CassandraSeries::new("events", Duration::from_hours(24))
        .with_id("user", SeriesType::Text)
        .with_column("type", SeriesType::Text);
    let series: CassandraTimeSeries<Value> = CassandraTimeSeries::new(&db.store, series).unwrap();
    let indexes = [CassandraIndex::sai("type")];
    let views = [CassandraView::new(db.own("events_by_type"), ["type"]).then_descending("time")];
    let report = series.ensure_schema(&indexes, &views).await.unwrap();
    assert_eq!(report.made, [db.own("events_type_sai"), db.own("events_by_type")]);
    series.put(&[json!({"time": 5, "user": "u", "type": "t"})]).await.unwrap();
    let found: Vec<Value> = series.range(&[], 0..10).try_collect().await.unwrap();
    assert_eq!(found.len(), 1);
    // With the namespace go tables that have views: see where the test ends.
}

async fn schema_refuses_what_can_not_be(db: Db) {
    let series =
        CassandraSeries::new("events", Duration::from_hours(24)).with_column("type", SeriesType::Text);
    let series: CassandraTimeSeries<Value> = CassandraTimeSeries::new(&db.store, series).unwrap();
    series.put(&[json!({"time": 5, "type": "t"})]).await.unwrap();
    let table = db.own("events");
    let view = |columns: [&str; 1]| CassandraView::new(db.own("v"), columns);
    for (table, indexes, views, kind) in [
        ("none", vec![], vec![], ErrorKind::NotFound),
        (&table, vec![CassandraIndex::sai("none")], vec![], ErrorKind::InvalidInput),
        (&table, vec![], vec![view(["none"])], ErrorKind::InvalidInput),
        (&table, vec![], vec![view(["type"]).then("type")], ErrorKind::InvalidInput),
        (&table, vec![], vec![view(["type"]), view(["type"])], ErrorKind::InvalidInput),
        // The nodes refuse a part of what is no collection.
        (&table, vec![CassandraIndex::sai("type").on_keys()], vec![], ErrorKind::InvalidInput),
    ] {
        let error = db.store.ensure_schema(table, &indexes, &views).await.unwrap_err();
        assert_eq!((error.kind(), error.collection()), (kind, Some(table)), "{error}");
    }
    let report = db.store.compare_schema(&table, &[], &[]).await.unwrap();
    assert_eq!(report.undeclared, [""; 0]);
}
