//! What is wrong with a chain: order, what is missing, what is too much, whom it leads to.

use super::certificate::Certificate;
use super::chain::{Chain, End};
use super::{Subject, mention};
use crate::model::Finding;

/// Whether the file has the certificates of the chain in their order, and nothing else.
pub(super) fn of_order(subject: &Subject<'_>, chain: &Chain, found: &mut Vec<Finding>) {
    let numbers = |positions: &[usize]| {
        let numbers: Vec<_> = positions.iter().map(|at| (at + 1).to_string()).collect();
        numbers.join(", ")
    };
    let sorted = chain.order.windows(2).all(|pair| pair[0] < pair[1]);
    let first = chain.order.first() == Some(&0);
    if subject.ordered && !(sorted && first) {
        let what = if first {
            "the chain is in the wrong order: some clients refuse it"
        } else {
            "the chain is in the wrong order: the certificate of the key has to be the first"
        };
        let remedy = format!(
            "put the leaf first, then each certificate's issuer: {} of the file, in this order",
            numbers(&chain.order)
        );
        // Where the leaf is not the first, TLS does not start at all.
        found.push(match first {
            true => Finding::warning("chain_order", what, remedy),
            false => Finding::error("chain_order", what, remedy),
        });
    }
    let extra: Vec<_> = (0..subject.certificates.len())
        .filter(|at| !chain.order.contains(at))
        .collect();
    let Some(first) = extra.first().and_then(|&at| subject.certificates.get(at)) else {
        return;
    };
    // It has the name of one that leads to a trusted authority, stands before it, and leads nowhere.
    let misleads = |extra: usize, one: &Certificate| {
        let mut members = chain.order.iter();
        members.any(|&at| {
            let member = subject.certificates.get(at);
            extra < at && member.is_some_and(|member| member.subject_raw == one.subject_raw)
        })
    };
    let names: Vec<_> = extra
        .iter()
        .filter_map(|&at| subject.certificates.get(at))
        .map(|one| format!("`{}`", one.subject))
        .collect();
    let what = if subject.ordered && extra.first().is_some_and(|&at| misleads(at, first)) {
        format!(
            "`{}` is there twice, and number {} of the file, which leads to no trusted authority, comes first: clients that try no other refuse the chain",
            first.subject,
            numbers(&extra)
        )
    } else {
        format!(
            "not of the chain, and sent to every visitor for nothing: {} (number {} of the file)",
            names.join(", "),
            numbers(&extra)
        )
    };
    found.push(Finding::warning(
        "chain_extra",
        what,
        "take them out of the file",
    ));
}

/// Where the chain ends.
pub(super) fn of_end(subject: &Subject<'_>, chain: &Chain, found: &mut Vec<Finding>) {
    let members = || {
        chain
            .order
            .iter()
            .filter_map(|&at| subject.certificates.get(at))
    };
    let Some(last) = members().next_back() else {
        return;
    };
    let alone = chain.order.len() == 1;
    match chain.end {
        End::Trusted => {
            if !alone && last.is_self_issued() {
                found.push(Finding::info(
                    "root_included",
                    format!("the root `{}` is in the chain: clients have it already", last.subject),
                    "take it out of the file, and every handshake is a little shorter",
                ));
            }
        }
        End::SelfIssued if alone && last.is_authority => found.push(Finding::error(
            "certificate_is_authority",
            format!(
                "`{}` is an authority itself (CA:TRUE, self-signed): Chrome, Firefox, curl with rustls and appproxy refuse such a certificate of a server",
                last.subject
            ),
            "issue a certificate for the server with it, or make a self-signed one without CA:TRUE: `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`",
        )),
        End::SelfIssued if alone => found.push(Finding::warning(
            "self_signed",
            format!("`{}` is self-signed: every browser warns of it", last.subject),
            "have it issued by an authority that your visitors trust; a public one costs nothing",
        )),
        End::SelfIssued => found.push(Finding::warning(
            "issuer_unknown",
            format!(
                "the chain ends at `{}`, an authority of one's own that this host does not trust: so will everybody's device on which it is not installed",
                last.subject
            ),
            "install it on every device that opens the applications, or use a public authority; for `check-cert`, name it with `--ca FILE`",
        )),
        End::Missing => found.push(missing(last, alone, subject.ordered)),
    }
}

/// Certificates cannot be appended to a PFX, which has no order either.
fn missing(last: &Certificate, alone: bool, is_text: bool) -> Finding {
    const ANEW: &str = "`openssl pkcs12 -in FILE -out ALL.pem`, `openssl pkcs12 -export -in ALL.pem -certfile ISSUER.pem -out NEW.pfx`, `rm ALL.pem`; or export it anew on Windows with `Include all certificates in the certification path`";
    let remedy = match last.issuer_at.iter().find(|place| is_plain(place)) {
        Some(place) if is_text => format!(
            "append it, or take the whole chain from the authority: `curl -s {place} | openssl x509 -inform der >> CHAIN.pem` (`-inform pem` where it is PEM)"
        ),
        Some(place) => format!(
            "make a PFX with it: `curl -s {place} | openssl x509 -inform der -out ISSUER.pem` (`-inform pem` where it is PEM), {ANEW}"
        ),
        None if is_text => "append the certificate of that authority, which it gives with its certificates; for `check-cert`, name a root of your own with `--ca FILE`".to_owned(),
        None => format!(
            "make a PFX with the certificate of that authority, which it gives with its certificates, in ISSUER.pem: {ANEW}; for `check-cert`, name a root of your own with `--ca FILE`"
        ),
    };
    let whose = if alone {
        "the certificate".to_owned()
    } else {
        mention(last)
    };
    Finding::error(
        "chain_incomplete",
        format!(
            "the issuer of {whose}, `{}`, is neither in the file nor trusted by this host: an intermediate is missing, and clients that do not know it refuse the connection",
            last.issuer
        ),
        remedy,
    )
}

/// It goes into a command that somebody may paste.
pub(super) fn is_plain(place: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b":/.-_~%".contains(&octet);
    (place.starts_with("http://") || place.starts_with("https://")) && place.bytes().all(plain)
}

/// Each issuer must be one.
pub(super) fn of_issuers(subject: &Subject<'_>, chain: &Chain, found: &mut Vec<Finding>) {
    let members: Vec<_> = chain
        .order
        .iter()
        .filter_map(|&at| subject.certificates.get(at))
        .collect();
    for issuer in members.iter().skip(1) {
        let fault = if !issuer.is_authority {
            "is no authority (basicConstraints says no CA)"
        } else if issuer.usage.is_some_and(|usage| !usage.issues) {
            "may not issue certificates (keyUsage lacks keyCertSign)"
        } else if issuer
            .purposes
            .is_some_and(|purposes| !purposes.servers && !purposes.any)
        {
            "may not issue for servers (extendedKeyUsage)"
        } else {
            continue;
        };
        found.push(Finding::error(
            "issuer_not_authority",
            format!(
                "{} has issued another of the chain and {fault}: clients refuse the chain",
                mention(issuer)
            ),
            "have the certificate issued by an authority",
        ));
    }
    let leaf = members.first();
    let told = chain.end == End::SelfIssued && members.len() == 1;
    if let Some(leaf) = leaf.filter(|leaf| leaf.is_authority && !told) {
        found.push(Finding::error(
            "certificate_is_authority",
            format!("`{}` is an authority (CA:TRUE): clients refuse it as the certificate of a server", leaf.subject),
            "take the certificate that was issued for the server, or have one issued without CA:TRUE",
        ));
    }
}
