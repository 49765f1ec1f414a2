//! Cassandra: a node for all who only use it, and nodes to be hurt.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use crate::local::Members;
use crate::{Kind, Missing, Server};

const SCRIPT: &str = "cassandra.sh";

/// What is started for the backend's own tests.
pub(crate) const KINDS: [&Kind; 1] = [&NODE];

/// One node, which changes its schema quickly.
const NODE: Kind = Kind {
    variable: "STORE_TEST_CASSANDRA_URL",
    script: Some((SCRIPT, &["--fast"])),
    #[cfg(feature = "containers")]
    container: Some(containers::node),
};

/// A node for tests that only use it.
pub fn find() -> Result<Server, Missing> {
    NODE.find()
}

#[cfg(feature = "containers")]
mod containers {
    use testcontainers::core::{IntoContainerPort as _, WaitFor};
    use testcontainers::runners::SyncRunner as _;
    use testcontainers::{GenericImage, ImageExt as _};

    use crate::Missing;
    use crate::container::{Container, failed};

    const PORT: u16 = 9042;

    pub(super) fn node() -> Result<(Container, String), Missing> {
        let (name, tag) = ("cassandra", "5.0");
        let image = format!("{name}:{tag}");
        let started = GenericImage::new(name, tag)
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Startup complete"))
            .with_startup_timeout(std::time::Duration::from_mins(5))
            .start()
            .map_err(|error| failed(&image, &error))?;
        let place = started.get_host().and_then(|host| Ok((host, started.get_host_port_ipv4(PORT)?)));
        let (host, port) = place.map_err(|error| failed(&image, &error))?;
        Ok((Container::new(started), format!("cassandra://{host}:{port}/")))
    }
}

/// What [`Nodes`] are to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many, which know each other.
    pub nodes: usize,
    /// Whether they ask for a user: `cassandra` with `cassandra` may do all.
    pub auth: bool,
    /// Whether they take only TLS, and ask for a certificate.
    pub tls: bool,
}

impl Default for Options {
    /// One alone, no users, no TLS.
    fn default() -> Self {
        Self { nodes: 1, auth: false, tls: false }
    }
}

/// Cassandra nodes of one's own, as processes of this machine.
#[derive(Debug)]
pub struct Nodes(Members);

impl Nodes {
    /// Starts them; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub fn start(options: Options) -> Result<Self, Missing> {
        let mut arguments = vec!["--nodes".to_owned(), options.nodes.to_string()];
        arguments.extend(options.auth.then(|| "--auth".to_owned()));
        arguments.extend(options.tls.then(|| "--tls".to_owned()));
        Members::start(SCRIPT, &arguments).map(Self)
    }
}

impl Deref for Nodes {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}

/// Cells of one column, each as text; `None` where it is null.
pub type Column = Vec<Option<String>>;

/// Has the node on this port of 127.0.0.1 run a statement without any driver, as one who looks from outside; answers the
/// first column of its rows, which must be a text. For nodes without users and TLS; an answer that is an error is `Err`.
pub fn ask(port: u16, statement: &str) -> Result<Column, Missing> {
    let failed = |why: &dyn std::fmt::Display| Missing(format!("{statement:?} at {port}: {why}"));
    let io = |error: std::io::Error| failed(&error);
    let mut node = TcpStream::connect(("127.0.0.1", port)).map_err(io)?;
    node.set_read_timeout(Some(Duration::from_mins(1))).map_err(io)?;
    let mut options = 1_u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        options.extend([0, u8::try_from(text.len()).unwrap_or_default()]);
        options.extend(text.as_bytes());
    }
    exchange(&mut node, STARTUP, &options).map_err(io)?;
    let mut query = u32::try_from(statement.len()).unwrap_or_default().to_be_bytes().to_vec();
    query.extend(statement.as_bytes());
    // Consistency ONE, no flags.
    query.extend([0, 1, 0]);
    match exchange(&mut node, QUERY, &query).map_err(io)? {
        (RESULT, body) => first_column(&body).ok_or_else(|| failed(&"the answer can not be read")),
        (_, body) => Err(failed(&String::from_utf8_lossy(body.get(6..).unwrap_or_default()))),
    }
}

// Of version 4 of the native protocol.
const STARTUP: u8 = 1;
const QUERY: u8 = 7;
const RESULT: u8 = 8;
const ROWS: i32 = 2;

fn exchange(node: &mut TcpStream, code: u8, body: &[u8]) -> std::io::Result<(u8, Vec<u8>)> {
    let mut request = vec![4, 0, 0, 0, code];
    request.extend(u32::try_from(body.len()).unwrap_or_default().to_be_bytes());
    request.extend(body);
    node.write_all(&request)?;
    let mut head = [0; 9];
    node.read_exact(&mut head)?;
    let [_, _, _, _, code, length @ ..] = head;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or_default()];
    node.read_exact(&mut body)?;
    Ok((code, body))
}

/// Takes numbers and texts from the beginning of an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn int(&mut self) -> Option<i32> {
        self.bytes(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.bytes(usize::from(length))
    }
}

/// All columns must be of types without parameters.
fn first_column(body: &[u8]) -> Option<Column> {
    let mut answer = Answer(body);
    if answer.int()? != ROWS {
        return Some(Column::new());
    }
    let flags = answer.int()?;
    let columns = answer.int()?;
    // One keyspace and table for all of them, and no page after this.
    if flags != 1 {
        return None;
    }
    answer.text()?;
    answer.text()?;
    for _ in 0..columns {
        answer.text()?;
        answer.short()?;
    }
    let rows = answer.int()?;
    let mut found = Column::new();
    for _ in 0..rows {
        for column in 0..columns {
            let cell = match usize::try_from(answer.int()?) {
                Ok(length) => Some(String::from_utf8_lossy(answer.bytes(length)?).into_owned()),
                Err(_) => None,
            };
            if column == 0 {
                found.push(cell);
            }
        }
    }
    Some(found)
}
