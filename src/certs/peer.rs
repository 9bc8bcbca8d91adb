//! Who a connector is, by its certificate.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use super::authority::BACKDATED;
use super::crypto::sha256;
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName};

const ID: &str = "urn:appproxy:connector:";
const GROUP: &str = "urn:appproxy:group:";

/// A connector as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConnector {
    /// Its identifier.
    pub id: ConnectorId,
    /// The group it speaks for.
    pub group: GroupName,
    /// When its certificate was issued.
    pub issued: Timestamp,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// SHA-256 of its public key's SubjectPublicKeyInfo.
    pub public_key_hash: [u8; 32],
}

/// Why a certificate is not a connector's, though our authority signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It is an authority's, a gateway's, or for more than clients.
    #[error("the certificate is not for a connector's role")]
    Role,
    /// Its names are not exactly one connector and one group.
    #[error("the certificate does not name exactly one connector and one group")]
    Names,
}

impl PeerConnector {
    /// Reads a certificate whose chain and dates were verified before. It must be exactly what
    /// [`super::Authority::issue_connector`] issues: for clients only, no authority, and with the
    /// two names of ours and no others.
    ///
    /// # Errors
    /// Where it is anything else.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let (rest, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| PeerError::Malformed)?;
        if !rest.is_empty() {
            return Err(PeerError::Malformed);
        }
        let usage = parsed
            .extended_key_usage()
            .map_err(|_| PeerError::Malformed)?
            .ok_or(PeerError::Role)?
            .value;
        let other_roles = usage.any
            || usage.server_auth
            || usage.code_signing
            || usage.email_protection
            || usage.time_stamping
            || usage.ocsp_signing
            || !usage.other.is_empty();
        if !usage.client_auth || other_roles || parsed.is_ca() {
            return Err(PeerError::Role);
        }
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| PeerError::Malformed)?
            .ok_or(PeerError::Names)?;
        let (id, group) = match names.value.general_names.as_slice() {
            [GeneralName::URI(a), GeneralName::URI(b)] => match a.strip_prefix(ID) {
                Some(id) => (Some(id), b.strip_prefix(GROUP)),
                None => (b.strip_prefix(ID), a.strip_prefix(GROUP)),
            },
            _ => (None, None),
        };
        let id = id.and_then(|t| ConnectorId::new(t).ok());
        let group = group.and_then(|t| GroupName::new(t).ok());
        Ok(Self {
            id: id.ok_or(PeerError::Names)?,
            group: group.ok_or(PeerError::Names)?,
            issued: Timestamp(parsed.validity().not_before.timestamp()).plus(BACKDATED),
            not_after: Timestamp(parsed.validity().not_after.timestamp()),
            public_key_hash: sha256(parsed.public_key().raw),
        })
    }

    /// How long its certificate is good for, in seconds; at least one.
    #[must_use]
    pub fn life(&self) -> u64 {
        let life = self.not_after.0.saturating_sub(self.issued.0);
        u64::try_from(life).unwrap_or(0).max(1)
    }

    pub(super) fn id_uri(id: &ConnectorId) -> String {
        format!("{ID}{id}")
    }

    pub(super) fn group_uri(group: &GroupName) -> String {
        format!("{GROUP}{group}")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};

    use super::*;

    fn read(
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<PeerConnector, PeerError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()))
            .collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PeerConnector::from_certificate(certificate.der())
    }

    const GOOD: [&str; 2] = ["urn:appproxy:connector:c01", "urn:appproxy:group:hq"];

    #[test]
    fn a_connectors_certificate_has_its_two_names_and_no_others() {
        let [id, group] = GOOD;
        for order in [[id, group], [group, id]] {
            let peer = read(&order, |_| ()).unwrap();
            assert_eq!((peer.id.as_str(), peer.group.as_str()), ("c01", "hq"));
        }
        let upper = "urn:appproxy:group:HQ";
        let foreign = "https://example.com/";
        for names in [
            &[][..],
            &[id],
            &[group],
            &[id, id],
            &[group, group],
            &[id, group, foreign],
            &[id, group, group],
            &[id, foreign],
            &[id, upper],
            &["urn:appproxy:connector:", group],
        ] {
            assert_eq!(read(names, |_| ()), Err(PeerError::Names), "{names:?}");
        }
        let with_host = read(&GOOD, |p| {
            let host = SanType::DnsName("a.example.com".try_into().unwrap());
            p.subject_alt_names.push(host);
        });
        assert_eq!(with_host, Err(PeerError::Names));
    }

    #[test]
    fn a_connectors_certificate_is_for_clients_alone() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
        for usages in [
            vec![],
            vec![ServerAuth],
            vec![ClientAuth, ServerAuth],
            vec![ClientAuth, Any],
            vec![ClientAuth, CodeSigning],
        ] {
            let peer = read(&GOOD, |p| p.extended_key_usages = usages);
            assert_eq!(peer, Err(PeerError::Role));
        }
        let authority = read(&GOOD, |p| {
            p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        assert_eq!(authority, Err(PeerError::Role));
        let broken = PeerConnector::from_certificate(&CertificateDer::from(vec![0x30]));
        assert_eq!(broken, Err(PeerError::Malformed));
    }
}
