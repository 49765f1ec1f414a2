//! Every example is run as a user runs it, on real servers, and what it prints is compared.
//!
//! A server is named by its variable; `scripts/test-all` starts one of each kind. The notebook needs a Python that has
//! `scripts/python/interop.txt`, named by `NODESTORE_INTEROP_PYTHON`. Without them examples show as ignored, or fail when
//! `STORE_TEST_REQUIRE` is set.

mod places;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

use crate::places::{Place, on};

type Outcome<T = ()> = Result<T, Failed>;

/// The variable that names a Python with LlamaIndex's packages.
const PYTHON: &str = "NODESTORE_INTEROP_PYTHON";

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("rag_over_the_embedded_store", rag_over_the_embedded_store),
        on("rag_over_mongodb", &["STORE_TEST_MONGODB_URL"], |place| rag(&place.url)),
        on("chat_memory", &["STORE_TEST_REDIS_URL"], chat_memory),
        on("single_table", &["STORE_TEST_DYNAMODB_URL"], single_table),
        on("time_series", &["STORE_TEST_CASSANDRA_URL"], time_series),
        Trial::test("the_notebook_has_its_format", the_notebook_has_its_format),
        on("service_and_notebook", &["STORE_TEST_REDIS_STACK_URL", PYTHON], service_and_notebook),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What a command prints; it must succeed.
fn printed(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn same(printed: &str, expected: &str) -> Outcome {
    if printed == expected {
        return Ok(());
    }
    Err(format!("it printed\n{printed}\nand not\n{expected}").into())
}

fn rag_over_the_embedded_store() -> Outcome {
    let folder = tempfile::tempdir()?;
    rag(&nodestore::embedded_url(&folder.path().join("birds")))
}

/// The same answers over every store.
fn rag(url: &str) -> Outcome {
    let ask = |question: &str| printed(Command::new(env!("CARGO_BIN_EXE_rag")).args([url, question]));
    let first = ask("Where do cranes rest at night?")?;
    same(
        &first,
        "3 documents are new, 0 unchanged\n\
         [1] cranes.md, 0.62: At night cranes rest in shallow water.\n\
         [2] cranes.md, 0.43: Cranes fly south in October.\n",
    )?;
    let second = ask("What do owls eat?")?;
    same(
        &second,
        "0 documents are new, 3 unchanged\n\
         [1] owls.md, 0.44: Owls eat mice and voles.\n\
         [2] owls.md, 0.39: Most owls hunt at night.\n",
    )
}

fn chat_memory(place: &Place) -> Outcome {
    let expected = "the last two messages of anna: 2 messages
  user: And what do they do in spring?
  assistant: They dance.
30 tokens of anna, the instructions among them: 4 messages
  system: You know all about birds. Be brief.
  assistant: On one leg, in shallow water.
  user: And what do they do in spring?
  assistant: They dance.
30 tokens of ben: 1 messages
  user: What do owls eat?
the guest, later: 0 messages
sessions: anna, ben
";
    // What is there from the last run does not count.
    for _ in 0..2 {
        same(&printed(Command::new(env!("CARGO_BIN_EXE_chat_memory")).arg(&place.url))?, expected)?;
    }
    Ok(())
}

fn single_table(place: &Place) -> Outcome {
    let printed = printed(Command::new(env!("CARGO_BIN_EXE_single_table")).arg(&place.url))?;
    let (warning, rest) = printed.split_once('\n').unwrap_or_default();
    if !warning.starts_with("entity event, key gsi1pk") {
        return Err(format!("it begins with {warning:?}").into());
    }
    same(
        rest,
        "61 events and a user are written
the first page of anna's events, newest first:
  2026-01-04T00:30:00Z purchase 60
  2026-01-03T18:30:00Z click 58
  2026-01-03T16:30:00Z click 56
the second page of anna's events, newest first:
  2026-01-03T14:30:00Z click 54
  2026-01-03T12:30:00Z click 52
  2026-01-03T10:30:00Z purchase 50
purchases of 2 January, from five o'clock on:
  2026-01-02T05:30:00Z ben 25
  2026-01-02T10:30:00Z anna 30
  2026-01-02T15:30:00Z ben 35
",
    )
}

fn time_series(place: &Place) -> Outcome {
    let rest = "3 January, 12:00 ben feedback {\"stars\":4.5}
3 January, 2:00 anna search {\"query\":\"how far do cranes fly\"}
3 January, 2:00 ben click {\"node\":\"n7\"}
2 January, 6:00 ben search {\"query\":\"owls\",\"hits\":12}
2 January, 1:00 anna click {\"node\":\"n1\",\"rank\":2}
1 January, 1:00 anna search {\"query\":\"cranes\"}
resnet-18, hour 3: loss 0.145 to 0.133, mean 0.139
resnet-18, hour 2: loss 0.260 to 0.150, mean 0.195
resnet-18, hour 1: loss 0.665 to 0.277, mean 0.438
resnet-18, hour 0: loss 2.100 to 0.728, mean 1.296
resnet-18: the best accuracy is 0.892, of epoch 39
resnet-50, hour 3: loss 0.145 to 0.133, mean 0.139
resnet-50, hour 2: loss 0.260 to 0.150, mean 0.195
resnet-50, hour 1: loss 0.665 to 0.277, mean 0.438
resnet-50, hour 0: loss 2.100 to 0.728, mean 1.296
resnet-50: the best accuracy is 0.932, of epoch 39
";
    let run = || printed(Command::new(env!("CARGO_BIN_EXE_time_series")).arg(&place.url));
    same(&run()?, &format!("6 of 6 events are new\n{rest}"))?;
    same(&run()?, &format!("0 of 6 events are new\n{rest}"))
}

fn notebook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("service_and_notebook/notebook.ipynb")
}

/// What nbformat 4.5 asks for, and no outputs, which would be of somebody's own run.
fn the_notebook_has_its_format() -> Outcome {
    let notebook: Value = serde_json::from_slice(&std::fs::read(notebook())?)?;
    let version = [notebook.get("nbformat"), notebook.get("nbformat_minor")];
    if version != [Some(&json!(4)), Some(&json!(5))] {
        return Err(format!("the notebook's format is {version:?}").into());
    }
    let mut ids = HashSet::new();
    for cell in notebook.get("cells").and_then(Value::as_array).ok_or("there are no cells")? {
        let member = |name: &str| cell.get(name).unwrap_or(&Value::Null);
        let id = member("id").as_str().ok_or("a cell has no id")?;
        let lines = member("source").as_array().is_some_and(|lines| lines.iter().all(Value::is_string));
        let sound = match member("cell_type").as_str() {
            Some("markdown") => cell.get("outputs").is_none(),
            Some("code") => {
                member("outputs") == &json!([]) && cell.get("execution_count") == Some(&Value::Null)
            }
            _ => false,
        };
        if !ids.insert(id) || !lines || !member("metadata").is_object() || !sound {
            return Err(format!("the cell {id:?} has not the form of nbformat 4.5, or an output").into());
        }
    }
    Ok(())
}

/// The service, which ends with this value.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself, which its missing answers have told.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn service_and_notebook(place: &Place) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_service"));
    command.args([place.url.as_str(), "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut service = Service(command.spawn()?);
    let output = service.0.stdout.take().ok_or("the service has no output")?;
    let mut lines = BufReader::new(output).lines();
    let mut line =
        || lines.next().ok_or("the service ended; see above").map_err(Failed::from)?.map_err(Failed::from);
    same(&line()?, "3 documents are new, 0 unchanged")?;
    let listening = line()?;
    let address = listening.strip_prefix("listening on ").ok_or_else(|| listening.clone())?;

    let python = std::env::var_os(PYTHON).ok_or("no Python")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/run_notebook.py");
    let printed = printed(
        Command::new(python)
            .args(["-B", "-W", "ignore"])
            .args([script, notebook()])
            .env("REDIS_URL", &place.server)
            .env("NAMESPACE", &place.namespace)
            .env("SERVICE_URL", address)
            .env("no_proxy", "127.0.0.1"),
    )?;
    // One of the packages logs to where the answers go.
    let answers = printed.split_inclusive('\n').filter(|line| !line.contains(" redisvl.index."));
    same(
        &answers.collect::<String>(),
        "cranes.md, 0.50: At night cranes rest in shallow water.\n\
         owls.md, 0.06: Owls eat mice and voles.\n\
         notebook.ipynb, 0.68: Herons rest in tall trees.\n\
         cranes.md, 0.07: At night cranes rest in shallow water.\n",
    )
}
