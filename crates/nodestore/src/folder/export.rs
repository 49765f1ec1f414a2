//! Exporting a store as a folder that LlamaIndex's `StorageContext` loads.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::import::vector_set;
use super::list::{DEFAULT, DOCSTORE, GRAPH_STORE, IMAGE_VECTORS, INDEX_STORE, vectors_file};
use super::manifest::{Manifest, What, restore};
use super::numbers::{Form, written};
use super::target::{Out, Target};
use super::watch::{FolderEvent, Watch};
use super::writer::Members;
use crate::{Backend, DocStore, GetOptions, JsonObject, Node, NodeId, Result, Selector, VectorStore, python};

/// Entries read together.
const BATCH: usize = 256;
/// The id of the index struct that an export writes by itself.
const INDEX_ID: &str = "nodestore";
/// What Python's graph store writes when it holds nothing.
const NO_GRAPH: &str = r#"{"graph_dict": {}}"#;
/// What Python's vector store writes when it holds nothing.
const NO_VECTORS: &str = r#"{"embedding_dict": {}, "text_id_to_ref_doc_id": {}, "metadata_dict": {}}"#;

/// Writes a store as a folder that Python loads with `StorageContext.from_defaults(persist_dir=…)`.
///
/// Any store can be exported, also one that was never imported. The folder is written aside, made to last on disk and
/// then put into place: it is there whole or not at all. Entries come in the order of the store, which is that of
/// their ids on the embedded store.
///
/// ```no_run
/// # async fn example() -> nodestore::Result<()> {
/// use nodestore::folder::Export;
/// let store = nodestore::open("embedded:///data/kb").await?;
/// let report = Export::new("./storage").run(&*store).await?;
/// println!("{} nodes, {} vectors", report.nodes, report.vectors);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Export {
    folder: PathBuf,
    vectors: Option<Arc<dyn VectorStore>>,
    force: bool,
    index: bool,
    watch: Watch,
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Nodes and documents.
    pub nodes: usize,
    /// Content hashes.
    pub hashes: usize,
    /// Source documents that nodes were cut from.
    pub ref_docs: usize,
    /// Index structs.
    pub index_structs: usize,
    /// The id of the index struct that was made for the vectors, if one was.
    pub index_made: Option<String>,
    /// Vectors of all namespaces.
    pub vectors: usize,
    /// Nodes of the vector stores that have no vector, and are left out of their files.
    pub without_vector: usize,
    /// Names of the files.
    pub files: Vec<String>,
    /// Bytes of all files.
    pub bytes: u64,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Export {
    /// Into this folder, which must be absent or empty.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), vectors: None, force: false, index: false, watch: Watch::default() }
    }

    /// Where the default namespace's vectors come from; default [`Backend::vectors`].
    #[must_use]
    pub fn with_vectors(mut self, vectors: Arc<dyn VectorStore>) -> Self {
        self.vectors = Some(vectors);
        self
    }

    /// Says whether a persisted folder is replaced that holds nothing but `.json` files and files which this store
    /// keeps; default `false`.
    #[must_use]
    pub fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Says whether an index struct named `nodestore` over all vectors of the default namespace is written also when
    /// the store has other index structs; default `false`. When it has none, one is written anyway, since without one
    /// Python finds no index to load.
    #[must_use]
    pub fn with_index(mut self, index: bool) -> Self {
        self.index = index;
        self
    }

    /// Tells `observer` how far the work is. It should return soon: the work waits for it.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&FolderEvent<'_>) + Send + Sync + 'static) -> Self {
        self.watch.observer = Some(Arc::new(observer));
        self
    }

    /// Asks `stop` now and then whether to stop; the work then ends with an error of kind `Other`, and no folder.
    #[must_use]
    pub fn with_stop(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.watch.stop = Some(Arc::new(stop));
        self
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// `AlreadyExists` when there is something in the folder, `InvalidInput` when with force it holds what no
    /// export wrote, `Other` when a file can not be written, and those of the store.
    pub async fn run(&self, backend: &dyn Backend) -> Result<ExportReport> {
        let writing = async {
            let manifest = Manifest::read(&*backend.kv()?).await?;
            let own = manifest.iter().flat_map(|manifest| &manifest.files);
            let own: Vec<String> = own.map(|kept| kept.name.clone()).collect();
            let target = Target::new(&self.folder, self.force, &own)?;
            let writing = Writing {
                export: self,
                backend,
                is_new: manifest.is_none(),
                manifest: manifest.unwrap_or_default(),
                target: &target,
                report: ExportReport::default(),
            };
            let report = writing.run().await?;
            target.commit()?;
            Ok(report)
        };
        writing.await.map_err(|error: crate::Error| error.with_operation("export"))
    }
}

struct Writing<'a> {
    export: &'a Export,
    backend: &'a dyn Backend,
    manifest: Manifest,
    /// No folder was imported into the store.
    is_new: bool,
    target: &'a Target,
    report: ExportReport,
}

/// What the vectors of the default namespace need of the index store.
#[derive(Debug, Default)]
struct Structs {
    /// Whether there is one that this program did not make.
    others: bool,
    /// Whether there is one for vectors.
    has_vector_index: bool,
    hasher: RandomState,
    /// Hashes of the ids that an index struct for vectors holds.
    covered: HashSet<u64>,
}

impl<'a> Writing<'a> {
    async fn run(mut self) -> Result<ExportReport> {
        if !self.manifest.complete {
            let note = "the last import into this store did not come to its end; import the folder again";
            self.report.notes.push(note.to_owned());
        }
        self.docs().await?;
        let structs = self.structs().await?;
        let ids = self.default_vectors(&structs).await?;
        for set in self.manifest.vectors.clone() {
            if set.set != DEFAULT {
                self.vectors(&set.set, set.numbers, None).await?;
            }
        }
        self.index(ids).await?;
        self.kept().await?;
        let Self { report, .. } = self;
        Ok(report)
    }

    fn begin(&self, name: &str) -> Result<Members<'a>> {
        self.export.watch.tell(FolderEvent::Exporting { file: name });
        let mut out = self.target.create(name)?;
        out.write("{")?;
        Ok(Members::of(out, &self.export.watch))
    }

    /// The members of an object that is added later.
    fn aside(&self, name: &str) -> Result<Members<'a>> {
        Ok(Members::of(self.target.create(name)?, &self.export.watch))
    }

    fn done(&mut self, name: &str, bytes: u64) {
        self.report.files.push(name.to_owned());
        self.report.bytes += bytes;
    }

    async fn docs(&mut self) -> Result<()> {
        let docs = self.backend.docs()?;
        let names = self.manifest.docs.clone();
        let (mut nodes, mut hashes, mut ref_docs) = (0, 0, 0);
        let mut file = self.begin(DOCSTORE)?;
        let mut metadata = self.aside(".metadata")?;
        file.open(&names.nodes)?;
        let mut batches = docs.scan(None).try_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            let ids: Vec<NodeId> = batch.iter().map(|node| node.id.clone()).collect();
            for (node, hash) in batch.iter().zip(docs.hashes(&ids).await?) {
                file.add(node.id.as_str(), node)?;
                if let Some(hash) = hash {
                    let ref_doc = node.ref_doc_id();
                    metadata.add(
                        node.id.as_str(),
                        &hash_entry(&hash, ref_doc.as_ref().map(crate::RefDocId::as_str)),
                    )?;
                    hashes += 1;
                }
                nodes += 1;
            }
        }
        file.close()?;
        let mut alone = hashes_alone(&*docs, hashes).await?;
        hashes += alone.len();
        let mut infos = self.aside(".ref_docs")?;
        let mut stream = docs.scan_ref_docs(None);
        while let Some((id, info)) = stream.try_next().await? {
            let listed: Vec<NodeId> = info.node_ids.iter().filter(|id| alone.remove(*id)).cloned().collect();
            for ids in listed.chunks(BATCH) {
                for (node, hash) in ids.iter().zip(docs.hashes(ids).await?) {
                    metadata.add(node.as_str(), &hash_entry(&hash.unwrap_or_default(), Some(id.as_str())))?;
                }
            }
            infos.add(id.as_str(), &json!({"node_ids": info.node_ids, "metadata": info.metadata}))?;
            ref_docs += 1;
        }
        let mut alone: Vec<NodeId> = alone.into_iter().collect();
        alone.sort();
        for ids in alone.chunks(BATCH) {
            for (node, hash) in ids.iter().zip(docs.hashes(ids).await?) {
                metadata.add(node.as_str(), &hash_entry(&hash.unwrap_or_default(), None))?;
            }
        }
        file.add_members(&names.hashes, metadata)?;
        file.add_members(&names.ref_docs, infos)?;
        file.raw("}")?;
        let bytes = file.finish()?;
        (self.report.nodes, self.report.hashes, self.report.ref_docs) = (nodes, hashes, ref_docs);
        self.done(DOCSTORE, bytes);
        Ok(())
    }

    /// What is known of the index structs before they are written.
    async fn structs(&mut self) -> Result<Structs> {
        let mut found = Structs { others: !self.manifest.large_structs.is_empty(), ..Structs::default() };
        let mut structs = self.backend.index()?.scan(None);
        while let Some(index) = structs.try_next().await? {
            found.others = found.others || index.index_id() != INDEX_ID;
            if matches!(index.type_name(), "vector_store" | "multimodal") {
                found.has_vector_index = true;
                let ids = index.map("nodes_dict").into_iter().flat_map(JsonObject::keys);
                found.covered.extend(ids.map(|id| found.hasher.hash_one(id)));
            }
        }
        Ok(found)
    }

    /// Writes the vectors in use; answers the members of a new index struct's `nodes_dict` when one is wanted.
    async fn default_vectors(&mut self, structs: &Structs) -> Result<Option<Members<'a>>> {
        let mut ids = IndexIds { members: self.aside(".nodes_dict")?, structs, missing: 0 };
        let form = self.manifest.form(DEFAULT);
        let vectors = self.vectors(DEFAULT, form, Some(&mut ids)).await?;
        let IndexIds { members, missing, .. } = ids;
        if vectors > 0 && (self.export.index || !structs.others) {
            return Ok(Some(members));
        }
        members.discard()?;
        if structs.has_vector_index && missing > 0 && self.manifest.large_structs.is_empty() {
            self.report.notes.push(format!(
                "{} in no index struct, so Python's VectorStoreIndex fails when it finds one; --index writes a \
                 struct over all vectors",
                if missing == 1 { "1 vector is".to_owned() } else { format!("{missing} vectors are") }
            ));
        }
        Ok(None)
    }

    /// Writes a file of vectors; answers how many there are.
    async fn vectors(
        &mut self,
        set: &str,
        form: Form,
        mut ids: Option<&mut IndexIds<'_, 'a>>,
    ) -> Result<usize> {
        let name = vectors_file(set);
        let mut file = self.begin(&name)?;
        let (mut ref_docs, mut metadata) = (self.aside(".ref_docs")?, self.aside(".metadata")?);
        let (mut vectors, mut without) = (0, 0);
        file.open("embedding_dict")?;
        if self.backend.capabilities().vectors.is_some() {
            let store = vector_set(self.backend, self.export.vectors.as_ref(), set)?;
            let mut options = GetOptions::default().with_embeddings(true).with_limit(BATCH);
            while store.config().await?.is_some() {
                let page = store.get(&Selector::all(), options.clone()).await?;
                for node in &page.items {
                    let Some(values) = &node.embedding else {
                        without += 1;
                        continue;
                    };
                    let values: Vec<f64> = values.iter().map(|value| written(*value, form)).collect();
                    file.add(node.id.as_str(), &values)?;
                    let entry = vector_metadata(node)?;
                    ref_docs.add(node.id.as_str(), entry.get("ref_doc_id").unwrap_or(&Value::Null))?;
                    metadata.add(node.id.as_str(), &entry)?;
                    if let Some(ids) = &mut ids {
                        ids.add(&node.id)?;
                    }
                    vectors += 1;
                }
                let Some(next) = page.next else { break };
                options = options.with_after(next);
            }
        }
        file.close()?;
        file.add_members("text_id_to_ref_doc_id", ref_docs)?;
        file.add_members("metadata_dict", metadata)?;
        file.raw("}")?;
        let bytes = file.finish()?;
        self.report.vectors += vectors;
        self.report.without_vector += without;
        self.done(&name, bytes);
        Ok(vectors)
    }

    async fn index(&mut self, ids: Option<Members<'a>>) -> Result<()> {
        let collection = self.manifest.structs.clone();
        let mut file = self.begin(INDEX_STORE)?;
        file.open(&collection)?;
        let mut written = 0;
        let mut structs = self.backend.index()?.scan(None);
        while let Some(index) = structs.try_next().await? {
            if ids.is_none() || index.index_id() != INDEX_ID {
                file.add(index.index_id(), &index.to_stored_json())?;
                written += 1;
            }
        }
        let kv = self.backend.kv()?;
        for kept in &self.manifest.large_structs {
            file.key(&kept.name)?;
            restore(&*kv, What::Struct, kept, |bytes| file.raw(bytes)).await?;
            written += 1;
        }
        let is_made = ids.is_some();
        if let Some(ids) = ids {
            file.key(INDEX_ID)?;
            // The struct's data is JSON within a text.
            file.raw(r#"{"__type__": "vector_store", "__data__": "{\"index_id\": \""#)?;
            file.raw(INDEX_ID)?;
            file.raw(r#"\", \"summary\": null, \"nodes_dict\": {"#)?;
            file.append(ids)?;
            file.raw(r#"}, \"doc_id_dict\": {}, \"embeddings_dict\": {}}"}"#)?;
            written += 1;
        }
        file.close()?;
        file.raw("}")?;
        let bytes = file.finish()?;
        self.report.index_structs = written;
        self.report.index_made = is_made.then(|| INDEX_ID.to_owned());
        self.done(INDEX_STORE, bytes);
        Ok(())
    }

    /// The files that are kept as they are, and for a store of its own those that Python writes always.
    async fn kept(&mut self) -> Result<()> {
        let kv = self.backend.kv()?;
        for kept in self.manifest.files.clone() {
            let mut file = self.target.create(&kept.name)?;
            self.export.watch.tell(FolderEvent::Exporting { file: &kept.name });
            restore(&*kv, What::File, &kept, |bytes| {
                self.export.watch.tell(FolderEvent::Bytes(bytes.len() as u64));
                file.write(bytes)?;
                self.export.watch.go_on()
            })
            .await?;
            let bytes = file.finish()?;
            self.done(&kept.name, bytes);
        }
        if self.is_new {
            for (name, text) in [(GRAPH_STORE, NO_GRAPH), (IMAGE_VECTORS, NO_VECTORS)] {
                let mut file: Out = self.target.create(name)?;
                file.write(text)?;
                let bytes = file.finish()?;
                self.done(name, bytes);
            }
        }
        Ok(())
    }
}

/// Collects the ids of a new index struct.
struct IndexIds<'s, 'a> {
    members: Members<'a>,
    structs: &'s Structs,
    /// Vectors in no index struct of the store.
    missing: usize,
}

impl IndexIds<'_, '_> {
    /// Adds `"id": "id"`, as it stands within a text.
    fn add(&mut self, id: &NodeId) -> Result<()> {
        let id_text = python::dumps(id)?;
        let within = python::dumps(&format!("{id_text}: {id_text}"))?;
        let within = within.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
        self.members.item(within.as_bytes())?;
        let hash = self.structs.hasher.hash_one(id.as_str());
        self.missing += usize::from(!self.structs.covered.contains(&hash));
        Ok(())
    }
}

/// Ids that have a hash and no node. `with_nodes` is how many hashes have one.
async fn hashes_alone(docs: &dyn DocStore, with_nodes: usize) -> Result<HashSet<NodeId>> {
    let mut alone = HashSet::new();
    let all = docs.scan_hashes(None).try_fold(0_usize, |count, _| std::future::ready(Ok(count + 1))).await?;
    if all == with_nodes {
        return Ok(alone);
    }
    let mut batches = docs.scan_hashes(None).try_chunks(BATCH);
    while let Some(batch) = batches.next().await {
        let ids: Vec<NodeId> = batch.map_err(|error| error.1)?.into_iter().map(|(id, _)| id).collect();
        let nodes = docs.get_many(&ids).await?;
        alone.extend(ids.into_iter().zip(nodes).filter(|(_, node)| node.is_none()).map(|(id, _)| id));
    }
    Ok(alone)
}

fn hash_entry(hash: &str, ref_doc: Option<&str>) -> Value {
    match ref_doc {
        Some(ref_doc) => json!({"doc_hash": hash, "ref_doc_id": ref_doc}),
        None => json!({"doc_hash": hash}),
    }
}

/// A node's entry in `metadata_dict`.
fn vector_metadata(node: &Node) -> Result<JsonObject> {
    let mut metadata = node.to_vector_metadata(false)?;
    metadata.shift_remove("_node_content");
    Ok(metadata)
}
