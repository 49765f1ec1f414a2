//! Scans: stable order, prefixes, going on after any key.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::json;
use store_core::{JsonObject, KvStore, KvStoreExt, PutOptions, ScanOptions};

use super::C;
use crate::case::cases;
use crate::check::{CaseResult, Failure, holds, same, same_items};
use crate::data::{all, numbered, object, odd_keys};

cases! { "kv", Kv:
    scan_gives_every_entry_once,
    scan_order_is_stable,
    scan_goes_on_after_any_key,
    scan_goes_on_after_a_deleted_key,
    scan_goes_on_after_a_key_never_stored,
    scan_prefix_is_literal,
    scan_prefix_and_after_together,
    scan_sees_replaced_values,
    ten_thousand_entries,
    scan_while_others_write,
}

async fn keys(store: &dyn KvStore, options: ScanOptions) -> CaseResult<Vec<String>> {
    Ok(all(store.scan(C, options)).await?.into_iter().map(|(key, _)| key).collect())
}

async fn fill(store: &dyn KvStore, keys: impl IntoIterator<Item = String>) -> CaseResult {
    let entries = keys.into_iter().enumerate().map(|(number, key)| (key, numbered(number))).collect();
    Ok(store.put_many(C, entries, PutOptions::default()).await?)
}

fn after(key: &str) -> ScanOptions {
    ScanOptions::default().with_after(key)
}

fn prefix(prefix: &str) -> ScanOptions {
    ScanOptions::default().with_prefix(prefix)
}

/// A scan without options gives all entries of the collection with their values, each once.
async fn scan_gives_every_entry_once(store: &dyn KvStore) -> CaseResult {
    let entries: Vec<_> = (0..500).map(|n| (format!("k{}", n * 7919 % 500), numbered(n))).collect();
    store.put_many(C, entries.clone(), PutOptions::default()).await?;
    store.put("other", "x", numbered(1)).await?;
    same_items("500 entries", &all(store.scan(C, ScanOptions::default())).await?, &entries)
}

/// The order is a function of the key alone: it is the same on each scan, whatever the order of writing, and
/// stays as keys come and go.
async fn scan_order_is_stable(store: &dyn KvStore) -> CaseResult {
    fill(store, odd_keys()).await?;
    let first = keys(store, ScanOptions::default()).await?;
    same("the second scan", &keys(store, ScanOptions::default()).await?, &first)?;
    // Written again in another order, without every third key.
    let all: Vec<&str> = first.iter().map(String::as_str).collect();
    store.delete_many(C, &all).await?;
    let (gone, stay): (Vec<_>, Vec<_>) = first.iter().cloned().enumerate().partition(|(n, _)| n % 3 == 0);
    let stay: Vec<String> = stay.into_iter().map(|(_, key)| key).collect();
    fill(store, stay.iter().rev().cloned()).await?;
    same("without every third key", &keys(store, ScanOptions::default()).await?, &stay)?;
    fill(store, gone.into_iter().map(|(_, key)| key)).await?;
    same("with them again", &keys(store, ScanOptions::default()).await?, &first)
}

/// Any key resumes a scan: what comes is exactly what stood behind it.
async fn scan_goes_on_after_any_key(store: &dyn KvStore) -> CaseResult {
    fill(store, odd_keys()).await?;
    let order = keys(store, ScanOptions::default()).await?;
    for (place, key) in order.iter().enumerate() {
        let rest = order.get(place + 1..).unwrap_or_default();
        same(format!("after {key:?}"), &keys(store, after(key)).await?, rest)?;
    }
    Ok(())
}

/// Also a key that is gone by then.
async fn scan_goes_on_after_a_deleted_key(store: &dyn KvStore) -> CaseResult {
    fill(store, (0..40).map(|n| format!("k{n}"))).await?;
    let mut order = keys(store, ScanOptions::default()).await?;
    for place in [0, 7, 20, 36] {
        let key = order.remove(place);
        store.delete(C, &key).await?;
        let rest = order.get(place..).unwrap_or_default();
        same(format!("after {key:?}, deleted"), &keys(store, after(&key)).await?, rest)?;
    }
    Ok(())
}

/// And one that never was: it is placed where it would stand.
async fn scan_goes_on_after_a_key_never_stored(store: &dyn KvStore) -> CaseResult {
    fill(store, (0..40).map(|n| format!("k{n}"))).await?;
    for probe in ["k", "k5x", "zz", "A", "é", "k\u{10ffff}"] {
        let rest = keys(store, after(probe)).await?;
        store.put(C, probe, numbered(0)).await?;
        let order = keys(store, ScanOptions::default()).await?;
        store.delete(C, probe).await?;
        let behind: Vec<_> = order.into_iter().skip_while(|key| key != probe).skip(1).collect();
        same(format!("after {probe:?}"), &rest, &behind)?;
    }
    Ok(())
}

/// A prefix is literal text: no pattern, no folding, no normalising; and it keeps the order.
async fn scan_prefix_is_literal(store: &dyn KvStore) -> CaseResult {
    let mut stored = odd_keys();
    stored.extend(
        ["a*b", "axb", "a_b", "a%c", "a\\*", "[ab]", "b", "áb", "a\u{301}b", "😀😀", "$set.x"]
            .map(str::to_owned),
    );
    fill(store, stored).await?;
    let order = keys(store, ScanOptions::default()).await?;
    let prefixes = [
        "",
        "a",
        "ab",
        "á",
        "a\u{301}",
        "a*",
        "*",
        "?",
        "a_",
        "a%",
        "%",
        "_",
        "[",
        "[a",
        "\\",
        "a\\",
        "a.",
        ".",
        "$",
        "😀",
        "\0",
        " ",
        "nobody",
        "S",
        "s",
        "İ",
        "\u{10ffff}",
        "\u{ffff}",
        "1",
        "it'",
        "'",
        "\"",
        "-",
        "{",
    ];
    for text in prefixes {
        let expected: Vec<&String> = order.iter().filter(|key| key.starts_with(text)).collect();
        same(format!("prefix {text:?}"), &keys(store, prefix(text)).await?, &expected)?;
    }
    Ok(())
}

/// A prefix and a key to go on after restrict independently, also when that key has not the prefix.
async fn scan_prefix_and_after_together(store: &dyn KvStore) -> CaseResult {
    fill(store, ["a", "a1", "a2", "a3", "b", "b1", "b2", "", "c"].iter().map(|key| format!("x{key}")))
        .await?;
    let order = keys(store, ScanOptions::default()).await?;
    for (place, key) in order.iter().enumerate() {
        for text in ["xa", "xb", "x", "xc"] {
            let behind = order.iter().skip(place + 1).filter(|key| key.starts_with(text));
            let expected: Vec<&String> = behind.collect();
            let options = prefix(text).with_after(key.as_str());
            same(format!("prefix {text:?} after {key:?}"), &keys(store, options).await?, &expected)?;
        }
    }
    Ok(())
}

/// A scan gives the values as last written.
async fn scan_sees_replaced_values(store: &dyn KvStore) -> CaseResult {
    store.put(C, "a", object(json!({"x": 1, "y": 1}))).await?;
    store.put(C, "b", numbered(1)).await?;
    store.put(C, "a", object(json!({"y": 2}))).await?;
    store.delete(C, "b").await?;
    let found = all(store.scan(C, ScanOptions::default())).await?;
    same("the scan", &found, &[("a".to_owned(), object(json!({"y": 2})))])
}

/// A collection of 10,000 entries: written, counted, read, paged through, and deleted.
async fn ten_thousand_entries(store: &dyn KvStore) -> CaseResult {
    let name = |n: usize| format!("item-{n:05}");
    for chunk in 0..10 {
        let entries = (chunk * 1_000..(chunk + 1) * 1_000).map(|n| (name(n), numbered(n))).collect();
        store.put_many(C, entries, PutOptions::default()).await?;
    }
    let order = keys(store, ScanOptions::default()).await?;
    let distinct: BTreeSet<&String> = order.iter().collect();
    same("entries", &order.len(), &10_000_usize)?;
    same("different keys", &distinct.len(), &10_000_usize)?;
    let sample: Vec<String> = (0..100).map(|n| name(n * 97 % 10_000)).collect();
    let sample: Vec<&str> = sample.iter().map(String::as_str).collect();
    let expected: Vec<_> = (0..100).map(|n| Some(numbered(n * 97 % 10_000))).collect();
    same("a hundred of them", &store.get_many(C, &sample).await?, &expected)?;
    same("with a prefix", &keys(store, prefix("item-077")).await?.len(), &100_usize)?;
    // Page by page, as the wire protocol reads: a new scan for each.
    let (mut paged, mut last) = (Vec::new(), None::<String>);
    loop {
        let options = last.as_deref().map_or_else(ScanOptions::default, after);
        let page: Vec<(String, JsonObject)> = all(Box::pin(store.scan(C, options).take(1_500))).await?;
        let Some((key, _)) = page.last() else { break };
        last = Some(key.clone());
        paged.extend(page.into_iter().map(|(key, _)| key));
        holds(paged.len() <= 10_000, "the pages give more than there is")?;
    }
    same("the pages together", &paged, &order)?;
    let mut deleted = 0;
    for chunk in order.chunks(1_000) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        deleted += store.delete_many(C, &chunk).await?;
    }
    same("deleted", &deleted, &10_000_usize)?;
    same("left", &keys(store, ScanOptions::default()).await?, &[(); 0])
}

/// What is there all the time comes exactly once, while other keys come and go.
async fn scan_while_others_write(store: &dyn KvStore) -> CaseResult {
    let steady: Vec<String> = (0..300).map(|n| format!("k{n:03}")).collect();
    fill(store, steady.iter().cloned()).await?;
    let mut stream = store.scan(C, ScanOptions::default());
    let (mut seen, mut round) = (Vec::new(), 0);
    while let Some(entry) = stream.next().await {
        seen.push(entry?.0);
        round += 1;
        if round > 5_000 {
            return Err(Failure::new("the scan has no end"));
        }
        if round % 10 == 0 {
            // Between, before and behind the steady ones; one removed for each one added, later.
            let coming =
                ["a", "k", "z"].map(|start| (format!("{start}{round:03}x"), numbered(round))).to_vec();
            store.put_many(C, coming, PutOptions::default()).await?;
            let going = format!("k{:03}x", round / 2);
            store.delete_many(C, &[&going]).await?;
        }
    }
    seen.retain(|key| steady.contains(key));
    same_items("the steady keys", &seen, &steady)
}
