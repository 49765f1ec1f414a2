//! The keys of histories.

use store_core::ChatStore;

use super::{one, said, texts};
use crate::case::cases;
use crate::check::{CaseResult, same, same_items};
use crate::data::{all, odd_keys};

cases! { "chat", Chat:
    keys_gives_each_history_once,
    keys_leaves_out_what_has_no_message,
    keys_goes_on_after_any_key,
    odd_keys_are_kept_apart,
}

/// Each key with messages once, however many it has, in an order that stays.
async fn keys_gives_each_history_once(store: &dyn ChatStore) -> CaseResult {
    let keys: Vec<String> = (0..50).map(|n| format!("k{}", n * 7 % 50)).collect();
    for (n, key) in keys.iter().enumerate() {
        store.append(key, vec![one("a"); n % 4 + 1]).await?;
        store.insert_at(key, 0, one("b")).await?;
    }
    let found = all(store.keys(None)).await?;
    same_items("50 keys", &found, &keys)?;
    same("again", &all(store.keys(None)).await?, &found)?;
    store.append("k7", said(&["more"])).await?;
    same("after another append", &all(store.keys(None)).await?, &found)
}

/// A history that lost its messages, in whatever way, has no key.
async fn keys_leaves_out_what_has_no_message(store: &dyn ChatStore) -> CaseResult {
    for key in ["deleted", "replaced", "popped", "removed", "stays"] {
        store.append(key, said(&["a"])).await?;
    }
    store.delete("deleted").await?;
    store.replace("replaced", vec![]).await?;
    store.pop("popped").await?;
    store.remove_at("removed", 0).await?;
    same("keys", &all(store.keys(None)).await?, &["stays"])
}

/// Any key resumes the listing, also one that is gone.
async fn keys_goes_on_after_any_key(store: &dyn ChatStore) -> CaseResult {
    for n in 0..20 {
        store.append(&format!("k{n}"), said(&["a"])).await?;
    }
    let order = all(store.keys(None)).await?;
    for (place, key) in order.iter().enumerate() {
        let rest = order.get(place + 1..).unwrap_or_default();
        same(format!("after {key}"), &all(store.keys(Some(key.clone()))).await?, rest)?;
    }
    for (key, rest) in order.get(9).into_iter().zip(order.get(10..)) {
        store.delete(key).await?;
        same(format!("after {key}, deleted"), &all(store.keys(Some(key.clone()))).await?, rest)?;
    }
    Ok(())
}

/// Keys are free text.
async fn odd_keys_are_kept_apart(store: &dyn ChatStore) -> CaseResult {
    let keys = odd_keys();
    for key in &keys {
        store.append(key, said(&[key])).await?;
    }
    same_items("keys", &all(store.keys(None)).await?, &keys)?;
    for key in &keys {
        same(format!("{key:?}"), &texts(store, key).await?, &[key])?;
    }
    for key in keys.iter().step_by(3) {
        same(format!("delete {key:?}"), &store.delete(key).await?, &true)?;
    }
    let left: Vec<&String> =
        keys.iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, key)| key).collect();
    same_items("keys left", &all(store.keys(None)).await?, &left)
}
