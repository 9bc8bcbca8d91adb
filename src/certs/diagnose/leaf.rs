//! What is wrong with a certificate by itself: names, purposes, key, signature.

use super::Place as At;
use super::certificate::Certificate;
use super::kind::{KeyKind, SHORTEST_RSA};
use super::names::{covers, explained, useless};
use crate::model::{Finding, HostPattern};

/// The names of a leaf, and what they are for.
pub(super) fn of_names(leaf: &Certificate, hosts: &[HostPattern], found: &mut Vec<Finding>) {
    const ANEW: &str =
        "have it issued anew with the names people open as subjectAltName, DNS names";
    let names = leaf.names.as_deref().unwrap_or_default();
    let useless = useless(leaf);
    let usable = names.iter().filter(|name| match name {
        super::Name::Dns(_) | super::Name::Address(_) => true,
        super::Name::Other(_) => false,
    });
    if leaf.names_are_damaged || usable.count() <= useless.len() {
        let what = match &leaf.common_name {
            _ if leaf.names_are_damaged => {
                "the certificate's subjectAltName is damaged: TLS clients refuse every name in it".to_owned()
            }
            _ if !useless.is_empty() => {
                format!("no name of the certificate is one that browsers accept: {}", few(&useless))
            }
            Some(name) if names.is_empty() => format!(
                "the certificate has no subjectAltName, only the common name `{name}`, at which browsers do not look"
            ),
            _ => "the certificate has no DNS name or address in its subjectAltName, and browsers accept nothing else"
                .to_owned(),
        };
        found.push(Finding::error("certificate_names", what, ANEW));
    } else if !useless.is_empty() {
        found.push(Finding::warning(
            "name_useless",
            format!("browsers accept none of these names: {}", few(&useless)),
            "have it issued anew without them, or with what was meant",
        ));
    }
    for host in hosts.iter().filter(|host| !covers(leaf, host)) {
        let why = explained(leaf, host);
        let has: Vec<_> = names.iter().map(super::Name::to_text).take(20).collect();
        let has = if has.is_empty() {
            "no name".to_owned()
        } else {
            has.join(", ")
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        found.push(Finding::error(
            "name_not_covered",
            format!("the certificate is not for {host}{why} (it is for {has})"),
            format!(
                "have it issued with {host} among its names, or use another certificate for {host}"
            ),
        ));
    }
}

/// Some of them, since there may be a hundred thousand.
fn few(names: &[String]) -> String {
    const MOST: usize = 12;
    match names.get(..MOST) {
        Some(first) if names.len() > MOST => {
            format!("{} and {} more", first.join("; "), names.len() - MOST)
        }
        _ => names.join("; "),
    }
}

/// What the leaf is for.
pub(super) fn of_purpose(leaf: &Certificate, found: &mut Vec<Finding>) {
    const ANEW: &str = "have it issued anew as a certificate for a TLS server: extendedKeyUsage serverAuth, keyUsage digitalSignature";
    match leaf.purposes {
        Some(purposes) if purposes.servers => {}
        Some(purposes) => {
            let what = if purposes.any {
                "its extendedKeyUsage says anyExtendedKeyUsage and not serverAuth, which most TLS clients refuse"
            } else if purposes.clients {
                "it is for TLS clients (extendedKeyUsage clientAuth), not for servers"
            } else {
                "its extendedKeyUsage does not name serverAuth"
            };
            found.push(Finding::error(
                "usage_wrong",
                format!("the certificate is not for a server: {what}"),
                ANEW,
            ));
        }
        None if !leaf.is_authority => found.push(Finding::warning(
            "usage_missing",
            "the certificate has no extendedKeyUsage: Apple's devices refuse it",
            ANEW,
        )),
        None => {}
    }
    if leaf.usage.is_some_and(|usage| !usage.signs) && !leaf.is_authority {
        found.push(Finding::error(
            "usage_wrong",
            "the certificate's keyUsage lacks digitalSignature: Chrome and Firefox refuse it, since TLS signs with it",
            ANEW,
        ));
    }
    if leaf.must_staple {
        found.push(Finding::warning(
            "must_staple",
            "the certificate demands a stapled OCSP answer (must-staple), and appproxy gives none: Firefox refuses it",
            "have it issued anew without must-staple",
        ));
    }
    if leaf.version < 3 {
        found.push(Finding::error(
            "certificate_version",
            format!("the certificate is of X.509 version {}, which cannot have names: clients refuse it", leaf.version),
            "have it issued anew as version 3; `openssl x509 -req` needs `-extfile` for that",
        ));
    }
}

/// Key, signature and extensions, of each certificate of a chain.
pub(super) fn of_strength(one: &Certificate, at: At, is_root: bool, found: &mut Vec<Finding>) {
    let name = at.of(one);
    match &one.key {
        KeyKind::Rsa(bits) if *bits < SHORTEST_RSA => found.push(Finding::error(
            "key_weak",
            format!("{name} has an RSA key of {bits} bits: clients and this gateway refuse less than {SHORTEST_RSA}"),
            "make another key, for instance `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY`, and request a certificate for it",
        )),
        KeyKind::Other(kind) => found.push(Finding::error(
            "key_unsupported",
            format!("{name} has {kind} for its key, which browsers do not accept"),
            "use an ECDSA key (P-256, P-384), or RSA of 2048 bits or more, and have the certificate issued for it",
        )),
        KeyKind::Ecdsa("P-521") if at.is_leaf() => found.push(Finding::warning(
            "key_unusual",
            format!("{name} has an ECDSA key on P-521, which Chrome does not accept"),
            "use P-256 or P-384",
        )),
        KeyKind::Ed25519 if at.is_leaf() => found.push(Finding::warning(
            "key_unusual",
            format!("{name} has an Ed25519 key, which browsers do not accept; programs do"),
            "use P-256 or P-384 where browsers come",
        )),
        _ => {}
    }
    // A root is trusted as it is: its own signature says nothing.
    if one.signature_is_weak && !is_root {
        found.push(Finding::error(
            "signature_weak",
            format!(
                "{name} is signed with {}, which clients refuse",
                one.signature
            ),
            "have it issued anew: every authority signs with SHA-256 or better today",
        ));
    }
    if !one.serial_is_positive {
        found.push(Finding::warning(
            "certificate_serial",
            format!(
                "the serial number of {name} is not positive, which programs written in Go refuse"
            ),
            "have it issued anew with a positive serial number",
        ));
    }
    if !one.unknown_critical.is_empty() {
        found.push(Finding::error(
            "critical_extension",
            format!(
                "{name} has a critical extension that clients do not know ({}): they refuse it",
                one.unknown_critical.join(", ")
            ),
            "have it issued anew without it, or with the extension not critical",
        ));
    }
}
