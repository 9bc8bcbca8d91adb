//! How a connector tells in its ClientHello which authorities it trusts, so that a gateway of several
//! shows the certificate of one of them.
//!
//! TLS has an extension for it, `certificate_authorities` (RFC 8446 section 4.2.4). Authorities of
//! ours all have the same name, so the name given is one made of the pin, which is public: every
//! handshake shows it.

use std::sync::Arc;

use rustls::DistinguishedName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certs::Pin;

/// `commonName` (RFC 4519 section 2.3), as a whole OBJECT IDENTIFIER.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;

/// The name under which an authority is asked for.
pub(super) fn name(pin: &Pin) -> DistinguishedName {
    let text = der(UTF8_STRING, format!("appproxy {pin}").as_bytes());
    let attribute = der(SEQUENCE, &[COMMON_NAME, &text].concat());
    DistinguishedName::in_sequence(&der(SET, &attribute))
}

/// An element of fewer than 128 octets: what is put into one here has 65 at most.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(0x7f) & 0x7f;
    [&[tag, length], content].concat()
}

/// A gateway's certificates, one of each authority, the newest first.
#[derive(Debug)]
pub(super) struct ByAuthority(Vec<(DistinguishedName, Arc<CertifiedKey>)>);

impl ByAuthority {
    pub(super) fn new(leaves: impl IntoIterator<Item = (Pin, Arc<CertifiedKey>)>) -> Self {
        Self(leaves.into_iter().map(|(p, k)| (name(&p), k)).collect())
    }
}

impl ResolvesServerCert for ByAuthority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.certificate_authorities().unwrap_or_default();
        let is_wanted =
            |name: &DistinguishedName| wanted.iter().any(|w| w.as_ref() == name.as_ref());
        let asked_for = self.0.iter().find(|(name, _)| is_wanted(name));
        // Whoever asks for none that is here learns from the oldest whose gateway this is.
        let chosen = asked_for.or_else(|| self.0.last());
        chosen.map(|(_, leaf)| Arc::clone(leaf))
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer as _;
    use x509_parser::x509::X509Name;

    use super::*;

    #[test]
    fn a_pin_is_a_name_that_others_can_read() {
        let name = name(&Pin([7; 32]));
        let (rest, read) = X509Name::from_der(name.as_ref()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            read.to_string(),
            "CN=appproxy BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
        );
    }
}
