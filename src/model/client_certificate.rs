//! Certificates that clients show: how an application asks for them, and what rules look for in one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::condition::PathRule;
use super::person::PersonKey;

/// How the clients of an application show certificates, and what it learns of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The file of the authorities whose certificates count.
    pub ca: Arc<Path>,
    /// The application is told of the certificate (`Client-Cert`, RFC 9440).
    pub forward: bool,
    /// It is told of the certificates that came with it as well (`Client-Cert-Chain`).
    pub forward_chain: bool,
    /// The field in which it gets the certificate as PEM, percent-encoded.
    pub pem_header: Option<HeaderName>,
    /// Paths on which a request that does not say which page it comes from is a program's.
    pub without_origin: Arc<[PathRule]>,
}

/// A part of a certificate that rules know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificatePart {
    /// The subject's common name.
    CommonName,
    /// The subject's organisation.
    Organization,
    /// The subject's organisational unit.
    OrganizationalUnit,
    /// A DNS name of the subject.
    DnsName,
    /// An e-mail address of the subject (RFC 822 name).
    Email,
    /// A URI of the subject.
    Uri,
    /// The issuer's common name.
    Issuer,
    /// The serial number, hexadecimal and without colons.
    Serial,
    /// The SHA-256 of the whole certificate, hexadecimal and without colons.
    Fingerprint,
}

impl CertificatePart {
    /// All parts, as configurations list them.
    pub const ALL: [Self; 9] = [
        Self::CommonName,
        Self::Organization,
        Self::OrganizationalUnit,
        Self::DnsName,
        Self::Email,
        Self::Uri,
        Self::Issuer,
        Self::Serial,
        Self::Fingerprint,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommonName => "common_name",
            Self::Organization => "organization",
            Self::OrganizationalUnit => "organizational_unit",
            Self::DnsName => "dns_name",
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Issuer => "issuer",
            Self::Serial => "serial",
            Self::Fingerprint => "fingerprint",
        }
    }

    /// Whether it is written in hexadecimal digits.
    #[must_use]
    pub const fn is_hexadecimal(self) -> bool {
        matches!(self, Self::Serial | Self::Fingerprint)
    }
}

/// What a rule looks for in a certificate: all of it has to be there. Nothing: any certificate will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule(Arc<[(CertificatePart, Arc<str>)]>);

impl CertificateRule {
    /// Any certificate.
    #[must_use]
    pub fn any() -> Self {
        Self(Arc::new([]))
    }

    /// One that has all of these.
    #[must_use]
    pub fn new(parts: Vec<(CertificatePart, Arc<str>)>) -> Self {
        Self(parts.into())
    }

    /// Whether any certificate will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a certificate has all of it; `None` where that cannot be told. SECURITY: what closes does so
    /// for a name in other letters too, what opens goes by the very octets.
    #[must_use]
    pub fn fits(&self, certificate: &ClientCertificate, closes: bool) -> Option<bool> {
        let mut whole = Some(true);
        for (part, wanted) in self.0.iter() {
            let same = |own: &str| match closes || part.is_hexadecimal() {
                true => own.eq_ignore_ascii_case(wanted),
                false => *own == **wanted,
            };
            let mut own = certificate.parts.iter().filter(|(own, _)| own == part);
            let values: Vec<_> = own.by_ref().map(|(_, value)| value.as_deref()).collect();
            match values.iter().flatten().any(|value| same(value)) {
                true => {}
                // One of them has letters that cannot be read.
                false if values.contains(&None) => whole = None,
                false => return Some(false),
            }
        }
        whole
    }
}

impl fmt::Display for CertificateRule {
    /// As an operator writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("anyone_with_certificate");
        }
        f.write_str("certificate: { ")?;
        for (number, (part, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {value}", part.as_str())?;
        }
        f.write_str(" }")
    }
}

/// A certificate that a client has shown, with the proof that it has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// What rules know of it; no value where its letters cannot be read.
    pub parts: Vec<(CertificatePart, Option<Box<str>>)>,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// The certificate itself, DER.
    pub der: Box<[u8]>,
    /// Those that came with it, DER.
    pub chain: Vec<Box<[u8]>>,
}

impl ClientCertificate {
    /// Whose it is, as people are told apart by what a provider calls them.
    #[must_use]
    pub fn key(&self) -> PersonKey {
        let issuer = self.values(CertificatePart::Issuer).next();
        PersonKey {
            authority: issuer.unwrap_or_default().into(),
            subject: self.to_string().into(),
        }
    }

    /// The values of a part that can be read.
    pub fn values(&self, part: CertificatePart) -> impl Iterator<Item = &str> {
        let own = self.parts.iter().filter(move |(own, _)| *own == part);
        own.filter_map(|(_, value)| value.as_deref())
    }
}

/// For the log: whose it is, and which one.
impl fmt::Display for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificatePart as P;
        let named = [P::CommonName, P::DnsName, P::Email, P::Uri];
        let name = named.into_iter().find_map(|part| self.values(part).next());
        let serial = self.values(P::Serial).next().unwrap_or_default();
        match name {
            Some(name) => write!(
                f,
                "certificate of {} (serial {serial})",
                name.escape_debug()
            ),
            None => write!(f, "certificate of serial {serial}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_wants_all_of_it_and_closes_whatever_the_letters() {
        use CertificatePart as P;
        let certificate = ClientCertificate {
            parts: vec![
                (P::CommonName, Some("kiosk-7".into())),
                (P::Organization, Some("Example".into())),
                (P::Organization, Some("Other".into())),
                (P::OrganizationalUnit, None),
                (P::Serial, Some("0a1b".into())),
            ],
            not_after: 1,
            der: Box::new([]),
            chain: Vec::new(),
        };
        for (wanted, opens, closes) in [
            (&[][..], Some(true), Some(true)),
            (&[(P::CommonName, "kiosk-7")], Some(true), Some(true)),
            (&[(P::CommonName, "Kiosk-7")], Some(false), Some(true)),
            (&[(P::CommonName, "kiosk")], Some(false), Some(false)),
            (&[(P::Organization, "Other")], Some(true), Some(true)),
            (&[(P::Serial, "0A1B")], Some(true), Some(true)),
            (
                &[(P::CommonName, "kiosk-7"), (P::Organization, "No")],
                Some(false),
                Some(false),
            ),
            (&[(P::DnsName, "a.test")], Some(false), Some(false)),
            // Its letters cannot be read: nobody knows.
            (&[(P::OrganizationalUnit, "x")], None, None),
            (
                &[(P::OrganizationalUnit, "x"), (P::DnsName, "a.test")],
                Some(false),
                Some(false),
            ),
        ] {
            let parts = wanted.iter().map(|(part, value)| (*part, (*value).into()));
            let rule = CertificateRule::new(parts.collect());
            let told = (
                rule.fits(&certificate, false),
                rule.fits(&certificate, true),
            );
            assert_eq!(told, (opens, closes), "{rule}");
        }
        assert_eq!(
            certificate.to_string(),
            "certificate of kiosk-7 (serial 0a1b)"
        );
    }
}
