//! Reading a JSON file too large for memory: it hands out one value after the other, with its place.
//!
//! It reads JSON as Python writes it, so `NaN` and `Infinity` are numbers, and judges every byte: what it lets
//! through, [`parse_json`](crate::python::parse_json) can read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::python::parse_json_telling;
use crate::{Error, Result};

/// Bytes read from the file at once.
const BUFFER: usize = 256 << 10;
/// Bytes read at once where single values are looked up.
const SMALL_BUFFER: usize = 16 << 10;
/// Deepest nesting within a value; what reads it into memory takes no more.
const DEEPEST: usize = 120;
/// Longest key, in bytes.
const LONGEST_KEY: usize = 1 << 20;

/// A place in a file; lines and columns count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) column: u64,
}

/// What was read of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) place: Place,
    /// Its length in the file, in bytes.
    pub(super) length: u64,
}

/// An object that is being read; knows whether a comma must come.
#[derive(Debug, Default)]
pub(super) struct Members {
    begun: bool,
}

/// A reader of one file.
#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    name: String,
    buffer: Vec<u8>,
    capacity: usize,
    /// The next byte, in the buffer.
    at: usize,
    /// Where the buffer begins in the file.
    base: u64,
    line: u64,
    line_start: u64,
    /// Where the value that is kept begins in the buffer.
    mark: Option<usize>,
    kept: Vec<u8>,
    /// Most bytes to keep.
    limit: usize,
    /// Values in which something could not be kept exactly.
    lossy: AtomicUsize,
}

impl Scanner {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_capacity(path, BUFFER)
    }

    /// For looking up single values.
    pub(super) fn open_small(path: &Path) -> Result<Self> {
        Self::with_capacity(path, SMALL_BUFFER)
    }

    fn with_capacity(path: &Path, capacity: usize) -> Result<Self> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        let name = path.display().to_string();
        let (buffer, kept) = (Vec::new(), Vec::new());
        Ok(Self {
            file,
            name,
            buffer,
            capacity,
            at: 0,
            base: 0,
            line: 1,
            line_start: 0,
            mark: None,
            kept,
            limit: 0,
            lossy: AtomicUsize::new(0),
        })
    }

    /// Goes to a place; what comes next must be what came there before.
    pub(super) fn go_to(&mut self, place: Place) -> Result<()> {
        self.line = place.line;
        self.line_start = place.offset - (place.column - 1);
        let within = place.offset.checked_sub(self.base).and_then(|within| usize::try_from(within).ok());
        if let Some(within) = within.filter(|within| *within < self.buffer.len()) {
            self.at = within;
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(place.offset)).map_err(|error| self.failed(error))?;
        self.base = place.offset;
        self.buffer.clear();
        self.at = 0;
        Ok(())
    }

    /// Goes to an offset where the line does not matter.
    pub(super) fn go_to_offset(&mut self, offset: u64) -> Result<()> {
        self.go_to(Place { offset, line: 1, column: 1 })
    }

    /// How many of the values that were parsed lost something.
    pub(super) fn lossy(&self) -> usize {
        self.lossy.load(Ordering::Relaxed)
    }

    /// How many bytes were read.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    pub(super) fn place(&self) -> Place {
        let offset = self.offset();
        Place { offset, line: self.line, column: offset - self.line_start + 1 }
    }

    /// Line and column of an offset, by reading the file again: for errors.
    pub(super) fn place_of(&mut self, offset: u64) -> Result<Place> {
        self.file.seek(SeekFrom::Start(0)).map_err(|error| self.failed(error))?;
        let (mut line, mut line_start) = (1, 0);
        let mut before = std::io::BufReader::new(&self.file).take(offset).bytes();
        let mut at = 0;
        while let Some(byte) = before.next().transpose().map_err(|error| self.failed(error))? {
            at += 1;
            if byte == b'\n' {
                line += 1;
                line_start = at;
            }
        }
        Ok(Place { offset, line, column: offset - line_start + 1 })
    }

    /// An error about a place of this file.
    pub(super) fn broken(&self, place: Place, why: impl std::fmt::Display) -> Error {
        at(&self.name, place, why)
    }

    /// An error about a byte of a value that was read.
    pub(super) fn broken_within(&self, place: Place, value: &[u8], byte: usize, why: &str) -> Error {
        let before = value.get(..byte).unwrap_or(value);
        let lines = before.split(|byte| *byte == b'\n').count() - 1;
        let column = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => (before.len() - last) as u64,
            None => place.column + before.len() as u64,
        };
        let offset = place.offset + before.len() as u64;
        self.broken(Place { offset, line: place.line + lines as u64, column }, why)
    }

    fn failed(&self, error: std::io::Error) -> Error {
        unreadable(Path::new(&self.name), error)
    }

    fn cut(&self, expected: &str) -> Error {
        let why = format!("the file ends where {expected} should stand; it was cut short");
        self.broken(self.place(), why)
    }

    /// The next byte, if there is one.
    fn peek(&mut self) -> Result<Option<u8>> {
        match self.buffer.get(self.at) {
            Some(byte) => Ok(Some(*byte)),
            None => self.fill(),
        }
    }

    fn fill(&mut self) -> Result<Option<u8>> {
        self.keep_marked();
        if self.mark.is_some() {
            self.mark = Some(0);
        }
        self.base += self.buffer.len() as u64;
        self.buffer.clear();
        self.at = 0;
        let mut part = (&self.file).take(self.capacity as u64);
        if let Err(error) = part.read_to_end(&mut self.buffer) {
            return Err(self.failed(error));
        }
        Ok(self.buffer.first().copied())
    }

    fn need(&mut self, expected: &str) -> Result<u8> {
        match self.peek()? {
            Some(byte) => Ok(byte),
            None => Err(self.cut(expected)),
        }
    }

    fn unexpected(&mut self, expected: &str) -> Error {
        let found = match self.buffer.get(self.at) {
            Some(byte @ b' '..=b'~') => format!("{:?}", char::from(*byte)),
            Some(byte) => format!("the byte 0x{byte:02x}"),
            None => "the end of the file".to_owned(),
        };
        self.broken(self.place(), format!("{found} stands where {expected} is expected; this is no JSON"))
    }

    fn space(&mut self) -> Result<()> {
        while let Some(byte @ (b' ' | b'\n' | b'\r' | b'\t')) = self.peek()? {
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
                self.line_start = self.offset();
            }
        }
        Ok(())
    }

    /// Begins the file: passes over a byte order mark, refuses what is plainly no JSON object, and enters it.
    pub(super) fn begin(&mut self) -> Result<Members> {
        self.peek()?;
        let start = self.buffer.get(..4).unwrap_or(&self.buffer);
        if start.is_empty() {
            return Err(self.broken(self.place(), "the file is empty"));
        }
        if matches!(start, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..]) {
            return Err(
                self.broken(self.place(), "the file is no UTF-8 text, so it is no JSON that Python wrote")
            );
        }
        if start.starts_with(&[0xEF, 0xBB, 0xBF]) {
            self.at += 3;
        }
        self.space()?;
        if self.need("an object")? != b'{' {
            return Err(self.unexpected("the `{` of an object"));
        }
        self.at += 1;
        Ok(Members::default())
    }

    /// Enters the object that comes next. `None` when it is `null`, which is passed over.
    pub(super) fn enter(&mut self, what: &str) -> Result<Option<Members>> {
        self.space()?;
        match self.need(what)? {
            b'{' => {
                self.at += 1;
                Ok(Some(Members::default()))
            }
            b'n' => self.word(b"null").map(|()| None),
            _ => {
                let place = self.place();
                Err(self.broken(place, format!("{what} must be a JSON object, and is not")))
            }
        }
    }

    /// The next key of the object, with the place of it; its value comes next. `None` at the object's end.
    pub(super) fn next_key(&mut self, members: &mut Members) -> Result<Option<(Place, String)>> {
        self.space()?;
        match self.need("`,` or `}`")? {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if members.begun => {
                self.at += 1;
                self.space()?;
            }
            _ if members.begun => return Err(self.unexpected("`,` or `}`")),
            _ => {}
        }
        members.begun = true;
        self.key_here().map(Some)
    }

    /// The key that stands here, and the colon after it.
    pub(super) fn key_here(&mut self) -> Result<(Place, String)> {
        let place = self.place();
        let mut raw = std::mem::take(&mut self.kept);
        self.start_keeping(&mut raw, LONGEST_KEY);
        let read = self.key();
        let raw = self.stop_keeping();
        let length = read?;
        if length > LONGEST_KEY as u64 {
            return Err(self.broken(place, "the key has more than a megabyte"));
        }
        let Value::String(key) = self.parse(Extent { place, length }, &raw)? else {
            return Err(self.broken(place, "the key is no text"));
        };
        self.kept = raw;
        Ok((place, key))
    }

    /// A key and the colon after it; answers the key's length.
    fn key(&mut self) -> Result<u64> {
        if self.need("a key")? != b'"' {
            return Err(self.unexpected("a key in double quotes"));
        }
        let start = self.offset();
        self.string()?;
        let length = self.offset() - start;
        self.keep_marked();
        self.mark = None;
        self.space()?;
        if self.need("`:`")? != b':' {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(length)
    }

    /// Reads the value that comes next into `into`, of which at most `limit` bytes; the extent tells the whole.
    pub(super) fn read_value(&mut self, into: &mut Vec<u8>, limit: usize) -> Result<Extent> {
        self.space()?;
        let place = self.place();
        self.start_keeping(into, limit);
        let walked = self.walk();
        self.keep_marked();
        *into = self.stop_keeping();
        walked?;
        Ok(Extent { place, length: self.offset() - place.offset })
    }

    /// Reads and forgets the value that comes next.
    pub(super) fn skip_value(&mut self) -> Result<()> {
        self.space()?;
        self.walk()
    }

    /// After the outermost object: nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<()> {
        self.space()?;
        match self.peek()? {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    fn start_keeping(&mut self, into: &mut Vec<u8>, limit: usize) {
        self.kept = std::mem::take(into);
        self.kept.clear();
        self.limit = limit;
        self.mark = Some(self.at);
    }

    fn stop_keeping(&mut self) -> Vec<u8> {
        self.mark = None;
        std::mem::take(&mut self.kept)
    }

    /// Takes what was read since the mark.
    fn keep_marked(&mut self) {
        if let Some(mark) = self.mark {
            let read = self.buffer.get(mark..self.at).unwrap_or_default();
            let room = self.limit.saturating_sub(self.kept.len());
            self.kept.extend_from_slice(read.get(..room).unwrap_or(read));
            self.mark = Some(self.at);
        }
    }

    /// Walks over one value, whose first byte comes next.
    fn walk(&mut self) -> Result<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space()?;
            let mut is_whole = true;
            match self.need("a value")? {
                byte @ (b'{' | b'[') => {
                    if open.len() == DEEPEST {
                        let why = format!("the value is nested deeper than {DEEPEST} levels");
                        return Err(self.broken(self.place(), why));
                    }
                    self.at += 1;
                    self.space()?;
                    let closing = if byte == b'{' { b'}' } else { b']' };
                    if self.need("a value")? == closing {
                        self.at += 1;
                    } else {
                        open.push(byte);
                        if byte == b'{' {
                            self.inner_key()?;
                        }
                        is_whole = false;
                    }
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' | b'N' | b'I' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return Err(self.unexpected("a value")),
            }
            while is_whole {
                let Some(kind) = open.last().copied() else { return Ok(()) };
                self.space()?;
                let expected = if kind == b'{' { "`,` or `}`" } else { "`,` or `]`" };
                match (self.need(expected)?, kind) {
                    (b',', _) => {
                        self.at += 1;
                        if kind == b'{' {
                            self.space()?;
                            self.inner_key()?;
                        }
                        is_whole = false;
                    }
                    (b'}', b'{') | (b']', b'[') => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.unexpected(expected)),
                }
            }
        }
    }

    fn inner_key(&mut self) -> Result<()> {
        if self.need("a key")? != b'"' {
            return Err(self.unexpected("a key in double quotes"));
        }
        self.string()?;
        self.space()?;
        if self.need("`:`")? != b':' {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        for byte in word {
            if self.need("the rest of a word")? != *byte {
                return Err(self.unexpected("a value"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<()> {
        self.at += 1;
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) else {
                self.at = self.buffer.len();
                if self.fill()?.is_none() {
                    return Err(self.cut("the closing `\"` of a text"));
                }
                continue;
            };
            self.at += length;
            match self.buffer.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => {
                    return Err(
                        self.broken(self.place(), "a control character stands in a text; it must be escaped")
                    );
                }
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.need("an escape")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.need("a hexadecimal digit")?.is_ascii_hexdigit() {
                        return Err(self.unexpected("a hexadecimal digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("an escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.peek()? == Some(b'-') {
            self.at += 1;
        }
        match self.need("a number")? {
            b'N' => return self.word(b"NaN"),
            b'I' => return self.word(b"Infinity"),
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek()? == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek()?, Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        if !self.need("a digit")?.is_ascii_digit() {
            return Err(self.unexpected("a digit"));
        }
        while let Some(b'0'..=b'9') = self.peek()? {
            self.at += 1;
        }
        Ok(())
    }

    /// A value that was read, as Python means it.
    pub(super) fn parse(&self, extent: Extent, bytes: &[u8]) -> Result<Value> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            self.broken_within(extent.place, bytes, error.valid_up_to(), "the text is not UTF-8")
        })?;
        let (value, lost) =
            parse_json_telling(text).map_err(|error| self.broken(extent.place, error.message()))?;
        self.lossy.fetch_add(usize::from(lost.is_some()), Ordering::Relaxed);
        Ok(value)
    }
}

/// An error about a place in a file.
pub(super) fn at(name: &str, place: Place, why: impl std::fmt::Display) -> Error {
    Error::invalid_input(format!("{name}:{}:{}: {why}", place.line, place.column))
}

/// An error of the file system.
pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::invalid_input(format!("{} can not be read: {error}", path.display())).with_source(error)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
