//! Connections that a load balancer passes on: a PROXY header in front of them says whose they are.
//!
//! SECURITY: who may say so is the operator's word (`listen.proxy_protocol`). From these sources the
//! header must be there; from any other source nothing is looked at, so that nobody gives themselves
//! another's address.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Gateway;
use super::crowd::{Seat, Unnamed};
use crate::model::Ends;
use crate::net::proxy_header::{self, Fault, LONGEST, Read};
use crate::telemetry::metrics::PROXY_HEADER_FAILURES;

/// For the whole header, which its sender writes at once: two lost segments delay it by 3 s
/// (specification, section 2).
const PATIENCE: Duration = Duration::from_secs(5);

/// From one line in the log about a source to its next: a load balancer that is set up wrongly has
/// every connection closed.
const QUIET: Duration = Duration::from_secs(60);

/// Sources of which it is known when the log was told: trusted ones alone, so there are few.
const SOURCES: usize = 1024;

/// Who passes connections on.
#[derive(Debug, Default)]
pub(super) struct Balancers {
    told: Mutex<HashMap<IpAddr, Told>>,
}

/// What the log was told of a source.
#[derive(Debug)]
struct Told {
    at: Instant,
    /// Connections closed since, unsaid.
    since: u64,
}

/// A connection that was just accepted.
pub(super) enum Arrival {
    /// It is its source's own.
    Own(Arc<Seat>),
    /// Its source passes it on.
    PassedOn(Unnamed),
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// What is there is none.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It did not come in time.
    #[error("its PROXY header was not whole within {PATIENCE:?}: {0} octets came")]
    Late(usize),
    /// The sender closed the connection before its end.
    #[error("it ended within its PROXY header, after {0} octets")]
    Ended(usize),
    /// The connection broke.
    #[error("it broke: {0}")]
    Broken(#[from] io::Error),
}

impl Balancers {
    /// Says why a connection was closed, once a minute for each source.
    fn closed(&self, source: SocketAddr, why: &Unread) {
        PROXY_HEADER_FAILURES.count(&[]);
        let Some(unsaid) = self.may_tell(source.ip(), Instant::now()) else {
            tracing::debug!(%source, %why, "connection without a PROXY header closed");
            return;
        };
        tracing::warn!(
            source = %source.ip(),
            %why,
            unsaid,
            "a source of `listen.proxy_protocol` does not say whose its connection is: it was closed"
        );
    }

    /// Whether the log may be told of this source again, and what it was not told since.
    fn may_tell(&self, source: IpAddr, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.get_mut(&source)
            && now < told.at + QUIET
        {
            told.since += 1;
            return None;
        }
        if told.len() >= SOURCES {
            told.retain(|_, told| now < told.at + QUIET);
        }
        if told.len() >= SOURCES {
            return None;
        }
        let before = told.insert(source, Told { at: now, since: 0 });
        Some(before.map_or(0, |before| before.since))
    }
}

impl Arrival {
    /// Lets a connection from this address in as far as the door.
    pub(super) fn at(gateway: &Gateway, source: IpAddr) -> Self {
        let trusted = &gateway.current().config.listen.proxy_protocol;
        match passes_on(trusted, source.to_canonical()) {
            true => Self::PassedOn(gateway.crowd.arrives_unnamed()),
            false => Self::Own(gateway.crowd.arrives(source)),
        }
    }

    /// The client's connection, `own` where nobody passes it on, and its place; `None` where it is to
    /// be closed. Of the stream nothing is read but the header.
    pub(super) async fn owner(
        self,
        gateway: &Gateway,
        stream: &mut TcpStream,
        own: Ends,
    ) -> Option<(Ends, Arc<Seat>)> {
        let unnamed = match self {
            Self::Own(seat) => return Some((own, seat)),
            Self::PassedOn(unnamed) => unnamed,
        };
        let header = tokio::select! {
            header = read_header(stream) => header,
            () = unnamed.leaves() => return None,
        };
        match header {
            Ok(of) => {
                let ends = of.unwrap_or(own);
                Some((ends, unnamed.named(ends.source().ip())))
            }
            // Whether the port is open, a load balancer finds out in this way.
            Err(Unread::Ended(0)) => None,
            Err(why) => {
                gateway.balancers.closed(own.source(), &why);
                None
            }
        }
    }
}

fn passes_on(trusted: &[IpNet], source: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&source))
}

/// Reads the header, and not one octet behind it: that is the client's.
async fn read_header(stream: &mut TcpStream) -> Result<Option<Ends>, Unread> {
    let mut octets = [0; LONGEST];
    let mut read = 0;
    let reading = async {
        loop {
            let seen = stream.peek(&mut octets[read..]).await?;
            if seen == 0 {
                return Err(Unread::Ended(read));
            }
            // What is incomplete is the header's to its last octet, and may be taken.
            let (whole, until) = match proxy_header::read(&octets[..read + seen])? {
                Read::Incomplete => (None, read + seen),
                Read::Whole { of, length } => (Some(of), length),
            };
            stream.read_exact(&mut octets[read..until]).await?;
            read = until;
            if let Some(of) = whole {
                return Ok(of);
            }
        }
    };
    match timeout(PATIENCE, reading).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Unread::Late(read)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;

    const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_header_is_read_however_it_comes_and_nothing_behind_it() {
        for step in [1, 2, 7, HEADER.len(), HEADER.len() + 3] {
            let (mut sender, mut receiver) = pair().await;
            sender.set_nodelay(true).unwrap();
            let sending = async {
                let all = [HEADER, b"GET /"].concat();
                for part in all.chunks(step) {
                    sender.write_all(part).await.unwrap();
                    yield_now().await;
                }
            };
            let (read, ()) = tokio::join!(read_header(&mut receiver), sending);
            let source = read.unwrap().unwrap().source();
            assert_eq!(source, "192.0.2.7:50000".parse().unwrap());
            drop(sender);
            let mut rest = Vec::new();
            receiver.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"GET /", "{step}");
        }
    }

    #[tokio::test]
    async fn one_that_says_something_else_or_ends_is_known_at_once() {
        for (octets, why) in [
            (&b"GET / HTTP/1.1"[..], Fault::NoHeader.to_string()),
            (b"PROXY TCP4 a b c d\r\n", Fault::Line.to_string()),
            (&HEADER[..10], Unread::Ended(10).to_string()),
            (b"", Unread::Ended(0).to_string()),
        ] {
            let (mut sender, mut receiver) = pair().await;
            sender.write_all(octets).await.unwrap();
            sender.shutdown().await.unwrap();
            let error = read_header(&mut receiver).await.unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_ends_is_given_up_in_time() {
        let (mut sender, mut receiver) = pair().await;
        sender.write_all(&HEADER[..20]).await.unwrap();
        receiver.readable().await.unwrap();
        let began = Instant::now();
        let error = read_header(&mut receiver).await.unwrap_err();
        assert!(matches!(error, Unread::Late(20)), "{error:?}");
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_is_told_once_a_minute_of_each_source_and_of_no_more_than_it_can_bear() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let balancers = Balancers::default();
        let source = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        assert!(passes_on(&trusted, source(7)) && !passes_on(&trusted, [192, 0, 2, 7].into()));
        let now = Instant::now();
        assert_eq!(balancers.may_tell(source(0), now), Some(0));
        assert_eq!(balancers.may_tell(source(1), now), Some(0));
        for _ in 0..3 {
            assert_eq!(balancers.may_tell(source(0), now + QUIET / 2), None);
        }
        assert_eq!(balancers.may_tell(source(0), now + QUIET), Some(3));
        assert_eq!(balancers.may_tell(source(0), now + QUIET), None);
        let told = |from: u32, at| {
            let sources = (from..from + 2000).map(source);
            sources.filter_map(|s| balancers.may_tell(s, at)).count()
        };
        assert!(told(10, now + QUIET) < SOURCES);
        assert_eq!(told(10_000, now + QUIET * 2), SOURCES);
    }
}
