//! The steps of a change to a history: in one transaction where the server has them.

use std::sync::{Arc, LazyLock};

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use futures::join;
use mongodb::options::{ReadPreference, ReturnDocument, SelectionCriteria};
use mongodb::{ClientSession, Collection};
use store_core::kit::check;
use store_core::{ChatMessage, Result};

use super::message::{self, Encoded};
use super::place::{Place, between};
use super::{FURTHEST, MongoChatStore};
use crate::error::{DUPLICATE, code};
use crate::space::Space;
use crate::transaction::{Attempts, to_its_end};

/// The order of a history, and the same from its end; one index serves both.
static FORWARDS: LazyLock<Document> = LazyLock::new(|| doc! {"index": 1, "_id": 1});
pub(super) static BACKWARDS: LazyLock<Document> = LazyLock::new(|| doc! {"index": -1, "_id": -1});

/// What a change depends on is read where it is written.
pub(super) const PRIMARY: SelectionCriteria = SelectionCriteria::ReadPreference(ReadPreference::Primary);

/// How the message at an index is found: in which order, and how many stand before it.
pub(super) fn at(index: i64) -> (Document, u64) {
    match u64::try_from(index) {
        Ok(index) => (FORWARDS.clone(), index.min(FURTHEST)),
        Err(_) => (BACKWARDS.clone(), (index.unsigned_abs() - 1).min(FURTHEST)),
    }
}

/// What is done to a history.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Append,
    Replace,
    Insert(i64),
}

impl MongoChatStore {
    /// Makes a change, once; answers whether the history had messages that it removed.
    pub(super) async fn change(&self, key: &str, messages: Vec<ChatMessage>, step: Step) -> Result<bool> {
        check::non_empty("session key", key)?;
        let messages = message::encode(key, &messages)?;
        if messages.is_empty() && matches!(step, Step::Append) {
            return Ok(false);
        }
        let (store, key) = (self.clone(), key.to_owned());
        to_its_end(async move {
            let transactions = store.prepare().await?;
            let _turn = store.space.turns.take(&key).await;
            let mut steps = Steps {
                store: store.clone(),
                space: Arc::clone(&store.space),
                sessions: store.sessions()?,
                heads: store.heads()?,
                key,
                messages,
                session: None,
            };
            if !transactions {
                return steps.make(step).await;
            }
            let mut attempts = Attempts::new(&store.space, store.space.config.operation_timeout);
            loop {
                steps.session = Some(attempts.begin().await?);
                let made = steps.make(step).await;
                if attempts.is_repetition()
                    && made.as_ref().is_err_and(|error| code(error) == Some(DUPLICATE))
                {
                    // An attempt that was given up as failed has in truth been committed.
                    steps.session = None;
                    if steps.are_there().await? {
                        return Ok(false);
                    }
                }
                let Some(session) = steps.session.take() else { return made };
                if let Some(answer) = attempts.end(session, made).await? {
                    return Ok(answer);
                }
            }
        })
        .await
    }
}

/// A change under way.
struct Steps {
    store: MongoChatStore,
    space: Arc<Space>,
    sessions: Collection<RawDocumentBuf>,
    heads: Collection<RawDocumentBuf>,
    key: String,
    messages: Vec<Encoded>,
    session: Option<ClientSession>,
}

/// Runs a call of the driver in the transaction, if there is one.
macro_rules! within {
    ($steps:ident, $call:expr) => {{
        let mut call = $call;
        if let Some(session) = &mut $steps.session {
            call = call.session(session);
        }
        $steps.space.call(call).await
    }};
}

impl Steps {
    async fn make(&mut self, step: Step) -> Result<bool> {
        match step {
            Step::Append => {
                let first = self.first_free().await?;
                self.insert(first).await.map(|()| false)
            }
            Step::Replace => self.replace().await,
            Step::Insert(index) => self.insert_at(index).await.map(|()| false),
        }
    }

    fn of_session(&self) -> Document {
        doc! {"session_id": &self.key}
    }

    fn visible(&self) -> Document {
        self.store.visible(self.key.as_str())
    }

    fn head(&self) -> Document {
        doc! {"_id": &self.key}
    }

    fn count(&self) -> i64 {
        i64::try_from(self.messages.len()).unwrap_or(i64::MAX)
    }

    /// The index for the first of the messages to append. Writes the head.
    async fn first_free(&mut self) -> Result<i64> {
        let count = self.count();
        let change = doc! {"$inc": {"tail": count}, "$setOnInsert": {"since": bson::DateTime::now()}};
        let mut head = self.heads.find_one_and_update(self.head(), change);
        head = head.upsert(true).return_document(ReturnDocument::Before);
        let last = self.sessions.find_one(self.of_session()).sort(BACKWARDS.clone());
        let last = last.projection(doc! {"index": 1}).selection_criteria(PRIMARY);
        if let Some(session) = &mut self.session {
            head = head.session(session);
        }
        let (head, last) = join!(self.space.call(head), self.space.call(last));
        let tail = head?.and_then(|head| head.get_i64("tail").ok());
        // Ours wrote the end and no one else came after: the same seen from both sides. A read that failed decides
        // nothing; the transaction looks for itself.
        let last = last.ok().flatten().and_then(|last| Place::of(&last).ok());
        if let (Some(last), Some(tail)) = (last, tail)
            && last.index == tail
        {
            return last.after(1);
        }
        let first = match self.nth(-1, self.of_session()).await? {
            Some(last) => last.after(1)?,
            None => 0,
        };
        let tail = doc! {"$set": {"tail": first.saturating_add(count - 1)}};
        within!(self, self.heads.update_one(self.head(), tail))?;
        Ok(first)
    }

    /// Writes the head for a change that is no append: the next append looks closer.
    async fn take_head(&mut self) -> Result<()> {
        // The counter is there so that something changes in any case; a write that changes nothing conflicts with none.
        let change = doc! {
            "$unset": {"tail": 1}, "$inc": {"changes": 1}, "$setOnInsert": {"since": bson::DateTime::now()},
        };
        within!(self, self.heads.update_one(self.head(), change).upsert(true)).map(drop)
    }

    async fn insert(&mut self, first: i64) -> Result<()> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let documents: Vec<RawDocumentBuf> = (first..)
            .zip(&self.messages)
            .map(|(index, message)| message.document(&self.key, index, message.id))
            .collect();
        within!(self, self.sessions.insert_many(documents)).map(drop)
    }

    async fn replace(&mut self) -> Result<bool> {
        self.take_head().await?;
        let removed = within!(self, self.sessions.delete_many(self.visible()))?.deleted_count > 0;
        if self.store.space.config.chat_ttl.is_some() {
            // What has expired goes too, and was not there.
            within!(self, self.sessions.delete_many(self.of_session()))?;
        }
        self.insert(0).await?;
        Ok(removed)
    }

    async fn insert_at(&mut self, index: i64) -> Result<()> {
        self.take_head().await?;
        let (before, at) = self.neighbours(index).await?;
        let Some(at) = at else {
            let first = before.map_or(Ok(0), |before| before.after(1))?;
            return self.insert(first).await;
        };
        let place = match between(before, at) {
            Some(place) => place,
            None => self.make_room(at).await?,
        };
        let documents: Vec<RawDocumentBuf> =
            self.messages.iter().map(|message| message.document(&self.key, place.index, place.id)).collect();
        within!(self, self.sessions.insert_many(documents)).map(drop)
    }

    /// The messages before and after the place at an index.
    async fn neighbours(&mut self, index: i64) -> Result<(Option<Place>, Option<Place>)> {
        let visible = self.visible();
        let Some(at) = self.nth(index, visible.clone()).await? else {
            // Past the end, or before the front.
            return if index < 0 {
                Ok((None, self.nth(0, visible).await?))
            } else {
                // An expired end counts, as it does for appends.
                Ok((self.nth(-1, self.of_session()).await?, None))
            };
        };
        let before = match index.checked_sub(1) {
            None | Some(-1) => None,
            Some(before) => self.nth(before, visible).await?,
        };
        Ok((before, Some(at)))
    }

    /// The place of the message at an index of those that a filter matches.
    async fn nth(&mut self, index: i64, of: Document) -> Result<Option<Place>> {
        let (sort, skip) = at(index);
        let find = self.sessions.find_one(of).sort(sort).skip(skip);
        let found = within!(self, find.projection(doc! {"index": 1}))?;
        found.as_deref().map(Place::of).transpose()
    }

    /// Moves the message at a place and all after it up by two; answers a place before it. Needed after some fifty
    /// inserts in one and the same spot.
    async fn make_room(&mut self, at: Place) -> Result<Place> {
        let from = doc! {"$or": [{"index": {"$gt": at.index}}, {"index": at.index, "_id": {"$gte": at.id}}]};
        let all = doc! {"$and": [self.of_session(), from]};
        within!(self, self.sessions.update_many(all, doc! {"$inc": {"index": 2}}))?;
        Ok(Place { index: at.after(1)?, id: ObjectId::new() })
    }

    /// Whether the messages of this change are stored; all or none are.
    async fn are_there(&self) -> Result<bool> {
        let Some(first) = self.messages.first() else { return Ok(false) };
        let mut found = self.sessions.find_one(doc! {"_id": first.id, "session_id": &self.key});
        found = found.selection_criteria(PRIMARY);
        Ok(self.space.call(found).await?.is_some())
    }
}
