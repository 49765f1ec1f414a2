//! Ref-doc entries: which nodes were cut from which source document, as LlamaIndex stores it.

use std::collections::HashSet;

use serde_json::Value;

use crate::{Error, JsonObject, NodeId, RefDocInfo, Result, Update};

/// What one call adds to and takes from one ref doc.
#[derive(Debug, Default)]
pub(super) struct RefDocChange {
    pub(super) add: Vec<NodeId>,
    pub(super) remove: HashSet<NodeId>,
    /// Union of the metadata of the nodes added.
    pub(super) metadata: JsonObject,
}

impl RefDocChange {
    /// The entry after the change; gone when no node is left.
    pub(super) fn apply(&self, old: Option<&JsonObject>) -> Result<Update> {
        let mut info = old.map(read).transpose()?.unwrap_or_default();
        let before = info.clone();
        info.node_ids.retain(|id| !self.remove.contains(id));
        let mut known: HashSet<NodeId> = info.node_ids.iter().cloned().collect();
        info.node_ids.extend(self.add.iter().filter(|id| known.insert((*id).clone())).cloned());
        if info.node_ids.is_empty() {
            return Ok(if old.is_some() { Update::Delete } else { Update::Keep });
        }
        if info.metadata.is_empty() {
            info.metadata.clone_from(&self.metadata);
        }
        Ok(if old.is_some() && info == before { Update::Keep } else { Update::Put(write(info)) })
    }
}

/// Reads an entry of today's form, or of the oldest (`doc_ids`, `extra_info`).
pub(super) fn read(stored: &JsonObject) -> Result<RefDocInfo> {
    let ids = stored.get("node_ids").or_else(|| stored.get("doc_ids"));
    let ids = ids
        .and_then(Value::as_array)
        .ok_or_else(|| Error::corrupt("the ref-doc entry has no list of node ids"))?;
    let node_ids = ids
        .iter()
        .map(|id| {
            id.as_str()
                .map(NodeId::from)
                .ok_or_else(|| Error::corrupt(format!("the node id {id} is not text")))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = stored.get("metadata").or_else(|| stored.get("extra_info")).and_then(Value::as_object);
    Ok(RefDocInfo::new(node_ids, metadata.cloned().unwrap_or_default()))
}

fn write(info: RefDocInfo) -> JsonObject {
    let node_ids = info.node_ids.into_iter().map(|id| Value::String(id.into_string())).collect();
    let mut stored = JsonObject::new();
    stored.insert("node_ids".into(), Value::Array(node_ids));
    stored.insert("metadata".into(), Value::Object(info.metadata));
    stored
}
