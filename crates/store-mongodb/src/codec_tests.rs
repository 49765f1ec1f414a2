use bson::{Bson, DateTime, Decimal128, Document, doc};
use proptest::prelude::*;
use serde_json::json;
use store_core::ErrorKind;

use super::*;

/// Any JSON whose names have no NUL.
fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(-0.0)),
        Just(json!(u64::MAX)),
        Just(json!(i64::from(i32::MIN))),
        Just(json!(i64::from(i32::MAX) + 1)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<String>().prop_map(Value::from),
        Just(json!("a\u{0}b")),
    ];
    leaf.prop_recursive(6, 64, 12, |inner| {
        let name = any::<String>().prop_map(|name| name.replace('\0', "-"));
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            proptest::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same as a tree of the `bson` crate.
fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => (*value).into(),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(to_bson).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), to_bson(value))).collect::<Document>().into()
        }
        Value::Number(number) => match (number.as_i64(), number.is_u64()) {
            (Some(integer), _) => i32::try_from(integer).map_or(integer.into(), Bson::from),
            (None, true) => Bson::Decimal128(number.to_string().parse::<Decimal128>().unwrap()),
            (None, false) => number.as_f64().unwrap().into(),
        },
    }
}

fn write(value: &Value) -> Result<RawDocumentBuf> {
    let mut writer = DocumentWriter::new();
    writer.value("v", value)?;
    writer.finish()
}

proptest! {
    /// What is written comes back, and is byte for byte what the `bson` crate writes.
    #[test]
    fn json_comes_back(value in value()) {
        let document = write(&value).unwrap();
        prop_assert_eq!(&to_json(&document).unwrap()["v"], &value);
        let reference = RawDocumentBuf::try_from(&doc! {"v": to_bson(&value)}).unwrap();
        prop_assert_eq!(document.as_bytes(), reference.as_bytes());
    }

    /// Bytes that are no BSON are an error, never a panic.
    #[test]
    fn damaged_bytes_are_refused(value in value(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = write(&value).unwrap().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(document) = RawDocument::from_bytes(&bytes) {
            let _ = to_json(document);
        }
    }
}

#[test]
fn long_arrays_count_on() {
    let value: Value = (0..1_234).collect();
    let document = write(&value).unwrap();
    let reference = RawDocumentBuf::try_from(&doc! {"v": to_bson(&value)}).unwrap();
    assert_eq!(document.as_bytes(), reference.as_bytes());

    let values: Vec<f32> = (0..1_234_u16).map(f32::from).collect();
    let mut writer = DocumentWriter::new();
    writer.vector("v", &values).unwrap();
    let reference: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    let reference = RawDocumentBuf::try_from(&doc! {"v": reference}).unwrap();
    assert_eq!(writer.finish().unwrap().as_bytes(), reference.as_bytes());
}

#[test]
fn every_member_is_written_as_bson_writes_it() {
    let mut writer = DocumentWriter::with_capacity(1_000);
    writer.integer("small", -1).unwrap();
    writer.integer("great", 1 << 40).unwrap();
    writer.flag("flag", true).unwrap();
    writer.date("date", DateTime::from_millis(-5)).unwrap();
    writer.vector("vector", &[0.5, -1.0, 3.25]).unwrap();
    writer.open_array("list").unwrap();
    writer.text("0", "é").unwrap();
    writer.close();
    writer.open_object("object").unwrap();
    writer.document("inner", &RawDocumentBuf::try_from(&doc! {"a": 1}).unwrap()).unwrap();
    writer.close();
    let reference = doc! {
        "small": -1, "great": 1_i64 << 40, "flag": true, "date": DateTime::from_millis(-5),
        "vector": [0.5, -1.0, 3.25], "list": ["é"], "object": {"inner": {"a": 1}},
    };
    assert_eq!(Document::try_from(writer.finish().unwrap()).unwrap(), reference);
}

#[test]
fn a_nul_in_a_name_is_refused() {
    for value in [json!({"a\u{0}": 1}), json!([{"b": {"\u{0}": []}}])] {
        let error = write(&value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("NUL"), "{error}");
    }
}

#[test]
fn levels_are_counted() {
    let nested = |levels: usize| {
        (1..levels).fold(
            json!([]),
            |inner, level| {
                if level % 2 == 0 { json!([inner]) } else { json!({"in": inner}) }
            },
        )
    };
    assert!(write(&nested(MAX_DEPTH)).is_ok());
    let error = write(&nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn decimals_are_integers_where_they_can_be() {
    let read = |text: &str| {
        let document = doc! {"v": Bson::Decimal128(text.parse::<Decimal128>().unwrap())};
        to_json(&RawDocumentBuf::try_from(&document).unwrap()).unwrap()["v"].clone()
    };
    for (text, value) in [
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("0", json!(0)),
        ("1.5", json!(1.5)),
        ("1E+3", json!(1000.0)),
        ("99999999999999999999999", json!(1e23)),
        ("NaN", json!(null)),
        ("Infinity", json!(null)),
    ] {
        assert_eq!(read(text), value, "{text}");
    }
}

/// Servers refuse such a document; what answers in a server's place may not.
#[test]
fn stored_values_of_any_depth_are_no_danger() {
    let nested = |levels: usize| {
        (1..levels).fold(vec![5, 0, 0, 0, 0], |inner, _| {
            let length = i32::try_from(inner.len() + 8).unwrap();
            [length.to_le_bytes().as_slice(), &[DOCUMENT, b'a', 0], &inner, &[0]].concat()
        })
    };
    let read = |levels: usize| {
        let document = RawDocumentBuf::from_bytes(nested(levels)).unwrap();
        let text = crate::python_text::python_str(RawBsonRef::Document(&document));
        (
            to_json(&document).map(drop).map_err(|error| error.kind()),
            text.map(drop).map_err(|error| error.kind()),
        )
    };
    assert_eq!(read(MAX_STORED_DEPTH), (Ok(()), Ok(())));
    for levels in [MAX_STORED_DEPTH + 1, 5_000] {
        assert_eq!(read(levels), (Err(ErrorKind::Corrupt), Err(ErrorKind::Corrupt)));
    }
}
