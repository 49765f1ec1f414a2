use super::*;
use crate::{EmbeddedBackend, EmbeddedConfig};

async fn store(folder: &tempfile::TempDir) -> EmbeddedChatStore {
    let backend = EmbeddedBackend::open(EmbeddedConfig::new(folder.path())).await.unwrap();
    EmbeddedChatStore::new(Arc::new(Handle::new(backend.space().unwrap())))
}

async fn texts(chat: &EmbeddedChatStore, key: &str) -> Vec<String> {
    chat.messages(key, None).await.unwrap().iter().map(|message| message.text().unwrap()).collect()
}

/// The same calls on a plain vector, for comparison.
fn python_insert(list: &mut Vec<String>, index: i64, text: &str) {
    let len = i64::try_from(list.len()).unwrap();
    let place = if index < 0 { (len + index).max(0) } else { index.min(len) };
    list.insert(usize::try_from(place).unwrap(), text.to_owned());
}

#[tokio::test]
async fn inserts_anywhere_keep_the_order_through_every_respacing() {
    let folder = tempfile::tempdir().unwrap();
    let chat = store(&folder).await;
    for (key, index) in [("front", 0), ("second", 1), ("before last", -1), ("past", 99), ("below", -99)] {
        let mut expected = vec!["a".to_owned(), "b".to_owned()];
        chat.append(key, vec![ChatMessage::user("a"), ChatMessage::user("b")]).await.unwrap();
        // More than fit into one gap at the same place.
        for n in 0..50 {
            let text = n.to_string();
            python_insert(&mut expected, index, &text);
            chat.insert_at(key, index, ChatMessage::user(text)).await.unwrap();
        }
        assert_eq!(texts(&chat, key).await, expected, "{key}");
    }
}

#[tokio::test]
async fn positions_at_the_end_of_their_range_are_spread_anew() {
    let folder = tempfile::tempdir().unwrap();
    let chat = store(&folder).await;
    for (at, free) in [(u64::MAX - 1, 99), (GAP - 1, 0)] {
        chat.delete("k").await.unwrap();
        let message = encode("k", &ChatMessage::user("old")).unwrap();
        let put = chat
            .handle
            .write(move |tx, tables| tx.table(&tables.chat)?.insert(&row("k", at), &message).map(|_| ()));
        put.await.unwrap();
        chat.insert_at("k", free, ChatMessage::user("inserted")).await.unwrap();
        chat.append("k", vec![ChatMessage::user("appended")]).await.unwrap();
        let expected =
            if free == 0 { ["inserted", "old", "appended"] } else { ["old", "inserted", "appended"] };
        assert_eq!(texts(&chat, "k").await, expected);
    }
}

#[tokio::test]
async fn removing_counts_from_both_ends_and_windows_from_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let chat = store(&folder).await;
    let messages = ["0", "1", "2", "3", "4"].map(ChatMessage::user);
    chat.append("k", messages.to_vec()).await.unwrap();
    chat.append("kk", vec![ChatMessage::user("other")]).await.unwrap();
    assert_eq!(chat.messages("k", Some(2)).await.unwrap(), messages[3..]);
    for (index, removed) in
        [(5, None), (-6, None), (i64::MIN, None), (-5, Some("0")), (1, Some("2")), (-1, Some("4"))]
    {
        let message = chat.remove_at("k", index).await.unwrap();
        assert_eq!(message.and_then(|message| message.text()).as_deref(), removed, "{index}");
    }
    assert_eq!(texts(&chat, "k").await, ["1", "3"]);
    assert_eq!(chat.pop("k").await.unwrap(), Some(messages[3].clone()));
    chat.replace("k", messages[..2].to_vec()).await.unwrap();
    assert_eq!(texts(&chat, "k").await, ["0", "1"]);
    chat.replace("k", vec![]).await.unwrap();
    assert!(!chat.delete("k").await.unwrap());
    assert_eq!(texts(&chat, "kk").await, ["other"]);
}

#[tokio::test]
async fn keys_come_once_each_and_in_order_and_any_key_resumes() {
    use futures::TryStreamExt as _;

    let folder = tempfile::tempdir().unwrap();
    let chat = store(&folder).await;
    let mut keys: Vec<String> = (0..600).map(|n| format!("session {n:03}")).collect();
    keys.extend(["a", "a\0", "ab", "é"].map(str::to_owned));
    for key in &keys {
        chat.append(key, vec![ChatMessage::user("1"), ChatMessage::user("2")]).await.unwrap();
    }
    keys.sort();
    assert_eq!(chat.keys(None).try_collect::<Vec<_>>().await.unwrap(), keys);
    let rest: Vec<String> = chat.keys(Some("session 5".into())).try_collect().await.unwrap();
    assert_eq!(rest, keys.iter().filter(|key| key.as_str() > "session 5").cloned().collect::<Vec<_>>());
}
