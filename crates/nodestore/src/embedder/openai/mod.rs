//! An embedder that asks a model behind an endpoint that speaks OpenAI's embeddings API.

mod answer;
mod batches;
mod config;
mod request;
mod retry;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use store_core::{Embedder, Embedding, Error, ErrorKind, Result};
use tokio::sync::Semaphore;

pub use self::config::OpenAiConfig;

use self::batches::Batch;
use self::request::{Endpoint, Refusal};

/// The name in errors of this embedder.
const NAME: &str = "openai";
const OPERATION: &str = "embedder.embed";
/// What [`OpenAiEmbedder::connect`] embeds to learn the dimensions.
const PROBE: &str = "How many dimensions?";

/// Embeds with a model behind any endpoint that speaks OpenAI's embeddings API: OpenAI itself, or a server on one's own
/// machine such as Ollama, llama.cpp, vLLM or Text Embeddings Inference.
///
/// **Requests.** Texts go in batches by number and size ([`OpenAiConfig::with_batch_texts`],
/// [`with_batch_bytes`](OpenAiConfig::with_batch_bytes)), several requests at a time. A batch that the endpoint refuses
/// as too large or bad is halved until the texts pass, or one is found at fault. Redirects are not followed, so the key
/// goes to no other host.
///
/// **Answers** are checked whole before any of it is used: one embedding for each text, put in order by `index`, of the
/// dimensions known, every value finite. Floats and base64 are both read.
///
/// **Repeats.** A request that was answered by 408, 409, 429 or 5xx, timed out, broke off or found no connection is
/// sent again, after a random time below a doubling limit (full jitter), or what `Retry-After` asks; until
/// [`OpenAiConfig::with_retry_for`] or [`with_attempts`](OpenAiConfig::with_attempts) ends it. An endpoint that never
/// answered is given up after a few tries. Each repeat is an event: a warning
/// from the fourth attempt on or where the wait is long, before that information.
///
/// # Errors
/// Every one names the endpoint and the model, none the key or a password.
///
/// | kind | when |
/// |---|---|
/// | `Unauthorized` | 401, 403 |
/// | `NotFound` | 404: the URL or the model is wrong |
/// | `InvalidInput`, `LimitExceeded` | a text is refused (400, 422), or too long (413); it is named by place, length and first words |
/// | `Config` | the URL is none, it redirects, what answers is no endpoint for embeddings, or the model has other dimensions |
/// | `Throttled`, `Timeout`, `Conflict`, `Unavailable` | repeating did not help; it may later |
/// | `Other` | the answer has too few embeddings, a `null`, a number that is not finite … |
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> nodestore::Result<()> {
/// use nodestore::{Embedder, OpenAiConfig, OpenAiEmbedder};
///
/// let config = OpenAiConfig::new("https://api.openai.com/v1", "text-embedding-3-small")
///     .with_api_key_env("OPENAI_API_KEY");
/// let embedder = OpenAiEmbedder::connect(config).await?;
/// let embeddings = embedder.embed(&["Redis keeps lists.", "Cassandra keeps rows."]).await?;
/// assert_eq!(embeddings[0].len(), embedder.dimensions());
/// # Ok(())
/// # }
/// ```
///
/// [`CachedEmbedder`](crate::CachedEmbedder) keeps what was embedded, so that no text is paid for twice.
#[derive(Debug)]
pub struct OpenAiEmbedder {
    endpoint: Endpoint,
    dimensions: usize,
    /// Texts in one request; halved where the endpoint wants fewer.
    batch_texts: AtomicUsize,
    requests_at_once: Semaphore,
    counters: Counters,
}

/// What an [`OpenAiEmbedder`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenAiCounts {
    /// Texts embedded.
    pub texts: u64,
    /// Requests that were answered well.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Tokens, as far as the endpoint counts them.
    pub tokens: u64,
}

#[derive(Debug, Default)]
struct Counters {
    texts: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    tokens: AtomicU64,
    /// Whether the endpoint ever answered anything.
    reached: AtomicBool,
}

impl OpenAiEmbedder {
    /// Embeds one short text to learn the model's dimensions, and to see that the endpoint answers.
    ///
    /// # Errors
    /// As for embedding; a refused request is `Config` here, since the text is not at fault.
    pub async fn connect(config: OpenAiConfig) -> Result<Self> {
        let asked = config.dimensions;
        let mut embedder = Self::build(config, asked.unwrap_or(0))?;
        let answer = embedder.ask(&[PROBE], asked).await.map_err(|refusal| match refusal {
            Refusal::Request { kind: _, why } => {
                embedder.endpoint.error(ErrorKind::Config, format!("refuses even a short text: {why}"))
            }
            Refusal::Error(error) => error,
        })?;
        embedder.dimensions = answer.first().map_or(0, Vec::len);
        Ok(embedder)
    }

    /// An embedder whose model's dimensions are known; sends nothing. Answers with others are a `Config` error.
    ///
    /// # Errors
    /// `Config` for a URL that is none, an empty model, no dimensions, or others than the configuration asks for.
    pub fn new(config: OpenAiConfig, dimensions: usize) -> Result<Self> {
        if dimensions == 0 || config.dimensions.is_some_and(|asked| asked != dimensions) {
            let asked =
                config.dimensions.map_or(String::new(), |asked| format!(", and {asked} are asked for"));
            return Err(Error::config(format!(
                "an embedder of {dimensions} dimensions is not possible{asked}"
            ))
            .with_backend(NAME));
        }
        Self::build(config, dimensions)
    }

    fn build(config: OpenAiConfig, dimensions: usize) -> Result<Self> {
        Ok(Self {
            dimensions,
            batch_texts: AtomicUsize::new(config.batch_texts),
            requests_at_once: Semaphore::new(config.concurrency),
            counters: Counters::default(),
            endpoint: Endpoint::new(config).map_err(|error| error.with_backend(NAME))?,
        })
    }

    /// The endpoint's base URL, without secrets.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.endpoint.config.shown_url()
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> OpenAiCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OpenAiCounts {
            texts: load(&self.counters.texts),
            requests: load(&self.counters.requests),
            retries: load(&self.counters.retries),
            tokens: load(&self.counters.tokens),
        }
    }

    /// Embeds a batch, in halves where the endpoint refuses it.
    async fn embed_batch(&self, batch: Batch<'_>) -> Result<Vec<Embedding>> {
        let mut waiting = vec![batch];
        let mut embeddings = Vec::with_capacity(waiting.len());
        let mut refused_length = None;
        while let Some(batch) = waiting.pop() {
            match self.ask(batch.texts, Some(self.dimensions)).await {
                Ok(mut answer) => embeddings.append(&mut answer),
                Err(Refusal::Error(error)) => return Err(error),
                Err(Refusal::Request { kind, why }) => match batch.halves() {
                    Some((first, second)) => {
                        refused_length = Some(batch.texts.len());
                        waiting.extend([second, first]);
                    }
                    None => {
                        return Err(self.endpoint.error(kind, format!("refuses {}: {why}", batch.shown())));
                    }
                },
            }
        }
        if let Some(length) = refused_length {
            // Every text passed: the request was too large.
            self.batch_texts.fetch_min((length / 2).max(1), Ordering::Relaxed);
        }
        Ok(embeddings)
    }

    /// One request, repeated where that may help.
    async fn ask(&self, texts: &[&str], dimensions: Option<usize>) -> Result<Vec<Embedding>, Refusal> {
        let closed =
            |error| Refusal::Error(Error::new(ErrorKind::Other, "the embedder is closed").with_source(error));
        let _turn = self.requests_at_once.acquire().await.map_err(closed)?;
        let config = &self.endpoint.config;
        let mut retry = retry::Retry::new(config.retry_for, config.attempts);
        loop {
            let attempt = self.endpoint.request(texts, dimensions).await;
            if !matches!(attempt, Err(request::Failed { reached: false, .. })) {
                self.counters.reached.store(true, Ordering::Relaxed);
            }
            let failed = match attempt {
                Ok(answer) => {
                    self.counters.texts.fetch_add(texts.len() as u64, Ordering::Relaxed);
                    self.counters.requests.fetch_add(1, Ordering::Relaxed);
                    self.counters.tokens.fetch_add(answer.tokens, Ordering::Relaxed);
                    return Ok(answer.embeddings);
                }
                Err(failed) => failed,
            };
            let error = match failed.refusal {
                Refusal::Error(error) if error.is_retryable() => error,
                refusal => return Err(refusal),
            };
            let unreachable = !self.counters.reached.load(Ordering::Relaxed);
            let Some(wait) = retry.next(failed.retry_after, unreachable) else {
                return Err(Refusal::Error(retry.gave_up(&self.endpoint, error, failed.retry_after)));
            };
            retry.tell(&self.endpoint, &error, wait);
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    async fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let config = &self.endpoint.config;
        let batches = batches::split(texts, self.batch_texts.load(Ordering::Relaxed), config.batch_bytes);
        let requests: Vec<_> = batches.into_iter().map(|batch| self.embed_batch(batch)).collect();
        let answers: Vec<_> = stream::iter(requests).buffered(config.concurrency).collect().await;
        let mut embeddings = Vec::with_capacity(texts.len());
        for answer in answers {
            embeddings.append(&mut answer?);
        }
        Ok(embeddings)
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The model's name, as the endpoint knows it.
    fn model(&self) -> &str {
        &self.endpoint.config.model
    }
}
