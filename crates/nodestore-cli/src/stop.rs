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
    /// Listens for Ctrl-C, and for the signal by which services are stopped.
    pub(crate) fn listen() -> Self {
        let (asked, stop) = watch::channel(false);
        tokio::spawn(async move {
            signal().await;
            say("stopping; Ctrl-C again ends at once");
            asked.send_replace(true);
            signal().await;
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

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
