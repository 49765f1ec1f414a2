//! A server that answers, and can not or will not do what it is asked for.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodestore_integration_tests::redis::{Layout, Options, Servers, ask};
use store_core::{Backend as _, ChatMessage, ErrorKind, JsonObject, KvStoreExt as _, Update};
use store_redis::RedisBackend;

use crate::common::{Done, Test, block_on, expect, value};
use crate::open;
use crate::outages::heals;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_full_memory", full_memory),
    ("fault_replica_named_directly", replica_named_directly),
    ("fault_server_that_loads_its_data", loading),
    ("fault_server_that_can_not_save", can_not_save),
    ("fault_protected_mode", protected_mode),
];

const TIMEOUT: Duration = Duration::from_secs(3);

fn set(port: u16, name: &str, value: &str) -> Done {
    ask(port, &["CONFIG", "SET", name, value])?;
    Ok(())
}

/// Writes by a command and by a script are refused so, and what was there can be read.
async fn refuses_writes(store: &RedisBackend, kind: ErrorKind, next_step: &str) -> Done {
    let (kv, chat) = (store.kv()?, store.chat()?);
    let writes = [
        kv.put("kept", "refused", value(2)).await,
        kv.update("kept", "refused", |_| Ok(Update::Put(value(2)))).await.map(|_| ()),
        chat.append("refused", vec![ChatMessage::user("hello")]).await,
    ];
    for write in writes {
        let Err(error) = write else { return Err("it is acknowledged".into()) };
        expect(&error, kind, next_step)?;
        if error.is_retryable() != (kind == ErrorKind::Unavailable) {
            return Err(format!("a retry helps, or not: {error:?}").into());
        }
    }
    if kv.get("kept", "before").await? != Some(value(1)) {
        return Err("what was written before can not be read".into());
    }
    if kv.get("kept", "refused").await?.is_some() || !chat.messages("refused", None).await?.is_empty() {
        return Err("what was refused was written".into());
    }
    Ok(())
}

/// What `doctor` says about this.
pub(crate) async fn is_diagnosed(store: &RedisBackend, words: &str) -> Done {
    let findings = store.diagnose().await?.findings;
    if findings.iter().any(|finding| finding.message.contains(words)) {
        return Ok(());
    }
    Err(format!("nothing about {words:?} in {findings:?}").into())
}

fn full_memory() -> Done {
    let servers = Servers::start(Options::default())?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        kv.put("kept", "needless", value(1)).await?;
        set(port, "maxmemory", "1")?;
        refuses_writes(&store, ErrorKind::LimitExceeded, "maxmemory").await?;
        is_diagnosed(&store, "are used").await?;
        // This is how to get out of it.
        kv.delete("kept", "needless").await?;
        set(port, "maxmemory", "0")?;
        Ok(kv.put("kept", "after", value(3)).await?)
    })
}

fn replica_named_directly() -> Done {
    let servers = Servers::start(Options { layout: Layout::Sentinel, ..Options::default() })?;
    let replica = *servers.ports().get(1).ok_or("no replica")?;
    block_on(async {
        open(servers.url()?, TIMEOUT).await?.kv()?.put("kept", "before", value(1)).await?;
        let store = open(&format!("redis://127.0.0.1:{replica}"), TIMEOUT).await?;
        while store.kv()?.get("kept", "before").await?.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        refuses_writes(&store, ErrorKind::Unavailable, "a replica").await?;
        is_diagnosed(&store, "takes no writes").await
    })
}

/// While a server reads its data from disk, every call says so and that a retry helps.
fn loading() -> Done {
    let servers = Arc::new(Servers::start(Options::default())?);
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    let url = servers.url()?.to_owned();
    block_on(async {
        // Where there is a password, the driver begins with it, which a server takes also while it loads.
        let store = open(&url.replace("redis://", "redis://default:any@"), TIMEOUT).await?;
        let kv = store.kv()?;
        let long = JsonObject::from_iter([("text".to_owned(), "x".repeat(2_000).into())]);
        for number in 0..300 {
            kv.put(&format!("kept-{number}"), "before", long.clone()).await?;
        }
        set(port, "rdbcompression", "no")?;
        ask(port, &["SAVE"])?;
        // A tenth of a second for each key, with a look at its clients between them.
        set(port, "key-load-delay", "100000")?;
        set(port, "loading-process-events-interval-bytes", "1024")?;
        ask(port, &["CONFIG", "REWRITE"])?;
        servers.kill(port)?;
        let back = Arc::clone(&servers);
        let restart = tokio::task::spawn_blocking(move || back.restart(port));
        let (mut called, mut opened) = (None, None);
        while !restart.is_finished() && (called.is_none() || opened.is_none()) {
            let answers = [kv.get("kept-1", "before").await.err(), open(&url, TIMEOUT).await.err()];
            for (error, said) in answers.into_iter().zip([&mut called, &mut opened]) {
                match error {
                    Some(error) if error.to_string().contains("reads its data from disk") => {
                        *said = Some(error);
                    }
                    Some(error) if !error.is_retryable() => {
                        return Err(format!("{error:?} is not retryable").into());
                    }
                    _ => {}
                }
            }
        }
        set(port, "key-load-delay", "0")?;
        restart.await??;
        for said in [called, opened] {
            let said = said.ok_or("nobody was told that it loads")?;
            expect(&said, ErrorKind::Unavailable, "repeat the call")?;
        }
        heals(&store).await?;
        match kv.get("kept-299", "before").await? {
            Some(_) => Ok(()),
            None => Err("what was saved is gone".into()),
        }
    })
}

fn can_not_save() -> Done {
    let servers = Servers::start(Options::default())?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        store.kv()?.put("kept", "before", value(1)).await?;
        // Nothing can be written over a folder.
        let folder = ask(port, &["CONFIG", "GET", "dir"])?;
        let folder = PathBuf::from(folder.texts().get(1).ok_or("no folder")?).join("dump.rdb");
        fs::create_dir(&folder)?;
        set(port, "save", "3600 1")?;
        save(port, "err").await?;
        refuses_writes(&store, ErrorKind::Unavailable, "can not save").await?;
        is_diagnosed(&store, "could not write its data").await?;
        fs::remove_dir(&folder)?;
        save(port, "ok").await?;
        Ok(store.kv()?.put("kept", "after", value(3)).await?)
    })
}

/// Has the server save, until it has come to this.
async fn save(port: u16, status: &str) -> Done {
    ask(port, &["BGSAVE"])?;
    loop {
        let info = ask(port, &["INFO", "persistence"])?.texts().concat();
        let is = |line: &str| info.lines().any(|other| other == line);
        if is("rdb_bgsave_in_progress:0") && is(&format!("rdb_last_bgsave_status:{status}")) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server without any password talks to its own machine only, by its address 127.0.0.1.
fn protected_mode() -> Done {
    let servers = Servers::start(Options::default())?;
    let [port] = *servers.ports() else { return Err("one server was asked for".into()) };
    // Nothing is sent: it only looks which way it would go.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let Ok(address) = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) else {
        println!("not tried: this machine has no other address than 127.0.0.1");
        return Ok(());
    };
    set(port, "bind", &format!("127.0.0.1 {}", address.ip()))?;
    block_on(async {
        match open(&format!("redis://{}:{port}", address.ip()), TIMEOUT).await {
            Ok(_) => Err("it was let in".into()),
            Err(error) => expect(&error, ErrorKind::Unauthorized, "protected mode"),
        }
    })
}
