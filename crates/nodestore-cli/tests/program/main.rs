//! Runs the real program as a person would, each test in a folder and a home of its own.

#![cfg(feature = "embedded")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod benching;
mod chatting;
mod copying;
mod crashing;
mod deleting;
mod doctoring;
#[cfg(feature = "openai")]
mod embedders;
#[cfg(feature = "openai")]
#[path = "../../../nodestore/tests/common/endpoint.rs"]
mod endpoint;
mod errors;
mod folders;
mod ingesting;
#[cfg(all(unix, feature = "openai"))]
mod progressing;
mod quickstart;
mod reading;
#[cfg(feature = "openai")]
mod reembedding;
#[cfg(any(feature = "dynamodb", feature = "mongodb", feature = "redis"))]
mod servers;
mod shells;
mod tour;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A home, a working directory in it, and the program.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A home whose store `kb` holds three documents of the folder `docs`.
    fn with_documents() -> Self {
        let home = Self::new();
        home.write(
            "docs/cats.md",
            "# Cats\n\nCats purr when they are content.\n\n## Food\n\nCats eat fish.\n",
        );
        home.write("docs/dogs.md", "# Dogs\n\nDogs bark at strangers.\n\nDogs chase cats.\n");
        home.write("docs/deep/birds.txt", "Birds sing in the morning.\n");
        home.run(&["ingest", "docs"]).ok();
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.canonicalize().unwrap()
    }

    /// The program in this home, with a clean environment.
    fn command(&self, arguments: &[&str]) -> Command {
        self.any(env!("CARGO_BIN_EXE_nodestore"), arguments)
    }

    /// A line of a shell in this home, with a clean environment.
    fn shell(&self, line: &str) -> Command {
        self.any("sh", &["-c", line])
    }

    fn any(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("NODESTORE") || name.starts_with("CLICOLOR") || name == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        command
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs it on the store `kb`.
    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments).env("NODESTORE_URL", "kb"))
    }

    /// Runs it on the store `kb` and reads the JSON it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let run = self.run(&arguments);
        serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }
}

/// What a run gave.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let run = Self {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        };
        // Also not behind a program that goes on.
        assert!(!run.err.contains("panicked"), "{run:?}");
        run
    }

    #[track_caller]
    fn ok(self) -> Self {
        self.exits(0)
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Every text is in the answer.
    #[track_caller]
    fn shows(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.out.contains(text), "{text:?} is not in the answer of {self:?}");
        }
        self
    }

    /// Every text is in what is said about the work.
    #[track_caller]
    fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is not said in {self:?}");
        }
        self
    }
}
