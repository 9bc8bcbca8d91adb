//! What is decided of a request for an application before it is asked whose it is.

use std::net::IpAddr;

use http::{Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::affinity::Client;
use super::front;
use super::published::Published;
use super::respond::Failure;
use super::upload;
use crate::auth::{Identity, InUse};
use crate::http::Body;
use crate::model::{Application, ErrorCode, RequestId};

/// What the gateway says by itself for an application, and what it takes of anybody.
pub(super) fn before(
    published: &Published,
    client: IpAddr,
    path: &str,
    request: &Request<Incoming>,
    id: &RequestId,
) -> Result<Option<Response<Body>>, Failure> {
    check_version(&published.application, request.version())?;
    let own = front::before(published, client, path, request, id)?;
    if own.is_none() {
        admit(published, client, request)?;
    }
    Ok(own)
}

/// Holds a request to what its application takes of anybody.
fn admit(
    published: &Published,
    client: IpAddr,
    request: &Request<Incoming>,
) -> Result<(), Failure> {
    published.rates.admit(Client::at(client))?;
    // One that does not say its length is measured on its way.
    let length = request.body().size_hint().exact();
    let limits = &published.application.limits;
    if limits
        .body
        .zip(length)
        .is_some_and(|(most, length)| length > most)
    {
        return Err(upload::too_large());
    }
    Ok(())
}

/// A place among the requests of whoever is signed in.
pub(super) fn place_of(identity: &Identity, most: u32) -> Result<Option<InUse>, Failure> {
    let Some(session) = identity.session() else {
        return Ok(None);
    };
    let full = || {
        let detail = "its session has as many requests in tunnels as it may";
        Failure::new(ErrorCode::Throttled, detail).said()
    };
    session.request(most).ok_or_else(full).map(Some)
}

/// A browser that uses one connection for several hosts opens another one for what signs connections
/// in.
fn check_version(application: &Application, version: Version) -> Result<(), Failure> {
    if application.connection_authentication && version == Version::HTTP_2 {
        let detail = "the application signs connections in, and HTTP/2 shares one";
        return Err(Failure::new(ErrorCode::Misdirected, detail));
    }
    Ok(())
}
