use store_core::{FieldType, FilterableField, Metric};

use super::*;

fn config() -> VectorConfig {
    let field = |key: &str, field_type| FilterableField { key: key.to_owned(), field_type };
    VectorConfig::new(3, Metric::Dot)
        .with_filterable([field("year", FieldType::Integer), field("author.name", FieldType::Text)])
}

#[test]
fn definitions_are_those_of_llamaindex() {
    let expected = doc! {"fields": [
        {"numDimensions": 3, "path": "embedding", "similarity": "dotProduct", "type": "vector"},
        {"type": "filter", "path": "metadata.author.name"},
        {"type": "filter", "path": "metadata.ref_doc_id"},
        {"type": "filter", "path": "metadata.year"},
    ]};
    assert_eq!(vector_definition(&config(), "embedding"), expected);
    let expected = doc! {"mappings": {"dynamic": false, "fields": {"text": [{"type": "string"}]}}};
    assert_eq!(text_definition("text"), expected);
}

fn entry(definition: Document) -> Document {
    doc! {"id": "1", "name": "vector_index", "type": "vectorSearch", "status": "READY", "queryable": true,
    "latestDefinition": definition}
}

#[test]
fn our_own_definition_reads_back_and_fits() {
    let found = FoundIndex::read(&entry(vector_definition(&config(), "embedding"))).unwrap();
    assert!(found.queryable);
    assert_eq!(found.differences(&config(), "embedding"), [""; 0]);
    assert_eq!(found.missing_filters(&config()), [""; 0]);
}

#[test]
fn differences_are_named() {
    let definition = doc! {"fields": [
        {"type": "filter", "path": "metadata.year"},
        {"type": "vector", "path": "vec", "numDimensions": 1536_i64, "similarity": "cosine", "quantization": "scalar"},
    ]};
    let found = FoundIndex::read(&entry(definition)).unwrap();
    let differences = found.differences(&config(), "embedding");
    assert_eq!(
        differences,
        [
            "field: vec in the index, embedding in the store",
            "dimensions: 1536 in the index, 3 in the store",
            "metric: cosine in the index, dotProduct in the store",
        ]
    );
    assert_eq!(found.missing_filters(&config()), ["metadata.author.name", "metadata.ref_doc_id"]);
    let error = unfit(&found, &differences);
    assert_eq!(error.kind(), store_core::ErrorKind::Config);
    assert!(error.to_string().contains("1536 in the index"), "{error}");
}

#[test]
fn older_and_odd_forms_are_read() {
    let definition = doc! {"mappings": {"dynamic": true, "fields": {
        "embedding": {"type": "knnVector", "dimensions": 3, "similarity": "dotProduct"},
        "metadata": {"type": "document", "fields": {
            "year": [{"type": "number"}],
            "author": {"type": "document", "fields": {"name": [{"type": "string"}, {"type": "token"}]}},
        }},
    }}};
    let found = FoundIndex::read(&entry(definition)).unwrap();
    assert_eq!(found.differences(&config(), "embedding"), [""; 0]);
    assert_eq!(found.missing_filters(&config()), ["metadata.ref_doc_id"]);

    let text = FoundIndex::read(&entry(text_definition("text"))).unwrap();
    assert_eq!(text.differences(&config(), "embedding"), ["it declares no field of embeddings"]);
    assert!(text.has_words_of("text") && !text.has_words_of("other"));
    let dynamic = FoundIndex::read(&entry(doc! {"mappings": {"dynamic": true}})).unwrap();
    assert!(dynamic.has_words_of("text"));

    let unspecified = doc! {"fields": [{"type": "vector", "path": "embedding", "numDimensions": 3.0}]};
    let found = FoundIndex::read(&entry(unspecified)).unwrap();
    assert_eq!(found.vector.as_ref().unwrap().dimensions, Some(3));
    assert_eq!(found.differences(&config(), "embedding"), [""; 0]);

    for odd in [
        doc! {"name": "a"},
        doc! {"name": "a", "status": "BUILDING", "latestDefinition": 3},
        doc! {"name": "a", "latestDefinition": {"fields": ["x", {"type": "vector"}], "mappings": {"fields": 1}}},
    ] {
        assert!(!FoundIndex::read(&odd).unwrap().queryable);
    }
    assert_eq!(FoundIndex::read(&doc! {"status": "READY"}), None);
    let older =
        doc! {"name": "a", "status": "READY", "definition": vector_definition(&config(), "embedding")};
    assert!(FoundIndex::read(&older).unwrap().queryable);
}
