//! Plain values, valid by construction: what the rest of the program talks about.

mod application;
mod certificate;
mod code;
mod congestion;
mod ends;
mod finding;
mod front;
mod identity;
mod ids;
mod log;
mod proxy;
mod url;
mod window;

pub use application::{
    Affinity, Application, ApplicationLimits, BackendProtocol, BackendTimeouts, Connectors,
    HealthCheck, HostHeader, InternalUrls, LinkTranslation, PreAuthentication, ProxyProtocol, Rate,
    RateUnit, RequestLimit,
};
pub use certificate::CertificateFiles;
pub use code::{ErrorCode, Side};
pub use congestion::CongestionControl;
pub use ends::{Ends, NoEnds};
pub use finding::{Finding, Place, Severity};
pub use front::{Front, Hsts, Maintenance};
pub use identity::Identity;
pub use ids::{ApplicationName, ConnectorId, GroupName, NameError, RequestId};
pub use log::{LogFormat, LogSettings, LogTarget};
pub use proxy::{Proxy, ProxyCredentials, ProxyException, ProxyScheme};
pub use url::{
    Captured, Endpoint, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, PathPrefix,
    Scheme, UrlError,
};
pub use window::StreamWindow;
