//! `--embedder`: a model behind an endpoint, which fails, throttles and answers nonsense.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nodestore::{GetOptions, MetadataMode, Node, Selector};

use super::endpoint::{Endpoint, Reply, vector};
use super::{Home, Run};

const KEY: &str = "sk-verysecret-0123456789";
const PROBE: &str = "How many dimensions?";

impl Home {
    /// The program with a key in its environment.
    pub(super) fn with_key(&self, arguments: &[&str]) -> Run {
        Run::of(
            self.command(arguments)
                .env("NODESTORE_URL", "kb")
                .env("OPENAI_API_KEY", KEY)
                .env_remove("HTTP_PROXY"),
        )
    }

    /// The nodes of the vector set in use, with their vectors.
    pub(super) fn vectors(&self) -> Vec<Node> {
        let url = nodestore::embedded_url(&self.path().join("kb"));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = nodestore::open(&url).await.unwrap();
            let vectors = nodestore::vectors_in_use(&*store).await.unwrap();
            let options = GetOptions::default().with_embeddings(true);
            let page = vectors.get(&Selector::all(), options).await.unwrap();
            store.close().await.unwrap();
            page.items
        })
    }
}

/// What is embedded of a node.
pub(super) fn text(node: &Node) -> String {
    node.content_with(MetadataMode::Embed).unwrap()
}

/// Every text of these nodes, once.
pub(super) fn once(nodes: &[Node]) -> BTreeMap<String, usize> {
    nodes.iter().map(|node| (text(node), 1)).collect()
}

/// `openai:URL,test-model`.
pub(super) fn openai(endpoint: &Endpoint) -> String {
    format!("openai:{},test-model", endpoint.url)
}

pub(super) fn write_documents(home: &Home, count: usize) {
    for number in 0..count {
        let text = format!("# Document {number}\n\nIt says {number}.\n\n## More\n\nAnd more of {number}.\n");
        home.write(&format!("docs/{number}.md"), text);
    }
}

/// Text that is cut into so many chunks by `--chunk-size 40`.
pub(super) fn sections(count: usize) -> String {
    let sections = (0..count).map(|number| format!("## Section {number}\n\nWords of {number}.\n"));
    sections.collect::<Vec<_>>().join("\n")
}

/// The program at work, with a key in its environment.
pub(super) fn spawn(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command(arguments);
    command
        .env("NODESTORE_URL", "kb")
        .env("OPENAI_API_KEY", "k")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until the endpoint has embedded so many texts.
pub(super) fn wait_for(endpoint: &Endpoint, texts: usize) {
    let start = Instant::now();
    while endpoint.done().len() < texts {
        assert!(start.elapsed() < Duration::from_mins(1), "{} texts", endpoint.done().len());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every vector is that of its text.
#[track_caller]
pub(super) fn assert_right(nodes: &[Node], dimensions: usize) {
    for node in nodes {
        assert_eq!(node.embedding_f32().unwrap(), vector(&text(node), dimensions), "{}", node.id);
    }
}

#[test]
fn every_text_is_embedded_once_by_a_bad_endpoint() {
    for seed in [3, 4] {
        let home = Home::new();
        write_documents(&home, 150);
        let endpoint = Endpoint::faulty(seed, 24);
        let run = home.with_key(&[
            "ingest",
            "docs",
            "--chunk-size",
            "40",
            "--json",
            "--embedder",
            &openai(&endpoint),
        ]);
        let report: serde_json::Value = serde_json::from_str(&run.ok().out).unwrap();

        let nodes = home.vectors();
        assert!(nodes.len() >= 300, "{}", nodes.len());
        assert_right(&nodes, 24);
        let mut done = endpoint.done();
        assert_eq!(done.remove(PROBE), Some(1));
        assert_eq!(done, once(&nodes), "seed {seed}");
        assert_eq!((&report["added"], &report["chunks_embedded"]), (&150.into(), &nodes.len().into()));

        // Nothing is embedded again, not by a second run and not when everything is written anew.
        endpoint.forget();
        home.with_key(&["ingest", "docs", "--chunk-size", "40"]).ok().shows(&["150 unchanged"]);
        home.with_key(&["ingest", "docs", "--chunk-size", "40", "--rewrite"]).ok();
        assert_eq!(endpoint.done(), BTreeMap::new());

        // The store knows what to ask.
        let some = &nodes[7];
        let found = home.with_key(&["search", "--mode", "vector", "-k", "1", "--json", &text(some)]).ok();
        let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
        assert_eq!(found["hits"][0]["id"], some.id.as_str());
    }
}

#[test]
fn killed_on_the_way_it_embeds_no_stored_text_again() {
    let home = Home::new();
    // One document, which is written when all of it is embedded: what is kept is kept by the cache.
    home.write("docs/long.md", sections(600));
    let endpoint = Endpoint::start(|_| Reply::Late(Duration::from_millis(40), 8));
    let embedder = openai(&endpoint);
    let arguments = ["ingest", "docs", "--chunk-size", "40", "--embedder", &embedder];
    for texts in [60, 200, 400] {
        let mut child = spawn(&home, &arguments);
        wait_for(&endpoint, texts);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    home.with_key(&arguments).ok();
    let (nodes, mut done) = (home.vectors(), endpoint.done());
    assert_right(&nodes, 8);
    // The first run noted the dimensions.
    assert_eq!(done.remove("How many dimensions?"), Some(1));
    let twice: usize = done.values().map(|times| times - 1).sum();
    // Two requests of 64 texts at a time; without the cache it would be all 60 + 200 + 400 and more.
    assert!(twice <= 3 * 128, "{twice}: more than was on its way at three kills");
    assert_eq!(done.keys().collect::<Vec<_>>(), once(&nodes).keys().collect::<Vec<_>>());
}

#[test]
fn an_endpoint_that_answers_nonsense_leaves_nothing_behind() {
    type Behaviour = fn(&super::endpoint::Asked) -> Reply;
    let cases: [(Behaviour, &[&str]); 6] = [
        (
            |_| Reply::status(200, "<html>hello</html>"),
            &["does not answer as an endpoint for embeddings", "<html>"],
        ),
        (|_| Reply::status(200, r#"{"data":[]}"#), &["1 embeddings were expected, 0 came"]),
        (|_| Reply::status(401, format!("bad key {KEY}")), &["answers 401", "OPENAI_API_KEY"]),
        (|_| Reply::status(404, "{}"), &["answers 404", "the model or the URL is wrong"]),
        // These two behave when they are asked for their dimensions.
        (|asked| Reply::Good(if asked.number == 0 { 8 } else { 5 }), &["8 dimensions were expected, 5 came"]),
        (
            |asked| match asked.number {
                0 => Reply::Good(8),
                _ => Reply::status(200, r#"{"data":[{"embedding":[null]}]}"#),
            },
            &["answers wrongly"],
        ),
    ];
    for (behaviour, says) in cases {
        let home = Home::new();
        write_documents(&home, 3);
        let endpoint = Endpoint::start(behaviour);
        let run =
            home.with_key(&["ingest", "docs", "-vv", "--embedder", &openai(&endpoint)]).exits(1).says(says);
        assert!(!run.err.contains("verysecret"), "{run:?}");
        run.says(&[&format!("the embedder at {}, model \"test-model\": ", endpoint.url)]);
        let stats = home.json(&["stats"]);
        assert_eq!((&stats["documents"], &stats["vectors"]["count"]), (&0.into(), &0.into()), "{stats}");
    }
}

#[test]
fn the_key_is_never_shown() {
    let home = Home::new();
    write_documents(&home, 20);
    let endpoint = Endpoint::faulty(1, 8);
    let embedder = openai(&endpoint).replace("http://", "http://me:hunter2@");
    let run = Run::of(
        home.command(&["-vv", "ingest", "docs", "--embedder", &embedder])
            .env("NODESTORE_URL", "kb")
            .env("NODESTORE_LOG", "trace")
            .env("OPENAI_API_KEY", KEY),
    )
    .ok();
    for secret in ["verysecret", "hunter2"] {
        assert!(!run.err.contains(secret) && !run.out.contains(secret), "{run:?}");
    }
    assert!(run.err.contains("embedding again"), "events are shown: {run:?}");
    let kept = home.run(&["list", "--kv", "nodestore", "--json"]).ok();
    assert!(kept.out.contains("me:***@") && !kept.out.contains("hunter2"), "{kept:?}");
    home.with_key(&["search", "document"])
        .exits(1)
        .says(&["the store does not keep what is hidden", "--embedder"]);
    home.with_key(&["search", "document", "--embedder", &embedder]).ok();
}

#[test]
fn another_model_is_refused_and_words_need_none() {
    let home = Home::new();
    write_documents(&home, 3);
    let endpoint = Endpoint::good(8);
    home.with_key(&["ingest", "docs", "--embedder", &openai(&endpoint)])
        .ok()
        .says(&["embedded by test-model at"]);
    let asked = endpoint.asked();
    assert_eq!(asked[0].authorization.as_deref(), Some(format!("Bearer {KEY}").as_str()));

    let other = format!("openai:{},other-model", endpoint.url);
    for embedder in [other.as_str(), "hash"] {
        home.with_key(&["ingest", "docs", "--embedder", embedder])
            .exits(1)
            .says(&["made by test-model", "nodestore reembed"]);
        home.with_key(&["search", "document", "--embedder", embedder]).exits(1).says(&["test-model"]);
    }
    home.with_key(&["ingest", "docs", "--dimensions", "4"]).exits(1).says(&["does not fit", "8 values"]);
    assert_eq!(endpoint.asked().len(), asked.len(), "nothing was asked in vain");

    home.with_key(&["search", "--mode", "text", "document", "--embedder", "nonsense"]).ok();
    home.with_key(&["search", "document", "--embedder", "openai:h,m"])
        .exits(2)
        .says(&["http://", "hash:DIMENSIONS"]);
    // From the environment.
    let run = Run::of(
        home.command(&["search", "document"]).env("NODESTORE_URL", "kb").env("NODESTORE_EMBEDDER", "hash"),
    );
    run.exits(1).says(&["test-model"]);
}

#[test]
fn a_document_that_the_model_refuses_is_named_and_the_others_are_stored() {
    let home = Home::new();
    write_documents(&home, 30);
    home.write("docs/poison.md", "# Poison\n");
    let endpoint = Endpoint::start(|asked| {
        let bad = asked.texts().iter().any(|text| text.contains("Poison"));
        if bad { Reply::status(400, r#"{"error":{"message":"too long"}}"#) } else { Reply::Good(8) }
    });
    let run = home.with_key(&["ingest", "docs", "--embedder", &openai(&endpoint)]).exits(3);
    run.shows(&["30 new, ", "1 skipped"]).says(&["poison.md", "refuses text 1 of 1", "too long"]);
    let nodes = home.vectors();
    assert_right(&nodes, 8);
    assert!(nodes.len() >= 30 && nodes.iter().all(|node| !text(node).contains("Poison")));
}

#[test]
fn shorter_vectors_are_asked_for_and_remembered() {
    let home = Home::new();
    write_documents(&home, 2);
    let endpoint = Endpoint::good(16);
    let key = [("MY_KEY", "k-1")];
    let arguments =
        ["ingest", "docs", "--embedder", &openai(&endpoint), "--dimensions", "4", "--api-key-env", "MY_KEY"];
    Run::of(home.command(&arguments).env("NODESTORE_URL", "kb").envs(key)).ok();
    assert_right(&home.vectors(), 4);
    Run::of(
        home.command(&["search", "document", "--api-key-env", "MY_KEY"]).env("NODESTORE_URL", "kb").envs(key),
    )
    .ok();
    let asked = endpoint.asked();
    assert!(asked.iter().all(|asked| asked.body["dimensions"] == 4), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer k-1")), "{asked:?}");
    home.write("hashed.md", "# A\n");
    let other = ["ingest", "hashed.md", "--namespace", "other", "--embedder", "hash:32"];
    home.run(&other).ok();
    home.run(&["ingest", "hashed.md", "--embedder", "hash:32", "--dimensions", "64"]).exits(2);
}
