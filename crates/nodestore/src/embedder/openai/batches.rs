//! Texts cut into requests.

/// Texts of one request, and where they stand in the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) texts: &'a [&'a str],
    start: usize,
    /// Texts in the whole call.
    all: usize,
}

impl Batch<'_> {
    /// The two halves; `None` of a single text.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let middle = self.texts.len() / 2;
        let (first, second) = self.texts.split_at_checked(middle)?;
        let halves =
            (Self { texts: first, ..*self }, Self { texts: second, start: self.start + middle, ..*self });
        (middle > 0).then_some(halves)
    }

    /// Which text it is, for a person, where it is a single one.
    pub(super) fn shown(&self) -> String {
        let text = self.texts.first().copied().unwrap_or_default();
        let characters = text.chars().count();
        let begins: String = text.chars().take(40).collect();
        let begins = super::answer::shorten(&begins);
        format!("text {} of {} ({characters} characters, begins {begins:?})", self.start + 1, self.all)
    }
}

/// Cuts texts into batches of at most so many, and so many bytes; a longer text goes alone.
pub(super) fn split<'a>(texts: &'a [&'a str], most: usize, most_bytes: usize) -> Vec<Batch<'a>> {
    let all = texts.len();
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, text) in texts.iter().enumerate() {
        if place > start && (place - start >= most || bytes + text.len() > most_bytes) {
            batches.extend(texts.get(start..place).map(|texts| Batch { texts, start, all }));
            (start, bytes) = (place, 0);
        }
        bytes += text.len();
    }
    batches.extend(texts.get(start..).filter(|texts| !texts.is_empty()).map(|texts| Batch {
        texts,
        start,
        all,
    }));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(texts: &[&str], most: usize, most_bytes: usize) -> Vec<usize> {
        split(texts, most, most_bytes).iter().map(|batch| batch.texts.len()).collect()
    }

    #[test]
    fn batches_keep_both_limits_and_every_text() {
        assert_eq!(lengths(&[], 3, 100), [0; 0]);
        assert_eq!(lengths(&["a"; 7], 3, 100), [3, 3, 1]);
        assert_eq!(lengths(&["aa", "bb", "cccccc", "", "d"], 9, 4), [2, 1, 2]);
        let texts = ["a", "b", "c", "d", "e"];
        let together: Vec<&str> = split(&texts, 2, 9).iter().flat_map(|batch| batch.texts).copied().collect();
        assert_eq!(together, texts);
    }

    #[test]
    fn halves_keep_their_place() {
        let texts = ["a", "b", "c"];
        let whole = split(&texts, 9, 99).remove(0);
        let (first, second) = whole.halves().unwrap();
        assert_eq!((first.texts, second.texts), (&texts[..1], &texts[1..]));
        assert!(first.halves().is_none());
        assert_eq!(second.halves().unwrap().1.shown(), "text 3 of 3 (1 characters, begins \"c\")");
    }
}
