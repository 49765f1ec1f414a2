//! DynamoDB: servers for all who only use them, and one to be hurt.

use std::ops::Deref;

use crate::local::Members;
use crate::{Kind, Missing, Server};

const SCRIPT: &str = "dynamodb.sh";

/// What is started for the backend's own tests.
pub(crate) const KINDS: [&Kind; 2] = [&LOCAL, &DYNOXIDE];

/// Amazon's DynamoDB Local, which knows no vector indexes.
const LOCAL: Kind = Kind {
    variable: "STORE_TEST_DYNAMODB_URL",
    script: Some((SCRIPT, &[])),
    #[cfg(feature = "containers")]
    container: Some(containers::local),
};

/// dynoxide, which knows them.
const DYNOXIDE: Kind = Kind {
    variable: "STORE_TEST_DYNOXIDE_URL",
    script: Some(("dynoxide.sh", &[])),
    #[cfg(feature = "containers")]
    container: None,
};

/// A DynamoDB Local for tests that only use it.
pub fn find() -> Result<Server, Missing> {
    LOCAL.find()
}

#[cfg(feature = "containers")]
mod containers {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use testcontainers::GenericImage;
    use testcontainers::core::{IntoContainerPort as _, WaitFor};
    use testcontainers::runners::SyncRunner as _;

    use crate::Missing;
    use crate::container::{Container, failed};

    const PORT: u16 = 8000;

    pub(super) fn local() -> Result<(Container, String), Missing> {
        let (name, tag) = ("amazon/dynamodb-local", "3.1.0");
        let image = format!("{name}:{tag}");
        let started = GenericImage::new(name, tag)
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Initializing DynamoDB Local"))
            .start()
            .map_err(|error| failed(&image, &error))?;
        let place = started.get_host().and_then(|host| Ok((host, started.get_host_port_ipv4(PORT)?)));
        let (host, port) = place.map_err(|error| failed(&image, &error))?;
        // It says nothing when it listens.
        let end = Instant::now() + Duration::from_mins(1);
        while !answers(&format!("{host}:{port}")) {
            if Instant::now() > end {
                return Err(failed(&image, &"it does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let url = format!("dynamodb://test:test@eu-central-1/?endpoint_url=http%3A%2F%2F{host}%3A{port}");
        Ok((Container::new(started), url))
    }

    fn answers(address: &str) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            stream.read_exact(&mut [0; 4])
        };
        ask().is_ok()
    }
}

/// A DynamoDB Local of one's own, as a process of this machine.
#[derive(Debug)]
pub struct Local(Members);

impl Local {
    /// Starts one with nothing in it, whose tables outlive a restart; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub fn start() -> Result<Self, Missing> {
        Members::start(SCRIPT, &["--disk".to_owned()]).map(Self)
    }
}

impl Deref for Local {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}
