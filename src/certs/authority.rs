//! Our own authority: issues the certificates by which gateways and connectors know one another.
//!
//! A gateway's certificate is for servers only and a connector's for clients only, so that neither
//! can pose as the other. Of a connector's request nothing but the public key is taken; everything
//! else in its certificate is the gateway's word.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::crypto::{RandomError, provider, random, sha256};
use super::{AUTHORITY_NAME, GATEWAY_NAME, PeerConnector};
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Longer than any installation: rotation, not expiry, replaces the authority.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * DAY.as_secs());
/// A gateway issues its own certificate anew every day, so this bounds what a stolen one is worth.
pub const GATEWAY_LIFE: Duration = Duration::from_secs(30 * DAY.as_secs());
/// How far the peer's clock may be behind ours.
pub(super) const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// The gateways' own certificate authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    pin: Pin,
}

/// SHA-256 of an authority's SubjectPublicKeyInfo: what a token carries of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

/// Why the authority cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored certificate is not one.
    #[error("the authority's certificate cannot be read: {0}")]
    Certificate(String),
    /// The stored key is not one.
    #[error("the authority's private key cannot be read")]
    Key,
    /// Certificate and key belong to different authorities.
    #[error("the authority's private key does not fit its certificate")]
    Mismatch,
    /// The point in time is outside of what a certificate can say.
    #[error("the clock shows a time that no certificate can carry")]
    Time,
    /// The system's random generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The cryptographic library refused.
    #[error("a certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
    /// The issued certificate cannot serve.
    #[error("an issued certificate cannot be used: {0}")]
    Use(#[from] rustls::Error),
}

/// A certificate issued to a connector.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// The same as PEM.
    pub pem: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl Authority {
    /// Makes a new authority with a P-256 key.
    ///
    /// # Errors
    /// Where randomness or the clock fails.
    pub fn create(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(AUTHORITY_NAME, now, AUTHORITY_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key)?.der().clone();
        let pin = Pin(sha256(&key.subject_public_key_info()));
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
            pin,
        })
    }

    /// Reads a stored authority.
    ///
    /// # Errors
    /// Where one of the two cannot be read, or they do not belong together.
    pub fn from_pem(certificate_pem: &str, key_pem: &SecretString) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| AuthorityError::Certificate(e.to_string()))?;
        // The error of the parser is not passed on: it could quote the key.
        let key = KeyPair::from_pem_and_sign_algo(key_pem.expose_secret(), &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| AuthorityError::Key)?;
        let pin = Pin::of_authority(&certificate)
            .ok_or_else(|| AuthorityError::Certificate("it is not an authority's".to_owned()))?;
        if pin != Pin(sha256(&key.subject_public_key_info())) {
            return Err(AuthorityError::Mismatch);
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
            certificate,
            pin,
        })
    }

    /// The certificate as PEM, for the store and for connectors.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The private key as PKCS#8 PEM, for the store alone.
    #[must_use]
    pub fn key_pem(&self) -> SecretString {
        self.issuer.key().serialize_pem().into()
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tokens carry of this authority.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Issues a gateway's tunnel certificate with a key of its own: for 30 days, for servers only.
    /// The chain includes the authority, since an enrolling connector knows its hash alone.
    ///
    /// # Errors
    /// Where randomness or the clock fails.
    pub fn issue_gateway(&self, now: Timestamp) -> Result<Arc<CertifiedKey>, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(GATEWAY_NAME, now, GATEWAY_LIFE)?;
        params.subject_alt_names = vec![SanType::DnsName(GATEWAY_NAME.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = params.signed_by(&key, &self.issuer)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Arc::new(CertifiedKey::from_der(
            vec![leaf, self.certificate.clone()],
            key.into(),
            &provider(),
        )?))
    }

    /// Issues a connector's certificate: for this life, for clients only, with its identifier and
    /// group as URIs. Nothing of the request but its public key gets in.
    ///
    /// # Errors
    /// Where randomness or the clock fails.
    pub fn issue_connector(
        &self,
        request: &ConnectorRequest,
        id: &ConnectorId,
        group: &GroupName,
        now: Timestamp,
        life: Duration,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let mut params = params(id.as_str(), now, life)?;
        for uri in [PeerConnector::id_uri(id), PeerConnector::group_uri(group)] {
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let issued = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(IssuedCertificate {
            certificate: issued.der().clone(),
            pem: issued.pem(),
            not_after: now.plus(life),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}

impl Pin {
    /// The pin of an authority's certificate; `None` where it is not an authority's.
    #[must_use]
    pub fn of_authority(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        parsed
            .is_ca()
            .then(|| Self(sha256(parsed.public_key().raw)))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate request that proved possession of its P-256 key. Only the key is kept.
#[derive(Debug, Clone)]
pub struct ConnectorRequest {
    public_key: SubjectPublicKeyInfo,
    hash: [u8; 32],
}

/// Why a certificate request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a PKCS#10 request.
    #[error("the certificate request cannot be read")]
    Malformed,
    /// It is not signed by the key it names.
    #[error("the certificate request is not signed by its own key")]
    NoPossession,
    /// Another kind of key than P-256.
    #[error("the key of a certificate request must be on the curve P-256")]
    KeyKind,
}

impl ConnectorRequest {
    /// Reads a PKCS#10 request and checks that its sender has the key.
    ///
    /// # Errors
    /// Where it cannot be read, is not signed by its own key, or the key is not P-256.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        let spki = request.certification_request_info.subject_pki.raw;
        let public_key = SubjectPublicKeyInfo::from_der(spki).map_err(|_| RequestError::KeyKind)?;
        if public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(RequestError::KeyKind);
        }
        // This is the check of possession; what else it reads of the request is dropped.
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|e| match e {
                rcgen::Error::InvalidCertificationRequestSignature => RequestError::NoPossession,
                _ => RequestError::Malformed,
            })?;
        Ok(Self {
            hash: sha256(spki),
            public_key,
        })
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_key_hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// What all our certificates have in common.
fn params(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, AuthorityError> {
    let at =
        |t: Timestamp| OffsetDateTime::from_unix_timestamp(t.0).map_err(|_| AuthorityError::Time);
    let mut params = CertificateParams::default();
    // The default has a name of rcgen's own.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(now.minus(BACKDATED))?;
    params.not_after = at(now.plus(life))?;
    let mut serial: [u8; 16] = random()?;
    // RFC 5280 section 4.1.2.2: a serial number is positive; 01 in front also keeps it from
    // beginning with a zero, which DER would have to strip.
    serial[0] = 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// One PEM section.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (i, c) in body.chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use x509_parser::extensions::GeneralName;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn an_authority_is_stored_and_read_again() {
        let made = Authority::create(NOW).unwrap();
        let (certificate, key) = (made.certificate_pem(), made.key_pem());
        let read = Authority::from_pem(&certificate, &key).unwrap();
        assert_eq!(read.pin(), made.pin());
        assert_eq!(read.certificate_pem(), certificate);
        assert!(!format!("{made:?}").contains("KEY"));
        let (_, parsed) = x509_parser::parse_x509_certificate(made.certificate()).unwrap();
        let constraints = parsed.basic_constraints().unwrap().unwrap().value;
        assert_eq!(
            (constraints.ca, constraints.path_len_constraint),
            (true, Some(0))
        );
        assert_eq!(parsed.subject().to_string(), "CN=appproxy");

        let other = Authority::create(NOW).unwrap();
        let mixed = Authority::from_pem(&certificate, &other.key_pem());
        assert!(matches!(mixed, Err(AuthorityError::Mismatch)));
        let no_key = Authority::from_pem(&certificate, &SecretString::from("x"));
        assert!(matches!(no_key, Err(AuthorityError::Key)));
        let leaf = made.issue_gateway(NOW).unwrap();
        let leaf = pem("CERTIFICATE", &leaf.cert[0]);
        let no_ca = Authority::from_pem(&leaf, &key);
        assert!(matches!(no_ca, Err(AuthorityError::Certificate(_))));
    }

    #[test]
    fn a_gateways_certificate_is_for_servers_only_and_thirty_days() {
        let authority = Authority::create(NOW).unwrap();
        let issued = authority.issue_gateway(NOW).unwrap();
        assert_eq!(issued.cert.len(), 2);
        assert_eq!(&issued.cert[1], authority.certificate());
        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.cert[0]).unwrap();
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !leaf.is_ca());
        let names = &leaf.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names, [GeneralName::DNSName(GATEWAY_NAME)]);
        assert_eq!(leaf.validity().not_before.timestamp(), NOW.0 - 300);
        assert_eq!(leaf.validity().not_after.timestamp(), NOW.0 + 30 * 86_400);
    }

    #[test]
    fn of_a_request_only_a_proven_p256_key_counts() {
        let authority = Authority::create(NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(vec![GATEWAY_NAME.to_owned()]).unwrap();
        let foreign = "urn:appproxy:group:other".try_into().unwrap();
        asked.subject_alt_names.push(SanType::URI(foreign));
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let csr = asked.serialize_request(&key).unwrap();
        let request = ConnectorRequest::from_der(csr.der()).unwrap();
        assert_eq!(
            request.public_key_hash(),
            sha256(&key.subject_public_key_info())
        );
        let (id, group) = (
            ConnectorId::from_random([1; 12]),
            GroupName::new("hq").unwrap(),
        );
        let issued = authority
            .issue_connector(&request, &id, &group, NOW, DAY)
            .unwrap();
        let not_after = NOW.plus(DAY);
        let peer = PeerConnector::from_certificate(&issued.certificate).unwrap();
        assert_eq!(
            peer,
            PeerConnector {
                id,
                group,
                issued: NOW,
                not_after,
                public_key_hash: request.public_key_hash(),
            }
        );
        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
        assert_eq!(leaf.public_key().raw, key.subject_public_key_info());

        let mut forged = csr.der().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let forged = ConnectorRequest::from_der(&forged).unwrap_err();
        assert_eq!(forged, RequestError::NoPossession);
        let mut longer = csr.der().to_vec();
        longer.push(0);
        for bad in [&longer[..], &csr.der()[..50], b""] {
            assert_eq!(
                ConnectorRequest::from_der(bad).unwrap_err(),
                RequestError::Malformed
            );
        }
        for kind in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(kind).unwrap();
            let csr = CertificateParams::default()
                .serialize_request(&key)
                .unwrap();
            let refused = ConnectorRequest::from_der(csr.der()).unwrap_err();
            assert_eq!(refused, RequestError::KeyKind);
        }
    }
}
