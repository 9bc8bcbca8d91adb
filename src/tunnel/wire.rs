//! The fields that travel beside an application's own in the tunnel.
//!
//! Every field of this family is ours: those a browser or an application sends under the same
//! names are deleted before these are set.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::ErrorCode;

/// Host and port the connector dials.
pub const TARGET: HeaderName = HeaderName::from_static("appproxy-target");
/// The request's reference.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("appproxy-request-id");
/// The application's name, for the connector's log.
pub const APPLICATION: HeaderName = HeaderName::from_static("appproxy-application");
/// Which profile the connector is to use; the profile itself went over the control stream.
pub const PROFILE: HeaderName = HeaderName::from_static("appproxy-profile");
/// The client connection a request came on, where the application signs connections in. Never the
/// client's word, and nobody can guess it.
pub const CONNECTION: HeaderName = HeaderName::from_static("appproxy-connection");
/// Both ends of the client's connection ([`Ends`](crate::model::Ends) as text), where the application
/// is to know them from its own.
pub const CLIENT: HeaderName = HeaderName::from_static("appproxy-client");
/// On an answer: the connector has no answer of the application, for this reason.
pub const ERROR: HeaderName = HeaderName::from_static("appproxy-error");
/// Beside [`ERROR`]: what happened, for the log.
pub const ERROR_DETAIL: HeaderName = HeaderName::from_static("appproxy-error-detail");
/// On an answer: how long the application took for its head, in microseconds.
pub const TIMING: HeaderName = HeaderName::from_static("appproxy-timing");

/// The protocol (RFC 8441) of a stream that carries a TLS connection as it is.
pub const TLS_PASSTHROUGH: &str = "tls";

/// The path of the control stream.
pub const CONTROL_PATH: &str = "/control";

/// The longest detail that is carried, in octets.
const DETAIL_MAX: usize = 1024;

/// Writes why there is no answer.
pub fn put_error(fields: &mut HeaderMap, code: ErrorCode, detail: &str) {
    fields.insert(ERROR, HeaderValue::from_static(code.as_str()));
    fields.insert(ERROR_DETAIL, once(printable(detail)));
}

/// Writes how long the application took for its head.
pub fn put_timing(fields: &mut HeaderMap, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    fields.insert(TIMING, once(HeaderValue::from(micros)));
}

/// Reads how long the application took for its head.
pub fn take_timing(fields: &mut HeaderMap) -> Option<Duration> {
    let micros = fields.remove(TIMING)?;
    let micros = micros.to_str().ok()?.parse().ok()?;
    Some(Duration::from_micros(micros))
}

/// A value that no other answer repeats; see [`mark_sensitive`].
fn once(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Reads why there is no answer; `None` where the answer is the application's. A word this version
/// does not know, from a newer connector, is a lost tunnel: something went wrong on that side.
#[must_use]
pub fn take_error(fields: &mut HeaderMap) -> Option<(ErrorCode, String)> {
    let word = fields.remove(ERROR)?;
    let code = word
        .to_str()
        .ok()
        .and_then(ErrorCode::from_word)
        .unwrap_or(ErrorCode::TunnelLost);
    let detail = fields.remove(ERROR_DETAIL);
    // SECURITY: it goes into the gateway's log, which a connector must not fill with one answer.
    let detail = detail.map(|d| {
        let octets = d.as_bytes();
        String::from_utf8_lossy(octets.get(..DETAIL_MAX).unwrap_or(octets)).into_owned()
    });
    Some((code, detail.unwrap_or_default()))
}

/// Keeps secret and ever-changing values out of the compression table, where each would push out
/// one that repeats.
pub fn mark_sensitive(fields: &mut HeaderMap) {
    static NAMES: [HeaderName; 8] = [
        REQUEST_ID,
        CONNECTION,
        CLIENT,
        http::header::AUTHORIZATION,
        http::header::COOKIE,
        http::header::SET_COOKIE,
        http::header::FORWARDED,
        HeaderName::from_static("x-request-id"),
    ];
    // Names that are known are compared by number, so one pass costs less than eight look-ups.
    for (name, value) in fields.iter_mut() {
        if NAMES.contains(name) {
            value.set_sensitive(true);
        }
    }
}

/// A detail as a field value: cut to size, what cannot stand in a field replaced.
fn printable(detail: &str) -> HeaderValue {
    let octets: Vec<u8> = detail
        .bytes()
        .take(DETAIL_MAX)
        .map(|b| if (0x20..0x7f).contains(&b) { b } else { b'?' })
        .collect();
    HeaderValue::from_bytes(&octets).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        let mut fields = HeaderMap::new();
        put_error(&mut fields, ErrorCode::BackendDns, "no such\r\nname: ä");
        assert!(fields[ERROR_DETAIL].is_sensitive() && !fields[ERROR].is_sensitive());
        let (code, detail) = take_error(&mut fields).unwrap();
        assert_eq!(
            (code, detail.as_str()),
            (ErrorCode::BackendDns, "no such??name: ??")
        );
        assert!(fields.is_empty() && take_error(&mut fields).is_none());
    }

    #[test]
    fn a_time_that_is_never_the_same_stays_out_of_the_compression_table() {
        let mut fields = HeaderMap::new();
        put_timing(&mut fields, Duration::from_millis(2));
        assert_eq!(fields[TIMING], "2000");
        assert!(fields[TIMING].is_sensitive());
    }

    #[test]
    fn an_unknown_error_is_still_an_error() {
        let mut fields = HeaderMap::new();
        fields.insert(ERROR, HeaderValue::from_static("from_the_future"));
        assert_eq!(
            take_error(&mut fields),
            Some((ErrorCode::TunnelLost, String::new()))
        );
    }

    #[test]
    fn a_detail_is_read_no_longer_than_it_is_written() {
        let mut fields = HeaderMap::new();
        fields.insert(ERROR, HeaderValue::from_static("internal"));
        let long = HeaderValue::from_bytes(&[b'x'; 5000]).unwrap();
        fields.insert(ERROR_DETAIL, long);
        let (_, detail) = take_error(&mut fields).unwrap();
        assert_eq!(detail.len(), DETAIL_MAX);
    }

    #[test]
    fn every_value_of_a_secret_field_is_marked() {
        let mut fields = HeaderMap::new();
        fields.append("set-cookie", HeaderValue::from_static("a=1"));
        fields.append("set-cookie", HeaderValue::from_static("b=2"));
        fields.append("accept", HeaderValue::from_static("*/*"));
        mark_sensitive(&mut fields);
        assert!(
            fields
                .get_all("set-cookie")
                .iter()
                .all(HeaderValue::is_sensitive)
        );
        assert!(!fields["accept"].is_sensitive());
    }
}
