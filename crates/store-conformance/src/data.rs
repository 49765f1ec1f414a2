//! What cases store: plain things, and everything that stores get wrong.

use futures::TryStreamExt;
use serde_json::{Value, json};
use store_core::{BoxStream, Filter, JsonObject};

use crate::check::CaseResult;

/// The object of a `json!({…})`.
pub(crate) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => JsonObject::from_iter([("value".to_owned(), other)]),
    }
}

/// A small object that tells one number from another.
pub(crate) fn numbered(number: usize) -> JsonObject {
    object(json!({"n": number}))
}

/// A filter from its JSON.
pub(crate) fn filter(json: &Value) -> CaseResult<Filter> {
    Ok(Filter::from_json(json)?)
}

/// Everything a stream gives.
pub(crate) async fn all<T>(stream: BoxStream<T>) -> CaseResult<Vec<T>> {
    Ok(stream.try_collect().await?)
}

/// Keys and ids that stores confuse, cut, escape wrongly or refuse: all are different, all are legal.
pub(crate) fn odd_keys() -> Vec<String> {
    ODD_KEYS.iter().map(|key| (*key).to_owned()).collect()
}

const ODD_KEYS: &[&str] = &[
    "a",
    "ab",
    "A",
    "á",
    "a\u{301}",
    "ÅNGSTRÖM",
    "ångström",
    "ß",
    "ss",
    "Straße",
    "İ",
    "ı",
    "ﬁ",
    "fi",
    "שלום",
    "مرحبا",
    "\u{202e}rtl",
    "日本語",
    "😀",
    "👩\u{200d}👩\u{200d}👧",
    "𝒳",
    "\u{10ffff}",
    "\u{ffff}",
    "\u{feff}bom",
    "zero\u{200b}width",
    "nul\0inside",
    "\0",
    "\u{1}\u{2}\u{1f}",
    "tab\there",
    "line\nbreak",
    " leading",
    "trailing ",
    " ",
    "two  spaces",
    "/",
    "a/b",
    "/a/b/",
    "..",
    ".",
    "a.b",
    ".a",
    "a.",
    "$",
    "$set",
    "#",
    "a#b",
    "#name",
    ":",
    "a:b",
    ":value",
    "a;b",
    "a,b",
    "a|b",
    "a\\b",
    "\\",
    "'",
    "\"",
    "`",
    "it's",
    "'; DROP TABLE x; --",
    "{",
    "}",
    "{tag}",
    "[0]",
    "(a)",
    "*",
    "a*",
    "?",
    "%",
    "a%b",
    "%41",
    "_",
    "__",
    "-",
    "--",
    "@",
    "&",
    "=",
    "+",
    "~",
    "^",
    "<a>",
    "0",
    "00",
    "1",
    "1.0",
    "-1",
    "1e3",
    "true",
    "null",
    "None",
    "undefined",
    "NaN",
    "_id",
    "id",
    "__proto__",
    "constructor",
    "pk",
    "sk",
    "ttl",
    "data",
    "SELECT",
];

/// Numbers whose kind or value stores lose.
pub(crate) fn odd_numbers() -> Vec<Value> {
    vec![
        json!(0),
        json!(1),
        json!(1.0),
        json!(-1),
        json!(-1.0),
        json!(0.0),
        json!(-0.0),
        json!(0.1),
        json!(2.5),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(i32::MAX),
        json!(i64::from(i32::MAX) + 1),
        json!(9_007_199_254_740_991_i64),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_993.0),
        json!(1e15),
        json!(1e16),
        json!(1e22),
        json!(1e23),
        json!(1e300),
        json!(-1e300),
        json!(1e-7),
        json!(5e-324),
        json!(2.225_073_858_507_201_4e-308),
        json!(f64::MAX),
        json!(f64::MIN),
        json!(0.300_000_000_000_000_04),
        json!(123_456_789.123_456_79),
    ]
}

/// An object with everything in it that stores change on the way.
pub(crate) fn odd_object() -> JsonObject {
    object(json!({
        "z": 1,
        "a": {"z": {"y": 1, "b": [{"q": 1, "p": 2.0}], "a": null}, "m": [], "c": {}},
        "": "the empty name",
        " ": "a space",
        "a.b": {"c.d": [1, 1.0, "1", true, null, [], {}]},
        "$set": {"$inc": 1},
        "$": "dollar",
        "_id": "another id",
        "id": 7,
        "pk": "p",
        "sk": "s",
        "ttl": 1,
        "key": "k",
        "value": {"value": {"value": null}},
        "#a": ":b",
        "quotes": "it's \"so\" `x` \\ / \u{8}\u{c}\n\r\t\u{1f}\u{7f}",
        "nul": "a\0b",
        "ключ": "значение",
        "é": "composed",
        "e\u{301}": "decomposed",
        "😀": ["👩\u{200d}👩\u{200d}👧", "\u{10ffff}", "\u{2028}\u{2029}", "\u{feff}"],
        "empty": "",
        "spaces": "  ",
        "texts": ["null", "true", "1", "1.0", "2024-05-01", "2024-05-01T12:00:00Z"],
        "bools": [true, false],
        "null": null,
        "nested": [[[[[[]]]]]],
        "numbers": odd_numbers(),
    }))
}

/// An object inside an object, so many deep.
pub(crate) fn deep_object(depth: usize) -> JsonObject {
    let mut value = json!({"end": 1.0});
    for level in 0..depth {
        value = if level % 2 == 0 { json!({ "in": value }) } else { json!({"in": [value]}) };
    }
    object(value)
}

/// Numbers that look random and are the same on each run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From −1 to 1, with steps that `f32` holds exactly.
    #[expect(clippy::cast_possible_truncation, reason = "24 bits fit an f32 exactly")]
    pub(crate) fn component(&mut self) -> f32 {
        let step = (self.next() >> 40) as f64 / f64::from(1 << 23) - 1.0;
        step as f32
    }

    pub(crate) fn embedding(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.component()).collect()
    }
}
