//! A selector as the module takes it.

use std::collections::HashSet;

use store_core::{Filter, RefDocId, Result, Selector, VectorConfig};

use super::rows::DOC_ID;
use super::search::count;
use super::set::Set;
use super::terms;
use crate::filter::{Native, tag, tagged, translate};

/// A selector, split.
#[derive(Clone, Debug)]
pub(super) struct Prefilter {
    /// Admits all that is selected: the two below together.
    pub(super) native: Native,
    /// Of the nodes with terms.
    marked: Native,
    /// Of the nodes without, which were not written by us; `None` when nothing restricts.
    others: Option<Native>,
    /// Terms of nodes that `marked` admits and the filter may not match.
    leftover: Vec<String>,
    /// The part of the filter that `marked` answers wholly.
    pub(super) pushed_down: Option<Filter>,
    /// The part of the filter that is ours to finish.
    pub(super) rest: Option<Filter>,
    /// The keys of the selected ids.
    pub(super) keys: Option<Vec<String>>,
    /// The selected ids, as far as they are known.
    pub(super) ids: Option<HashSet<String>>,
}

impl Prefilter {
    /// Splits a selector that was found right.
    pub(super) fn of(set: &Set, config: &VectorConfig, selector: &Selector) -> Self {
        let mut parts = Vec::new();
        let (mut leftover, mut pushed_down, mut rest) = (Vec::new(), None, None);
        if let Some(filter) = &selector.filter {
            let filter = translate(filter, config);
            parts.push(filter.native);
            (leftover, pushed_down, rest) = (filter.leftover, filter.pushed_down, filter.rest);
        }
        let mut narrower = Native::Everything;
        if let Some(sources) = &selector.ref_docs {
            let of: Vec<String> = sources.iter().map(|id| terms::of_source(id.as_str())).collect();
            parts.push(tagged(&of));
            // A tag of another's may be folded, so it finds these and some more; where one can not be found so, all
            // of theirs are looked at.
            let tags: Option<Vec<String>> = sources.iter().map(RefDocId::as_str).map(tag).collect();
            if let Some(tags) = tags.filter(|tags| !tags.is_empty()) {
                narrower = Native::leaf(format!("@{DOC_ID}:{{{}}}", tags.join("|")));
            }
        }
        let marked = Native::all(parts);
        let without = Native::leaf(format!("ismissing(@{})", terms::FIELD));
        let others = match marked {
            Native::Everything if rest.is_none() => None,
            Native::Nothing => Some(Native::Nothing),
            _ => Some(Native::all([without, narrower])),
        };
        let native = match &others {
            None => Native::Everything,
            Some(others) => Native::any([marked.clone(), others.clone()]),
        };
        let ids: Option<HashSet<String>> =
            selector.ids.as_ref().map(|ids| ids.iter().map(|id| id.as_str().to_owned()).collect());
        let keys = ids.as_ref().map(|ids| ids.iter().map(|id| set.key(id)).collect());
        Self { native, marked, others, leftover, pushed_down, rest, keys, ids }
    }

    /// Whether nothing is selected.
    pub(super) fn is_nothing(&self) -> bool {
        self.native == Native::Nothing || self.ids.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Whether the filter says of the nodes with terms exactly which are selected, whatever they are.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none() && self.leftover.is_empty()
    }

    /// The same, of those that are there now.
    pub(super) async fn is_whole_now(&self, set: &Set) -> Result<bool> {
        if self.rest.is_some() {
            return Ok(false);
        }
        Ok(self.leftover.is_empty() || count(set, &tagged(&self.leftover).text()).await? == 0)
    }

    /// Whether all that `native` finds now is selected.
    pub(super) async fn is_sure(&self, set: &Set) -> Result<bool> {
        if self.ids.is_some() || !self.is_whole_now(set).await? {
            return Ok(false);
        }
        match &self.others {
            None | Some(Native::Nothing) => Ok(true),
            Some(others) => Ok(count(set, &others.text()).await? == 0),
        }
    }

    /// The queries of the nodes with terms, and of the others; no node is found by both.
    pub(super) fn halves(&self) -> (Option<String>, Option<String>) {
        let query = |native: Native| (native != Native::Nothing).then(|| native.text());
        match &self.others {
            None => (query(self.marked.clone()), None),
            Some(others) => {
                let with = Native::leaf(format!("ismissing(@{})", terms::FIELD)).not();
                (query(Native::all([self.marked.clone(), with])), query(others.clone()))
            }
        }
    }
}
