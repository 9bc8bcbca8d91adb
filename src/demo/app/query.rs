//! What may stand in a query.

use http::Request;

use super::{Refusal, refuse};

/// The decoded value of a parameter, the first of its name.
pub(super) fn value<B>(request: &Request<B>, name: &str) -> Option<String> {
    url::form_urlencoded::parse(request.uri().query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// A number of at most `most`; `otherwise` where it is not given.
pub(super) fn number<B>(
    request: &Request<B>,
    name: &str,
    otherwise: u64,
    most: u64,
) -> Result<u64, Refusal> {
    let Some(written) = value(request, name) else {
        return Ok(otherwise);
    };
    written
        .parse()
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| refuse(&format!("{name} is a whole number from 0 to {most}")))
}

/// A size such as `4096`, `64KiB`, `10MiB` or `4GiB`, of at most 1 TiB.
pub(super) fn size<B>(request: &Request<B>, name: &str, otherwise: u64) -> Result<u64, Refusal> {
    let Some(written) = value(request, name) else {
        return Ok(otherwise);
    };
    let (digits, unit) = match written.find(|letter: char| !letter.is_ascii_digit()) {
        Some(place) => written.split_at(place),
        None => (written.as_str(), ""),
    };
    let factor: Option<u64> = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    factor
        .zip(digits.parse::<u64>().ok())
        .and_then(|(factor, number)| number.checked_mul(factor))
        .filter(|size| *size <= 1 << 40)
        .ok_or_else(|| refuse(&format!("{name} is a size such as 64KiB or 10MiB")))
}
