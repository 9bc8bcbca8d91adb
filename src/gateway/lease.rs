//! Whether what let a request in still does: asked again with each new configuration for as long as
//! its answer lasts.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::Gateway;
use super::current::Current;
use super::respond::Failure;
use super::route::{Found, RouteTable};
use crate::auth::{self, Permit, Rule};
use crate::http::{self as rules, BodyError};
use crate::model::{ApplicationName, ErrorCode, Host, RequestId, Scheme};

/// A request that was let in under one configuration, and goes on under others.
pub(super) struct Lease {
    gateway: Arc<Gateway>,
    /// The configuration that was asked last.
    current: Arc<Current>,
    granted: Arc<Granted>,
    /// Completes with the next configuration; made where somebody waits.
    next: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
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
    rule: Rule,
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
    ) -> Arc<Self> {
        let (scheme, port, path) = at;
        Arc::new(Self {
            id: id.clone(),
            client: facts.client,
            scheme,
            host: facts.host.clone(),
            port,
            path: path.clone(),
            application: permit.application().name.clone(),
            rule: permit.rule().clone(),
            is_said: AtomicBool::new(false),
        })
    }

    /// # Errors
    /// With what a request like it would be answered by this table.
    fn holds(&self, table: &RouteTable) -> Result<(), ErrorCode> {
        let candidates = table.host(&self.host).ok_or(ErrorCode::NoRoute)?;
        let path = rules::canonical(self.path.path(), candidates.path_sensitive());
        let path = path.map_err(|_| ErrorCode::NoRoute)?;
        match candidates.find(self.scheme, self.port, path.as_str()) {
            Found::Application(found) if found.published.application.name == self.application => {
                let application = &found.published.application;
                if !auth::still_allows(&self.rule, application) {
                    return Err(ErrorCode::Denied);
                }
                match &application.front.maintenance {
                    Some(closed) if !closed.is_open_for(self.client) => Err(ErrorCode::Maintenance),
                    _ => Ok(()),
                }
            }
            // Another application has its place; nobody was let in to that.
            _ => Err(ErrorCode::NoRoute),
        }
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
            next: None,
        }
    }

    /// Waits until nothing lets it in any more.
    pub(super) async fn ends(&mut self) -> Failure {
        loop {
            self.current.superseded.cancelled().await;
            if let Err(code) = self.renew() {
                return Failure::new(code, "a new configuration does not let it in any more");
            }
        }
    }

    /// Asks the configuration in force.
    fn renew(&mut self) -> Result<(), ErrorCode> {
        self.next = None;
        self.current = self.gateway.current();
        let holds = self.granted.holds(&self.current.table);
        if let Err(code) = holds
            && !self.granted.is_said.swap(true, Ordering::Relaxed)
        {
            let Granted {
                id, application, ..
            } = &*self.granted;
            tracing::info!(request_id = %id, %application, %code, "cut: a new configuration does not let it in any more");
        }
        holds
    }
}

impl rules::Lease for Lease {
    fn poll_over(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<BodyError> {
        loop {
            if !waits && self.next.is_none() {
                // One that is never waited for looks by itself.
                if Arc::ptr_eq(&self.current, &self.gateway.current.load()) {
                    return Poll::Pending;
                }
            } else {
                let superseded = &self.current.superseded;
                let next = self
                    .next
                    .get_or_insert_with(|| Box::pin(superseded.clone().cancelled_owned()));
                if next.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            if self.renew().is_err() {
                return Poll::Ready("a new configuration does not let it in any more".into());
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
            closed.pre_authentication = Vec::new();
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
            rule: Rule::Passthrough,
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
            assert_eq!(granted(path).holds(&table), expected, "{path}");
        }
    }
}
