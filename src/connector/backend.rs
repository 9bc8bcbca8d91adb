//! One request to one application: connection, deadline, answer, and another attempt where one is
//! allowed.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::again::Kept;
use super::fault::{self, BackendError, Fate, Lost};
use super::http2::{to_http2, without_excess};
use super::informational::Informational;
use super::pinned::{Client, Turn};
use super::pool::{Back, Connection, Key, Place, Pool, Return, Target, keep_for};
use super::reach::{Fresh, Reach};
use super::shared::{Shared, Slot};
use super::trust::BackendTrust;
use super::upload::{Upload, UploadGuard, within};
use crate::config::ConnectorConfig;
use crate::http::{Body, carries_connection_authentication};
use crate::model::{BackendProtocol, ErrorCode, Proxy};
use crate::tunnel::Profile;

/// Connections tried for one request.
const TRIES: usize = 3;

/// Reaches applications.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) reach: ArcSwap<Reach>,
    /// Idle HTTP/1.1 connections.
    pool: Arc<Pool>,
    /// HTTP/2 connections.
    shared: Arc<Shared>,
    /// The configuration that was read last was refused.
    pub(super) is_behind: AtomicBool,
}

/// One request's way to an application.
struct Errand<'a> {
    target: &'a Target,
    profile: &'a Profile,
    /// What is spoken, if the application does so.
    wanted: BackendProtocol,
    /// Its connection belongs to one person: used for nothing before and nothing after.
    personal: bool,
    /// Its connection belongs to one client connection, whose turn it is.
    turn: Option<Turn>,
}

/// A connection that can take a request.
enum Ready {
    Http1(Connection),
    Http2(Slot),
}

impl Backend {
    /// Has to be called on a runtime: old connections are closed there in time.
    pub(super) fn new(config: &ConnectorConfig, proxy: Option<Proxy>, trust: BackendTrust) -> Self {
        Self {
            reach: ArcSwap::from_pointee(Reach::new(1, config, proxy, trust)),
            pool: Pool::new(),
            shared: Shared::new(),
            is_behind: AtomicBool::new(false),
        }
    }

    /// Idle connections that wait for the next request.
    pub(super) fn idle_connections(&self) -> usize {
        self.pool.len() + self.shared.idle()
    }

    /// Sends a request and waits for the head of its answer; the body streams after it.
    ///
    /// A connection that was used before may have died while it waited. Where it was lost before a
    /// single octet of the answer, the request is sent once more on a fresh one if it is idempotent
    /// and without a body. A request that was handed back unsent, or that the application says it
    /// has not looked at, is sent again whatever it is, unless its body has begun.
    ///
    /// Where a client connection has a connection of its own, the fresh one is signed in by nobody:
    /// the application answers as it would to a browser whose connection was lost. What carries a
    /// step of NTLM or Negotiate is not sent again once it may have been read, since the step before
    /// it was taken elsewhere.
    pub(super) async fn send(
        &self,
        target: &Target,
        profile: &Profile,
        client: Option<Client<'_>>,
        request: Request<Body>,
    ) -> Result<Response<Body>, BackendError> {
        let personal = carries_connection_authentication(request.headers(), &AUTHORIZATION);
        let mut errand = Errand {
            target,
            profile,
            // NTLM and Negotiate sign in connections, which HTTP/2 shares.
            wanted: if personal || client.is_some() {
                BackendProtocol::Http1
            } else {
                profile.protocol()
            },
            personal,
            turn: match client {
                Some(client) => Some(client.turn(target, profile).await?),
                None => None,
            },
        };
        let (mut next, mut used_may_do, mut tries) = (request, true, 0);
        loop {
            tries += 1;
            let ready = self.ready(&errand, used_may_do).await?;
            let (outcome, kept, used) = match ready {
                Ready::Http1(connection) => {
                    let used = connection.proven;
                    let repeats = used && !personal;
                    let kept = repeats.then(|| Kept::harmless(&next)).flatten();
                    let outcome = self.over_http1(&mut errand, connection, next).await;
                    (outcome, kept, used)
                }
                Ready::Http2(slot) => {
                    let used = slot.is_proven();
                    let (kept, request) = Kept::new(next);
                    let outcome = self.over_http2(&errand, slot, request).await;
                    (outcome, Some(kept), used)
                }
            };
            let Lost { error, fate } = match outcome {
                Ok(response) => return Ok(response),
                Err(lost) => lost,
            };
            let again = match fate {
                Fate::Unsent(request) => Some(*request),
                Fate::Unprocessed => kept.and_then(Kept::again),
                Fate::WantsHttp1 if errand.wanted == BackendProtocol::Http2 => {
                    errand.wanted = BackendProtocol::Http1;
                    kept.and_then(Kept::again)
                }
                Fate::Silent if used && used_may_do => kept.and_then(Kept::again_if_harmless),
                Fate::Silent | Fate::WantsHttp1 | Fate::Final => None,
            };
            match again {
                Some(again) if tries < TRIES => next = again,
                _ => return Err(error),
            }
            used_may_do = false;
        }
    }

    /// Opens a connection and closes it: whether the application can be reached.
    pub(super) async fn try_reach(
        &self,
        target: &Target,
        profile: &Profile,
    ) -> Result<(), BackendError> {
        let deadline = Instant::now() + profile.connect();
        let reach = self.reach();
        let connected = reach.connect(target, profile.protocol(), deadline);
        connected.await.map(drop)
    }

    /// Opens a connection on which the client and the application speak for themselves.
    pub(super) async fn open(
        &self,
        target: &Target,
        profile: &Profile,
    ) -> Result<TcpStream, BackendError> {
        let deadline = Instant::now() + profile.connect();
        self.reach().dial_for(target, deadline).await
    }

    /// A connection for a request; one of HTTP/1.1 that was used before only where that may do.
    async fn ready(&self, errand: &Errand<'_>, used_may_do: bool) -> Result<Ready, BackendError> {
        let Errand {
            target,
            profile,
            wanted,
            personal,
            ref turn,
        } = *errand;
        let deadline = Instant::now() + profile.connect();
        if let Some(turn) = turn {
            let taken = match used_may_do {
                true => turn.take(target, deadline).await,
                false => None,
            };
            return match taken {
                Some(connection) => Ok(Ready::Http1(connection)),
                None => Box::pin(self.reach().connect_http1(target, deadline))
                    .await
                    .map(Ready::Http1),
            };
        }
        let key = errand.key();
        loop {
            let http2 = wanted == BackendProtocol::Http2;
            if http2 && let Some(slot) = self.shared.take(target) {
                return Ok(Ready::Http2(slot));
            }
            let by_turns = http2 && !self.shared.speaks_http1(target);
            if !by_turns
                && used_may_do
                && !personal
                && let Some(connection) = self.pool.take(&key, deadline).await
            {
                return Ok(Ready::Http1(connection));
            }
            // Whoever waits here may find room on what another has dialled.
            let dialling;
            let turn = if by_turns {
                dialling = self.shared.dialling(target);
                let turn = timeout_at(deadline, dialling.acquire())
                    .await
                    .map_err(|_| {
                        let detail = format!("no connection to {} in time", target.endpoint);
                        BackendError::new(ErrorCode::BackendConnectTimeout, detail)
                    })?;
                if let Some(slot) = self.shared.take(target) {
                    return Ok(Ready::Http2(slot));
                }
                if self.shared.speaks_http1(target) {
                    continue;
                }
                Some(turn)
            } else {
                None
            };
            // In a box, since it is large and rare: what every request carries along is copied with it.
            match Box::pin(self.reach().connect(target, wanted, deadline)).await? {
                Fresh::Http1(connection) => {
                    if http2 {
                        self.shared.chose_http1(target);
                    }
                    return Ok(Ready::Http1(connection));
                }
                Fresh::Http2(connection) => {
                    if let Some(slot) = self.shared.put(target, connection) {
                        return Ok(Ready::Http2(slot));
                    }
                }
            }
            drop(turn);
        }
    }

    async fn over_http1(
        &self,
        errand: &mut Errand<'_>,
        mut connection: Connection,
        request: Request<Body>,
    ) -> Result<Response<Body>, Lost> {
        let profile = errand.profile;
        let mut request = request;
        // hyper takes a GET or HEAD whose length is not known for one without a body, and drops it,
        // unless the field says that there is one.
        let fields = request.headers();
        if !request.body().is_end_stream() && !fields.contains_key(CONTENT_LENGTH) {
            let chunked = HeaderValue::from_static("chunked");
            request.headers_mut().insert(TRANSFER_ENCODING, chunked);
        }
        let upload = Arc::new(Upload::new());
        let mut request = request.map(|body| body.with_guard(UploadGuard(Arc::clone(&upload))));
        let informational = Informational::of(&mut request);
        let head = connection.sender.try_send_request(request);
        let head = within(profile.first_byte(), &upload, head);
        let response = match informational.before(head).await? {
            Some(Ok(response)) => response,
            Some(Err(_)) if upload.is_broken() => return Err(Lost::broken_off()),
            Some(Err(mut error)) => {
                let request = error.take_message().map(Box::new);
                let error = error.into_error();
                let lost = Lost::new(&error, request);
                return Err(self.explain(errand.target, &connection, &error, lost));
            }
            None => return Err(errand.late(&upload)),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let detail = "the application switched protocols, which nobody asked for";
            return Err(Lost::finally(ErrorCode::BackendBadResponse, detail));
        }
        connection.proven = true;
        let personal = errand.personal
            || carries_connection_authentication(response.headers(), &WWW_AUTHENTICATE);
        // hyper would go on in the older version, which has no body of unknown length: it would drop
        // that of a later request unseen.
        let is_old = response.version() == Version::HTTP_10;
        let fields = response.headers();
        let place = match errand.turn.take() {
            Some(turn) if !is_old => Place::of_client(turn, errand.target, fields),
            None if !personal && !is_old => {
                Place::Pool(Arc::clone(&self.pool), errand.key(), keep_for(fields))
            }
            _ => Place::Nowhere,
        };
        let back = Return(Some(Back {
            connection,
            place,
            upload,
        }));
        Ok(response.map(|body| {
            let body = Body::incoming(body).with_idle(profile.idle());
            body.with_guard(back)
        }))
    }

    /// An application may have ended a fresh connection for want of a client certificate.
    pub(super) fn explain(
        &self,
        target: &Target,
        connection: &Connection,
        error: &hyper::Error,
        mut lost: Lost,
    ) -> Lost {
        let alert = fault::alert(error);
        let ended = alert.is_some() || matches!(lost.fate, Fate::Silent);
        if ended && !connection.proven {
            let asked = &connection.asked;
            let alert = alert.filter(|alert| fault::is_of_a_certificate(*alert));
            let fault = self.reach().client_certificate_fault(target, asked, alert);
            lost.error = fault.unwrap_or(lost.error);
        }
        lost
    }

    async fn over_http2(
        &self,
        errand: &Errand<'_>,
        slot: Slot,
        request: Request<Body>,
    ) -> Result<Response<Body>, Lost> {
        let Errand {
            target, profile, ..
        } = *errand;
        let mut request = request;
        to_http2(target, &mut request).map_err(|(code, why)| Lost::finally(code, why))?;
        let (slot, upload) = (Arc::new(slot), Arc::new(Upload::new()));
        let request = request.map(|body| {
            let body = body.with_trailers(without_excess);
            let body = body.with_guard(UploadGuard(Arc::clone(&upload)));
            body.with_guard(Arc::clone(&slot))
        });
        let mut sender = slot.sender();
        let head = sender.try_send_request(request);
        let response = match within(profile.first_byte(), &upload, head).await {
            Some(Ok(response)) => response,
            Some(Err(_)) if upload.is_broken() => return Err(Lost::broken_off()),
            Some(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                let mut lost = Lost::new(&error.into_error(), None);
                if unsent {
                    lost.fate = Fate::Unprocessed;
                }
                // One stream's end is not the others'; that of the connection is.
                if unsent || matches!(lost.fate, Fate::Silent) {
                    slot.retire();
                }
                return Err(lost);
            }
            None => {
                // It may be the connection that is dead and not the application that is slow.
                if !upload.is_awaited() {
                    slot.retire();
                }
                return Err(errand.late(&upload));
            }
        };
        slot.prove();
        // hyper takes a reset for the end of a body where its reason is no error.
        Ok(response.map(|body| {
            let body = Body::upload(body).with_idle(profile.idle());
            body.with_guard(slot)
        }))
    }
}

impl Errand<'_> {
    fn key(&self) -> Key {
        Key {
            target: self.target.clone(),
            wanted: self.wanted,
        }
    }

    fn late(&self, upload: &Upload) -> Lost {
        let (endpoint, waited) = (&self.target.endpoint, self.profile.first_byte());
        if upload.is_awaited() {
            let detail = format!("no more of the request came within {waited:?}");
            return Lost::finally(ErrorCode::RequestTimeout, detail);
        }
        let detail = format!("{endpoint} did not begin its answer within {waited:?}");
        Lost::finally(ErrorCode::BackendFirstByteTimeout, detail)
    }
}
