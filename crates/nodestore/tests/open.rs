//! Opening stores by URL, as a program does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nodestore::ErrorKind;
use nodestore::prelude::*;

async fn add(url: &str, id: &str) {
    let store = nodestore::open(url).await.unwrap();
    let node = Node::text("text").with_id(id);
    store.docs().unwrap().add(vec![node], AddOptions::default()).await.unwrap();
}

async fn has(url: &str, id: &str) -> bool {
    nodestore::open(url).await.unwrap().docs().unwrap().exists(&id.into()).await.unwrap()
}

#[tokio::test]
async fn memory_is_shared_by_namespace_and_else_private() {
    add("memory:?store.namespace=one", "a").await;
    assert!(has("memory:?store.namespace=one", "a").await);
    assert!(!has("memory:?store.namespace=two", "a").await);
    add("memory:", "a").await;
    assert!(!has("memory:", "a").await);
}

#[tokio::test]
async fn memory_takes_no_options() {
    for url in ["memory:notes", "memory://host", "memory:?size=1"] {
        let error = nodestore::open(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(error.message().contains("embedded:///path"), "{error}");
    }
}

#[cfg(feature = "embedded")]
mod embedded {
    use super::*;
    use nodestore::{OpenOptions, embedded_url};

    #[tokio::test]
    async fn a_folder_keeps_what_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let url = embedded_url(&folder.path().join("a b % # ?"));
        add(&url, "a").await;
        assert!(folder.path().join("a b % # ?").is_dir());
        assert!(has(&url, "a").await);
    }

    #[tokio::test]
    async fn the_same_folder_is_shared_within_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let url = embedded_url(folder.path());
        let first = nodestore::open(&url).await.unwrap();
        add(&url, "a").await;
        assert!(first.docs().unwrap().exists(&"a".into()).await.unwrap());
    }

    #[tokio::test]
    async fn namespaces_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let url = embedded_url(folder.path());
        add(&format!("{url}?store.namespace=one"), "a").await;
        assert!(!has(&url, "a").await);
        let options = OpenOptions::default().with_namespace("one");
        let one = nodestore::open_with(&url, &options).await.unwrap();
        assert!(one.docs().unwrap().exists(&"a".into()).await.unwrap());
    }

    #[tokio::test]
    async fn nothing_is_made_when_the_url_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let url = embedded_url(&folder.path().join("none"));
        let error = nodestore::open(&format!("{url}?store.create=false")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(!folder.path().join("none").exists());
    }

    #[tokio::test]
    async fn an_unknown_option_is_answered_with_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{}?store.cash_bytes=1", embedded_url(folder.path()));
        let error = nodestore::open(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("store.cache_bytes"), "{error}");
    }
}

#[cfg(feature = "mongodb")]
mod mongodb {
    use super::*;
    use nodestore::OpenOptions;

    #[tokio::test]
    async fn opening_asks_no_server_and_refuses_what_can_not_be() {
        let store = nodestore::open("mongodb://127.0.0.1:1,127.0.0.1:2/app?replicaSet=x").await.unwrap();
        assert_eq!(store.name(), "mongodb");
        let url = "mongodb://u:s3cret@h/?store.namespace=a";
        let namespaced = OpenOptions::default().with_namespace("a").with_create(false);
        nodestore::open_with(url, &namespaced).await.unwrap();
        for url in ["mongodb://u:s3cret@h/?maxPoolSise=1", "mongodb://u:s3cret", "mongodb+srv://u:s3cret@a,b"]
        {
            let error = nodestore::open(url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn nothing_listening_is_told_within_the_configured_time() {
        let store = nodestore::open("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300").await.unwrap();
        let error = store.ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.is_retryable() && error.message().contains("nothing listens there"), "{error}");
    }

    #[tokio::test]
    async fn namespaces_of_a_server_are_kept_apart_and_dropped() {
        let Some(url) = std::env::var("STORE_TEST_MONGODB_URL").ok().filter(|url| !url.is_empty()) else {
            assert!(std::env::var_os("STORE_TEST_REQUIRE").is_none(), "STORE_TEST_MONGODB_URL is not set");
            return;
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        let of = |name: &str| format!("{url}{joint}store.namespace={name}{}", std::process::id());
        add(&of("facadea"), "a").await;
        assert!(has(&of("facadea"), "a").await);
        assert!(!has(&of("facadeb"), "a").await);
        let store = nodestore::open(&of("facadea")).await.unwrap();
        store.drop_namespace().await.unwrap();
        assert!(!has(&of("facadea"), "a").await);
        store.close().await.unwrap();
        assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
        let plain = nodestore::open(&url).await.unwrap();
        assert_eq!(plain.drop_namespace().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[cfg(feature = "dynamodb")]
mod dynamodb {
    use super::*;

    #[tokio::test]
    async fn what_can_not_be_is_refused_and_no_secret_shown() {
        for url in [
            "dynamodb://id:s3cret@eu-central-1",
            "dynamodb://s3cret@eu-central-1/app",
            "dynamodb://id:s3cret@eu-central-1/app?endpoint=x",
            "dynamodb://id:s3cret@localhost:8000/app",
        ] {
            let error = nodestore::open(url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn opening_sends_nothing() {
        let url = "dynamodb://id:s3cret@eu-central-1/?endpoint_url=http://127.0.0.1:1&max_attempts=1";
        let options = nodestore::OpenOptions::default().with_namespace("news");
        let store = nodestore::open_with(url, &options).await.unwrap();
        assert_eq!(store.name(), "dynamodb");
        let error = store.ping().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;

    #[tokio::test]
    async fn what_can_not_be_is_refused_and_no_password_shown() {
        for url in [
            "redis://u:s3cret@127.0.0.1:1/?pollSize=1",
            "redis://u:s3cret",
            "redis-sentinel://u:s3cret@h",
            "valkeys://u:s3cret@a,b",
        ] {
            let error = nodestore::open(url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn nothing_listening_is_told_when_opening() {
        for scheme in ["redis", "redis-cluster", "valkey", "rediss", "valkeys-cluster"] {
            let error = nodestore::open(&format!("{scheme}://127.0.0.1:1")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.is_retryable() && error.message().contains("nothing listens there"), "{error}");
        }
    }

    #[tokio::test]
    async fn namespaces_of_a_server_are_kept_apart_and_dropped() {
        let Some(url) = std::env::var("STORE_TEST_REDIS_URL").ok().filter(|url| !url.is_empty()) else {
            assert!(std::env::var_os("STORE_TEST_REQUIRE").is_none(), "STORE_TEST_REDIS_URL is not set");
            return;
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        let of = |name: &str| format!("{url}{joint}store.namespace={name}{}", std::process::id());
        add(&of("facadea"), "a").await;
        assert!(has(&of("facadea"), "a").await);
        assert!(!has(&of("facadeb"), "a").await);
        let store = nodestore::open(&of("facadea")).await.unwrap();
        store.drop_namespace().await.unwrap();
        assert!(!has(&of("facadea"), "a").await);
        store.close().await.unwrap();
        assert_eq!(store.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
        let plain = nodestore::open(&url).await.unwrap();
        assert_eq!(plain.drop_namespace().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
