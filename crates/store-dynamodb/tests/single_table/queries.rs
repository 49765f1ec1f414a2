//! Queries, pages and their cursors.

use futures::TryStreamExt as _;
use serde_json::json;
use store_core::{Cursor, ErrorKind};

use crate::common::Db;
use crate::{Event, Shop, User, event, ids, user};

pub(crate) async fn the_three_access_patterns(db: Db) {
    let shop = Shop::open(db).await;
    // A batch write, over the limits of one request.
    let all: Vec<Event> = (1..=60).map(|n| event("u1", n, &format!("e{n}"))).collect();
    shop.events.put_many(all.clone()).await.unwrap();
    shop.events.put_many([event("u2", 7, "other")]).await.unwrap();
    shop.users.create(&user("u1", "Ada")).await.unwrap();

    // Events of a user, newest first.
    let newest = shop.events.query(&json!({"user_id": "u1"})).unwrap().descending().limit(25);
    let first = newest.page(None).await.unwrap();
    assert_eq!(first.items.len(), 25);
    assert_eq!(first.items[0], all[59]);
    let second = newest.page(first.next.as_ref()).await.unwrap();
    let third = newest.page(second.next.as_ref()).await.unwrap();
    assert!(third.next.is_none());
    let pages: Vec<Event> = [first.items, second.items, third.items].concat();
    assert_eq!(pages, all.iter().rev().cloned().collect::<Vec<_>>());

    // Events of a type and a day.
    let clicks = shop.events.query_index("by_type", &json!({"type": "click", "day": "2026-01-03"})).unwrap();
    let found: Vec<Event> = clicks.stream().try_collect().await.unwrap();
    assert_eq!(ids(&found), ["e2", "e30", "e58"]);
    let found: Vec<Event> =
        clicks.at_least(&json!({"at": 30})).unwrap().descending().stream().try_collect().await.unwrap();
    assert_eq!(ids(&found), ["e58", "e30"]);

    // Ranges of a partition.
    let query = || shop.events.query(&json!({"user_id": "u1"})).unwrap();
    let between = query().between(&json!({"at": 9}), &json!({"at": 11})).unwrap();
    assert_eq!(ids(&between.page(None).await.unwrap().items), ["e9", "e10", "e11"]);
    let most = query().at_most(&json!({"at": 2})).unwrap();
    assert_eq!(ids(&most.page(None).await.unwrap().items), ["e1", "e2"]);
    let matching = query().matching(&json!({"at": 10, "event_id": "e10"})).unwrap();
    assert_eq!(ids(&matching.page(None).await.unwrap().items), ["e10"]);
    let begins = query().begins_with(&json!({"at": 10, "event_id": "e1"})).unwrap();
    assert_eq!(ids(&begins.page(None).await.unwrap().items), ["e10"]);
    let limited: Vec<Event> = query().limit(3).stream().try_collect().await.unwrap();
    assert_eq!(ids(&limited), ["e1", "e2", "e3"]);
    // A local index, sparse.
    let cheap = shop.events.query_index("by_price", &json!({"user_id": "u1"})).unwrap();
    let cheap = cheap.at_most(&json!({"price": 100})).unwrap().strong();
    assert_eq!(ids(&cheap.page(None).await.unwrap().items), ["e3", "e6", "e9"]);

    // Read at once, in order, with gaps.
    let keys = [
        json!({"user_id": "u1", "at": 2, "event_id": "e2"}),
        json!({"user_id": "u1", "at": 2, "event_id": "x"}),
    ];
    assert_eq!(shop.events.get_many(&keys).await.unwrap(), [Some(all[1].clone()), None]);
    shop.close().await;
}

pub(crate) async fn a_collection_has_several_entities(db: Db) {
    let shop = Shop::open(db).await;
    let (ada, click) = (user("u1", "Ada"), event("u1", 5, "e"));
    shop.users.create(&ada).await.unwrap();
    shop.events.put(&click).await.unwrap();
    shop.events.put(&event("u2", 5, "e")).await.unwrap();
    let put = |sort: &str, mark: Option<&str>| {
        let mut item = json!({"pk": {"S": "USER#u1"}, "sk": {"S": sort}, "user_id": {"S": "u1"}});
        if let Some(mark) = mark {
            item["_nodestore_entity"] = json!({"S": mark});
        }
        shop.db.put(&shop.name, item)
    };
    // Of another program: what no entity's keys fit, and what says that it is something else.
    put("EVENT#x", None).await;
    put("EVENT#0000000000000001#a", Some("another")).await;
    let query = shop.users.collection(&json!({"user_id": "u1"})).unwrap();
    let found = query.limit(10).page(None).await.unwrap().items;
    let entities: Vec<&str> = found.iter().map(|record| record.entity.as_str()).collect();
    assert_eq!(entities, ["event", "user"]);
    assert_eq!(found[0].read::<Event>().unwrap(), click);
    assert_eq!(found[1].read::<User>().unwrap(), User { version: 1, ..ada });
    assert_eq!(found[1].read::<Event>().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(
        shop.events.query(&json!({"user_id": "u1"})).unwrap().page(None).await.unwrap().items,
        [click]
    );
    // An item without the mark is told by its keys, as another program may have written it.
    let item =
        json!({"pk": {"S": "USER#u3"}, "sk": {"S": "PROFILE"}, "user_id": {"S": "u3"}, "name": {"S": "Eve"}});
    shop.db.put(&shop.name, item).await;
    assert_eq!(shop.users.get(&json!({"user_id": "u3"})).await.unwrap().unwrap(), user("u3", "Eve"));
    shop.close().await;
}

pub(crate) async fn cursors_are_bound_to_their_query(db: Db) {
    let shop = Shop::open(db).await;
    shop.events.put_many((0..6).map(|n| event("u1", n, "e"))).await.unwrap();
    shop.events.put_many((0..6).map(|n| event("u2", n, "e"))).await.unwrap();
    let query = || shop.events.query(&json!({"user_id": "u1"})).unwrap().limit(2);
    let cursor = query().page(None).await.unwrap().next.unwrap();
    // Sent to a client and back.
    let back = Cursor::new(cursor.as_str());
    assert_eq!(query().page(Some(&back)).await.unwrap().items[0].at, 2);
    // Another size of the page is the same query.
    assert_eq!(query().limit(9).page(Some(&back)).await.unwrap().items.len(), 4);
    let index = shop.events.query_index("by_price", &json!({"user_id": "u1"})).unwrap();
    let collection = shop.events.collection(&json!({"user_id": "u1"})).unwrap();
    for refused in [
        shop.events.query(&json!({"user_id": "u2"})).unwrap().page(Some(&cursor)).await.err(),
        query().descending().page(Some(&cursor)).await.err(),
        query().at_least(&json!({"at": 1})).unwrap().page(Some(&cursor)).await.err(),
        index.page(Some(&cursor)).await.err(),
        collection.page(Some(&cursor)).await.err(),
        query().page(Some(&Cursor::new("rubbish"))).await.err(),
        query().page(Some(&Cursor::new(format!("{}x", cursor.as_str())))).await.err(),
    ] {
        let error = refused.unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("cursor"), "{error}");
    }
    // Exactly as many as there are: nothing is left, or an empty page.
    if let Some(next) = query().limit(6).page(None).await.unwrap().next {
        let last = query().limit(6).page(Some(&next)).await.unwrap();
        assert!(last.items.is_empty() && last.next.is_none());
    }
    assert_eq!(query().limit(0).page(None).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    shop.close().await;
}

pub(crate) async fn strong_reads_of_a_global_index_are_refused(db: Db) {
    let strong = db.store.clone();
    let shop = Shop::on(db, &strong);
    shop.events.put(&event("u", 2, "e")).await.unwrap();
    let query =
        || shop.events.query_index("by_type", &json!({"type": "click", "day": "2026-01-03"})).unwrap();
    for (query, why) in [(query(), "store.consistent_reads=true"), (query().strong(), "the query asks")] {
        let error = query.page(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(why), "{error}");
        assert!(query.stream().try_collect::<Vec<_>>().await.is_err());
    }
    assert_eq!(query().eventual().page(None).await.unwrap().items.len(), 1);
    let local = shop.events.query_index("by_price", &json!({"user_id": "u"})).unwrap().strong();
    assert!(local.page(None).await.unwrap().items.is_empty());
    shop.close().await;
}
