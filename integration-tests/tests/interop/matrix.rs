//! The table of store × direction × case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::cases::{self, Case, Role};
use crate::exceptions;
use crate::side::Direction;
use crate::stores::Store;

/// A store, a role, a case and a direction.
type Place = (&'static str, Role, &'static str, Direction);

/// What became of the cases: `None` where one works, else the exception that it is.
#[derive(Default)]
pub(crate) struct Matrix(Mutex<BTreeMap<Place, Option<usize>>>);

impl Matrix {
    pub(crate) fn works(&self, store: &'static str, case: &Case, direction: Direction) {
        self.note(store, case, direction, None);
    }

    pub(crate) fn except(&self, store: &'static str, case: &Case, direction: Direction, number: usize) {
        self.note(store, case, direction, Some(number));
    }

    fn note(&self, store: &'static str, case: &Case, direction: Direction, outcome: Option<usize>) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert((store, case.role, case.name, direction), outcome);
    }

    /// The tables, one for each role, and the exceptions below.
    pub(crate) fn text(&self, stores: &[impl AsRef<Store>]) -> String {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stores: Vec<&Store> = stores.iter().map(AsRef::as_ref).collect();
        // Numbered as they are first met.
        let mut reasons: Vec<&str> = Vec::new();
        let mut text = String::new();
        for role in Role::ALL {
            let columns: Vec<&Store> =
                stores.iter().filter(|store| store.roles.contains(&role)).copied().collect();
            let _ = write!(text, "\n### {}\n\n|", role.title());
            for store in &columns {
                let _ = write!(text, " | {}: Python → ours | ours → Python", store.title);
            }
            let _ = writeln!(text, " |\n|---{}|", "|:-:|:-:".repeat(columns.len()));
            for case in cases::all().iter().filter(|case| case.role == role) {
                let _ = write!(text, "| {}", case.name);
                for store in &columns {
                    for direction in Direction::BOTH {
                        let cell = match places.get(&(store.name, role, case.name, direction)) {
                            Some(None) => "yes".to_owned(),
                            Some(Some(exception)) => format!("({})", number(&mut reasons, *exception)),
                            None => "–".to_owned(),
                        };
                        let _ = write!(text, " | {cell}");
                    }
                }
                let _ = writeln!(text, " |");
            }
        }
        let _ = writeln!(text, "\n– : a folder is for one program at a time.");
        let _ = writeln!(text, "\n### What does not work, and why\n");
        for (place, why) in reasons.iter().enumerate() {
            let _ = writeln!(text, "{}. {why}", place + 1);
        }
        text.push('\n');
        text
    }

    /// Exceptions that no case met.
    pub(crate) fn unmet(&self) -> Vec<&'static str> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let met: BTreeSet<usize> = places.values().filter_map(|outcome| *outcome).collect();
        let all = exceptions::ALL.iter().enumerate();
        all.filter(|(number, _)| !met.contains(number)).map(|(_, exception)| exception.why).collect()
    }
}

fn number(reasons: &mut Vec<&'static str>, exception: usize) -> usize {
    let why = exceptions::ALL.get(exception).map(|exception| exception.why).unwrap_or_default();
    let known = reasons.iter().position(|known| *known == why);
    known.unwrap_or_else(|| {
        reasons.push(why);
        reasons.len() - 1
    }) + 1
}
