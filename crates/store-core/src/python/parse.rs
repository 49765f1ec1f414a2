//! Reading the JSON that Python's `json` module writes.

use std::ops::Range;

use serde_json::Value;

use super::exact::Exact;
use crate::{Error, Result};

/// Reads JSON as Python writes it, also where that is no JSON or holds what a [`Value`] can not:
///
/// | in the text | in the value |
/// |---|---|
/// | `NaN`, `Infinity`, `-Infinity`, a float beyond the range of `f64` | `null` |
/// | an integer beyond 64 bits | the nearest float |
/// | a lone surrogate (`"\ud800"`) | U+FFFD |
/// | `-0` | `0`, as in Python |
///
/// The first three lose something, so each text in which one occurs is reported by a `tracing` warning, without the
/// values. A node whose embedding holds a `NaN` is then refused by [`Node::from_json`](crate::Node::from_json).
///
/// # Errors
/// `InvalidInput` when the text is no JSON, or nested deeper than 128 levels.
pub fn parse_json(text: &str) -> Result<Value> {
    let (value, lost) = parse_json_telling(text)?;
    if let Some(lost) = lost {
        tracing::warn!(lost, "JSON written by Python holds what can not be kept exactly");
    }
    Ok(value)
}

/// [`parse_json`], which tells what was lost (one of the things, when there are several) instead of warning.
///
/// # Errors
/// As [`parse_json`].
pub fn parse_json_telling(text: &str) -> Result<(Value, Option<&'static str>)> {
    // Nearly every text is JSON that holds nothing of the kind, and is read in one pass.
    match serde_json::from_str(text) {
        Ok(Exact(value)) => Ok((value, None)),
        Err(_) => parse_repaired(text),
    }
}

/// [`parse_json_telling`] for what [`Exact`] refuses.
fn parse_repaired(text: &str) -> Result<(Value, Option<&'static str>)> {
    let mut scan = Scan { text, at: 0, repairs: Vec::new(), lost: None };
    scan.run();
    let repaired = scan.repaired();
    let value = serde_json::from_str(repaired.as_deref().unwrap_or(text)).map_err(|error| {
        Error::invalid_input(format!("the text is not valid JSON: {error}")).with_source(error)
    })?;
    Ok((value, scan.lost))
}

/// Finds what `serde_json` would refuse or change. It judges no JSON: what it does not know it leaves alone.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    repairs: Vec<(Range<usize>, &'static str)>,
    lost: Option<&'static str>,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some((skipped, byte)) =
            self.find(|byte| matches!(byte, b'"' | b'0'..=b'9' | b'-' | b'N' | b'I'))
        {
            self.at += skipped;
            match byte {
                b'"' => self.string(),
                b'N' => self.word("NaN", "NaN"),
                b'I' => self.word("Infinity", "Infinity"),
                _ => self.number(),
            }
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// How far the next such byte is, and which it is.
    fn find(&self, wanted: impl Fn(u8) -> bool) -> Option<(usize, u8)> {
        self.rest().iter().copied().enumerate().find(|(_, byte)| wanted(*byte))
    }

    fn replace(&mut self, length: usize, by: &'static str) {
        self.repairs.push((self.at..self.at + length, by));
        self.at += length;
    }

    fn word(&mut self, word: &str, lost: &'static str) {
        if self.rest().starts_with(word.as_bytes()) {
            self.lost = Some(lost);
            self.replace(word.len(), "null");
        } else {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        if self.rest().starts_with(b"-Infinity") {
            return self.word("-Infinity", "-Infinity");
        }
        let (mut length, mut has_point, mut has_exponent) = (0, false, false);
        for byte in self.rest() {
            match byte {
                b'0'..=b'9' | b'-' | b'+' => {}
                b'.' => has_point = true,
                b'e' | b'E' => has_exponent = true,
                _ => break,
            }
            length += 1;
        }
        let token = self.text.get(self.at..self.at + length).unwrap_or_default();
        if token == "-0" {
            return self.replace(length, "0");
        }
        // Without an exponent no float is out of range, but with some 300 digits; up to 18 every integer fits.
        if (length > 300 || has_exponent) && token.parse().is_ok_and(f64::is_infinite) {
            self.lost = Some("a number beyond the range of floats");
            return self.replace(length, "null");
        }
        let is_integer = !has_point && !has_exponent;
        if length > 18 && is_integer && token.parse::<i64>().is_err() && token.parse::<u64>().is_err() {
            self.lost = Some("an integer beyond 64 bits");
        }
        self.at += length;
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some((skipped, byte)) = self.find(|byte| matches!(byte, b'"' | b'\\')) {
            self.at += skipped;
            if byte == b'"' {
                self.at += 1;
                return;
            }
            match self.surrogate() {
                None => self.at += 2,
                Some(0xd800..=0xdbff) => {
                    self.at += 6;
                    if matches!(self.surrogate(), Some(0xdc00..=0xdfff)) {
                        self.at += 6;
                    } else {
                        self.at -= 6;
                        self.lone_surrogate();
                    }
                }
                Some(_) => self.lone_surrogate(),
            }
        }
        // A string without an end.
        self.at = self.text.len();
    }

    fn lone_surrogate(&mut self) {
        self.lost = Some("a lone surrogate");
        self.replace(6, "\\ufffd");
    }

    /// The surrogate whose escape starts here.
    fn surrogate(&self) -> Option<u16> {
        let digits = self.rest().strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16)
            .ok()
            .filter(|unit| (0xd800..=0xdfff).contains(unit))
    }

    fn repaired(&self) -> Option<String> {
        if self.repairs.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(self.text.len());
        let mut from = 0;
        for (range, by) in &self.repairs {
            out.push_str(self.text.get(from..range.start).unwrap_or_default());
            out.push_str(by);
            from = range.end;
        }
        out.push_str(self.text.get(from..).unwrap_or_default());
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_what_python_writes_beyond_json() {
        let text = r#"{"NaN": [NaN, Infinity, -Infinity, 1e400, -1e400], "s": "NaN \"Infinity\" \ud800 \ud83d\ude80 \udc00\\ud800",
            "i": [18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809, -0, -0.0],
            "\ud83dx": "\ud800\ud83d\ude80"}"#;
        let value = parse_json(text).unwrap();
        let expected = json!({"NaN": [null, null, null, null, null],
            "s": "NaN \"Infinity\" \u{fffd} 🚀 \u{fffd}\\ud800",
            "i": [u64::MAX, 18_446_744_073_709_551_616.0, i64::MIN, -9_223_372_036_854_775_809.0, 0, -0.0],
            "\u{fffd}x": "\u{fffd}🚀"});
        assert_eq!(value, expected);
        assert_eq!(value.to_string(), expected.to_string());
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in
            ["", "{", "Nan", "\"\\ud800", "\"\\", "--0", "[1,]", "\"\\u12", "nullNaN", &"[".repeat(1000)]
        {
            assert!(parse_json(text).is_err(), "{text}");
        }
    }

    /// JSON as Python writes it, with much that is hard to read and now and then what is no JSON.
    fn hard_json() -> impl Strategy<Value = String> {
        let numbers = "0 -0 -0.0 -0e5 -0.00 0e999 7 -7 0.1 1E5 1e-400 -1e-400 1e308 1e400 -1e400 NaN Infinity -Infinity \
            1.7976931348623157e308 1.7976931348623159e308 9223372036854775807 9223372036854775808 \
            -9223372036854775808 -9223372036854775809 9223372036854775807.5 9.3e18 -9.3e18 18446744073709551615 \
            18446744073709551616 1e18 1e19 100000000000000000000000000 -1 00 +1 1. .5 --1 nan";
        let number = prop::sample::select(numbers.split_whitespace().collect::<Vec<_>>());
        let text = r#"("([a-c]|é|\\\\|\\"|\\n|\\u00e9|\\ud83d\\ude80|\\ud83d|\\udc00|-0|NaN){0,4}")"#;
        let word = prop::sample::select(vec!["null", "true", "false", "", "nul", " 1 ", r#""\x""#]);
        let leaf = prop_oneof![
            8 => number.prop_map(str::to_owned),
            8 => text,
            1 => any::<f64>().prop_map(|float| format!("{float:e}")),
            1 => any::<i128>().prop_map(|integer| integer.to_string()),
            2 => word.prop_map(str::to_owned),
        ];
        leaf.prop_recursive(3, 20, 4, move |inner| {
            let member = (text, inner.clone()).prop_map(|(name, value)| format!("{name}: {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
                prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(", "))),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_pass_reads_what_the_repaired_text_says(text in hard_json()) {
            match (parse_json_telling(&text), parse_repaired(&text)) {
                (Ok((value, lost)), Ok((expected, expected_lost))) => {
                    prop_assert_eq!(value.to_string(), expected.to_string());
                    prop_assert_eq!(value, expected);
                    prop_assert_eq!(lost, expected_lost);
                }
                (Err(error), Err(expected)) => prop_assert_eq!(error.message(), expected.message()),
                (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
            }
        }

        #[test]
        fn reads_all_json_as_serde_json_does(value in crate::test_support::json_value()) {
            prop_assert_eq!(&parse_json(&value.to_string()).unwrap(), &value);
            prop_assert_eq!(&parse_json(&crate::python::python_json(&value)).unwrap(), &value);
            prop_assert_eq!(&parse_json(&crate::python::python_json_utf8(&value)).unwrap(), &value);
        }

        #[test]
        fn never_panics(text in r#"(["\\NaIudfty0-9e.+\-{}\[\]:,é 🚀]|\\u[dD][89a-f][0-9]{2}){0,40}"#) {
            let _ = parse_json(&text);
        }
    }
}
