//! The README's table of backends says what the backends say of themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

use nodestore::{Backend, QueryKindName};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"));

fn row(backend: &dyn Backend, url: &str, dense: &str, text: &str) -> String {
    let capabilities = backend.capabilities();
    let yes = |offered: bool| if offered { "yes" } else { "no" };
    let kv = capabilities.kv.map_or("no", |kv| if kv.ttl { "yes, with expiry" } else { "yes" });
    let kinds = capabilities.vectors.map(|vectors| vectors.query_kinds).unwrap_or_default();
    let cells = [
        backend.name(),
        url,
        kv,
        yes(capabilities.docs),
        yes(capabilities.index),
        yes(capabilities.chat),
        if kinds.contains(&QueryKindName::Dense) { dense } else { "no" },
        if kinds.contains(&QueryKindName::Text) { text } else { "no" },
        yes(capabilities.shared),
    ];
    format!("| {} |", cells.join(" | "))
}

#[tokio::test]
async fn the_table_of_backends_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = nodestore::open(&nodestore::embedded_url(folder.path())).await.unwrap();
    let memory = nodestore::open("memory:").await.unwrap();
    for row in
        [row(&embedded, "`embedded:///path`", "exact", "BM25"), row(&memory, "`memory:`", "exact", "BM25")]
    {
        assert!(README.contains(&row), "README.md lacks this row:\n{row}");
    }
    #[cfg(feature = "mongodb")]
    {
        // What it can do is asked of no server.
        let mongodb = nodestore::open("mongodb://localhost").await.unwrap();
        let row = row(&mongodb, "`mongodb://host`", "exact; Atlas's index", "`$text`; Atlas's BM25");
        assert!(README.contains(&row), "README.md lacks this row:\n{row}");
    }
    #[cfg(feature = "dynamodb")]
    {
        // What it can do is asked of no server.
        let dynamodb = nodestore::open("dynamodb://eu-central-1/app").await.unwrap();
        let row = row(&dynamodb, "`dynamodb://region/table`", "exact; the table's index", "BM25");
        assert!(README.contains(&row), "README.md lacks this row:\n{row}");
    }
    #[cfg(feature = "cassandra")]
    {
        // Opening connects.
        let Some(url) = std::env::var("STORE_TEST_CASSANDRA_URL").ok().filter(|url| !url.is_empty()) else {
            assert!(std::env::var_os("STORE_TEST_REQUIRE").is_none(), "STORE_TEST_CASSANDRA_URL is not set");
            return;
        };
        let cassandra = nodestore::open(&url).await.unwrap();
        let row = row(&cassandra, "`cassandra://host/keyspace`", "the table's index; exact", "BM25");
        assert!(README.contains(&row), "README.md lacks this row:\n{row}");
    }
    #[cfg(feature = "redis")]
    {
        // What it can do is asked of the server when the store is opened.
        let Some(url) = std::env::var("STORE_TEST_REDIS_STACK_URL").ok().filter(|url| !url.is_empty()) else {
            assert!(
                std::env::var_os("STORE_TEST_REQUIRE").is_none(),
                "STORE_TEST_REDIS_STACK_URL is not set"
            );
            return;
        };
        let redis = nodestore::open(&url).await.unwrap();
        let row = row(&redis, "`redis://host`", "search module or vector set, else exact", "BM25");
        assert!(README.contains(&row), "README.md lacks this row:\n{row}");
    }
}
