//! Plain values, valid by construction: what the rest of the program talks about.

mod access;
mod application;
mod brand;
mod certificate;
mod code;
mod condition;
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
mod sign_on;
mod template;
mod url;
mod week;
mod window;

pub use access::{Access, AccessRule, SessionLife, SignIn};
pub use application::{
    Affinity, Application, ApplicationLimits, BackendProtocol, BackendTimeouts, Connectors,
    HealthCheck, HostHeader, InternalUrls, LinkTranslation, PreAuthentication, ProxyProtocol, Rate,
    RateUnit, RequestLimit,
};
pub use brand::{Brand, Colour, LogoFile, SupportLink};
pub use certificate::CertificateFiles;
pub use code::{ErrorCode, Side};
pub use condition::{Condition, PathRule};
pub use congestion::CongestionControl;
pub use cors::Cors;
pub use ends::{Ends, NoEnds};
pub use finding::{Finding, Place, Severity};
pub use front::{Front, Hsts, Maintenance};
pub use ids::{
    ApplicationName, ConnectorId, GroupName, NameError, ProviderName, RequestId, SessionId,
};
pub use log::{LogFormat, LogPerson, LogSettings, LogTarget};
pub use person::{Person, PersonKey, find_claim};
pub use provider::{
    ClaimNames, Preset, Prompt, ProviderUrlError, SigningAlgorithm, USUAL_SCOPES, UserinfoUse,
    provider_url,
};
pub use proxy::{Proxy, ProxyCredentials, ProxyException, ProxyScheme};
pub use sign_on::{SignOn, SignOnHeader};
pub use template::{Rendered, Template, TemplateError};
pub use url::{
    Captured, Endpoint, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, PathPrefix,
    Scheme, UrlError,
};
pub use week::{Week, WeekError};
pub use window::StreamWindow;
