use serde_json::json;

use super::*;
use crate::session::Value;

fn raw(value: Value) -> Vec<u8> {
    match value {
        Value::Some(bytes) => bytes,
        Value::Null | Value::NotSet => panic!("no bytes"),
    }
}

fn read(kind: &CellType, cell: &[u8]) -> Json {
    to_json(kind, Some(cell)).unwrap()
}

fn boxed(kind: &CellType) -> Box<CellType> {
    Box::new(kind.clone())
}

fn every_type() -> Vec<(CellType, Vec<Json>)> {
    let (text, int) = (CellType::Text, CellType::Int);
    vec![
        (CellType::Ascii, vec![json!("abc"), json!("")]),
        (text.clone(), vec![json!("Zażółć 🦀"), json!("")]),
        (CellType::Bigint, vec![json!(i64::MIN), json!(i64::MAX), json!(9_007_199_254_740_993_i64)]),
        (CellType::Counter, vec![json!(-1)]),
        (int.clone(), vec![json!(i32::MIN), json!(7)]),
        (CellType::Smallint, vec![json!(i16::MAX)]),
        (CellType::Tinyint, vec![json!(i8::MIN)]),
        (CellType::Boolean, vec![json!(true), json!(false)]),
        (CellType::Double, vec![json!(0.1), json!(-1e300), json!("NaN"), json!("-Infinity")]),
        (CellType::Float, vec![json!(0.1), json!(3.402_823_5e38), json!("Infinity"), json!("NaN")]),
        (CellType::Blob, vec![json!("0x"), json!("0x00ff10")]),
        (
            CellType::Decimal,
            vec![json!("0"), json!("-12.50"), json!("0.000001"), json!("1E-7"), json!("1.5E+10")],
        ),
        (
            CellType::Varint,
            vec![json!("0"), json!("-128"), json!("128"), json!("123456789012345678901234567890")],
        ),
        (
            CellType::Timestamp,
            vec![json!("2024-05-01T12:00:00Z"), json!("1969-12-31T23:59:59.999Z"), json!(i64::MAX)],
        ),
        (
            CellType::Date,
            vec![json!("1970-01-01"), json!("0000-01-01"), json!("9999-12-31"), json!(-2_147_483_648_i64)],
        ),
        (CellType::Time, vec![json!("00:00:00.000000000"), json!("23:59:59.999999999")]),
        (CellType::Uuid, vec![json!("123e4567-e89b-12d3-a456-426614174000")]),
        (CellType::Timeuuid, vec![json!("00000000-0000-1000-8000-000000000000")]),
        (CellType::Inet, vec![json!("10.0.0.1"), json!("2001:db8::1")]),
        (
            CellType::Duration,
            vec![json!("1y2mo10d5h6m7s8ms9us10ns"), json!("-3d"), json!("0ns"), json!("-89h4m48s")],
        ),
        (CellType::List(boxed(&text)), vec![json!([]), json!(["a", "b"])]),
        (CellType::Set(boxed(&int)), vec![json!([1, 2])]),
        (CellType::Map(boxed(&text), boxed(&int)), vec![json!({}), json!({"a": 1, "": 2})]),
        (CellType::Map(boxed(&int), boxed(&text)), vec![json!({"-5": "x"})]),
        (CellType::Map(Box::new(CellType::List(boxed(&int))), boxed(&text)), vec![json!({"[1,2]": "x"})]),
        (CellType::Tuple(vec![int.clone(), text.clone()]), vec![json!([1, "x"]), json!([null, null])]),
        (
            CellType::Udt(
                "address".to_owned(),
                vec![("street".to_owned(), text.clone()), ("no".to_owned(), int.clone())],
            ),
            vec![json!({"street": "x", "no": 5}), json!({"street": null, "no": 5})],
        ),
        (CellType::Vector(Box::new(CellType::Float), 3), vec![json!([0.1, -2.5, 3.0])]),
        (CellType::Vector(boxed(&text), 2), vec![json!(["a", "x".repeat(300)])]),
        (CellType::Vector(Box::new(CellType::Smallint), 2), vec![json!([1, -1])]),
        (
            CellType::Vector(Box::new(CellType::Vector(Box::new(CellType::Float), 2)), 1),
            vec![json!([[1.0, 2.0]])],
        ),
        (CellType::Other("x.y.ZType".to_owned()), vec![json!("0x0102")]),
    ]
}

#[test]
fn values_of_every_type_come_back() {
    for (kind, values) in every_type() {
        for value in values {
            let cell = raw(encode("it", &kind, &value).unwrap());
            assert_eq!(read(&kind, &cell), value, "{kind}");
        }
        assert_eq!(to_json(&kind, None), Some(Json::Null));
        assert!(matches!(encode("it", &kind, &Json::Null), Ok(Value::Null)));
    }
}

#[test]
fn cells_are_as_the_protocol_has_them() {
    let be = |kind: &CellType, value: Json| raw(encode("it", kind, &value).unwrap());
    assert_eq!(be(&CellType::Varint, json!("128")), [0, 0x80]);
    assert_eq!(be(&CellType::Varint, json!(-129)), [0xff, 0x7f]);
    assert_eq!(be(&CellType::Varint, json!("-128")), [0x80]);
    assert_eq!(be(&CellType::Decimal, json!("-1.29")), [0, 0, 0, 2, 0xff, 0x7f]);
    assert_eq!(be(&CellType::Date, json!("1970-01-02")), [0x80, 0, 0, 1]);
    assert_eq!(be(&CellType::Duration, json!("1mo2d3ns")), [2, 4, 6]);
    assert_eq!(be(&CellType::Tuple(vec![CellType::Int, CellType::Int]), json!([null, 1]))[..4], [0xff; 4]);
    assert_eq!(be(&CellType::List(Box::new(CellType::Tinyint)), json!([1])), [0, 0, 0, 1, 0, 0, 0, 1, 1]);
    assert_eq!(be(&CellType::Vector(Box::new(CellType::Int), 1), json!([1])), [0, 0, 0, 1]);
    assert_eq!(be(&CellType::Vector(Box::new(CellType::Text), 1), json!(["ab"])), [2, b'a', b'b']);
}

#[test]
fn numbers_of_any_size_are_exact() {
    let mut text = "9".repeat(500);
    for _ in 0..2 {
        let cell = raw(encode("it", &CellType::Varint, &json!(text)).unwrap());
        assert_eq!(read(&CellType::Varint, &cell), json!(text));
        text = format!("-{text}");
    }
    for power in [31, 32, 63, 64, 126] {
        for number in [1_i128 << power, -(1_i128 << power), (1_i128 << power) - 1] {
            let cell = raw(encode("it", &CellType::Varint, &json!(number.to_string())).unwrap());
            assert_eq!(read(&CellType::Varint, &cell), json!(number.to_string()));
            assert_eq!(number::varint(&number.to_be_bytes()), number.to_string());
            // The same with more bytes than it needs.
            let mut long = vec![if number < 0 { 0xff } else { 0 }; 20];
            long.extend(number.to_be_bytes());
            assert_eq!(number::varint(&long), number.to_string());
        }
    }
    assert_eq!(number::varint(&[0; 40]), "0");
    assert!(number::varint(&[1; 5_000]).starts_with("0x0101"));
    let decimals =
        [("1E+3", "1E+3"), ("0.00", "0.00"), ("123e-2", "1.23"), ("-0.0000001", "-1E-7"), ("0E-9", "0E-9")];
    for (given, shown) in decimals {
        let cell = raw(encode("it", &CellType::Decimal, &json!(given)).unwrap());
        assert_eq!(read(&CellType::Decimal, &cell), json!(shown));
    }
}

#[test]
fn short_integers_come_back() {
    for number in [0, 1, 127, 128, 16_383, 16_384, 1 << 35, (1 << 56) - 1, 1 << 56, u64::MAX] {
        let mut out = Vec::new();
        number::push_unsigned_vint(&mut out, number);
        let mut rest = out.as_slice();
        assert_eq!(number::unsigned_vint(&mut rest), Some(number), "{out:?}");
        assert!(rest.is_empty());
    }
    for number in [0, -1, 1, i64::MIN, i64::MAX, -300] {
        let mut out = Vec::new();
        number::push_signed_vint(&mut out, number);
        assert_eq!(number::signed_vint(&mut out.as_slice()), Some(number));
    }
}

#[test]
fn what_is_plain_is_taken() {
    let same = [
        (CellType::Int, json!("5"), json!(5)),
        (CellType::Double, json!("1.5"), json!(1.5)),
        (CellType::Boolean, json!("true"), json!(true)),
        (CellType::Timestamp, json!(0), json!("1970-01-01T00:00:00Z")),
        (CellType::Timestamp, json!("2024-05-01T14:00:00+02:00"), json!("2024-05-01T12:00:00Z")),
        (CellType::Time, json!("13:45"), json!("13:45:00.000000000")),
        (CellType::Duration, json!("2w"), json!("14d")),
        (
            CellType::Uuid,
            json!("123E4567-E89B-12D3-A456-426614174000"),
            json!("123e4567-e89b-12d3-a456-426614174000"),
        ),
    ];
    for (kind, given, read_back) in same {
        assert_eq!(read(&kind, &raw(encode("it", &kind, &given).unwrap())), read_back);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = [
        (CellType::Int, json!(2_147_483_648_i64)),
        (CellType::Int, json!(1.5)),
        (CellType::Text, json!(5)),
        (CellType::Ascii, json!("é")),
        (CellType::Float, json!(1e300)),
        (CellType::Blob, json!("00")),
        (CellType::Blob, json!("0x0")),
        (CellType::Blob, json!("0x+f")),
        (CellType::Varint, json!("1.5")),
        (CellType::Varint, json!("9".repeat(9_001))),
        (CellType::Decimal, json!("abc")),
        (CellType::Decimal, json!("1E99999999999")),
        (CellType::Timestamp, json!("yesterday")),
        (CellType::Date, json!("2024-02-30")),
        (CellType::Date, json!("2024-05-01T00:00")),
        (CellType::Time, json!("24:00")),
        (CellType::Time, json!("12:00Z")),
        (CellType::Uuid, json!("123e4567e89b12d3a456426614174000")),
        (CellType::Inet, json!("localhost")),
        (CellType::Duration, json!("")),
        (CellType::Duration, json!("5")),
        (CellType::Duration, json!("1mm")),
        (CellType::Duration, json!("9999999999y")),
        (CellType::List(Box::new(CellType::Int)), json!([null])),
        (CellType::Tuple(vec![CellType::Int]), json!([1, 2])),
        (CellType::Udt("u".to_owned(), vec![("a".to_owned(), CellType::Int)]), json!({"b": 1})),
        (CellType::Vector(Box::new(CellType::Float), 2), json!([1.0])),
    ];
    for (kind, value) in refused {
        let error = encode("the value 1", &kind, &value).unwrap_err();
        assert!(error.message().starts_with("the value 1 is of type "), "{error}");
    }
}

#[test]
fn damaged_cells_are_told_and_never_a_panic() {
    let fixed = [CellType::Int, CellType::Bigint, CellType::Uuid, CellType::Boolean, CellType::Date];
    for kind in fixed {
        assert_eq!(to_json(&kind, Some(&[1, 2, 3])), None, "{kind}");
        // What was left from the time before nulls.
        assert_eq!(to_json(&kind, Some(&[])), Some(Json::Null));
    }
    let column = Column { name: "c".to_owned(), kind: CellType::Text };
    assert_eq!(
        column.json(Some(&[0xff])).unwrap_err().message(),
        "the column \"c\" has 1 bytes that are no text"
    );
    // Whole values cut off at every place, and with every byte changed.
    for (kind, values) in every_type() {
        for value in values {
            let cell = raw(encode("it", &kind, &value).unwrap());
            for end in 0..cell.len() {
                let _ = to_json(&kind, Some(&cell[..end]));
                for byte in [0, 0x7f, 0x80, 0xff] {
                    let mut other = cell.clone();
                    other[end] = byte;
                    let _ = to_json(&kind, Some(&other));
                }
            }
        }
    }
    let list = CellType::List(Box::new(CellType::Text));
    assert_eq!(to_json(&list, Some(&[0x7f, 0xff, 0xff, 0xff])), None);
    assert_eq!(to_json(&list, Some(&[0xff; 4])), None);
    assert_eq!(to_json(&CellType::Vector(Box::new(CellType::Text), usize::MAX), Some(&[0xff; 20])), None);
}

#[test]
fn classes_are_understood() {
    let marshal = |class: &str| class.replace('@', "org.apache.cassandra.db.marshal.");
    let same = [
        ("@VectorType(@FloatType , 3)", "vector<float, 3>"),
        ("@DurationType", "duration"),
        ("@FrozenType(@ListType(@Int32Type))", "list<int>"),
        ("@MapType(@UTF8Type,@SetType(@LongType))", "map<text, set<bigint>>"),
        ("@TupleType(@Int32Type,@VectorType(@UTF8Type, 2))", "tuple<int, vector<text, 2>>"),
        ("@UserType(ks,61646472,73747265657420:@UTF8Type,6e6f:@Int32Type)", "addr"),
        ("@ReversedType(@TimestampType)", "timestamp"),
    ];
    for (class, cql) in same {
        assert_eq!(CellType::of_class(&marshal(class)).to_string(), cql);
    }
    let CellType::Udt(_, fields) = CellType::of_class(&marshal("@UserType(ks,61,6e6f:@Int32Type)")) else {
        panic!("no user-defined type");
    };
    assert_eq!(fields, [("no".to_owned(), CellType::Int)]);
    for other in ["", "x.Y", "ListType(", "ListType(Int32Type))", "VectorType(FloatType,x)", "UserType(a,zz)"]
    {
        assert_eq!(CellType::of_class(other), CellType::Other(other.to_owned()));
    }
    let deep = "ListType(".repeat(10_000);
    assert_eq!(CellType::of_class(&deep), CellType::Other(deep.clone()));
}
