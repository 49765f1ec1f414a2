//! The driver, behind one door: nothing else in the crate sees its types.
//!
//! It has no time limit of its own, does not wait until a change of the schema is known to all nodes, and when it goes on
//! to another node and there is none, it forgets what the last one said. So it is told never to repeat anything, and all
//! that is done here.

mod asking;
mod balancing;
mod described;
mod known;
mod rows;
mod statements;
mod types;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cdrs_tokio::cluster::session::Session;
use cdrs_tokio::cluster::{Murmur3Token, RustlsConnectionManager, TcpConnectionManager};
use cdrs_tokio::consistency::Consistency;
use cdrs_tokio::frame::Envelope;
use cdrs_tokio::frame::message_batch::BatchType;
use cdrs_tokio::query::{BatchQueryBuilder, PreparedQuery, QueryBatch, QueryValues};
use cdrs_tokio::retry::{FallthroughRetryPolicy, RetryPolicy};
use cdrs_tokio::statement::{StatementParams, StatementParamsBuilder};
use cdrs_tokio::transport::{TransportRustls, TransportTcp};
use cdrs_tokio::types::CBytes;
use cdrs_tokio::types::value::Bytes;
use futures::future::{Either, select};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::config::{CassandraConfig, CassandraConsistency};
use crate::deadline;
use crate::error::{
    closed, from_driver, is_forgotten, is_late, is_no_node, of_transaction, passes_by, timed_out,
};

use asking::{Asking, Place, Silent};
pub use balancing::CassandraBalancing;
pub(crate) use cdrs_tokio::types::value::Value;
pub(crate) use rows::{Row, Rows};
use statements::Statements;

/// A session of the driver's over plain TCP.
pub type CassandraTcpSession = Session<TransportTcp, TcpConnectionManager, CassandraBalancing>;
/// A session of the driver's over TLS.
pub type CassandraTlsSession = Session<TransportRustls, RustlsConnectionManager, CassandraBalancing>;

/// How often the nodes are asked whether they agree on the schema.
const AGREEMENT_EVERY: Duration = Duration::from_millis(20);
/// How many of them at a time.
const ASKED_AT_ONCE: usize = 16;

/// The part of a call's time after which a node that has not answered is taken for silent, while there are others.
const PATIENCE: u32 = 4;
/// The same of lightweight transactions: their nodes wait for seconds for replicas that died just now.
const PATIENCE_OF_TRANSACTIONS: u32 = 2;

/// How many times as long as another call a change of the schema may take: a table's rows are written out before it is
/// dropped, and an index of vectors with them.
const SCHEMA: u32 = 6;

/// How long requests are repeated that found no node that could serve them, and the pauses between.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_FIRST: Duration = Duration::from_millis(10);
const AGAIN_LAST: Duration = Duration::from_millis(200);

/// A session of the driver's.
#[derive(Clone, Debug)]
pub enum CassandraSession {
    /// Over plain TCP.
    Tcp(Arc<CassandraTcpSession>),
    /// Over TLS.
    Tls(Arc<CassandraTlsSession>),
}

/// What a statement is to the cluster: the consistency it needs, and whether it may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads.
    Read,
    /// Writes that do no harm when they are made twice.
    Write,
    /// Writes that must be made once: counters, additions to lists.
    WriteOnce,
    /// Reads what lightweight transactions have written.
    SerialRead,
    /// A lightweight transaction.
    Conditional,
    /// A change of the schema.
    Schema,
}

/// A statement with its values, by position.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    text: String,
    values: Vec<Value>,
    class: Class,
    page: Option<i32>,
    state: Option<Vec<u8>>,
    consistency: Option<CassandraConsistency>,
    /// Of a write, in microseconds since 1970; else it is the node's.
    time: Option<i64>,
    place: Place,
}

impl Call {
    pub(crate) fn new(class: Class, text: impl Into<String>, values: Vec<Value>) -> Self {
        Self {
            text: text.into(),
            values,
            class,
            page: None,
            state: None,
            consistency: None,
            time: None,
            place: Place::default(),
        }
    }

    /// At most so many rows in an answer; the answer says where to go on.
    pub(crate) fn with_page(mut self, rows: i32) -> Self {
        self.page = Some(rows);
        self
    }

    /// Goes on where an answer ended.
    pub(crate) fn after(mut self, state: Vec<u8>) -> Self {
        self.state = Some(state);
        self
    }

    /// A write of this time, in microseconds since 1970. All of a batch are of one.
    pub(crate) fn at_time(mut self, time: i64) -> Self {
        self.time = Some(time);
        self
    }

    /// Instead of the store's own for its class.
    pub(crate) fn with_consistency(mut self, consistency: CassandraConsistency) -> Self {
        self.consistency = Some(consistency);
        self
    }
}

/// A session with the store's time limits and consistency levels.
#[derive(Debug)]
pub(crate) struct Driver {
    session: CassandraSession,
    statements: Statements,
    silent: Arc<Silent>,
    read: Consistency,
    write: Consistency,
    serial: Consistency,
    timeout: Duration,
    /// After how long a read goes to another node as well.
    speculative: Option<Duration>,
    /// Repeats nothing.
    never: NeverAgain,
    closed: AtomicBool,
}

impl Driver {
    pub(crate) fn new(session: CassandraSession, config: &CassandraConfig) -> Self {
        Self {
            session,
            statements: Statements::default(),
            silent: Arc::default(),
            read: level(config.read_consistency),
            write: level(config.write_consistency),
            serial: if config.local_serial { Consistency::LocalSerial } else { Consistency::Serial },
            timeout: config.operation_timeout,
            speculative: config.connection.speculative_delay,
            never: NeverAgain::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// The session; `Unavailable` once closed.
    pub(crate) fn session(&self) -> Result<&CassandraSession> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.session) }
    }

    /// Lets go of the session. Calls in flight may yet finish.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.statements.clear();
    }

    /// Runs a statement, prepared once and then by its id.
    pub(crate) async fn run(&self, call: Call) -> Result<Rows> {
        self.session()?;
        let run = || async {
            let prepared = self.prepared(&call.text).await?;
            self.execute(&prepared, &call).await
        };
        self.within(call.class, call.place, run).await
    }

    /// Prepares statements anew of which a node says that it does not know them, which it does after changes of their
    /// table: only then is it told what is wrong with them.
    fn forget<'a>(&self, error: &Error, calls: impl IntoIterator<Item = &'a Call>) {
        if is_forgotten(error) {
            calls.into_iter().for_each(|call| self.statements.forget(&call.text));
        }
    }

    async fn execute(&self, prepared: &PreparedQuery, call: &Call) -> Result<Rows> {
        let parameters = self.parameters(call, call.values.clone());
        let answer = match &self.session {
            CassandraSession::Tcp(session) => session.exec_with_params(prepared, &parameters).await,
            CassandraSession::Tls(session) => session.exec_with_params(prepared, &parameters).await,
        };
        let answer = answer.map_err(from_driver).inspect_err(|error| self.forget(error, [call]));
        Rows::read(&answer?)
    }

    /// Runs a statement that is not worth preparing, without values: changes of the schema, and what a person typed.
    pub(crate) async fn run_text(&self, call: Call) -> Result<Rows> {
        self.session()?;
        let run = || async {
            let parameters = self.parameters(&call, call.values.clone());
            let answer = match &self.session {
                CassandraSession::Tcp(session) => session.query_with_params(&call.text, parameters).await,
                CassandraSession::Tls(session) => session.query_with_params(&call.text, parameters).await,
            };
            Rows::read(&answer.map_err(from_driver)?)
        };
        self.within(call.class, call.place, run).await
    }

    /// Writes to one partition in one request; all or nothing of it is seen there. The class is that of each statement.
    pub(crate) async fn batch(&self, class: Class, mut calls: Vec<Call>) -> Result<Rows> {
        self.session()?;
        if calls.len() == 1
            && let Some(only) = calls.pop()
        {
            return self.run(only).await;
        }
        // The driver sends a batch anywhere. Once the statement is known, so is where its partition is.
        let first = calls.first().and_then(|first| self.statements.get(&first.text).zip(Some(first)));
        let place =
            Place { token: first.and_then(|(known, first)| partition(&known, &first.values)), node: None };
        let run = || async {
            let mut batch = BatchQueryBuilder::new()
                .with_batch_type(BatchType::Unlogged)
                .with_consistency(self.consistency(class))
                .with_serial_consistency(self.serial);
            let mut keyspace = None;
            for call in &calls {
                let prepared = self.prepared(&call.text).await?;
                batch = batch.add_query_prepared(&prepared, QueryValues::SimpleValues(call.values.clone()));
                keyspace.clone_from(&prepared.keyspace);
            }
            if let Some(time) = calls.first().and_then(|call| call.time) {
                batch = batch.with_timestamp(time);
            }
            let batch = batch.build().map_err(from_driver)?;
            let mut parameters = StatementParamsBuilder::new()
                .with_retry_policy(self.never.policy())
                .idempotent(repeatable(class));
            if let Some(keyspace) = keyspace {
                parameters = parameters.with_keyspace(keyspace);
            }
            let mut parameters = parameters.build();
            // The keyspace is for finding the nodes; version 4 of the protocol has no place for it in a request.
            parameters.query_params.keyspace = None;
            let answer = self.send_batch(batch, &parameters).await;
            Rows::read(&answer.inspect_err(|error| self.forget(error, &calls))?)
        };
        self.within(class, place, run).await
    }

    async fn send_batch(&self, batch: QueryBatch, parameters: &StatementParams) -> Result<Envelope> {
        let answer = match &self.session {
            CassandraSession::Tcp(session) => session.batch_with_params(batch, parameters).await,
            CassandraSession::Tls(session) => session.batch_with_params(batch, parameters).await,
        };
        answer.map_err(from_driver)
    }

    /// Changes the schema, and waits until all nodes know.
    pub(crate) async fn change_schema(&self, text: &str) -> Result<()> {
        self.run_text(Call::new(Class::Schema, text, Vec::new())).await?;
        self.await_agreement().await
    }

    /// Waits until all nodes that are up know the same schema.
    pub(crate) async fn await_agreement(&self) -> Result<()> {
        let until = Instant::now() + self.timeout;
        loop {
            // One that is down has the schema of then, and learns the new one when it comes back.
            let (down, up): (Vec<_>, Vec<_>) = self.session.nodes().into_iter().partition(|node| node.down);
            // Each is asked for itself: what one tells of the others may be old. Those that are not asked, of other
            // datacentres, are told of by the others.
            let mut own = Vec::with_capacity(up.len());
            for node in up {
                let place = Place { token: None, node: Some(node.address) };
                own.push(
                    self.text_read(place, "SELECT schema_version FROM system.local WHERE key = 'local'"),
                );
            }
            let own: Vec<Rows> = stream::iter(own).buffer_unordered(ASKED_AT_ONCE).try_collect().await?;
            let mut versions: Vec<Vec<u8>> = own.iter().flat_map(Rows::first_column).collect();
            let any = Place::default();
            // Of Cassandra 4 and later; others have only the older one.
            let read =
                "SELECT schema_version, native_address AS address, native_port AS port FROM system.peers_v2";
            let peers = match self.text_read(any, read).await {
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    let read = "SELECT schema_version, rpc_address AS address FROM system.peers";
                    self.text_read(any, read).await?
                }
                answer => answer?,
            };
            for (row, version) in peers.iter().zip(peers.first_column()) {
                let (ip, port) = (row.ip("address")?, row.integer("port").ok().flatten());
                let is_it = |node: &known::KnownNode| {
                    let its_port = i64::from(node.address.port());
                    ip == Some(node.address.ip()) && port.is_none_or(|port| port == its_port)
                };
                if !down.iter().any(is_it) {
                    versions.push(version);
                }
            }
            versions.sort_unstable();
            versions.dedup();
            if versions.len() <= 1 {
                return Ok(());
            }
            if Instant::now() >= until {
                let message = format!(
                    "the nodes did not agree on the schema within {} ms; see which of them is behind with nodetool \
                     describecluster",
                    self.timeout.as_millis()
                );
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            tokio::time::sleep(AGREEMENT_EVERY).await;
        }
    }

    async fn text_read(&self, place: Place, text: &str) -> Result<Rows> {
        let read = Call::new(Class::Read, text, Vec::new()).with_consistency(CassandraConsistency::One);
        self.run_text(Call { place, ..read }).await
    }

    async fn prepared(&self, text: &str) -> Result<Arc<PreparedQuery>> {
        if let Some(known) = self.statements.get(text) {
            return Ok(known);
        }
        let prepared = match &self.session {
            CassandraSession::Tcp(session) => session.prepare(text).await,
            CassandraSession::Tls(session) => session.prepare(text).await,
        };
        Ok(self.statements.put(text, prepared.map_err(from_driver)?))
    }

    fn parameters(&self, call: &Call, values: Vec<Value>) -> StatementParams {
        let consistency = call.consistency.map_or_else(|| self.consistency(call.class), level);
        let mut parameters = StatementParamsBuilder::new()
            .with_consistency(consistency)
            .with_serial_consistency(self.serial)
            .with_retry_policy(self.never.policy())
            .idempotent(repeatable(call.class));
        if !values.is_empty() {
            parameters = parameters.with_values(QueryValues::SimpleValues(values));
        }
        if let Some(time) = call.time {
            parameters = parameters.with_timestamp(time);
        }
        if let Some(rows) = call.page {
            parameters = parameters.with_page_size(rows);
        }
        if let Some(state) = &call.state {
            parameters = parameters.with_paging_state(CBytes::new(state.clone()));
        }
        parameters.build()
    }

    fn consistency(&self, class: Class) -> Consistency {
        match class {
            Class::Read => self.read,
            Class::SerialRead => self.serial,
            Class::Write | Class::WriteOnce | Class::Conditional | Class::Schema => self.write,
        }
    }

    /// Waits for the driver, as long as the configuration allows.
    ///
    /// What could not be sent is sent again, and what does no harm also when a node could not serve it: while the cluster
    /// changes both pass by. What its replicas were late with is sent once more: they may be busy with what came before.
    async fn within<T, F: Future<Output = Result<T>>>(
        &self,
        class: Class,
        place: Place,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let until = Instant::now() + AGAIN;
        let mut pause = AGAIN_FIRST;
        let mut was_late = false;
        let answer = async {
            loop {
                match self.ask(class, place, &call).await {
                    Err(error) if !was_late && repeatable(class) && is_late(&error) => was_late = true,
                    Err(error)
                        if Instant::now() < until
                            && (is_no_node(&error)
                                || is_forgotten(&error)
                                || repeatable(class) && passes_by(&error)) =>
                    {
                        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                        pause = (pause * 2).min(AGAIN_LAST);
                    }
                    answer => return answer,
                }
            }
        };
        let (limit, until) = match class {
            Class::Schema => (self.timeout * SCHEMA, Instant::now() + self.timeout * SCHEMA),
            _ => (self.timeout, deadline::until(self.timeout)),
        };
        let answer = tokio::time::timeout_at(until, answer).await.map_err(|_| timed_out(limit))?;
        if class == Class::Conditional { answer.map_err(of_transaction) } else { answer }
    }

    /// Makes a request; while the node that it went to says nothing, and there are others, what does no harm goes to
    /// another as well, and of a lightweight transaction it is said that nobody knows what became of it.
    ///
    /// The driver has this for itself, and panics when both nodes lose their connections.
    async fn ask<T, F: Future<Output = Result<T>>>(
        &self,
        class: Class,
        place: Place,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let begin = Instant::now();
        let patience = self.timeout / PATIENCE;
        let wait = match class {
            Class::Read | Class::SerialRead => self.speculative.map_or(patience, |delay| delay.min(patience)),
            Class::Write | Class::WriteOnce | Class::Schema => patience,
            Class::Conditional => self.timeout / PATIENCE_OF_TRANSACTIONS,
        };
        let first = Asking::new(&self.silent, place, class != Class::Schema);
        // The driver's futures are large; on the heap at once, ours do not become so.
        let mut one = pin!(first.run(Box::pin(call())));
        if let Ok(answer) = tokio::time::timeout(wait, &mut one).await {
            first.answered();
            return answer;
        }
        let Some(second) = first.elsewhere() else { return one.await };
        if wait >= patience {
            first.waited();
        }
        match class {
            Class::Conditional => return Err(timed_out(wait)),
            Class::WriteOnce | Class::Schema => return one.await,
            Class::Read | Class::Write | Class::SerialRead => {}
        }
        let two = pin!(second.run(Box::pin(call())));
        match select(one, two).await {
            Either::Left((Err(error), two)) if waits_for_the_other(&error) => two.await,
            Either::Left((answer, _)) => {
                first.answered();
                answer
            }
            Either::Right((Err(error), one)) if waits_for_the_other(&error) => one.await,
            Either::Right((answer, _)) => {
                if begin.elapsed() >= patience {
                    first.waited();
                }
                second.answered();
                answer
            }
        }
    }
}

/// Whether another node may do better.
fn waits_for_the_other(error: &Error) -> bool {
    is_no_node(error) || passes_by(error) || error.kind() == ErrorKind::Timeout
}

/// The driver's policy that repeats nothing, for sessions that were made with another.
struct NeverAgain(Arc<dyn RetryPolicy + Send + Sync>);

impl NeverAgain {
    fn policy(&self) -> Arc<dyn RetryPolicy + Send + Sync> {
        Arc::clone(&self.0)
    }
}

impl Default for NeverAgain {
    fn default() -> Self {
        Self(Arc::new(FallthroughRetryPolicy))
    }
}

impl std::fmt::Debug for NeverAgain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NeverAgain")
    }
}

/// Where the partition is that a prepared statement names by these values; `None` when it names none.
fn partition(prepared: &PreparedQuery, values: &[Value]) -> Option<Murmur3Token> {
    let key = prepared.pk_indexes.iter().map(|index| match values.get(usize::try_from(*index).ok()?) {
        Some(Value::Some(bytes)) => Some(bytes.as_slice()),
        _ => None,
    });
    let key: Vec<&[u8]> = key.collect::<Option<_>>()?;
    match &key[..] {
        [] => None,
        [only] => Some(Murmur3Token::generate(only)),
        // As Cassandra writes composite keys: the length, the value, and a zero, of each.
        parts => {
            let mut whole = Vec::new();
            for part in parts {
                whole.extend_from_slice(&u16::try_from(part.len()).ok()?.to_be_bytes());
                whole.extend_from_slice(part);
                whole.push(0);
            }
            Some(Murmur3Token::generate(&whole))
        }
    }
}

fn repeatable(class: Class) -> bool {
    matches!(class, Class::Read | Class::Write | Class::SerialRead)
}

fn level(consistency: CassandraConsistency) -> Consistency {
    match consistency {
        CassandraConsistency::One => Consistency::One,
        CassandraConsistency::LocalOne => Consistency::LocalOne,
        CassandraConsistency::Quorum => Consistency::Quorum,
        CassandraConsistency::LocalQuorum => Consistency::LocalQuorum,
        CassandraConsistency::EachQuorum => Consistency::EachQuorum,
        CassandraConsistency::All => Consistency::All,
    }
}

/// A value of bytes as they are.
pub(crate) fn bytes(bytes: Vec<u8>) -> Value {
    Value::new(Bytes::new(bytes))
}
