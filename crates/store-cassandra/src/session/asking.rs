//! Nodes that say nothing.
//!
//! A node that is frozen or cut off keeps its connections. The driver goes on asking it and waits, and is not told for
//! many seconds. So it is remembered here which node a request waits for: one that has let a request wait for long is
//! asked last, until a request that tries it again is answered.
//!
//! The driver asks [`CassandraBalancing`](super::CassandraBalancing) for its plan within the task that makes the request,
//! so what is known of the request comes there as a value of that task.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cdrs_tokio::cluster::Murmur3Token;
use tokio::time::Instant;

/// How long a node that says nothing is asked last, until one request tries it again.
const PASSED_BY: Duration = Duration::from_secs(2);

tokio::task_local! {
    static ASKING: Arc<Asking>;
}

/// The nodes that say nothing, and until when they are passed by.
#[derive(Debug, Default)]
pub(super) struct Silent {
    /// Whether there is any: nearly always there is none.
    any: AtomicBool,
    until: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Silent {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    fn add(&self, node: SocketAddr, now: Instant) {
        self.lock().insert(node, now + PASSED_BY);
        self.any.store(true, Ordering::Release);
    }

    fn remove(&self, node: SocketAddr) {
        if self.any() {
            let mut until = self.lock();
            until.remove(&node);
            self.any.store(!until.is_empty(), Ordering::Release);
        }
    }

    fn passes_by(&self, node: SocketAddr, now: Instant, tries: bool) -> bool {
        self.any() && self.lock().get(&node).is_some_and(|until| !tries || *until > now)
    }

    /// A node is asked: if it was passed by until now, this request alone tries it.
    fn asked(&self, node: SocketAddr, now: Instant) {
        if self.any()
            && let Some(until) = self.lock().get_mut(&node)
        {
            *until = now + PASSED_BY;
        }
    }
}

/// Where a request is best sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Where the data is, for requests of which the driver does not know it: batches.
    pub(super) token: Option<Murmur3Token>,
    /// A node that is asked first.
    pub(super) node: Option<SocketAddr>,
}

/// What a request says to whoever plans which nodes are asked, and what it is told.
#[derive(Debug)]
pub(super) struct Asking {
    silent: Arc<Silent>,
    place: Place,
    /// Whether it may try a node again that said nothing: what is never sent elsewhere had better not.
    tries: bool,
    /// A node that is to be asked last, since it is being waited for.
    not: Option<SocketAddr>,
    /// The node that the request went to, and whether there is another.
    asked: Mutex<Option<(SocketAddr, bool)>>,
}

impl Asking {
    pub(super) fn new(silent: &Arc<Silent>, place: Place, tries: bool) -> Arc<Self> {
        Arc::new(Self { silent: Arc::clone(silent), place, tries, not: None, asked: Mutex::default() })
    }

    /// The same of another node, if there is one.
    pub(super) fn elsewhere(&self) -> Option<Arc<Self>> {
        let (node, others) = self.asked()?;
        others.then(|| {
            let place = Place { node: None, ..self.place };
            let silent = Arc::clone(&self.silent);
            Arc::new(Self { silent, place, tries: self.tries, not: Some(node), asked: Mutex::default() })
        })
    }

    /// Runs a request.
    pub(super) async fn run<F: Future>(self: &Arc<Self>, request: F) -> F::Output {
        ASKING.scope(Arc::clone(self), request).await
    }

    fn asked(&self) -> Option<(SocketAddr, bool)> {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was answered.
    pub(super) fn answered(&self) {
        if self.silent.any()
            && let Some((node, _)) = self.asked()
        {
            self.silent.remove(node);
        }
    }

    /// It was not answered for long.
    pub(super) fn waited(&self) {
        if let Some((node, true)) = self.asked() {
            self.silent.add(node, Instant::now());
        }
    }
}

/// Where the data of the request is that the task makes.
pub(super) fn token() -> Option<Murmur3Token> {
    ASKING.try_with(|asking| asking.place.token).ok().flatten()
}

/// Nodes of the lowest number are to be asked first.
pub(super) fn rank(node: SocketAddr) -> u8 {
    let rank = |asking: &Arc<Asking>| match asking {
        asking if asking.not == Some(node) => 3,
        asking if asking.silent.passes_by(node, Instant::now(), asking.tries) => 2,
        asking => u8::from(asking.place.node != Some(node)),
    };
    ASKING.try_with(rank).unwrap_or_default()
}

/// Says which nodes are going to be asked, first and next.
pub(super) fn planned(nodes: &[SocketAddr]) {
    let Some(first) = nodes.first() else { return };
    // Who is in no request of ours, the driver itself, has nobody to tell.
    let _ = ASKING.try_with(|asking| {
        asking.silent.asked(*first, Instant::now());
        *asking.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((*first, nodes.len() > 1));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_silent_node_is_tried_again_by_one() {
        let (silent, now) = (Silent::default(), Instant::now());
        let passes_by = |number, when| silent.passes_by(node(number), when, true);
        assert!(!passes_by(1, now));
        silent.add(node(1), now);
        assert!(passes_by(1, now) && !passes_by(2, now));
        let later = now + PASSED_BY;
        assert!(!passes_by(1, later));
        assert!(silent.passes_by(node(1), later, false), "what is never sent elsewhere tries no silent node");
        silent.asked(node(1), later);
        assert!(passes_by(1, later));
        silent.remove(node(1));
        assert!(!passes_by(1, later) && !silent.passes_by(node(1), later, false) && !silent.any());
    }

    #[tokio::test]
    async fn a_request_goes_elsewhere() {
        let ranks = || [1, 2, 3].map(|port| rank(node(port)));
        let silent = Arc::new(Silent::default());
        let first = Asking::new(&silent, Place { node: Some(node(2)), token: None }, true);
        first
            .run(async {
                assert_eq!(ranks(), [1, 0, 1]);
                planned(&[node(2), node(1)]);
            })
            .await;
        let second = first.elsewhere().unwrap();
        second.run(async { assert_eq!(ranks(), [1, 3, 1]) }).await;
        first.waited();
        let next = Asking::new(&silent, Place::default(), true);
        next.run(async {
            assert_eq!(ranks(), [1, 2, 1]);
            planned(&[node(2), node(1)]);
        })
        .await;
        next.answered();
        next.run(async { assert_eq!(ranks(), [1, 1, 1]) }).await;
    }

    #[tokio::test]
    async fn one_alone_is_waited_for() {
        let silent = Arc::new(Silent::default());
        let only = Asking::new(&silent, Place::default(), true);
        only.run(async { planned(&[node(1)]) }).await;
        only.waited();
        assert!(only.elsewhere().is_none() && !silent.any());
    }
}
