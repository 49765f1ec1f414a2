//! MongoDB: one server for all who only use it, and replica sets to be hurt.

use std::ops::Deref;

use crate::local::Members;
use crate::{Kind, Missing, Server};

const SCRIPT: &str = "mongod.sh";

/// What is started for the backend's own tests.
pub(crate) const KINDS: [&Kind; 2] = [&KIND, &ATLAS];

/// A replica set of one member: mongo 8 in a container, 6.0 as a process.
const KIND: Kind = Kind {
    variable: "STORE_TEST_MONGODB_URL",
    script: Some((SCRIPT, &[])),
    #[cfg(feature = "containers")]
    container: Some(containers::mongo),
};

/// A server with Atlas Search and vector search.
const ATLAS: Kind = Kind {
    variable: "STORE_TEST_MONGODB_ATLAS_URL",
    script: None,
    #[cfg(feature = "containers")]
    container: Some(containers::atlas),
};

/// A server for tests that only use it: a replica set of one member.
pub fn find() -> Result<Server, Missing> {
    KIND.find()
}

#[cfg(feature = "containers")]
mod containers {
    use testcontainers::core::{IntoContainerPort as _, WaitFor};
    use testcontainers::runners::SyncRunner as _;
    use testcontainers::{Container as Running, GenericImage, Image, ImageExt as _};
    use testcontainers_modules::mongo::Mongo;

    use crate::Missing;
    use crate::container::{Container, failed};

    const PORT: u16 = 27017;

    pub(super) fn mongo() -> Result<(Container, String), Missing> {
        let image = "mongo:8.0";
        let started = Mongo::repl_set().with_tag("8.0").start().map_err(|error| failed(image, &error))?;
        ready(image, started)
    }

    pub(super) fn atlas() -> Result<(Container, String), Missing> {
        let (name, tag) = ("mongodb/mongodb-atlas-local", "8.0");
        let image = GenericImage::new(name, tag)
            .with_exposed_port(PORT.tcp())
            // The image's own check waits for the search process too.
            .with_wait_for(WaitFor::healthcheck());
        let image_name = format!("{name}:{tag}");
        let started = image.start().map_err(|error| failed(&image_name, &error))?;
        ready(&image_name, started)
    }

    fn ready<I: Image + 'static>(image: &str, running: Running<I>) -> Result<(Container, String), Missing> {
        let place = running.get_host().and_then(|host| Ok((host, running.get_host_port_ipv4(PORT)?)));
        let (host, port) = place.map_err(|error| failed(image, &error))?;
        // The member's own name for itself means nothing outside of the container.
        let url = format!("mongodb://{host}:{port}/?directConnection=true");
        Ok((Container::new(running), url))
    }
}

/// What a [`Cluster`] is to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many members, 1 to 7.
    pub members: usize,
    /// Whether it asks for a password: of the user `root` it is `rootpw`.
    pub auth: bool,
    /// Whether it takes only TLS.
    pub tls: bool,
}

impl Default for Options {
    /// One member, no password, no TLS.
    fn default() -> Self {
        Self { members: 1, auth: false, tls: false }
    }
}

/// A replica set of one's own, named `rs0`, as processes of this machine.
#[derive(Debug)]
pub struct Cluster(Members);

impl Cluster {
    /// Starts one; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub fn start(options: Options) -> Result<Self, Missing> {
        let mut arguments = vec!["--members".to_owned(), options.members.to_string()];
        arguments.extend(options.auth.then(|| "--auth".to_owned()));
        arguments.extend(options.tls.then(|| "--tls".to_owned()));
        Members::start(SCRIPT, &arguments).map(Self)
    }
}

impl Deref for Cluster {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}
