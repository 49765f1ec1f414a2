//! Locks, counters, idempotency records, declared indexes and views, on real nodes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "../common/mod.rs"]
mod common;
mod locks;
mod races;
mod records;
mod schema;

use std::process::ExitCode;

use common::{Db, test};

fn main() -> ExitCode {
    let races = [
        test("race_for_a_lock", |db: Db| async move { races::lock(&db.others(6).await, "a", 5).await }),
        test("race_for_a_lock_in_one_store", |db: Db| async move {
            races::lock(&vec![db.store.clone(); 8], "a", 4).await;
        }),
        test("race_of_64_counting", |db: Db| async move {
            races::counter(&db.others(4).await, "a", 64, 20).await;
        }),
        test("race_of_32_for_one_key", |db: Db| async move {
            races::idempotent(&db.others(4).await, "k", 32).await;
        }),
        test("race_of_32_inserting_events", |db: Db| async move {
            races::events_once(&db.others(4).await, 32, 40).await;
        }),
    ];
    common::run(races.into_iter().chain(locks::tests()).chain(records::tests()).chain(schema::tests()))
}
