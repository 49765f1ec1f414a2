//! Templates of keys: `EVENT#{timestamp:16}#{event_id}`.
//!
//! A template is cut into segments at the separator. A segment is text, a placeholder, or text before a placeholder, so
//! that every key can be read back: what stands in a placeholder ends at the next separator. A separator in a value,
//! and a `%`, are written `%XX`.

use std::fmt::Write as _;

use serde_json::Value;
use store_core::{Error, JsonObject, Result};

/// Sorts after all that may stand in a key; no value may have it.
pub(super) const LAST: char = char::MAX;
/// Digits of the greatest number that fits in 64 bits.
const MAX_DIGITS: usize = 20;
/// Digits behind the second of a time in a key.
const FRACTION: usize = 9;

/// How the value of a placeholder is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `{name}`: text, a truth value; in a partition key also a whole number.
    Plain,
    /// `{name:..64}`: the same of at most so many bytes.
    UpTo(usize),
    /// `{name:16}`: a whole number from 0 on, in so many digits.
    Digits(usize),
    /// `{name:date}`: `2026-01-31`.
    Date,
    /// `{name:time}`: UTC, `2026-01-31T09:30:00.5Z`, in the key with nine digits behind the second.
    Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) field: Option<(String, Form)>,
}

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) text: String,
    pub(super) segments: Vec<Segment>,
    separator: char,
    /// Whether keys are compared by it: numbers must have a fixed width then.
    ordered: bool,
}

impl Template {
    /// Reads a template of a partition key, or of a sort key (`ordered`).
    pub(super) fn parse(text: &str, separator: char, ordered: bool) -> Result<Self> {
        let wrong = |why: &str| Error::invalid_input(format!("the template {text:?} {why}"));
        if text.is_empty() {
            return Err(wrong("is empty"));
        }
        if text.contains(LAST) {
            return Err(wrong("has the character U+10FFFF, which no key may have"));
        }
        let mut segments = Vec::new();
        let mut segment = Segment { text: String::new(), field: None };
        let mut rest = text.chars();
        while let Some(char) = rest.next() {
            if char == separator {
                segments.push(std::mem::replace(&mut segment, Segment { text: String::new(), field: None }));
            } else if segment.field.is_some() {
                return Err(wrong(&format!(
                    "can not be read back: a placeholder must end it, or be followed by {separator:?}"
                )));
            } else if char == '{' {
                let (inside, behind) = rest
                    .as_str()
                    .split_once('}')
                    .ok_or_else(|| wrong("has a { without a }; placeholders are written {name}"))?;
                rest = behind.chars();
                let (name, form) = match inside.split_once(':') {
                    Some((name, form)) => (name, form_of(form)),
                    None => (inside, Some(Form::Plain)),
                };
                if name.trim().is_empty() || name.contains('{') {
                    return Err(wrong("has a placeholder without a name"));
                }
                let form = form.ok_or_else(|| {
                    wrong(&format!(
                        "has a placeholder {{{inside}}} of no known form; there are {{name}}, {{name:..64}} (at most so \
                         many bytes), {{name:16}} (a number in so many digits, 1 to {MAX_DIGITS}), {{name:date}} and \
                         {{name:time}}"
                    ))
                })?;
                segment.field = Some((name.to_owned(), form));
            } else if char == '}' {
                return Err(wrong("has a } without a {; placeholders are written {name}"));
            } else {
                segment.text.push(char);
            }
        }
        segments.push(segment);
        let template = Self { text: text.to_owned(), segments, separator, ordered };
        let mut names: Vec<&str> = template.fields().collect();
        names.sort_unstable();
        if let Some(name) =
            names.windows(2).find_map(|two| (two.first() == two.last()).then(|| two.first())?)
        {
            return Err(wrong(&format!("has the placeholder {{{name}}} twice")));
        }
        Ok(template)
    }

    /// The names of its placeholders, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| segment.field.as_ref().map(|(name, _)| name.as_str()))
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields().any(|name| name == field)
    }

    /// The first of its fields that is absent, or null.
    pub(super) fn missing(&self, fields: &JsonObject) -> Option<&str> {
        self.fields().find(|name| fields.get(*name).is_none_or(Value::is_null))
    }

    /// The key of these fields; `None` if one of them is absent.
    pub(super) fn render(&self, fields: &JsonObject) -> Result<Option<String>> {
        if self.missing(fields).is_some() {
            return Ok(None);
        }
        self.prefix(fields, false).map(|(key, _)| Some(key))
    }

    /// What all keys begin with whose first fields are these, and whether that is the whole of a key. With `open` the
    /// last of the fields is only how its value begins.
    pub(super) fn prefix(&self, fields: &JsonObject, open: bool) -> Result<(String, bool)> {
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let last = self.fields().filter(|name| given(name).is_some()).last();
        let mut key = String::new();
        for (place, segment) in self.segments.iter().enumerate() {
            if place > 0 {
                key.push(self.separator);
            }
            key.push_str(&segment.text);
            let Some((name, form)) = &segment.field else { continue };
            match given(name) {
                Some(value) if open && last == Some(name) => {
                    key.push_str(&self.beginning(name, form, value)?);
                    return Ok((key, false));
                }
                Some(value) => key.push_str(&self.written(name, form, value)?),
                None => {
                    if let Some(last) = last
                        && self.fields().skip_while(|field| field != name).any(|field| field == last)
                    {
                        return Err(Error::invalid_input(format!(
                            "the field {name:?} is missing, which stands before {last:?} in {:?}; give it too",
                            self.text
                        )));
                    }
                    return Ok((key, false));
                }
            }
        }
        Ok((key, true))
    }

    /// A value as it stands in a key.
    fn written(&self, name: &str, form: &Form, value: &Value) -> Result<String> {
        let wrong =
            |why: &str| Error::invalid_input(format!("the field {name:?} of the key {:?} {why}", self.text));
        let text = match (form, value) {
            (Form::Digits(width), Value::Number(number)) => {
                let number = number.as_u64().ok_or_else(|| {
                    wrong(&format!("is {number}; in a key of fixed width it is a whole number from 0 on"))
                })?;
                let text = format!("{number:0width$}");
                if text.len() > *width {
                    return Err(wrong(&format!("is {number}, which has more than {width} digits")));
                }
                text
            }
            (Form::Digits(width), _) => {
                return Err(wrong(&format!("is no number; it is written in {width} digits")));
            }
            (Form::Date, Value::String(text)) if shaped(text, "0000-00-00") => text.clone(),
            (Form::Date, _) => return Err(wrong("is no date such as \"2026-01-31\"")),
            (Form::Time, Value::String(text)) => {
                time(text).ok_or_else(|| wrong("is no time in UTC such as \"2026-01-31T09:30:00.5Z\""))?
            }
            (Form::Time, _) => return Err(wrong("is no time in UTC such as \"2026-01-31T09:30:00.5Z\"")),
            (Form::Plain | Form::UpTo(_), Value::String(text)) => text.clone(),
            (Form::Plain | Form::UpTo(_), Value::Bool(value)) => value.to_string(),
            (Form::Plain | Form::UpTo(_), Value::Number(number)) if self.ordered => {
                return Err(wrong(&format!(
                    "is the number {number}; keys are compared as text, so write {{{name}:16}} for a number in 16 digits"
                )));
            }
            (Form::Plain | Form::UpTo(_), Value::Number(number)) if !number.is_f64() => number.to_string(),
            (Form::Plain | Form::UpTo(_), Value::Number(_)) => {
                return Err(wrong("is a number with a fraction; give it as text"));
            }
            (Form::Plain | Form::UpTo(_), _) => {
                return Err(wrong(
                    "is a list or an object; in a key there are texts, numbers and truth values",
                ));
            }
        };
        if text.is_empty() {
            return Err(wrong("is empty; a value in a key is not"));
        }
        let text = self.escaped(name, &text)?;
        match form {
            Form::UpTo(most) if text.len() > *most => {
                Err(wrong(&format!("takes {} bytes in the key, at most {most} are allowed", text.len())))
            }
            _ => Ok(text),
        }
    }

    /// How a value begins, as it stands in a key.
    fn beginning(&self, name: &str, form: &Form, value: &Value) -> Result<String> {
        match (form, value) {
            (Form::Time, Value::String(text)) if text.ends_with('Z') => self.written(name, form, value),
            (Form::Digits(_), _) | (_, Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Error::invalid_input(format!(
                    "the field {name:?} of the key {:?} is no text: only text has a beginning; ask for whole values, or \
                     between two",
                    self.text
                )))
            }
            (_, Value::String(text)) => self.escaped(name, text),
            (_, value) => self.written(name, form, value),
        }
    }

    fn escaped(&self, name: &str, text: &str) -> Result<String> {
        let mut escaped = String::with_capacity(text.len());
        for char in text.chars() {
            if char == LAST {
                return Err(Error::invalid_input(format!(
                    "the field {name:?} of the key {:?} has the character U+10FFFF, which no key may have",
                    self.text
                )));
            }
            if char == '%' || char == self.separator {
                let _ = write!(escaped, "%{:02X}", u32::from(char));
            } else {
                escaped.push(char);
            }
        }
        Ok(escaped)
    }

    /// Whether a key can be one of the template's.
    pub(super) fn matches(&self, key: &str) -> bool {
        let mut parts = key.split(self.separator);
        self.segments.iter().all(|segment| {
            parts.next().is_some_and(|part| {
                let value = part.strip_prefix(segment.text.as_str());
                value.is_some_and(|value| value.is_empty() == segment.field.is_none())
            })
        }) && parts.next().is_none()
    }

    /// Whether there can be a key of both templates.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(one, other)| {
                let begins = |long: &Segment, short: &Segment| {
                    long.text.strip_prefix(short.text.as_str()).map(str::is_empty)
                };
                match (&one.field, &other.field) {
                    (None, None) => one.text == other.text,
                    // Of a text with nothing left for the placeholder there is no key.
                    (None, Some(_)) => begins(one, other) == Some(false),
                    (Some(_), None) => begins(other, one) == Some(false),
                    (Some(_), Some(_)) => begins(one, other).or_else(|| begins(other, one)).is_some(),
                }
            })
    }

    /// The bytes that a key may take, where every placeholder says how long it gets; `None` else.
    pub(super) fn longest(&self) -> Option<usize> {
        let separators = (self.segments.len() - 1) * self.separator.len_utf8();
        self.segments.iter().try_fold(separators, |sum, segment| {
            let value = match segment.field.as_ref().map(|(_, form)| form) {
                None => 0,
                Some(Form::Plain) => return None,
                Some(Form::UpTo(most) | Form::Digits(most)) => *most,
                Some(Form::Date) => "0000-00-00".len(),
                Some(Form::Time) => "0000-00-00T00:00:00.Z".len() + FRACTION,
            };
            Some(sum + segment.text.len() + value)
        })
    }
}

fn form_of(text: &str) -> Option<Form> {
    match text {
        "date" => Some(Form::Date),
        "time" => Some(Form::Time),
        _ => match text.strip_prefix("..") {
            Some(most) => most.parse().ok().filter(|most| *most > 0).map(Form::UpTo),
            None => text.parse().ok().filter(|width| (1..=MAX_DIGITS).contains(width)).map(Form::Digits),
        },
    }
}

/// Whether a text has digits where the shape has zeros, and else its characters.
fn shaped(text: &str, shape: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

/// A time with nine digits behind the second.
fn time(text: &str) -> Option<String> {
    let text = text.strip_suffix('Z')?;
    let (second, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !fraction.is_empty()
        && fraction.len() <= FRACTION
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    (digits && shaped(second, "0000-00-00T00:00:00")).then(|| format!("{second}.{fraction:0<FRACTION$}Z"))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
