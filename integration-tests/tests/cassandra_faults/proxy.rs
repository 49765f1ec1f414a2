//! A proxy between the driver and the nodes, which loses answers to lightweight transactions, and requests for them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

// Of version 4 of the native protocol.
const ERROR: u8 = 0;
const STARTUP: u8 = 1;
const RESULT: u8 = 8;
const PREPARE: u8 = 9;
const EXECUTE: u8 = 10;
const BATCH: u8 = 13;
const PREPARED: i32 = 4;

/// What befalls one of three lightweight transactions; each of these in turn. The client is told at once that the replicas
/// did not agree in time.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// It is made, and the answer is lost.
    Answer,
    /// It never comes to the node.
    Request,
    /// It comes to the node when the client has long gone on, as through a node that was frozen.
    Late,
}

/// How much later, in milliseconds.
const LATE: u64 = 300;
/// How long the answer is waited for in vain, in milliseconds, at most: others go on meanwhile.
const VAIN: u64 = 150;

/// Stops when dropped.
pub(crate) struct Proxy {
    state: Arc<State>,
    tasks: JoinSet<()>,
}

struct State {
    /// The ports of the nodes, and ours before them.
    ports: Vec<(u16, u16)>,
    /// The ids of prepared statements that are lightweight transactions.
    conditional: Mutex<HashSet<Vec<u8>>>,
    seen: AtomicUsize,
    lost: AtomicUsize,
}

impl Proxy {
    /// In front of the nodes on these ports of 127.0.0.1.
    pub(crate) async fn start(nodes: &[u16]) -> Result<Self, Failed> {
        let (mut listeners, mut ports) = (Vec::new(), Vec::new());
        for node in nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            ports.push((*node, listener.local_addr()?.port()));
            listeners.push((listener, *node));
        }
        let (conditional, seen, lost) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let state = Arc::new(State { ports, conditional, seen, lost });
        let mut tasks = JoinSet::new();
        for (listener, node) in listeners {
            let state = Arc::clone(&state);
            tasks.spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, node, Arc::clone(&state)));
                }
            });
        }
        Ok(Self { state, tasks })
    }

    /// The URL of the nodes, through this.
    pub(crate) fn url(&self, nodes: &str) -> String {
        let ports = self.state.ports.iter();
        ports.fold(nodes.to_owned(), |url, (node, own)| url.replace(&format!(":{node}"), &format!(":{own}")))
    }

    /// How many answers and requests were lost.
    pub(crate) fn lost(&self) -> usize {
        self.state.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// A message of the protocol: its head of nine bytes, and its body.
#[derive(Clone, Debug)]
struct Message {
    head: [u8; 9],
    body: Vec<u8>,
}

impl Message {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let [_, _, _, _, _, length @ ..] = head;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or_default()];
        from.read_exact(&mut body).await?;
        Ok(Self { head, body })
    }

    fn new(version: u8, stream: [u8; 2], code: u8, body: Vec<u8>) -> Self {
        let [one, two] = stream;
        let [a, b, c, d] = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
        Self { head: [version, 0, one, two, code, a, b, c, d], body }
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        to.write_all(&self.head).await?;
        to.write_all(&self.body).await
    }

    fn stream(&self) -> [u8; 2] {
        let [_, _, one, two, ..] = self.head;
        [one, two]
    }

    fn code(&self) -> u8 {
        let [_, _, _, _, code, ..] = self.head;
        code
    }

    fn contains(&self, what: &[u8]) -> bool {
        self.body.windows(what.len()).any(|part| part == what)
    }

    /// The id in the answer to PREPARE.
    fn prepared(&self) -> Option<&[u8]> {
        let (kind, rest) = self.body.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let is_it = self.code() == RESULT && i32::from_be_bytes(*kind) == PREPARED;
        rest.get(..usize::from(u16::from_be_bytes(*length))).filter(|_| is_it)
    }

    /// What a node says whose replicas did not agree on a lightweight transaction in time.
    fn not_agreed(stream: [u8; 2]) -> Self {
        let mut body = 0x1100_i32.to_be_bytes().to_vec();
        text(&mut body, "CAS operation timed out");
        // LOCAL_SERIAL, and how many answered of how many.
        body.extend(9_u16.to_be_bytes());
        body.extend([0, 0, 0, 1, 0, 0, 0, 2]);
        text(&mut body, "CAS");
        Self::new(0x84, stream, ERROR, body)
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    body.extend(text.as_bytes());
}

/// What is known of the requests of one connection, by stream.
#[derive(Default)]
struct Streams {
    /// Those that prepare a lightweight transaction.
    preparing: HashSet<[u8; 2]>,
    /// Those whose answers are lost, and after what time that is told.
    losing: HashMap<[u8; 2], Duration>,
}

impl State {
    fn ids(&self) -> MutexGuard<'_, HashSet<Vec<u8>>> {
        self.conditional.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What befalls a request.
    fn loss(&self, request: &Message) -> Option<Loss> {
        let executes = matches!(request.code(), EXECUTE | BATCH);
        if !executes || !self.ids().iter().any(|id| request.contains(id)) {
            return None;
        }
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if !seen.is_multiple_of(3) {
            return None;
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        let losses = [Loss::Answer, Loss::Late, Loss::Answer, Loss::Request];
        losses.get(seen / 3 % losses.len()).copied()
    }

    /// The driver goes on at the addresses that the nodes tell: ours stand in the place of theirs.
    fn disguise(&self, answer: &mut Message) {
        let cell = |port: u16| [[0, 0, 0, 4], u32::from(port).to_be_bytes()].concat();
        for (node, own) in &self.ports {
            let (from, to) = (cell(*node), cell(*own));
            let places = answer.body.windows(from.len()).enumerate();
            let places: Vec<usize> =
                places.filter(|(_, part)| *part == from).map(|(place, _)| place).collect();
            for place in places {
                if let Some(cell) = answer.body.get_mut(place..place + to.len()) {
                    cell.copy_from_slice(&to);
                }
            }
        }
    }
}

/// A connection that breaks is the business of the two that it is between.
async fn serve(client: TcpStream, port: u16, state: Arc<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let node = TcpStream::connect(("127.0.0.1", port)).await?;
    node.set_nodelay(true)?;
    let (mut requests, to_client) = client.into_split();
    let (mut answers, mut to_node) = node.into_split();
    let (send, queue) = unbounded_channel();
    tokio::spawn(answer(queue, to_client));
    let streams = Arc::new(Mutex::new(Streams::default()));

    let (known, its, sender) = (Arc::clone(&state), Arc::clone(&streams), send.clone());
    tokio::spawn(async move {
        while let Ok(mut answer) = Message::read(&mut answers).await {
            known.disguise(&mut answer);
            let (stream, late) = (answer.stream(), {
                let mut streams = its.lock().unwrap_or_else(PoisonError::into_inner);
                if streams.preparing.remove(&answer.stream())
                    && let Some(id) = answer.prepared()
                {
                    known.ids().insert(id.to_vec());
                }
                streams.losing.remove(&answer.stream())
            });
            match late {
                Some(after) => tell_later(&sender, stream, after),
                None if sender.send(answer).is_err() => return,
                None => {}
            }
        }
    });

    loop {
        let request = Message::read(&mut requests).await?;
        let (stream, loss) = (request.stream(), state.loss(&request));
        let vain = Duration::from_millis(fastrand::u64(0..VAIN));
        {
            let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
            if request.code() == PREPARE && request.contains(b" IF ") {
                streams.preparing.insert(stream);
            }
            if let Some(Loss::Answer) = loss {
                streams.losing.insert(stream, vain);
            }
        }
        match loss {
            None | Some(Loss::Answer) => request.write(&mut to_node).await?,
            Some(Loss::Request) => tell_later(&send, stream, vain),
            Some(Loss::Late) => {
                tell_later(&send, stream, vain);
                tokio::spawn(deliver(request, port));
            }
        }
    }
}

async fn answer(mut queue: UnboundedReceiver<Message>, mut client: impl AsyncWrite + Unpin) {
    while let Some(message) = queue.recv().await {
        if message.write(&mut client).await.is_err() {
            return;
        }
    }
}

fn tell_later(send: &UnboundedSender<Message>, stream: [u8; 2], after: Duration) {
    let send = send.clone();
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        // The client may be gone.
        drop(send.send(Message::not_agreed(stream)));
    });
}

/// Brings a request to the node late, by a connection of its own, and lets go of the answer.
async fn deliver(request: Message, port: u16) -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(VAIN..LATE))).await;
    let mut node = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut options = 1_u16.to_be_bytes().to_vec();
    text(&mut options, "CQL_VERSION");
    text(&mut options, "3.0.0");
    Message::new(4, [0, 0], STARTUP, options).write(&mut node).await?;
    Message::read(&mut node).await?;
    request.write(&mut node).await?;
    Message::read(&mut node).await.map(drop)
}
