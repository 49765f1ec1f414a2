//! JSON: an object is a document; an array of objects is read one by one, never whole.

use std::error::Error as _;
use std::io::{self, BufRead};
use std::ops::ControlFlow;

use nodestore::Error;
use nodestore::python::parse_json;
use serde_json::Value;

use super::input::{can_not_be_read, limit, text};
use super::rows::Types;
use super::{Input, Item, Origin, Out, RowOptions};

pub(super) fn read(
    input: &mut Input,
    origin: &Origin,
    rows: &RowOptions,
    out: &mut Out<'_>,
) -> ControlFlow<()> {
    let mut file = File { input, line: 1, column: 1, number: 0 };
    let broken = match file.read(origin, rows, out) {
        Ok(flow) => return flow,
        Err(broken) => broken,
    };
    let kept = match file.number {
        0 => String::new(),
        1 => "; row 1 is kept, what follows was not read".to_owned(),
        number => format!("; rows 1 to {number} are kept, what follows was not read"),
    };
    let place = match broken.place {
        Some((line, column)) => format!("{}:{line}:{column}", origin.shown),
        None => origin.shown.clone(),
    };
    out(Item::Failed { place, why: format!("{}{kept}", broken.why), bytes: file.input.take_bytes() })
}

/// Why the rest of a file can not be read.
struct Broken {
    place: Option<(usize, usize)>,
    why: String,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self { place: None, why: can_not_be_read(&error) }
    }
}

struct File<'a> {
    input: &'a mut Input,
    /// The place of the next byte, from 1; columns are in bytes.
    line: usize,
    column: usize,
    /// Rows of an array that were read.
    number: u64,
}

impl File<'_> {
    fn read(
        &mut self,
        origin: &Origin,
        rows: &RowOptions,
        out: &mut Out<'_>,
    ) -> Result<ControlFlow<()>, Broken> {
        match self.next()? {
            None => Err(Broken { place: None, why: "is empty, and no JSON".to_owned() }),
            Some(b'[') => {
                self.skip(1);
                self.array(origin, rows, out)
            }
            Some(b'{') => {
                let place = (self.line, self.column);
                let value = self.value()?;
                if let Some(more) = self.next()? {
                    let why = if more == b'{' {
                        "a second object begins; if each line holds one, say --format jsonl"
                    } else {
                        "something follows the object"
                    };
                    return Err(self.broken(why));
                }
                let document = match value {
                    Value::Object(object) => {
                        let number = None;
                        rows.document(origin, number, object, Types::Own)
                    }
                    other => Err(not_an_object("the file", &other)),
                };
                Ok(out(self.item(origin, place.0, document)))
            }
            Some(_) => Err(self.broken("neither an object nor an array of objects begins here")),
        }
    }

    fn array(
        &mut self,
        origin: &Origin,
        rows: &RowOptions,
        out: &mut Out<'_>,
    ) -> Result<ControlFlow<()>, Broken> {
        loop {
            match self.next()? {
                Some(b']') if self.number == 0 => break,
                Some(b']') => return Err(self.broken("a row is missing behind the comma")),
                Some(_) => {}
                None => return Err(self.broken("the file ends inside its array")),
            }
            let line = self.line;
            let value = self.value()?;
            self.number += 1;
            let document = match value {
                Value::Object(row) => rows.document(origin, Some(self.number), row, Types::Own),
                other => Err(not_an_object(&format!("row {}", self.number), &other)),
            };
            if out(self.item(origin, line, document)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            match self.next()? {
                Some(b',') => self.skip(1),
                Some(b']') => break,
                Some(_) => return Err(self.broken("a comma or ] is missing")),
                None => return Err(self.broken("the file ends inside its array")),
            }
        }
        self.skip(1);
        match self.next()? {
            Some(_) => Err(self.broken("something follows the array")),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn item(&mut self, origin: &Origin, line: usize, document: Result<nodestore::Document, String>) -> Item {
        let bytes = self.input.take_bytes();
        match document {
            Ok(document) => Item::document(document, bytes),
            Err(why) => Item::Failed { place: format!("{}:{line}", origin.shown), why, bytes },
        }
    }

    fn broken(&self, why: &str) -> Broken {
        Broken { place: Some((self.line, self.column)), why: why.to_owned() }
    }

    /// The next byte that is no white space; it stays.
    fn next(&mut self) -> Result<Option<u8>, Broken> {
        loop {
            let bytes = self.input.fill_buf()?;
            let Some(first) = bytes.first().copied() else { return Ok(None) };
            let length = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let found = bytes.get(length).copied();
            if length == 0 {
                return Ok(Some(first));
            }
            self.skip(length);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Passes over bytes of the buffer.
    fn skip(&mut self, length: usize) {
        let bytes = self.input.buffered();
        for byte in bytes.get(..length).unwrap_or_default() {
            if *byte == b'\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.input.consume(length);
    }

    /// The value that begins here.
    fn value(&mut self) -> Result<Value, Broken> {
        let (line, column) = (self.line, self.column);
        let mut extent = Extent::default();
        let mut value = Vec::new();
        loop {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                let why = format!("the file ends inside the row that begins on line {line}");
                return Err(self.broken(&why));
            }
            let (length, ended) = match bytes.iter().position(|byte| extent.ends_at(*byte)) {
                Some(end) => (end + usize::from(extent.takes_last), true),
                None => (bytes.len(), false),
            };
            value.extend_from_slice(bytes.get(..length).unwrap_or_default());
            self.skip(length);
            if value.len() as u64 > self.input.most_bytes() {
                let why = format!("the row has more than {}", limit(self.input.most_bytes()));
                return Err(Broken { place: Some((line, column)), why });
            }
            if ended {
                break;
            }
        }
        let text = text(value).map_err(|why| Broken { place: Some((line, column)), why })?;
        parse_json(&text).map_err(|error| {
            let (down, across, why) = place_of(&error);
            let column = if down <= 1 { column + across.saturating_sub(1) } else { across };
            Broken { place: Some((line + down.saturating_sub(1), column)), why }
        })
    }
}

/// Finds where a value ends, without judging it.
#[derive(Default)]
struct Extent {
    depth: usize,
    at: At,
    begun: bool,
    /// The byte at which it ended is part of it.
    takes_last: bool,
}

/// Where in a value a byte stands.
#[derive(Default)]
enum At {
    #[default]
    Outside,
    String,
    /// Behind a backslash in a string.
    Escape,
}

impl Extent {
    fn ends_at(&mut self, byte: u8) -> bool {
        let first = !std::mem::replace(&mut self.begun, true);
        match (&self.at, byte) {
            (At::Escape, _) | (At::Outside, b'"') => self.at = At::String,
            (At::String, b'\\') => self.at = At::Escape,
            (At::String, b'"') => {
                self.at = At::Outside;
                self.takes_last = true;
                return self.depth == 0;
            }
            (At::Outside, b'{' | b'[') => self.depth += 1,
            (At::Outside, b'}' | b']') if self.depth > 0 => {
                self.depth -= 1;
                self.takes_last = true;
                return self.depth == 0;
            }
            // A number or a word ends before these; at the first byte there is nothing, which the parser refuses.
            (At::Outside, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') if self.depth == 0 => {
                self.takes_last = first;
                return true;
            }
            (At::String | At::Outside, _) => {}
        }
        false
    }
}

/// Line, column and message of a parser's error.
pub(super) fn place_of(error: &Error) -> (usize, usize, String) {
    let parser = error.source().and_then(|source| source.downcast_ref::<serde_json::Error>());
    let Some(parser) = parser else { return (1, 1, error.message().to_owned()) };
    let message = parser.to_string();
    let place = format!(" at line {} column {}", parser.line(), parser.column());
    let why = message.strip_suffix(&place).unwrap_or(&message);
    (parser.line(), parser.column(), format!("is not JSON here: {why}"))
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn not_an_object(what: &str, value: &Value) -> String {
    format!("{what} is {}, not an object", kind(value))
}
