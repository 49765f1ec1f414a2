//! Metadata filters as expressions of DynamoDB, held against a [shadow](crate::vector::shadow) of the metadata.
//!
//! What is translated means exactly the same, for every row that has a whole shadow; the others are admitted, and
//! held against the filter here. A condition that has no exact counterpart (an instant, a text in any case, a number
//! that the service can not hold) stays with us: a filter is parted at its outermost AND, each part is the service's
//! or ours.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Number;
use store_core::{Condition, Filter, Scalar};

/// Bytes of an expression: the service takes 4 KB.
const MAX_EXPRESSION: usize = 4_000;
/// Operators and functions in an expression: the service takes 300.
const MAX_OPERATORS: usize = 290;
/// Members of a path: the service takes 32, with our own attribute first.
pub(crate) const MAX_PATH: usize = 30;
/// Digits of a number.
const MAX_DIGITS: usize = 38;
/// Values of one `IN`.
pub(crate) const MAX_IN: usize = 100;

/// A number as the service holds it, equal and ordered as the number is; `None` where it can not.
///
/// A float that is whole goes with all its digits while they fit, since an integer beside it is held against its
/// exact value; any other float with the fewest digits that name it, which keeps the order among floats and never
/// meets an integer.
pub(crate) fn number(number: &Number) -> Option<String> {
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    float(number.as_f64()?)
}

/// [`number`] of a float.
pub(crate) fn float(value: f64) -> Option<String> {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    let size = value.abs();
    if size == 0.0 {
        return Some("0".to_owned());
    }
    if !(1e-130..1e126).contains(&size) {
        return None;
    }
    Some(if (WHOLE..1e38).contains(&size) { format!("{value:.0}") } else { format!("{value:e}") })
}

/// A scalar as the service holds it; `None` for one that has no counterpart.
pub(crate) fn scalar(scalar: &Scalar) -> Option<AttributeValue> {
    Some(match scalar {
        Scalar::Null => AttributeValue::Null(true),
        Scalar::Bool(value) => AttributeValue::Bool(*value),
        Scalar::Text(text) => AttributeValue::S(text.clone()),
        Scalar::Float(value) => AttributeValue::N(float(*value)?),
        Scalar::Integer(value) => {
            let digits = value.to_string();
            AttributeValue::N(Some(digits).filter(|digits| digits.len() <= MAX_DIGITS)?)
        }
        Scalar::Timestamp(_) => return None,
    })
}

/// An expression of the service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Native {
    /// Admits everything.
    Everything,
    /// Admits nothing.
    Nothing,
    Is(Test),
    All(Vec<Native>),
    Any(Vec<Native>),
    Not(Box<Native>),
}

/// A condition on one path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    There(Vec<String>),
    Compares(Vec<String>, &'static str, AttributeValue),
    In(Vec<String>, Vec<AttributeValue>),
    Contains(Vec<String>, AttributeValue),
    /// Of this type, by its letter.
    Type(Vec<String>, &'static str),
}

impl Native {
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Everything => {}
                Self::Nothing => return Self::Nothing,
                // Side by side: the service takes little that stands within another.
                Self::All(parts) => kept.extend(parts),
                part => kept.push(part),
            }
        }
        match kept.len() {
            0 => Self::Everything,
            1 => kept.swap_remove(0),
            _ => Self::All(kept),
        }
    }

    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Nothing => {}
                Self::Everything => return Self::Everything,
                Self::Any(parts) => kept.extend(parts),
                part => kept.push(part),
            }
        }
        match kept.len() {
            0 => Self::Nothing,
            1 => kept.swap_remove(0),
            _ => Self::Any(kept),
        }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::Everything => Self::Nothing,
            Self::Nothing => Self::Everything,
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Operators and functions in the expression, and about how many bytes it takes.
    fn cost(&self) -> (usize, usize) {
        const NAME: usize = 6;
        let path = |path: &[String]| path.len() * NAME;
        match self {
            Self::Everything | Self::Nothing => (0, 0),
            Self::Is(Test::There(at)) => (1, 20 + path(at)),
            Self::Is(Test::Compares(at, ..)) => (1, 10 + path(at)),
            Self::Is(Test::In(at, values)) => (values.len(), 5 + path(at) + values.len() * NAME),
            Self::Is(Test::Contains(at, _) | Test::Type(at, _)) => (1, 24 + path(at)),
            Self::All(parts) | Self::Any(parts) => parts.iter().fold((0, 0), |(ops, bytes), part| {
                let (more, longer) = part.cost();
                (ops + more + 1, bytes + longer + 8)
            }),
            Self::Not(inner) => {
                let (ops, bytes) = inner.cost();
                (ops + 1, bytes + 6)
            }
        }
    }

    /// Whether the service takes it.
    pub(crate) fn fits(&self) -> bool {
        let (operators, bytes) = self.cost();
        operators <= MAX_OPERATORS && bytes <= MAX_EXPRESSION
    }
}

/// A filter, parted.
#[derive(Clone, Debug)]
pub(crate) struct Parted {
    /// Admits at least all that the filter matches, of the rows with a whole shadow.
    pub(crate) native: Native,
    /// The part that `native` answers.
    pub(crate) pushed_down: Option<Filter>,
    /// The part that is ours to finish.
    pub(crate) rest: Option<Filter>,
}

/// Parts a filter that was found right; `shadow` is the attribute that holds the shadow.
pub(crate) fn part(filter: &Filter, shadow: &str) -> Parted {
    let parts = match filter {
        Filter::All(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let (mut native, mut pushed, mut rest) = (Native::Everything, Vec::new(), Vec::new());
    for part in parts {
        let both = translate(part, shadow).map(|part| Native::all([native.clone(), part]));
        match both.filter(Native::fits) {
            Some(both) => {
                native = both;
                pushed.push(part.clone());
            }
            None => rest.push(part.clone()),
        }
    }
    let whole = |mut parts: Vec<Filter>| match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Filter::All(parts)),
    };
    Parted { native, pushed_down: whole(pushed), rest: whole(rest) }
}

fn translate(filter: &Filter, shadow: &str) -> Option<Native> {
    let each =
        |parts: &[Filter]| parts.iter().map(|part| translate(part, shadow)).collect::<Option<Vec<_>>>();
    Some(match filter {
        Filter::All(parts) => Native::all(each(parts)?),
        Filter::Any(parts) => Native::any(each(parts)?),
        Filter::Not(inner) => translate(inner, shadow)?.not(),
        Filter::Field { key, condition } => {
            let mut path = vec![shadow.to_owned()];
            path.extend(key.split('.').map(str::to_owned));
            if path.len() > MAX_PATH {
                return None;
            }
            field(&path, condition)?
        }
    })
}

fn field(path: &[String], condition: &Condition) -> Option<Native> {
    let at = || path.to_vec();
    let there = || Native::Is(Test::There(at()));
    let is = |letter| Native::Is(Test::Type(at(), letter));
    let compares = |operator, value| Native::Is(Test::Compares(at(), operator, value));
    let ordered = |operator, value: &Scalar| match value {
        Scalar::Null => Some(Native::Nothing),
        value => Some(compares(operator, scalar(value)?)),
    };
    let holds = |value: &Scalar| {
        let contains = Native::Is(Test::Contains(at(), scalar(value)?));
        Some(match value {
            // Every text holds it.
            Scalar::Text(text) if text.is_empty() => Native::any([is("S"), contains]),
            _ => contains,
        })
    };
    Some(match condition {
        Condition::Eq(value) => one_of(path, std::slice::from_ref(value))?,
        Condition::Ne(value) => one_of(path, std::slice::from_ref(value))?.not(),
        Condition::In(values) => one_of(path, values)?,
        Condition::NotIn(values) => one_of(path, values)?.not(),
        Condition::Gt(value) => ordered(">", value)?,
        Condition::Gte(value) => ordered(">=", value)?,
        Condition::Lt(value) => ordered("<", value)?,
        Condition::Lte(value) => ordered("<=", value)?,
        // BETWEEN refuses bounds in the wrong order.
        Condition::Between(low, high) => Native::all([ordered(">=", low)?, ordered("<=", high)?]),
        Condition::Contains(value) => holds(value)?,
        Condition::AnyOf(values) => Native::any(values.iter().map(holds).collect::<Option<Vec<_>>>()?),
        Condition::AllOf(values) => {
            let list_or_text = Native::any([is("L"), is("S")]);
            let each = values.iter().map(holds).collect::<Option<Vec<_>>>()?;
            if each.is_empty() { list_or_text } else { Native::all(each) }
        }
        Condition::TextMatch(text) if text.is_empty() => is("S"),
        Condition::TextMatch(text) => {
            let contains = Native::Is(Test::Contains(at(), AttributeValue::S(text.clone())));
            Native::all([is("S"), contains])
        }
        Condition::TextMatchInsensitive(_) => return None,
        Condition::IsEmpty => {
            let empty_text = compares("=", AttributeValue::S(String::new()));
            Native::any([there().not(), empty_text, compares("=", AttributeValue::L(Vec::new()))])
        }
        Condition::Exists(wanted) => {
            if *wanted {
                there()
            } else {
                there().not()
            }
        }
    })
}

/// The field equals one of these; null is a field that is not there, as a shadow holds no null.
fn one_of(path: &[String], values: &[Scalar]) -> Option<Native> {
    let mut parts = Vec::new();
    if values.contains(&Scalar::Null) {
        parts.push(Native::Is(Test::There(path.to_vec())).not());
    }
    let values = values.iter().filter(|value| **value != Scalar::Null);
    let values = values.map(scalar).collect::<Option<Vec<_>>>()?;
    parts.extend(values.chunks(MAX_IN).map(|values| {
        Native::Is(match values {
            [value] => Test::Compares(path.to_vec(), "=", value.clone()),
            values => Test::In(path.to_vec(), values.to_vec()),
        })
    }));
    Some(Native::any(parts))
}

/// An expression as it is sent, with its names and values. Several expressions of one request share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expression {
    names: HashMap<String, String>,
    by_name: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// What stands for an attribute's name.
    pub(crate) fn name(&mut self, name: &str) -> String {
        if let Some(token) = self.by_name.get(name) {
            return token.clone();
        }
        let token = format!("#n{}", self.names.len());
        self.names.insert(token.clone(), name.to_owned());
        self.by_name.insert(name.to_owned(), token.clone());
        token
    }

    /// What stands for a value.
    pub(crate) fn value(&mut self, value: AttributeValue) -> String {
        let token = format!(":v{}", self.values.len());
        self.values.insert(token.clone(), value);
        token
    }

    /// A list of names, to be projected.
    pub(crate) fn list(&mut self, names: &[&str]) -> String {
        names.iter().map(|name| self.name(name)).collect::<Vec<_>>().join(",")
    }

    /// The names, as the driver takes them.
    pub(crate) fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    /// The values, as the driver takes them.
    pub(crate) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }

    /// The text of a condition; `None` for one that admits everything or nothing, which the service can not be asked.
    pub(crate) fn text(&mut self, native: &Native) -> Option<String> {
        let mut text = String::new();
        self.write(native, &mut text)?;
        Some(text)
    }

    /// What stands for a path of names.
    pub(crate) fn path(&mut self, path: &[String]) -> String {
        path.iter().map(|name| self.name(name)).collect::<Vec<_>>().join(".")
    }

    fn write(&mut self, native: &Native, text: &mut String) -> Option<()> {
        match native {
            Native::Everything | Native::Nothing => return None,
            Native::Is(condition) => {
                let condition = self.test(condition);
                text.push_str(&condition);
            }
            Native::All(parts) => self.join(parts, " AND ", text)?,
            Native::Any(parts) => self.join(parts, " OR ", text)?,
            // Groups bring their own parentheses, and the service refuses them twice.
            Native::Not(inner) if matches!(**inner, Native::All(_) | Native::Any(_)) => {
                text.push_str("NOT ");
                self.write(inner, text)?;
            }
            Native::Not(inner) => {
                text.push_str("NOT (");
                self.write(inner, text)?;
                text.push(')');
            }
        }
        Some(())
    }

    fn join(&mut self, parts: &[Native], by: &str, text: &mut String) -> Option<()> {
        text.push('(');
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                text.push_str(by);
            }
            self.write(part, text)?;
        }
        text.push(')');
        Some(())
    }

    fn test(&mut self, test: &Test) -> String {
        match test {
            Test::There(path) => format!("attribute_exists({})", self.path(path)),
            Test::Compares(path, operator, value) => {
                format!("{} {operator} {}", self.path(path), self.value(value.clone()))
            }
            Test::In(path, values) => {
                let values: Vec<_> = values.iter().map(|value| self.value(value.clone())).collect();
                format!("{} IN ({})", self.path(path), values.join(","))
            }
            Test::Contains(path, value) => {
                format!("contains({},{})", self.path(path), self.value(value.clone()))
            }
            Test::Type(path, letter) => {
                let letter = self.value(AttributeValue::S((*letter).to_owned()));
                format!("attribute_type({},{letter})", self.path(path))
            }
        }
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
