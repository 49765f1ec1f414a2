//! How the program ends: exit codes, and errors a person can act on.

use std::error::Error as StdError;
use std::process::ExitCode;

use nodestore::{Error, ErrorKind};

use crate::output::say;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done.
    Done,
    /// Some items failed; the others were done.
    SomeFailed,
    /// What was asked for is not there.
    NothingFound,
    /// Ctrl-C; the same command goes on where this one stopped.
    Stopped,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::SomeFailed => 3,
            Outcome::NothingFound => 4,
            Outcome::Stopped => crate::stop::EXIT_CODE,
        })
    }
}

/// Why a command could not do its work: one sentence, the next step, and the cause.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    help: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// An error; exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), help: None, cause: None }
    }

    /// The command line can not mean what it says; exit code 2, as clap's own.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(message) }
    }

    /// Says what to do next.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What went wrong, in a sentence.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next.
    pub(crate) fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Keeps what lies behind it, shown with `-v`.
    pub(crate) fn with_cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Shows it on stderr and answers the exit code. A reader that went away is no error.
    pub(crate) fn report(&self, verbose: u8) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        let (error, help) = (crate::output::ERROR, crate::output::STRONG);
        say(format_args!("{error}error:{error:#} {}", crate::output::printable(&self.message)));
        let mut cause = self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static));
        while let (true, Some(error)) = (verbose > 0, cause) {
            say(format_args!("cause: {}", crate::output::printable(&error.to_string())));
            cause = error.source();
        }
        if let Some(text) = &self.help {
            say(format_args!("{help}help:{help:#} {text}"));
        }
        ExitCode::from(self.code)
    }

    fn is_broken_pipe(&self) -> bool {
        let io = self.cause.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Errors of the output; files that are read have messages of their own.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("the output can not be written: {error}")).with_cause(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_embedder = error.backend() == Some("openai");
        let help = match error.kind() {
            ErrorKind::Unavailable if is_embedder => {
                Some("is the endpoint up, and its URL right? Nothing is lost: run the same command again")
            }
            // An embedder says itself where its key comes from.
            ErrorKind::Unauthorized if !is_embedder => {
                Some("check the user name and the password in the store URL (they are not shown here)")
            }
            ErrorKind::Timeout | ErrorKind::Throttled | ErrorKind::Conflict => {
                Some("nothing is lost: run the same command again")
            }
            ErrorKind::Other => Some("run it again with -v to see the cause"),
            // The other messages say themselves what to do.
            _ => None,
        };
        // Who opens a store need not be told so.
        let opening = error.operation() == Some("open") && error.backend().is_none();
        let message = match error.collection() {
            _ if opening => error.message().to_owned(),
            Some(endpoint) if is_embedder => format!("the embedder at {endpoint}, {}", error.message()),
            _ => error.to_string(),
        };
        let mut failure = Self::new(message);
        failure.help = help.map(str::to_owned);
        failure.cause = into_source(error);
        failure
    }
}

/// The error's own source, which its sentence does not repeat; kept by wrapping, as sources can only be borrowed.
fn into_source(error: Error) -> Option<Box<dyn StdError + Send + Sync>> {
    #[derive(Debug)]
    struct Source(Error);

    impl Source {
        fn inner(&self) -> Option<&(dyn StdError + 'static)> {
            StdError::source(&self.0)
        }
    }

    impl std::fmt::Display for Source {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.inner().map_or(Ok(()), |source| write!(f, "{source}"))
        }
    }

    impl StdError for Source {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.inner().and_then(StdError::source)
        }
    }

    StdError::source(&error).is_some().then(|| Box::new(Source(error)) as _)
}
