//! Disks and files that are not as they should be: each gives a clear error with a next step, loses nothing and
//! never panics.
//!
//! Full and read-only disks are small private mounts: such a test runs itself again in a mount namespace of its
//! own (`unshare`), which ends with it. Where that is not allowed it is shown as ignored, and fails when
//! `STORE_TEST_REQUIRE` is set.

mod files;
mod mounts;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use store_core::{
    AddMode, AddOptions, Backend as _, DocStoreExt as _, Error, ErrorKind, Metric, Node, NodeId,
    VectorConfig, VectorQuery,
};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

/// Names the test that a process was started for, and gives it a folder.
const INSIDE: &str = "STORE_TEST_DISK_INSIDE";
const FOLDER: &str = "STORE_TEST_DISK_FOLDER";

type Test = fn(&Path) -> Result<(), Failed>;

/// Tests that need a mount of their own.
const MOUNTED: [(&str, Test); 6] = [
    ("a_full_disk_refuses_writes_and_serves_reads", mounts::full_disk),
    ("a_store_opens_on_a_full_disk", mounts::open_on_a_full_disk),
    ("no_store_is_made_on_a_full_disk", mounts::create_on_a_full_disk),
    ("a_read_only_disk_serves_reads", mounts::read_only_disk),
    ("a_full_disk_serves_searches", mounts::search_on_a_full_disk),
    ("a_read_only_disk_serves_searches", mounts::search_on_a_read_only_disk),
];

/// Tests of files in a plain folder.
const PLAIN: [(&str, Test); 6] = [
    ("a_store_of_a_newer_version_is_refused", files::newer_format),
    ("a_file_of_another_program_is_refused", files::foreign_file),
    ("a_file_cut_short_is_refused", files::cut_short),
    ("a_damaged_file_never_panics", files::damaged),
    ("a_path_that_is_a_file_is_refused", files::path_is_a_file),
    ("a_second_process_is_refused_until_the_first_ends", second_process),
];

fn main() -> ExitCode {
    if let (Ok(name), Ok(folder)) = (std::env::var(INSIDE), std::env::var(FOLDER)) {
        return inside(&name, Path::new(&folder));
    }
    let can_mount = mounts::possible();
    let require = std::env::var_os("STORE_TEST_REQUIRE").is_some();
    let mut trials = Vec::new();
    for (name, test) in PLAIN {
        trials.push(Trial::test(name, move || test(tempfile::tempdir()?.path())));
    }
    for (name, _) in MOUNTED {
        let test = move || {
            if !can_mount {
                return Err("no private mounts here: run as root, or allow user namespaces".into());
            }
            let folder = tempfile::tempdir()?;
            let output = mounts::unshare()
                .arg(std::env::current_exe()?)
                .env(INSIDE, name)
                .env(FOLDER, folder.path())
                .stdin(Stdio::null())
                .output()?;
            if output.status.success() {
                return Ok(());
            }
            let text = [output.stdout, output.stderr].concat();
            Err(String::from_utf8_lossy(&text).into_owned().into())
        };
        trials.push(Trial::test(name, test).with_ignored_flag(!can_mount && !require));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What a process does that a test started: one test of [`MOUNTED`], or hold a store open.
fn inside(name: &str, folder: &Path) -> ExitCode {
    let result = match MOUNTED.iter().find(|(mounted, _)| *mounted == name) {
        Some((_, test)) => test(folder),
        None => hold(folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            println!("{}", failed.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Runtime::new()?)
}

pub(crate) async fn open(folder: &Path) -> store_core::Result<EmbeddedBackend> {
    EmbeddedBackend::open(EmbeddedConfig::new(folder).with_cache_bytes(1 << 20)).await
}

/// The error of opening, which must name the folder and a next step.
pub(crate) async fn refused(folder: &Path, kind: ErrorKind, step: &str) -> Result<Error, Failed> {
    let Err(error) = open(folder).await else { return Err("the store opened".into()) };
    let sentence = error.to_string();
    let place = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if error.kind() == kind && sentence.contains(step) && sentence.contains(place) {
        return Ok(error);
    }
    Err(format!("expected {kind} with {step:?} and the folder {place:?}: [{}] {sentence}", error.kind())
        .into())
}

/// Ten nodes of one source document, with so much text in each, which packing does not make smaller.
pub(crate) fn nodes(batch: usize, bytes: usize) -> Vec<Node> {
    let mut bits = 88_172_645_463_325_252_u64;
    let letter = || {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        char::from(b'a' + u8::try_from(bits % 26).unwrap_or_default())
    };
    let text: String = std::iter::repeat_with(letter).take(bytes).collect();
    let node = |n| Node::text(&*text).with_id(format!("{batch}-{n}")).with_source(format!("source {batch}"));
    (0..10).map(node).collect()
}

pub(crate) async fn add(store: &EmbeddedBackend, batch: usize, bytes: usize) -> store_core::Result<()> {
    store.docs()?.add(nodes(batch, bytes), AddOptions::default()).await.map(|_| ())
}

/// Ten nodes to be searched by vector and by the word `batch` followed by its number.
pub(crate) async fn add_vectors(store: &EmbeddedBackend, batch: usize) -> store_core::Result<()> {
    let vectors = store.vectors()?;
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await?;
    let node = |node: Node| {
        let text = format!("batch{batch} {}", node.text_content());
        let id = node.id.as_str().to_owned();
        Node::text(text).with_id(id).with_embedding([1.0, 2.0])
    };
    vectors.upsert(nodes(batch, 2_400).into_iter().map(node).collect(), AddMode::Overwrite).await.map(|_| ())
}

/// Whether both searches find the ten nodes of each batch before `end`, and no others.
pub(crate) async fn check_search(store: &EmbeddedBackend, end: usize) -> Result<(), Failed> {
    let vectors = store.vectors().map_err(text)?;
    let mut queries = vec![VectorQuery::dense(vec![1.0, 2.0], 100_000)];
    queries.extend((0..=end).map(|batch| VectorQuery::text(format!("batch{batch}"), 100)));
    let found = vectors.query_many(&queries).await.map_err(text)?;
    let counts: Vec<usize> = found.iter().map(Vec::len).collect();
    let expected: Vec<usize> =
        std::iter::once(10 * end).chain((0..=end).map(|batch| if batch < end { 10 } else { 0 })).collect();
    ensure(counts == expected, format!("searches found {counts:?} instead of {expected:?}"))
}

/// Whether the whole batch is there (nodes, hashes and ref doc), or nothing of it; half of it is a failure.
pub(crate) async fn has(store: &EmbeddedBackend, batch: usize) -> Result<bool, Failed> {
    let docs = store.docs().map_err(text)?;
    let ids: Vec<NodeId> = nodes(batch, 0).into_iter().map(|node| node.id).collect();
    let stored = docs.get_many(&ids).await.map_err(text)?.iter().flatten().count();
    let hashes = docs.hashes(&ids).await.map_err(text)?.iter().flatten().count();
    let members = docs.ref_doc(&format!("source {batch}").into()).await.map_err(text)?;
    let members = members.map_or(0, |info| info.node_ids.len());
    match (stored, hashes, members) {
        (10, 10, 10) => Ok(true),
        (0, 0, 0) => Ok(false),
        half => Err(format!("batch {batch} is half there: {half:?}").into()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
pub(crate) fn text(error: Error) -> String {
    format!("[{}] {error}", error.kind())
}

pub(crate) fn ensure(condition: bool, message: impl Into<String>) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(message.into().into()) }
}

/// Opens the store and keeps it until its standard input ends.
fn hold(folder: &Path) -> Result<(), Failed> {
    runtime()?.block_on(async {
        let store = open(folder).await.map_err(text)?;
        add(&store, 1, 10).await.map_err(text)?;
        println!("open");
        std::io::read_to_string(std::io::stdin())?;
        Ok(())
    })
}

fn second_process(folder: &Path) -> Result<(), Failed> {
    use std::io::{BufRead as _, BufReader};

    let mut holder = Command::new(std::env::current_exe()?)
        .env(INSIDE, "hold")
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = holder.stdout.take().ok_or("no pipe")?;
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line)?;
    ensure(line.trim() == "open", format!("the other process said {line:?}"))?;
    let result = runtime()?.block_on(async {
        let error = refused(folder, ErrorKind::Unavailable, "another process").await?;
        ensure(error.is_retryable(), "it may be tried again later")
    });
    drop(holder.stdin.take());
    holder.wait()?;
    result?;
    runtime()?.block_on(async {
        let store = open(folder).await.map_err(text)?;
        ensure(store.docs().map_err(text)?.exists(&"1-0".into()).await.map_err(text)?, "the node is gone")
    })
}
