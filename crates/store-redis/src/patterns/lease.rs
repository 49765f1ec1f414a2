//! What is held for a time, and renewed while it is held, by scripts: a lock, a permit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::types::Value;
use store_core::Result;
use store_core::kit::lease::{LeasePlace, LeaseTaken};

use crate::driver::{integer, items, unexpected};
use crate::script::Script;
use crate::space::Space;

/// The first and the longest wait before something that is taken is tried again.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// The scripts of a kind of lease. All are given the keys, and as arguments the token, the lease in milliseconds and
/// `limit`.
#[derive(Debug)]
pub(super) struct Scripts {
    /// Answers 1 and a number, or 0 and how many milliseconds it may yet be taken. A token that holds it already is
    /// given it again.
    pub(super) acquire: Script,
    /// Answers 1, or 0 when the token no longer holds it.
    pub(super) renew: Script,
    /// Answers 1, or 0 when the token no longer held it.
    pub(super) release: Script,
}

/// What can be held.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) space: Arc<Space>,
    pub(super) keys: Vec<String>,
    pub(super) scripts: &'static Scripts,
    pub(super) lease_ms: i64,
    pub(super) limit: i64,
}

impl Place {
    async fn run(&self, script: &Script, token: &str) -> Result<Value> {
        let args: [Value; 3] = [token.into(), self.lease_ms.into(), self.limit.into()];
        self.space.script(script, self.keys.iter().map(String::as_str), args).await
    }
}

#[async_trait]
impl LeasePlace for Place {
    async fn take(&self, token: &str) -> Result<LeaseTaken> {
        let answer = self.run(&self.scripts.acquire, token).await?;
        let parts: Vec<i64> = items(answer).iter().filter_map(integer).collect();
        match *parts.as_slice() {
            [1, number] => Ok(LeaseTaken::Held(u64::try_from(number).unwrap_or_default())),
            // A negative time is that of a key which does not end.
            [0, wait] => {
                Ok(LeaseTaken::ByAnother(u64::try_from(wait).map_or(Duration::MAX, Duration::from_millis)))
            }
            _ => Err(unexpected("EVALSHA", &Value::Null)),
        }
    }

    async fn prolong(&self, token: &str) -> Result<bool> {
        Ok(integer(&self.run(&self.scripts.renew, token).await?) == Some(1))
    }

    async fn give_back(&self, token: &str, _number: Option<u64>) -> Result<bool> {
        Ok(integer(&self.run(&self.scripts.release, token).await?) == Some(1))
    }
}
