//! A row, which is an object of fields, as a document.

use nodestore::{Document, JsonObject, Node};
use serde_json::Value;

use super::{Origin, add_metadata};

/// Fields that hold the text unless `--text-field` names others; the first that a row has.
pub(crate) const TEXT_FIELDS: [&str; 4] = ["text", "content", "body", "page_content"];
/// Longest text, in characters, that is metadata without being asked for: each chunk repeats the metadata.
pub(crate) const MOST_CHARACTERS: usize = 1000;

/// What the fields of rows mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowOptions {
    /// The fields with the text, in this order; empty: one of [`TEXT_FIELDS`], or else all fields.
    pub(crate) text: Vec<String>,
    /// The field with the row's own id; `None`: the number of the row.
    pub(crate) id: Option<String>,
    /// The fields for metadata; `None`: all others that are no lists or objects.
    pub(crate) metadata: Option<Vec<String>>,
}

/// Whether the fields are all text, because the file knows no types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    /// Each value has its own.
    Own,
    /// Text that looks like a number or a truth value is one in the metadata.
    FromText,
}

impl RowOptions {
    /// Refuses names that are no column; `Err` says which.
    pub(super) fn check_columns(&self, columns: &[String]) -> Result<(), String> {
        let asked = self.text.iter().chain(&self.id).chain(self.metadata.iter().flatten());
        match asked.into_iter().find(|name| !columns.contains(name)) {
            Some(name) => Err(no_field(name, "column", columns.iter())),
            None => Ok(()),
        }
    }

    /// The document of a row; `number` is its id where no field is. `Err` says what is missing.
    pub(super) fn document(
        &self,
        origin: &Origin,
        number: Option<u64>,
        mut row: JsonObject,
        types: Types,
    ) -> Result<Document, String> {
        let id = match (&self.id, number) {
            (Some(field), _) => format!("{}#{}", origin.id, row_id(field, &row)?),
            (None, Some(number)) => format!("{}#{number}", origin.id),
            (None, None) => origin.id.clone(),
        };
        let mut used: Vec<String> = self.text.clone();
        if used.is_empty() {
            let known = TEXT_FIELDS.iter().find(|name| row.get(**name).is_some_and(Value::is_string));
            used.extend(known.map(|name| (*name).to_owned()));
        }
        let whole = used.is_empty();
        let text = if whole { lines(&row) } else { joined(&used, &row)? };
        let mut node = origin.document(&id, text);
        row.retain(|name, value| match &self.metadata {
            Some(names) => names.contains(name) && !value.is_null(),
            None => !used.contains(name) && is_short(value),
        });
        if types == Types::FromText {
            row.iter_mut().for_each(|(_, value)| *value = typed(value.take()));
            row.retain(|_, value| value != "");
        }
        let names: Vec<String> = row.keys().cloned().collect();
        add_metadata(&mut node, row);
        if whole {
            exclude(&mut node, names);
        }
        Document::try_from(node).map_err(|error| error.message().to_owned())
    }
}

/// The text holds these already.
fn exclude(node: &mut Node, names: Vec<String>) {
    for name in names {
        for excluded in [&mut node.excluded_embed_metadata_keys, &mut node.excluded_llm_metadata_keys] {
            if !excluded.contains(&name) {
                excluded.push(name.clone());
            }
        }
    }
}

fn row_id(field: &str, row: &JsonObject) -> Result<String, String> {
    match row.get(field) {
        Some(Value::String(id)) if !id.is_empty() => Ok(id.clone()),
        Some(Value::Number(id)) => Ok(id.to_string()),
        Some(Value::Null | Value::String(_)) => Err(format!("the field {field:?} of --id-field is empty")),
        Some(_) => Err(format!("the field {field:?} of --id-field holds neither text nor a number")),
        None => Err(format!("{} (--id-field)", no_field(field, "field", row.keys()))),
    }
}

fn no_field<'a>(name: &str, what: &str, known: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 12;
    let known: Vec<&str> = known.map(String::as_str).collect();
    let shown = known.get(..SHOWN).unwrap_or(&known).join(", ");
    let more = if known.len() > SHOWN { ", …" } else { "" };
    format!("there is no {what} {name:?}; there are: {shown}{more}")
}

fn joined(fields: &[String], row: &JsonObject) -> Result<String, String> {
    let mut texts = Vec::new();
    for field in fields {
        match row.get(field) {
            Some(value) => texts.push(plain(value)),
            None => return Err(format!("{} (--text-field)", no_field(field, "field", row.keys()))),
        }
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts.join("\n\n"))
}

/// `key: value` for each field that holds something.
fn lines(row: &JsonObject) -> String {
    let lines = row.iter().map(|(name, value)| (name, plain(value)));
    let lines = lines.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => false,
        Value::String(text) => text.chars().nth(MOST_CHARACTERS).is_none(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The number or truth value that a text is. Leading zeros and signs stay, as in numbers of telephones and houses.
fn typed(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let mut bytes = digits.bytes();
    let is_number = match (bytes.next(), bytes.next()) {
        (Some(b'0'), after) => after.is_none_or(|byte| byte == b'.'),
        (Some(b'1'..=b'9'), _) => true,
        _ => false,
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !digits.ends_with('.');
    // So many digits are exact in a float.
    if !is_number || !is_plain || text == "-0" {
        return value;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    match text.parse::<f64>() {
        Ok(number) if digits.contains('.') && digits.len() <= 16 => Value::from(number),
        _ => value,
    }
}
