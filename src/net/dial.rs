//! Dials endpoints: resolves, asks permission for every address, tries them as RFC 8305 has it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::options::{TunnelSockets, tune_client};
use super::proxy::{self, Destination, ProxyFault};
use super::race::{MOST_ADDRESSES, interleave, race};
use super::resolve::{ResolveError, Resolver};
use super::route::{Route, Way};
use crate::model::{Endpoint, Proxy, ProxyScheme};

/// Asked before each dial.
type Permitted<'a> = dyn Fn(Dialled<'_>) -> Result<(), Refused> + Sync + 'a;

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
    /// The proxy on the way cannot be reached.
    #[error("cannot reach {target}: no connection to the proxy {proxy}: {error}")]
    NoProxy {
        /// What was to be dialled.
        target: Endpoint,
        /// Which proxy, and which setting names it.
        proxy: String,
        /// Why not.
        error: Box<DialError>,
    },
    /// The proxy on the way gives no connection.
    #[error("cannot reach {target} through the proxy {proxy}: {fault}")]
    Proxy {
        /// What was to be dialled.
        target: Endpoint,
        /// Which proxy, and which setting names it.
        proxy: String,
        /// What it said.
        fault: ProxyFault,
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

/// Dials endpoints; cheap to clone.
#[derive(Debug, Clone)]
pub struct Dialler {
    resolver: Resolver,
    proxy: Option<Arc<Proxy>>,
    sockets: Arc<TunnelSockets>,
}

/// What is about to be dialled.
#[derive(Debug, Clone, Copy)]
pub enum Dialled<'a> {
    /// This address.
    Address(SocketAddr),
    /// This name, by a proxy that resolves it: nobody here learns its address.
    Name(&'a Endpoint),
}

impl Dialler {
    /// Resolves names with `resolver`.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            proxy: None,
            sockets: Arc::default(),
        }
    }

    /// Dials through a proxy what the proxy serves.
    #[must_use]
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        Self {
            proxy: proxy.map(Arc::new),
            ..self
        }
    }

    /// Sets the sockets of tunnels to this.
    #[must_use]
    pub fn tuning(self, sockets: TunnelSockets) -> Self {
        Self {
            sockets: Arc::new(sockets),
            ..self
        }
    }

    /// The proxy that a target is dialled through, where one serves it.
    #[must_use]
    pub fn proxy_for(&self, target: &Endpoint) -> Option<&Proxy> {
        self.proxy.as_deref().filter(|proxy| proxy.serves(target))
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
        self.connect_named(target, &|_| Ok(()), deadline).await
    }

    /// Dials a gateway that need not be the operator's word; `permitted` as in
    /// [`Dialler::connect_backend`]. The socket is tuned for a tunnel.
    ///
    /// # Errors
    /// Where no address is permitted, or no connection came about before `deadline`.
    pub async fn connect_named(
        &self,
        target: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = self.connect(target, permitted, deadline).await?;
        self.sockets.tune(&stream);
        Ok(stream)
    }

    /// Every way to a gateway, in the order of its addresses and the families in turn, without those
    /// that are not permitted.
    ///
    /// # Errors
    /// Where its name leads nowhere, no address is permitted, or the look-up took until `deadline`.
    pub async fn routes(
        &self,
        gateway: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<Vec<Route>, DialError> {
        if let Some(proxy) = self.proxy_for(gateway) {
            return Ok(vec![Route {
                gateway: gateway.clone(),
                way: Way::Through(proxy.endpoint.clone()),
            }]);
        }
        let allowed = self.allowed(gateway, permitted, deadline).await?;
        let allowed = allowed
            .into_iter()
            .map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
        // A name with many addresses of one family keeps ways of the other.
        let allowed = interleave(allowed.collect()).take(MOST_ADDRESSES);
        let routes = allowed.map(|at| Route {
            gateway: gateway.clone(),
            way: Way::At(at),
        });
        Ok(routes.collect())
    }

    /// Dials a gateway on one of its ways; `permitted` is asked again, right before. The socket is
    /// tuned for a tunnel.
    ///
    /// # Errors
    /// Where it is not permitted, or no connection came about before `deadline`.
    pub async fn connect_route(
        &self,
        route: &Route,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = match route.way {
            Way::At(address) => {
                permitted(Dialled::Address(address)).map_err(DialError::NotPermitted)?;
                race(&route.gateway, vec![address], deadline).await?
            }
            Way::Through(_) => self.connect(&route.gateway, permitted, deadline).await?,
        };
        self.sockets.tune(&stream);
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
    /// so that a name which resolves to something else than a moment ago gains nothing; and about
    /// the name where a proxy resolves it.
    ///
    /// # Errors
    /// Where no address is permitted, or no connection came about before `deadline`.
    pub async fn connect_backend(
        &self,
        target: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        let stream = self.connect(target, permitted, deadline).await?;
        tune_client(&stream);
        Ok(stream)
    }

    async fn connect(
        &self,
        target: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        if let Some(proxy) = self.proxy_for(target) {
            return self
                .connect_through(proxy, target, permitted, deadline)
                .await;
        }
        let allowed = self.allowed(target, permitted, deadline).await?;
        race(target, allowed, deadline).await
    }

    /// The addresses of a target that are permitted; never none.
    async fn allowed(
        &self,
        target: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = self.resolve(target, deadline).await?;
        let mut refusal = None;
        let mut allowed = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address, target.port);
            match permitted(Dialled::Address(address)) {
                Ok(()) => allowed.push(address),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        match (allowed.is_empty(), refusal) {
            (true, Some(refused)) => Err(DialError::NotPermitted(refused)),
            _ => Ok(allowed),
        }
    }

    async fn connect_through(
        &self,
        proxy: &Proxy,
        target: &Endpoint,
        permitted: &Permitted<'_>,
        deadline: Instant,
    ) -> Result<TcpStream, DialError> {
        // What the operator fixed is fixed for the proxy too, which cannot know it.
        let is_known_here = target.host.name().is_none_or(|n| self.resolver.is_fixed(n));
        let destinations = if is_known_here || proxy.scheme == ProxyScheme::Socks5 {
            let allowed = self.allowed(target, permitted, deadline).await?;
            let allowed = interleave(allowed).take(MOST_ADDRESSES);
            allowed.map(Destination::At).collect()
        } else {
            permitted(Dialled::Name(target)).map_err(DialError::NotPermitted)?;
            vec![Destination::Named(target)]
        };
        let at_proxy = async || {
            let addresses = self.resolve(&proxy.endpoint, deadline).await?;
            let port = proxy.endpoint.port;
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port));
            race(&proxy.endpoint, addresses.collect(), deadline).await
        };
        let fault = |fault| DialError::Proxy {
            target: target.clone(),
            proxy: proxy.to_string(),
            fault,
        };
        let mut outcome = Err(fault(ProxyFault::Broken(
            io::ErrorKind::AddrNotAvailable.into(),
        )));
        for destination in destinations {
            let stream = at_proxy().await.map_err(|error| DialError::NoProxy {
                target: target.clone(),
                proxy: proxy.to_string(),
                error: Box::new(error),
            })?;
            let asked = timeout_at(deadline, proxy::connect(proxy, stream, destination)).await;
            let asked = asked.map_err(|_| DialError::Timeout {
                target: target.clone(),
                tried: format!("through proxy {proxy}, which was reached"),
            })?;
            outcome = asked.map_err(fault);
            // Another address of the same name may be reached; nothing else changes with it.
            if !matches!(
                &outcome,
                Err(DialError::Proxy {
                    fault: ProxyFault::Unreachable { .. },
                    ..
                })
            ) {
                break;
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

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
            move |dialled: Dialled<'_>| {
                let Dialled::Address(address) = dialled else {
                    panic!("{dialled:?}")
                };
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

    #[tokio::test]
    async fn the_ways_to_a_gateway_are_of_both_families() {
        let many: Vec<_> = (1..40).map(|n| format!("2001:db8::{n}")).collect();
        let mut all: Vec<_> = many.iter().map(String::as_str).collect();
        all.push("192.0.2.1");
        let (dialler, goal) = (dialler(&all), target(443));
        let routes = dialler.routes(&goal, &|_| Ok(()), in_time());
        let routes = routes.await.unwrap();
        assert_eq!(routes.len(), MOST_ADDRESSES);
        let is_v4 = |route: &Route| matches!(route.way, Way::At(at) if at.is_ipv4());
        assert!(is_v4(&routes[1]) && !is_v4(&routes[0]));
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
