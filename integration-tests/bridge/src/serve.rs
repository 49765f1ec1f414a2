//! The loop: lines in, answers out, as many at a time as fit.

use std::io::{self, BufRead, Write};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use futures::FutureExt as _;
use nodestore::{Error, ErrorKind, Result};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

use crate::answer;
use crate::args::Args;
use crate::lines::{Line, next_line};
use crate::ops::{self, Call};
use crate::request::Request;
use crate::stores::Stores;

/// Longest line, and most bytes of all requests that run, in KiB: 256 MiB.
const UNITS: u32 = 256 << 10;
/// Most requests that run at a time.
const MAX_RUNNING: u32 = 256;
/// What a request takes of [`UNITS`] at least.
const LEAST_UNITS: u32 = UNITS / MAX_RUNNING;

/// Answers the lines of `input` on `output` until it ends, and what runs then. Stores left open are closed. When the
/// answers can not be written, the process ends.
///
/// # Errors
/// What reading says.
pub(crate) fn serve(mut input: impl BufRead, output: impl Write + Send + 'static) -> io::Result<()> {
    let runtime = Runtime::new()?;
    let stores = Arc::new(Stores::default());
    let room = Arc::new(Semaphore::new(UNITS as usize));
    let (answers, writer) = write_answers(output);
    let ended = loop {
        let line = match next_line(&mut input, UNITS as usize * 1024) {
            Ok(Line::End) => break Ok(()),
            Err(error) => break Err(error),
            Ok(line) => line,
        };
        // More than fits waits until others are done; no operation waits for a later one.
        let acquired = runtime.block_on(Arc::clone(&room).acquire_many_owned(units(&line)));
        let Ok(permit) = acquired else { break Ok(()) };
        let (stores, answers) = (Arc::clone(&stores), answers.clone());
        runtime.spawn(async move {
            let answer = answer_to(line, stores).await;
            // Nobody takes it only when the process is ending.
            let _ = answers.send(answer).await;
            drop(permit);
        });
    };
    runtime.block_on(async {
        // All room is free when nothing runs.
        let _all = room.acquire_many(UNITS).await;
        stores.close().await;
    });
    drop(answers);
    let _ = writer.join();
    ended
}

/// A thread that writes answers, each at once. One waits for it, the others before they are handed over.
fn write_answers(mut output: impl Write + Send + 'static) -> (mpsc::Sender<Vec<u8>>, thread::JoinHandle<()>) {
    let (sender, mut answers) = mpsc::channel::<Vec<u8>>(1);
    let writer = thread::spawn(move || {
        while let Some(answer) = answers.blocking_recv() {
            if let Err(error) = output.write_all(&answer).and_then(|()| output.flush()) {
                // The main thread may wait for input that nobody gives.
                eprintln!("error: the answers can not be written: {error}");
                std::process::exit(1);
            }
        }
    });
    (sender, writer)
}

/// The room that a line takes.
fn units(line: &Line) -> u32 {
    let bytes = if let Line::Text(text) = line { text.len() } else { 0 };
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(UNITS).clamp(LEAST_UNITS, UNITS)
}

/// The answer to a line. A panic ends its request alone.
async fn answer_to(line: Line, stores: Arc<Stores>) -> Vec<u8> {
    let request = match line {
        Line::Text(line) => Request::read(&line),
        Line::TooLong | Line::End => Err(too_long()),
    };
    let mut request = match request {
        Ok(request) => request,
        Err(error) => return answer::line(&Value::Null, "", None, Err(error)),
    };
    let mut backend = None;
    let outcome = survive(run(&mut request, stores, &mut backend)).await;
    answer::line(&request.id, &request.op, backend, outcome)
}

/// Runs a request; `backend` gets the name of its store.
async fn run(
    request: &mut Request,
    stores: Arc<Stores>,
    backend: &mut Option<&'static str>,
) -> Result<Value> {
    let (section, op) = ops::find(&request.op)?;
    let given = request.given()?;
    if section.role.needs_store() {
        *backend = Some(stores.get(given.store)?.name());
    }
    let args = Args::new(op.args, given.args)?;
    (op.run)(Call { args, stores, handle: given.store }).await
}

/// What an operation answers; a panic is an error. What it said is on stderr.
async fn survive(running: impl Future<Output = Result<Value>>) -> Result<Value> {
    AssertUnwindSafe(running).catch_unwind().await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Other,
            "the operation panicked, which is a fault of ours; stderr says where",
        ))
    })
}

fn too_long() -> Error {
    Error::invalid_input(format!("the line is longer than {} MiB, the most that is read", UNITS >> 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let running = async { if true { panic!("on purpose") } else { Ok(Value::Null) } };
        assert_eq!(survive(running).await.unwrap_err().kind(), ErrorKind::Other);
    }

    #[test]
    fn every_line_fits_and_takes_its_room() {
        let of = |bytes: usize| units(&Line::Text(vec![0; bytes]));
        assert_eq!((of(0), of(1 << 20), of((1 << 20) + 1)), (LEAST_UNITS, 1 << 10, (1 << 10) + 1));
        assert_eq!((units(&Line::TooLong), UNITS % MAX_RUNNING), (LEAST_UNITS, 0));
    }
}
