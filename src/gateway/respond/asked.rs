//! What a client wants of an answer of ours.

use http::header::ACCEPT;
use http::{HeaderMap, Method};

use super::pages::Language;

/// What kind of answer the client can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(super) form: Form,
    pub(super) body: bool,
    language: Language,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Page,
    Json,
}

impl Asked {
    /// A page for a person who navigates or a client that prefers HTML, JSON for a program.
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let navigates = headers
            .get("sec-fetch-mode")
            .is_some_and(|mode| mode == "navigate");
        let form = if navigates || prefers_html(headers) {
            Form::Page
        } else {
            Form::Json
        };
        Self {
            form,
            body: method != Method::HEAD,
            language: Language::of(headers),
        }
    }

    /// What the visitor reads.
    pub(crate) const fn language(&self) -> Language {
        self.language
    }
}

/// Whether `Accept` (RFC 9110, section 12.5.1) names HTML, and not JSON above it.
fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    let fields = headers.get_all(ACCEPT).iter();
    for range in fields
        .filter_map(|f| f.to_str().ok())
        .flat_map(|f| f.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case("text/html") {
            html = quality;
        } else if kind.eq_ignore_ascii_case("application/json") {
            json = quality;
        }
    }
    html > 0.0 && html >= json
}
