//! Places of messages in their history, for stores that keep each message by itself.
//!
//! A place is text of hexadecimal digits that sorts as the digits of a fraction do: twelve of them, and more after
//! these where messages were put between others. So there is always a place between two, and no message moves for
//! another. Appends leave gaps of 65,536 between their places, and begin a quarter into what there is, for those that
//! come to the front.

use crate::{Error, ErrorKind, Result};

/// The digits of a place that nothing was put before.
const WIDTH: usize = 12;
/// From one appended message to the next.
const STRIDE: u64 = 1 << 16;
/// The number of the first place of a history.
pub const FIRST: u64 = 1 << 46;
/// One more than the greatest number of a place.
const END: u64 = 1 << 48;

/// The place of a number.
#[must_use]
pub fn place(number: u64) -> String {
    format!("{number:0WIDTH$x}")
}

/// The number `count` places after this one; `LimitExceeded` past the last, after some 3,000 million messages.
pub fn after(number: u64, count: usize) -> Result<u64> {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let next = count.checked_mul(STRIDE).and_then(|length| number.checked_add(length));
    next.filter(|next| *next < END).ok_or_else(|| {
        Error::new(ErrorKind::LimitExceeded, "the history's places are used up; replace it by itself")
    })
}

/// A place between two; `before` is `None` at the front. `None` when it would be of more than `longest` digits: with
/// 900, after some 3,500 inserts in one and the same spot; or when a text is no place.
#[must_use]
pub fn between(before: Option<&str>, at: &str, longest: usize) -> Option<String> {
    if before.is_none()
        && let Some(first) = at.get(..WIDTH).and_then(|digits| u64::from_str_radix(digits, 16).ok())
        && first > STRIDE
    {
        return Some(place(first - STRIDE));
    }
    let (low, high) = (digits(before.unwrap_or_default())?, digits(at)?);
    let length = low.len().max(high.len()).max(WIDTH);
    // Where the two are neighbours at this length, they are not with a digit more.
    [length, length + 1].into_iter().find_map(|length| {
        let middle = middle(&low, &high, length);
        (middle > low && middle < high && middle.len() <= longest).then(|| text(&middle)).flatten()
    })
}

/// Half of the sum of two fractions, to so many digits.
fn middle(low: &[u8], high: &[u8], length: usize) -> Vec<u8> {
    let digit = |digits: &[u8], at: usize| digits.get(at).copied().unwrap_or_default();
    let mut sum: Vec<u8> = (0..length).map(|at| digit(low, at) + digit(high, at)).collect();
    let mut carry = 0;
    for digit in sum.iter_mut().rev() {
        let value = *digit + carry;
        (*digit, carry) = (value % 16, value / 16);
    }
    for digit in &mut sum {
        let value = carry * 16 + *digit;
        (*digit, carry) = (value / 2, value % 2);
    }
    while sum.len() > WIDTH && sum.last() == Some(&0) {
        sum.pop();
    }
    sum
}

fn digits(place: &str) -> Option<Vec<u8>> {
    place.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect()
}

fn text(digits: &[u8]) -> Option<String> {
    digits.iter().map(|digit| char::from_digit(u32::from(*digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 900;

    #[test]
    fn a_place_lies_between_its_neighbours() {
        let first = place(FIRST);
        let next = place(after(FIRST, 1).unwrap());
        let pairs = [
            (None, first.as_str()),
            (None, "000000000001"),
            (None, "000000010000"),
            (Some(first.as_str()), next.as_str()),
            (Some("000000000001"), "000000000002"),
            (Some("000000000001"), "0000000000018"),
            (Some("00000000000180001"), "000000000001f"),
            (Some("0000000000000001"), "000000000001"),
        ];
        for (before, at) in pairs {
            let free = between(before, at, LONGEST).unwrap();
            assert!(
                before.unwrap_or_default() < free.as_str() && free.as_str() < at,
                "{before:?} {free} {at}"
            );
            assert!(free.len() == WIDTH || !free.ends_with('0'), "{free}");
        }
    }

    #[test]
    fn one_spot_takes_thousands() {
        for to_the_front in [true, false] {
            let (mut low, mut high) = (place(FIRST), place(FIRST + STRIDE));
            let mut count = 0;
            while let Some(free) = between(Some(&low), &high, LONGEST) {
                assert!(low < free && free < high);
                if to_the_front {
                    high = free;
                } else {
                    low = free;
                }
                count += 1;
            }
            assert!(count > 3_500, "{count}");
        }
    }

    #[test]
    fn the_front_takes_any_number() {
        let mut first = place(FIRST);
        for _ in 0..10_000 {
            let free = between(None, &first, LONGEST).unwrap();
            assert!(free < first && free.len() == WIDTH);
            first = free;
        }
    }

    #[test]
    fn random_places_keep_their_order() {
        let mut random = 7_usize;
        let mut places = vec![place(FIRST)];
        for _ in 0..3_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) % places.len();
            let before = at.checked_sub(1).map(|before| places[before].clone());
            let free = between(before.as_deref(), &places[at], LONGEST).unwrap();
            places.insert(at, free);
        }
        assert!(places.is_sorted_by(|a, b| a < b));
    }
}
