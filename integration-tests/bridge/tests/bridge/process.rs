//! A bridge as a process, and its lines.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::CaseResult;

/// Longer than any answer takes; the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// Those who wait for an answer, by id.
type Waiting = Arc<Mutex<HashMap<i64, Sender<Value>>>>;

/// A bridge that is running.
pub(crate) struct Bridge {
    child: Mutex<Child>,
    /// `None` once it was ended.
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Waiting,
    reader: Mutex<Option<JoinHandle<()>>>,
    last_id: AtomicI64,
    /// The operations that were answered with `ok`.
    done: Mutex<BTreeSet<String>>,
}

/// The answer that a request is going to have.
pub(crate) struct Pending<'a> {
    bridge: &'a Bridge,
    op: String,
    answer: Receiver<Value>,
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Bridge {
    pub(crate) fn start() -> CaseResult<Self> {
        let mut child = command().spawn().map_err(|error| format!("the bridge does not start: {error}"))?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let waiting = Waiting::default();
        let known = Arc::clone(&waiting);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Whoever waits for an answer that is none finds out that nobody sends it.
                let answer: Value = serde_json::from_str(&line).unwrap_or_default();
                let id = answer.get("id").and_then(Value::as_i64);
                if let Some(sender) = id.and_then(|id| lock(&known).remove(&id)) {
                    let _ = sender.send(answer);
                } else {
                    eprintln!("not an answer: {line}");
                }
            }
            lock(&known).clear();
        });
        let (last_id, done) = (AtomicI64::new(0), Mutex::default());
        let (child, stdin, reader) = (Mutex::new(child), Mutex::new(Some(stdin)), Mutex::new(Some(reader)));
        Ok(Self { child, stdin, waiting, reader, last_id, done })
    }

    /// Sends a request and does not wait.
    pub(crate) fn send(&self, store: Option<i64>, op: &str, args: &Value) -> CaseResult<Pending<'_>> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = channel();
        lock(&self.waiting).insert(id, sender);
        let line = format!("{}\n", json!({"id": id, "store": store, "op": op, "args": args}));
        let mut stdin = lock(&self.stdin);
        let stdin = stdin.as_mut().ok_or("the bridge was ended")?;
        stdin.write_all(line.as_bytes()).map_err(|error| format!("the bridge is gone: {error}"))?;
        Ok(Pending { bridge: self, op: op.to_owned(), answer })
    }

    /// The operations that were answered with `ok` so far.
    pub(crate) fn done(&self) -> BTreeSet<String> {
        lock(&self.done).clone()
    }

    /// Ends its input and waits for its end, which must be a good one.
    pub(crate) fn end(&self) -> CaseResult {
        drop(lock(&self.stdin).take());
        let status = lock(&self.child).wait().map_err(|error| error.to_string())?;
        if let Some(reader) = lock(&self.reader).take() {
            reader.join().map_err(|_| "the thread that reads answers panicked")?;
        }
        if status.success() { Ok(()) } else { Err(format!("the bridge ended with {status}")) }
    }
}

impl Pending<'_> {
    /// The answer: the value of `ok`, or that of `error`.
    pub(crate) fn wait(self) -> CaseResult<Result<Value, Value>> {
        let Self { bridge, op, answer } = self;
        let answer = answer.recv_timeout(PATIENCE).map_err(|_| format!("{op}: there was no answer"))?;
        match answer {
            Value::Object(mut answer) if answer.len() == 2 => {
                match (answer.remove("ok"), answer.remove("error")) {
                    (Some(value), None) => {
                        lock(&bridge.done).insert(op);
                        Ok(Ok(value))
                    }
                    (None, Some(error)) => Ok(Err(error)),
                    _ => Err(format!("{op}: the answer has neither ok nor error")),
                }
            }
            answer => Err(format!("{op}: not an answer: {answer}")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a bridge these bytes and the end of its input; answers its lines and how it ended.
pub(crate) fn whole_run(input: &[u8]) -> CaseResult<(Vec<Value>, ExitStatus)> {
    let mut child = command().stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let mut stdout = child.stdout.take().ok_or("no stdout")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    stdin.write_all(input).map_err(|error| error.to_string())?;
    drop(stdin);
    let status = child.wait().map_err(|error| error.to_string())?;
    let text = reader.join().map_err(|_| "the reader panicked")?.map_err(|error| error.to_string())?;
    let lines =
        text.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")));
    Ok((lines.collect::<CaseResult<_>>()?, status))
}

/// Runs the program with an argument; answers stdout and how it ended.
pub(crate) fn with_argument(argument: &str) -> CaseResult<(String, ExitStatus)> {
    let output = command().arg(argument).output().map_err(|error| error.to_string())?;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status))
}
