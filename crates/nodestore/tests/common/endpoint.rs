//! A small endpoint that speaks OpenAI's embeddings API, for tests: well, badly by a seed, or nonsense.
//!
//! Each test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests use what they need")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// What a request asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Counts requests from 0.
    pub(crate) number: u64,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

impl Asked {
    pub(crate) fn texts(&self) -> Vec<String> {
        let input = self.body["input"].as_array().cloned().unwrap_or_default();
        input.iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The dimensions it asks for, else `default`.
    pub(crate) fn dimensions(&self, default: usize) -> usize {
        self.body["dimensions"].as_u64().map_or(default, |asked| usize::try_from(asked).unwrap())
    }
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// An embedding for each text, of so many dimensions; counted as done.
    Good(usize),
    /// The same after a while.
    Late(Duration, usize),
    /// A status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// The connection ends.
    Drop,
}

impl Reply {
    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Say(status, Vec::new(), body.into())
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200, body.to_string())
    }
}

/// A running endpoint. It ends with the test's process.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The base URL.
    pub(crate) url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    asked: Vec<Asked>,
    done: BTreeMap<String, usize>,
}

impl Endpoint {
    /// Answers as `behaviour` says.
    pub(crate) fn start(behaviour: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let endpoint = Self { url, seen: Arc::default() };
        let (seen, behaviour) = (Arc::clone(&endpoint.seen), Arc::new(behaviour));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (seen, behaviour) = (Arc::clone(&seen), Arc::clone(&behaviour));
                    let service =
                        service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&behaviour)));
                    let io = TokioIo::new(stream);
                    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
                }
            });
        });
        endpoint
    }

    /// Answers well.
    pub(crate) fn good(dimensions: usize) -> Self {
        Self::start(move |asked| Reply::Good(asked.dimensions(dimensions)))
    }

    /// Answers half of the requests well; fails, throttles, breaks off, delays and truncates the others, by a seed.
    pub(crate) fn faulty(seed: u64, dimensions: usize) -> Self {
        Self::start(move |asked| {
            let roll = random(seed, asked.number);
            let dimensions = asked.dimensions(dimensions);
            match roll % 100 {
                0..12 => Reply::status(500, "<html>oops</html>"),
                12..24 => {
                    let wait = if roll.is_multiple_of(7) { "1" } else { "0" };
                    Reply::Say(
                        429,
                        vec![("retry-after", wait.to_owned())],
                        r#"{"error":{"message":"slower"}}"#.into(),
                    )
                }
                24..34 => Reply::Drop,
                34..44 => {
                    let whole = answer_for(&asked.texts(), dimensions, false).to_string();
                    Reply::status(200, &whole[..whole.len() / 2])
                }
                44..60 => Reply::Late(Duration::from_millis(roll % 40), dimensions),
                _ => Reply::Good(dimensions),
            }
        })
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().asked.clone()
    }

    /// How often each text was embedded.
    pub(crate) fn done(&self) -> BTreeMap<String, usize> {
        self.seen.lock().unwrap().done.clone()
    }

    /// Forgets what it saw, but for the number of requests.
    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap().done.clear();
    }
}

async fn answer<F: Fn(&Asked) -> Reply>(
    request: Request<Incoming>,
    seen: Arc<Mutex<Seen>>,
    behaviour: Arc<F>,
) -> Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let path = request.uri().path().to_owned();
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let asked = {
        let mut seen = seen.lock().unwrap();
        let number = u64::try_from(seen.asked.len()).unwrap();
        let asked = Asked { number, path, authorization, body, at: Instant::now() };
        seen.asked.push(asked.clone());
        asked
    };
    let mut reply = behaviour(&asked);
    if let Reply::Late(wait, dimensions) = reply {
        tokio::time::sleep(wait).await;
        reply = Reply::Good(dimensions);
    }
    let (status, headers, body) = match reply {
        Reply::Good(dimensions) => {
            let texts = asked.texts();
            let body = answer_for(&texts, dimensions, asked.number % 5 == 4).to_string();
            let mut seen = seen.lock().unwrap();
            for text in texts {
                *seen.done.entry(text).or_default() += 1;
            }
            (200, Vec::new(), body)
        }
        Reply::Say(status, headers, body) => (status, headers, body),
        Reply::Drop | Reply::Late(..) => return Err("dropped".into()),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(body)))?)
}

/// A good answer, the last text first; as base64 or as numbers.
pub(crate) fn answer_for(texts: &[String], dimensions: usize, base64: bool) -> Value {
    use base64::Engine as _;
    let data = texts.iter().enumerate().rev().map(|(index, text)| {
        let vector = vector(text, dimensions);
        let embedding = if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    json!({"object": "list", "data": data.collect::<Vec<_>>(), "usage": {"total_tokens": texts.len()}})
}

/// The embedding of a text: the same each time, another for each text.
pub(crate) fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let value = |place: usize| {
        let bits = random(seed, u64::try_from(place).unwrap()) % 1000;
        f32::from(u16::try_from(bits).unwrap()) / 512.0 - 1.0
    };
    (0..dimensions).map(value).collect()
}

/// The `number`th random value of a seed (`SplitMix64`).
pub(crate) fn random(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
