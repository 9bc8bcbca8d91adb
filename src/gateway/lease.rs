//! Whether what let a request in still does: asked again with each new configuration for as long as
//! its answer lasts.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::OptionFuture;
use http::Method;
use http::uri::PathAndQuery;
use tokio::time::sleep;

use super::Gateway;
use super::client_tls::{ClientTls, shown_to};
use super::current::Current;
use super::respond::Failure;
use super::route::{Found, RouteTable};
use super::sign_in::look_again;
use crate::auth::{self, Circumstances, Identity, InUse, Permit, ShownCertificate};
use crate::clock::Timestamp;
use crate::http::{self as rules, BodyError};
use crate::model::{Application, ApplicationName, ErrorCode, Host, Mode, RequestId, Scheme};
use crate::telemetry::audit::{Actor, Record};

/// How long a session's end is believed to be as far away as it was.
const LOOK: Duration = Duration::from_secs(60);

/// The rules' times of the day are whole minutes.
const fn next_minute(now: Timestamp) -> Timestamp {
    Timestamp((now.0.div_euclid(60) + 1) * 60)
}

/// A request that was let in under one configuration, and goes on under others.
pub(super) struct Lease {
    gateway: Arc<Gateway>,
    /// The configuration that was asked last.
    current: Arc<Current>,
    granted: Arc<Granted>,
    /// When it is judged again though nothing else has changed: rules go by the clock.
    look_at: Option<Timestamp>,
    /// Completes when it is to be asked again; made where somebody waits.
    next: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What was let in, and by what.
#[derive(Debug)]
pub(super) struct Granted {
    id: RequestId,
    client: IpAddr,
    scheme: Scheme,
    host: Host,
    port: u16,
    path: PathAndQuery,
    application: ApplicationName,
    mode: Mode,
    identity: Identity,
    /// Who that is, as the log is to say it.
    said_of: Option<Arc<str>>,
    /// As rules look at it.
    method: Method,
    /// The TLS of its connection, where its client was asked for a certificate.
    client_tls: Option<Arc<ClientTls>>,
    /// Its place among the requests of its session.
    _in_use: Option<InUse>,
    /// When it is judged again by the clock, where rules of its application go by that.
    look_at: Option<Timestamp>,
    /// The log was told that it is cut.
    is_said: AtomicBool,
}

impl Granted {
    /// What `permit` lets in; a request's scheme, port, and path with its query are `at`.
    pub(super) fn new(
        id: &RequestId,
        facts: &auth::Facts<'_>,
        at: (Scheme, u16, &PathAndQuery),
        permit: &Permit,
        (identity, said_of, in_use): (Identity, Option<Arc<str>>, Option<InUse>),
        client_tls: Option<&Arc<ClientTls>>,
    ) -> Arc<Self> {
        let (scheme, port, path) = at;
        Arc::new(Self {
            _in_use: in_use,
            id: id.clone(),
            client: facts.client,
            scheme,
            host: facts.host.clone(),
            port,
            path: path.clone(),
            look_at: goes_by_clock(permit.application()).then(|| next_minute(facts.now)),
            client_tls: client_tls.cloned(),
            application: permit.application().name.clone(),
            mode: permit.application().mode,
            identity,
            said_of,
            method: facts.circumstances().method.clone(),
            is_said: AtomicBool::new(false),
        })
    }

    /// Whether time alone may change the answer of the next question.
    ///
    /// # Errors
    /// With what a request like it would be answered by this table.
    fn holds(&self, current: &Current, now: Timestamp) -> Result<bool, ErrorCode> {
        let client = self.client_tls.as_deref();
        let shown = |application: &Application| shown_to(application, client, current, now);
        self.holds_in(&current.table, now, shown)
    }

    fn holds_in(
        &self,
        table: &RouteTable,
        now: Timestamp,
        shown: impl Fn(&Application) -> ShownCertificate,
    ) -> Result<bool, ErrorCode> {
        let candidates = table.host(&self.host).ok_or(ErrorCode::NoRoute)?;
        let path = rules::canonical(self.path.path(), candidates.path_sensitive());
        let path = path.map_err(|_| ErrorCode::NoRoute)?;
        match candidates.find(self.scheme, self.port, path.as_str()) {
            Found::Application(found)
                if found.published.application.name == self.application
                    && found.published.application.mode == self.mode =>
            {
                let application = &found.published.application;
                let shown = shown(application);
                if matches!(self.identity, Identity::Certificate(_)) && shown.verified().is_none() {
                    return Err(ErrorCode::CertificateRequired);
                }
                let request = Circumstances {
                    certificate: shown.verified().map(|one| &**one),
                    client: self.client,
                    method: &self.method,
                    path,
                    now,
                };
                if !auth::still_allows(&self.identity, application, request) {
                    return Err(ErrorCode::Denied);
                }
                match &application.front.maintenance {
                    Some(closed) if !closed.is_open_for(self.client) => Err(ErrorCode::Maintenance),
                    _ => Ok(goes_by_clock(application)),
                }
            }
            // Another application has its place; nobody was let in to that.
            _ => Err(ErrorCode::NoRoute),
        }
    }
}

/// Whether time alone may change what the rules of an application say: certificates end as well.
fn goes_by_clock(application: &Application) -> bool {
    let mut guards = application.guards();
    application.client_certificates.is_some() || guards.any(|guard| guard.access.needs_time())
}

/// What a WebSocket is closed with, in words.
pub(super) const fn told(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::SignInRequired => "signed out",
        ErrorCode::TokenRequired => "the token has ended",
        ErrorCode::CertificateRequired => "the certificate has ended",
        ErrorCode::Denied => "no longer allowed",
        _ => "no longer published",
    }
}

impl Lease {
    /// Of what was let in under `current`.
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        current: &Arc<Current>,
        granted: &Arc<Granted>,
    ) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            current: Arc::clone(current),
            granted: Arc::clone(granted),
            look_at: granted.look_at,
            next: None,
        }
    }

    /// Whether rules that go by the clock may say something else by now.
    fn is_due(&self) -> bool {
        let now = self.gateway.clock.now();
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Waits until nothing lets it in any more.
    pub(super) async fn ends(&mut self) -> Failure {
        loop {
            self.next().await;
            if let Err(code) = self.renew() {
                return Failure::new(code, "nothing lets it in any more");
            }
        }
    }

    /// Completes when it has to be asked again: with the next configuration, when the session is
    /// revoked, when the provider says something new, and when it would end.
    fn next(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let superseded = self.current.superseded.clone();
        let now = self.gateway.clock.now();
        let until = |at: Timestamp| {
            let left = at.0.saturating_sub(now.0);
            Duration::from_secs(u64::try_from(left).unwrap_or_default()).min(LOOK)
        };
        let by_clock = self.look_at.map(until);
        let identity = &self.granted.identity;
        // Clocks are set, and machines sleep: it is looked again in between.
        let left = identity.ends().map(until).into_iter().chain(by_clock).min();
        let Some(left) = left else {
            return Box::pin(superseded.cancelled_owned());
        };
        let revoked = identity.revoked().cloned().unwrap_or_default();
        let news = identity
            .session()
            .map(|session| session.says_something_new());
        let news = OptionFuture::from(news);
        Box::pin(async move {
            tokio::select! {
                () = superseded.cancelled() => {}
                () = revoked.cancelled() => {}
                Some(()) = news => {}
                () = sleep(left) => {}
            }
        })
    }

    /// Whether the session or the token, if it goes by one, has ended. A session that is used is not
    /// idle: its end moves on.
    fn has_ended(&self) -> bool {
        let identity = &self.granted.identity;
        let now = self.gateway.clock.now();
        let revoked = identity.revoked();
        revoked.is_some_and(|revoked| revoked.is_cancelled())
            || identity.ends().is_some_and(|ends| ends <= now)
    }

    /// Asks the rules in force.
    fn holds(&mut self) -> Result<(), ErrorCode> {
        let now = self.gateway.clock.now();
        let by_clock = self.granted.holds(&self.current, now)?;
        self.look_at = by_clock.then(|| next_minute(now));
        Ok(())
    }

    /// Asks the configuration in force, and the session.
    fn renew(&mut self) -> Result<(), ErrorCode> {
        self.next = None;
        self.current = self.gateway.current();
        look_again(
            &self.gateway,
            self.current.desk.as_ref(),
            &self.granted.identity,
        );
        let identity = &self.granted.identity;
        let holds = if self.has_ended() || !self.current.vouches_for(identity) {
            Err(match identity {
                Identity::Session(_) => ErrorCode::SignInRequired,
                Identity::Certificate(_) => ErrorCode::CertificateRequired,
                _ => ErrorCode::TokenRequired,
            })
        } else {
            self.holds()
        };
        if let Err(code) = holds
            && !self.granted.is_said.swap(true, Ordering::Relaxed)
        {
            let Granted {
                id, application, ..
            } = &*self.granted;
            let why = match code {
                ErrorCode::SignInRequired => "its session has ended",
                ErrorCode::TokenRequired => "its token has ended",
                ErrorCode::CertificateRequired => "its certificate does not count any more",
                _ => "the rules do not let it in any more",
            };
            tracing::info!(request_id = %id, %application, %code, "cut: {why}");
            let who = self.granted.said_of.as_deref();
            Record::new("cut", who.map_or(Actor::Nobody, Actor::Known))
                .failed()
                .client(self.granted.client)
                .reference(id)
                .with("application", application.as_str())
                .with("path", self.granted.path.path())
                .with("code", code.as_str())
                .with("cause", why)
                .write();
        }
        holds
    }
}

impl rules::Lease for Lease {
    fn poll_over(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<BodyError> {
        loop {
            if !waits && self.next.is_none() {
                // One that is never waited for looks by itself.
                let is_current = Arc::ptr_eq(&self.current, &self.gateway.current.load());
                if is_current && !self.has_ended() && !self.is_due() {
                    return Poll::Pending;
                }
            } else {
                let mut next = match self.next.take() {
                    Some(next) => next,
                    None => self.next(),
                };
                if next.as_mut().poll(cx).is_pending() {
                    self.next = Some(next);
                    return Poll::Pending;
                }
            }
            if self.renew().is_err() {
                return Poll::Ready("nothing lets it in any more".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::tests::application;
    use super::*;
    use crate::model::Maintenance;

    #[test]
    fn what_was_let_in_is_judged_as_a_new_request_would_be() {
        let wiki = || application("wiki", "https://w.example.com/", "http://wiki.corp/");
        let admin = || application("admin", "https://w.example.com/admin/", "http://a.corp/");
        let closed = || {
            let mut closed = (*wiki()).clone();
            closed.guard.pre_authentication = Vec::new();
            Arc::new(closed)
        };
        let maintained = |allow: &str| {
            let mut closed = (*wiki()).clone();
            closed.front.maintenance = Some(Arc::new(Maintenance {
                allow: vec![allow.parse().unwrap()],
                ..Maintenance::default()
            }));
            Arc::new(closed)
        };
        let granted = |path: &'static str| Granted {
            id: RequestId::from_random([1; 8]),
            client: [192, 0, 2, 7].into(),
            is_said: AtomicBool::new(false),
            scheme: Scheme::Https,
            host: Host::parse("w.example.com").unwrap(),
            port: 443,
            path: PathAndQuery::from_static(path),
            application: wiki().name.clone(),
            mode: Mode::Http,
            identity: Identity::Anonymous,
            said_of: None,
            method: Method::GET,
            client_tls: None,
            look_at: None,
            _in_use: None,
        };
        let moved = application("wiki", "https://x.example.com/", "http://wiki.corp/");
        let elsewhere = application("wiki", "https://w.example.com/", "http://other.corp/");
        let renamed = application("wick", "https://w.example.com/", "http://wiki.corp/");
        for (applications, path, expected) in [
            (vec![wiki()], "/a?b", Ok(())),
            // It goes on where it is; new requests go elsewhere.
            (vec![elsewhere], "/", Ok(())),
            (vec![wiki(), admin()], "/x", Ok(())),
            (vec![wiki(), admin()], "/admin/x", Err(ErrorCode::NoRoute)),
            (vec![closed()], "/", Err(ErrorCode::Denied)),
            (vec![maintained("192.0.2.0/24")], "/", Ok(())),
            (
                vec![maintained("192.0.3.0/24")],
                "/",
                Err(ErrorCode::Maintenance),
            ),
            (vec![moved], "/", Err(ErrorCode::NoRoute)),
            (vec![renamed], "/", Err(ErrorCode::NoRoute)),
            (vec![], "/", Err(ErrorCode::NoRoute)),
        ] {
            let table = RouteTable::after(None, &applications);
            let holds = granted(path).holds_in(&table, Timestamp(0), |_| ShownCertificate::None);
            assert_eq!(holds.map(drop), expected, "{path}");
        }
    }
}
