//! Writing nodes, and changing their metadata.

use std::sync::Arc;

use fred::types::Value;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::rounds::{self, Round, SHORT_PAUSE};
use store_core::kit::{check, vector_check};
use store_core::{AddMode, AddReport, Embedding, Error, MetadataPatch, Node, Result, Selector, VectorConfig};

use super::RedisVectorStore;
use super::linked;
use super::rows::{self, Keep};
use super::set::READ;
use crate::driver::{Cmd, items, text};
use crate::script::Script;

/// Bytes and rows that one round trip writes.
const BYTES: usize = 2 << 20;
const ROWS: usize = 500;
/// The same, where each row has a place in the graph of a vector set too: some milliseconds of the server for each.
const LINKED_ROWS: usize = 100;
/// Round trips of one write that are under way at once.
const WRITES: usize = 2;

/// Writes one row whole: nothing of an older one stays, and no reader sees a part of it.
///
/// `ARGV[1]` is `insert` or `replace`, the rest are fields and values. Answers 1, or 0 for an insert of a row that
/// is there.
static PUT: Script = Script::new(
    r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then
  if ARGV[1] == 'insert' then return 0 end
  redis.call('DEL', KEYS[1])
elseif kind ~= 'none' then
  return redis.error_reply('WRONGTYPE the key of a node holds a ' .. kind)
end
for first = 2, #ARGV, 2000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
return 1",
);

/// Writes the fields of one row anew, but those of text and embedding, if its content is still what was read.
///
/// `ARGV[1]` is the content as read, the rest are fields and values. Answers whether it was.
static CHANGE: Script = Script::new(
    r"
if redis.call('HGET', KEYS[1], '_node_content') ~= ARGV[1] then return 0 end
local kept = {text = true, vector = true, _nodestore_words = true}
for at = 2, #ARGV, 2 do kept[ARGV[at]] = true end
local stale = {}
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not kept[name] then stale[#stale + 1] = name end
end
for first = 1, #stale, 2000 do
  redis.call('HDEL', KEYS[1], unpack(stale, first, math.min(first + 1999, #stale)))
end
for first = 2, #ARGV, 2000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 1999, #ARGV)))
end
return 1",
);

/// A row ready to be written.
struct Row {
    id: String,
    keys: Vec<Value>,
    args: Vec<Value>,
    size: usize,
}

impl RedisVectorStore {
    pub(super) async fn write(
        &self,
        config: &VectorConfig,
        nodes: Vec<Node>,
        mode: AddMode,
    ) -> Result<AddReport> {
        let embeddings = vector_check::upsert(&nodes, mode, config)?;
        let pairs: Vec<(Node, Option<Embedding>)> = nodes.into_iter().zip(embeddings).collect();
        let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
        let how = if mode == AddMode::Overwrite { "replace" } else { "insert" };
        let encode = |(node, embedding): &(Node, Option<Embedding>)| {
            let mut args = match &self.set.linked {
                None => vec![Value::from_static_str(how)],
                Some(linked) => linked.put(how, node.id.as_str()).to_vec(),
            };
            args.extend(rows::to_fields(node, embedding.as_deref(), config)?);
            let size = args.iter().map(|arg| arg.as_bytes().map_or(8, <[u8]>::len) + 16).sum();
            let id = node.id.as_str().to_owned();
            Ok(Row { keys: self.set.keys(&id), id, args, size })
        };
        let rows = pairs.iter().map(encode).collect::<Result<Vec<Row>>>()?;
        drop(pairs);
        let count = rows.len();
        let mut existing = self.put(rows).await?;
        if mode == AddMode::Fail && !existing.is_empty() {
            existing.sort_unstable();
            return Err(check::already_exist("node", existing));
        }
        Ok(AddReport::new(count - existing.len(), existing.len()))
    }

    /// Writes rows in round trips of bounded size; answers the ids of those that were there already.
    async fn put(&self, rows: Vec<Row>) -> Result<Vec<String>> {
        let most = if self.set.linked.is_some() { LINKED_ROWS } else { ROWS };
        let mut parts: Vec<Vec<Row>> = Vec::new();
        let mut bytes = BYTES;
        for row in rows {
            bytes += row.size;
            match parts.last_mut() {
                Some(part) if bytes <= BYTES && part.len() < most => part.push(row),
                _ => {
                    bytes = row.size;
                    parts.push(vec![row]);
                }
            }
        }
        let writes: Vec<_> = parts.into_iter().map(|part| self.put_part(part)).collect();
        let mut writes = stream::iter(writes).buffered(WRITES);
        let (mut existing, mut failed, mut first) = (Vec::new(), Vec::new(), None);
        while let Some((there, lost, error)) = writes.next().await {
            existing.extend(there);
            failed.extend(lost);
            first = first.or(error);
        }
        match first {
            None => Ok(existing),
            Some(error) => Err(error.with_failed(failed)),
        }
    }

    /// Writes one round trip's rows: who was there already, who could not be written, and why.
    async fn put_part(&self, rows: Vec<Row>) -> (Vec<String>, Vec<String>, Option<Error>) {
        let (ids, calls): (Vec<String>, Vec<_>) =
            rows.into_iter().map(|row| (row.id, (row.keys, row.args))).unzip();
        let script = if self.set.linked.is_some() { &linked::PUT } else { &PUT };
        let answers = match self.set.space.scripts(script, calls).await {
            Ok(answers) => answers,
            Err(error) => return (Vec::new(), ids, Some(error)),
        };
        let (mut existing, mut failed, mut first) = (Vec::new(), Vec::new(), None);
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer {
                Ok(Value::Integer(0)) => existing.push(id),
                Ok(_) => {}
                Err(error) => {
                    first = first.or_else(|| Some(error.with_key(&id)));
                    failed.push(id);
                }
            }
        }
        (existing, failed, first)
    }

    /// Changes the metadata of what is selected; answers how many nodes.
    ///
    /// `_node_content` is a text that the server can not change in part, so each node is read, changed here, and
    /// written if its content is still what was read; otherwise it is looked at again.
    pub(super) async fn patch(
        &self,
        config: &Arc<VectorConfig>,
        selector: &Selector,
        patch: &MetadataPatch,
    ) -> Result<usize> {
        // Ids first: a search could meet a node again where the change moved it to.
        let ids: Vec<String> = self.selected(config, selector).try_concat().await?;
        let round = |open| self.patch_round(config, selector, open, patch);
        rounds::settle(&ids, READ, SHORT_PAUSE, round).await
    }

    async fn patch_round(
        &self,
        config: &VectorConfig,
        selector: &Selector,
        ids: Vec<String>,
        patch: &MetadataPatch,
    ) -> Result<Round> {
        let set = &self.set;
        let commands: Vec<Cmd> = ids.iter().map(|id| set.read_command(id, Keep::NODE).at_primary()).collect();
        let (mut read, mut changes) = (Vec::new(), Vec::new());
        for (id, answer) in ids.iter().zip(set.space.pipeline(commands).await?) {
            let values = items(answer?);
            let content = values.first().cloned().unwrap_or(Value::Null);
            let Some(mut node) = rows::to_node(id, values)?.filter(|node| selector.selects(node)) else {
                continue;
            };
            if text(&content).is_none() {
                let message = "the node has no _node_content, so that no change of it can be written; write it \
                               whole";
                return Err(Error::corrupt(message).with_key(id).with_failed([id]));
            }
            patch.apply(&mut node.metadata);
            let mut args = vec![content];
            args.extend(set.linked.as_ref().map(|_| Value::from(id.as_str())));
            let fields = rows::changed(&node, config);
            args.extend(fields.map_err(|error| error.with_key(id).with_failed([id]))?);
            read.push(id.clone());
            changes.push((set.keys(id), args));
        }
        let script = if set.linked.is_some() { &linked::CHANGE } else { &CHANGE };
        let answers = set.space.scripts(script, changes).await?;
        read.into_iter()
            .zip(answers)
            .map(|(id, answer)| match answer {
                Ok(answer) => Ok((id, !matches!(answer, Value::Integer(0)))),
                Err(error) => Err(error.with_key(&id).with_failed([&id])),
            })
            .collect()
    }
}
