//! A server in a container.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::{Missing, variable};

/// A running container; stopped and removed when dropped, and on the signals that end a process politely.
pub(crate) struct Container(
    // The lock lets threads share it.
    #[expect(dead_code, reason = "held for its drop")] Mutex<Box<dyn Send>>,
);

impl Container {
    pub(crate) fn new(container: impl Send + 'static) -> Self {
        Self(Mutex::new(Box::new(container)))
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Container")
    }
}

/// Whether servers are to run in containers: `STORE_TEST_SERVERS` says `container` or `process`, else whether a
/// Docker engine answers.
pub(crate) fn wanted() -> Result<bool, Missing> {
    match variable("STORE_TEST_SERVERS").as_deref() {
        Some("container") => Ok(true),
        Some("process") => Ok(false),
        Some(other) => {
            Err(Missing(format!("STORE_TEST_SERVERS is {other:?}; it may be \"container\" or \"process\"")))
        }
        None => Ok(engine_answers()),
    }
}

fn engine_answers() -> bool {
    let mut version = Command::new("docker");
    version.args(["version", "--format", "{{.Server.Version}}"]);
    version.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// What to do when a container does not start.
pub(crate) fn failed(image: &str, error: &dyn fmt::Display) -> Missing {
    Missing(format!(
        "can not run the container {image}: {error}; set STORE_TEST_SERVERS=process to test against a process"
    ))
}
