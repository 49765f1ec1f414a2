//! Lua scripts, sent by their hash.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::OnceLock;

use fred::types::Value;
use sha1::{Digest as _, Sha1};
use store_core::Result;

use crate::driver::Cmd;
use crate::error::at;
use crate::{RedisArg, RedisBackend, RedisValue};

/// A script of ours. Keys come to it in `KEYS`, everything else in `ARGV`; it touches the keys' slot only.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: Cow<'static, str>,
    hash: OnceLock<String>,
}

impl Script {
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source: Cow::Borrowed(source), hash: OnceLock::new() }
    }

    /// Runs it, if the server knows it; else the answer is `NOSCRIPT`, and nothing was done.
    pub(crate) fn by_hash(&self, keys: &[Value], args: &[Value]) -> Cmd {
        command("EVALSHA", self.hash().to_owned().into(), keys, args)
    }

    /// Runs it, and makes it known to the server.
    pub(crate) fn by_source(&self, keys: &[Value], args: &[Value]) -> Cmd {
        command("EVAL", self.source.as_ref().into(), keys, args)
    }

    /// The name under which a server keeps it: the SHA-1 of its source, in hexadecimal.
    pub(crate) fn hash(&self) -> &str {
        self.hash.get_or_init(|| hex_sha1(self.source.as_bytes()))
    }
}

fn command(name: &'static str, script: Value, keys: &[Value], args: &[Value]) -> Cmd {
    let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let command = Cmd::keyless(name).once().arg(script).arg(count);
    let command = command.args(keys.iter().cloned()).args(args.iter().cloned());
    if keys.is_empty() { command } else { command.keyed_at(2) }
}

/// The SHA-1 of bytes, in lower-case hexadecimal.
pub(crate) fn hex_sha1(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().fold(String::with_capacity(40), |mut hex, byte| {
        // Writing to a String can not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A Lua script of your own, which the server runs as one step that nothing else comes between.
///
/// It is sent by its hash, and whole when the server does not know it (any more): one round trip, but for the first.
/// Keys come to it in `KEYS`, with the store's namespace or prefix in front; it should touch no others. In a cluster
/// they have to be in one slot: give them a hash tag, `{cart:7}:items` and `{cart:7}:total`. It is run once; whether it
/// was, is not known after a lost connection or a timeout.
///
/// ```no_run
/// # use store_redis::{RedisBackend, RedisConfig, RedisScript};
/// # async fn example() -> store_core::Result<()> {
/// let take = RedisScript::new(
///     "local left = tonumber(redis.call('GET', KEYS[1]) or 0) - tonumber(ARGV[1])
///      if left < 0 then return false end
///      redis.call('SET', KEYS[1], left)
///      return left",
/// );
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let left: Option<i64> = take.on(&store).key("stock:tea").arg(3).run().await?.to()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RedisScript(Script);

impl RedisScript {
    /// A script with this source.
    #[must_use]
    pub fn new(source: impl Into<Cow<'static, str>>) -> Self {
        Self(Script { source: source.into(), hash: OnceLock::new() })
    }

    /// A call of it on a store.
    pub fn on<'a>(&'a self, backend: &'a RedisBackend) -> RedisScriptCall<'a> {
        RedisScriptCall { script: self, backend, keys: Vec::new(), args: Vec::new() }
    }
}

/// A call of a [`RedisScript`].
#[derive(Debug)]
#[must_use = "nothing is sent before `run`"]
pub struct RedisScriptCall<'a> {
    script: &'a RedisScript,
    backend: &'a RedisBackend,
    keys: Vec<String>,
    args: Vec<Value>,
}

impl RedisScriptCall<'_> {
    /// One key more, for `KEYS`, without what all the store's keys begin with.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.keys.push(format!("{}{}", self.backend.space().prefix, key.as_ref()));
        self
    }

    /// One argument more, for `ARGV`.
    pub fn arg(mut self, arg: impl Into<RedisArg>) -> Self {
        self.args.push(arg.into().0);
        self
    }

    /// Runs it. In Lua `false` is null, and a number loses what stands behind the point: return text for it.
    ///
    /// # Errors
    /// What the server says, a script's own `redis.error_reply` too.
    pub async fn run(self) -> Result<RedisValue> {
        let answer = self.backend.space().script(&self.script.0, self.keys, self.args).await;
        answer.map(RedisValue::from).map_err(at("script"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_servers() {
        // As `SCRIPT LOAD "return 1"` answers.
        assert_eq!(Script::new("return 1").hash(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
