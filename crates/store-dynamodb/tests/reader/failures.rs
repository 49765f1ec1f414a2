//! What is wrong, and what fails in the middle of a reading.

use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Trial;
use serde_json::json;
use store_core::filter::field;
use store_core::{Backend as _, Cursor, Error, ErrorKind, MissingField, Reader as _};

use crate::common::{Db, test};
use crate::faults::{Fault, Faults};
use crate::{all, fill, ids, numbered, refused, table, texts};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        test("what_is_wrong_is_said", what_is_wrong_is_said),
        test("an_error_in_the_middle_says_where_to_go_on", an_error_in_the_middle_says_where_to_go_on),
        test("faults_of_the_service_lose_nothing", faults_of_the_service_lose_nothing),
    ]
}

async fn what_is_wrong_is_said(db: Db) {
    let table = table(&db).await;
    fill(&db, &table, [json!({"USER": {"S": "u"}, "date": {"N": "1"}, "a": {"S": "x"}})].into_iter()).await;
    fill(&db, &table, [json!({"USER": {"S": "u"}, "date": {"N": "2"}, "text": {"S": "y"}})].into_iter())
        .await;
    let reader = || db.store.partition_reader(&table, "u");
    let mut documents = reader().read();
    let error = documents.try_next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("u/1") && error.to_string().contains("\"text\""), "{error}");
    // The next one may be right.
    assert_eq!(documents.try_next().await.unwrap().unwrap().id.as_str(), "u/2");
    let skip = reader().with_missing(MissingField::SkipDocument);
    assert_eq!(ids(&all(&skip.with_limit(1)).await.unwrap()), ["u/2"]);
    let left_out = reader().with_fields(["a", "text"]).with_missing(MissingField::LeaveOut);
    assert_eq!(texts(&all(&left_out).await.unwrap()), [("u/1", "x"), ("u/2", "y")]);
    let wrong = [
        (db.store.partition_reader("no-such-table", "u"), ErrorKind::NotFound),
        (db.store.table_reader(""), ErrorKind::InvalidInput),
        (db.store.partiql_reader("SELECT * FROM \"no-such-table\""), ErrorKind::NotFound),
        (db.store.partition_reader(&table, 7), ErrorKind::InvalidInput),
        (db.store.table_reader(&table).with_segments(0), ErrorKind::InvalidInput),
        (db.store.table_reader(&table).in_descending_order(), ErrorKind::InvalidInput),
        (reader().with_segments(2), ErrorKind::InvalidInput),
        (reader().with_page_size(0), ErrorKind::InvalidInput),
        (reader().after_id("x"), ErrorKind::InvalidInput),
        (reader().with_fields([""]), ErrorKind::InvalidInput),
        (reader().after(Cursor::new("rubbish")), ErrorKind::InvalidInput),
        (reader().with_filter(field("a..b").exists()), ErrorKind::InvalidInput),
        (db.store.reader("nodestore:chats"), ErrorKind::InvalidInput),
        (db.store.reader("c").with_index("i"), ErrorKind::InvalidInput),
        (db.store.reader("c").after_id(""), ErrorKind::InvalidInput),
    ];
    for (reader, kind) in wrong {
        let error = refused(&reader).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.operation(), Some("reader.read"), "{error}");
    }
    let other = db.another().await;
    let mut documents = other.partition_reader(&table, "u").with_fields(["USER"]).read();
    assert_eq!(documents.try_next().await.unwrap().unwrap().id.as_str(), "u/1");
    other.close().await.unwrap();
    assert_eq!(documents.try_next().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// A table that goes in the middle of a reading stands for all that can end one.
async fn an_error_in_the_middle_says_where_to_go_on(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 50).await;
    let reader = db.store.partition_reader(&table, "u1").with_page_size(2);
    let mut documents = reader.read();
    let first = documents.try_next().await.unwrap().unwrap();
    db.client().delete_table().table_name(&table).send().await.unwrap();
    let mut read = vec![first.id.as_str().to_owned()];
    let error = loop {
        match documents.try_next().await {
            Ok(Some(document)) => read.push(document.id.as_str().to_owned()),
            Ok(None) => panic!("the reading ended without an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let place = place_in(&error);
    let again = crate::table(&db).await;
    assert_eq!(again, table);
    numbered(&db, &table, 50).await;
    let rest = all(&reader.clone().after(place)).await.unwrap();
    assert!(!rest.is_empty());
    read.extend(rest.iter().map(|document| document.id.as_str().to_owned()));
    assert_eq!(read, ["u1/1", "u1/11", "u1/21", "u1/31", "u1/41"]);
}

/// The place that an error names.
fn place_in(error: &Error) -> Cursor {
    let text = error.to_string();
    let place = text.split("go on after the place \"").nth(1).and_then(|rest| rest.split('"').next());
    Cursor::new(place.unwrap_or_else(|| panic!("no place in {text}")))
}

async fn faults_of_the_service_lose_nothing(db: Db) {
    let table = table(&db).await;
    numbered(&db, &table, 3_000).await;
    let mut expected: Vec<String> = (0..3_000).map(|n| format!("u{}/{n}", n % 10)).collect();
    expected.sort_unstable();
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone().with_operation_timeout(Duration::from_secs(2)));
    let scan = store.table_reader(&table).with_page_size(50).with_fields(["text"]);
    let statement = store.partiql_reader(format!("SELECT * FROM \"{table}\"")).with_page_size(50);
    for (reader, seed) in [(&scan, 7), (&statement, 8)] {
        faults.spoil_at_random(150, seed);
        let (mut read, mut place, mut errors) = (Vec::new(), None::<Cursor>, 0);
        loop {
            let next = reader.clone();
            let next = place.take().map_or(next.clone(), |place| next.after(place));
            let mut documents = next.read_resumable();
            let error = loop {
                match documents.try_next().await {
                    Ok(Some((document, after))) => {
                        read.push(document.id.as_str().to_owned());
                        place = Some(after);
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            let Some(error) = error else { break };
            errors += 1;
            assert!(errors < 500, "the reading has no end: {error}");
            assert!(error.is_retryable(), "{error}");
            // What was begun goes on, and what was not begins.
            if error.to_string().contains("go on after") {
                place = Some(place_in(&error));
            }
        }
        read.sort_unstable();
        assert!(read == expected, "{} read of 3,000, {errors} errors", read.len());
        println!("{errors} errors in the middle, {:?}", faults.spoiled());
        faults.heal();
    }
    // A table that is too busy for longer than a call may take.
    let store = faults.store(db.client(), db.config.clone().with_operation_timeout(Duration::from_secs(1)));
    let busy = store.table_reader(&table).with_page_size(50).with_fields(["text"]);
    let mut documents = busy.read();
    let mut read = vec![documents.try_next().await.unwrap().unwrap().id.as_str().to_owned()];
    faults.spoil("Scan", Fault::Throttled, usize::MAX);
    let error = loop {
        match documents.try_next().await {
            Ok(Some(document)) => read.push(document.id.as_str().to_owned()),
            Ok(None) => panic!("a throttled table is read whole"),
            Err(error) => break error,
        }
    };
    // On a machine that is busy itself not even the first answer may come in time.
    assert!(matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Timeout), "{error}");
    assert!(documents.try_next().await.unwrap().is_none());
    faults.heal();
    let rest = all(&busy.after(place_in(&error))).await.unwrap();
    read.extend(rest.iter().map(|document| document.id.as_str().to_owned()));
    read.sort_unstable();
    assert!(read == expected, "{} read of 3,000", read.len());
}
