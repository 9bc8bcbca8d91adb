//! Who this connector is at this moment: a renewal changes it while tunnels are open.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio::sync::watch;

use super::identity::Identity;
use crate::model::ConnectorId;
use crate::tunnel::tls::connector_tunnel;

/// The identity in use, and TLS made of it.
#[derive(Debug)]
pub(super) struct CurrentIdentity {
    now: ArcSwap<InUse>,
    /// Has a new value where the identity is another.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct InUse {
    identity: Identity,
    tls: Arc<ClientConfig>,
}

impl CurrentIdentity {
    /// Takes an identity into use.
    ///
    /// # Errors
    /// Where TLS cannot be set up with it.
    pub(super) fn new(identity: Identity) -> Result<Self, rustls::Error> {
        Ok(Self {
            now: ArcSwap::from_pointee(InUse::new(identity)?),
            changed: watch::Sender::new(()),
        })
    }

    /// Takes another certificate of the same connector into use, for the next tunnels.
    ///
    /// # Errors
    /// Where TLS cannot be set up with it; the one in use stays.
    pub(super) fn replace(&self, identity: Identity) -> Result<(), rustls::Error> {
        self.now.store(Arc::new(InUse::new(identity)?));
        self.changed.send_replace(());
        Ok(())
    }

    /// This connector's identifier, which never changes.
    pub(super) fn id(&self) -> ConnectorId {
        self.now.load().identity.id.clone()
    }

    /// The identity in use.
    pub(super) fn identity(&self) -> Identity {
        self.now.load().identity.clone()
    }

    /// TLS for the next tunnel.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.now.load().tls)
    }

    /// Tells of every other certificate from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl InUse {
    fn new(identity: Identity) -> Result<Self, rustls::Error> {
        let tls = Arc::new(connector_tunnel(&identity.credentials)?);
        Ok(Self { identity, tls })
    }
}
