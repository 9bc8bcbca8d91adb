//! Which language a visitor reads.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

/// Ranges of `Accept-Language` that are looked at. Browsers send a handful; what comes after this many
/// is nobody's preference.
const MOST_RANGES: usize = 32;

/// A language of our pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Where nothing else is asked for.
    English,
    /// `de`
    German,
    /// `fr`
    French,
    /// `es`
    Spanish,
    /// `ja`
    Japanese,
}

impl Language {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::English,
        Self::German,
        Self::French,
        Self::Spanish,
        Self::Japanese,
    ];

    /// The tag (RFC 5646), for `lang`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Japanese => "ja",
        }
    }

    /// The best of ours by `Accept-Language` (RFC 9110, section 12.5.4): by weight, then by order, each
    /// range cut down to its language (the lookup of RFC 4647, section 3.4). English where none fits.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(ACCEPT_LANGUAGE).iter();
        let ranges = fields
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','))
            .take(MOST_RANGES);
        let mut best = (0, Self::English);
        for range in ranges {
            let mut parts = range.split(';').map(str::trim);
            let language = match parts.next().and_then(|range| range.split('-').next()) {
                Some("*") => Some(Self::English),
                Some(primary) => {
                    let same = |own: &Self| own.tag().eq_ignore_ascii_case(primary);
                    Self::ALL.into_iter().find(same)
                }
                None => None,
            };
            let weight = parts.next().map_or(Some(1000), weight);
            if let (Some(language), Some(weight)) = (language, weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// A weight in thousandths (RFC 9110, section 12.4.2); `None` where it is none.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim_start();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for field in fields {
            let value = HeaderValue::from_bytes(field.as_bytes()).unwrap();
            headers.append(ACCEPT_LANGUAGE, value);
        }
        Language::of(&headers).tag()
    }

    #[test]
    fn the_visitor_s_first_language_that_is_ours() {
        let many = "xx,".repeat(MOST_RANGES) + "de";
        let few = "xx,".repeat(MOST_RANGES - 1) + "de";
        for (fields, expected) in [
            (&[][..], "en"),
            (&[""], "en"),
            (&["de-AT"], "de"),
            (&["de-AT, en;q=0.8"], "de"),
            (&["zh-Hant, fr-CA;q=0.5"], "fr"),
            (&["en;q=0.5, ja;q=0.7"], "ja"),
            (&["es;q=0.7, fr;q=0.7"], "es"),
            (&["de;q=0.5, *;q=0.7"], "en"),
            (&["*"], "en"),
            (&["de;q=0"], "en"),
            (&["de;q=0.000, fr;q=0.001"], "fr"),
            (&["EN-us;q=0.1, DE;Q=0.2"], "de"),
            (&["pt, it"], "en"),
            (&["den, dex-DE"], "en"),
            (&["en;q=0.1", "ja"], "ja"),
            (&["de;q=2, fr;q=0.1"], "fr"),
            (&["de;q=1.001"], "en"),
            (&["de;q=0.1234"], "en"),
            (&["de;q=-1"], "en"),
            (&["de;q=+1"], "en"),
            (&["de;q="], "en"),
            (&["de;level=1"], "en"),
            (&["de ; q = 0.3 , en ; q=0.2"], "de"),
            (&["de\u{e9}, fr"], "en"),
            (&[many.as_str()], "en"),
            (&[few.as_str()], "de"),
        ] {
            assert_eq!(of(fields), expected, "{fields:?}");
        }
    }
}
