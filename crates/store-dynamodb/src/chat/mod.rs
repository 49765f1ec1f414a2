//! Chat histories: in our own layout, and in Python's.

mod item;
mod own;
mod place;
mod read;
mod stage;

use std::time::{SystemTime, UNIX_EPOCH};

use store_core::Error;

use crate::error::at;

pub(crate) use own::{OwnChatStore, Shared};

/// Names backend, operation and session in an error.
fn named(operation: &'static str, session: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_key(session)
}

/// The time in seconds of the epoch, as expiries are counted.
fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
