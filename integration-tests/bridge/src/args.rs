//! Arguments: taken one by one, by name and type.

use nodestore::{Error, Filter, JsonObject, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An argument that an operation takes.
#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) name: &'static str,
    /// What it is, for people: `a list of texts`.
    pub(crate) what: &'static str,
    pub(crate) required: bool,
}

/// An argument that must be given.
pub(crate) const fn must(name: &'static str, what: &'static str) -> Arg {
    Arg { name, what, required: true }
}

/// An argument that may be left out, or null.
pub(crate) const fn may(name: &'static str, what: &'static str) -> Arg {
    Arg { name, what, required: false }
}

/// What many arguments are.
pub(crate) const TEXT: &str = "text";
pub(crate) const TEXTS: &str = "a list of texts";
pub(crate) const OBJECT: &str = "an object";
pub(crate) const COUNT: &str = "an integer, 0 or more";
pub(crate) const AFTER: Arg = may("after", "text: the \"next\" of the page before");
pub(crate) const LIMIT: Arg = may("limit", "an integer, at least 1: most items in the page");

/// The arguments of a call, or the members of one that is an object. Not `Debug`: a URL may hold a password.
pub(crate) struct Args {
    known: &'static [Arg],
    given: JsonObject,
    /// The argument they are members of, with a dot.
    place: String,
}

impl Args {
    /// The arguments given for those that are known. Null is the same as absent.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown name, and for one that is required and missing.
    pub(crate) fn new(known: &'static [Arg], given: JsonObject) -> Result<Self> {
        Self::at(String::new(), known, given)
    }

    fn at(place: String, known: &'static [Arg], mut given: JsonObject) -> Result<Self> {
        if let Some(name) = given.keys().find(|name| known.iter().all(|arg| arg.name != *name)) {
            let names: Vec<_> = known.iter().map(|arg| arg.name).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::invalid_input(format!("unknown argument \"{place}{name}\"; known: {known}")));
        }
        given.retain(|_, value| !value.is_null());
        let args = Self { known, given, place };
        match known.iter().find(|arg| arg.required && !args.given.contains_key(arg.name)) {
            Some(missing) => Err(args.missing(missing.name)),
            None => Ok(args),
        }
    }

    /// An argument that is required.
    pub(crate) fn must<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        self.may(name)?.ok_or_else(|| self.missing(name))
    }

    /// An argument that may be left out.
    ///
    /// Only for `T`s that read one form of JSON: serde reads structs from lists, too, and enums from objects.
    pub(crate) fn may<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.given.shift_remove(name) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|error| self.wrong(name, &error.to_string()))
    }

    /// An argument that is one of these words.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(given) = self.may::<String>(name)? else { return Ok(None) };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return Ok(Some(*value));
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        Err(self.wrong(name, &format!("{given:?} is not known; known: {}", known.join(", "))))
    }

    /// An argument that is an object with these members.
    pub(crate) fn members(&mut self, name: &str, known: &'static [Arg]) -> Result<Option<Self>> {
        let Some(given) = self.may(name)? else { return Ok(None) };
        Self::at(format!("{}{name}.", self.place), known, given).map(Some)
    }

    /// An argument that is a list of objects with these members.
    pub(crate) fn list_of_members(&mut self, name: &str, known: &'static [Arg]) -> Result<Option<Vec<Self>>> {
        let Some(given) = self.may::<Vec<JsonObject>>(name)? else { return Ok(None) };
        let read = |(i, item)| Self::at(format!("{}{name}[{i}].", self.place), known, item);
        given.into_iter().enumerate().map(read).collect::<Result<_>>().map(Some)
    }

    /// An argument that is a filter in LlamaIndex's JSON.
    pub(crate) fn filter(&mut self, name: &str) -> Result<Option<Filter>> {
        self.may::<Value>(name)?.map(|filter| Filter::from_json(&filter)).transpose()
    }

    /// The argument `limit` of a page.
    pub(crate) fn limit(&mut self) -> Result<Option<usize>> {
        let limit = self.may("limit")?;
        if limit == Some(0) {
            return Err(self.wrong("limit", "it is 0; leave it out for everything"));
        }
        Ok(limit)
    }

    /// Says that an argument is missing.
    pub(crate) fn missing(&self, name: &str) -> Error {
        let (place, what) = (&self.place, self.what(name));
        Error::invalid_input(format!("the argument \"{place}{name}\" is missing; it is {what}"))
    }

    /// Says what is wrong with an argument.
    pub(crate) fn wrong(&self, name: &str, why: &str) -> Error {
        let (place, what) = (&self.place, self.what(name));
        Error::invalid_input(format!("the argument \"{place}{name}\" must be {what}: {why}"))
    }

    fn what(&self, name: &str) -> &'static str {
        self.known.iter().find(|arg| arg.name == name).map_or("of another type", |arg| arg.what)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[Arg] = &[must("key", TEXT), may("limit", COUNT), may("inner", OBJECT)];

    fn args(given: &Value) -> Result<Args> {
        Args::new(KNOWN, given.as_object().cloned().unwrap())
    }

    #[test]
    fn unknown_missing_and_wrong_ones_are_named() {
        for (given, says) in [
            (json!({"key": "a", "kez": null}), "\"kez\"; known: key, limit, inner"),
            (json!({}), "\"key\" is missing; it is text"),
            (json!({"key": null}), "\"key\" is missing"),
        ] {
            let error = args(&given).err().unwrap();
            assert!(error.message().contains(says), "{error}");
        }
        let error = args(&json!({"key": 1})).unwrap().must::<String>("key").unwrap_err();
        assert!(error.message().starts_with("the argument \"key\" must be text: "), "{error}");
        let mut inner = args(&json!({"key": "a", "inner": {"limit": 1}})).unwrap();
        let error = inner.members("inner", KNOWN).err().unwrap();
        assert!(error.message().contains("\"inner.key\" is missing"), "{error}");
    }

    #[test]
    fn a_limit_is_at_least_one() {
        assert!(args(&json!({"key": "a", "limit": 0})).unwrap().limit().is_err());
        assert!(args(&json!({"key": "a", "limit": 1.0})).unwrap().limit().is_err());
        assert!(args(&json!({"key": "a", "limit": -1})).unwrap().limit().is_err());
        assert_eq!(args(&json!({"key": "a", "limit": 2})).unwrap().limit().unwrap(), Some(2));
        assert_eq!(args(&json!({"key": "a", "limit": null})).unwrap().limit().unwrap(), None);
    }
}
