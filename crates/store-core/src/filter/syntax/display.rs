//! Prints a filter in the syntax for people, so that reading it gives the same filter.

use std::fmt;

use super::{continues_name, keyword, starts_name};
use crate::filter::{Condition, Filter, Scalar};

/// The canonical form of the syntax for people.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(filters) => group(f, filters, "all", " and "),
            Self::Any(filters) => group(f, filters, "any", " or "),
            Self::Not(inner) => match inner.as_ref() {
                Self::Field { condition, .. } if !is_bare(condition) => write!(f, "not ({inner})"),
                inner => {
                    f.write_str("not ")?;
                    operand(f, inner)
                }
            },
            Self::Field { key, condition } => {
                write_key(f, key)?;
                write_condition(f, condition)
            }
        }
    }
}

/// A chain, or a call when it is too short for one: a chain of one would be read as what it holds.
fn group(f: &mut fmt::Formatter<'_>, filters: &[Filter], call: &str, joint: &str) -> fmt::Result {
    if let [] | [_] = filters {
        write!(f, "{call}(")?;
        filters.iter().try_for_each(|filter| write!(f, "{filter}"))?;
        return f.write_str(")");
    }
    for (index, filter) in filters.iter().enumerate() {
        if index > 0 {
            f.write_str(joint)?;
        }
        operand(f, filter)?;
    }
    Ok(())
}

/// A filter within `and`, `or` or `not`: chains stand in parentheses.
fn operand(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    match filter {
        Filter::All(filters) | Filter::Any(filters) if filters.len() > 1 => write!(f, "({filter})"),
        filter => write!(f, "{filter}"),
    }
}

/// Whether the condition is printed as the key alone.
fn is_bare(condition: &Condition) -> bool {
    *condition == Condition::Eq(Scalar::Bool(true))
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    let plain = |part: &str| part.starts_with(starts_name) && part.chars().all(continues_name);
    if key.split('.').all(plain) && keyword(key).is_none() {
        return f.write_str(key);
    }
    quoted(f, key, '`')
}

/// JSON's escapes, and one for the quote.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    use fmt::Write as _;

    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c == quote || c == '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

/// What stands after the key, with its space.
fn write_condition(f: &mut fmt::Formatter<'_>, condition: &Condition) -> fmt::Result {
    use Condition as Is;

    match condition {
        Is::Eq(Scalar::Bool(true)) => Ok(()),
        Is::Eq(scalar) => write!(f, " == {scalar}"),
        Is::Ne(scalar) => write!(f, " != {scalar}"),
        Is::Gt(scalar) => write!(f, " > {scalar}"),
        Is::Gte(scalar) => write!(f, " >= {scalar}"),
        Is::Lt(scalar) => write!(f, " < {scalar}"),
        Is::Lte(scalar) => write!(f, " <= {scalar}"),
        Is::Between(low, high) => write!(f, " between {low} and {high}"),
        Is::In(scalars) => list(f, " in ", scalars),
        Is::NotIn(scalars) => list(f, " not in ", scalars),
        Is::Contains(scalar) => write!(f, " contains {scalar}"),
        Is::AnyOf(scalars) => list(f, " contains any ", scalars),
        Is::AllOf(scalars) => list(f, " contains all ", scalars),
        Is::TextMatch(part) => {
            f.write_str(" matches ")?;
            quoted(f, part, '"')
        }
        Is::TextMatchInsensitive(part) => {
            f.write_str(" imatches ")?;
            quoted(f, part, '"')
        }
        Is::IsEmpty => f.write_str(" is empty"),
        Is::Exists(true) => f.write_str(" exists"),
        Is::Exists(false) => f.write_str(" not exists"),
    }
}

fn list(f: &mut fmt::Formatter<'_>, operator: &str, scalars: &[Scalar]) -> fmt::Result {
    write!(f, "{operator}[")?;
    for (index, scalar) in scalars.iter().enumerate() {
        let joint = if index > 0 { ", " } else { "" };
        write!(f, "{joint}{scalar}")?;
    }
    f.write_str("]")
}

/// The value as in the syntax for people: `"text"`, `1`, `1.0`, `@2024-05-01T12:00:00Z`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            // Debug always has a point or an exponent, so that it is read back as a float.
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Text(text) => quoted(f, text, '"'),
            Self::Timestamp(timestamp) => write!(f, "@{timestamp}"),
        }
    }
}
