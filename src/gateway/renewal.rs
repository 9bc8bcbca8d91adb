//! Another certificate for a connector that has one: over its tunnel, or late by proof of its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Gateway;
use super::issuer::Issuer;
use crate::certs::{
    AuthorityError, ConnectorRequest, IssuedCertificate, PeerConnector, RequestError,
};
use crate::clock::Timestamp;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::RENEWALS;
use crate::tunnel::control::Down;

/// Why there is no other certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the certificate request is not base64")]
    Base64,
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the certificate request is for another key than the certificate's")]
    OtherKey,
    #[error("this connector was removed at the gateway")]
    Removed,
    #[error("this connector never was enrolled at this gateway's store")]
    Unknown,
    #[error("the certificate names the group {claimed}, the store {stored}: register again")]
    Group { claimed: String, stored: String },
    #[error("the gateway cannot use its store at the moment: {0}")]
    Store(#[from] StoreError),
    #[error("the gateway cannot issue certificates at the moment: {0}")]
    Issue(#[from] AuthorityError),
}

/// Issues another certificate to a connector whose present one is proven to be its own. Nothing
/// but the key is taken from the request, and that must be the one the connector has.
pub(super) async fn renew(
    issuer: &Issuer,
    store: &dyn Store,
    peer: &PeerConnector,
    csr: &str,
    now: Timestamp,
) -> Result<IssuedCertificate, Refusal> {
    let der = STANDARD.decode(csr).map_err(|_| Refusal::Base64)?;
    let request = ConnectorRequest::from_der(&der)?;
    if request.public_key_hash() != peer.public_key_hash {
        return Err(Refusal::OtherKey);
    }
    let record = store.connector(&peer.id).await?.ok_or(Refusal::Unknown)?;
    if record.removed.is_some() {
        return Err(Refusal::Removed);
    }
    if record.group != peer.group {
        return Err(Refusal::Group {
            claimed: peer.group.to_string(),
            stored: record.group.to_string(),
        });
    }
    Ok(issuer.issue(&request, &peer.id, &peer.group, now)?)
}

/// What a connector hears that asks over its tunnel.
pub(super) async fn answer(gateway: &Gateway, peer: &PeerConnector, csr: &str) -> Down {
    let (issuer, now) = (&gateway.issuer, gateway.clock.now());
    match renew(issuer, &*gateway.store, peer, csr, now).await {
        Ok(issued) => {
            RENEWALS.count(&["renewed"]);
            tracing::info!(connector = %peer.id, until = issued.not_after.to_rfc3339(), "certificate renewed");
            Down::Renewed {
                chain: issued.pem,
                authorities: issuer.authorities().pem(),
            }
        }
        Err(refusal) => {
            RENEWALS.count(&["refused"]);
            let reason = refusal.to_string();
            tracing::warn!(code = "identity_not_renewed", connector = %peer.id, reason, "certificate not renewed");
            Down::RenewalRefused { reason }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::ConnectorCertificates;
    use crate::gateway::{Memory, load_authorities};
    use crate::model::{ConnectorId, GroupName};
    use crate::store::{NewToken, SpendToken};

    pub(in crate::gateway) const NOW: Timestamp = Timestamp(1_800_000_000);

    /// A PKCS#10 request that asks for more than it gets.
    pub(in crate::gateway) fn csr(key: &KeyPair) -> Vec<u8> {
        let mut params =
            CertificateParams::new(vec!["gateway.appproxy.internal".to_owned()]).unwrap();
        let group = "urn:appproxy:group:other".try_into().unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(group));
        params.serialize_request(key).unwrap().der().to_vec()
    }

    /// A connector of the store with this key, and its certificate.
    pub(in crate::gateway) async fn enrolled(
        store: &Memory,
        issuer: &Issuer,
        key: &KeyPair,
    ) -> IssuedCertificate {
        let request = ConnectorRequest::from_der(&csr(key)).unwrap();
        let group = GroupName::new("hq").unwrap();
        let hash = request.public_key_hash();
        let token = NewToken {
            id: format!("t{}", hash[0]),
            secret_hash: hash,
            group: group.clone(),
            uses: 1,
            created: NOW,
            expires: NOW.plus(Duration::from_secs(60)),
        };
        store.create_token(token).await.unwrap();
        let id = ConnectorId::from_random(hash[..12].try_into().unwrap());
        let spend = SpendToken {
            secret_hash: hash,
            public_key_hash: hash,
            id: id.clone(),
            name: "host".to_owned(),
            now: NOW,
        };
        store.spend_token(spend).await.unwrap().unwrap();
        issuer.issue(&request, &id, &group, NOW).unwrap()
    }

    #[tokio::test]
    async fn another_certificate_is_for_the_same_key_and_a_connector_that_is_not_removed() {
        let store = Memory::default();
        let authorities = load_authorities(&store, NOW).await.unwrap();
        let issuer = Issuer::new(authorities, ConnectorCertificates::default());
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let first = enrolled(&store, &issuer, &own).await;
        let peer = PeerConnector::from_certificate(&first.certificate).unwrap();
        let later = NOW.plus(Duration::from_secs(60 * 86_400));
        let encode = |der: &[u8]| STANDARD.encode(der);
        let good = encode(&csr(&own));
        let ask = async |peer: &PeerConnector, csr: &str| {
            let renewed = renew(&issuer, &store, peer, csr, later).await;
            renewed.map_err(|e| e.to_string())
        };

        let renewed = ask(&peer, &good).await.unwrap();
        let next = PeerConnector::from_certificate(&renewed.certificate).unwrap();
        assert_eq!((&next.id, &next.group), (&peer.id, &peer.group));
        assert_eq!(next.public_key_hash, peer.public_key_hash);
        assert_eq!(next.not_after, later.plus(Duration::from_secs(90 * 86_400)));

        let mut forged = csr(&own);
        *forged.last_mut().unwrap() ^= 1;
        let mut stranger = peer.clone();
        stranger.id = ConnectorId::from_random([9; 12]);
        let mut moved = peer.clone();
        moved.group = GroupName::new("branch").unwrap();
        let mut seen = 0;
        for (peer, csr, expected) in [
            (&peer, encode(&csr(&other)), "for another key"),
            (&peer, encode(&forged), "not signed by its own key"),
            (&peer, encode(b"x"), "cannot be read"),
            (&peer, "!".to_owned(), "not base64"),
            (&stranger, good.clone(), "never was enrolled"),
            (&moved, good.clone(), "names the group branch, the store hq"),
        ] {
            let refused = ask(peer, &csr).await.unwrap_err();
            assert!(refused.contains(expected), "{refused}");
            seen += 1;
        }
        assert_eq!(seen, 6);
        store.remove_connector(&peer.id, NOW).await.unwrap();
        let refused = ask(&peer, &good).await.unwrap_err();
        assert_eq!(refused, "this connector was removed at the gateway");
        store.break_down();
        let refused = ask(&peer, &good).await.unwrap_err();
        assert!(refused.contains("cannot use its store"), "{refused}");
    }
}
