//! The words of a CQL statement ("CQL", chapter "Definitions").
//!
//! A statement is sent as it was understood here, word for word written anew, never as it came: what a comment, a string
//! or a quote hides from this reader can then not reach the server.

use store_core::{Error, Result};

/// A word, and where it begins: the number of bytes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name without quotes, in lower case; and as it was written.
    Word(String, String),
    /// A name in double quotes.
    Quoted(String),
    /// A string.
    Text(String),
    /// A number, a blob, a duration or a UUID, as it was written.
    Literal(String),
    /// All else.
    Mark(&'static str),
}

/// The longer ones first.
const MARKS: [&str; 23] = [
    "<=", ">=", "!=", "..", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "*", "+", "-",
    "/", "%", "?",
];
/// The units of durations, the longer ones first.
const UNITS: [&str; 11] = ["mo", "ms", "us", "µs", "ns", "y", "w", "d", "h", "m", "s"];

/// Reads a statement's words.
pub(super) fn words(text: &str) -> Result<Vec<Token>> {
    let mut reader = Reader { text, rest: text };
    let mut tokens = Vec::new();
    loop {
        reader.skip_blanks()?;
        if reader.rest.is_empty() {
            return Ok(tokens);
        }
        let at = text.len() - reader.rest.len();
        tokens.push(Token { kind: reader.word()?, at });
    }
}

/// Where a byte of the statement is, for a person.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).map_or(0, |before| before.chars().count());
    format!("at character {} of the statement", before + 1)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, what: &str) -> Result<T> {
        Err(Error::invalid_input(format!("{what}, {}", place(self.text, self.text.len() - self.rest.len()))))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) -> Result<()> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
            if self.rest.starts_with("--") || self.rest.starts_with("//") {
                let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
                self.take(end);
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else { return self.wrong("the comment does not end") };
                self.take(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Result<Kind> {
        if let Some(kind) = self.uuid() {
            return Ok(kind);
        }
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            'a'..='z' | 'A'..='Z' => {
                let written = self.name();
                Ok(Kind::Word(written.to_ascii_lowercase(), written.to_owned()))
            }
            '0'..='9' => self.number(),
            '\'' => Ok(Kind::Text(self.quoted('\'', "the string")?)),
            '"' => {
                let name = self.quoted('"', "the name in double quotes")?;
                if name.is_empty() {
                    self.wrong("a name in double quotes is empty")
                } else {
                    Ok(Kind::Quoted(name))
                }
            }
            '$' if self.rest.starts_with("$$") => {
                let Some((text, _)) = self.rest.get(2..).and_then(|rest| rest.split_once("$$")) else {
                    return self.wrong("the string that begins with $$ does not end");
                };
                self.take(text.len() + 4);
                Ok(Kind::Text(text.to_owned()))
            }
            _ => self.mark(),
        }
    }

    fn mark(&mut self) -> Result<Kind> {
        let Some(mark) = MARKS.into_iter().find(|mark| self.rest.starts_with(mark)) else {
            let first: String = self.rest.chars().take(1).collect();
            return self.wrong(&format!("{first:?} has no place in CQL outside of strings and quoted names"));
        };
        self.take(mark.len());
        Ok(Kind::Mark(mark))
    }

    fn name(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        self.take(end)
    }

    /// What stands between two of the quotes; two in a row are one of them.
    fn quoted(&mut self, quote: char, what: &str) -> Result<String> {
        let mut text = String::new();
        let mut rest = self.rest.strip_prefix(quote).unwrap_or(self.rest);
        loop {
            let Some((part, after)) = rest.split_once(quote) else {
                return self.wrong(&format!("{what} does not end"));
            };
            text.push_str(part);
            let Some(after) = after.strip_prefix(quote) else {
                self.rest = after;
                return Ok(text);
            };
            text.push(quote);
            rest = after;
        }
    }

    /// Thirty-two digits in five groups.
    fn uuid(&mut self) -> Option<Kind> {
        let text = self.rest.get(..36)?;
        let digits = text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        digits.then(|| Kind::Literal(self.take(36).to_owned()))
    }

    fn number(&mut self) -> Result<Kind> {
        let (begin, text) = (self.rest, self.rest);
        if let Some(rest) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
            self.take(2 + digits);
        } else {
            self.digits();
            if self.rest.starts_with('.') && !self.rest.starts_with("..") {
                self.take(1);
                self.digits();
            }
            let exponent = self.rest.strip_prefix(['e', 'E']);
            let exponent = exponent.map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
            if let Some(rest) = exponent
                && rest.starts_with(|c: char| c.is_ascii_digit())
            {
                self.take(self.rest.len() - rest.len());
                self.digits();
            }
            self.units();
        }
        if self.rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            self.rest = begin;
            return self.wrong("a number and a name stand together without a space");
        }
        let length = begin.len() - self.rest.len();
        Ok(Kind::Literal(begin.get(..length).unwrap_or_default().to_owned()))
    }

    fn digits(&mut self) {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        self.take(end);
    }

    /// The rest of a duration: `1` was read of `1h30m`.
    fn units(&mut self) {
        let lower = |rest: &str| rest.chars().take(2).collect::<String>().to_lowercase();
        while let Some(unit) = UNITS.into_iter().find(|unit| lower(self.rest).starts_with(unit)) {
            self.take(unit.len());
            self.digits();
        }
    }
}
