//! LlamaIndex's `MetadataFilters` as JSON, with our additions (see the module's front page).

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value, json};

use super::place::Place;
use super::validate::{check_depth, check_key};
use super::{Condition, Filter, Scalar, Timestamp};
use crate::{Error, JsonObject, Result};

/// The names of all operators in JSON, as [`Condition::operator`] gives them.
pub const OPERATORS: &[&str] = &[
    "==",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "between",
    "in",
    "nin",
    "contains",
    "any",
    "all",
    "text_match",
    "text_match_insensitive",
    "is_empty",
    "exists",
];

impl Filter {
    /// Reads LlamaIndex's JSON. The result is valid (see [`validate`](Filter::validate)); anything not known is
    /// `InvalidInput`, with its place: `filters[2].operator: unknown operator "=~"; known: …`.
    pub fn from_json(value: &Value) -> Result<Self> {
        read(value, &Place::Root, 1)
    }

    /// Writes LlamaIndex's JSON, members in Python's order.
    ///
    /// `Not` of an `Any` is written as a group with the condition `not`, any other as `{"not": …}`. An integer or
    /// float that [`validate`](Filter::validate) refuses becomes an object that `from_json` refuses too.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let group = |filters: &[Self], condition: &str| json!({"filters": filters.iter().map(Self::to_json).collect::<Vec<_>>(), "condition": condition});
        match self {
            Self::All(filters) => group(filters, "and"),
            Self::Any(filters) => group(filters, "or"),
            Self::Not(inner) => match inner.as_ref() {
                Self::Any(filters) => group(filters, "not"),
                inner => json!({"not": inner.to_json()}),
            },
            Self::Field { key, condition } => {
                json!({"key": key, "value": condition.value_to_json(), "operator": condition.operator()})
            }
        }
    }
}

impl Condition {
    /// The operator's name in JSON, one of [`OPERATORS`].
    #[must_use]
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Eq(_) => "==",
            Self::Ne(_) => "!=",
            Self::Gt(_) => ">",
            Self::Gte(_) => ">=",
            Self::Lt(_) => "<",
            Self::Lte(_) => "<=",
            Self::Between(..) => "between",
            Self::In(_) => "in",
            Self::NotIn(_) => "nin",
            Self::Contains(_) => "contains",
            Self::AnyOf(_) => "any",
            Self::AllOf(_) => "all",
            Self::TextMatch(_) => "text_match",
            Self::TextMatchInsensitive(_) => "text_match_insensitive",
            Self::IsEmpty => "is_empty",
            Self::Exists(_) => "exists",
        }
    }

    fn value_to_json(&self) -> Value {
        let list = |scalars: &[Scalar]| scalars.iter().map(Scalar::to_json).collect();
        match self {
            Self::Eq(scalar)
            | Self::Ne(scalar)
            | Self::Gt(scalar)
            | Self::Gte(scalar)
            | Self::Lt(scalar)
            | Self::Lte(scalar)
            | Self::Contains(scalar) => scalar.to_json(),
            Self::Between(low, high) => json!([low.to_json(), high.to_json()]),
            Self::In(scalars) | Self::NotIn(scalars) | Self::AnyOf(scalars) | Self::AllOf(scalars) => {
                list(scalars)
            }
            Self::TextMatch(text) | Self::TextMatchInsensitive(text) => Value::from(text.as_str()),
            Self::IsEmpty => Value::Null,
            Self::Exists(wanted) => Value::Bool(*wanted),
        }
    }

    /// Reads the value of an operator; `None` = the member is absent.
    fn from_json(operator: &str, value: Option<&Value>, place: &Place<'_>) -> Result<Self> {
        match operator {
            "is_empty" => return Ok(Self::IsEmpty),
            "exists" => {
                return match value {
                    None | Some(Value::Null) => Ok(Self::Exists(true)),
                    Some(Value::Bool(wanted)) => Ok(Self::Exists(*wanted)),
                    Some(other) => Err(wrong(place, "true or false", other)),
                };
            }
            _ => {}
        }
        let value = value.ok_or_else(|| {
            Error::invalid_input(format!("{place}: missing; write null to compare with a missing field"))
        })?;
        let scalar = || Scalar::read(value, place);
        let text = || value.as_str().map(str::to_owned).ok_or_else(|| wrong(place, "a text", value));
        Ok(match operator {
            "==" => Self::Eq(scalar()?),
            "!=" => Self::Ne(scalar()?),
            ">" => Self::Gt(scalar()?),
            ">=" => Self::Gte(scalar()?),
            "<" => Self::Lt(scalar()?),
            "<=" => Self::Lte(scalar()?),
            "between" => match value.as_array().map(Vec::as_slice) {
                Some([low, high]) => {
                    Self::Between(Scalar::read(low, &place.item(0))?, Scalar::read(high, &place.item(1))?)
                }
                _ => return Err(wrong(place, "a list of two values", value)),
            },
            "in" => Self::In(read_list(value, place)?),
            "nin" => Self::NotIn(read_list(value, place)?),
            "contains" => Self::Contains(scalar()?),
            "any" => Self::AnyOf(read_list(value, place)?),
            "all" => Self::AllOf(read_list(value, place)?),
            "text_match" => Self::TextMatch(text()?),
            // The only one left: the caller has looked the name up.
            _ => Self::TextMatchInsensitive(text()?),
        })
    }
}

impl Scalar {
    /// Reads a JSON scalar, or `{"timestamp": "2024-05-01T12:00:00Z"}`; other lists and objects are `InvalidInput`.
    pub fn from_json(value: &Value) -> Result<Self> {
        Self::read(value, &Place::Root.member("value"))
    }

    /// The scalar as JSON, a timestamp as `{"timestamp": "2024-05-01T12:00:00Z"}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Integer(integer) => Number::from_i128(*integer)
                .map_or_else(|| json!({"integer": integer.to_string()}), Value::Number),
            Self::Float(float) => {
                Number::from_f64(*float).map_or_else(|| json!({"float": float.to_string()}), Value::Number)
            }
            Self::Text(text) => Value::from(text.as_str()),
            Self::Timestamp(timestamp) => json!({"timestamp": timestamp.to_string()}),
        }
    }

    fn read(value: &Value, place: &Place<'_>) -> Result<Self> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Bool(flag) => Ok(Self::Bool(*flag)),
            Value::Number(number) => number
                .as_i128()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Float))
                .ok_or_else(|| wrong(place, "a number of 64 bits", value)),
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Object(members) => match (members.len(), members.get("timestamp")) {
                (1, Some(Value::String(text))) => {
                    text.parse::<Timestamp>().map(Self::Timestamp).map_err(|error| {
                        Error::invalid_input(format!("{}: {}", place.member("timestamp"), error.message()))
                    })
                }
                _ => Err(wrong(place, r#"a scalar or {"timestamp": "…"}"#, value)),
            },
            Value::Array(_) => Err(wrong(place, "a single value", value)),
        }
    }
}

fn read(value: &Value, place: &Place<'_>, depth: usize) -> Result<Filter> {
    check_depth(depth)?;
    let members = value.as_object().ok_or_else(|| wrong(place, "an object", value))?;
    if let Some(inner) = members.get("not") {
        only_known(members, &["not"], place)?;
        return Ok(Filter::Not(Box::new(read(inner, &place.member("not"), depth + 1)?)));
    }
    if let Some(filters) = members.get("filters") {
        only_known(members, &["filters", "condition"], place)?;
        return read_group(filters, members.get("condition"), place, depth);
    }
    let Some(key) = members.get("key") else {
        return Err(Error::invalid_input(format!(
            r#"{place}: expected {{"key", "operator", "value"}}, {{"filters", "condition"}} or {{"not"}}, found {}"#,
            brief(value)
        )));
    };
    only_known(members, &["key", "operator", "value"], place)?;
    read_field(key, members, place)
}

fn read_group(filters: &Value, condition: Option<&Value>, place: &Place<'_>, depth: usize) -> Result<Filter> {
    let list = place.member("filters");
    let items = filters.as_array().ok_or_else(|| wrong(&list, "a list of filters", filters))?;
    let condition = condition.filter(|condition| !condition.is_null());
    let group: fn(Vec<Filter>) -> Filter = match condition.map(|condition| (condition, condition.as_str())) {
        None | Some((_, Some("and"))) => Filter::All,
        Some((_, Some("or"))) => Filter::Any,
        Some((_, Some("not"))) => Filter::none,
        Some((other, _)) => return Err(wrong(&place.member("condition"), r#""and", "or" or "not""#, other)),
    };
    // A `not` group is two levels of the tree.
    let depth = depth + usize::from(condition.is_some_and(|condition| condition == "not"));
    check_depth(depth)?;
    let filters = items
        .iter()
        .enumerate()
        .map(|(index, item)| read(item, &list.item(index), depth + 1))
        .collect::<Result<_>>()?;
    Ok(group(filters))
}

fn read_field(key: &Value, members: &JsonObject, place: &Place<'_>) -> Result<Filter> {
    let key = key.as_str().ok_or_else(|| wrong(&place.member("key"), "a text", key))?;
    check_key(key, place)?;
    let operator = match members.get("operator") {
        None => "==",
        Some(Value::String(operator)) if OPERATORS.contains(&operator.as_str()) => operator,
        Some(other) => {
            return Err(Error::invalid_input(format!(
                "{}: unknown operator {}; known: {}",
                place.member("operator"),
                brief(other),
                OPERATORS.join(" ")
            )));
        }
    };
    let place = place.member("value");
    let condition = Condition::from_json(operator, members.get("value"), &place)?;
    condition.check(key, &place)?;
    Ok(Filter::Field { key: key.to_owned(), condition })
}

fn read_list(value: &Value, place: &Place<'_>) -> Result<Vec<Scalar>> {
    let items = value.as_array().ok_or_else(|| wrong(place, "a list of values", value))?;
    items.iter().enumerate().map(|(index, item)| Scalar::read(item, &place.item(index))).collect()
}

fn only_known(members: &JsonObject, known: &[&str], place: &Place<'_>) -> Result<()> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::invalid_input(format!(
            "{place}: unknown member {}; known here: {}",
            brief(&Value::from(name.as_str())),
            known.join(", ")
        ))),
    }
}

fn wrong(place: &Place<'_>, expected: &str, found: &Value) -> Error {
    Error::invalid_input(format!("{place}: expected {expected}, found {}", brief(found)))
}

/// A value in an error message, cut short.
fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Value::Object(members) => {
            let names = members.keys().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
            let shown = names.chars().take(LONGEST).collect::<String>();
            format!("an object with {shown}{}", if members.len() > 4 { ", …" } else { "" })
        }
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
        }
        scalar => scalar.to_string(),
    }
}

/// LlamaIndex's JSON; a filter that does not [`validate`](Filter::validate) is an error.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.validate().map_err(S::Error::custom)?;
        self.to_json().serialize(serializer)
    }
}

/// LlamaIndex's JSON.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
