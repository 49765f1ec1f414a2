//! Commands, pipelines and scripts of the caller's own, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "a test fails by a panic"
)]

mod common;

use std::process::ExitCode;

use common::proxy::Proxy;
use common::{Db, on_both, test};
use store_core::ErrorKind;
use store_redis::{RedisCommand, RedisScript, RedisValue};

fn main() -> ExitCode {
    common::run([
        on_both("commands_have_typed_answers", commands_have_typed_answers),
        on_both("a_pipeline_answers_each_command", a_pipeline_answers_each_command),
        on_both("what_harms_a_shared_connection_is_refused", what_harms_a_shared_connection_is_refused),
        on_both("scripts_are_known_again_after_a_flush", scripts_are_known_again_after_a_flush),
        vec![
            test("a_known_script_is_one_round_trip", a_known_script_is_one_round_trip),
            test("a_cut_pipeline_says_so_for_each_command", a_cut_pipeline_says_so_for_each_command),
        ],
    ])
}

async fn commands_have_typed_answers(db: Db) {
    let set =
        RedisCommand::write("HSET").key("h").arg("a").arg(1).arg("b").arg(2.5).arg("c").arg("x\0\r\n*{}");
    assert_eq!(db.store.command(set).await.unwrap(), RedisValue::Integer(3));
    let all = db.store.command(RedisCommand::read("HGETALL").key("h")).await.unwrap();
    let all: std::collections::BTreeMap<String, String> = all.to().unwrap();
    assert_eq!(all.into_values().collect::<Vec<_>>(), ["1", "2.5", "x\0\r\n*{}"]);
    assert!(db.store.command(RedisCommand::read("GET").key("none")).await.unwrap().is_null());
    let error = db.store.command(RedisCommand::read("GET").key("h")).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Some("GET")));
    assert_eq!(db.keys().await, [("h".to_owned(), -1)]);
}

async fn a_pipeline_answers_each_command(db: Db) {
    let big = "x".repeat(300_000);
    let mut pipeline = db.store.pipeline();
    for i in 0..2_500 {
        pipeline.add(RedisCommand::write("SET").key(format!("k{i}")).arg(i));
        if i % 100 == 0 {
            pipeline.add(RedisCommand::write("INCR").key("text"));
            pipeline.add(RedisCommand::write("SET").key("text").arg(big.as_str()));
        }
    }
    assert_eq!(pipeline.len(), 2_550);
    let answers = pipeline.send().await.unwrap();
    assert_eq!(answers.len(), 2_550);
    // The first INCR finds nothing, all others a text.
    let failed: Vec<usize> = (0..answers.len()).filter(|i| answers[*i].is_err()).collect();
    assert_eq!(failed, (1..25).map(|i| i * 102 + 1).collect::<Vec<_>>());
    let mut pipeline = db.store.pipeline();
    for i in 0..2_500 {
        pipeline.add(RedisCommand::read("GET").key(format!("k{i}")));
    }
    for (i, answer) in pipeline.send().await.unwrap().into_iter().enumerate() {
        assert_eq!(answer.unwrap().to::<usize>().unwrap(), i);
    }
    assert!(db.store.pipeline().send().await.unwrap().is_empty());
}

async fn what_harms_a_shared_connection_is_refused(db: Db) {
    for name in ["MULTI", "subscribe", "BLPOP", "SELECT", "CLIENT", "GET x", ""] {
        let error = db.store.command(RedisCommand::write(name).arg("x")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
    }
    let read = RedisCommand::write("XREAD").arg("block").arg(0).arg("STREAMS").key("s").arg("$");
    assert_eq!(db.store.command(read).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // Nothing of a pipeline is sent when one of its commands can not be.
    let mut pipeline = db.store.pipeline();
    pipeline.add(RedisCommand::write("SET").key("a").arg(1)).add(RedisCommand::write("MULTI"));
    assert_eq!(pipeline.send().await.unwrap_err().key(), Some("1"));
    assert!(db.store.command(RedisCommand::read("GET").key("a")).await.unwrap().is_null());
}

async fn scripts_are_known_again_after_a_flush(db: Db) {
    // Its source is this test's own, so that the first call meets a server that does not know it.
    let source = format!("return {{redis.call('INCRBY', KEYS[1], ARGV[1]), '{}', false}}", db.name);
    let script = RedisScript::new(source);
    for turn in 1..=3_i64 {
        let answer: (i64, String, Option<String>) =
            script.on(&db.store).key("{a}n").arg(2).run().await.unwrap().to().unwrap();
        assert_eq!(answer, (2 * turn, db.name.clone(), None));
    }
    let error =
        RedisScript::new("return redis.error_reply('ERR no tea')").on(&db.store).run().await.unwrap_err();
    assert!(error.to_string().contains("no tea"), "{error}");
}

async fn a_known_script_is_one_round_trip(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let script = RedisScript::new(format!("return '{}'", db.name));
    let run = async || script.on(&store).key("k").run().await.unwrap();
    run().await;
    proxy.forget();
    for _ in 0..10 {
        run().await;
    }
    assert_eq!((proxy.count("EVALSHA"), proxy.count("EVAL")), (10, 0));
}

async fn a_cut_pipeline_says_so_for_each_command(db: Db) {
    let proxy = Proxy::start(&db.url).await;
    let store = db.through(&proxy.url()).await;
    let mut pipeline = store.pipeline();
    for i in 0..3_000 {
        pipeline.add(RedisCommand::write("SET").key(format!("k{i}")).arg("x".repeat(1_000)));
    }
    // In the midst of the second of three parts.
    proxy.cut_after(1_600_000);
    let answers = pipeline.send().await.unwrap();
    assert_eq!(answers.len(), 3_000);
    assert!(answers[0].is_ok());
    let error = answers.last().unwrap().as_ref().unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("not sent"), "{error}");
}
