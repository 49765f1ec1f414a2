//! Requests of one call, so many at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};
use store_core::Result;

/// Writes that are under way at the same time.
pub(crate) const WRITES: usize = 64;
/// Reads of partitions: those of a hundred keys in one round.
pub(crate) const READS: usize = 32;
/// Lightweight transactions, each of which is several rounds between the nodes.
pub(crate) const TRANSACTIONS: usize = 16;

/// Does each of `runs`, and answers in no order. After an error no other is begun; the error names the keys of all that
/// were not done, those of a run by its place.
pub(crate) async fn each<R, F>(
    runs: Vec<F>,
    at_once: usize,
    names: impl Fn(usize) -> Vec<String>,
) -> Result<Vec<R>>
where
    F: Future<Output = Result<R>>,
{
    let stopped = AtomicBool::new(false);
    let stop = &stopped;
    let mut answers = stream::iter(runs.into_iter().enumerate())
        .map(|(place, run)| async move {
            if stop.load(Ordering::Relaxed) {
                return (place, None);
            }
            let answer = run.await;
            if answer.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            (place, Some(answer))
        })
        .buffer_unordered(at_once);
    let (mut done, mut first, mut failed) = (Vec::new(), None, Vec::new());
    while let Some((place, answer)) = answers.next().await {
        match answer {
            Some(Ok(answer)) => done.push(answer),
            Some(Err(error)) => {
                let own = error.failed().to_vec();
                failed.extend(if own.is_empty() { names(place) } else { own });
                first = first.or(Some(error));
            }
            None => failed.extend(names(place)),
        }
    }
    match first {
        None => Ok(done),
        Some(error) => Err(error.with_failed(failed)),
    }
}
