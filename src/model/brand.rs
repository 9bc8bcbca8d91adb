//! Whose the pages of our own are, and how they look.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::Place;

/// What an operator says of the look of our pages; each part may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Brand {
    /// Whose pages they are.
    pub name: Option<Arc<str>>,
    /// The file of a logo.
    pub logo: Option<LogoFile>,
    /// What buttons are drawn in.
    pub colour: Option<Colour>,
    /// Where visitors find help.
    pub support: Option<SupportLink>,
}

/// A logo's file, read by whoever serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoFile {
    /// The file.
    pub path: PathBuf,
    /// Where it is named.
    pub place: Place,
}

/// A colour of the sRGB space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    red: u8,
    green: u8,
    blue: u8,
}

impl Colour {
    /// White.
    pub const WHITE: Self = Self::new(0xff, 0xff, 0xff);
    /// Black.
    pub const BLACK: Self = Self::new(0, 0, 0);

    /// A colour of its three parts.
    #[must_use]
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// A colour written as `#rrggbb`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self { red, green, blue })
    }

    /// The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio").
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// This much of the way to white: 0 is the colour itself, 255 is white.
    #[must_use]
    pub fn lighter(self, share: u8) -> Self {
        let mix = |part: u8| part + scaled(255 - part, share);
        Self::new(mix(self.red), mix(self.green), mix(self.blue))
    }

    /// WCAG 2.2, "relative luminance", with the threshold of sRGB itself.
    fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }
}

/// `share` of 255 parts of `part`.
fn scaled(part: u8, share: u8) -> u8 {
    u8::try_from(u16::from(part) * u16::from(share) / 255).unwrap_or(u8::MAX)
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

/// Where help is: an address to write to, or a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportLink(Arc<str>);

impl SupportLink {
    /// Takes `mailto:` with one address and nothing else (RFC 6068), or an https URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix("mailto:") {
            let (name, domain) = address.split_once('@')?;
            // The addresses people have; what RFC 6068 would want encoded is not among them.
            let good = |part: &str| {
                let other = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
                !part.is_empty() && part.bytes().all(other)
            };
            return (good(name) && good(domain)).then(|| Self(text.into()));
        }
        let url = Url::parse(text).ok()?;
        let is_page = url.scheme() == "https" && url.has_host();
        let is_named = url.username().is_empty() && url.password().is_none();
        // As it was understood, not as it was written.
        (is_page && is_named).then(|| Self(url.as_str().into()))
    }

    /// What a link leads to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_read_back() {
        for (written, parts) in [
            ("#0b5cad", Some("#0b5cad")),
            ("#FFFFFF", Some("#ffffff")),
            ("#fff", None),
            ("0b5cad", None),
            ("#0b5cag", None),
            ("#+b5cad", None),
            ("#0b5cadé", None),
            ("", None),
        ] {
            let read = Colour::parse(written).map(|c| c.to_string());
            assert_eq!(read.as_deref(), parts, "{written}");
        }
    }

    /// The ratios that are in every table of WCAG.
    #[test]
    fn contrast_is_that_of_wcag() {
        let ratio = |a: &str, b: Colour| Colour::parse(a).unwrap().contrast(b);
        for (colour, against, expected) in [
            ("#000000", Colour::WHITE, 21.0),
            ("#ffffff", Colour::WHITE, 1.0),
            ("#767676", Colour::WHITE, 4.54),
            ("#ff0000", Colour::WHITE, 4.0),
            ("#ff0000", Colour::BLACK, 5.25),
        ] {
            let ratio = ratio(colour, against);
            assert!((ratio - expected).abs() < 0.01, "{colour}: {ratio}");
        }
    }

    #[test]
    fn lighter_goes_to_white() {
        let colour = Colour::new(0, 0x33, 0x66);
        assert_eq!(colour.lighter(0), colour);
        assert_eq!(colour.lighter(255), Colour::WHITE);
        assert_eq!(colour.lighter(128), Colour::new(128, 153, 178));
    }

    #[test]
    fn help_is_an_address_or_a_page() {
        for good in [
            "mailto:help@example.com",
            "mailto:it.help+web@sub.example.com",
            "https://example.com/help?x=1#y",
        ] {
            assert_eq!(SupportLink::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "help@example.com",
            "mailto:",
            "mailto:help",
            "mailto:a@b?subject=x",
            "mailto:a@b,c@d",
            "mailto:a\u{202e}@b",
            "http://example.com/",
            "javascript:alert(1)",
            "https://user:secret@example.com/",
            "https://",
            "//example.com/",
        ] {
            assert_eq!(SupportLink::parse(bad), None, "{bad}");
        }
    }
}
