//! Dials endpoints: resolves, asks permission for every address, tries them as RFC 8305 has it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::options::{tune_client, tune_tunnel};
use super::resolve::{ResolveError, Resolver};
use crate::model::{Endpoint, Host};

/// How long one attempt runs alone before the next address is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses tried for one name; an answer with hundreds must not turn a dial into a scan.
const MOST_ADDRESSES: usize = 16;

/// Why an address may not be dialled, as a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why no connection came about. Each text names the addresses that were tried.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// None of the addresses may be dialled; nothing was sent to any of them.
    #[error("{0}")]
    NotPermitted(Refused),
    /// A host answered that nothing listens there.
    #[error("{target} refused the connection (tried {tried}): nothing listens on that port")]
    Refused {
        /// What was to be dialled.
        target: Endpoint,
        /// The addresses, separated by commas.
        tried: String,
        /// The last answer.
        source: io::Error,
    },
    /// There is no way to the host, or the attempt failed otherwise.
    #[error("{target} cannot be reached (tried {tried}): {source}")]
    Unreachable {
        /// What was to be dialled.
        target: Endpoint,
        /// The addresses, separated by commas.
        tried: String,
        /// What the last attempt said.
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("{target} did not answer in time ({})", tried_or_name(tried))]
    Timeout {
        /// What was to be dialled.
        target: Endpoint,
        /// The addresses, separated by commas; empty where the time went into the look-up.
        tried: String,
    },
}

fn tried_or_name(tried: &str) -> String {
    if tried.is_empty() {
        "the look-up of its name took too long".to_owned()
    } else {
        format!("tried {tried}")
    }
}

/// One way to a gateway. A gateway of several addresses is several, and a connector takes each: it
/// never depends on which of them a name happens to lead to first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    gateway: Endpoint,
    address: SocketAddr,
}

impl Route {
    /// The gateway as it was named.
    #[must_use]
    pub fn gateway(&self) -> &Endpoint {
        &self.gateway
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.gateway.host {
            Host::Name(_) => write!(f, "{} at {}", self.gateway, self.address.ip()),
            Host::Address(_) => write!(f, "{}", self.gateway),
        }
    }
}

/// Dials endpoints; cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialler {
    resolver: Resolver,
}

impl Dialler {
    /// Resolves names with `resolver`.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver }
    }

    /// Dials a gateway; the socket is tuned for a tunnel. Whom to dial is the operator's own
    /// word, so no address is asked about.
    ///
    /// # Errors
    /// Where no connection came about before `deadline`.
    pub async fn connect_tunnel(
        &self,
        target: &Endpoint,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = self.connect(target, &|_| Ok(()), deadline).await?;
        tune_tunnel(&stream);
        Ok(stream)
    }

    /// Every way to a gateway, in the order of its addresses.
    ///
    /// # Errors
    /// Where its name leads nowhere, or the look-up took until `deadline`.
    pub async fn routes(
        &self,
        gateway: &Endpoint,
        deadline: Instant,
    ) -> Result<Vec<Route>, DialError> {
        let addresses = self.resolve(gateway, deadline).await?;
        let addresses = addresses.into_iter().take(MOST_ADDRESSES).map(|ip| Route {
            gateway: gateway.clone(),
            address: SocketAddr::new(ip, gateway.port),
        });
        Ok(addresses.collect())
    }

    /// Dials a gateway on one of its ways; the socket is tuned for a tunnel.
    ///
    /// # Errors
    /// Where no connection came about before `deadline`.
    pub async fn connect_route(
        &self,
        route: &Route,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = race(&route.gateway, vec![route.address], deadline).await?;
        tune_tunnel(&stream);
        Ok(stream)
    }

    async fn resolve(
        &self,
        target: &Endpoint,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, DialError> {
        let resolved = timeout_at(deadline, self.resolver.resolve(&target.host)).await;
        let late = |_| DialError::Timeout {
            target: target.clone(),
            tried: String::new(),
        };
        Ok(resolved.map_err(late)??)
    }

    /// Dials an application. `permitted` is asked about every address right before it is dialled,
    /// so that a name which resolves to something else than a moment ago gains nothing.
    ///
    /// # Errors
    /// Where no address is permitted, or no connection came about before `deadline`.
    pub async fn connect_backend(
        &self,
        target: &Endpoint,
        permitted: &(dyn Fn(SocketAddr) -> Result<(), Refused> + Sync),
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = self.connect(target, permitted, deadline).await?;
        tune_client(&stream);
        Ok(stream)
    }

    async fn connect(
        &self,
        target: &Endpoint,
        permitted: &(dyn Fn(SocketAddr) -> Result<(), Refused> + Sync),
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let addresses = self.resolve(target, deadline).await?;
        let mut refusal = None;
        let mut allowed = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address, target.port);
            match permitted(address) {
                Ok(()) => allowed.push(address),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        if let (true, Some(refused)) = (allowed.is_empty(), refusal) {
            return Err(DialError::NotPermitted(refused));
        }
        race(target, allowed, deadline).await
    }
}

async fn race(
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
fn interleave(addresses: Vec<SocketAddr>) -> impl Iterator<Item = SocketAddr> {
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
    use std::collections::BTreeMap;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    fn dialler(addresses: &[&str]) -> Dialler {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let hosts = BTreeMap::from([("app.test".to_owned(), addresses)]);
        Dialler::new(Resolver::new(&[], hosts))
    }

    fn target(port: u16) -> Endpoint {
        Endpoint::parse(&format!("app.test:{port}")).unwrap()
    }

    fn in_time() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A listener whose queue is full: connections to it hang, as they do to a host that is off.
    fn silent(address: &str) -> (u16, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        let address: SocketAddr = format!("{address}:0").parse().unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let bound = listener.local_addr().unwrap();
        let mut kept = vec![listener];
        for _ in 0..4 {
            let filler = socket();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&bound);
            kept.push(filler);
        }
        (bound.as_socket().unwrap().port(), kept)
    }

    #[tokio::test]
    async fn a_silent_address_holds_nobody_up() {
        let (port, _kept) = silent("127.0.0.2");
        let good = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
        let dialler = dialler(&["127.0.0.2", "127.0.0.3"]);
        let stream = dialler
            .connect_tunnel(&target(port), in_time())
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn the_deadline_ends_the_dial_and_names_the_address() {
        let (port, _kept) = silent("127.0.0.2");
        let deadline = Instant::now() + Duration::from_millis(50);
        let error = dialler(&["127.0.0.2"])
            .connect_tunnel(&target(port), deadline)
            .await;
        let error = error.unwrap_err();
        assert!(matches!(error, DialError::Timeout { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("app.test") && text.contains(&format!("127.0.0.2:{port}")),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_refusal_names_every_address_that_was_tried() {
        let gone = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = gone.local_addr().unwrap().port();
        drop(gone);
        let dialler = dialler(&["127.0.0.2", "127.0.0.3"]);
        let error = dialler
            .connect_tunnel(&target(port), in_time())
            .await
            .unwrap_err();
        assert!(matches!(error, DialError::Refused { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("127.0.0.2:{port}, 127.0.0.3:{port}")),
            "{text}"
        );
    }

    #[tokio::test]
    async fn what_is_not_permitted_is_never_dialled() {
        let forbidden = super::super::bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let port = forbidden.local_addr().unwrap().port();
        let good = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
        let dialler = dialler(&["127.0.0.2", "127.0.0.3"]);
        let only = |ip: &'static str| {
            move |address: SocketAddr| {
                assert_eq!(address.port(), port);
                let fine = address.ip().to_string() == ip;
                fine.then_some(())
                    .ok_or_else(|| Refused(format!("not {address}")))
            }
        };
        let stream = dialler
            .connect_backend(&target(port), &only("127.0.0.3"), in_time())
            .await;
        assert_eq!(
            stream.unwrap().peer_addr().unwrap(),
            good.local_addr().unwrap()
        );
        let none = dialler
            .connect_backend(&target(port), &only("10.0.0.1"), in_time())
            .await;
        let none = none.unwrap_err();
        assert!(matches!(none, DialError::NotPermitted(_)), "{none:?}");
        assert_eq!(none.to_string(), format!("not 127.0.0.2:{port}"));
        let accepted = forbidden.accept().map(|_| ()).map_err(|e| e.kind());
        assert_eq!(accepted, Err(io::ErrorKind::WouldBlock));
    }

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

    #[tokio::test]
    async fn a_long_answer_is_no_scan() {
        let gone = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = gone.local_addr().unwrap().port();
        drop(gone);
        let many: Vec<_> = (2..200).map(|n| format!("127.0.0.{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let error = dialler(&many)
            .connect_tunnel(&target(port), in_time())
            .await
            .unwrap_err();
        let DialError::Refused { tried, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(tried.split(", ").count(), MOST_ADDRESSES);
    }
}
