//! Random writes against a map, compared through every query.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use futures::TryStreamExt as _;
use serde_json::json;
use store_core::ErrorKind;
use store_dynamodb::DynamoDbQuery;

use crate::common::Db;
use crate::{Event, Shop, event, user};

type Key = (String, u64, String);
type Model = BTreeMap<Key, Event>;

const USERS: [&str; 3] = ["u", "u#1", "v"];

fn key_of(event: &Event) -> Key {
    (event.user_id.clone(), event.at, event.event_id.clone())
}

/// What a query has to answer: the events that count, in this order.
fn expected(
    model: &Model,
    counts: impl Fn(&Event) -> bool,
    by: impl Fn(&Event) -> (u64, String),
    descending: bool,
) -> Vec<Event> {
    let mut events: Vec<Event> = model.values().filter(|event| counts(event)).cloned().collect();
    events.sort_by_key(|event| (by(event), event.user_id.clone()));
    if descending {
        events.reverse();
    }
    events
}

fn draw(random: &mut Rng) -> Event {
    let at = random.u64(0..40);
    let mut drawn = event(USERS[random.usize(0..3)], at, ["a", "b", "a#b"][random.usize(0..3)]);
    drawn.kind = ["click", "view"][random.usize(0..2)].into();
    drawn.day = ["2026-01-01", "2026-01-02"][random.usize(0..2)].into();
    drawn.price = random.bool().then(|| random.u64(0..5));
    drawn
}

pub(crate) async fn as_a_map_with_every_query(db: Db) {
    let shop = Shop::open(db).await;
    let seed: u64 = std::env::var("STORE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
    println!("STORE_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut model = Model::new();
    for id in USERS {
        shop.users.create(&user(id, "of the partition")).await.unwrap();
    }
    for round in 0..12 {
        for _ in 0..40 {
            act(&shop, &mut model, &mut random).await;
        }
        compare(&shop, &model, &mut random, round).await;
    }
    assert!(!model.is_empty());
    shop.close().await;
}

/// One random write.
async fn act(shop: &Shop, model: &mut Model, random: &mut Rng) {
    let drawn = draw(random);
    let key = key_of(&drawn);
    match random.u8(0..6) {
        0 => {
            shop.events.put(&drawn).await.unwrap();
            model.insert(key, drawn);
        }
        1 => match shop.events.create(&drawn).await {
            Ok(_) => assert!(model.insert(key, drawn).is_none()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                assert!(model.contains_key(&key));
            }
        },
        2 => {
            let changes =
                json!({"type": drawn.kind, "day": drawn.day, "price": drawn.price, "note": "patched"});
            match (shop.events.patch(&drawn, &changes).await, model.get_mut(&key)) {
                (Ok(()), Some(event)) => *event = Event { note: Some("patched".into()), ..drawn },
                (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotFound),
                (answer, event) => panic!("{answer:?} {event:?}"),
            }
        }
        3 => {
            shop.events.upsert(&drawn).await.unwrap();
            let (note, price) =
                model.get(&key).map_or((None, None), |event| (event.note.clone(), event.price));
            // What is not given stays: a price that is left out too.
            let price = drawn.price.or(price);
            model.insert(key, Event { price, note, ..drawn });
        }
        4 => {
            shop.events.delete(&drawn).await.unwrap();
            model.remove(&key);
        }
        _ => {
            let some: Model = (0..30).map(|_| draw(random)).map(|event| (key_of(&event), event)).collect();
            shop.events.put_many(some.values().cloned()).await.unwrap();
            model.extend(some);
        }
    }
}

/// Every query against the map.
async fn compare(shop: &Shop, model: &Model, random: &mut Rng, round: usize) {
    let descending = random.bool();
    let user = USERS[random.usize(0..3)];
    let (from, to) = (random.u64(0..25), random.u64(25..40));
    let limit = random.usize(1..9);
    let direct = |query: DynamoDbQuery<Event>| {
        let query = if descending { query.descending() } else { query.ascending() };
        async move {
            let streamed: Vec<Event> = query.stream().try_collect().await.unwrap();
            let (mut paged, mut next) = (Vec::new(), None);
            loop {
                let page = query.clone().limit(limit).page(next.as_ref()).await.unwrap();
                assert!(page.items.len() <= limit);
                paged.extend(page.items);
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(streamed, paged);
            streamed
        }
    };
    let by_time = |event: &Event| (event.at, event.event_id.replace('#', "%23"));
    let of_user = || shop.events.query(&json!({"user_id": user})).unwrap();
    let mine = |event: &Event| event.user_id == user;
    let all = expected(model, mine, by_time, descending);
    assert_eq!(direct(of_user()).await, all, "round {round}");
    let between = of_user().between(&json!({"at": from}), &json!({"at": to})).unwrap();
    let in_range = |event: &Event| mine(event) && (from..=to).contains(&event.at);
    assert_eq!(direct(between).await, expected(model, in_range, by_time, descending), "round {round}");
    let at = random.u64(0..40);
    let matching = of_user().matching(&json!({"at": at})).unwrap();
    let then = |event: &Event| mine(event) && event.at == at;
    assert_eq!(direct(matching).await, expected(model, then, by_time, descending));
    let begins = of_user().begins_with(&json!({"at": at, "event_id": "a"})).unwrap();
    let begun = |event: &Event| then(event) && event.event_id.starts_with('a');
    assert_eq!(direct(begins).await, expected(model, begun, by_time, descending));
    for kind in ["click", "view"] {
        for day in ["2026-01-01", "2026-01-02"] {
            let query = shop.events.query_index("by_type", &json!({"type": kind, "day": day})).unwrap();
            let counts = |event: &Event| event.kind == kind && event.day == day;
            let found: BTreeSet<Event> = direct(query.clone()).await.into_iter().collect();
            let wanted = expected(model, counts, by_time, descending);
            assert_eq!(found, wanted.into_iter().collect());
            let least: BTreeSet<Event> =
                direct(query.at_least(&json!({"at": from})).unwrap()).await.into_iter().collect();
            let late = |event: &Event| counts(event) && event.at >= from;
            assert_eq!(least, expected(model, late, by_time, descending).into_iter().collect());
        }
    }
    let cheap = shop.events.query_index("by_price", &json!({"user_id": user})).unwrap();
    let cheap: BTreeSet<Event> =
        direct(cheap.at_most(&json!({"price": 2})).unwrap()).await.into_iter().collect();
    let low = |event: &Event| mine(event) && event.price.is_some_and(|price| price <= 2);
    assert_eq!(cheap, expected(model, low, by_time, descending).into_iter().collect());
    let records = shop.users.collection(&json!({"user_id": user})).unwrap();
    let records: Vec<_> = records.stream().try_collect().await.unwrap();
    assert_eq!(records.len(), all.len() + 1);
}
