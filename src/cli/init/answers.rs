//! What is asked, and what makes an answer good: the configuration's own readers decide.

use std::path::{Path, PathBuf};

use crate::config::GatewayConfig;
use crate::model::{
    ApplicationName, Endpoint, Host, InternalHost, InternalUrl, Preset, UrlError, printable,
};

use super::text::quoted;

/// Everything that the file is made of; each part is good by itself.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// The configuration to write; absolute.
    pub(super) file: PathBuf,
    /// What applications are published under.
    pub(super) domain: Host,
    /// Where connectors dial. Its port is the one that people use, too.
    pub(super) public: Endpoint,
    pub(super) certificate: Certificate,
    pub(super) guard: Guard,
    pub(super) application: ApplicationName,
    pub(super) internal: InternalUrl,
    pub(super) external: Host,
}

/// What stands before the application.
#[derive(Debug, Clone)]
pub(super) enum Guard {
    SignIn(SignIn),
    /// Nobody signs in: who comes from these networks comes in. As the configuration writes them; never
    /// empty.
    Networks(Vec<String>),
}

/// How people sign in, and who may.
#[derive(Debug, Clone)]
pub(super) struct SignIn {
    pub(super) provider: Provider,
    /// Where the client secret lies; never its value.
    pub(super) client_secret: PathBuf,
    pub(super) host: Host,
    /// Never empty.
    pub(super) allow: Vec<Allowed>,
}

/// The certificate for the hosts that people open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Certificate {
    Pem {
        chain: PathBuf,
        key: PathBuf,
    },
    Pfx {
        file: PathBuf,
        password: Option<PathBuf>,
    },
    /// There is none: a self-signed one is written to these files.
    Trial {
        chain: PathBuf,
        key: PathBuf,
    },
}

/// Who says who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    pub(super) preset: Option<Preset>,
    pub(super) issuer: String,
    pub(super) client_id: String,
}

impl Provider {
    /// What rules, logs and URLs call it.
    pub(super) fn name(&self) -> &'static str {
        self.preset.map_or("corp", Preset::as_str)
    }
}

/// Whom `access.allow` lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowed {
    Everybody,
    Group(String),
    Email(String),
}

impl Answers {
    pub(super) fn sign_in(&self) -> Option<&SignIn> {
        match &self.guard {
            Guard::SignIn(sign_in) => Some(sign_in),
            Guard::Networks(_) => None,
        }
    }

    /// `host`, or `host:port` where the port is not that of https.
    pub(super) fn authority(&self, host: &Host) -> String {
        match self.public.port {
            443 => host.to_string(),
            port => format!("{host}:{port}"),
        }
    }
}

/// A file that is written beside the configuration where nobody says otherwise.
pub(super) fn beside(config: &Path, name: &str) -> PathBuf {
    config.with_file_name(name)
}

/// A text as it may be shown again.
fn shown(text: &str) -> String {
    /// Two lines of a terminal.
    const MOST: usize = 160;
    printable(text, MOST)
}

/// What was wrong, for the person who wrote it: it may hold escape sequences for a terminal.
fn because(error: &UrlError) -> String {
    shown(&error.to_string())
}

pub(super) fn domain(text: &str) -> Result<Host, String> {
    name(text).map_err(|why| format!("{why}; write the domain alone, such as `example.com`"))
}

pub(super) fn host(text: &str) -> Result<Host, String> {
    name(text).map_err(|why| format!("{why}; write the name alone, such as `wiki.example.com`"))
}

fn name(text: &str) -> Result<Host, String> {
    match Host::parse(text) {
        Ok(host @ Host::Name(_)) => Ok(host),
        Ok(Host::Address(address)) => Err(format!(
            "`{address}` is an address: people and certificates need a name"
        )),
        Err(error) => Err(because(&error)),
    }
}

/// The host that people open; `sign_in`, where there is one, is nobody else's.
pub(super) fn external(text: &str, sign_in: Option<&Host>) -> Result<Host, String> {
    let host = host(text)?;
    if Some(&host) == sign_in {
        return Err(format!(
            "`{host}` is where people sign in, and the application needs a host of its own"
        ));
    }
    Ok(host)
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text)
        .map_err(|error| format!("{}; such as `gw.example.com:443`", because(&error)))
}

pub(super) fn application(text: &str) -> Result<ApplicationName, String> {
    ApplicationName::new(text).map_err(|error| error.to_string())
}

/// An internal URL. Everything below it is published, so a `/` that is missing at its end is meant.
pub(super) fn internal(text: &str) -> Result<InternalUrl, String> {
    let url = match InternalUrl::parse(text) {
        Err(UrlError::NoTrailingSlash(_)) => InternalUrl::parse(&format!("{text}/")),
        read => read,
    };
    match url {
        Ok(InternalUrl {
            host: InternalHost::Wildcard { .. },
            ..
        }) => Err("a first application has one host, without `*`".to_owned()),
        Ok(url) => Ok(url),
        Err(error) => Err(because(&error)),
    }
}

/// `wiki=http://wiki.corp.local:8080/`.
pub(super) fn named_application(text: &str) -> Result<(ApplicationName, InternalUrl), String> {
    let (name, url) = text
        .split_once('=')
        .ok_or("write name and internal URL, such as `wiki=http://wiki.corp.local:8080/`")?;
    Ok((application(name)?, internal(url)?))
}

/// What the answer to [`PROVIDER`](super::questions::PROVIDER) comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Make {
    Entra,
    Google,
    /// The issuer is still to be asked for.
    With(Preset),
    /// Another, by its issuer.
    Other(String),
    /// There is none, and nobody signs in.
    Nobody,
}

/// Google has one issuer for everybody.
pub(super) const GOOGLE: &str = "https://accounts.google.com";

pub(super) fn provider(text: &str) -> Result<Make, String> {
    let word = text.to_ascii_lowercase();
    if word == "none" {
        return Ok(Make::Nobody);
    }
    match Preset::ALL.into_iter().find(|one| one.as_str() == word) {
        Some(Preset::Entra) => Ok(Make::Entra),
        Some(Preset::Google) => Ok(Make::Google),
        Some(preset) => Ok(Make::With(preset)),
        None if text.contains(':') => issuer(text).map(Make::Other),
        None => Err(format!(
            "`{}` is none of entra, google, okta, keycloak and none, and no URL",
            shown(text)
        )),
    }
}

/// The issuer of a tenant of Entra's.
pub(super) fn tenant(text: &str) -> Result<String, String> {
    probe(
        &format!(
            "issuer: \"https://login.microsoftonline.com/organizations/v2.0\", preset: entra, \
             client_id: x, tenants: [{}]",
            quoted(text)
        ),
        "anyone_signed_in",
    )?;
    let tenant = text.to_ascii_lowercase();
    Ok(format!("https://login.microsoftonline.com/{tenant}/v2.0"))
}

pub(super) fn issuer(text: &str) -> Result<String, String> {
    probe(
        &format!("issuer: {}, client_id: x", quoted(text)),
        "anyone_signed_in",
    )?;
    Ok(text.to_owned())
}

pub(super) fn client_id(text: &str) -> Result<String, String> {
    probe(
        &format!(
            "issuer: \"https://sso.example.com/\", client_id: {}",
            quoted(text)
        ),
        "anyone_signed_in",
    )?;
    Ok(text.to_owned())
}

/// `everybody`, `group:staff` or `email:alice@example.com,bob@example.com`. The name of a group is
/// taken whole: names of directories have commas.
pub(super) fn allowed(text: &str, preset: Option<Preset>) -> Result<Vec<Allowed>, String> {
    let all = match text.split_once(':') {
        None if text.eq_ignore_ascii_case("everybody") => vec![Allowed::Everybody],
        Some((kind, group)) if kind.eq_ignore_ascii_case("group") => {
            if preset == Some(Preset::Google) {
                return Err(
                    "Google tells nobody's groups: write `email:` and the addresses, or `everybody`"
                        .to_owned(),
                );
            }
            vec![Allowed::Group(group.trim().to_owned())]
        }
        Some((kind, addresses)) if kind.eq_ignore_ascii_case("email") => addresses
            .split(',')
            .map(|address| Allowed::Email(address.trim().to_owned()))
            .collect(),
        _ => {
            return Err(format!(
                "`{}` is none of `everybody`, `group:NAME` and `email:ADDRESS`",
                shown(text)
            ));
        }
    };
    for one in &all {
        probe(
            "issuer: \"https://sso.example.com/\", client_id: x",
            &super::text::condition(one),
        )?;
    }
    Ok(all)
}

/// The networks that no public address is in (RFC 1918, RFC 4193): whoever is let in from elsewhere was
/// written down by somebody.
pub(super) const PRIVATE: &str = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7";

/// `192.0.2.0/24,2001:db8::/32`.
pub(super) fn networks(text: &str) -> Result<Vec<String>, String> {
    let all: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
    probe(
        "issuer: \"https://sso.example.com/\", client_id: x",
        &super::text::from(&all),
    )?;
    Ok(all)
}

/// A file's path, made absolute: in the configuration it would start at another folder.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    probe(
        &format!(
            "issuer: \"https://sso.example.com/\", client_id: x, client_secrets: [ {{ file: {} }} ]",
            quoted(text)
        ),
        "anyone_signed_in",
    )?;
    let path = std::path::absolute(text).map_err(|error| format!("this is no path: {error}"))?;
    match path.to_str() {
        Some(_) => Ok(path),
        None => Err("the path is not UTF-8, as the configuration is".to_owned()),
    }
}

/// What the configuration's own reader says of a provider and a condition.
fn probe(provider: &str, condition: &str) -> Result<(), String> {
    let text = format!(
        "version: 1
kind: gateway
listen: {{ https: [\"[::]:443\"] }}
store: sqlite:gateway.db
certificates: [ {{ chain: tls.pem, key: tls.key }} ]
sign_in: {{ url: \"https://login.example.com/\" }}
identity_providers: [ {{ name: corp, {provider} }} ]
applications:
  - name: wiki
    external_url: https://wiki.example.com/
    internal_url: http://wiki.corp.local/
    pre_authentication: [oidc]
    access: {{ allow: [ {condition} ] }}
"
    );
    let read = GatewayConfig::from_text(Path::new("gateway.yaml"), &text);
    match read.as_ref().map_err(|found| found.first()) {
        Err(Some(finding)) => Err(format!("{}: {}", finding.what, finding.remedy)),
        Ok(_) | Err(None) => Ok(()),
    }
}
