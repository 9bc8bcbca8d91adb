//! Parameters of a query or a small form, each at most once.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::super::respond::Failure;
use super::AtDesk;
use crate::model::ErrorCode;

/// A form of ours, or of an identity provider: a logout token is the longest part of any.
const FORM: usize = 128 * 1024;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// For all of it to come.
const WITHIN: Duration = Duration::from_secs(10);

/// Whether a media type is that of a form of names and values.
pub(super) fn is_urlencoded(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether a page of this very origin sent it.
pub(super) fn is_own(visit: &AtDesk<'_>, fields: &HeaderMap) -> bool {
    let one = |name: &HeaderName| {
        let mut all = fields.get_all(name).iter();
        let first = all.next().map(HeaderValue::as_bytes);
        (first, all.next().is_some())
    };
    match (one(&ORIGIN), one(&SEC_FETCH_SITE)) {
        ((_, true), _) | (_, (_, true)) => false,
        ((Some(b"null") | None, _), (site, _)) => site == Some(b"same-origin"),
        ((Some(origin), _), (site, _)) => {
            origin == visit.host.as_str().as_bytes()
                && site.is_none_or(|site| site == b"same-origin")
        }
    }
}

/// Names and values, decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a request's query.
    pub(super) fn of_query<B>(request: &Request<B>) -> Self {
        Self::read(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// Those of a form.
    ///
    /// # Errors
    /// Where it is none, is too large, or does not come.
    pub(super) async fn of_form(fields: &HeaderMap, body: Incoming) -> Result<Self, Failure> {
        let kind = fields.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(is_urlencoded) {
            let detail = "what was sent is no form";
            return Err(Failure::new(ErrorCode::BadRequest, detail).closing());
        }
        let whole = timeout(WITHIN, Limited::new(body, FORM).collect()).await;
        let whole = whole.map_err(|_| {
            Failure::new(ErrorCode::RequestTimeout, "a form that does not come").closing()
        })?;
        let whole = whole.map_err(|error| {
            let code = match error.is::<http_body_util::LengthLimitError>() {
                true => ErrorCode::BodyTooLarge,
                false => ErrorCode::BadRequest,
            };
            Failure::new(code, format!("a form of ours: {error}")).closing()
        })?;
        Ok(Self::read(&whole.to_bytes()))
    }

    fn read(octets: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(octets);
        Self(pairs.into_owned().collect())
    }

    /// The value of this name, where it is there once (RFC 6749 section 3.1: parameters must not be
    /// included more than once).
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(own, _)| own == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    /// All, in their order.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether a name is there more than once.
    pub(super) fn has_twice(&self, name: &str) -> bool {
        self.0.iter().filter(|(own, _)| own == name).count() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_counts_where_it_is_there_once() {
        let all = Parameters::read(b"a=1&b=2&b=3&c=%26+x&d");
        assert_eq!(all.one("a"), Some("1"));
        assert_eq!(all.one("b"), None);
        assert_eq!(all.one("c"), Some("& x"));
        assert_eq!(all.one("d"), Some(""));
        assert_eq!(all.one("e"), None);
        assert!(all.has_twice("b") && !all.has_twice("a") && !all.has_twice("e"));
    }
}
