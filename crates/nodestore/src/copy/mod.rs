//! Copying a store into another, of any backend: [`StoreCopy`].
//!
//! It streams: what is in memory is a few pages of records, however large the store is.

mod chats;
mod docs;
mod indexes;
mod job;
mod key_values;
mod part;
mod parts;
mod ref_docs;
mod report;
mod steps;
mod vectors;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

pub use job::job_file;
pub use report::{CopiedPart, CopyPlan, CopyReport, PlannedPart};
pub use watch::{CopyEvent, CopyStep};

use self::job::Job;
use self::part::Side;
use self::parts::{Found, find_parts};
use self::steps::AnyPart;
use self::watch::Watch;
use crate::{Backend, Error, ErrorKind, Result};

/// A role that can be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CopyRole {
    /// Nodes and documents, with their content hashes and source documents.
    Documents,
    /// Index structs.
    Indexes,
    /// Chat histories.
    Chats,
    /// Every vector set, with embeddings.
    Vectors,
    /// Collections of key-values.
    KeyValues,
}

impl CopyRole {
    /// Every role, in the order in which they are copied.
    pub const ALL: &'static [Self] =
        &[Self::Documents, Self::Indexes, Self::Chats, Self::Vectors, Self::KeyValues];
}

/// Copies a store into another, reads it back and compares.
///
/// Everything comes over as it is: ids, order of metadata, kinds of numbers, hashes, the order of a source document's
/// nodes, embeddings to the bit of an `f32`. Three things a store does not tell, and so are not copied: when a value or
/// a chat expires; the names of key-value collections, so they are [given](Self::with_collections); and links to nodes
/// that are neither stored nor hashed, which Python leaves behind.
///
/// With a [job](Self::with_job), a copy that was killed, dropped, stopped or failed is taken up where it was. It may
/// write once more what it wrote last; nothing is doubled by that. Nobody should write to either store meanwhile: what
/// changes behind the copy is found to differ at the end.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// use nodestore::copy::StoreCopy;
/// use nodestore::prelude::*;
///
/// let from = nodestore::open("memory:").await?;
/// let to = nodestore::open("memory:?store.namespace=other").await?;
/// from.docs()?.add(vec![Node::text("hello").with_id("n-1")], AddOptions::default()).await?;
/// from.chat()?.append("anna", vec![ChatMessage::user("hello")]).await?;
///
/// let report = StoreCopy::new().run(&*from, &*to).await?;
/// assert!(report.is_equal());
/// assert!(to.docs()?.exists(&"n-1".into()).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoreCopy {
    roles: Vec<CopyRole>,
    collections: Vec<String>,
    overwrite: bool,
    job: Option<PathBuf>,
    watch: Watch,
}

impl Default for StoreCopy {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreCopy {
    /// Of every role, into an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            roles: CopyRole::ALL.to_vec(),
            collections: Vec::new(),
            overwrite: false,
            job: None,
            watch: Watch::default(),
        }
    }

    /// Copies these roles only.
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = CopyRole>) -> Self {
        self.roles = roles.into_iter().collect();
        self.roles.sort_unstable();
        self.roles.dedup();
        self
    }

    /// Copies these key-value collections too. A store can not list its collections; what nodestore itself keeps there
    /// (which model made the vectors, the files of an imported folder) is copied without being named.
    #[must_use]
    pub fn with_collections(mut self, collections: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.collections = collections.into_iter().map(Into::into).collect();
        self
    }

    /// Says whether the store to copy into may hold something already. What it holds under the same key or id is
    /// replaced, a chat as a whole; everything else stays. Default `false`.
    #[must_use]
    pub fn with_overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Notes in this file how far the copy is, always behind what was acknowledged, and goes on from there if the file
    /// is there already. It is removed when the copy is complete. One file is for one pair of stores: [`job_file`].
    #[must_use]
    pub fn with_job(mut self, file: impl Into<PathBuf>) -> Self {
        self.job = Some(file.into());
        self
    }

    /// Tells `observer` how far the work is. It should return soon: the work waits for it.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&CopyEvent<'_>) + Send + Sync + 'static) -> Self {
        self.watch.observer = Some(Arc::new(observer));
        self
    }

    /// Asks `stop` now and then whether to stop; the work then ends with an error of kind `Other`.
    #[must_use]
    pub fn with_stop(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.watch.stop = Some(Arc::new(stop));
        self
    }

    /// Counts what there is to copy, and looks whether `to` can take it. Writes nothing.
    ///
    /// # Errors
    /// As [`run`](Self::run) before its first write, but a store that holds something already is no error.
    pub async fn plan(&self, from: &dyn Backend, to: Option<&dyn Backend>) -> Result<CopyPlan> {
        let plan = async {
            // Without a second store, the first one stands for it and is not looked at.
            let Found { parts, notes } = find_parts(self, from, to.unwrap_or(from)).await?;
            let mut plan = CopyPlan { notes, ..CopyPlan::default() };
            for part in &parts {
                self.watch.go_on()?;
                let mut is_empty = None;
                if to.is_some() {
                    part.check().await?;
                    is_empty = Some(part.is_empty(Side::To).await?);
                }
                let records = part.count(Side::From).await?;
                plan.parts.push(PlannedPart {
                    name: part.name().to_owned(),
                    records,
                    target_is_empty: is_empty,
                });
            }
            Ok(plan)
        };
        plan.await.map_err(|error: Error| error.with_operation("copy"))
    }

    /// Copies, then reads both stores and compares. A difference is no error: see [`CopyReport::is_equal`].
    ///
    /// # Errors
    /// Before anything is written: `AlreadyExists` when `to` holds something of these roles, `Unsupported` and `Config`
    /// when it can not take what `from` holds, `InvalidInput` for key-values alone without a collection. Then those of
    /// the stores, and `Other` for a job file that can not be written.
    pub async fn run(&self, from: &dyn Backend, to: &dyn Backend) -> Result<CopyReport> {
        self.copy(from, to).await.map_err(|error| error.with_operation("copy"))
    }

    async fn copy(&self, from: &dyn Backend, to: &dyn Backend) -> Result<CopyReport> {
        let mut job = Job::open(self.job.clone())?;
        let Found { parts, notes } = find_parts(self, from, to).await?;
        for part in &parts {
            part.check().await?;
            self.begin(&**part, to.name(), &mut job).await?;
        }
        job.save()?;
        for part in &parts {
            part.copy(&mut job, &self.watch).await?;
        }
        let mut report = CopyReport { parts: Vec::new(), notes };
        for part in &parts {
            report.parts.push(part.compare(job.was_empty(part.name()), &self.watch).await?);
        }
        job.remove()?;
        Ok(report)
    }

    /// Notes a part that is new in the job, if it may be written.
    async fn begin(&self, part: &dyn AnyPart, backend: &'static str, job: &mut Job) -> Result<()> {
        if job.knows(part.name()) {
            return Ok(());
        }
        let is_empty = part.is_empty(Side::To).await?;
        if !is_empty && !self.overwrite {
            let message = format!("the store to copy into holds {} already", part.name());
            return Err(Error::new(ErrorKind::AlreadyExists, message).with_backend(backend));
        }
        job.begin(part.name(), is_empty);
        Ok(())
    }
}
