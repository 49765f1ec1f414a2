//! Lines of input, of bounded length.

use std::io::{self, BufRead};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end. The last one may have none.
    Text(Vec<u8>),
    /// A line longer than the limit; it was passed over.
    TooLong,
    /// Nothing is left.
    End,
}

/// Reads a line of at most `limit` bytes. Of a longer one no more than that is held.
pub(crate) fn next_line(input: &mut impl BufRead, limit: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    let (mut any, mut too_long) = (false, false);
    loop {
        let read = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read.is_empty() {
            break;
        }
        any = true;
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
        too_long |= line.len() + part.len() > limit;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok(match (any, too_long) {
        (false, _) => Line::End,
        (true, true) => Line::TooLong,
        (true, false) => Line::Text(line),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], piece: usize) -> Vec<Line> {
        let mut input = io::BufReader::with_capacity(piece, text);
        let mut lines = Vec::new();
        loop {
            lines.push(next_line(&mut input, 4).unwrap());
            if lines.last() == Some(&Line::End) {
                return lines;
            }
        }
    }

    #[test]
    fn long_lines_are_passed_over_whole() {
        let text = |text: &str| Line::Text(text.as_bytes().to_vec());
        for piece in [1, 3, 64] {
            let lines = all(b"abcd\nabcde\n\nabcdefghijk\nab", piece);
            assert_eq!(lines, [text("abcd"), Line::TooLong, text(""), Line::TooLong, text("ab"), Line::End]);
            assert_eq!(all(b"a\n", piece), [text("a"), Line::End]);
            assert_eq!(all(b"", piece), [Line::End]);
        }
    }
}
