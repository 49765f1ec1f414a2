//! Files that are no store, not whole, or too new.

use std::fs;
use std::path::Path;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use store_core::{Backend as _, ErrorKind, Node};

use crate::{add, ensure, open, refused, runtime, text};

const FILE: &str = "store.redb";
const META: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");

/// A closed store with so many batches.
fn make(folder: &Path, batches: usize) -> Result<(), Failed> {
    runtime()?.block_on(async {
        let store = open(folder).await.map_err(text)?;
        for batch in 0..batches {
            add(&store, batch, 500).await.map_err(text)?;
        }
        Ok(store.close().await.map_err(text)?)
    })
}

pub(crate) fn newer_format(folder: &Path) -> Result<(), Failed> {
    make(folder, 1)?;
    let database = redb::Database::open(folder.join(FILE))?;
    let tx = database.begin_write()?;
    tx.open_table(META)?.insert(&b"format"[..], &b"3"[..])?;
    tx.commit()?;
    drop(database);
    let error = runtime()?.block_on(refused(folder, ErrorKind::Config, "upgrade"))?;
    ensure(error.message().contains("format 3"), error.to_string())?;
    ensure(error.message().contains("reads up to 2"), error.to_string())
}

pub(crate) fn foreign_file(folder: &Path) -> Result<(), Failed> {
    let path = folder.join(FILE);
    let zeroes = vec![0; 100_000];
    for content in [b"".as_slice(), b"these are notes, no store at all", &zeroes] {
        fs::write(&path, content)?;
        runtime()?.block_on(refused(folder, ErrorKind::Corrupt, "open another folder"))?;
        ensure(fs::read(&path)? == content, "the file was changed")?;
    }
    fs::remove_file(&path)?;
    let database = redb::Database::create(&path)?;
    let tx = database.begin_write()?;
    tx.open_table(redb::TableDefinition::<u64, &str>::new("theirs"))?.insert(1, "one")?;
    tx.commit()?;
    drop(database);
    runtime()?.block_on(refused(folder, ErrorKind::Config, "open another folder"))?;
    Ok(())
}

pub(crate) fn cut_short(folder: &Path) -> Result<(), Failed> {
    make(folder, 20)?;
    let file = fs::OpenOptions::new().write(true).open(folder.join(FILE))?;
    for part in [2, 100, 10_000] {
        file.set_len(file.metadata()?.len() / part)?;
        runtime()?.block_on(refused(folder, ErrorKind::Corrupt, "restore it from a copy"))?;
    }
    Ok(())
}

/// Overwrites one piece of the file after another and reads everything: an answer or an error, each time.
pub(crate) fn damaged(folder: &Path) -> Result<(), Failed> {
    // The engine panics on some damage; what counts is that we do not.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("redb")) {
            report(panic);
        }
    }));
    make(folder, 30)?;
    let path = folder.join(FILE);
    let whole = fs::read(&path)?;
    let mut corrupt = 0;
    for place in (0..whole.len()).step_by(8192) {
        let mut bytes = whole.clone();
        if let Some(piece) = bytes.get_mut(place..whole.len().min(place + 512)) {
            piece.fill(0xA5);
        }
        fs::write(&path, &bytes)?;
        let outcome = runtime()?.block_on(async {
            let store = open(folder).await?;
            let nodes: Vec<Node> = store.docs()?.scan(None).try_collect().await?;
            let hashes: Vec<_> = store.docs()?.scan_hashes(None).try_collect().await?;
            let ref_docs: Vec<_> = store.docs()?.scan_ref_docs(None).try_collect().await?;
            // A damaged store may refuse a write as well.
            add(&store, 0, 100).await?;
            store.close().await?;
            Ok::<_, store_core::Error>((nodes.len(), hashes.len(), ref_docs.len()))
        });
        match outcome {
            Ok(counts) => {
                ensure(counts == (300, 300, 30), format!("damage at {place} lost rows: {counts:?}"))?;
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => corrupt += 1,
            Err(error) => return Err(format!("damage at {place}: {}", text(error)).into()),
        }
    }
    ensure(corrupt > 0, "no damage was noticed")
}

pub(crate) fn path_is_a_file(folder: &Path) -> Result<(), Failed> {
    let path = folder.join("notes.txt");
    fs::write(&path, "notes")?;
    runtime()?.block_on(refused(&path, ErrorKind::Config, "name a folder"))?;
    Ok(())
}
