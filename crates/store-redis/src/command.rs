//! Commands of the caller's own, one or many at a time.

use bytes::Bytes;
use fred::types::Value;
use store_core::{Error, Result};

use crate::driver::Cmd;
use crate::error::at;
use crate::{RedisBackend, RedisValue};

/// The longest string a server holds, in bytes (`proto-max-bulk-len`).
pub(crate) const MAX_STRING: usize = 512 << 20;
/// What changes or blocks a connection that all callers of a store share.
const REFUSED: [&str; 34] = [
    "AUTH",
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SELECT",
    "SHUTDOWN",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
    "WAITAOF",
    "WATCH",
    "ASKING",
];

/// An argument of a command or a script: text, bytes or a number.
#[derive(Clone, Debug)]
pub struct RedisArg(pub(crate) Value);

macro_rules! arg_from {
    ($($from:ty => |$value:ident| $to:expr),+ $(,)?) => {
        $(impl From<$from> for RedisArg {
            fn from($value: $from) -> Self {
                Self(Value::from($to))
            }
        })+
    };
}

arg_from! {
    &str => |value| value,
    &String => |value| value.as_str(),
    String => |value| value,
    Bytes => |value| value,
    Vec<u8> => |value| Bytes::from(value),
    &[u8] => |value| value,
    i32 => |value| value,
    i64 => |value| value,
    u32 => |value| value,
    u64 => |value| value.to_string(),
    usize => |value| value.to_string(),
    f64 => |value| value.to_string(),
}

/// A command of your own, with keys of the store and other arguments in the server's order.
///
/// ```no_run
/// # use store_redis::{RedisBackend, RedisCommand, RedisConfig};
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let visits: i64 = store.command(RedisCommand::write("INCRBY").key("visits").arg(5)).await?.to()?;
/// let name: Option<String> = store.command(RedisCommand::read("GET").key("name")).await?.to()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before a store is given it"]
pub struct RedisCommand {
    name: &'static str,
    repeatable: bool,
    args: Vec<(bool, Value)>,
}

impl RedisCommand {
    /// A command that only reads, `GET`, `CONFIG` or the like; it may be sent again when a connection fails.
    pub fn read(name: &'static str) -> Self {
        Self { name, repeatable: true, args: Vec::new() }
    }

    /// A command that may change something; it is sent once.
    pub fn write(name: &'static str) -> Self {
        Self { repeatable: false, ..Self::read(name) }
    }

    /// A key of the store: its namespace or prefix is put in front. In a cluster the first key says where the command
    /// goes, and all keys have to be in one slot.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.args.push((true, Value::from(key.into())));
        self
    }

    /// Another argument, sent as it is.
    pub fn arg(mut self, arg: impl Into<RedisArg>) -> Self {
        self.args.push((false, arg.into().0));
        self
    }

    /// The command as it is sent, or why it is not.
    fn prepare(self, prefix: &str) -> Result<Cmd> {
        let refuse = |why: &str| Err(Error::invalid_input(format!("the command {}: {why}", self.name)));
        let upper = self.name.to_ascii_uppercase();
        if upper.is_empty() || upper.contains(|c: char| c.is_whitespace()) {
            return refuse("its name is one word; what follows is an argument");
        }
        let blocks = matches!(upper.as_str(), "XREAD" | "XREADGROUP")
            && self
                .args
                .iter()
                .any(|(_, arg)| arg.as_bytes().is_some_and(|bytes| bytes.eq_ignore_ascii_case(b"BLOCK")));
        if blocks || REFUSED.contains(&upper.as_str()) {
            return refuse(
                "it changes or blocks the connection, which all callers of the store share; use the store's own \
                 patterns, or connections of your own",
            );
        }
        let first_key = self.args.iter().position(|(is_key, _)| *is_key);
        let mut command = Cmd::keyless(self.name);
        if !self.repeatable {
            command = command.once();
        }
        for (is_key, arg) in self.args {
            let long = arg.as_bytes().map_or(0, <[u8]>::len);
            if long > MAX_STRING {
                return Err(Error::new(
                    store_core::ErrorKind::LimitExceeded,
                    format!("an argument takes {long} bytes, a server takes at most {MAX_STRING}"),
                ));
            }
            command = match arg.as_str() {
                Some(key) if is_key => command.arg(format!("{prefix}{key}")),
                _ => command.arg(arg),
            };
        }
        Ok(match first_key {
            Some(position) => command.keyed_at(position),
            None => command,
        })
    }
}

/// Many commands in few round trips, each with an answer of its own.
///
/// They are sent in order, 1 MB or 1,000 commands at a time; in a cluster each such part goes to all its nodes at
/// once. It is no transaction: other callers' commands may come between, and one that fails does not stop the others.
/// What has to be done whole or not at all is a [`RedisScript`](crate::RedisScript).
///
/// ```no_run
/// # use store_redis::{RedisBackend, RedisCommand, RedisConfig};
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let mut pipeline = store.pipeline();
/// for day in ["mon", "tue"] {
///     pipeline.add(RedisCommand::write("INCR").key(format!("visits:{day}")));
/// }
/// for answer in pipeline.send().await? {
///     let visits: i64 = answer?.to()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct RedisPipeline {
    backend: RedisBackend,
    commands: Vec<RedisCommand>,
}

/// How much of a pipeline is sent before its answers are waited for.
const RUN_BYTES: usize = 1 << 20;
const RUN_COMMANDS: usize = 1_000;

impl RedisPipeline {
    /// One command more.
    pub fn add(&mut self, command: RedisCommand) -> &mut Self {
        self.commands.push(command);
        self
    }

    /// How many commands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Sends them; the answers are in the order of the commands.
    ///
    /// # Errors
    /// `InvalidInput` and `LimitExceeded` for a command that can not be sent, before any is; its place in the list is
    /// the error's key. What the server refuses is the answer of that command. After a lost connection the answers of
    /// the commands under way are errors, and so are those of the later ones, which were not sent.
    pub async fn send(self) -> Result<Vec<Result<RedisValue>>> {
        const PIPELINE: &str = "pipeline";
        let prefix = self.backend.space().prefix.clone();
        let commands: Vec<Cmd> = self
            .commands
            .into_iter()
            .enumerate()
            .map(|(place, command)| {
                command.prepare(&prefix).map_err(|error| error.with_key(place.to_string()))
            })
            .collect::<Result<_>>()
            .map_err(at(PIPELINE))?;
        let mut answers = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter().peekable();
        let mut lost = false;
        while commands.peek().is_some() {
            let (mut run, mut bytes) = (Vec::new(), 0);
            while run.len() < RUN_COMMANDS {
                let fits = |command: &Cmd| run.is_empty() || bytes + command.size() <= RUN_BYTES;
                let Some(command) = commands.next_if(fits) else { break };
                bytes += command.size();
                run.push(command);
            }
            let count = run.len();
            if lost {
                answers.extend((0..count).map(|_| Err(at(PIPELINE)(not_sent()))));
                continue;
            }
            match self.backend.space().pipeline(run).await {
                Ok(done) => answers
                    .extend(done.into_iter().map(|one| one.map(RedisValue::from).map_err(at(PIPELINE)))),
                Err(error) => {
                    lost = true;
                    let (kind, message) = (error.kind(), error.message().to_owned());
                    answers.push(Err(at(PIPELINE)(error)));
                    let same = || at(PIPELINE)(Error::new(kind, message.clone()));
                    answers.extend((1..count).map(|_| Err(same())));
                }
            }
        }
        Ok(answers)
    }
}

fn not_sent() -> Error {
    Error::new(
        store_core::ErrorKind::Unavailable,
        "the command was not sent: the connection was lost before; send it again",
    )
}

impl RedisBackend {
    /// Sends a command of your own. What changes or blocks a connection (`MULTI`, `SUBSCRIBE`, `BLPOP` …) is refused.
    ///
    /// # Errors
    /// `InvalidInput` and `LimitExceeded` before anything is sent; after it what the server says.
    pub async fn command(&self, command: RedisCommand) -> Result<RedisValue> {
        let name = command.name;
        let send = async { self.space().call(command.prepare(&self.space().prefix)?).await };
        send.await.map(RedisValue::from).map_err(at(name))
    }

    /// Many commands of your own in few round trips; see [`RedisPipeline`].
    pub fn pipeline(&self) -> RedisPipeline {
        RedisPipeline { backend: self.clone(), commands: Vec::new() }
    }
}
