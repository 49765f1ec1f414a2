//! The bridge: every role of every backend over JSON lines on stdin and stdout, so that programs in other languages
//! can drive our stores. For development only; `bridge --help` shows how.

mod answer;
mod args;
mod help;
mod lines;
mod ops;
mod page;
mod request;
mod serve;
mod stores;

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => run(),
        ["--help" | "-h"] => print(&help::text()),
        ["--version" | "-V"] => print(concat!("bridge ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => {
            eprintln!(
                "error: bridge takes no arguments but --help and --version; requests are read from stdin"
            );
            ExitCode::from(2)
        }
    }
}

/// A reader of the text that went away is no error.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn run() -> ExitCode {
    start_logging();
    match serve::serve(std::io::stdin().lock(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Events go to stderr: what `NODESTORE_LOG` asks for, else warnings.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("NODESTORE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
