//! The syntax for people; its grammar is on the front page of [`filter`](super).

mod display;
mod lexer;
mod parser;
mod report;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use super::Filter;
use crate::{Error, Result};

/// A short form of the syntax for a program's `--help`, at most 80 columns wide.
pub const SYNTAX_HELP: &str = r#"Filters on metadata, for example:
  year >= 2024 and (tag in ["a", "b"] or not draft)

  A and B    A or B    not A    (A)    `not` binds first, `or` last
  key == value    !=  <  <=  >  >=     same type; == null: missing or null
  key between 1 and 9                  both ends included
  key in ["a", "b"]    not in [..]     equals one of them, none of them
  key contains "a"                     list with that element, or text with it
  key contains any [..]    all [..]    at least one, each of them
  key matches "text"                   text that holds it (imatches: any case)
  key is empty                         missing, null, "" or []
  key exists    key not exists         present and not null, or the opposite
  key                                  short for key == true

  Keys: page, author.name (nested), `odd name` in backticks
  Values: "text" or 'text', 12, 1.5, true, false, null, @2024-05-01,
          @2024-05-01T12:00:00Z (timestamps)
"#;

/// Words that mean something on their own; a field with such a name stands in backticks.
const KEYWORDS: [&str; 13] = [
    "and", "or", "not", "in", "between", "contains", "matches", "imatches", "is", "exists", "true", "false",
    "null",
];

/// The keyword that a bare word is, in any case.
fn keyword(word: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|keyword| keyword.eq_ignore_ascii_case(word))
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn continues_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

impl Filter {
    /// Reads the syntax for people (see the [module](super)); what is wrong is `InvalidInput` with the place.
    pub fn parse(text: &str) -> Result<Self> {
        parser::parse(text)
    }
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}
