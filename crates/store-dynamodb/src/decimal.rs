//! The numbers of DynamoDB: decimal, of 38 digits, as text.

/// What is not zero and less than this in its amount is less than the service's least number (1E-130).
const LEAST_POINT: i64 = -129;
/// The greatest number is 9.99…E+125.
const GREATEST_POINT: i64 = 126;
/// The service keeps so many digits.
const MAX_DIGITS: usize = 38;

/// A decimal number, taken apart: `0.digits` times ten to the power of `point`. Zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) digits: String,
    pub(crate) point: i64,
}

/// How a number stands to what the service can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is held exactly.
    Exact,
    /// It is nearer to zero than any that can be held.
    TooSmall,
    /// It is greater, or has more digits.
    TooGreat,
}

impl Decimal {
    /// Reads `-12.5e-3` and the like; `None` for what is no number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let mut digits = String::with_capacity(whole.len() + fraction.len());
        digits.push_str(whole);
        digits.push_str(fraction);
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        digits.truncate(digits.trim_end_matches('0').len());
        if digits.is_empty() {
            return Some(Self { negative: false, digits, point: 0 });
        }
        digits.drain(..zeros);
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let point = exponent.checked_add(shift)?;
        Some(Self { negative, digits, point })
    }

    pub(crate) fn is_integer(&self) -> bool {
        i64::try_from(self.digits.len()).is_ok_and(|digits| digits <= self.point) || self.digits.is_empty()
    }

    /// An integer without exponent; `None` for others, and for those of more than 38 digits.
    pub(crate) fn integer(&self) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".to_owned());
        }
        let length = usize::try_from(self.point).ok().filter(|length| *length <= MAX_DIGITS)?;
        let sign = if self.negative { "-" } else { "" };
        self.is_integer().then(|| format!("{sign}{:0<length$}", self.digits))
    }

    /// Whether the service can hold it.
    pub(crate) fn fit(&self) -> Fit {
        if self.digits.is_empty() {
            Fit::Exact
        } else if self.point < LEAST_POINT {
            Fit::TooSmall
        } else if self.point > GREATEST_POINT || self.digits.len() > MAX_DIGITS {
            Fit::TooGreat
        } else {
            Fit::Exact
        }
    }

    /// The bytes that the service counts: one for each two digits, as they stand beside the decimal point, one more,
    /// and one for the sign.
    pub(crate) fn size(&self) -> usize {
        let shifted = usize::from(self.point.rem_euclid(2) == 1);
        (self.digits.len() + shifted).div_ceil(2) + 1 + usize::from(self.negative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn one_number_has_one_form() {
        for same in [["2", "2.0"], ["1e22", "10000000000000000000000"], ["0", "-0.0"], ["0.1", "1E-1"]] {
            assert_eq!(decimal(same[0]), decimal(same[1]));
        }
        assert_ne!(decimal("1"), decimal("-1"));
        for bad in ["", "-", ".", "e5", "1e", "x", "1.2.3", "NaN", "1 ", "1e9223372036854775807"] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn integers_are_told() {
        assert_eq!(decimal("1.50e2").integer().as_deref(), Some("150"));
        assert_eq!(decimal("-3.0").integer().as_deref(), Some("-3"));
        assert_eq!(decimal("0.00").integer().as_deref(), Some("0"));
        assert_eq!(decimal("1.5").integer(), None);
        assert_eq!(decimal(&"9".repeat(38)).integer(), Some("9".repeat(38)));
        assert_eq!(decimal("1e38").integer(), None);
        assert!(decimal("1e100").is_integer());
    }

    #[test]
    fn the_limits_of_the_service() {
        for text in ["0", "1e-130", "-1e-130", "9.99e125", "0.1", &"9".repeat(38)] {
            assert_eq!(decimal(text).fit(), Fit::Exact, "{text}");
        }
        assert_eq!(decimal("9.99e-131").fit(), Fit::TooSmall);
        assert_eq!(decimal("5e-324").fit(), Fit::TooSmall);
        assert_eq!(decimal("1e126").fit(), Fit::TooGreat);
        assert_eq!(decimal(&format!("{}1", "9".repeat(38))).fit(), Fit::TooGreat);
    }
}
