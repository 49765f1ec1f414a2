//! Importing a folder: checked first, then written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use futures::channel::oneshot;
use serde_json::Value;

use super::check::{Catalog, DocCatalog, IndexCatalog, LARGEST_STRUCT, Section, VectorCatalog, check};
use super::entries::{Entries, Lookup};
use super::list::DEFAULT;
use super::manifest::{DocNames, Manifest, What, keep};
use super::numbers::{embedding, is_zero};
use super::scan::unreadable;
use super::watch::{FolderEvent, Watch};
use super::{FolderContents, FolderVectors, ImportReport};
use crate::{
    AddMode, AddOptions, Backend, DocStore, Error, ErrorKind, IndexStruct, JsonObject, Metric, Node, NodeId,
    Result, VectorConfig, VectorStore,
};

/// Most entries written together, and most bytes of the file that they may take.
const BATCH: usize = 256;
const BATCH_BYTES: u64 = 4 << 20;
/// What a vector's metadata holds beside the node's own.
const ADDED: [&str; 4] = ["_node_type", "document_id", "doc_id", "ref_doc_id"];
/// What stands where a vector has no source document.
const NO_REF_DOC: &str = "None";

/// Imports a folder that LlamaIndex's `StorageContext` persisted.
///
/// [`check`](Self::check) reads every file once and writes nothing; [`write`](Self::write) reads them again and
/// writes. A folder that is broken anywhere is refused by the first, so nothing of it is imported. What is there
/// already under the same id is replaced, everything else in the store stays. A `write` that was killed, dropped,
/// stopped or failed leaves the store with a part of the folder; the same import again completes it, and ends with
/// what an undisturbed one would have left.
///
/// ```no_run
/// # async fn example() -> nodestore::Result<()> {
/// use nodestore::folder::Import;
/// let store = nodestore::open("embedded:///data/kb").await?;
/// let report = Import::new("./storage").run(&*store).await?;
/// println!("{} nodes, {} vectors", report.contents.nodes, report.vectors_written);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Import {
    folder: PathBuf,
    vectors: Option<Arc<dyn VectorStore>>,
    watch: Watch,
}

/// A folder that was read and found whole.
#[derive(Debug)]
pub struct CheckedFolder {
    catalog: Catalog,
    contents: FolderContents,
}

impl CheckedFolder {
    /// What is in the folder.
    #[must_use]
    pub fn contents(&self) -> &FolderContents {
        &self.contents
    }

    /// Refuses a store that can not take the folder: other dimensions, or limits that an entry exceeds.
    /// `vectors` are those in use; the backend's own when `None`. Writes nothing.
    ///
    /// # Errors
    /// `InvalidInput`, `Config` or `LimitExceeded`, with the place in the folder.
    pub async fn fits(&self, backend: &dyn Backend, vectors: Option<&Arc<dyn VectorStore>>) -> Result<()> {
        let limits = backend.capabilities().kv;
        let extremes = &self.catalog.extremes;
        let limit = limits.as_ref().and_then(|limits| limits.max_key_bytes);
        if let (Some(limit), Some((longest, place))) = (limit, &extremes.key)
            && *longest > limit
        {
            return Err(exceeds(place, limit));
        }
        let limit = limits.as_ref().and_then(|limits| limits.max_value_bytes);
        if let (Some(limit), Some((largest, place))) = (limit, &extremes.value)
            && *largest > limit as u64
        {
            return Err(exceeds(place, limit));
        }
        for set in self.catalog.vectors.iter().filter(|set| set.dimensions.is_some()) {
            fits_vectors(set, &*vector_set(backend, vectors, &set.set)?).await?;
        }
        Ok(())
    }
}

fn exceeds(place: &Error, limit: usize) -> Error {
    let message = format!("{}; the store takes at most {limit}", place.message());
    Error::new(ErrorKind::LimitExceeded, message)
}

async fn fits_vectors(set: &VectorCatalog, store: &dyn VectorStore) -> Result<()> {
    let (Some(dimensions), Some(first)) = (set.dimensions, &set.first) else { return Ok(()) };
    if let Some(most) = store.capabilities().max_dimensions.filter(|most| *most < dimensions) {
        return Err(exceeds(first, most));
    }
    match store.config().await? {
        Some(config) if config.dimensions != dimensions => Err(Error::config(format!(
            "{}, but the store holds vectors of {}; import into another store or namespace",
            first.message(),
            config.dimensions
        ))),
        _ => Ok(()),
    }
}

/// The vectors of a namespace of the folder.
pub(super) fn vector_set(
    backend: &dyn Backend,
    in_use: Option<&Arc<dyn VectorStore>>,
    set: &str,
) -> Result<Arc<dyn VectorStore>> {
    match in_use {
        Some(vectors) if set == DEFAULT => Ok(Arc::clone(vectors)),
        None if set == DEFAULT => backend.vectors(),
        _ => backend.vector_set(set),
    }
}

impl Import {
    /// Of this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), vectors: None, watch: Watch::default() }
    }

    /// Where the default namespace's vectors go; default [`Backend::vectors`].
    #[must_use]
    pub fn with_vectors(mut self, vectors: Arc<dyn VectorStore>) -> Self {
        self.vectors = Some(vectors);
        self
    }

    /// Tells `observer` how far the work is. It should return soon: the work waits for it.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&FolderEvent<'_>) + Send + Sync + 'static) -> Self {
        self.watch.observer = Some(Arc::new(observer));
        self
    }

    /// Asks `stop` now and then whether to stop; the work then ends with an error of kind `Other`.
    #[must_use]
    pub fn with_stop(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.watch.stop = Some(Arc::new(stop));
        self
    }

    /// Reads the whole folder, on a thread of its own, and writes nothing. Takes 16 bytes of memory for each id
    /// in the folder.
    ///
    /// # Errors
    /// `InvalidInput` for a folder that no `StorageContext` wrote, and for a file that can not be read, is broken or
    /// cut short, with its line and column (in bytes).
    pub async fn check(&self) -> Result<CheckedFolder> {
        let (folder, watch) = (self.folder.clone(), self.watch.clone());
        let (send, answer) = oneshot::channel();
        let work = std::thread::Builder::new().name("folder".to_owned()).spawn(move || {
            // Nobody waits any more when the import was dropped.
            let _ = send.send(check(&folder, &watch));
        });
        work.map_err(|error| Error::new(ErrorKind::Other, "no thread can be started").with_source(error))?;
        let checked =
            answer.await.map_err(|_| Error::new(ErrorKind::Other, "the reading of the folder ended"))?;
        let catalog = checked.map_err(|error| error.with_operation("import"))?;
        let contents = contents(&catalog);
        Ok(CheckedFolder { catalog, contents })
    }

    /// Checks and writes.
    ///
    /// # Errors
    /// As [`check`](Self::check) and [`write`](Self::write).
    pub async fn run(&self, backend: &dyn Backend) -> Result<ImportReport> {
        self.write(&self.check().await?, backend).await
    }

    /// Writes a folder that was checked. Files are read on the calling task, some megabytes at a time.
    ///
    /// # Errors
    /// As [`CheckedFolder::fits`], before anything is written; then those of the store, and `InvalidInput` when a
    /// file changed since it was checked.
    pub async fn write(&self, folder: &CheckedFolder, backend: &dyn Backend) -> Result<ImportReport> {
        let write = Writing { import: self, catalog: &folder.catalog, backend };
        let report = async {
            folder.fits(backend, self.vectors.as_ref()).await?;
            write.run(&folder.contents).await
        };
        report.await.map_err(|error| error.with_operation("import"))
    }
}

fn contents(catalog: &Catalog) -> FolderContents {
    let size = |section: Option<&Section>| section.map_or(0, |section| section.keys.len());
    let docs = catalog.docs.as_ref();
    let vectors = |set: &VectorCatalog| FolderVectors {
        namespace: set.set.clone(),
        file: set.file.name.clone(),
        vectors: size(set.embeddings.as_ref()),
        dimensions: set.dimensions,
    };
    let own =
        docs.map(|docs| docs.file.bytes).into_iter().chain(catalog.index.as_ref().map(|i| i.file.bytes));
    let sets = catalog.vectors.iter().map(|set| set.file.bytes);
    FolderContents {
        nodes: size(docs.and_then(|docs| docs.nodes.as_ref())),
        hashes: size(docs.and_then(|docs| docs.hashes.as_ref())),
        ref_docs: size(docs.and_then(|docs| docs.ref_docs.as_ref())),
        index_structs: size(catalog.index.as_ref().and_then(|index| index.structs.as_ref())),
        vectors: catalog.vectors.iter().map(vectors).collect(),
        kept_files: catalog.others.iter().map(|file| file.name.clone()).collect(),
        bytes: own.chain(sets).chain(catalog.others.iter().map(|file| file.bytes)).sum(),
        notes: catalog.notes.clone(),
    }
}

/// A batch that is being filled.
#[derive(Debug)]
struct Batch<T> {
    items: Vec<T>,
    bytes: u64,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bytes: 0 }
    }
}

impl<T> Batch<T> {
    fn push(&mut self, item: T, bytes: u64) {
        self.items.push(item);
        self.bytes += bytes;
    }

    /// The items when they are enough to be written, or when these were the `last`.
    fn take(&mut self, last: bool) -> Option<Vec<T>> {
        let full = self.items.len() >= BATCH || self.bytes >= BATCH_BYTES;
        if self.items.is_empty() || !(full || last) {
            return None;
        }
        self.bytes = 0;
        Some(std::mem::take(&mut self.items))
    }
}

/// The second reading, in which everything is written.
struct Writing<'a> {
    import: &'a Import,
    catalog: &'a Catalog,
    backend: &'a dyn Backend,
}

impl Writing<'_> {
    fn watch(&self) -> &Watch {
        &self.import.watch
    }

    async fn run(&self, contents: &FolderContents) -> Result<ImportReport> {
        let kv = self.backend.kv()?;
        let mut manifest = self.noted(Manifest::read(&*kv).await?.unwrap_or_default());
        manifest.complete = false;
        manifest.write(&*kv).await?;
        let mut report = ImportReport { contents: contents.clone(), ..ImportReport::default() };
        for set in &self.catalog.vectors {
            self.configure(set).await?;
        }
        if let Some(docs) = &self.catalog.docs {
            self.watch().tell(FolderEvent::Importing { file: &docs.file.name });
            self.docs(docs, &*self.backend.docs()?).await?;
        }
        if let Some(index) = &self.catalog.index {
            self.watch().tell(FolderEvent::Importing { file: &index.file.name });
            self.index(index, &mut manifest).await?;
        }
        for set in &self.catalog.vectors {
            self.watch().tell(FolderEvent::Importing { file: &set.file.name });
            self.vectors(set, &mut report).await?;
        }
        for file in &self.catalog.others {
            self.watch().tell(FolderEvent::Importing { file: &file.name });
            file.unchanged()?;
            let mut bytes = File::open(&file.path).map_err(|error| unreadable(&file.path, error))?;
            let old = manifest.files.iter().find(|kept| kept.name == file.name);
            let kept = keep(&*kv, What::File, &file.name, &mut bytes, old, self.watch()).await?;
            manifest.files.retain(|known| known.name != kept.name);
            manifest.files.push(kept);
        }
        manifest.complete = true;
        manifest.write(&*kv).await?;
        Ok(report)
    }

    /// The note with this folder's names in it.
    fn noted(&self, mut manifest: Manifest) -> Manifest {
        if let Some(docs) = &self.catalog.docs {
            manifest.docs = names(docs);
        }
        if let Some(structs) = self.catalog.index.as_ref().and_then(|index| index.structs.as_ref()) {
            manifest.structs.clone_from(&structs.name);
        }
        for set in &self.catalog.vectors {
            manifest.note_vectors(&set.set, set.form);
        }
        manifest
    }

    async fn configure(&self, set: &VectorCatalog) -> Result<()> {
        let Some(dimensions) = set.dimensions else { return Ok(()) };
        let store = vector_set(self.backend, self.import.vectors.as_ref(), &set.set)?;
        if store.config().await?.is_none() {
            store.configure(VectorConfig::new(dimensions, Metric::Cosine)).await?;
        }
        Ok(())
    }

    async fn docs(&self, catalog: &DocCatalog, store: &dyn DocStore) -> Result<()> {
        if let Some(section) = &catalog.ref_docs {
            self.ref_docs(catalog, section, store).await?;
        }
        if let Some(section) = &catalog.nodes {
            let mut entries = Entries::of(&catalog.file, section, self.watch())?;
            let mut batch = Batch::default();
            loop {
                let next = entries.next_value()?;
                let last = next.is_none();
                if let Some((key, extent, value)) = next {
                    let node = node(key, value).map_err(|why| entries.scanner().broken(extent.place, why))?;
                    batch.push(node, extent.length);
                }
                if let Some(nodes) = batch.take(last) {
                    store.add(nodes, AddOptions::default()).await?;
                }
                if last {
                    break;
                }
            }
            entries.finish_here();
        }
        if let Some(section) = &catalog.hashes {
            let mut entries = Entries::of(&catalog.file, section, self.watch())?;
            let mut batch = Batch::default();
            loop {
                let next = entries.next_value()?;
                let last = next.is_none();
                if let Some((key, extent, value)) = next
                    && let Some(hash) = value.get("doc_hash").and_then(Value::as_str)
                {
                    batch.push((NodeId::from(key), hash.to_owned()), extent.length);
                }
                if let Some(hashes) = batch.take(last) {
                    store.set_hashes(hashes).await?;
                }
                if last {
                    break;
                }
            }
            entries.finish_here();
        }
        Ok(())
    }

    /// Writes the members of each ref doc, without nodes: so they come in the order of the folder, and the
    /// metadata of the ref doc is the folder's.
    async fn ref_docs(&self, catalog: &DocCatalog, section: &Section, store: &dyn DocStore) -> Result<()> {
        let sections = [&catalog.nodes, &catalog.hashes];
        // What neither has a node nor a hash is gone; Python forgets to take it out of its ref doc.
        let known = |id: &str| sections.iter().any(|s| s.as_ref().is_some_and(|s| s.keys.likely_has(id)));
        let options = AddOptions::default().with_store_text(false);
        let mut entries = Entries::of(&catalog.file, section, self.watch())?;
        let mut batch = Batch::default();
        loop {
            let next = entries.next_value()?;
            let last = next.is_none();
            if let Some((ref_doc, extent, value)) = next {
                let mut metadata = ref_doc_metadata(&value);
                let ids = value.get("node_ids").or_else(|| value.get("doc_ids")).and_then(Value::as_array);
                let ids = ids.into_iter().flatten().filter_map(Value::as_str);
                for id in ids.filter(|id| known(id)) {
                    let mut node = Node::text("").with_id(id).with_source(ref_doc.as_str());
                    node.metadata = std::mem::take(&mut metadata);
                    batch.push(node, 0);
                    if let Some(nodes) = batch.take(false) {
                        store.add(nodes, options).await?;
                    }
                }
                batch.bytes += extent.length;
            }
            if let Some(nodes) = batch.take(last) {
                store.add(nodes, options).await?;
            }
            if last {
                break;
            }
        }
        entries.finish_here();
        Ok(())
    }

    async fn index(&self, catalog: &IndexCatalog, manifest: &mut Manifest) -> Result<()> {
        let Some(section) = &catalog.structs else { return Ok(()) };
        let (store, kv) = (self.backend.index()?, self.backend.kv()?);
        let mut entries = Entries::of(&catalog.file, section, self.watch())?.with_limit(LARGEST_STRUCT);
        while let Some((key, extent)) = entries.next()? {
            if extent.length > LARGEST_STRUCT as u64 {
                continue;
            }
            let Value::Object(value) = entries.scanner().parse(extent, entries.bytes())? else { continue };
            let mut index = IndexStruct::from_json(value)?;
            if index.index_id() != key {
                index = index.with_id(key.as_str());
            }
            // What was too large before is not now.
            manifest.large_structs.retain(|known| known.name != key);
            store.put(index).await?;
        }
        entries.finish(catalog.file.bytes);
        for (id, extent) in &catalog.large {
            let mut file =
                File::open(&catalog.file.path).map_err(|error| unreadable(&catalog.file.path, error))?;
            let place = SeekFrom::Start(extent.place.offset);
            file.seek(place).map_err(|error| unreadable(&catalog.file.path, error))?;
            let old = manifest.large_structs.iter().find(|known| known.name == *id);
            let kept =
                keep(&*kv, What::Struct, id, &mut file.take(extent.length), old, &Watch::default()).await?;
            manifest.large_structs.retain(|known| known.name != *id);
            manifest.large_structs.push(kept);
            store.delete(id).await?;
        }
        Ok(())
    }

    async fn vectors(&self, catalog: &VectorCatalog, report: &mut ImportReport) -> Result<()> {
        let Some(section) = &catalog.embeddings else { return Ok(()) };
        if section.keys.len() == 0 {
            return Ok(());
        }
        let store = vector_set(self.backend, self.import.vectors.as_ref(), &catalog.set)?;
        let docs = self.backend.docs()?;
        let mut entries = Entries::of(&catalog.file, section, self.watch())?;
        let mut ref_docs = Lookup::of(&catalog.file, catalog.ref_docs.as_ref())?;
        let mut metadata = Lookup::of(&catalog.file, catalog.metadata.as_ref())?;
        let mut batch = Batch::default();
        loop {
            let next = entries.next()?;
            let last = next.is_none();
            if let Some((id, extent)) = next {
                let values = embedding(entries.scanner(), extent, entries.bytes(), &id)?;
                batch.push((NodeId::from(id), values), extent.length);
            }
            if let Some(vectors) = batch.take(last) {
                let ids: Vec<NodeId> = vectors.iter().map(|(id, _)| id.clone()).collect();
                let stored = docs.get_many(&ids).await?;
                let mut nodes = Vec::with_capacity(vectors.len());
                for ((id, values), stored) in vectors.into_iter().zip(stored) {
                    report.vectors_without_node += usize::from(stored.is_none());
                    let ref_doc = ref_docs.get(id.as_str())?;
                    let metadata = metadata.get(id.as_str())?;
                    let mut node = joined(id, stored, ref_doc.as_ref(), metadata);
                    node.embedding = (!is_zero(&values)).then_some(values);
                    nodes.push(node);
                }
                report.vectors_written += store.upsert(nodes, AddMode::Overwrite).await?.written;
            }
            if last {
                break;
            }
        }
        entries.finish(catalog.file.bytes);
        Ok(())
    }
}

fn names(docs: &DocCatalog) -> DocNames {
    // A namespace shows in the name of any collection.
    let sections = [&docs.nodes, &docs.hashes, &docs.ref_docs].into_iter().flatten();
    let mut known = sections.map(|section| &section.name).chain(&docs.empty);
    let namespace = known.find_map(|name| {
        ["/data", "/metadata", "/ref_doc_info"].iter().find_map(|suffix| name.strip_suffix(suffix))
    });
    let mut names = namespace.map_or_else(DocNames::default, DocNames::of_namespace);
    for (section, name) in [
        (&docs.nodes, &mut names.nodes),
        (&docs.hashes, &mut names.hashes),
        (&docs.ref_docs, &mut names.ref_docs),
    ] {
        if let Some(section) = section {
            name.clone_from(&section.name);
        }
    }
    names
}

/// A node under its key, which is what Python finds it by.
fn node(key: String, value: Value) -> Result<Node, String> {
    let Value::Object(value) = value else { return Err("the node is no object".to_owned()) };
    let node = Node::from_json(value).map_err(|error| error.message().to_owned())?;
    Ok(node.with_id(key))
}

fn ref_doc_metadata(value: &Value) -> JsonObject {
    let metadata = value.get("metadata").or_else(|| value.get("extra_info"));
    metadata.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The node of a vector: that of the docstore, with the metadata that filters see.
fn joined(id: NodeId, stored: Option<Node>, ref_doc: Option<&Value>, metadata: Option<Value>) -> Node {
    let metadata = match metadata {
        Some(Value::Object(metadata)) => Some(metadata),
        _ => None,
    };
    let class = metadata.as_ref().and_then(|metadata| metadata.get("_node_type")).and_then(Value::as_str);
    let mut node = stored.unwrap_or_else(|| empty(class)).with_id(id);
    let own = |metadata: &JsonObject| -> HashMap<String, Value> {
        let entries = metadata.iter().filter(|(key, _)| !ADDED.contains(&key.as_str()));
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    // Metadata of the names that were added shows in the node only.
    if let Some(mut metadata) = metadata.filter(|metadata| own(metadata) != own(&node.metadata)) {
        metadata.retain(|key, _| !ADDED.contains(&key.as_str()));
        node.metadata = metadata;
    }
    let ref_doc =
        ref_doc.and_then(Value::as_str).filter(|ref_doc| !ref_doc.is_empty() && *ref_doc != NO_REF_DOC);
    match ref_doc {
        Some(ref_doc) if node.ref_doc_id().is_none_or(|known| known.as_str() != ref_doc) => {
            node.with_source(ref_doc)
        }
        _ => node,
    }
}

/// A node of which only the class is known.
fn empty(class: Option<&str>) -> Node {
    match class {
        Some("ImageNode") => Node::image(crate::ImageContent::default()),
        Some("IndexNode") => Node::index("", ""),
        Some("Node") => Node::multimodal(crate::MediaContent::default()),
        Some("Document") => Node::document(""),
        Some("ImageDocument") => Node::image_document(crate::MediaContent::default()),
        _ => Node::text(""),
    }
}
