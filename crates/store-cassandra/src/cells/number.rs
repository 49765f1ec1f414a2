//! Whole numbers of any size, decimals, and the short integers of durations and vectors.

use std::fmt::Write as _;

/// The longest number that is written in digits, in bytes: the work grows with the square.
const LONGEST: usize = 4_096;
/// The same for numbers that are read, in digits.
const MOST_DIGITS: usize = 9_000;
/// What one step of a long division takes off: nine digits.
const STEP: u32 = 1_000_000_000;

/// The digits of a big-endian number in two's complement; `0x…` when it is longer than anyone could mean.
pub(super) fn varint(cell: &[u8]) -> String {
    let negative = cell.first().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    if let Some(missing) = 16_usize.checked_sub(cell.len()) {
        let mut wide = [fill; 16];
        for (to, from) in wide.iter_mut().skip(missing).zip(cell) {
            *to = *from;
        }
        return i128::from_be_bytes(wide).to_string();
    }
    if cell.len() > LONGEST {
        return super::hex(cell);
    }
    // The amount, in limbs with the greatest first.
    let mut limbs = Vec::with_capacity(cell.len() / 4 + 1);
    for chunk in cell.rchunks(4) {
        let mut limb = [fill; 4];
        for (to, from) in limb.iter_mut().rev().zip(chunk.iter().rev()) {
            *to = *from;
        }
        limbs.push(u32::from_be_bytes(limb));
    }
    if negative {
        negate(&mut limbs);
    }
    limbs.reverse();
    let mut parts = Vec::new();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut rest = 0_u64;
        for limb in &mut limbs {
            let whole = rest << 32 | u64::from(*limb);
            *limb = low(whole / u64::from(STEP));
            rest = whole % u64::from(STEP);
        }
        parts.push(rest);
    }
    if parts.is_empty() {
        parts.push(0);
    }
    let mut text = if negative { "-".to_owned() } else { String::new() };
    for (n, part) in parts.iter().rev().enumerate() {
        let width = if n == 0 { 1 } else { 9 };
        // Writing to a String can not fail.
        let _ = write!(text, "{part:0width$}");
    }
    text
}

/// A big-endian number in two's complement for its digits, in as few bytes as it needs.
pub(super) fn varint_bytes(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Limbs with the least first.
    let mut limbs: Vec<u32> = Vec::with_capacity(digits.len() / 9 + 2);
    for chunk in digits.as_bytes().chunks(9) {
        let part: u64 = std::str::from_utf8(chunk).ok()?.parse().ok()?;
        let mut carry = part;
        let times = 10_u64.pow(u32::try_from(chunk.len()).ok()?);
        for limb in &mut limbs {
            let whole = u64::from(*limb) * times + carry;
            *limb = low(whole);
            carry = whole >> 32;
        }
        if carry != 0 {
            limbs.push(low(carry));
        }
    }
    // Room for the sign.
    limbs.push(0);
    if negative {
        negate(&mut limbs);
    }
    let bytes: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    let mut short = bytes.as_slice();
    while let [first, rest @ ..] = short
        && let Some(next) = rest.first()
        && (*first == 0 && next & 0x80 == 0 || *first == 0xff && next & 0x80 != 0)
    {
        short = rest;
    }
    Some(short.to_vec())
}

/// Turns a number with the least limb first into its opposite.
fn negate(limbs: &mut [u32]) {
    let mut carry = true;
    for limb in limbs {
        let (sum, over) = (!*limb).overflowing_add(u32::from(carry));
        *limb = sum;
        carry = over;
    }
}

/// The lower half.
fn low(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// A decimal: how many of the digits stand behind the point, then the digits. Written as General Decimal Arithmetic
/// has it ("to-scientific-string"), and so Java and Python.
pub(super) fn decimal(cell: &[u8]) -> Option<String> {
    let (scale, digits) = cell.split_first_chunk::<4>()?;
    let scale = i64::from(i32::from_be_bytes(*scale));
    let number = varint(digits);
    if number.starts_with("0x") {
        return Some(super::hex(cell));
    }
    let (sign, digits) = number.strip_prefix('-').map_or(("", number.as_str()), |digits| ("-", digits));
    let length = i64::try_from(digits.len()).ok()?;
    let exponent = length - 1 - scale;
    if scale >= 0 && exponent >= -6 {
        // At most six zeros more than there are digits.
        let width = usize::try_from(scale + 1).ok()?;
        let digits = format!("{digits:0>width$}");
        let (whole, fraction) = digits.split_at_checked(digits.len() - usize::try_from(scale).ok()?)?;
        let point = if fraction.is_empty() { "" } else { "." };
        return Some(format!("{sign}{whole}{point}{fraction}"));
    }
    let (first, fraction) = digits.split_at_checked(1)?;
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{first}{point}{fraction}E{exponent:+}"))
}

/// A decimal for `-12.50E3` and the like.
pub(super) fn decimal_bytes(text: &str) -> Option<Vec<u8>> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = i32::try_from(i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?).ok()?;
    let mut cell = scale.to_be_bytes().to_vec();
    cell.extend(varint_bytes(&format!("{whole}{fraction}"))?);
    Some(cell)
}

/// As many bytes as the first one says by its leading ones (native protocol v5, section 3, "unsigned vint").
pub(super) fn unsigned_vint(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    let more = first.leading_ones();
    let (bytes, after) = after.split_at_checked(usize::try_from(more).ok()?)?;
    *rest = after;
    // Eight leading ones leave nothing of the first byte.
    let begin = u64::from(*first) & (0xff_u64 >> more.min(8));
    Some(bytes.iter().fold(begin, |number, byte| number << 8 | u64::from(*byte)))
}

/// The same with the sign in the lowest bit.
pub(super) fn signed_vint(rest: &mut &[u8]) -> Option<i64> {
    let number = unsigned_vint(rest)?;
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

pub(super) fn push_unsigned_vint(out: &mut Vec<u8>, number: u64) {
    let bits = 64 - number.leading_zeros();
    // Seven bits for each byte, but all of the ninth.
    let more = (bits.saturating_sub(1) / 7).min(8);
    let bytes = number.to_be_bytes();
    let ones = if more == 0 { 0 } else { u8::MAX << (8 - more) };
    if more == 8 {
        out.push(ones);
        out.extend_from_slice(&bytes);
        return;
    }
    let from = bytes.len() - 1 - usize::try_from(more).unwrap_or_default();
    let (_, kept) = bytes.split_at(from);
    if let [first, rest @ ..] = kept {
        out.push(first | ones);
        out.extend_from_slice(rest);
    }
}

pub(super) fn push_signed_vint(out: &mut Vec<u8>, number: i64) {
    push_unsigned_vint(out, (number << 1 ^ number >> 63).cast_unsigned());
}
