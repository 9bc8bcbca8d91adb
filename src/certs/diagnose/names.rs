//! Whether a certificate is for a host, and why not.

use std::net::IpAddr;

use super::certificate::{Certificate, Name};
use crate::model::{Host, HostPattern};

/// Whether the certificate is for a host, or for all that a wildcard stands for, by the rules of RFC 9525:
/// names of `subjectAltName` alone, `*` for exactly one label at the left.
#[must_use]
pub fn covers(certificate: &Certificate, host: &HostPattern) -> bool {
    if certificate.names_are_damaged {
        return false;
    }
    let mut names = certificate.names.iter().flatten();
    match host {
        HostPattern::Exact(Host::Address(address)) => {
            names.any(|name| matches!(name, Name::Address(one) if one == address))
        }
        HostPattern::Exact(Host::Name(host)) => {
            names.any(|name| matches!(name, Name::Dns(pattern) if matches(pattern, host)))
        }
        HostPattern::Wildcard { suffix } => names.any(|name| {
            matches!(name, Name::Dns(pattern)
                if pattern.to_ascii_lowercase().strip_prefix("*.") == Some(&**suffix))
        }),
    }
}

/// Names without a dot at their end and in lower case.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(suffix) => host
            .split_once('.')
            .is_some_and(|(_, rest)| rest == suffix && suffix.contains('.')),
        None => pattern == host,
    }
}

/// Why a host is not covered that somebody may have thought covered; `None` where nothing is near.
pub(super) fn explained(certificate: &Certificate, host: &HostPattern) -> Option<String> {
    if certificate.names_are_damaged {
        return Some("no client can read its names".to_owned());
    }
    let dns = || {
        certificate
            .names
            .iter()
            .flatten()
            .filter_map(|name| match name {
                Name::Dns(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
    };
    let name = match host {
        HostPattern::Exact(Host::Address(address)) => {
            return of_address(certificate, *address, dns());
        }
        HostPattern::Exact(Host::Name(name)) => name,
        HostPattern::Wildcard { suffix } => {
            return Some(format!(
                "an application for every name below {suffix} needs `*.{suffix}` among its names"
            ));
        }
    };
    for pattern in dns() {
        let Some(suffix) = pattern.strip_prefix("*.") else {
            continue;
        };
        if **name == *suffix {
            return Some(format!(
                "`{pattern}` stands for one label more than {suffix}, so not for {suffix} itself"
            ));
        }
        if !suffix.contains('.') && name.ends_with(&format!(".{suffix}")) {
            return Some(format!(
                "`{pattern}` stands for a whole top-level domain, which no browser accepts"
            ));
        }
        if let Some(front) = name.strip_suffix(&format!(".{suffix}")) {
            let last = front.rsplit('.').next().unwrap_or(front);
            return Some(format!(
                "`*` stands for exactly one label: `{pattern}` is for {last}.{suffix}, and not for {name}"
            ));
        }
    }
    if certificate
        .common_name
        .as_deref()
        .is_some_and(|cn| cn.eq_ignore_ascii_case(name))
    {
        return Some("it is only in the common name, at which browsers do not look".to_owned());
    }
    let dotted = dns().find(|pattern| pattern.strip_suffix('.') == Some(name));
    dotted.map(|pattern| format!("`{pattern}` has a dot at its end, so no browser compares it"))
}

fn of_address(
    certificate: &Certificate,
    address: IpAddr,
    mut dns: impl Iterator<Item = String>,
) -> Option<String> {
    let text = address.to_string();
    if dns.any(|name| name == text) {
        return Some(
            "the address is there as a DNS name, and it has to be an IP address".to_owned(),
        );
    }
    (certificate.common_name.as_deref() == Some(&*text))
        .then(|| "it is only in the common name, at which browsers do not look".to_owned())
}

/// Names that no browser accepts, each with the reason.
pub(super) fn useless(certificate: &Certificate) -> Vec<String> {
    let names = certificate.names.iter().flatten();
    names
        .filter_map(|name| match name {
            Name::Dns(name) => why_useless(name).map(|why| format!("`{name}`: {why}")),
            _ => None,
        })
        .collect()
}

fn why_useless(name: &str) -> Option<&'static str> {
    let wildcard = name.strip_prefix("*.");
    let rest = wildcard.unwrap_or(name);
    if !name.is_ascii() {
        return Some("an international name has to be in its ASCII form (`xn--…`)");
    }
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.ends_with('.') {
        return Some("it has a dot at its end");
    }
    if rest.contains('*') {
        return Some("`*` may only stand for the whole first label");
    }
    if wildcard.is_some() && !rest.contains('.') {
        return Some("a wildcard for a whole top-level domain");
    }
    if rest.parse::<IpAddr>().is_ok() {
        return Some("an address has to be there as an IP address");
    }
    Host::parse(rest).is_err().then_some("it is no host name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let table = [
            ("wiki.example.com", "wiki.example.com", true),
            ("WIKI.example.com", "wiki.example.com", true),
            ("*.example.com", "wiki.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.wiki.example.com", false),
            ("*.com", "example.com", false),
            ("w*.example.com", "wiki.example.com", false),
            ("wiki.example.com.", "wiki.example.com", false),
            ("*", "wiki", false),
        ];
        for (pattern, host, expected) in table {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    /// webpki refuses a name whose tag is not that of RFC 5280 (4.2.1.6); x509-parser takes it.
    #[test]
    fn a_name_that_clients_cannot_read_covers_nothing() {
        let made = rcgen::generate_simple_self_signed(vec!["wiki.example.com".to_owned()]);
        let mut der = made.expect("it is made").cert.der().to_vec();
        let tag = [0x82, 16, b'w', b'i', b'k', b'i'];
        let at = der.windows(tag.len()).position(|octets| octets == tag);
        let host = Host::parse("wiki.example.com").expect("it is a host");
        let host = HostPattern::Exact(host);
        let read = |der: &[u8]| Certificate::read(der.to_vec().into()).expect("it can be read");
        assert!(covers(&read(&der), &host));
        der[at.expect("the name is there")] = 0xa2;
        let damaged = read(&der);
        assert_eq!(
            damaged.names,
            Some(vec![Name::Dns("wiki.example.com".to_owned())])
        );
        assert!(!covers(&damaged, &host));
        assert!(explained(&damaged, &host).is_some());
    }

    #[test]
    fn names_that_no_browser_accepts_are_told() {
        let bad = [
            "",
            "*",
            "w*.example.com",
            "*.com",
            "a.*.com",
            "wiki.",
            "10.0.0.1",
            "bücher.example",
            "a b.c",
        ];
        for name in bad {
            assert!(why_useless(name).is_some(), "{name}");
        }
        for name in [
            "wiki",
            "wiki.example.com",
            "*.example.com",
            "xn--bcher-kva.example",
            "a_b.example.com",
        ] {
            assert_eq!(why_useless(name), None, "{name}");
        }
    }
}
