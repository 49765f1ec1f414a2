//! C1 to C3: chat histories.

use super::subject::{SESSION, Side};
use super::workload::Workload::{self, C1, C2, C3};
use super::{Halt, Run, lost, places};

pub(super) const WORKLOADS: &[Workload] = &[C1, C2, C3];

/// Messages of the session.
const MESSAGES: usize = 500;
/// How often it is read back.
const READS: usize = 20;
/// Messages that stand in a history before the appends that are timed.
const HISTORIES: [(usize, &str); 3] =
    [(10, "append at 10"), (2000, "append at 2,000"), (20_000, "append at 20,000")];
/// Appends that are timed in each history.
const APPENDS: usize = 50;

pub(super) async fn run(run: &mut Run<'_>, side: &Side) -> Result<(), Halt> {
    let corpus = run.corpus;
    if run.wants(C1) || run.wants(C2) {
        let mut meter = run.meter(C1, "append", "messages", MESSAGES)?;
        for place in 0..MESSAGES {
            let message = meter.prepare(|| corpus.message(place));
            meter.call(1, side.subject.append(message)).await?;
        }
        run.keep(meter);
    }
    if run.wants(C2) {
        let mut meter = run.meter(C2, "read back", "messages", READS * MESSAGES)?;
        for _ in 0..READS {
            let found = meter.call(MESSAGES, side.subject.messages()).await?;
            lost(C2, MESSAGES, found)?;
        }
        run.keep(meter);
    }
    let Some(store) = side.store.as_ref().filter(|_| run.wants(C3)) else { return Ok(()) };
    let chat = store.chat()?;
    for (length, part) in HISTORIES {
        let session = format!("{SESSION}-{length}");
        // Not kept: it only fills the history.
        let mut filling = run.meter(C3, "fill", "messages", length)?;
        for places in places(length, run.batch) {
            let messages: Vec<_> = places.map(|place| corpus.message(place)).collect();
            filling.call(messages.len(), chat.append(&session, messages)).await?;
        }
        filling.finish();
        let mut meter = run.meter(C3, part, "messages", APPENDS)?;
        for place in length..length + APPENDS {
            let message = meter.prepare(|| corpus.message(place));
            meter.call(1, chat.append(&session, vec![message])).await?;
        }
        run.keep(meter);
    }
    Ok(())
}
