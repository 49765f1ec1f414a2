//! Stored values that JSON has no type for, as text.

use bson::raw::{RawBinaryRef, RawBsonRef};
use bson::spec::BinarySubtype;

/// The text of a UUID, `None` for other bytes.
pub(crate) fn uuid_text(binary: RawBinaryRef<'_>) -> Option<String> {
    let bytes: [u8; 16] = binary.bytes.try_into().ok().filter(|_| binary.subtype == BinarySubtype::Uuid)?;
    Some(bson::Uuid::from_bytes(bytes).to_string())
}

/// A regular expression is `/pattern/options`, a timestamp `seconds:increment`, code its text, the least and the
/// greatest key their names.
pub(crate) fn plain_text(value: RawBsonRef<'_>) -> String {
    match value {
        RawBsonRef::RegularExpression(regex) => {
            format!("/{}/{}", regex.pattern.as_str(), regex.options.as_str())
        }
        RawBsonRef::JavaScriptCodeWithScope(code) => code.code.to_owned(),
        RawBsonRef::Timestamp(stamp) => format!("{}:{}", stamp.time, stamp.increment),
        RawBsonRef::MinKey => "MinKey".to_owned(),
        RawBsonRef::MaxKey => "MaxKey".to_owned(),
        other => format!("{other:?}"),
    }
}
