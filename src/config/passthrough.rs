//! `mode: tls_passthrough`: what it leaves of an application's settings.

use std::collections::HashMap;

use super::application::Draft;
use super::field::Field;
use super::file::did_you_mean;
use super::findings::Findings;
use super::guard::{Guarding, accesses};
use super::section::Section;
use crate::model::{
    Application, Condition, ExternalUrl, Host, HostPattern, InternalUrl, InternalUrls, Mode,
    PreAuthentication, Scheme,
};

/// Keys that say what becomes of requests, which nobody sees.
const OF_REQUESTS: &[&str] = &[
    "host_header",
    "link_translation",
    "backend_timeout",
    "backend_protocol",
    "connection_authentication",
    "health_check",
    "hsts",
    "robots",
    "home_path",
    "clear_site_data",
    "cache",
    "cors",
    "client_certificates",
    "single_sign_on",
    "paths",
    "bearer",
    "icon",
    "hidden",
];

/// The same, inside other keys.
const OF_REQUESTS_BELOW: &[(&str, &str)] = &[("timeouts", "first_byte"), ("limits", "body")];

/// Reads `mode`.
pub(super) fn mode(field: Field<'_>) -> Option<Mode> {
    const WORDS: &[&str] = &["http", "tls_passthrough"];
    match field.text()? {
        "http" => Some(Mode::Http),
        "tls_passthrough" => Some(Mode::TlsPassthrough),
        text => field.refuse(
            "bad_value",
            format!("`{text}` is no mode"),
            did_you_mean(text, WORDS).unwrap_or_else(|| {
                "write `tls_passthrough`, or remove the line: `http` is what it is without"
                    .to_owned()
            }),
        ),
    }
}

/// Whether everything else fits to the mode. SECURITY: a key that has no effect must not look as if it had.
pub(super) fn check(
    section: &Section<'_>,
    mode: Option<Mode>,
    guarding: &Guarding,
    (outsides, internal): (&[&ExternalUrl], Option<&InternalUrls>),
) -> bool {
    if mode != Some(Mode::TlsPassthrough) {
        return true;
    }
    // Each has its say.
    let fits = [
        keys_fit(section),
        nobody_is_asked(section, guarding),
        urls_fit(
            section,
            outsides,
            internal.map_or(&[][..], InternalUrls::all),
        ),
    ];
    fits.into_iter().all(|fits| fits)
}

fn say(section: &Section<'_>, key: &str, what: &str, remedy: &str) {
    match section.peek(key) {
        Some(field) => drop(field.refuse::<()>("conflict", what, remedy)),
        None => section.error_at_key(key, "conflict", what, remedy),
    }
}

fn keys_fit(section: &Section<'_>) -> bool {
    let mut fits = true;
    let mut refuse = |key: &str, what: &str, remedy: &str| {
        fits = false;
        say(section, key, what, remedy);
    };
    for key in OF_REQUESTS.iter().filter(|key| section.has(key)) {
        refuse(
            key,
            "with `mode: tls_passthrough` TLS ends at the application, and the gateway sees nothing of \
             its requests",
            "remove it, or remove `mode`",
        );
    }
    for (key, below) in OF_REQUESTS_BELOW {
        let field = section.peek(key).filter(|field| field.is_map());
        if field.is_some_and(|field| field.key(below).is_some()) {
            refuse(
                key,
                &format!(
                    "`{below}` is about requests, of which the gateway sees nothing with `mode: tls_passthrough`"
                ),
                "remove it, or remove `mode`",
            );
        }
    }
    if section
        .peek("affinity")
        .is_some_and(|field| field.is_word("cookie"))
    {
        refuse(
            "affinity",
            "with `mode: tls_passthrough` the gateway has no cookies",
            "write `affinity: address`, or remove it",
        );
    }
    fits
}

fn nobody_is_asked(section: &Section<'_>, guarding: &Guarding) -> bool {
    let mut fits = true;
    let mut refuse = |key: &str, what: &str, remedy: &str| {
        fits = false;
        say(section, key, what, remedy);
    };
    let open = PreAuthentication::Passthrough;
    let methods = guarding.methods.as_deref();
    if methods.is_some_and(|methods| methods.iter().any(|method| *method != open)) {
        refuse(
            "pre_authentication",
            "with `mode: tls_passthrough` nobody can be asked who they are: TLS ends at the application",
            "write `[passthrough]` and rules of the network (`ip`, `country`, `time`), or remove `mode`",
        );
    }
    let mut conditions = accesses(guarding).flat_map(|access| access.conditions());
    if let Some(condition) = conditions.find(|one| Condition::needs_request(one)) {
        refuse(
            "access",
            &format!(
                "`{condition}` asks for what is in a request, and with `mode: tls_passthrough` the gateway \
                 sees none"
            ),
            "write conditions of the network and of the time alone: `ip`, `country`, `time`",
        );
    }
    fits
}

fn urls_fit(section: &Section<'_>, outsides: &[&ExternalUrl], insides: &[InternalUrl]) -> bool {
    let mut fits = true;
    let mut refuse = |key: &str, what: &str, remedy: &str| {
        fits = false;
        say(section, key, what, remedy);
    };
    let is_address = |url: &&&ExternalUrl| matches!(url.host, HostPattern::Exact(Host::Address(_)));
    if let Some(url) = outsides.iter().find(is_address) {
        refuse(
            "external_url",
            &format!("`{url}` is an address, and clients name no server where they open one"),
            "publish it under a name: that is all that is seen",
        );
    }
    if let Some(url) = outsides.iter().find(|url| url.scheme == Scheme::Http) {
        refuse(
            "external_url",
            &format!("`{url}` is http, which has no TLS to pass through"),
            "write https",
        );
    }
    if let Some(url) = outsides.iter().find(|url| !url.path.is_root()) {
        refuse(
            "external_url",
            &format!(
                "`{url}` has a path, which is inside TLS: the server name is all that is seen"
            ),
            "publish the whole host: end it in `/`",
        );
    }
    if let Some(url) = insides
        .iter()
        .find(|url| url.scheme == Scheme::Http || !url.path.is_root())
    {
        refuse(
            "internal_url",
            &format!("at `{url}` the application would have to end TLS, and any path is inside it"),
            "write https, host and port, such as `https://vault.corp.local:8200/`",
        );
    }
    fits
}

/// Whether each host whose TLS passes through is one application's alone: the server name is all there is
/// to tell them apart.
pub(super) fn are_alone(drafts: &[Draft], findings: &Findings) -> bool {
    let mut of_host: HashMap<&HostPattern, Vec<(&Application, &Draft)>> = HashMap::new();
    for draft in drafts {
        let Some(application) = &draft.application else {
            continue;
        };
        for url in application.external_urls() {
            let all = of_host.entry(&url.host).or_default();
            if all.iter().all(|(one, _)| one.name != application.name) {
                all.push((application, draft));
            }
        }
    }
    let mut alone = true;
    for draft in drafts {
        let passes = |one: &&Application| one.mode == Mode::TlsPassthrough;
        let (Some(application), Some((_, place))) =
            (draft.application.as_ref().filter(passes), &draft.external)
        else {
            continue;
        };
        for url in application.external_urls() {
            let all = of_host.get(&url.host).into_iter().flatten();
            let other = all
                .map(|(one, _)| one)
                .find(|one| one.name != application.name);
            if let Some(other) = other {
                alone = false;
                findings.error(
                    "conflict",
                    place,
                    format!(
                        "`{}` is also a host of `{}`, and with `mode: tls_passthrough` the server name is \
                         all that tells where a connection goes",
                        url.host, other.name
                    ),
                    "give the application a host of its own",
                );
                break;
            }
        }
    }
    alone
}
