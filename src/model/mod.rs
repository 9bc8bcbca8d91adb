//! Plain values, valid by construction: what the rest of the program talks about.

mod access;
mod application;
mod bearer;
mod brand;
mod certificate;
mod client_certificate;
mod code;
mod condition;
mod congestion;
mod cors;
mod country;
mod ends;
mod finding;
mod front;
mod guard;
mod ids;
mod link_translation;
mod log;
mod person;
mod printable;
mod provider;
mod proxy;
mod secret;
mod sign_on;
mod template;
mod url;
mod week;
mod window;

pub use access::{Access, AccessRule, AccessRules, SessionLife, SignIn};
pub use application::{
    Affinity, Application, ApplicationLimits, BackendProtocol, BackendTimeouts, Connectors,
    HealthCheck, HostHeader, InternalUrls, Mode, ProxyProtocol, Rate, RateUnit, RequestLimit,
};
pub use bearer::{Bearer, Login};
pub use brand::{Brand, Colour, LogoFile, SupportLink};
pub use certificate::CertificateFiles;
pub use client_certificate::{
    CertificatePart, CertificateRule, ClientCertificate, ClientCertificates,
};
pub use code::{ErrorCode, Side};
pub use condition::{Condition, MaxAge, PathRule};
pub use congestion::CongestionControl;
pub use cors::Cors;
pub use country::{Countries, CountriesError, InCountries};
pub use ends::{Ends, NoEnds};
pub use finding::{Finding, Place, Severity};
pub use front::{Front, Hsts, Maintenance};
pub use guard::{AmbiguousPath, Guard, GuardedPath, GuardedPaths, PreAuthentication};
pub use ids::{
    ApplicationName, ConnectorId, GroupName, NameError, ProviderName, RequestId, ServiceTokenName,
    SessionId,
};
pub use link_translation::{
    BodyKind, Exclusion, LinkAttribute, LinkTranslation, Reader, Replacement,
};
pub use log::{LogFormat, LogPerson, LogSettings, LogTarget};
pub use person::{Person, PersonKey, find_claim};
pub use printable::printable;
pub use provider::{
    ClaimNames, Preset, Prompt, ProviderUrlError, SigningAlgorithm, USUAL_SCOPES, UserinfoUse,
    provider_url,
};
pub use proxy::{Proxy, ProxyCredentials, ProxyException, ProxyScheme};
pub use secret::SecretSource;
pub use sign_on::{AccessToken, Assertion, Basic, SignOn, SignOnHeader, Username};
pub use template::{Rendered, Template, TemplateError};
pub use url::{
    Captured, Endpoint, ExternalUrl, Host, HostPattern, InternalHost, InternalUrl, PathPrefix,
    Scheme, UrlError,
};
pub use week::{Week, WeekError};
pub use window::StreamWindow;
