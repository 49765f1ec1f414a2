use proptest::prelude::*;
use serde_json::json;

use super::*;

fn keys() -> Keys {
    Keys { partition: "pk".to_owned(), sort: "sk".to_owned() }
}

fn of(value: Value) -> JsonObject {
    let Value::Object(object) = value else { panic!("{value} is no object") };
    object
}

/// As the service gives an item back: numbers in its own form.
fn served(attribute: AttributeValue) -> AttributeValue {
    match attribute {
        AttributeValue::N(text) => {
            let decimal = Decimal::parse(&text).unwrap();
            assert_eq!(decimal.fit(), Fit::Exact, "{text}");
            let sign = if decimal.negative { "-" } else { "" };
            AttributeValue::N(decimal.integer().unwrap_or_else(|| {
                let exponent = decimal.point;
                format!(
                    "{sign}0.{}E{exponent:+}",
                    if decimal.digits.is_empty() { "0" } else { &decimal.digits }
                )
            }))
        }
        AttributeValue::L(items) => AttributeValue::L(items.into_iter().map(served).collect()),
        AttributeValue::M(members) => {
            AttributeValue::M(members.into_iter().map(|(name, member)| (name, served(member))).collect())
        }
        other => other,
    }
}

fn round_trip(value: &JsonObject) -> JsonObject {
    let item = encode(value.clone(), &keys()).unwrap();
    assert!(!item.contains_key("pk") && !item.contains_key("sk") && !item.contains_key(""));
    let mut item: Item = item.into_iter().map(|(name, attribute)| (name, served(attribute))).collect();
    item.insert("pk".to_owned(), AttributeValue::S("c".to_owned()));
    item.insert("sk".to_owned(), AttributeValue::S("k".to_owned()));
    decode(item, &keys())
}

fn comes_back(value: Value) -> String {
    let value = of(value);
    let text = Value::Object(value.clone()).to_string();
    assert_eq!(Value::Object(round_trip(&value)).to_string(), text);
    match encode(value, &keys()).unwrap().get(BESIDE) {
        Some(AttributeValue::S(beside)) => beside.get(16..).unwrap().to_owned(),
        _ => "-".to_owned(),
    }
}

#[test]
fn what_is_lost_is_said_shortly() {
    assert_eq!(comes_back(json!({"a": 1})), "-");
    assert_eq!(comes_back(json!({"doc_hash": "h", "ref_doc_id": "d"})), "-");
    assert_eq!(comes_back(json!({"__type__": "list", "__data__": "{}"})), r#"{"":[1,0]}"#);
    assert_eq!(comes_back(json!({"node_ids": ["a"], "metadata": {"b": 1.0, "a": 2}})), "-");
    assert_eq!(comes_back(json!({})), "-");
    assert_eq!(comes_back(json!({"a": 1, "b": [{"c": 0.5, "d": null}]})), "-");
    assert_eq!(comes_back(json!({"a": 2.0})), r#"{"0":1}"#);
    assert_eq!(comes_back(json!({"a": [0.0, 0.5, 1e22]})), r#"{"0":2}"#);
    assert_eq!(comes_back(json!({"a": [0.0, 1]})), r#"{"0":{"0":1}}"#);
    assert_eq!(
        comes_back(json!({"b": 1, "a": {"d": 1, "c": -0.0}})),
        r#"{"":[1,0],"0":{"":[1,0],"0":"-0.0"}}"#
    );
    assert_eq!(comes_back(json!({"": 1, "_nodestore": 2, "pk": [1.0]})).get(..4), Some(r#"{"+""#));
    assert_eq!(comes_back(json!({"a": {"": 1.0}})), r#"{"0":3}"#);
}

#[test]
fn more_members_than_a_shape_of_llamaindex_are_always_told() {
    for shape in [json!({"doc_hash": "h"}), json!({"node_ids": [], "metadata": {}})] {
        let Value::Object(mut more) = shape.clone() else { panic!("no object") };
        assert_eq!(comes_back(shape), "-");
        more.insert("x".to_owned(), 1.into());
        assert_eq!(comes_back(Value::Object(more)), "");
    }
    assert_eq!(comes_back(json!({"metadata": {}, "x": 1})), "-");
}

#[test]
fn a_node_in_todays_order_needs_no_order() {
    let node = store_core::Node::text("t").with_id("n").with_source("d").with_metadata("a", 1).to_json();
    assert_eq!(comes_back(Value::Object(node)), "-");
}

#[test]
fn numbers_at_their_limits() {
    for number in [
        json!(1_u64 << 63),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e22),
        json!(9_007_199_254_740_993.0),
        json!(1e125),
        json!(1e126),
        json!(-1e126),
        json!(1e-130),
        json!(1e-131),
        json!(5e-324),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(-0.0),
    ] {
        comes_back(json!({"n": number, "list": [number], "in": {"n": number}}));
    }
}

#[test]
fn great_integers_of_others_are_read() {
    let read = |text: &str| unmarked(AttributeValue::N(text.to_owned()), None);
    assert_eq!(read("18446744073709551615"), json!(u64::MAX));
    assert_eq!(read(&"9".repeat(38)), json!(1e38));
    assert_eq!(read("2.50"), json!(2.5));
    assert_eq!(read("1E+3"), json!(1000));
    assert_eq!(read("1E+100"), json!(1e100));
    assert_eq!(read("-0"), json!(0));
}

#[test]
fn what_python_changed_is_read_plainly() {
    let mut item = encode(of(json!({"b": 2.0, "a": 1.0})), &keys()).unwrap();
    item.insert("b".to_owned(), AttributeValue::N("3".to_owned()));
    assert_eq!(Value::Object(decode(item, &keys())).to_string(), r#"{"a":1,"b":3}"#);
    let mut item = encode(of(json!({"b": 2.0, "a": 1.0})), &keys()).unwrap();
    item.insert(BESIDE.to_owned(), AttributeValue::S("é damaged é damaged".to_owned()));
    assert_eq!(Value::Object(decode(item, &keys())).to_string(), r#"{"a":1,"b":2}"#);
}

#[test]
fn python_reads_the_entry_of_a_source_document() {
    let entry = of(json!({"node_ids": ["b", "a"], "metadata": {"z": 1.0, "a": null}}));
    let item = encode(entry, &keys()).unwrap();
    let mut names: Vec<&str> = item.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["metadata", "node_ids"]);
    // Python has added a node.
    let mut item = item;
    item.insert("node_ids".to_owned(), AttributeValue::L(vec![AttributeValue::S("c".to_owned())]));
    let read = Value::Object(decode(item, &keys())).to_string();
    assert_eq!(read, r#"{"node_ids":["c"],"metadata":{"z":1.0,"a":null}}"#);
}

#[test]
fn a_part_can_be_read_alone_where_nothing_is_hidden() {
    let hides = |value: Value| hides_values(encode(of(value), &keys()).unwrap().get(BESIDE).unwrap());
    assert!(!hides(json!({"b": [1.0, {"d": 1, "c": 2.0}], "a": 1})));
    assert!(!hides(json!({"doc_hash": "h", "x": 1})));
    for hidden in [json!({"": 1}), json!(-0.0), json!(5e-324)] {
        assert!(hides(json!({"b": [{"c": hidden}], "a": 1})));
    }
}

#[test]
fn bytes_and_sets_of_others_are_read() {
    let item = Item::from([
        ("b".to_owned(), AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new("ab"))),
        ("n".to_owned(), AttributeValue::Ns(vec!["2".to_owned(), "10".to_owned()])),
        ("s".to_owned(), AttributeValue::Ss(vec!["b".to_owned(), "a".to_owned()])),
    ]);
    assert_eq!(decode(item, &keys()), of(json!({"b": "YWI=", "n": [10, 2], "s": ["a", "b"]})));
}

#[test]
fn deep_values_become_text_and_deeper_ones_are_refused() {
    let nested = |levels: usize| {
        let mut value = json!(1.0);
        for level in 0..levels {
            value = if level % 2 == 0 { json!([value]) } else { json!({ "in": value }) };
        }
        json!({ "v": value })
    };
    for levels in [1, NATIVE_LEVELS - 1, NATIVE_LEVELS, NATIVE_LEVELS + 1, 60, MAX_LEVELS - 1] {
        comes_back(nested(levels));
    }
    let error = encode(of(nested(MAX_LEVELS + 1)), &keys()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let error = encode(of(json!({"pk": nested(MAX_LEVELS)})), &keys()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn items_are_measured_by_the_services_rule() {
    let measured =
        |value: Value| item_size(&Item::from([("a".to_owned(), to_attribute(value).unwrap())])) - 1;
    assert_eq!(measured(json!("é")), 2);
    assert_eq!(measured(json!(null)), 1);
    assert_eq!(measured(json!(true)), 1);
    assert_eq!(measured(json!(0)), 1);
    assert_eq!(measured(json!(12)), 2);
    assert_eq!(measured(json!(-123)), 4);
    assert_eq!(measured(json!([])), 3);
    assert_eq!(measured(json!(["ab", "c"])), 3 + 2 + 3);
    assert_eq!(measured(json!({"ab": "c"})), 3 + 1 + 3);
    let item = Item::from([("a".to_owned(), AttributeValue::S("x".repeat(MAX_ITEM_BYTES - 1)))]);
    check_size("k", &item).unwrap();
    let item = Item::from([("ab".to_owned(), AttributeValue::S("x".repeat(MAX_ITEM_BYTES - 1)))]);
    let error = check_size("k", &item).unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::LimitExceeded, Some("k")));
    assert!(error.message().contains("409601") && error.message().contains("\"ab\""), "{error}");
}

fn values() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-9_i32..9).prop_map(|n| json!(f64::from(n))),
        any::<f64>().prop_map(|float| if float.is_finite() { json!(float) } else { json!(-0.0) }),
    ];
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers,
        ".{0,6}".prop_map(Value::from)
    ];
    leaves.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,2}",
        prop::sample::select(vec![
            "pk",
            "sk",
            BESIDE,
            "_nodestore_x",
            "metadata",
            "node_ids",
            "text",
            "+",
            "0"
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn every_object_comes_back(members in prop::collection::vec((names(), values()), 0..8)) {
        let value: JsonObject = members.into_iter().collect();
        let text = Value::Object(value.clone()).to_string();
        prop_assert_eq!(Value::Object(round_trip(&value)).to_string(), text);
    }

    #[test]
    fn every_entry_of_a_source_document_comes_back(
        ids in prop::collection::vec(".{0,3}", 0..4),
        metadata in prop::collection::vec((names(), values()), 0..4),
    ) {
        let metadata: JsonObject = metadata.into_iter().collect();
        let value = of(json!({"node_ids": ids, "metadata": metadata}));
        let text = Value::Object(value.clone()).to_string();
        prop_assert_eq!(Value::Object(round_trip(&value)).to_string(), text);
    }

    #[test]
    fn any_text_beside_does_no_harm(beside in ".{0,40}") {
        let mut item = encode(of(json!({"a": 1, "b": [1]})), &keys()).unwrap();
        item.insert(BESIDE.to_owned(), AttributeValue::S(beside));
        prop_assert_eq!(decode(item, &keys()), of(json!({"a": 1, "b": [1]})));
    }
}
