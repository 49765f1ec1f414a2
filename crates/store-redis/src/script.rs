//! Lua scripts, sent by their hash.

use std::fmt::Write as _;
use std::sync::OnceLock;

use fred::types::Value;
use sha1::{Digest as _, Sha1};

use crate::driver::Cmd;

/// A script of ours. Keys come to it in `KEYS`, everything else in `ARGV`; it touches the keys' slot only.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub(crate) const fn new(source: &'static str) -> Self {
        Self { source, hash: OnceLock::new() }
    }

    /// Runs it, if the server knows it; else the answer is `NOSCRIPT`, and nothing was done.
    pub(crate) fn by_hash(&self, keys: &[Value], args: &[Value]) -> Cmd {
        command("EVALSHA", self.hash().to_owned().into(), keys, args)
    }

    /// Runs it, and makes it known to the server.
    pub(crate) fn by_source(&self, keys: &[Value], args: &[Value]) -> Cmd {
        command("EVAL", self.source.into(), keys, args)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_servers() {
        // As `SCRIPT LOAD "return 1"` answers.
        assert_eq!(Script::new("return 1").hash(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
