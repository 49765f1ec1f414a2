//! Chat histories: in our own layout, and in Python's.

mod item;
mod own;
mod place;
mod python;
mod read;
mod stage;

use std::sync::Arc;

use store_core::kit::epoch;
use store_core::{ChatStore, Error};

use crate::config::DynamoDbChatLayout;
use crate::error::at;
use crate::space::Space;

pub(crate) use own::Shared;

/// The chat role in the configured layout.
pub(crate) fn chat_store(space: &Arc<Space>) -> Arc<dyn ChatStore> {
    match space.config.chat_layout {
        DynamoDbChatLayout::Nodestore => Arc::new(own::OwnChatStore::new(Arc::clone(space))),
        DynamoDbChatLayout::LlamaIndex => Arc::new(python::PythonChatStore::new(Arc::clone(space))),
    }
}

/// Names backend, operation and session in an error.
fn named(operation: &'static str, session: &str) -> impl Fn(Error) -> Error {
    move |error| at(operation)(error).with_key(session)
}

/// The time in seconds of the epoch, as expiries are counted.
fn seconds() -> i64 {
    i64::try_from(epoch::seconds()).unwrap_or(i64::MAX)
}
