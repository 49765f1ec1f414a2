//! Filters against native attributes, as far as the service can tell.
//!
//! The service is asked for what holds wherever the filter matches, and maybe elsewhere; who reads holds the rest
//! against the filter itself. So nothing is ever left out that matches. A number stands in an item with up to 38
//! digits and is read as a float of 17: a comparison is widened to the floats beside the one that is asked for.

use aws_sdk_dynamodb::types::AttributeValue;
use store_core::{Condition, Filter, Scalar};

use crate::filter::{MAX_IN, MAX_PATH, Native, Test, float, scalar};
use crate::schema::{BESIDE, LARGE};

/// Below, all integers are floats, and floats read as they are written.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Smaller floats have neighbours that the service may not hold.
const SMALL: f64 = 1e-100;

/// What holds around a filter.
struct Bounds {
    /// Wherever it matches, and maybe elsewhere.
    wide: Native,
    /// Only where it matches, and maybe not everywhere there.
    narrow: Native,
}

/// What admits all that a filter matches of the values below `root`. `ours` says which members at the root are none of
/// the value's.
pub(crate) fn admitting(filter: &Filter, root: &[&str], ours: &dyn Fn(&str) -> bool) -> Native {
    let parts = match filter {
        Filter::All(parts) => parts.as_slice(),
        other => std::slice::from_ref(other),
    };
    let fold = |native: Native, part: &Filter| {
        let both = Native::all([native.clone(), bounds(part, root, ours).wide]);
        if both.fits() { both } else { native }
    };
    parts.iter().fold(Native::Everything, fold)
}

/// Key-values whose attributes do not tell all of their value: large ones, and those with more beside them than order
/// and which numbers are floats.
pub(crate) fn untold() -> Native {
    let holds = |part: &str| Test::Contains(vec![BESIDE.to_owned()], AttributeValue::S(part.to_owned()));
    let there = |path: &[&str]| Test::There(path.iter().map(|name| (*name).to_owned()).collect());
    let tests = [holds(":3"), holds("\"+\""), holds(":\""), there(&[LARGE]), there(&["metadata", BESIDE])];
    Native::any(tests.map(Native::Is))
}

fn bounds(filter: &Filter, root: &[&str], ours: &dyn Fn(&str) -> bool) -> Bounds {
    let each = |parts: &[Filter]| parts.iter().map(|part| bounds(part, root, ours)).collect();
    match filter {
        Filter::All(parts) => all(each(parts)),
        Filter::Any(parts) => any(each(parts)),
        Filter::Not(inner) => not(bounds(inner, root, ours)),
        Filter::Field { key, condition } => {
            let names: Vec<&str> = key.split('.').collect();
            let is_ours = root.is_empty() && names.first().is_none_or(|name| ours(name));
            if is_ours || names.contains(&"") || root.len() + names.len() > MAX_PATH {
                return unknown();
            }
            let path: Vec<String> = root.iter().chain(&names).map(|name| (*name).to_owned()).collect();
            field(&path, condition)
        }
    }
}

fn exact(native: Native) -> Bounds {
    Bounds { wide: native.clone(), narrow: native }
}

fn at_most(wide: Native) -> Bounds {
    Bounds { wide, narrow: Native::Nothing }
}

fn unknown() -> Bounds {
    at_most(Native::Everything)
}

fn not(inner: Bounds) -> Bounds {
    Bounds { wide: inner.narrow.not(), narrow: inner.wide.not() }
}

fn parts(parts: Vec<Bounds>) -> (Vec<Native>, Vec<Native>) {
    parts.into_iter().map(|part| (part.wide, part.narrow)).unzip()
}

fn all(each: Vec<Bounds>) -> Bounds {
    let (wide, narrow) = parts(each);
    Bounds { wide: Native::all(wide), narrow: Native::all(narrow) }
}

fn any(each: Vec<Bounds>) -> Bounds {
    let (wide, narrow) = parts(each);
    Bounds { wide: Native::any(wide), narrow: Native::any(narrow) }
}

fn field(path: &[String], condition: &Condition) -> Bounds {
    let is = |letters: &[&'static str]| of_type(path, letters);
    let there = || Native::Is(Test::There(path.to_vec()));
    let equals = |value: AttributeValue| Native::Is(Test::Compares(path.to_vec(), "=", value));
    let contains = |value: AttributeValue| Native::Is(Test::Contains(path.to_vec(), value));
    match condition {
        Condition::Eq(value) => one_of(path, std::slice::from_ref(value)),
        Condition::Ne(value) => not(one_of(path, std::slice::from_ref(value))),
        Condition::In(values) => one_of(path, values),
        Condition::NotIn(values) => not(one_of(path, values)),
        Condition::Gt(value) => ordered(path, Order::Above, value),
        Condition::Gte(value) => ordered(path, Order::From, value),
        Condition::Lt(value) => ordered(path, Order::Below, value),
        Condition::Lte(value) => ordered(path, Order::UpTo, value),
        Condition::Between(low, high) => {
            all(vec![ordered(path, Order::From, low), ordered(path, Order::UpTo, high)])
        }
        Condition::Contains(value) => holds(path, value),
        Condition::AnyOf(values) => any(values.iter().map(|value| holds(path, value)).collect()),
        Condition::AllOf(values) if values.is_empty() => exact(is(&["L", "S", "SS", "NS", "BS"])),
        Condition::AllOf(values) => all(values.iter().map(|value| holds(path, value)).collect()),
        Condition::TextMatch(text) if text.is_empty() => exact(is(&["S"])),
        Condition::TextMatch(text) => {
            exact(Native::all([is(&["S"]), contains(AttributeValue::S(text.clone()))]))
        }
        Condition::TextMatchInsensitive(_) => at_most(is(&["S"])),
        Condition::IsEmpty => exact(Native::any([
            missing(path),
            equals(AttributeValue::S(String::new())),
            equals(AttributeValue::L(Vec::new())),
        ])),
        Condition::Exists(true) => exact(Native::all([there(), is(&["NULL"]).not()])),
        Condition::Exists(false) => exact(missing(path)),
    }
}

fn of_type(path: &[String], letters: &[&'static str]) -> Native {
    Native::any(letters.iter().map(|letter| Native::Is(Test::Type(path.to_vec(), letter))))
}

/// Missing or null.
fn missing(path: &[String]) -> Native {
    Native::any([Native::Is(Test::There(path.to_vec())).not(), of_type(path, &["NULL"])])
}

fn one_of(path: &[String], values: &[Scalar]) -> Bounds {
    let (mut each, mut same) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Scalar::Null => each.push(exact(missing(path))),
            Scalar::Bool(_) | Scalar::Text(_) => same.extend(scalar(value)),
            Scalar::Integer(_) | Scalar::Float(_) => each.push(number(path, None, value)),
            Scalar::Timestamp(_) => each.push(at_most(of_type(path, &["S"]))),
        }
    }
    each.extend(same.chunks(MAX_IN).map(|values| {
        exact(Native::Is(match values {
            [value] => Test::Compares(path.to_vec(), "=", value.clone()),
            values => Test::In(path.to_vec(), values.to_vec()),
        }))
    }));
    any(each)
}

/// A list with such an element, or a text with such a part.
fn holds(path: &[String], value: &Scalar) -> Bounds {
    let contains = |value| Native::Is(Test::Contains(path.to_vec(), value));
    match value {
        Scalar::Integer(_) | Scalar::Float(_) => at_most(of_type(path, &["L", "NS"])),
        Scalar::Timestamp(_) => at_most(of_type(path, &["L", "SS"])),
        // Every text holds it.
        Scalar::Text(text) if text.is_empty() => {
            exact(Native::any([of_type(path, &["S"]), contains(AttributeValue::S(String::new()))]))
        }
        value => scalar(value).map_or_else(unknown, |value| exact(contains(value))),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Above,
    From,
    Below,
    UpTo,
}

impl Order {
    fn operator(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::From => ">=",
            Self::Below => "<",
            Self::UpTo => "<=",
        }
    }
}

fn ordered(path: &[String], order: Order, value: &Scalar) -> Bounds {
    match value {
        Scalar::Null => exact(Native::Nothing),
        Scalar::Bool(_) => unknown(),
        Scalar::Timestamp(_) => at_most(of_type(path, &["S"])),
        Scalar::Text(text) => {
            let value = AttributeValue::S(text.clone());
            exact(Native::Is(Test::Compares(path.to_vec(), order.operator(), value)))
        }
        Scalar::Integer(_) | Scalar::Float(_) => number(path, Some(order), value),
    }
}

/// Equal to a number, or in that order to it.
fn number(path: &[String], order: Option<Order>, value: &Scalar) -> Bounds {
    let of_numbers = || at_most(of_type(path, &["N"]));
    let value = match value {
        Scalar::Integer(integer) => small(*integer),
        Scalar::Float(value) => Some(*value),
        _ => None,
    };
    let known = |value: &f64| *value == 0.0 || (SMALL..WHOLE).contains(&value.abs());
    let Some(value) = value.filter(known) else { return of_numbers() };
    let compares = |operator, value| {
        let value = AttributeValue::N(float(value)?);
        Some(Native::Is(Test::Compares(path.to_vec(), operator, value)))
    };
    let (below, above) = if value == 0.0 { (value, value) } else { (value.next_down(), value.next_up()) };
    let between = || Some(Native::all([compares(">", below)?, compares("<", above)?]));
    let bounds = match order {
        // No number that the service holds is read as zero but zero.
        _ if value == 0.0 => compares(order.map_or("=", Order::operator), value).map(exact),
        None => between().zip(compares("=", value)).map(|(wide, narrow)| Bounds { wide, narrow }),
        Some(order) => {
            let (wide, narrow) = match order {
                Order::Above => ((">", value), (">=", above)),
                Order::From => ((">", below), (">=", value)),
                Order::Below => (("<", value), ("<=", below)),
                Order::UpTo => (("<", above), ("<=", value)),
            };
            let wide = compares(wide.0, wide.1);
            wide.zip(compares(narrow.0, narrow.1)).map(|(wide, narrow)| Bounds { wide, narrow })
        }
    };
    bounds.unwrap_or_else(of_numbers)
}

/// An integer that is a float.
#[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
fn small(integer: i128) -> Option<f64> {
    let integer = i64::try_from(integer).ok()?;
    (integer.unsigned_abs() < 1 << 53).then_some(integer as f64)
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
