//! A TLS connection that ends at the application: its octets into the tunnel and back, as they come.
//!
//! The gateway has read the server name, and answers by it alone: it holds no key, so it sees no request,
//! signs nobody in and has no page to answer with. What keeps somebody out is a fatal alert (RFC 8446
//! section 6.2), which a client shows in words of its own; the log says the rest.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, Version};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Gateway;
use super::affinity::{Client, Wish};
use super::crowd::Seat;
use super::current::Current;
use super::exchange::Exchange;
use super::forward::{Errand, Held, NO_LABEL, Origins, put};
use super::lease::{Granted, Lease};
use super::respond::Failure;
use super::route::Match;
use super::upload::Upload;
use crate::auth::{self, Identity, Permit, ShownCertificate};
use crate::http::{self as rules, Body};
use crate::model::{Affinity, Ends, ErrorCode, Host, RequestId, Scheme};
use crate::telemetry::{AccessLine, Ended};
use crate::translate::UrlMap;
use crate::tunnel::wire;
use crate::upgrade::{self, Meter};

/// Rules of the network look at no path: there is one, so that all rules are judged alike.
const PATH: &str = "/";

/// A connection whose server name is known.
pub(super) struct Passing {
    pub(super) stream: TcpStream,
    /// What was read of it, which is the application's to answer.
    pub(super) hello: Vec<u8>,
    pub(super) host: Host,
    pub(super) found: Match,
    /// The configuration that it was found in.
    pub(super) current: Arc<Current>,
}

/// What is open between client and application.
struct Open {
    application: hyper::upgrade::OnUpgrade,
    lease: Lease,
    /// How long it may be without an octet.
    idle: Duration,
    _held: Held,
}

/// Carries a connection to its end.
pub(super) async fn serve(gateway: Arc<Gateway>, passing: Passing, ends: Ends, seat: Arc<Seat>) {
    if !seat.enters() {
        tracing::debug!(peer = %ends.source(), "no room for another connection");
        return;
    }
    let _busy = seat.takes();
    let id = gateway.ids.next();
    let client = ends.source().ip();
    let mut access = AccessLine::of_connection(id.clone(), client, &passing.host.to_string());
    access.routed(&passing.found.published.meter);
    let opened = open(&gateway, &passing, ends, &id, &mut access).await;
    let Passing {
        mut stream, hello, ..
    } = passing;
    match opened {
        Ok(opened) => carry(&gateway, stream, &hello, opened, access).await,
        Err(failure) => {
            let connector = access.connector().map(|one| one.as_str().to_owned());
            let (code, detail) = (failure.code().as_str(), failure.detail());
            if !failure.is_said() {
                tracing::warn!(request_id = %id, connector, code, detail, "connection refused");
            }
            if failure.denies() {
                super::identify::record(&failure, &access, Some(&passing.found.published));
            }
            access.failed(failure.code());
            let _ = stream.write_all(&alert(failure.code())).await;
            let _ = stream.shutdown().await;
            access.end(Ended::Cut, 0, 0);
        }
    }
}

/// A fatal alert in a record of its own, in the clear: nothing has been agreed on.
fn alert(code: ErrorCode) -> [u8; 7] {
    let description = match code {
        ErrorCode::Denied => AlertDescription::AccessDenied,
        _ => AlertDescription::InternalError,
    };
    [21, 3, 3, 0, 2, 2, u8::from(description)]
}

/// Decides, and has a connector open a connection to the application.
async fn open(
    gateway: &Arc<Gateway>,
    passing: &Passing,
    ends: Ends,
    id: &RequestId,
    access: &mut AccessLine,
) -> Result<Open, Failure> {
    let Passing {
        current,
        host,
        found,
        ..
    } = passing;
    let (published, client) = (&found.published, ends.source().ip());
    let application = &published.application;
    current.rates.admit(Client::at(client))?;
    published.rates.admit(Client::at(client))?;
    if let Some(closed) = &application.front.maintenance
        && !closed.is_open_for(client)
    {
        let why = "`maintenance` is set for all applications";
        return Err(Failure::new(ErrorCode::Maintenance, why));
    }
    let path = rules::canonical(PATH, true).map_err(|why| Failure::internal(why.to_string()))?;
    let (fields, certificate) = (HeaderMap::new(), ShownCertificate::None);
    let facts = auth::Facts {
        client,
        method: &Method::CONNECT,
        is_websocket: false,
        path,
        query: None,
        now: gateway.clock.now(),
        fields: &fields,
        certificate: &certificate,
        external: &application.external,
        host,
    };
    let permit = auth::authorise(&Identity::Anonymous, application, &facts)?;
    let port = application.external.port;
    let at = (
        Scheme::Https,
        port,
        &PATH.parse().map_err(|_| Failure::internal(PATH))?,
    );
    let whose = (Identity::Anonymous, None, None);
    let granted = Granted::new(id, &facts, at, &permit, whose, None);
    let errand = Errand {
        published,
        captured: found.captured.as_ref(),
        host,
        facts: rules::Facts {
            client,
            scheme: Scheme::Https,
            host,
            port,
            id,
        },
        id,
        ends,
        certificate: None,
        links: &current.links,
        pins: None,
    };
    let mut lease = Lease::new(gateway, current, &granted);
    tokio::select! {
        biased;
        failure = lease.ends() => Err(failure),
        opened = through_tunnel(gateway, permit, &errand, access) => {
            let (opened, held) = opened?;
            Ok(Open {
                application: opened,
                lease,
                idle: application.timeouts.idle,
                _held: held,
            })
        }
    }
}

async fn through_tunnel(
    gateway: &Gateway,
    permit: Permit,
    errand: &Errand<'_>,
    access: &mut AccessLine,
) -> Result<(hyper::upgrade::OnUpgrade, Held), Failure> {
    let application = permit.application();
    let mut map = UrlMap::new(application, errand.captured, errand.host)
        .ok_or_else(|| Failure::internal(NO_LABEL))?;
    let client = errand.facts.client;
    let load = &errand.published.load;
    let ticket = gateway.clients.admit(application, load, client)?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    let protocol = Protocol::from_static(wire::TLS_PASSTHROUGH);
    request.extensions_mut().insert(protocol);
    let fields = request.headers_mut();
    put(fields, wire::APPLICATION, application.name.as_str())?;
    put(fields, wire::REQUEST_ID, errand.id.as_str())?;
    put(fields, wire::PROFILE, errand.published.hash.as_str())?;
    if application.proxy_protocol.is_some() {
        put(fields, wire::CLIENT, &errand.ends.to_string())?;
    }
    wire::mark_sensitive(fields);
    let exchange = Exchange {
        gateway,
        application,
        errand,
        upload: Upload::default(),
        is_websocket: true,
        origins: Origins::of(&HeaderMap::new()),
        wish: match application.affinity {
            Some(Affinity::Address) => Wish::Address(Client::at(client)),
            _ => Wish::Anybody,
        },
    };
    let answered = exchange.run(access, &mut map, request).await?;
    let mut response = answered.response;
    access.returned(wire::take_timing(response.headers_mut()));
    if let Some((code, detail)) = wire::take_error(response.headers_mut()) {
        return Err(Failure::new(code, detail));
    }
    if response.status() != StatusCode::OK {
        let detail = format!("the connector answered {}", response.status());
        return Err(Failure::new(ErrorCode::TunnelLost, detail));
    }
    let held = Held::new(answered.hold, ticket);
    Ok((hyper::upgrade::on(&mut response), held))
}

/// Both ways, until both have ended or nothing lets it in any more.
async fn carry(
    gateway: &Gateway,
    stream: TcpStream,
    hello: &[u8],
    open: Open,
    mut access: AccessLine,
) {
    let Open {
        application,
        mut lease,
        idle,
        _held,
    } = open;
    let meter = Arc::new(Meter::default());
    let carried = async {
        let mut application = TokioIo::new(application.await.map_err(std::io::Error::other)?);
        application.write_all(hello).await?;
        upgrade::carry(stream, application, idle, &meter).await
    };
    let ended = tokio::select! {
        carried = carried => match carried {
            Ok(()) => Ended::Complete,
            Err(error) if hangs_up(error.kind()) => Ended::Complete,
            Err(error) => {
                if error.kind() == ErrorKind::TimedOut && error.raw_os_error().is_none() {
                    access.failed(ErrorCode::BackendIdleTimeout);
                }
                Ended::Cut
            }
        },
        // What is in flight ends by itself, or with the gateway.
        () = gateway.drain.is_over() => Ended::Cut,
        failure = lease.ends() => {
            access.failed(failure.code());
            Ended::Cut
        }
    };
    let received = meter.to_application() + hello.len() as u64;
    access.end(ended, received, meter.to_client());
}

/// Whether one of the two has ended it, in whatever way: what was in it was theirs, so nobody here knows
/// whether it was whole.
const fn hangs_up(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_a_record_that_clients_understand() {
        // RFC 8446 sections 5.1 and 6: type 21, any version, two octets, fatal, and what it is.
        assert_eq!(alert(ErrorCode::Denied), [21, 3, 3, 0, 2, 2, 49]);
        assert_eq!(alert(ErrorCode::NoConnector), [21, 3, 3, 0, 2, 2, 80]);
    }
}
