//! A service in Rust beside a notebook in Python, both on one index in Redis.
//!
//! The service writes nodes and answers questions over HTTP. `notebook.ipynb` beside this file reads the same index with
//! LlamaIndex, adds a node, and asks the service, which finds it.
//!
//! ```sh
//! docker run -p 6379:6379 redis/redis-stack-server:7.4.0-v3
//! cargo run -p nodestore-examples --bin service -- 'redis://localhost/?store.namespace=birds'
//! curl -d 'Where do cranes rest?' http://127.0.0.1:3000/ask
//! ```

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nodestore::prelude::*;
use tokio::net::TcpListener;

/// What LlamaIndex's default schema expects.
const DIMENSIONS: usize = 1536;

const TEXTS: [(&str, &str); 3] = [
    ("cranes.md", "At night cranes rest in shallow water."),
    ("owls.md", "Owls eat mice and voles."),
    ("storks.md", "White storks spend the winter in Africa."),
];

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug)]
struct Service {
    embedder: Arc<dyn Embedder>,
    retriever: VectorRetriever,
}

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("name a server: redis://host/?store.namespace=birds")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    let store = nodestore::open(&url).await?;
    // It compares wording. Put a model here: the notebook embeds by this service, so both sides have the same.
    let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(DIMENSIONS)?);
    let vectors = store.vectors()?;
    vectors.configure(VectorConfig::new(DIMENSIONS, Metric::Cosine)).await?;
    let whole = |document: &Document| {
        let length = document.text_content().len();
        nodes_from_chunks(document, std::iter::once(0..length))
    };
    let ingestion = Ingestion::new(store.docs()?, whole);
    let ingestion = ingestion.with_vectors(Arc::clone(&vectors), Arc::clone(&embedder));
    let documents = TEXTS.map(|(name, text)| Document::new(text).with_id(name)).to_vec();
    let report = ingestion.run(documents).await?;
    println!("{} documents are new, {} unchanged", report.added, report.unchanged);

    let retriever = VectorRetriever::new(vectors, Arc::clone(&embedder)).with_top_k(2);
    let service = Arc::new(Service { embedder, retriever });
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = Arc::clone(&service);
        let answers = service_fn(move |request| answer(Arc::clone(&service), request));
        tokio::spawn(async move {
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answers).await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}

/// The answer of the service, or why there is none.
async fn answer(
    service: Arc<Service>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match service.perform(request).await {
        Ok(Some(text)) => (StatusCode::OK, text),
        Ok(None) => {
            (StatusCode::NOT_FOUND, "post a question to /ask, or a list of texts to /embed\n".to_owned())
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

impl Service {
    /// What a path stands for; `None` for an unknown one.
    async fn perform(&self, request: Request<Incoming>) -> Outcome<Option<String>> {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8(request.into_body().collect().await?.to_bytes().to_vec())?;
        match path.as_str() {
            "/ask" => self.ask(&body).await.map(Some),
            "/embed" => self.embed(&body).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The embeddings of a list of texts, both as JSON.
    async fn embed(&self, texts: &str) -> Outcome<String> {
        let texts: Vec<String> = serde_json::from_str(texts)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok(serde_json::to_string(&self.embedder.embed(&texts).await?)?)
    }

    /// A line for each node that is found: its source, its score, its text.
    async fn ask(&self, question: &str) -> Outcome<String> {
        let found = self.retriever.retrieve(question).await?;
        let lines = found.iter().map(|found| {
            let source = found.node.ref_doc_id().map(|id| id.to_string()).unwrap_or_default();
            format!("{source}, {:.2}: {}\n", found.score, found.node.text_content())
        });
        Ok(lines.collect())
    }
}
