//! Plain values, valid by construction: what the rest of the program talks about.

mod access;
mod application;
mod brand;
mod certificate;
mod code;
mod congestion;
mod cors;
mod ends;
mod finding;
mod front;
mod ids;
mod log;
mod person;
mod provider;
mod proxy;
mod url;
mod window;

pub use access::{Access, Condition, SessionLife, SignIn, Who};
pub use application::{
    Affinity, Application, ApplicationLimits, BackendProtocol, BackendTimeouts, Connectors,
    HealthCheck, HostHeader, InternalUrls, LinkTranslation, PreAuthentication, ProxyProtocol, Rate,
    RateUnit, RequestLimit,
};
pub use brand::{Brand, Colour, LogoFile, SupportLink};
pub use certificate::CertificateFiles;
pub use code::{ErrorCode, Side};
pub use congestion::CongestionControl;
pub use cors::Cors;
pub use ends::{Ends, NoEnds};
pub use finding::{Finding, Place, Severity};
pub use front::{Front, Hsts, Maintenance};
pub use ids::{
    ApplicationName, ConnectorId, GroupName, NameError, ProviderName, RequestId, SessionId,
};
pub use log::{LogFormat, LogPerson, LogSettings, LogTarget};
pub use person::{Person, PersonKey};
pub use provider::{
    ClaimNames, Preset, Prompt, ProviderUrlError, SigningAlgorithm, USUAL_SCOPES, UserinfoUse,
    provider_url,
};
pub use proxy::{Proxy, ProxyCredentials, ProxyException, ProxyScheme};
pub use url::{
    Captured, Endpoint, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, PathPrefix,
    Scheme, UrlError,
};
pub use window::StreamWindow;
