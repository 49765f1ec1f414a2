//! Who writes while a server is hurt, and what must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use libtest_mimic::Failed;
use store_core::{
    Backend, ChatMessage, Error, JsonObject, KvStoreExt as _, PutMode, PutOptions, ScanOptions, Update,
};
use tokio::task::JoinHandle;

use crate::common::{Done, value};

/// The sessions that are written to, by one and by three.
pub(crate) const SESSIONS: [&str; 2] = ["own", "shared"];
/// The key of the counter that all its writers count up.
const COUNTER: &str = "all";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    /// Inserts keys that nobody else has.
    Keys,
    /// Puts such keys.
    Puts,
    /// Counts one number up, together with others.
    Counter,
    /// Appends to a history, together with all of the same name.
    Chat(&'static str),
}

/// What each writer does; it is known by its place.
const WRITERS: [Writes; 8] = [
    Writes::Keys,
    Writes::Puts,
    Writes::Counter,
    Writes::Counter,
    Writes::Chat("own"),
    Writes::Chat("shared"),
    Writes::Chat("shared"),
    Writes::Chat("shared"),
];

/// What the writers have done together.
#[derive(Debug)]
struct Progress {
    acknowledged: AtomicU64,
    /// When the last write was acknowledged, and the longest time between two.
    pause: Mutex<(Instant, Duration)>,
    /// The longest call.
    longest: Mutex<Duration>,
    stop: AtomicBool,
}

impl Progress {
    fn acknowledge(&self) {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause.1 = pause.1.max(pause.0.elapsed());
        pause.0 = Instant::now();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn took(&self, time: Duration) {
        let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
        *longest = time.max(*longest);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What one writer knows of its writes, by number.
#[derive(Debug, Default)]
struct Written {
    acknowledged: BTreeSet<u64>,
    /// The error said that it is not known whether they were made.
    unknown: BTreeSet<u64>,
}

/// Writers at work.
#[derive(Debug)]
pub(crate) struct Writers {
    store: Arc<dyn Backend>,
    progress: Arc<Progress>,
    tasks: [JoinHandle<Result<Written, Error>>; WRITERS.len()],
}

impl Writers {
    /// Has them begin.
    pub(crate) fn start(store: impl Backend) -> Self {
        let store: Arc<dyn Backend> = Arc::new(store);
        let pause = Mutex::new((Instant::now(), Duration::ZERO));
        let (acknowledged, longest) = (AtomicU64::new(0), Mutex::default());
        let progress = Arc::new(Progress { acknowledged, pause, longest, stop: AtomicBool::new(false) });
        let mut place = 0..;
        let tasks = WRITERS.map(|writes| {
            let place = place.next().unwrap_or_default();
            tokio::spawn(write(Arc::clone(&store), writes, place, Arc::clone(&progress)))
        });
        Self { store, progress, tasks }
    }

    /// Until this many writes are acknowledged since they began, or they have given up.
    pub(crate) async fn reach(&self, count: u64) {
        while self.progress.acknowledged.load(Ordering::Relaxed) < count && !self.progress.stopped() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Until this many more are.
    pub(crate) async fn go_on(&self, more: u64) {
        self.reach(self.progress.acknowledged.load(Ordering::Relaxed) + more).await;
    }

    /// Has them end; an error when one met an error after which a retry is in vain.
    pub(crate) async fn stop(self) -> Result<Outcome, Failed> {
        self.progress.stop.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for task in self.tasks {
            written.push(task.await??);
        }
        Ok(Outcome { store: self.store, progress: self.progress, written })
    }
}

/// Writes one after the other until it is told to stop, and none twice.
async fn write(
    store: Arc<dyn Backend>,
    writes: Writes,
    place: usize,
    progress: Arc<Progress>,
) -> Result<Written, Error> {
    let mut written = Written::default();
    for number in 0.. {
        if progress.stopped() {
            break;
        }
        let begin = Instant::now();
        let answer = write_one(&*store, writes, place, number).await;
        progress.took(begin.elapsed());
        match answer {
            Ok(()) => {
                progress.acknowledge();
                written.acknowledged.insert(number);
            }
            Err(error) if error.is_retryable() => {
                eprintln!("{writes:?} {number}: {error}");
                written.unknown.insert(number);
            }
            Err(error) => {
                progress.stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
    }
    Ok(written)
}

async fn write_one(store: &dyn Backend, writes: Writes, place: usize, number: u64) -> Result<(), Error> {
    match writes {
        Writes::Keys => {
            let entry = (key(place, number), value(number));
            // Of a write that the driver repeats, the first must not count as somebody else's.
            let insert = PutOptions::default().with_mode(PutMode::Insert);
            store.kv()?.put_many("keys", vec![entry], insert).await
        }
        Writes::Puts => store.kv()?.put("puts", &key(place, number), value(number)).await,
        Writes::Counter => {
            let count = |old: Option<&_>| Ok(Update::Put(value(counted(old) + 1)));
            store.kv()?.update("counter", COUNTER, count).await.map(|_| ())
        }
        Writes::Chat(session) => {
            store.chat()?.append(session, vec![ChatMessage::user(key(place, number))]).await
        }
    }
}

fn key(place: usize, number: u64) -> String {
    format!("{place} {number}")
}

fn counted(value: Option<&JsonObject>) -> u64 {
    value.and_then(|value| value.get("n")?.as_u64()).unwrap_or_default()
}

/// What the writers have done, when they have ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    store: Arc<dyn Backend>,
    progress: Arc<Progress>,
    written: Vec<Written>,
}

impl Outcome {
    /// Whether all that was acknowledged is there, once and in order, and nothing that nobody wrote.
    pub(crate) async fn nothing_lost(&self) -> Done {
        self.lost(0).await.map(|_| ())
    }

    /// How much of what was acknowledged is not there: no more than this many runs of successive writes of a writer.
    /// What is there is there once, in order, and somebody wrote it.
    pub(crate) async fn lost(&self, runs: usize) -> Result<usize, Failed> {
        let mut lost = 0;
        for (writes, collection) in [(Writes::Keys, "keys"), (Writes::Puts, "puts")] {
            lost += self.compare(writes, &self.keys(collection).await?, runs)?;
        }
        for session in SESSIONS {
            let texts = self.texts(session).await?;
            in_order(&texts)?;
            lost += self.compare(Writes::Chat(session), &texts, runs)?;
        }
        self.check_counter(runs).await?;
        Ok(lost)
    }

    /// How long the longest call took.
    pub(crate) fn longest_call(&self) -> Duration {
        *self.progress.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints one line of what has happened.
    pub(crate) fn tell(&self, hurt: &str) {
        let unknown: usize = self.written.iter().map(|one| one.unknown.len()).sum();
        println!(
            "{} writes acknowledged and {unknown} of unknown outcome while {hurt}; the longest pause between two \
             acknowledged ones was {} ms, the longest call {} ms",
            self.progress.acknowledged.load(Ordering::Relaxed),
            self.progress.pause.lock().unwrap_or_else(PoisonError::into_inner).1.as_millis(),
            self.longest_call().as_millis()
        );
    }

    async fn keys(&self, collection: &str) -> Result<Vec<String>, Failed> {
        let entries: Vec<_> = self.store.kv()?.scan(collection, ScanOptions::default()).try_collect().await?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    async fn texts(&self, session: &str) -> Result<Vec<String>, Failed> {
        let messages = self.store.chat()?.messages(session, None).await?;
        Ok(messages.iter().filter_map(ChatMessage::text).collect())
    }

    fn of(&self, writes: Writes) -> impl Iterator<Item = (usize, &Written)> {
        let all = WRITERS.into_iter().zip(&self.written).enumerate();
        all.filter(move |(_, (its, _))| *its == writes).map(|(place, (_, written))| (place, written))
    }

    fn compare(&self, writes: Writes, found: &[String], runs: usize) -> Result<usize, Failed> {
        let mut left: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        if left.len() != found.len() {
            return Err(format!("{writes:?}: {} found, {} different", found.len(), left.len()).into());
        }
        let mut lost = 0;
        for (place, written) in self.of(writes) {
            if written.acknowledged.is_empty() {
                return Err(format!("{writes:?}: nothing was acknowledged at all").into());
            }
            let (mut gaps, mut before) = (Vec::new(), true);
            for number in &written.acknowledged {
                let there = left.remove(key(place, *number).as_str());
                lost += usize::from(!there);
                if before && !there {
                    gaps.push(*number);
                }
                before = there;
            }
            if gaps.len() > runs {
                return Err(format!(
                    "{writes:?}: what was acknowledged is lost in {} places, from {gaps:?} of writer {place} on",
                    gaps.len()
                )
                .into());
            }
            for number in &written.unknown {
                left.remove(key(place, *number).as_str());
            }
        }
        match left.first() {
            Some(strange) => Err(format!("{writes:?}: nobody wrote {strange:?}").into()),
            None => Ok(lost),
        }
    }

    async fn check_counter(&self, runs: usize) -> Done {
        let (mut least, mut most) = (0, 0);
        for (_, written) in self.of(Writes::Counter) {
            least += written.acknowledged.len();
            most += written.acknowledged.len() + written.unknown.len();
        }
        let found = usize::try_from(counted(self.store.kv()?.get("counter", COUNTER).await?.as_ref()))?;
        if least == 0 || found == 0 || (found < least && runs == 0) || found > most {
            return Err(format!("the counter is {found} after {least} to {most} increments").into());
        }
        Ok(())
    }
}

/// Each writer's messages are in its own order.
fn in_order(texts: &[String]) -> Done {
    let mut last = BTreeMap::new();
    for text in texts {
        let (writer, number) = text.split_once(' ').ok_or("a message of nobody's")?;
        let number: u64 = number.parse()?;
        if last.insert(writer, number).is_some_and(|before| before >= number) {
            return Err(format!("{text:?} comes after a later one of the same writer").into());
        }
    }
    Ok(())
}
