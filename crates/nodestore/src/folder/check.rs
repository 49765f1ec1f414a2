//! The first reading of a folder: every file is judged, and it is noted where things stand, before anything is
//! written.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::keys::Keys;
use super::list::{FolderFile, Listing};
use super::numbers::{Form, FormGuess, embedding};
use super::scan::{Extent, Place, Scanner};
use super::watch::{FolderEvent, Meter, Watch};
use crate::{Error, IndexStruct, JsonObject, Node, Result};

/// Largest node, hash entry or metadata that is taken, in bytes of the file.
pub(super) const LARGEST_VALUE: usize = 64 << 20;
/// Largest index struct that is read, in bytes of the file; a larger one is kept as it is.
pub(super) const LARGEST_STRUCT: usize = 4 << 20;

/// An object of a file with many entries.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) name: String,
    /// Where its first key is expected.
    pub(super) start: Place,
    pub(super) keys: Keys,
}

/// The longest key and the largest value of a folder, with their places, for the limits of a backend.
#[derive(Debug, Default)]
pub(super) struct Extremes {
    pub(super) key: Option<(usize, Error)>,
    pub(super) value: Option<(u64, Error)>,
}

impl Extremes {
    fn see(&mut self, key: &str, place: Place, value: Extent, scanner: &Scanner) {
        if self.key.as_ref().is_none_or(|(longest, _)| key.len() > *longest) {
            let error = scanner.broken(place, format!("the key has {} bytes", key.len()));
            self.key = Some((key.len(), error));
        }
        if self.value.as_ref().is_none_or(|(largest, _)| value.length > *largest) {
            let error = scanner.broken(place, format!("the value of {key:?} has {} bytes", value.length));
            self.value = Some((value.length, error));
        }
    }
}

/// What stands where in `docstore.json`.
#[derive(Debug)]
pub(super) struct DocCatalog {
    pub(super) file: FolderFile,
    pub(super) nodes: Option<Section>,
    pub(super) hashes: Option<Section>,
    pub(super) ref_docs: Option<Section>,
    /// Collections without an entry.
    pub(super) empty: Vec<String>,
}

/// What stands where in `index_store.json`.
#[derive(Debug)]
pub(super) struct IndexCatalog {
    pub(super) file: FolderFile,
    pub(super) structs: Option<Section>,
    /// Structs too large to be read: id and extent.
    pub(super) large: Vec<(String, Extent)>,
}

/// What stands where in a file of vectors.
#[derive(Debug)]
pub(super) struct VectorCatalog {
    pub(super) set: String,
    pub(super) file: FolderFile,
    pub(super) embeddings: Option<Section>,
    pub(super) ref_docs: Option<Section>,
    pub(super) metadata: Option<Section>,
    pub(super) dimensions: Option<usize>,
    /// The place of the first vector.
    pub(super) first: Option<Error>,
    /// Vectors that are all zero.
    pub(super) zeros: usize,
    pub(super) form: Form,
}

/// A folder that was checked.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) docs: Option<DocCatalog>,
    pub(super) index: Option<IndexCatalog>,
    pub(super) vectors: Vec<VectorCatalog>,
    pub(super) others: Vec<FolderFile>,
    pub(super) extremes: Extremes,
    pub(super) notes: Vec<String>,
}

/// Reads and judges every file of a folder.
pub(super) fn check(folder: &Path, watch: &Watch) -> Result<Catalog> {
    let listing = Listing::of(folder)?;
    let mut check = Check { watch, extremes: Extremes::default(), notes: listing.notes };
    let docs = listing.docstore.map(|file| check.docs(file)).transpose()?;
    let index = listing.index_store.map(|file| check.index(file)).transpose()?;
    let vectors = listing.vectors.into_iter().map(|(set, file)| check.vectors(set, file));
    let vectors = vectors.collect::<Result<Vec<_>>>()?;
    for file in &listing.others {
        // It can be opened; what is in it is nobody's business here.
        Scanner::open(&file.path)?;
        watch.tell(FolderEvent::Bytes(file.bytes));
    }
    let Check { extremes, notes, .. } = check;
    Ok(Catalog { docs, index, vectors, others: listing.others, extremes, notes })
}

struct Check<'a> {
    watch: &'a Watch,
    extremes: Extremes,
    notes: Vec<String>,
}

/// What a collection of `docstore.json` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Nodes,
    Hashes,
    RefDocs,
}

impl Role {
    /// Told by an entry, since the names of collections can be chosen freely.
    fn of(value: &JsonObject) -> Option<Self> {
        let has = |names: [&str; 2]| names.iter().any(|name| value.contains_key(*name));
        if has(["__data__", "__type__"]) {
            Some(Self::Nodes)
        } else if has(["node_ids", "doc_ids"]) {
            Some(Self::RefDocs)
        } else if has(["doc_hash", "ref_doc_id"]) {
            Some(Self::Hashes)
        } else {
            None
        }
    }
}

impl Check<'_> {
    /// Says what of a file can not be kept exactly.
    fn note_losses(&mut self, file: &FolderFile, scanner: &Scanner) {
        let lossy = scanner.lossy();
        if lossy > 0 {
            self.notes.push(format!(
                "{}: {} what can not be kept exactly: NaN and infinities became null, integers beyond 64 bits \
                 floats, lone surrogates U+FFFD",
                file.name,
                if lossy == 1 { "1 entry holds".to_owned() } else { format!("{lossy} entries hold") }
            ));
        }
    }

    fn docs(&mut self, file: FolderFile) -> Result<DocCatalog> {
        self.watch.tell(FolderEvent::Checking { file: &file.name });
        let (mut scanner, mut meter) = (Scanner::open(&file.path)?, Meter::new(self.watch));
        let mut sections: HashMap<Role, Section> = HashMap::new();
        let mut empty = Vec::new();
        let mut top = scanner.begin()?;
        while let Some((at, name)) = scanner.next_key(&mut top)? {
            let Some((role, section)) = self.doc_collection(&mut scanner, &mut meter, &name)? else {
                empty.push(name);
                continue;
            };
            if let Some(other) = sections.get(&role) {
                let why =
                    format!("{name:?} and {:?} hold the same kind of entries; a store takes one", other.name);
                return Err(scanner.broken(at, why));
            }
            sections.insert(role, section);
        }
        scanner.end()?;
        meter.finish(file.bytes);
        self.note_losses(&file, &scanner);
        for section in sections.values_mut() {
            section.keys.settle(&section.name, &mut scanner)?;
        }
        let mut take = |role| sections.remove(&role);
        let (nodes, hashes, ref_docs) = (take(Role::Nodes), take(Role::Hashes), take(Role::RefDocs));
        Ok(DocCatalog { file, nodes, hashes, ref_docs, empty })
    }

    /// One collection of `docstore.json`; `None` when it is empty.
    fn doc_collection(
        &mut self,
        scanner: &mut Scanner,
        meter: &mut Meter<'_>,
        name: &str,
    ) -> Result<Option<(Role, Section)>> {
        let Some(mut members) = scanner.enter(&format!("the collection {name:?}"))? else { return Ok(None) };
        let (start, mut keys, mut role, mut bytes) = (scanner.place(), Keys::default(), None, Vec::new());
        while let Some((at, key)) = scanner.next_key(&mut members)? {
            let extent = read_whole(scanner, &mut bytes, &key)?;
            let Value::Object(value) = scanner.parse(extent, &bytes)? else {
                return Err(scanner.broken(extent.place, format!("the entry {key:?} must be an object")));
            };
            let kind = Role::of(&value).filter(|kind| role.is_none_or(|role| role == *kind));
            let Some(kind) = kind else {
                let why = format!("the entry {key:?} of {name:?} is no node, hash or ref doc of LlamaIndex");
                return Err(scanner.broken(extent.place, why));
            };
            role = Some(kind);
            let judged = if key.is_empty() { Err("its id is empty".to_owned()) } else { judge(kind, value) };
            judged.map_err(|why| {
                scanner.broken(extent.place, format!("the entry {key:?} of {name:?}: {why}"))
            })?;
            self.extremes.see(&key, at, extent, scanner);
            keys.add(&key, at);
            meter.reached(scanner.offset())?;
        }
        Ok(role.map(|role| (role, Section { name: name.to_owned(), start, keys })))
    }

    fn index(&mut self, file: FolderFile) -> Result<IndexCatalog> {
        self.watch.tell(FolderEvent::Checking { file: &file.name });
        let (mut scanner, mut meter) = (Scanner::open(&file.path)?, Meter::new(self.watch));
        let (mut structs, mut large): (Option<Section>, Vec<(String, Extent)>) = (None, Vec::new());
        let mut top = scanner.begin()?;
        while let Some((at, name)) = scanner.next_key(&mut top)? {
            let Some(mut members) = scanner.enter(&format!("the collection {name:?}"))? else { continue };
            let (start, mut keys, mut bytes) = (scanner.place(), Keys::default(), Vec::new());
            while let Some((key_at, key)) = scanner.next_key(&mut members)? {
                let extent = scanner.read_value(&mut bytes, LARGEST_STRUCT)?;
                if key.is_empty() {
                    return Err(scanner.broken(key_at, "an index struct has an empty id"));
                }
                if extent.length > LARGEST_STRUCT as u64 {
                    large.push((key.clone(), extent));
                } else {
                    let Value::Object(value) = scanner.parse(extent, &bytes)? else {
                        return Err(
                            scanner.broken(extent.place, format!("the entry {key:?} must be an object"))
                        );
                    };
                    if let Err(error) = IndexStruct::from_json(value) {
                        let why = format!("the index struct {key:?}: {}", error.message());
                        return Err(scanner.broken(extent.place, why));
                    }
                    self.extremes.see(&key, key_at, extent, &scanner);
                }
                keys.add(&key, key_at);
                meter.reached(scanner.offset())?;
            }
            if keys.len() == 0 {
                continue;
            }
            if let Some(other) = &structs {
                let why = format!("{name:?} and {:?} both hold index structs; a store takes one", other.name);
                return Err(scanner.broken(at, why));
            }
            structs = Some(Section { name, start, keys });
        }
        scanner.end()?;
        meter.finish(file.bytes);
        self.note_losses(&file, &scanner);
        if let Some(section) = &mut structs {
            section.keys.settle(&section.name, &mut scanner)?;
        }
        Ok(IndexCatalog { file, structs, large })
    }

    fn vectors(&mut self, set: String, file: FolderFile) -> Result<VectorCatalog> {
        self.watch.tell(FolderEvent::Checking { file: &file.name });
        let (mut scanner, mut meter) = (Scanner::open(&file.path)?, Meter::new(self.watch));
        let mut catalog = VectorCatalog {
            set,
            file,
            embeddings: None,
            ref_docs: None,
            metadata: None,
            dimensions: None,
            first: None,
            zeros: 0,
            form: Form::default(),
        };
        let mut guess = FormGuess::default();
        let mut top = scanner.begin()?;
        while let Some((at, name)) = scanner.next_key(&mut top)? {
            match name.as_str() {
                "embedding_dict" if catalog.embeddings.is_none() => {
                    catalog.embeddings =
                        self.embeddings(&mut scanner, &mut meter, &mut catalog, &mut guess)?;
                }
                "text_id_to_ref_doc_id" | "text_id_to_doc_id" if catalog.ref_docs.is_none() => {
                    let allowed = |value: &Value| value.is_string() || value.is_null();
                    catalog.ref_docs = self.links(&mut scanner, &mut meter, &name, "a text", allowed)?;
                }
                "metadata_dict" if catalog.metadata.is_none() => {
                    let allowed = |value: &Value| value.is_object() || value.is_null();
                    catalog.metadata = self.links(&mut scanner, &mut meter, &name, "an object", allowed)?;
                }
                "embedding_dict" | "text_id_to_ref_doc_id" | "text_id_to_doc_id" | "metadata_dict" => {
                    return Err(scanner.broken(at, format!("{name:?} stands twice")));
                }
                _ => {
                    scanner.skip_value()?;
                    let note =
                        format!("{}: the member {name:?} is not known and left out", catalog.file.name);
                    self.notes.push(note);
                }
            }
        }
        scanner.end()?;
        meter.finish(catalog.file.bytes);
        self.note_losses(&catalog.file, &scanner);
        for section in
            [&mut catalog.embeddings, &mut catalog.ref_docs, &mut catalog.metadata].into_iter().flatten()
        {
            section.keys.settle(&section.name, &mut scanner)?;
        }
        catalog.form = guess.form();
        if catalog.zeros > 0 {
            self.notes.push(format!(
                "{}: {} of zeros only {} imported without a vector, since a cosine with it means nothing",
                catalog.file.name,
                super::count(catalog.zeros, "vector"),
                if catalog.zeros == 1 { "is" } else { "are" },
            ));
        }
        Ok(catalog)
    }

    fn embeddings(
        &mut self,
        scanner: &mut Scanner,
        meter: &mut Meter<'_>,
        catalog: &mut VectorCatalog,
        guess: &mut FormGuess,
    ) -> Result<Option<Section>> {
        let name = "embedding_dict";
        let Some(mut members) = scanner.enter(name)? else { return Ok(None) };
        let (start, mut keys, mut bytes) = (scanner.place(), Keys::default(), Vec::new());
        while let Some((at, key)) = scanner.next_key(&mut members)? {
            let extent = read_whole(scanner, &mut bytes, &key)?;
            if key.is_empty() {
                return Err(scanner.broken(at, "a vector has an empty id"));
            }
            let values = embedding(scanner, extent, &bytes, &key)?;
            match catalog.dimensions {
                None => {
                    let why = format!("the vector {key:?} has {} values", values.len());
                    catalog.dimensions = Some(values.len());
                    catalog.first = Some(scanner.broken(extent.place, why));
                }
                Some(dimensions) if dimensions != values.len() => {
                    return Err(scanner.broken(
                        extent.place,
                        format!(
                            "the vector {key:?} has {} values, the ones before it have {dimensions}",
                            values.len()
                        ),
                    ));
                }
                Some(_) => {}
            }
            catalog.zeros += usize::from(super::numbers::is_zero(&values));
            guess.see(&values);
            self.extremes.see(&key, at, Extent { length: 0, ..extent }, scanner);
            keys.add(&key, at);
            meter.reached(scanner.offset())?;
        }
        Ok(Some(Section { name: name.to_owned(), start, keys }))
    }

    /// An object with one value for each vector.
    fn links(
        &mut self,
        scanner: &mut Scanner,
        meter: &mut Meter<'_>,
        name: &str,
        expected: &str,
        allowed: impl Fn(&Value) -> bool,
    ) -> Result<Option<Section>> {
        let Some(mut members) = scanner.enter(name)? else { return Ok(None) };
        let (start, mut keys, mut bytes) = (scanner.place(), Keys::default(), Vec::new());
        while let Some((at, key)) = scanner.next_key(&mut members)? {
            let extent = read_whole(scanner, &mut bytes, &key)?;
            if !allowed(&scanner.parse(extent, &bytes)?) {
                return Err(
                    scanner.broken(extent.place, format!("the entry {key:?} of {name} must be {expected}"))
                );
            }
            self.extremes.see(&key, at, extent, scanner);
            keys.add(&key, at);
            meter.reached(scanner.offset())?;
        }
        Ok(Some(Section { name: name.to_owned(), start, keys }))
    }
}

/// Reads a value that must fit into memory.
pub(super) fn read_whole(scanner: &mut Scanner, bytes: &mut Vec<u8>, key: &str) -> Result<Extent> {
    let extent = scanner.read_value(bytes, LARGEST_VALUE)?;
    if extent.length > LARGEST_VALUE as u64 {
        let why = format!(
            "the value of {key:?} has {} bytes; more than {LARGEST_VALUE} are not taken",
            extent.length
        );
        return Err(scanner.broken(extent.place, why));
    }
    Ok(extent)
}

/// Says what is wrong with an entry of a docstore.
fn judge(role: Role, value: JsonObject) -> Result<(), String> {
    match role {
        Role::Nodes => Node::from_json(value).map(drop).map_err(|error| error.message().to_owned()),
        Role::Hashes => match value.get("doc_hash") {
            None | Some(Value::String(_)) => Ok(()),
            Some(_) => Err("its doc_hash must be a text".to_owned()),
        },
        Role::RefDocs => {
            let ids = value.get("node_ids").or_else(|| value.get("doc_ids")).and_then(Value::as_array);
            if ids.is_some_and(|ids| ids.iter().all(Value::is_string)) {
                Ok(())
            } else {
                Err("its node ids must be a list of texts".to_owned())
            }
        }
    }
}
