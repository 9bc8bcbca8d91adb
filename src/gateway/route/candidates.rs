//! The applications of one host, and which of them a path leads to.

use std::path::Path;
use std::sync::Arc;

use super::super::published::Published;
use super::Site;
use crate::model::{Application, Captured, ExternalUrl, Mode, Scheme};

/// What is known of a request before its path is judged.
#[derive(Debug)]
pub(crate) struct Candidates<'t> {
    pub(super) site: &'t Site,
    pub(super) captured: Option<Captured>,
}

/// An application found for a request.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) published: Arc<Published>,
    /// The label a wildcard stood for.
    pub(crate) captured: Option<Captured>,
}

/// The outcome of a look-up by path.
#[derive(Debug)]
pub(crate) enum Found {
    /// This application.
    Application(Match),
    /// The path of this application without its last slash: the visitor is sent there.
    Bare(Match),
    /// None.
    Nothing,
}

impl Candidates<'_> {
    /// Whether the decision depends on the path.
    pub(crate) fn path_sensitive(&self) -> bool {
        self.site.path_sensitive
    }

    /// The file of the authorities of whom the host's clients are asked for certificates.
    pub(crate) fn client_ca(&self) -> Option<&Path> {
        self.site.client_ca.as_deref()
    }

    /// The application at which the host's TLS ends, if it does at one: it is alone there.
    pub(crate) fn passes_tls_through(&self) -> Option<Match> {
        let mut all = self.site.applications.iter();
        let passes = |one: &&Arc<Published>| one.application.mode == Mode::TlsPassthrough;
        let published = all.find(passes)?;
        Some(Match {
            published: Arc::clone(published),
            captured: self.captured.clone(),
        })
    }

    /// The application of the longest path that `path` lies below, on segment boundaries.
    pub(crate) fn find(&self, scheme: Scheme, port: u16, path: &str) -> Found {
        let mut bare = None;
        for published in &self.site.applications {
            let external = &published.application.external;
            if external.scheme != scheme || external.port != port {
                continue;
            }
            let found = || Match {
                published: Arc::clone(published),
                captured: self.captured.clone(),
            };
            if external.path.rest(path).is_some() {
                // A longer path's bare form beats a shorter path that holds it.
                return bare.map_or_else(|| Found::Application(found()), Found::Bare);
            }
            if bare.is_none() && external.path.is_bare(path) {
                bare = Some(found());
            }
        }
        bare.map_or(Found::Nothing, Found::Bare)
    }

    /// The applications under this scheme and port.
    pub(crate) fn at(&self, scheme: Scheme, port: u16) -> impl Iterator<Item = &Application> {
        let all = self.site.applications.iter();
        all.map(|published| &*published.application)
            .filter(move |one| one.external.scheme == scheme && one.external.port == port)
    }

    /// An external URL under this scheme and port whose application signs people in.
    pub(crate) fn signs_in_at(&self, scheme: Scheme, port: u16) -> Option<&ExternalUrl> {
        let found = self.at(scheme, port).find(|one| one.signs_in());
        found.map(|one| &one.external)
    }

    /// Whether search engines are told to stay away from the host, though nothing is published where
    /// they ask: one of its applications wants that.
    pub(crate) fn denies_robots(&self, scheme: Scheme, port: u16) -> bool {
        self.at(scheme, port).any(|one| one.front.denies_robots)
    }

    /// Where a request over plain HTTP is sent: the https application of this path, whatever its
    /// port.
    pub(crate) fn secure(&self, path: &str) -> Option<Match> {
        let below = |published: &&Arc<Published>| {
            let external = &published.application.external;
            external.scheme == Scheme::Https
                && (external.path.rest(path).is_some() || external.path.is_bare(path))
        };
        let published = self.site.applications.iter().find(below)?;
        Some(Match {
            published: Arc::clone(published),
            captured: self.captured.clone(),
        })
    }
}
