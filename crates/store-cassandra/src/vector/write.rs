//! Writing nodes, and changing their metadata.
//!
//! A node stands in the partition of its source document. When it changes that, it is written to the new partition
//! first and then removed from the old one: in between it is there twice, and whoever reads takes the later one.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store_core::kit::rounds::{self, Round};
use store_core::kit::{check, vector_check};
use store_core::{AddMode, AddReport, Embedding, Error, ErrorKind, MetadataPatch, Node, Result, Selector};

use super::CassandraVectorStore;
use super::fit::fit;
use super::rows::{self, Keep, OWN, Row};
use super::scan::{self, AT_ONCE};
use super::select::WRITES;
use super::set::Ready;
use crate::codec::{bigint, text, vector};
use crate::session::{Call, Class, Value};

/// Nodes that an update reads at once.
const READ: usize = 100;
/// How often a write that meets others on its node looks again before it answers `Conflict`.
const ROUNDS: u32 = 200;
/// The longest pause before that.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// A node ready to be written.
struct Write {
    id: String,
    partition: String,
    values: Vec<Value>,
    /// What our column says: another with each write.
    own: String,
    attributes: String,
}

/// How a conditional write went.
enum Outcome {
    Done,
    /// The condition did not hold.
    Refused,
}

fn to_write(ready: &Ready, node: &Node, embedding: Option<&[f32]>, limit: usize) -> Result<Write> {
    let id = node.id.as_str();
    let encode = || {
        rows::check(node)?;
        let fitted = embedding.map(|embedding| fit(ready.config.metric, embedding)).transpose()?;
        let embedded = match &fitted {
            Some(Cow::Owned(_)) if !ready.live.own => {
                return Err(Error::invalid_input(
                    "the embedding is too long or too short for the server's vector index, and the table has no \
                     column for it; scale it to a length near 1",
                ));
            }
            Some(Cow::Owned(_)) => embedding.map(<[f32]>::to_vec),
            _ => None,
        };
        let metadata = rows::metadata(node, embedded, ready.own())?;
        let size =
            metadata.size() + node.text_content().len() + embedding.map_or(0, |values| values.len() * 4);
        check::within("node", id, size, limit)?;
        let [attributes, entries] = metadata.values();
        let partition = rows::partition(node);
        let mut values = vec![
            text(node.text_content()),
            fitted.as_deref().map_or(Value::Null, vector),
            attributes,
            entries,
            text(id),
            text(partition.as_str()),
        ];
        if ready.live.own {
            values.push(text(metadata.own.as_str()));
        }
        values.extend(metadata.own_values());
        let (own, attributes) = (metadata.own, metadata.attributes);
        Ok(Write { id: id.to_owned(), partition, values, own, attributes })
    };
    encode().map_err(|error: Error| error.with_key(id).with_failed([id]))
}

fn insert(ready: &Ready) -> String {
    let own = ready.own_columns();
    let marks = ", ?".repeat(own.len());
    let own: String = own.iter().flat_map(|column| [", ", column]).collect();
    format!(
        "INSERT INTO {} (body_blob, vector, attributes_blob, metadata_s, row_id, partition_id{own}) VALUES (?, ?, ?, \
         ?, ?, ?{marks})",
        ready.table
    )
}

impl CassandraVectorStore {
    pub(super) async fn write(
        &self,
        ready: &Arc<Ready>,
        nodes: Vec<Node>,
        mode: AddMode,
    ) -> Result<AddReport> {
        let embeddings = vector_check::upsert(&nodes, mode, &ready.config)?;
        let pairs: Vec<(Node, Option<Embedding>)> = nodes.into_iter().zip(embeddings).collect();
        let pairs = check::unique_by(pairs, mode == AddMode::Overwrite, |(node, _)| node.id.clone());
        let limit = self.set.space.config.max_value_bytes;
        let encode = |(node, embedding): (Node, Option<Embedding>)| {
            to_write(ready, &node, embedding.as_deref(), limit)
        };
        let writes = pairs.into_iter().map(encode).collect::<Result<Vec<Write>>>()?;
        let count = writes.len();
        if mode == AddMode::Overwrite {
            self.each(writes, |write| self.replace(ready, write)).await?;
            return Ok(AddReport::new(count, 0));
        }
        let mut existing = self.insert(ready, writes).await?;
        if mode == AddMode::Fail && !existing.is_empty() {
            existing.sort_unstable();
            return Err(check::already_exist("node", existing));
        }
        Ok(AddReport::new(count - existing.len(), existing.len()))
    }

    /// Writes each; answers what `write` says of it, and which failed.
    async fn each<T, F: Future<Output = Result<T>>>(
        &self,
        writes: Vec<Write>,
        write: impl Fn(Write) -> F,
    ) -> Result<Vec<(String, T)>> {
        let writes = writes.into_iter().map(|one| {
            let id = one.id.clone();
            let write = write(one);
            async move { (id, write.await) }
        });
        let mut outcomes = stream::iter(writes).buffered(WRITES);
        let (mut done, mut failed, mut first) = (Vec::new(), Vec::new(), None);
        while let Some((id, outcome)) = outcomes.next().await {
            match outcome {
                Ok(outcome) => done.push((id, outcome)),
                Err(error) => {
                    first = first.or_else(|| Some(error.with_key(&id)));
                    failed.push(id);
                }
            }
        }
        match first {
            None => Ok(done),
            Some(error) => Err(error.with_failed(failed)),
        }
    }

    /// Writes a node over what is there.
    async fn replace(&self, ready: &Arc<Ready>, write: Write) -> Result<()> {
        let space = &self.set.space;
        space.run(Call::new(Class::Write, insert(ready), write.values)).await?;
        if !ready.live.by_id {
            return Ok(());
        }
        let found = scan::by_ids(&self.set, ready, std::slice::from_ref(&write.id), Keep::ID).await?;
        let order = |row: &Row| (row.written, row.partition.clone());
        let Some(last) = found.iter().map(order).max().filter(|_| found.len() > 1) else { return Ok(()) };
        for row in found.iter().filter(|row| order(row) != last) {
            // Not what may be written there from now on.
            let delete = format!(
                "DELETE FROM {} USING TIMESTAMP ? WHERE partition_id = ? AND row_id = ?",
                ready.table
            );
            let values = vec![bigint(row.written), text(row.partition.as_str()), text(row.id.as_str())];
            space.run(Call::new(Class::Write, delete, values)).await?;
        }
        Ok(())
    }

    /// Writes what is not there; answers the ids of what is.
    async fn insert(&self, ready: &Arc<Ready>, writes: Vec<Write>) -> Result<Vec<String>> {
        let outcomes = self.each(writes, |write| self.insert_one(ready, write)).await?;
        let refused = outcomes.into_iter().filter(|(_, outcome)| matches!(outcome, Outcome::Refused));
        Ok(refused.map(|(id, _)| id).collect())
    }

    async fn insert_one(&self, ready: &Arc<Ready>, write: Write) -> Result<Outcome> {
        if ready.live.by_id {
            // In another partition it is no matter of the condition.
            let found = scan::by_ids(&self.set, ready, std::slice::from_ref(&write.id), Keep::ID).await?;
            if !found.is_empty() {
                return Ok(Outcome::Refused);
            }
        }
        let statement = insert(ready) + " IF NOT EXISTS";
        for round in 0..ROUNDS {
            let call = Call::new(Class::Conditional, statement.clone(), write.values.clone());
            match self.set.space.run(call).await {
                Ok(answer) if answer.applied()? => return Ok(Outcome::Done),
                Ok(_) if round == 0 => return Ok(Outcome::Refused),
                Ok(_) => {
                    return self.whose(ready, &write).await.map(|whose| whose.unwrap_or(Outcome::Refused));
                }
                // Whether it was made is not known.
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    if let Some(whose) = self.whose(ready, &write).await? {
                        return Ok(whose);
                    }
                    rounds::pause(round, LONGEST_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(conflict(vec![write.id]))
    }

    /// Whether what stands there is this write; `None` if nothing does.
    async fn whose(&self, ready: &Ready, write: &Write) -> Result<Option<Outcome>> {
        let (column, ours) =
            if ready.live.own { (OWN, &write.own) } else { ("attributes_blob", &write.attributes) };
        let found = self.standing(ready, column, &write.partition, &write.id).await?;
        Ok(found.map(|found| if found.as_ref() == Some(ours) { Outcome::Done } else { Outcome::Refused }))
    }

    /// A column as all conditional writes that were begun have left it; `None` without a row.
    async fn standing(
        &self,
        ready: &Ready,
        column: &str,
        partition: &str,
        id: &str,
    ) -> Result<Option<Option<String>>> {
        let select = format!("SELECT {column} FROM {} WHERE partition_id = ? AND row_id = ?", ready.table);
        let call = Call::new(Class::SerialRead, select, vec![text(partition), text(id)]);
        let rows = self.set.space.run(call).await?;
        rows.first().map(|row| Ok(row.text(column)?.map(str::to_owned))).transpose()
    }

    /// Changes the metadata of what is selected; answers how many nodes.
    ///
    /// The content is a text that the server can not change in part, so each node is read, changed here, and written
    /// if it is still what was read; otherwise it is looked at again.
    pub(super) async fn patch(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        patch: &MetadataPatch,
    ) -> Result<usize> {
        // Ids first: a change may move a node out of what is selected, and must not be met again.
        let ids = self.selected_ids(ready, selector).await?;
        let round = |open| self.patch_round(ready, selector, open, patch);
        rounds::settle(&ids, READ, LONGEST_PAUSE, round).await
    }

    async fn patch_round(
        &self,
        ready: &Arc<Ready>,
        selector: &Selector,
        ids: Vec<String>,
        patch: &MetadataPatch,
    ) -> Result<Round> {
        let rows = scan::named(&self.set, ready, &ids, Keep::METADATA).await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows.into_iter().flatten() {
            let Some(mut node) = row.node.clone().filter(|node| selector.selects(node)) else {
                continue;
            };
            patch.apply(&mut node.metadata);
            let metadata = rows::metadata(&node, row.embedded.clone(), ready.own());
            let metadata = metadata.map_err(|error| error.with_key(&row.id).with_failed([&row.id]))?;
            changes.push(async move {
                let outcome = self.change(ready, &row, metadata).await;
                outcome
                    .map(|outcome| (row.id.clone(), matches!(outcome, Outcome::Done)))
                    .map_err(|error| error.with_key(&row.id).with_failed([&row.id]))
            });
        }
        stream::iter(changes).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Writes the columns that the metadata decides, if the row is still what was read.
    async fn change(&self, ready: &Ready, row: &Row, metadata: rows::Metadata) -> Result<Outcome> {
        let Some(read) = &row.attributes else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the node was not written by LlamaIndex or this store and can not be changed in part; write it anew",
            ));
        };
        let own = ready.own_columns();
        let own: String = own.iter().flat_map(|column| [", ", column, " = ?"]).collect();
        let update = format!(
            "UPDATE {} SET attributes_blob = ?, metadata_s = ?{own} WHERE partition_id = ? AND row_id = ? IF \
             attributes_blob = ?",
            ready.table
        );
        let [attributes, entries] = metadata.values();
        let mut values = vec![attributes, entries];
        if ready.live.own {
            values.push(text(metadata.own.as_str()));
        }
        values.extend(metadata.own_values());
        values.extend([text(row.partition.as_str()), text(row.id.as_str()), text(read.as_str())]);
        let outcome = match self.set.space.run(Call::new(Class::Conditional, update, values)).await {
            Ok(answer) => answer.applied()?,
            // Whether it was made is not known. To make it over another's that came after is what was asked for too.
            Err(error) if error.kind() == ErrorKind::Timeout => {
                let now = self.standing(ready, "attributes_blob", &row.partition, &row.id).await?;
                now.flatten().is_some_and(|now| now == metadata.attributes)
            }
            Err(error) => return Err(error),
        };
        Ok(if outcome { Outcome::Done } else { Outcome::Refused })
    }
}

fn conflict(failed: Vec<String>) -> Error {
    let message = format!("other writers changed the nodes {ROUNDS} times in a row; repeat the call");
    Error::new(ErrorKind::Conflict, message).with_retryable(true).with_failed(failed)
}
