//! What a store says of its own health: sizes, settings, and what is going to hurt.

use std::path::Path;
use std::sync::Arc;

use store_core::{Diagnosis, Finding, Result};

use crate::engine::{ReadTx, Table as _};
use crate::schema::{FILE, FORMAT, META, META_FORMAT};
use crate::space::Space;
use crate::vector::{self, WordState};

/// A larger file is not looked through for free pages: that reads all of it.
const MOST_TO_LOOK_THROUGH: u64 = 2 << 30;
/// Less free space is too little for any store.
const LEAST_FREE: u64 = 256 << 20;
/// Less unused space in the file is not worth a word.
const MUCH_UNUSED: u64 = 64 << 20;
/// File systems on other machines, as Linux names them.
const REMOTE: [&str; 13] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.sshfs",
    "glusterfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
];

/// Looks through the store of one namespace. Blocks.
pub(crate) fn look(space: &Arc<Space>, tx: &ReadTx) -> Result<Diagnosis> {
    let folder = space.engine.folder();
    let format =
        tx.table(META)?.get(META_FORMAT)?.map(|row| String::from_utf8_lossy(row.value()).into_owned());
    let file = std::fs::metadata(folder.join(FILE)).map_or(0, |file| taken(&file));
    let cache = space.engine.cache_bytes() as u64;
    let read_only = space.engine.read_only();

    let mut facts = Diagnosis::new()
        .with_fact("store-embedded", env!("CARGO_PKG_VERSION"))
        .with_fact("layout version", format!("{}, of at most {FORMAT}", format.as_deref().unwrap_or("none")))
        .with_fact("word index engine", tantivy::version_string())
        .with_fact("folder", folder.display().to_string())
        .with_fact("namespace", &space.namespace);
    let mut findings = Vec::new();

    let (own, others) = namespaces(tx, &space.namespace)?;
    if !others.is_empty() {
        facts = facts.with_fact("other namespaces", others.join(", "));
        findings.extend((!own).then(|| empty_namespace(&space.namespace, &others)));
    }
    findings.extend(read_only.as_deref().map(not_writable));

    facts = facts.with_fact("file", size(file)).with_fact("page cache", size(cache));
    findings.extend(small_cache(cache, file));
    let (used, finding) = if file <= MOST_TO_LOOK_THROUGH {
        let used = tx.used_bytes()?;
        (size(used), unused(file, used))
    } else {
        (format!("not looked at in a file of more than {}", size(MOST_TO_LOOK_THROUGH)), None)
    };
    facts = facts.with_fact("used in the file", used);
    findings.extend(finding);

    let mut words = 0;
    let mut vectors = None;
    for (set, space) in configured(space, tx)? {
        let in_words = bytes_below(&space.words_folder());
        words += in_words;
        let state = vector::word_state(&space, tx)?;
        let name = set.as_ref().map_or_else(|| "word index".to_owned(), |set| format!("word index of {set}"));
        facts = facts.with_fact(&name, format!("{}, {state}", size(in_words)));
        findings.extend(word_index(&name, state, read_only.is_some()));
        *vectors.get_or_insert(0) += vector::bytes_in_memory(tx, &space.tables)?;
    }
    if let Some(bytes) = vectors {
        facts = facts.with_fact("vectors in memory", format!("{} once searched", size(bytes)));
        findings.extend(available_memory().and_then(|available| memory(bytes, available)));
    }

    if let Ok(free) = fs4::available_space(folder) {
        facts = facts.with_fact("free on the disk", size(free));
        findings.extend(disk_space(free, file + words));
    }
    if let Some(kind) =
        std::fs::read_to_string("/proc/self/mounts").ok().and_then(|m| file_system(&m, folder))
    {
        findings.extend(remote(&kind));
        facts = facts.with_fact("file system", kind);
    }
    Ok(findings.into_iter().fold(facts, Diagnosis::with_finding))
}

/// The default vector set and the named ones, as far as they are configured, each with its space.
fn configured(space: &Arc<Space>, tx: &ReadTx) -> Result<Vec<(Option<String>, Arc<Space>)>> {
    let mut sets = Vec::new();
    if vector::is_configured(tx, &space.tables)? {
        sets.push((None, Arc::clone(space)));
    }
    for name in vector::set_names(tx, &space.set_prefix())? {
        let set = space.set(&name);
        sets.push((Some(name), set));
    }
    Ok(sets)
}

/// Whether this namespace has data, and which others have.
fn namespaces(tx: &ReadTx, namespace: &str) -> Result<(bool, Vec<String>)> {
    // `namespace/role`, or `namespace.set/role`.
    let namespace_of = |table: &String| Some(table.split_once(['/', '.'])?.0.to_owned());
    let mut names: Vec<String> = tx.table_names()?.iter().filter_map(namespace_of).collect();
    names.sort();
    names.dedup();
    let all = names.len();
    names.retain(|name| name != namespace);
    Ok((names.len() < all, names))
}

fn empty_namespace(namespace: &str, others: &[String]) -> Finding {
    Finding::note(
        "namespace",
        format!(
            "nothing was ever written in the namespace {namespace}; the folder holds {}",
            others.join(", ")
        ),
        "if you look for data that you stored, open the namespace under which you stored it",
    )
}

fn not_writable(why: &str) -> Finding {
    Finding::warning(
        "read-only",
        format!("the store can be read but not written: {why}"),
        "make the folder and its files writable for this user, or free some space; then open the store again",
    )
}

/// The disk's own cache helps as well, so this is only a note.
fn small_cache(cache: u64, file: u64) -> Option<Finding> {
    (file / 32 > cache).then(|| {
        Finding::note(
            "page cache",
            format!("a cache of {} serves a file of {}", size(cache), size(file)),
            format!(
                "if reads are slow and memory is free, open the store with ?store.cache_bytes={}",
                file.div_ceil(8).next_power_of_two()
            ),
        )
    })
}

fn unused(file: u64, used: u64) -> Option<Finding> {
    let unused = file.saturating_sub(used);
    (unused > MUCH_UNUSED && unused > file / 2).then(|| {
        Finding::note(
            "unused space",
            format!("{} of the file's {} are unused", size(unused), size(file)),
            "later writes use it again; to give it back, copy what the store holds into a new one",
        )
    })
}

fn disk_space(free: u64, store: u64) -> Option<Finding> {
    let message = format!("{} are free on the disk of a store of {}", size(free), size(store));
    if free < LEAST_FREE.max(store / 4) {
        let advice = "free some space: on a full disk writes are refused (nothing is lost, reads go on)";
        return Some(Finding::warning("disk space", message, advice));
    }
    (free < store).then(|| {
        let advice = "a copy of the store, or a second set of vectors, may not fit beside it";
        Finding::note("disk space", message, advice)
    })
}

fn remote(kind: &str) -> Option<Finding> {
    REMOTE.contains(&kind).then(|| {
        Finding::warning(
            "file system",
            format!("the folder is on another machine ({kind}), where locks and syncs may not hold"),
            "move the folder to a local disk; to share a store between machines, use a server",
        )
    })
}

fn memory(needed: u64, available: u64) -> Option<Finding> {
    (needed > available).then(|| {
        Finding::warning(
            "memory",
            format!(
                "a search takes {} of memory for the vectors; {} are available",
                size(needed),
                size(available)
            ),
            "free some memory, use fewer dimensions, or divide the documents over several namespaces",
        )
    })
}

fn word_index(name: &str, state: WordState, read_only: bool) -> Option<Finding> {
    let (message, advice) = match state {
        WordState::UpToDate => return None,
        WordState::InMemory => {
            let message = "it could not be written and is kept in memory; each opening builds it anew";
            let advice = "make the folder `words` in the store's folder writable, or free some space";
            return Some(Finding::warning(name, message, advice));
        }
        WordState::Missing => ("it is not built yet".to_owned(), "the next text search builds it"),
        WordState::Behind(writes) => {
            (format!("it is {} behind", plural(writes, "write")), "the next text search brings it up to date")
        }
    };
    Some(if read_only {
        let advice =
            "make the folder writable and search by words once; until then each opening builds it in memory";
        Finding::warning(name, message, advice)
    } else {
        Finding::note(name, message, format!("{advice}; nothing need be done"))
    })
}

fn plural(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The kind of the file system that holds `folder`, from the table of mounts: the last with the longest path.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mount = mounts.lines().filter_map(|line| {
        let mut parts = line.split(' ').skip(1);
        let (place, kind) = (parts.next()?.replace("\\040", " "), parts.next()?);
        folder.starts_with(&place).then_some((place.len(), kind))
    });
    mount.max_by_key(|(length, _)| *length).map(|(_, kind)| kind.to_owned())
}

/// Memory that can be had without swapping, where the system tells it.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// Bytes that a file takes of the disk: parts that were never written take none.
fn taken(file: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    let blocks = std::os::unix::fs::MetadataExt::blocks(file).saturating_mul(512);
    #[cfg(not(unix))]
    let blocks = u64::MAX;
    file.len().min(blocks)
}

/// Bytes of the files in a folder that has no folders.
fn bytes_below(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| taken(&file)).sum()
}

/// `1.5 MB`, in units of a thousand.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1e9.. => format!("{:.1} GB", bytes / 1e9),
        1e6.. => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} kB", bytes / 1e3),
    }
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
