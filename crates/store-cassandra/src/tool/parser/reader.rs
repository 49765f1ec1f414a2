//! The next word, and what is written of it.

use store_core::{Error, Result};

use super::super::lexer::{Kind, place};
use super::super::names::RESERVED;
use super::{DEEPEST, Parser};
use crate::schema::quoted;

impl Parser<'_> {
    /// A column, which must be one of the table.
    pub(super) fn column(&mut self) -> Result<String> {
        let (name, quotes) = self.name("a column")?;
        self.push(&quoted(&name));
        self.is.columns.push((name.clone(), quotes));
        Ok(name)
    }

    /// A name, and whether it stands in quotes.
    pub(super) fn name(&mut self, what: &str) -> Result<(String, bool)> {
        let name = match self.peek() {
            Some(Kind::Word(word, _)) if !RESERVED.contains(&word.as_str()) => (word.clone(), false),
            Some(Kind::Quoted(name)) => (name.clone(), true),
            _ => return self.expected(what),
        };
        self.next += 1;
        Ok(name)
    }

    pub(super) fn commas(&mut self, one: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            one(self)?;
            if !self.is_mark(",") {
                return Ok(());
            }
            self.mark(",")?;
        }
    }

    pub(super) fn list(&mut self, between: &str, one: impl Fn(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            one(self)?;
            if !self.is_word(between) {
                return Ok(());
            }
            self.keyword(between)?;
        }
    }

    pub(super) fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.wrong(&format!("the statement is nested deeper than {DEEPEST} levels"));
        }
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    pub(super) fn take(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.next += 1;
        kind
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Word(found, _)) if found == word)
    }

    pub(super) fn is_mark(&self, mark: &str) -> bool {
        matches!(self.peek(), Some(Kind::Mark(found)) if *found == mark)
    }

    pub(super) fn skip(&mut self, word: &str) -> bool {
        let skipped = self.is_word(word);
        self.next += usize::from(skipped);
        skipped
    }

    pub(super) fn skip_mark(&mut self, mark: &str) -> bool {
        let skipped = self.is_mark(mark);
        self.next += usize::from(skipped);
        skipped
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<()> {
        if !self.skip(word) {
            return self.expected(&word.to_uppercase());
        }
        self.push(&word.to_uppercase());
        Ok(())
    }

    pub(super) fn mark(&mut self, mark: &str) -> Result<()> {
        if !self.skip_mark(mark) {
            return self.expected(mark);
        }
        self.push(mark);
        Ok(())
    }

    pub(super) fn push(&mut self, word: &str) {
        if !self.out.is_empty() || !self.is.begin.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(word);
    }

    pub(super) fn expected<T>(&self, what: &str) -> Result<T> {
        let found = self.peek().map_or_else(|| "it ends".to_owned(), shown);
        self.wrong(&format!("{what} is expected, and {found} stands there"))
    }

    pub(super) fn wrong<T>(&self, what: &str) -> Result<T> {
        let at = self
            .tokens
            .get(self.next)
            .map_or_else(|| "at the end of the statement".to_owned(), |token| place(self.text, token.at));
        Err(Error::invalid_input(format!("{what}, {at}")))
    }
}

pub(super) fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Word(_, written) | Kind::Literal(written) => written.chars().take(40).collect(),
        Kind::Quoted(_) => "a quoted name".to_owned(),
        Kind::Text(_) => "a string".to_owned(),
        Kind::Mark(mark) => (*mark).to_owned(),
    }
}
