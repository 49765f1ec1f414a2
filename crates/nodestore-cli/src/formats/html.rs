//! HTML: the readable text, blocks on lines of their own, and the title.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use nodestore::Node;

use super::Origin;

/// Elements whose text nobody reads.
const UNREAD: [&str; 14] = [
    "head", "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "select",
    "textarea", "canvas", "audio", "video",
];
/// What may stand in a head; any other element ends it.
const IN_HEAD: [&str; 8] = ["base", "link", "meta", "noscript", "script", "style", "template", "title"];
/// Elements within a line.
const INLINE: [&str; 38] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "button", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "img", "input", "ins", "kbd", "label", "mark", "meter", "output", "q", "rp", "rt", "ruby",
    "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "wbr",
];
/// Elements that begin a line; the others, but for the inline ones, stand between blank lines.
const LINES: [&str; 8] = ["br", "dd", "dt", "figcaption", "li", "option", "summary", "tr"];

pub(super) fn node(origin: &Origin, html: &str) -> Node {
    let mut page = Page::default();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        page.event(&event);
        None::<std::convert::Infallible>
    });
    // Scripts and styles hold no tags.
    emitter.naively_switch_states(true);
    // A text in memory can be read to its end, and the emitter gives no tokens.
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    let node = origin.document(&origin.id, page.text);
    if page.title.is_empty() { node } else { node.with_metadata("title", page.title) }
}

/// What parts two pieces of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    Nothing,
    Space,
    Tab,
    Line,
    Blank,
}

#[derive(Debug, Default)]
struct Page {
    text: String,
    title: String,
    /// What comes before the next piece.
    gap: Gap,
    /// The element that is passed over, and how often it was opened.
    unread: Option<(&'static str, usize)>,
    in_title: bool,
    /// Depth of elements whose white space counts.
    pre: usize,
}

impl Page {
    fn event(&mut self, event: &CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => self.open(&String::from_utf8_lossy(name)),
            CallbackEvent::CloseStartTag { self_closing: true } => {
                // Only these two know elements without content by their `/>`.
                if let Some((name @ ("svg" | "math"), 1)) = self.unread {
                    self.close(name);
                }
            }
            CallbackEvent::EndTag { name } => self.close(&String::from_utf8_lossy(name)),
            CallbackEvent::String { value } => self.string(&String::from_utf8_lossy(value)),
            _ => {}
        }
    }

    fn open(&mut self, name: &str) {
        if name == "title" && self.title.is_empty() && !matches!(self.unread, Some(("svg", _))) {
            self.in_title = true;
            return;
        }
        match &mut self.unread {
            Some(("head", _)) if !IN_HEAD.contains(&name) => self.unread = None,
            Some((unread, depth)) => {
                *depth += usize::from(*unread == name);
                return;
            }
            None => {}
        }
        self.unread = UNREAD.iter().find(|unread| **unread == name).map(|unread| (*unread, 1));
        self.pre += usize::from(name == "pre");
        self.part(name);
    }

    fn close(&mut self, name: &str) {
        if self.in_title {
            self.in_title = name != "title";
            return;
        }
        if let Some((unread, depth)) = &mut self.unread {
            if *unread == name {
                *depth -= 1;
                if *depth == 0 {
                    self.unread = None;
                }
            }
            return;
        }
        if name == "pre" {
            self.pre = self.pre.saturating_sub(1);
        }
        self.part(name);
    }

    fn part(&mut self, name: &str) {
        let gap = match name {
            "td" | "th" => Gap::Tab,
            _ if INLINE.contains(&name) => return,
            _ if LINES.contains(&name) => Gap::Line,
            _ => Gap::Blank,
        };
        self.gap = self.gap.max(gap);
    }

    fn string(&mut self, text: &str) {
        if self.in_title {
            self.title = text.split_whitespace().collect::<Vec<_>>().join(" ");
        } else if self.unread.is_none() && self.pre > 0 {
            self.push(text.trim_end_matches('\n'));
            self.gap = if text.ends_with('\n') { self.gap.max(Gap::Line) } else { self.gap };
        } else if self.unread.is_none() {
            for (place, word) in text.split(|c: char| c.is_ascii_whitespace()).enumerate() {
                if place > 0 {
                    self.gap = self.gap.max(Gap::Space);
                }
                self.push(word);
            }
        }
    }

    fn push(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        let gap = std::mem::take(&mut self.gap);
        if !self.text.is_empty() {
            self.text.push_str(match gap {
                Gap::Nothing => "",
                Gap::Space => " ",
                Gap::Tab => "\t",
                Gap::Line => "\n",
                Gap::Blank => "\n\n",
            });
        }
        self.text.push_str(piece);
    }
}
