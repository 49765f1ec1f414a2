//! Who watches the copy: told how far it is, asked whether it shall stop.

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

pub(super) type Watch = crate::watch::Watch<dyn Fn(&CopyEvent<'_>) + Send + Sync>;

impl Watch {
    pub(super) fn tell(&self, event: CopyEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
    }
}
