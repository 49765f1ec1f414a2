//! Which store the command line means, and opening it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use nodestore::{Backend, ErrorKind, OpenOptions, VectorStore};

use crate::cli::Global;
use crate::failure::{Failure, Outcome};

/// Whether a command may make a store that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It writes, so the store is made when it is not there.
    Create,
    /// It writes to a namespace of its own, which it removes: all that this takes is made.
    Own,
    /// It looks, so a store that is not there is an error.
    Existing,
    /// It must be there, and gets something new in it: an index on a server, for one.
    Extended,
}

/// An open store and its name for people.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    /// The folder, or the URL without secrets.
    pub(crate) shown: String,
    /// The folder of a store on this disk.
    pub(crate) folder: Option<PathBuf>,
}

impl Store {
    /// The vectors that are in use: the set that the last `reembed` made, else the default ones.
    pub(crate) async fn vectors(&self) -> Result<Arc<dyn VectorStore>, Failure> {
        Ok(nodestore::vectors_in_use(&*self.backend).await?)
    }
}

/// Opens the store that the options name, works with it, and closes it, also when the work failed.
pub(crate) async fn with_store(
    global: &Global,
    access: Access,
    work: impl AsyncFnOnce(&Store) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let store = open(global, access).await?;
    let outcome = work(&store).await;
    let closed = store.backend.close().await;
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// Opens the store that the options name.
pub(crate) async fn open(global: &Global, access: Access) -> Result<Store, Failure> {
    let mut store = open_url(&url(global)?, global.namespace.as_deref(), access).await?;
    if let Some(namespace) = &global.namespace {
        store.shown = format!("{}, namespace {namespace}", store.shown);
    }
    Ok(store)
}

/// The URL of the store that the options name.
pub(crate) fn url(global: &Global) -> Result<String, Failure> {
    match global.store.as_deref().map(str::trim) {
        Some(store) if !store.is_empty() => to_url(store),
        _ => Ok(nodestore::embedded_url(&data_folder("default")?)),
    }
}

/// Opens the store of a URL.
pub(crate) async fn open_url(url: &str, namespace: Option<&str>, access: Access) -> Result<Store, Failure> {
    let mut options = OpenOptions::default();
    options.namespace = namespace.map(str::to_owned);
    let folder = folder(url);
    // A folder is a store or not; on a server it says whether indexes may be made.
    let looks = access == Access::Existing || access == Access::Extended && folder.is_some();
    if looks && !url.contains("store.create") {
        options.create = Some(false);
    }
    if access == Access::Own {
        options.create = Some(true);
    }
    let shown = folder.as_ref().map_or_else(|| nodestore::redact(url), |folder| folder.display().to_string());
    if folder.as_deref().is_some_and(Path::is_file) {
        return Err(Failure::new(format!("{shown} is a file; a store is a folder")).with_help(
            "--store names the folder of the store; `nodestore ingest FILE` reads a file into it",
        ));
    }
    let named = folder.as_deref().filter(|folder| !folder.as_os_str().is_empty());
    if !matches!(access, Access::Create | Access::Own) && named.is_some_and(|folder| !folder.exists()) {
        return Err(no_store(&shown));
    }
    match nodestore::open_with(url, &options).await {
        Ok(backend) => Ok(Store { backend, shown, folder }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(no_store(&shown).with_cause(error)),
        Err(error) => Err(error.into()),
    }
}

fn no_store(shown: &str) -> Failure {
    Failure::new(format!("there is no store at {shown}"))
        .with_help("`nodestore ingest PATH` makes one; --store or NODESTORE_URL names another")
}

/// The URL of what `--store` says: a URL stays as it is, anything else is a folder.
pub(crate) fn to_url(store: &str) -> Result<String, Failure> {
    if nodestore::is_url(store) {
        return Ok(store.to_owned());
    }
    let path = match store.strip_prefix("~/") {
        Some(rest) => etcetera::home_dir()
            .map_err(|error| no_home("your home directory", &error.to_string()))?
            .join(rest),
        None => PathBuf::from(store),
    };
    let path = std::path::absolute(&path).map_err(|error| {
        Failure::new(format!("the folder {} can not be found", path.display())).with_cause(error)
    })?;
    Ok(nodestore::embedded_url(&path))
}

/// The folder in the URL of an embedded store.
#[cfg(feature = "embedded")]
pub(crate) fn folder(url: &str) -> Option<PathBuf> {
    let config: nodestore::embedded::EmbeddedConfig = url.strip_prefix("embedded:")?.parse().ok()?;
    Some(config.path)
}

#[cfg(not(feature = "embedded"))]
pub(crate) fn folder(_url: &str) -> Option<PathBuf> {
    None
}

/// A folder of the program under the user's data directory.
pub(crate) fn data_folder(name: &str) -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy()
        .map_err(|error| no_home("your data directory", &error.to_string()))?;
    Ok(strategy.data_dir().join("nodestore").join(name))
}

fn no_home(what: &str, why: &str) -> Failure {
    Failure::new(format!("{what} is not known: {why}")).with_help("name a folder for the store: --store ./kb")
}

/// A path relative to the working directory where it lies below, else as it is.
pub(crate) fn shown_path(path: &str) -> String {
    let below = std::env::current_dir().ok().and_then(|here| {
        let here = here.canonicalize().unwrap_or(here);
        Path::new(path).strip_prefix(here).ok().map(|path| path.display().to_string())
    });
    below.filter(|path| !path.is_empty()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        for url in ["memory:", "redis://h", "embedded:///x", "mongodb+srv://h"] {
            assert_eq!(to_url(url).unwrap(), url);
        }
        assert_eq!(to_url("/data/k b").unwrap(), "embedded:///data/k b");
        assert!(to_url("./a:b").unwrap().starts_with("embedded:///"));
        assert!(to_url("kb").unwrap().ends_with("/kb"));
        assert!(!to_url("~/kb").unwrap().contains('~'));
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn the_folder_of_a_url_is_read_back() {
        let path = Path::new("/a b/50%?#x");
        assert_eq!(folder(&nodestore::embedded_url(path)).unwrap(), path);
        assert_eq!(folder("embedded:///x?store.create=false").unwrap(), Path::new("/x"));
        assert_eq!(folder("memory:"), None);
    }
}
