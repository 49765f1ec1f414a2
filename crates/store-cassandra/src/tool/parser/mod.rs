//! One SELECT of CQL 3, read from its first word to its last.
//!
//! What is not a SELECT, or is more than one, does not come through, whatever it begins with. The grammar is that of
//! Cassandra 5; what the server adds later is refused until it is added here.

mod reader;
mod terms;

use std::collections::BTreeSet;

use serde_json::Value as Json;
use store_core::{Error, Result};

use super::lexer::{Kind, Token, words};
use crate::schema::quoted;
use reader::shown;
use terms::Place;

/// The longest statement, in bytes. What is longer belongs into values.
const LONGEST: usize = 64 << 10;
/// How deep terms may stand in each other.
const DEEPEST: usize = 32;

/// A statement as it was understood.
#[derive(Debug, Default)]
pub(crate) struct Select {
    /// From `SELECT` to `FROM`.
    begin: String,
    pub(super) keyspace: Option<String>,
    pub(super) table: String,
    /// From the table to the limit.
    rest: String,
    pub(super) limit: Limit,
    /// `ALLOW FILTERING` was written.
    pub(super) filtering: bool,
    /// One row is made of many.
    pub(super) aggregates: bool,
    /// Names of columns, wherever they stand; and whether they were quoted.
    pub(super) columns: Vec<(String, bool)>,
    /// Columns that are equal to something, or in a list.
    pub(super) equal: BTreeSet<String>,
    /// The rows are the nearest to a vector.
    pub(super) nearest: bool,
    /// The names of the values to be bound, in order; `None` for `?`.
    pub(super) markers: Vec<Option<String>>,
    /// Functions of users, with their keyspaces.
    pub(super) functions: Vec<(Option<String>, String)>,
}

/// How many rows are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Limit {
    #[default]
    None,
    Rows(u64),
    /// The last of the values says it.
    Marker,
}

impl Select {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(Error::invalid_input(format!(
                "the statement has {} bytes, at most {LONGEST} are read; put ? in it and give the data as values",
                text.len()
            )));
        }
        let mut parser =
            Parser { text, tokens: words(text)?, next: 0, depth: 0, out: String::new(), is: Self::default() };
        parser.statement()?;
        Ok(parser.is)
    }

    /// The statement for the server, which answers at most so many rows.
    pub(crate) fn text(&self, keyspace: &str, rows: u64) -> String {
        let Self { begin, rest, table, .. } = self;
        let filtering = if self.filtering { " ALLOW FILTERING" } else { "" };
        format!("{begin} {}.{}{rest} LIMIT {rows}{filtering}", quoted(keyspace), quoted(table))
    }

    /// The given values in the order of the markers: an array for `?`, an object for `:name`.
    pub(super) fn values(&self, given: Option<&Json>) -> Result<Vec<Json>> {
        let wrong = |message: String| Err(Error::invalid_input(message));
        let none = Json::Array(Vec::new());
        let given = match given {
            None | Some(Json::Null) => &none,
            Some(given) => given,
        };
        let named: Vec<&String> = self.markers.iter().flatten().collect();
        match given {
            Json::Array(values) if values.len() == self.markers.len() && (named.is_empty() || values.is_empty()) => {
                Ok(values.clone())
            }
            Json::Object(values) if named.len() == self.markers.len() => {
                if let Some(name) = values.keys().find(|name| !named.contains(name)) {
                    return wrong(format!("there is a value for {name:?}, and no :{name} in the statement"));
                }
                let value = |name: &&String| {
                    let missing = || Error::invalid_input(format!("the value for :{name} is missing"));
                    values.get(*name).cloned().ok_or_else(missing)
                };
                named.iter().map(value).collect()
            }
            Json::Array(values) if named.is_empty() => wrong(format!(
                "the statement has {} markers (?), and {} values are given; give one for each, in order",
                self.markers.len(),
                values.len()
            )),
            Json::Array(_) | Json::Object(_) => wrong(
                "values are an array for markers (?), and an object for names (:name); a statement has one of both"
                    .to_owned(),
            ),
            _ => wrong("values are an array, or an object for named markers".to_owned()),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// What is read of the current part, written anew.
    out: String,
    is: Select,
}

impl Parser<'_> {
    fn statement(&mut self) -> Result<()> {
        match self.tokens.first().map(|token| &token.kind) {
            None => return Err(Error::invalid_input("the statement is empty; write a SELECT")),
            Some(Kind::Word(word, _)) if word == "select" => {}
            Some(first) => {
                return Err(Error::invalid_input(format!(
                    "only one SELECT can be run here, and the statement begins with {}",
                    shown(first)
                )));
            }
        }
        self.keyword("select")?;
        self.selected()?;
        self.keyword("from")?;
        self.is.begin = std::mem::take(&mut self.out);
        self.table()?;
        if self.skip("where") {
            self.out.push_str(" WHERE");
            self.list("and", Self::relation)?;
        }
        if self.skip("group") {
            self.out.push_str(" GROUP");
            self.keyword("by")?;
            self.is.aggregates = true;
            self.commas(|parser| parser.term(Place::Selected))?;
        }
        if self.skip("order") {
            self.out.push_str(" ORDER");
            self.keyword("by")?;
            self.commas(Self::ordering)?;
        }
        if self.skip("per") {
            self.out.push_str(" PER");
            self.keyword("partition")?;
            self.keyword("limit")?;
            if let Limit::Rows(rows) = self.limit()? {
                self.push(&rows.to_string());
            } else {
                self.push("?");
            }
        }
        if self.skip("limit") {
            self.is.limit = self.limit()?;
        }
        if self.skip("allow") {
            if !self.skip("filtering") {
                return self.expected("FILTERING");
            }
            self.is.filtering = true;
        }
        self.is.rest = std::mem::take(&mut self.out);
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let ended = self.is_mark(";");
        while self.skip_mark(";") {}
        match self.peek() {
            None => Ok(()),
            Some(kind) if ended => {
                self.wrong(&format!("only one statement can be run, and {} follows", shown(kind)))
            }
            Some(Kind::Word(word, _)) if word == "or" => {
                self.wrong("CQL has no OR; ask once for each side, or use IN for values of one column")
            }
            Some(Kind::Word(word, _))
                if ["join", "inner", "left", "having", "offset", "union"].contains(&word.as_str()) =>
            {
                self.wrong(&format!(
                    "CQL has no {}; read one table by its key at a time",
                    word.to_uppercase()
                ))
            }
            Some(_) => self.expected("the end of the statement"),
        }
    }

    fn selected(&mut self) -> Result<()> {
        // These are names too, where a list of what is selected can go on after them.
        for modifier in ["json", "distinct"] {
            let goes_on = match self.tokens.get(self.next + 1).map(|token| &token.kind) {
                Some(Kind::Word(word, _)) => word == "from" || word == "as",
                Some(Kind::Mark(mark)) => *mark != "*" && *mark != "-" && *mark != "(",
                other => other.is_none(),
            };
            if self.is_word(modifier) && !goes_on {
                self.keyword(modifier)?;
            }
        }
        if self.skip_mark("*") {
            self.push("*");
            return Ok(());
        }
        self.commas(|parser| {
            parser.term(Place::Selected)?;
            if parser.is_word("as") {
                parser.keyword("as")?;
                let (alias, _) = parser.name("a name for what is selected")?;
                parser.push(&quoted(&alias));
            }
            Ok(())
        })
    }

    fn table(&mut self) -> Result<()> {
        if self.is_mark("(") {
            return self.wrong("CQL has no nested statements; read the one table, then the other");
        }
        let (first, _) = self.name("a table")?;
        if self.skip_mark(".") {
            let (table, _) = self.name("a table")?;
            (self.is.keyspace, self.is.table) = (Some(first), table);
        } else {
            self.is.table = first;
        }
        if self.is_mark(",") {
            return self.wrong("a statement reads one table, CQL has no joins");
        }
        Ok(())
    }

    fn relation(&mut self) -> Result<()> {
        self.deeper(|parser| {
            let after = parser.tokens.get(parser.next + 2).map(|token| &token.kind);
            if parser.is_mark("(") && matches!(after, Some(Kind::Mark("," | ")"))) {
                return parser.tuple_relation();
            }
            if parser.is_mark("(") {
                parser.mark("(")?;
                parser.relation()?;
                return parser.mark(")");
            }
            if parser.is_word("token") {
                parser.keyword("token")?;
                parser.mark("(")?;
                parser.commas(|parser| parser.column().map(|_| ()))?;
                parser.mark(")")?;
                parser.comparison()?;
                return parser.term(Place::Value);
            }
            let column = parser.column()?;
            if parser.is_mark("(") {
                return parser.wrong("only columns and token(…) can be compared");
            }
            if parser.is_mark("[") {
                parser.mark("[")?;
                parser.term(Place::Value)?;
                parser.mark("]")?;
                parser.comparison()?;
                return parser.term(Place::Value);
            }
            parser.compared(column)
        })
    }

    /// What stands after a column.
    fn compared(&mut self, column: String) -> Result<()> {
        if self.is_word("not") {
            self.keyword("not")?;
            if !self.is_word("in") && !self.is_word("contains") {
                return self.expected("IN or CONTAINS");
            }
            if self.is_word("in") {
                return self.within();
            }
        } else if self.is_word("in") {
            self.is.equal.insert(column);
            return self.within();
        }
        if self.is_word("contains") {
            self.keyword("contains")?;
            if self.is_word("key") {
                self.keyword("key")?;
            }
            return self.term(Place::Value);
        }
        if self.is_word("like") {
            self.keyword("like")?;
            return self.term(Place::Value);
        }
        if self.is_word("between") {
            self.keyword("between")?;
            self.term(Place::Value)?;
            self.keyword("and")?;
            return self.term(Place::Value);
        }
        if self.comparison()? == "=" {
            self.is.equal.insert(column);
        }
        self.term(Place::Value)
    }

    /// `(a, b) > (1, 2)`
    fn tuple_relation(&mut self) -> Result<()> {
        self.mark("(")?;
        self.commas(|parser| parser.column().map(|_| ()))?;
        self.mark(")")?;
        if self.is_word("in") {
            return self.within();
        }
        self.comparison()?;
        self.term(Place::Value)
    }

    fn within(&mut self) -> Result<()> {
        self.keyword("in")?;
        if self.is_mark("?") || self.is_mark(":") {
            return self.term(Place::Value);
        }
        self.mark("(")?;
        if !self.is_mark(")") {
            self.commas(|parser| parser.term(Place::Value))?;
        }
        self.mark(")")
    }

    fn comparison(&mut self) -> Result<&'static str> {
        match self.peek() {
            Some(&Kind::Mark(mark @ ("=" | "<" | "<=" | ">" | ">=" | "!="))) => {
                self.mark(mark)?;
                Ok(mark)
            }
            _ => self.expected("one of = < <= > >= != IN CONTAINS"),
        }
    }

    fn ordering(&mut self) -> Result<()> {
        self.column()?;
        if self.is_word("ann") {
            self.keyword("ann")?;
            self.keyword("of")?;
            self.is.nearest = true;
            self.term(Place::Value)?;
        }
        for direction in ["asc", "desc"] {
            if self.is_word(direction) {
                return self.keyword(direction);
            }
        }
        Ok(())
    }

    fn limit(&mut self) -> Result<Limit> {
        if self.marker()? {
            return Ok(Limit::Marker);
        }
        match self.peek() {
            Some(Kind::Literal(number)) => match number.parse() {
                Ok(rows) if rows > 0 => {
                    self.next += 1;
                    Ok(Limit::Rows(rows))
                }
                _ => self.wrong("a limit is a whole number above 0"),
            },
            _ => self.wrong("a limit is a whole number above 0"),
        }
    }

    /// Reads `?` or `:name`, if one stands here.
    fn marker(&mut self) -> Result<bool> {
        if self.skip_mark("?") {
            self.is.markers.push(None);
        } else if self.skip_mark(":") {
            let (name, _) = self.name("the name of a value")?;
            self.is.markers.push(Some(name));
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
