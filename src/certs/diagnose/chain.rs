//! Which certificates of a file belong together, and where their chain ends.

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::certificate::Certificate;
use crate::clock::Timestamp;

/// Longer chains are not followed: webpki refuses them too.
const LONGEST: usize = 8;

/// Whom clients trust.
#[derive(Debug)]
pub struct Trusted {
    anchors: Vec<TrustAnchor<'static>>,
}

impl Trusted {
    /// The authorities of `roots`, and those that an operator names besides.
    #[must_use]
    pub fn new(roots: &RootCertStore, besides: &[CertificateDer<'static>]) -> Self {
        let mut anchors = roots.roots.clone();
        let read = besides
            .iter()
            .filter_map(|der| webpki::anchor_from_trusted_cert(der).ok());
        anchors.extend(read.map(|anchor| anchor.to_owned()));
        Self { anchors }
    }

    /// All of them, for webpki.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Whether the issuer of a certificate is among them, by its name.
    fn issued(&self, certificate: &Certificate) -> bool {
        self.has_name(&certificate.issuer_raw)
    }

    /// Whether this very authority is among them.
    pub(super) fn has(&self, certificate: &Certificate) -> bool {
        let name = inside(&certificate.subject_raw);
        let key = inside(&certificate.public_key);
        self.anchors.iter().any(|anchor| {
            anchor.subject.as_ref() == name && anchor.subject_public_key_info.as_ref() == key
        })
    }

    /// The keys of those that have a name, as webpki keeps them.
    pub(super) fn keys_of(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        let name = inside(name);
        let anchors = self.anchors.iter();
        anchors
            .filter(move |anchor| anchor.subject.as_ref() == name)
            .map(|anchor| anchor.subject_public_key_info.as_ref())
    }

    fn has_name(&self, name: &[u8]) -> bool {
        let name = inside(name);
        self.anchors
            .iter()
            .any(|anchor| anchor.subject.as_ref() == name)
    }
}

/// What is in a DER value, without its tag and length: the form in which webpki keeps names and keys.
pub(super) fn inside(der: &[u8]) -> &[u8] {
    let header = match der.get(1) {
        Some(length) if *length < 0x80 => 2,
        Some(length) => 2 + usize::from(length & 0x7f),
        None => 0,
    };
    der.get(header..).unwrap_or_default()
}

/// The leaf and those that issued it, one after the other.
#[derive(Debug)]
pub struct Chain {
    /// Positions in the file, the leaf first.
    pub order: Vec<usize>,
    /// Where it ends.
    pub end: End,
}

/// What comes after the last certificate of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// An authority that is trusted.
    Trusted,
    /// Nothing: the last one issued itself, and it is not trusted.
    SelfIssued,
    /// A certificate that is not in the file.
    Missing,
}

/// Follows the issuers from the leaf.
pub(super) fn follow(
    certificates: &[Certificate],
    leaf: usize,
    trusted: &Trusted,
    now: Timestamp,
) -> Chain {
    let mut order = vec![leaf];
    let end = loop {
        let Some(last) = order.last().and_then(|&at| certificates.get(at)) else {
            break End::Missing;
        };
        if last.is_self_issued() {
            break if trusted.has(last) {
                End::Trusted
            } else {
                End::SelfIssued
            };
        }
        if trusted.issued(last) {
            // Whoever trusts the issuer asks for no other certificate of it, whatever the file has.
            let mut roots = certificates.iter().enumerate();
            let root = roots.find(|(at, one)| {
                !order.contains(at)
                    && one.is_self_issued()
                    && last.may_be_issued_by(one)
                    && trusted.has(one)
            });
            order.extend(root.map(|(at, _)| at));
            break End::Trusted;
        }
        let candidates = certificates.iter().enumerate();
        let candidates =
            candidates.filter(|(at, one)| !order.contains(at) && last.may_be_issued_by(one));
        let valid = |one: &Certificate| one.not_before <= now && now <= one.not_after;
        // What issued itself ends the chain; another certificate of the same authority may lead on to
        // one that is trusted. What is valid goes before what is not.
        let best = candidates.max_by_key(|(at, one)| {
            let leads = trusted.has(one) || trusted.issued(one);
            (
                valid(one),
                leads,
                one.is_self_issued(),
                std::cmp::Reverse(*at),
            )
        });
        match best {
            Some((at, _)) if order.len() < LONGEST => order.push(at),
            _ => break End::Missing,
        }
    };
    Chain { order, end }
}
