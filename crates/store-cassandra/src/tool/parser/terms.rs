//! Values, columns, and what is done to them.

use store_core::Result;

use super::super::lexer::Kind;
use super::super::names::{AGGREGATES, TYPES, is_native};
use super::Parser;
use crate::schema::{quoted, string};

/// Words that are values.
const CONSTANTS: [&str; 5] = ["false", "infinity", "nan", "null", "true"];

/// Where a term stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Among what is selected or grouped: columns may stand there.
    Selected,
    /// Among values.
    Value,
}

impl Parser<'_> {
    /// Values and columns with what is done to them.
    pub(super) fn term(&mut self, place: Place) -> Result<()> {
        self.deeper(|parser| {
            loop {
                parser.operand(place)?;
                let Some(&Kind::Mark(mark @ ("+" | "-" | "*" | "/" | "%"))) = parser.peek() else {
                    return Ok(());
                };
                parser.mark(mark)?;
            }
        })
    }

    fn operand(&mut self, place: Place) -> Result<()> {
        while self.is_mark("-") {
            self.next += 1;
            // A sign belongs to its number; two of them in a row would begin a comment.
            if let Some(Kind::Literal(number)) = self.peek() {
                let number = format!("-{number}");
                self.next += 1;
                self.push(&number);
                return Ok(());
            }
            self.push("-");
        }
        self.primary(place)?;
        loop {
            if self.is_mark("[") {
                self.mark("[")?;
                if !self.is_mark("..") {
                    self.term(Place::Value)?;
                }
                if self.is_mark("..") {
                    self.mark("..")?;
                    if !self.is_mark("]") {
                        self.term(Place::Value)?;
                    }
                }
                self.mark("]")?;
            } else if self.is_mark(".") {
                self.mark(".")?;
                let (field, _) = self.name("a field")?;
                self.push(&quoted(&field));
            } else {
                return Ok(());
            }
        }
    }

    fn primary(&mut self, place: Place) -> Result<()> {
        let literal = match self.peek() {
            Some(Kind::Text(text)) => Some(string(text)),
            Some(Kind::Literal(text)) => Some(text.clone()),
            Some(Kind::Word(word, _)) => CONSTANTS.into_iter().find(|known| word == known).map(str::to_owned),
            _ => None,
        };
        if let Some(literal) = literal {
            self.next += 1;
            self.push(&literal);
            return Ok(());
        }
        match self.peek().cloned() {
            Some(Kind::Mark("?" | ":")) => {
                self.marker()?;
                self.push("?");
                Ok(())
            }
            Some(Kind::Mark("(")) => self.parentheses(place),
            Some(Kind::Mark("[")) => {
                self.mark("[")?;
                if !self.is_mark("]") {
                    self.commas(|parser| parser.term(place))?;
                }
                self.mark("]")
            }
            Some(Kind::Mark("{")) => self.braces(place),
            Some(Kind::Word(..) | Kind::Quoted(_)) if self.is_call() => self.call(place),
            Some(Kind::Word(_, written)) if place == Place::Value => self.wrong(&format!(
                "{written} is no value: a text stands in single quotes ('{written}'), or better among the values with ? \
                 in its place"
            )),
            Some(Kind::Quoted(name)) if place == Place::Value => {
                self.wrong(&format!("double quotes are for names; a text stands in single quotes: '{name}'"))
            }
            Some(Kind::Word(..) | Kind::Quoted(_)) => self.column().map(|_| ()),
            _ => self.expected(if place == Place::Value { "a value" } else { "a column" }),
        }
    }

    /// A tuple, a term in parentheses, or a type before a term.
    fn parentheses(&mut self, place: Place) -> Result<()> {
        let word = |place: usize| self.tokens.get(place).map(|token| &token.kind);
        let hint = match (word(self.next + 1), word(self.next + 2), word(self.next + 3)) {
            (Some(Kind::Word(name, _)), Some(Kind::Mark(")")), Some(next)) => {
                TYPES.into_iter().find(|known| name == known).filter(
                    |_| !matches!(next, Kind::Mark(mark) if !["(", "[", "{", "-", "?", ":"].contains(mark)),
                )
            }
            _ => None,
        };
        self.mark("(")?;
        if let Some(hint) = hint {
            self.next += 1;
            self.push(hint);
            self.mark(")")?;
            return self.deeper(|parser| parser.operand(place));
        }
        self.commas(|parser| parser.term(place))?;
        self.mark(")")
    }

    /// A set, a map, or the fields of a user-defined type.
    fn braces(&mut self, place: Place) -> Result<()> {
        self.mark("{")?;
        if !self.is_mark("}") {
            self.commas(|parser| {
                let after = parser.tokens.get(parser.next + 1).map(|token| &token.kind);
                let field = matches!(parser.peek(), Some(Kind::Word(..) | Kind::Quoted(_)));
                if field && matches!(after, Some(Kind::Mark(":"))) {
                    let (name, _) = parser.name("a field")?;
                    parser.push(&quoted(&name));
                } else {
                    parser.term(place)?;
                }
                if parser.is_mark(":") {
                    parser.mark(":")?;
                    parser.term(place)?;
                }
                Ok(())
            })?;
        }
        self.mark("}")
    }

    /// Whether a function stands here: a name, or two with a point between, and a parenthesis.
    fn is_call(&self) -> bool {
        let kind = |ahead: usize| self.tokens.get(self.next + ahead).map(|token| &token.kind);
        let is = |ahead: usize, mark: &str| matches!(kind(ahead), Some(Kind::Mark(found)) if *found == mark);
        is(1, "(") || is(1, ".") && is(3, "(")
    }

    fn call(&mut self, place: Place) -> Result<()> {
        // Some of Cassandra's functions are keywords, so this is not `name`.
        let part = |parser: &mut Self| match parser.take() {
            Some(Kind::Word(name, _) | Kind::Quoted(name)) => Ok(name),
            _ => parser.expected("a function"),
        };
        let first = part(self)?;
        let function = if self.skip_mark(".") { (Some(first), part(self)?) } else { (None, first) };
        let native = matches!(&function, (None, name) if is_native(name))
            || matches!(&function, (Some(keyspace), name) if keyspace == "system" && is_native(name));
        let name = function.1.clone();
        if native {
            self.push(&name);
            self.is.aggregates |= AGGREGATES.contains(&name.as_str());
        } else {
            let keyspace = function.0.as_deref().map(|keyspace| format!("{}.", quoted(keyspace)));
            self.push(&format!("{}{}", keyspace.unwrap_or_default(), quoted(&name)));
            // It may be one that makes one row of many.
            self.is.aggregates = true;
            self.is.functions.push(function);
        }
        self.mark("(")?;
        if native && name == "count" && self.is_mark("*") {
            self.mark("*")?;
        } else if !self.is_mark(")") {
            self.commas(|parser| parser.term(place))?;
        }
        if native && name == "cast" {
            self.keyword("as")?;
            let kind = match self.take() {
                Some(Kind::Word(kind, _)) if TYPES.contains(&kind.as_str()) => kind,
                _ => return self.expected("a type of one word"),
            };
            self.push(&kind);
        }
        self.mark(")")
    }
}
