//! The driver, behind commands of our own: nothing else in this crate knows how it sends them.
//!
//! Every command goes as its plain words, so that RESP2 and RESP3 servers, modules and new commands are all the same
//! to it. fred's typed calls are not used: those of the search module count `PARAMS` wrongly in its newest release.

mod listen;
mod nodes;

use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, Pipeline, Pool};
use fred::error::{Error as DriverError, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface as _, EventInterface as _};
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};
use fred::util::redis_keyslot;
use futures::future::{BoxFuture, try_join_all};
use store_core::{Error, Result};
use tokio::sync::broadcast::Receiver as BroadcastReceiver;
use tokio::task::JoinHandle;

use self::nodes::Nodes;
use crate::error::{from_connecting, from_driver, is_redirected, not_connected, not_sent, timed_out};

pub(crate) use self::listen::{Heard, Listener};

/// How often a read may be sent: once more each time that the connection fails before the answer.
const READ_ATTEMPTS: u32 = 3;
/// How much longer than the driver we wait for it, in case that it forgets.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client rests that the driver gave up.
const REST: Duration = Duration::from_millis(100);
/// How long to wait for word of a connection before looking again whether it is there.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long the server may take to hear that we are leaving.
const GOODBYE: Duration = Duration::from_secs(2);

/// A command: its name, its arguments, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Cmd {
    name: &'static str,
    args: Vec<Value>,
    place: Place,
    repeatable: bool,
    /// Whether it goes to the node that takes writes, though reads go to replicas.
    primary: bool,
    /// How long the server itself may wait before it answers.
    waits: Duration,
}

/// Where a command goes in a cluster.
#[derive(Clone, Debug)]
enum Place {
    /// To the node of the key that is this argument.
    Key(usize),
    /// To this node.
    Node(Node),
    /// To any node.
    Any,
}

impl Cmd {
    /// A command that only reads, so that it may be sent again when a connection fails. Its first argument is a key.
    pub(crate) fn read(name: &'static str, key: impl Into<Value>) -> Self {
        Self { args: vec![key.into()], place: Place::Key(0), ..Self::keyless(name) }
    }

    /// A command that changes something, and is therefore sent once. Its first argument is a key.
    pub(crate) fn write(name: &'static str, key: impl Into<Value>) -> Self {
        Self { repeatable: false, ..Self::read(name, key) }
    }

    /// A command without a key, that changes nothing, to any node.
    pub(crate) fn keyless(name: &'static str) -> Self {
        let (args, waits) = (Vec::new(), Duration::ZERO);
        Self { name, args, place: Place::Any, repeatable: true, primary: false, waits }
    }

    /// One argument more.
    pub(crate) fn arg(mut self, arg: impl Into<Value>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub(crate) fn args<T: Into<Value>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Says which argument is the key, if not the first.
    pub(crate) fn keyed_at(mut self, position: usize) -> Self {
        self.place = Place::Key(position);
        self
    }

    /// Sends it to one node, which [`Driver::primaries`] named.
    pub(crate) fn on(mut self, node: Node) -> Self {
        self.place = Place::Node(node);
        self
    }

    /// Says that a replica, which may lag behind, can not answer it.
    pub(crate) fn at_primary(mut self) -> Self {
        self.primary = true;
        self
    }

    /// Says that the command changes something, and is sent once.
    pub(crate) fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Says how long the server may wait before it answers.
    pub(crate) fn waiting(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }

    /// Bytes of the arguments.
    pub(crate) fn size(&self) -> usize {
        self.args.iter().map(|arg| arg.as_bytes().map_or(8, <[u8]>::len)).sum()
    }

    /// The slot of its key, in a cluster.
    fn slot(&self) -> Option<u16> {
        match self.place {
            Place::Key(position) => self.args.get(position).and_then(Value::as_bytes).map(redis_keyslot),
            Place::Node(_) | Place::Any => None,
        }
    }

    fn split(self) -> (CustomCommand, Vec<Value>) {
        // The slot itself: the driver does not look at an offset in commands that it does not know.
        let hash = self.slot().map_or(ClusterHash::Random, ClusterHash::Custom);
        (CustomCommand::new_static(self.name, hash, !self.waits.is_zero()), self.args)
    }
}

/// One of the nodes that hold the keys.
#[derive(Clone, Debug)]
pub(crate) struct Node(Option<Server>);

/// A pool of connections, ours or the caller's.
pub(crate) struct Driver {
    pool: Pool,
    /// What keeps our own connections; empty when the pool is the caller's.
    keepers: Vec<JoinHandle<()>>,
    /// Where to ask for keys that are on their way from one node of a cluster to another.
    nodes: Nodes,
    limit: Duration,
    from_replicas: bool,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A client's own Debug may show what it was made with.
        f.debug_struct("Driver").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Driver {
    /// Connects every client of a pool of ours; the first failure ends it.
    pub(crate) async fn connect(
        pool: Pool,
        connect_limit: Duration,
        limit: Duration,
        from_replicas: bool,
    ) -> Result<Self> {
        let tls = pool.next().client_config().uses_tls();
        let mut tasks: Vec<Task> = pool.clients().iter().map(Task::of).collect();
        let ready = pool.clients().iter().zip(&mut tasks).map(|(client, task)| async {
            tokio::select! {
                ready = connected(client) => ready,
                // It ends when the first attempt fails.
                ended = &mut task.0 => match ended {
                    Ok(Err(error)) => Err(error),
                    Ok(Ok(())) | Err(_) => connected(client).await,
                },
            }
        });
        match tokio::time::timeout(connect_limit, try_join_all(ready)).await {
            Ok(Ok(_)) => {
                let clients = pool.clients().to_vec().into_iter().zip(tasks);
                let mut driver = Self::of_caller(pool, limit, from_replicas);
                driver.keepers = clients.map(|(client, task)| tokio::spawn(keep(client, task))).collect();
                Ok(driver)
            }
            Ok(Err(error)) if *error.kind() == ErrorKind::Timeout => Err(not_connected(connect_limit, tls)),
            Ok(Err(error)) => Err(from_connecting(error, tls)),
            Err(_) => Err(not_connected(connect_limit, tls)),
        }
    }

    /// Uses a pool of the caller's, which is connected already.
    pub(crate) fn of_caller(pool: Pool, limit: Duration, from_replicas: bool) -> Self {
        Self { pool, keepers: Vec::new(), nodes: Nodes::default(), limit, from_replicas }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sends one command.
    pub(crate) async fn call(&self, command: Cmd) -> Result<Value> {
        if !self.is_cluster() {
            return self.send(command).await;
        }
        match self.send(command.clone()).await {
            Err(error) if is_redirected(&error) => Box::pin(self.follow(command)).await,
            answer => answer,
        }
    }

    /// Sends a command again that a cluster's node has sent on to another, and not done.
    async fn follow(&self, command: Cmd) -> Result<Value> {
        // The driver has looked by now where the keys are. Those on their way there are still to be asked for.
        match self.send(command.clone()).await {
            Err(error) if is_redirected(&error) => {}
            answer => return answer,
        }
        let options = self.options(&command.place, command.repeatable, command.waits);
        let limit = self.limit + command.waits;
        let slot = command.slot().unwrap_or_default();
        let (name, args) = command.split();
        let followed = self.nodes.follow(self.pool.next(), slot, name, args, options);
        tokio::time::timeout(limit, followed).await.map_err(|_| timed_out(self.limit))?.map_err(from_driver)
    }

    async fn send(&self, command: Cmd) -> Result<Value> {
        let client = self.pool.next();
        let options = self.options(&command.place, command.repeatable, command.waits);
        let limit = self.limit + command.waits + GRACE;
        let replica = self.from_replicas
            && command.repeatable
            && !command.primary
            && matches!(command.place, Place::Key(_));
        let (name, args) = command.split();
        // The driver's futures are large, and would be moved with each of ours around them.
        let call: BoxFuture<'_, _> = if replica {
            let client = client.with_options(&options).replicas();
            Box::pin(async move { client.custom::<Value, Value>(name, args).await })
        } else {
            let client = client.with_options(&options);
            Box::pin(async move { client.custom::<Value, Value>(name, args).await })
        };
        let away = Away::since_now(client);
        let answer = tokio::time::timeout(limit, call).await.map_err(|_| away.late(self.limit))?;
        answer.map_err(|error| away.or_late(error, self.limit))
    }

    /// Sends commands without waiting for the answers between them; in a cluster to all their nodes at once. Each
    /// has an answer of its own, in the order of the commands. They are not a transaction: others' commands may come
    /// between them. They are sent again as a whole only when all of them may be.
    pub(crate) async fn pipeline(&self, mut commands: Vec<Cmd>) -> Result<Vec<Result<Value>>> {
        if commands.len() < 2 {
            // A pipeline costs the driver a copy of what is sent.
            let Some(only) = commands.pop() else { return Ok(Vec::new()) };
            return Ok(vec![self.call(only.at_primary()).await]);
        }
        Box::pin(self.send_many(commands)).await
    }

    async fn send_many(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Value>>> {
        let count = commands.len();
        let repeatable = commands.iter().all(|command| command.repeatable);
        let again = if self.is_cluster() { commands.clone() } else { Vec::new() };
        let client = self.pool.next();
        let away = Away::since_now(client);
        let pipeline: Pipeline<Client> = client.pipeline();
        for command in commands {
            let options = self.options(&command.place, repeatable, Duration::ZERO);
            let (name, args) = command.split();
            // It is only put in line here.
            let queued: Result<Value, _> = pipeline.with_options(&options).custom(name, args).await;
            queued.map_err(from_driver)?;
        }
        let answers = tokio::time::timeout(self.limit + GRACE, pipeline.try_all::<Value>())
            .await
            .map_err(|_| away.late(self.limit))?;
        if answers.len() != count {
            // The driver has one error for all of them then.
            let error = answers.into_iter().find_map(std::result::Result::err);
            let late = |error| away.or_late(error, self.limit);
            return Err(error.map_or_else(|| unexpected("a pipeline", &Value::Null), late));
        }
        let mut answers: Vec<Result<Value>> = answers
            .into_iter()
            .map(|answer| answer.map_err(|error| away.or_late(error, self.limit)))
            .collect();
        for (answer, command) in answers.iter_mut().zip(again) {
            if answer.as_ref().is_err_and(is_redirected) {
                *answer = self.follow(command).await;
            }
        }
        Ok(answers)
    }

    /// The nodes that hold the keys: each has its own part of them. One, if the server is no cluster.
    pub(crate) fn primaries(&self) -> Vec<Node> {
        match self.pool.next().cached_cluster_state() {
            Some(routing) => {
                routing.unique_primary_nodes().into_iter().map(|node| Node(Some(node))).collect()
            }
            None => vec![Node(None)],
        }
    }

    /// Whether the server is a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.pool.next().is_clustered()
    }

    fn options(&self, place: &Place, repeatable: bool, waits: Duration) -> Options {
        Options {
            max_attempts: Some(if repeatable { READ_ATTEMPTS } else { 1 }),
            timeout: Some(self.limit + waits),
            cluster_node: match place {
                Place::Node(Node(node)) => node.clone(),
                Place::Key(_) | Place::Any => None,
            },
            ..Options::default()
        }
    }

    /// Whether the connections are ours, not the caller's.
    pub(crate) fn is_own(&self) -> bool {
        !self.keepers.is_empty()
    }

    /// Ends our own connections; those of the caller are left alone.
    pub(crate) async fn close(&self) {
        if !self.keepers.is_empty() {
            let _ = tokio::time::timeout(GOODBYE, self.pool.quit()).await;
            self.keepers.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Whether a client has had a connection since a call began: a call that timed out without one was surely not sent.
struct Away<'a> {
    client: &'a Client,
    /// Hears of each connection that is made; `None` if there was one when the call began.
    connected: Option<BroadcastReceiver<Server>>,
}

impl<'a> Away<'a> {
    fn since_now(client: &'a Client) -> Self {
        // The driver tells of a connection before it sends anything on it.
        let connected = (!client.is_connected()).then(|| client.reconnect_rx());
        Self { client, connected }
    }

    fn still(&self) -> bool {
        let heard = self.connected.as_ref().is_none_or(|connected| !connected.is_empty());
        !heard && !self.client.is_connected()
    }

    /// The error of a call that took longer than it may.
    fn late(&self, limit: Duration) -> Error {
        if self.still() { not_sent(limit) } else { timed_out(limit) }
    }

    /// Our error for the driver's.
    fn or_late(&self, error: DriverError, limit: Duration) -> Error {
        if *error.kind() == ErrorKind::Timeout { self.late(limit) } else { from_driver(error) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The tasks would keep their connections for ever.
        self.keepers.iter().for_each(JoinHandle::abort);
    }
}

/// Waits until a client is connected, or could not connect. The driver looks and then listens: told in between, it
/// would wait for ever.
async fn connected(client: &Client) -> std::result::Result<(), DriverError> {
    loop {
        if let Ok(told) = tokio::time::timeout(LOOK_AGAIN, client.wait_for_connect()).await {
            return told;
        }
    }
}

/// The task behind a client's connections; both end with this value.
struct Task(ConnectHandle);

impl Task {
    fn of(client: &Client) -> Self {
        Self(client.connect())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has a client begin anew whenever the driver gives it up: it does so after some errors in the midst of reconnecting
/// and resharding, however patient its policy.
async fn keep(client: Client, mut task: Task) {
    // It ends well when it was told to.
    while !matches!((&mut task.0).await, Ok(Ok(()))) {
        tokio::time::sleep(REST).await;
        task = Task::of(&client);
    }
}

/// The items of an answer that is a list; nothing of any other.
pub(crate) fn items(answer: Value) -> Vec<Value> {
    if let Value::Array(items) = answer { items } else { Vec::new() }
}

/// The text of an answer; `None` if it has none or is not UTF-8.
pub(crate) fn text(answer: &Value) -> Option<&str> {
    answer.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// The bytes of an answer, without a copy where the driver has them so; `None` of null and of what has none.
pub(crate) fn bytes(answer: Value) -> Option<Bytes> {
    match answer {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(text.into_inner()),
        _ => None,
    }
}

/// The number of an answer, also where the protocol has it as text.
pub(crate) fn integer(answer: &Value) -> Option<i64> {
    match answer {
        Value::Integer(number) => Some(*number),
        other => text(other)?.parse().ok(),
    }
}

/// What an answer should have been and is not.
pub(crate) fn unexpected(command: &str, answer: &Value) -> Error {
    Error::corrupt(format!("the server answers {command} with {:?}, which nobody expects", answer.kind()))
}
