//! Our stores beside LlamaIndex's own, the pinned Python packages, on the same data.
//!
//! Each case is done in both directions: Python writes, ours reads, changes and deletes, Python reads; and the other way
//! round. Both sides are asked by the same requests ([`side::Side`]), so a case is written once. What is known not to
//! work is named, with its reason, in [`exceptions`]: such a case must fail as it says there, any other must not fail.
//!
//! A whole run makes the table of store × direction × case in `docs/llamaindex.md`, and fails when that page has another.
//! `NODESTORE_UPDATE_PAGES=1` writes it there.
//!
//! Old releases of LlamaIndex write nodes and folders that ours reads: [`old`].
//!
//! Needs the servers, and a Python that has `scripts/python/interop.txt`, named by `NODESTORE_INTEROP_PYTHON`. Without
//! them the cases show as ignored, or fail when `STORE_TEST_REQUIRE` is set.

mod cases;
mod exceptions;
mod folder;
mod matrix;
mod old;
mod ours;
mod python;
mod side;
mod stores;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nodestore_integration_tests::page;

use crate::cases::Case;
use crate::matrix::Matrix;
use crate::side::Direction;
use crate::stores::Store;

/// What a case answers: why it failed.
type CaseResult<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let stores: Vec<Arc<Store>> = stores::all().into_iter().map(Arc::new).collect();
    let matrix = Arc::new(Matrix::default());
    let mut trials = Vec::new();
    for store in &stores {
        for case in cases::all().into_iter().filter(|case| store.takes(case)) {
            let case = Arc::new(case);
            trials.extend(Direction::BOTH.map(|direction| trial(store, &case, direction, &matrix)));
        }
    }
    trials.extend(old::trials());
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut ended = conclusion.exit_code();
    let mut failed = |why: String| {
        eprintln!("FAILED: {why}");
        ended = ExitCode::FAILURE;
    };
    for store in &stores {
        if let Err(why) = store.end() {
            failed(format!("{}: {why}", store.name));
        }
    }
    if whole && !conclusion.has_failed() && conclusion.num_ignored == 0 {
        let table = matrix.text(&stores);
        println!("{table}");
        for why in matrix.unmet() {
            failed(format!("no case met this exception; it can go: {why}"));
        }
        if let Err(why) = page::hold("docs/llamaindex.md", &[("interop", table)]) {
            failed(why);
        }
    }
    ended
}

fn trial(store: &Arc<Store>, case: &Arc<Case>, direction: Direction, matrix: &Arc<Matrix>) -> Trial {
    let name = format!("{}::{}::{}::{direction}", store.name, case.role, case.plain_name());
    let (store, case, matrix) = (Arc::clone(store), Arc::clone(case), Arc::clone(matrix));
    Trial::ignorable_test(name, move || {
        if let Some(why) = store.missing() {
            if nodestore_integration_tests::required() {
                return Err(why.into());
            }
            return Ok(Completion::ignored_with(why));
        }
        let outcome = store.run(&case, direction);
        judge(&store, &case, direction, outcome.err(), &matrix)?;
        Ok(Completion::Completed)
    })
}

/// Whether the case failed exactly where an exception says that it does.
fn judge(
    store: &Store,
    case: &Case,
    direction: Direction,
    failure: Option<String>,
    matrix: &Matrix,
) -> Result<(), Failed> {
    let exception = exceptions::of(store.name, case, direction);
    match (failure, exception) {
        (None, None) => matrix.works(store.name, case, direction),
        (Some(failure), Some(number)) => {
            let says = exceptions::ALL.get(number).map(|exception| exception.says).unwrap_or_default();
            if !failure.contains(says) {
                return Err(
                    format!("it fails otherwise than its exception says ({says:?}): {failure}").into()
                );
            }
            matrix.except(store.name, case, direction, number);
        }
        (None, Some(number)) => {
            let exception = exceptions::ALL.get(number);
            if exception.is_some_and(|exception| exception.by_chance) {
                matrix.except(store.name, case, direction, number);
                return Ok(());
            }
            let why = exception.map(|exception| exception.why).unwrap_or_default();
            return Err(format!("it works now; its exception can go: {why}").into());
        }
        (Some(failure), None) => return Err(failure.into()),
    }
    Ok(())
}
