//! Link translation: internal URLs become external ones.
//!
//! [`UrlMap`] is the only place a URL changes; [`translate_response`] and [`remove_own_cookies`]
//! apply it and the rules about cookies to header fields.

mod headers;
mod urls;

pub use headers::{remove_own_cookies, rewrite_origin, translate_response};
pub use urls::UrlMap;

#[cfg(test)]
mod tests {
    //! What the tests of both submodules stand on.

    use crate::model::{
        Application, ApplicationName, BackendTimeouts, Captured, Connectors, ExternalUrl,
        GroupName, Host, HostHeader, InternalUrl, LinkTranslation, PreAuthentication,
    };

    /// An application published at these URLs.
    pub(super) fn application(external: &str, internal: &str) -> Application {
        Application {
            name: ApplicationName::new("wiki").unwrap(),
            external: ExternalUrl::parse(external).unwrap(),
            internal: InternalUrl::parse(internal).unwrap(),
            connectors: Connectors::new(vec![GroupName::new("default").unwrap()]).unwrap(),
            pre_authentication: vec![PreAuthentication::Passthrough],
            host_header: HostHeader::Internal,
            link_translation: LinkTranslation { headers: true },
            timeouts: BackendTimeouts::default(),
        }
    }

    /// The label and host of a request to `host`.
    pub(super) fn view(application: &Application, host: &str) -> (Option<Captured>, Host) {
        let host = Host::parse(host).unwrap();
        (application.external.host.matches(&host).unwrap(), host)
    }
}
