//! What the search of a vector set says of its health.

use std::sync::Arc;

use store_core::{Diagnosis, Finding, Result, VectorConfig};

use super::atlas_indexes::Known;
use super::atlas_search::AtlasSearch;
use super::search_index::FoundIndex;
use super::{EMBEDDING, MongoVectorStore, TEXT};
use crate::space::Space;

/// Adds what answers queries of the default vector set, and what keeps Atlas search from it.
pub(crate) async fn diagnose(space: &Arc<Space>, diagnosis: Diagnosis) -> Result<Diagnosis> {
    let store = MongoVectorStore::new(Arc::clone(space), None);
    let Some(config) = store.stored_config().await? else { return Ok(diagnosis) };
    let known = store.atlas.known().await?;
    let diagnosis = diagnosis.with_fact("vector search", summary(&known, &store.atlas));
    Ok(findings(&known, &store.atlas, &config).into_iter().fold(diagnosis, Diagnosis::with_finding))
}

fn summary(known: &Known, atlas: &AtlasSearch) -> String {
    if let Some(absent) = &known.absent {
        return format!("by the plain server: {absent}");
    }
    let state = |name: &str, index: &Option<FoundIndex>| match index {
        None => format!("{name} missing"),
        Some(index) => format!("{name} {}", index.status),
    };
    let config = &atlas.space.config;
    let indexes = [state(&config.vector_index, &known.vector), state(&config.text_index, &known.text)];
    format!("by Atlas, with the indexes {}", indexes.join(", "))
}

fn findings(known: &Known, atlas: &AtlasSearch, config: &VectorConfig) -> Vec<Finding> {
    const MAKE: &str = "configure the vector set again with store.create=true, or make the index in Atlas";
    const SLOW: &str = "until then the plain server answers, exactly and slower";
    let collection = &atlas.collection;
    let found = |message, advice| Finding::warning("vector search", message, advice);
    if let Some(absent) = &known.absent {
        let advice =
            "let the user list search indexes (readWrite is enough), or turn search off: store.search=false";
        return if known.is_certain() { Vec::new() } else { vec![found(absent.clone(), advice.to_owned())] };
    }
    let names = &atlas.space.config;
    let mut findings = Vec::new();
    for (name, index) in [(&names.vector_index, &known.vector), (&names.text_index, &known.text)] {
        match index {
            None => findings.push(found(
                format!("the collection {collection:?} has no search index {name:?}; {SLOW}"),
                MAKE.to_owned(),
            )),
            Some(index) if index.status == "FAILED" => findings.push(found(
                format!("the search index {name:?} of {collection:?} could not be built"),
                "read why in Atlas, drop it, and configure the vector set again".to_owned(),
            )),
            Some(index) if !index.queryable => findings.push(Finding::note(
                "vector search",
                format!("the search index {name:?} of {collection:?} is {}; {SLOW}", index.status),
                "wait until it is built",
            )),
            Some(_) => {}
        }
    }
    if let Some(index) = &known.vector {
        let differences = index.differences(config, EMBEDDING);
        if !differences.is_empty() {
            let message = format!(
                "the search index {:?} of {collection:?} does not fit ({}), so the plain server answers",
                index.name,
                differences.join("; ")
            );
            findings.push(found(message, format!("drop it; {MAKE}")));
        }
        let missing = index.missing_filters(config);
        if differences.is_empty() && !missing.is_empty() {
            findings.push(Finding::note(
                "vector search",
                format!(
                    "the search index {:?} of {collection:?} does not declare {} as filter fields: filters on them \
                     are applied afterwards, to more candidates",
                    index.name,
                    missing.join(", ")
                ),
                "add them to the index if queries filter by them",
            ));
        }
    }
    if known.text.as_ref().is_some_and(|index| !index.has_words_of(TEXT)) {
        findings.push(found(
            format!(
                "the search index {:?} of {collection:?} has not the words of {TEXT:?}",
                names.text_index
            ),
            format!("drop it; {MAKE}"),
        ));
    }
    findings
}
