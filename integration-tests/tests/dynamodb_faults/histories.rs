//! Histories while answers are lost and faults of every kind befall their writers.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Failed;
use store_core::{Backend as _, ChatMessage};
use store_dynamodb::DynamoDbBackend;

use crate::common::{Done, Test, block_on, soak};
use crate::proxied::{Pair, the_first_time};
use crate::proxy::{Fault, random};
use crate::random::seed;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_lost_answers_change_histories_once", lost_answers),
    ("fault_of_every_kind_leaves_appends_whole", whole_appends),
];

const TIMEOUT: Duration = Duration::from_secs(10);
const SESSION: &str = "told";

fn message(text: &str) -> ChatMessage {
    ChatMessage::user(text)
}

async fn texts(store: &DynamoDbBackend) -> Result<Vec<String>, Failed> {
    let messages = store.chat()?.messages(SESSION, None).await?;
    Ok(messages.iter().filter_map(ChatMessage::text).collect())
}

/// Each change is made, and its answer lost; the driver sends it again.
fn lost_answers() -> Done {
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        for fault in [Fault::DropAfter, Fault::ErrorAfter] {
            pair.proxy.set(the_first_time(fault));
            let chat = pair.store.chat()?;
            let mut wanted: Vec<String> = Vec::new();
            // One, some, and more than go in a transaction.
            for count in [1, 1, 5, 130] {
                let from = wanted.len();
                let texts: Vec<String> = (from..from + count).map(|number| number.to_string()).collect();
                chat.append(SESSION, texts.iter().map(|text| message(text)).collect()).await?;
                wanted.extend(texts);
            }
            let popped = chat.pop(SESSION).await?.and_then(|last| last.text());
            if popped != wanted.pop() {
                return Err(format!("{popped:?} is told to have been the last").into());
            }
            let removed = chat.remove_at(SESSION, 2).await?.and_then(|message| message.text());
            if removed != Some(wanted.remove(2)) {
                return Err(format!("{removed:?} is told to have been the third").into());
            }
            chat.insert_at(SESSION, 1, message("between")).await?;
            wanted.insert(1, "between".to_owned());
            let found = texts(&pair.direct).await?;
            if found != wanted {
                return Err(format!("after {fault:?}: {found:?}, not {wanted:?}").into());
            }
            chat.replace(SESSION, vec![message("all anew")]).await?;
            if texts(&pair.direct).await? != ["all anew"] {
                return Err("it is not replaced".into());
            }
            if !chat.delete(SESSION).await? {
                return Err("what was deleted is told to have been missing".into());
            }
            if !texts(&pair.direct).await?.is_empty() || pair.proxy.faults() == 0 {
                return Err(format!("something is left after {} faults", pair.proxy.faults()).into());
            }
        }
        Ok(())
    })
}

/// How many messages the appends have, in turn; from 99 on they do not fit in a transaction.
const COUNTS: [usize; 6] = [1, 3, 98, 99, 130, 2];
const WRITERS: usize = 3;

/// An append is there once and whole or not at all, to whoever looks at any time.
fn whole_appends() -> Done {
    let rounds = if soak() { 120 } else { 8 };
    block_on(async {
        let pair = Pair::start(TIMEOUT).await?;
        pair.store.chat()?.messages(SESSION, None).await?;
        pair.proxy.set(random(seed()?, 15));
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(append(pair.store.clone(), writer, rounds))).collect();
        let mut looks = 0;
        while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
            whole(&texts(&pair.direct).await?)?;
            looks += 1;
        }
        let mut acknowledged = Vec::new();
        for (number, writer) in writers.into_iter().enumerate() {
            acknowledged.extend(writer.await??.into_iter().map(|round| format!("{number} {round}")));
        }
        let there = whole(&texts(&pair.direct).await?)?;
        if let Some(lost) = acknowledged.iter().find(|name| !there.contains(name)) {
            return Err(format!("{lost} was acknowledged and is not there").into());
        }
        println!(
            "{} appends acknowledged and {} there, looked at {looks} times, while there were {}",
            acknowledged.len(),
            there.len(),
            pair.proxy
        );
        if acknowledged.is_empty() { Err("nothing was acknowledged".into()) } else { Ok(()) }
    })
}

/// Appends in rounds; answers those that were acknowledged.
async fn append(store: DynamoDbBackend, writer: usize, rounds: usize) -> Result<Vec<usize>, Failed> {
    let mut acknowledged = Vec::new();
    for (round, count) in (0..rounds).zip(COUNTS.into_iter().cycle().skip(writer)) {
        let messages =
            (0..count).map(|place| message(&format!("{writer} {round}/{place}/{count}"))).collect();
        match store.chat()?.append(SESSION, messages).await {
            Ok(()) => acknowledged.push(round),
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(acknowledged)
}

/// The appends that are there, if each is whole, in order, and there once.
fn whole(texts: &[String]) -> Result<Vec<String>, Failed> {
    let mut appends: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for text in texts {
        let parts: Vec<&str> = text.split('/').collect();
        let [name, place, count] = *parts else { return Err(format!("nobody wrote {text:?}").into()) };
        appends.entry(name.to_owned()).or_default().push(place.parse()?);
        counts.insert(name.to_owned(), count.parse::<usize>()?);
    }
    for (name, places) in &appends {
        let count = counts.get(name).copied().unwrap_or_default();
        if !places.iter().copied().eq(0..count) {
            return Err(format!("of {name}, of {count} messages, there are {places:?}").into());
        }
    }
    Ok(appends.into_keys().collect())
}
