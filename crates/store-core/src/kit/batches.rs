//! Cutting great batches into what one request takes.

/// Cuts items into runs of at most `most` and, but for a single one, at most `most_bytes` by `bytes_of`; in order.
///
/// ```
/// use store_core::kit::batches::cut;
///
/// let runs: Vec<_> = cut(&["a", "bb", "cccc", "d"], 2, 3, |text| text.len()).collect();
/// assert_eq!(runs, [&["a", "bb"][..], &["cccc"], &["d"]]);
/// ```
pub fn cut<T>(
    items: &[T],
    most: usize,
    most_bytes: usize,
    bytes_of: impl Fn(&T) -> usize,
) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fits = |item: &&T| {
            bytes = bytes.saturating_add(bytes_of(item));
            bytes <= most_bytes
        };
        let count = rest.iter().take(most).take_while(fits).count().max(1);
        let (run, left) = rest.split_at(count.min(rest.len()));
        rest = left;
        (!run.is_empty()).then_some(run)
    })
}
