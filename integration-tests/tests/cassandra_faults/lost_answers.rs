//! Many stores change the same things on a ring, and answers to their lightweight transactions are lost: each change is
//! made once, and each call knows.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::Failed;
use store_cassandra::{
    Begun, CassandraBackend, CassandraCounter, CassandraIdempotency, CassandraLock, CounterConfig,
    IdempotencyConfig, LockConfig,
};
use store_core::{
    Backend as _, ChatMessage, ErrorKind, JsonObject, KvStoreExt as _, PutMode, PutOptions, Update,
};
use tokio::task::JoinSet;

use crate::common::{Done, Test, block_on, soak, value};
use crate::proxy::Proxy;
use crate::{Ring, namespace, open, ring};

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("fault_lost_answers_to_updates_are_found_out", updates),
    ("fault_lost_answers_to_inserts_are_found_out", inserts),
    ("fault_lost_answers_to_changes_of_chats_are_found_out", chats),
    ("fault_lost_answers_to_locks_and_records_are_found_out", patterns),
];

const TIMEOUT: Duration = Duration::from_mins(1);
/// Stores at work, every second of them through the proxy.
const STORES: usize = 6;

/// How many changes each of them makes.
fn rounds() -> usize {
    if soak() { 500 } else { 25 }
}

/// Stores of one namespace, and the proxy before some of them.
struct Many {
    _ring: Ring,
    proxy: Proxy,
    stores: Vec<CassandraBackend>,
}

impl Many {
    async fn start() -> Result<Self, Failed> {
        let ring = tokio::task::block_in_place(ring)?;
        let (proxy, namespace) = (Proxy::start(ring.ports()).await?, namespace());
        let mut stores = Vec::new();
        for number in 0..STORES {
            let url = if number % 2 == 0 { proxy.url(ring.url()?) } else { ring.url()?.to_owned() };
            let store = open(&url, &namespace, TIMEOUT).await?;
            if number == 0 {
                make(&store).await?;
            }
            stores.push(store);
        }
        Ok(Self { _ring: ring, proxy, stores })
    }

    /// Has each store do its work, all at the same time; answers what they answer.
    async fn all<T, F>(&self, work: impl Fn(usize, CassandraBackend) -> F) -> Result<Vec<T>, Failed>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failed>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for (number, store) in self.stores.iter().enumerate() {
            tasks.spawn(work(number, store.clone()));
        }
        let mut answers = Vec::new();
        while let Some(answer) = tasks.join_next().await {
            answers.push(answer??);
        }
        Ok(answers)
    }

    fn first(&self) -> Result<&CassandraBackend, Failed> {
        Ok(self.stores.first().ok_or("no store")?)
    }

    /// The test has tested something.
    fn tell(&self, what: &str) -> Done {
        let lost = self.proxy.lost();
        if lost < rounds() / 2 {
            return Err(format!("only {lost} answers were lost").into());
        }
        println!("{what} with {lost} answers lost");
        Ok(())
    }
}

/// Has a store make the tables before others look for them.
async fn make(store: &CassandraBackend) -> Done {
    store.kv()?.put("made", "first", value(0)).await?;
    store.chat()?.append("made", vec![ChatMessage::user("first")]).await?;
    lock(store)?.acquire(TIMEOUT).await?.release().await?;
    counter(store)?.add(0).await?;
    records(store)?.begin("made").await.map(drop)?;
    Ok(())
}

fn lock(store: &CassandraBackend) -> Result<CassandraLock, Failed> {
    Ok(CassandraLock::new(store, "lock", LockConfig::default())?)
}

fn counter(store: &CassandraBackend) -> Result<CassandraCounter, Failed> {
    Ok(CassandraCounter::new(store, "locked", CounterConfig::default())?)
}

fn records(store: &CassandraBackend) -> Result<CassandraIdempotency<usize>, Failed> {
    Ok(CassandraIdempotency::new(store, "work", IdempotencyConfig::default())?)
}

fn counted(value: Option<&JsonObject>) -> u64 {
    value.and_then(|value| value.get("n")?.as_u64()).unwrap_or_default()
}

/// All count one number up. One of them takes it away now and then, and knows how far it had come.
fn updates() -> Done {
    block_on(async {
        let many = Many::start().await?;
        let counts = many.all(|number, store| async move {
            let (kv, mut taken) = (store.kv()?, 0);
            for round in 0..rounds() {
                if number == 0 && round % 5 == 4 {
                    let mut was = 0;
                    let take = |old: Option<&JsonObject>| {
                        was = counted(old);
                        Ok(Update::Delete)
                    };
                    kv.update("counter", "all", take).await?;
                    taken += was;
                } else {
                    kv.update("counter", "all", |old| Ok(Update::Put(value(counted(old) + 1)))).await?;
                }
            }
            Ok(taken)
        });
        let taken: u64 = counts.await?.iter().sum();
        let left = counted(many.first()?.kv()?.get("counter", "all").await?.as_ref());
        let made = u64::try_from(STORES * rounds() - rounds() / 5)?;
        if left + taken != made {
            return Err(format!("{made} were counted, {taken} taken away, and {left} are left").into());
        }
        many.tell(&format!("{made} counts of {STORES} stores"))
    })
}

/// Who inserts a key has it for itself until it deletes it.
fn inserts() -> Done {
    block_on(async {
        let many = Many::start().await?;
        let won = many.all(|number, store| async move {
            let (kv, own, mut won) = (store.kv()?, value(u64::try_from(number)?), 0);
            for round in 0..rounds() {
                let key = format!("key {}", round / 5);
                let insert = PutOptions::default().with_mode(PutMode::Insert);
                match kv.put_many("keys", vec![(key.clone(), own.clone())], insert).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(error.into()),
                }
                won += 1;
                let found = kv.get("keys", &key).await?;
                if found.as_ref() != Some(&own) || !kv.delete("keys", &key).await? {
                    return Err(format!("{key} was inserted by {number}, and is {found:?}").into());
                }
            }
            Ok(won)
        });
        let won: usize = won.await?.iter().sum();
        let keys: Vec<String> = (0..rounds().div_ceil(5)).map(|number| format!("key {number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let left = many.first()?.kv()?.get_many("keys", &keys).await?;
        if won < keys.len() || left.iter().any(Option::is_some) {
            return Err(format!("{won} inserts were made and deleted, and {left:?} is left").into());
        }
        many.tell(&format!("{won} inserts of {STORES} stores"))
    })
}

/// All append; some put messages in between, and take some away. A history that is replaced all the time holds none twice.
fn chats() -> Done {
    block_on(async {
        let many = Many::start().await?;
        let done = many.all(|number, store| async move {
            let (chat, mut said, mut taken) = (store.chat()?, Vec::new(), Vec::new());
            for round in 0..rounds() {
                let text = format!("{number} {round}");
                let message = ChatMessage::user(text.as_str());
                let other = chat.append("replaced", vec![message.clone()]);
                match (number % 3, round % 4) {
                    (0, 3) => taken.extend(chat.pop("kept").await?.and_then(|message| message.text())),
                    (1, 3) => {
                        taken.extend(chat.remove_at("kept", 0).await?.and_then(|message| message.text()));
                    }
                    (2, 3) => {
                        chat.replace("replaced", vec![message]).await?;
                        continue;
                    }
                    (_, 1) => {
                        chat.insert_at("kept", 1, message).await?;
                        said.push(text);
                    }
                    _ => {
                        chat.append("kept", vec![message]).await?;
                        said.push(text);
                    }
                }
                other.await?;
            }
            Ok((said, taken))
        });
        let (said, taken): (Vec<_>, Vec<_>) = done.await?.into_iter().unzip();
        let (said, mut found) = (said.concat(), taken.concat());
        let chat = many.first()?.chat()?;
        found.extend(chat.messages("kept", None).await?.iter().filter_map(ChatMessage::text));
        let once = |texts: &[String]| texts.iter().cloned().collect::<BTreeSet<String>>();
        if found.len() != said.len() || once(&found) != once(&said) {
            return Err(
                format!("{} were said, {} found: {said:?}, {found:?}", said.len(), found.len()).into()
            );
        }
        let replaced: Vec<String> =
            chat.messages("replaced", None).await?.iter().filter_map(ChatMessage::text).collect();
        if replaced.is_empty() || once(&replaced).len() != replaced.len() {
            return Err(format!("{replaced:?} is not what was said last").into());
        }
        many.tell(&format!("{} messages of {STORES} stores", said.len()))
    })
}

/// One at a time has the lock, each number is greater than the last, and each piece of work is done once; all is counted.
fn patterns() -> Done {
    block_on(async {
        let many = Many::start().await?;
        let (inside, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let begun = many.all(|_, store| {
            let (inside, last) = (Arc::clone(&inside), Arc::clone(&last));
            async move {
                let (lock, counter, records) = (lock(&store)?, counter(&store)?, records(&store)?);
                let mut begun = 0;
                for round in 0..rounds().div_ceil(2) {
                    let guard = lock.acquire(TIMEOUT).await?;
                    let (others, before) =
                        (inside.fetch_add(1, Ordering::SeqCst), last.swap(guard.fence(), Ordering::SeqCst));
                    if others != 0 || before >= guard.fence() {
                        return Err(format!("{others} have it, too; {} after {before}", guard.fence()).into());
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    guard.release().await?;
                    counter.add(1).await?;
                    loop {
                        match records.begin(&format!("work {round}")).await? {
                            Begun::New(claim) => {
                                begun += 1;
                                claim.complete(&round).await?;
                            }
                            Begun::Done(answer) if answer == round => break,
                            Begun::Done(answer) => {
                                return Err(format!("{answer} is no answer to {round}").into());
                            }
                            Begun::Running(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                        }
                    }
                }
                Ok(begun)
            }
        });
        let begun: usize = begun.await?.iter().sum();
        let locked = counter(many.first()?)?.get().await?;
        if begun != rounds().div_ceil(2) || usize::try_from(locked)? != STORES * begun {
            return Err(format!("{begun} pieces of work were begun, and {locked} locks counted").into());
        }
        many.tell(&format!("{locked} locks of {STORES} stores and {begun} records"))
    })
}
