//! The vector set beside a set's rows: its key, and the scripts that change a row and its element in one step.
//!
//! The elements are the ids of the nodes that have an embedding of the configured length. Their attributes are a JSON
//! object: `t` lists the terms of the node (see [`terms`](super::terms)), `u` is 1 where they are not known, as of a
//! node that Python wrote. Embeddings stand there as they are (`NOQUANT`).

use std::sync::Arc;

use fred::types::Value;
use futures::TryStreamExt as _;
use store_core::{Error, ErrorKind, Metric, Result, VectorConfig};

use super::scan;
use super::set::{Set, registry};
use crate::driver::{Cmd, integer, text};
use crate::schema::OWN;
use crate::script::Script;
use crate::space::Space;

/// The attribute that lists the terms of an element, and the one that says whether they are unknown.
pub(super) const TERMS: &str = "t";
pub(super) const UNKNOWN: &str = "u";
/// Most of what a server takes for EF.
pub(super) const MAX_EF: usize = 1_000_000;
/// Rows of one round trip that makes elements.
const ROWS: usize = 200;

/// The attributes of an element with these terms: a text, or `false`.
macro_rules! attributes {
    () => {
        r#"
local function attributes(terms)
  if not terms then return '{"t":[],"u":1}' end
  return '{"t":["' .. string.gsub(terms, ',', '","') .. '"],"u":0}'
end
"#
    };
}

/// Writes one row and its element whole, as [`write`](super::write) does the row alone.
///
/// `ARGV` is `insert` or `replace`, the element, M, EF, then fields and values. The element first: if the server
/// refuses it, nothing was written.
pub(super) static PUT: Script = Script::new(concat!(
    attributes!(),
    r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  if ARGV[1] == 'insert' then return 0 end
elseif kind ~= 'none' then
  return redis.error_reply('WRONGTYPE the key of a node holds a ' .. kind)
end
local vector, terms = false, false
for at = 5, #ARGV, 2 do
  if ARGV[at] == 'vector' then vector = ARGV[at + 1] end
  if ARGV[at] == '_nodestore_terms' then terms = ARGV[at + 1] end
end
if vector then
  redis.call('VADD', KEYS[2], 'FP32', vector, ARGV[2], 'NOQUANT', 'EF', ARGV[4], 'SETATTR', attributes(terms), 'M', ARGV[3])
else
  redis.call('VREM', KEYS[2], ARGV[2])
end
redis.call('DEL', KEYS[1])
for first = 5, #ARGV, 2000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
return 1"
));

/// Changes the metadata of one row and the attributes of its element, as [`write`](super::write) does the row alone.
///
/// `ARGV` is the content as read, the element, then fields and values.
pub(super) static CHANGE: Script = Script::new(concat!(
    attributes!(),
    r"
if redis.call('HGET', KEYS[1], '_node_content') ~= ARGV[1] then return 0 end
local kept, terms = {text = true, vector = true, _nodestore_words = true}, false
for at = 3, #ARGV, 2 do
  kept[ARGV[at]] = true
  if ARGV[at] == '_nodestore_terms' then terms = ARGV[at + 1] end
end
redis.call('VSETATTR', KEYS[2], ARGV[2], attributes(terms))
local stale = {}
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not kept[name] then stale[#stale + 1] = name end
end
for first = 1, #stale, 2000 do
  redis.call('HDEL', KEYS[1], unpack(stale, first, math.min(first + 1999, #stale)))
end
for first = 3, #ARGV, 2000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
return 1"
));

/// Removes one row and its element; `ARGV` is the element. Answers whether there was a row.
pub(super) static REMOVE: Script = Script::new(
    r"
redis.call('VREM', KEYS[2], ARGV[1])
return redis.call('UNLINK', KEYS[1])",
);

/// Makes the element of a row as it stands; `ARGV` is the element, M, EF and the bytes of an embedding.
static MAKE: Script = Script::new(concat!(
    attributes!(),
    r"
local row = redis.call('HMGET', KEYS[1], 'vector', '_nodestore_terms')
if not row[1] or #row[1] ~= tonumber(ARGV[4]) then
  redis.call('VREM', KEYS[2], ARGV[1])
  return 0
end
redis.call('VADD', KEYS[2], 'FP32', row[1], ARGV[1], 'NOQUANT', 'EF', ARGV[3], 'SETATTR', attributes(row[2]), 'M', ARGV[2])
return 1"
));

/// The vector set of a set.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    pub(super) key: String,
    m: u32,
    ef: u32,
}

impl Linked {
    pub(super) fn new(space: &Space, name: &str) -> Self {
        let options = &space.config.vectors;
        Self { key: key(space, name), m: options.hnsw_m, ef: options.hnsw_ef_construction }
    }

    /// The arguments of [`PUT`] before the fields.
    pub(super) fn put(&self, how: &'static str, id: &str) -> [Value; 4] {
        [how.into(), id.into(), self.m.to_string().into(), self.ef.to_string().into()]
    }

    /// Makes the vector set of what is there, if nobody did yet; else holds it against the configuration.
    pub(super) async fn prepare(&self, set: &Arc<Set>, config: &VectorConfig) -> Result<()> {
        if config.metric != Metric::Cosine {
            let message = format!(
                "a vector set compares by cosine only, not by {}; use that metric, or another store.vector_engine",
                config.metric
            );
            return Err(Error::new(ErrorKind::Unsupported, message).with_collection(&set.name));
        }
        if is_made(set).await? {
            return self.compare(set, config).await;
        }
        if !set.space.config.create {
            let message =
                "there is no vector set of these nodes yet, and store.create=false; open it once without";
            return Err(Error::new(ErrorKind::NotFound, message).with_collection(&set.name));
        }
        // The script reads the row itself, so that who writes meanwhile is not undone.
        let mut ids = scan::ids(set);
        while let Some(ids) = ids.try_next().await? {
            for ids in ids.chunks(ROWS) {
                self.make(set, config, ids).await?;
            }
        }
        self.compare(set, config).await?;
        let made = Cmd::write("HSET", registry(&set.space)).arg(mark(&set.name)).arg("1");
        set.space.call(made).await.map(|_| ())
    }

    async fn make(&self, set: &Set, config: &VectorConfig, ids: &[String]) -> Result<()> {
        let run = |id: &String| {
            let args =
                [id.clone(), self.m.to_string(), self.ef.to_string(), (config.dimensions * 4).to_string()];
            (vec![Value::from(set.key(id)), self.key.as_str().into()], args.map(Value::from).to_vec())
        };
        for answer in set.space.scripts(&MAKE, ids.iter().map(run).collect()).await? {
            answer?;
        }
        Ok(())
    }

    /// Refuses a vector set that is not as this store makes it. One without elements is not there.
    async fn compare(&self, set: &Set, config: &VectorConfig) -> Result<()> {
        let dimensions = match set.space.call(Cmd::read("VDIM", self.key.as_str()).at_primary()).await {
            Ok(answer) => integer(&answer).unwrap_or_default(),
            Err(error) if error.message().contains("not exist") => return Ok(()),
            Err(error) => return Err(error),
        };
        if usize::try_from(dimensions) == Ok(config.dimensions) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the vector set {:?} holds {dimensions} dimensions, not {}; it is not this store's, remove it",
            self.key, config.dimensions
        ))
        .with_collection(&set.name))
    }
}

/// The key of the vector set of a set.
fn key(space: &Space, name: &str) -> String {
    format!("{}{OWN}vector_set:{name}", space.prefix)
}

/// The field of the registry that says that there is a vector set of all the rows.
fn mark(name: &str) -> String {
    format!("vector_set:{name}")
}

/// Whether there is a vector set of all the rows.
async fn is_made(set: &Set) -> Result<bool> {
    let mark = Cmd::read("HGET", registry(&set.space)).arg(mark(&set.name)).at_primary();
    Ok(text(&set.space.call(mark).await?).is_some())
}

/// Refuses a set that is searched by a vector set, which other engines would not keep up.
pub(super) async fn refuse(set: &Set) -> Result<()> {
    if !set.space.server.vector_sets || !is_made(set).await? {
        return Ok(());
    }
    let message = "these nodes are searched by a vector set, which must be kept up with them; open the store with \
                   store.vector_engine=vector_set";
    Err(Error::config(message).with_collection(&set.name))
}

/// Removes the vector set of a set, if there is one; the rows stay.
pub(super) async fn forget(set: &Set) -> Result<()> {
    if set.space.server.vector_sets {
        set.space.call(Cmd::write("HDEL", registry(&set.space)).arg(mark(&set.name))).await?;
        set.space.call(Cmd::write("UNLINK", key(&set.space, &set.name))).await?;
    }
    Ok(())
}
