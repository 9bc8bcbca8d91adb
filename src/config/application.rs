//! One published application.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::AuthorityFile;
use super::access::NamedRules;
use super::balancing;
use super::client_certificates::{check_header, client_certificates};
use super::external;
use super::field::Field;
use super::file::did_you_mean;
use super::front;
use super::guard::guarding;
use super::limits;
use super::passthrough;
use super::section::Section;
use super::sign_in::Asked;
use super::sign_on::sign_on;
use super::translation;
use crate::model::{
    Affinity, Application, ApplicationLimits, ApplicationName, BackendProtocol, BackendTimeouts,
    Connectors, Endpoint, ExternalUrl, GroupName, Host, HostHeader, HostPattern, InternalHost,
    InternalUrl, LinkTranslation, Mode, Place, ProxyProtocol, UrlError,
};

/// Keys of an application that the documents describe, not built yet.
const LATER: &[&str] = &[
    "session", "cookies", "fragment", "log", "audit", "brand", "enabled",
];
/// Keys of `defaults:` not built yet.
const LATER_DEFAULTS: &[&str] = &[
    "connector_groups",
    "pre_authentication",
    "access",
    "host_header",
    "link_translation",
    "cors",
    "session",
    "cookies",
    "limits",
];
const LATER_TIMEOUTS: &[&str] = &["websocket_idle"];

/// Entra's `default` and `long`.
const ENTRA_DEFAULT: Duration = Duration::from_secs(85);
const ENTRA_LONG: Duration = Duration::from_secs(180);

/// What an application takes from the rest of the file.
pub(super) struct Common {
    /// `default_domain`: absent, or written and refused, or good.
    pub(super) domain: Option<Option<Host>>,
    /// What `defaults:` says.
    pub(super) defaults: Defaults,
    /// Of `limits`, for every application that says nothing else.
    pub(super) limits: ApplicationLimits,
    /// Whether `listen.http` is written.
    pub(super) serves_http: bool,
    /// What there is to sign in with.
    pub(super) sign_in: Asked,
    /// `access_rules`.
    pub(super) rules: NamedRules,
    /// From where paths count that are not absolute.
    pub(super) folder: PathBuf,
}

/// What `defaults:` says.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    pub(super) timeouts: BackendTimeouts,
    pub(super) backend_protocol: BackendProtocol,
    pub(super) affinity: Option<Affinity>,
    /// With what the file itself says of maintenance.
    pub(super) front: front::Common,
}

/// Reads `defaults:`.
pub(super) fn defaults(field: Field<'_>) -> Option<Defaults> {
    field.section(LATER_DEFAULTS, |section| Defaults {
        timeouts: timeouts(section, BackendTimeouts::default()),
        backend_protocol: backend_protocol(section, BackendProtocol::default()),
        affinity: section
            .optional("affinity")
            .and_then(balancing::affinity)
            .flatten(),
        front: front::defaults(section),
    })
}

/// One application as far as it could be read. Name and external URL stand apart, so that they
/// are compared with those of other applications even where something else is wrong.
pub(super) struct Draft {
    pub(super) name: Option<(ApplicationName, Place)>,
    pub(super) external: Option<(ExternalUrl, Place)>,
    pub(super) alternates: Vec<(ExternalUrl, Place)>,
    pub(super) application: Option<Application>,
    /// The file of `client_certificates`.
    pub(super) authority: Option<AuthorityFile>,
}

/// Reads one entry of `applications`.
pub(super) fn read(field: Field<'_>, common: &Common) -> Option<Draft> {
    field.section(LATER, |section| draft(section, common))
}

/// Who carries its requests.
fn connectors(section: &Section<'_>) -> Option<Connectors> {
    match section.optional("connector_groups") {
        Some(field) => field.distinct(group).and_then(Connectors::new),
        None => GroupName::new("default")
            .ok()
            .and_then(|group| Connectors::new(vec![group])),
    }
}

/// Reads every key before the first `?`, so that each has its say.
#[expect(clippy::too_many_lines, reason = "one key after the other")]
fn draft(section: &Section<'_>, common: &Common) -> Draft {
    let name = section.required("name", "wiki").and_then(name);
    let mode = match section.optional("mode") {
        Some(field) => passthrough::mode(field),
        None => Some(Mode::Http),
    };
    let external = external::external_url(section, name.as_ref(), common);
    let outside = external.as_ref().map(|(url, _)| url);
    let (alternates, urls) = external::alternates(section, outside, common);
    let outsides: Vec<&ExternalUrl> = outside
        .into_iter()
        .chain(alternates.iter().map(|(url, _)| url))
        .collect();
    let internal = balancing::internal_urls(section, |field| internal_url(field, &outsides));
    let connectors = connectors(section);
    let guarding = guarding(section, &outsides, common);
    let certificates = client_certificates(section, &guarding, &outsides, &common.folder);
    let sign_on = sign_on(
        section,
        &guarding,
        outside,
        (&common.sign_in, &common.folder),
    );
    let read = certificates.as_ref().and_then(|read| read.as_ref());
    check_header(section, read.map(|(read, _)| &**read), sign_on.as_ref());
    let host_header = match section.optional("host_header") {
        Some(field) => host_header(field),
        None => Some(HostHeader::Internal),
    };
    let link_translation = match section.optional("link_translation") {
        Some(field) => translation::link_translation(field, &outsides, &common.sign_in),
        None => Some(LinkTranslation::default()),
    };
    let timeouts = timeouts(section, common.defaults.timeouts);
    let backend_protocol = backend_protocol(section, common.defaults.backend_protocol);
    let connection_authentication = connection_authentication(section, backend_protocol);
    let proxy_protocol = proxy_protocol(section);
    let affinity = match section.optional("affinity") {
        Some(field) => balancing::affinity(field),
        None => Some(common.defaults.affinity),
    };
    let health_check = section
        .optional("health_check")
        .map(|field| balancing::health_check(field, internal.as_ref()));
    let limits = match section.optional("limits") {
        Some(field) => limits::application(field, common.limits),
        None => Some(common.limits),
    };
    let front = front::front(section, &outsides, &common.folder, &common.defaults.front);
    let description = section.optional("description").map(Field::text);
    let passes = passthrough::check(section, mode, &guarding, (&outsides, internal.as_ref()));
    let application = || {
        Some(Application {
            name: name.as_ref()?.0.clone(),
            mode: mode.filter(|_| passes)?,
            external: external.as_ref()?.0.clone(),
            alternates: urls?,
            internal: internal?,
            connectors: connectors?,
            guard: guarding.guard?,
            paths: guarding.paths?,
            bearer: guarding.bearer?,
            client_certificates: certificates
                .as_ref()?
                .as_ref()
                .map(|(read, _)| Arc::clone(read)),
            sign_on: sign_on?,
            description: match description {
                Some(read) => Some(read?.into()),
                None => None,
            },
            host_header: host_header?,
            link_translation: link_translation?,
            timeouts,
            backend_protocol,
            connection_authentication,
            proxy_protocol: proxy_protocol?,
            affinity: affinity?,
            health_check: match health_check {
                Some(read) => Some(read?),
                None => None,
            },
            limits: limits?,
            front: front?,
        })
    };
    Draft {
        application: application(),
        authority: certificates.flatten().map(|(_, file)| file),
        name,
        external,
        alternates,
    }
}

const NAME_REMEDY: &str = "write a short name such as `wiki` or `site-2`: it stands in the \
                           default URL, in logs and in metrics";

fn name(field: Field<'_>) -> Option<(ApplicationName, Place)> {
    let name = field.parse("bad_name", NAME_REMEDY, ApplicationName::new)?;
    Some((name, field.place().clone()))
}

fn group(field: Field<'_>) -> Option<GroupName> {
    let remedy = "write the group's name as it was given to `gateway token create --group`";
    field.parse("bad_name", remedy, GroupName::new)
}

fn internal_url(field: Field<'_>, external: &[&ExternalUrl]) -> Option<InternalUrl> {
    let url = field.parse_host(
        "write scheme, host and path as the connector reaches it, such as \
         `http://wiki.corp.local:8888/`",
        InternalUrl::parse,
    )?;
    let exact = external.iter().find_map(|url| match &url.host {
        HostPattern::Exact(host) => Some(host),
        HostPattern::Wildcard { .. } => None,
    });
    if let (InternalHost::Wildcard { .. }, Some(host)) = (&url.host, exact) {
        return field.refuse(
            "wildcard",
            UrlError::Wildcard(host.to_string()).to_string(),
            "write the internal host in full, or publish the application under `*.`",
        );
    }
    Some(url)
}

fn host_header(field: Field<'_>) -> Option<HostHeader> {
    let text = field.text()?;
    match text {
        "internal" => return Some(HostHeader::Internal),
        "external" => return Some(HostHeader::External),
        _ => {}
    }
    // `extrenal` would pass as the name of a host.
    if let Some(remedy) = did_you_mean(text, &["internal", "external"]) {
        let what = format!("`{text}` is neither of the two words");
        return field.refuse("bad_value", what, remedy);
    }
    let fixed = field.parse_host(
        "write `internal`, `external`, or a host such as `wiki.corp.local`",
        |text| match Host::parse(text) {
            Ok(host) => Ok(host.to_string()),
            Err(error) => Endpoint::parse(text)
                .map(|endpoint| endpoint.to_string())
                .map_err(|_| error),
        },
    )?;
    Some(HostHeader::Fixed(fixed.into()))
}

/// `timeouts` and Entra's `backend_timeout`, over those given.
pub(super) fn timeouts(section: &Section<'_>, over: BackendTimeouts) -> BackendTimeouts {
    let shorthand = section.optional("backend_timeout");
    let written = section.optional("timeouts").and_then(|field| {
        field.section(LATER_TIMEOUTS, |section| {
            let duration = |name| section.optional(name).map(Field::duration);
            (
                duration("connect"),
                duration("first_byte"),
                duration("idle"),
            )
        })
    });
    let (connect, first_byte, idle) = written.unwrap_or_default();
    if let Some(field) = shorthand.filter(|_| first_byte.is_some()) {
        field.refuse::<()>(
            "conflict",
            "`timeouts.first_byte` says the same in another way",
            "keep one of the two",
        );
    }
    BackendTimeouts {
        connect: connect.flatten().unwrap_or(over.connect),
        first_byte: first_byte
            .flatten()
            .or_else(|| shorthand.and_then(backend_timeout))
            .unwrap_or(over.first_byte),
        idle: idle.flatten().unwrap_or(over.idle),
    }
}

/// `backend_protocol`, over the one given.
fn backend_protocol(section: &Section<'_>, over: BackendProtocol) -> BackendProtocol {
    let written = section.optional("backend_protocol");
    written.and_then(protocol).unwrap_or(over)
}

fn protocol(field: Field<'_>) -> Option<BackendProtocol> {
    let text = field.text()?;
    match text {
        "http1" => Some(BackendProtocol::Http1),
        "http2" => Some(BackendProtocol::Http2),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is no protocol an application is spoken to in"),
            "write `http1`, or `http2`, which with an https internal URL is agreed on with the \
             application and with http is h2c",
        ),
    }
}

/// Whether connections are signed in, which HTTP/2 has no place for.
fn connection_authentication(section: &Section<'_>, protocol: BackendProtocol) -> bool {
    let Some(field) = section.optional("connection_authentication") else {
        return false;
    };
    let wanted = field.boolean() == Some(true);
    if wanted && protocol == BackendProtocol::Http2 {
        field.refuse::<()>(
            "conflict",
            "`backend_protocol: http2` has requests of many people on one connection",
            "write `backend_protocol: http1` for this application: NTLM knows nothing else",
        );
    }
    wanted
}

fn proxy_protocol(section: &Section<'_>) -> Option<Option<ProxyProtocol>> {
    let Some(field) = section.optional("proxy_protocol") else {
        return Some(None);
    };
    let text = field.text()?;
    match text {
        "v1" => Some(Some(ProxyProtocol::V1)),
        "v2" => Some(Some(ProxyProtocol::V2)),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is no version of the PROXY protocol"),
            "write `v1` or `v2`, as the application expects it, or remove the line",
        ),
    }
}

fn backend_timeout(field: Field<'_>) -> Option<Duration> {
    match field.text()? {
        "default" => Some(ENTRA_DEFAULT),
        "long" => Some(ENTRA_LONG),
        _ => field.refuse(
            "bad_value",
            "`default` or `long` belongs here",
            "write one of them, or `timeouts: { first_byte: 85s }`",
        ),
    }
}
