//! HTTP/2 connections to applications, each shared by many requests.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::fault::HEAD_OCTETS;
use super::pool::Target;
use crate::http::{Body, Guard, with_causes};

/// How long a connection without requests is kept. One that the application closes meanwhile hands
/// a request back, so there is no race as with HTTP/1.1.
const IDLE: Duration = Duration::from_secs(60);

/// Connections without requests to one application: fewer than of HTTP/1.1, since one carries many
/// requests.
const IDLE_PER_TARGET: usize = 32;

/// Connections without requests to all applications.
const IDLE_ALTOGETHER: usize = 512;

/// How long an application that chose HTTP/1.1 is believed to do so again.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Requests on one connection, whatever the application allows.
const MOST_STREAMS: usize = 256;

/// Octets of one answer that may wait here for their reader.
const STREAM_WINDOW: u32 = 1024 * 1024;

/// The window of the connection never stops anything: a reader that is slow must not stop others.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Octets of one request that wait for the application.
const SEND_BUFFER: usize = 256 * 1024;

/// How long a connection with requests may be silent before it is asked whether it lives. gRPC
/// servers end connections that ask more often than every five minutes.
const PING: Duration = Duration::from_secs(310);
const PONG: Duration = Duration::from_secs(20);

/// How often connections are looked at whose time has come.
const SWEEP: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Multiplexed {
    sender: SendRequest<Body>,
    limit: Limit,
    use_: Mutex<Use>,
    _task: AbortOnDropHandle<()>,
}

/// What the application allows at once, at the moment: it may change its mind at any time.
struct Limit(Box<dyn Fn() -> usize + Send + Sync>);

impl std::fmt::Debug for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0())
    }
}

#[derive(Debug)]
struct Use {
    in_flight: usize,
    idle_since: Instant,
    /// It has brought an answer.
    proven: bool,
    /// No further requests: it is closing, or did not answer in time.
    retired: bool,
}

/// The place of one request on a connection.
#[derive(Debug)]
pub(super) struct Slot(Arc<Multiplexed>);

/// Connections by target.
#[derive(Debug, Default)]
pub(super) struct Shared {
    groups: Mutex<HashMap<Target, Group>>,
}

#[derive(Debug)]
struct Group {
    connections: Vec<Arc<Multiplexed>>,
    /// One dials and the others wait for what comes of it.
    dialling: Arc<Semaphore>,
    /// The application chose HTTP/1.1, and is believed to do so until then.
    http1_until: Option<Instant>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            connections: Vec::new(),
            dialling: Arc::new(Semaphore::new(1)),
            http1_until: None,
        }
    }
}

impl Multiplexed {
    /// Speaks HTTP/2 on a fresh stream, and waits for the application's settings: what is no HTTP/2
    /// shows here, and how many requests may be sent at once is known.
    pub(super) async fn open<S>(stream: S) -> Result<Self, Unopened>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = Tasks::default();
        let (sender, connection) = Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Until the settings are here; they always change it.
            .initial_max_send_streams(0)
            .max_header_list_size(u32::try_from(HEAD_OCTETS).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| Unopened::new(&e))?;
        while connection.current_max_send_streams() == 0 {
            if tasks.ended.load(Ordering::Acquire) {
                return Err(match connection.await {
                    Ok(()) => Unopened::Closed,
                    Err(error) => Unopened::new(&error),
                });
            }
            tasks.polled.notified().await;
        }
        // Shared, since it alone knows the limit. It is locked while it hands requests on, and never
        // while it reads or writes, which is another task's work.
        let connection = Arc::new(Mutex::new(Some(connection)));
        let asked = Arc::clone(&connection);
        let limit = Limit(Box::new(move || {
            let connection = lock(&asked);
            let limit = connection.as_ref().map(|c| c.current_max_send_streams());
            limit.unwrap_or(0)
        }));
        let task = tokio::spawn(poll_fn(move |cx| {
            let mut held = lock(&connection);
            let Some(open) = held.as_mut() else {
                return Poll::Ready(());
            };
            // Its end reaches every request on it; here there is nobody left to tell.
            let polled = Pin::new(open).poll(cx).map(|_| ());
            if polled.is_ready() {
                // With it go the requests that it has not handed on: their senders get them back.
                let ended = held.take();
                drop(held);
                drop(ended);
            }
            polled
        }));
        Ok(Self {
            sender,
            limit,
            use_: Mutex::new(Use {
                in_flight: 0,
                idle_since: Instant::now(),
                proven: false,
                retired: false,
            }),
            _task: AbortOnDropHandle::new(task),
        })
    }

    fn usage(&self) -> MutexGuard<'_, Use> {
        lock(&self.use_)
    }

    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && !self.usage().retired
    }

    /// A place, where one is free. A request beyond what the application allows would wait unseen
    /// until another one has ended.
    fn enter(self: &Arc<Self>) -> Option<Slot> {
        let limit = (self.limit.0)().min(MOST_STREAMS);
        let mut usage = self.usage();
        if usage.retired || usage.in_flight >= limit {
            return None;
        }
        usage.in_flight += 1;
        drop(usage);
        Some(Slot(Arc::clone(self)))
    }

    /// Since when it has been without requests.
    fn idle_since(&self) -> Option<Instant> {
        let usage = self.usage();
        (usage.in_flight == 0).then_some(usage.idle_since)
    }

    fn is_old(&self) -> bool {
        self.idle_since()
            .is_some_and(|since| since.elapsed() >= IDLE)
    }
}

/// Why there is no HTTP/2 on a stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unopened {
    /// It was closed.
    #[error("it closed the connection")]
    Closed,
    /// It says something else.
    #[error("{0}")]
    Broken(String),
}

impl Unopened {
    fn new(error: &hyper::Error) -> Self {
        Self::Broken(with_causes(error))
    }
}

impl Slot {
    /// A sender for one request.
    pub(super) fn sender(&self) -> SendRequest<Body> {
        self.0.sender.clone()
    }

    /// Gives the connection no further requests; those on it go on.
    pub(super) fn retire(&self) {
        self.0.usage().retired = true;
    }

    /// Notes that the connection has brought an answer.
    pub(super) fn prove(&self) {
        self.0.usage().proven = true;
    }

    /// Whether it has brought an answer.
    pub(super) fn is_proven(&self) -> bool {
        self.0.usage().proven
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.in_flight -= 1;
        usage.idle_since = Instant::now();
    }
}

/// A request holds its place until both its body and its answer are through.
impl Guard for Arc<Slot> {}

impl Shared {
    /// No connections; old ones are closed in time.
    pub(super) fn new() -> Arc<Self> {
        let shared = Arc::new(Self::default());
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        shared
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Target, Group>> {
        lock(&self.groups)
    }

    /// A place on a connection that has one.
    pub(super) fn take(&self, target: &Target) -> Option<Slot> {
        let mut groups = self.groups();
        let group = groups.get_mut(target)?;
        group.connections.retain(|c| c.is_usable());
        group.connections.iter().find_map(Multiplexed::enter)
    }

    /// Whether the application is known to choose HTTP/1.1.
    pub(super) fn speaks_http1(&self, target: &Target) -> bool {
        let groups = self.groups();
        let group = groups.get(&target.of_nobody());
        let until = group.and_then(|group| group.http1_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The turn to dial; whoever waits for it looks again whether that is still needed.
    pub(super) fn dialling(&self, target: &Target) -> Arc<Semaphore> {
        Arc::clone(&self.groups().entry(target.clone()).or_default().dialling)
    }

    /// Shares a connection, and gives the first place on it.
    pub(super) fn put(&self, target: &Target, connection: Multiplexed) -> Option<Slot> {
        let connection = Arc::new(connection);
        let slot = connection.enter();
        let mut groups = self.groups();
        let group = groups.entry(target.clone()).or_default();
        group.http1_until = None;
        group.connections.push(connection);
        slot
    }

    /// Notes that the application chose HTTP/1.1.
    pub(super) fn chose_http1(&self, target: &Target) {
        let mut groups = self.groups();
        let group = groups.entry(target.of_nobody()).or_default();
        group.http1_until = Some(Instant::now() + REMEMBERED);
    }

    /// How many connections are without requests.
    pub(super) fn idle(&self) -> usize {
        let groups = self.groups();
        let connections = groups.values().flat_map(|group| &group.connections);
        connections.filter_map(|c| c.idle_since()).count()
    }

    fn close_old(&self) {
        let now = Instant::now();
        let mut groups = self.groups();
        for group in groups.values_mut() {
            retire_surplus(group.connections.iter(), IDLE_PER_TARGET);
            group.connections.retain(|c| c.is_usable() && !c.is_old());
        }
        let all = groups.values().flat_map(|group| &group.connections);
        retire_surplus(all, IDLE_ALTOGETHER);
        groups.retain(|_, group| {
            group.connections.retain(|c| c.is_usable());
            let remembered = group.http1_until.is_some_and(|until| now < until);
            let awaited = Arc::strong_count(&group.dialling) > 1;
            remembered || awaited || !group.connections.is_empty()
        });
    }
}

/// Retires the connections without requests that are too many; those that wait longest go first.
/// Nobody can enter one of them meanwhile: the groups are locked.
fn retire_surplus<'a>(connections: impl Iterator<Item = &'a Arc<Multiplexed>>, most: usize) {
    let idle = connections.filter_map(|c| Some((c.idle_since()?, c)));
    let mut idle: Vec<_> = idle.collect();
    idle.sort_by_key(|(since, _)| Reverse(*since));
    for (_, surplus) in idle.into_iter().skip(most) {
        surplus.usage().retired = true;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(shared: Weak<Shared>) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match shared.upgrade() {
            Some(shared) => shared.close_old(),
            None => return,
        }
    }
}

/// Runs the tasks of one connection, and tells when they made progress: hyper does not tell when
/// the application's settings are here.
#[derive(Clone, Default)]
struct Tasks {
    polled: Arc<Notify>,
    ended: Arc<AtomicBool>,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let Self { polled, ended } = self.clone();
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                let progress = task.as_mut().poll(cx);
                ended.fetch_or(progress.is_ready(), Ordering::AcqRel);
                polled.notify_one();
                progress
            })
            .await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response};
    use hyper::service::service_fn;
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;

    use super::*;
    use crate::model::{Endpoint, Scheme};

    /// A connection to an application that allows so many requests at once.
    async fn connection(at_once: u32) -> Multiplexed {
        let (near, far) = tokio::io::duplex(8 * 1024);
        tokio::spawn(async move {
            let answer = async |_| Ok::<_, Infallible>(Response::new(Body::full("hello")));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(at_once)
                .serve_connection(TokioIo::new(far), service_fn(answer))
                .await;
        });
        Multiplexed::open(near).await.unwrap()
    }

    fn target() -> Target {
        Target {
            says: None,
            under: 1,
            scheme: Scheme::Http,
            endpoint: Endpoint::parse("wiki:80").unwrap(),
        }
    }

    #[tokio::test]
    async fn a_connection_holds_what_the_application_allows_and_no_more() {
        let shared = Shared::new();
        assert!(shared.take(&target()).is_none());
        let first = shared.put(&target(), connection(2).await).unwrap();
        let second = shared.take(&target()).unwrap();
        assert!(shared.take(&target()).is_none());
        let other = shared.put(&target(), connection(2).await).unwrap();
        // The first connection is filled before the second.
        drop(first);
        let again = shared.take(&target()).unwrap();
        assert!(Arc::ptr_eq(&again.0, &second.0) && !Arc::ptr_eq(&again.0, &other.0));
        // A retired one is given to nobody, and what is on it goes on.
        again.retire();
        drop(again);
        let next = shared.take(&target()).unwrap();
        assert!(Arc::ptr_eq(&next.0, &other.0));
        let request = Request::get("http://wiki/").body(Body::empty()).unwrap();
        let response = second.sender().send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }

    #[tokio::test]
    async fn what_does_not_speak_http2_is_told_at_once() {
        let (near, mut far) = tokio::io::duplex(1024);
        let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        far.write_all(answer).await.unwrap();
        assert!(matches!(
            Multiplexed::open(near).await,
            Err(Unopened::Broken(_))
        ));
        let (near, far) = tokio::io::duplex(1024);
        drop(far);
        assert!(Multiplexed::open(near).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_closed_after_a_minute_and_one_with_them_is_not() {
        let shared = Shared::new();
        let slot = shared.put(&target(), connection(2).await).unwrap();
        tokio::time::sleep(IDLE * 2).await;
        assert_eq!(shared.groups()[&target()].connections.len(), 1);
        drop(slot);
        tokio::time::sleep(IDLE - SWEEP).await;
        assert_eq!(shared.groups()[&target()].connections.len(), 1);
        tokio::time::sleep(SWEEP * 2).await;
        assert!(shared.groups().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_chose_http1_is_believed_for_a_minute() {
        let shared = Shared::new();
        shared.chose_http1(&target());
        tokio::time::sleep(REMEMBERED - Duration::from_secs(1)).await;
        assert!(shared.speaks_http1(&target()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!shared.speaks_http1(&target()));
        shared.chose_http1(&target());
        let _slot = shared.put(&target(), connection(2).await);
        assert!(!shared.speaks_http1(&target()));
    }

    /// A frame of HTTP/2: its kind, and whether it acknowledges.
    #[derive(Debug, PartialEq, Eq)]
    enum Frame {
        Settings { acknowledges: bool },
        Headers,
        Other,
    }

    /// Tells of every frame that the connector sends.
    async fn tell_frames(mut far: impl AsyncRead + Unpin, tell: mpsc::UnboundedSender<Frame>) {
        let mut preface = [0; 24];
        far.read_exact(&mut preface).await.unwrap();
        let mut head = [0; 9];
        while far.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut rest = vec![0; length as usize];
            far.read_exact(&mut rest).await.unwrap();
            let frame = match head[3] {
                1 => Frame::Headers,
                4 => Frame::Settings {
                    acknowledges: head[4] & 1 == 1,
                },
                _ => Frame::Other,
            };
            let _ = tell.send(frame);
        }
    }

    /// SETTINGS with SETTINGS_MAX_CONCURRENT_STREAMS.
    fn allows(at_once: u32) -> Vec<u8> {
        let mut frame = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3];
        frame.extend(at_once.to_be_bytes());
        frame
    }

    #[tokio::test]
    async fn an_application_that_allows_less_than_before_gets_no_more_than_that() {
        let (near, far) = tokio::io::duplex(8 * 1024);
        let (read, mut application) = tokio::io::split(far);
        let (tell, mut frames) = mpsc::unbounded_channel();
        tokio::spawn(tell_frames(read, tell));
        let mut until = async |wanted: Frame| {
            while frames.recv().await.unwrap() != wanted {}
        };
        let acknowledged = || Frame::Settings { acknowledges: true };

        application.write_all(&allows(100)).await.unwrap();
        let shared = Shared::new();
        let connection = Multiplexed::open(near).await.unwrap();
        let first = shared.put(&target(), connection).unwrap();
        until(acknowledged()).await;
        let request = Request::get("http://wiki/").body(Body::empty()).unwrap();
        let mut sender = first.sender();
        let _unanswered = tokio::spawn(async move { sender.send_request(request).await });
        until(Frame::Headers).await;
        assert!(shared.take(&target()).is_some());

        // Nothing is sent and nothing is answered meanwhile: the settings alone tell.
        for (at_once, more) in [(1, false), (2, true), (0, false), (100, true)] {
            application.write_all(&allows(at_once)).await.unwrap();
            until(acknowledged()).await;
            let place = shared.take(&target());
            assert_eq!(place.is_some(), more, "{at_once}");
        }
    }

    fn other_target(number: usize) -> Target {
        Target {
            says: None,
            under: 1,
            scheme: Scheme::Http,
            endpoint: Endpoint::parse(&format!("wiki{number}:80")).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_some_connections_without_requests_are_kept() {
        let shared = Shared::new();
        let mut held = Vec::new();
        for _ in 0..IDLE_PER_TARGET + 8 {
            held.push(shared.put(&target(), connection(1).await).unwrap());
        }
        tokio::time::sleep(SWEEP * 2).await;
        assert_eq!(shared.groups()[&target()].connections.len(), held.len());
        // One that has just had a request is kept rather than those that wait longer.
        let last = held.remove(0);
        drop(held);
        tokio::time::advance(Duration::from_millis(1)).await;
        let kept = Arc::downgrade(&last.0);
        drop(last);
        tokio::time::sleep(SWEEP * 2).await;
        assert_eq!(shared.idle(), IDLE_PER_TARGET);
        assert!(kept.upgrade().is_some());
        drop(shared);

        let shared = Shared::new();
        let targets = IDLE_ALTOGETHER / IDLE_PER_TARGET + 1;
        for number in 0..targets {
            let target = other_target(number);
            let mut held = Vec::new();
            for _ in 0..IDLE_PER_TARGET {
                held.push(shared.put(&target, connection(1).await).unwrap());
            }
        }
        assert_eq!(shared.idle(), targets * IDLE_PER_TARGET);
        tokio::time::sleep(SWEEP * 2).await;
        assert_eq!(shared.idle(), IDLE_ALTOGETHER);
    }
}
