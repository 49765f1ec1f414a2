//! A server as a process of this machine, run by a script of `scripts/servers`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Missing;

/// `scripts/servers/<name>.sh run`: it stops the server when its standard input ends, so when this value is dropped
/// or this process ends, however it does.
#[derive(Debug)]
pub struct Process {
    script: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    lines: Vec<String>,
}

impl Process {
    /// Runs the script with these options and waits until the server is ready. The first time on a machine it
    /// downloads the server.
    pub fn start(script: &'static str, options: &[String]) -> Result<Self, Missing> {
        let mut command = self::command(script);
        command.arg("run").args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Missing(format!("can not run scripts/servers/{script}: {error}")))?;
        let input = child.stdin.take();
        let mut lines = Vec::new();
        if let Some(output) = child.stdout.take() {
            lines.extend(
                BufReader::new(output).lines().map_while(Result::ok).take_while(|line| line != "ready"),
            );
        }
        let mut process = Self { script, child, input, lines };
        // A script that fails has said why on standard error, and ends.
        if process.lines.is_empty() {
            drop(process.input.take());
            let status =
                process.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            return Err(Missing(format!(
                "scripts/servers/{script} could not start a server ({status}); what it printed says why, and \
                 `scripts/servers/{script} run` shows it again"
            )));
        }
        Ok(process)
    }

    /// What the script said of the server: `folder`, `ports`, `url`.
    pub fn value(&self, name: &str) -> Result<&str, Missing> {
        self.lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| Missing(format!("scripts/servers/{} did not print its {name}", self.script)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // It is stopped and its folder gone when the script has ended.
        drop(self.child.wait());
    }
}

/// A script of `scripts/servers`, with nothing on its standard input.
pub(crate) fn command(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(format!("{}/../scripts/servers/{script}", env!("CARGO_MANIFEST_DIR"))).stdin(Stdio::null());
    command
}
