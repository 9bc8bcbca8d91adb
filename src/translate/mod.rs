//! Link translation: internal URLs become external ones.
//!
//! `urls` is the only place a URL changes: [`UrlMap`] for those of one application, [`Table`] for those
//! of the others. [`translate_response`], [`translate_request`] and [`remove_own_cookies`] apply it and
//! the rules about cookies to header fields, [`Translated`] with a [`View`] to bodies while they stream.
//! [`crawl`] looks for links that lead nowhere all the same.

pub mod body;
#[cfg(test)]
mod bounds;
pub mod crawl;
mod headers;
pub mod markup;
mod replace;
mod report;
mod rewriters;
mod stream;
pub mod text;
mod urls;
mod view;

pub use headers::{
    Outside, TOWARDS_ONE_URL, admit_changed, named_hashes, remove_own_cookies,
    remove_policies_with_hashes, translate_request, translate_response,
};
pub use markup::Inline;
pub use report::{Report, Seen};
pub use rewriters::{Rewriting, returning, returning_parts, returning_query};
pub use stream::{Done, Translated};
pub use urls::{Table, UrlMap, has_bodies};
pub use view::View;

#[cfg(test)]
mod tests {
    //! What the tests of both submodules stand on.

    use crate::model::{
        Application, ApplicationLimits, ApplicationName, BackendProtocol, BackendTimeouts,
        Captured, Connectors, ExternalUrl, Front, GroupName, Host, HostHeader, InternalUrl,
        InternalUrls, LinkTranslation, PreAuthentication,
    };

    /// An application published at these URLs.
    pub(super) fn application(external: &str, internal: &str) -> Application {
        copies(external, &[internal])
    }

    /// One of several copies.
    pub(super) fn copies(external: &str, internal: &[&str]) -> Application {
        let urls = internal.iter().map(|url| InternalUrl::parse(url).unwrap());
        Application {
            name: ApplicationName::new("wiki").unwrap(),
            external: ExternalUrl::parse(external).unwrap(),
            internal: InternalUrls::new(urls.collect()).unwrap(),
            connectors: Connectors::new(vec![GroupName::new("default").unwrap()]).unwrap(),
            guard: crate::model::Guard::new(
                vec![PreAuthentication::Passthrough],
                crate::model::Access::default(),
            ),
            paths: crate::model::GuardedPaths::default(),
            client_certificates: None,
            mode: crate::model::Mode::Http,
            bearer: std::sync::Arc::default(),
            sign_on: crate::model::SignOn::default(),
            description: None,
            host_header: HostHeader::Internal,
            link_translation: LinkTranslation::default(),
            timeouts: BackendTimeouts::default(),
            affinity: None,
            health_check: None,
            limits: ApplicationLimits::default(),
            front: Front::default(),
            alternates: Vec::new(),
            backend_protocol: BackendProtocol::default(),
            connection_authentication: false,
            proxy_protocol: None,
        }
    }

    /// The label and host of a request to `host`.
    pub(super) fn view(application: &Application, host: &str) -> (Option<Captured>, Host) {
        let host = Host::parse(host).unwrap();
        (application.external.host.matches(&host).unwrap(), host)
    }
}
