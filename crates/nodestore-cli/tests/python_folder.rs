//! `import` and `export` with the real llama-index-core: what Python persists comes back to it the same.
//!
//! Needs a Python that has `scripts/python/requirements.txt`, named by `NODESTORE_TEST_PYTHON`. Without it the tests
//! show as ignored, or fail when `STORE_TEST_REQUIRE` is set.

use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

fn main() {
    let tests: [(&str, Test); 5] = [
        ("python::numbers_of_numpy_come_back", numbers_of_numpy_come_back),
        ("python::numbers_of_services_come_back", numbers_of_services_come_back),
        ("python::numbers_beyond_32_bits_keep_their_order", numbers_beyond_32_bits_keep_their_order),
        ("python::the_store_answers_as_python_does", the_store_answers_as_python_does),
        ("python::an_ingested_store_is_loaded", an_ingested_store_is_loaded),
    ];
    let skip = std::env::var_os("NODESTORE_TEST_PYTHON").is_none()
        && std::env::var_os("STORE_TEST_REQUIRE").is_none();
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test).with_ignored_flag(skip));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn output(command: &mut Command) -> Result<Vec<u8>, Failed> {
    let Output { status, stdout, stderr } = command.output()?;
    if status.success() {
        return Ok(stdout);
    }
    Err(format!("{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr)).into())
}

fn python(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failed> {
    let program = std::env::var_os("NODESTORE_TEST_PYTHON").ok_or(
        "set NODESTORE_TEST_PYTHON to what `scripts/python-env scripts/python/requirements.txt` prints",
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/folder.py");
    output(Command::new(program).arg(script).args(arguments).current_dir(folder))
}

/// What Python finds in a folder.
fn read(folder: &Path, name: &str) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&python(folder, &["read", name])?)?)
}

fn nodestore(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodestore"));
    output(command.current_dir(folder).env("HOME", folder).env("NODESTORE_URL", "kb").args(arguments))
}

/// Python persists `before`, which is imported and exported as `after`; what Python finds in both.
fn there_and_back(folder: &Path, numbers: &str) -> Result<(Value, Value), Failed> {
    python(folder, &["write", "before", numbers])?;
    nodestore(folder, &["import", "before"])?;
    nodestore(folder, &["export", "after"])?;
    let (mut before, after) = (read(folder, "before")?, read(folder, "after")?);
    // Setting a hash makes Python forget the source; the node still says it.
    let forgotten = "node 1/1 \"é\"";
    let hashes = before.get_mut("hashes").and_then(Value::as_object_mut).ok_or("no hashes")?;
    let entry = hashes.get_mut(forgotten).and_then(Value::as_object_mut).ok_or("no such hash")?;
    if entry.insert("ref_doc_id".to_owned(), json!("document 1")).is_some() {
        return Err("Python remembers the source now; this exception can go".into());
    }
    Ok((before, after))
}

/// The places where two values differ; floats may by `tolerance`.
fn differences(path: &str, a: &Value, b: &Value, tolerance: f64, found: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let place = format!("{path}/{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differences(&place, a, b, tolerance, found),
                    (only_before, _) => {
                        found.push(format!("{place}: only before: {}", only_before.is_some()));
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{at}"), a, b, tolerance, found);
            }
        }
        (Value::Number(a), Value::Number(b)) if tolerance > 0.0 && a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            let is_near = (a - b).abs() <= tolerance * (1.0 + a.abs());
            if !is_near {
                found.push(format!("{path}: {a} became {b}"));
            }
        }
        (a, b) => {
            // As text, since 2 and 2.0 are not the same.
            let (a, b) = (a.to_string(), b.to_string());
            if a != b {
                found.push(format!("{path}: {a} became {b}"));
            }
        }
    }
}

fn equal(before: &Value, after: &Value, tolerance: f64) -> Outcome {
    let mut found = Vec::new();
    differences("", before, after, tolerance, &mut found);
    let sizes = ["nodes", "ref_docs", "structs", "vectors", "answers"]
        .map(|part| before.get(part).and_then(Value::as_object).map_or(0, serde_json::Map::len));
    if sizes != [304, 60, 5, 4, 8] {
        return Err(format!("Python found other numbers of things than it wrote: {sizes:?}").into());
    }
    match found.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{} differences, the first is {first}", found.len()).into()),
    }
}

/// Nodes, relationships, hashes, ref docs, index structs, graphs, vectors and every answer.
fn everything_comes_back(numbers: &str) -> Outcome {
    let folder = TempDir::new()?;
    let (before, after) = there_and_back(folder.path(), numbers)?;
    equal(&before, &after, 0.0)
}

fn numbers_of_numpy_come_back() -> Outcome {
    everything_comes_back("float32")
}

fn numbers_of_services_come_back() -> Outcome {
    everything_comes_back("digits")
}

/// Such numbers are rounded, so scores change a little, and the order of answers does not.
fn numbers_beyond_32_bits_keep_their_order() -> Outcome {
    let folder = TempDir::new()?;
    let (before, after) = there_and_back(folder.path(), "float64")?;
    if equal(&before, &after, 0.0).is_ok() {
        return Err("nothing was rounded, so this test shows nothing".into());
    }
    equal(&before, &after, 1e-6)
}

/// The same nearest nodes in the same order from the store itself, with and without a filter.
fn the_store_answers_as_python_does() -> Outcome {
    let folder = TempDir::new()?;
    python(folder.path(), &["write", "before", "float32"])?;
    nodestore(folder.path(), &["import", "before"])?;
    let told = read(folder.path(), "before")?;
    let queries = told.get("queries").and_then(Value::as_array).ok_or("no queries")?;
    let embeddings: Vec<Vec<f32>> =
        queries.iter().map(|query| serde_json::from_value(query.clone())).collect::<Result<_, _>>()?;
    let url = nodestore::embedded_url(&folder.path().join("kb"));
    let answers = tokio::runtime::Runtime::new()?.block_on(async {
        let store = nodestore::open(&url).await?;
        let mut answers = Vec::new();
        for set in ["default", "summaries"] {
            let vectors = if set == "default" { store.vectors()? } else { store.vector_set(set)? };
            for filter in [None, Some(nodestore::Filter::parse("tag = 'red'")?)] {
                let selector =
                    filter.clone().map_or_else(nodestore::Selector::all, nodestore::Selector::from);
                let queries: Vec<nodestore::VectorQuery> = embeddings
                    .iter()
                    .map(|embedding| {
                        nodestore::VectorQuery::dense(embedding.clone(), 10).with_selector(selector.clone())
                    })
                    .collect();
                let hits = vectors.query_many(&queries).await?;
                let ids = hits.iter().map(|hits| hits.iter().map(|hit| hit.node.id.to_string()).collect());
                let python = if filter.is_some() { "True" } else { "False" };
                answers.push((format!("{set} {python}"), ids.collect::<Vec<Vec<String>>>()));
            }
        }
        store.close().await?;
        Ok::<_, nodestore::Error>(answers)
    })?;
    for (name, ours) in answers {
        let theirs =
            told.pointer(&format!("/answers/{name}")).and_then(Value::as_array).ok_or("no answers")?;
        if theirs.len() != 60 {
            return Err(format!("{} questions", theirs.len()).into());
        }
        for (question, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let theirs = theirs.get(0).cloned().unwrap_or_default();
            if json!(ours) != theirs {
                return Err(format!("{name}, question {question}: {ours:?} is not {theirs}").into());
            }
        }
    }
    Ok(())
}

/// A store that Python never saw: its index is loaded without a name, and finds what the store finds.
fn an_ingested_store_is_loaded() -> Outcome {
    let folder = TempDir::new()?;
    std::fs::create_dir(folder.path().join("docs"))?;
    for (name, text) in
        [("cats.md", "# Cats\n\nCats purr when content.\n"), ("dogs.md", "# Dogs\n\nDogs bark.\n")]
    {
        std::fs::write(folder.path().join("docs").join(name), text)?;
    }
    nodestore(folder.path(), &["ingest", "docs", "--dimensions", "24"])?;
    nodestore(folder.path(), &["export", "after"])?;
    let told = read(folder.path(), "after")?;
    let sizes = ["nodes", "ref_docs", "structs"]
        .map(|part| told.get(part).and_then(Value::as_object).map_or(0, serde_json::Map::len));
    if sizes != [4, 2, 1] {
        return Err(format!("Python finds {sizes:?}").into());
    }
    let nodes = told.get("true_hashes").and_then(Value::as_object).ok_or("no nodes")?;
    for (id, hash) in nodes {
        if told.pointer(&format!("/hashes/{}/doc_hash", id.replace('/', "~1"))) != Some(hash) {
            return Err(format!("another hash than Python's for {id}").into());
        }
    }
    let hits = told.pointer("/answers/index nodestore/0").and_then(Value::as_array).ok_or("no answer")?;
    if hits.len() == 2 { Ok(()) } else { Err(format!("{} hits", hits.len()).into()) }
}
