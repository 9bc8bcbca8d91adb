//! Accepts connections and finds out by ALPN whose they are: a person's, a connector's, or one
//! that is about to enrol. Every handshake has its own task and deadline, so that a silent client
//! stops nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

use super::connection::{self, Transport};
use super::{Gateway, attach};
use crate::model::Scheme;
use crate::net;
use crate::tunnel::tls::{ALPN_ENROL, ALPN_TUNNEL};

/// From the TCP connection to the end of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// After a failed accept: the usual reason is that no file descriptors are left, and then trying
/// again at once only burns the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the gateway stops.
pub(crate) async fn accept(gateway: Arc<Gateway>, listener: TcpListener, scheme: Scheme) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gateway.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                let task = serve(Arc::clone(&gateway), stream, peer, scheme);
                gateway.connections.spawn(task);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "cannot accept connections; trying on");
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

async fn serve(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr, scheme: Scheme) {
    // A mapped address is the IPv4 address it stands for, in rules and in the log.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    net::tune_client(&stream);
    match scheme {
        Scheme::Http => connection::serve(gateway, stream, Transport::plain(peer)).await,
        Scheme::Https => {
            if let Err(error) = serve_tls(gateway, stream, peer).await {
                tracing::debug!(%peer, %error, "TLS handshake failed");
            }
        }
    }
}

async fn serve_tls(gateway: Arc<Gateway>, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + HANDSHAKE;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "not finished in time");
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let hello = timeout_at(deadline, hello).await.map_err(late)??;
    let client = hello.client_hello();
    let offers = |wanted: &[u8]| {
        client
            .alpn()
            .is_some_and(|mut alpn| alpn.any(|p| p == wanted))
    };
    if offers(ALPN_TUNNEL) {
        let config = gateway.tunnel_tls.tunnel();
        let stream = timeout_at(deadline, hello.into_stream(config))
            .await
            .map_err(late)??;
        net::tune_tunnel(stream.get_ref().0);
        let tunnel = attach::serve(Arc::clone(&gateway), stream, peer);
        gateway.tunnel_connections.spawn(tunnel);
    } else if offers(ALPN_ENROL) {
        let config = gateway.tunnel_tls.enrol();
        let stream = timeout_at(deadline, hello.into_stream(config))
            .await
            .map_err(late)??;
        gateway.enrol(stream, peer).await;
    } else {
        let config = Arc::clone(&gateway.people_tls);
        let stream = timeout_at(deadline, hello.into_stream(config))
            .await
            .map_err(late)??;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        connection::serve(gateway, stream, Transport::tls(peer, h2)).await;
    }
    Ok(())
}
