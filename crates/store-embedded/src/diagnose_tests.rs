use store_core::{AddMode, Backend, Metric, Node, Severity, VectorConfig, VectorQuery, VectorStoreExt as _};

use super::*;
use crate::{EmbeddedBackend, EmbeddedConfig};

const GB: u64 = 1 << 30;

fn severity(finding: Option<Finding>) -> Option<Severity> {
    finding.map(|finding| finding.severity)
}

#[test]
fn space_is_held_against_the_store() {
    assert_eq!(severity(disk_space(100 * GB, GB)), None);
    assert_eq!(severity(disk_space(5 * GB, 10 * GB)), Some(Severity::Note));
    assert_eq!(severity(disk_space(2 * GB, 10 * GB)), Some(Severity::Warning));
    assert_eq!(severity(disk_space(100 << 20, 1 << 20)), Some(Severity::Warning));
}

#[test]
fn a_small_cache_is_named_with_a_better_one() {
    assert_eq!(small_cache(64 << 20, GB), None);
    let finding = small_cache(64 << 20, 10 * GB).unwrap();
    assert_eq!(finding.severity, Severity::Note);
    assert!(finding.advice.ends_with("store.cache_bytes=2147483648"), "{finding:?}");
}

#[test]
fn unused_space_is_named_when_it_is_most_of_a_large_file() {
    assert_eq!(unused(100 << 20, 60 << 20), None);
    assert_eq!(unused(10 << 20, 1 << 20), None);
    assert!(unused(GB, 100 << 20).unwrap().message.contains("968.9 MB of the file's 1.1 GB"));
}

#[test]
fn memory_must_hold_the_vectors() {
    assert_eq!(memory(GB, 2 * GB), None);
    assert_eq!(severity(memory(2 * GB, GB)), Some(Severity::Warning));
}

#[test]
fn the_file_system_is_that_of_the_nearest_mount() {
    let mounts = "/dev/sda / ext4 rw 0 0\nhost:/x /mnt/my\\040disk nfs4 rw 0 0\ntmpfs /mnt tmpfs rw 0 0\n";
    let kind = |folder: &str| file_system(mounts, Path::new(folder)).unwrap();
    assert_eq!(kind("/mnt/my disk/kb"), "nfs4");
    assert_eq!(kind("/mnt/my"), "tmpfs");
    assert_eq!(kind("/mntx"), "ext4");
    assert_eq!(severity(remote("nfs4")), Some(Severity::Warning));
    assert_eq!(remote("ext4"), None);
}

#[test]
fn a_word_index_that_can_not_be_written_is_a_warning() {
    assert_eq!(word_index("word index", WordState::UpToDate, true), None);
    assert_eq!(severity(word_index("word index", WordState::Behind(1), false)), Some(Severity::Note));
    assert_eq!(severity(word_index("word index", WordState::Missing, true)), Some(Severity::Warning));
    assert_eq!(severity(word_index("word index", WordState::InMemory, false)), Some(Severity::Warning));
}

fn fact<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a str {
    let fact = diagnosis.facts.iter().find(|fact| fact.name == name);
    &fact.unwrap_or_else(|| panic!("no {name} in {diagnosis:?}")).value
}

#[tokio::test]
async fn the_word_index_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    let vectors = backend.vectors().unwrap();
    vectors.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let state = async || {
        let diagnosis = backend.diagnose().await.unwrap();
        fact(&diagnosis, "word index").split_once(", ").unwrap().1.to_owned()
    };
    let put = async |id: &str| {
        let node = Node::text("one word").with_id(id).with_embedding([1.0, 0.0]);
        vectors.upsert(vec![node], AddMode::Overwrite).await.unwrap();
    };
    assert_eq!(state().await, "up to date");
    put("a").await;
    assert_eq!(state().await, "not built yet");
    assert!(!folder.path().join("words/default").exists(), "looking makes nothing");
    vectors.query(&VectorQuery::text("word", 1)).await.unwrap();
    assert_eq!(state().await, "up to date");
    put("b").await;
    assert_eq!(state().await, "behind");
    let diagnosis = backend.diagnose().await.unwrap();
    assert!(diagnosis.findings.iter().any(|finding| finding.message.contains("1 write behind")));
    assert_eq!(fact(&diagnosis, "vectors in memory"), "0.0 kB once searched");
}

#[tokio::test]
async fn vector_sets_are_looked_at_too() {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    let set = backend.vector_set("small").unwrap();
    set.configure(VectorConfig::new(2, Metric::Cosine)).await.unwrap();
    let node = Node::text("one word").with_embedding([1.0, 0.0]);
    set.upsert(vec![node], AddMode::Overwrite).await.unwrap();
    let diagnosis = backend.diagnose().await.unwrap();
    assert!(fact(&diagnosis, "word index of small").ends_with("not built yet"));
    assert!(!diagnosis.facts.iter().any(|fact| ["word index", "other namespaces"].contains(&&*fact.name)));
}

#[tokio::test]
async fn data_in_another_namespace_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |namespace: &str| {
        let config = EmbeddedConfig::new(folder.path()).with_namespace(namespace);
        EmbeddedBackend::open(config).await.unwrap()
    };
    let (news, other) = (open("news").await, open("other").await);
    assert!(!other.diagnose().await.unwrap().findings.iter().any(|finding| finding.subject == "namespace"));
    news.vectors().unwrap().configure(VectorConfig::new(2, Metric::Dot)).await.unwrap();
    let diagnosis = other.diagnose().await.unwrap();
    assert_eq!(fact(&diagnosis, "other namespaces"), "news");
    let finding = diagnosis.findings.iter().find(|finding| finding.subject == "namespace").unwrap();
    assert!(finding.message.ends_with("the folder holds news"), "{finding:?}");
}
