//! Retrieval for answers (RAG): forty lines that are the same over MongoDB, over a folder, and over every other store.
//!
//! ```sh
//! cargo run -p nodestore-examples --bin rag -- embedded:///tmp/birds 'Where do cranes rest at night?'
//! cargo run -p nodestore-examples --bin rag -- 'mongodb://localhost/?store.namespace=birds' 'What do owls eat?'
//! ```

use std::sync::Arc;

use nodestore::prelude::*;
use nodestore::{Error, Result};

const TEXTS: [(&str, &str); 3] = [
    (
        "cranes.md",
        "Cranes fly south in October.\nAt night cranes rest in shallow water.\nThey dance in spring.",
    ),
    ("owls.md", "Owls eat mice and voles.\nTheir feathers make no noise.\nMost owls hunt at night."),
    ("storks.md", "White storks nest on chimneys.\nThey spend the winter in Africa."),
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, question] = arguments.as_slice() else {
        return Err(Error::config("name a store and ask a question: embedded:///tmp/birds 'Who dances?'"));
    };
    let store = nodestore::open(url).await?;

    // It compares wording. For meaning put a model here: nodestore::OpenAiEmbedder, or an Embedder of yours.
    let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(512)?);
    let vectors = store.vectors()?;
    vectors.configure(VectorConfig::new(embedder.dimensions(), Metric::Cosine)).await?;

    // A node for each line. What did not change since the last run is passed over.
    let by_line = |document: &Document| {
        let lines = document.text_content().split_inclusive('\n').scan(0, |end, line| {
            let start = *end;
            *end += line.len();
            Some(start..start + line.trim_end().len())
        });
        nodes_from_chunks(document, lines)
    };
    let documents = TEXTS.map(|(name, text)| Document::new(text).with_id(name)).to_vec();
    let ingestion = Ingestion::new(store.docs()?, by_line);
    let ingestion = ingestion.with_vectors(Arc::clone(&vectors), Arc::clone(&embedder));
    let report = ingestion.run(documents).await?;
    println!("{} documents are new, {} unchanged", report.added, report.unchanged);

    // These nodes go into the prompt of your language model, their sources below its answer.
    let retriever = VectorRetriever::new(vectors, embedder).with_top_k(2);
    for (number, found) in (1..).zip(retriever.retrieve(question).await?) {
        let source = found.node.ref_doc_id().map(|id| id.to_string()).unwrap_or_default();
        println!("[{number}] {source}, {:.2}: {}", found.score, found.node.text_content());
    }
    store.close().await
}
