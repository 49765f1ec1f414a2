//! Another client changes the schema under a store that has prepared its statements.

use std::time::Duration;

use futures::TryStreamExt as _;
use nodestore_integration_tests::Missing;
use nodestore_integration_tests::cassandra::ask;
use store_cassandra::CassandraBackend;
use store_core::{
    Backend as _, ChatMessage, ErrorKind, KvStoreExt as _, PutMode, PutOptions, ScanOptions, Update,
};

use crate::common::{Done, Test, block_on, expect, value};
use crate::{config, namespace, open, server};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_no_keyspace", no_keyspace),
    ("fault_no_table", no_table),
    ("fault_table_dropped_by_another", table_dropped),
    ("fault_table_dropped_and_made_again_by_another", table_made_again),
    ("fault_column_added_by_another", column_added),
    ("fault_column_dropped_by_another", column_dropped),
    ("fault_keyspace_dropped_by_another", keyspace_dropped),
];

const TIMEOUT: Duration = Duration::from_secs(30);

/// What another client does.
fn another(statement: &str) -> Done {
    let port = server()?.rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse().ok());
    let port = port.ok_or_else(|| Missing("the server's URL has no port".to_owned()))?;
    tokio::task::block_in_place(|| ask(port, statement))?;
    Ok(())
}

async fn fresh(keyspace: &str, name: &str, create: bool) -> Result<CassandraBackend, store_core::Error> {
    let config = config(server().map_err(|error| store_core::Error::config(error.0))?, name, TIMEOUT)?;
    CassandraBackend::connect(config.with_keyspace(keyspace).with_create(create)).await
}

/// Uses every statement on key-values that there is.
async fn uses(store: &CassandraBackend, number: u64) -> Done {
    let kv = store.kv()?;
    let insert = PutOptions::default().with_mode(PutMode::Insert);
    let key = format!("new {number}");
    kv.put("kept", "key", value(number)).await?;
    kv.put_many(
        "kept",
        vec![("one".to_owned(), value(1)), ("two".to_owned(), value(2))],
        PutOptions::default(),
    )
    .await?;
    kv.put_many("kept", vec![(key.clone(), value(number))], insert).await?;
    kv.update("kept", "key", |_| Ok(Update::Put(value(number + 1)))).await?;
    let all: Vec<_> = kv.scan("kept", ScanOptions::default()).try_collect().await?;
    let there = kv.get("kept", "key").await?;
    if there != Some(value(number + 1)) || !all.contains(&(key.clone(), value(number))) {
        return Err(format!("{there:?}, {all:?}").into());
    }
    kv.delete("kept", &key).await?;
    Ok(())
}

/// All of it is refused so.
async fn refused(store: &CassandraBackend, kind: ErrorKind, next_step: &str) -> Done {
    let (kv, chat) = (store.kv()?, store.chat()?);
    let answers = [
        kv.get("kept", "key").await.map(drop),
        kv.put("kept", "key", value(9)).await,
        kv.update("kept", "key", |_| Ok(Update::Put(value(9)))).await.map(drop),
        kv.delete("kept", "key").await.map(drop),
        kv.scan("kept", ScanOptions::default()).try_collect::<Vec<_>>().await.map(drop),
        chat.append("session", vec![ChatMessage::user("hello")]).await,
        chat.messages("session", None).await.map(drop),
    ];
    for answer in answers {
        let Err(error) = answer else { return Err("it is answered".into()) };
        expect(&error, kind, next_step)?;
    }
    Ok(())
}

fn no_keyspace() -> Done {
    block_on(async {
        let store = fresh("nobodys", &namespace(), false).await?;
        refused(&store, ErrorKind::NotFound, "store.create=true").await?;
        let findings = store.diagnose().await?.findings;
        if !findings.iter().any(|finding| finding.subject == "keyspace") {
            return Err(format!("{findings:?}").into());
        }
        Ok(())
    })
}

fn no_table() -> Done {
    block_on(async {
        let name = namespace();
        // The keyspace is there.
        uses(&open(server()?, &namespace(), TIMEOUT).await?, 1).await?;
        refused(&fresh("nodestore", &name, false).await?, ErrorKind::NotFound, "store.create=true").await
    })
}

fn table_dropped() -> Done {
    block_on(async {
        let name = namespace();
        let (makes, only_uses) =
            (fresh("nodestore", &name, true).await?, fresh("nodestore", &name, false).await?);
        makes.chat()?.append("session", vec![ChatMessage::user("hello")]).await?;
        uses(&makes, 1).await?;
        uses(&only_uses, 2).await?;
        only_uses.chat()?.append("session", vec![ChatMessage::user("hello")]).await?;
        for table in ["key_values", "chat_heads", "chat_messages", "chat_sessions"] {
            another(&format!("DROP TABLE nodestore.{name}_{table}"))?;
        }
        // Its statements are prepared, and its tables were there.
        refused(&only_uses, ErrorKind::NotFound, "store.create=true").await?;
        uses(&makes, 3).await?;
        uses(&only_uses, 4).await
    })
}

fn table_made_again() -> Done {
    block_on(async {
        let name = namespace();
        let (one, other) = (fresh("nodestore", &name, true).await?, fresh("nodestore", &name, true).await?);
        uses(&one, 1).await?;
        another(&format!("DROP TABLE nodestore.{name}_key_values"))?;
        uses(&other, 2).await?;
        uses(&one, 3).await?;
        uses(&other, 4).await
    })
}

fn column_added() -> Done {
    block_on(async {
        let name = namespace();
        let store = fresh("nodestore", &name, true).await?;
        uses(&store, 1).await?;
        another(&format!("ALTER TABLE nodestore.{name}_key_values ADD (aa text, zz int)"))?;
        uses(&store, 2).await?;
        another(&format!(
            "UPDATE nodestore.{name}_key_values SET aa = 'theirs', zz = 7 WHERE collection = 'kept' AND bucket = 1 AND key = 'alien'"
        ))?;
        // A row without a value is none of ours.
        uses(&store, 3).await?;
        if store.kv()?.get("kept", "alien").await?.is_some() {
            return Err("a row without a value is a value".into());
        }
        another(&format!("ALTER TABLE nodestore.{name}_key_values DROP aa"))?;
        uses(&store, 4).await
    })
}

fn column_dropped() -> Done {
    block_on(async {
        let name = namespace();
        let store = fresh("nodestore", &name, true).await?;
        uses(&store, 1).await?;
        another(&format!("ALTER TABLE nodestore.{name}_key_values DROP mark"))?;
        let kv = store.kv()?;
        // What needs it says so; the rest goes on.
        let Err(error) = kv.update("kept", "key", |_| Ok(Update::Put(value(9)))).await else {
            return Err("it writes to a column that is gone".into());
        };
        expect(&error, ErrorKind::InvalidInput, "ADD mark blob")?;
        kv.put("kept", "key", value(5)).await?;
        if kv.get("kept", "key").await? != Some(value(5)) {
            return Err("the value is lost".into());
        }
        another(&format!("ALTER TABLE nodestore.{name}_key_values ADD mark blob"))?;
        uses(&store, 6).await?;

        let (chat, hello) = (store.chat()?, || vec![ChatMessage::user("hello")]);
        chat.append("session", hello()).await?;
        for (table, column) in [("chat_heads", "marks blob"), ("chat_messages", "marks blob static")] {
            another(&format!("ALTER TABLE nodestore.{name}_{table} DROP marks"))?;
            let Err(error) = chat.replace("session", hello()).await else {
                return Err("a history is replaced without marks".into());
            };
            expect(&error, ErrorKind::InvalidInput, &format!("ADD {column}"))?;
            another(&format!("ALTER TABLE nodestore.{name}_{table} ADD {column}"))?;
            chat.replace("session", hello()).await?;
        }
        Ok(())
    })
}

fn keyspace_dropped() -> Done {
    block_on(async {
        let (name, keyspace) = (namespace(), format!("k{}", namespace()));
        let (makes, only_uses) =
            (fresh(&keyspace, &name, true).await?, fresh(&keyspace, &name, false).await?);
        uses(&makes, 1).await?;
        uses(&only_uses, 2).await?;
        another(&format!("DROP KEYSPACE {keyspace}"))?;
        refused(&only_uses, ErrorKind::NotFound, "store.create=true").await?;
        uses(&makes, 3).await?;
        another(&format!("DROP KEYSPACE {keyspace}"))
    })
}
