//! Values with a unit. A bare number is refused: nobody remembers whether it means seconds.

use std::time::Duration;

/// Longer than any setting needs, and short enough that adding it to a moment cannot overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Why a size was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SizeError {
    /// A number alone.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// Not a number and one of the units, or a number that is far too large.
    #[error("`{0}` is not a size")]
    Malformed(String),
}

impl SizeError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoUnit(_) => "missing_unit",
            Self::Malformed(_) => "bad_size",
        }
    }

    pub(super) const fn remedy(&self) -> &'static str {
        "write a whole number and its unit without a space: KiB, MiB or GiB, such as `1MiB`"
    }
}

/// Reads a size such as `64KiB` or `4MiB`, in octets.
pub(super) fn size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() && !number.is_empty() {
        return Err(SizeError::NoUnit(text.to_owned()));
    }
    let of_unit = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    let number = number.parse::<u64>().ok();
    number
        .zip(of_unit)
        .and_then(|(number, (_, octets))| number.checked_mul(*octets))
        .ok_or_else(|| SizeError::Malformed(text.to_owned()))
}

/// Why a length of time was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    /// A number alone.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// Not a number and one of the units.
    #[error("`{0}` is not a length of time")]
    Malformed(String),
    /// Nothing, or longer than ten years.
    #[error("`{0}` is out of range")]
    Range(String),
}

impl DurationError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NoUnit(_) => "missing_unit",
            Self::Malformed(_) => "bad_duration",
            Self::Range(_) => "out_of_range",
        }
    }

    pub(super) fn remedy(&self) -> String {
        match self {
            Self::NoUnit(number) => {
                format!(
                    "write `{number}s` for seconds, `{number}m` for minutes, `{number}h` for hours, \
                     `{number}d` for days"
                )
            }
            Self::Malformed(_) => "write a whole number and its unit without a space: \
                                   ms, s, m, h or d, such as `85s`"
                .to_owned(),
            Self::Range(_) => "write more than `0s` and at most `3650d`".to_owned(),
        }
    }
}

/// Reads a length of time such as `250ms`, `10s`, `5m`, `12h` or `365d`.
pub(super) fn duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::Malformed(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let millis = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, millis) = millis.ok_or_else(|| DurationError::Malformed(text.to_owned()))?;
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*millis))
        .map(Duration::from_millis)
        .filter(|d| !d.is_zero() && *d <= LONGEST)
        .ok_or_else(|| DurationError::Range(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_their_unit() {
        for (text, octets) in [
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("0KiB", 0),
            ("4GiB", 4 << 30),
        ] {
            assert_eq!(size(text), Ok(octets), "{text}");
        }
        for (text, code) in [
            ("1048576", "missing_unit"),
            ("1MB", "bad_size"),
            ("1M", "bad_size"),
            ("1 MiB", "bad_size"),
            ("1mib", "bad_size"),
            ("1.5MiB", "bad_size"),
            ("-1MiB", "bad_size"),
            ("MiB", "bad_size"),
            ("", "bad_size"),
            ("99999999999999999999MiB", "bad_size"),
            ("18446744073709551615MiB", "bad_size"),
        ] {
            assert_eq!(size(text).map_err(|e| e.code()), Err(code), "{text}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        for (text, seconds) in [
            ("10s", 10),
            ("5m", 300),
            ("2h", 7_200),
            ("365d", 31_536_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for (text, code) in [
            ("10", "missing_unit"),
            ("10 s", "bad_duration"),
            ("10sec", "bad_duration"),
            ("1.5s", "bad_duration"),
            ("-1s", "bad_duration"),
            ("s", "bad_duration"),
            ("10S", "bad_duration"),
            ("1m30s", "bad_duration"),
            ("0s", "out_of_range"),
            ("3651d", "out_of_range"),
            ("99999999999999999999d", "out_of_range"),
        ] {
            assert_eq!(duration(text).map_err(|e| e.code()), Err(code), "{text}");
        }
    }
}
