//! What of an application's answer may travel through the tunnel. The application is not trusted:
//! whatever it says is about its own answer alone, and never about the tunnel.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response};

use super::fault::BackendError;
use crate::http::{self as rules, Body, HeaderLimits};
use crate::model::ErrorCode;
use crate::tunnel::wire;

/// Leaves of an answer what may travel: an application's head must fit, even in its worst
/// encoding, or it would take the tunnel with every other stream down.
pub(super) fn check(response: &mut Response<Body>) -> Result<(), BackendError> {
    let bad = |detail: String| BackendError::new(ErrorCode::BackendBadResponse, detail);
    // HTTP/2 has no 101, and would take it for one that comes before the answer: the fault would
    // look like the tunnel's.
    if response.status().is_informational() {
        let status = response.status();
        let detail = format!("the application answered {status}, which nobody asked for");
        return Err(bad(detail));
    }
    let fields = response.headers_mut();
    settle_length(fields).map_err(|detail| bad(detail.to_owned()))?;
    rules::strip_response(fields);
    rules::deny_response(fields);
    let fits = HeaderLimits::default()
        .check(fields)
        .and_then(|()| rules::fits_tunnel(fields, &[3]));
    fits.map_err(|excess| {
        bad(format!(
            "the head of the application's answer is too large: {excess}"
        ))
    })?;
    wire::mark_sensitive(fields);
    Ok(())
}

/// Leaves one statement about the body's length, the one it was read by (RFC 9112 section 6.3).
fn settle_length(fields: &mut HeaderMap) -> Result<(), &'static str> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // Nothing else was offered, and what is left of it would pass as the body itself.
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("the application's answer has a transfer coding other than chunked");
        }
        fields.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = fields
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii);
    let Some(first) = lengths.next() else {
        return Ok(());
    };
    let plain = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    let value = HeaderValue::from_bytes(first).ok();
    let Some(value) = value.filter(|_| plain && lengths.all(|length| length == first)) else {
        return Err("the application's answer has no one length");
    };
    fields.insert(CONTENT_LENGTH, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn settled(fields: &[(&'static str, &'static str)]) -> Option<Vec<String>> {
        let mut response = Response::new(Body::empty());
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            response.headers_mut().append(*name, value);
        }
        check(&mut response).ok()?;
        let fields = response.headers().iter();
        Some(
            fields
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn rule_8_an_answer_has_one_length_or_none() {
        let (length, coding) = ("content-length", "transfer-encoding");
        let five = Some("content-length: 5");
        type Case<'a> = (&'a [(&'static str, &'static str)], Option<Option<&'a str>>);
        let cases: &[Case<'_>] = &[
            (&[], Some(None)),
            (&[(length, "5")], Some(five)),
            (&[(length, "5"), (length, "5")], Some(five)),
            (&[(length, "5, 5")], Some(five)),
            (&[(length, "5"), (length, "6")], None),
            (&[(length, "5, 6")], None),
            (&[(length, "5, 05")], None),
            (&[(length, "")], None),
            (&[(length, "+5")], None),
            (&[(length, "5,")], None),
            (&[(coding, "chunked")], Some(None)),
            (&[(coding, "CHUNKED"), (length, "5")], Some(None)),
            (&[(length, "5"), (coding, "chunked")], Some(None)),
            (&[(coding, "gzip, chunked")], None),
            (&[(coding, "gzip"), (coding, "chunked")], None),
            (&[(coding, "identity")], None),
            (&[(coding, "")], None),
        ];
        for (fields, expected) in cases {
            let expected = expected.map(|field| field.map(str::to_owned).into_iter().collect());
            assert_eq!(settled(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn an_informational_status_is_no_answer() {
        for status in [100, 101, 103, 199] {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let error = check(&mut response).unwrap_err();
            assert_eq!(error.code, ErrorCode::BackendBadResponse, "{status}");
        }
    }
}
