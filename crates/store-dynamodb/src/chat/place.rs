//! Where a message stands in its history (see [`chat_place`](store_core::kit::chat_place)), and the names of generations.

use store_core::kit::chat_place;
use store_core::kit::epoch::micros;

pub(super) use store_core::kit::chat_place::{FIRST, after, place};

/// The longest place; the sort key that holds it is of 1,024 bytes at most.
const LONGEST: usize = 900;

/// A place between two; `None` when it would be too long, after some 3,500 inserts in one and the same spot.
pub(super) fn between(before: Option<&str>, at: &str) -> Option<String> {
    chat_place::between(before, at, LONGEST)
}

/// The name of a new generation of a history: it sorts by its time after older ones, and no other has it.
pub(super) fn generation(before: Option<&str>) -> String {
    let now = micros().max(before.and_then(generation_micros).map_or(0, |before| before + 1));
    format!("{now:016x}{:04x}", fastrand::u16(..))
}

/// When a generation was begun, in microseconds.
pub(super) fn generation_micros(generation: &str) -> Option<u64> {
    u64::from_str_radix(generation.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_grow() {
        let mut last = generation(None);
        for _ in 0..100 {
            let next = generation(Some(&last));
            assert!(next > last && next.len() == 20);
            last = next;
        }
        let future = format!("{:016x}0000", u64::MAX >> 4);
        assert!(generation(Some(&future)) > future);
    }
}
