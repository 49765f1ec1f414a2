//! The links of a node.

use super::{Node, NodeId};
use crate::JsonObject;

/// What a link means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relationship {
    /// The document the node was cut from.
    Source,
    /// The node before it in the source.
    Previous,
    /// The node after it in the source.
    Next,
    /// The node above it in a hierarchy.
    Parent,
    /// The nodes below it in a hierarchy.
    Child,
}

impl Relationship {
    /// The key LlamaIndex writes: `"1"` to `"5"`.
    #[must_use]
    pub fn as_key(self) -> &'static str {
        match self {
            Self::Source => "1",
            Self::Previous => "2",
            Self::Next => "3",
            Self::Parent => "4",
            Self::Child => "5",
        }
    }

    /// The relationship of that key; the names (`"SOURCE"`) are none, as in Python.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        [Self::Source, Self::Previous, Self::Next, Self::Parent, Self::Child]
            .into_iter()
            .find(|relationship| relationship.as_key() == key)
    }
}

/// LlamaIndex's `RelatedNodeInfo`: a link to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct RelatedNode {
    /// The id of the node linked to.
    pub node_id: NodeId,
    /// Its type as Python writes it (`"1"` … `"5"`); an unknown one is kept.
    pub node_type: Option<String>,
    /// Metadata of the link.
    pub metadata: JsonObject,
    /// The linked node's content hash, when known.
    pub hash: Option<String>,
}

impl RelatedNode {
    /// A link to that id, of which nothing else is known.
    #[must_use]
    pub fn new(node_id: impl Into<NodeId>) -> Self {
        Self { node_id: node_id.into(), node_type: None, metadata: JsonObject::new(), hash: None }
    }
}

/// A link with all that `RelatedNodeInfo` holds: type, metadata and hash (Python's `as_related_node_info`).
impl From<&Node> for RelatedNode {
    fn from(node: &Node) -> Self {
        Self {
            node_id: node.id.clone(),
            node_type: Some(node.content.object_type().to_owned()),
            metadata: node.metadata.clone(),
            hash: Some(node.hash()),
        }
    }
}

/// Where one relationship leads: to one node or to several.
///
/// Python writes one node under the keys `1` to `4` and a list under `5`, and keeps the other shape where it reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum Related {
    /// One node.
    One(RelatedNode),
    /// A list of nodes, which may be empty.
    Many(Vec<RelatedNode>),
}

impl Related {
    /// The nodes, one or several.
    #[must_use]
    pub fn as_slice(&self) -> &[RelatedNode] {
        match self {
            Self::One(node) => std::slice::from_ref(node),
            Self::Many(nodes) => nodes,
        }
    }
}

/// The links of a node, in the order in which they were set or read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relationships(Vec<(Relationship, Related)>);

impl Relationships {
    /// No links.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a relationship leads.
    #[must_use]
    pub fn get(&self, relationship: Relationship) -> Option<&Related> {
        self.0.iter().find(|(known, _)| *known == relationship).map(|(_, related)| related)
    }

    /// Sets where a relationship leads: one that is there keeps its place, a new one comes last.
    pub fn set(&mut self, relationship: Relationship, related: Related) {
        match self.0.iter_mut().find(|(known, _)| *known == relationship) {
            Some((_, place)) => *place = related,
            None => self.0.push((relationship, related)),
        }
    }

    /// Removes a relationship; the others keep their order.
    pub fn remove(&mut self, relationship: Relationship) -> Option<Related> {
        let at = self.0.iter().position(|(known, _)| *known == relationship)?;
        Some(self.0.remove(at).1)
    }

    /// All relationships, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Relationship, &Related)> {
        self.0.iter().map(|(relationship, related)| (*relationship, related))
    }

    /// The document the node was cut from; `None` also when a list stands there, which Python refuses to use.
    #[must_use]
    pub fn source(&self) -> Option<&RelatedNode> {
        self.one(Relationship::Source)
    }

    /// The node before it; as [`source`](Self::source).
    #[must_use]
    pub fn previous(&self) -> Option<&RelatedNode> {
        self.one(Relationship::Previous)
    }

    /// The node after it; as [`source`](Self::source).
    #[must_use]
    pub fn next(&self) -> Option<&RelatedNode> {
        self.one(Relationship::Next)
    }

    /// The node above it; as [`source`](Self::source).
    #[must_use]
    pub fn parent(&self) -> Option<&RelatedNode> {
        self.one(Relationship::Parent)
    }

    /// The nodes below it, whether they stand there as a list or as a single node; none when absent.
    #[must_use]
    pub fn children(&self) -> &[RelatedNode] {
        self.get(Relationship::Child).map(Related::as_slice).unwrap_or_default()
    }

    fn one(&self, relationship: Relationship) -> Option<&RelatedNode> {
        match self.get(relationship)? {
            Related::One(node) => Some(node),
            Related::Many(_) => None,
        }
    }
}
