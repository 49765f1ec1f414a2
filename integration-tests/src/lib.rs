//! Finds or starts the servers that tests need.
//!
//! A test that can do with any server takes the one that `STORE_TEST_<BACKEND>_URL` names. When that is not set,
//! and `STORE_TEST_REQUIRE` asks for one, it is started: in a container where a Docker engine answers (with the
//! feature `containers`), else as a process of this machine by `scripts/servers/<name>.sh`, which installs it.
//! Without `STORE_TEST_REQUIRE` nothing is installed or started, and the test is to be ignored.
//!
//! A test that hurts its server (kills, freezes, restarts it) starts one of its own, always as a process:
//! [`mongodb::Cluster`], [`redis::Servers`], [`dynamodb::Local`], [`cassandra::Nodes`].
//!
//! A server stops when its value is dropped; a process also when the test's process ends in any other way.
//! Another server is one more file beside `mongodb.rs`, `redis.rs`, `dynamodb.rs` and `cassandra.rs`, and its line in [`find_all`].
//!
//! [`page`] is for tests that make a part of a page of the documentation.

pub mod cassandra;
#[cfg(feature = "containers")]
mod container;
pub mod dynamodb;
mod local;
pub mod mongodb;
pub mod page;
pub mod redis;

use std::fmt;
use std::panic::resume_unwind;
use std::thread;

pub use local::{Members, Process};

/// Why a test has no server, and what to do about it: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Whether a missing server is a failure: `STORE_TEST_REQUIRE` is set and not empty.
#[must_use]
pub fn required() -> bool {
    variable("STORE_TEST_REQUIRE").is_some()
}

/// A server for tests. Stops at the end of its life, when it was started for it.
#[derive(Debug)]
pub struct Server {
    /// The variable that names it to tests: `STORE_TEST_MONGODB_URL`.
    pub variable: &'static str,
    /// Its URL, as the backend takes it.
    pub url: String,
    /// Where it comes from, for people: `a container`.
    pub origin: &'static str,
    #[expect(dead_code, reason = "stops it when dropped")]
    running: Running,
}

#[derive(Debug)]
enum Running {
    Elsewhere,
    Process(#[expect(dead_code, reason = "held for its drop")] Process),
    #[cfg(feature = "containers")]
    Container(#[expect(dead_code, reason = "held for its drop")] container::Container),
}

/// Starts a container; answers it and its URL.
#[cfg(feature = "containers")]
type StartContainer = fn() -> Result<(container::Container, String), Missing>;

/// How one kind of server is found or started.
struct Kind {
    variable: &'static str,
    /// The script in `scripts/servers` that runs it as a process, and its options; `None` when it only comes as a
    /// container.
    script: Option<(&'static str, &'static [&'static str])>,
    /// Runs it in a container; `None` when it only comes as a process.
    #[cfg(feature = "containers")]
    container: Option<StartContainer>,
}

impl Kind {
    /// The server that its variable names, else one that is started, if the tests require it.
    fn find(&self) -> Result<Server, Missing> {
        let variable = self.variable;
        if let Some(named) = self.named() {
            return Ok(named);
        }
        if !required() {
            return Err(Missing(format!(
                "{variable} is not set; name a server in it, or set STORE_TEST_REQUIRE=1 to have one started"
            )));
        }
        self.start()?.ok_or_else(|| {
            Missing(format!(
                "{variable} is not set, and this server comes only as a container: name a server in it, or run the \
                 tests with Docker and the feature containers"
            ))
        })
    }

    fn named(&self) -> Option<Server> {
        let url = variable(self.variable)?;
        Some(Server { variable: self.variable, url, origin: "its variable", running: Running::Elsewhere })
    }

    /// A container where they are wanted and it comes as one, else a process; `None` when it comes only as a container
    /// and they are not.
    fn start(&self) -> Result<Option<Server>, Missing> {
        let variable = self.variable;
        #[cfg(feature = "containers")]
        if let Some(start) = self.container
            && container::wanted()?
        {
            let (container, url) = start()?;
            let running = Running::Container(container);
            return Ok(Some(Server { variable, url, origin: "a container", running }));
        }
        #[cfg(not(feature = "containers"))]
        if self::variable("STORE_TEST_SERVERS").as_deref() == Some("container") {
            return Err(Missing(
                "STORE_TEST_SERVERS asks for containers; build this with the feature containers".to_owned(),
            ));
        }
        let Some((script, options)) = self.script else { return Ok(None) };
        let process = Process::start(script, options)?;
        let url = process.value("url")?.to_owned();
        Ok(Some(Server { variable, url, origin: "a process", running: Running::Process(process) }))
    }
}

/// One server of each kind that the backends' own tests use: named ones as they are, the others started, all at the
/// same time. Those that only come as containers are left out where there are none.
pub fn find_all() -> Result<Vec<Server>, Missing> {
    let kinds =
        [&mongodb::KINDS[..], &redis::KINDS[..], &dynamodb::KINDS[..], &cassandra::KINDS[..]].concat();
    thread::scope(|scope| {
        let find = |kind: &'static Kind| match kind.named() {
            Some(named) => Ok(Some(named)),
            None => kind.start(),
        };
        let found: Vec<_> = kinds.into_iter().map(|kind| scope.spawn(move || find(kind))).collect();
        let ended = found.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.filter_map(Result::transpose).collect()
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
