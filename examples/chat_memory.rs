//! The memory of chats in Redis: messages are appended, a window is read from the end, as many as a model's context
//! takes; sessions are apart, and a chat that nobody goes on with expires.
//!
//! ```sh
//! cargo run -p nodestore-examples --bin chat_memory -- 'redis://localhost/?store.namespace=birds'
//! ```

use std::time::Duration;

use futures::TryStreamExt as _;
use nodestore::prelude::*;
use nodestore::redis::{RedisBackend, RedisConfig};
use nodestore::{Error, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).ok_or_else(|| Error::config("name a server: redis://host"))?;
    let config: RedisConfig = url.parse()?;
    // A chat is kept for a week after its last message.
    let store = RedisBackend::connect(config.clone().with_chat_ttl(Duration::from_hours(7 * 24))).await?;
    let chats = store.chat()?;

    // A session is any text. These may be here from the last run.
    for session in ["anna", "ben"] {
        chats.delete(session).await?;
    }
    let instructions = ChatMessage::system("You know all about birds. Be brief.");
    chats.append("anna", vec![instructions, ChatMessage::user("Where do cranes sleep?")]).await?;
    chats.append("anna", vec![ChatMessage::assistant("On one leg, in shallow water.")]).await?;
    chats.append("anna", vec![ChatMessage::user("And what do they do in spring?")]).await?;
    chats.append("anna", vec![ChatMessage::assistant("They dance.")]).await?;
    chats.append("ben", vec![ChatMessage::user("What do owls eat?")]).await?;

    // The end of a chat is read without the rest, however long it is.
    print("the last two messages of anna", &chats.messages("anna", Some(2)).await?);

    // What fits a model's context. Count with your model's tokenizer; about four letters are a token.
    let tokens = |message: &ChatMessage| message.text().unwrap_or_default().len().div_ceil(4);
    let window = ChatWindow::token_budget(30, tokens).with_instructions(true);
    print("30 tokens of anna, the instructions among them", &window.read(&chats, "anna").await?);
    print("30 tokens of ben", &window.read(&chats, "ben").await?);

    // A guest's chat ends after a second without a message.
    let guests = RedisBackend::connect(config.with_chat_ttl(Duration::from_secs(1))).await?;
    guests.chat()?.append("guest", vec![ChatMessage::user("Are there cranes in Peru?")]).await?;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    print("the guest, later", &chats.messages("guest", None).await?);
    let mut sessions: Vec<String> = chats.keys(None).try_collect().await?;
    sessions.sort();
    println!("sessions: {}", sessions.join(", "));

    guests.close().await?;
    store.close().await
}

fn print(title: &str, messages: &[ChatMessage]) {
    println!("{title}: {} messages", messages.len());
    for message in messages {
        println!("  {}: {}", message.role, message.text().unwrap_or_default());
    }
}
