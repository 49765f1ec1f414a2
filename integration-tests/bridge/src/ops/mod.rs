//! The table of all operations, in sections, one for each role.

mod chat;
mod docs;
mod fields;
mod filter;
mod index;
mod kv;
mod nodes;
mod store;
mod vectors;

use std::sync::Arc;

use futures::future::BoxFuture;
use nodestore::{Backend, Capabilities, Error, ErrorKind, Result};
use serde_json::Value;

use crate::args::{Arg, Args};
use crate::stores::Stores;

/// Operations that belong together. Another role is another file, and its line in [`SECTIONS`].
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) role: Role,
    pub(crate) ops: &'static [Op],
}

/// The whole protocol.
pub(crate) const SECTIONS: &[Section] = &[
    Section { title: "The bridge", role: Role::None, ops: store::WITHOUT },
    Section { title: "Filters", role: Role::None, ops: filter::OPS },
    Section { title: "A store", role: Role::Store, ops: store::OPS },
    Section { title: "Key-values", role: Role::Kv, ops: kv::OPS },
    Section { title: "Documents", role: Role::Docs, ops: docs::OPS },
    Section { title: "Index structs", role: Role::Index, ops: index::OPS },
    Section { title: "Chats", role: Role::Chat, ops: chat::OPS },
    Section { title: "Vectors", role: Role::Vectors, ops: vectors::OPS },
    Section { title: "Vectors: questions about fields", role: Role::Fields, ops: fields::OPS },
];

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// No store.
    None,
    /// A store, whatever it offers.
    Store,
    Kv,
    Docs,
    Index,
    Chat,
    Vectors,
    /// Vectors whose fields can be asked for.
    Fields,
}

impl Role {
    pub(crate) fn needs_store(self) -> bool {
        self != Self::None
    }

    /// Whether a store that can do this answers the role's operations.
    fn is_offered(self, can: &Capabilities) -> bool {
        match self {
            Self::None => false,
            Self::Store => true,
            Self::Kv => can.kv.is_some(),
            Self::Docs => can.docs,
            Self::Index => can.index,
            Self::Chat => can.chat,
            Self::Vectors => can.vectors.is_some(),
            Self::Fields => can.vectors.as_ref().is_some_and(|vectors| vectors.fields),
        }
    }
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) name: &'static str,
    pub(crate) args: &'static [Arg],
    /// The form of its answer.
    pub(crate) answer: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    pub(crate) run: Run,
}

/// Runs an operation.
pub(crate) type Run = fn(Call) -> BoxFuture<'static, Result<Value>>;

/// What an operation runs with.
pub(crate) struct Call {
    /// Arguments whose names were checked.
    pub(crate) args: Args,
    pub(crate) stores: Arc<Stores>,
    pub(crate) handle: Option<u64>,
}

impl Call {
    /// The store.
    pub(crate) fn store(&self) -> Result<Arc<dyn Backend>> {
        self.stores.get(self.handle)
    }
}

/// The operation of a name and its section.
///
/// # Errors
/// `Unsupported` for an unknown one.
pub(crate) fn find(name: &str) -> Result<(&'static Section, &'static Op)> {
    let of = |section: &'static Section| section.ops.iter().map(move |op| (section, op));
    SECTIONS.iter().flat_map(of).find(|(_, op)| op.name == name).ok_or_else(|| {
        let message = format!("there is no operation {name:?}; bridge --help lists them");
        Error::new(ErrorKind::Unsupported, message)
    })
}

/// The names of the operations that a store answers.
fn offered(can: &Capabilities) -> Vec<&'static str> {
    let sections = SECTIONS.iter().filter(|section| section.role.is_offered(can));
    sections.flat_map(|section| section.ops).map(|op| op.name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_given_once() {
        let mut names = HashSet::new();
        for op in SECTIONS.iter().flat_map(|section| section.ops) {
            assert!(names.insert(op.name), "{}", op.name);
            let args: HashSet<_> = op.args.iter().map(|arg| arg.name).collect();
            assert_eq!(args.len(), op.args.len(), "{}", op.name);
        }
    }

    #[test]
    fn a_store_without_roles_answers_only_for_itself() {
        assert_eq!(offered(&Capabilities::new(false)), ["capabilities", "drop", "close"]);
    }
}
