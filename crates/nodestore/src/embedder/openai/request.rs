//! One request over HTTP, and what its answer means.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store_core::{Error, ErrorKind, Result};

use super::answer::{self, Answer, Nonsense};
use super::{NAME, OPERATION, OpenAiConfig, retry};

/// Bytes of JSON for one value, at most, and for all that is not values.
const BYTES_PER_VALUE: usize = 40;
const BYTES_BESIDE: usize = 1 << 20;
/// More dimensions than any model has, where they are to be learned.
const MOST_DIMENSIONS: usize = 65_536;
/// Bytes of an error that are read.
const BYTES_OF_ERROR: usize = 64 * 1024;

/// Where requests go.
pub(super) struct Endpoint {
    pub(super) config: OpenAiConfig,
    url: Url,
    client: Client,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// Why a request gave no embeddings.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) refusal: Refusal,
    /// What the endpoint asks to wait.
    pub(super) retry_after: Option<Duration>,
    /// Whether something is there that answers, or thinks about it.
    pub(super) reached: bool,
}

#[derive(Debug)]
pub(super) enum Refusal {
    /// The endpoint does not want these texts, or not so many.
    Request { kind: ErrorKind, why: String },
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { refusal: Refusal::Error(error), retry_after: None, reached: true }
    }
}

impl Endpoint {
    pub(super) fn new(config: OpenAiConfig) -> Result<Self> {
        let url = config.url()?;
        if config.model.trim().is_empty() {
            return Err(Error::config(format!(
                "no model is named for the embedder at {}",
                config.shown_url()
            )));
        }
        let client = client(&url, config.timeout).map_err(|error| {
            Error::config(format!("HTTPS can not be set up: {error}")).with_collection(config.shown_url())
        })?;
        let authorization = config.api_key.as_ref().map(|key| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
                    Error::new(
                        ErrorKind::Unauthorized,
                        "the key holds characters that no key has, such as line ends",
                    )
                })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        let authorization = authorization.transpose()?;
        if authorization.is_some() && url.scheme() == "http" && !is_this_machine(&url) {
            tracing::warn!(endpoint = %config.shown_url(), "the key is sent without encryption; use https");
        }
        Ok(Self { config, url, client, authorization })
    }

    /// Sends texts, and reads the answer.
    pub(super) async fn request(&self, texts: &[&str], dimensions: Option<usize>) -> Result<Answer, Failed> {
        let mut body = json!({"model": self.config.model, "input": texts, "encoding_format": "float"});
        if let (Some(asked), Some(body)) = (self.config.dimensions, body.as_object_mut()) {
            body.insert("dimensions".to_owned(), json!(asked));
        }
        let mut request = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| self.not_sent(error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let values = texts.len().saturating_mul(dimensions.unwrap_or(MOST_DIMENSIONS));
        let most = values.saturating_mul(BYTES_PER_VALUE).saturating_add(BYTES_BESIDE);
        let (body, whole) = self.body(response, most).await?;
        if !whole {
            return Err(self.error(ErrorKind::Other, format!("answers more than {most} bytes")).into());
        }
        tracing::debug!(endpoint = %self.config.shown_url(), texts = texts.len(), bytes = body.len(), "embedded");
        answer::read(&body, texts.len(), dimensions)
            .map_err(|nonsense| self.nonsense(nonsense, dimensions).into())
    }

    /// At most so many bytes of a body, and whether that was all.
    async fn body(&self, mut response: Response, most: usize) -> Result<(Vec<u8>, bool), Failed> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.not_sent(error))? {
            if body.len() + chunk.len() > most {
                body.extend(chunk.iter().take(most - body.len()));
                return Ok((body, false));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, true))
    }

    fn nonsense(&self, nonsense: Nonsense, dimensions: Option<usize>) -> Error {
        match nonsense {
            Nonsense::CutOff => self.error(ErrorKind::Unavailable, "answers with JSON that is cut off"),
            Nonsense::Foreign(why) => self.error(
                ErrorKind::Config,
                format!("does not answer as an endpoint for embeddings: {}", self.config.hide_secrets(&why)),
            ),
            Nonsense::OtherDimensions(came) => self.error(
                ErrorKind::Config,
                format!(
                    "embeddings of {} dimensions were expected, {came} came: another model answers under this name",
                    dimensions.unwrap_or_default()
                ),
            ),
            Nonsense::Wrong(why) => self.error(ErrorKind::Other, format!("answers wrongly: {why}")),
        }
    }

    /// What a status other than success means.
    async fn refused(&self, response: Response) -> Failed {
        let status = response.status();
        let header = |name| response.headers().get(&name).and_then(|value: &HeaderValue| value.to_str().ok());
        let retry_after = header(RETRY_AFTER).and_then(retry::retry_after);
        let location = header(LOCATION).map(|place| crate::redact(&answer::shorten(place)));
        let body = self.body(response, BYTES_OF_ERROR).await.map(|(body, _)| body).unwrap_or_default();
        let (said, code) = said(&body);
        let said = self.config.hide_secrets(&said);
        let name = status.canonical_reason().unwrap_or("a status without a name");
        let answers = format!("answers {} {name}: {said}", status.as_u16());
        let refusal = match status.as_u16() {
            300..400 => {
                let place = location.unwrap_or_else(|| "a place it does not name".to_owned());
                Refusal::Error(self.error(
                    ErrorKind::Config,
                    format!("redirects to {place}, which is not followed; give the right URL"),
                ))
            }
            401 | 403 => Refusal::Error(
                self.error(ErrorKind::Unauthorized, format!("{answers}; {}", self.config.about_key())),
            ),
            404 => Refusal::Error(
                self.error(ErrorKind::NotFound, format!("{answers}; the model or the URL is wrong")),
            ),
            413 => Refusal::Request { kind: ErrorKind::LimitExceeded, why: answers },
            400 | 422 => Refusal::Request { kind: ErrorKind::InvalidInput, why: answers },
            status => {
                let kind = retry::kind(status);
                let error = self.error(kind.unwrap_or(ErrorKind::Config), answers);
                // Who has no credit left has none in a minute either.
                let retryable = kind.is_some() && code != "insufficient_quota";
                Refusal::Error(error.with_retryable(retryable))
            }
        };
        Failed { refusal, retry_after, reached: true }
    }

    /// What went wrong below HTTP.
    fn not_sent(&self, error: reqwest::Error) -> Failed {
        // A server that is no endpoint, or speaks TLS where none is expected, breaks every connection.
        let reached = error.is_timeout() && !error.is_connect() || error.is_body();
        let (kind, what) = if error.is_connect() {
            (ErrorKind::Unavailable, format!("can not be reached: {}", innermost(&error)))
        } else if error.is_timeout() {
            (ErrorKind::Timeout, format!("does not answer within {} s", self.config.timeout.as_secs_f64()))
        } else {
            (ErrorKind::Unavailable, format!("breaks the connection: {}", innermost(&error)))
        };
        // With the URL it would show a password.
        let error = self.error(kind, self.config.hide_secrets(&what)).with_source(error.without_url());
        Failed { refusal: Refusal::Error(error), retry_after: None, reached }
    }

    /// An error of this endpoint: `openai embedder.embed http://…/v1: model "…": answers …`.
    pub(super) fn error(&self, kind: ErrorKind, what: impl fmt::Display) -> Error {
        self.plain_error(kind, format!("model {:?}: {what}", self.config.model))
    }

    /// The same with all of the sentence given.
    pub(super) fn plain_error(&self, kind: ErrorKind, message: String) -> Error {
        Error::new(kind, message)
            .with_backend(NAME)
            .with_operation(OPERATION)
            .with_collection(self.config.shown_url())
    }
}

fn client(url: &Url, timeout: Duration) -> Result<Client, Box<dyn StdError + Send + Sync>> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    // Redirects are not followed, so plain HTTP stays plain and needs no certificates, which a small container may lack.
    let tls = if url.scheme() == "https" {
        tls.with_platform_verifier()?.with_no_client_auth()
    } else {
        tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(10)))
        .user_agent(concat!("nodestore/", env!("CARGO_PKG_VERSION")));
    if is_this_machine(url) {
        client = client.no_proxy();
    }
    Ok(client.build()?)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// What an error's body says, and its code.
fn said(body: &[u8]) -> (String, String) {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let Some(json) = json else { return (answer::beginning(body), String::new()) };
    let error = json.get("error").unwrap_or(&json);
    let code = error.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
    (answer::said(error), code)
}

/// The last of an error's sources, which says what happened.
fn innermost(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    answer::shorten(&error.to_string())
}
