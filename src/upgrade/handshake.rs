//! The opening handshake of RFC 6455, section 4.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Response, StatusCode};

/// RFC 6455, section 1.3: what a server that understands WebSockets appends to the key.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why an application's answer does not open a WebSocket (RFC 6455, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSwitched {
    /// Any status but 101: an answer like every other, to be passed on as it is.
    #[error("the application answered {0} and not 101")]
    Status(StatusCode),
    /// `Upgrade` is missing, repeated or not `websocket`.
    #[error("the application's 101 lacks `Upgrade: websocket`")]
    Upgrade,
    /// `Connection` does not name `upgrade`.
    #[error("the application's 101 lacks `Connection: Upgrade`")]
    Connection,
    /// `Sec-WebSocket-Accept` does not belong to our key: something in between answered from
    /// memory, or it is no WebSocket server.
    #[error("the application's 101 has a Sec-WebSocket-Accept that does not answer our key")]
    Accept,
}

/// The `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
#[must_use]
pub fn accept_for(key: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID.as_bytes());
    STANDARD.encode(context.finish())
}

/// A fresh `Sec-WebSocket-Key`: 16 random octets in base64.
#[must_use]
pub fn new_key() -> String {
    STANDARD.encode(super::random::<16>())
}

/// Whether `response` opens the WebSocket that was asked for with `key`.
///
/// # Errors
/// Anything but a 101 with `Upgrade: websocket`, `Connection: Upgrade` and the accept value of
/// `key`. On an error nothing raw may flow.
pub fn check_switching<B>(response: &Response<B>, key: &str) -> Result<(), NotSwitched> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(NotSwitched::Status(response.status()));
    }
    if !only(response, &UPGRADE).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")) {
        return Err(NotSwitched::Upgrade);
    }
    let named = response
        .headers()
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|octet| *octet == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    if !named {
        return Err(NotSwitched::Connection);
    }
    if only(response, &SEC_WEBSOCKET_ACCEPT) != Some(accept_for(key).as_bytes()) {
        return Err(NotSwitched::Accept);
    }
    Ok(())
}

/// The value of a field that may stand once.
fn only<'r, B>(response: &'r Response<B>, name: &HeaderName) -> Option<&'r [u8]> {
    let mut values = response.headers().get_all(name).iter();
    let first = values.next()?;
    values
        .next()
        .is_none()
        .then(|| first.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept_for(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_octets_and_differ() {
        let (one, two) = (new_key(), new_key());
        assert_eq!(STANDARD.decode(&one).unwrap().len(), 16);
        assert_ne!(one, two);
    }

    #[test]
    fn only_a_whole_answer_switches() {
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let good = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", accept),
        ];
        let response = |status: u16, fields: &[(&'static str, &str)]| {
            let mut builder = Response::builder().status(status);
            for (name, value) in fields {
                builder = builder.header(*name, *value);
            }
            builder.body(()).unwrap()
        };
        assert_eq!(check_switching(&response(101, &good), KEY), Ok(()));
        assert_eq!(
            check_switching(&response(200, &good), KEY),
            Err(NotSwitched::Status(StatusCode::OK))
        );
        for (missing, error) in [
            (0, NotSwitched::Upgrade),
            (1, NotSwitched::Connection),
            (2, NotSwitched::Accept),
        ] {
            let mut fields = good.to_vec();
            fields.remove(missing);
            assert_eq!(check_switching(&response(101, &fields), KEY), Err(error));
        }
        for (place, value, error) in [
            (0, "h2c", NotSwitched::Upgrade),
            (1, "close", NotSwitched::Connection),
            (1, "upgraded", NotSwitched::Connection),
            (2, "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=", NotSwitched::Accept),
        ] {
            let mut fields = good.to_vec();
            fields[place].1 = value;
            assert_eq!(check_switching(&response(101, &fields), KEY), Err(error));
        }
        let mut twice = good.to_vec();
        twice.push(("sec-websocket-accept", accept));
        assert_eq!(
            check_switching(&response(101, &twice), KEY),
            Err(NotSwitched::Accept)
        );
    }
}
