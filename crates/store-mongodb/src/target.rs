//! Which collection a reader, a watch or a pattern works on.

use std::sync::Arc;
use std::time::Duration;

use mongodb::options::{ReadPreference as Driver, SelectionCriteria};
use mongodb::{Collection, Database};
use store_core::{Error, Result};

use crate::config::ReadPreference;
use crate::space::Space;

/// The preference as the driver takes it.
pub(crate) fn criteria(preference: ReadPreference) -> SelectionCriteria {
    SelectionCriteria::ReadPreference(match preference {
        ReadPreference::Primary => Driver::Primary,
        ReadPreference::PrimaryPreferred => Driver::PrimaryPreferred { options: None },
        ReadPreference::Secondary => Driver::Secondary { options: None },
        ReadPreference::SecondaryPreferred => Driver::SecondaryPreferred { options: None },
        ReadPreference::Nearest => Driver::Nearest { options: None },
    })
}

/// A collection of the store's database, or of another one on the same server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) space: Arc<Space>,
    pub(crate) database: Option<String>,
    pub(crate) collection: String,
}

impl Target {
    pub(crate) fn new(space: &Arc<Space>, collection: impl Into<String>) -> Self {
        Self { space: Arc::clone(space), database: None, collection: collection.into() }
    }

    /// The database; `InvalidInput` for a name the server has no place for.
    pub(crate) fn database(&self) -> Result<Database> {
        match &self.database {
            None => self.space.kv_database(),
            Some(name) => {
                // The driver asserts nothing here; the server would answer with a code only.
                if name.is_empty() || name.len() > 63 || name.contains(['/', '\\', '.', ' ', '"', '$', '\0'])
                {
                    return Err(Error::invalid_input(format!(
                        "the database name {name:?} is not allowed: 1 to 63 bytes without / \\ . \" $, spaces and NUL"
                    )));
                }
                Ok(self.space.client()?.database(name))
            }
        }
    }

    /// The collection; `InvalidInput` for a name the server has no place for.
    pub(crate) fn collection<T: Send + Sync>(&self) -> Result<Collection<T>> {
        let name = &self.collection;
        if name.is_empty() || name.contains(['$', '\0']) || name.starts_with('.') || name.ends_with('.') {
            return Err(Error::invalid_input(format!(
                "the collection name {name:?} is not allowed: it is not empty, has no $ and no NUL, and neither \
                 begins nor ends with a dot"
            )));
        }
        Ok(self.database()?.collection(name))
    }

    /// Names the collection and the operation in an error on its way out.
    pub(crate) fn at(&self, operation: &'static str) -> impl Fn(Error) -> Error {
        let collection = self.collection.clone();
        move |error| crate::error::at(operation)(error).with_collection(collection.clone())
    }
}

/// The pause before the next attempt to reach a server that was lost: 100 ms, doubling up to 5 s.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis((100_u64 << attempt.min(6)).min(5_000))
}
