//! A question that goes along with a search, so that it costs no round trip of its own.

use std::sync::{Mutex, PoisonError};

use fred::types::Value;
use futures::future::join;
use store_core::Result;

use crate::driver::Cmd;
use crate::space::Space;

/// A command to be sent with the first one of a search, or beside it.
#[derive(Debug)]
pub(super) struct Beside(Mutex<State>);

#[derive(Debug)]
enum State {
    Open(Cmd),
    /// Under way, or lost with the command that it went with.
    Sent,
    Answered(Result<Value>),
}

impl Beside {
    pub(super) fn new(question: Cmd) -> Self {
        Self(Mutex::new(State::Open(question)))
    }

    /// Nothing to ask.
    pub(super) fn nothing() -> Self {
        Self(Mutex::new(State::Sent))
    }

    /// Takes the question, if nobody asked it yet.
    fn take(&self) -> Option<Cmd> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Sent) {
            State::Open(question) => Some(question),
            other => {
                *state = other;
                None
            }
        }
    }

    fn keep(&self, answer: Result<Value>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Answered(answer);
    }

    /// Sends a command, and the question in the same round trip if nobody asked it yet.
    pub(super) async fn call(&self, space: &Space, command: Cmd) -> Result<Value> {
        let Some(question) = self.take() else { return Box::pin(space.call(command)).await };
        if space.server.mode == "cluster" {
            // They may go to different nodes, and the command to a replica.
            let (answer, found) = Box::pin(join(space.call(question), space.call(command))).await;
            self.keep(answer);
            return found;
        }
        let mut answers = Box::pin(space.pipeline(vec![question, command])).await?.into_iter();
        if let Some(answer) = answers.next() {
            self.keep(answer);
        }
        answers.next().unwrap_or(Ok(Value::Null))
    }

    /// Asks alone, if nobody did yet: for searches that begin with more than one command.
    pub(super) async fn ask(&self, space: &Space) {
        if let Some(question) = self.take() {
            self.keep(Box::pin(space.call(question)).await);
        }
    }

    /// The answer, asked for now if nobody did yet; `None` if it was lost with the search.
    pub(super) async fn answer(self, space: &Space) -> Result<Option<Value>> {
        self.ask(space).await;
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            State::Answered(answer) => answer.map(Some),
            State::Open(_) | State::Sent => Ok(None),
        }
    }
}
