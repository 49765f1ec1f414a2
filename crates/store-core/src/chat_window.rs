//! Chat windows: the newest part of a history that fits a model's context, with tool calls kept whole.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::{ChatMessage, ChatStore, MessageRole, Result};

/// How far before an answer its call is looked for, in messages.
const CALL_DISTANCE: usize = 256;

/// What a window by tokens reads first, in messages.
const FIRST_READ: usize = 32;

type Counter = Arc<dyn Fn(&ChatMessage) -> usize + Send + Sync>;

/// The newest messages of a chat that fit a limit, oldest first.
///
/// **Tool calls stay whole.** An assistant's tool call and the answers to it are in the window together or not at
/// all, with what stands between them; so a window never begins with a tool's answer. A tool's answer
/// ([`ChatMessage::is_tool_result`]) belongs to the newest call with its [`ChatMessage::tool_call_id`], at most 256
/// messages before; without an id, or without such a call, to the last message before it that is no answer.
///
/// **The limit holds.** When the newest message, or the newest call with its answers, exceeds it, the window is
/// empty; [`with_newest_whole`](Self::with_newest_whole) lets that one in instead.
///
/// A store is read from its end in growing steps, never much further than the window goes back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> store_core::Result<()> {
/// use store_core::{Backend, ChatMessage, ChatWindow, MemoryBackend};
///
/// let chats = MemoryBackend::new().chat()?;
/// let said = ["Hello", "Good morning!", "What is a window?"];
/// let messages = vec![ChatMessage::user(said[0]), ChatMessage::assistant(said[1]), ChatMessage::user(said[2])];
/// chats.append("anna", messages).await?;
///
/// let newest = ChatWindow::last_messages(2).read(&chats, "anna").await?;
/// assert_eq!(newest[0].text().as_deref(), Some("Good morning!"));
///
/// // Count as your model does; words will do here.
/// let words = |message: &ChatMessage| message.text().unwrap_or_default().split_whitespace().count();
/// let fitting = ChatWindow::token_budget(5, words).read(&chats, "anna").await?;
/// assert_eq!(fitting.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ChatWindow {
    limit: Limit,
    keep_instructions: bool,
    newest_whole: bool,
}

#[derive(Clone)]
enum Limit {
    Messages(usize),
    Tokens { budget: usize, counter: Counter },
}

impl Limit {
    fn size(&self) -> usize {
        match self {
            Self::Messages(size) | Self::Tokens { budget: size, .. } => *size,
        }
    }

    fn cost(&self, message: &ChatMessage) -> usize {
        match self {
            Self::Messages(_) => 1,
            Self::Tokens { counter, .. } => counter(message),
        }
    }
}

impl fmt::Debug for ChatWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = match &self.limit {
            Limit::Messages(_) => "messages",
            Limit::Tokens { .. } => "tokens",
        };
        f.debug_struct("ChatWindow")
            .field(limit, &self.limit.size())
            .field("keep_instructions", &self.keep_instructions)
            .field("newest_whole", &self.newest_whole)
            .finish()
    }
}

impl ChatWindow {
    /// At most `count` messages.
    #[must_use]
    pub fn last_messages(count: usize) -> Self {
        Self::new(Limit::Messages(count))
    }

    /// Messages which `counter` gives at most `budget` in sum, in whatever unit it counts. It may be asked more than
    /// once for a message.
    #[must_use]
    pub fn token_budget(
        budget: usize,
        counter: impl Fn(&ChatMessage) -> usize + Send + Sync + 'static,
    ) -> Self {
        Self::new(Limit::Tokens { budget, counter: Arc::new(counter) })
    }

    fn new(limit: Limit) -> Self {
        Self { limit, keep_instructions: false, newest_whole: false }
    }

    /// Says whether the system and developer messages with which the history begins stay at the front of every
    /// window; default `false`. They count, and come before the rest: if they alone exceed the limit, the window
    /// is empty. The whole history is then read, in one call, since a store is read from its end.
    #[must_use]
    pub fn with_instructions(mut self, keep: bool) -> Self {
        self.keep_instructions = keep;
        self
    }

    /// Says whether the newest message, or the newest call with its answers, is in the window even if it exceeds the
    /// limit; default `false`.
    #[must_use]
    pub fn with_newest_whole(mut self, whole: bool) -> Self {
        self.newest_whole = whole;
        self
    }

    /// The window of a stored history; empty for an unknown key.
    pub async fn read(&self, store: &dyn ChatStore, key: &str) -> Result<Vec<ChatMessage>> {
        if self.keep_instructions {
            return Ok(self.cut(store.messages(key, None).await?));
        }
        let mut wanted = match &self.limit {
            // One more than fits: whether the first that fits may stand there is then mostly known.
            Limit::Messages(count) => count.saturating_add(1),
            Limit::Tokens { .. } => FIRST_READ,
        };
        loop {
            let mut newest = store.messages(key, Some(wanted)).await?;
            let complete = newest.len() < wanted;
            if let Some(start) = self.start(&newest, self.limit.size(), complete) {
                return Ok(newest.split_off(start));
            }
            wanted = wanted.saturating_mul(2);
        }
    }

    /// The window of a history at hand.
    #[must_use]
    pub fn cut(&self, mut history: Vec<ChatMessage>) -> Vec<ChatMessage> {
        let is_instruction =
            |message: &ChatMessage| matches!(message.role, MessageRole::System | MessageRole::Developer);
        let begin = if self.keep_instructions {
            history.iter().position(|message| !is_instruction(message)).unwrap_or(history.len())
        } else {
            0
        };
        let mut rest = history.split_off(begin);
        let taken = history.iter().fold(0_usize, |sum, message| sum.saturating_add(self.limit.cost(message)));
        let Some(left) = self.limit.size().checked_sub(taken) else { return Vec::new() };
        let start = self.start(&rest, left, true).unwrap_or(rest.len());
        history.append(&mut rest.split_off(start));
        history
    }

    /// Where the window of `limit` begins in the newest messages of a history, all of it if `complete`; `None`
    /// when that depends on older messages.
    fn start(&self, newest: &[ChatMessage], limit: usize, complete: bool) -> Option<usize> {
        let owners = owners(newest, complete);
        let mut cost = 0_usize;
        let mut start = newest.len();
        // The oldest message that those seen so far can not be without.
        let mut needed = newest.len();
        let mut unknown = false;
        for (at, (message, owner)) in newest.iter().zip(owners).enumerate().rev() {
            cost = cost.saturating_add(self.limit.cost(message));
            let fits = cost <= limit;
            let let_in = self.newest_whole && start == newest.len();
            if !(fits || let_in) {
                // Whatever the unknown turns out to be, nothing more fits; but it decides what of this fits.
                return (!unknown).then_some(start);
            }
            match owner {
                Owner::Itself => {}
                Owner::At(owner) => needed = needed.min(owner),
                Owner::Unknown => unknown = true,
                Owner::Nowhere => continue,
            }
            if !unknown && at <= needed {
                start = at;
                if !fits {
                    return Some(start);
                }
            }
        }
        complete.then_some(start)
    }
}

/// Which earlier message a message can not be without.
#[derive(Clone, Copy)]
enum Owner {
    /// None: it is no tool's answer.
    Itself,
    /// The message at this place.
    At(usize),
    /// Perhaps one that was not read.
    Unknown,
    /// It is an answer with nothing before it.
    Nowhere,
}

fn owners(messages: &[ChatMessage], complete: bool) -> Vec<Owner> {
    let mut calls: HashMap<&str, usize> = HashMap::new();
    let mut last_other = None;
    let mut owners = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        if !message.is_tool_result() {
            calls.extend(message.tool_call_ids().into_iter().map(|id| (id, at)));
            last_other = Some(at);
            owners.push(Owner::Itself);
            continue;
        }
        let id = message.tool_call_id();
        let call = id.and_then(|id| calls.get(id)).copied().filter(|call| at - call <= CALL_DISTANCE);
        let may_be_older = id.is_some() && at < CALL_DISTANCE;
        owners.push(match call.or(last_other) {
            Some(owner) if call.is_some() || complete || !may_be_older => Owner::At(owner),
            None if complete => Owner::Nowhere,
            _ => Owner::Unknown,
        });
    }
    owners
}

#[cfg(test)]
#[path = "chat_window_tests.rs"]
mod tests;
