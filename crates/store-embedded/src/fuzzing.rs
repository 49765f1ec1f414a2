//! The bodies of the fuzz targets of this crate: see `fuzz/` and `scripts/fuzz`.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "tests, in the shape that a fuzzer wants")]

#[path = "../../../fuzz/common.rs"]
#[allow(dead_code, reason = "each crate needs a part of it")]
mod common;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use common::{check_place, parts};
use futures::TryStreamExt as _;
use store_core::{
    AddMode, AddOptions, Backend as _, ChatMessage, Error, ErrorKind, GetOptions, IndexStruct, JsonObject,
    KvStoreExt as _, Metric, Node, Result, ScanOptions, Selector, VectorConfig, VectorQuery,
    VectorStoreExt as _,
};

use crate::codec::{join, split, take_u64};
use crate::engine::Engine;
use crate::packed::{from_packed, pack, unpack};
use crate::schema::FILE;
use crate::{EmbeddedBackend, EmbeddedConfig};

/// A store's file that was damaged: whole pieces of it (four bytes of place, one of length, then so many bytes), and
/// what is left of it where it was cut short (the first four bytes, but for zero). Each read gives an answer or says
/// what is wrong; none takes the process down. Nothing is written: on a damaged list of its free pages the engine
/// panics twice at once, which ends the process.
pub fn embedded_file(data: &[u8]) {
    quiet_engine();
    let mut bytes = whole().to_vec();
    let mut rest = data;
    let cut = number(&mut rest);
    while !rest.is_empty() {
        let place = number(&mut rest) % bytes.len();
        let length = rest.split_off_first().map_or(0, |length| usize::from(*length)).min(rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        for (to, from) in bytes.iter_mut().skip(place).zip(piece) {
            *to = *from;
        }
    }
    if cut != 0 {
        bytes.truncate(cut % bytes.len());
    }
    let folder = folder();
    std::fs::write(folder.join(FILE), bytes).unwrap();
    let outcome = runtime().block_on(read_all(&folder));
    std::fs::remove_dir_all(&folder).unwrap();
    if let Err(error) = outcome {
        let kinds = [ErrorKind::Corrupt, ErrorKind::Config, ErrorKind::InvalidInput, ErrorKind::Other];
        assert!(kinds.contains(&error.kind()) || error.kind() == ErrorKind::Unavailable, "{error:?}");
        assert!(error.collection().is_some() || !error.message().is_empty(), "{error:?}");
    }
}

fn number(rest: &mut &[u8]) -> usize {
    let Some((number, after)) = rest.split_first_chunk::<4>() else {
        *rest = &[];
        return 0;
    };
    *rest = after;
    usize::try_from(u32::from_le_bytes(*number)).unwrap_or_default()
}

/// Reads all roles, and lets go of the file as of one that was found damaged.
async fn read_all(folder: &Path) -> Result<()> {
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder)).await?;
    // An error in one role keeps nobody from the others.
    let mut first = Ok(());
    let mut keep = |outcome: Result<()>| first = std::mem::replace(&mut first, Ok(())).and(outcome);
    let docs = backend.docs()?;
    keep(docs.scan(None).try_for_each(|_| async { Ok(()) }).await);
    keep(docs.scan_hashes(None).try_for_each(|_| async { Ok(()) }).await);
    keep(docs.scan_ref_docs(None).try_for_each(|_| async { Ok(()) }).await);
    keep(backend.kv()?.scan("c", ScanOptions::default()).try_for_each(|_| async { Ok(()) }).await);
    keep(backend.index()?.scan(None).try_for_each(|_| async { Ok(()) }).await);
    let chat = backend.chat()?;
    keep(chat.keys(None).try_for_each(|_| async { Ok(()) }).await);
    keep(chat.messages("s", None).await.map(drop));
    let vectors = backend.vectors()?;
    keep(vectors.get(&Selector::all(), GetOptions::default()).await.map(drop));
    keep(vectors.query(&VectorQuery::dense(vec![1.0, 0.0], 3)).await.map(drop));
    let filter: store_core::Filter = r#"n > 1 and t != "x""#.parse()?;
    keep(vectors.count(&Selector::all().with_filter(filter)).await.map(drop));
    keep(backend.diagnose().await.map(drop));
    // A panic says that it is damaged, so that closing it writes nothing.
    let engine = Engine::open(folder, false, 0)?;
    engine.read(|_| -> Result<()> { resume_unwind(Box::new(())) }).await.unwrap_err();
    drop(engine);
    keep(backend.close().await);
    first
}

/// Writes something of each role.
async fn fill(backend: &EmbeddedBackend) -> Result<()> {
    let node = |id: &str, n: u32| {
        let text = format!("the text of node {id}");
        Node::text(text).with_id(id).with_metadata("n", n).with_metadata("t", "text").with_source("d")
    };
    let nodes: Vec<Node> = (0..12).map(|n| node(&format!("n{n}"), n)).collect();
    backend.docs()?.add(nodes.clone(), AddOptions::default()).await?;
    backend.kv()?.put("c", "k", JsonObject::from_iter([("a".to_owned(), 1.into())])).await?;
    backend.index()?.put(IndexStruct::list(["n1"]).with_id("i")).await?;
    backend.chat()?.append("s", vec![ChatMessage::user("hello"), ChatMessage::assistant("yes")]).await?;
    let vectors = backend.vectors()?;
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await?;
    let nodes = nodes.into_iter().map(|node| node.with_embedding([1.0, 0.5])).collect();
    vectors.upsert(nodes, AddMode::Overwrite).await.map(drop)
}

/// The file of a small store.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = folder();
        runtime().block_on(async {
            let backend = EmbeddedBackend::open(EmbeddedConfig::new(&folder)).await.unwrap();
            fill(&backend).await.unwrap();
            backend.close().await.unwrap();
        });
        let bytes = std::fs::read(folder.join(FILE)).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        bytes
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An empty folder of this process.
fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("nodestore-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The engine panics on some damage, and its panics become errors: nothing is to be told of them.
fn quiet_engine() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", std::panic::Location::file);
            if !file.contains("/redb-") && !file.contains("/library/") {
                report(panic);
            }
        }));
    });
}

/// Keys and values as they stand in the file: `key NUL key of the metadata index NUL value`.
pub fn embedded_rows(data: &[u8]) {
    let [first, second, third] = parts(data);
    let read = [
        split(data).err(),
        take_u64(data).err(),
        unpack(third).err(),
        from_packed::<Node>(third).err(),
        from_packed::<ChatMessage>(third).err(),
        crate::vector::read_key(second).err(),
    ];
    for error in read.iter().flatten() {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    }
    if let Ok((name, rest)) = split(data) {
        assert_eq!(join(&name, rest), data);
    }
    if let Some(first) = common::text(first) {
        assert_eq!(split(&join(first, second)).unwrap(), (first.into(), second));
    }
    // What is no JSON is packed as well as what is; plain is only what begins as no packed value does.
    let packed = pack(third.to_vec());
    if packed != third {
        assert_eq!(unpack(&packed).unwrap(), third);
    }
    if let Some(text) = common::text(third)
        && let Err(error) = format!("/a?{text}").parse::<EmbeddedConfig>()
    {
        check_place(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::common::replay;

    #[test]
    fn corpus() {
        replay("embedded_file", super::embedded_file);
        replay("embedded_rows", super::embedded_rows);
    }
}
