//! What the gateway tells an application about the request's way, from facts it knows itself.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::model::{Host, RequestId, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the gateway itself knows of a request: nothing here comes from the client's fields but
/// the host, and that one has been matched with a published URL.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The address the request came from.
    pub client: IpAddr,
    /// The scheme people used.
    pub scheme: Scheme,
    /// The host people used, in its normal form.
    pub host: &'a Host,
    /// The port of the external URL.
    pub port: u16,
    /// The request's reference.
    pub id: &'a RequestId,
}

impl Facts<'_> {
    /// Sets `Forwarded` (RFC 7239), `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and
    /// `X-Request-Id`, each in place of all values a client sent. Other spellings of these names
    /// are removed by [`super::deny_request`], which runs before.
    pub fn set(&self, headers: &mut HeaderMap) {
        // An IPv4 client of a dual-stack listener is known as IPv4 everywhere.
        let client = self.client.to_canonical();
        let address = client.to_string();
        let authority = Authority(self).to_string();
        let scheme = self.scheme.as_str();
        // `:` and brackets are no token characters, so they need quotes (RFC 7239 section 4).
        let quote = if authority.contains(':') { "\"" } else { "" };
        let node = match client {
            IpAddr::V4(_) => ["for=", &address, ""],
            IpAddr::V6(_) => ["for=\"[", &address, "]\""],
        };
        let host = [";host=", quote, &authority, quote, ";proto=", scheme];
        // Put together without the machinery of `format!`: this runs for every request.
        let forwarded = [&node[..], &host[..]].concat().concat();
        set(headers, header::FORWARDED, forwarded.as_bytes());
        set(headers, X_FORWARDED_FOR, address.as_bytes());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
        set(headers, X_FORWARDED_HOST, authority.as_bytes());
        headers.insert(X_FORWARDED_PORT, HeaderValue::from(self.port));
        set(headers, X_REQUEST_ID, self.id.as_str().as_bytes());
    }
}

/// Sets a field, or removes it where the value could not stand in one: the client's never stays.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    match HeaderValue::from_bytes(value) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}

/// `host` or `host:port`, the port only where it is not the scheme's own.
struct Authority<'a>(&'a Facts<'a>);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts {
            scheme, host, port, ..
        } = self.0;
        host.fmt(f)?;
        if *port != scheme.default_port() {
            f.write_char(':')?;
            port.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_5_the_way_is_told_from_our_own_facts_and_quoted() {
        let cases = [
            (
                "192.0.2.7",
                Scheme::Https,
                "wiki.example.com",
                443,
                "for=192.0.2.7;host=wiki.example.com;proto=https",
                "192.0.2.7",
                "wiki.example.com",
            ),
            (
                "2001:db8::7",
                Scheme::Https,
                "wiki.example.com",
                8443,
                "for=\"[2001:db8::7]\";host=\"wiki.example.com:8443\";proto=https",
                "2001:db8::7",
                "wiki.example.com:8443",
            ),
            (
                "::ffff:192.0.2.7",
                Scheme::Http,
                "[2001:db8::1]",
                80,
                "for=192.0.2.7;host=\"[2001:db8::1]\";proto=http",
                "192.0.2.7",
                "[2001:db8::1]",
            ),
        ];
        for (client, scheme, host, port, forwarded, address, authority) in cases {
            let host = Host::parse(host).unwrap();
            let id = RequestId::from_random([1; 8]);
            let facts = Facts {
                client: client.parse().unwrap(),
                scheme,
                host: &host,
                port,
                id: &id,
            };
            let mut headers = HeaderMap::new();
            let names = [
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-request-id",
            ];
            for name in names {
                headers.append(name, HeaderValue::from_static("forged"));
                headers.append(name, HeaderValue::from_static("forged twice"));
            }
            facts.set(&mut headers);
            let expected = [
                forwarded,
                address,
                scheme.as_str(),
                authority,
                &port.to_string(),
                id.as_str(),
            ];
            for (name, value) in names.into_iter().zip(expected) {
                let values: Vec<_> = headers.get_all(name).iter().collect();
                assert_eq!(values, [value], "{name}");
            }
        }
    }
}
