//! An identity as it stands in its file, and the next one as a renewal makes it.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Identity;
use crate::certs::{PeerConnector, Pin, issued_by, pem};
use crate::tunnel::tls::{Credentials, connector_tunnel};

/// Far more than a rotation ever has at once.
const AUTHORITIES: usize = 8;

impl Identity {
    /// Reads key, certificate and authorities, in this order, and checks that they are a
    /// connector's and fit one another. The error says in a few words what is wrong.
    pub(in crate::connector) fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| "it has no private key")?;
        let mut certificates = CertificateDer::pem_slice_iter(text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "a certificate is cut off or changed")?;
        if certificates.is_empty() {
            return Err("it has no certificate");
        }
        let leaf = certificates.remove(0);
        Self::new(key, leaf, certificates)
    }

    fn new(
        key: PrivateKeyDer<'static>,
        leaf: CertificateDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, &'static str> {
        if authorities.is_empty() {
            return Err("it has no authority");
        }
        if authorities.len() > AUTHORITIES {
            return Err("it has too many authorities");
        }
        if authorities.iter().any(|a| Pin::of_authority(a).is_none()) {
            return Err("one of its authorities is none");
        }
        let peer = PeerConnector::from_certificate(&leaf).map_err(|_| "it is not a connector's")?;
        let credentials = Credentials {
            chain: vec![leaf],
            key,
            authorities,
        };
        connector_tunnel(&credentials).map_err(|_| "its key does not fit its certificate")?;
        Ok(Self {
            id: peer.id,
            group: peer.group,
            issued: peer.issued,
            not_after: peer.not_after,
            credentials,
        })
    }

    /// This identity with the certificate and the authorities that a gateway handed down, over a
    /// connection on which it proved itself with an authority that was known. The certificate must
    /// be of one of those authorities, for the same key, connector and group.
    pub(in crate::connector) fn renewed(
        &self,
        chain: &str,
        authorities: &[String],
    ) -> Result<Self, &'static str> {
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes())
            .map_err(|_| "its certificate cannot be read")?;
        let renewed = self.with(leaf, authorities)?;
        let own = &renewed.credentials;
        // At the time of its issue: what the clock here says of it is another question.
        let fits = |a: &CertificateDer<'_>| issued_by(&own.chain[0], a, renewed.issued).is_ok();
        if !own.authorities.iter().any(fits) {
            return Err("its certificate is of none of its authorities");
        }
        Ok(renewed)
    }

    /// This identity with other authorities to trust.
    pub(in crate::connector) fn trusting(
        &self,
        authorities: &[String],
    ) -> Result<Self, &'static str> {
        self.with(self.credentials.chain[0].clone(), authorities)
    }

    fn with(
        &self,
        leaf: CertificateDer<'static>,
        authorities: &[String],
    ) -> Result<Self, &'static str> {
        let authorities = authorities
            .iter()
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "an authority cannot be read")?;
        let other = Self::new(self.credentials.key.clone_key(), leaf, authorities)?;
        if other.id != self.id || other.group != self.group {
            return Err("its certificate names another connector");
        }
        Ok(other)
    }

    /// Whether the authority that issues now has issued its certificate.
    pub(in crate::connector) fn is_of_issuing(&self) -> bool {
        let Credentials {
            chain, authorities, ..
        } = &self.credentials;
        issued_by(&chain[0], &authorities[0], self.issued).is_ok()
    }

    /// How long its certificate is good for, from issue to end, in seconds; at least one.
    pub(in crate::connector) fn life(&self) -> u64 {
        let life = self.not_after.0.saturating_sub(self.issued.0);
        u64::try_from(life).unwrap_or(0).max(1)
    }

    /// The text of its file.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let Credentials {
            chain,
            key,
            authorities,
        } = &self.credentials;
        let label = match key {
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut text = Zeroizing::new(pem(label, key.secret_der()));
        for certificate in chain.iter().chain(authorities) {
            text.push_str(&pem("CERTIFICATE", certificate));
        }
        text
    }
}
