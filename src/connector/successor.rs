//! The next identity of this connector, made of what a gateway handed down and checked against what
//! it has.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::identity::Identity;
use crate::certs::issued_by;
use crate::tunnel::tls::Credentials;

impl Identity {
    /// This identity with the certificate and the authorities that a gateway handed down, over a
    /// connection on which it proved itself with an authority that was known. The certificate must
    /// be of one of those authorities, for the same key, connector and group.
    pub(super) fn renewed(
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
    pub(super) fn trusting(&self, authorities: &[String]) -> Result<Self, &'static str> {
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
    pub(super) fn is_of_issuing(&self) -> bool {
        let Credentials {
            chain, authorities, ..
        } = &self.credentials;
        issued_by(&chain[0], &authorities[0], self.issued).is_ok()
    }
}
