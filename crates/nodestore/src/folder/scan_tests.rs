use std::io::Write as _;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::python::parse_json;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The entries of the outermost object, read through a buffer of that size.
fn entries(bytes: &[u8], capacity: usize) -> Result<Vec<(String, Value)>> {
    let file = file(bytes);
    let mut scanner = Scanner::with_capacity(file.path(), capacity)?;
    let (mut entries, mut value) = (Vec::new(), Vec::new());
    let mut members = scanner.begin()?;
    while let Some((_, key)) = scanner.next_key(&mut members)? {
        let extent = scanner.read_value(&mut value, usize::MAX)?;
        assert_eq!(extent.length, value.len() as u64);
        let start = usize::try_from(extent.place.offset).unwrap();
        assert_eq!(bytes.get(start..start + value.len()).unwrap(), value);
        entries.push((key, scanner.parse(extent, &value)?));
    }
    scanner.end()?;
    Ok(entries)
}

/// The message of what is refused, without the file's name.
fn refusal(text: &str) -> String {
    let error = entries(text.as_bytes(), 7).unwrap_err();
    let (_, place) = error.message().split_once(':').unwrap();
    place.to_owned()
}

#[test]
fn entries_come_with_their_bytes_whatever_the_buffer() {
    let text = "\u{feff} {\r\n \"a\\u00e9\" : [NaN, -Infinity, 1e5, {\"x\": \"}]\\\"\"}],\n\"b\":{} , \"\": \"ß\"}\t\n";
    let expected = vec![
        ("aé".to_owned(), serde_json::json!([null, null, 1e5, {"x": "}]\""}])),
        ("b".to_owned(), serde_json::json!({})),
        (String::new(), serde_json::json!("ß")),
    ];
    for capacity in (4..40).chain([BUFFER]) {
        assert_eq!(entries(text.as_bytes(), capacity).unwrap(), expected, "{capacity}");
    }
    assert_eq!(entries(b"{}", 1).unwrap(), []);
}

#[test]
fn what_is_broken_is_told_with_line_and_column() {
    for (text, message) in [
        ("", "1:1: the file is empty"),
        ("  ", "1:3: the file ends where an object should stand; it was cut short"),
        ("[]", "1:1: '[' stands where the `{` of an object is expected; this is no JSON"),
        ("{\n \"a\": 1,\n \"b\" 2}", "3:6: '2' stands where `:` is expected; this is no JSON"),
        ("{\"a\": [1, 2", "1:12: the file ends where `,` or `]` should stand; it was cut short"),
        (
            "{\"a\": \"xy",
            "1:10: the file ends where the closing `\"` of a text should stand; it was cut short",
        ),
        ("{\"a\": 1", "1:8: the file ends where `,` or `}` should stand; it was cut short"),
        ("{\"a\": 1} x", "1:10: 'x' stands where the end of the file is expected; this is no JSON"),
        ("{\"a\": 1,}", "1:9: '}' stands where a key in double quotes is expected; this is no JSON"),
        ("{\"a\": [1,]}", "1:10: ']' stands where a value is expected; this is no JSON"),
        ("{\"a\": 01}", "1:8: '1' stands where `,` or `}` is expected; this is no JSON"),
        ("{\"a\": \"\\x\"}", "1:9: 'x' stands where an escape is expected; this is no JSON"),
        ("{\"a\": \"\u{1}\"}", "1:8: a control character stands in a text; it must be escaped"),
        ("{\"a\": nul}", "1:10: '}' stands where a value is expected; this is no JSON"),
        ("{1: 2}", "1:2: '1' stands where a key in double quotes is expected; this is no JSON"),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(DEEPEST + 1));
    assert_eq!(refusal(&deep), format!("1:{}: the value is nested deeper than 120 levels", DEEPEST + 7));
    let error = entries(b"{\"a\": \"x\n", 9).unwrap_err();
    assert!(error.message().contains(":1:9: "), "{error}");
    let error = entries(b"{\"a\": [1,\n \"\xff\"]}", 9).unwrap_err();
    assert!(error.message().ends_with(":2:3: the text is not UTF-8"), "{error}");
    let error = entries(b"\xff\xfe{\0", 9).unwrap_err();
    assert!(error.message().contains("no UTF-8"), "{error}");
}

#[test]
fn of_a_large_value_only_the_beginning_is_kept() {
    let file = file(b"{\"a\": \"0123456789\", \"b\": 1}");
    for capacity in [1, 3, 8, 64] {
        let mut scanner = Scanner::with_capacity(file.path(), capacity).unwrap();
        let (mut members, mut value) = (scanner.begin().unwrap(), Vec::new());
        scanner.next_key(&mut members).unwrap();
        let extent = scanner.read_value(&mut value, 4).unwrap();
        assert_eq!((extent.length, value.as_slice()), (12, b"\"012".as_slice()));
        assert_eq!(scanner.next_key(&mut members).unwrap().unwrap().1, "b");
    }
}

#[test]
fn a_place_is_found_again() {
    let text = b"{\"a\": 1,\n \"b\": [2], \"c\": 3}";
    let file = file(text);
    for capacity in [1, 5, 64] {
        let mut scanner = Scanner::with_capacity(file.path(), capacity).unwrap();
        let mut members = scanner.begin().unwrap();
        let mut places = Vec::new();
        while let Some((place, key)) = scanner.next_key(&mut members).unwrap() {
            places.push((place, key));
            scanner.skip_value().unwrap();
        }
        for (place, key) in places.iter().rev() {
            scanner.go_to(*place).unwrap();
            assert_eq!(&scanner.key_here().unwrap(), &(*place, key.clone()));
        }
        for (place, _) in places {
            assert_eq!(scanner.place_of(place.offset).unwrap(), place);
        }
    }
}

proptest! {
    /// What is let through can be read, and what is refused is refused by others, too.
    #[test]
    fn judges_as_other_readers_do(
        text in r#"([\[\]{},:"\\ \n]|-?[0-9.eE+]{1,3}|"[a-z]{0,2}":?|NaN|Infinity|-|true|null|\\u[dD]?[0-9]{1,4}|é){0,30}"#,
        capacity in 1_usize..9,
    ) {
        let text = format!("{{\"k\": {text}}}");
        let ours = entries(text.as_bytes(), capacity);
        match (parse_json(&text), ours) {
            (Ok(Value::Object(theirs)), Ok(ours)) => {
                prop_assert_eq!(theirs, ours.into_iter().collect::<crate::JsonObject>());
            }
            (Ok(other), ours) => prop_assert!(false, "{other} {ours:?}"),
            (Err(theirs), Ok(ours)) => prop_assert!(false, "{theirs} {ours:?}"),
            (Err(_), Err(_)) => {}
        }
    }
}
