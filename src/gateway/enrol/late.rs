//! Late renewal: a connector whose certificate ended while it was off, or while no gateway could be
//! reached, gets the next one by proof of its key, within the grace, unless it was removed.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::renewal::{self, Refusal};
use super::{Enrolment, NAME, refuse};
use crate::certs::{IssuerError, PeerConnector};
use crate::telemetry::metrics::ENROLMENTS;
use crate::telemetry::printable;
use crate::tunnel::enrol::{Answer, RefusalCode, RenewLate, Renewed};
use crate::tunnel::late::Channel;

impl Enrolment {
    /// The order matters: nothing is said of a connector to somebody who has not its key.
    pub(super) async fn renew_late(
        &self,
        asked: RenewLate,
        channel: &Channel,
        address: IpAddr,
    ) -> Answer {
        let no = |code, message: &str| refuse(address, None, code, message);
        let now = self.clock.now();
        let Ok(leaf) = CertificateDer::from_pem_slice(asked.chain.as_bytes()) else {
            return no(RefusalCode::BadRequest, "there is no certificate to renew");
        };
        match self.issuer.authorities().issuer_of(&leaf, now) {
            Ok(_) => {}
            Err(error @ IssuerError::Unknown) => {
                return no(
                    RefusalCode::CertificateUnknown,
                    &format!(
                        "the certificate cannot be renewed: {error}. Register again with a new token"
                    ),
                );
            }
            Err(error) => {
                let message = format!("the certificate cannot be renewed: {error}");
                return no(RefusalCode::BadRequest, &message);
            }
        }
        let peer = match PeerConnector::from_certificate(&leaf) {
            Ok(peer) => peer,
            Err(error) => return no(RefusalCode::BadRequest, &error.to_string()),
        };
        let proof = STANDARD.decode(&asked.proof).unwrap_or_default();
        if !channel.is_proven(&leaf, &proof) {
            return no(
                RefusalCode::BadProof,
                "the certificate was shown without proof of its key",
            );
        }
        if now >= peer.not_after.plus(self.issuer.grace()) {
            let message = format!(
                "the certificate ended at {}, and the time in which it could be renewed is over too: register again with a new token",
                peer.not_after.to_rfc3339()
            );
            return no(RefusalCode::RenewalTooLate, &message);
        }
        let issued = renewal::renew(&self.issuer, &*self.store, &peer, &asked.csr, now).await;
        let issued = match issued {
            Ok(issued) => issued,
            Err(refusal) => {
                tracing::warn!(code = "identity_not_renewed", connector = %peer.id, reason = %refusal, "certificate not renewed");
                return no(code(&refusal), &refusal.to_string());
            }
        };
        ENROLMENTS.count(&["renewed_late"]);
        tracing::info!(
            outcome = "renewed_late",
            connector = %peer.id,
            group = %peer.group,
            ended = peer.not_after.to_rfc3339(),
            until = issued.not_after.to_rfc3339(),
            version = printable(&asked.version, NAME),
            %address,
            "enrolment"
        );
        Answer::Renewed(Renewed {
            chain: issued.pem,
            authorities: self.issuer.authorities().pem(),
            gateways: self.gateways(),
            time: now.0,
        })
    }
}

const fn code(refusal: &Refusal) -> RefusalCode {
    match refusal {
        Refusal::Base64 | Refusal::Request(_) | Refusal::OtherKey => RefusalCode::BadCsr,
        Refusal::Removed => RefusalCode::ConnectorRemoved,
        Refusal::Unknown | Refusal::Group { .. } => RefusalCode::CertificateUnknown,
        Refusal::Store(_) | Refusal::Issue(_) => RefusalCode::Unavailable,
    }
}
