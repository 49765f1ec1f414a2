//! Leaderboards.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use store_core::{Error, Result};

use crate::RedisBackend;
use crate::driver::{Cmd, integer, items, text, unexpected};
use crate::error::at;
use crate::script::Script;
use crate::space::Space;

/// Most entries of one answer.
const MOST: usize = 10_000;
/// How many digits stand before an id in the sorted set.
const DIGITS: usize = 16;

// A sorted set with the negated score (so that the first is the best), of members that are 16 digits and the id: the
// digits count submissions, and order equal scores, as the server orders equal scores by their bytes. A hash beside it
// has each id's digits, at `:` and the id, and the count at `n`. So scores keep all bits of their own.

static SUBMIT: Script = Script::new(
    "local id, mode, sign = ARGV[1], ARGV[3], tonumber(ARGV[5])
local digits = redis.call('HGET', KEYS[2], ':' .. id)
local old = digits and redis.call('ZSCORE', KEYS[1], digits .. id)
local score = tonumber(ARGV[2])
if old then
  old = tonumber(old) * sign
  if mode == 'sum' then score = old + score end
  if mode == 'best' and (score - old) * sign > 0 then score = old end
end
if score ~= score or score == math.huge or score == -math.huge then
  return redis.error_reply('ERR the sum is not a valid number any more')
end
if not old or score ~= old then
  if digits then redis.call('ZREM', KEYS[1], digits .. id) end
  digits = string.format('%016.0f', redis.call('HINCRBY', KEYS[2], 'n', 1))
  redis.call('HSET', KEYS[2], ':' .. id, digits)
  redis.call('ZADD', KEYS[1], string.format('%.17g', score * sign), digits .. id)
end
if ARGV[4] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
return {redis.call('ZRANK', KEYS[1], digits .. id), string.format('%.17g', score)}",
);

static RANK: Script = Script::new(
    "local digits = redis.call('HGET', KEYS[2], ':' .. ARGV[1])
if not digits then return false end
local score = redis.call('ZSCORE', KEYS[1], digits .. ARGV[1])
if not score then return false end
return {redis.call('ZRANK', KEYS[1], digits .. ARGV[1]), score}",
);

/// Answers the first place, and members and scores in turn.
static WINDOW: Script = Script::new(
    "local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[1] ~= '' then
  local digits = redis.call('HGET', KEYS[2], ':' .. ARGV[1])
  local rank = digits and redis.call('ZRANK', KEYS[1], digits .. ARGV[1])
  if not rank then return {0, {}} end
  first, last = math.max(rank - first, 0), rank + last
end
return {first, redis.call('ZRANGE', KEYS[1], first, last, 'WITHSCORES')}",
);

static REMOVE: Script = Script::new(
    "local digits = redis.call('HGET', KEYS[2], ':' .. ARGV[1])
if not digits then return 0 end
redis.call('HDEL', KEYS[2], ':' .. ARGV[1])
return redis.call('ZREM', KEYS[1], digits .. ARGV[1])",
);

/// What becomes of the score that is there when another is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScoreMode {
    /// The new one takes its place.
    Set,
    /// The better one stays.
    Best,
    /// They are added.
    Sum,
}

/// Which leaderboard, and how it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderboardConfig {
    /// What is done with a second score of the same id.
    pub mode: ScoreMode,
    /// Whether the lowest score is the best; default `false`.
    pub lowest_first: bool,
    /// The season, which has scores of its own; default `None`.
    pub season: Option<String>,
    /// How long the board is kept after the last submission; default `None`: for ever.
    pub ttl: Option<Duration>,
}

impl LeaderboardConfig {
    /// A board that counts so.
    #[must_use]
    pub fn new(mode: ScoreMode) -> Self {
        Self { mode, lowest_first: false, season: None, ttl: None }
    }

    /// Says whether the lowest score is the best.
    #[must_use]
    pub fn with_lowest_first(mut self, lowest_first: bool) -> Self {
        self.lowest_first = lowest_first;
        self
    }

    /// Sets the season.
    #[must_use]
    pub fn with_season(mut self, season: impl Into<String>) -> Self {
        self.season = Some(season.into());
        self
    }

    /// Sets how long the board is kept after the last submission.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LeaderboardEntry {
    /// Whose score it is.
    pub id: String,
    /// The score.
    pub score: f64,
    /// The place, from 1.
    pub rank: u64,
}

/// Scores in order: of players, of models in an arena, of documents by use.
///
/// Equal scores stand in the order in which they were reached, the earlier first; a submission that does not change a
/// score leaves its place. Every score is kept as it is, so whole numbers up to 2^53 are exact (sums too). A submission
/// is one atomic step, and a call one round trip. The board is two keys, `leaderboard:{NAME}` with the season behind it,
/// in one slot.
///
/// ```no_run
/// # use std::time::Duration;
/// # use store_redis::{LeaderboardConfig, RedisBackend, RedisConfig, RedisLeaderboard, ScoreMode};
/// # async fn example() -> store_core::Result<()> {
/// let store = RedisBackend::connect(RedisConfig::new("redis://localhost")).await?;
/// let config = LeaderboardConfig::new(ScoreMode::Best)
///     .with_season("2026-11")
///     .with_ttl(Duration::from_hours(90 * 24));
/// let board = RedisLeaderboard::new(&store, "quiz", config)?;
/// let place = board.submit("ann", 42.0).await?;
/// println!("ann is number {}", place.rank);
/// for entry in board.top(10).await? {
///     println!("{}. {} {}", entry.rank, entry.id, entry.score);
/// }
/// let neighbours = board.around("ann", 2).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisLeaderboard {
    space: Arc<Space>,
    keys: [String; 2],
    mode: &'static str,
    sign: i64,
    ttl_ms: i64,
}

impl RedisLeaderboard {
    /// The board of this name and season. Nothing is sent yet.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long name or season (1,024 bytes), or a time that can not be.
    pub fn new(backend: &RedisBackend, name: &str, config: LeaderboardConfig) -> Result<Self> {
        let space = Arc::clone(backend.space());
        let LeaderboardConfig { mode, lowest_first, season, ttl } = config;
        let prepare = || {
            let mut key = super::key(&space, "leaderboard", name)?;
            if let Some(season) = &season {
                super::name("season", season)?;
                key = format!("{key}:season:{}", super::escaped(season));
            }
            let ttl_ms = ttl.map_or(Ok(0), |ttl| super::millis("time to live", ttl))?;
            Ok(([key.clone(), format!("{key}:ids")], ttl_ms))
        };
        let (keys, ttl_ms) = prepare().map_err(at("leaderboard"))?;
        let mode = match mode {
            ScoreMode::Set => "set",
            ScoreMode::Best => "best",
            ScoreMode::Sum => "sum",
        };
        Ok(Self { keys, mode, sign: if lowest_first { 1 } else { -1 }, ttl_ms, space })
    }

    /// Submits a score; answers what then stands, and its place.
    ///
    /// # Errors
    /// `InvalidInput` for an empty id, one over 1,024 bytes, and a score that is not finite.
    pub async fn submit(&self, id: &str, score: f64) -> Result<LeaderboardEntry> {
        let submit = async {
            super::name("id", id)?;
            if !score.is_finite() {
                return Err(Error::invalid_input(format!("the score {score} is not finite")));
            }
            // Not -0, which is another text for the same number.
            let args: [Value; 5] = [
                id.into(),
                (score + 0.0).to_string().into(),
                self.mode.into(),
                self.ttl_ms.into(),
                self.sign.into(),
            ];
            let answer = self.space.script(&SUBMIT, &self.keys, args).await?;
            let [rank, score] = pair(answer)?;
            entry(id, &score, rank_of(&rank)?, 1.0)
        };
        submit.await.map_err(|error| at("leaderboard.submit")(error).with_key(id))
    }

    /// The best, at most 10,000.
    pub async fn top(&self, count: usize) -> Result<Vec<LeaderboardEntry>> {
        self.page(0, count).await
    }

    /// So many from this place on, which is counted from 0; at most 10,000.
    pub async fn page(&self, offset: u64, count: usize) -> Result<Vec<LeaderboardEntry>> {
        let page = async {
            let count = bounded(count)?;
            if count == 0 {
                return Ok(Vec::new());
            }
            let first = i64::try_from(offset).unwrap_or(i64::MAX >> 12).min(i64::MAX >> 12);
            self.window("", first, first + count - 1).await
        };
        page.await.map_err(at("leaderboard.page"))
    }

    /// Where an id stands; `None` if nowhere.
    pub async fn rank(&self, id: &str) -> Result<Option<LeaderboardEntry>> {
        let find = async {
            super::name("id", id)?;
            let answer = self.space.script(&RANK, &self.keys, [id]).await?;
            if matches!(answer, Value::Null) {
                return Ok(None);
            }
            let [rank, score] = pair(answer)?;
            entry(id, &score, rank_of(&rank)?, self.sign()).map(Some)
        };
        find.await.map_err(|error| at("leaderboard.rank")(error).with_key(id))
    }

    /// An id with up to so many before and after it, at most 5,000; nothing if it stands nowhere.
    pub async fn around(&self, id: &str, each_side: usize) -> Result<Vec<LeaderboardEntry>> {
        let find = async {
            super::name("id", id)?;
            let each_side = bounded(each_side.saturating_mul(2))? / 2;
            self.window(id, each_side, each_side).await
        };
        find.await.map_err(|error| at("leaderboard.around")(error).with_key(id))
    }

    /// Takes an id off the board; whether it was there.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        let remove = async {
            super::name("id", id)?;
            Ok(integer(&self.space.script(&REMOVE, &self.keys, [id]).await?) == Some(1))
        };
        remove.await.map_err(|error| at("leaderboard.remove")(error).with_key(id))
    }

    /// How many ids are on the board.
    pub async fn len(&self) -> Result<u64> {
        let [scores, _] = &self.keys;
        let counted = self.space.call(Cmd::read("ZCARD", scores.as_str())).await;
        let counted = counted.and_then(|answer| {
            integer(&answer)
                .and_then(|count| u64::try_from(count).ok())
                .ok_or_else(|| unexpected("ZCARD", &answer))
        });
        counted.map_err(at("leaderboard.len"))
    }

    /// Whether nobody is on the board.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Removes the board of this season.
    pub async fn clear(&self) -> Result<()> {
        let [scores, ids] = &self.keys;
        let remove = Cmd::write("UNLINK", scores.as_str()).arg(ids.as_str());
        self.space.call(remove).await.map(|_| ()).map_err(at("leaderboard.clear"))
    }

    async fn window(&self, id: &str, first: i64, last: i64) -> Result<Vec<LeaderboardEntry>> {
        let args: [Value; 3] = [id.into(), first.into(), last.into()];
        let answer = self.space.script(&WINDOW, &self.keys, args).await?;
        let [first, found] = pair(answer)?;
        let first = rank_of(&first)?;
        items(found)
            .chunks_exact(2)
            .zip(first..)
            .map(|(pair, rank)| {
                let [member, score] = pair else { return Err(unexpected("ZRANGE", &Value::Null)) };
                let id = text(member).and_then(|member| member.get(DIGITS..));
                entry(id.ok_or_else(|| unexpected("ZRANGE", member))?, score, rank, self.sign())
            })
            .collect()
    }

    fn sign(&self) -> f64 {
        if self.sign < 0 { -1.0 } else { 1.0 }
    }
}

fn pair(answer: Value) -> Result<[Value; 2]> {
    items(answer).try_into().map_err(|_| unexpected("EVALSHA", &Value::Null))
}

/// The place from 1 of a rank from 0.
fn rank_of(answer: &Value) -> Result<u64> {
    let rank = integer(answer).and_then(|rank| u64::try_from(rank).ok());
    rank.map(|rank| rank + 1).ok_or_else(|| unexpected("ZRANK", answer))
}

fn bounded(count: usize) -> Result<i64> {
    if count > MOST {
        return Err(Error::invalid_input(format!("{count} entries are asked for; at most {MOST} at a time")));
    }
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

fn entry(id: &str, score: &Value, rank: u64, sign: f64) -> Result<LeaderboardEntry> {
    let number = text(score).and_then(|score| score.parse::<f64>().ok());
    let score = number.ok_or_else(|| unexpected("ZSCORE", score))?;
    // Not -0.
    Ok(LeaderboardEntry { id: id.to_owned(), score: score * sign + 0.0, rank })
}
