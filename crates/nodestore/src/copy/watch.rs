//! Who watches the copy: told how far it is, asked whether it shall stop.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// What a part of a copy goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyStep {
    /// It is written.
    Copying,
    /// It is read from both stores and compared.
    Comparing,
}

impl CopyStep {
    /// What is being done, as a word: `copying` or `comparing`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copying => "copying",
            Self::Comparing => "comparing",
        }
    }
}

/// What happens during a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyEvent<'a> {
    /// A part is begun.
    Part {
        /// Its name: `nodes`.
        name: &'a str,
        /// What is done with it.
        step: CopyStep,
        /// Records that an earlier run has done.
        done: usize,
        /// All its records, where the store knows how many.
        total: Option<usize>,
    },
    /// So many more records of the part are done.
    Records(usize),
}

type Observer = Arc<dyn Fn(&CopyEvent<'_>) + Send + Sync>;
type Asked = Arc<dyn Fn() -> bool + Send + Sync>;

/// The observer and the question whether to stop.
#[derive(Clone, Default)]
pub(super) struct Watch {
    pub(super) observer: Option<Observer>,
    pub(super) stop: Option<Asked>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("observer", &self.observer.is_some())
            .field("stop", &self.stop.is_some())
            .finish()
    }
}

impl Watch {
    pub(super) fn tell(&self, event: CopyEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
    }

    /// An error when somebody wants the work to stop.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.stop.as_ref().is_some_and(|asked| asked()) {
            return Err(Error::new(ErrorKind::Other, "stopped before the end"));
        }
        Ok(())
    }
}
