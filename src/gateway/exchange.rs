//! A request and its answer through a tunnel: the choice of it and of an internal URL, the deadline,
//! and another attempt where one is allowed.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use tokio::time::{Instant, sleep, timeout_at};

use super::Gateway;
use super::affinity::{Mark, Wish};
use super::choice::{Hold, Lease, Nobody, Tried, Wanted};
use super::forward::{Errand, Origins, aim};
use super::health::Ways;
use super::probing::tell;
use super::published::Published;
use super::respond::Failure;
use super::tunnels::Tunnel;
use super::upload::Upload;
use crate::http::{Body, with_causes};
use crate::model::{Application, ErrorCode, Side};
use crate::telemetry::AccessLine;
use crate::telemetry::metrics::RETRIES;
use crate::translate::UrlMap;
use crate::tunnel::retry::{self, Attempt};
use crate::tunnel::wire;

/// Tunnels tried for one request.
const TRIES: usize = 3;

/// What a connector may take on top of the application's own time before its silence is a fault of
/// its own.
const GRACE: Duration = Duration::from_secs(5);

/// One request on its way.
pub(super) struct Exchange<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) application: &'a Application,
    pub(super) errand: &'a Errand<'a>,
    pub(super) upload: Upload,
    pub(super) is_websocket: bool,
    pub(super) origins: Origins,
    /// Whom the request should go to.
    pub(super) wish: Wish,
}

/// An answer, and what was found on the way to it.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// The place that it takes as long as it lasts; none where the connector has no answer of the
    /// application.
    pub(super) hold: Option<Hold>,
    /// Who gave it.
    pub(super) mark: Mark,
    /// Which internal URL it came from.
    pub(super) url: usize,
}

impl Answered {
    fn by(ways: &Ways, url: usize, response: Response<Incoming>, hold: Option<Hold>) -> Self {
        Self {
            response,
            hold,
            mark: ways.to(url).mark,
            url,
        }
    }
}

/// Why an attempt gave no answer.
enum Unanswered {
    /// With the request itself where it was handed back.
    NotProcessed(Option<Box<Request<Body>>>, String),
    /// With its tunnel, or for itself where that is alive.
    Lost { why: String, alive: bool },
}

impl Exchange<'_> {
    /// Sends the request, again where that is allowed, and gives its answer. `map` knows from then
    /// on which internal URL gave it.
    pub(super) async fn run(
        &self,
        access: &mut AccessLine,
        map: &mut UrlMap<'_>,
        request: Request<Body>,
    ) -> Result<Answered, Failure> {
        let method = match self.is_websocket {
            true => Method::GET,
            false => request.method().clone(),
        };
        let mut copies = Copies::of(request);
        let (mut tried, mut deaths) = (Vec::new(), 0);
        let mut lease = self.first(copies.kept.is_some()).await?;
        loop {
            let Lease {
                tunnel,
                url,
                ways,
                hold,
            } = lease;
            access.forwarded(&tunnel.connector);
            self.errand
                .published
                .failover
                .served_by(self.application, &tunnel.group);
            let mut request = copies.take()?;
            map.choose(url);
            let pins = self.errand.pins;
            let connection = pins
                .map(|pins| pins.hold(&self.application.name, &tunnel, url))
                .transpose()?;
            let origins = (!tried.is_empty()).then_some(&self.origins);
            aim(&mut request, map, origins, connection.as_deref())?;
            let began = Instant::now();
            let (outcome, why, answer) = match self.attempt(&tunnel, request).await {
                Ok(response) => match failure_of(&response) {
                    Some(code) if retry::never_reached(code) => {
                        self.failed(&tunnel, &ways, url, code.as_str());
                        (Attempt::Failed(code), code.to_string(), Some(response))
                    }
                    code => {
                        self.answered(&tunnel, &ways, url, began.elapsed(), code);
                        count_retry(&tried, "answered");
                        return Ok(Answered::by(&ways, url, response, Some(hold)));
                    }
                },
                Err(Unanswered::NotProcessed(request, why)) => {
                    copies.next = request.map(|request| *request);
                    (Attempt::NotProcessed, why, None)
                }
                Err(Unanswered::Lost { why, alive }) => {
                    self.upload.whole()?;
                    deaths += 1;
                    // One tunnel that is lost is one failure, however many it carried.
                    if alive || tunnel.is_first_loss() {
                        self.failed(&tunnel, &ways, url, &why);
                    }
                    (Attempt::Lost, why, None)
                }
            };
            count_retry(&tried, "failed");
            // Its place is not its own any more when it asks for another.
            drop(hold);
            tried.push(Tried {
                tunnel: Arc::clone(&tunnel),
                url,
                unreached: matches!(outcome, Attempt::Failed(_)),
            });
            let may =
                tried.len() < TRIES && retry::may_repeat(outcome, &method, copies.body(), deaths);
            let other = may.then(|| self.choose(&tried, false).ok()).flatten();
            match (other, answer) {
                (Some(other), _) => {
                    tracing::info!(
                        request_id = %self.errand.id,
                        from = ?tunnel,
                        to = ?other.tunnel,
                        why,
                        "request sent again"
                    );
                    lease = other;
                }
                (None, Some(response)) => return Ok(Answered::by(&ways, url, response, None)),
                (None, None) => return Err(Failure::new(ErrorCode::TunnelLost, why)),
            }
        }
    }

    async fn attempt(
        &self,
        tunnel: &Arc<Tunnel>,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let Published { profile, hash, .. } = self.errand.published;
        // A connector that takes no more messages is as good as gone.
        if let Err(stuck) = tunnel.tell(hash, profile) {
            let why = format!("{tunnel:?}: {stuck}");
            return Err(Unanswered::NotProcessed(Some(Box::new(request)), why));
        }
        let timeouts = &self.application.timeouts;
        let patience = timeouts.connect + timeouts.first_byte + GRACE;
        let overdue = async {
            self.upload.done().await;
            // From now on it is the connector's turn.
            let _waiting = tunnel.begin();
            sleep(patience).await;
        };
        let mut requests = tunnel.requests();
        let sent = requests.try_send_request(request);
        let answer = tokio::select! {
            answer = sent => answer,
            () = overdue => {
                let why = format!("{tunnel:?} has not answered within {patience:?}, though it is alive");
                return Err(Unanswered::Lost { why, alive: true });
            }
        };
        match answer {
            Ok(response) => {
                tunnel.heard();
                Ok(response)
            }
            Err(mut error) => {
                let request = error.take_message().map(Box::new);
                let error = error.into_error();
                let why = format!("{tunnel:?} was lost: {}", with_causes(&error));
                if request.is_some() || retry::is_not_processed(&error) {
                    return Err(Unanswered::NotProcessed(request, why));
                }
                Err(Unanswered::Lost { why, alive: false })
            }
        }
    }

    fn choose(&self, tried: &[Tried], may_try: bool) -> Result<Lease, Nobody> {
        let pins = self.errand.pins;
        let pinned = pins.and_then(|pins| pins.of(&self.application.name));
        self.gateway.tunnels.choose(&Wanted {
            pinned: pinned.as_ref(),
            application: self.application,
            load: &self.errand.published.load,
            tried,
            may_try,
            wish: self.wish,
        })
    }

    /// A tunnel for the first attempt. In a gateway's first seconds its connectors are still on
    /// their way back, and a request of theirs waits for one of them.
    async fn first(&self, may_try: bool) -> Result<Lease, Failure> {
        let mut chosen = self.choose(&[], may_try);
        let groups = self.application.connectors.groups();
        if matches!(chosen, Err(Nobody::NoConnector | Nobody::TooOld))
            && let Some((until, _waits)) = self.gateway.returning.wait_for(groups)
        {
            loop {
                // Begun before the look, so that none falls between the two.
                let another = self.gateway.tunnels.another();
                chosen = self.choose(&[], may_try);
                let waits = matches!(chosen, Err(Nobody::NoConnector | Nobody::TooOld));
                if !waits || timeout_at(until, another).await.is_err() {
                    break;
                }
            }
        }
        chosen.map_err(|nobody| self.nobody(nobody))
    }

    fn nobody(&self, nobody: Nobody) -> Failure {
        let groups = self.application.connectors.groups();
        let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
        let groups = groups.join(", ");
        let (code, detail) = match nobody {
            Nobody::NoConnector => (
                ErrorCode::NoConnector,
                "no connector of the groups is connected",
            ),
            Nobody::TooOld => (
                ErrorCode::NoConnector,
                "the connectors of the groups are too old for `proxy_protocol`, \
                 `connection_authentication` or `mode: tls_passthrough` of the application, upgrade them",
            ),
            Nobody::AllFull => (
                ErrorCode::TunnelBusy,
                "every tunnel of the groups carries as many requests as it may",
            ),
            Nobody::HasItsShare => return self.errand.published.load.refuse(),
        };
        Failure::new(code, format!("{detail}: {groups}"))
    }

    fn answered(
        &self,
        tunnel: &Tunnel,
        ways: &Ways,
        url: usize,
        took: Duration,
        code: Option<ErrorCode>,
    ) {
        let (now, health) = (Instant::now(), &ways.to(url).health);
        // Only an answer of the application itself says that it was reached.
        let Some(code) = code else {
            let changed = health.answered(took, now);
            return tell(self.application, tunnel, ways, url, changed, "");
        };
        // A connector that fails fast must not attract everything. That is no reason to eject it:
        // one visitor's request that makes the application break would do so for everybody.
        let patience = match code.side() {
            Side::Client => Duration::ZERO,
            _ => self.application.timeouts.connect,
        };
        health.observed(took.max(patience), now);
    }

    fn failed(&self, tunnel: &Tunnel, ways: &Ways, url: usize, why: &str) {
        let patience = self.application.timeouts.connect;
        let changed = ways.to(url).health.failed(patience, Instant::now());
        tell(self.application, tunnel, ways, url, changed, why);
    }
}

fn count_retry(tried: &[Tried], outcome: &'static str) {
    if !tried.is_empty() {
        RETRIES.count(&[outcome]);
    }
}

/// What is left of a request to send.
struct Copies {
    /// The request itself, until it is sent; again where it was handed back.
    next: Option<Request<Body>>,
    /// One without a body can be made again.
    kept: Option<Request<Body>>,
}

impl Copies {
    fn of(request: Request<Body>) -> Self {
        Self {
            kept: request.body().is_end_stream().then(|| again(&request)),
            next: Some(request),
        }
    }

    fn take(&mut self) -> Result<Request<Body>, Failure> {
        let request = self.next.take();
        let request = request.or_else(|| self.kept.as_ref().map(again));
        request.ok_or_else(|| Failure::internal("a request that is gone was to be sent again"))
    }

    fn body(&self) -> retry::Body {
        match (&self.kept, &self.next) {
            (Some(_), _) => retry::Body::None,
            (None, Some(_)) => retry::Body::Whole,
            (None, None) => retry::Body::Begun,
        }
    }
}

/// Why there is no answer of the application, where the connector says so.
fn failure_of(answer: &Response<Incoming>) -> Option<ErrorCode> {
    let word = answer.headers().get(wire::ERROR)?;
    let code = word.to_str().ok().and_then(ErrorCode::from_word);
    Some(code.unwrap_or(ErrorCode::TunnelLost))
}

/// The same request once more; it has no body.
pub(super) fn again(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    if let Some(protocol) = request.extensions().get::<Protocol>() {
        copy.extensions_mut().insert(protocol.clone());
    }
    copy
}
