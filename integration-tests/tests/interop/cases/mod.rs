//! The cases, by role. Each has names of its own, and runs once in each direction.

mod chats;
mod documents;
mod index_structs;
mod key_values;
mod nodes;
mod together;
mod vectors;

pub(crate) use documents::OLD as OLD_NODES;

use std::fmt;

use serde_json::Value;

use crate::CaseResult;
use crate::side::Pair;

/// What a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    KeyValues,
    Documents,
    IndexStructs,
    Chats,
    Vectors,
}

impl Role {
    pub(crate) const ALL: [Self; 5] =
        [Self::KeyValues, Self::Documents, Self::IndexStructs, Self::Chats, Self::Vectors];

    /// As people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::KeyValues => "Key-values",
            Self::Documents => "Documents",
            Self::IndexStructs => "Index structs",
            Self::Chats => "Chats",
            Self::Vectors => "Vectors",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyValues => "kv",
            Self::Documents => "docs",
            Self::IndexStructs => "index",
            Self::Chats => "chat",
            Self::Vectors => "vectors",
        })
    }
}

/// Something that both sides do with the same data.
pub(crate) struct Case {
    pub(crate) role: Role,
    /// As the table has it.
    pub(crate) name: &'static str,
    /// Whether both sides are at work at the same time.
    pub(crate) at_once: bool,
    pub(crate) run: Box<dyn Fn(&Pair<'_>) -> CaseResult + Send + Sync>,
}

impl Case {
    fn new(
        role: Role,
        name: &'static str,
        run: impl Fn(&Pair<'_>) -> CaseResult + Send + Sync + 'static,
    ) -> Self {
        Self { role, name, at_once: false, run: Box::new(run) }
    }

    /// Its name as part of an id: without what could mean something to a server.
    pub(crate) fn plain_name(&self) -> String {
        self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }
}

/// All of them, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let mut all = key_values::cases();
    all.extend(documents::cases());
    all.extend(index_structs::cases());
    all.extend(chats::cases());
    all.extend(vectors::cases());
    all.extend(together::cases());
    all
}

/// Values that are put anywhere, by what is special in them.
fn odd_values() -> Vec<(&'static str, Value)> {
    use serde_json::json;
    vec![
        ("unicode", json!({"t": "Zażółć gęślą jaźń 🚀 👩\u{200d}🔬 e\u{301} \u{202e}عربي\u{2028}"})),
        ("control characters", json!({"t": "\0 \u{1} \t \r\n \u{1f} \u{7f} \u{85} \\ \" '"})),
        ("an odd name", json!({"$a.b c-ż": "t"})),
        ("order of members", json!({"z": "1", "a": "2", "m": "3"})),
        ("nested", json!({"a": {"b": [{"c": [[], {"d": "e"}]}]}})),
        ("an integer beyond 53 bits", json!({"n": 9_007_199_254_740_993_i64})),
        ("the greatest integer", json!({"n": i64::MAX})),
        ("a negative integer", json!({"n": -2_147_483_649_i64})),
        ("an integer beyond 63 bits", json!({"n": u64::MAX})),
        ("a fraction", json!({"n": -123.456})),
        ("a small fraction", json!({"n": 1e-7})),
        ("a whole float", json!({"n": 2.0})),
        ("a great float", json!({"n": 1e22})),
        ("minus zero", json!({"n": -0.0})),
        ("the smallest float", json!({"n": 5e-324})),
        ("the greatest float", json!({"n": f64::MAX})),
        ("a list of numbers", json!({"n": [1, -2, 0.5]})),
        ("true", json!({"b": true})),
        ("null", json!({"n": null})),
        ("an empty text", json!({"t": ""})),
        ("an empty list and object", json!({"n": [[], {}]})),
    ]
}
