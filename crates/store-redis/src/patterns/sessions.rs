//! Sessions of users.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{Error, ErrorKind, Result};

use crate::RedisBackend;
use crate::driver::{bytes, integer};
use crate::error::at;
use crate::script::{Script, hex_sha1};
use crate::space::Space;

/// How many sessions of a user one step of `destroy_all` removes.
const STEP: i64 = 500;
/// How many hexadecimal digits of a user's hash stand in an id, and of chance behind it.
const ID: (usize, usize) = (32, 32);

// A session is a string; a sorted set beside it, in the same slot, has all ids of the user, each with the time at which
// it ends (the server's, in milliseconds), and lives as long as the longest of them. The slot is that of the user's
// hash, with which each id begins.

/// Writes a session: a new one (ARGV[4] is 1), or one that is there.
static WRITE: Script = Script::new(
    "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[4] == '0' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[3]), ARGV[1])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1",
);

/// Reads a session, and lets it begin anew.
static READ: Script = Script::new(
    "local data = redis.call('GET', KEYS[1])
if not data then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return data",
);

/// Gives a session another id.
static ROTATE: Script = Script::new(
    "if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[3])
redis.call('ZADD', KEYS[2], redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0, ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1",
);

static DESTROY: Script = Script::new(
    "redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])",
);

/// Removes sessions of a user, those of a step (their keys are in the slot, too many to name); answers how many there were, and whether some are left.
static DESTROY_ALL: Script = Script::new(
    "local ids = redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)
local removed = 0
for _, id in ipairs(ids) do removed = removed + redis.call('DEL', ARGV[1] .. id) end
if #ids > 0 then redis.call('ZREM', KEYS[1], unpack(ids)) end
return {removed, redis.call('EXISTS', KEYS[1])}",
);

static COUNT: Script = Script::new(
    "local time = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), '+inf')",
);

/// Sessions of users, with data of a type of yours, as JSON.
///
/// A session ends when it was not read or written for its time to live. Its id is random (122 bits), and holds a hash
/// of the user's name: two ids of one user can be seen to belong together, whose they are can be tried out. A destroyed
/// session does not come back by a write that was under way, and [`destroy_all`](Self::destroy_all) removes all that a
/// user had when it was called. Each call is one round trip. What a failover lost, is lost: users log in again, and a
/// session that was destroyed in that moment may live on; keep the time to live short.
///
/// ```no_run
/// # use std::time::Duration;
/// # use serde::{Deserialize, Serialize};
/// # use store_redis::{RedisBackend, RedisConfig, RedisSessions};
/// #[derive(Serialize, Deserialize)]
/// struct Login {
///     roles: Vec<String>,
/// }
///
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let sessions: RedisSessions<Login> = RedisSessions::new(&store, "web", Duration::from_mins(30))?;
/// let id = sessions.create("ann", &Login { roles: vec!["reader".into()] }).await?;
/// let login = sessions.get(&id).await?;
/// // After she gave her password: another id for the same session.
/// let id = sessions.rotate(&id).await?;
/// sessions.destroy_all("ann").await?;
/// # Ok(())
/// # }
/// ```
pub struct RedisSessions<T> {
    space: Arc<Space>,
    base: String,
    ttl_ms: i64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for RedisSessions<T> {
    fn clone(&self) -> Self {
        Self {
            space: Arc::clone(&self.space),
            base: self.base.clone(),
            ttl_ms: self.ttl_ms,
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for RedisSessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessions").field("keys", &self.base).finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned> RedisSessions<T> {
    /// The sessions of this name, which end when they were not used for so long. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes), or a time that can not be.
    pub fn new(backend: &RedisBackend, name: &str, ttl: Duration) -> Result<Self> {
        let space = Arc::clone(backend.space());
        let ttl_ms = super::name("sessions", name).and_then(|()| super::millis("time to live", ttl));
        let ttl_ms = ttl_ms.map_err(at("sessions"))?;
        let base = format!("{}session:{}", space.prefix, super::escaped(name));
        Ok(Self { space, base, ttl_ms, value: PhantomData })
    }

    /// Begins a session of a user; answers its id.
    pub async fn create(&self, user: &str, data: &T) -> Result<String> {
        let create = async {
            super::name("user", user)?;
            let id = new_id(&user_tag(user));
            self.write(&id, data, true).await?;
            Ok(id)
        };
        create.await.map_err(|error| at("sessions.create")(error).with_key(user))
    }

    /// The data of a session, whose time begins anew; `None` if there is none (any more), and for what is no id.
    pub async fn get(&self, id: &str) -> Result<Option<T>> {
        let get = async {
            let Some(keys) = self.keys(id) else { return Ok(None) };
            let args: [Value; 2] = [id.into(), self.ttl_ms.into()];
            let data = bytes(self.space.script(&READ, keys, args).await?);
            data.map(|data: Bytes| super::from_json("", &data)).transpose()
        };
        get.await.map_err(at("sessions.get"))
    }

    /// Replaces the data of a session, whose time begins anew; `false` if there is none (any more).
    pub async fn update(&self, id: &str, data: &T) -> Result<bool> {
        self.write(id, data, false).await.map_err(at("sessions.update"))
    }

    async fn write(&self, id: &str, data: &T, new: bool) -> Result<bool> {
        let Some(keys) = self.keys(id) else { return Ok(false) };
        let data = Bytes::from(super::to_json("session", data)?);
        let args: [Value; 4] = [id.into(), data.into(), self.ttl_ms.into(), i64::from(new).into()];
        Ok(integer(&self.space.script(&WRITE, keys, args).await?) == Some(1))
    }

    /// Gives a session another id, after a login or a change of rights; the old one is worth nothing from then on.
    ///
    /// # Errors
    /// `NotFound` if there is no such session (any more).
    pub async fn rotate(&self, id: &str) -> Result<String> {
        let rotate = async {
            let gone =
                || Error::new(ErrorKind::NotFound, "there is no such session any more: let the user log in");
            let [key, ids] = self.keys(id).ok_or_else(gone)?;
            let new = new_id(id.get(..ID.0).unwrap_or_default());
            let [new_key, _] = self.keys(&new).ok_or_else(gone)?;
            let done = self.space.script(&ROTATE, [key, ids, new_key], [id, new.as_str()]).await?;
            if integer(&done) == Some(1) { Ok(new) } else { Err(gone()) }
        };
        rotate.await.map_err(at("sessions.rotate"))
    }

    /// Ends a session; whether there was one.
    pub async fn destroy(&self, id: &str) -> Result<bool> {
        let destroy = async {
            let Some(keys) = self.keys(id) else { return Ok(false) };
            Ok(integer(&self.space.script(&DESTROY, keys, [id]).await?) == Some(1))
        };
        destroy.await.map_err(at("sessions.destroy"))
    }

    /// Ends all sessions of a user; answers how many. 500 at a time, each time in one step.
    pub async fn destroy_all(&self, user: &str) -> Result<u64> {
        let destroy = async {
            super::name("user", user)?;
            let tag = user_tag(user);
            let (ids, before) = (self.ids(&tag), format!("{}:", self.ids(&tag)));
            let mut all = 0;
            loop {
                let args: [Value; 2] = [before.as_str().into(), STEP.into()];
                let answer = self.space.script(&DESTROY_ALL, [ids.as_str()], args).await?;
                let parts: Vec<i64> = crate::driver::items(answer).iter().filter_map(integer).collect();
                let [removed, left] = *parts.as_slice() else { return Ok(all) };
                all += u64::try_from(removed).unwrap_or_default();
                if left == 0 {
                    return Ok(all);
                }
            }
        };
        destroy.await.map_err(|error| at("sessions.destroy_all")(error).with_key(user))
    }

    /// How many sessions a user has.
    pub async fn count(&self, user: &str) -> Result<u64> {
        let count = async {
            super::name("user", user)?;
            let counted = self.space.script(&COUNT, [self.ids(&user_tag(user))], [0_i64; 0]).await?;
            Ok(integer(&counted).and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
        };
        count.await.map_err(|error| at("sessions.count")(error).with_key(user))
    }

    /// The key with the ids of a user.
    fn ids(&self, tag: &str) -> String {
        format!("{}:{{{tag}}}", self.base)
    }

    /// The keys of a session and of its user's ids; `None` for what is no id of ours.
    fn keys(&self, id: &str) -> Option<[String; 2]> {
        let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hexadecimal || id.len() != ID.0 + ID.1 {
            return None;
        }
        let ids = self.ids(id.get(..ID.0)?);
        Some([format!("{ids}:{id}"), ids])
    }
}

/// What of a user's name stands in ids.
fn user_tag(user: &str) -> String {
    let mut hash = hex_sha1(user.as_bytes());
    hash.truncate(ID.0);
    hash
}

fn new_id(tag: &str) -> String {
    format!("{tag}{}", uuid::Uuid::new_v4().simple())
}
