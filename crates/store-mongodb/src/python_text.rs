//! Stored values as the text that Python gives them: `str(value)` of what pymongo reads. Ids of documents and texts
//! made of fields are the same in both languages this way.

use std::fmt::Write as _;

use bson::DateTime;
use bson::raw::{RawArray, RawBinaryRef, RawBsonRef, RawDocument, RawRegexRef};
use bson::spec::BinarySubtype;
use serde_json::{Number, Value};
use store_core::{Result, python};

use crate::codec::{check_depth, damaged};

/// Python's `str(value)`.
pub(crate) fn python_str(value: RawBsonRef<'_>) -> Result<String> {
    let mut out = String::new();
    push_str(&mut out, value)?;
    Ok(out)
}

/// Appends Python's `str(value)`.
pub(crate) fn push_str(out: &mut String, value: RawBsonRef<'_>) -> Result<()> {
    match value {
        RawBsonRef::String(text) | RawBsonRef::JavaScriptCode(text) | RawBsonRef::Symbol(text) => {
            out.push_str(text);
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => out.push_str(code.code),
        RawBsonRef::ObjectId(id) => out.push_str(&id.to_hex()),
        RawBsonRef::DateTime(date) => push_date(out, date),
        RawBsonRef::Decimal128(decimal) => out.push_str(&decimal.to_string()),
        RawBsonRef::Binary(binary) => push_bytes(out, binary.bytes),
        other => {
            check_depth(other)?;
            push_repr(out, other)?;
        }
    }
    Ok(())
}

/// Appends Python's `repr(value)`.
fn push_repr(out: &mut String, value: RawBsonRef<'_>) -> Result<()> {
    match value {
        RawBsonRef::Double(value) => push_float(out, value),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => push_text(out, text),
        RawBsonRef::Array(items) => push_list(out, items)?,
        RawBsonRef::Document(document) => push_document(out, document)?,
        RawBsonRef::Boolean(true) => out.push_str("True"),
        RawBsonRef::Boolean(false) => out.push_str("False"),
        RawBsonRef::Null | RawBsonRef::Undefined => out.push_str("None"),
        RawBsonRef::Int32(value) => push(out, value),
        RawBsonRef::Int64(value) => push(out, value),
        RawBsonRef::ObjectId(id) => push(out, format_args!("ObjectId('{}')", id.to_hex())),
        RawBsonRef::DateTime(date) => push_date_repr(out, date),
        RawBsonRef::Decimal128(decimal) => push(out, format_args!("Decimal128('{decimal}')")),
        RawBsonRef::Binary(binary) => push_binary_repr(out, binary),
        RawBsonRef::RegularExpression(regex) => push_regex(out, regex),
        RawBsonRef::JavaScriptCode(code) => {
            out.push_str("Code(");
            push_text(out, code);
            out.push_str(", None)");
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            out.push_str("Code(");
            push_text(out, code.code);
            out.push_str(", ");
            push_document(out, code.scope)?;
            out.push(')');
        }
        RawBsonRef::Timestamp(stamp) => {
            push(out, format_args!("Timestamp({}, {})", stamp.time, stamp.increment));
        }
        RawBsonRef::MinKey => out.push_str("MinKey()"),
        RawBsonRef::MaxKey => out.push_str("MaxKey()"),
        // No server of today writes one, and the crate keeps its parts to itself.
        RawBsonRef::DbPointer(pointer) => push(out, format_args!("{pointer:?}")),
    }
    Ok(())
}

fn push(out: &mut String, what: impl std::fmt::Display) {
    // Writing into a String can not fail.
    let _ = write!(out, "{what}");
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&python::repr(&Value::from(text)));
}

fn push_float(out: &mut String, value: f64) {
    match Number::from_f64(value) {
        Some(number) => out.push_str(&python::repr(&Value::Number(number))),
        None if value.is_nan() => out.push_str("nan"),
        None => out.push_str(if value > 0.0 { "inf" } else { "-inf" }),
    }
}

fn push_list(out: &mut String, items: &RawArray) -> Result<()> {
    out.push('[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        push_repr(out, item.map_err(damaged)?)?;
    }
    out.push(']');
    Ok(())
}

fn push_document(out: &mut String, document: &RawDocument) -> Result<()> {
    // pymongo reads a reference into a type of its own.
    if let (Ok(Some(collection)), Ok(Some(id))) = (document.get("$ref"), document.get("$id")) {
        out.push_str("DBRef(");
        push_repr(out, collection)?;
        out.push_str(", ");
        push_repr(out, id)?;
        if let Ok(Some(database)) = document.get("$db") {
            out.push_str(", ");
            push_repr(out, database)?;
        }
        out.push(')');
        return Ok(());
    }
    out.push('{');
    for (i, member) in document.into_iter().enumerate() {
        let (name, value) = member.map_err(damaged)?;
        if i > 0 {
            out.push_str(", ");
        }
        push_text(out, name.as_str());
        out.push_str(": ");
        push_repr(out, value)?;
    }
    out.push('}');
    Ok(())
}

/// `2024-05-01 12:00:00`, with six digits of a second where there are any.
fn push_date(out: &mut String, date: DateTime) {
    let Some([year, month, day, hour, minute, second, micro]) = date_parts(date) else {
        return push(out, date.timestamp_millis());
    };
    push(out, format_args!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"));
    if micro > 0 {
        push(out, format_args!(".{micro:06}"));
    }
}

/// `datetime.datetime(2024, 5, 1, 12, 0)`: seconds and microseconds only where they are not zero.
fn push_date_repr(out: &mut String, date: DateTime) {
    let Some([year, month, day, hour, minute, second, micro]) = date_parts(date) else {
        return push(out, date.timestamp_millis());
    };
    push(out, format_args!("datetime.datetime({year}, {month}, {day}, {hour}, {minute}"));
    if second > 0 || micro > 0 {
        push(out, format_args!(", {second}"));
    }
    if micro > 0 {
        push(out, format_args!(", {micro}"));
    }
    out.push(')');
}

/// Year, month, day, hour, minute, second, microsecond in UTC; `None` outside the years 1 to 9999, which Python's
/// dates do not have.
fn date_parts(date: DateTime) -> Option<[u32; 7]> {
    let text = date.try_to_rfc3339_string().ok()?;
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.').unwrap_or((text.strip_suffix('Z')?, ""));
    let mut parts = [0; 7];
    for (part, digits) in parts.iter_mut().zip(whole.split(['-', 'T', ':'])) {
        *part = digits.parse().ok()?;
    }
    parts[6] = format!("{fraction:0<6}").parse().ok()?;
    (parts[0] > 0).then_some(parts)
}

/// `b'…'` as Python escapes bytes.
fn push_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    out.push('b');
    out.push(char::from(quote));
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if byte == quote => push(out, format_args!("\\{}", char::from(byte))),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => push(out, format_args!("\\x{byte:02x}")),
        }
    }
    out.push(char::from(quote));
}

fn push_binary_repr(out: &mut String, binary: RawBinaryRef<'_>) {
    if binary.subtype == BinarySubtype::Generic {
        return push_bytes(out, binary.bytes);
    }
    out.push_str("Binary(");
    push_bytes(out, binary.bytes);
    push(out, format_args!(", {})", u8::from(binary.subtype)));
}

/// `Regex('pattern', flags)` with the flags of Python's `re`.
fn push_regex(out: &mut String, regex: RawRegexRef<'_>) {
    let flags = regex.options.as_str().chars().map(|option| match option {
        'i' => 2,
        'l' => 4,
        'm' => 8,
        's' => 16,
        'u' => 32,
        'x' => 64,
        _ => 0_u32,
    });
    let flags: u32 = flags.sum();
    out.push_str("Regex(");
    push_text(out, regex.pattern.as_str());
    push(out, format_args!(", {flags})"));
}
