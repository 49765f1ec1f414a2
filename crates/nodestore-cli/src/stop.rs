//! Ctrl-C during long work: the first one asks the work to stop where it can go on later, the second ends the
//! program at once.

use std::future::Future;

use tokio::sync::watch;

use crate::output::say;

/// The exit code of work that was stopped, as shells give it to Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

/// Whether somebody asked the program to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for Ctrl-C, and for the signal by which services are stopped, from now on.
    pub(crate) fn listen() -> Self {
        let (asked, stop) = watch::channel(false);
        // Made here and not in the task: a signal may come before that runs.
        let mut signals = Signals::new();
        tokio::spawn(async move {
            signals.next().await;
            say("stopping; Ctrl-C again ends at once");
            asked.send_replace(true);
            signals.next().await;
            std::process::exit(EXIT_CODE.into());
        });
        Self(stop)
    }

    /// Whether it was asked.
    pub(crate) fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.0.clone();
        async move {
            // The sender lives as long as the program.
            let _ = stop.wait_for(|asked| *asked).await;
        }
    }
}

/// What asks a program to end. A signal that can not be listened to ends it as ever.
#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(self.0.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }
}

#[cfg(windows)]
struct Signals(Option<tokio::signal::windows::CtrlC>);

#[cfg(windows)]
impl Signals {
    fn new() -> Self {
        Self(tokio::signal::windows::ctrl_c().ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => {
                signal.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}
