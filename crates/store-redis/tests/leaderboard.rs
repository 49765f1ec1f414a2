//! Leaderboards, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test fails by a panic"
)]

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::{Db, on_both, test};
use futures::future::{join_all, try_join_all};
use store_core::ErrorKind;
use store_redis::{LeaderboardConfig, LeaderboardEntry, RedisLeaderboard, ScoreMode};

fn main() -> ExitCode {
    common::run([
        on_both("set_best_and_sum", set_best_and_sum),
        on_both("ties_stand_as_they_were_reached", ties_stand_as_they_were_reached),
        on_both("seasons_are_apart_and_end", seasons_are_apart_and_end),
        vec![
            test("scores_are_exact", scores_are_exact),
            test("windows_and_neighbours", windows_and_neighbours),
            test("agrees_with_a_sorted_list", agrees_with_a_sorted_list),
            test("no_submission_is_lost", no_submission_is_lost),
            test("bad_input_is_refused", bad_input_is_refused),
        ],
    ])
}

fn board(db: &Db, config: LeaderboardConfig) -> RedisLeaderboard {
    RedisLeaderboard::new(&db.store, "quiz", config).unwrap()
}

fn ids(entries: &[LeaderboardEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

async fn set_best_and_sum(db: Db) {
    for (mode, lowest, expected) in [
        (ScoreMode::Set, false, 3.0),
        (ScoreMode::Best, false, 5.0),
        (ScoreMode::Sum, false, 8.0),
        (ScoreMode::Set, true, 3.0),
        (ScoreMode::Best, true, 3.0),
        (ScoreMode::Sum, true, 8.0),
    ] {
        let board = board(&db, LeaderboardConfig::new(mode).with_lowest_first(lowest));
        board.submit("ann", 5.0).await.unwrap();
        board.submit("bob", 4.0).await.unwrap();
        let ann = board.submit("ann", 3.0).await.unwrap();
        let better = if lowest { expected < 4.0 } else { expected > 4.0 };
        assert_eq!((ann.score, ann.rank), (expected, if better { 1 } else { 2 }), "{mode:?} {lowest}");
        assert_eq!(board.rank("ann").await.unwrap(), Some(ann));
        assert_eq!(board.len().await.unwrap(), 2);
        board.clear().await.unwrap();
        assert!(board.is_empty().await.unwrap() && db.keys().await.is_empty());
    }
}

async fn ties_stand_as_they_were_reached(db: Db) {
    for lowest in [false, true] {
        let board = board(&db, LeaderboardConfig::new(ScoreMode::Set).with_lowest_first(lowest));
        for id in ["m", "z", "a", "k", "0"] {
            board.submit(id, 7.0).await.unwrap();
        }
        assert_eq!(ids(&board.top(9).await.unwrap()), ["m", "z", "a", "k", "0"]);
        // The same score again is no new one; another and back again is.
        board.submit("m", 7.0).await.unwrap();
        board.submit("z", 8.0).await.unwrap();
        board.submit("z", 7.0).await.unwrap();
        let top = board.top(9).await.unwrap();
        assert_eq!(ids(&top), ["m", "a", "k", "0", "z"]);
        assert_eq!(top.iter().map(|entry| entry.rank).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        board.clear().await.unwrap();
    }
}

async fn seasons_are_apart_and_end(db: Db) {
    let config = LeaderboardConfig::new(ScoreMode::Sum).with_ttl(Duration::from_hours(1));
    let [one, two] = ["2026-10", "2026-11"].map(|season| board(&db, config.clone().with_season(season)));
    one.submit("ann", 1.0).await.unwrap();
    assert_eq!(two.rank("ann").await.unwrap(), None);
    two.submit("ann", 2.0).await.unwrap();
    assert_eq!(one.rank("ann").await.unwrap().unwrap().score, 1.0);
    db.assert_all_expire().await;
    assert_eq!(db.keys().await.len(), 4);
    one.clear().await.unwrap();
    assert_eq!(two.len().await.unwrap(), 1);
    let short = board(&db, config.with_ttl(Duration::from_millis(50)));
    short.submit("ann", 1.0).await.unwrap();
    common::eventually("the end", async || short.is_empty().await.unwrap()).await;
}

async fn scores_are_exact(db: Db) {
    let board = board(&db, LeaderboardConfig::new(ScoreMode::Set));
    let largest = 9_007_199_254_740_992.0;
    let scores = [largest, largest - 1.0, 0.1, f64::MIN_POSITIVE, 0.0, -0.1, -largest, f64::MIN];
    for (i, score) in scores.into_iter().enumerate() {
        assert_eq!(board.submit(&i.to_string(), score).await.unwrap().score, score);
    }
    let found: Vec<f64> = board.top(9).await.unwrap().iter().map(|entry| entry.score).collect();
    assert_eq!(found, scores);
    let sums = board_of_sums(&db);
    sums.submit("a", largest - 3.0).await.unwrap();
    assert_eq!(sums.submit("a", 2.0).await.unwrap().score, largest - 1.0);
    assert_eq!(sums.submit("zero", -0.0).await.unwrap().score.to_bits(), 0.0_f64.to_bits());
    sums.submit("b", f64::MAX).await.unwrap();
    let error = sums.submit("b", f64::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(sums.rank("b").await.unwrap().unwrap().score, f64::MAX);
}

fn board_of_sums(db: &Db) -> RedisLeaderboard {
    RedisLeaderboard::new(&db.store, "sums", LeaderboardConfig::new(ScoreMode::Sum)).unwrap()
}

async fn windows_and_neighbours(db: Db) {
    let board = board(&db, LeaderboardConfig::new(ScoreMode::Set));
    assert_eq!(board.top(5).await.unwrap(), []);
    assert_eq!(board.around("nobody", 3).await.unwrap(), []);
    let submits = (0..100).map(|i| {
        let board = &board;
        async move { board.submit(&format!("p{i}"), f64::from(100 - i)).await }
    });
    try_join_all(submits).await.unwrap();
    assert_eq!(ids(&board.top(2).await.unwrap()), ["p0", "p1"]);
    assert_eq!(ids(&board.page(98, 10).await.unwrap()), ["p98", "p99"]);
    assert_eq!(board.page(100, 10).await.unwrap(), []);
    assert_eq!(board.page(u64::MAX, 10).await.unwrap(), []);
    assert_eq!(board.top(0).await.unwrap(), []);
    let around = board.around("p50", 1).await.unwrap();
    assert_eq!(ids(&around), ["p49", "p50", "p51"]);
    assert_eq!(around[0].rank, 50);
    assert_eq!(ids(&board.around("p0", 2).await.unwrap()), ["p0", "p1", "p2"]);
    assert_eq!(ids(&board.around("p99", 2).await.unwrap()), ["p97", "p98", "p99"]);
    assert_eq!(ids(&board.around("p7", 0).await.unwrap()), ["p7"]);
    assert!(board.remove("p49").await.unwrap() && !board.remove("p49").await.unwrap());
    assert_eq!(board.rank("p50").await.unwrap().unwrap().rank, 50);
    assert_eq!(board.rank("p49").await.unwrap(), None);
}

async fn agrees_with_a_sorted_list(db: Db) {
    let board = board(&db, LeaderboardConfig::new(ScoreMode::Best));
    // Scores with the moment at which they were reached.
    let mut model: Vec<(String, u8, usize)> = Vec::new();
    for moment in 0..600 {
        let (id, score) = (format!("p{}", fastrand::u8(0..40)), fastrand::u8(0..12));
        board.submit(&id, f64::from(score)).await.unwrap();
        match model.iter_mut().find(|(known, ..)| *known == id) {
            Some(known) if score > known.1 => (known.1, known.2) = (score, moment),
            Some(_) => {}
            None => model.push((id, score, moment)),
        }
    }
    model.sort_by_key(|(_, score, moment)| (std::cmp::Reverse(*score), *moment));
    let expected: Vec<&str> = model.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids(&board.top(100).await.unwrap()), expected);
}

async fn no_submission_is_lost(db: Db) {
    let sums = board_of_sums(&db);
    let others = [
        board_of_sums(&db),
        RedisLeaderboard::new(&db.another().await, "sums", LeaderboardConfig::new(ScoreMode::Sum)).unwrap(),
    ];
    let submits = (0..500).map(|i| others[i % 2].submit("ann", 1.0));
    join_all(submits).await.into_iter().for_each(|submitted| assert!(submitted.is_ok()));
    assert_eq!(sums.rank("ann").await.unwrap().unwrap().score, 500.0);
    assert_eq!(sums.len().await.unwrap(), 1);
}

async fn bad_input_is_refused(db: Db) {
    let board = board(&db, LeaderboardConfig::new(ScoreMode::Set));
    for (id, score) in [("", 1.0), (&"x".repeat(1_025), 1.0), ("a", f64::NAN), ("a", f64::INFINITY)] {
        assert_eq!(board.submit(id, score).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(board.top(10_001).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(board.around("a", usize::MAX).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(db.keys().await.is_empty());
    for id in ["*", "{", "n", ":", "\0\r\n", "žába", "0000000000000001a"] {
        let entry = board.submit(id, 1.0).await.unwrap();
        assert_eq!(board.rank(id).await.unwrap(), Some(entry));
    }
    assert_eq!(
        ids(&board.top(9).await.unwrap()),
        ["*", "{", "n", ":", "\0\r\n", "žába", "0000000000000001a"]
    );
}
