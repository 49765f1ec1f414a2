//! Bytes of a file, counted, and never more in memory than allowed.

use std::io::{self, BufRead, BufReader, Read};

const BUFFER: usize = 64 << 10;

/// A file or standard input, behind its byte order mark.
pub(crate) struct Input {
    reader: BufReader<Box<dyn Read + Send>>,
    most_bytes: u64,
    /// Bytes taken since somebody asked.
    taken: u64,
    /// Bytes that may still be read as a [`Read`].
    allowed: u64,
}

/// The error of a read beyond what is allowed.
#[derive(Debug)]
struct Limit;

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too long")
    }
}

impl std::error::Error for Limit {}

/// Whether more was read than allowed.
pub(super) fn is_limit(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Limit>)
}

impl Input {
    /// `Err` for what is no UTF-8 from its first bytes on.
    pub(crate) fn new(source: Box<dyn Read + Send>, most_bytes: u64) -> Result<Self, String> {
        let mut reader = BufReader::with_capacity(BUFFER, source);
        let start = fill(&mut reader).map_err(|error| can_not_be_read(&error))?;
        if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
            return Err("is UTF-16 text; convert it to UTF-8 first".to_owned());
        }
        let mark = if start.starts_with("\u{FEFF}".as_bytes()) { 3 } else { 0 };
        let mut input = Self { reader, most_bytes, taken: 0, allowed: u64::MAX };
        input.consume(mark);
        Ok(input)
    }

    pub(crate) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Lets so many more bytes be read, and those of one buffer.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.allowed = bytes.saturating_add(BUFFER as u64);
    }

    /// The start of the first line, as far as it is in the buffer.
    pub(super) fn first_line(&mut self) -> io::Result<&[u8]> {
        let bytes = self.reader.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        Ok(bytes.get(..end).unwrap_or_default())
    }

    /// What was read ahead.
    pub(super) fn buffered(&self) -> &[u8] {
        self.reader.buffer()
    }

    /// Bytes that were read since the last call.
    pub(crate) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    /// All that is left, as text without zeros.
    pub(crate) fn whole_text(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        let most = self.most_bytes;
        self.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| can_not_be_read(&error))?;
        if bytes.len() as u64 > most {
            return Err(format!("has more than {}", limit(most)));
        }
        text(bytes)
    }

    /// The next line without its end, or `None` at the end of the file; `Err` when it is too long, and then it was
    /// passed over.
    pub(crate) fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        let most = self.most_bytes;
        if self.take(most.saturating_add(1)).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 > most {
            let passed = self.reader.skip_until(b'\n')?;
            self.taken += passed as u64;
            return Ok(Some(Err(format!("the row has more than {}", limit(most)))));
        }
        Ok(Some(Ok(line)))
    }
}

/// The first bytes, so many that a mark is seen.
fn fill<R: Read>(reader: &mut BufReader<R>) -> io::Result<&[u8]> {
    // A pipe may give its first bytes one by one; a mark that is cut then stays in the text.
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(reader.buffer()),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowed == 0 {
            return Err(io::Error::other(Limit));
        }
        let read = self.reader.read(buffer)?;
        self.taken += read as u64;
        self.allowed = self.allowed.saturating_sub(read as u64);
        Ok(read)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
        self.taken += amount as u64;
    }
}

/// Bytes as text without zeros; `Err` says why they are none.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, String> {
    if let Some(place) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("is not text (a zero at byte {place})"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("is not UTF-8 text (byte {place}); convert it, or leave it out")
    })
}

pub(crate) fn can_not_be_read(error: &io::Error) -> String {
    format!("can not be read: {error}")
}

/// A size limit for people.
pub(crate) fn limit(bytes: u64) -> String {
    format!("{} MB, the limit; --max-file-size sets it", bytes >> 20)
}
