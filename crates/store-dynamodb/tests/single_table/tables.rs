//! Tables, made and held against their declaration.

use serde_json::json;
use store_core::ErrorKind;
use store_dynamodb::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamViewType,
};
use store_dynamodb::{
    DynamoDbEntity, DynamoDbIndex, DynamoDbItems, DynamoDbSingleTable, DynamoDbTableDesign,
    DynamoDbTableOptions,
};

use crate::common::Db;
use crate::hostile::Pair;
use crate::{Event, Session, design, event};

/// Makes a table of a partition key and a sort key of these names and types.
async fn make(db: &Db, name: &str, keys: [(&str, ScalarAttributeType); 2]) {
    let mut create = db.client().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for ((name, kind), role) in keys.into_iter().zip([KeyType::Hash, KeyType::Range]) {
        let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
        let element = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
        create = create.attribute_definitions(definition.unwrap()).key_schema(element.unwrap());
    }
    create.send().await.unwrap();
}

pub(crate) async fn types_are_held_against_the_declaration(db: Db) {
    let table = DynamoDbSingleTable::new(&db.store, &design("shop")).unwrap();
    let error = table.entity::<Session>("event").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("needs the field \"user_id\""), "{error}");
    let error = table.entity::<Event>("user").unwrap_err();
    assert!(error.to_string().contains("\"email\"") || error.to_string().contains("\"version\""), "{error}");
    assert!(table.entity::<Event>("nope").unwrap_err().to_string().contains("the table has"));
    // Tables of the store's own are not taken, its main one may be.
    let own = DynamoDbSingleTable::new(&db.store, &design(&db.beside("vectors")));
    assert_eq!(own.unwrap_err().kind(), ErrorKind::Config);
    let main = DynamoDbTableDesign::new(db.main()).with_entity(DynamoDbEntity::new("pair", "{a}", "{b}"));
    let pairs: DynamoDbItems<Pair> =
        DynamoDbSingleTable::new(&db.store, &main).unwrap().entity("pair").unwrap();
    let pair = Pair { a: "x".into(), b: "y".into() };
    pairs.put(&pair).await.unwrap();
    assert_eq!(pairs.get(&pair).await.unwrap().unwrap(), pair);
    let error = pairs.put(&Pair { a: "nodestore:lock/a".into(), b: "lock".into() }).await.unwrap_err();
    assert!(error.to_string().contains("nodestore:"), "{error}");
}

pub(crate) async fn the_table_is_made_as_declared(db: Db) {
    let name = db.beside("made");
    let declared = design(&name).with_stream(StreamViewType::NewAndOldImages);
    let options = DynamoDbTableOptions::default().with_provisioned(7, 9).with_deletion_protection(true);
    let store = db.with(|config| config.with_create(false).with_tables(options)).await;
    let table = DynamoDbSingleTable::new(&store, &declared).unwrap();
    // None is made unasked.
    let events: DynamoDbItems<Event> = table.entity("event").unwrap();
    let error = events.put(&event("u", 1, "e")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("create_table"), "{error}");
    assert_eq!(table.compare().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(table.create_table().await.unwrap());
    assert!(!table.create_table().await.unwrap());
    assert_eq!(table.compare().await.unwrap(), Vec::<String>::new());
    events.put(&event("u", 1, "e")).await.unwrap();

    let live = db.client().describe_table().table_name(&name).send().await.unwrap().table.unwrap();
    let units = live.provisioned_throughput.unwrap();
    assert_eq!((units.read_capacity_units, units.write_capacity_units), (Some(7), Some(9)));
    assert_eq!(live.deletion_protection_enabled, Some(true));
    let globals = live.global_secondary_indexes.unwrap();
    assert!(
        globals
            .iter()
            .all(|index| { index.provisioned_throughput.as_ref().unwrap().write_capacity_units == Some(9) })
    );
    assert_eq!((globals.len(), live.local_secondary_indexes.unwrap().len()), (2, 1));
    let ttl = db.client().describe_time_to_live().table_name(&name).send().await.unwrap();
    assert_eq!(ttl.time_to_live_description.unwrap().attribute_name.as_deref(), Some("expires"));
    let free = db.client().update_table().table_name(&name).deletion_protection_enabled(false);
    free.send().await.unwrap();
    db.client().delete_table().table_name(name).send().await.unwrap();
}

pub(crate) async fn a_table_that_does_not_fit_is_refused(db: Db) {
    let text = ScalarAttributeType::S;
    let entity = || DynamoDbEntity::new("event", "USER#{user_id}", "EVENT#{at:16}");
    for (place, (keys, why)) in [
        (
            [("pk", text.clone()), ("sk", ScalarAttributeType::N)],
            r#"its keys are "pk" (S) and "sk" (N), not "pk" (S) and "sk" (S)"#,
        ),
        ([("id", text.clone()), ("sk", text.clone())], r#"its keys are "id" (S) and "sk" (S), not"#),
        ([("pk", text.clone()), ("sk", text.clone())], r#"it has no global index "by_type""#),
    ]
    .into_iter()
    .enumerate()
    {
        let name = db.beside(&format!("wrong{place}"));
        make(&db, &name, keys).await;
        let declared = DynamoDbTableDesign::new(&name)
            .with_index(DynamoDbIndex::global("by_type", "gsi1pk", ""))
            .with_expires("expires")
            .with_stream(StreamViewType::KeysOnly)
            .with_entity(entity());
        let table = DynamoDbSingleTable::new(&db.store, &declared).unwrap();
        let events: DynamoDbItems<Event> = table.entity("event").unwrap();
        for error in [
            events.put(&event("u", 1, "e")).await.unwrap_err(),
            events.query(&json!({"user_id": "u"})).unwrap().page(None).await.unwrap_err(),
            table.create_table().await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(why) && error.to_string().contains("by_type"), "{error}");
        }
        let differences = table.compare().await.unwrap();
        assert!(differences.iter().any(|told| told.contains("no stream")), "{differences:?}");
        assert!(
            differences.iter().any(|told| told.contains("removes no items by \"expires\"")),
            "{differences:?}"
        );
        // Nothing was changed.
        let live = db.client().describe_table().table_name(&name).send().await.unwrap().table.unwrap();
        assert!(live.global_secondary_indexes.is_none() && live.stream_specification.is_none());
        assert_eq!(db.items(&name).await.len(), 0);
        // What only hides less is no hindrance.
        if place == 2 {
            let declared = DynamoDbTableDesign::new(&name).with_expires("expires").with_entity(entity());
            let table = DynamoDbSingleTable::new(&db.store, &declared).unwrap();
            table.entity::<Event>("event").unwrap().put(&event("u", 1, "e")).await.unwrap();
        }
        db.client().delete_table().table_name(name).send().await.unwrap();
    }
}
