//! Whether lists of revoked certificates have one of the chain, and whether they count.

use webpki::RevocationReason;

use super::certificate::Certificate;
use super::chain::{Chain, End, inside};
use super::links::is_plain;
use super::list::{Entry, RevocationList, Signature};
use super::{Place as At, Subject};
use crate::model::{Finding, Place};

/// Looks for the certificates of a chain on the lists that are given.
pub(super) fn of_lists(subject: &Subject<'_>, chain: &Chain, found: &mut Vec<Finding>) {
    let members = chain.order.iter();
    let members: Vec<_> = members
        .filter_map(|&at| subject.certificates.get(at))
        .collect();
    for list in subject.lists {
        let place = Place {
            file: list.file.clone().into(),
            ..Place::default()
        };
        let said = of_list(list, subject, chain, &members);
        found.extend(said.into_iter().map(|one| one.at(place.clone())));
    }
}

fn of_list(
    list: &RevocationList,
    subject: &Subject<'_>,
    chain: &Chain,
    members: &[&Certificate],
) -> Vec<Finding> {
    // What issued itself is trusted or not: no list says anything of it.
    let is_of = |one: &Certificate| one.issuer_raw == list.issuer_raw && !one.is_self_issued();
    let of_issuer: Vec<_> = members
        .iter()
        .enumerate()
        .filter(|(_, one)| is_of(one))
        .collect();
    if of_issuer.is_empty() {
        return vec![of_another(list, members)];
    }
    let (mut found, mut proven) = (Vec::new(), None);
    for (position, one) in of_issuer {
        let issuer = members.get(position + 1).copied();
        if let Some(unproven) = unproven(list, one, issuer, chain, subject) {
            found.push(unproven);
            continue;
        }
        proven = proven.or(Some(one));
        match list.entry(one) {
            Some(entry) => found.push(revoked(list, one, At(position), entry)),
            None if !list.is_about(one) => found.push(partial(list, one, At(position))),
            None => {}
        }
    }
    found.extend(proven.and_then(|one| of_time(list, one, subject)));
    found
}

fn of_another(list: &RevocationList, members: &[&Certificate]) -> Finding {
    const ANOTHER: &str = "name the list of the authority that has issued the certificate";
    let issuers = members.iter().filter(|one| !one.is_self_issued());
    let issuers: Vec<_> = issuers.map(|one| format!("`{}`", one.issuer)).collect();
    let issuers = match issuers.is_empty() {
        true => "it is self-signed".to_owned(),
        false => format!("issued by {}", issuers.join(", ")),
    };
    let what = format!(
        "the revocation list is of `{}`, which has issued nothing of the chain ({issuers}): it proves nothing",
        list.issuer
    );
    let leaf = members.first();
    let remedy = leaf.map_or_else(|| ANOTHER.to_owned(), |leaf| fetch(leaf, ANOTHER));
    Finding::warning("crl_other_issuer", what, remedy)
}

/// Why it is not known that the issuer of a certificate has made the list.
///
/// SECURITY: anybody can make a list that has a name in it. One that the issuer's own key has not signed
/// neither condemns a certificate nor clears it.
fn unproven(
    list: &RevocationList,
    one: &Certificate,
    issuer: Option<&Certificate>,
    chain: &Chain,
    subject: &Subject<'_>,
) -> Option<Finding> {
    let keys: Vec<&[u8]> = match issuer {
        Some(issuer) => vec![inside(&issuer.public_key)],
        None if chain.end == End::Trusted => subject.trusted.keys_of(&list.issuer_raw).collect(),
        None => Vec::new(),
    };
    let mut signatures = keys.iter().map(|key| list.signed_by(key));
    let name = &list.issuer;
    let (why, remedy) = if keys.is_empty() {
        (
            format!(
                "the certificate of `{name}` is neither in the file nor trusted by this host, so nobody can tell whether the revocation list is its own"
            ),
            "append the certificate of that authority, or name a root of your own with `--ca FILE`"
                .to_owned(),
        )
    } else if issuer.is_some_and(|issuer| issuer.usage.is_some_and(|usage| !usage.lists)) {
        (
            format!("`{name}` may not sign revocation lists (keyUsage lacks cRLSign)"),
            "ask the authority for a certificate of its own with which it may".to_owned(),
        )
    } else if signatures.clone().any(|one| one == Signature::Right) {
        return None;
    } else if signatures.all(|one| one == Signature::Unsupported) {
        (
            format!(
                "the revocation list of `{name}` is signed in a way that is not accepted, such as with SHA-1"
            ),
            "ask the authority for a list that it signs with SHA-256 or better".to_owned(),
        )
    } else {
        (
            format!(
                "the signature of the revocation list is not by the key of `{name}`: it was altered, or another authority of that name has made it"
            ),
            fetch(one, "take the list again from the authority"),
        )
    };
    let what = format!("{why}; the list proves nothing");
    Some(Finding::warning("crl_signature", what, remedy))
}

fn revoked(list: &RevocationList, one: &Certificate, at: At, entry: Entry) -> Finding {
    let what = format!(
        "{} is revoked since {}, says the list of `{}`: {}; browsers that look at such lists refuse it",
        at.of(one),
        entry.since.to_rfc3339(),
        list.issuer,
        in_words(entry.reason)
    );
    let is_on_hold = entry.reason == Some(RevocationReason::CertificateHold);
    let remedy = match (at.is_leaf(), is_on_hold) {
        (_, true) => "ask the authority to lift it, or for another certificate",
        (true, false) => {
            "ask the authority for a new certificate with a new key: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY`, then `openssl req -new -key KEY -subj /CN=NAME -addext subjectAltName=DNS:NAME -out REQUEST`, and send it the request"
        }
        (false, false) => {
            "take the chain that the authority gives today, or have the certificate issued by another authority"
        }
    };
    Finding::error("revoked", what, remedy)
}

/// RFC 5280, 5.3.1.
fn in_words(reason: Option<RevocationReason>) -> &'static str {
    match reason {
        None | Some(RevocationReason::Unspecified) => "it gives no reason",
        Some(RevocationReason::KeyCompromise) => {
            "its private key is in other hands (keyCompromise)"
        }
        Some(RevocationReason::CaCompromise) => {
            "the key of an authority is in other hands (cACompromise)"
        }
        Some(RevocationReason::AffiliationChanged) => {
            "what it says of its owner is not so any more (affiliationChanged)"
        }
        Some(RevocationReason::Superseded) => "another has taken its place (superseded)",
        Some(RevocationReason::CessationOfOperation) => {
            "it is not needed any more (cessationOfOperation)"
        }
        Some(RevocationReason::CertificateHold) => "it is on hold for now (certificateHold)",
        Some(RevocationReason::RemoveFromCrl) => "it is to be taken off the list (removeFromCRL)",
        Some(RevocationReason::PrivilegeWithdrawn) => {
            "its owner may not have it any more (privilegeWithdrawn)"
        }
        Some(RevocationReason::AaCompromise) => "aACompromise",
    }
}

fn partial(list: &RevocationList, one: &Certificate, at: At) -> Finding {
    Finding::warning(
        "crl_partial",
        format!(
            "{} is not on the revocation list, which is about another part of the certificates of `{}` ({}): it proves nothing",
            at.of(one),
            list.issuer,
            list.part()
        ),
        fetch(one, "take the part of the list that the certificate names"),
    )
}

fn of_time(list: &RevocationList, one: &Certificate, subject: &Subject<'_>) -> Option<Finding> {
    if subject.now < list.from {
        let what = format!(
            "the revocation list of `{}` counts only from {}, and this host's clock says {}",
            list.issuer,
            list.from.to_rfc3339(),
            subject.now.to_rfc3339()
        );
        let remedy = "wait, or check this host's clock with `timedatectl`";
        return Some(Finding::warning("crl_not_yet_valid", what, remedy));
    }
    (subject.now >= list.until).then(|| {
        Finding::warning(
            "crl_expired",
            format!(
                "the revocation list of `{}` ended at {}: what was revoked since is not on it",
                list.issuer,
                list.until.to_rfc3339()
            ),
            fetch(one, "take the list that the authority gives today"),
        )
    })
}

/// The command that fetches the list that a certificate names, where it names one that may be pasted.
fn fetch(one: &Certificate, otherwise: &str) -> String {
    match one.lists_at.iter().find(|place| is_plain(place)) {
        Some(place) => format!("{otherwise}: `curl -s -o LIST {place}`, then `--crl LIST`"),
        None => otherwise.to_owned(),
    }
}
