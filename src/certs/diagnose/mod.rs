//! What is wrong with a certificate and its chain, and what to do about it. Pure: what is asked is given.

mod certificate;
mod chain;
mod kind;
mod leaf;
mod links;
mod list;
mod names;
mod revocation;
mod validity;
mod verdict;

pub use self::certificate::{Certificate, Name};
pub use self::chain::{Chain, End, Trusted};
pub use self::kind::{KeyKind, SHORTEST_RSA};
pub use self::list::RevocationList;
pub use self::names::covers;
pub use self::verdict::verdict;

use rustls::pki_types::CertificateDer;
use webpki::Error;

use crate::clock::Timestamp;
use crate::model::{Finding, HostPattern, Severity};

/// What is to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The certificates as the file has them, or a server sent them.
    pub certificates: &'a [Certificate],
    /// The position of the one whose key is at hand; `None` where that is not known.
    pub keyed: Option<usize>,
    /// Hosts it has to be for.
    pub hosts: &'a [HostPattern],
    /// Whom visitors trust.
    pub trusted: &'a Trusted,
    /// Lists of revoked certificates.
    pub lists: &'a [RevocationList],
    /// Whether the order of the certificates counts: a PFX has none.
    pub ordered: bool,
    /// Now.
    pub now: Timestamp,
}

/// What was found. An error is what clients refuse the certificate for.
#[derive(Debug)]
pub struct Diagnosis {
    /// The leaf and its issuers.
    pub chain: Chain,
    /// Without a place; those of the leaf first.
    pub findings: Vec<Finding>,
}

/// Which certificate of a chain a finding is about.
#[derive(Debug, Clone, Copy)]
struct Place(usize);

impl Place {
    const fn is_leaf(self) -> bool {
        self.0 == 0
    }

    fn of(self, one: &Certificate) -> String {
        if self.is_leaf() {
            "the certificate".to_owned()
        } else {
            mention(one)
        }
    }
}

fn mention(one: &Certificate) -> String {
    format!("the issuer's certificate `{}`", one.subject)
}

/// Judges a certificate of a server; `None` where there is none.
#[must_use]
pub fn diagnose(subject: &Subject<'_>) -> Option<Diagnosis> {
    let certificates = subject.certificates;
    let leaf_at = subject.keyed.or_else(|| guessed_leaf(certificates))?;
    let leaf = certificates.get(leaf_at)?;
    let chain = chain::follow(certificates, leaf_at, subject.trusted, subject.now);
    let mut found = Vec::new();
    leaf::of_names(leaf, subject.hosts, &mut found);
    leaf::of_purpose(leaf, &mut found);
    let mut is_public = false;
    for (position, one) in chain.order.iter().enumerate() {
        let Some(one) = certificates.get(*one) else {
            continue;
        };
        let (at, is_root) = (Place(position), one.is_self_issued());
        is_public = is_public || is_of_public_authority(one);
        // Clients look at their own copy of a root.
        if !(is_root && position > 0 && chain.end == End::Trusted) {
            validity::of_time(one, at, subject.now, &mut found);
            leaf::of_strength(one, at, is_root, &mut found);
        }
    }
    validity::of_length(leaf, is_public, &mut found);
    links::of_order(subject, &chain, &mut found);
    links::of_issuers(subject, &chain, &mut found);
    links::of_end(subject, &chain, &mut found);
    found.extend(refused(subject, &chain, leaf, &found));
    revocation::of_lists(subject, &chain, &mut found);
    Some(Diagnosis {
        chain,
        findings: found,
    })
}

/// Where no key says which it is: the first that is no authority, or that has issued no other.
fn guessed_leaf(certificates: &[Certificate]) -> Option<usize> {
    let of_nobody = |at: usize| {
        let Some(one) = certificates.get(at) else {
            return false;
        };
        let others = certificates.iter().enumerate();
        !others
            .filter(|(other, _)| *other != at)
            .any(|(_, other)| other.may_be_issued_by(one))
    };
    let first = certificates.iter().position(|one| !one.is_authority);
    first
        .or_else(|| (0..certificates.len()).find(|&at| of_nobody(at)))
        .or_else(|| (!certificates.is_empty()).then_some(0))
}

/// Whether an authority of Mozilla's list has issued it: the limits of public authorities are for it.
fn is_of_public_authority(one: &Certificate) -> bool {
    let mut roots = webpki_roots::TLS_SERVER_ROOTS.iter();
    let issuer = chain::inside(&one.issuer_raw);
    roots.any(|root| root.subject.as_ref() == issuer)
}

/// What webpki refuses the chain for. It has the last word, so that nothing is called good that a client
/// would refuse.
fn refused(
    subject: &Subject<'_>,
    chain: &Chain,
    leaf: &Certificate,
    found: &[Finding],
) -> Option<Finding> {
    let others: Vec<CertificateDer<'_>> = chain
        .order
        .iter()
        .skip(1)
        .filter_map(|&at| subject.certificates.get(at))
        .map(|one| one.der.clone())
        .collect();
    let mut anchors = subject.trusted.anchors().to_vec();
    // An authority of one's own has been told of; what else is wrong is of interest all the same.
    let own = match (chain.end, others.last()) {
        (End::SelfIssued, Some(own)) => Some(own),
        (End::SelfIssued, None) => Some(&leaf.der),
        _ => None,
    };
    anchors
        .extend(own.and_then(|der| Some(webpki::anchor_from_trusted_cert(der).ok()?.to_owned())));
    let refused = verdict(&leaf.der, &others, &anchors, subject.now).err()?;
    // At those webpki does not look.
    let besides = |code| {
        matches!(
            code,
            "certificate_names" | "name_not_covered" | "certificate_lifetime" | "chain_order"
        )
    };
    let errors = found
        .iter()
        .any(|one| one.severity == Severity::Error && !besides(one.code));
    let (code, what, remedy) = match &refused {
        Error::NameConstraintViolation => (
            "name_constraints",
            "an authority of the chain may not issue for the names of the certificate (its nameConstraints)".to_owned(),
            "have it issued for names that the authority is allowed, or by another authority",
        ),
        Error::PathLenConstraintViolated => (
            "path_length",
            "the chain has more authorities one after another than one of them allows (its pathLenConstraint)".to_owned(),
            "have the certificate issued by an authority nearer to the root, or one without that limit",
        ),
        Error::InvalidSignatureForPublicKey => (
            "signature_invalid",
            "a signature in the chain is not by the key of the certificate that is there for its issuer: the issuer has another certificate, or the file is damaged".to_owned(),
            "take the certificate and its chain again from the authority",
        ),
        // Each has been told of in more words.
        _ if errors => return None,
        Error::UnknownIssuer => (
            "signature_invalid",
            "the certificate that has the issuer's name has not signed it: there are two authorities of that name".to_owned(),
            "take the certificate and its chain again from the authority",
        ),
        other => (
            "chain_refused",
            format!("clients refuse the chain: {other}"),
            "take the certificate and its chain again from the authority, or have it issued anew",
        ),
    };
    Some(Finding::error(code, what, remedy))
}
