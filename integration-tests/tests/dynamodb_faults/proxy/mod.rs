//! A proxy between the driver and a server, which does to requests and answers what the service and the network do to
//! them on bad days.

mod fault;
mod http;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) use fault::{Code, Fault, random};
use http::{Connection, Message};

/// A connection to the server that nobody used for longer is not used again: the server may be about to close it.
const IDLE: Duration = Duration::from_secs(5);

/// What a plan is told of a request.
#[derive(Debug)]
pub(crate) struct Request {
    /// How many came before it.
    pub(crate) number: u64,
    /// What it asks for: `PutItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
}

/// Says which fault befalls a request.
pub(crate) type Plan = dyn Fn(&Request) -> Option<Fault> + Send + Sync;

struct State {
    /// Where the server is: `127.0.0.1:8000`.
    server: String,
    plan: Mutex<Arc<Plan>>,
    number: AtomicU64,
    /// How many requests came of each operation.
    requests: Mutex<BTreeMap<String, usize>>,
    /// How many of each fault were made.
    faults: Mutex<BTreeMap<&'static str, usize>>,
}

/// Stops when dropped.
pub(crate) struct Proxy {
    url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of the server of this URL; no faults yet.
    pub(crate) async fn start(url: &str) -> Result<Self, std::io::Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let endpoint = url.split_once("endpoint_url=http%3A%2F%2F");
        let (before, place) =
            endpoint.ok_or_else(|| std::io::Error::other(format!("no endpoint in {url}")))?;
        let place = place.split('&').next().unwrap_or_default();
        let own = format!("{before}endpoint_url=http%3A%2F%2F127.0.0.1%3A{}", address.port());
        let state = Arc::new(State {
            server: place.replace("%3A", ":"),
            plan: Mutex::new(Arc::new(|_: &Request| None)),
            number: AtomicU64::new(0),
            requests: Mutex::default(),
            faults: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { url: own, state, task })
    }

    /// The URL of the server, through this.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What befalls the requests from now on. The counts begin anew.
    pub(crate) fn set(&self, plan: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        *self.state.plan.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Nothing befalls them any more.
    pub(crate) fn heal(&self) {
        self.set(|_| None);
    }

    /// How many requests of an operation came.
    pub(crate) fn requests(&self, operation: &str) -> usize {
        let requests = self.state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.get(operation).copied().unwrap_or_default()
    }

    /// How many faults were made.
    pub(crate) fn faults(&self) -> usize {
        self.state.faults.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What came and what befell it.
impl Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let requests = self.state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let faults = self.state.faults.lock().unwrap_or_else(PoisonError::into_inner);
        write!(
            f,
            "{} requests, {} faults",
            requests.values().sum::<usize>(),
            faults.values().sum::<usize>()
        )?;
        faults.iter().try_for_each(|(name, count)| write!(f, ", {count} {name}"))
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        // A connection that breaks is the business of the two that it is between.
        tokio::spawn(async move { serve(BufReader::new(client), &state).await });
    }
}

async fn serve(mut client: Connection, state: &State) -> std::io::Result<()> {
    client.get_ref().set_nodelay(true)?;
    let mut server = None;
    while let Some(mut message) = Message::read(&mut client).await? {
        let target = message.header("x-amz-target").and_then(|target| target.rsplit_once('.'));
        let operation = target.map_or("", |(_, operation)| operation).to_owned();
        *state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(operation.clone())
            .or_default() += 1;
        let number = state.number.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::from_slice(&message.body).unwrap_or_default();
        let mut request = Request { number, operation, body };
        let plan = Arc::clone(&state.plan.lock().unwrap_or_else(PoisonError::into_inner));
        let fault = plan(&request).map(|fault| fault.fit(&request));
        if let Some(fault) = &fault {
            let mut faults = state.faults.lock().unwrap_or_else(PoisonError::into_inner);
            *faults.entry(fault.name()).or_default() += 1;
        }
        let answer = match fault {
            None => forward(&message, &mut server, state).await?,
            Some(Fault::Refuse(code)) => code.answer(&request),
            Some(Fault::DropBefore) => return Ok(()),
            Some(Fault::DropAfter) => {
                forward(&message, &mut server, state).await?;
                return Ok(());
            }
            Some(Fault::ErrorAfter) => {
                forward(&message, &mut server, state).await?;
                Code::Internal.answer(&request)
            }
            Some(Fault::DelayBefore(time)) => {
                tokio::time::sleep(time).await;
                forward(&message, &mut server, state).await?
            }
            Some(Fault::DelayAfter(time)) => {
                let answer = forward(&message, &mut server, state).await?;
                tokio::time::sleep(time).await;
                answer
            }
            Some(Fault::Split(count)) => {
                let rest = fault::split(&mut request.body, count);
                message.set_body(&request.body);
                let mut answer = forward(&message, &mut server, state).await?;
                if answer.is_ok() {
                    let mut body: Value = serde_json::from_slice(&answer.body)?;
                    fault::leave(&mut body, &request.operation, rest);
                    answer.set_body(&body);
                }
                answer
            }
        };
        answer.write(&mut client).await?;
    }
    Ok(())
}

/// Has the server answer, over a connection that is kept.
async fn forward(
    message: &Message,
    kept: &mut Option<(Connection, Instant)>,
    state: &State,
) -> std::io::Result<Message> {
    let mut server = match kept.take() {
        Some((server, used)) if used.elapsed() < IDLE => server,
        _ => {
            let server = TcpStream::connect(&state.server).await?;
            server.set_nodelay(true)?;
            BufReader::new(server)
        }
    };
    message.write(&mut server).await?;
    let answer = Message::read(&mut server).await?;
    let answer = answer.ok_or_else(|| std::io::Error::other("the server closed the connection"))?;
    let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if !closes {
        *kept = Some((server, Instant::now()));
    }
    Ok(answer)
}
