//! A server as a process of this machine, run by a script of `scripts/servers`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Missing, required};

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
    pub fn start(script: &'static str, options: &[impl AsRef<str>]) -> Result<Self, Missing> {
        let options = options.iter().map(AsRef::as_ref);
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

/// The processes of a server of one's own, to be hurt. A member is named by its port on 127.0.0.1.
#[derive(Debug)]
pub struct Members {
    script: &'static str,
    process: Process,
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Members {
    /// Starts them; `Err` unless `STORE_TEST_REQUIRE` asks for it.
    pub(crate) fn start(script: &'static str, options: &[String]) -> Result<Self, Missing> {
        if !required() {
            return Err(Missing(
                "a server to hurt is started only when asked for: set STORE_TEST_REQUIRE=1".to_owned(),
            ));
        }
        let process = Process::start(script, options)?;
        let folder = PathBuf::from(process.value("folder")?);
        let ports = process.value("ports")?.split_whitespace().map_while(|port| port.parse().ok()).collect();
        Ok(Self { script, process, folder, ports })
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
    /// (key and certificate of a client; at MongoDB an X.509 user's), `stranger.pem` (of no user).
    #[must_use]
    pub fn tls_file(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(name)
    }

    /// Kills a member at once (`SIGKILL`); it is gone when this returns.
    pub fn kill(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::KILL)?;
        // Its end takes the system a moment, in which a restart would find that it runs.
        while runs(self.pid(port)?) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Freezes a member (`SIGSTOP`): its connections stay open, and it says nothing any more when this returns.
    pub fn freeze(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::STOP)?;
        // A thread at work stops a moment later, and may have answered by then.
        while !is_stopped(self.pid(port)?) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets a frozen member go on (`SIGCONT`).
    pub fn thaw(&self, port: u16) -> Result<(), Missing> {
        self.signal(port, Signal::CONT)
    }

    /// Starts a killed member again and waits until it listens.
    pub fn restart(&self, port: u16) -> Result<(), Missing> {
        let number = self.number(port)?;
        let mut command = command(self.script);
        command.arg("member").arg(&self.folder).arg(number.to_string());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Missing(format!("member {number} does not start again: {status}"))),
            Err(error) => Err(Missing(format!("can not run scripts/servers/{}: {error}", self.script))),
        }
    }

    fn number(&self, port: u16) -> Result<usize, Missing> {
        let number = self.ports.iter().position(|own| *own == port);
        number.ok_or_else(|| Missing(format!("no member listens on {port}")))
    }

    fn pid(&self, port: u16) -> Result<Pid, Missing> {
        let file = self.folder.join(format!("n{}/pid", self.number(port)?));
        read_pid(&file).ok_or_else(|| Missing(format!("no process id in {}", file.display())))
    }

    fn signal(&self, port: u16, signal: Signal) -> Result<(), Missing> {
        kill_process(self.pid(port)?, signal)
            .map_err(|error| Missing(format!("can not signal the process of {port}: {error}")))
    }
}

/// Whether a process runs, with any of its threads; one that only waits to be looked at does not.
fn runs(pid: Pid) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())) else {
        return false;
    };
    !value(&status, "State:").starts_with(['Z', 'X']) || value(&status, "Threads:") != "1"
}

/// Whether no thread of a process runs.
fn is_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    threads.into_iter().flatten().flatten().all(|thread| {
        // One without a status has just ended.
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.is_empty() || value(&status, "State:").starts_with(['T', 'Z', 'X'])
    })
}

fn value<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim_start()
}

fn read_pid(file: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)
}
