//! Front matter: YAML between lines of `---`, TOML between lines of `+++`, at the start of Markdown.

use nodestore::JsonObject;
use serde_json::Value;

/// Front matter and where the text behind it begins.
struct FrontMatter<'a> {
    is_toml: bool,
    inside: &'a str,
    end: usize,
}

fn find(text: &str) -> Option<FrontMatter<'_>> {
    let mut lines = text.split_inclusive('\n');
    let first = lines.next()?;
    let fence = first.trim_end();
    if fence != "---" && fence != "+++" {
        return None;
    }
    let mut end = first.len();
    for line in lines {
        let start = end;
        end += line.len();
        let line = line.trim_end();
        if line == fence || (fence == "---" && line == "...") {
            return Some(FrontMatter { is_toml: fence == "+++", inside: text.get(first.len()..start)?, end });
        }
    }
    None
}

/// The text behind the front matter; all of it when there is none that can be read.
pub(crate) fn body(text: &str) -> &str {
    match find(text) {
        Some(found) if parse(&found).is_ok_and(|values| values.is_some()) => {
            text.get(found.end..).unwrap_or_default()
        }
        _ => text,
    }
}

/// The values of the front matter; empty when there is none. `Err` says why it can not be read.
pub(super) fn read(text: &str) -> Result<JsonObject, String> {
    find(text).map_or(Ok(None), |found| parse(&found)).map(Option::unwrap_or_default)
}

/// `None` for what is no mapping: text between two rules.
fn parse(found: &FrontMatter<'_>) -> Result<Option<JsonObject>, String> {
    let value = if found.is_toml {
        let table: toml::Table = found.inside.parse().map_err(|error: toml::de::Error| {
            let place = error.span().map_or(0, |span| span.start);
            // The fence is line 1.
            let line = found.inside.get(..place).unwrap_or_default().matches('\n').count() + 2;
            not_read("TOML", line, error.message())
        })?;
        from_toml(toml::Value::Table(table))
    } else {
        let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        serde_saphyr::from_str_with_options(found.inside, options).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line()) + 1;
            not_read("YAML", usize::try_from(line).unwrap_or(usize::MAX), &error.to_string())
        })?
    };
    match value {
        Value::Object(values) => Ok(Some(values.into_iter().filter(|(_, value)| !value.is_null()).collect())),
        Value::Null => Ok(Some(JsonObject::new())),
        _ => Ok(None),
    }
}

fn not_read(kind: &str, line: usize, why: &str) -> String {
    // The parser counts from behind the fence; the line said here is the file's.
    let why = why.lines().next().and_then(|line| line.split(" at line ").next()).unwrap_or_default();
    format!("the front matter is no {kind} (line {line}: {why}); it was read as text")
}

/// Dates become text.
fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::from(flag),
        toml::Value::Datetime(date) => Value::from(date.to_string()),
        toml::Value::Array(values) => values.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
        }
    }
}
