//! Redis: servers for all who only use them, and servers to be hurt.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use crate::local::Members;
use crate::{Kind, Missing};

const SCRIPT: &str = "redis.sh";

/// What is started for the backend's own tests.
pub(crate) const KINDS: [&Kind; 5] = [&PLAIN, &STACK, &REDIS8, &CLUSTER, &TLS];

/// Without any module.
const PLAIN: Kind = Kind {
    variable: "STORE_TEST_REDIS_URL",
    script: Some((SCRIPT, &[])),
    #[cfg(feature = "containers")]
    container: Some(|| containers::run("redis", "7.0")),
};

/// Redis Stack: with search and JSON.
const STACK: Kind = Kind {
    variable: "STORE_TEST_REDIS_STACK_URL",
    script: Some((SCRIPT, &["--flavor", "stack"])),
    #[cfg(feature = "containers")]
    container: Some(|| containers::run("redis/redis-stack-server", "7.4.0-v3")),
};

/// With search, JSON and vector sets.
const REDIS8: Kind = Kind {
    variable: "STORE_TEST_REDIS8_URL",
    script: Some((SCRIPT, &["--flavor", "redis8"])),
    #[cfg(feature = "containers")]
    container: Some(|| containers::run("redis", "8.2")),
};

/// Three masters; as processes only: clients are told addresses, which inside of a container are others.
const CLUSTER: Kind = Kind {
    variable: "STORE_TEST_REDIS_CLUSTER_URL",
    script: Some((SCRIPT, &["--cluster"])),
    #[cfg(feature = "containers")]
    container: None,
};

/// Takes only TLS, and only users with a password; as a process only, for its certificates.
const TLS: Kind = Kind {
    variable: "STORE_TEST_REDIS_TLS_URL",
    script: Some((SCRIPT, &["--tls", "--acl"])),
    #[cfg(feature = "containers")]
    container: None,
};

#[cfg(feature = "containers")]
mod containers {
    use testcontainers::GenericImage;
    use testcontainers::core::{IntoContainerPort as _, WaitFor};
    use testcontainers::runners::SyncRunner as _;

    use crate::Missing;
    use crate::container::{Container, failed};

    const PORT: u16 = 6379;

    pub(super) fn run(name: &str, tag: &str) -> Result<(Container, String), Missing> {
        let image = format!("{name}:{tag}");
        let started = GenericImage::new(name, tag)
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
            .start()
            .map_err(|error| failed(&image, &error))?;
        let place = started.get_host().and_then(|host| Ok((host, started.get_host_port_ipv4(PORT)?)));
        let (host, port) = place.map_err(|error| failed(&image, &error))?;
        Ok((Container::new(started), format!("redis://{host}:{port}")))
    }
}

/// How many servers [`Servers`] are, and what to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One alone.
    Single,
    /// A cluster of three masters.
    Cluster,
    /// A master, its replica, and three sentinels that call it `main`, in this order of their ports.
    Sentinel,
}

/// What [`Servers`] are to be.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "options of a script")]
pub struct Options {
    /// How many, and what to each other.
    pub layout: Layout,
    /// Whether each master of a cluster has a replica, after the masters.
    pub replicas: bool,
    /// Whether it asks for a user: `app` with `apppw` may do all, `reader` with `readerpw` may only read. Sentinels ask
    /// for `watcher` with `watcherpw`. Not for a cluster.
    pub acl: bool,
    /// Whether it takes only TLS. Not for sentinels.
    pub tls: bool,
    /// Whether every write is on the disk before it is acknowledged.
    pub persist: bool,
    /// Whether it is Redis Stack, with search and JSON.
    pub search: bool,
}

impl Default for Options {
    /// One alone, no users, no TLS, nothing kept, no modules.
    fn default() -> Self {
        Self {
            layout: Layout::Single,
            replicas: false,
            acl: false,
            tls: false,
            persist: false,
            search: false,
        }
    }
}

/// Redis servers of one's own, as processes of this machine.
#[derive(Debug)]
pub struct Servers(Members);

impl Servers {
    /// Starts them; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub fn start(options: Options) -> Result<Self, Missing> {
        let layout = match options.layout {
            Layout::Single => None,
            Layout::Cluster => Some("--cluster"),
            Layout::Sentinel => Some("--sentinel"),
        };
        let wanted = [
            layout,
            options.replicas.then_some("--replicas"),
            options.acl.then_some("--acl"),
            options.tls.then_some("--tls"),
            options.persist.then_some("--persist"),
        ];
        let search: &[&str] = if options.search { &["--flavor", "stack"] } else { &[] };
        let arguments: Vec<String> =
            wanted.into_iter().flatten().chain(search.iter().copied()).map(str::to_owned).collect();
        Members::start(SCRIPT, &arguments).map(Self)
    }
}

impl Deref for Servers {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}

/// An answer of a server, in RESP2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A text, or a number as its text.
    Text(String),
    /// Nothing.
    Null,
    /// More answers.
    List(Vec<Answer>),
}

impl Answer {
    /// The texts in it, one after the other.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Null => Vec::new(),
            Self::List(answers) => answers.iter().flat_map(Self::texts).collect(),
        }
    }
}

/// Asks the server on this port of 127.0.0.1 without any driver, as one who looks from outside. An answer that is an
/// error is `Err`.
pub fn ask(port: u16, words: &[&str]) -> Result<Answer, Missing> {
    let failed = |error: std::io::Error| Missing(format!("{words:?} at {port}: {error}"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).map_err(failed)?;
    let words_sent = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    let request = format!("*{}\r\n{}", words.len(), words_sent.collect::<String>());
    stream.write_all(request.as_bytes()).map_err(failed)?;
    read(&mut BufReader::new(stream)).map_err(failed)
}

fn read(lines: &mut BufReader<TcpStream>) -> Result<Answer, std::io::Error> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let strange = || std::io::Error::other(format!("answers {line:?}"));
    let text = line.trim_end();
    let rest = text.get(1..).ok_or_else(strange)?;
    let length = || rest.parse::<i64>().map_err(|_| strange());
    match text.chars().next() {
        Some('+' | ':') => Ok(Answer::Text(rest.to_owned())),
        Some('$' | '*') if length()? < 0 => Ok(Answer::Null),
        Some('*') => (0..length()?).map(|_| read(lines)).collect::<Result<_, _>>().map(Answer::List),
        Some('$') => {
            let mut bytes = vec![0; usize::try_from(length()?).map_err(|_| strange())? + 2];
            lines.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Ok(Answer::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Err(strange()),
    }
}
