//! Appending, reading, replacing and deleting histories.

use store_core::ChatStore;

use super::{one, said, texts};
use crate::case::cases;
use crate::check::{CaseResult, invalid, same};
use crate::data::all;

cases! { "chat", Chat:
    append_then_messages,
    unknown_key_is_empty,
    appends_stand_in_order,
    last_gives_the_newest,
    replace_replaces_the_whole_history,
    replace_by_nothing_deletes,
    delete_says_whether_there_were_any,
    append_after_delete_begins_anew,
    empty_append_does_nothing,
    pop_takes_the_last,
    empty_key_is_refused,
    long_history_keeps_its_order,
    histories_are_apart,
}

/// What was appended is read, oldest first.
async fn append_then_messages(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a", "b"])).await?;
    same("messages", &store.messages("k", None).await?, &said(&["a", "b"]))
}

/// An unknown key has no messages, and that is no error in any call.
async fn unknown_key_is_empty(store: &dyn ChatStore) -> CaseResult {
    same("messages", &store.messages("k", None).await?, &[(); 0])?;
    same("the last two", &store.messages("k", Some(2)).await?, &[(); 0])?;
    same("pop", &store.pop("k").await?.is_none(), &true)?;
    same("remove_at", &store.remove_at("k", 0).await?.is_none(), &true)?;
    same("remove_at −1", &store.remove_at("k", -1).await?.is_none(), &true)?;
    same("delete", &store.delete("k").await?, &false)?;
    same("keys", &all(store.keys(None)).await?, &[(); 0])
}

/// Messages of one call keep their order, and calls follow each other; equal messages stay two.
async fn appends_stand_in_order(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["1", "2", "3"])).await?;
    store.append("k", said(&["4"])).await?;
    store.append("k", said(&["3", "3", "5"])).await?;
    same("texts", &texts(store, "k").await?, &["1", "2", "3", "4", "3", "3", "5"])
}

/// `last` gives so many of the newest, still oldest first; zero gives none, too many all.
async fn last_gives_the_newest(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["1", "2", "3", "4"])).await?;
    let cases: [(usize, &[&str]); 6] = [
        (0, &[]),
        (1, &["4"]),
        (3, &["2", "3", "4"]),
        (4, &["1", "2", "3", "4"]),
        (5, &["1", "2", "3", "4"]),
        (usize::MAX, &["1", "2", "3", "4"]),
    ];
    for (last, expected) in cases {
        same(format!("last {last}"), &store.messages("k", Some(last)).await?, &said(expected))?;
    }
    Ok(())
}

/// A replaced history holds nothing of the old one, whether it gets longer or shorter.
async fn replace_replaces_the_whole_history(store: &dyn ChatStore) -> CaseResult {
    store.replace("k", said(&["new"])).await?;
    same("of nothing", &texts(store, "k").await?, &["new"])?;
    store.replace("k", said(&["1", "2", "3"])).await?;
    same("by a longer one", &texts(store, "k").await?, &["1", "2", "3"])?;
    store.replace("k", said(&["x"])).await?;
    same("by a shorter one", &texts(store, "k").await?, &["x"])?;
    store.append("k", said(&["y"])).await?;
    same("then appended", &texts(store, "k").await?, &["x", "y"])
}

/// Replacing by no message deletes.
async fn replace_by_nothing_deletes(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a"])).await?;
    store.replace("k", vec![]).await?;
    same("messages", &texts(store, "k").await?, &[(); 0])?;
    same("keys", &all(store.keys(None)).await?, &[(); 0])?;
    same("nothing to delete", &store.delete("k").await?, &false)?;
    store.replace("never", vec![]).await?;
    same("keys after replacing nothing", &all(store.keys(None)).await?, &[(); 0])
}

/// A delete answers whether there was any message.
async fn delete_says_whether_there_were_any(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a", "b"])).await?;
    same("the first", &store.delete("k").await?, &true)?;
    same("messages", &texts(store, "k").await?, &[(); 0])?;
    same("the second", &store.delete("k").await?, &false)
}

/// Nothing of a deleted history comes back.
async fn append_after_delete_begins_anew(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["old 1", "old 2"])).await?;
    store.delete("k").await?;
    store.append("k", said(&["new"])).await?;
    same("texts", &texts(store, "k").await?, &["new"])?;
    store.remove_at("k", 0).await?;
    store.append("k", said(&["newer"])).await?;
    same("after the last was removed", &texts(store, "k").await?, &["newer"])
}

/// An append of no message creates no history.
async fn empty_append_does_nothing(store: &dyn ChatStore) -> CaseResult {
    store.append("k", vec![]).await?;
    same("keys", &all(store.keys(None)).await?, &[(); 0])?;
    store.append("k", said(&["a"])).await?;
    store.append("k", vec![]).await?;
    same("texts", &texts(store, "k").await?, &["a"])
}

/// Pop takes the last message, then the one before, then none.
async fn pop_takes_the_last(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a", "b"])).await?;
    same("the first pop", &store.pop("k").await?, &Some(one("b")))?;
    same("left", &texts(store, "k").await?, &["a"])?;
    store.append("k", said(&["c"])).await?;
    same("the second pop", &store.pop("k").await?, &Some(one("c")))?;
    same("the third pop", &store.pop("k").await?, &Some(one("a")))?;
    same("the fourth pop", &store.pop("k").await?.is_none(), &true)?;
    same("keys", &all(store.keys(None)).await?, &[(); 0])
}

/// An empty key is `InvalidInput` in every call.
async fn empty_key_is_refused(store: &dyn ChatStore) -> CaseResult {
    invalid("messages", store.messages("", None).await)?;
    invalid("append", store.append("", said(&["a"])).await)?;
    invalid("replace", store.replace("", said(&["a"])).await)?;
    invalid("delete", store.delete("").await)?;
    invalid("remove_at", store.remove_at("", 0).await)?;
    invalid("insert_at", store.insert_at("", 0, one("a")).await)?;
    invalid("pop", store.pop("").await)?;
    same("keys", &all(store.keys(None)).await?, &[(); 0])
}

/// Two thousand messages keep their order, in one call and in many; the newest are found at the end.
async fn long_history_keeps_its_order(store: &dyn ChatStore) -> CaseResult {
    let expected: Vec<String> = (0..2_000).map(|n| format!("message {n}")).collect();
    let texts_of = |range: std::ops::Range<usize>| expected.get(range).unwrap_or_default().iter();
    store.append("k", texts_of(0..1_000).map(|text| one(text)).collect()).await?;
    for start in (1_000..2_000).step_by(50) {
        store.append("k", texts_of(start..start + 50).map(|text| one(text)).collect()).await?;
    }
    same("all", &texts(store, "k").await?, &expected)?;
    let newest: Vec<String> =
        store.messages("k", Some(5)).await?.iter().filter_map(store_core::ChatMessage::text).collect();
    same("the last five", &newest, expected.get(1_995..).unwrap_or_default())?;
    same("at 1,234", &store.remove_at("k", 1_234).await?, &Some(one("message 1234")))?;
    same("at −1,000", &store.remove_at("k", -1_000).await?, &Some(one("message 999")))?;
    same("how many are left", &store.messages("k", None).await?.len(), &1_998_usize)?;
    same("delete", &store.delete("k").await?, &true)?;
    same("after the delete", &texts(store, "k").await?, &[(); 0])
}

/// What one history goes through leaves the others alone.
async fn histories_are_apart(store: &dyn ChatStore) -> CaseResult {
    let keys = ["k", "k1", "k/1", "K", "k ", "k:", "k\0"];
    for key in keys {
        store.append(key, said(&[key, "two"])).await?;
    }
    store.delete("k").await?;
    store.replace("k1", said(&["replaced"])).await?;
    store.pop("k/1").await?;
    store.insert_at("K", 0, one("first")).await?;
    same("k", &texts(store, "k").await?, &[(); 0])?;
    same("k1", &texts(store, "k1").await?, &["replaced"])?;
    same("k/1", &texts(store, "k/1").await?, &["k/1"])?;
    same("K", &texts(store, "K").await?, &["first", "K", "two"])?;
    for key in ["k ", "k:", "k\0"] {
        same(format!("{key:?}"), &texts(store, key).await?, &[key, "two"])?;
    }
    Ok(())
}
