//! Accepts connections and finds out by ALPN whose they are: a person's, a connector's, or one
//! that is about to enrol. Every handshake has its own task and deadline, so that a silent client
//! stops nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::client_tls::ClientTls;
use super::connection::{self, Transport};
use super::hello::{self, Hello};
use super::passed_on::Arrival;
use super::passthrough::{self, Passing};
use super::{Gateway, attach};
use crate::model::Ends;
use crate::net;
use crate::telemetry::metrics::{CONNECTIONS_ACCEPTED, HANDSHAKE_FAILURES};
use crate::tunnel::tls::{ALPN_ENROL, ALPN_TUNNEL};

/// From the TCP connection, or the end of its PROXY header, to the end of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// After a failed accept: the usual reason is that no file descriptors are left, and then trying
/// again at once only burns the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Everybody, over TLS.
    Https,
    /// People, over plain HTTP.
    Http,
    /// Connectors alone.
    Tunnel,
}

/// The listeners' loops, to ask whether they run.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Vec<mpsc::Sender<oneshot::Sender<()>>>>);

impl Doors {
    /// Waits until every loop that has not ended has answered.
    pub(super) async fn answer(&self) {
        let doors = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for door in doors {
            let (answer, answered) = oneshot::channel();
            // One that has stopped to accept needs no watching.
            if door.send(answer).await.is_ok() {
                let _ = answered.await;
            }
        }
    }
}

/// Accepts connections until the gateway stops. A door for connectors alone closes as soon as they
/// are to go elsewhere: what dials then waits for the successor, unaccepted.
pub(super) fn open(gateway: &Arc<Gateway>, listener: TcpListener, door: Door) {
    let (ask, asked) = mpsc::channel(1);
    let doors = &gateway.doors.0;
    doors
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(ask);
    tokio::spawn(accept(Arc::clone(gateway), listener, door, asked));
}

async fn accept(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    door: Door,
    mut asked: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut failing = false;
    let accepted_here = CONNECTIONS_ACCEPTED.counter(&[match door {
        Door::Https => "https",
        Door::Http => "http",
        Door::Tunnel => "tunnel",
    }]);
    loop {
        let accepted = tokio::select! {
            biased;
            () = gateway.drain.closes() => return,
            () = gateway.drain.begins(), if door == Door::Tunnel => return,
            Some(answer) = asked.recv() => {
                let _ = answer.send(());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                gateway.accept_failing.store(false, Ordering::Relaxed);
                accepted_here.increment(1);
                let arrival = Arrival::at(&gateway, peer.ip());
                let task = serve(Arc::clone(&gateway), stream, peer, door, arrival);
                gateway.connections.spawn(task);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "cannot accept connections; trying on");
                    gateway.accept_failing.store(true, Ordering::Relaxed);
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client went away between its connection and our accept.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn serve(
    gateway: Arc<Gateway>,
    mut stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    arrival: Arrival,
) {
    net::tune_client(&stream);
    // It has none where it is gone already.
    let Ok(here) = stream.local_addr() else {
        return;
    };
    let own = Ends::new(peer, here);
    let Some((ends, seat)) = arrival.owner(&gateway, &mut stream, own).await else {
        return;
    };
    let peer = ends.source();
    if door == Door::Http {
        return connection::serve(gateway, stream, Transport::plain(ends), seat).await;
    }
    let arrived = tokio::select! {
        arrived = handshake(&gateway, stream, peer, door) => arrived,
        () = seat.leaves() => return,
    };
    match arrived {
        Ok(Some(Arrived::Person(stream, client_tls))) => {
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            // In a task of its own, and the stream in a box: what an idle connection holds on to is
            // as large as the largest of all that its task may do, and moves with it.
            let (tracker, stream) = (gateway.connections.clone(), Box::new(stream));
            let people =
                connection::serve(gateway, stream, Transport::tls(ends, h2, client_tls), seat);
            tracker.spawn(people);
        }
        Ok(Some(Arrived::Passing(passing))) => {
            let passed = passthrough::serve(Arc::clone(&gateway), *passing, ends, seat);
            gateway.websockets.spawn(passed);
        }
        Ok(Some(Arrived::Connector(stream))) => {
            // It has shown its certificate: it takes no place of people's.
            drop(seat);
            gateway.current().sockets.tune(stream.get_ref().0);
            let tunnel = attach::serve(Arc::clone(&gateway), stream, peer);
            gateway.tunnel_connections.spawn(tunnel);
        }
        // Anybody can begin one, so it stays at the door, and has to be quick where that is full.
        Ok(Some(Arrived::Newcomer(stream))) => tokio::select! {
            () = Box::pin(gateway.enrol(stream, peer)) => {}
            () = seat.leaves() => {}
        },
        Ok(None) => {}
        Err(error) => {
            HANDSHAKE_FAILURES.count(&[]);
            tracing::debug!(%peer, %error, "TLS handshake failed");
        }
    }
}

/// Whose connection it is.
enum Arrived {
    Person(TlsStream<TcpStream>, Option<Arc<ClientTls>>),
    Connector(TlsStream<TcpStream>),
    /// About to enrol.
    Newcomer(TlsStream<TcpStream>),
    /// Its TLS ends at an application.
    Passing(Box<Passing>),
}

/// As the ClientHello says.
enum Whose {
    Person,
    Connector,
    Newcomer,
}

/// `None` where it is not served here, or not now.
async fn handshake(
    gateway: &Gateway,
    mut stream: TcpStream,
    peer: SocketAddr,
    door: Door,
) -> io::Result<Option<Arrived>> {
    let deadline = Instant::now() + HANDSHAKE;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "not finished in time");
    let hello = timeout_at(deadline, hello::read(&mut stream));
    let Hello { accepted, octets } = hello.await.map_err(late)??;
    let client = accepted.client_hello();
    let offers = |wanted: &[u8]| {
        client
            .alpn()
            .is_some_and(|mut alpn| alpn.any(|p| p == wanted))
    };
    let mut asked = None;
    let (config, whose) = if offers(ALPN_TUNNEL) {
        if gateway.drain.has_begun() {
            // It dials again until the successor is the one that accepts.
            tracing::debug!(%peer, "no new tunnels: the gateway stops");
            return Ok(None);
        }
        (gateway.tunnel_tls.tunnel(), Whose::Connector)
    } else if offers(ALPN_ENROL) {
        (gateway.tunnel_tls.enrol(), Whose::Newcomer)
    } else if door == Door::Tunnel {
        tracing::debug!(%peer, "only connectors are served here");
        return Ok(None);
    } else {
        let current = gateway.current();
        let wanted = current.table.tls_of(client.server_name());
        // SECURITY: where people sign in, nobody else ever is.
        let desk = current.desk.as_ref().map(|desk| &desk.settings().host);
        if let Some((host, found)) = wanted.passthrough.filter(|(host, _)| desk != Some(host)) {
            return Ok(Some(Arrived::Passing(Box::new(Passing {
                stream,
                hello: octets,
                host,
                found,
                current,
            }))));
        }
        let ca = wanted.client_ca.as_deref();
        let Some(config) = current.people_tls.offer(wanted.http1_alone, ca) else {
            return Err(io::Error::other("its authorities are not loaded"));
        };
        asked = wanted.client_ca;
        (config, Whose::Person)
    };
    let hello = StartHandshake::from_parts(accepted, stream).into_stream(config);
    let stream = timeout_at(deadline, hello).await.map_err(late)??;
    Ok(Some(match whose {
        Whose::Connector => Arrived::Connector(stream),
        Whose::Newcomer => Arrived::Newcomer(stream),
        Whose::Person => {
            let client_tls = asked.map(|ca| ClientTls::of(stream.get_ref().1, ca));
            Arrived::Person(stream, client_tls)
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::clock::Clock;
    use crate::gateway::observe::tests::{NOW, gateway};

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_ten_seconds_and_not_less_however_slowly_it_comes() {
        let (gateway, _) = gateway(&Clock::manual(NOW)).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing, an octet, and the head of a record with a ClientHello that never ends.
        for said in [&b""[..], &[0x16], &[0x16, 3, 1, 1, 0, 1, 0, 0, 252]] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            client.write_all(said).await.unwrap();
            let trickle = async {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    if said.len() > 1 {
                        client.write_all(b"x").await.unwrap();
                    }
                }
            };
            let since = Instant::now();
            let error = tokio::select! {
                arrived = handshake(&gateway, stream, peer, Door::Https) => arrived.err(),
                () = trickle => unreachable!(),
            };
            assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
            let open = since.elapsed();
            // Timers go by whole milliseconds.
            let late = Duration::from_millis(10_005);
            assert!((HANDSHAKE..late).contains(&open), "{said:?}: {open:?}");
        }
    }
}
