//! What writes an item, told apart.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use store_core::ErrorKind;
use store_dynamodb::{DynamoDbItems, DynamoDbSingleTable};

use crate::common::{Db, seconds};
use crate::faults::{Fault, Faults};
use crate::{Event, Session, Shop, User, design, event, user};

pub(crate) async fn writes_are_told_apart(db: Db) {
    let shop = Shop::open(db).await;
    let one = event("u1", 6, "e");
    let key = json!({"user_id": "u1", "at": 6, "event_id": "e"});
    // There is none.
    let error = shop.events.patch(&key, &json!({"note": "x"})).await.unwrap_err();
    assert_eq!((error.kind(), error.collection()), (ErrorKind::NotFound, Some("event")));
    assert_eq!(shop.events.get(&key).await.unwrap(), None);
    assert_eq!(shop.events.create(&one).await.unwrap(), one);
    // There is one.
    let error = shop.events.create(&Event { day: "2026-02-01".into(), ..one.clone() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(shop.events.get(&one).await.unwrap().unwrap(), one);
    shop.events.patch(&key, &json!({"note": "x"})).await.unwrap();
    let noted = Event { note: Some("x".into()), ..one.clone() };
    assert_eq!(shop.events.get(&key).await.unwrap().unwrap(), noted);
    // An upsert leaves what it is not given, a put does not.
    shop.events.upsert(&json!({"user_id": "u1", "at": 6, "event_id": "e", "price": 5})).await.unwrap();
    assert_eq!(shop.events.get(&key).await.unwrap().unwrap(), Event { price: Some(5), ..noted.clone() });
    shop.events.upsert(&json!({"user_id": "u1", "at": 6, "event_id": "e", "note": null})).await.unwrap();
    assert_eq!(shop.events.get(&key).await.unwrap().unwrap(), Event { price: Some(5), ..one.clone() });
    shop.events.put(&one).await.unwrap();
    assert_eq!(shop.events.get(&key).await.unwrap().unwrap(), one);
    // An upsert makes what is not there.
    let new = event("u9", 4, "new");
    shop.events.upsert(&new).await.unwrap();
    assert_eq!(
        shop.events.query(&json!({"user_id": "u9"})).unwrap().page(None).await.unwrap().items,
        std::slice::from_ref(&new)
    );
    let by_type = shop.events.query_index("by_type", &json!({"type": "click", "day": "2026-01-05"})).unwrap();
    assert_eq!(by_type.page(None).await.unwrap().items, [new]);
    shop.events.delete(&key).await.unwrap();
    shop.events.delete(&key).await.unwrap();
    assert_eq!(shop.events.get(&key).await.unwrap(), None);
    shop.close().await;
}

pub(crate) async fn versions_lock(db: Db) {
    let shop = Shop::open(db).await;
    let key = json!({"user_id": "u"});
    let first = shop.users.put(&user("u", "Ada")).await.unwrap();
    assert_eq!(first.version, 1);
    // Another new one is not put over it.
    assert_eq!(shop.users.put(&user("u", "Eve")).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let second = shop.users.put(&User { name: "Ada L.".into(), ..first.clone() }).await.unwrap();
    assert_eq!((second.version, shop.users.get(&key).await.unwrap().unwrap()), (2, second.clone()));
    let error = shop.users.put(&User { name: "old".into(), ..first.clone() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("its version is 2, not 1"), "{error}");
    // Patches and upserts count.
    shop.users.patch(&key, &json!({"name": "A"})).await.unwrap();
    shop.users.upsert(&json!({"user_id": "u", "email": "a@b"})).await.unwrap();
    let now = shop.users.get(&key).await.unwrap().unwrap();
    assert_eq!(now, User { name: "A".into(), email: Some("a@b".into()), user_id: "u".into(), version: 4 });
    shop.users.patch_if(&key, 4, &json!({"email": null})).await.unwrap();
    assert_eq!(
        shop.users.patch_if(&key, 4, &json!({"name": "B"})).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(shop.users.delete_if(&key, 4).await.unwrap_err().kind(), ErrorKind::Conflict);
    shop.users.delete_if(&key, 5).await.unwrap();
    assert_eq!(shop.users.delete_if(&key, 5).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(shop.users.put(&second).await.unwrap_err().kind(), ErrorKind::NotFound);
    // The version is nobody's to set, and an entity without versions has none to ask for.
    for refused in [
        shop.users.patch(&key, &json!({"version": 9})).await,
        shop.users.upsert(&second).await,
        shop.users.create(&second).await.map(|_| ()),
        shop.events.delete_if(&event("u", 1, "e"), 1).await,
        shop.users.put_many([user("x", "y")]).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(shop.users.get(&key).await.unwrap(), None);
    shop.close().await;
}

pub(crate) async fn one_of_many_writers_wins(db: Db) {
    let shop = Shop::open(db).await;
    let made = futures::future::join_all((0..8).map(|n| {
        let users = shop.users.clone();
        async move { users.create(&user("u", &format!("writer {n}"))).await.is_ok() }
    }));
    assert_eq!(made.await.into_iter().filter(|made| *made).count(), 1);
    // Each adds its letter, and begins anew where another was first.
    let added = futures::future::join_all((0..8).map(|n| {
        let users = shop.users.clone();
        async move {
            loop {
                let mut read = users.get(&json!({"user_id": "u"})).await.unwrap().unwrap();
                read.name.push(char::from(b'a' + n));
                match users.put(&read).await {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        }
    }));
    added.await;
    let last = shop.users.get(&json!({"user_id": "u"})).await.unwrap().unwrap();
    let letters: BTreeSet<char> = last.name.chars().rev().take(8).collect();
    assert_eq!((last.version, letters), (9, ('a'..='h').collect()));
    shop.close().await;
}

pub(crate) async fn index_keys_follow_patches(db: Db) {
    let shop = Shop::open(db).await;
    let by_email = async |email: &str| {
        let query = shop.users.query_index("by_email", &json!({"email": email})).unwrap();
        query.page(None).await.unwrap().items.len()
    };
    let key = json!({"user_id": "u"});
    shop.users.create(&user("u", "Ada")).await.unwrap();
    assert_eq!(by_email("a@b").await, 0);
    shop.users.patch(&key, &json!({"email": "a@b"})).await.unwrap();
    assert_eq!((by_email("a@b").await, by_email("c@d").await), (1, 0));
    shop.users.patch(&key, &json!({"email": "c@d"})).await.unwrap();
    assert_eq!((by_email("a@b").await, by_email("c@d").await), (0, 1));
    shop.users.patch(&key, &json!({"email": null})).await.unwrap();
    assert_eq!((by_email("a@b").await, by_email("c@d").await), (0, 0));

    let one = event("u", 2, "e");
    shop.events.put(&one).await.unwrap();
    // A part of an index's key alone can not be changed.
    let error = shop.events.patch(&one, &json!({"type": "buy"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("the field \"day\" is needed too"), "{error}");
    shop.events.patch(&one, &json!({"type": "buy", "day": "2026-03-01"})).await.unwrap();
    let bought = shop.events.query_index("by_type", &json!({"type": "buy", "day": "2026-03-01"})).unwrap();
    assert_eq!(bought.page(None).await.unwrap().items.len(), 1);
    for (changes, why) in [
        (json!({"at": 3}), "in the key"),
        (json!({}), "nothing to change"),
        (json!({"pk": "x"}), "needs for itself"),
        (json!({"gsi1pk": "x"}), "needs for itself"),
        (json!({"_nodestore_entity": "user"}), "needs for itself"),
        (json!({"_nodestore": "x"}), "needs for itself"),
        (json!({"type": "", "day": "2026-03-01"}), "is empty"),
    ] {
        let error = shop.events.patch(&one, &changes).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    shop.close().await;
}

pub(crate) async fn what_is_past_its_time_is_gone(db: Db) {
    let shop = Shop::open(db).await;
    let sessions: DynamoDbItems<Session> = shop.table.entity("session").unwrap();
    let session = |expires| Session { id: "s".into(), text: "old".into(), expires };
    let key = json!({"id": "s"});
    let stored = sessions.put(&session(None)).await.unwrap();
    assert!((seconds() + 3_500..seconds() + 3_700).contains(&stored.expires.unwrap()));
    assert_eq!(sessions.get(&key).await.unwrap().unwrap(), stored);

    let past = seconds() - 1;
    sessions.put(&session(Some(past))).await.unwrap();
    assert_eq!(sessions.get(&key).await.unwrap(), None);
    assert_eq!(sessions.get_many(&[&key]).await.unwrap(), [None]);
    assert!(sessions.query(&key).unwrap().page(None).await.unwrap().items.is_empty());
    assert_eq!(sessions.patch(&key, &json!({"text": "x"})).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Nothing of it comes back.
    sessions.upsert(&json!({"id": "s", "text": "new"})).await.unwrap();
    let new = sessions.get(&key).await.unwrap().unwrap();
    assert_eq!(new.text, "new");
    assert!(new.expires.unwrap() > seconds());
    sessions.put(&session(Some(past))).await.unwrap();
    assert_eq!(sessions.create(&session(None)).await.unwrap().text, "old");
    assert_eq!(sessions.create(&session(None)).await.unwrap_err().kind(), ErrorKind::AlreadyExists);

    // An item that never expires, in the same table; its type allows no other fields.
    shop.users.create(&user("u", "Ada")).await.unwrap();
    assert!(shop.users.get(&json!({"user_id": "u"})).await.unwrap().is_some());
    let error = sessions.patch(&key, &json!({"expires": "tomorrow"})).await.unwrap_err();
    assert!(error.to_string().contains("seconds since 1970"), "{error}");
    shop.close().await;
}

pub(crate) async fn transactions_over_entities(db: Db) {
    let shop = Shop::open(db).await;
    shop.table.create_table().await.unwrap();
    let store = &shop.db.store;
    let (ada, click) = (user("u", "Ada"), event("u", 1, "e"));
    let transaction = shop.users.create_in(store.transaction(), &ada).unwrap();
    let transaction = shop.events.put_in(transaction, &click).unwrap();
    assert_eq!(transaction.len(), 2);
    transaction.send().await.unwrap();
    assert!(
        shop.users.get(&ada).await.unwrap().is_some() && shop.events.get(&click).await.unwrap().is_some()
    );
    // All or nothing: the version is not the one that is stored.
    let transaction = shop.events.delete_in(store.transaction(), &click, None).unwrap();
    let transaction = shop.users.patch_in(transaction, &ada, Some(7), &json!({"name": "Eve"})).unwrap();
    let error = transaction.send().await.unwrap_err();
    assert_eq!((error.kind(), error.failed()), (ErrorKind::Conflict, ["1".to_owned()].as_slice()));
    assert!(shop.events.get(&click).await.unwrap().is_some());
    let transaction = shop.events.delete_in(store.transaction(), &click, None).unwrap();
    let transaction = shop.users.patch_in(transaction, &ada, Some(1), &json!({"name": "Eve"})).unwrap();
    transaction.send().await.unwrap();
    assert_eq!(shop.events.get(&click).await.unwrap(), None);
    assert_eq!(shop.users.get(&ada).await.unwrap().unwrap().name, "Eve");
    shop.close().await;
}

pub(crate) async fn batches_name_what_failed(db: Db) {
    let faults = Faults::default();
    let config = db.config.clone().with_operation_timeout(Duration::from_secs(2));
    let store = faults.store(db.client(), config);
    let shop = Shop::on(db, &store);
    let batch = || {
        let batch = shop.table.batch().put(&shop.events, &event("u", 1, "e")).unwrap();
        batch.delete(&shop.users, &json!({"user_id": "u"})).unwrap()
    };
    assert_eq!(batch().len(), 2);
    // What the service leaves undone is sent again.
    shop.users.create(&user("u", "Ada")).await.unwrap();
    faults.spoil("BatchWriteItem", Fault::Undone, 2);
    batch().send().await.unwrap();
    assert!(shop.users.get(&json!({"user_id": "u"})).await.unwrap().is_none());
    assert!(shop.events.get(&event("u", 1, "e")).await.unwrap().is_some());
    // What is not written is named.
    faults.spoil("BatchWriteItem", Fault::Undone, 1_000);
    let error = batch().send().await.unwrap_err();
    let mut failed = error.failed().to_vec();
    failed.sort_unstable();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error}");
    assert_eq!(failed, ["USER#u / EVENT#0000000000000001#e", "USER#u / PROFILE"]);
    faults.heal();
    // One item twice, and an entity of another table.
    let error = batch().put(&shop.events, &event("u", 1, "e")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let other = DynamoDbSingleTable::new(&store, &design("another")).unwrap();
    assert!(batch().put(&other.entity::<Event>("event").unwrap(), &event("u", 2, "e")).is_err());
    shop.table.batch().send().await.unwrap();
    shop.close().await;
}

pub(crate) async fn a_lost_answer_makes_nothing_twice(db: Db) {
    let faults = Faults::default();
    let store = faults.store(db.client(), db.config.clone());
    let shop = Shop::on(db, &store);
    shop.table.create_table().await.unwrap();
    let key = json!({"user_id": "u"});
    let mut read = user("u", "Ada");
    // The driver sends it again, and the service knows it.
    for turn in 0..4 {
        faults.spoil("TransactWriteItems", Fault::Lost, 1);
        read = shop.users.put(&read).await.unwrap();
        assert_eq!(read.version, 2 * turn + 1);
        faults.spoil("TransactWriteItems", Fault::Lost, 1);
        shop.users.upsert(&json!({"user_id": "u", "email": "a@b"})).await.unwrap();
        read = shop.users.get(&key).await.unwrap().unwrap();
        assert_eq!(read.version, 2 * turn + 2);
    }
    faults.spoil("TransactWriteItems", Fault::Lost, 1);
    assert_eq!(shop.users.create(&user("v", "Eve")).await.unwrap().version, 1);
    shop.close().await;
}
