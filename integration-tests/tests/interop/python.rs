//! Python's side: `integration-tests/interop/serve.py` as a process, one for each server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use store_core::python::parse_json;

use crate::CaseResult;
use crate::side::Side;

/// The variable that names a Python with the packages.
pub(crate) const VARIABLE: &str = "NODESTORE_INTEROP_PYTHON";
/// Longer than any answer takes; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// A Python that is running.
pub(crate) struct Process {
    child: Mutex<Child>,
    /// Requests are answered in their order, so one asks at a time. `None` once it was ended.
    lines: Mutex<Option<(ChildStdin, Receiver<String>)>>,
}

impl Process {
    /// Starts one for a kind of store at this URL.
    pub(crate) fn start(kind: &str, url: &str) -> CaseResult<Self> {
        let program = std::env::var_os(VARIABLE).ok_or_else(|| format!("{VARIABLE} is not set"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/serve.py");
        let mut child = Command::new(program)
            .args(["-B", "-W", "ignore"])
            .arg(script)
            .args([kind, url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("Python does not start: {error}"))?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let (sender, answers) = channel();
        // Ends with the process, or when nobody waits any more.
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Ok(Self { child: Mutex::new(child), lines: Mutex::new(Some((stdin, answers))) })
    }

    fn ask(&self, request: &Value) -> CaseResult<Value> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, answers) = lines.as_mut().ok_or("Python was ended")?;
        writeln!(stdin, "{request}").map_err(|error| format!("Python is gone: {error}"))?;
        let line = answers.recv_timeout(PATIENCE).map_err(|_| format!("Python does not answer {request}"))?;
        let answer = parse_json(&line).map_err(|error| format!("not an answer: {error}: {line}"))?;
        let Value::Object(mut answer) = answer else { return Err(format!("not an answer: {line}")) };
        match (answer.remove("ok"), answer.remove("error")) {
            (Some(answer), None) => Ok(answer),
            (None, Some(error)) => Err(error.as_str().unwrap_or_default().to_owned()),
            _ => Err(format!("not an answer: {line}")),
        }
    }

    /// Ends its input and waits for its end, which must be a good one.
    pub(crate) fn end(&self) -> CaseResult {
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("Python ended with {status}")) }
    }
}

/// Python at one store of the server.
pub(crate) struct Python<'a> {
    pub(crate) process: &'a Process,
    /// The namespace of the store.
    pub(crate) space: &'a str,
}

impl Side for Python<'_> {
    fn name(&self) -> &'static str {
        "Python"
    }

    fn call(&self, op: &str, args: Value) -> CaseResult<Value> {
        let answer = self.process.ask(&json!({"space": self.space, "op": op, "args": args}));
        answer.map_err(|error| format!("Python: {op}: {error}"))
    }

    /// In one go, so that Python waits for nobody.
    fn all(&self, requests: Vec<(&str, Value)>) -> CaseResult {
        let requests: Vec<Value> = requests
            .into_iter()
            .map(|(op, args)| json!({"space": self.space, "op": op, "args": args}))
            .collect();
        self.call("all", json!({"requests": requests})).map(drop)
    }
}
