//! The two languages at one store.

use std::fmt;
use std::thread::ScopedJoinHandle;

use serde_json::{Value, json};

use crate::CaseResult;

/// One of the languages: takes requests such as `docs.add`, with JSON for arguments and answer, the same on both sides.
pub(crate) trait Side: Send + Sync {
    /// Who it is, for messages.
    fn name(&self) -> &'static str;

    /// Does one request.
    fn call(&self, op: &str, args: Value) -> CaseResult<Value>;

    /// Does many, one after the other.
    fn all(&self, requests: Vec<(&str, Value)>) -> CaseResult {
        requests.into_iter().try_for_each(|(op, args)| self.call(op, args).map(drop))
    }

    /// The answer is this one, to the order of members and the kind of numbers.
    fn is(&self, op: &str, args: Value, expected: &Value) -> CaseResult {
        let what = format!("{}: {op} {}", self.name(), shortened(&args));
        same(&what, &self.call(op, args)?, expected)
    }

    /// It is refused, with a message that names this.
    fn refused(&self, op: &str, args: Value, names: &str) -> CaseResult {
        let what = format!("{}: {op} {}", self.name(), shortened(&args));
        match self.call(op, args) {
            Err(error) if error.contains(names) => Ok(()),
            Err(error) => Err(format!("{what}: {error}; expected something of {names:?}")),
            Ok(answer) => Err(format!("{what}: answered {answer} instead of an error")),
        }
    }
}

/// Whether both are written alike; if not, where they begin to differ.
pub(crate) fn same(what: &str, found: &Value, expected: &Value) -> CaseResult {
    let (found, expected) = (found.to_string(), expected.to_string());
    if found == expected {
        return Ok(());
    }
    let alike = found.chars().zip(expected.chars()).take_while(|(one, other)| one == other).count();
    let near = |text: &str| text.chars().skip(alike.saturating_sub(60)).take(200).collect::<String>();
    Err(format!("{what}:\n   found …{}\nexpected …{}", near(&found), near(&expected)))
}

/// A value for a message.
fn shortened(value: &Value) -> String {
    const MOST: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Who writes first, into a store that this side has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// Python writes; ours reads, changes and deletes.
    FromPython,
    /// Ours writes; Python reads, changes and deletes.
    ToPython,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::FromPython, Self::ToPython];
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromPython => "from_python",
            Self::ToPython => "to_python",
        })
    }
}

/// Both sides at one store, for one case.
pub(crate) struct Pair<'a> {
    /// The side that writes first.
    pub(crate) writer: &'a dyn Side,
    /// The side that reads what the other wrote, changes and deletes it.
    pub(crate) reader: &'a dyn Side,
    pub(crate) python: &'a dyn Side,
    pub(crate) ours: &'a dyn Side,
    /// What all ids and names of the case begin with.
    pub(crate) prefix: String,
}

impl Pair<'_> {
    /// A name of this case's own.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Both sides answer this.
    pub(crate) fn both(&self, op: &str, args: &Value, expected: &Value) -> CaseResult {
        self.reader.is(op, args.clone(), expected)?;
        self.writer.is(op, args.clone(), expected)
    }

    /// Both sides at the same time, each with its requests, ours by several tasks.
    pub(crate) fn at_once(&self, python: Vec<(&str, Value)>, ours: Vec<Vec<(&str, Value)>>) -> CaseResult {
        std::thread::scope(|scope| {
            let python = scope.spawn(|| self.python.all(python));
            let ours: Vec<_> =
                ours.into_iter().map(|requests| scope.spawn(|| self.ours.all(requests))).collect();
            let mut ended = std::iter::once(python).chain(ours).map(ScopedJoinHandle::join);
            ended.try_for_each(|end| end.map_err(|_| "a side panicked".to_owned())?)
        })
    }
}

/// `{"id": …}`, as many requests have it.
pub(crate) fn id(id: &str) -> Value {
    json!({"id": id})
}
