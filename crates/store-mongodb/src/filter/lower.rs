//! Regular expressions of the server for texts: escaped, and blind to case as `str::to_lowercase` is.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Longest text that is looked for whole, in bytes: a class of letters takes the server some fifty bytes, and it
/// compiles a pattern into at most 64 KiB.
const MAX_PART: usize = 512;

/// Lower-cases to `i` and [`DOT_ABOVE`].
const DOTTED_I: char = 'İ';
const DOT_ABOVE: char = '\u{307}';

/// The characters that lower-case to another single one, by that one.
static UPPER: LazyLock<HashMap<char, Vec<char>>> = LazyLock::new(|| {
    let mut upper: HashMap<char, Vec<char>> = HashMap::new();
    for character in '\0'..=char::MAX {
        let mut lower = character.to_lowercase();
        if let (Some(lower), None) = (lower.next(), lower.next())
            && lower != character
        {
            upper.entry(lower).or_default().push(character);
        }
    }
    upper
});

/// Whether [`pattern`] finds exactly the texts that hold the part after lower-casing both, and is not cut.
///
/// A `Σ` becomes `σ` or, at the end of a word, `ς`; where a word ends no pattern can tell.
pub(super) fn is_exact(part: &str) -> bool {
    !part.contains(['σ', 'ς', 'Σ']) && part.to_lowercase().len() <= MAX_PART
}

/// A pattern for this text itself.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    text.chars().for_each(|character| push(&mut pattern, character));
    pattern
}

/// A pattern for texts that hold the part, which is in lower case; of a part that is too long, for its beginning.
pub(super) fn pattern(part: &str) -> String {
    let mut pattern = String::new();
    let mut bytes = 0;
    let fits = |character: &char| {
        bytes += character.len_utf8();
        bytes <= MAX_PART
    };
    let mut characters = part.chars().take_while(fits).peekable();
    let mut is_first = true;
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('i', Some(&DOT_ABOVE)) => {
                characters.next();
                let _ = write!(pattern, "(?:[iI]{DOT_ABOVE}|{DOTTED_I})");
            }
            // The part may end or begin in the middle of what the one character becomes.
            ('i', None) => {
                let _ = write!(pattern, "[iI{DOTTED_I}]");
            }
            (DOT_ABOVE, _) if is_first => {
                let _ = write!(pattern, "[{DOT_ABOVE}{DOTTED_I}]");
            }
            ('σ' | 'ς', _) => pattern.push_str("[σςΣ]"),
            (character, _) => push_class(&mut pattern, character),
        }
        is_first = false;
    }
    pattern
}

/// The character and those that lower-case to it.
fn push_class(pattern: &mut String, character: char) {
    // Most texts are ASCII, and need no table.
    let upper: &[char] = match character {
        'k' => &['K', '\u{212A}'],
        'a'..='z' => &[character.to_ascii_uppercase()],
        _ if character.is_ascii() => &[],
        _ => UPPER.get(&character).map_or(&[], Vec::as_slice),
    };
    if upper.is_empty() {
        return push(pattern, character);
    }
    // Letters mean themselves in a class.
    pattern.push('[');
    pattern.push(character);
    pattern.extend(upper);
    pattern.push(']');
}

/// The character itself: ASCII that is no letter or digit is escaped, and NUL, which no pattern may hold, spelled.
fn push(pattern: &mut String, character: char) {
    match character {
        '\0' => pattern.push_str("\\x00"),
        character if character.is_ascii_punctuation() => {
            pattern.push('\\');
            pattern.push(character);
        }
        character => pattern.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_table_of_ascii_is_the_long_one() {
        for letter in 'a'..='z' {
            let mut pattern = String::new();
            push_class(&mut pattern, letter);
            let long = UPPER.get(&letter).unwrap();
            assert!(long.iter().all(|upper| pattern.contains(*upper)), "{letter}");
            assert_eq!(pattern.chars().count(), long.len() + 3, "{letter}");
        }
    }

    #[test]
    fn one_character_alone_becomes_several() {
        let several: Vec<char> = ('\0'..=char::MAX).filter(|c| c.to_lowercase().count() > 1).collect();
        assert_eq!(several, [DOTTED_I]);
    }

    #[test]
    fn patterns_name_each_case_and_no_operator() {
        assert_eq!(escaped("a.*\0é"), "a\\.\\*\\x00é");
        assert_eq!(pattern("ak-ß"), "[aA][kK\u{212A}]\\-[ßẞ]");
        assert_eq!(pattern("i"), "[iIİ]");
        assert_eq!(pattern("ii\u{307}"), "[iI](?:[iI]\u{307}|İ)");
        assert_eq!(pattern(&"a".repeat(9_999)), "[aA]".repeat(MAX_PART));
    }
}
