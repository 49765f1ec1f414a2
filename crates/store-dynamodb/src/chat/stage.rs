//! Batches that are written before they are seen, and the removal of what is seen no more.

use store_core::Result;
use store_core::kit::epoch::micros;
use tracing::warn;

use super::item::{Encoded, LAST, RUNS, Run, SLOTS, in_run, key, partition, sort_of};
use super::own::OwnChatStore;
use super::place::{FIRST, after, generation_micros, place};
use crate::batch::{self, Write};
use crate::query::{self, Part};

/// After what time a generation that is not the history's can not be one that is still being written.
const ABANDONED_MICROS: u64 = 24 * 3_600 * 1_000_000;
/// Items that are removed in one go.
const AT_ONCE: usize = 1_000;

impl OwnChatStore {
    /// Writes messages as a run of a generation, where nobody looks before it has a place.
    pub(super) async fn stage(&self, session: &str, generation: &str, messages: &[Encoded]) -> Result<Run> {
        let keys = self.table_keys().await?;
        let id = format!("{:016x}{:08x}", micros(), fastrand::u32(..));
        let mut writes = Vec::with_capacity(messages.len());
        for (number, message) in messages.iter().enumerate() {
            let sort = in_run(generation, &id, &place(after(FIRST, number)?));
            writes.push(Write::put(message.item(&keys, session, sort)));
        }
        let ends = messages.iter().map(|message| message.expires);
        let expires = ends.reduce(|one, other| one.zip(other).map(|(one, other)| one.max(other))).flatten();
        let run = Run { id, count: u64::try_from(messages.len()).unwrap_or(u64::MAX), expires };
        if let Err(error) = batch::write(&self.space, &self.space.main, writes, &keys.sort).await {
            self.unstage(session, generation, &run).await;
            // The keys are not the caller's.
            return Err(error.with_failed([session]));
        }
        Ok(run)
    }

    /// Removes a run that gets no place.
    pub(super) async fn unstage(&self, session: &str, generation: &str, run: &Run) {
        let (from, to) = (in_run(generation, &run.id, ""), in_run(generation, &run.id, LAST));
        self.clear(session, from, to, |_| true).await;
    }

    /// Removes what is left of a generation that was replaced or deleted, and what was left by calls that did not come
    /// to their end a day ago.
    pub(super) async fn sweep(&self, session: &str, generation: &str) {
        let limit = micros().saturating_sub(ABANDONED_MICROS);
        let clear = |row: &'static str| {
            let gone = move |sort: &str| {
                let of = sort.get(row.len()..).and_then(|rest| rest.split('/').next()).unwrap_or_default();
                of == generation || generation_micros(of).is_some_and(|begun| begun < limit)
            };
            self.clear(session, row.to_owned(), format!("{row}{generation}/{LAST}"), gone)
        };
        futures::join!(clear(SLOTS), clear(RUNS));
    }

    /// Removes items that nobody looks at. What can not be removed now is no harm, and is removed later.
    async fn clear(&self, session: &str, from: String, to: String, gone: impl Fn(&str) -> bool) {
        if let Err(error) = self.try_clear(session, from, to, gone).await {
            warn!(error = %error, "items of a chat that are seen no more could not be removed");
        }
    }

    async fn try_clear(
        &self,
        session: &str,
        from: String,
        to: String,
        gone: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let keys = self.table_keys().await?;
        let part = Part {
            partition: partition(session),
            from,
            to,
            backwards: false,
            fields: Some(&[]),
            consistent: true,
        };
        let mut start = None;
        loop {
            let page = query::page(&self.space, &self.space.main, &keys, &part, Some(AT_ONCE), start).await?;
            let mut writes = Vec::with_capacity(page.items.len());
            for item in &page.items {
                let sort = sort_of(&keys, item);
                if gone(sort) {
                    writes.push(Write::delete(key(&keys, partition(session), sort.to_owned())));
                }
            }
            if !writes.is_empty() {
                batch::write(&self.space, &self.space.main, writes, &keys.sort).await?;
            }
            start = page.next;
            if start.is_none() {
                return Ok(());
            }
        }
    }
}
