//! Runs a command with one server of each kind, named by the variables `STORE_TEST_<BACKEND>_URL`, and stops them
//! when it has ended. Without a command, prints the variables and keeps the servers until Ctrl-C or the end of
//! standard input.

use std::io::Read as _;
use std::process::{Command, ExitCode};

use nodestore_integration_tests::{Server, find_all};

const HELP: &str = "\
Usage: with-servers [COMMAND [ARGUMENT]...]

Runs a command with one server of each kind, named by the variables
STORE_TEST_<BACKEND>_URL, and stops them when it has ended. A server whose
variable is set already is taken instead of one of its own. Without a command,
prints the variables and keeps the servers until Ctrl-C or the end of standard
input.";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "--help" || first == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let found = match find_all() {
        Ok(found) => found,
        Err(missing) => {
            eprintln!("error: {missing}");
            return ExitCode::FAILURE;
        }
    };
    let Some(program) = arguments.next() else {
        return keep(&found);
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    for server in &found {
        eprintln!("{} from {}: {}", server.variable, server.origin, server.url);
        command.env(server.variable, &server.url);
    }
    match command.status() {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            eprintln!("error: can not run {}: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}

/// Containers are removed on Ctrl-C by their library, processes by the end of this one.
fn keep(servers: &[Server]) -> ExitCode {
    for server in servers {
        println!("export {}='{}'", server.variable, server.url);
    }
    eprintln!("Ctrl-C stops them");
    let mut input = std::io::stdin().lock();
    let mut buffer = [0; 64];
    while input.read(&mut buffer).is_ok_and(|count| count > 0) {}
    ExitCode::SUCCESS
}
