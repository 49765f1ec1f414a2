//! Readings and watches that lose the primary half-way: nothing is left out, and nothing comes twice.

use std::ops::Range;
use std::time::Duration;

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use nodestore_integration_tests::mongodb::{Cluster, Options};
use store_core::{Cursor, Document as Read, Error, ErrorKind};
use store_mongodb::mongodb::Collection;
use store_mongodb::mongodb::bson::{Document, doc};
use store_mongodb::mongodb::error::{ErrorKind as Driver, WriteFailure};
use store_mongodb::{ChangeKind, MongoBackend, MongoChanges, MongoReader};

use crate::common::{Done, Test, block_on, expect};
use crate::failover::all_well;
use crate::open;
use crate::outages::primary;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_killed_primary_breaks_no_reading", killed_while_reading),
    ("fault_killed_primary_breaks_no_watch", killed_while_watching),
];

const TIMEOUT: Duration = Duration::from_secs(30);
const ARTICLES: &str = "articles";
/// Documents of a long reading, and how many a batch has: what is ahead of the reader is a small part.
const DOCUMENTS: i32 = 20_000;
const BATCH: u32 = 500;

fn collection(store: &MongoBackend) -> Result<Collection<Document>, Error> {
    Ok(store.client()?.database("faults").collection(ARTICLES))
}

fn article(number: i32) -> Document {
    doc! {"_id": number, "text": format!("article {number}")}
}

/// Reads on from here, up to so many; answers the place after the last one.
async fn read(
    rows: &mut store_core::BoxStream<(Read, Cursor)>,
    ids: &mut Vec<String>,
    most: usize,
) -> Result<Option<Cursor>, Error> {
    let mut place = None;
    while ids.len() < most
        && let Some((document, after)) = rows.try_next().await?
    {
        ids.push(document.id.as_str().to_owned());
        place = Some(after);
    }
    Ok(place)
}

/// Whether exactly these were read, in order.
fn complete(what: &str, ids: &[String], expected: Range<i32>) -> Done {
    let differs = ids.iter().zip(expected.clone()).find(|(id, number)| **id != number.to_string());
    if let Some((id, number)) = differs {
        return Err(format!("{what}: {id} in place of {number}").into());
    }
    match usize::try_from(expected.end - expected.start)? {
        count if count == ids.len() => Ok(()),
        count => Err(format!("{what}: {} of {count} documents", ids.len()).into()),
    }
}

fn killed_while_reading() -> Done {
    let cluster = Cluster::start(Options { members: 3, ..Options::default() })?;
    block_on(async {
        let url = format!("{}&serverSelectionTimeoutMS=5000", cluster.url()?);
        let store = open(&url, TIMEOUT).await?;
        let articles = collection(&store)?;
        for from in (0..DOCUMENTS).step_by(1000) {
            articles.insert_many((from..from + 1000).map(article)).await?;
        }
        let reader = store.reader(ARTICLES).in_database("faults").with_batch_size(BATCH);
        goes_on(&cluster, &store, &reader).await?;
        ends_where_it_can_go_on(&cluster, &store, &reader).await
    })
}

/// The primary dies, another one is elected: the reading goes on there by itself.
async fn goes_on(cluster: &Cluster, store: &MongoBackend, reader: &MongoReader) -> Done {
    let (mut rows, mut ids) = (reader.read_resumable(), Vec::new());
    read(&mut rows, &mut ids, 3000).await?;
    let port = primary(store).await?;
    cluster.kill(port)?;
    read(&mut rows, &mut ids, usize::MAX).await?;
    complete("after a failover", &ids, 0..DOCUMENTS)?;
    tokio::task::block_in_place(|| cluster.restart(port))?;
    whole(cluster, store).await;
    Ok(())
}

/// Two of three members die, and nobody can be elected: the error says where to begin anew.
async fn ends_where_it_can_go_on(cluster: &Cluster, store: &MongoBackend, reader: &MongoReader) -> Done {
    // Gives up sooner.
    let url = format!("{}&serverSelectionTimeoutMS=500", cluster.url()?);
    let impatient = open(&url, TIMEOUT).await?;
    let hasty = impatient.reader(ARTICLES).in_database("faults").with_batch_size(BATCH);
    let (mut rows, mut ids) = (hasty.read_resumable(), Vec::new());
    let mut place = read(&mut rows, &mut ids, 3000).await?;
    let first = primary(store).await?;
    let second = cluster.ports().iter().copied().find(|port| *port != first).ok_or("one member only")?;
    cluster.kill(first)?;
    cluster.kill(second)?;
    let error = loop {
        let before = ids.len();
        match read(&mut rows, &mut ids, before + 1).await {
            Ok(Some(after)) => place = Some(after),
            Ok(None) => return Err("the reading ends as if there were no more documents".into()),
            Err(error) => break error,
        }
    };
    let last = ids.last().ok_or("nothing was read")?;
    expect(&error, ErrorKind::Unavailable, &format!("the last document read was {last:?}"))?;
    if !error.is_retryable() || rows.try_next().await?.is_some() {
        return Err("a reading that ended gives nothing more, and may be begun again".into());
    }
    let given = i32::try_from(ids.len())?;
    complete("before the servers were gone", &ids, 0..given)?;
    for port in [first, second] {
        tokio::task::block_in_place(|| cluster.restart(port))?;
    }
    whole(cluster, store).await;
    let place = place.ok_or("no place was given")?;
    for rest in [reader.clone().after(place), reader.clone().after_id(last.parse::<i32>()?)] {
        let mut rest_ids = Vec::new();
        read(&mut rest.read_resumable(), &mut rest_ids, usize::MAX).await?;
        complete("the rest", &rest_ids, given..DOCUMENTS)?;
    }
    Ok(())
}

/// Waits until every member serves.
async fn whole(cluster: &Cluster, store: &MongoBackend) {
    while !all_well(store, cluster.ports().len()).await {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const CHANGES: i32 = 1500;

fn killed_while_watching() -> Done {
    let cluster = Cluster::start(Options { members: 3, ..Options::default() })?;
    block_on(async {
        let store = open(cluster.url()?, TIMEOUT).await?;
        let reader = store.reader(ARTICLES).in_database("faults");
        let mut changes = reader.watch().open().await?;
        let writer = tokio::spawn(write(collection(&store)?));
        // The stream goes on by itself.
        let mut ids = Vec::new();
        follow(&mut changes, &mut ids, 300).await?;
        let port = primary(&store).await?;
        cluster.kill(port)?;
        follow(&mut changes, &mut ids, 800).await?;
        tokio::task::block_in_place(|| cluster.restart(port))?;
        whole(&cluster, &store).await;
        // And another one from its token, while the primary it was made on is dead.
        let token = changes.token().cloned().ok_or("no token")?;
        drop(changes);
        let port = primary(&store).await?;
        cluster.kill(port)?;
        let mut changes = loop {
            match reader.watch().after(token.as_str().parse()?).open().await {
                Ok(changes) => break changes,
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error.into()),
            }
        };
        follow(&mut changes, &mut ids, usize::try_from(CHANGES)?).await?;
        writer.await??;
        complete("the watch", &ids, 0..CHANGES)
    })
}

/// Inserts one after the other, each until it is there.
async fn write(articles: Collection<Document>) -> Result<(), store_mongodb::mongodb::error::Error> {
    for number in 0..CHANGES {
        while let Err(error) = articles.insert_one(article(number)).await {
            match error.kind.as_ref() {
                // Made before its acknowledgement was lost.
                Driver::Write(WriteFailure::WriteError(refused)) if refused.code == 11_000 => break,
                Driver::Io(_) | Driver::ServerSelection { .. } | Driver::ConnectionPoolCleared { .. } => {}
                _ if error.contains_label("RetryableWriteError") => {}
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

/// Follows the changes until there are so many ids.
async fn follow(changes: &mut MongoChanges, ids: &mut Vec<String>, count: usize) -> Result<(), Failed> {
    while ids.len() < count {
        let change = changes.next().await?.ok_or("the watch ended")?;
        if change.kind != ChangeKind::Inserted || change.document.is_none() {
            return Err(format!("not an insert with its document: {change:?}").into());
        }
        ids.push(change.id.ok_or("a change of no document")?.into_string());
    }
    Ok(())
}
