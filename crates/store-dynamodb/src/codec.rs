//! JSON objects as native attributes, as Python writes them, and back.
//!
//! A member is an attribute of its own: text S, number N, bool BOOL, null NULL, list L, object M. DynamoDB keeps
//! neither the order of members nor whether a whole number was a float, nor what lies outside its numbers. Where a
//! value needs more, one attribute says so, [`BESIDE`]: 16 hex digits, and after them marks as compact JSON.
//!
//! * The digits are a checksum of the native attributes (64 bits, as FNV-1a, but of words of eight bytes). Where it does not fit, somebody else has
//!   changed the item: the attribute is ignored, and the value read plainly.
//! * A mark is `1`: this whole number is a float; `2`: so is each number of this list; `3`: this text is the JSON of
//!   the value; text: the JSON of the number, of which the attribute is as near as the service's numbers come; an
//!   object: the marks of a list's or an object's members by their position. The positions in an object are those of
//!   the *plain order*: LlamaIndex's names as they stand in its nodes, then all others by their bytes. `""` gives the
//!   members' positions in their true order, `"+"` the members that can not be attributes (they have no name, or one
//!   that the table or the store needs).
//! * It is absent where it would say nothing: Python shows it as a member of the value. Only a value that has more
//!   members than one of LlamaIndex's own small shapes has it always, so that a writer who read such an entry can tell
//!   that it has gained a member.
//! * An entry of a source document (`node_ids`, `metadata`) has it inside `metadata`: Python takes no other members.
//!
//! Deeper than 30 levels (the service takes 32), and where a member within has no name, the value is JSON text.

use std::collections::HashMap;
use std::sync::LazyLock;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use store_core::{Error, ErrorKind, JsonObject, Result, python};

use crate::decimal::{Decimal, Fit};
use crate::schema::BESIDE;
use crate::tables::Keys;

/// An item, as the driver has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The service takes no greater item, names and keys included.
pub(crate) const MAX_ITEM_BYTES: usize = 400 << 10;
/// Levels that are native; the service takes 32.
const NATIVE_LEVELS: usize = 30;
/// Levels of a value; JSON is read back up to 128.
const MAX_LEVELS: usize = 120;

const WHOLE: u64 = 1;
const FLOATS: u64 = 2;
const JSON: u64 = 3;
const ORDER: &str = "";
const EXTRA: &str = "+";

/// The greatest number of the service.
const GREATEST: &str = "9.9999999999999999999999999999999999999E+125";

/// LlamaIndex's names, in the order in which it writes them.
const KNOWN: [&str; 36] = [
    "__data__",
    "__type__",
    "doc_hash",
    "ref_doc_id",
    "node_ids",
    "node_id",
    "node_type",
    "id_",
    "embedding",
    "embeddings",
    "metadata",
    "hash",
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "relationships",
    "metadata_template",
    "metadata_separator",
    "text_resource",
    "image_resource",
    "audio_resource",
    "video_resource",
    "text",
    "path",
    "url",
    "mimetype",
    "start_char_idx",
    "end_char_idx",
    "text_template",
    "image",
    "image_path",
    "image_url",
    "image_mimetype",
    "text_embedding",
    "index_id",
    "obj",
    "class_name",
];

/// The members of LlamaIndex's small shapes.
pub(crate) const SHAPES: [&[&str]; 5] = [
    &["__data__", "__type__"],
    &["__type__", "__data__"],
    &["doc_hash"],
    &["doc_hash", "ref_doc_id"],
    &["node_ids", "metadata"],
];

/// The attributes of a value, without the table's keys. `LimitExceeded` for one that is nested too deep.
pub(crate) fn encode(value: JsonObject, keys: &Keys) -> Result<Item> {
    let reserved = |name: &str| is_reserved(name, keys);
    let shape: Vec<&str> = value.keys().map(String::as_str).collect();
    let known = SHAPES.contains(&shape.as_slice()) && !shape.iter().any(|name| reserved(name));
    if !(known && is_ref_doc(&value)) {
        let tell = !known && SHAPES.iter().any(|names| names.iter().all(|name| shape.contains(name)));
        return object(value, reserved, 1, tell);
    }
    let mut item = Item::with_capacity(2);
    for (name, member) in value {
        let attribute = match member {
            Value::Object(members) => {
                AttributeValue::M(object(members, |name| name.is_empty() || name == BESIDE, 2, false)?)
            }
            other => to_attribute(other)?,
        };
        item.insert(name, attribute);
    }
    Ok(item)
}

/// The value of an item; what the table or the store needs of it is left out.
pub(crate) fn decode(mut item: Item, keys: &Keys) -> JsonObject {
    let beside = item.remove(BESIDE);
    item.retain(|name, _| !is_reserved(name, keys));
    if beside.is_none()
        && item.len() == 2
        && item.contains_key("node_ids")
        && let Some(AttributeValue::M(metadata)) = item.get_mut("metadata")
        && let Some(beside) = metadata.remove(BESIDE)
    {
        let metadata = members(std::mem::take(metadata), Some(&beside));
        let mut value = members(item, None);
        value.insert("metadata".to_owned(), Value::Object(metadata));
        return value;
    }
    members(item, beside.as_ref())
}

/// A value as an attribute, as Python writes it.
pub(crate) fn to_attribute(value: Value) -> Result<AttributeValue> {
    marked(value, 1).map(|(attribute, _)| attribute)
}

/// An object as the attributes of a map, as Python writes it, and what that loses, if it loses something.
pub(crate) fn to_map(value: JsonObject) -> Result<Item> {
    object(value, |name| name.is_empty() || name == BESIDE, 2, false)
}

/// An object as attributes and nothing beside them: what they lose is the order of members, and whether a whole number
/// was a float. `InvalidInput` for what would lose more: numbers that the service can not hold, deep nesting, members
/// without a name.
pub(crate) fn to_attributes(value: JsonObject) -> Result<Item> {
    let mut item = Item::with_capacity(value.len());
    for (name, member) in value {
        let (attribute, mark) = marked(member, 1)?;
        if mark.as_ref().is_some_and(|mark| !harmless(mark)) {
            return Err(Error::invalid_input(format!(
                "the field {name:?} can not be kept as it is: it has a number beyond those of the service, a member                  without a name, or more than {NATIVE_LEVELS} levels"
            )));
        }
        item.insert(name, attribute);
    }
    Ok(item)
}

/// Whether a mark says no more than order, which numbers are floats, and a zero's sign.
fn harmless(mark: &Value) -> bool {
    match mark {
        Value::Number(mark) => mark.as_u64() != Some(JSON),
        Value::String(exact) => exact.parse() == Ok(0.0),
        Value::Object(marks) => marks.values().all(harmless),
        // The order of members.
        Value::Array(_) => true,
        _ => false,
    }
}

/// The object of [`to_map`], or of a map that Python wrote.
pub(crate) fn from_map(mut map: Item) -> JsonObject {
    let beside = map.remove(BESIDE);
    members(map, beside.as_ref())
}

/// Whether what stands beside a value says more of it than order and which numbers are floats, so that no part of it
/// can be read alone.
pub(crate) fn hides_values(beside: &AttributeValue) -> bool {
    fn plain(mark: &Value) -> bool {
        match mark {
            Value::Number(mark) => mark.as_u64() != Some(JSON),
            Value::Object(marks) => marks.values().all(plain),
            // The order of members.
            Value::Array(_) => true,
            _ => false,
        }
    }
    let marks = beside.as_s().ok().and_then(|beside| beside.get(16..));
    marks.is_some_and(|marks| {
        !marks.is_empty() && !serde_json::from_str::<Value>(marks).is_ok_and(|marks| plain(&marks))
    })
}

/// The bytes of an item by the service's rule: names and texts in UTF-8, a number some half a byte a digit, a list or
/// an object three and one for each member.
pub(crate) fn item_size(item: &Item) -> usize {
    item.iter().map(|(name, attribute)| name.len() + size(attribute)).sum()
}

/// The bytes of an item; one that is too large is refused, with key, size, limit and its largest attribute.
pub(crate) fn check_size(key: &str, item: &Item) -> Result<usize> {
    let total = item_size(item);
    if total <= MAX_ITEM_BYTES { Ok(total) } else { Err(too_large(key, item, total, MAX_ITEM_BYTES)) }
}

/// The error of an item of so many bytes.
pub(crate) fn too_large(key: &str, item: &Item, total: usize, limit: usize) -> Error {
    let sizes = item.iter().map(|(name, attribute)| (size(attribute), name));
    let (largest, name) = sizes.max().map_or((0, ""), |(size, name)| (size, name.as_str()));
    let message = format!(
        "the value takes {total} bytes with its key, the limit is {limit} bytes; the largest field is {name:?} with \
         {largest} bytes; nothing was written"
    );
    Error::new(ErrorKind::LimitExceeded, message).with_key(key).with_failed([key])
}

/// Whether a member can not be an attribute of that name.
pub(crate) fn is_reserved(name: &str, keys: &Keys) -> bool {
    name.is_empty() || name == keys.partition || name == keys.sort || name.starts_with(BESIDE)
}

fn is_ref_doc(value: &JsonObject) -> bool {
    let texts = |ids: &Value| ids.as_array().is_some_and(|ids| ids.iter().all(Value::is_string));
    value.get("node_ids").is_some_and(texts) && value.get("metadata").is_some_and(Value::is_object)
}

/// The attributes of an object and, with them, what they lose of it. `tell` says that this is written even if nothing
/// is lost.
fn object(value: JsonObject, reserved: impl Fn(&str) -> bool, level: usize, tell: bool) -> Result<Item> {
    let (positions, mut marks) = positions(&value);
    let mut item = Item::with_capacity(value.len() + 3);
    let mut extra = JsonObject::new();
    for ((name, member), position) in value.into_iter().zip(positions) {
        if reserved(&name) {
            shallow(&member, level + 1)?;
            extra.insert(name, member);
            continue;
        }
        let (attribute, mark) = marked(member, level)?;
        item.insert(name, attribute);
        marks.extend(mark.map(|mark| (position.to_string(), mark)));
    }
    if !extra.is_empty() {
        marks.insert(EXTRA.to_owned(), Value::Object(extra));
    }
    if tell || !marks.is_empty() {
        let marks = if marks.is_empty() { String::new() } else { Value::Object(marks).to_string() };
        let beside = format!("{:016x}{marks}", checksum(&item));
        item.insert(BESIDE.to_owned(), AttributeValue::S(beside));
    }
    Ok(item)
}

/// Brings members into the order in which they are read where nothing says otherwise.
pub(crate) fn in_plain_order(value: JsonObject) -> JsonObject {
    let mut members: Vec<(usize, String, Value)> =
        value.into_iter().map(|(name, member)| (rank(&name), name, member)).collect();
    members.sort_unstable_by(|(one, a, _), (other, b, _)| (one, a).cmp(&(other, b)));
    members.into_iter().map(|(_, name, member)| (name, member)).collect()
}

/// The position of each member in the plain order, and the mark of their own order where it is another.
fn positions(value: &JsonObject) -> (Vec<usize>, Map<String, Value>) {
    if value.keys().map(|name| (rank(name), name)).is_sorted() {
        return ((0..value.len()).collect(), Map::new());
    }
    let names = value.keys().enumerate();
    let mut sorted: Vec<(usize, &str, usize)> =
        names.map(|(place, name)| (rank(name), name.as_str(), place)).collect();
    sorted.sort_unstable();
    let mut positions = vec![0; sorted.len()];
    for (position, (_, _, place)) in sorted.iter().enumerate() {
        if let Some(slot) = positions.get_mut(*place) {
            *slot = position;
        }
    }
    let mut marks = Map::new();
    if !positions.is_sorted() {
        let order = positions.iter().map(|position| Value::from(*position)).collect();
        marks.insert(ORDER.to_owned(), Value::Array(order));
    }
    (positions, marks)
}

/// The known names of each length, with their places: so that most names are told apart at once.
static RANKS: LazyLock<Vec<Vec<(&str, usize)>>> = LazyLock::new(|| {
    let longest = KNOWN.iter().map(|name| name.len()).max().unwrap_or_default();
    let of_length = |length: usize| KNOWN.iter().enumerate().filter(move |(_, name)| name.len() == length);
    (0..=longest).map(|length| of_length(length).map(|(rank, name)| (*name, rank)).collect()).collect()
});

/// Where a name stands in the plain order; of two with the same rank the bytes tell.
fn rank(name: &str) -> usize {
    let mut of_length = RANKS.get(name.len()).into_iter().flatten();
    of_length.find(|(known, _)| *known == name).map_or(KNOWN.len(), |(_, rank)| *rank)
}

/// A value as an attribute, and what that loses.
fn marked(value: Value, level: usize) -> Result<(AttributeValue, Option<Value>)> {
    Ok(match value {
        Value::Null => (AttributeValue::Null(true), None),
        Value::Bool(value) => (AttributeValue::Bool(value), None),
        Value::String(text) => (AttributeValue::S(text), None),
        Value::Number(number) => number_of(&number),
        Value::Array(_) if level > NATIVE_LEVELS => as_json(&value, level)?,
        Value::Object(ref members) if level > NATIVE_LEVELS || members.contains_key("") => {
            as_json(&value, level)?
        }
        Value::Array(items) => {
            let integers = items.iter().any(|item| item.is_i64() || item.is_u64());
            let mut list = Vec::with_capacity(items.len());
            let mut marks = Map::new();
            for (position, item) in items.into_iter().enumerate() {
                let (attribute, mark) = marked(item, level + 1)?;
                list.push(attribute);
                marks.extend(mark.map(|mark| (position.to_string(), mark)));
            }
            let floats = !integers && marks.values().all(|mark| mark == WHOLE);
            let mark = match marks.is_empty() {
                true => None,
                false if floats => Some(FLOATS.into()),
                false => Some(Value::Object(marks)),
            };
            (AttributeValue::L(list), mark)
        }
        Value::Object(members) => {
            let (positions, mut marks) = positions(&members);
            let mut map = Item::with_capacity(members.len());
            for ((name, member), position) in members.into_iter().zip(positions) {
                let (attribute, mark) = marked(member, level + 1)?;
                map.insert(name, attribute);
                marks.extend(mark.map(|mark| (position.to_string(), mark)));
            }
            (AttributeValue::M(map), (!marks.is_empty()).then_some(Value::Object(marks)))
        }
    })
}

fn number_of(number: &Number) -> (AttributeValue, Option<Value>) {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return (AttributeValue::N(number.to_string()), None);
    };
    let text = python::repr(&Value::from(float));
    let fit = Decimal::parse(&text).map_or(Fit::Exact, |decimal| decimal.fit());
    let exact = || Some(Value::String(number.to_string()));
    match fit {
        Fit::Exact if float == 0.0 && float.is_sign_negative() => {
            (AttributeValue::N("0".to_owned()), exact())
        }
        Fit::Exact => (AttributeValue::N(text), (float.fract() == 0.0).then(|| WHOLE.into())),
        Fit::TooSmall => (AttributeValue::N("0".to_owned()), exact()),
        Fit::TooGreat => {
            let sign = if float < 0.0 { "-" } else { "" };
            (AttributeValue::N(format!("{sign}{GREATEST}")), exact())
        }
    }
}

fn as_json(value: &Value, level: usize) -> Result<(AttributeValue, Option<Value>)> {
    shallow(value, level)?;
    Ok((AttributeValue::S(value.to_string()), Some(JSON.into())))
}

/// Refuses a value that could not be read back.
fn shallow(value: &Value, level: usize) -> Result<()> {
    if level > MAX_LEVELS {
        let message =
            format!("the value is nested more than {MAX_LEVELS} levels deep, the limit of the store");
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| shallow(item, level + 1)),
        Value::Object(members) => members.values().try_for_each(|member| shallow(member, level + 1)),
        _ => Ok(()),
    }
}

/// The members of an object whose attributes these are, by what stands beside them if it fits them.
fn members(item: Item, beside: Option<&AttributeValue>) -> JsonObject {
    let marks = beside.and_then(|beside| beside.as_s().ok()).and_then(|beside| {
        let (digits, marks) = beside.split_at_checked(16).filter(|(_, marks)| !marks.is_empty())?;
        let fits = u64::from_str_radix(digits, 16).ok()? == checksum(&item);
        serde_json::from_str::<Map<String, Value>>(marks).ok().filter(|_| fits)
    });
    map(item, marks.as_ref())
}

fn map(item: Item, marks: Option<&Map<String, Value>>) -> JsonObject {
    let extra = marks.and_then(|marks| marks.get(EXTRA)).and_then(Value::as_object);
    let mut names: Vec<(usize, String, Option<AttributeValue>)> = Vec::with_capacity(item.len());
    names.extend(item.into_iter().map(|(name, attribute)| (rank(&name), name, Some(attribute))));
    names.extend(
        extra.into_iter().flat_map(|extra| extra.keys().map(|name| (rank(name), name.clone(), None))),
    );
    names.sort_unstable_by(|(one, a, _), (other, b, _)| (one, a).cmp(&(other, b)));
    let marked = by_position(marks, names.len());
    let values = names.into_iter().enumerate().map(|(position, (_, name, attribute))| {
        let value = match attribute {
            Some(attribute) => unmarked(attribute, marked.get(position).copied().flatten()),
            None => extra.and_then(|extra| extra.get(&name)).cloned().unwrap_or_default(),
        };
        (name, value)
    });
    let order = marks.and_then(|marks| marks.get(ORDER)).and_then(Value::as_array);
    let Some(order) = order else { return values.collect() };
    let mut values: Vec<Option<(String, Value)>> = values.map(Some).collect();
    let mut object = JsonObject::with_capacity(values.len());
    for position in order {
        let position = position.as_u64().and_then(|position| usize::try_from(position).ok());
        object.extend(position.and_then(|position| values.get_mut(position)?.take()));
    }
    object.extend(values.into_iter().flatten());
    object
}

/// The marks of members or items at their positions; none at all where there are no marks.
fn by_position(marks: Option<&Map<String, Value>>, count: usize) -> Vec<Option<&Value>> {
    let Some(marks) = marks.filter(|marks| !marks.is_empty()) else { return Vec::new() };
    let mut found = vec![None; count];
    for (position, mark) in marks {
        if let Some(slot) = position.parse::<usize>().ok().and_then(|position| found.get_mut(position)) {
            *slot = Some(mark);
        }
    }
    found
}

fn unmarked(attribute: AttributeValue, mark: Option<&Value>) -> Value {
    let number = mark.and_then(Value::as_u64);
    match attribute {
        AttributeValue::N(text) => match mark {
            Some(Value::String(exact)) => {
                serde_json::from_str::<Number>(exact).map_or_else(|_| plain(&text), Value::Number)
            }
            _ if number == Some(WHOLE) => float(&text),
            _ => plain(&text),
        },
        AttributeValue::S(text) if number == Some(JSON) => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::L(items) if number == Some(FLOATS) => {
            let whole = Value::from(WHOLE);
            items.into_iter().map(|item| unmarked(item, Some(&whole))).collect()
        }
        AttributeValue::L(items) => {
            let marked = by_position(mark.and_then(Value::as_object), items.len());
            let items = items.into_iter().enumerate();
            items.map(|(position, item)| unmarked(item, marked.get(position).copied().flatten())).collect()
        }
        AttributeValue::M(members) => Value::Object(map(members, mark.and_then(Value::as_object))),
        AttributeValue::B(bytes) => STANDARD.encode(bytes).into(),
        AttributeValue::Ss(texts) => sorted(texts).into(),
        AttributeValue::Ns(numbers) => sorted(numbers).iter().map(|number| plain(number)).collect(),
        AttributeValue::Bs(all) => {
            sorted(all.into_iter().map(|bytes| STANDARD.encode(bytes)).collect()).into()
        }
        _ => Value::Null,
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

/// A number as Python reads it: a whole one is an integer.
fn plain(text: &str) -> Value {
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    match Decimal::parse(text) {
        Some(decimal) if decimal.is_integer() => {
            let integer = decimal.integer().unwrap_or_default();
            let small = integer.parse::<i64>().map(Value::from);
            small.or_else(|_| integer.parse::<u64>().map(Value::from)).unwrap_or_else(|_| {
                tracing::warn!("an integer beyond 64 bits was read as a float");
                float(text)
            })
        }
        _ => float(text),
    }
}

fn float(text: &str) -> Value {
    text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

fn size(attribute: &AttributeValue) -> usize {
    match attribute {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(text) => number_size(text),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::L(items) => 3 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        AttributeValue::M(members) => {
            3 + members.iter().map(|(name, member)| 1 + name.len() + size(member)).sum::<usize>()
        }
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_size(number)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        _ => 1,
    }
}

fn number_size(text: &str) -> usize {
    Decimal::parse(text).map_or(text.len(), |decimal| decimal.size())
}

/// The checksum of attributes: one for one content, however the service orders them or writes their numbers.
pub(crate) fn checksum(item: &Item) -> u64 {
    let mut sum = Fnv(0xcbf2_9ce4_8422_2325);
    sum.map(item);
    sum.0
}

struct Fnv(u64);

impl Fnv {
    /// Whatever the state and the word, each other word gives another state.
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
        self.0 ^= self.0 >> 32;
    }

    fn kind(&mut self, kind: u8) {
        self.word(kind.into());
    }

    fn text(&mut self, kind: u8, text: &str) {
        self.kind(kind);
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        // 0xff, no byte of UTF-8, ends the text.
        self.word(rest.iter().rev().fold(0xff, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn map(&mut self, item: &Item) {
        let mut members: Vec<(&String, &AttributeValue)> = item.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        self.kind(b'M');
        for (name, member) in members {
            self.text(b'K', name);
            self.attribute(member);
        }
        self.kind(b'E');
    }

    fn attribute(&mut self, attribute: &AttributeValue) {
        match attribute {
            AttributeValue::S(text) => self.text(b'S', text),
            AttributeValue::N(text) => match Decimal::parse(text) {
                Some(decimal) => {
                    self.text(if decimal.negative { b'n' } else { b'N' }, &decimal.digits);
                    self.word(decimal.point.cast_unsigned());
                }
                None => self.text(b'N', text),
            },
            AttributeValue::Bool(value) => self.kind(if *value { b'T' } else { b'F' }),
            AttributeValue::L(items) => {
                self.kind(b'L');
                for item in items {
                    self.attribute(item);
                }
                self.kind(b'E');
            }
            AttributeValue::M(members) => self.map(members),
            AttributeValue::Null(_) => self.kind(b'0'),
            // Never written by us beside a checksum.
            _ => self.kind(b'?'),
        }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
