//! The store's note of the folder that was imported, and the files it keeps as they are.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::numbers::Form;
use super::watch::{FolderEvent, Watch};
use crate::{Error, JsonObject, KvStore, KvStoreExt, PutOptions, Result};

/// Where the note stands in the key-value store.
const COLLECTION: &str = "nodestore";
const KEY: &str = "folder";
/// Where the bytes of kept files stand: `file/NAME/00000000` and so on.
pub(crate) const CHUNKS: &str = "nodestore_folder";
/// Bytes of a file in one value; in base64 a third more, which every store takes.
const CHUNK: usize = 256 << 10;

/// What there was in an imported folder, so that the same can be written again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The version of this note.
    pub(super) version: u32,
    /// Whether the import came to its end.
    pub(super) complete: bool,
    pub(super) docs: DocNames,
    /// The collection of index structs.
    pub(super) structs: String,
    pub(super) vectors: Vec<VectorNote>,
    pub(super) files: Vec<Kept>,
    /// Index structs too large to be read.
    pub(super) large_structs: Vec<Kept>,
}

/// The names of the collections in `docstore.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DocNames {
    pub(super) nodes: String,
    pub(super) hashes: String,
    pub(super) ref_docs: String,
}

impl Default for DocNames {
    fn default() -> Self {
        Self::of_namespace("docstore")
    }
}

impl DocNames {
    pub(super) fn of_namespace(namespace: &str) -> Self {
        let name = |suffix| format!("{namespace}/{suffix}");
        Self { nodes: name("data"), hashes: name("metadata"), ref_docs: name("ref_doc_info") }
    }
}

/// A set of vectors of the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct VectorNote {
    pub(super) set: String,
    pub(super) numbers: Form,
}

/// Bytes that are kept as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) chunks: usize,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            version: 1,
            complete: true,
            docs: DocNames::default(),
            structs: "index_store/data".to_owned(),
            vectors: Vec::new(),
            files: Vec::new(),
            large_structs: Vec::new(),
        }
    }
}

impl Manifest {
    /// The note of a store; `None` when no folder was imported.
    pub(super) async fn read(kv: &dyn KvStore) -> Result<Option<Self>> {
        let manifest: Option<Self> = kv.get_as(COLLECTION, KEY).await?;
        match manifest {
            Some(manifest) if manifest.version != 1 => Err(Error::config(format!(
                "the store's note of its folder has version {}; a newer nodestore wrote it",
                manifest.version
            ))),
            manifest => Ok(manifest),
        }
    }

    pub(super) async fn write(&self, kv: &dyn KvStore) -> Result<()> {
        kv.put_as(COLLECTION, KEY, self).await
    }

    /// Notes a set of vectors in place of one of the same name.
    pub(super) fn note_vectors(&mut self, set: &str, numbers: Form) {
        self.vectors.retain(|known| known.set != set);
        self.vectors.push(VectorNote { set: set.to_owned(), numbers });
    }

    /// How the numbers of a set are written.
    pub(super) fn form(&self, set: &str) -> Form {
        self.vectors.iter().find(|known| known.set == set).map_or(Form::default(), |known| known.numbers)
    }
}

/// What is kept: a file of the folder, or an index struct.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    File,
    Struct,
}

fn chunk_key(what: What, name: &str, chunk: usize) -> String {
    let what = match what {
        What::File => "file",
        What::Struct => "struct",
    };
    format!("{what}/{name}/{chunk:08}")
}

/// Keeps bytes, in place of `old` of the same name.
pub(super) async fn keep(
    kv: &dyn KvStore,
    what: What,
    name: &str,
    bytes: &mut (dyn Read + Send),
    old: Option<&Kept>,
    watch: &Watch,
) -> Result<Kept> {
    let most = kv.capabilities().max_value_bytes.map_or(CHUNK, |most| (most / 2).max(1));
    let mut kept = Kept { name: name.to_owned(), bytes: 0, chunks: 0 };
    loop {
        let mut chunk = Vec::new();
        let read = bytes.take(most.min(CHUNK) as u64).read_to_end(&mut chunk);
        read.map_err(|error| {
            Error::invalid_input(format!("{name} can not be read: {error}")).with_source(error)
        })?;
        if chunk.is_empty() {
            break;
        }
        let mut value = JsonObject::new();
        value.insert("base64".to_owned(), Value::String(STANDARD.encode(&chunk)));
        let key = chunk_key(what, name, kept.chunks);
        kv.put_many(CHUNKS, vec![(key, value)], PutOptions::default()).await?;
        kept.bytes += chunk.len() as u64;
        kept.chunks += 1;
        watch.tell(FolderEvent::Bytes(chunk.len() as u64));
        watch.go_on()?;
    }
    let surplus: Vec<String> =
        (kept.chunks..old.map_or(0, |old| old.chunks)).map(|chunk| chunk_key(what, name, chunk)).collect();
    if !surplus.is_empty() {
        kv.delete_many(CHUNKS, &surplus.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    Ok(kept)
}

/// Writes kept bytes out again.
pub(super) async fn restore(
    kv: &dyn KvStore,
    what: What,
    kept: &Kept,
    mut out: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let corrupt = || Error::corrupt(format!("the kept bytes of {:?} are damaged", kept.name));
    let mut bytes = 0;
    for chunk in 0..kept.chunks {
        let key = chunk_key(what, &kept.name, chunk);
        let value = kv.get(CHUNKS, &key).await?.ok_or_else(corrupt)?;
        let text = value.get("base64").and_then(Value::as_str).ok_or_else(corrupt)?;
        let part = STANDARD.decode(text).map_err(|error| corrupt().with_source(error))?;
        bytes += part.len() as u64;
        out(&part)?;
    }
    if bytes == kept.bytes { Ok(()) } else { Err(corrupt()) }
}
