//! Conditional writes of any number. They go as transactions, 100 in a request: the token that these carry makes a
//! repetition by the driver harmless.

use aws_sdk_dynamodb::types::TransactWriteItem;
use futures::{StreamExt as _, stream};
use store_core::{Error, Result};

use crate::batch::{AT_ONCE, Backoff, runs};
use crate::space::Space;
use crate::transaction::{FAILED_CONDITION, MAX_BYTES, MAX_ITEMS, Outcome, attempt, code};

/// One conditional write of many.
#[derive(Debug)]
pub(crate) struct Change {
    /// Its place in the caller's list.
    pub(crate) place: usize,
    /// How it is named in errors.
    pub(crate) key: String,
    pub(crate) write: TransactWriteItem,
    /// Bytes of its items, old and new.
    pub(crate) bytes: usize,
}

/// Makes each write whose condition holds, of items that are all different; answers the places of the others, in
/// order. They are no transaction together.
///
/// On an error `failed` names all that was not written, or of which it is not known.
pub(crate) async fn each(space: &Space, changes: Vec<Change>) -> Result<Vec<usize>> {
    let requests = runs(changes, MAX_ITEMS, MAX_BYTES, |change| change.bytes)
        .into_iter()
        .map(|run| async move { each_of(space, run).await });
    let (mut lost, mut failed, mut first) = (Vec::new(), Vec::new(), None);
    let mut answers = stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(places) => lost.extend(places),
            Err((keys, error)) => {
                failed.extend(keys);
                first.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first {
        failed.extend(lost.into_iter().map(|(_, key)| key));
        return Err(error.with_failed(failed));
    }
    let mut lost: Vec<usize> = lost.into_iter().map(|(place, _)| place).collect();
    lost.sort_unstable();
    Ok(lost)
}

/// The writes of one request: as one transaction, and without those whose conditions do not hold again.
async fn each_of(space: &Space, run: Vec<Change>) -> Result<Vec<(usize, String)>, (Vec<String>, Error)> {
    let mut backoff = Backoff::new(space.config.operation_timeout);
    let (mut open, mut writes): (Vec<(usize, String)>, Vec<TransactWriteItem>) =
        run.into_iter().map(|change| ((change.place, change.key), change.write)).unzip();
    let mut lost = Vec::new();
    while !open.is_empty() {
        let (reasons, error) = match attempt(space, &writes, None, &mut backoff).await {
            Ok(Outcome::Done) => return Ok(lost),
            Ok(Outcome::Undone { reasons, error }) => (reasons, error),
            Err(error) => return Err((keys(open, lost), error)),
        };
        let holds: Vec<bool> = open
            .iter()
            .enumerate()
            .map(|(number, _)| reasons.get(number).map(code) != Some(FAILED_CONDITION))
            .collect();
        // Undone for another reason than a condition: it would be undone again.
        if !holds.contains(&false) {
            return Err((keys(open, lost), error));
        }
        let mut held = holds.iter().copied();
        writes.retain(|_| held.next().unwrap_or(true));
        let (held, failed): (Vec<_>, Vec<_>) = open.into_iter().zip(holds).partition(|(_, holds)| *holds);
        open = held.into_iter().map(|(key, _)| key).collect();
        lost.extend(failed.into_iter().map(|(key, _)| key));
    }
    Ok(lost)
}

/// All keys that were not written.
fn keys(open: Vec<(usize, String)>, lost: Vec<(usize, String)>) -> Vec<String> {
    open.into_iter().chain(lost).map(|(_, key)| key).collect()
}
