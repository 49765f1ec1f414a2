//! Documents that are inserted once, whoever tries it and however often.

use std::sync::Arc;

use mongodb::Collection;
use serde::Serialize;
use store_core::{Error, ErrorKind, Result};

use crate::MongoBackend;
use crate::error::{DUPLICATE_KEY, at, code};
use crate::transaction::{Attempts, supported, to_its_end};

impl MongoBackend {
    /// Inserts a document unless one with the same `_id`, or the same values in a unique index, is there. Answers
    /// whether it was this call that inserted it: `false` is no error, and the document that is there stays.
    ///
    /// Of any number of callers with the same key exactly one is answered `true`. Lost connections and failovers are
    /// sat out until the store's `operation_timeout`; the answer stays right, because the insert is a transaction
    /// whose outcome is asked for again. On a standalone server, which has none, it is a plain insert: when the
    /// connection fails there, the call does, and whether it inserted is not known.
    ///
    /// Give the document an `_id` that says what it is (a job, an event, a day), or make a unique index; without
    /// either every insert is new.
    ///
    /// ```no_run
    /// # async fn example(backend: store_mongodb::MongoBackend) -> store_core::Result<()> {
    /// use store_mongodb::bson::{Document, doc};
    ///
    /// let runs = backend.client()?.database("jobs").collection::<Document>("runs");
    /// if backend.insert_once(&runs, &doc! {"_id": "report/2026-11-21", "by": "worker 7"}).await? {
    ///     // The report of this day is ours to make.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a document that can not be encoded. Any other failure to write, a duplicate apart.
    pub async fn insert_once<T: Serialize + Send + Sync>(
        &self,
        collection: &Collection<T>,
        document: &T,
    ) -> Result<bool> {
        let named = |error: Error| at("insert_once")(error).with_collection(collection.name());
        let document = bson::serialize_to_document(document).map_err(|error| {
            named(
                Error::invalid_input(format!("the document can not be encoded: {error}")).with_source(error),
            )
        })?;
        let space = Arc::clone(self.space());
        let target = collection.clone_with_type::<bson::Document>();
        let inserted = to_its_end(async move {
            if !supported(&space).await? {
                return space.call(target.insert_one(&document)).await.map(drop);
            }
            let mut attempts = Attempts::new(&space, space.config.operation_timeout);
            loop {
                let mut session = attempts.begin().await?;
                let made = space.call(target.insert_one(&document).session(&mut session)).await.map(drop);
                if attempts.end(session, made).await?.is_some() {
                    return Ok(());
                }
            }
        });
        match inserted.await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_duplicate(&error) => Ok(false),
            Err(error) => Err(named(error)),
        }
    }
}

fn is_duplicate(error: &Error) -> bool {
    code(error).is_some_and(|code| DUPLICATE_KEY.contains(&code))
}
