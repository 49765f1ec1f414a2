use super::*;
use crate::{
    AddMode, AddOptions, Backend, ErrorKind, GetOptions, HashEmbedder, MemoryBackend, MetadataPatch, Metric,
    Page, QueryPlan, VectorCapabilities, VectorConfig, VectorFields,
};

const TEXTS: [(&str, &str); 5] = [
    ("cat", "The cat sleeps on the warm sofa"),
    ("dog", "A dog barks at the cat next door"),
    ("code", "error E0382: use of moved value"),
    ("cats", "Cats, catnip and other things cats like"),
    ("money", "Stocks fell on Monday"),
];

fn embedder() -> Arc<HashEmbedder> {
    Arc::new(HashEmbedder::new(128).unwrap())
}

async fn nodes() -> Vec<Node> {
    let mut nodes = Vec::new();
    for (id, text) in TEXTS {
        let embedding = embed_question(&*embedder(), text).await.unwrap();
        nodes.push(Node::text(text).with_id(id).with_embedding(&embedding));
    }
    nodes
}

async fn store() -> Arc<dyn VectorStore> {
    let store = MemoryBackend::new().vectors().unwrap();
    store.configure(VectorConfig::new(128, Metric::Cosine)).await.unwrap();
    store.upsert(nodes().await, AddMode::Overwrite).await.unwrap();
    store
}

fn ids(answers: &[ScoredNode]) -> Vec<&str> {
    answers.iter().map(|answer| answer.node.id.as_str()).collect()
}

/// The memory store, but hybrid queries are not offered; it counts none of what it is asked, and refuses them.
#[derive(Debug)]
struct NoHybrid(Arc<dyn VectorStore>);

#[async_trait]
impl VectorStore for NoHybrid {
    async fn configure(&self, config: VectorConfig) -> Result<()> {
        self.0.configure(config).await
    }

    async fn config(&self) -> Result<Option<VectorConfig>> {
        self.0.config().await
    }

    fn capabilities(&self) -> VectorCapabilities {
        let mut capabilities = self.0.capabilities();
        capabilities.query_kinds.retain(|kind| *kind != QueryKindName::Hybrid);
        capabilities
    }

    async fn upsert(&self, nodes: Vec<Node>, mode: AddMode) -> Result<crate::AddReport> {
        self.0.upsert(nodes, mode).await
    }

    async fn query_many(&self, queries: &[VectorQuery]) -> Result<Vec<Vec<ScoredNode>>> {
        if queries.iter().any(|query| query.kind.name() == QueryKindName::Hybrid) {
            return Err(Error::unsupported("test", "vectors.query"));
        }
        self.0.query_many(queries).await
    }

    async fn explain(&self, query: &VectorQuery) -> Result<QueryPlan> {
        self.0.explain(query).await
    }

    async fn get(&self, selector: &Selector, options: GetOptions) -> Result<Page<Node>> {
        self.0.get(selector, options).await
    }

    async fn update(&self, selector: &Selector, patch: &MetadataPatch) -> Result<usize> {
        self.0.update(selector, patch).await
    }

    async fn delete(&self, selector: &Selector) -> Result<usize> {
        self.0.delete(selector).await
    }

    async fn count(&self, selector: &Selector) -> Result<usize> {
        self.0.count(selector).await
    }

    async fn clear(&self) -> Result<()> {
        self.0.clear().await
    }

    fn fields(&self) -> Option<&dyn VectorFields> {
        self.0.fields()
    }
}

/// An embedder that must not be asked.
#[derive(Debug)]
struct Never;

#[async_trait]
impl Embedder for Never {
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        panic!("asked for {texts:?}")
    }

    fn dimensions(&self) -> usize {
        128
    }

    fn model(&self) -> &'static str {
        "never"
    }
}

#[tokio::test]
async fn each_retriever_asks_the_store_its_own_question() {
    let (store, question) = (store().await, "the cat sleeps");
    let embedding = embed_question(&*embedder(), question).await.unwrap();
    let retriever = VectorRetriever::new(Arc::clone(&store), embedder()).with_top_k(3);
    let expected = store.query(&VectorQuery::dense(embedding.clone(), 3)).await.unwrap();
    assert_eq!(retriever.retrieve(question).await.unwrap(), expected);
    assert_eq!(expected.len(), 3);

    let retriever = retriever.with_mmr(0.3);
    let kind = QueryKind::Mmr { embedding: embedding.clone(), threshold: 0.3 };
    let expected = store.query(&VectorQuery::new(kind, 3)).await.unwrap();
    assert_eq!(retriever.retrieve(question).await.unwrap(), expected);

    let retriever = TextRetriever::new(Arc::clone(&store));
    let expected = store.query(&VectorQuery::text(question, DEFAULT_TOP_K)).await.unwrap();
    assert_eq!(retriever.retrieve(question).await.unwrap(), expected);
    assert_eq!(ids(&expected), ["cat", "dog"]);

    let retriever = HybridRetriever::new(Arc::clone(&store), embedder()).with_alpha(0.9);
    let kind = QueryKind::Hybrid { embedding, text: question.to_owned(), alpha: 0.9 };
    let expected = store.query(&VectorQuery::new(kind, DEFAULT_TOP_K)).await.unwrap();
    assert_eq!(retriever.retrieve(question).await.unwrap(), expected);
}

#[tokio::test]
async fn selector_and_least_score_reach_the_store() {
    let store = store().await;
    let retriever = VectorRetriever::new(Arc::clone(&store), embedder())
        .with_selector(Selector::ids(["dog", "code", "money"]));
    assert_eq!(retriever.retrieve("cat").await.unwrap().len(), 3);
    let all = VectorRetriever::new(Arc::clone(&store), embedder());
    let answers = all.retrieve("cat").await.unwrap();
    let least = answers[1].score;
    assert_eq!(all.with_min_score(least).retrieve("cat").await.unwrap(), answers[..2]);

    let both = HybridRetriever::new(Arc::new(NoHybrid(store)), embedder());
    let answers = both.retrieve("cat").await.unwrap();
    let least = answers[2].score;
    let retriever = both.clone().with_min_score(least);
    assert!(retriever.retrieve("cat").await.unwrap().iter().all(|answer| answer.score >= least));
    let retriever = both.with_selector(Selector::ids(["dog", "money"]));
    assert_eq!(ids(&retriever.retrieve("cat").await.unwrap()), ["dog", "money"]);
}

#[tokio::test]
async fn fusion_here_equals_fusion_in_the_store() {
    let store = store().await;
    for question in ["the cat sleeps", "what is E0382?", "stocks and cats", "nothing of the kind"] {
        for alpha in [0.0, 0.2, 0.5, 1.0] {
            for top_k in [1, 3, 10] {
                let native = HybridRetriever::new(Arc::clone(&store), embedder());
                let here = HybridRetriever::new(Arc::new(NoHybrid(Arc::clone(&store))), embedder());
                let two = HybridRetriever::over_two(Arc::clone(&store), embedder(), Arc::clone(&store));
                let expected = native.with_alpha(alpha).with_top_k(top_k).retrieve(question).await.unwrap();
                for retriever in [here, two] {
                    let answers =
                        retriever.with_alpha(alpha).with_top_k(top_k).retrieve(question).await.unwrap();
                    assert_eq!(answers, expected, "{question} {alpha} {top_k}");
                }
            }
        }
    }
}

#[tokio::test]
async fn one_store_has_the_vectors_and_another_the_texts() {
    let texts = MemoryBackend::new().vectors().unwrap();
    texts.configure(VectorConfig::new(1, Metric::Cosine)).await.unwrap();
    let with_text: Vec<Node> =
        nodes().await.into_iter().map(|node| Node { embedding: None, ..node }).collect();
    texts.upsert(with_text.clone(), AddMode::Overwrite).await.unwrap();
    let vectors = MemoryBackend::new().vectors().unwrap();
    vectors.configure(VectorConfig::new(128, Metric::Cosine)).await.unwrap();
    let bare: Vec<Node> = nodes()
        .await
        .into_iter()
        .map(|mut node| {
            node.set_text("");
            node
        })
        .collect();
    vectors.upsert(bare, AddMode::Overwrite).await.unwrap();

    let both = HybridRetriever::over_two(Arc::clone(&vectors), embedder(), Arc::clone(&texts));
    let answers = both.retrieve("what is E0382?").await.unwrap();
    assert_eq!((ids(&answers)[0], answers[0].node.text_content()), ("code", TEXTS[2].1));
    // What only the vectors found has no text, until a document store gives it.
    assert!(answers.iter().any(|answer| answer.node.text_content().is_empty()));
    let docs = MemoryBackend::new().docs().unwrap();
    docs.add(with_text[..4].to_vec(), AddOptions::default()).await.unwrap();
    let filled = both.with_docs(Arc::clone(&docs)).retrieve("what is E0382?").await.unwrap();
    assert_eq!(ids(&filled), ids(&answers));
    let bare: Vec<&ScoredNode> =
        filled.iter().filter(|answer| answer.node.text_content().is_empty()).collect();
    assert_eq!(bare.iter().map(|answer| answer.node.id.as_str()).collect::<Vec<_>>(), ["money"]);

    let only = VectorRetriever::new(vectors, embedder()).with_docs(docs).with_top_k(1);
    assert_eq!(only.retrieve("cat on a sofa").await.unwrap()[0].node, with_text[0]);
}

#[tokio::test]
async fn no_weight_no_question() {
    let store = store().await;
    let never = HybridRetriever::over_two(Arc::clone(&store), Arc::new(Never), Arc::clone(&store));
    assert_eq!(ids(&never.with_alpha(0.0).retrieve("dog").await.unwrap()), ["dog"]);
    let unconfigured = MemoryBackend::new().vectors().unwrap();
    let vectors_only = HybridRetriever::over_two(store, embedder(), unconfigured).with_alpha(1.0);
    assert_eq!(vectors_only.retrieve("dog").await.unwrap().len(), 5);
}

#[tokio::test]
async fn bad_arguments_are_refused_before_anything_is_embedded() {
    let store = store().await;
    let vector = || VectorRetriever::new(Arc::clone(&store), Arc::new(Never));
    let text = || TextRetriever::new(Arc::clone(&store));
    let hybrid = || HybridRetriever::new(Arc::clone(&store), Arc::new(Never));
    let mut bad: Vec<(Box<dyn Retriever>, &str)> = vec![
        (Box::new(vector().with_top_k(0)), "cat"),
        (Box::new(text().with_top_k(0)), "cat"),
        (Box::new(hybrid().with_top_k(0)), "cat"),
        (Box::new(vector().with_min_score(f64::NAN)), "cat"),
        (Box::new(vector()), ""),
        (Box::new(text()), " \n"),
        (Box::new(hybrid()), "\t"),
    ];
    for wrong in [-0.1, 1.1, f64::NAN] {
        bad.push((Box::new(vector().with_mmr(wrong)), "cat"));
        bad.push((Box::new(hybrid().with_alpha(wrong)), "cat"));
    }
    for (retriever, question) in bad {
        let error = retriever.retrieve(question).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::InvalidInput, Some(OPERATION)),
            "{retriever:?}"
        );
    }
}
