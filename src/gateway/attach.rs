//! A connector's connection from its handshake to its end: checked against the store, greeted,
//! taken into service, cut when the connector is removed.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use governor::{Quota, RateLimiter};
use http::{Method, Request, Uri};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::ended::{Ended, HELLO};
use super::presence::Present;
use super::tunnels::{MOST_OF_ONE, NewTunnel, Tunnel};
use super::{Gateway, inspection, lifetime, probing, removal, renewal, round_trip};
use crate::certs::{GATEWAY_NAME, PeerConnector, Pin};
use crate::http::Body;
use crate::store::Seen;
use crate::telemetry::metrics::TUNNELS_REFUSED;
use crate::telemetry::printable;
use crate::tunnel::control::{self, Down, Feature, Messages, PROTOCOL_VERSION, Up};
use crate::tunnel::link::{self, Places};
use crate::tunnel::{Tied, wire};

/// How long a connector that is cut gets to read why.
const FAREWELL: Duration = Duration::from_millis(500);

/// The longest version of a connector's program that is kept and logged.
const SOFTWARE: usize = 64;

/// Requests for a certificate in a minute over one tunnel: what a connector asks for whose disk is full
/// and whose certificates live for seconds. SECURITY: each costs a signature and lines in the log.
const RENEWALS: NonZeroU32 = NonZeroU32::MIN.saturating_add(119);

/// Requests for the list of applications in a minute over one tunnel: each is many messages.
const LISTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(5);

/// Serves one connection whose TLS handshake chose the tunnel's protocol.
pub(crate) async fn serve(gateway: Arc<Gateway>, stream: TlsStream<TcpStream>, peer: SocketAddr) {
    let (connector, issuer) = match peer_of(&gateway, &stream) {
        Ok(both) => both,
        Err(reason) => {
            TUNNELS_REFUSED.count(&[reason.word()]);
            tracing::warn!(code = reason.code_of_refusal(), %peer, %reason, "tunnel refused");
            return;
        }
    };
    if let Err(reason) = attach(&gateway, stream, peer, &connector, issuer).await {
        TUNNELS_REFUSED.count(&[reason.word()]);
        say_closed(&connector, peer, &reason, Some(reason.code_of_refusal()));
    }
}

fn say_closed(
    connector: &PeerConnector,
    peer: SocketAddr,
    reason: &Ended,
    code: Option<&'static str>,
) {
    tracing::info!(connector = %connector.id, group = %connector.group, %peer, code, %reason, "tunnel closed");
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

/// An error is why it never became a tunnel.
async fn attach(
    gateway: &Arc<Gateway>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    connector: &PeerConnector,
    issuer: Pin,
) -> Result<(), Ended> {
    let end = CancellationToken::new();
    let tied = Tied::to(end.clone());
    // SECURITY: whatever way leads out of here, no stream of this connection goes on behind it.
    let end = end.drop_guard();
    let window = gateway.current().config.stream_window;
    let client = link::client(&tied, window);
    let (mut requests, connection) = client.handshake(TokioIo::new(stream)).await?;
    let mut connection = Box::pin(connection);
    let (sender, body) = control::channel();
    let opening = open_control(&mut requests, body);
    let greeting = tokio::select! {
        ended = &mut connection => return Err(ended.map_or_else(Ended::from, |()| Ended::Closed)),
        greeting = timeout(HELLO, greet(opening)) => greeting.unwrap_or(Err(Ended::Silent)),
    };
    let (mut messages, hello) = greeting?;
    // While one handle is held the connection stays open, for a refusal to be read.
    let held = requests.clone();
    let cut = CancellationToken::new();
    let seen = Seen {
        at: gateway.clock.now(),
        address: peer.ip(),
        version: hello.software.clone(),
    };
    // One without places is there to talk, and stands for no connector that serves.
    let serves = hello.max_streams > 0;
    let noted = serves.then(|| seen.clone());
    let admitted = admit(gateway, connector, hello.version, noted).await;
    let admitted = admitted.and_then(|()| {
        let _ = sender.send(&welcome(gateway));
        let new = NewTunnel {
            connector: connector.id.clone(),
            group: connector.group.clone(),
            requests,
            places: Places::new(hello.max_streams, window),
            control: sender.clone(),
            features: hello.features.clone(),
            cut: cut.clone(),
        };
        gateway.tunnels.add(new).map_err(Ended::from)
    });
    let tunnel = match admitted {
        Ok(tunnel) => tunnel,
        Err(reason) => {
            let _ = sender.send(&word_of(&reason));
            drop(sender);
            // The connector hangs up once it has read why. Whatever of the control stream is
            // dropped before that resets it, and the refusal would be lost.
            let _ = timeout(FAREWELL, tied.ended()).await;
            drop((held, messages));
            return Err(reason);
        }
    };
    drop(held);
    let present = serves.then(|| Present::enter(gateway, connector, seen));
    gateway.openings.add(&tunnel.connector);
    tell_authorities(gateway, &tunnel);
    if gateway.drain.has_begun() {
        // It came in the very moment in which all others were told.
        let _ = tunnel.say(&gateway.drain.word());
    }
    tracing::info!(connector = %tunnel.connector, group = %tunnel.group, %peer, tunnel = tunnel.number, software = hello.software, "tunnel open");
    let reason = tokio::select! {
        ended = &mut connection => ended.map_or_else(Ended::from, |()| Ended::Closed),
        reason = follow(gateway, connector, &mut messages, &tunnel) => reason,
        () = lifetime::ended(gateway, &tunnel, connector, issuer) => Ended::Outlived,
        // Never: it only measures.
        () = round_trip::measure(&tunnel) => Ended::Closed,
        () = tunnel.drained() => Ended::Drained,
        () = tunnel.is_stuck() => Ended::Stuck,
        () = cut.cancelled() => Ended::Removed,
        () = gateway.drain.is_over() => Ended::Stopping,
    };
    gateway.tunnels.remove(&tunnel);
    say_closed(connector, peer, &reason, reason.code_of_loss());
    // A connector that is removed hangs up once it has read so. In the other cases the end of the
    // control stream is the word, and what is left of streams is not worth more than a moment.
    let unread = matches!(reason, Ended::Removed).then_some((sender, messages));
    drop((tunnel, connection));
    let farewell = async {
        let _ = timeout(FAREWELL, tied.ended()).await;
        drop((end, unread));
    };
    let absent = present.map(|present| present.ended(reason.word()));
    tokio::join!(farewell, OptionFuture::from(absent));
    Ok(())
}

/// What a connector is told first. The queue is empty then, so it always fits.
fn welcome(gateway: &Gateway) -> Down {
    Down::Welcome {
        gateways: gateway.enrolment.gateways(),
        time: gateway.clock.now().0,
    }
}

/// What a connector is told that is not taken.
fn word_of(reason: &Ended) -> Down {
    match reason {
        Ended::Removed => Down::Removed,
        _ => Down::Refused {
            reason: reason.to_string(),
        },
    }
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

/// What a connector says of itself.
struct Hello {
    version: u32,
    max_streams: u32,
    software: String,
    features: Vec<Feature>,
}

/// Reads the connector's hello.
async fn greet(
    opening: impl Future<Output = Result<Control, hyper::Error>>,
) -> Result<(Messages<Incoming>, Hello), Ended> {
    let mut messages = Messages::new(opening.await?.into_body());
    match messages.next().await? {
        Some(Up::Hello {
            version,
            max_streams,
            software,
            features,
            ..
        }) => {
            let hello = Hello {
                version,
                max_streams,
                software: printable(&software, SOFTWARE),
                features,
            };
            Ok((messages, hello))
        }
        _ => Err(Ended::NoHello),
    }
}

/// Whether a connector is understood; whether it may serve, and for which group, the store decides.
async fn admit(
    gateway: &Gateway,
    connector: &PeerConnector,
    version: u32,
    seen: Option<Seen>,
) -> Result<(), Ended> {
    if version != PROTOCOL_VERSION {
        return Err(Ended::Version(version));
    }
    let record = gateway
        .store
        .connector(&connector.id)
        .await?
        .ok_or(Ended::Unknown)?;
    if record.removed.is_some() {
        return Err(Ended::Removed);
    }
    // Before the welcome: what is welcome counts as open over there.
    if gateway.tunnels.of(&connector.id) >= MOST_OF_ONE {
        return Err(Ended::TooMany);
    }
    if record.group != connector.group {
        return Err(Ended::Group {
            claimed: connector.group.to_string(),
            stored: record.group.to_string(),
        });
    }
    // Who connected when is worth knowing, and no reason to refuse a connector.
    if let Some(seen) = seen
        && let Err(error) = gateway.store.connector_seen(&connector.id, seen).await
    {
        tracing::warn!(code = "store_unavailable", connector = %connector.id, %error, "cannot note that the connector was seen");
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
    let renewals = RateLimiter::direct(Quota::per_minute(RENEWALS));
    let lists = RateLimiter::direct(Quota::per_minute(LISTS));
    loop {
        match messages.next().await {
            Ok(Some(Up::Drain { deadline_s })) => {
                // Said again, it is not news.
                if tunnel.drain() {
                    tracing::info!(connector = %tunnel.connector, tunnel = tunnel.number, deadline_s, "tunnel draining");
                }
            }
            Ok(Some(Up::Renew { csr })) => {
                if renewals.check().is_err() {
                    return Ended::Renews;
                }
                let answer = renewal::answer(gateway, connector, &csr).await;
                // One that takes no messages ends by itself.
                let _ = tunnel.say(&answer);
            }
            Ok(Some(Up::Unregister)) => removal::unregister(gateway, connector, tunnel).await,
            Ok(Some(Up::Probed {
                id,
                status,
                error,
                detail,
                ..
            })) => {
                let found = probing::Found {
                    id,
                    status,
                    error,
                    detail,
                };
                gateway.probes.found(tunnel, found);
            }
            Ok(Some(Up::Measured { id })) => tunnel.round_trip.answered(id),
            Ok(Some(Up::Inspected { id, found })) => gateway.inspections.found(tunnel, id, *found),
            Ok(Some(Up::Applications)) if lists.check().is_ok() => {
                inspection::tell_served(gateway, tunnel);
            }
            Ok(Some(Up::Hello { .. } | Up::Applications | Up::Unknown)) => {}
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
