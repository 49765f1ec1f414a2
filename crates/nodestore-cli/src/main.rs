//! The `nodestore` program: ingest, search and look into any store from the shell.

mod chunks;
mod cli;
mod commands;
mod embedding;
mod failure;
mod files;
mod formats;
mod heap;
mod output;
mod progress;
mod snippet;
mod source;
mod stop;
mod store;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    heap::share();
    let cli = cli::Cli::parse();
    start_logging(cli.global.verbose);
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(commands::run(&cli)),
        Err(error) => Err(failure::Failure::new("the program can not start its threads").with_cause(error)),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(cli.global.verbose),
    }
}

/// Events go to stderr: what `NODESTORE_LOG` asks for, else warnings, with `-v` more.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("NODESTORE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| progress::AboveTheBar)
        .with_ansi(false)
        .init();
}
