//! Both ways with the real llama-index-core: what Python writes is read, and what is written here Python reads.
//!
//! Needs a Python that has `scripts/python/requirements.txt`, named by `NODESTORE_TEST_PYTHON`. Without it the tests
//! show as ignored, or fail when `STORE_TEST_REQUIRE` is set.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::Value;
use store_core::{ChatMessage, IndexStruct, JsonObject, MetadataMode, Node, python};

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

const SEED: &str = "20240611";
const COUNT: &str = "400";

fn main() {
    let tests: [(&str, Test); 8] = [
        ("python::nodes_from_python", nodes_from_python),
        ("python::nodes_to_python", nodes_to_python),
        ("python::messages_from_python", messages_from_python),
        ("python::messages_to_python", messages_to_python),
        ("python::structs_from_python", structs_from_python),
        ("python::structs_to_python", structs_to_python),
        ("python::texts_of_values", texts_of_values),
        ("python::unicode_tables", unicode_tables),
    ];
    let skip = std::env::var_os("NODESTORE_TEST_PYTHON").is_none()
        && std::env::var_os("STORE_TEST_REQUIRE").is_none();
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test).with_ignored_flag(skip));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// Runs the script; the answer is one JSON text a line.
fn python(arguments: &[&str], input: &[String]) -> Result<Vec<Value>, Failed> {
    let program = std::env::var_os("NODESTORE_TEST_PYTHON").ok_or(
        "set NODESTORE_TEST_PYTHON to what `scripts/python-env scripts/python/requirements.txt` prints",
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/interop.py");
    let mut child = Command::new(program)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let text = input.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("Python failed with {}", output.status).into());
    }
    writer.join().map_err(|_| "the writer panicked")??;
    let answers: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(python::parse_json).collect::<Result<_, _>>()?;
    if answers.is_empty() { Err("Python answered nothing".into()) } else { Ok(answers) }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, case: &str, ours: &T, theirs: &T) -> Outcome {
    if ours == theirs {
        return Ok(());
    }
    let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
    let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
    let near = |text: &str| text.chars().skip(same.saturating_sub(60)).take(160).collect::<String>();
    Err(format!("{what} differs\n  ours:   …{}\n  theirs: …{}\n  of {case}", near(&ours), near(&theirs))
        .into())
}

/// What Python makes of a node.
#[derive(Deserialize)]
struct Record {
    /// The node as it was given to Python.
    json: String,
    /// The node as Python writes it after reading.
    again: String,
    hash: String,
    content: Texts,
    metadata_str: Texts,
    /// Absent where Python refuses, because a list stands in the source relationship.
    vector_metadata: Option<String>,
    from_vector_metadata: Option<String>,
    /// Whether a character in it is not assigned in Python's version of Unicode, so that it may be escaped there.
    unassigned: bool,
}

#[derive(Deserialize)]
struct Texts {
    all: String,
    embed: String,
    llm: String,
    none: String,
}

impl Texts {
    fn modes(&self) -> [(MetadataMode, &String); 4] {
        [
            (MetadataMode::All, &self.all),
            (MetadataMode::Embed, &self.embed),
            (MetadataMode::Llm, &self.llm),
            (MetadataMode::None, &self.none),
        ]
    }
}

fn node_of(text: &str) -> Result<Node, Failed> {
    Ok(Node::from_json(object_of(text)?)?)
}

fn object_of(text: &str) -> Result<JsonObject, Failed> {
    match python::parse_json(text)? {
        Value::Object(object) => Ok(object),
        other => Err(format!("not an object: {other}").into()),
    }
}

/// The node as Python's `json.dumps` writes it.
fn python_text(node: &Node) -> String {
    python::python_json(&Value::Object(node.to_json()))
}

/// An index node's object that is a text becomes a node with a random id in Python; null it in both.
fn without_text_obj(text: &str) -> Result<String, Failed> {
    let mut json = object_of(text)?;
    if let Some(Value::Object(data)) = json.get_mut("__data__")
        && let Some(obj) = data.get_mut("obj")
    {
        *obj = Value::Null;
    }
    Ok(python::python_json(&Value::Object(json)))
}

fn compare(node: &Node, record: &Record) -> Outcome {
    let case = &record.json;
    if !record.unassigned {
        equal("hash", case, &node.hash(), &record.hash)?;
        for (mode, text) in record.content.modes() {
            equal(&format!("content, {mode:?}"), case, &node.content_with(mode)?, text)?;
        }
        for (mode, text) in record.metadata_str.modes() {
            equal(&format!("metadata_str, {mode:?}"), case, &node.metadata_str(mode)?, text)?;
        }
    }
    let (Some(metadata), Some(from_metadata)) = (&record.vector_metadata, &record.from_vector_metadata)
    else {
        return equal("a list as source", case, &node.ref_doc_id(), &None);
    };
    let ours = python::python_json(&Value::Object(node.to_vector_metadata(false)?));
    equal("vector metadata", case, &ours, metadata)?;
    let read = Node::from_vector_metadata(object_of(metadata)?, Some("the text".to_owned()))?;
    equal(
        "the node of vector metadata",
        case,
        &without_text_obj(&python_text(&read))?,
        &without_text_obj(from_metadata)?,
    )
}

fn nodes_from_python() -> Outcome {
    for answer in python(&["write-nodes", SEED, COUNT], &[])? {
        let record: Record = serde_json::from_value(answer)?;
        let node = node_of(&record.json)?;
        equal("JSON", &record.json, &python_text(&node), &record.json)?;
        let streamed = serde_json::to_string(&node)?;
        equal("streamed JSON", &record.json, &streamed, &Value::Object(node.to_json()).to_string())?;
        equal("a second reading", &record.json, &node_of(&streamed)?, &node)?;
        if node.class_name() == "IndexNode"
            && !record.json.contains(r#""obj": null"#)
            && !record.json.contains(r#""obj": {"__data__""#)
        {
            // Python reads any other object as a new node with a random id; the rest is the same.
            let ours = node_of(&without_text_obj(&record.json)?)?;
            equal("hash", &record.json, &ours.hash(), &node.hash())?;
        } else {
            equal("what Python writes again", &record.json, &python_text(&node), &record.again)?;
            compare(&node, &record)?;
        }
    }
    Ok(())
}

fn nodes_to_python() -> Outcome {
    let nodes = samples(&common::node());
    let written: Vec<String> = nodes.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let answers = python(&["read-nodes"], &written)?;
    equal("the number of nodes", "", &answers.len(), &nodes.len())?;
    for (node, answer) in nodes.iter().zip(answers) {
        let record: Record = serde_json::from_value(answer)?;
        equal("what Python writes again", &record.json, &python_text(node), &record.again)?;
        equal("the node read again", &record.json, &node_of(&record.again)?, node)?;
        compare(node, &record)?;
    }
    Ok(())
}

fn messages_from_python() -> Outcome {
    for answer in python(&["write-messages", SEED, COUNT], &[])? {
        let message: ChatMessage = serde_json::from_value(answer.clone())?;
        equal("message", &answer.to_string(), &serde_json::to_string(&message)?, &answer.to_string())?;
        let again = Value::Object(message.to_json());
        equal("message as a tree", &answer.to_string(), &again.to_string(), &answer.to_string())?;
    }
    Ok(())
}

fn messages_to_python() -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        json: Value,
        text: Option<String>,
    }
    let messages = samples(&common::message());
    let written: Vec<String> = messages.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let answers = python(&["read-messages"], &written)?;
    equal("the number of messages", "", &answers.len(), &messages.len())?;
    for ((message, written), answer) in messages.iter().zip(written).zip(answers) {
        let answer: Answer = serde_json::from_value(answer)?;
        equal("message", &written, &written, &answer.json.to_string())?;
        equal("text", &written, &message.text(), &answer.text)?;
    }
    Ok(())
}

fn structs_from_python() -> Outcome {
    for answer in python(&["write-structs", SEED, COUNT], &[])? {
        let Value::Object(stored) = answer.clone() else { return Err("not an object".into()) };
        let index = IndexStruct::from_json(stored)?;
        let again = Value::Object(index.to_stored_json());
        let sorted = |value: &Value| serde_json::from_value::<BTreeMap<String, Value>>(value.clone());
        equal("struct", &answer.to_string(), &sorted(&again)?, &sorted(&answer)?)?;
        equal("struct as a tree", &answer.to_string(), &IndexStruct::from_json(index.to_json())?, &index)?;
    }
    Ok(())
}

fn structs_to_python() -> Outcome {
    let structs = [
        IndexStruct::vector_store([("v1", "n1"), ("v2", "n'2")]).with_summary("Zażółć 🚀"),
        IndexStruct::list(["n1", "n2"]),
        IndexStruct::tree(),
        IndexStruct::keyword_table([("wine", vec!["n1"]), ("é", vec![])]),
        IndexStruct::knowledge_graph(),
        IndexStruct::document_summary(),
        IndexStruct::empty().with_id("an id"),
    ];
    let mut written = Vec::new();
    for index in &structs {
        written.push(Value::Object(index.to_stored_json()).to_string());
        written.push(Value::Object(index.to_json()).to_string());
    }
    let answers = python(&["read-structs"], &written)?;
    equal("the number of structs", "", &answers.len(), &written.len())?;
    for (index, pair) in structs.iter().zip(answers.chunks(2)) {
        for answer in pair {
            let Value::Object(stored) = answer.clone() else { return Err("not an object".into()) };
            let text = |json: &JsonObject| json.get("__data__").and_then(Value::as_str).map(str::to_owned);
            let case = answer.to_string();
            equal("the stored text", &case, &text(&index.to_stored_json()), &text(&stored))?;
            equal("struct", &case, index, &IndexStruct::from_json(stored)?)?;
        }
    }
    Ok(())
}

fn texts_of_values() -> Outcome {
    #[derive(Deserialize)]
    struct Answer {
        str: String,
        ascii: String,
        utf8: Option<String>,
    }
    for answer in python(&["values", SEED, "2000"], &[])?.into_iter().skip(1) {
        let answer: Answer = serde_json::from_value(answer)?;
        let value = python::parse_json(&answer.ascii)?;
        let Some(utf8) = answer.utf8 else {
            equal("a lossy list", &answer.ascii, &value.to_string(), &"[null,\"\u{fffd}\",-0.0]".to_owned())?;
            continue;
        };
        equal("str()", &answer.ascii, &python::str(&value), &answer.str)?;
        equal("json.dumps", &answer.ascii, &python::python_json(&value), &answer.ascii)?;
        equal("json.dumps in UTF-8", &answer.ascii, &python::python_json_utf8(&value), &utf8)?;
        equal("the value", &answer.ascii, &python::parse_json(&utf8)?, &value)?;
    }
    Ok(())
}

fn unicode_tables() -> Outcome {
    #[derive(Deserialize)]
    struct Tables {
        unassigned: Vec<[u32; 2]>,
        printable: Vec<[u32; 2]>,
        space: Vec<[u32; 2]>,
    }
    let table = python(&["values", SEED, "0"], &[])?.into_iter().next().ok_or("no tables")?;
    let tables: Tables = serde_json::from_value(table)?;
    let set = |ranges: &[[u32; 2]]| -> HashSet<u32> {
        ranges.iter().flat_map(|[first, last]| *first..=*last).collect()
    };
    let (unassigned, printable, space) =
        (set(&tables.unassigned), set(&tables.printable), set(&tables.space));
    for c in (' '..=char::MAX).chain('\0'..' ') {
        let (code, text) = (u32::from(c), c.to_string());
        let is_space = python::strip(&text).is_empty();
        equal("white space", &format!("U+{code:04X}"), &is_space, &space.contains(&code))?;
        // The quote and the backslash are printable, and escaped all the same.
        if unassigned.contains(&code) || c == '\\' {
            continue;
        }
        let is_raw = python::repr(&text.clone().into()).contains(c);
        equal("printable", &format!("U+{code:04X}"), &is_raw, &printable.contains(&code))?;
    }
    Ok(())
}

/// The same random values in each run.
fn samples<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    let count = COUNT.parse().unwrap_or(0);
    (0..count).filter_map(|_| strategy.new_tree(&mut runner).ok()).map(|tree| tree.current()).collect()
}
