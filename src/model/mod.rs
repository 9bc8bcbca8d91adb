//! Plain values, valid by construction: what the rest of the program talks about.

mod application;
mod certificate;
mod code;
mod finding;
mod identity;
mod ids;
mod proxy;
mod url;

pub use application::{
    Application, BackendTimeouts, Connectors, HostHeader, LinkTranslation, PreAuthentication,
};
pub use certificate::CertificateFiles;
pub use code::{ErrorCode, Side};
pub use finding::{Finding, Place, Severity};
pub use identity::Identity;
pub use ids::{ApplicationName, ConnectorId, GroupName, NameError, RequestId};
pub use proxy::{Proxy, ProxyCredentials, ProxyException, ProxyScheme};
pub use url::{
    Captured, Endpoint, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, PathPrefix,
    Scheme, UrlError,
};
