//! MongoDB: one server for all who only use it, and replica sets to be hurt.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::local::{self, Process};
use crate::{Kind, Missing, Server, required};

const SCRIPT: &str = "mongod.sh";

/// A replica set of one member: mongo 8 in a container, 6.0 as a process.
pub(crate) const KIND: Kind = Kind {
    variable: "STORE_TEST_MONGODB_URL",
    script: Some(SCRIPT),
    #[cfg(feature = "containers")]
    container: containers::mongo,
};

/// A server with Atlas Search and vector search.
pub(crate) const ATLAS: Kind = Kind {
    variable: "STORE_TEST_MONGODB_ATLAS_URL",
    script: None,
    #[cfg(feature = "containers")]
    container: containers::atlas,
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
pub struct Cluster {
    process: Process,
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Cluster {
    /// Starts one; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub fn start(options: Options) -> Result<Self, Missing> {
        if !required() {
            return Err(Missing(
                "a server to hurt is started only when asked for: set STORE_TEST_REQUIRE=1".to_owned(),
            ));
        }
        let mut arguments = vec!["--members".to_owned(), options.members.to_string()];
        arguments.extend(options.auth.then(|| "--auth".to_owned()));
        arguments.extend(options.tls.then(|| "--tls".to_owned()));
        let process = Process::start(SCRIPT, &arguments)?;
        let folder = PathBuf::from(process.value("folder")?);
        let ports = process.value("ports")?.split_whitespace().map_while(|port| port.parse().ok()).collect();
        Ok(Self { process, folder, ports })
    }

    /// The URL with all that is needed: user, password, CA file.
    pub fn url(&self) -> Result<&str, Missing> {
        self.process.value("url")
    }

    /// The members' ports on 127.0.0.1.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// A file of the folder `tls`: `ca.crt`, `other-ca.crt` (of a CA that the server does not have), `client.pem`
    /// (key and certificate of an X.509 user), `stranger.pem` (of nobody).
    #[must_use]
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(name)
    }

    /// Kills a member at once (`SIGKILL`).
    pub fn kill(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::KILL)
    }

    /// Freezes a member (`SIGSTOP`): its connections stay open, and it says nothing.
    pub fn freeze(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::STOP)
    }

    /// Lets a frozen member go on (`SIGCONT`).
    pub fn thaw(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::CONT)
    }

    /// Starts a killed member again and waits until it listens.
    pub fn restart(&self, port: u16) -> Result<(), Missing> {
        let number = self.number(port)?;
        let mut command = local::command(SCRIPT);
        command.arg("member").arg(&self.folder).arg(number.to_string());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Missing(format!("member {number} does not start again: {status}"))),
            Err(error) => Err(Missing(format!("can not run scripts/servers/{SCRIPT}: {error}"))),
        }
    }

    fn number(&self, port: u16) -> Result<usize, Missing> {
        let number = self.ports.iter().position(|own| *own == port);
        number.ok_or_else(|| Missing(format!("no member listens on {port}")))
    }

    fn signal(&self, port: u16, signal: Signal) -> Result<(), Missing> {
        let file = self.folder.join(format!("n{}/pid", self.number(port)?));
        let pid = read_pid(&file).ok_or_else(|| Missing(format!("no process id in {}", file.display())))?;
        kill_process(pid, signal)
            .map_err(|error| Missing(format!("can not signal the process of {port}: {error}")))
    }
}

fn read_pid(file: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)
}
