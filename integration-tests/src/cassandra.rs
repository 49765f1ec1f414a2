//! Cassandra: a node for all who only use it, and nodes to be hurt.

use std::ops::Deref;

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
