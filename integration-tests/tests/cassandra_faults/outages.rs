//! Nodes that freeze, die and come back.

use std::time::Duration;

use nodestore_integration_tests::cassandra::ask;
use store_cassandra::{CassandraBackend, CassandraConsistency};
use store_core::{Backend as _, ChatMessage, ErrorKind, KvStoreExt as _, Update};

use crate::common::{Done, Test, block_on, expect, value};
use crate::failover::all_used;
use crate::{Ring, config, namespace, open, ring};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_frozen_ring_times_out_and_heals", frozen_ring),
    ("fault_frozen_node_is_passed_by", frozen_node),
    ("fault_frozen_node_is_not_waited_for_when_opening", frozen_while_opening),
    ("fault_schema_that_a_node_does_not_learn", disagreement),
    ("fault_dead_nodes", dead_nodes),
];

/// The machine may be busy: what is tested is that calls go elsewhere before their time is over.
const TIMEOUT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(3);

/// So many that each node is asked first for some.
fn keys() -> impl Iterator<Item = String> {
    (0..8).map(|number| format!("key {number}"))
}

/// Every node took the connection and says nothing.
fn frozen_ring() -> Done {
    let ring = ring()?;
    block_on(async {
        let store = open(ring.url()?, &namespace(), SHORT).await?;
        let (kv, chat) = (store.kv()?, store.chat()?);
        heals(&store).await?;
        chat.append("session", vec![ChatMessage::user("before")]).await?;
        freeze(&ring)?;
        let answers = [
            kv.get("kept", "after").await.map(drop),
            kv.put("kept", "frozen", value(2)).await,
            kv.update("kept", "after", |_| Ok(Update::Put(value(4)))).await.map(drop),
            chat.append("session", vec![ChatMessage::user("frozen")]).await,
        ];
        thaw(&ring)?;
        for answer in answers {
            let Err(error) = answer else { return Err("frozen nodes answer".into()) };
            expect(&error, ErrorKind::Timeout, "no answer within")?;
            if !error.is_retryable() {
                return Err(format!("a timeout is no reason to give up: {error:?}").into());
            }
        }
        // The same store, the same connections: whatever they hold, it answers again.
        heals(&store).await?;
        all_used(&ring, &store).await?;
        let texts: Vec<_> =
            chat.messages("session", None).await?.iter().filter_map(ChatMessage::text).collect();
        if texts.first().is_none_or(|text| text != "before") || texts.len() > 2 {
            return Err(format!("{texts:?}").into());
        }
        Ok(())
    })
}

fn freeze(ring: &Ring) -> Done {
    Ok(ring.ports().iter().try_for_each(|port| ring.freeze(*port))?)
}

fn thaw(ring: &Ring) -> Done {
    Ok(ring.ports().iter().try_for_each(|port| ring.thaw(*port))?)
}

/// The others take it for alive, and so does the driver: what it is asked for is asked of another, before the time is
/// over.
fn frozen_node() -> Done {
    let ring = ring()?;
    let frozen = *ring.ports().last().ok_or("no node")?;
    block_on(async {
        for speculative in [None, Some(Duration::from_millis(50))] {
            let mut config = config(ring.url()?, &namespace(), TIMEOUT)?;
            config.connection.speculative_delay = speculative;
            let store = CassandraBackend::connect(config).await?;
            // Its tables are there, too.
            serves(&store).await?;
            all_used(&ring, &store).await?;
            ring.freeze(frozen)?;
            let served = serves(&store).await;
            ring.thaw(frozen)?;
            served?;
            all_used(&ring, &store).await?;
        }
        Ok(())
    })
}

/// Whether a store does all it is asked for.
async fn serves(store: &CassandraBackend) -> Done {
    let (kv, chat) = (store.kv()?, store.chat()?);
    for key in keys() {
        kv.put("kept", &key, value(2)).await?;
        if kv.get("kept", &key).await? != Some(value(2)) {
            return Err(format!("{key} is lost").into());
        }
        kv.update("kept", &key, |_| Ok(Update::Put(value(3)))).await?;
        chat.append(&key, vec![ChatMessage::user("hello")]).await?;
        let messages = chat.messages(&key, None).await?;
        if kv.get("kept", &key).await? != Some(value(3)) || messages.is_empty() {
            return Err(format!("{key} is not what it was changed to").into());
        }
    }
    Ok(())
}

/// It is the first of the known nodes, and takes the connection.
fn frozen_while_opening() -> Done {
    let ring = ring()?;
    let frozen = *ring.ports().first().ok_or("no node")?;
    block_on(async {
        ring.freeze(frozen)?;
        let opened = open(ring.url()?, &namespace(), TIMEOUT).await;
        let pinged = match &opened {
            Ok(store) => store.ping().await,
            Err(_) => Ok(()),
        };
        ring.thaw(frozen)?;
        pinged?;
        all_used(&ring, &opened?).await
    })
}

/// A node that the others take for alive does not learn of a new table.
fn disagreement() -> Done {
    let ring = ring()?;
    let frozen = *ring.ports().last().ok_or("no node")?;
    block_on(async {
        let name = namespace();
        let store = open(ring.url()?, &name, SHORT).await?;
        // The keyspace is there, the tables of chats are not.
        heals(&store).await?;
        all_used(&ring, &store).await?;
        ring.freeze(frozen)?;
        // Until it is passed by.
        for _ in 0..6 {
            store.ping().await?;
        }
        let made = store.chat()?.append("session", vec![ChatMessage::user("hello")]).await;
        ring.thaw(frozen)?;
        let Err(error) = made else { return Err("a table is used that a node does not know".into()) };
        expect(&error, ErrorKind::Unavailable, "describecluster")?;
        while let Err(error) = store.chat()?.append("session", vec![ChatMessage::user("hello")]).await {
            if !error.is_retryable() {
                return Err(format!("{error:?} is not retryable").into());
            }
        }
        all_used(&ring, &store).await
    })
}

/// Two of three can do all but what needs all; one can not make a majority.
fn dead_nodes() -> Done {
    let ring = ring()?;
    let [first, second, third] = *ring.ports() else { return Err("three nodes were asked for".into()) };
    block_on(async {
        let name = namespace();
        let store = open(ring.url()?, &name, TIMEOUT).await?;
        ring.kill(first)?;
        // Tables are made while it is away.
        serves(&store).await?;

        ring.kill(second)?;
        let error = loop {
            // Until the last one knows that it is alone, it waits for the other.
            match store.kv()?.put("kept", "alone", value(2)).await {
                Ok(()) => return Err("one of three acknowledges for a majority".into()),
                Err(error) if error.kind() == ErrorKind::Timeout => {}
                Err(error) => break error,
            }
        };
        expect(&error, ErrorKind::Unavailable, "too few replicas are up for LocalQuorum: 1 of 2")?;
        if !error.is_retryable() {
            return Err(format!("it passes by: {error:?}").into());
        }
        // Whoever asks for less is served.
        let less = config(&format!("cassandra://127.0.0.1:{third}"), &name, TIMEOUT)?
            .with_read_consistency(CassandraConsistency::One)
            .with_write_consistency(CassandraConsistency::One);
        let less = CassandraBackend::connect(less).await?;
        less.kv()?.put("kept", "one", value(1)).await?;
        if less.kv()?.get("kept", "one").await? != Some(value(1)) {
            return Err("what one node was given is gone".into());
        }

        for port in [first, second] {
            tokio::task::block_in_place(|| ring.restart(port))?;
        }
        heals(&store).await?;
        all_used(&ring, &store).await?;
        let find = format!(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'nodestore' AND table_name = \
             '{name}_chat_messages'"
        );
        while tokio::task::block_in_place(|| ask(first, &find))?.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        serves(&open(ring.url()?, &name, TIMEOUT).await?).await
    })
}

/// Calls until one succeeds; until then all may say only that it is worth a retry.
pub(crate) async fn heals(store: &CassandraBackend) -> Done {
    loop {
        match store.kv()?.put("kept", "after", value(3)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(format!("{error:?} is not retryable").into()),
        }
    }
}
