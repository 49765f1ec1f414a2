//! Removing and inserting by position.

use store_core::ChatStore;

use super::{one, said, texts};
use crate::case::cases;
use crate::check::{CaseResult, same};
use crate::data::all;

cases! { "chat", Chat:
    remove_at_counts_from_both_ends,
    remove_at_out_of_range_is_none,
    remove_at_keeps_the_order_of_the_rest,
    remove_of_the_only_message_ends_the_history,
    insert_at_counts_from_both_ends,
    insert_at_into_nothing_appends,
    insert_at_the_front_many_times,
    insert_at_one_place_many_times,
    positions_follow_what_was_removed,
    positions_reach_into_a_great_batch,
}

/// Positions count from 0 at the front and from −1 at the end.
async fn remove_at_counts_from_both_ends(store: &dyn ChatStore) -> CaseResult {
    let cases: [(i64, &str, &[&str]); 6] = [
        (0, "a", &["b", "c", "d"]),
        (1, "b", &["a", "c", "d"]),
        (3, "d", &["a", "b", "c"]),
        (-1, "d", &["a", "b", "c"]),
        (-3, "b", &["a", "c", "d"]),
        (-4, "a", &["b", "c", "d"]),
    ];
    for (index, removed, left) in cases {
        store.replace("k", said(&["a", "b", "c", "d"])).await?;
        same(format!("removed at {index}"), &store.remove_at("k", index).await?, &Some(one(removed)))?;
        same(format!("left after {index}"), &texts(store, "k").await?, left)?;
    }
    Ok(())
}

/// Out of range on either side: `None`, and no change.
async fn remove_at_out_of_range_is_none(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a", "b"])).await?;
    for index in [2, 3, -3, -4, i64::MAX, i64::MIN, i64::from(i32::MAX) + 1] {
        same(format!("at {index}"), &store.remove_at("k", index).await?.is_none(), &true)?;
        same(format!("after {index}"), &texts(store, "k").await?, &["a", "b"])?;
    }
    Ok(())
}

/// The others keep their order, however many are removed, and appends still go to the end.
async fn remove_at_keeps_the_order_of_the_rest(store: &dyn ChatStore) -> CaseResult {
    let mut model: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    store.append("k", model.iter().map(|text| one(text)).collect()).await?;
    for index in [7, 0, 20, 13, 13, 0, 5] {
        let expected = model.remove(index);
        let removed = store.remove_at("k", i64::try_from(index).unwrap_or_default()).await?;
        same(format!("at {index}"), &removed, &Some(one(&expected)))?;
    }
    store.append("k", said(&["last"])).await?;
    model.push("last".to_owned());
    same("the rest", &texts(store, "k").await?, &model)
}

/// A history that lost its only message is gone.
async fn remove_of_the_only_message_ends_the_history(store: &dyn ChatStore) -> CaseResult {
    for index in [0, -1] {
        store.append("k", said(&["a"])).await?;
        same(format!("at {index}"), &store.remove_at("k", index).await?, &Some(one("a")))?;
        same("messages", &texts(store, "k").await?, &[(); 0])?;
        same("keys", &all(store.keys(None)).await?, &[(); 0])?;
        same("delete", &store.delete("k").await?, &false)?;
    }
    Ok(())
}

/// Before the message at the position; at or past the length at the end; −1 before the last; below the start at
/// the front.
async fn insert_at_counts_from_both_ends(store: &dyn ChatStore) -> CaseResult {
    let cases: [(i64, &[&str]); 11] = [
        (0, &["X", "a", "b", "c"]),
        (1, &["a", "X", "b", "c"]),
        (2, &["a", "b", "X", "c"]),
        (3, &["a", "b", "c", "X"]),
        (4, &["a", "b", "c", "X"]),
        (i64::MAX, &["a", "b", "c", "X"]),
        (-1, &["a", "b", "X", "c"]),
        (-2, &["a", "X", "b", "c"]),
        (-3, &["X", "a", "b", "c"]),
        (-4, &["X", "a", "b", "c"]),
        (i64::MIN, &["X", "a", "b", "c"]),
    ];
    for (index, expected) in cases {
        store.replace("k", said(&["a", "b", "c"])).await?;
        store.insert_at("k", index, one("X")).await?;
        same(format!("inserted at {index}"), &texts(store, "k").await?, expected)?;
    }
    Ok(())
}

/// Into an empty history any position is the end.
async fn insert_at_into_nothing_appends(store: &dyn ChatStore) -> CaseResult {
    for index in [0, 5, -1, -7, i64::MAX, i64::MIN] {
        let key = format!("k {index}");
        store.insert_at(&key, index, one("X")).await?;
        same(format!("at {index}"), &texts(store, &key).await?, &["X"])?;
    }
    same("keys", &all(store.keys(None)).await?.len(), &6_usize)
}

/// A hundred and fifty messages, each put before all others.
async fn insert_at_the_front_many_times(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["the first", "the second"])).await?;
    let mut model = vec!["the second".to_owned()];
    model.insert(0, "the first".to_owned());
    for n in 0..150 {
        let text = format!("m{n}");
        store.insert_at("k", if n % 2 == 0 { 0 } else { i64::MIN }, one(&text)).await?;
        model.insert(0, text);
    }
    store.append("k", said(&["the last"])).await?;
    model.push("the last".to_owned());
    same("texts", &texts(store, "k").await?, &model)
}

/// A hundred and fifty messages into the gap between the same two (a place kept as a fraction runs out of
/// digits).
async fn insert_at_one_place_many_times(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["left", "right"])).await?;
    let mut model = vec!["left".to_owned(), "right".to_owned()];
    for n in 0..150 {
        let text = format!("m{n}");
        // Behind the left one and before the right one in turn, always between the two newest.
        let index = 1 + n / 2;
        store.insert_at("k", i64::try_from(index).unwrap_or_default(), one(&text)).await?;
        model.insert(index, text);
    }
    same("texts", &texts(store, "k").await?, &model)
}

/// Positions count what is there, not what was.
async fn positions_follow_what_was_removed(store: &dyn ChatStore) -> CaseResult {
    store.append("k", said(&["a", "b", "c", "d", "e"])).await?;
    store.remove_at("k", 1).await?;
    store.remove_at("k", 1).await?;
    store.insert_at("k", 1, one("x")).await?;
    same("after removing and inserting", &texts(store, "k").await?, &["a", "x", "d", "e"])?;
    store.pop("k").await?;
    store.append("k", said(&["f"])).await?;
    store.insert_at("k", -1, one("y")).await?;
    same("after popping and appending", &texts(store, "k").await?, &["a", "x", "d", "y", "f"])?;
    same("the one at 3", &store.remove_at("k", 3).await?, &Some(one("y")))?;
    same("the last two", &store.messages("k", Some(2)).await?, &said(&["d", "f"]))
}

/// Positions in and around 150 messages of one call: each is found, removed and inserted where it stands.
async fn positions_reach_into_a_great_batch(store: &dyn ChatStore) -> CaseResult {
    let mut list: Vec<String> = (0..150).map(|n| format!("m{n}")).collect();
    store.append("k", said(&["before"])).await?;
    store.append("k", list.iter().map(|text| one(text)).collect()).await?;
    store.append("k", said(&["after"])).await?;
    list.insert(0, "before".to_owned());
    list.push("after".to_owned());
    for place in [0_u8, 1, 2, 75, 100, 146, 144, 1, 0] {
        let index = i64::from(place);
        let removed = list.remove(usize::from(place));
        same(format!("removed at {index}"), &store.remove_at("k", index).await?, &Some(one(&removed)))?;
    }
    for place in [1_u8, 0, 141, 142, 70, 70, 145] {
        let text = format!("new at {place}");
        store.insert_at("k", i64::from(place), one(&text)).await?;
        list.insert(usize::from(place), text);
    }
    for from_end in [1_u8, 2, 3, 80, 140] {
        let removed = list.remove(list.len() - usize::from(from_end));
        same(
            format!("removed at −{from_end}"),
            &store.remove_at("k", -i64::from(from_end)).await?,
            &Some(one(&removed)),
        )?;
    }
    same("all", &texts(store, "k").await?, &list)?;
    let newest = list.get(list.len().saturating_sub(100)..).unwrap_or_default();
    let expected: Vec<_> = newest.iter().map(|text| one(text)).collect();
    same("the last hundred", &store.messages("k", Some(100)).await?, &expected)?;
    while let Some(last) = list.pop() {
        same("popped", &store.pop("k").await?, &Some(one(&last)))?;
    }
    same("keys", &all(store.keys(None)).await?, &[(); 0])
}
