//! A process that writes to every role is killed at random moments. After each kill everything it acknowledged
//! is there, at most the one write in flight beyond that, and nothing is half there.
//!
//! Each role's writes are an endless list, the same in every process, so the state after the first `n` of them
//! is known: a memory store that made the same writes is the model. The child says on a pipe which writes were
//! acknowledged. `STORE_TEST_ROUNDS` sets the number of kills (default 50,
//! with `STORE_TEST_SOAK` 400), `STORE_TEST_SEED` the seed of their delays.

mod ops;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use libtest_mimic::{Arguments, Failed, Trial};
use store_core::{Backend as _, Error, MemoryBackend};
use store_embedded::{EmbeddedBackend, EmbeddedConfig};

use ops::{Random, Role};

const CHILD: &str = "STORE_TEST_CRASH_CHILD";

fn main() -> ExitCode {
    if let Ok(folder) = std::env::var(CHILD) {
        let starts = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect::<Vec<u64>>();
        return match child(&folder, &starts) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("error {error:?}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = vec![
        Trial::test("crash_while_writing_loses_nothing_and_leaves_nothing_half", crash_while_writing),
        Trial::test("crash_while_creating_leaves_a_folder_that_opens", crash_while_creating),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn rounds() -> u64 {
    let set = std::env::var("STORE_TEST_ROUNDS").ok().and_then(|text| text.parse().ok());
    let soak = std::env::var_os("STORE_TEST_SOAK").is_some();
    set.unwrap_or(if soak { 400 } else { 50 })
}

/// `STORE_TEST_SEED`, or else one that differs from run to run; every failure names it.
fn seed() -> u64 {
    if let Some(seed) = std::env::var("STORE_TEST_SEED").ok().and_then(|text| text.parse().ok()) {
        return seed;
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.subsec_nanos().into()
}

async fn open(folder: &Path) -> store_core::Result<EmbeddedBackend> {
    EmbeddedBackend::open(EmbeddedConfig::new(folder)).await
}

/// Writes until it is killed: each role from its own start, in a task of its own, so that commits are shared.
fn child(folder: &str, starts: &[u64]) -> store_core::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Error::config(error.to_string()))?.block_on(async {
        let store = open(Path::new(folder)).await?;
        println!("open");
        let writers = Role::ALL.into_iter().zip(starts).map(|(role, start)| {
            let store = &store;
            async move {
                for n in *start.. {
                    role.apply(store, n).await?;
                    println!("{} {n}", role.letter());
                }
                Ok::<_, Error>(())
            }
        });
        futures::future::try_join_all(writers).await.map(|_| ())
    })
}

/// Runs the child, kills it some time after it opened the store (or was started), and answers what it said.
fn run_and_kill(
    folder: &Path,
    starts: &[u64],
    delay: Duration,
    once_open: bool,
) -> Result<Vec<String>, Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(starts.iter().map(u64::to_string))
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the child has no pipe")?;
    let (say, said) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            say.send(line).ok();
        }
    });
    let mut lines = Vec::new();
    if once_open {
        lines
            .push(said.recv_timeout(Duration::from_mins(1)).map_err(|_| "the child never opened the store")?);
    }
    std::thread::sleep(delay);
    child.kill()?;
    child.wait()?;
    reader.join().map_err(|_| "the reader panicked")?;
    lines.extend(said);
    if let Some(error) = lines.iter().find(|line| line.starts_with("error")) {
        return Err(format!("the child failed: {error}").into());
    }
    Ok(lines)
}

/// How many writes of a role the child said were acknowledged: the number of the last one, plus 1.
fn acknowledged(lines: &[String], role: Role) -> Option<u64> {
    let prefix = format!("{} ", role.letter());
    lines.iter().rev().find_map(|line| line.strip_prefix(&prefix)?.parse::<u64>().ok()).map(|n| n + 1)
}

fn crash_while_writing() -> Result<(), Failed> {
    let seed = seed();
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut random = Random::new(seed);
    let model = MemoryBackend::new();
    runtime.block_on(async {
        // A write of its own, and not one of the list: a kill may come between it and the first of them.
        let store = open(folder.path()).await?;
        ops::configure(&store).await?;
        ops::configure(&model).await?;
        store.close().await
    })?;
    let mut done: HashMap<char, u64> = HashMap::new();
    for round in 0..rounds() {
        let starts = Role::ALL.map(|role| done.get(&role.letter()).copied().unwrap_or(0));
        let delay = Duration::from_micros(random.below(250_000));
        let lines = run_and_kill(folder.path(), &starts, delay, true)?;
        let check = async {
            let store = open(folder.path()).await?;
            for (role, start) in Role::ALL.into_iter().zip(starts) {
                let acknowledged = acknowledged(&lines, role).unwrap_or(start);
                for n in start..acknowledged {
                    role.apply(&model, n).await?;
                }
                let stored = role.dump(&store).await?;
                let mut known = acknowledged;
                let before = role.dump(&model).await?;
                if stored != before {
                    // The write in flight may have made it, but only whole.
                    role.apply(&model, known).await?;
                    known += 1;
                    let expected = role.dump(&model).await?;
                    if stored != expected {
                        return Err(Error::corrupt(format!(
                            "seed {seed}, round {round}, {role:?}: neither the state after {acknowledged} writes: \
                             {} / nor after one more: {}",
                            difference(&stored, &before),
                            difference(&stored, &expected)
                        )));
                    }
                }
                done.insert(role.letter(), known);
            }
            store.close().await
        };
        runtime.block_on(check).map_err(|error| error.to_string())?;
    }
    // However slow the machine: kills that met no write of a role would show nothing of it.
    if done.values().any(|writes| *writes < rounds() / 10) {
        return Err(format!("a role made hardly any writes in {} rounds: {done:?}", rounds()).into());
    }
    println!("{} kills survived; writes checked by role: {done:?}", rounds());
    Ok(())
}

/// The first line of each that the other does not hold, in so far as they differ.
fn difference(stored: &[String], expected: &[String]) -> String {
    let short = |line: &String| line.chars().take(600).collect::<String>();
    let only = |here: &[String], there: &[String]| {
        here.iter().find(|line| !there.contains(line)).map(short).unwrap_or_default()
    };
    format!("missing {} / extra {}", only(expected, stored), only(stored, expected))
}

fn crash_while_creating() -> Result<(), Failed> {
    let seed = seed();
    let mut random = Random::new(seed);
    let runtime = tokio::runtime::Runtime::new()?;
    for round in 0..rounds() {
        let folder = tempfile::tempdir()?;
        let delay = Duration::from_micros(random.below(12_000));
        run_and_kill(folder.path(), &[0; Role::ALL.len()], delay, false)?;
        let check = async {
            let store = open(folder.path()).await?;
            for role in Role::ALL {
                role.dump(&store).await?;
                role.apply(&store, 0).await?;
            }
            store.close().await
        };
        runtime.block_on(check).map_err(|error| format!("seed {seed}, round {round}: {error}"))?;
    }
    Ok(())
}
