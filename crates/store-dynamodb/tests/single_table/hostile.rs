//! Keys, names and values of every kind.

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store_core::ErrorKind;
use store_dynamodb::{
    DynamoDbEntity, DynamoDbIndex, DynamoDbItems, DynamoDbSingleTable, DynamoDbTableDesign,
};

use crate::common::Db;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) a: String,
    pub(crate) b: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deep {
    id: String,
    float: f64,
    whole: f64,
    big: u64,
    list: Vec<Option<f32>>,
    text: Option<String>,
    nested: serde_json::Value,
}

pub(crate) async fn keys_of_every_length(db: Db) {
    let name = db.beside("pairs");
    let design = DynamoDbTableDesign::new(&name)
        .with_index(DynamoDbIndex::global("swapped", "gsi1pk", "gsi1sk"))
        .with_entity(DynamoDbEntity::new("pair", "A#{a}", "B#{b}").with_index("swapped", "{b}", "{a}"));
    let store = db.with(|config| config.with_consistent_reads(false)).await;
    let pairs: DynamoDbItems<Pair> =
        DynamoDbSingleTable::new(&store, &design).unwrap().entity("pair").unwrap();
    let pair = |a: usize, b: usize| Pair { a: "ä".repeat(a / 2) + &"x".repeat(a % 2), b: "y".repeat(b) };
    let key = |pair: &Pair| json!({"a": pair.a, "b": pair.b});

    // The sort key of the table is exactly 1,024 bytes, in the index too.
    let longest = pair(1_022, 1_022);
    pairs.put(&longest).await.unwrap();
    assert_eq!(pairs.get(&key(&longest)).await.unwrap().unwrap(), longest);
    let query = pairs.query(&json!({"a": longest.a})).unwrap();
    assert_eq!(
        query.clone().matching(&json!({"b": longest.b})).unwrap().page(None).await.unwrap().items.len(),
        1
    );
    let between = query.clone().between(&json!({"b": "y"}), &json!({"b": longest.b})).unwrap();
    assert_eq!(between.page(None).await.unwrap().items.len(), 1);
    assert!(query.matching(&json!({"b": "y".repeat(1_023)})).is_err());
    for (too_long, limit) in
        [(pair(1_022, 1_023), "1024"), (pair(1_025, 3), "1024"), (pair(2_047, 3), "2048")]
    {
        for error in
            [pairs.put(&too_long).await.unwrap_err(), pairs.put_many([too_long.clone()]).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
            assert!(error.to_string().contains(limit), "{error}");
        }
    }
    // A partition key of exactly 2,048 bytes.
    let wide = DynamoDbTableDesign::new(&name).with_entity(DynamoDbEntity::new("pair", "A#{a}", "B#{b}"));
    let wide: DynamoDbItems<Pair> = DynamoDbSingleTable::new(&store, &wide).unwrap().entity("pair").unwrap();
    let widest = pair(2_046, 3);
    wide.put(&widest).await.unwrap();
    assert_eq!(wide.get(&key(&widest)).await.unwrap().unwrap(), widest);
    assert_eq!(wide.get(&key(&pair(2_047, 3))).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    // An item of 400 KB is refused before it is sent.
    let error = wide.patch(&key(&widest), &json!({"text": "x".repeat(400 << 10)})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("409600"), "{error}");
    // Nothing but whole values make a key.
    for (bad, why) in [
        (json!({"a": "", "b": "x"}), "empty"),
        (json!({"a": "x"}), "\"b\" is missing"),
        (json!({"a": null, "b": "x"}), "\"a\" is missing"),
        (json!({"a": ["x"], "b": "x"}), "list or an object"),
        (json!({"a": "x", "b": 7}), "{b:16}"),
        (json!({"a": 1.5, "b": "x"}), "fraction"),
        (json!("a"), "no struct"),
    ] {
        let error = pairs.get(&bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(
        pairs.query(&json!({"a": "x", "c": 1})).unwrap_err().to_string().contains("\"c\" is no placeholder")
    );
    assert!(pairs.query_index("nope", &json!({})).is_err());
    db.client().delete_table().table_name(name).send().await.unwrap();
}

pub(crate) async fn hostile_names_and_values(db: Db) {
    let name = db.beside("hostile");
    // Key attributes with reserved words and signs of expressions.
    let design = DynamoDbTableDesign::new(&name)
        .with_keys("select", "order.by#:x")
        .with_entity_attribute("type")
        .with_expires("ttl")
        .with_index(DynamoDbIndex::global("G.S-I_1", "hash", "range#.:"))
        .with_entity(
            DynamoDbEntity::new("pair", "A#{a}", "B#{b}#{c.#}")
                .with_index("G.S-I_1", "{values}", "{c.#}")
                .with_version("size"),
        )
        .with_entity(DynamoDbEntity::new("other", "A#{a}", "B#{b}"));
    let store = db.with(|config| config.with_consistent_reads(false)).await;
    let table = DynamoDbSingleTable::new(&store, &design).unwrap();
    let pairs = table.entity::<serde_json::Value>("pair").unwrap();
    let others = table.entity::<serde_json::Value>("other").unwrap();
    let hostile = ["x", "x#y", "#", "%23", "%", "x#", "#x", " ", "\u{0}", "ü#🐦", "B#", "{a}"];
    let item = |a: &str, b: &str, c: &str| json!({"a": a, "b": b, "c.#": c, "values": "v", "name": 1, "#n": {":v": "."}});
    for a in hostile {
        for b in hostile {
            pairs.create(&item(a, b, "c#")).await.unwrap();
            others.put(&json!({"a": a, "b": b, "mine": true})).await.unwrap();
        }
    }
    for a in hostile {
        let found = pairs.query(&json!({"a": a})).unwrap().page(None).await.unwrap().items;
        assert_eq!(found.len(), hostile.len(), "{a:?}");
        assert!(found.iter().all(|found| found["a"] == a));
        let collection = pairs.collection(&json!({"a": a})).unwrap().page(None).await.unwrap().items;
        assert_eq!(collection.len(), 2 * hostile.len());
        for b in hostile {
            let key = json!({"a": a, "b": b, "c.#": "c#"});
            let mut expected = item(a, b, "c#");
            expected["size"] = json!(1);
            assert_eq!(pairs.get(&key).await.unwrap().unwrap(), expected, "{a:?} {b:?}");
            let matching = pairs.query(&json!({"a": a})).unwrap().matching(&json!({"b": b})).unwrap();
            let matching = matching.page(None).await.unwrap().items;
            assert_eq!(matching.iter().map(|found| found["b"].as_str().unwrap()).collect::<Vec<_>>(), [b]);
        }
    }
    let all: Vec<serde_json::Value> = pairs
        .query_index("G.S-I_1", &json!({"values": "v"}))
        .unwrap()
        .limit(1_000)
        .stream()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(all.len(), hostile.len() * hostile.len());
    let key = json!({"a": "x#y", "b": "%", "c.#": "c#"});
    pairs.patch_if(&key, 1, &json!({"#n": null, "name": {"order": [1, 2.5]}, "values": "w"})).await.unwrap();
    let patched = pairs.get(&key).await.unwrap().unwrap();
    assert_eq!(
        patched,
        json!({"a": "x#y", "b": "%", "c.#": "c#", "values": "w", "name": {"order": [1, 2.5]}, "size": 2})
    );
    db.client().delete_table().table_name(name).send().await.unwrap();
}

pub(crate) async fn values_come_back_as_they_were(db: Db) {
    let name = db.beside("deep");
    let design = DynamoDbTableDesign::new(&name).with_entity(DynamoDbEntity::new("deep", "DEEP#{id}", "X"));
    let deeps: DynamoDbItems<Deep> =
        DynamoDbSingleTable::new(&db.store, &design).unwrap().entity("deep").unwrap();
    let deep = Deep {
        id: "1".into(),
        float: 0.1,
        whole: 2.0,
        big: u64::MAX,
        list: vec![None, Some(1.0), Some(0.25)],
        text: None,
        nested: json!({"b": [1, "x", null, true, {}], "a": {}}),
    };
    deeps.put(&deep).await.unwrap();
    assert_eq!(deeps.get(&json!({"id": "1"})).await.unwrap().unwrap(), deep);
    deeps.put(&Deep { float: -0.0, ..deep.clone() }).await.unwrap();
    deeps.put(&deep).await.unwrap();
    // What the service can not hold, or serde not read back, is refused before anything is written.
    let mut levels = json!(1);
    for _ in 0..40 {
        levels = json!([levels]);
    }
    for bad in [
        Deep { float: f64::NAN, ..deep.clone() },
        Deep { float: f64::INFINITY, ..deep.clone() },
        Deep { float: 5e-324, ..deep.clone() },
        Deep { float: 1e126, ..deep.clone() },
        Deep { nested: levels, ..deep.clone() },
        Deep { nested: json!({"a": {"": 1}}), ..deep.clone() },
    ] {
        let error = deeps.put(&bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(deeps.get(&json!({"id": "1"})).await.unwrap().unwrap(), deep);
    // Another's item under the same keys.
    db.put(&name, json!({"pk": {"S": "DEEP#2"}, "sk": {"S": "X"}, "id": {"N": "2"}})).await;
    let error = deeps.get(&json!({"id": "2"})).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some("DEEP#2 / X")));
    db.client().delete_table().table_name(name).send().await.unwrap();
}
