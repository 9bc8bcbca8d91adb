//! Which page a request comes from, where a browser would prove by itself whose it is (DESIGN 8,
//! rule 17).
//!
//! A browser sends cookies and shows client certificates whatever page asks, and `SameSite` does not
//! hold back a sibling application on the same registrable domain. So a request that may change
//! something, and every WebSocket handshake, must come from the application's own origin.

use http::header::{COOKIE, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, Method};

use super::{Denied, Facts};
use crate::model::Cors;

/// What a browser says of the page that asks, compared with what it asks for; no script can set it
/// (Fetch Metadata, section 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The longest foreign origin that is logged.
const SHOWN: usize = 200;

/// Judges a request that carries what a browser sends by itself.
///
/// | `Origin` | `Sec-Fetch-Site` | |
/// |---|---|---|
/// | the application's own, or one of its `cors.origins` with `credentials` | | passes |
/// | `null` | `same-origin` | passes: a page with `Referrer-Policy: no-referrer` sends that of itself |
/// | none | `same-origin`, `none` | passes: its own page, or the person |
/// | anything else, and nothing at all | | 403 |
///
/// Nothing at all comes from programs, from browsers of before 2020 in a form of any page, and from
/// what newer ones do beside pages (Chromium's device-bound sessions did), so it proves nothing. One
/// origin is one: applications that share a host are not held apart by this.
///
/// # Errors
/// With the origin, for the log.
pub(super) fn check(facts: &Facts<'_>, cors: Option<&Cors>) -> Result<(), Denied> {
    if is_safe(facts.method) && !facts.is_websocket {
        return Ok(());
    }
    let site = one(facts.fields, &SEC_FETCH_SITE);
    let is_own = match one(facts.fields, &ORIGIN) {
        One::None => matches!(site, One::Value(b"same-origin" | b"none")),
        One::Value(b"null") => site == One::Value(b"same-origin"),
        One::Value(origin) => {
            // Without `credentials` its pages are to have nothing of the person's.
            let may = |cors: &Cors| cors.credentials && cors.allows_origin(origin);
            origin == own(facts).as_bytes() || cors.is_some_and(may)
        }
        One::Several => false,
    };
    if is_own {
        return Ok(());
    }
    let said: Vec<_> = facts.fields.get_all(ORIGIN).iter().collect();
    let said = match &said[..] {
        [] => "no page that says so".to_owned(),
        said => {
            let said = said.iter().map(|o| String::from_utf8_lossy(o.as_bytes()));
            let said = said.collect::<Vec<_>>().join(", ");
            said.chars().take(SHOWN).collect()
        }
    };
    Err(Denied::CrossOrigin(format!(
        "{said:?} and not from {}; a program says that in `Origin`",
        own(facts)
    )))
}

/// Whether a request says nothing of a page that it comes from: browsers do so where it matters, programs
/// do not.
pub(super) fn says_nothing(fields: &HeaderMap) -> bool {
    let browsers_send = [&ORIGIN, &SEC_FETCH_SITE, &REFERER, &COOKIE];
    !browsers_send
        .into_iter()
        .any(|name| fields.contains_key(name))
}

/// Methods that change nothing (RFC 9110 section 9.2.1). WebDAV's are not among them, though some
/// change nothing either: no page of a sibling needs them.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// As browsers write it (RFC 6454 section 6.2): without the scheme's own port.
fn own(facts: &Facts<'_>) -> String {
    let scheme = facts.external.scheme.as_str();
    format!("{scheme}://{}", facts.external.authority(facts.host))
}

#[derive(Debug, PartialEq, Eq)]
enum One<'a> {
    None,
    Value(&'a [u8]),
    Several,
}

fn one<'a>(fields: &'a HeaderMap, name: &HeaderName) -> One<'a> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => One::None,
        (Some(value), None) => One::Value(value.as_bytes()),
        (Some(_), Some(_)) => One::Several,
    }
}
