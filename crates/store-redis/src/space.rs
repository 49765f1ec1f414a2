//! What a backend and all its roles share: the driver, the settings, the names of keys.

use std::sync::atomic::{AtomicBool, Ordering};

use fred::types::Value;
use store_core::Result;

use crate::config::RedisConfig;
use crate::driver::{Cmd, Driver, Node};
use crate::error::{closed, is_no_script};
use crate::script::Script;
use crate::server::Abilities;
use crate::vector::Memories;

/// One namespace of a server.
#[derive(Debug)]
pub(crate) struct Space {
    driver: Driver,
    pub(crate) config: RedisConfig,
    /// What the server could when the store was opened.
    pub(crate) server: Abilities,
    /// What the keys of this space begin with; may be empty.
    pub(crate) prefix: String,
    /// What is known of the vector sets.
    pub(crate) vectors: Memories,
    closed: AtomicBool,
}

impl Space {
    pub(crate) async fn new(driver: Driver, config: RedisConfig) -> Result<Self> {
        let server = Abilities::ask(&driver).await?;
        let prefix = config.key_prefix();
        let (vectors, closed) = (Memories::default(), AtomicBool::new(false));
        Ok(Self { driver, config, server, prefix, vectors, closed })
    }

    /// The driver; `Unavailable` once closed.
    pub(crate) fn driver(&self) -> Result<&Driver> {
        if self.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(&self.driver) }
    }

    /// Sends one command.
    pub(crate) async fn call(&self, command: Cmd) -> Result<Value> {
        self.driver()?.call(command).await
    }

    /// Sends commands in one round trip (see [`Driver::pipeline`]): each has its own answer.
    pub(crate) async fn pipeline(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Value>>> {
        self.driver()?.pipeline(commands).await
    }

    /// The nodes that hold the keys of the space.
    pub(crate) fn primaries(&self) -> Result<Vec<Node>> {
        Ok(self.driver()?.primaries())
    }

    /// Runs a script that changes something. In one round trip, unless the server has forgotten it.
    pub(crate) async fn script<K: Into<Value>, A: Into<Value>>(
        &self,
        script: &Script,
        keys: impl IntoIterator<Item = K>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Value> {
        let keys: Vec<Value> = keys.into_iter().map(Into::into).collect();
        let args: Vec<Value> = args.into_iter().map(Into::into).collect();
        match self.call(script.by_hash(&keys, &args)).await {
            Err(error) if is_no_script(&error) => self.call(script.by_source(&keys, &args)).await,
            answer => answer,
        }
    }

    /// Runs a script that changes something many times, each with its keys and arguments, as a
    /// [`pipeline`](Self::pipeline): each has its own answer. In one round trip, unless a server has forgotten it.
    pub(crate) async fn scripts<T: Into<Value>>(
        &self,
        script: &Script,
        runs: Vec<(Vec<T>, Vec<T>)>,
    ) -> Result<Vec<Result<Value>>> {
        let values = |values: Vec<T>| values.into_iter().map(Into::into).collect::<Vec<Value>>();
        let runs: Vec<_> = runs.into_iter().map(|(keys, args)| (values(keys), values(args))).collect();
        let commands = runs.iter().map(|(keys, args)| script.by_hash(keys, args)).collect();
        let mut answers = self.pipeline(commands).await?;
        let unknown = |answer: &Result<Value>| answer.as_ref().is_err_and(is_no_script);
        let again = answers.iter().zip(&runs).filter(|(answer, _)| unknown(answer));
        let again: Vec<_> = again.map(|(_, (keys, args))| script.by_source(keys, args)).collect();
        if !again.is_empty() {
            let mut later = self.pipeline(again).await?.into_iter();
            for answer in answers.iter_mut().filter(|answer| unknown(answer)) {
                if let Some(later) = later.next() {
                    *answer = later;
                }
            }
        }
        Ok(answers)
    }

    /// Lets go of the driver; one of the caller's is left alone. Calls in flight may yet finish, streams end with
    /// `Unavailable` at their next item.
    pub(crate) async fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.driver.close().await;
        }
    }
}
