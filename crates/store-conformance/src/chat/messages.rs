//! Messages come back as they were.

use serde_json::json;
use store_core::{ChatMessage, ChatStore};

use super::parsed;
use crate::case::cases;
use crate::check::{CaseResult, same};
use crate::nodes::{every_message, message};

cases! { "chat", Chat:
    every_role_and_block_comes_back,
    messages_come_back_from_every_call,
    content_form_is_answered_as_blocks,
    awkward_texts_come_back,
}

/// Every role with every block, to the letter: member order and number kinds too.
async fn every_role_and_block_comes_back(store: &dyn ChatStore) -> CaseResult {
    let forms = every_message();
    store.append("k", parsed(&forms)?).await?;
    let found = store.messages("k", None).await?;
    for (found, form) in found.iter().zip(&forms) {
        same(format!("{}", form["role"]), found, form)?;
    }
    same("messages", &found.len(), &forms.len())
}

/// The calls that answer one message answer it whole, and those that write one write it whole.
async fn messages_come_back_from_every_call(store: &dyn ChatStore) -> CaseResult {
    for form in every_message() {
        let whole = message(form.clone())?;
        store.replace("k", vec![whole.clone()]).await?;
        store.insert_at("k", 0, whole.clone()).await?;
        store.insert_at("k", 9, whole.clone()).await?;
        same("remove_at", &store.remove_at("k", 0).await?, &Some(&form))?;
        same("pop", &store.pop("k").await?, &Some(&form))?;
        same("messages", &store.messages("k", None).await?, &[&form])?;
    }
    Ok(())
}

/// The older form with `content` is accepted, and comes back with `blocks`.
async fn content_form_is_answered_as_blocks(store: &dyn ChatStore) -> CaseResult {
    let text = |text: &str| json!([{"block_type": "text", "text": text}]);
    let forms = [
        (json!({"role": "user", "content": "hi", "additional_kwargs": {"b": 1, "a": 2.0}}), text("hi")),
        (json!({"role": "assistant", "content": ""}), text("")),
        (json!({"role": "assistant", "content": null, "additional_kwargs": {}}), json!([])),
        (json!({"content": "no role"}), text("no role")),
        (json!({"role": "user", "content": text("list")}), text("list")),
    ];
    let old: Vec<_> = forms.iter().map(|(form, _)| form.clone()).collect();
    store.append("k", parsed(&old)?).await?;
    let found = store.messages("k", None).await?;
    same("messages", &found.len(), &forms.len())?;
    for (found, (form, blocks)) in found.iter().zip(forms) {
        let role = form.get("role").cloned().unwrap_or(json!("user"));
        let kwargs = form.get("additional_kwargs").cloned().unwrap_or(json!({}));
        let expected = json!({"role": role, "additional_kwargs": kwargs, "blocks": blocks});
        same(form.to_string(), found, &expected)?;
    }
    Ok(())
}

/// Texts of any characters and length.
async fn awkward_texts_come_back(store: &dyn ChatStore) -> CaseResult {
    let mut texts = crate::data::odd_keys();
    texts.push(String::new());
    texts.push("aß語😀".repeat(20_000));
    texts.push("\u{1e}\u{1f}\u{7f}\u{85}\u{2028}\r\n".to_owned());
    let messages: Vec<ChatMessage> = texts.iter().map(ChatMessage::assistant).collect();
    store.append("k", messages.clone()).await?;
    for (found, expected) in store.messages("k", None).await?.iter().zip(&messages) {
        same("a message", found, expected)?;
    }
    same("messages", &store.messages("k", None).await?.len(), &messages.len())
}
