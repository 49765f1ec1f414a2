//! Limits of rate, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "a test fails by a panic"
)]

mod common;

use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::proxy::Proxy;
use common::{Db, on_both, test};
use futures::future::join_all;
use store_core::{Backend as _, ErrorKind};
use store_redis::{OnFailure, RateLimit, RedisBackend, RedisConfig, RedisRateLimiter};

/// What tells this program that it is one of the processes of `many_processes_never_pass_more`.
const WORKER: &str = "STORE_TEST_RATE_WORKER";

fn main() -> ExitCode {
    if let Ok(work) = std::env::var(WORKER) {
        return worker(&work);
    }
    common::run([
        on_both("fixed_windows", fixed_windows),
        on_both("sliding_windows", sliding_windows),
        on_both("gcra_paces", gcra_paces),
        on_both("bad_costs_and_names_are_refused", bad_costs_and_names_are_refused),
        vec![
            test("a_refused_call_consumes_nothing", a_refused_call_consumes_nothing),
            test("a_check_is_one_round_trip", a_check_is_one_round_trip),
            test("open_closed_or_an_error", open_closed_or_an_error),
            test("soak_many_processes_never_pass_more", many_processes_never_pass_more),
        ],
    ])
}

const MINUTE: Duration = Duration::from_mins(1);

fn all_kinds(limit: u64, window: Duration) -> [RateLimit; 3] {
    [
        RateLimit::fixed_window(limit, window),
        RateLimit::sliding_window(limit, window),
        RateLimit::gcra(limit, window, limit),
    ]
}

async fn fixed_windows(db: Db) {
    let limiter = RedisRateLimiter::new(&db.store, "l", RateLimit::fixed_window(5, MINUTE)).unwrap();
    let first = limiter.check("u", 2).await.unwrap();
    assert!(first.allowed && first.remaining == 3 && first.retry_after.is_zero() && !first.failed);
    assert!(first.reset_after > MINUTE - Duration::from_secs(5) && first.reset_after <= MINUTE, "{first:?}");
    assert_eq!(limiter.check("u", 3).await.unwrap().remaining, 0);
    let refused = limiter.check("u", 1).await.unwrap();
    assert!(!refused.allowed && refused.retry_after == refused.reset_after && !refused.retry_after.is_zero());
    assert!(limiter.check("another", 5).await.unwrap().allowed);
    db.assert_all_expire().await;
    limiter.reset("u").await.unwrap();
    assert_eq!(limiter.peek("u").await.unwrap().remaining, 5);
    // The window ends with its first call's time, however many came since.
    let short = RedisRateLimiter::new(&db.store, "s", RateLimit::fixed_window(2, Duration::from_millis(400)));
    let short = short.unwrap();
    assert!(short.check("u", 1).await.unwrap().allowed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = short.check("u", 1).await.unwrap();
    if second.remaining == 0 {
        assert!(second.reset_after < Duration::from_millis(300), "{second:?}");
        tokio::time::sleep(second.reset_after + Duration::from_millis(1)).await;
    }
    assert!(short.check("u", 2).await.unwrap().allowed);
}

async fn sliding_windows(db: Db) {
    let window = Duration::from_millis(600);
    let limiter = RedisRateLimiter::new(&db.store, "l", RateLimit::sliding_window(10, window)).unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(limiter.check("u", 3).await.unwrap().remaining, 7);
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(limiter.check("u", 7).await.unwrap().remaining, 0);
    let spent = tokio::time::Instant::now();
    let one = limiter.check("u", 3).await.unwrap();
    let more = limiter.check("u", 4).await.unwrap();
    if start.elapsed() < window {
        // Three come back with the first call, a fourth only with the second.
        assert!(!one.allowed && !more.allowed);
        assert!(one.retry_after < more.retry_after, "{one:?} {more:?}");
        assert!(more.reset_after <= window && one.retry_after <= window - Duration::from_millis(150));
    }
    db.assert_all_expire().await;
    tokio::time::sleep(one.retry_after).await;
    let again = limiter.check("u", 3).await.unwrap();
    assert!(again.allowed, "{again:?}");
    if spent.elapsed() < window {
        assert_eq!(again.remaining, 0);
    }
    tokio::time::sleep(window).await;
    let full = limiter.peek("u").await.unwrap();
    assert_eq!((full.remaining, full.reset_after), (10, Duration::ZERO));
}

async fn gcra_paces(db: Db) {
    // One comes back each 200 ms, three may go at once.
    let limit = RateLimit::gcra(5, Duration::from_secs(1), 3);
    let limiter = RedisRateLimiter::new(&db.store, "l", limit).unwrap();
    assert_eq!(limiter.peek("u").await.unwrap().remaining, 3);
    let start = tokio::time::Instant::now();
    assert_eq!(limiter.check("u", 3).await.unwrap().remaining, 0);
    let refused = limiter.check("u", 2).await.unwrap();
    if start.elapsed() < Duration::from_millis(200) {
        assert!(!refused.allowed);
        assert!(refused.retry_after <= Duration::from_millis(400), "{refused:?}");
        assert!(refused.reset_after <= Duration::from_millis(600), "{refused:?}");
    }
    db.assert_all_expire().await;
    tokio::time::sleep(refused.retry_after).await;
    assert!(limiter.check("u", 2).await.unwrap().allowed);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let full = limiter.peek("u").await.unwrap();
    assert_eq!((full.remaining, full.reset_after), (3, Duration::ZERO));
}

async fn a_refused_call_consumes_nothing(db: Db) {
    for limit in all_kinds(10, MINUTE) {
        let limiter = RedisRateLimiter::new(&db.store, "l", limit).unwrap();
        assert!(limiter.check("u", 8).await.unwrap().allowed);
        for _ in 0..50 {
            assert!(!limiter.check("u", 5).await.unwrap().allowed);
        }
        assert_eq!(limiter.peek("u").await.unwrap().remaining, 2, "{limit:?}");
        assert!(limiter.check("u", 2).await.unwrap().allowed, "{limit:?}");
        // Looking neither.
        let before = limiter.peek("u").await.unwrap();
        assert_eq!((before.remaining, limiter.peek("u").await.unwrap().remaining), (0, 0));
    }
}

async fn bad_costs_and_names_are_refused(db: Db) {
    for limit in all_kinds(10, MINUTE) {
        let limiter = RedisRateLimiter::new(&db.store, "l", limit).unwrap();
        for (subject, cost) in [("u", 0), ("u", 11), ("u", u64::MAX), ("", 1), (&"x".repeat(1_025), 1)] {
            let error = limiter.check(subject, cost).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{cost}");
        }
        for name in ["a:b", "a", "{x}", "*", "\r\n\0"] {
            let limiter = RedisRateLimiter::new(&db.store, name, limit).unwrap();
            for subject in ["c", "b:c", "}{", "*", "\0\r\n"] {
                assert!(limiter.check(subject, 10).await.unwrap().allowed, "{name:?} {subject:?}");
            }
        }
    }
    for bad in [
        RateLimit::fixed_window(0, MINUTE),
        RateLimit::sliding_window(1, Duration::ZERO),
        RateLimit::gcra(1, MINUTE, 0),
        RateLimit::gcra(1, Duration::from_hours(24), 1_000_000),
        RateLimit::fixed_window(1, Duration::MAX),
    ] {
        assert_eq!(RedisRateLimiter::new(&db.store, "l", bad).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

async fn a_check_is_one_round_trip(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    for limit in all_kinds(5, MINUTE) {
        let limiter = RedisRateLimiter::new(&store, "l", limit).unwrap();
        limiter.check("first", 1).await.unwrap();
        proxy.forget();
        for _ in 0..10 {
            limiter.check("u", 1).await.unwrap();
        }
        assert_eq!(proxy.commands(), ["EVALSHA"; 10]);
    }
}

async fn open_closed_or_an_error(db: Db) {
    let store = db.another().await;
    let limiter = RedisRateLimiter::new(&store, "l", RateLimit::gcra(1, MINUTE, 1)).unwrap();
    store.close().await.unwrap();
    assert_eq!(limiter.check("u", 1).await.unwrap_err().kind(), ErrorKind::Unavailable);
    for (on_failure, allowed) in [(OnFailure::Open, true), (OnFailure::Closed, false)] {
        let limiter = limiter.clone().with_on_failure(on_failure).with_patience(Duration::from_secs(5));
        let decision = limiter.check("u", 1).await.unwrap();
        assert_eq!((decision.allowed, decision.failed), (allowed, true));
        // A mistake is a mistake.
        assert_eq!(limiter.check("u", 2).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// 8 processes against one limit: in no window pass more than the limit.
async fn many_processes_never_pass_more(db: Db) {
    let soak = std::env::var_os("STORE_TEST_SOAK").is_some();
    let calls = if soak { 12_500 } else { 400 };
    let (limit, window) = (40, Duration::from_millis(250));
    for (kind, most) in [("fixed", 0), ("sliding", limit), ("gcra", 2 * limit)] {
        let work = format!("{} {} {kind} {limit} {} {calls}", db.url, db.name, window.as_millis());
        let program = std::env::current_exe().unwrap();
        let workers = (0..8).map(|_| {
            let worker = tokio::process::Command::new(&program)
                .env(WORKER, &work)
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            worker.wait_with_output()
        });
        let mut passed: Vec<(u64, u64)> = Vec::new();
        for output in join_all(workers).await {
            let output = output.unwrap();
            assert!(output.status.success());
            passed.extend(String::from_utf8(output.stdout).unwrap().lines().map(|line| {
                let (sent, answered) = line.split_once(' ').unwrap();
                (sent.parse().unwrap(), answered.parse().unwrap())
            }));
        }
        passed.sort_unstable();
        assert!(passed.len() > usize::try_from(limit).unwrap(), "only {} passed", passed.len());
        let micros = u64::try_from(window.as_micros()).unwrap();
        let begin = passed[0].0;
        let end = passed.iter().map(|(_, answered)| *answered).max().unwrap();
        if most == 0 {
            // Windows follow each other: so many fit.
            let windows = (end - begin) / micros + 1;
            let most = windows * limit;
            assert!(passed.len() as u64 <= most, "{} passed in {windows} windows", passed.len());
        } else {
            // Those that were sent and answered within a window were surely decided in it.
            for (place, (from, _)) in passed.iter().enumerate() {
                let inside = passed[place..]
                    .iter()
                    .take_while(|(sent, _)| *sent < from + micros)
                    .filter(|(_, answered)| *answered < from + micros)
                    .count();
                assert!(inside as u64 <= most, "{kind}: {inside} passed in {window:?}");
            }
        }
        println!("{kind}: {} calls passed in {} ms", passed.len(), (end - begin) / 1_000);
    }
}

fn worker(work: &str) -> ExitCode {
    let work: Vec<&str> = work.split(' ').collect();
    let number = |place: usize| work[place].parse::<u64>().unwrap();
    let window = Duration::from_millis(number(4));
    let limit = match work[2] {
        "fixed" => RateLimit::fixed_window(number(3), window),
        "sliding" => RateLimit::sliding_window(number(3), window),
        _ => RateLimit::gcra(number(3), window, number(3)),
    };
    let now = || {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        u64::try_from(time).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = RedisConfig::new(work[0].to_owned()).with_namespace(work[1]);
        let store = RedisBackend::connect(config).await.unwrap();
        let limiter = RedisRateLimiter::new(&store, "shared", limit).unwrap();
        let (begin, mut calls) = (now(), 0);
        // However fast the machine is, several windows pass.
        while calls < number(5) || u128::from(now() - begin) < 3 * window.as_micros() {
            calls += 1;
            let sent = now();
            if limiter.check("u", 1).await.unwrap().allowed {
                println!("{sent} {}", now());
            }
        }
    });
    ExitCode::SUCCESS
}
