//! Asks connectors what an application is like from where they stand, and tells them which ones their
//! group serves: for `appproxy check` on either side.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Gateway;
use super::probing::{authority, one_of_each};
use super::tunnels::Tunnel;
use crate::model::{Application, BackendTimeouts, Endpoint, InternalUrl, Mode};
use crate::tunnel::control::{Down, Feature};
use crate::tunnel::{Inspect, Inspected, Profile, Seen, Served, Viewed};

/// Whoever looks has ten seconds for everything: so long is waited for a connection, and for the head of
/// an answer, at the most.
const CONNECT: Duration = Duration::from_secs(3);
const FIRST_BYTE: Duration = Duration::from_secs(4);

/// Applications that a connector is told: the queue of its control stream takes twice as many messages.
const MOST: usize = 500;

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Inspections {
    number: AtomicU64,
    asked: Mutex<HashMap<u64, Asked>>,
}

#[derive(Debug)]
struct Asked {
    /// The tunnel it went through: an answer by any other is none.
    tunnel: u64,
    found: oneshot::Sender<Inspected>,
}

impl Inspections {
    async fn ask(&self, tunnel: &Tunnel, inspect: Inspect, deadline: Instant) -> Seen {
        if !tunnel.has(Feature::Inspection) {
            return Seen::Unable;
        }
        let id = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let (found, hears) = oneshot::channel();
        let asked = Asked {
            tunnel: tunnel.number,
            found,
        };
        self.asked().insert(id, asked);
        let _asked = Waits { of: self, id };
        let said = tunnel.say(&Down::Inspect { id, inspect });
        let heard = match said {
            Ok(()) => timeout_at(deadline, hears).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        heard.map_or(Seen::Silent, |found| Seen::Found(Box::new(found)))
    }

    /// Takes what a connector found. What nobody asked it for is passed over.
    pub(super) fn found(&self, tunnel: &Tunnel, id: u64, found: Inspected) {
        let mut waiting = self.asked();
        // SECURITY: a connector answers for itself; the numbers of others can be guessed.
        if waiting
            .get(&id)
            .is_some_and(|asked| asked.tunnel == tunnel.number)
            && let Some(asked) = waiting.remove(&id)
        {
            // Whoever asked may have gone.
            let _ = asked.found.send(found.shown());
        }
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is waited for; whoever asked may go away before the answer.
struct Waits<'i> {
    of: &'i Inspections,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.of.asked().remove(&self.id);
    }
}

impl Gateway {
    /// What each connector of an application's groups that has a tunnel here finds at each of its internal
    /// URLs; `None` where no application has this name.
    pub async fn inspect(&self, name: &str, deadline: Instant) -> Option<Vec<Viewed>> {
        let current = self.current();
        let published = current.table.all();
        let published = published
            .iter()
            .find(|p| p.application.name.as_str() == name)?;
        let application = &published.application;
        let served: Vec<_> = all_of(application).collect();
        let looks = one_of_each(self, application)
            .into_iter()
            .flat_map(|tunnel| {
                served.iter().map(move |served| {
                    let (tunnel, served) = (Arc::clone(&tunnel), served.clone());
                    async move {
                        let asked = served.inspect.clone();
                        Viewed {
                            connector: tunnel.connector.to_string(),
                            group: tunnel.group.to_string(),
                            seen: self.inspections.ask(&tunnel, asked, deadline).await,
                            served,
                        }
                    }
                })
            });
        Some(join_all(looks).await)
    }
}

/// Tells a connector which applications its group serves.
pub(super) fn tell_served(gateway: &Gateway, tunnel: &Tunnel) {
    let current = gateway.current();
    let mut names = std::collections::HashSet::new();
    let own = current.table.all().iter().filter(|published| {
        let application = &published.application;
        // Under another of its URLs it is the same one.
        application.connectors.groups().contains(&tunnel.group) && names.insert(&application.name)
    });
    let mut own = own.flat_map(|published| all_of(&published.application));
    // One that takes no messages ends by itself.
    for served in own.by_ref().take(MOST) {
        let _ = tunnel.say(&Down::Application { served });
    }
    let more = u64::try_from(own.count()).unwrap_or(u64::MAX);
    let _ = tunnel.say(&Down::Applications { more });
}

/// Each of its internal URLs that is one: a wildcard is none before somebody comes with a label.
fn all_of(application: &Application) -> impl Iterator<Item = Served> {
    let urls = application.internal.all().iter();
    urls.filter_map(|url| served(application, url))
}

fn served(application: &Application, url: &InternalUrl) -> Option<Served> {
    let host = url.host_for(None)?;
    let timeouts = BackendTimeouts {
        connect: application.timeouts.connect.min(CONNECT),
        first_byte: application.timeouts.first_byte.min(FIRST_BYTE),
        ..application.timeouts
    };
    let profile = Profile::new(&timeouts, application.backend_protocol)
        .with_proxy_protocol(application.proxy_protocol);
    let authority = authority(application, url, &host);
    let target = Endpoint {
        host,
        port: url.port,
    };
    Some(Served {
        name: application.name.to_string(),
        external: application.external.to_string(),
        internal: url.to_string(),
        inspect: Inspect {
            scheme: url.scheme.as_str().to_owned(),
            target: target.to_string(),
            authority,
            path: (application.mode == Mode::Http)
                .then(|| application.internal.path().as_str().to_owned()),
            profile: profile.text(),
        },
    })
}
