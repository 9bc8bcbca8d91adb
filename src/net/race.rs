//! Several addresses of one host: tried beside each other, as RFC 8305 has it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::dial::DialError;
use crate::model::Endpoint;

/// How long one attempt runs alone before the next address is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses tried for one name; an answer with hundreds must not turn a dial into a scan.
pub(super) const MOST_ADDRESSES: usize = 16;

/// The first connection to one of these addresses of `target` that comes about.
pub(super) async fn race(
    target: &Endpoint,
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<TcpStream, DialError> {
    let mut race = Race::new(interleave(addresses));
    match timeout_at(deadline, race.run()).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(race.explain(target, error)),
        Err(_) => Err(DialError::Timeout {
            target: target.clone(),
            tried: race.tried(),
        }),
    }
}

/// Attempts beside each other; the first connection wins and the others are dropped.
struct Race {
    waiting: VecDeque<SocketAddr>,
    begun: Vec<SocketAddr>,
    running: JoinSet<io::Result<TcpStream>>,
}

impl Race {
    fn new(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        Self {
            waiting: addresses.take(MOST_ADDRESSES).collect(),
            begun: Vec::new(),
            running: JoinSet::new(),
        }
    }

    fn begin_next(&mut self) {
        if let Some(address) = self.waiting.pop_front() {
            self.begun.push(address);
            self.running.spawn(connect_one(address));
        }
    }

    async fn run(&mut self) -> io::Result<TcpStream> {
        let mut telling: Option<io::Error> = None;
        self.begin_next();
        let mut next = Instant::now() + STAGGER;
        loop {
            tokio::select! {
                done = self.running.join_next() => {
                    let error = match done {
                        Some(Ok(Ok(stream))) => return Ok(stream),
                        Some(Ok(Err(error))) => error,
                        Some(Err(ended)) => io::Error::other(ended),
                        None => {
                            let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
                            return Err(telling.unwrap_or_else(none));
                        }
                    };
                    // That a host refused says more than that another has no route.
                    if telling.as_ref().is_none_or(|known| known.kind() != io::ErrorKind::ConnectionRefused) {
                        telling = Some(error);
                    }
                    self.begin_next();
                    next = Instant::now() + STAGGER;
                }
                () = sleep_until(next), if !self.waiting.is_empty() => {
                    self.begin_next();
                    next = Instant::now() + STAGGER;
                }
            }
        }
    }

    fn tried(&self) -> String {
        let tried: Vec<_> = self.begun.iter().map(ToString::to_string).collect();
        tried.join(", ")
    }

    fn explain(&self, target: &Endpoint, source: io::Error) -> DialError {
        let target = target.clone();
        let tried = self.tried();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => DialError::Refused {
                target,
                tried,
                source,
            },
            io::ErrorKind::TimedOut => DialError::Timeout { target, tried },
            _ => DialError::Unreachable {
                target,
                tried,
                source,
            },
        }
    }
}

async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // TCP can connect a socket to itself where nothing listens on a local port out of the range
    // the system picks from; what we send would come back as an answer.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Families in turn, beginning with that of the first address (RFC 8305, section 4).
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut own, mut other): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        let (now, then) = if turn {
            (&mut own, &mut other)
        } else {
            (&mut other, &mut own)
        };
        now.pop_front().or_else(|| then.pop_front())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
        let order = |list: &[&str]| {
            let list = list.iter().map(|a| address(a)).collect();
            let order: Vec<_> = interleave(list).map(|a| a.ip().to_string()).collect();
            order.join(" ")
        };
        assert_eq!(
            order(&["::1", "::2", "::3", "0.0.0.1"]),
            "::1 0.0.0.1 ::2 ::3"
        );
        assert_eq!(order(&["0.0.0.1", "::1", "::2"]), "0.0.0.1 ::1 ::2");
        assert_eq!(order(&["0.0.0.1", "0.0.0.2"]), "0.0.0.1 0.0.0.2");
        assert_eq!(order(&[]), "");
    }
}
