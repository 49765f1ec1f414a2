//! The part of a text that answers a question.

use std::collections::HashSet;
use std::ops::Range;

use nodestore::kit::tokens::tokens;

use crate::output::{STRONG, printable};

/// The words of a question, as the text index sees them; short ones (`a`, `the`, `to`) only if there are no others,
/// since they stand everywhere.
#[derive(Debug)]
pub(crate) struct Words(HashSet<String>);

impl Words {
    pub(crate) fn new(question: &str) -> Self {
        let words: HashSet<String> = tokens(question).map(|token| token.text.into_owned()).collect();
        let telling: HashSet<String> =
            words.iter().filter(|word| word.len() > 3 || !word.is_ascii()).cloned().collect();
        Self(if telling.is_empty() { words } else { telling })
    }

    /// Where words of the question stand in a text, with the word.
    fn places(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let matching = tokens(text).filter(|token| self.0.contains(token.text.as_ref()));
        matching.map(|token| (token.range, token.text.into_owned())).collect()
    }

    /// About `most` characters of the text, on one line: the stretch with the most different words of the question,
    /// these in bold. Without any, the beginning.
    pub(crate) fn snippet(&self, text: &str, most: usize) -> String {
        let places = self.places(text);
        let window = window(text, &places, most);
        let mut line = String::new();
        if window.start > 0 {
            line.push('…');
        }
        let mut at = window.start;
        for (place, _) in
            places.iter().filter(|(place, _)| window.contains(&place.start) && place.end <= window.end)
        {
            push_collapsed(&mut line, text.get(at..place.start).unwrap_or_default());
            let word = printable(text.get(place.clone()).unwrap_or_default());
            line.extend([STRONG.render().to_string(), word, STRONG.render_reset().to_string()]);
            at = place.end;
        }
        push_collapsed(&mut line, text.get(at..window.end).unwrap_or_default());
        let mut line = line.trim().to_owned();
        if window.end < text.trim_end().len() {
            line.push('…');
        }
        line
    }
}

/// Adds text with runs of white space as one space.
fn push_collapsed(line: &mut String, text: &str) {
    for c in text.chars() {
        if !c.is_whitespace() {
            line.push(if c.is_control() { '\u{FFFD}' } else { c });
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
}

/// The bytes of the best stretch of about `most` characters, from the start of a word to the end of one.
fn window(text: &str, places: &[(Range<usize>, String)], most: usize) -> Range<usize> {
    let end_from = |start: usize| {
        let rest = text.get(start..).unwrap_or_default();
        rest.char_indices().nth(most).map_or(text.len(), |(end, _)| start + end)
    };
    if end_from(0) == text.len() {
        return 0..text.len();
    }
    // A stretch that begins a little before each place; the first with the most different words wins.
    let mut best = (0, 0..end_from(0));
    for (place, _) in places {
        let before = text.get(..place.start).unwrap_or_default();
        let start = before.char_indices().rev().nth(most / 6).map_or(0, |(start, _)| start);
        let start = if end_from(start) == text.len() { last_start(text, most) } else { start };
        let stretch = start..end_from(start);
        let inside = places.iter().filter(|(p, _)| p.start >= stretch.start && p.end <= stretch.end);
        let words: HashSet<&str> = inside.map(|(_, word)| word.as_str()).collect();
        if words.len() > best.0 {
            best = (words.len(), stretch);
        }
    }
    at_words(text, best.1)
}

/// Where the last `most` characters begin.
fn last_start(text: &str, most: usize) -> usize {
    text.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(start, _)| start)
}

/// Cuts half words off both ends, where a space is near.
fn at_words(text: &str, stretch: Range<usize>) -> Range<usize> {
    const NEAR: usize = 30;
    let inside = text.get(stretch.clone()).unwrap_or_default();
    let first = match inside.find(char::is_whitespace) {
        Some(space) if stretch.start > 0 && space < NEAR => space,
        _ => 0,
    };
    let first = first + inside.get(first..).map_or(0, |rest| rest.len() - rest.trim_start().len());
    let last = match inside.rfind(char::is_whitespace) {
        Some(space) if stretch.end < text.len() && inside.len() - space < NEAR && space > first => space,
        _ => inside.len(),
    };
    stretch.start + first..stretch.start + last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(question: &str, text: &str, most: usize) -> String {
        let snippet = Words::new(question).snippet(text, most);
        snippet.replace(&STRONG.to_string(), "[").replace(&format!("{STRONG:#}"), "]")
    }

    #[test]
    fn a_short_text_is_shown_whole_with_its_words_marked() {
        assert_eq!(plain("SCAN resume", "Any key\n\n resumes a scan.", 99), "Any key resumes a [scan].");
        assert_eq!(plain("absent", "Nothing here.", 99), "Nothing here.");
    }

    #[test]
    fn a_long_text_is_shown_where_most_words_are() {
        let text = format!("alpha {} alpha beta gamma {}", "x ".repeat(200), "y ".repeat(200));
        let shown = plain("alpha beta gamma", &text, 60);
        assert!(shown.contains("[alpha] [beta] [gamma]"), "{shown}");
        assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
    }

    #[test]
    fn the_end_of_a_text_is_reached() {
        let text = format!("{}końcówka", "żółw ".repeat(100));
        let shown = plain("końcówka", &text, 40);
        assert!(shown.ends_with("[końcówka]"), "{shown}");
        assert!(shown.starts_with("…żółw"), "{shown}");
    }

    #[test]
    fn one_long_word_is_cut_at_a_character() {
        assert_eq!(plain("q", &"ß".repeat(100), 10), format!("{}…", "ß".repeat(10)));
    }

    #[test]
    fn a_text_can_not_control_the_terminal() {
        assert!(!Words::new("b").snippet("a\u{1b}[2J b", 99).contains("\u{1b}[2J"));
    }
}
