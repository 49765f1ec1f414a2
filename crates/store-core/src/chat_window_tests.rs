use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Backend, BoxStream, MemoryBackend};

/// A history in short: `u` user, `a` assistant, `s` system, `d` developer, `c1` an assistant calling tool 1 (`c12`:
/// tools 1 and 2), `t1` its answer, `t` an answer without an id, `f1` an answer in the older role.
fn history(short: &str) -> Vec<ChatMessage> {
    let messages = short.split_whitespace().enumerate().map(|(at, word)| {
        let text = format!("{word} #{at}");
        let (kind, ids) = word.split_at(1);
        match kind {
            "u" => ChatMessage::user(text),
            "a" => ChatMessage::assistant(text),
            "s" => ChatMessage::system(text),
            "d" => ChatMessage { role: MessageRole::Developer, ..ChatMessage::system(text) },
            "c" => {
                let calls: Vec<_> = ids.chars().map(|id| json!({ "id": id.to_string() })).collect();
                ChatMessage::assistant(text).with_kwarg("tool_calls", calls)
            }
            "t" | "f" => {
                let role = if kind == "t" { MessageRole::Tool } else { MessageRole::Function };
                let answer = ChatMessage { role, ..ChatMessage::tool(text) };
                if ids.is_empty() { answer } else { answer.with_tool_call_id(ids) }
            }
            _ => panic!("{word}"),
        }
    });
    messages.collect()
}

fn short(messages: &[ChatMessage]) -> String {
    let words = messages.iter().map(|message| message.text().unwrap().split(' ').next().unwrap().to_owned());
    words.collect::<Vec<_>>().join(" ")
}

fn cut(window: &ChatWindow, messages: &str) -> String {
    short(&window.cut(history(messages)))
}

fn last(count: usize, messages: &str) -> String {
    cut(&ChatWindow::last_messages(count), messages)
}

/// Characters of the text before its number.
fn length(message: &ChatMessage) -> usize {
    message.text().unwrap().split(' ').next().unwrap().len()
}

#[test]
fn takes_the_newest_that_fit() {
    assert_eq!(last(2, "u a u a"), "u a");
    assert_eq!(last(9, "u a u a"), "u a u a");
    assert_eq!(last(0, "u a"), "");
    assert_eq!(last(usize::MAX, "u a"), "u a");
    assert_eq!(last(3, ""), "");
    let window = ChatWindow::token_budget(4, length);
    assert_eq!(cut(&window, "c1234 u u a"), "u u a");
    assert_eq!(cut(&window, "u c1234 u u"), "u u");
}

#[test]
fn keeps_calls_with_their_answers() {
    assert_eq!(last(3, "u c12 t1 t2 a"), "a");
    assert_eq!(last(4, "u c12 t1 t2 a"), "c12 t1 t2 a");
    assert_eq!(last(2, "u c1 f1 a u"), "a u");
    // Something stands between call and answer.
    assert_eq!(last(4, "u c12 t1 u t2 a"), "a");
    assert_eq!(last(5, "u c12 t1 u t2 a"), "c12 t1 u t2 a");
    // The same id twice: the newest call is meant.
    assert_eq!(last(2, "c1 t1 u c1 t1"), "c1 t1");
    // A call that nobody answered yet.
    assert_eq!(last(1, "u c1"), "c1");
}

#[test]
fn an_answer_without_a_known_call_stays_with_the_message_before() {
    assert_eq!(last(2, "u a t t"), "");
    assert_eq!(last(3, "u a t t"), "a t t");
    assert_eq!(last(3, "u a t9 t9"), "a t9 t9");
    assert_eq!(last(1, "u a t9"), "");
    // Nothing before it: it can never begin a window.
    assert_eq!(last(9, "t1 t u"), "u");
    assert_eq!(last(9, "t1 t"), "");
}

#[test]
fn calls_in_blocks_count_too() {
    let call: ChatMessage = serde_json::from_value(json!({
        "role": "assistant",
        "blocks": [{ "block_type": "tool_call", "tool_call_id": "7", "tool_name": "add", "tool_kwargs": {} }],
    }))
    .unwrap();
    let mut messages = vec![ChatMessage::user("u"), call];
    messages.extend(history("u t7"));
    assert_eq!(ChatWindow::last_messages(2).cut(messages.clone()), []);
    assert_eq!(ChatWindow::last_messages(3).cut(messages.clone()), messages[1..]);
}

#[tokio::test]
async fn a_call_too_far_back_is_not_looked_for() {
    let far = |between: usize| format!("u c1 {} t1", "u ".repeat(between));
    assert_eq!(last(2, &far(255)), "");
    assert_eq!(last(257, &far(255)).split(' ').count(), 257);
    assert_eq!(last(2, &far(256)), "u t1");
    // Reading step by step sees the same, wherever a step ends.
    for between in [254, 255, 256, 257] {
        let messages = history(&format!("{} {}", "a ".repeat(50), far(between)));
        let store = Counting::with(messages.clone()).await;
        for count in [1, 2, 5, 7, 15, 17, 127, 254, 255, 256, 257, 258, 259] {
            let window = ChatWindow::last_messages(count);
            assert_eq!(
                window.read(&store, "key").await.unwrap(),
                window.cut(messages.clone()),
                "{between} {count}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_whole_is_left_out_or_let_in() {
    assert_eq!(last(2, "u c12 t1 t2"), "");
    let whole = ChatWindow::last_messages(2).with_newest_whole(true);
    assert_eq!(cut(&whole, "u c12 t1 t2"), "c12 t1 t2");
    assert_eq!(cut(&whole, "u c12 t1 t2 u"), "u");
    assert_eq!(cut(&whole, "t t t"), "");
    let whole = ChatWindow::token_budget(2, length).with_newest_whole(true);
    assert_eq!(cut(&whole, "u c1234"), "c1234");
    assert_eq!(cut(&whole, "c1234 u u"), "u u");
    assert_eq!(cut(&ChatWindow::token_budget(2, length), "u c1234"), "");
}

#[test]
fn instructions_stay_in_front_and_count() {
    let window = |count| ChatWindow::last_messages(count).with_instructions(true);
    assert_eq!(cut(&window(3), "s d u a u"), "s d u");
    assert_eq!(cut(&window(4), "s d u c1 t1"), "s d c1 t1");
    assert_eq!(cut(&window(3), "s d u c1 t1"), "s d");
    assert_eq!(cut(&window(9), "s u s a"), "s u s a");
    assert_eq!(cut(&window(2), "s u s a"), "s a");
    assert_eq!(cut(&window(1), "s d u"), "");
    assert_eq!(cut(&window(2), "s t u"), "s u");
    assert_eq!(last(2, "s u a"), "u a");
}

/// The memory store, with the messages read counted.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ChatStore>,
    read: AtomicUsize,
}

impl Counting {
    async fn with(messages: Vec<ChatMessage>) -> Self {
        let inner = MemoryBackend::new().chat().unwrap();
        inner.replace("key", messages).await.unwrap();
        Self { inner, read: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl ChatStore for Counting {
    async fn messages(&self, key: &str, last: Option<usize>) -> Result<Vec<ChatMessage>> {
        let messages = self.inner.messages(key, last).await?;
        self.read.fetch_add(messages.len(), Ordering::Relaxed);
        Ok(messages)
    }

    async fn append(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.inner.append(key, messages).await
    }

    async fn replace(&self, key: &str, messages: Vec<ChatMessage>) -> Result<()> {
        self.inner.replace(key, messages).await
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.inner.delete(key).await
    }

    async fn remove_at(&self, key: &str, index: i64) -> Result<Option<ChatMessage>> {
        self.inner.remove_at(key, index).await
    }

    async fn insert_at(&self, key: &str, index: i64, message: ChatMessage) -> Result<()> {
        self.inner.insert_at(key, index, message).await
    }

    async fn pop(&self, key: &str) -> Result<Option<ChatMessage>> {
        self.inner.pop(key).await
    }

    fn keys(&self, after: Option<String>) -> BoxStream<String> {
        self.inner.keys(after)
    }
}

#[tokio::test]
async fn a_long_history_is_not_read_whole() {
    let read = async |window: ChatWindow, messages: &str| {
        let store = Counting::with(history(messages)).await;
        let messages = window.read(&store, "key").await.unwrap();
        (messages.len(), store.read.into_inner())
    };
    let chat = "u a ".repeat(2_000);
    assert_eq!(read(ChatWindow::last_messages(10), &chat).await, (10, 11));
    assert_eq!(read(ChatWindow::token_budget(20, length), &chat).await, (20, 32));
    assert_eq!(read(ChatWindow::token_budget(100, length), &chat).await, (100, 32 + 64 + 128));
    let tools = "u c12 t1 t2 ".repeat(1_000);
    assert_eq!(read(ChatWindow::last_messages(9), &tools).await, (8, 10 + 20));
    // An orphan: its call is looked for, but not to the beginning of time.
    let (len, messages) = read(ChatWindow::last_messages(10), &format!("{chat} a t9 u")).await;
    assert!(len == 10 && messages < 1_500, "{len} {messages}");
}

#[tokio::test]
async fn an_unknown_key_is_an_empty_window() {
    let store = MemoryBackend::new().chat().unwrap();
    assert_eq!(ChatWindow::last_messages(3).read(&store, "nobody").await.unwrap(), []);
    assert_eq!(
        ChatWindow::last_messages(3).with_instructions(true).read(&store, "nobody").await.unwrap(),
        []
    );
}

/// The definition, over the whole history and every possible start.
fn naive(
    messages: &[ChatMessage],
    limit: usize,
    cost: fn(&ChatMessage) -> usize,
    newest_whole: bool,
) -> usize {
    let owner = |answer: usize| {
        let before = &messages[..answer];
        let id = messages[answer].tool_call_id();
        let call = before
            .iter()
            .rposition(|m| !m.is_tool_result() && id.is_some_and(|id| m.tool_call_ids().contains(&id)));
        call.filter(|call| answer - call <= 256)
            .or(before.iter().rposition(|message| !message.is_tool_result()))
    };
    let may_start = |start: usize| {
        !messages[start].is_tool_result()
            && (start..messages.len())
                .filter(|at| messages[*at].is_tool_result())
                .all(|answer| owner(answer).is_none_or(|owner| owner >= start))
    };
    let starts: Vec<usize> = (0..messages.len()).filter(|start| may_start(*start)).collect();
    let fits = |start: &usize| messages[*start..].iter().map(cost).sum::<usize>() <= limit;
    let fitting = starts.iter().copied().find(fits);
    fitting.or(starts.last().copied().filter(|_| newest_whole)).unwrap_or(messages.len())
}

fn any_history() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop_oneof![Just("u"), Just("a"), Just("s")],
        3 => prop_oneof![Just("c1"), Just("c2"), Just("c12"), Just("c345")],
        4 => prop_oneof![Just("t1"), Just("t2"), Just("t3"), Just("t"), Just("f4"), Just("t9")],
    ];
    let long = "u ".repeat(250);
    let filler = prop_oneof![8 => Just(String::new()), 1 => Just(long)];
    (prop::collection::vec(word, 0..120), filler, any::<prop::sample::Index>()).prop_map(
        |(words, filler, at)| {
            let at = at.index(words.len() + 1);
            format!("{} {filler} {}", words[..at].join(" "), words[at..].join(" "))
        },
    )
}

proptest! {
    #[test]
    fn equals_the_definition(
        short in any_history(),
        limit in prop_oneof![0..12_usize, 0..400_usize],
        newest_whole in any::<bool>(),
        by_tokens in any::<bool>(),
    ) {
        let messages = history(&short);
        let (window, cost): (_, fn(&ChatMessage) -> usize) = if by_tokens {
            (ChatWindow::token_budget(limit, length), length)
        } else {
            (ChatWindow::last_messages(limit), |_| 1)
        };
        let window = window.with_newest_whole(newest_whole);
        let expected = &messages[naive(&messages, limit, cost, newest_whole)..];
        prop_assert_eq!(&window.cut(messages.clone()), expected);
        let read = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let store = MemoryBackend::new().chat().unwrap();
            store.append("key", messages.clone()).await.unwrap();
            window.read(&store, "key").await.unwrap()
        });
        prop_assert_eq!(&read, expected);
    }
}
