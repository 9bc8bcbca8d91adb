//! One published application.

use std::time::Duration;

use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use crate::model::{
    Application, ApplicationName, BackendTimeouts, Connectors, Endpoint, ExternalUrl, GroupName,
    Host, HostHeader, HostPattern, InternalHost, InternalUrl, LinkTranslation, Place,
    PreAuthentication, Scheme, UrlError,
};

/// Keys of an application that the documents describe, not built yet.
const LATER: &[&str] = &[
    "internal_urls",
    "alternate_external_urls",
    "access",
    "paths",
    "single_sign_on",
    "home_path",
    "hsts",
    "cors",
    "affinity",
    "session",
    "cookies",
    "fragment",
    "recheck",
    "limits",
    "log",
    "audit",
    "brand",
    "enabled",
    "icon",
    "hidden",
    "maintenance",
    "robots",
];
/// Keys of `defaults:` not built yet.
pub(super) const LATER_DEFAULTS: &[&str] = &[
    "connector_groups",
    "pre_authentication",
    "access",
    "host_header",
    "link_translation",
    "hsts",
    "cors",
    "affinity",
    "session",
    "cookies",
    "limits",
    "robots",
];
const LATER_METHODS: &[&str] = &["oidc", "bearer", "client_certificate"];
const LATER_TRANSLATION: &[&str] = &["body"];
const LATER_TIMEOUTS: &[&str] = &["websocket_idle"];

/// Entra's `default` and `long`.
const ENTRA_DEFAULT: Duration = Duration::from_secs(85);
const ENTRA_LONG: Duration = Duration::from_secs(180);

/// What an application takes from the rest of the file.
pub(super) struct Common {
    /// `default_domain`: absent, or written and refused, or good.
    pub(super) domain: Option<Option<Host>>,
    /// Timeouts of `defaults:`.
    pub(super) timeouts: BackendTimeouts,
    /// Whether `listen.http` is written.
    pub(super) serves_http: bool,
}

/// One application as far as it could be read. Name and external URL stand apart, so that they
/// are compared with those of other applications even where something else is wrong.
pub(super) struct Draft {
    pub(super) name: Option<(ApplicationName, Place)>,
    pub(super) external: Option<(ExternalUrl, Place)>,
    pub(super) application: Option<Application>,
}

/// Reads one entry of `applications`.
pub(super) fn read(field: Field<'_>, common: &Common) -> Option<Draft> {
    field.section(LATER, |section| draft(section, common))
}

/// Reads every key before the first `?`, so that each has its say.
fn draft(section: &Section<'_>, common: &Common) -> Draft {
    let name = section.required("name", "wiki").and_then(name);
    let external = external_url(section, name.as_ref(), common);
    let internal = if section.has("internal_urls") {
        section.optional("internal_url")
    } else {
        section.required("internal_url", "http://wiki.corp.local:8888/")
    };
    let outside = external.as_ref().map(|(url, _)| url);
    let internal = internal.and_then(|field| internal_url(field, outside));
    let connectors = match section.optional("connector_groups") {
        Some(field) => field.distinct(group).and_then(Connectors::new),
        None => GroupName::new("default")
            .ok()
            .and_then(|group| Connectors::new(vec![group])),
    };
    let pre_authentication = section
        .required("pre_authentication", "[passthrough]")
        .and_then(|field| field.distinct(method));
    let host_header = match section.optional("host_header") {
        Some(field) => host_header(field),
        None => Some(HostHeader::Internal),
    };
    let link_translation = section.optional("link_translation").map(link_translation);
    let timeouts = timeouts(section, common.timeouts);
    if let Some(description) = section.optional("description") {
        // For the reader of the file; nothing shows it yet.
        description.text();
    }
    let application = || {
        Some(Application {
            name: name.as_ref()?.0.clone(),
            external: external.as_ref()?.0.clone(),
            internal: internal?,
            connectors: connectors?,
            pre_authentication: pre_authentication?,
            host_header: host_header?,
            link_translation: LinkTranslation {
                headers: link_translation.flatten().unwrap_or(true),
            },
            timeouts,
        })
    };
    Draft {
        application: application(),
        name,
        external,
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

/// The external URL as written, or that of name and default domain.
fn external_url(
    section: &Section<'_>,
    name: Option<&(ApplicationName, Place)>,
    common: &Common,
) -> Option<(ExternalUrl, Place)> {
    if let Some(field) = section.optional("external_url") {
        let url = field.parse_host(
            "write scheme, host and path, such as `https://wiki.example.com/`",
            ExternalUrl::parse,
        )?;
        if url.scheme == Scheme::Http && !common.serves_http {
            return field.refuse(
                "no_http_listener",
                format!("`{url}` is http, and `listen.http` is missing"),
                "add `listen.http`, or publish the application with https",
            );
        }
        return Some((url, field.place().clone()));
    }
    let Some(domain) = &common.domain else {
        section.missing(
            "external_url",
            "add it, such as `external_url: https://wiki.example.com/`, or set `default_domain` \
             for all applications",
        );
        return None;
    };
    let (Some(domain), Some((name, place))) = (domain, name) else {
        return None;
    };
    match ExternalUrl::parse(&format!("https://{name}.{domain}/")) {
        Ok(url) => Some((url, place.clone())),
        Err(error) => {
            section.error_at_key(
                "external_url",
                "bad_host",
                &error.to_string(),
                "choose a shorter name or domain, or write `external_url`",
            );
            None
        }
    }
}

fn internal_url(field: Field<'_>, external: Option<&ExternalUrl>) -> Option<InternalUrl> {
    let url = field.parse_host(
        "write scheme, host and path as the connector reaches it, such as \
         `http://wiki.corp.local:8888/`",
        InternalUrl::parse,
    )?;
    if let (InternalHost::Wildcard { .. }, Some(external)) = (&url.host, external)
        && let HostPattern::Exact(host) = &external.host
    {
        return field.refuse(
            "wildcard",
            UrlError::Wildcard(host.to_string()).to_string(),
            "write the internal host in full, or publish the application under `*.`",
        );
    }
    Some(url)
}

fn method(field: Field<'_>) -> Option<PreAuthentication> {
    let text = field.text()?;
    match text {
        "passthrough" => Some(PreAuthentication::Passthrough),
        _ if LATER_METHODS.contains(&text) => field.not_built(text),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is no kind of pre-authentication"),
            did_you_mean(
                text,
                &["passthrough", "oidc", "bearer", "client_certificate"],
            )
            .unwrap_or_else(|| "write `[passthrough]`".to_owned()),
        ),
    }
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

fn link_translation(field: Field<'_>) -> Option<bool> {
    field.section(LATER_TRANSLATION, |section| {
        section.optional("headers").and_then(Field::boolean)
    })?
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
