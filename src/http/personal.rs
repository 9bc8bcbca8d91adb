//! Applications that sign a connection in, and not a request: such a connection is one person's.

use http::{HeaderMap, HeaderName};

/// Whether NTLM or Negotiate stands in these fields: such a connection belongs to one person.
#[must_use]
pub fn carries_connection_authentication(fields: &HeaderMap, name: &HeaderName) -> bool {
    let is_theirs = |challenge: &[u8]| {
        let challenge = challenge.trim_ascii_start();
        // Applications look for white space here, whichever it is (RFC 9110 section 11.4).
        let scheme = challenge.split(u8::is_ascii_whitespace).next();
        let scheme = scheme.unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    };
    let mut values = fields.get_all(name).iter();
    values.any(|value| value.as_bytes().split(|&b| b == b',').any(is_theirs))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    #[test]
    fn connections_with_ntlm_or_negotiate_are_recognised() {
        for (value, expected) in [
            ("NTLM TlRMTVNTUAAB", true),
            ("NTLM\tTlRMTVNTUAAB", true),
            ("negotiate YII", true),
            ("Negotiate\t YII", true),
            ("Negotiate", true),
            ("NTLM,Basic", true),
            ("Digest realm=x, Negotiate", true),
            ("Basic bmVnb3RpYXRl", false),
            ("Bearer ntlm", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"));
            fields.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            assert_eq!(
                carries_connection_authentication(&fields, &WWW_AUTHENTICATE),
                expected,
                "{value}"
            );
        }
    }
}
