//! The authorities in force, and the certificates connectors get of them.
//!
//! The store says which authorities count; every gateway on it follows its change log, so that a
//! rotation reaches all of them, and through them every connected connector, at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Gateway;
use crate::certs::{
    Authorities, Authority, AuthorityError, ConnectorRequest, IssuedCertificate, Pin,
};
use crate::clock::Timestamp;
use crate::config::ConnectorCertificates;
use crate::model::{ConnectorId, GroupName};
use crate::store::{AuthorityRecord, Store, StoreError};
use crate::tunnel::control::Down;

/// How often a gateway looks whether an authority has ended by time.
const LOOK: Duration = Duration::from_secs(30);

/// How long an authority that has ended is kept, unused.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Until the store is asked again where it gave no answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Issues connectors' certificates by the authority in force.
#[derive(Debug)]
pub struct Issuer {
    authorities: ArcSwap<Authorities>,
    lives: ArcSwap<ConnectorCertificates>,
    /// Has a new value where the authorities are others.
    changed: watch::Sender<()>,
}

/// Why there is no authority to enrol with.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The store gives no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds is damaged, or nothing can be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Issuer {
    /// Issues by these authorities, for these lives.
    #[must_use]
    pub fn new(authorities: Authorities, lives: ConnectorCertificates) -> Self {
        Self {
            authorities: ArcSwap::from_pointee(authorities),
            lives: ArcSwap::from_pointee(lives),
            changed: watch::Sender::new(()),
        }
    }

    /// The authorities in force.
    #[must_use]
    pub fn authorities(&self) -> Arc<Authorities> {
        self.authorities.load_full()
    }

    /// Certificates that are issued from now on have these lives.
    pub(super) fn set_lives(&self, lives: ConnectorCertificates) {
        self.lives.store(Arc::new(lives));
    }

    /// How long an ended certificate can still be renewed.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.lives.load().renewal_grace
    }

    /// Issues a connector's certificate.
    ///
    /// # Errors
    /// Where randomness or the clock fails.
    pub fn issue(
        &self,
        request: &ConnectorRequest,
        id: &ConnectorId,
        group: &GroupName,
        now: Timestamp,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let authorities = self.authorities();
        let issuing = authorities.issuing();
        issuing.issue_connector(request, id, group, now, self.lives.load().life)
    }

    /// Whether an authority counts.
    pub(super) fn trusts(&self, pin: Pin) -> bool {
        self.authorities.load().pins().contains(&pin)
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn replace(&self, authorities: Authorities) {
        self.authorities.store(Arc::new(authorities));
        self.changed.send_replace(());
    }
}

/// The authorities of this store; one is made where there is none yet, so that a token can be
/// printed before the gateway ran for the first time. Of two that make it at once, one counts for
/// both. One that has ended is left out.
///
/// # Errors
/// Where the store gives no answer, or what it holds is damaged.
pub async fn load_authorities(
    store: &dyn Store,
    now: Timestamp,
) -> Result<Authorities, EnrolError> {
    let mut stored = store.authorities().await?;
    if stored.is_empty() {
        stored = store
            .create_authority(record(&Authority::create(now)?))
            .await?;
    }
    let counts = |r: &&AuthorityRecord| r.ends.is_none_or(|ends| now < ends);
    let read = |r: &AuthorityRecord| Authority::from_pem(&r.certificate_pem, &r.key_pem);
    let all: Vec<Authority> = stored
        .iter()
        .filter(counts)
        .map(read)
        .collect::<Result<_, _>>()?;
    Authorities::new(all)
        .ok_or_else(|| StoreError::Damaged("no authority is left in it".to_owned()).into())
}

/// An authority as the store keeps it.
#[must_use]
pub fn record(authority: &Authority) -> AuthorityRecord {
    AuthorityRecord {
        certificate_pem: authority.certificate_pem(),
        key_pem: authority.key_pem(),
        ends: None,
    }
}

/// Follows the authorities in the store until the gateway stops.
pub(super) async fn follow(gateway: Arc<Gateway>) {
    let mut failing = false;
    loop {
        let pause = match look(&gateway).await {
            Ok(()) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the authorities can be read from the store again");
                }
                LOOK
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the authorities cannot be read from the store: a rotation takes no effect until they can");
                }
                AGAIN
            }
        };
        tokio::select! {
            () = gateway.rotated.notified() => {}
            () = tokio::time::sleep(pause) => {}
            () = gateway.drain.closes() => return,
        }
    }
}

async fn look(gateway: &Gateway) -> Result<(), EnrolError> {
    let now = gateway.clock.now();
    if gateway.tunnel_tls.are_due(now) {
        let renewed = gateway.tunnel_tls.renew(&gateway.issuer.authorities(), now);
        if let Err(error) = renewed {
            tracing::error!(%error, "cannot renew the gateway's own certificate for the tunnel");
        }
    }
    // Whichever gateway comes first forgets what ended a day ago: a clock that is ahead by less
    // takes nothing away for good.
    if gateway.store.finish_rotation(now.minus(KEPT), now).await? {
        tracing::info!("an authority that has ended is forgotten");
    }
    let found = load_authorities(&*gateway.store, now).await?;
    if found.pins() == gateway.issuer.authorities().pins() {
        return Ok(());
    }
    gateway.tunnel_tls.renew(&found, now)?;
    tracing::info!(
        issuing = %found.issuing().pin(),
        trusted = found.pins().len(),
        "the authorities have changed; connectors are told"
    );
    let told = Down::Authorities {
        authorities: found.pem(),
    };
    gateway.issuer.replace(found);
    gateway.tunnels.tell_all(&told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Memory;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[tokio::test]
    async fn the_first_authority_is_made_once() {
        let store = Memory::default();
        let first = load_authorities(&store, NOW).await.unwrap();
        let second = load_authorities(&store, NOW).await.unwrap();
        assert_eq!(first.pins(), second.pins());
        assert_eq!(first.pins().len(), 1);
    }

    #[tokio::test]
    async fn an_authority_counts_until_its_end() {
        let store = Memory::default();
        let old = load_authorities(&store, NOW).await.unwrap().issuing().pin();
        let new = Authority::create(NOW).unwrap();
        let ends = NOW.plus(Duration::from_secs(100));
        let rotated = store.rotate_authority(record(&new), ends, NOW).await;
        assert!(rotated.unwrap());
        for (now, expected) in [
            (NOW, vec![new.pin(), old]),
            (ends.minus(Duration::from_secs(1)), vec![new.pin(), old]),
            (ends, vec![new.pin()]),
        ] {
            let found = load_authorities(&store, now).await.unwrap();
            assert_eq!(found.pins(), expected);
        }
    }
}
