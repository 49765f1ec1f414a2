//! Who watches a long work: told how far it is, asked whether it shall stop.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

type Asked = Arc<dyn Fn() -> bool + Send + Sync>;

/// The observer, a function of what happens, and the question whether to stop.
pub(crate) struct Watch<O: ?Sized> {
    pub(crate) observer: Option<Arc<O>>,
    pub(crate) stop: Option<Asked>,
}

impl<O: ?Sized> Clone for Watch<O> {
    fn clone(&self) -> Self {
        Self { observer: self.observer.clone(), stop: self.stop.clone() }
    }
}

impl<O: ?Sized> Default for Watch<O> {
    fn default() -> Self {
        Self { observer: None, stop: None }
    }
}

impl<O: ?Sized> fmt::Debug for Watch<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("observer", &self.observer.is_some())
            .field("stop", &self.stop.is_some())
            .finish()
    }
}

impl<O: ?Sized> Watch<O> {
    /// An error when somebody wants the work to stop.
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.stop.as_ref().is_some_and(|asked| asked()) {
            return Err(Error::new(ErrorKind::Other, "stopped before the end"));
        }
        Ok(())
    }
}
