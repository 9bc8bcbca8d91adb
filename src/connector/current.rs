//! Who this connector is at this moment: a renewal changes it while tunnels are open.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;

use super::identity::Identity;
use crate::model::ConnectorId;
use crate::tunnel::tls::connector_tunnel;

/// The identity in use, and TLS made of it.
#[derive(Debug)]
pub(super) struct CurrentIdentity {
    now: ArcSwap<InUse>,
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
        let tls = Arc::new(connector_tunnel(&identity.credentials)?);
        Ok(Self {
            now: ArcSwap::from_pointee(InUse { identity, tls }),
        })
    }

    /// This connector's identifier, which never changes.
    pub(super) fn id(&self) -> ConnectorId {
        self.now.load().identity.id.clone()
    }

    /// TLS for the next tunnel.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.now.load().tls)
    }
}
