//! Full and read-only disks, each in a mount namespace of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use store_core::{
    AddMode, Backend as _, ErrorKind, Metric, Node, Severity, VectorConfig, VectorQuery, VectorStoreExt as _,
};
use store_embedded::EmbeddedBackend;

use crate::{add, add_vectors, check_search, ensure, has, open, refused, runtime, text};

/// Runs a program where mounts are its own. As root that needs nothing; others become root of a user namespace.
pub(crate) fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(if possible_with("--mount") {
        &["--mount"][..]
    } else {
        &["--mount", "--map-root-user"][..]
    });
    command
}

/// Whether tests can mount here.
pub(crate) fn possible() -> bool {
    possible_with("--mount") || possible_with("--map-root-user")
}

fn possible_with(option: &str) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let mount = Command::new("unshare")
        .args(["--mount", option, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output();
    mount.is_ok_and(|output| output.status.success())
}

fn mount(arguments: &[&str], folder: &Path) -> Result<(), Failed> {
    let output = Command::new("mount").args(arguments).arg(folder).output()?;
    ensure(output.status.success(), String::from_utf8_lossy(&output.stderr))
}

/// A small disk in memory with a file on it that can make room later.
fn small_disk(folder: &Path, size: &str, ballast: usize) -> Result<(), Failed> {
    mount(&["-t", "tmpfs", "-o", size, "tmpfs"], folder)?;
    Ok(fs::write(folder.join("ballast"), vec![1; ballast])?)
}

/// Adds batches until the disk is full; answers how many were acknowledged.
async fn fill(store: &EmbeddedBackend) -> Result<usize, Failed> {
    for batch in 0..10_000 {
        let Err(error) = add(store, batch, 4_000).await else { continue };
        let plain = error.kind() == ErrorKind::Unavailable
            && !error.is_retryable()
            && error.message().contains("the disk is full")
            && error.message().contains("Free some space");
        ensure(plain, text(error))?;
        return Ok(batch);
    }
    Err("the disk never was full".into())
}

/// Everything up to `acknowledged` is there, and nothing after it.
async fn check(store: &EmbeddedBackend, acknowledged: usize) -> Result<(), Failed> {
    for batch in 0..acknowledged {
        ensure(has(store, batch).await?, format!("batch {batch} of {acknowledged} is lost"))?;
    }
    ensure(!has(store, acknowledged).await?, "a refused batch is there")?;
    let nodes: Vec<Node> = store.docs().map_err(text)?.scan(None).try_collect().await.map_err(text)?;
    ensure(nodes.len() == 10 * acknowledged, format!("{} nodes of {acknowledged} batches", nodes.len()))
}

/// Puts nodes where words and vectors find them.
async fn add_searchable(store: &EmbeddedBackend) -> Result<(), Failed> {
    let vectors = store.vectors().map_err(text)?;
    vectors.configure(VectorConfig::new(2, Metric::Dot)).await.map_err(text)?;
    let node = |id: u8| {
        Node::text(format!("crane {id}")).with_id(format!("{id}")).with_embedding([1.0, f32::from(id)])
    };
    vectors.upsert((0..5).map(node).collect(), AddMode::Overwrite).await.map_err(text)?;
    Ok(())
}

/// Vectors and words find them, though the word index can not be written.
async fn search(store: &EmbeddedBackend) -> Result<(), Failed> {
    let vectors = store.vectors().map_err(text)?;
    for query in [VectorQuery::text("crane", 9), VectorQuery::hybrid(vec![1.0, 0.0], "crane", 9)] {
        let found = vectors.query(&query).await.map_err(text)?;
        ensure(found.len() == 5, format!("{} of 5 nodes found", found.len()))?;
    }
    Ok(())
}

pub(crate) fn full_disk(folder: &Path) -> Result<(), Failed> {
    small_disk(folder, "size=8m", 1 << 20)?;
    let home = folder.join("store");
    runtime()?.block_on(async {
        let store = open(&home).await.map_err(text)?;
        let acknowledged = fill(&store).await?;
        ensure(acknowledged > 10, "the disk was full at once")?;
        check(&store, acknowledged).await?;
        // Refused again and again, and reads go on.
        for _ in 0..3 {
            ensure(add(&store, acknowledged, 4_000).await.is_err(), "a write on a full disk went through")?;
            check(&store, acknowledged).await?;
        }
        fs::remove_file(folder.join("ballast"))?;
        add(&store, acknowledged, 4_000).await.map_err(text)?;
        check(&store, acknowledged + 1).await?;
        store.close().await.map_err(text)?;
        check(&open(&home).await.map_err(text)?, acknowledged + 1).await
    })
}

/// The disk is full to the last byte, and the store was not closed cleanly.
pub(crate) fn open_on_a_full_disk(folder: &Path) -> Result<(), Failed> {
    small_disk(folder, "size=8m", 1 << 20)?;
    let (home, copy) = (folder.join("store"), folder.join("copy"));
    runtime()?.block_on(async {
        let store = open(&home).await.map_err(text)?;
        for batch in 0..5 {
            add(&store, batch, 4_000).await.map_err(text)?;
        }
        add_searchable(&store).await?;
        // As a crash would leave it.
        fs::create_dir(&copy)?;
        fs::copy(home.join("store.redb"), copy.join("store.redb"))?;
        store.close().await.map_err(text)?;
        let mut rest = fs::File::create(folder.join("rest"))?;
        while std::io::Write::write(&mut rest, &[1; 4096]).is_ok() {}
        for home in [&home, &copy] {
            let store = open(home).await.map_err(text)?;
            check(&store, 5).await?;
            search(&store).await?;
            let error = add(&store, 5, 2_000_000).await.err().ok_or("a write on a full disk went through")?;
            ensure(error.message().contains("the disk is full"), text(error))?;
            check(&store, 5).await?;
            warned(&store, &["disk space"]).await?;
            store.close().await.map_err(text)?;
        }
        fs::remove_file(folder.join("rest"))?;
        let store = open(&copy).await.map_err(text)?;
        add(&store, 5, 4_000).await.map_err(text)?;
        check(&store, 6).await
    })
}

/// A diagnosis names these subjects as warnings.
async fn warned(store: &EmbeddedBackend, subjects: &[&str]) -> Result<(), Failed> {
    let diagnosis = store.diagnose().await.map_err(text)?;
    for subject in subjects {
        let mut warnings = diagnosis.findings.iter().filter(|finding| finding.severity == Severity::Warning);
        ensure(
            warnings.any(|finding| finding.subject == *subject),
            format!("no warning about {subject} in {diagnosis:?}"),
        )?;
    }
    Ok(())
}

pub(crate) fn create_on_a_full_disk(folder: &Path) -> Result<(), Failed> {
    small_disk(folder, "size=256k", 0)?;
    let mut rest = fs::File::create(folder.join("rest"))?;
    while std::io::Write::write(&mut rest, &[1; 4096]).is_ok() {}
    let home = folder.join("store");
    runtime()?.block_on(refused(&home, ErrorKind::Unavailable, "the disk is full"))?;
    ensure(!home.join("store.redb").exists(), "half a store was left")
}

pub(crate) fn read_only_disk(folder: &Path) -> Result<(), Failed> {
    mount(&["-t", "tmpfs", "-o", "size=32m", "tmpfs"], folder)?;
    let (clean, crashed, empty) = (folder.join("clean"), folder.join("crashed"), folder.join("empty"));
    runtime()?.block_on(async {
        let store = open(&clean).await.map_err(text)?;
        for batch in 0..5 {
            add(&store, batch, 4_000).await.map_err(text)?;
        }
        add_searchable(&store).await?;
        fs::create_dir(&crashed)?;
        fs::create_dir(&empty)?;
        fs::copy(clean.join("store.redb"), crashed.join("store.redb"))?;
        store.close().await.map_err(text)?;
        mount(&["-o", "remount,ro"], folder)?;

        for home in [&clean, &crashed] {
            let before = fs::read(home.join("store.redb"))?;
            let store = open(home).await.map_err(text)?;
            check(&store, 5).await?;
            search(&store).await?;
            for _ in 0..2 {
                let error =
                    add(&store, 5, 10).await.err().ok_or("a write on a read-only disk went through")?;
                let plain = error.kind() == ErrorKind::Unavailable
                    && !error.is_retryable()
                    && error.message().contains("make it writable");
                ensure(plain, text(error))?;
                check(&store, 5).await?;
            }
            warned(&store, &["read-only"]).await?;
            store.close().await.map_err(text)?;
            ensure(fs::read(home.join("store.redb"))? == before, "the file was changed")?;
        }
        for absent in [&empty, &folder.join("absent")] {
            refused(absent, ErrorKind::Unavailable, "make it writable").await?;
        }

        mount(&["-o", "remount,rw"], folder)?;
        let store = open(&crashed).await.map_err(text)?;
        add(&store, 5, 10).await.map_err(text)?;
        check(&store, 6).await
    })
}

/// Words that came since the last text search are in the file, but not yet in the index beside it.
pub(crate) fn search_on_a_full_disk(folder: &Path) -> Result<(), Failed> {
    small_disk(folder, "size=12m", 4 << 20)?;
    let home = folder.join("store");
    runtime()?.block_on(async {
        let store = open(&home).await.map_err(text)?;
        add_vectors(&store, 0).await.map_err(text)?;
        check_search(&store, 1).await?;
        let mut end = 1;
        while add_vectors(&store, end).await.is_ok() {
            end += 1;
        }
        let mut rest = fs::File::create(folder.join("rest"))?;
        while std::io::Write::write(&mut rest, &[1; 512]).is_ok_and(|written| written > 0) {}
        check_search(&store, end).await?;
        check_search(&store, end).await?;
        store.close().await.map_err(text)?;
        let store = open(&home).await.map_err(text)?;
        check_search(&store, end).await?;
        fs::remove_file(folder.join("ballast"))?;
        // With room again the index on disk goes on from where it stood.
        let index = home.join("words").join("default").join("meta.json");
        let before = fs::read(&index)?;
        add_vectors(&store, end).await.map_err(text)?;
        check_search(&store, end + 1).await?;
        ensure(fs::read(&index)? != before, "the index on disk stayed behind")?;
        store.close().await.map_err(text)?;
        check_search(&open(&home).await.map_err(text)?, end + 1).await
    })
}

pub(crate) fn search_on_a_read_only_disk(folder: &Path) -> Result<(), Failed> {
    mount(&["-t", "tmpfs", "-o", "size=32m", "tmpfs"], folder)?;
    let (searched, never) = (folder.join("searched"), folder.join("never"));
    runtime()?.block_on(async {
        for home in [&searched, &never] {
            let store = open(home).await.map_err(text)?;
            add_vectors(&store, 0).await.map_err(text)?;
            if home == &searched {
                check_search(&store, 1).await?;
            }
            add_vectors(&store, 1).await.map_err(text)?;
            store.close().await.map_err(text)?;
        }
        mount(&["-o", "remount,ro"], folder)?;
        for home in [&searched, &never] {
            let store = open(home).await.map_err(text)?;
            check_search(&store, 2).await?;
            ensure(add_vectors(&store, 2).await.is_err(), "a write on a read-only disk went through")?;
            check_search(&store, 2).await?;
            store.close().await.map_err(text)?;
        }
        mount(&["-o", "remount,rw"], folder)?;
        for home in [&searched, &never] {
            let store = open(home).await.map_err(text)?;
            add_vectors(&store, 2).await.map_err(text)?;
            check_search(&store, 3).await?;
        }
        Ok(())
    })
}
