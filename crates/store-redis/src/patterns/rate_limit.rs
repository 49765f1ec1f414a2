//! Limits of rate.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use store_core::{Error, ErrorKind, Result};
use tracing::warn;

use crate::RedisBackend;
use crate::driver::{integer, items, unexpected};
use crate::error::at;
use crate::script::Script;
use crate::space::Space;

const CHECK: &str = "rate_limit.check";
/// The greatest limit, burst and cost.
const MOST: u64 = 1_000_000_000;
/// The longest window.
const LONGEST_WINDOW: Duration = Duration::from_hours(366 * 24);

// Each script is given the key, and as arguments the cost, the limit, the window and the greatest number that may be
// spent at once; it answers whether the call is allowed, what is left, and after how many microseconds the same call
// would be allowed and all is as at first. Cost 0 only looks. All times are the server's, in microseconds: below 2^53,
// and so exact in Lua.

/// `{count}` with the window as its time to live.
static FIXED: Script = Script::new(
    "local cost, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
local left = redis.call('PTTL', KEYS[1])
local begins = left < 0
if begins then left, used = 0, 0 else left = left + 1 end
if used + cost > limit then return {0, limit - used, left * 1000, left * 1000} end
if cost > 0 then
  if begins then
    left = math.ceil(ARGV[3] / 1000)
    redis.call('SET', KEYS[1], ARGV[1], 'PX', left)
  else
    redis.call('INCRBY', KEYS[1], ARGV[1])
  end
end
return {1, limit - used - cost, 0, left * 1000}",
);

/// A sorted set of calls by their time; a member is what all calls before it cost, and what it cost. The sum of those
/// in the window is the difference of the last and the first, so nothing is added up.
static SLIDING: Script = Script::new(
    "local cost, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function number(value) return string.format('%.0f', value) end
local function call(rank)
  local found = redis.call('ZRANGE', KEYS[1], rank, rank, 'WITHSCORES')
  if not found[1] then return nil end
  local before, spent = string.match(found[1], '^(%d+):(%d+)$')
  return tonumber(before), before + spent, tonumber(found[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', number(now - window))
local first = call(0)
local used, total, last = 0, 0, now
if first then
  local _
  _, total, last = call(-1)
  used = total - first
end
if used + cost > limit then
  -- The first call whose end frees enough, by halves.
  local low, high = 0, redis.call('ZCARD', KEYS[1]) - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, after = call(middle)
    if used - (after - first) + cost <= limit then high = middle else low = middle + 1 end
  end
  local _, _, at = call(low)
  return {0, limit - used, math.max(at + window - now, 1), math.max(last + window - now, 1)}
end
if cost > 0 then
  -- A clock that was set back does not let a call leave before one that came first.
  last = math.max(now, last)
  redis.call('ZADD', KEYS[1], number(last), number(total) .. ':' .. number(cost))
  redis.call('PEXPIRE', KEYS[1], number(math.ceil((last + window - now) / 1000)))
  used = used + cost
end
local reset = 0
if used > 0 then reset = math.max(last + window - now, 1) end
return {1, limit - used, 0, reset}",
);

/// The time at which all is as at first again (the theoretical arrival time of the generic cell rate algorithm).
static GCRA: Script = Script::new(
    "local cost, limit, window, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each = math.ceil(window / limit)
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = full + cost * each
local wait = after - burst * each - now
if wait > 0 then
  return {0, math.max(math.floor((burst * each - (full - now)) / each), 0), wait, full - now}
end
if cost > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
end
return {1, math.floor((burst * each - (after - now)) / each), 0, after - now}",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed,
    Sliding,
    Gcra,
}

/// How much may be spent in what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    kind: Kind,
    limit: u64,
    window: Duration,
    burst: u64,
}

impl RateLimit {
    /// So much in a window that begins with the first call after the last one ended. The cheapest; at the border of
    /// two windows twice as much may come close together.
    #[must_use]
    pub fn fixed_window(limit: u64, window: Duration) -> Self {
        Self { kind: Kind::Fixed, limit, window, burst: limit }
    }

    /// Never more than so much in any window of this length, exactly. Keeps a note of each call in the window: for
    /// limits of thousands, not of millions.
    #[must_use]
    pub fn sliding_window(limit: u64, window: Duration) -> Self {
        Self { kind: Kind::Sliding, limit, window, burst: limit }
    }

    /// So much per window at an even pace, and up to `burst` of it at once (the generic cell rate algorithm): in no
    /// time `t` more than `burst + limit × t / window`. One number is kept. The pace is a whole number of
    /// microseconds, rounded up.
    #[must_use]
    pub fn gcra(limit: u64, window: Duration, burst: u64) -> Self {
        Self { kind: Kind::Gcra, limit, window, burst }
    }

    fn check(&self) -> Result<()> {
        for (what, number) in [("limit", self.limit), ("burst", self.burst)] {
            if !(1..=MOST).contains(&number) {
                return Err(Error::invalid_input(format!("the {what} is {number}; it is 1 to {MOST}")));
            }
        }
        if self.window < Duration::from_millis(1) || self.window > LONGEST_WINDOW {
            return Err(Error::invalid_input(format!(
                "the window is {:?}; it is at least a millisecond and at most a year",
                self.window
            )));
        }
        let pace = self.window.as_micros() / u128::from(self.limit);
        // So that the sum stays exact, whatever is spent at once.
        if self.kind == Kind::Gcra && (pace + 1) * u128::from(self.burst) > LONGEST_WINDOW.as_micros() {
            return Err(Error::invalid_input(
                "the burst takes more than a year to come back; make it smaller",
            ));
        }
        Ok(())
    }

    fn script(&self) -> (&'static str, &'static Script) {
        match self.kind {
            Kind::Fixed => ("rate-fixed", &FIXED),
            Kind::Sliding => ("rate-sliding", &SLIDING),
            Kind::Gcra => ("rate-gcra", &GCRA),
        }
    }
}

/// What a limiter answers when the server can not be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The error. The default: the caller decides.
    #[default]
    Error,
    /// Every call is allowed, and a warning is logged.
    Open,
    /// Every call is refused, and a warning is logged.
    Closed,
}

/// A limiter's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateDecision {
    /// Whether the call may go on.
    pub allowed: bool,
    /// What may yet be spent at once.
    pub remaining: u64,
    /// After what time the same call would be allowed if nobody else called; zero if it is allowed.
    pub retry_after: Duration,
    /// After what time all may be spent again if nobody called.
    pub reset_after: Duration,
    /// Whether the server could not be asked, and [`OnFailure`] decided.
    pub failed: bool,
}

/// A limit of rate across processes: per user, per key, per model.
///
/// Each check is one atomic step on the server, by the server's clock, in one round trip. A refused call consumes
/// nothing. Each subject has one key, `rate-{KIND}:{NAME}:SUBJECT` in essence, which expires when nothing is left to
/// remember. After a failover that lost the last writes, so much may be spent once more. Changing the limit applies to
/// what was spent already; changing its kind begins anew.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_redis::{OnFailure, RateLimit, RedisBackend, RedisConfig, RedisRateLimiter};
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// // 60 calls a minute, up to 10 of them at once.
/// let limit = RateLimit::gcra(60, Duration::from_secs(60), 10);
/// let limiter = RedisRateLimiter::new(&store, "completions", limit)?.with_on_failure(OnFailure::Open);
/// let decision = limiter.check("user-7", 1).await?;
/// if !decision.allowed {
///     println!("try again in {:?}", decision.retry_after);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisRateLimiter {
    space: Arc<Space>,
    base: String,
    limit: RateLimit,
    on_failure: OnFailure,
    patience: Option<Duration>,
}

impl RedisRateLimiter {
    /// The limiter of this name. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name (1,024 bytes) or a limit that can not be.
    pub fn new(backend: &RedisBackend, name: &str, limit: RateLimit) -> Result<Self> {
        let space = Arc::clone(backend.space());
        let valid = limit.check().and_then(|()| super::name("rate limit", name));
        valid.map_err(at("rate_limit"))?;
        // Without a hash tag: each subject is a key of its own, wherever it stands.
        let base = format!("{}{}:{}", space.prefix, limit.script().0, super::escaped(name));
        Ok(Self { space, base, limit, on_failure: OnFailure::default(), patience: None })
    }

    /// Sets what is answered when the server can not be asked.
    #[must_use]
    pub fn with_on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Sets how long the server may take before [`OnFailure`] decides; default the store's operation timeout.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Spends `cost` of a subject's limit, if so much is left.
    ///
    /// # Errors
    /// `InvalidInput` for cost 0, for one above the limit (the burst, with [`RateLimit::gcra`]), which could never be
    /// allowed, and for an empty subject or one over 1,024 bytes. What the server says, unless [`OnFailure`] decides:
    /// it does when the server is not reached, does not answer, or is overloaded.
    pub async fn check(&self, subject: &str, cost: u64) -> Result<RateDecision> {
        let valid = || {
            if cost == 0 || cost > self.limit.burst {
                return Err(Error::invalid_input(format!(
                    "the cost is {cost}; it is 1 to {}, which may be spent at once at most",
                    self.limit.burst
                )));
            }
            Ok(())
        };
        valid().map_err(|error| at(CHECK)(error).with_key(subject))?;
        self.ask(subject, cost).await
    }

    /// What [`check`](Self::check) would find, without spending anything.
    pub async fn peek(&self, subject: &str) -> Result<RateDecision> {
        self.ask(subject, 0).await
    }

    /// Forgets what a subject spent.
    pub async fn reset(&self, subject: &str) -> Result<()> {
        let reset = async {
            let key = self.key(subject)?;
            self.space.call(crate::driver::Cmd::write("UNLINK", key)).await.map(|_| ())
        };
        reset.await.map_err(|error| at("rate_limit.reset")(error).with_key(subject))
    }

    fn key(&self, subject: &str) -> Result<String> {
        super::name("subject", subject)?;
        Ok(format!("{}:{subject}", self.base))
    }

    async fn ask(&self, subject: &str, cost: u64) -> Result<RateDecision> {
        let asked = match self.patience {
            None => self.ask_server(subject, cost).await,
            Some(patience) => {
                let asked = tokio::time::timeout(patience, self.ask_server(subject, cost)).await;
                asked.unwrap_or_else(|_| Err(crate::error::timed_out(patience)))
            }
        };
        let error = match asked {
            Ok(decision) => return Ok(decision),
            Err(error) => at(CHECK)(error).with_key(subject),
        };
        let fails =
            matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Throttled);
        let allowed = match self.on_failure {
            OnFailure::Open if fails => true,
            OnFailure::Closed if fails => false,
            _ => return Err(error),
        };
        warn!(error = %error, allowed, "a rate limit could not be checked");
        let none = Duration::ZERO;
        Ok(RateDecision { allowed, remaining: 0, retry_after: none, reset_after: none, failed: true })
    }

    async fn ask_server(&self, subject: &str, cost: u64) -> Result<RateDecision> {
        let window = u64::try_from(self.limit.window.as_micros()).unwrap_or(u64::MAX);
        let args = [cost, self.limit.limit, window, self.limit.burst].map(|number| number.to_string());
        let answer = self.space.script(self.limit.script().1, [self.key(subject)?], args).await?;
        let parts: Vec<u64> =
            items(answer).iter().filter_map(integer).map(|part| u64::try_from(part).unwrap_or(0)).collect();
        let [allowed, remaining, retry, reset] = *parts.as_slice() else {
            return Err(unexpected("EVALSHA", &Value::Null));
        };
        Ok(RateDecision {
            allowed: allowed == 1,
            remaining,
            retry_after: Duration::from_micros(retry),
            reset_after: Duration::from_micros(reset),
            failed: false,
        })
    }
}
