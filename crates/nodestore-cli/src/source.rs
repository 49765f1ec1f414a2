//! Where an answer comes from.

use std::collections::HashMap;

use nodestore::{DocStore, Node, NodeId, Result};
use serde_json::{Value, json};

use crate::store::shown_path;

/// Where a node comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// A file, a URL, or the id of the source document.
    pub(crate) name: String,
    /// First and last line in the document, from 1.
    pub(crate) lines: Option<(usize, usize)>,
    /// First character, and the one behind the last.
    pub(crate) characters: Option<(usize, usize)>,
}

impl Source {
    /// `docs/a.md:12-30`.
    pub(crate) fn shown(&self) -> String {
        let name = crate::output::one_line(&shown_path(&self.name), 200);
        match (self.lines, self.characters) {
            (Some((first, last)), _) if first == last => format!("{name}:{first}"),
            (Some((first, last)), _) => format!("{name}:{first}-{last}"),
            (None, Some((from, to))) => format!("{name} (characters {from}-{to})"),
            (None, None) => name,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"name": self.name, "lines": self.lines, "characters": self.characters})
    }
}

/// The sources of nodes; lines are known where the document itself is stored.
pub(crate) async fn of(docs: &dyn DocStore, nodes: &[&Node]) -> Result<Vec<Source>> {
    let mut ids: Vec<NodeId> =
        nodes.iter().filter_map(|node| Some(NodeId::new(node.ref_doc_id()?.into_string()))).collect();
    ids.sort();
    ids.dedup();
    let documents = docs.get_many(&ids).await?;
    let texts: HashMap<&NodeId, String> = ids
        .iter()
        .zip(&documents)
        .filter_map(|(id, document)| Some((id, document.as_ref()?.text_content().to_owned())))
        .collect();
    Ok(nodes.iter().map(|node| one(node, &texts)).collect())
}

fn one(node: &Node, texts: &HashMap<&NodeId, String>) -> Source {
    let document = node.ref_doc_id().map(|id| NodeId::new(id.into_string()));
    let named = ["file_path", "file_name", "url", "source"]
        .iter()
        .find_map(|key| node.metadata.get(*key)?.as_str().filter(|name| !name.is_empty()));
    let name = named.or(document.as_ref().map(NodeId::as_str)).unwrap_or(node.id.as_str()).to_owned();
    // A row of a file: its id says which, and the lines of its text are not those of the file.
    let row = document
        .as_ref()
        .filter(|id| id.as_str().strip_prefix(&name).is_some_and(|row| row.starts_with('#')));
    if let Some(row) = row {
        return Source { name: row.as_str().to_owned(), ..Source::default() };
    }
    let characters = characters(node);
    let text = document.as_ref().and_then(|id| texts.get(id));
    let lines = characters.zip(text).and_then(|(place, text)| lines(text, place, node.text_content()));
    Source { name, lines, characters }
}

fn characters(node: &Node) -> Option<(usize, usize)> {
    let text = node.content.as_text()?;
    Some((usize::try_from(text.start_char_idx?).ok()?, usize::try_from(text.end_char_idx?).ok()?))
}

/// The lines of a place in a document, if the document still holds that text there.
fn lines(document: &str, (from, to): (usize, usize), text: &str) -> Option<(usize, usize)> {
    let start = document.char_indices().nth(from)?.0;
    let held = document.get(start..)?.starts_with(text) && text.chars().count() == to.checked_sub(from)?;
    let before = document.get(..start)?;
    let first = before.matches('\n').count() + 1;
    held.then(|| (first, first + text.trim_end().matches('\n').count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_document() {
        let document = "é one\ntwo\nthree\nfour\n";
        assert_eq!(lines(document, (6, 15), "two\nthree"), Some((2, 3)));
        assert_eq!(lines(document, (0, 5), "é one"), Some((1, 1)));
    }

    #[test]
    fn a_document_that_changed_has_no_lines_to_show() {
        assert_eq!(lines("one\ntwo", (4, 7), "TWO"), None);
        assert_eq!(lines("one", (40, 43), "two"), None);
        assert_eq!(lines("one two", (0, 5), "one"), None);
    }

    #[test]
    fn a_source_is_shown_with_its_place() {
        let mut source = Source { name: "/x/a.md".into(), lines: Some((3, 3)), characters: Some((1, 9)) };
        assert_eq!(source.shown(), "/x/a.md:3");
        source.lines = Some((3, 5));
        assert_eq!(source.shown(), "/x/a.md:3-5");
        source.lines = None;
        assert_eq!(source.shown(), "/x/a.md (characters 1-9)");
    }
}
