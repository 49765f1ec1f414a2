//! A slot of a cluster moves to another node while the store is used.

use std::time::Duration;

use libtest_mimic::Failed;
use nodestore_integration_tests::redis::{Layout, Options, Servers, ask};
use store_core::{Backend as _, KvStoreExt as _};

use crate::common::{Done, Test, block_on, value};
use crate::open;
use crate::writers::{SESSIONS, Writers};

pub(crate) const TRIALS: &[(&str, Test)] =
    &[("fault_moved_slot_is_followed", moved), ("fault_slots_move_while_many_write", moved_while_written)];

const TIMEOUT: Duration = Duration::from_secs(10);

/// Calls are answered before, in the middle of and after the move, by a store that knew only the old place.
fn moved() -> Done {
    let servers = Servers::start(Options { layout: Layout::Cluster, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let kv = store.kv()?;
        kv.put("kept", "before", value(1)).await?;
        let slot = Slot::of(&servers, "faults:kept")?;
        let to = slot.elsewhere(&servers)?;

        slot.begin(to)?;
        // The key is still there.
        kv.put("kept", "beginning", value(2)).await?;
        slot.carry(to)?;
        // The old place sends on to the new one, which wants to be asked so.
        kv.put("kept", "carried", value(3)).await?;
        if kv.get("kept", "before").await? != Some(value(1)) {
            return Err("what moves can not be read".into());
        }
        slot.end(&servers, to)?;
        kv.put("kept", "moved", value(4)).await?;
        for (key, number) in [("before", 1), ("beginning", 2), ("carried", 3), ("moved", 4)] {
            if kv.get("kept", key).await? != Some(value(number)) {
                return Err(format!("{key:?} is gone").into());
            }
        }
        Ok(())
    })
}

/// The slots of two histories move again and again.
fn moved_while_written() -> Done {
    let servers = Servers::start(Options { layout: Layout::Cluster, ..Options::default() })?;
    block_on(async {
        let store = open(servers.url()?, TIMEOUT).await?;
        let chat = store.chat()?;
        let writers = Writers::start(store);
        for session in SESSIONS {
            while chat.messages(session, Some(1)).await?.is_empty() {
                writers.go_on(1).await;
            }
        }
        for round in 1..=5 {
            writers.reach(round * 300).await;
            for session in SESSIONS {
                let slot = Slot::of(&servers, &format!("faults:chat:{session}"))?;
                let to = slot.elsewhere(&servers)?;
                slot.begin(to)?;
                writers.go_on(20).await;
                slot.carry(to)?;
                writers.go_on(20).await;
                slot.end(&servers, to)?;
            }
        }
        let outcome = writers.stop().await?;
        outcome.nothing_lost().await?;
        outcome.tell("two slots moved five times");
        Ok(())
    })
}

/// A slot, and the port of the node that holds it.
struct Slot {
    number: String,
    from: u16,
}

impl Slot {
    fn of(servers: &Servers, key: &str) -> Result<Self, Failed> {
        let first = *servers.ports().first().ok_or("no node")?;
        let number = ask(first, &["CLUSTER", "KEYSLOT", key])?.texts().concat();
        for port in servers.ports() {
            let keys = ask(*port, &["CLUSTER", "GETKEYSINSLOT", &number, "1000"])?;
            if keys.texts().contains(&key) {
                return Ok(Self { number, from: *port });
            }
        }
        Err(format!("no node holds {key}").into())
    }

    fn elsewhere(&self, servers: &Servers) -> Result<u16, Failed> {
        let other = servers.ports().iter().find(|port| **port != self.from);
        Ok(*other.ok_or("one node is alone")?)
    }

    /// From now on the old place answers for keys that it has, and sends to the new one for others.
    fn begin(&self, to: u16) -> Done {
        ask(to, &["CLUSTER", "SETSLOT", &self.number, "IMPORTING", &id(self.from)?])?;
        ask(self.from, &["CLUSTER", "SETSLOT", &self.number, "MIGRATING", &id(to)?])?;
        Ok(())
    }

    /// Carries its keys.
    fn carry(&self, to: u16) -> Done {
        loop {
            let keys = ask(self.from, &["CLUSTER", "GETKEYSINSLOT", &self.number, "100"])?;
            let keys = keys.texts();
            if keys.is_empty() {
                return Ok(());
            }
            let port = to.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys);
            ask(self.from, &words)?;
        }
    }

    /// Tells every node where it is now, the new place first.
    fn end(&self, servers: &Servers, to: u16) -> Done {
        let new = id(to)?;
        let others = servers.ports().iter().copied().filter(|port| *port != to);
        for port in [to].into_iter().chain(others) {
            ask(port, &["CLUSTER", "SETSLOT", &self.number, "NODE", &new])?;
        }
        Ok(())
    }
}

fn id(port: u16) -> Result<String, Failed> {
    Ok(ask(port, &["CLUSTER", "MYID"])?.texts().concat())
}
