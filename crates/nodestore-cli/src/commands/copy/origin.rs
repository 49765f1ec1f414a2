//! The store that is copied, which may be a folder of LlamaIndex.

use std::io;
use std::path::{Path, PathBuf};

use nodestore::folder::{self, FolderEvent, Import};

use crate::failure::Failure;
use crate::output::{one_line, say};
use crate::progress::{Progress, Unit};
use crate::stop::Stop;
use crate::store::{self, Access, Store};

/// The store, open.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) store: Store,
    /// Where a folder of LlamaIndex was imported to.
    staged: Option<PathBuf>,
}

/// Where a folder is imported to, beside the job.
pub(super) fn staged(job: &Path) -> PathBuf {
    job.with_extension("staged")
}

/// Removes a store that was imported to, if there is one.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Origin {
    /// Opens what is copied; `None` when it was stopped before.
    pub(super) async fn open(url: &str, job: &Path, stop: &Stop) -> Result<Option<Self>, Failure> {
        let Some(folder) = store::folder(url).filter(|folder| folder::is_persisted(folder)) else {
            let store = store::open_url(url, None, Access::Existing).await?;
            return Ok(Some(Self { store, staged: None }));
        };
        let staged = staged(job);
        let mut store = store::open_url(&nodestore::embedded_url(&staged), None, Access::Create).await?;
        store.shown = folder.display().to_string();
        // Where the copying has begun, the import is complete.
        if !job.exists() && !import(&folder, &store, stop).await? {
            store.backend.close().await?;
            return Ok(None);
        }
        Ok(Some(Self { store, staged: Some(staged) }))
    }

    /// Closes it. What was imported goes, unless a job is left that goes on with it.
    pub(super) async fn close(self, job: &Path) -> Result<(), Failure> {
        self.store.backend.close().await?;
        let Some(staged) = self.staged.filter(|_| !job.exists()) else { return Ok(()) };
        remove(&staged).map_err(|error| {
            Failure::new(format!("{} can not be removed: {error}", staged.display())).with_cause(error)
        })
    }
}

/// Imports a folder; answers whether it came to its end.
async fn import(folder: &Path, store: &Store, stop: &Stop) -> Result<bool, Failure> {
    let progress = Progress::new(Some(super::super::stats::size(folder)), Unit::Bytes);
    let (bar, asked) = (progress.clone(), stop.clone());
    let report = Import::new(folder)
        .with_observer(move |event| match event {
            FolderEvent::Bytes(bytes) => bar.add(*bytes),
            FolderEvent::Checking { file } => bar.message(&format!("checking {file}")),
            FolderEvent::Importing { file } => bar.message(&format!("importing {file}")),
            _ => {}
        })
        .with_stop(move || asked.requested())
        .run(&*store.backend)
        .await;
    progress.finish();
    match report {
        Ok(report) => {
            for note in &report.contents.notes {
                say(format_args!("note: {}", one_line(note, 500)));
            }
            Ok(true)
        }
        Err(_) if stop.requested() => Ok(false),
        Err(error) => Err(Failure::new(error.message())
            .with_cause(error)
            .with_help("nothing was copied; a folder is imported whole before the first write to TO")),
    }
}
