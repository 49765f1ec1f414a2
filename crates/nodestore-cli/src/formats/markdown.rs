//! Markdown: front matter is metadata, the first heading the title.

use nodestore::Node;

use super::{Origin, add_metadata, front_matter};

/// The document, and what there is to say about it.
///
/// Its text is the whole file, so that lines count as in the file; chunks begin behind the front matter.
pub(super) fn node(origin: &Origin, text: &str) -> (Node, Option<String>) {
    let mut node = origin.document(&origin.id, text);
    if let Some(title) = title(front_matter::body(text)) {
        node = node.with_metadata("title", title);
    }
    match front_matter::read(text) {
        Ok(values) => {
            add_metadata(&mut node, values);
            (node, None)
        }
        Err(why) => (node, Some(why)),
    }
}

/// The first heading of the first level, outside code.
fn title(text: &str) -> Option<String> {
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && let Some(title) = line.strip_prefix("# ") {
            let title = title.trim().trim_end_matches('#').trim();
            return (!title.is_empty()).then(|| title.to_owned());
        }
    }
    None
}
