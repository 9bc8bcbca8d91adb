//! Idle HTTP/1.1 connections to applications, kept for the next request.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::HeaderMap;
use hyper::client::conn::http1::SendRequest;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::pinned::Turn;
use super::says::Says;
use super::trust::Asked;
use super::upload::Upload;
use crate::http::{Body, Guard};
use crate::model::{BackendProtocol, Endpoint, Scheme};

/// How long a connection is kept where the application does not say. Shorter than common servers
/// keep theirs (Node: 5 s), so that a request rarely meets a connection the application is just
/// closing.
const IDLE: Duration = Duration::from_secs(4);

/// How long it is kept at most, whatever the application says.
const LONGEST: Duration = Duration::from_secs(60);

/// How much earlier than the application a connection is given up: an answer's way here and a
/// request's way there.
const MARGIN: Duration = Duration::from_secs(1);

/// Idle connections to one application.
const PER_TARGET: usize = 128;

/// Idle connections that say whose they are, to all applications: each is of use to one client alone.
const OF_CLIENTS: usize = 1024;

/// For a connection that was used before to be ready; another one is dialled then.
const READY: Duration = Duration::from_secs(1);

/// How often connections are looked at whose time has come.
const SWEEP: Duration = Duration::from_secs(1);

/// Where a connection leads. What else makes connections distinct (certificates, names, proxies) is
/// the connector's own setting for the target, in the configuration of this number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    pub(super) endpoint: Endpoint,
    /// Whose it says that it is, where the application is told so. It carries nobody else's requests.
    pub(super) says: Option<Says>,
    /// The configuration under which it was asked for. SECURITY: a connection from before a reload
    /// carries no request from after it.
    pub(super) under: u64,
}

impl Target {
    /// The same place, of nobody: what is known of it is known for all.
    pub(super) fn of_nobody(&self) -> Self {
        Self {
            says: None,
            ..self.clone()
        }
    }
}

/// Connections that can stand in for one another: to one target, with the same offer made to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: Target,
    /// What was wanted; an application that was offered HTTP/2 may have chosen HTTP/1.1.
    pub(super) wanted: BackendProtocol,
}

/// A connection to an application. Dropped, it is closed at once, whatever it was about to write:
/// hyper's own half would go on waiting for an application that does not read.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    pub(super) task: AbortOnDropHandle<()>,
    /// What the application asked for in the TLS handshake.
    pub(super) asked: Arc<Asked>,
    /// It has brought an answer before.
    pub(super) proven: bool,
}

/// Idle connections by key.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
}

/// How long the connection of an answer with these fields is kept (`Keep-Alive`, RFC 2068
/// section 19.7.1.1, as every server sends it); nothing where it is not worth it.
pub(super) fn keep_for(fields: &HeaderMap) -> Duration {
    said(fields).map_or(IDLE, |said| said.min(LONGEST))
}

/// How long the application says that it keeps the connection, a little less.
fn said(fields: &HeaderMap) -> Option<Duration> {
    let said = fields
        .get_all("keep-alive")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
        .find_map(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u32>().ok());
    said.map(|seconds| Duration::from_secs(seconds.into()).saturating_sub(MARGIN))
}

impl Pool {
    /// An empty pool, whose old connections are closed in time.
    pub(super) fn new() -> Arc<Self> {
        let pool = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&pool)));
        pool
    }

    /// The connection used last, if one is left that the application has not closed.
    pub(super) async fn take(&self, key: &Key, deadline: Instant) -> Option<Connection> {
        let deadline = deadline.min(Instant::now() + READY);
        while let Some(mut connection) = self.pop(key) {
            // A body may end a moment before its connection is ready again; one that is closing
            // says so here. One whose application has answered and does not read the end of what
            // it was sent may never be ready.
            if let Ok(Ok(())) = timeout_at(deadline, connection.sender.ready()).await {
                return Some(connection);
            }
        }
        None
    }

    fn pop(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(key)?;
        let now = Instant::now();
        let mut found = connections.pop();
        while found.as_ref().is_some_and(|found| found.until <= now) {
            found = connections.pop();
        }
        if connections.is_empty() {
            idle.remove(key);
        }
        found.map(|found| found.connection)
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn put(&self, key: Key, connection: Connection, keep: Duration) {
        if connection.sender.is_closed() || keep.is_zero() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = match key.target.says {
            None => keep,
            Some(_) if of_clients(&idle) >= OF_CLIENTS => return,
            // A visitor who is gone leaves it to nobody: it is not to stand in the application's way.
            Some(_) => keep.min(IDLE),
        };
        let connections = idle.entry(key).or_default();
        if connections.len() < PER_TARGET {
            connections.push(Idle {
                connection,
                until: Instant::now() + keep,
            });
        }
    }

    /// How many connections wait.
    pub(super) fn len(&self) -> usize {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.values().map(Vec::len).sum()
    }

    fn close_old(&self) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, connections| {
            connections.retain(|c| c.until > now && !c.connection.sender.is_closed());
            !connections.is_empty()
        });
    }
}

fn of_clients(idle: &HashMap<Key, Vec<Idle>>) -> usize {
    let of_clients = idle.iter().filter(|(key, _)| key.target.says.is_some());
    of_clients.map(|(_, connections)| connections.len()).sum()
}

async fn sweep(pool: Weak<Pool>) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.close_old(),
            None => return,
        }
    }
}

/// Brings a connection back to the pool once its answer was read to the end.
pub(super) struct Return(pub(super) Option<Back>);

/// A connection, and where it goes.
pub(super) struct Back {
    pub(super) connection: Connection,
    pub(super) place: Place,
    pub(super) upload: Arc<Upload>,
}

/// Where a connection goes after its answer.
pub(super) enum Place {
    /// To whoever comes next.
    Pool(Arc<Pool>, Key, Duration),
    /// To the next request of the same client connection.
    Client(Turn, Target, Option<Duration>),
    /// Nowhere: it is closed.
    Nowhere,
}

impl Place {
    /// The place that the next request of the same client connection looks at.
    pub(super) fn of_client(turn: Turn, target: &Target, fields: &HeaderMap) -> Self {
        Self::Client(turn, target.clone(), said(fields))
    }
}

impl Guard for Return {
    fn complete(&mut self) {
        // Where the answer came before the whole request was taken, the application has said what
        // it thinks of it: the upload ends here with the connection, or its sender would go on for
        // nothing.
        if let Some(back) = self.0.take()
            && back.upload.done.load(Ordering::Acquire)
        {
            match back.place {
                Place::Pool(pool, key, keep) => pool.put(key, back.connection, keep),
                Place::Client(turn, target, keep) => turn.put(target, back.connection, keep),
                Place::Nowhere => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::DuplexStream;

    use super::*;
    use crate::model::ProxyProtocol;

    async fn connection() -> (Connection, DuplexStream) {
        let (near, far) = tokio::io::duplex(1024);
        let (sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        let connection = Connection {
            sender,
            task: AbortOnDropHandle::new(task),
            asked: Arc::default(),
            proven: true,
        };
        (connection, far)
    }

    fn key(endpoint: &str, wanted: BackendProtocol) -> Key {
        Key {
            target: Target {
                scheme: Scheme::Http,
                endpoint: Endpoint::parse(endpoint).unwrap(),
                says: None,
                under: 1,
            },
            wanted,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_connection_is_kept_a_second_less_than_the_application_says() {
        for (said, kept) in [
            ("", 4),
            ("timeout=5", 4),
            ("timeout=5, max=100", 4),
            ("max=100, Timeout = 75", 60),
            ("timeout=\"11\"", 10),
            ("timeout=2", 1),
            ("timeout=1", 0),
            ("timeout=0", 0),
            ("timeout=4294967296", 4),
            ("timeout=-1", 4),
            ("max=5", 4),
            ("timeout", 4),
        ] {
            let mut fields = HeaderMap::new();
            if !said.is_empty() {
                fields.insert("keep-alive", HeaderValue::from_static(said));
            }
            assert_eq!(keep_for(&fields).as_secs(), kept, "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_used_last_is_taken_first_and_none_beyond_its_time() {
        let pool = Pool::new();
        let wiki = key("wiki:80", BackendProtocol::Http1);
        let mut far = Vec::new();
        for seconds in [30, 10, 20] {
            let (connection, end) = connection().await;
            far.push(end);
            pool.put(wiki.clone(), connection, Duration::from_secs(seconds));
        }
        let (short, _far) = connection().await;
        pool.put(wiki.clone(), short, Duration::ZERO);
        // Other offers and other targets have their own.
        assert!(
            pool.take(&key("wiki:81", BackendProtocol::Http1), soon())
                .await
                .is_none()
        );
        assert!(
            pool.take(&key("wiki:80", BackendProtocol::Http2), soon())
                .await
                .is_none()
        );
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(pool.take(&wiki, soon()).await.is_some());
        assert!(
            pool.take(&wiki, soon()).await.is_some(),
            "the one of 10 s is passed over"
        );
        assert!(pool.take(&wiki, soon()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn old_connections_are_closed_though_nobody_asks_for_them() {
        let pool = Pool::new();
        let (connection, mut far) = connection().await;
        pool.put(
            key("wiki:80", BackendProtocol::Http1),
            connection,
            Duration::from_secs(4),
        );
        let began = Instant::now();
        let read = tokio::io::AsyncReadExt::read(&mut far, &mut [0]).await;
        assert_eq!(read.unwrap(), 0);
        let took = began.elapsed();
        assert!(
            took >= Duration::from_secs(4) && took <= Duration::from_secs(5),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_whose_it_is_is_for_that_client_alone_and_not_for_long() {
        let pool = Pool::new();
        let mut far = Vec::new();
        let of = |client: u16| {
            let ends = format!("192.0.2.7:{client} 198.51.100.1:443");
            let mut key = key("wiki:80", BackendProtocol::Http1);
            key.target.says = Some(Says::of_client(ProxyProtocol::V2, ends.parse().unwrap()));
            key
        };
        for client in 0..3 {
            let (connection, end) = connection().await;
            far.push(end);
            pool.put(of(client), connection, LONGEST);
        }
        assert!(
            pool.take(&key("wiki:80", BackendProtocol::Http1), soon())
                .await
                .is_none()
        );
        assert!(pool.take(&of(3), soon()).await.is_none());
        assert!(pool.take(&of(1), soon()).await.is_some());
        assert!(pool.take(&of(1), soon()).await.is_none());
        tokio::time::advance(IDLE).await;
        assert!(pool.take(&of(2), soon()).await.is_none());
        for client in 0..=u16::try_from(OF_CLIENTS).unwrap() {
            let (connection, end) = connection().await;
            far.push(end);
            pool.put(of(client), connection, LONGEST);
        }
        assert_eq!(pool.len(), OF_CLIENTS);
    }

    #[tokio::test]
    async fn a_connection_that_the_application_closed_is_not_taken() {
        let pool = Pool::new();
        let wiki = key("wiki:80", BackendProtocol::Http1);
        let (connection, far) = connection().await;
        pool.put(wiki.clone(), connection, Duration::from_secs(4));
        drop(far);
        assert!(pool.take(&wiki, soon()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_never_ready_again_holds_nobody_up() {
        let pool = Pool::new();
        let wiki = key("wiki:80", BackendProtocol::Http1);
        let (good, _far) = connection().await;
        pool.put(wiki.clone(), good, Duration::from_secs(30));
        let (near, _there) = tokio::io::duplex(64);
        // As one that cannot be rid of its last octets.
        let (sender, stuck) = http1::handshake(TokioIo::new(near)).await.unwrap();
        let connection = Connection {
            sender,
            task: AbortOnDropHandle::new(tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(stuck);
            })),
            asked: Arc::default(),
            proven: true,
        };
        pool.put(wiki.clone(), connection, Duration::from_secs(30));
        let began = Instant::now();
        let taken = pool.take(&wiki, soon()).await;
        assert!(taken.is_some(), "the other one is ready");
        assert!(began.elapsed() <= READY * 2, "{:?}", began.elapsed());
        assert_eq!(pool.len(), 0);
    }
}
