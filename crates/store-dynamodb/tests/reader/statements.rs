//! Statements as a source.

use futures::TryStreamExt as _;
use libtest_mimic::Trial;
use serde_json::json;
use store_core::filter::field;
use store_core::{Cursor, Document, ErrorKind};
use store_dynamodb::aws_sdk_dynamodb::types::AttributeValue;

use crate::common::{Db, test};
use crate::{all, ids, in_parts, numbered, refused, table};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("a_statement_is_read_and_goes_on", a_statement_is_read_and_goes_on),
        test("a_statement_that_writes_is_not_sent", a_statement_that_writes_is_not_sent),
    ]
}

async fn a_statement_is_read_and_goes_on(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 400).await;
    let text = format!("SELECT * FROM \"{table}\" WHERE \"USER\" = ? AND \"date\" >= ?; -- not DELETE");
    let reader = || db.store.partiql_reader(&text).with_parameters([json!("u3"), json!(100)]);
    let expected: Vec<String> = (100..400).filter(|n| n % 10 == 3).map(|n| format!("u3/{n}")).collect();
    assert_eq!(ids(&all(&reader()).await.unwrap()), expected);
    assert_eq!(in_parts(|| reader().with_page_size(8), 5).await, expected);
    assert_eq!(in_parts(|| reader().with_page_size(8), 8).await, expected);
    let filtered = reader().with_filter(field("group.or").eq("g0"));
    assert_eq!(all(&filtered).await.unwrap().len(), 10);
    // A page that has changed meanwhile comes again.
    let begun: Vec<(Document, Cursor)> =
        reader().with_page_size(8).with_limit(4).read_resumable().try_collect().await.unwrap();
    let delete = db.client().delete_item().table_name(&table);
    let key = |n: &str| AttributeValue::N(n.to_owned());
    let delete = delete.key("USER", AttributeValue::S("u3".to_owned())).key("date", key("103"));
    delete.send().await.unwrap();
    let rest = all(&reader().with_page_size(8).after(begun[3].1.clone())).await.unwrap();
    assert_eq!(ids(&rest), expected[1..]);
    // What a text or a name says is no word of the statement.
    let text = format!(
        "select \"text\", \"USER\" FROM \"{table}\" WHERE \"text\" <> 'DELETE FROM x; INSERT' AND \"USER\" = 'u4'"
    );
    let named = db.store.partiql_reader(&text).with_id_field("text");
    let error = all(&named.clone().with_id_field("none")).await.unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    assert_eq!(all(&named).await.unwrap().len(), 40);
}

async fn a_statement_that_writes_is_not_sent(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 5).await;
    let before = db.client().scan().table_name(&table).send().await.unwrap().count;
    for text in [
        format!("DELETE FROM \"{table}\" WHERE \"USER\" = 'u1' AND \"date\" = 1"),
        format!("/* SELECT */ DELETE FROM \"{table}\" WHERE \"USER\" = 'u1' AND \"date\" = 1"),
        format!("UPDATE \"{table}\" SET \"text\" = 'x' WHERE \"USER\" = 'u1' AND \"date\" = 1"),
        format!("INSERT INTO \"{table}\" VALUE {{'USER': 'u9', 'date': 9}}"),
        format!("EXISTS(SELECT * FROM \"{table}\" WHERE \"USER\" = 'u1' AND \"date\" = 1)"),
        format!("SELECT * FROM \"{table}\"; DELETE FROM \"{table}\" WHERE \"USER\" = 'u1' AND \"date\" = 1"),
        format!(
            "SELECT * FROM \"{table}\" WHERE \"text\" = 'it''s'; DELETE FROM \"{table}\" WHERE \"USER\" = 'u1'"
        ),
    ] {
        let error = refused(&db.store.partiql_reader(&text)).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert!(error.to_string().contains("PartiQL statement is refused"), "{error}");
    }
    assert_eq!(db.client().scan().table_name(&table).send().await.unwrap().count, before);
    let error =
        refused(&db.store.partiql_reader(format!("SELECT * FROM \"{table}\" WHERE \"USER\" = ?"))).await;
    assert!(error.to_string().contains("1 question marks and 0 parameters"), "{error}");
}
