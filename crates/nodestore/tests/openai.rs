//! The embedder of the feature `openai` against an endpoint of our own that behaves well, badly, or speaks nonsense.

#![cfg(feature = "openai")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

mod common {
    pub(crate) mod endpoint;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::endpoint::{Endpoint, Reply, answer_for, vector};
use futures::StreamExt as _;
use nodestore::{
    CachedEmbedder, Embedder, Error, ErrorKind, KvStore, KvStoreExt, OpenAiConfig, OpenAiEmbedder,
};
use serde_json::{Value, json};

const KEY: &str = "sk-verysecret-0123456789";

fn config(endpoint: &Endpoint) -> OpenAiConfig {
    OpenAiConfig::new(&endpoint.url, "test-model").with_api_key(KEY).with_attempts(40)
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text number {number}")).collect()
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn once(texts: &[String]) -> BTreeMap<String, usize> {
    texts.iter().map(|text| (text.clone(), 1)).collect()
}

/// The error of embedding one text at an endpoint that answers this, tried once.
async fn refusal(reply: Reply) -> Error {
    let endpoint = Endpoint::start(move |_| reply.clone());
    let embedder = OpenAiEmbedder::new(config(&endpoint).with_attempts(1), 3).unwrap();
    let error = embedder.embed(&["some words"]).await.unwrap_err();
    let shown = format!("{error} {error:?} {embedder:?}");
    assert!(shown.contains(&endpoint.url) && shown.contains("test-model"), "{shown}");
    assert!(!shown.contains("verysecret"), "{shown}");
    error
}

#[tokio::test]
async fn every_text_is_embedded_once_whatever_the_endpoint_does() {
    for seed in 1..=4 {
        let endpoint = Endpoint::faulty(seed, 8);
        let config = config(&endpoint).with_batch_texts(7).with_concurrency(3);
        let embedder = OpenAiEmbedder::new(config, 8).unwrap();
        let texts = texts(150);
        let embeddings = embedder.embed(&refs(&texts)).await.unwrap();
        let right: Vec<_> = texts.iter().map(|text| vector(text, 8)).collect();
        assert_eq!(embeddings, right, "seed {seed}");
        assert_eq!(endpoint.done(), once(&texts), "seed {seed}");
        let counts = embedder.counts();
        assert_eq!((counts.texts, counts.requests, counts.tokens), (150, 22, 150));
        assert_eq!(counts.retries, u64::try_from(endpoint.asked().len()).unwrap() - 22);
        assert!(counts.retries > 0);
    }
}

#[tokio::test]
async fn the_request_is_what_the_api_wants() {
    let endpoint = Endpoint::good(16);
    let embedder = OpenAiEmbedder::connect(config(&endpoint)).await.unwrap();
    assert_eq!((embedder.dimensions(), embedder.model()), (16, "test-model"));
    assert_eq!(embedder.embed(&[]).await.unwrap(), Vec::<Vec<f32>>::new());
    embedder.embed(&["a", "b"]).await.unwrap();
    let shorter = OpenAiEmbedder::connect(config(&endpoint).with_dimensions(4)).await.unwrap();
    assert_eq!(shorter.dimensions(), 4);
    let asked = endpoint.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[1].path, "/v1/embeddings");
    assert_eq!(asked[1].authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(
        asked[1].body,
        json!({"model": "test-model", "input": ["a", "b"], "encoding_format": "float"})
    );
    assert_eq!(asked[2].body["dimensions"], 4);
}

#[tokio::test]
async fn nonsense_is_refused_and_named() {
    let good = |count, dimensions| answer_for(&texts(count), dimensions, false);
    let cases: [(Reply, ErrorKind, &str); 9] = [
        (Reply::status(200, "<html><body>Welcome</body></html>"), ErrorKind::Config, "no JSON"),
        (Reply::status(200, ""), ErrorKind::Config, "nothing"),
        (Reply::json(&json!({"ok": true})), ErrorKind::Config, "holds no embeddings"),
        (Reply::json(&json!({"error": {"message": "loading"}})), ErrorKind::Config, "loading"),
        (Reply::json(&good(2, 3)), ErrorKind::Other, "1 embeddings were expected, 2 came"),
        (Reply::json(&json!({"data": []})), ErrorKind::Other, "1 embeddings were expected, 0 came"),
        (Reply::json(&good(1, 5)), ErrorKind::Config, "embeddings of 3 dimensions were expected, 5 came"),
        (
            Reply::json(&json!({"data": [{"embedding": [1.0, null, 2.0]}]})),
            ErrorKind::Other,
            "value 2 of the embedding of index 0 is no finite number",
        ),
        (Reply::status(200, " ".repeat(3 << 20)), ErrorKind::Other, "answers more than"),
    ];
    for (reply, kind, why) in cases {
        let error = refusal(reply).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(why), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn each_status_has_its_kind() {
    for (status, kind, retryable) in [
        (400, ErrorKind::InvalidInput, false),
        (401, ErrorKind::Unauthorized, false),
        (403, ErrorKind::Unauthorized, false),
        (404, ErrorKind::NotFound, false),
        (405, ErrorKind::Config, false),
        (408, ErrorKind::Timeout, true),
        (409, ErrorKind::Conflict, true),
        (413, ErrorKind::LimitExceeded, false),
        (422, ErrorKind::InvalidInput, false),
        (429, ErrorKind::Throttled, true),
        (500, ErrorKind::Unavailable, true),
        (503, ErrorKind::Unavailable, true),
    ] {
        // An endpoint that repeats the key in what it says.
        let body = json!({"error": {"message": format!("no good: {KEY}")}}).to_string();
        let error = refusal(Reply::status(status, body)).await;
        assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{status}: {error}");
        assert!(error.message().contains(&format!("answers {status}")), "{error}");
        assert!(error.message().contains("no good: ***"), "{error}");
    }
    let broke = json!({"error": {"message": "you have no credit", "code": "insufficient_quota"}});
    assert!(!refusal(Reply::status(429, broke.to_string())).await.is_retryable());
    assert_eq!(refusal(Reply::Drop).await.kind(), ErrorKind::Unavailable);
    let cut = refusal(Reply::status(200, r#"{"data": [{"embedding": [1.0, 2"#)).await;
    assert_eq!((cut.kind(), cut.is_retryable()), (ErrorKind::Unavailable, true));
}

#[tokio::test]
async fn a_refused_key_names_its_variable() {
    let endpoint = Endpoint::start(|_| Reply::status(401, "{}"));
    let config = OpenAiConfig::new(&endpoint.url, "m").with_api_key_env("NODESTORE_TEST_NO_SUCH_KEY");
    let error = OpenAiEmbedder::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(
        error.message().contains("the environment variable NODESTORE_TEST_NO_SUCH_KEY holds none"),
        "{error}"
    );
}

#[tokio::test]
async fn a_text_that_is_refused_is_named_and_the_others_pass() {
    let endpoint = Endpoint::start(|asked| {
        let long = asked.texts().iter().any(|text| text.len() > 50);
        if long { Reply::status(400, r#"{"error":{"message":"too long"}}"#) } else { Reply::Good(2) }
    });
    let embedder = OpenAiEmbedder::new(config(&endpoint), 2).unwrap();
    let mut texts = texts(9);
    texts[5] = "Once upon a time ".repeat(10);
    let error = embedder.embed(&refs(&texts)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("text 6 of 9 (170 characters, begins \"Once upon"), "{error}");
    assert!(error.message().contains("too long"), "{error}");
    texts.remove(5);
    assert_eq!(embedder.embed(&refs(&texts)).await.unwrap().len(), 8);
    let error =
        OpenAiEmbedder::connect(config(&Endpoint::start(|_| Reply::status(400, "{}")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "no text is at fault: {error}");
}

#[tokio::test]
async fn an_endpoint_that_takes_small_requests_gets_small_ones() {
    let endpoint = Endpoint::start(|asked| {
        if asked.texts().len() > 8 { Reply::status(413, "batch size 8 exceeded") } else { Reply::Good(2) }
    });
    let embedder = OpenAiEmbedder::new(config(&endpoint).with_concurrency(1), 2).unwrap();
    let texts = texts(60);
    assert_eq!(embedder.embed(&refs(&texts)).await.unwrap().len(), 60);
    assert_eq!(endpoint.done(), once(&texts));
    let before = endpoint.asked().len();
    embedder.embed(&refs(&texts)).await.unwrap();
    assert_eq!(endpoint.asked().len() - before, 60_usize.div_ceil(7), "60, 30, 15 were refused; 7 it is");
}

#[tokio::test]
async fn it_waits_as_long_as_it_is_asked() {
    let endpoint = Endpoint::start(|asked| match asked.number {
        0 => Reply::Say(429, vec![("retry-after", "1".into())], String::new()),
        _ => Reply::Good(2),
    });
    OpenAiEmbedder::new(config(&endpoint), 2).unwrap().embed(&["a"]).await.unwrap();
    let asked = endpoint.asked();
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1));

    // Not so long that nobody would wait for it.
    let endpoint = Endpoint::start(|_| Reply::Say(429, vec![("retry-after", "3600".into())], String::new()));
    let error = OpenAiEmbedder::new(config(&endpoint), 2).unwrap().embed(&["a"]).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Throttled && error.message().contains("come back in 3600 s"),
        "{error}"
    );
    assert_eq!(endpoint.asked().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let other = Endpoint::good(2);
    let place = format!("{}/embeddings", other.url);
    let error = refusal(Reply::Say(307, vec![("location", place)], String::new())).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains(&format!("redirects to {}", other.url)), "{error}");
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_given_up_soon() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = OpenAiConfig::new(format!("http://me:hunter2@{free}/v1"), "m").with_attempts(100);
    let error = OpenAiEmbedder::connect(config).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    assert!(error.message().contains("can not be reached"), "{error}");
    assert!(error.message().contains("given up after 4 attempts"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn so_is_a_server_that_only_breaks_connections() {
    let endpoint = Endpoint::start(|_| Reply::Drop);
    let error = OpenAiEmbedder::connect(config(&endpoint)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true));
    assert_eq!(endpoint.asked().len(), 4);
}

#[tokio::test]
async fn a_slow_endpoint_is_a_timeout() {
    let endpoint = Endpoint::start(|_| Reply::Late(Duration::from_secs(20), 2));
    let config = config(&endpoint).with_timeout(Duration::from_millis(50)).with_attempts(2);
    let error = OpenAiEmbedder::new(config, 2).unwrap().embed(&["a"]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true));
    assert_eq!(endpoint.asked().len(), 2);
}

#[tokio::test]
async fn wrong_settings_are_refused_before_anything_is_sent() {
    for config in [
        OpenAiConfig::new("127.0.0.1:8080", "m"),
        OpenAiConfig::new("http://h/v1", " "),
        OpenAiConfig::new("http://h/v1", "m").with_dimensions(5),
    ] {
        assert_eq!(OpenAiEmbedder::new(config, 4).unwrap_err().kind(), ErrorKind::Config);
    }
    let key = OpenAiConfig::new("http://127.0.0.1/v1", "m").with_api_key("a\nb");
    assert_eq!(OpenAiEmbedder::new(key, 4).unwrap_err().kind(), ErrorKind::Unauthorized);
    // HTTPS can be set up.
    OpenAiEmbedder::new(OpenAiConfig::new("https://127.0.0.1/v1", "m"), 4).unwrap();
}

async fn store() -> Arc<dyn KvStore> {
    nodestore::open("memory:").await.unwrap().kv().unwrap()
}

#[tokio::test]
async fn the_cache_embeds_each_text_once_also_at_the_same_time_and_after_a_restart() {
    let endpoint = Endpoint::faulty(7, 4);
    let kv = store().await;
    let texts = texts(200);
    let cached = || {
        let model = OpenAiEmbedder::new(config(&endpoint), 4).unwrap();
        CachedEmbedder::new(Arc::new(model), Arc::clone(&kv), "cache")
    };
    let embedder = cached();
    let doubled: Vec<&str> = texts.iter().chain(&texts[..20]).map(String::as_str).collect();
    let halves = [&doubled[..150], &doubled[100..], &doubled[..]];
    let calls = halves.iter().map(|texts| embedder.embed(texts));
    for (answer, texts) in futures::future::join_all(calls).await.into_iter().zip(halves) {
        let right: Vec<_> = texts.iter().map(|text| vector(text, 4)).collect();
        assert_eq!(answer.unwrap(), right);
    }
    assert_eq!(endpoint.done(), once(&texts));
    let counts = embedder.counts();
    assert_eq!((counts.misses, counts.hits), (200, 150 + 120 + 220 - 200));

    let again = cached();
    again.embed(&doubled).await.unwrap();
    assert_eq!((again.counts().misses, again.counts().hits), (0, 220));
    assert_eq!(endpoint.done(), once(&texts));

    assert_eq!(CachedEmbedder::clear(&*kv, "cache").await.unwrap(), 200);
    assert!(kv.scan("cache", nodestore::ScanOptions::default()).next().await.is_none());
}

#[tokio::test]
async fn the_cache_keeps_what_was_embedded_before_an_error_and_mends_damage() {
    let endpoint = Endpoint::start(|asked| {
        if asked.texts().iter().any(|text| text == "bad") { Reply::status(403, "no") } else { Reply::Good(3) }
    });
    let kv = store().await;
    let model = Arc::new(OpenAiEmbedder::new(config(&endpoint), 3).unwrap());
    let cached = CachedEmbedder::new(Arc::clone(&model) as Arc<_>, Arc::clone(&kv), "cache");
    let mut texts = texts(200);
    texts.insert(70, "bad".to_owned());
    assert_eq!(cached.embed(&refs(&texts)).await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(endpoint.done().len(), 64 + 64 + 9, "all batches of 64 but the one with the bad text");
    texts.remove(70);
    assert_eq!(cached.embed(&refs(&texts)).await.unwrap().len(), 200);
    assert_eq!(endpoint.done(), once(&texts));

    let (key, _) = kv.scan("cache", nodestore::ScanOptions::default()).next().await.unwrap().unwrap();
    let damaged = Value::from_iter([("embedding", "AAAA")]).as_object().unwrap().clone();
    kv.put("cache", &key, damaged).await.unwrap();
    let again = CachedEmbedder::new(model, kv, "cache");
    again.embed(&refs(&texts)).await.unwrap();
    assert_eq!((again.counts().misses, again.counts().hits), (1, 199));
}
