//! Chat histories: bridge section 7.

mod histories;
mod keys;
mod messages;
mod model;
mod positions;

use serde_json::Value;
use store_core::{ChatMessage, ChatStore};

use crate::case::Case;
use crate::check::CaseResult;

pub(crate) const SUITES: &[&[Case]] =
    &[histories::CASES, positions::CASES, keys::CASES, messages::CASES, model::CASES];

/// Messages of these texts.
fn said(texts: &[&str]) -> Vec<ChatMessage> {
    texts.iter().map(|text| ChatMessage::user(*text)).collect()
}

fn one(text: &str) -> ChatMessage {
    ChatMessage::user(text)
}

/// The texts of a history.
async fn texts(store: &dyn ChatStore, key: &str) -> CaseResult<Vec<String>> {
    Ok(store.messages(key, None).await?.iter().map(|message| message.text().unwrap_or_default()).collect())
}

/// Messages from their JSON.
fn parsed(json: &[Value]) -> CaseResult<Vec<ChatMessage>> {
    json.iter().map(|json| crate::nodes::message(json.clone())).collect()
}
