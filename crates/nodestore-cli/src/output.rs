//! What goes to stdout and stderr. Colours only on terminals, and not with `NO_COLOR`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::HumanCount;
use serde_json::Value;

/// Headings, and words that were searched for.
pub(crate) const STRONG: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// The word before an error.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The word before a warning.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Columns where the output is no terminal.
const WIDTH: u16 = 100;

/// Prints a line of the answer to stdout.
pub(crate) fn print(line: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout().lock(), "{line}")
}

/// Prints what is a file of its own to stdout, as it is.
pub(crate) fn print_raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a line about the work to stderr.
pub(crate) fn say(line: impl Display) {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Prints one JSON document to stdout.
pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    print(escaped(&format!("{value:#}")))
}

/// A JSON document on one line.
pub(crate) fn json_line(value: &Value) -> String {
    escaped(&value.to_string())
}

/// JSON in which no character can control a terminal: its writer leaves those from U+007F to U+009F as they are, and
/// they can only stand in texts.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7F}'..='\u{9F}' => text.extend(["\\u00", &format!("{:02x}", u32::from(c))]),
            c => text.push(c),
        }
    }
    text
}

/// Whether someone can be asked, and sees the question.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// An empty table with these headings, as wide as the terminal.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings.iter().map(|heading| format!("{STRONG}{heading}{STRONG:#}")));
    if !io::stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table
}

/// Prints a table without trailing spaces.
pub(crate) fn print_table(table: &Table) -> io::Result<()> {
    table.lines().try_for_each(|line| print(line.trim_end()))
}

/// Text that can not move a terminal's cursor or change its colours: control characters are shown as `�`, but for
/// tabs and new lines.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{FFFD}' } else { c };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

/// The same on one line, with runs of white space as one space, cut at so many characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = printable(&line);
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default().trim_end()),
        None => line,
    }
}

/// `1 document`, `2 documents`, `2 hashes`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let ending = if what.ends_with("sh") { "es" } else { "s" };
    if number == 1 { format!("1 {what}") } else { format!("{} {what}{ending}", thousands(number)) }
}

/// `1,234,567`.
pub(crate) fn thousands(number: usize) -> String {
    HumanCount(number as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!((count(1, "node"), count(0, "node")), ("1 node".into(), "0 nodes".into()));
        assert_eq!(count(1200, "content hash"), "1,200 content hashes");
    }

    #[test]
    fn a_document_can_not_write_to_the_terminal_its_own_way() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\td"), "a\u{FFFD}[31mb\nc\td");
    }

    #[test]
    fn one_line_collapses_and_cuts_at_characters() {
        assert_eq!(one_line(" a \n\t b ", 10), "a b");
        assert_eq!(one_line("äöüß", 2), "äö…");
        assert_eq!(one_line("ab cd", 3), "ab…");
    }
}
