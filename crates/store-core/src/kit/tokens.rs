//! The words of a text, the same for every text search and for the hash embedder.
//!
//! A word is a run of alphanumeric characters ([`char::is_alphanumeric`]), lower-cased character by character
//! ([`char::to_lowercase`]); a word longer than [`MAX_TOKEN_BYTES`] after that is dropped. No stemming and no
//! stop words: the rule knows no language. Scripts written without spaces give one word for each run.

use std::borrow::Cow;
use std::ops::Range;

/// The longest word that is kept, in bytes of UTF-8 after lower-casing; longer ones are seldom words.
pub const MAX_TOKEN_BYTES: usize = 255;

/// One word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The word, lower-cased.
    pub text: Cow<'a, str>,
    /// Where it stands in the original text, in bytes.
    pub range: Range<usize>,
}

/// The words of `text` in their order; see the module for the rule.
///
/// ```
/// let words: Vec<_> = store_core::kit::tokens::tokens("Öl, 3.5 Liter!").map(|token| token.text).collect();
/// assert_eq!(words, ["öl", "3", "5", "liter"]);
/// ```
#[must_use]
pub fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// The iterator behind [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.text.get(self.at..)?;
            let start = self.at + rest.find(char::is_alphanumeric)?;
            let run = self.text.get(start..)?;
            let length = run.find(|c: char| !c.is_alphanumeric()).unwrap_or(run.len());
            let word = run.get(..length)?;
            self.at = start + length;
            let text = lower(word);
            if text.len() <= MAX_TOKEN_BYTES {
                return Some(Token { text, range: start..self.at });
            }
        }
    }
}

fn lower(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Cow::Borrowed(word);
    }
    // Character by character, not str::to_lowercase: that one writes Σ by its place in the word.
    Cow::Owned(word.chars().flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).map(|token| token.text.into_owned()).collect()
    }

    #[test]
    fn runs_of_alphanumerics_lower_cased() {
        assert_eq!(words("Hello, World! snake_case x2"), ["hello", "world", "snake", "case", "x2"]);
        assert_eq!(words("ÄÖÜ ΣΑΣ İ"), ["äöü", "σασ", "i\u{307}"]);
        assert_eq!(words("日本語 テスト"), ["日本語", "テスト"]);
        assert_eq!(words(" \t—…!? 😀"), Vec::<String>::new());
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn long_words_are_dropped_by_their_lower_cased_bytes() {
        let kept = "a".repeat(MAX_TOKEN_BYTES);
        assert_eq!(words(&format!("x {kept} {kept}b y")), ["x", kept.as_str(), "y"]);
        // Ⱥ (2 bytes) becomes ⱥ (3 bytes).
        assert_eq!(words(&"Ⱥ".repeat(85)).len(), 1);
        assert_eq!(words(&"Ⱥ".repeat(86)).len(), 0);
    }

    proptest! {
        #[test]
        fn ranges_point_at_the_words(text in "\\PC{0,60}") {
            let mut end = 0;
            for token in tokens(&text) {
                prop_assert!(token.range.start >= end);
                end = token.range.end;
                let original = &text[token.range];
                prop_assert!(original.chars().all(char::is_alphanumeric));
                prop_assert_eq!(token.text, original.chars().flat_map(char::to_lowercase).collect::<String>());
            }
            let naive = text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()).count();
            prop_assert_eq!(tokens(&text).count(), naive);
        }
    }
}
