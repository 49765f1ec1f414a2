//! Selectors as match documents.

use bson::{Document, doc};
use futures::TryStreamExt as _;
use store_core::{Error, ErrorKind, Filter, Result, Selector};

use super::rows::{self, NO_REF_DOC, REF_DOC_PATH, SOURCE_PATH};
use super::{EMBEDDING, MongoVectorStore, TEXT};
use crate::filter::{Place, translate};

/// Bytes of ids in one query; a query takes 16 MB.
const MAX_ID_BYTES: usize = 12 << 20;

/// A selector as the server takes it.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    /// The match document; empty: everything.
    pub(super) matches: Document,
    /// The part of the filter that it answers wholly.
    pub(super) pushed_down: Option<Filter>,
    /// The part of the filter that is ours to finish.
    pub(super) rest: Option<Filter>,
}

impl Selected {
    /// Translates a selector that was found right.
    pub(super) fn of(selector: &Selector) -> Result<Self> {
        let mut parts = Vec::new();
        if let Some(ids) = &selector.ids {
            let ids: Vec<&str> = ids.iter().map(store_core::NodeId::as_str).collect();
            parts.push(one_of("_id", &ids)?);
        }
        if let Some(ref_docs) = &selector.ref_docs {
            let ids: Vec<&str> = ref_docs.iter().map(store_core::RefDocId::as_str).collect();
            let (none, named): (Vec<&str>, Vec<&str>) = ids.into_iter().partition(|id| *id == NO_REF_DOC);
            let named = one_of(REF_DOC_PATH, &named)?;
            // Such a name is also what stands where there is no source.
            parts.push(match none.first() {
                None => named,
                Some(none) => doc! {"$or": [named, {SOURCE_PATH: *none}]},
            });
        }
        let translated = selector.filter.as_ref().map(|filter| translate(filter, Place::Vectors));
        let (mut pushed_down, mut rest) = (None, None);
        if let Some(translated) = translated {
            parts.push(translated.matches);
            (pushed_down, rest) = (translated.pushed_down, translated.rest);
        }
        Ok(Self { matches: both(parts), pushed_down, rest })
    }
}

/// What satisfies all of them.
pub(super) fn both(parts: impl IntoIterator<Item = Document>) -> Document {
    let mut parts: Vec<Document> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match parts.pop() {
        None => Document::new(),
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            doc! {"$and": parts}
        }
    }
}

/// A match on a field that is one of these texts.
pub(super) fn one_of(field: &str, texts: &[&str]) -> Result<Document> {
    let bytes: usize = texts.iter().map(|text| text.len() + 16).sum();
    if bytes > MAX_ID_BYTES {
        let message = format!(
            "{} ids take {bytes} bytes in one query, the limit is {MAX_ID_BYTES} bytes; select by a field of the \
             metadata instead, or in several calls",
            texts.len()
        );
        return Err(Error::new(ErrorKind::LimitExceeded, message));
    }
    Ok(match texts {
        [only] => doc! {field: *only},
        many => doc! {field: {"$in": many}},
    })
}

impl MongoVectorStore {
    /// The match document of exactly what is selected. Where a part of the filter is ours to finish, what the rest
    /// of it matches is read and held against that part, and the ids of what is left are matched.
    pub(super) async fn matches(&self, selected: Selected) -> Result<Document> {
        let Some(rest) = selected.rest else { return Ok(selected.matches) };
        let mut cursor = self.find(selected.matches, Some(doc! {EMBEDDING: 0, TEXT: 0})).await?;
        let mut ids = Vec::new();
        while let Some(document) = self.space.call(cursor.try_next()).await? {
            if let Some(node) = rows::to_node(&document)?
                && rest.matches(&node.metadata)
            {
                ids.push(node.id.into_string());
            }
        }
        one_of("_id", &ids.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
