//! What a client connection holds on to where an application signs connections in: one tunnel, one
//! internal URL, and over there one connection of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::respond::Failure;
use super::tunnels::Tunnel;
use crate::model::ApplicationName;
use crate::tunnel::control::Down;

/// The pins of one client connection, by application. They end with it.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<ApplicationName, Pin>>);

/// Where the requests of one client connection go.
#[derive(Debug)]
struct Pin {
    /// SECURITY: 128 random bits, of the gateway alone: whoever could name another's connection
    /// would be the person who signed in on it.
    id: String,
    tunnel: Weak<Tunnel>,
    url: usize,
}

/// A tunnel that lives and an internal URL's number.
pub(super) type Pinned = (Arc<Tunnel>, usize);

impl Pins {
    /// Where the request before went.
    pub(super) fn of(&self, application: &ApplicationName) -> Option<Pinned> {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = pins.get(application)?;
        Some((pin.tunnel.upgrade()?, pin.url))
    }

    /// Has the next requests go there too, and names the connection that is theirs. Another place
    /// is another connection, and the one before ends.
    pub(super) fn hold(
        &self,
        application: &ApplicationName,
        tunnel: &Arc<Tunnel>,
        url: usize,
    ) -> Result<String, Failure> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pin) = pins.get(application)
            && pin.url == url
            && std::ptr::eq(pin.tunnel.as_ptr(), Arc::as_ptr(tunnel))
        {
            return Ok(pin.id.clone());
        }
        let id = draw()?;
        let pin = Pin {
            id: id.clone(),
            tunnel: Arc::downgrade(tunnel),
            url,
        };
        pins.insert(application.clone(), pin);
        Ok(id)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(tunnel) = self.tunnel.upgrade() {
            tunnel.mention(&Down::Closed {
                connection: std::mem::take(&mut self.id),
            });
        }
    }
}

fn draw() -> Result<String, Failure> {
    let mut octets = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut octets)
        .map_err(|_| Failure::internal("the system gives no random numbers"))?;
    Ok(octets.iter().fold(String::new(), |mut id, octet| {
        let _ = write!(id, "{octet:02x}");
        id
    }))
}
