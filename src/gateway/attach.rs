//! A connector's connection from its handshake to its end: checked against the store, greeted,
//! taken into service, cut when the connector is removed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Uri};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::tunnels::{NewTunnel, Tunnel};
use super::{Gateway, lifetime, renewal};
use crate::certs::{GATEWAY_NAME, PeerConnector, Pin};
use crate::http::Body;
use crate::store::{Changed, Seen, StoreError};
use crate::telemetry::printable;
use crate::tunnel::control::{self, Down, Messages, PROTOCOL_VERSION, Up};
use crate::tunnel::{link, wire};

/// From the end of the TLS handshake to the connector's hello.
const HELLO: Duration = Duration::from_secs(5);

/// How long a connector that is cut gets to read why.
const FAREWELL: Duration = Duration::from_millis(500);

/// The longest version of a connector's program that is kept and logged.
const SOFTWARE: usize = 64;

/// Why a connection never became a tunnel, or stopped to be one.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("its certificate is not a connector's: {0}")]
    Certificate(String),
    #[error("HTTP/2 failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("it said no hello within {HELLO:?}")]
    Silent,
    #[error("its control stream failed: {0}")]
    Control(#[from] control::ControlError),
    #[error("its first message was not hello")]
    NoHello,
    #[error("it speaks version {0} of the protocol, this gateway version {PROTOCOL_VERSION}")]
    Version(u32),
    #[error("it never was enrolled at this gateway's store")]
    Unknown,
    #[error("its certificate names the group {claimed}, the store {stored}")]
    Group { claimed: String, stored: String },
    #[error("it was removed")]
    Removed,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it was drained")]
    Drained,
    #[error("its certificate counts no more")]
    Outlived,
    #[error("it closed the tunnel")]
    Closed,
    #[error("the gateway stops")]
    Stopping,
}

/// Serves one connection whose TLS handshake chose the tunnel's protocol.
pub(crate) async fn serve(gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
    let (connector, issuer) = match peer_of(&gateway, &stream) {
        Ok(both) => both,
        Err(reason) => {
            tracing::warn!(%peer, %reason, "tunnel refused");
            return;
        }
    };
    let reason = attach(&gateway, stream, peer, &connector, issuer).await;
    tracing::info!(connector = %connector.id, group = %connector.group, %peer, %reason, "tunnel closed");
}

/// Who the connector is by its certificate, and which authority says so.
fn peer_of(
    gateway: &Gateway,
    stream: &TlsStream<TcpStream>,
) -> Result<(PeerConnector, Pin), Ended> {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let leaf = certificates
        .first()
        .ok_or_else(|| Ended::Certificate("there is none".into()))?;
    let authorities = gateway.issuer.authorities();
    let issuer = authorities.issuer_of(leaf, gateway.clock.now());
    let issuer = issuer.map_err(|e| Ended::Certificate(e.to_string()))?;
    let peer =
        PeerConnector::from_certificate(leaf).map_err(|e| Ended::Certificate(e.to_string()))?;
    Ok((peer, issuer))
}

async fn attach(
    gateway: &Arc<Gateway>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    connector: &PeerConnector,
    issuer: Pin,
) -> Ended {
    let (mut requests, connection) = match link::client().handshake(TokioIo::new(stream)).await {
        Ok(both) => both,
        Err(error) => return error.into(),
    };
    let mut connection = std::pin::pin!(connection);
    let (sender, body) = control::channel();
    let opening = open_control(&mut requests, body);
    let greeting = tokio::select! {
        ended = &mut connection => return ended.map_or_else(Ended::from, |()| Ended::Closed),
        greeting = timeout(HELLO, greet(opening)) => greeting.unwrap_or(Err(Ended::Silent)),
    };
    let (mut messages, max_streams, software) = match greeting {
        Ok(greeting) => greeting,
        Err(reason) => return reason,
    };
    // While one handle is held the connection stays open, for a refusal to be read.
    let held = requests.clone();
    let cut = CancellationToken::new();
    let admitted = admit(gateway, connector, peer, &software)
        .await
        .and_then(|()| {
            let welcome = Down::Welcome {
                gateways: gateway.public.clone(),
                time: gateway.clock.now().0,
            };
            // The queue is empty, so the first message always fits.
            let _ = sender.send(&welcome);
            let new = NewTunnel {
                connector: connector.id.clone(),
                group: connector.group.clone(),
                requests,
                max_streams,
                control: sender.clone(),
                cut: cut.clone(),
            };
            gateway.tunnels.add(new).map_err(|_removed| Ended::Removed)
        });
    let tunnel = match admitted {
        Ok(tunnel) => tunnel,
        Err(reason) => {
            let _ = sender.send(&match reason {
                Ended::Removed => Down::Removed,
                _ => Down::Refused {
                    reason: reason.to_string(),
                },
            });
            drop(sender);
            // The connector hangs up once it has read why. Whatever of the control stream is
            // dropped before that resets it, and the refusal would be lost.
            let _ = timeout(FAREWELL, connection).await;
            drop((held, messages));
            return reason;
        }
    };
    drop(held);
    gateway.openings.add(&tunnel.connector);
    tell_authorities(gateway, &tunnel);
    tracing::info!(connector = %tunnel.connector, group = %tunnel.group, %peer, tunnel = tunnel.number, software, "tunnel open");
    let reason = tokio::select! {
        ended = &mut connection => ended.map_or_else(Ended::from, |()| Ended::Closed),
        reason = follow(gateway, connector, &mut messages, &tunnel) => reason,
        () = lifetime::ended(gateway, &tunnel, connector, issuer) => Ended::Outlived,
        () = tunnel.drained() => Ended::Drained,
        () = cut.cancelled() => Ended::Removed,
        () = gateway.cut_tunnels.cancelled() => Ended::Stopping,
    };
    gateway.tunnels.remove(&tunnel);
    if matches!(reason, Ended::Removed) {
        let _ = timeout(FAREWELL, connection).await;
    }
    reason
}

type Control = hyper::Response<Incoming>;

/// Opens the control stream: the first stream of the tunnel, with both bodies open.
async fn open_control(
    requests: &mut hyper::client::conn::http2::SendRequest<Body>,
    body: Body,
) -> Result<Control, hyper::Error> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    let uri = Uri::builder()
        .scheme("https")
        .authority(GATEWAY_NAME)
        .path_and_query(wire::CONTROL_PATH);
    *request.uri_mut() = uri.build().unwrap_or_default();
    requests.send_request(request).await
}

/// Reads the connector's hello.
async fn greet(
    opening: impl Future<Output = Result<Control, hyper::Error>>,
) -> Result<(Messages<Incoming>, u32, String), Ended> {
    let mut messages = Messages::new(opening.await?.into_body());
    match messages.next().await? {
        Some(Up::Hello {
            version: PROTOCOL_VERSION,
            max_streams,
            software,
            ..
        }) => Ok((messages, max_streams, printable(&software, SOFTWARE))),
        Some(Up::Hello { version, .. }) => Err(Ended::Version(version)),
        _ => Err(Ended::NoHello),
    }
}

/// The store decides whether a connector may serve, and for which group.
async fn admit(
    gateway: &Gateway,
    connector: &PeerConnector,
    peer: SocketAddr,
    software: &str,
) -> Result<(), Ended> {
    let record = gateway
        .store
        .connector(&connector.id)
        .await?
        .ok_or(Ended::Unknown)?;
    if record.removed.is_some() {
        return Err(Ended::Removed);
    }
    if record.group != connector.group {
        return Err(Ended::Group {
            claimed: connector.group.to_string(),
            stored: record.group.to_string(),
        });
    }
    let seen = Seen {
        at: gateway.clock.now(),
        address: peer.ip(),
        version: software.to_owned(),
    };
    // Who connected when is worth knowing, and no reason to refuse a connector.
    if let Err(error) = gateway.store.connector_seen(&connector.id, seen).await {
        tracing::warn!(connector = %connector.id, %error, "cannot note that the connector was seen");
    }
    Ok(())
}

/// Follows the connector's messages to the end of the control stream, which is the tunnel's end.
async fn follow(
    gateway: &Gateway,
    connector: &PeerConnector,
    messages: &mut Messages<Incoming>,
    tunnel: &Arc<Tunnel>,
) -> Ended {
    loop {
        match messages.next().await {
            Ok(Some(Up::Drain { deadline_s })) => {
                // Said again, it is not news.
                if tunnel.drain() {
                    tracing::info!(connector = %tunnel.connector, tunnel = tunnel.number, deadline_s, "tunnel draining");
                }
            }
            Ok(Some(Up::Renew { csr })) => {
                let answer = renewal::answer(gateway, connector, &csr).await;
                if tunnel.say(&answer).is_err() {
                    return Ended::Closed;
                }
            }
            Ok(Some(Up::Unregister)) => unregister(gateway, connector, tunnel).await,
            Ok(Some(Up::Hello { .. } | Up::Probed { .. } | Up::Unknown)) => {}
            Ok(None) => return Ended::Closed,
            Err(error) => return error.into(),
        }
    }
}

/// Tells a connector that has just come which authorities count: it may have been away when they
/// changed.
fn tell_authorities(gateway: &Gateway, tunnel: &Tunnel) {
    loop {
        let authorities = gateway.issuer.authorities();
        let told = Down::Authorities {
            authorities: authorities.pem(),
        };
        // One that takes no messages ends by itself.
        let said = tunnel.say(&told);
        // What was said to all in between must not be followed by what was so before.
        if said.is_err() || Arc::ptr_eq(&authorities, &gateway.issuer.authorities()) {
            return;
        }
    }
}

/// Removes a connector that asks for it, as an operator would: the change log cuts its tunnels.
async fn unregister(gateway: &Gateway, connector: &PeerConnector, tunnel: &Tunnel) {
    let removed = gateway
        .store
        .remove_connector(&connector.id, gateway.clock.now())
        .await;
    match removed {
        Ok(_) => tracing::info!(connector = %connector.id, "the connector unregistered itself"),
        Err(error) => {
            tracing::error!(connector = %connector.id, %error, "a connector cannot be unregistered");
            // Whoever cannot be told finds its tunnel lost.
            let _ = tunnel.say(&Down::Refused {
                reason: format!("it cannot be removed at the moment: {error}"),
            });
        }
    }
}

/// Cuts the tunnels of removed connectors, whoever removed them: the change log says so.
pub(crate) async fn watch_removals(gateway: Arc<Gateway>, mut after: u64) {
    let mut failing = false;
    loop {
        // The wait begins before the log is read, so that nothing falls between the two.
        let changed = gateway.store.changed();
        let changes = gateway.store.changes(after).await;
        match changes {
            Ok(changes) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the store's change log can be read again");
                }
                for change in changes {
                    after = change.number;
                    match change.what {
                        Changed::ConnectorRemoved(id) => {
                            let tunnels = gateway.tunnels.cut(&id);
                            tracing::info!(connector = %id, tunnels, "connector removed, tunnels cut");
                        }
                        Changed::Authorities => gateway.rotated.notify_one(),
                        Changed::Unknown(_) => {}
                    }
                }
                // A failure shows at the next look.
                let _ = changed.await;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the store's change log cannot be read: removals take no effect until it can");
                }
                tokio::time::sleep(FAREWELL).await;
            }
        }
    }
}
