//! The authorities of one installation: one issues, and while a rotation is under way the one before
//! it counts too.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::crypto::provider;
use super::{Authority, Pin};
use crate::clock::Timestamp;

/// id-kp-clientAuth (RFC 5280 section 4.2.1.12), as the octets of its OID.
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// At least one authority; the newest issues.
#[derive(Debug, Clone)]
pub struct Authorities {
    issuing: Arc<Authority>,
    /// Newest first.
    former: Vec<Arc<Authority>>,
}

/// Why a connector's certificate does not come from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// None of these authorities has issued it.
    #[error("it was issued by an authority that is not known here, or not any more")]
    Unknown,
    /// It is not valid yet, by this host's clock.
    #[error("it is not valid yet by the gateway's clock")]
    NotYetValid,
    /// It cannot be read, or is for something else.
    #[error("it is not a connector's certificate")]
    Unfit,
}

impl Authorities {
    /// Takes authorities, the newest first; `None` without any.
    #[must_use]
    pub fn new(newest_first: impl IntoIterator<Item = Authority>) -> Option<Self> {
        let mut all = newest_first.into_iter().map(Arc::new);
        Some(Self {
            issuing: all.next()?,
            former: all.collect(),
        })
    }

    /// The one that issues.
    #[must_use]
    pub fn issuing(&self) -> &Arc<Authority> {
        &self.issuing
    }

    /// All that count, the one that issues first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Authority>> {
        std::iter::once(&self.issuing).chain(&self.former)
    }

    /// Their certificates as connectors are told them: PEM, the one that issues first.
    #[must_use]
    pub fn pem(&self) -> Vec<String> {
        self.iter().map(|a| a.certificate_pem()).collect()
    }

    /// What tells this set from another.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        self.iter().map(|a| a.pin()).collect()
    }

    /// Which of them has issued a connector's certificate. Its end does not count here: whoever
    /// asks decides what an ended one is still good for.
    ///
    /// # Errors
    /// Where none has, it is not valid yet, or it is no certificate for clients.
    pub fn issuer_of(
        &self,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<Pin, IssuerError> {
        let mut refusal = IssuerError::Unknown;
        for authority in self.iter() {
            match issued_by(certificate, authority.certificate(), now) {
                Ok(()) => return Ok(authority.pin()),
                Err(IssuerError::Unknown) => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }
}

/// Whether an authority has issued a certificate for clients, whose end may be past.
///
/// # Errors
/// Where it has not, it is not valid yet, or it is no certificate for clients.
pub fn issued_by(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    now: Timestamp,
) -> Result<(), IssuerError> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| IssuerError::Unfit)?;
    let at = now.0.min(parsed.validity().not_after.timestamp());
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
    let leaf = webpki::EndEntityCert::try_from(certificate).map_err(|_| IssuerError::Unfit)?;
    let anchor = webpki::anchor_from_trusted_cert(authority).map_err(|_| IssuerError::Unknown)?;
    leaf.verify_for_usage(
        provider().signature_verification_algorithms.all,
        &[anchor],
        &[],
        at,
        // Required: a certificate without any role is not a connector's either.
        webpki::KeyUsage::required(CLIENT_AUTH),
        None,
        None,
    )
    .map(drop)
    .map_err(|e| match e {
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            IssuerError::Unknown
        }
        webpki::Error::CertNotValidYet { .. } => IssuerError::NotYetValid,
        _ => IssuerError::Unfit,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::certs::ConnectorRequest;
    use crate::model::{ConnectorId, GroupName};

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn connector(authority: &Authority) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key);
        let request = ConnectorRequest::from_der(csr.unwrap().der()).unwrap();
        let (id, group) = (
            ConnectorId::from_random([1; 12]),
            GroupName::new("hq").unwrap(),
        );
        let issued = authority.issue_connector(&request, &id, &group, NOW, DAY);
        issued.unwrap().certificate
    }

    #[test]
    fn the_issuer_of_a_certificate_is_found_also_after_its_end_and_never_before_its_time() {
        let [old, new, other] = [(); 3].map(|()| Authority::create(NOW).unwrap());
        let (by_old, by_new, by_other) = (connector(&old), connector(&new), connector(&other));
        let (old_pin, new_pin) = (old.pin(), new.pin());
        let gateway = new.issue_gateway(NOW).unwrap().cert[0].clone();
        let both = Authorities::new([new, old]).unwrap();
        assert_eq!(both.pins(), [new_pin, old_pin]);
        assert_eq!(both.pem().len(), 2);
        assert_eq!(both.issuing().pin(), new_pin);
        let before = NOW.minus(DAY);
        for (certificate, at, expected) in [
            (&by_old, NOW, Ok(old_pin)),
            (&by_new, NOW, Ok(new_pin)),
            (&by_new, NOW.plus(DAY * 400), Ok(new_pin)),
            (&by_other, NOW, Err(IssuerError::Unknown)),
            (&by_new, before, Err(IssuerError::NotYetValid)),
            (&gateway, NOW, Err(IssuerError::Unfit)),
            (
                &CertificateDer::from(vec![0x30]),
                NOW,
                Err(IssuerError::Unfit),
            ),
        ] {
            assert_eq!(both.issuer_of(certificate, at), expected, "at {at:?}");
        }
        assert!(Authorities::new([]).is_none());
    }
}
