//! `str()`, `repr()` and `str.strip()` over JSON values.

use std::fmt::Write;

use serde_json::{Number, Value};
use unicode_general_category::{GeneralCategory, get_general_category};

use crate::JsonObject;

/// Python's `str(value)`: a text as it is, anything else as [`repr`] writes it.
///
/// ```
/// use serde_json::json;
/// use store_core::python;
/// assert_eq!(python::str(&json!("it's")), "it's");
/// assert_eq!(python::str(&json!({"a": [1, 2.0, true, null]})), "{'a': [1, 2.0, True, None]}");
/// ```
#[must_use]
pub fn str(value: &Value) -> String {
    let mut out = String::new();
    push_str(&mut out, value);
    out
}

/// Python's `repr(value)`.
#[must_use]
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    push_repr(&mut out, value);
    out
}

/// Python's `text.strip()`: Unicode white space and U+001C to U+001F go from both ends.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

pub(crate) fn push_str(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(text),
        _ => push_repr(out, value),
    }
}

pub(crate) fn push_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => push_number(out, number),
        Value::String(text) => push_repr_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                push_repr(out, item);
            }
            out.push(']');
        }
        Value::Object(object) => push_repr_object(out, object),
    }
}

/// The `repr` of a dict, members in order.
pub(crate) fn push_repr_object(out: &mut String, object: &JsonObject) {
    out.push('{');
    for (i, (key, value)) in object.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_repr_text(out, key);
        out.push_str(": ");
        push_repr(out, value);
    }
    out.push('}');
}

fn push_number(out: &mut String, number: &Number) {
    match number.as_f64() {
        Some(float) if number.is_f64() => push_float(out, float),
        _ => push_display(out, number),
    }
}

/// The shortest digits that read back as the same float, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn push_float(out: &mut String, float: f64) {
    // Where two shortest texts are equally near, Python and `serde_json` take the even one, the standard library not.
    let Some(number) = Number::from_f64(float) else {
        return out.push_str(match float {
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            _ => "nan",
        });
    };
    let text = number.to_string();
    if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        return out.push_str(&text);
    }
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    // The exponent of the first digit that is not zero.
    let exponent = exponent.parse::<i64>().unwrap_or_default() + len(digits) - 1 - len(fraction);
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    push_display(out, format_args!("{sign}{first}{point}{rest}e{exponent:+03}"));
}

fn len(digits: &str) -> i64 {
    // Never more than some twenty digits.
    i64::try_from(digits.len()).unwrap_or_default()
}

fn push_repr_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if is_printable(c) => out.push(c),
            _ => match u32::from(c) {
                code @ ..0x100 => push_display(out, format_args!("\\x{code:02x}")),
                code @ ..0x1_0000 => push_display(out, format_args!("\\u{code:04x}")),
                code => push_display(out, format_args!("\\U{code:08x}")),
            },
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable` for one character.
fn is_printable(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    !matches!(
        get_general_category(c),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
    )
}

fn push_display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a String can not fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn floats_read_as_python_prints_them() {
        for (float, expected) in [
            (2.0, "2.0"),
            (0.1, "0.1"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (0.000_099_9, "9.99e-05"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (1e15, "1000000000000000.0"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (-0.0, "-0.0"),
            (-1.25e-5, "-1.25e-05"),
            (-1e200, "-1e+200"),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
            // Two shortest texts are equally near: the even one.
            (219_093_079_978_908.62, "219093079978908.62"),
            (1_801_514_316_094_494.2, "1801514316094494.2"),
            (-1.25e-300, "-1.25e-300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(str(&json!(float)), expected);
        }
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|float| {
            let mut out = String::new();
            push_float(&mut out, float);
            out
        });
        assert_eq!(special, ["nan", "inf", "-inf"]);
    }

    #[test]
    fn texts_are_quoted_and_escaped_as_in_python() {
        for (text, expected) in [
            ("plain", "'plain'"),
            ("it's", "\"it's\""),
            ("it's \"x\"", "'it\\'s \"x\"'"),
            ("\"", "'\"'"),
            ("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
            ("\u{0}\u{7f}\u{85}\u{a0}\u{ad}", "'\\x00\\x7f\\x85\\xa0\\xad'"),
            ("\u{200b}\u{2028}\u{3000}\u{e000}\u{feff}", "'\\u200b\\u2028\\u3000\\ue000\\ufeff'"),
            ("é€🚀\u{1f600}", "'é€🚀😀'"),
            ("\u{e0001}\u{f0000}\u{10ffff}", "'\\U000e0001\\U000f0000\\U0010ffff'"),
        ] {
            assert_eq!(repr(&json!(text)), expected);
        }
    }

    #[test]
    fn nested_values_and_integers() {
        let value =
            json!({"a": [], "b": {}, "c": [1, {"d": null}], "e": u64::MAX, "f": i64::MIN, "g": false});
        assert_eq!(
            str(&value),
            "{'a': [], 'b': {}, 'c': [1, {'d': None}], 'e': 18446744073709551615, \
             'f': -9223372036854775808, 'g': False}"
        );
    }

    #[test]
    fn strip_takes_the_information_separators_too() {
        assert_eq!(strip("\u{1c}\u{1f}\u{85}\u{3000} a\u{200b} \n\u{a0}"), "a\u{200b}");
    }
}
