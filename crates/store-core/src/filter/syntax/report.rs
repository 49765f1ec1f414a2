//! Errors in a filter's text: the message, the line, and a caret under the place.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::Error;

/// Most columns shown before and after the place.
const SHOWN_BEFORE: usize = 60;
const SHOWN_AFTER: usize = 40;

/// What is wrong in a text, at a byte of it.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn into_error(self, source: &str) -> Error {
        let before = source.get(..self.at).unwrap_or(source);
        let after = source.get(self.at..).unwrap_or("");
        let line_start = before.rsplit('\n').next().unwrap_or("");
        let line_end = after.split('\n').next().unwrap_or("");
        let start = crop(line_start.chars().rev(), SHOWN_BEFORE).chars().rev().collect::<String>();
        let end = crop(line_end.chars(), SHOWN_AFTER);
        let column = start.width();
        let mut message =
            format!("filter: {}\n  {}\n  {:column$}^", self.message, format!("{start}{end}").trim_end(), "");
        if let Some(hint) = self.hint {
            message.push_str("\n  hint: ");
            message.push_str(&hint);
        }
        Error::invalid_input(message)
    }
}

/// The first characters, so many columns wide, fit for a terminal; `…` stands for the rest.
fn crop(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut shown = String::new();
    let mut width = 0;
    for c in chars {
        // Control characters could move the caret, or the reader's cursor.
        let c = match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        };
        width += c.width().unwrap_or(0);
        if width > columns {
            shown.push('…');
            break;
        }
        shown.push(c);
    }
    shown
}
