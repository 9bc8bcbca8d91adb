//! What a running connector tells of itself: the state of each of its connections, and whether it
//! serves. Kept by those who dial, read by those who ask.
//!
//! Who keeps a connection to a gateway has a [`Connection`] and says what becomes of it:
//!
//! ```text
//! dialling ──▶ open ──▶ lost(why, reason, when to try again) ──▶ dialling …
//! ```

mod observe;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::flight::InFlight;
use super::measure::Measured;
use crate::clock::{Clock, Timestamp};
use crate::net::{DialError, SocketFile};
use crate::telemetry::metrics::{CONNECTOR_DIAL_FAILURES, CONNECTOR_DIALS};
use crate::telemetry::{Endpoint, Recorder};

pub(super) use observe::Connector;

/// The name of the socket in the state's folder over which `connector status` asks: there is nothing
/// to configure, and whoever may read the folder may ask.
pub const SOCKET: &str = "status.sock";

/// Who may ask, beside the owner of the state's folder.
#[derive(Debug, Default)]
pub struct Watch {
    /// What counts in this process.
    pub recorder: Option<Recorder>,
    /// The listener of `metrics`.
    pub listener: Option<TcpListener>,
}

/// Why there is no tunnel; a closed list, since it is a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The gateway's name did not resolve.
    Dns,
    /// Nothing listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// Nobody answered in time.
    Timeout,
    /// The proxy on the way gives no connection.
    Proxy,
    /// Whoever answered is no gateway that this connector trusts.
    Untrusted,
    /// TLS failed otherwise.
    Tls,
    /// The tunnel's protocol was not agreed to.
    Alpn,
    /// There was a connection, and it ended.
    Lost,
}

impl Why {
    /// The word in the metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Proxy => "proxy",
            Self::Untrusted => "untrusted",
            Self::Tls => "tls",
            Self::Alpn => "alpn",
            Self::Lost => "lost",
        }
    }

    /// Why no connection came about.
    pub(super) const fn of_dial(error: &DialError) -> Self {
        match error {
            DialError::Resolve(_) => Self::Dns,
            DialError::Refused { .. } => Self::Refused,
            DialError::NotPermitted(_) | DialError::Unreachable { .. } => Self::Unreachable,
            DialError::NoProxy { .. } | DialError::Proxy { .. } => Self::Proxy,
            DialError::Timeout { .. } => Self::Timeout,
        }
    }
}

/// Why there is no tunnel, for people: the word that `check` has for it too, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) text: String,
}

impl Reason {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

impl From<&DialError> for Reason {
    fn from(error: &DialError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// Why an attempt gave no tunnel, in a word for the metrics and a reason for the log.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: Why,
    pub(super) reason: Reason,
}

impl Failed {
    pub(super) fn new(why: Why, code: &'static str, text: impl Into<String>) -> Self {
        let reason = Reason::new(code, text);
        Self { why, reason }
    }
}

impl From<DialError> for Failed {
    fn from(error: DialError) -> Self {
        let (why, reason) = (Why::of_dial(&error), Reason::from(&error));
        Self { why, reason }
    }
}

/// The connections of a connector, and what it carries.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) in_flight: Arc<InFlight>,
    pub(super) measured: Measured,
    clock: Clock,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

/// One connection as it stands.
#[derive(Debug, Clone)]
struct Entry {
    gateway: String,
    /// The gateway and the address, of several, where it is dialled; for people, never a label.
    route: String,
    number: usize,
    state: State,
    since: Timestamp,
    /// The last failure; it stays, so that one can still read why there was another tunnel before.
    failure: Option<(Timestamp, Reason)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Dialling,
    Open,
    /// It is tried again then.
    Waiting(Instant),
}

/// One connection that is kept; it is forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    status: Arc<Status>,
    key: u64,
    gateway: String,
}

impl Status {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            in_flight: Arc::default(),
            measured: Measured::default(),
            clock,
            connections: Mutex::default(),
        })
    }

    /// The `number`th connection on a route to a gateway is kept from now on. The gateway is named as an
    /// operator would look for it: it is a label, so never by what changes from try to try.
    pub(super) fn connection(
        self: &Arc<Self>,
        gateway: impl Into<String>,
        route: impl Into<String>,
        number: usize,
    ) -> Connection {
        let gateway = gateway.into();
        let mut connections = self.connections();
        let key = connections.next;
        connections.next += 1;
        let entry = Entry {
            gateway: gateway.clone(),
            route: route.into(),
            number,
            state: State::Dialling,
            since: self.clock.now(),
            failure: None,
        };
        connections.entries.insert(key, entry);
        drop(connections);
        Connection {
            status: Arc::clone(self),
            key,
            gateway,
        }
    }

    /// How many tunnels are open.
    pub(super) fn open(&self) -> usize {
        let connections = self.connections();
        let open = |entry: &&Entry| entry.state == State::Open;
        connections.entries.values().filter(open).count()
    }

    /// Every connection, those to one gateway together, and of them those to one address.
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.connections().entries.values().cloned().collect();
        entries.sort_by(|a, b| {
            (&a.gateway, &a.route, a.number).cmp(&(&b.gateway, &b.route, b.number))
        });
        entries
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who ask are answered while this lives; the socket's file goes with it.
#[derive(Debug)]
pub(super) struct Answering {
    _socket: Option<SocketFile>,
    _listeners: Vec<AbortOnDropHandle<()>>,
}

/// Answers those who ask from now on: over the listener of `metrics`, and over the socket in the
/// state's folder. A connector whose state cannot have a socket serves without.
pub(super) async fn serve(observed: Connector, watch: Watch, folder: &Path) -> Answering {
    let endpoint = Endpoint::new(watch.recorder, Arc::new(observed));
    let mut listeners = Vec::new();
    if let Some(listener) = watch.listener {
        let listening = tokio::spawn(endpoint.clone().serve_tcp(listener));
        listeners.push(AbortOnDropHandle::new(listening));
    }
    let path = folder.join(SOCKET);
    let socket = match SocketFile::open(&path).await {
        Ok((socket, listener, was_alive)) => {
            if was_alive {
                tracing::warn!(
                    code = "state_in_use",
                    state = %folder.display(),
                    "another process runs with this state: stop it when this one has its tunnels; `connector status` asks this one meanwhile"
                );
            }
            let listening = tokio::spawn(endpoint.serve_unix(listener));
            listeners.push(AbortOnDropHandle::new(listening));
            Some(socket)
        }
        Err(error) => {
            tracing::warn!(code = "no_status_socket", path = %path.display(), %error, "`connector status` will not work: its socket cannot be made");
            None
        }
    };
    Answering {
        _socket: socket,
        _listeners: listeners,
    }
}

impl Connection {
    /// The gateway is dialled.
    pub(super) fn dialling(&self) {
        CONNECTOR_DIALS.count(&[&self.gateway]);
        self.set(State::Dialling, None);
    }

    /// The tunnel is given up for another one, whose turn to be dialled has not come yet.
    pub(super) fn waits(&self) {
        self.set(State::Dialling, None);
    }

    /// The gateway has said welcome.
    pub(super) fn open(&self) {
        self.set(State::Open, None);
    }

    /// There is no tunnel, and it is tried again after this time.
    pub(super) fn lost(&self, why: Why, reason: &Reason, pause: Duration) {
        CONNECTOR_DIAL_FAILURES.count(&[&self.gateway, why.as_str()]);
        self.set(State::Waiting(Instant::now() + pause), Some(reason));
    }

    fn set(&self, state: State, reason: Option<&Reason>) {
        let now = self.status.clock.now();
        let mut connections = self.status.connections();
        let Some(entry) = connections.entries.get_mut(&self.key) else {
            return;
        };
        (entry.state, entry.since) = (state, now);
        if let Some(reason) = reason {
            entry.failure = Some((now, reason.clone()));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.status.connections().entries.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_tells_its_state_until_it_is_dropped() {
        let clock = Clock::manual(Timestamp(1_800_000_000));
        let status = Status::new(clock.clone());
        let second = status.connection("gw1:443", "gw1:443 at 192.0.2.1", 2);
        let first = status.connection("gw1:443", "gw1:443 at 192.0.2.1", 1);
        first.dialling();
        clock.advance(Duration::from_secs(3));
        first.open();
        let refused = Reason::new("port_closed", "nothing listens");
        second.lost(Why::Refused, &refused, Duration::from_secs(2));
        assert_eq!(status.open(), 1);
        let [one, two] = status.entries().try_into().unwrap();
        assert_eq!((one.number, one.state), (1, State::Open));
        assert_eq!(one.since, Timestamp(1_800_000_003));
        assert_eq!(
            two.state,
            State::Waiting(Instant::now() + Duration::from_secs(2))
        );
        second.open();
        let [_, two] = status.entries().try_into().unwrap();
        let why = two.failure.map(|(_, reason)| reason);
        assert_eq!(why, Some(refused));
        drop((first, second));
        assert_eq!((status.open(), status.entries().len()), (0, 0));
    }

    #[test]
    fn every_failure_to_dial_has_a_word() {
        let target = || crate::model::Endpoint::parse("gw:443").unwrap();
        let tried = || "192.0.2.1".to_owned();
        for (error, word, code) in [
            (
                DialError::Refused {
                    target: target(),
                    tried: tried(),
                    source: std::io::ErrorKind::ConnectionRefused.into(),
                },
                "refused",
                "port_closed",
            ),
            (
                DialError::Unreachable {
                    target: target(),
                    tried: tried(),
                    source: std::io::ErrorKind::HostUnreachable.into(),
                },
                "unreachable",
                "unreachable",
            ),
            (
                DialError::Timeout {
                    target: target(),
                    tried: tried(),
                },
                "timeout",
                "no_answer",
            ),
        ] {
            let text = error.to_string();
            let failed = Failed::from(error);
            assert_eq!(failed.why.as_str(), word);
            assert_eq!(failed.reason, Reason::new(code, text));
        }
    }
}
