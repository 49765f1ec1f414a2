//! A server that was started for tests goes with them, even if they are killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Done, Test};

pub(crate) const TRIALS: &[(&str, Test)] = &[("fault_killed_tests_leave_no_server", killed_tests)];

fn killed_tests() -> Done {
    let mut tests = Command::new(env!("CARGO_BIN_EXE_with-servers"))
        // Says where the server is, and goes on until its own input ends.
        .args(["bash", "-c", "echo \"$STORE_TEST_MONGODB_URL\"; exec cat >/dev/null"])
        .env_remove("STORE_TEST_MONGODB_URL")
        .env("STORE_TEST_SERVERS", "process")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut url = String::new();
    let output = tests.stdout.take().ok_or("no pipe")?;
    BufReader::new(output).read_line(&mut url)?;
    let address = url.split('/').nth(2).ok_or_else(|| format!("no server: {url:?}"))?.to_owned();
    let listened = TcpStream::connect(&address).is_ok();
    tests.kill()?;
    tests.wait()?;
    if !listened {
        return Err(format!("nobody listens on {address}").into());
    }
    for _ in 0..600 {
        if TcpStream::connect(&address).is_err() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("the server has outlived its tests by a minute".into())
}
