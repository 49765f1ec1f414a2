use store_core::ErrorKind;

use super::*;

fn design() -> DynamoDbTableDesign {
    DynamoDbTableDesign::new("shop")
        .with_index(DynamoDbIndex::global("by_type", "gsi1pk", "gsi1sk"))
        .with_index(DynamoDbIndex::global("by_day", "gsi2pk", ""))
        .with_index(DynamoDbIndex::local("by_price", "lsi1sk"))
}

fn user() -> DynamoDbEntity {
    DynamoDbEntity::new("user", "USER#{id}", "PROFILE")
}

#[track_caller]
fn refused(design: &DynamoDbTableDesign, why: &str) {
    let error = Model::new(design).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_declaration_that_can_not_be_is_refused() {
    let with = |entity| design().with_entity(entity);
    refused(&design(), "no entity");
    refused(&DynamoDbTableDesign::new("a b").with_entity(user()), "the table \"a b\"");
    refused(&design().with_separator('%').with_entity(user()), "separator");
    refused(&design().with_separator('x').with_entity(user()), "separator");
    refused(&design().with_keys("k", "k").with_entity(user()), "two meanings");
    refused(&design().with_keys("pk", "gsi1sk").with_entity(user()), "two meanings");
    refused(&design().with_keys("", "sk").with_entity(user()), "1 to 255");
    refused(&design().with_keys("_nodestore_x", "sk").with_entity(user()), "store's own");
    refused(&design().with_index(DynamoDbIndex::local("by_type", "x")).with_entity(user()), "declared twice");
    refused(&with(user()).with_entity(user()), "declared twice");
    refused(&with(user().with_index("nope", "{a}", "{b}")), "no index \"nope\"");
    refused(&with(user().with_index("by_type", "", "{b}")), "template of its partition key");
    refused(&with(user().with_index("by_day", "{a}", "{b}")), "no sort key of its own");
    refused(&with(user().with_index("by_price", "{a}", "{b}")), "no partition key of its own");
    let twice = user().with_index("by_day", "{a}", "").with_index("by_day", "{a}", "");
    refused(&with(twice), "given twice");
    refused(&with(DynamoDbEntity::new("", "A", "B")), "empty");
    refused(&with(DynamoDbEntity::new("a", "{x}{y}", "B")), "can not be read back");
    refused(&with(DynamoDbEntity::new("a", "{pk}", "B")), "table's own");
    refused(&with(DynamoDbEntity::new("a", "x".repeat(2_049), "B")), "the limit is 2048");
    refused(&with(user().with_version("id")), "in no key");
    refused(&with(user().with_version("sk")), "in no key");
    refused(&with(user().with_ttl(Duration::from_secs(1))), "with_expires");
    refused(&with(user()).with_entity(DynamoDbEntity::new("b", "USER#{x}", "{y}")), "same key");
}

#[test]
fn keys_are_made_and_known_again() {
    let event = DynamoDbEntity::new("event", "USER#{id}", "EVENT#{n:4}").with_index(
        "by_type",
        "TYPE#{kind}",
        "{n:4}",
    );
    let model = Model::new(&design().with_entity(user()).with_entity(event)).unwrap();
    let event = &model.entities[1];
    let fields = serde_json::json!({"id": "a", "n": 7});
    let key = model.key(event, fields.as_object().unwrap()).unwrap();
    assert_eq!(model.name_of(&key), "USER#a / EVENT#0007");
    assert_eq!(model.entity_of(&key).unwrap().name, "event");
    let mut other = key.clone();
    other.insert(model.mark.clone(), AttributeValue::S("user".to_owned()));
    assert_eq!(model.entity_of(&other).unwrap().name, "user");
    other.insert(model.mark.clone(), AttributeValue::S("another".to_owned()));
    assert!(model.entity_of(&other).is_none());
    assert_eq!(model.parts_of(event).count(), 4);
    let error = model.key(event, &JsonObject::new());
    assert!(error.unwrap_err().to_string().contains("the field \"id\" is missing"));
}
