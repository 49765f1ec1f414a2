//! Which parts a copy has.

use std::sync::Arc;

use super::chats::Chats;
use super::docs::{Hashes, Nodes};
use super::indexes::Indexes;
use super::key_values::KeyValues;
use super::part::{Both, Side};
use super::ref_docs::RefDocs;
use super::steps::{AnyPart, Steps};
use super::vectors::Vectors;
use super::{CopyRole, StoreCopy};
use crate::folder::KEPT_FILES;
use crate::{Backend, Capabilities, DocStore, EmbedderNote, Error, ErrorKind, Result};

/// Key-value collections of nodestore's own: they come last, so that a store names its embedder when it is complete.
const OWN: [&str; 2] = [KEPT_FILES, EmbedderNote::COLLECTION];

/// What there is to copy.
#[derive(Debug)]
pub(super) struct Found {
    /// The parts that hold something.
    pub(super) parts: Vec<Box<dyn AnyPart>>,
    pub(super) notes: Vec<String>,
}

/// Looks for the parts of the roles asked for.
pub(super) async fn find_parts(copy: &StoreCopy, from: &dyn Backend, to: &dyn Backend) -> Result<Found> {
    if copy.roles == [CopyRole::KeyValues] && copy.collections.is_empty() {
        return Err(Error::invalid_input(
            "a store can not list its collections of key-values; name those that are to be copied",
        ));
    }
    let mut found = Found { parts: Vec::new(), notes: Vec::new() };
    for role in CopyRole::ALL.iter().copied().filter(|role| copy.roles.contains(role)) {
        if !offers(&from.capabilities(), role) {
            continue;
        }
        let parts = of_role(role, copy, from, to).await?;
        for part in parts {
            let is_empty = match part.is_empty(Side::From).await {
                // What the role keeps its records in was never made.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    found.notes.push(format!("no {} to copy: {}", part.name(), error.message()));
                    continue;
                }
                is_empty => is_empty?,
            };
            if !is_empty {
                found.parts.push(part);
            } else if copy.collections.iter().any(|name| part.name().ends_with(&format!(" {name}"))) {
                found.notes.push(format!("no {} to copy: there are none", part.name()));
            }
        }
    }
    if copy.roles.contains(&CopyRole::KeyValues) && copy.collections.is_empty() {
        let note = "a store can not list its collections of key-values: only those of nodestore itself are copied, \
                    and others when they are named";
        found.notes.push(note.to_owned());
    }
    Ok(found)
}

fn offers(capabilities: &Capabilities, role: CopyRole) -> bool {
    match role {
        CopyRole::Documents => capabilities.docs,
        CopyRole::Indexes => capabilities.index,
        CopyRole::Chats => capabilities.chat,
        CopyRole::Vectors => capabilities.vectors.is_some(),
        CopyRole::KeyValues => capabilities.kv.is_some(),
    }
}

async fn of_role(
    role: CopyRole,
    copy: &StoreCopy,
    from: &dyn Backend,
    to: &dyn Backend,
) -> Result<Vec<Box<dyn AnyPart>>> {
    Ok(match role {
        CopyRole::Documents => {
            let both = || Ok::<Both<dyn DocStore>, Error>(Both { from: from.docs()?, to: to.docs()? });
            vec![Steps::of(RefDocs(both()?)), Steps::of(Nodes(both()?)), Steps::of(Hashes(both()?))]
        }
        CopyRole::Indexes => vec![Steps::of(Indexes(Both { from: from.index()?, to: to.index()? }))],
        CopyRole::Chats => vec![Steps::of(Chats(Both { from: from.chat()?, to: to.chat()? }))],
        CopyRole::Vectors => {
            let mut parts = vectors(None, from, to).await?;
            for set in from.vector_sets().await? {
                parts.extend(vectors(Some(&set), from, to).await?);
            }
            parts
        }
        CopyRole::KeyValues => {
            let (from, to) = (from.kv()?, to.kv()?);
            let named = copy.collections.iter().map(String::as_str).filter(|name| !OWN.contains(name));
            let both = || Both { from: Arc::clone(&from), to: Arc::clone(&to) };
            named.chain(OWN).map(|name| Steps::of(KeyValues::new(both(), name.to_owned()))).collect()
        }
    })
}

/// The vectors of a set; none if it was never set up.
async fn vectors(set: Option<&str>, from: &dyn Backend, to: &dyn Backend) -> Result<Vec<Box<dyn AnyPart>>> {
    let of = |backend: &dyn Backend| set.map_or_else(|| backend.vectors(), |set| backend.vector_set(set));
    let both = Both { from: of(from)?, to: of(to)? };
    let Some(config) = both.from.config().await? else { return Ok(Vec::new()) };
    Ok(vec![Steps::of(Vectors::new(both, config, set))])
}
