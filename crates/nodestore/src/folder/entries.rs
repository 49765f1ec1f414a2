//! Reading the entries of a section again, one after the other or by key.

use serde_json::Value;

use super::check::{Section, read_whole};
use super::list::FolderFile;
use super::scan::{Extent, Members, Scanner};
use super::watch::{Meter, Watch};
use crate::Result;

/// The entries of a section in the order of the file.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    scanner: Scanner,
    members: Members,
    meter: Meter<'a>,
    bytes: Vec<u8>,
    limit: Option<usize>,
}

impl<'a> Entries<'a> {
    pub(super) fn of(file: &FolderFile, section: &Section, watch: &'a Watch) -> Result<Self> {
        file.unchanged()?;
        let mut scanner = Scanner::open(&file.path)?;
        scanner.go_to(section.start)?;
        let meter = Meter::from(watch, section.start.offset);
        Ok(Self { scanner, members: Members::default(), meter, bytes: Vec::new(), limit: None })
    }

    /// Reads of each value at most so many bytes, instead of refusing a large one.
    pub(super) fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The next key, and the extent of its value.
    pub(super) fn next(&mut self) -> Result<Option<(String, Extent)>> {
        self.meter.reached(self.scanner.offset())?;
        let Some((_, key)) = self.scanner.next_key(&mut self.members)? else { return Ok(None) };
        let extent = match self.limit {
            Some(limit) => self.scanner.read_value(&mut self.bytes, limit)?,
            None => read_whole(&mut self.scanner, &mut self.bytes, &key)?,
        };
        Ok(Some((key, extent)))
    }

    /// The next entry as JSON.
    pub(super) fn next_value(&mut self) -> Result<Option<(String, Extent, Value)>> {
        let Some((key, extent)) = self.next()? else { return Ok(None) };
        let value = self.scanner.parse(extent, &self.bytes)?;
        Ok(Some((key, extent, value)))
    }

    /// The bytes of the value that was read last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Says that the work has come to the end of the section.
    pub(super) fn finish_here(self) {
        let offset = self.scanner.offset();
        self.meter.finish(offset);
    }

    /// Says that the work has come to the end of the file.
    pub(super) fn finish(self, size: u64) {
        self.meter.finish(size);
    }
}

/// Looks up the entries of a section by key.
#[derive(Debug)]
pub(super) struct Lookup<'a> {
    section: Option<&'a Section>,
    scanner: Option<Scanner>,
    bytes: Vec<u8>,
}

impl<'a> Lookup<'a> {
    pub(super) fn of(file: &FolderFile, section: Option<&'a Section>) -> Result<Self> {
        let scanner = section.map(|_| Scanner::open_small(&file.path)).transpose()?;
        Ok(Self { section, scanner, bytes: Vec::new() })
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: &str) -> Result<Option<Value>> {
        let (Some(section), Some(scanner)) = (self.section, &mut self.scanner) else { return Ok(None) };
        if !section.keys.find(key, scanner)? {
            return Ok(None);
        }
        let extent = read_whole(scanner, &mut self.bytes, key)?;
        scanner.parse(extent, &self.bytes).map(Some)
    }
}
