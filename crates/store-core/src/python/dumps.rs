//! `json.dumps`: Python's spacing, escapes and floats, streamed from anything serde can write.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::text::push_float;
use crate::{Error, Result};

/// `json.dumps(value)`: `", "` and `": "`, everything outside ASCII escaped as `\uXXXX` (pairs above U+FFFF).
///
/// Floats that are not finite can not occur in a [`Value`].
///
/// ```
/// use serde_json::json;
/// use store_core::python;
/// assert_eq!(python::python_json(&json!({"a": "é", "b": [1, 1e16]})), r#"{"a": "\u00e9", "b": [1, 1e+16]}"#);
/// ```
#[must_use]
pub fn python_json(value: &Value) -> String {
    // Only a failing Serialize of a foreign type or a key that is no text is an error, and a Value has neither.
    dumps(value).unwrap_or_default()
}

/// `json.dumps(value, ensure_ascii=False)`: as [`python_json`], but characters outside ASCII stay.
#[must_use]
pub fn python_json_utf8(value: &Value) -> String {
    dumps_utf8(value).unwrap_or_default()
}

/// [`python_json`] of anything serde can write, without a tree in between. Floats that are not finite become `null`.
///
/// # Errors
/// `InvalidInput` when the value's own `Serialize` fails or a map has keys that are no text.
pub fn dumps<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    write(value, true)
}

/// [`python_json_utf8`] of anything serde can write.
///
/// # Errors
/// As [`dumps`].
pub fn dumps_utf8<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    write(value, false)
}

fn write<T: Serialize + ?Sized>(value: &T, ascii: bool) -> Result<String> {
    let mut out = Vec::with_capacity(128);
    let failed =
        |reason: String| Error::invalid_input(format!("the value can not be written as JSON: {reason}"));
    value
        .serialize(&mut Serializer::with_formatter(&mut out, PythonFormatter { ascii }))
        .map_err(|error| failed(error.to_string()).with_source(error))?;
    String::from_utf8(out).map_err(|error| failed(error.to_string()))
}

struct PythonFormatter {
    ascii: bool,
}

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = String::with_capacity(24);
        push_float(&mut text, value);
        writer.write_all(text.as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if !self.ascii || text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return CompactFormatter.write_string_fragment(writer, text);
        }
        let mut units = [0; 2];
        for c in text.chars() {
            match u8::try_from(c) {
                Ok(byte @ b' '..=b'~') => writer.write_all(&[byte])?,
                _ => {
                    for unit in c.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn writes_what_json_dumps_writes() {
        let value = json!({
            "s": "ä\u{7f}\u{0}\u{1f}\u{8}\u{c}\n\r\t\"\\/\u{2028}🚀", "n": [0, -1, 2.0, 1e-7, -0.0, 1e22],
            "k": {}, "l": [], "b": [true, false, null], "ключ": 1
        });
        assert_eq!(
            python_json(&value),
            concat!(
                r#"{"s": "\u00e4\u007f\u0000\u001f\b\f\n\r\t\"\\/\u2028\ud83d\ude80", "#,
                r#""n": [0, -1, 2.0, 1e-07, -0.0, 1e+22], "k": {}, "l": [], "b": [true, false, null], "#,
                r#""\u043a\u043b\u044e\u0447": 1}"#
            )
        );
        assert_eq!(
            python_json_utf8(&json!({"ä": "\u{7f}\u{1}🚀", "x": [1]})),
            "{\"ä\": \"\u{7f}\\u0001🚀\", \"x\": [1]}"
        );
    }
}
