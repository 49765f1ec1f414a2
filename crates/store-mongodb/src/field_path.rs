//! Paths to members of stored documents: `author.name`, through lists (`authors.name`) and into them (`tags.0`).

use bson::raw::{RawBsonRef, RawDocument};
use serde_json::Value;
use store_core::{Error, Result};

use crate::codec::{damaged, to_value};
use crate::python_text::push_str;

/// Refuses a path that the server would take for something else than names of members.
pub(crate) fn check(what: &str, path: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid_input(format!("the {what} {path:?} {why}")));
    if path.split('.').any(str::is_empty) {
        return refuse("has an empty part; it is names joined by single dots");
    }
    if path.split('.').any(|part| part.starts_with('$')) {
        return refuse("has a part that begins with $, which MongoDB takes for an operator");
    }
    if path.contains('\0') {
        return refuse("has a NUL character in it, which MongoDB can not hold in a name");
    }
    Ok(())
}

/// What has to be read to look up the path: a projection knows no places in lists.
pub(crate) fn projected(path: &str) -> &str {
    let mut end = 0;
    for part in path.split('.') {
        if end > 0 && is_index(part) {
            break;
        }
        end += part.len() + usize::from(end > 0);
    }
    path.get(..end).unwrap_or(path)
}

fn is_index(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands at a path.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Value(RawBsonRef<'a>),
    /// The path led through a list: what stands there in each of its documents that has it.
    Each(Vec<Found<'a>>),
}

impl Found<'_> {
    /// As JSON.
    pub(crate) fn to_json(&self) -> Result<Value> {
        match self {
            Self::Value(value) => to_value(*value),
            Self::Each(values) => values.iter().map(Self::to_json).collect(),
        }
    }

    /// As Python's text of it; what was found through a list is written as a list.
    pub(crate) fn to_text(&self) -> Result<String> {
        let mut text = String::new();
        self.push_text(&mut text)?;
        Ok(text)
    }

    /// Appends Python's text of it, as [`to_text`](Self::to_text) does it.
    pub(crate) fn push_text(&self, out: &mut String) -> Result<()> {
        match self {
            Self::Value(value) => push_str(out, *value),
            Self::Each(_) => {
                out.push_str(&store_core::python::str(&self.to_json()?));
                Ok(())
            }
        }
    }
}

/// What stands at the path; `None` where nothing does.
pub(crate) fn lookup<'a>(document: &'a RawDocument, path: &str) -> Result<Option<Found<'a>>> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (document.get(name).map_err(damaged)?, rest) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(Found::Value(value))),
        (Some(value), Some(rest)) => within(value, rest),
    }
}

fn within<'a>(value: RawBsonRef<'a>, path: &str) -> Result<Option<Found<'a>>> {
    match value {
        RawBsonRef::Document(document) => lookup(document, path),
        RawBsonRef::Array(items) => {
            let (part, rest) = path.split_once('.').map_or((path, None), |(part, rest)| (part, Some(rest)));
            if let Some(index) = part.parse().ok().filter(|_| is_index(part)) {
                let item: Option<RawBsonRef<'a>> = items.get(index).map_err(damaged)?;
                return match (item, rest) {
                    (None, _) => Ok(None),
                    (Some(item), None) => Ok(Some(Found::Value(item))),
                    (Some(item), Some(rest)) => within(item, rest),
                };
            }
            let mut found = Vec::new();
            for item in items {
                if let RawBsonRef::Document(document) = item.map_err(damaged)? {
                    found.extend(lookup(document, path)?);
                }
            }
            Ok((!found.is_empty()).then_some(Found::Each(found)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "a.b", "a.0", "ż ó.x"] {
            check("field", good).unwrap();
        }
        for bad in ["", ".", "a.", ".a", "a..b", "$a", "a.$b", "a\0b"] {
            assert!(check("field", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_projection_ends_before_a_place_in_a_list() {
        assert_eq!(projected("tags.0"), "tags");
        assert_eq!(projected("a.b.12.c"), "a.b");
        assert_eq!(projected("0.a"), "0.a");
        assert_eq!(projected("a.b"), "a.b");
    }

    #[test]
    fn paths_lead_through_and_into_lists() {
        let document = rawdoc! {
            "a": {"b": 1, "0": "zero"},
            "list": [{"n": "x"}, 5, {"m": "y"}, {"n": "z"}],
        };
        let at = |path: &str| lookup(&document, path).unwrap().map(|found| found.to_json().unwrap());
        assert_eq!(at("a.b"), Some(json!(1)));
        assert_eq!(at("a.0"), Some(json!("zero")));
        assert_eq!(at("list.n"), Some(json!(["x", "z"])));
        assert_eq!(at("list.1"), Some(json!(5)));
        assert_eq!(at("list.3.n"), Some(json!("z")));
        for missing in ["b", "a.c", "a.b.c", "list.9", "list.k", "list.1.n", "list.18446744073709551616"] {
            assert_eq!(at(missing), None, "{missing}");
        }
    }
}
