//! The engine's promises: groups, failures that stay alone, order, sharing, letting go.

use std::sync::atomic::{AtomicU32, Ordering};

use store_core::ErrorKind;
use tempfile::TempDir;

use super::*;
use crate::codec::Span;

const TABLE: &str = "test/rows";

fn open(folder: &TempDir) -> Arc<Engine> {
    Engine::open(folder.path(), true, 1 << 20).unwrap()
}

async fn put(engine: &Engine, key: u32) -> Result<()> {
    engine.write(move |tx| tx.table(TABLE)?.insert(&key.to_be_bytes(), b"value").map(|_| ())).await
}

async fn keys(engine: &Engine) -> Vec<u32> {
    let read = engine.read(|tx| {
        tx.table(TABLE)?
            .range(&Span::all())?
            .map(|row| Ok(u32::from_be_bytes(row?.0.value().try_into().unwrap())))
            .collect::<Result<Vec<_>>>()
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_and_spares_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    // The first write holds the writer until all others wait, so that they share one commit.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let wait = Mutex::new(wait);
    let first = engine.write(move |_| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            wait.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let others = (0..20u32).map(|key| {
        engine.write(move |tx| {
            let mut table = tx.table(TABLE)?;
            table.insert(&key.to_be_bytes(), b"value")?;
            match key % 5 {
                3 => Err(Error::invalid_input("refused after a change")),
                4 => panic!("a panic after a change"),
                _ => Ok(()),
            }
        })
    });
    let release = async {
        tokio::task::yield_now().await;
        go.send(()).unwrap();
    };
    let (first, others, ()) = futures::join!(first, futures::future::join_all(others), release);
    first.unwrap();
    let kinds: Vec<_> = others.into_iter().map(|result| result.map_err(|error| error.kind())).collect();
    for (key, result) in kinds.iter().enumerate() {
        let wanted = match key % 5 {
            3 => Err(ErrorKind::InvalidInput),
            4 => Err(ErrorKind::Corrupt),
            _ => Ok(()),
        };
        assert_eq!(*result, wanted, "{key}");
    }
    assert_eq!(keys(&engine).await, (0..20).filter(|key| key % 5 < 3).collect::<Vec<_>>());
    // It ran again after the failures in its group, so the writes did share one.
    assert!(runs.load(Ordering::SeqCst) > 1);
    put(&engine, 99).await.unwrap();
}

#[tokio::test]
async fn hooks_run_in_commit_order_and_see_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = (0..50u32).map(|key| {
        let (seen, reader) = (Arc::clone(&seen), Arc::clone(&engine.file));
        engine.write_then(
            move |tx| {
                let mut table = tx.table(TABLE)?;
                let place = table.len()?;
                table.insert(&key.to_be_bytes(), b"value")?;
                Ok(place)
            },
            move |place| {
                let there = read_now(&reader, &mut |tx: &ReadTx| {
                    Ok(tx.table(TABLE)?.get(&key.to_be_bytes())?.is_some())
                });
                assert!(there.unwrap());
                seen.lock().unwrap().push(*place);
            },
        )
    });
    let places = futures::future::try_join_all(writes).await.unwrap();
    assert_eq!(places.len(), 50);
    assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_dropped_caller_has_its_write_or_not_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    for key in 0..50 {
        let write = put(&engine, key);
        futures::pin_mut!(write);
        assert!(futures::poll!(&mut write).is_pending());
    }
    put(&engine, 100).await.unwrap();
    assert_eq!(keys(&engine).await, (0..50).chain([100]).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_folder_is_one_engine_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    let again = Engine::open(&folder.path().join("."), false, 1 << 20).unwrap();
    assert!(Arc::ptr_eq(&engine, &again));
    put(&engine, 1).await.unwrap();
    drop(again);
    for round in 2..20 {
        drop(engine_after_drop(&folder, round).await);
    }
    drop(engine);
    let engine = open(&folder);
    assert_eq!(keys(&engine).await, (1..20).collect::<Vec<_>>());
}

async fn engine_after_drop(folder: &TempDir, key: u32) -> Arc<Engine> {
    let engine = open(folder);
    put(&engine, key).await.unwrap();
    engine
}

#[tokio::test]
async fn a_folder_closed_a_moment_ago_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    for key in 0..20 {
        drop(engine_after_drop(&folder, key).await);
    }
    assert_eq!(keys(&open(&folder)).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn reopening_keeps_what_was_acknowledged_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    put(&engine, 1).await.unwrap();
    let generation = engine.generation();
    engine.file.reopen(generation).unwrap();
    engine.file.reopen(generation).unwrap();
    assert_eq!(engine.generation(), generation + 1);
    put(&engine, 2).await.unwrap();
    assert_eq!(keys(&engine).await, [1, 2]);
}

#[test]
fn works_outside_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder);
    futures::executor::block_on(async {
        put(&engine, 7).await.unwrap();
        assert_eq!(keys(&engine).await, [7]);
    });
}
