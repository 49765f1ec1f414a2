//! The lists of histories' buckets, and the listing of sessions.

use futures::{TryStreamExt as _, stream};
use store_core::{Error, Result};

use super::CassandraChatStore;
use super::head::{Bucket, Root, last_expiry, seconds};
use crate::clock::micros;
use crate::codec::{bigint, int, text};
use crate::schema::Table;
use crate::session::{Call, Class};
use crate::transaction::{Fate, Marks, once};

/// The lists.
static HEADS: Table = Table {
    name: "chat_heads",
    definition: "(session text PRIMARY KEY, buckets text, stamp bigint, marks blob)",
    then: &[],
};
/// The sessions that have messages.
static SESSIONS: Table = Table {
    name: "chat_sessions",
    definition: "(shard int, session text, PRIMARY KEY (shard, session))",
    then: &[],
};

/// The partitions of the listing. Part of the layout.
const SHARDS: i32 = 16;
/// Sessions read in one request.
const PAGE: i32 = 1_000;
/// How long the empty list of a deleted history is kept, so that its stamp is known to who begins it anew.
const EMPTY_SECONDS: i32 = 24 * 3_600;

impl CassandraChatStore {
    /// The list of a history.
    pub(super) async fn root(&self, session: &str, class: Class) -> Result<Root> {
        let read = |table: &str| {
            let read = format!("SELECT buckets, stamp, marks FROM {table} WHERE session = ?");
            Call::new(class, read, vec![text(session)])
        };
        let rows = self.space.on(&HEADS, read).await?;
        let Some(row) = rows.first() else { return Ok(Root::default()) };
        let buckets = row.text("buckets")?.unwrap_or_default();
        Root::parse(buckets, row.integer("stamp")?, Marks::read(&row, "marks")?)
    }

    /// Puts another list in the place of one, if that is still it; `None` if it is not. The session is listed, or no
    /// longer.
    pub(super) async fn swap(&self, session: &str, old: &Root, buckets: Vec<Bucket>) -> Result<Option<Root>> {
        let stamp = micros().max(old.stamp.map_or(0, |stamp| stamp.saturating_add(1)));
        let mark = self.space.writer.mark();
        let new = Root { buckets, stamp: Some(stamp), marks: old.marks.with(&mark) };
        let ends = last_expiry(&new.buckets);
        let ttl = if new.buckets.is_empty() { EMPTY_SECONDS } else { seconds_until(ends) };
        if new.buckets.iter().any(|bucket| !old.buckets.contains(bucket)) {
            // Before anyone may see it: a history that is there is listed.
            self.list(session, &new, ends).await?;
        }
        let swap = |table: &str| {
            // An UPDATE of all columns: it makes the row where there is none, and nothing of it outlives them.
            let swap = format!(
                "UPDATE {table} USING TTL ? SET buckets = ?, stamp = ?, marks = ? WHERE session = ? IF stamp = {}",
                if old.stamp.is_some() { "?" } else { "null" }
            );
            let mut values = vec![int(ttl), text(Root::text(&new.buckets)), bigint(stamp)];
            values.extend([new.marks.value(), text(session)]);
            values.extend(old.stamp.map(bigint));
            Call::new(Class::Conditional, swap, values)
        };
        let attempt = || async { self.space.on(&HEADS, swap).await?.applied() };
        let look = || async {
            let found = self.root(session, Class::SerialRead).await?;
            Ok(Fate::of(&mark, &old.marks, &found.marks, found.stamp == old.stamp))
        };
        if !once(self.space.config.operation_timeout, attempt, look).await? {
            return Ok(None);
        }
        if new.buckets.is_empty() && !old.buckets.is_empty() {
            self.unlist(session, stamp).await?;
        }
        Ok(Some(new))
    }

    /// Lists a session for the time that a new message lives. The timestamp is the list's: a later one's removal wins,
    /// and of equal ones the longer time.
    async fn list(&self, session: &str, root: &Root, ends: Option<i64>) -> Result<()> {
        let ttl = ends.and_then(|_| self.ttl()).map_or(0, |ttl| i32::try_from(ttl).unwrap_or(i32::MAX));
        let list = |table: &str| {
            let list =
                format!("INSERT INTO {table} (shard, session) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?");
            let stamp = root.stamp.unwrap_or_default();
            let values = vec![int(shard(session)), text(session), bigint(stamp), int(ttl)];
            Call::new(Class::Write, list, values)
        };
        self.space.on(&SESSIONS, list).await.map(drop)
    }

    /// Lists a session for longer, where new messages live for a limited time.
    pub(super) async fn renew(&self, session: &str, root: &Root) -> Result<()> {
        match last_expiry(&root.buckets) {
            Some(ends) => self.list(session, root, Some(ends)).await,
            None => Ok(()),
        }
    }

    async fn unlist(&self, session: &str, stamp: i64) -> Result<()> {
        let unlist = |table: &str| {
            let unlist = format!("DELETE FROM {table} USING TIMESTAMP ? WHERE shard = ? AND session = ?");
            Call::new(Class::Write, unlist, vec![bigint(stamp), int(shard(session)), text(session)])
        };
        self.space.on(&SESSIONS, unlist).await.map(drop)
    }

    /// The sessions after one, by their partitions and in these by name.
    pub(super) fn sessions(
        &self,
        after: Option<String>,
    ) -> impl futures::Stream<Item = Result<String>> + use<> {
        let store = self.clone();
        let first = after.as_deref().map_or(0, shard);
        let start = Some((first, after.unwrap_or_default()));
        let pages = stream::try_unfold(start, move |state: Option<(i32, String)>| {
            let store = store.clone();
            async move {
                let Some((shard, after)) = state else { return Ok::<_, Error>(None) };
                let names = store.listed(shard, &after).await?;
                let full = i32::try_from(names.len()).is_ok_and(|count| count >= PAGE);
                let next = match names.last() {
                    Some(last) if full => Some((shard, last.clone())),
                    _ => Some((shard + 1, String::new())).filter(|(shard, _)| *shard < SHARDS),
                };
                Ok(Some((names, next)))
            }
        });
        pages.map_ok(|names| stream::iter(names.into_iter().map(Ok))).try_flatten()
    }

    /// A page of a partition of the listing.
    async fn listed(&self, shard: i32, after: &str) -> Result<Vec<String>> {
        let read = |table: &str| {
            let read = format!("SELECT session FROM {table} WHERE shard = ? AND session > ? LIMIT {PAGE}");
            Call::new(Class::Read, read, vec![int(shard), text(after)])
        };
        let rows = self.space.on(&SESSIONS, read).await?;
        rows.iter().map(|row| row.needed_text("session").map(str::to_owned)).collect()
    }

    /// How many seconds new messages live.
    pub(super) fn ttl(&self) -> Option<i64> {
        let ttl = self.space.config.chat_ttl?;
        Some(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX))
    }
}

/// As a time to live; 0 is without end.
fn seconds_until(end: Option<i64>) -> i32 {
    let left = |end: i64| i32::try_from(end.saturating_sub(seconds()).max(1)).unwrap_or(i32::MAX);
    end.map_or(0, left)
}

/// The partition of the listing that a session is in: its FNV-1a hash (Fowler, Noll, Vo; 32 bits) by their number.
fn shard(session: &str) -> i32 {
    let hash = session
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i32::try_from(hash % SHARDS.unsigned_abs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_keep_their_partitions() {
        // Of the published test vectors: "" 0x811c9dc5, "a" 0xe40c292c, "foobar" 0xbf9cf968.
        assert_eq!([shard(""), shard("a"), shard("foobar")], [0x5, 0xc, 0x8]);
    }
}
