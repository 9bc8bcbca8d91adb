//! Why an application is not trusted over TLS, and what to do about it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, OtherError};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::certs::sha256;
use crate::clock::Timestamp;
use crate::config::SpkiPin;
use crate::model::{Endpoint, ErrorCode, Place};
use crate::telemetry::printable;

/// The longest name of a stranger that is shown.
const NAME: usize = 256;

/// Names of a certificate that are shown.
const NAMES: usize = 8;

/// Where trust in an application comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// The entry of `backend_tls`, where one names the target.
    pub(super) place: Option<Place>,
    /// The file that stands in for the system's authorities.
    pub(super) ca: Option<PathBuf>,
}

impl Source {
    /// The entry of `backend_tls` to write into, as part of a sentence.
    pub(super) fn entry(&self, target: &Endpoint) -> String {
        match &self.place {
            Some(place) => format!("in the entry of `backend_tls` at {place}"),
            None => format!("in an entry of `backend_tls` with `hosts: [\"{target}\"]`"),
        }
    }
}

/// What is wrong with the certificate an application presents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("its certificate has expired, at {}", .0.to_rfc3339())]
    Expired(Timestamp),
    #[error("its certificate is not valid yet, but from {} on", .0.to_rfc3339())]
    NotYetValid(Timestamp),
    #[error("its certificate was issued by `{issuer}`, which is not trusted here")]
    UnknownIssuer {
        issuer: String,
        pin: Option<SpkiPin>,
    },
    #[error(
        "its certificate names `{issuer}` as its issuer, and was signed by another authority of that \
         name than is trusted here"
    )]
    OtherIssuer {
        issuer: String,
        pin: Option<SpkiPin>,
    },
    #[error("its certificate is self-signed, by `{issuer}`: nobody vouches for it")]
    SelfSigned {
        issuer: String,
        pin: Option<SpkiPin>,
    },
    #[error("its certificate is not for {wanted}, but for {}", list(.has))]
    Name { wanted: String, has: Vec<String> },
    #[error("its public key is {0}, which is none of the pins")]
    Pin(SpkiPin),
    #[error("its certificate cannot be used: {0}")]
    Other(String),
}

impl Refusal {
    /// The refusal in the error of a handshake, if that is why it failed.
    pub(super) fn of(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
                other.source()?.downcast_ref::<Self>()
            }
            _ => None,
        }
    }

    /// What webpki found, with what of the certificate helps to see why.
    pub(super) fn new(error: CertificateError, leaf: &CertificateDer<'_>) -> Self {
        use CertificateError as E;
        let timestamp = |t: rustls::pki_types::UnixTime| {
            Timestamp(i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
        };
        match error {
            E::ExpiredContext { not_after, .. } => Self::Expired(timestamp(not_after)),
            E::NotValidYetContext { not_before, .. } => Self::NotYetValid(timestamp(not_before)),
            E::NotValidForNameContext {
                expected,
                presented,
            } => Self::Name {
                wanted: printable(&expected.to_str(), NAME),
                has: presented.iter().map(|name| plain_name(name)).collect(),
            },
            // The second is a self-signed certificate of an authority that serves as a leaf too.
            E::UnknownIssuer | E::BadSignature | E::Other(_) => Self::stranger(&error, leaf),
            error => Self::Other(error.to_string()),
        }
    }

    fn stranger(error: &CertificateError, leaf: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else {
            return Self::Other(error.to_string());
        };
        let issuer = printable(&parsed.issuer().to_string(), NAME);
        let pin = pin_of(leaf);
        if parsed.issuer().as_raw() == parsed.subject().as_raw() {
            return Self::SelfSigned { issuer, pin };
        }
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer { issuer, pin },
            CertificateError::BadSignature => Self::OtherIssuer { issuer, pin },
            error => Self::Other(error.to_string()),
        }
    }

    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Self::Name { .. } => ErrorCode::BackendTlsName,
            _ => ErrorCode::BackendTlsTrust,
        }
    }

    /// What to do about it, as one sentence.
    pub(super) fn remedy(&self, target: &Endpoint, source: &Source) -> String {
        let entry = source.entry(target);
        match self {
            Self::Expired(_) => {
                "have it renewed at the application, or set this host's clock right".to_owned()
            }
            Self::NotYetValid(_) => "set this host's clock right, or wait".to_owned(),
            Self::UnknownIssuer { pin, .. } | Self::OtherIssuer { pin, .. } => {
                let mut remedy = match &source.ca {
                    Some(file) => format!(
                        "add that authority's certificate to {}, which stands in for the system's \
                         authorities",
                        file.display()
                    ),
                    None => format!("write `ca: FILE` with that authority's certificate {entry}"),
                };
                if let Some(pin) = pin {
                    let _ = write!(
                        remedy,
                        "; or, once you have seen at the application that this is its key, \
                         `validate: pins` and `pins: [{pin}]` there"
                    );
                }
                remedy
            }
            Self::SelfSigned { pin: Some(pin), .. } => {
                format!(
                    "to accept this very key write `validate: pins` and `pins: [{pin}]` {entry}"
                )
            }
            Self::SelfSigned { pin: None, .. } | Self::Other(_) => {
                "have the application's certificate issued anew".to_owned()
            }
            Self::Name { has, .. } => match has.first() {
                Some(name) => format!(
                    "publish the application under a name of its certificate, or write \
                     `server_name: {name}` {entry}"
                ),
                None => "have a certificate issued with the name as subjectAltName".to_owned(),
            },
            Self::Pin(pin) => format!(
                "if the key was changed on purpose, write `pins: [{pin}]` {entry}; else \
                 somebody stands in between"
            ),
        }
    }
}

impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        CertificateError::Other(OtherError(Arc::new(refusal))).into()
    }
}

/// The pin of a certificate's public key.
pub(super) fn pin_of(leaf: &CertificateDer<'_>) -> Option<SpkiPin> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    Some(SpkiPin(sha256(parsed.public_key().raw)))
}

/// The name of an authority in a request for a client certificate.
pub(super) fn authority_name(der: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(der).ok()?;
    Some(printable(&name.to_string(), NAME))
}

/// A name as webpki prints it, `DnsName("a")`, without its wrapping.
fn plain_name(debug: &str) -> String {
    let inner = debug
        .split_once("(\"")
        .and_then(|(_, rest)| rest.strip_suffix("\")"));
    printable(inner.unwrap_or(debug), NAME)
}

/// Names side by side; a certificate may have thousands.
pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no name at all".to_owned();
    }
    let mut text = names
        .iter()
        .take(NAMES)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > NAMES {
        let _ = write!(text, " and {} more", names.len() - NAMES);
    }
    text
}
