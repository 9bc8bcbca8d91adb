//! The applications as the configuration in force has them, and what becomes of what goes on when
//! another takes its place.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use arc_swap::Guard;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::backend::Backend;
use super::reach::Reach;
use super::trust::BackendTrust;
use crate::config::ConnectorConfig;
use crate::http::{BodyError, Lease};
use crate::model::{Endpoint, Proxy};
use crate::telemetry::metrics::CONFIG_RELOADS;

/// How applications are reached: through which proxy, how they are known over TLS, and which of them
/// at all. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Applications {
    pub(super) backend: Arc<Backend>,
}

impl Applications {
    /// As a configuration says; `proxy` and `trust` are what it names, opened.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn new(config: &ConnectorConfig, proxy: Option<Proxy>, trust: BackendTrust) -> Self {
        Self {
            backend: Arc::new(Backend::new(config, proxy, trust)),
        }
    }

    /// Puts what another configuration says of applications in force. Requests, streams and
    /// WebSockets to what it does not allow any more are cut; the others go on.
    pub fn replace(&self, config: &ConnectorConfig, proxy: Option<Proxy>, trust: BackendTrust) {
        self.backend.replace(config, proxy, trust);
    }

    /// Notes how an attempt to have another configuration ended.
    pub fn note(&self, done: bool) {
        CONFIG_RELOADS.count(&[if done { "done" } else { "refused" }]);
        self.backend.is_behind.store(!done, Ordering::Relaxed);
    }

    /// The number of the configuration in force; that of the start is 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.backend.number()
    }
}

impl Backend {
    /// What the configuration in force says.
    pub(super) fn reach(&self) -> Arc<Reach> {
        self.reach.load_full()
    }

    /// The same, for a glance.
    pub(super) fn current(&self) -> Guard<Arc<Reach>> {
        self.reach.load()
    }

    /// The number of the configuration in force.
    pub(super) fn number(&self) -> u64 {
        self.current().number
    }

    /// Another configuration is in force from the next connection on; what goes on under the one
    /// before is asked whether it may.
    pub(super) fn replace(
        &self,
        config: &ConnectorConfig,
        proxy: Option<Proxy>,
        trust: BackendTrust,
    ) {
        let next = Reach::new(self.number() + 1, config, proxy, trust);
        self.reach.swap(Arc::new(next)).replaced.cancel();
    }
}

/// A reload took what goes on to an application from the allow-list.
#[derive(Debug, thiserror::Error)]
#[error("this connector's allow-list does not name {0} any more")]
pub(super) struct NoLongerAllowed(pub(super) Endpoint);

/// What one request goes on by: the allow-list under which it began, until another is in force that
/// does not have its target.
pub(super) struct Term {
    backend: Arc<Backend>,
    began: Arc<Reach>,
    target: Endpoint,
    /// The configuration that was looked at last.
    seen: u64,
    replaced: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Term {
    pub(super) fn new(backend: &Arc<Backend>, began: Arc<Reach>, target: Endpoint) -> Self {
        Self {
            backend: Arc::clone(backend),
            seen: began.number,
            began,
            target,
            replaced: None,
        }
    }

    /// Completes where it is over.
    pub(super) async fn ends(&mut self) -> NoLongerAllowed {
        poll_fn(|cx| self.poll_ends(cx, true)).await
    }

    fn poll_ends(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<NoLongerAllowed> {
        loop {
            // The one that is judged is the one whose end is waited for.
            let now = self.backend.current();
            if self.seen != now.number {
                if !now.allow.keeps(&self.began.allow, &self.target) {
                    return Poll::Ready(NoLongerAllowed(self.target.clone()));
                }
                self.seen = now.number;
                self.replaced = None;
            }
            // Who does not wait comes back by itself.
            if !waits {
                return Poll::Pending;
            }
            let replaced = self
                .replaced
                .get_or_insert_with(|| Box::pin(now.replaced.clone().cancelled_owned()));
            match replaced.as_mut().poll(cx) {
                // The next was in force before this one ended.
                Poll::Ready(()) => self.replaced = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Lease for Term {
    fn poll_over(&mut self, cx: &mut Context<'_>, waits: bool) -> Poll<BodyError> {
        self.poll_ends(cx, waits).map(Into::into)
    }
}
