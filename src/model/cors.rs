//! Which pages of other origins may ask an application for something (Fetch Standard, section 3.2).

use std::sync::Arc;
use std::time::Duration;

use super::url::ExternalUrl;

/// What pages of other origins may do with an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The pages, by their origins as browsers write them. Never `*`, never `null`, never empty.
    pub origins: Vec<Arc<str>>,
    /// The methods they may use, beside GET, HEAD and POST.
    pub methods: Vec<Arc<str>>,
    /// The fields they may send beside those that any page may, in small letters.
    pub headers: Vec<Arc<str>>,
    /// The fields of answers that they may read beside those that any page may.
    pub expose: Vec<Arc<str>>,
    /// What the browser has for the application comes along: our session, and its own cookies.
    pub credentials: bool,
    /// How long a browser may remember what it was told.
    pub max_age: Duration,
}

/// What needs no rule (Fetch Standard, section 2.2.1).
const ANYWAY: [&str; 3] = ["GET", "HEAD", "POST"];

impl Cors {
    /// Whether pages of this origin may ask.
    #[must_use]
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|own| own.as_bytes() == origin)
    }

    /// Whether they may use this method.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        ANYWAY.contains(&method) || self.methods.iter().any(|own| **own == *method)
    }

    /// Whether they may send a field of this name.
    #[must_use]
    pub fn allows_header(&self, name: &str) -> bool {
        let mut all = self.headers.iter();
        all.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// An origin as browsers write it, of a URL that has nothing but one; `None` where there is more.
    #[must_use]
    pub fn origin(text: &str) -> Option<Arc<str>> {
        if text.contains(['*', '?', '#', '@']) {
            return None;
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        let url = ExternalUrl::parse(&format!("{text}/")).ok()?;
        let super::url::HostPattern::Exact(host) = &url.host else {
            return None;
        };
        if url.path.as_str() != "/" {
            return None;
        }
        Some(format!("{}://{}", url.scheme.as_str(), url.authority(host)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (text, expected) in [
            ("https://a.example.com", Some("https://a.example.com")),
            ("https://a.example.com/", Some("https://a.example.com")),
            ("https://A.Example.com:443", Some("https://a.example.com")),
            (
                "https://a.example.com:8443",
                Some("https://a.example.com:8443"),
            ),
            ("http://a.example.com:80", Some("http://a.example.com")),
            (
                "https://b\u{fc}cher.example",
                Some("https://xn--bcher-kva.example"),
            ),
            ("https://a.example.com/x", None),
            ("https://a.example.com//", None),
            ("https://*.example.com", None),
            ("https://u@a.example.com", None),
            ("https://a.example.com?x", None),
            ("null", None),
            ("*", None),
            ("a.example.com", None),
            ("ftp://a.example.com", None),
            ("", None),
        ] {
            assert_eq!(Cors::origin(text).as_deref(), expected, "{text}");
        }
    }
}
