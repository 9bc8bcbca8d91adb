//! What a parser takes that HTTP/1.1 cannot say in one way alone (DESIGN 8, rule 8), of whichever
//! version the request is. [`super::Scanner`] has read HTTP/1 by the letter before; over HTTP/2
//! nobody has.

use http::header::CONTENT_LENGTH;
use http::uri::Scheme;
use http::{Method, Request};

use super::scan::decimal;

/// Why a request cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// `:path: ?x`, or `https://host?x`: towards an application it would be no path.
    #[error("the request's target has no path: it begins with a slash")]
    Path,
    /// A scheme that nothing is served under.
    #[error("the request's scheme is neither http nor https")]
    Scheme,
    /// More than one `Content-Length`, or one that is not a plain number.
    #[error("`Content-Length` is not one plain decimal number in one field")]
    Length,
}

/// Refuses what two readers would read differently.
///
/// # Errors
/// Where there is such a thing: a bad request.
pub fn check_clear<B>(request: &Request<B>) -> Result<(), Unclear> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let is_asterisk = target == "*" && *request.method() == Method::OPTIONS;
    // CONNECT has none, and is refused as what it is.
    if !target.is_empty() && !target.starts_with('/') && !is_asterisk {
        return Err(Unclear::Path);
    }
    let is_served = |scheme: &Scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    if !uri.scheme().is_none_or(is_served) {
        return Err(Unclear::Scheme);
    }
    let mut lengths = request.headers().get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || decimal(length.as_bytes()).is_none())
    {
        return Err(Unclear::Length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_8_what_two_would_read_differently_is_refused() {
        type Case = (
            &'static str,
            &'static str,
            &'static [&'static str],
            Result<(), Unclear>,
        );
        let cases: &[Case] = &[
            ("GET", "/", &[], Ok(())),
            ("POST", "https://a.test/x?y", &["5"], Ok(())),
            ("POST", "/", &["0"], Ok(())),
            ("OPTIONS", "*", &[], Ok(())),
            ("GET", "*", &[], Err(Unclear::Path)),
            ("GET", "https://a.test?x", &[], Err(Unclear::Path)),
            ("GET", "ftp://a.test/", &[], Err(Unclear::Scheme)),
            ("POST", "/", &["5", "5"], Err(Unclear::Length)),
            ("POST", "/", &["5", "6"], Err(Unclear::Length)),
            ("POST", "/", &["05"], Err(Unclear::Length)),
            ("POST", "/", &["+5"], Err(Unclear::Length)),
            ("POST", "/", &[""], Err(Unclear::Length)),
            ("POST", "/", &["5, 5"], Err(Unclear::Length)),
        ];
        for (method, target, lengths, expected) in cases {
            let mut request = Request::builder().method(*method).uri(*target);
            for length in *lengths {
                request = request.header(CONTENT_LENGTH, *length);
            }
            let request = request.body(()).unwrap();
            assert_eq!(check_clear(&request), *expected, "{target} {lengths:?}");
        }
    }
}
