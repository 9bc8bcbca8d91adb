//! Whom an application lets in, and what it is told of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderName;

use super::access::{Known, NamedRules, access, check_paths};
use super::field::Field;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{
    Access, Application, Condition, ExternalUrl, PreAuthentication, SignOn, SignOnHeader, Template,
};

/// Ways that the documents describe, not built yet.
const LATER: &[&str] = &["assertion", "basic", "access_token", "kerberos"];

const TEMPLATE: &str = "write claims in braces, such as \"{upn ?? email}\" or \
                        \"{groups|join(\\\",\\\")}\", and the whole in quotes";

/// Who may, and what the application is told of them.
pub(super) fn people(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    outside: Option<&ExternalUrl>,
    (asked, rules): (&Asked, &NamedRules),
) -> (Option<Access>, Option<SignOn>) {
    let access = access(section, methods, &Known { asked, rules });
    if let Some((access, external)) = access.as_ref().zip(outside) {
        check_paths(section, access, &external.path);
    }
    let sign_on = sign_on(section, methods, access.as_ref(), asked);
    (access, sign_on)
}

/// `single_sign_on` of an application.
fn sign_on(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    access: Option<&Access>,
    asked: &Asked,
) -> Option<SignOn> {
    let Some(field) = section.optional("single_sign_on") else {
        return Some(SignOn::default());
    };
    let read = field.section(LATER, |section| {
        let headers = section.required("headers", "{ X-User: \"{upn ?? email}\" }");
        headers.and_then(headers_of)
    })?;
    if methods.is_some_and(|methods| !methods.contains(&PreAuthentication::Oidc)) {
        return field.refuse(
            "conflict",
            "nobody is known where `pre_authentication` asks nobody to sign in",
            "write `pre_authentication: [oidc]`, or remove `single_sign_on`",
        );
    }
    let headers = read?;
    if asked.has_several() && !access.is_none_or(of_one_provider) {
        let ambiguous = |header: &&SignOnHeader| !header.value.names("provider");
        if let Some(header) = headers.iter().find(ambiguous) {
            return field.refuse(
                "ambiguous",
                format!(
                    "`{}` would be the same for people of several identity providers",
                    header.name
                ),
                "have `{provider}` in it, or write the same `provider: NAME` into each line of \
                 `access.allow`: the same words at another provider are other people",
            );
        }
    }
    Some(SignOn {
        headers,
        deleted: Arc::default(),
    })
}

/// Has the names of all applications deleted in what clients send to any.
pub(super) fn delete_everywhere(applications: &mut [Application]) {
    let names = applications.iter().flat_map(|one| &one.sign_on.headers);
    let names: BTreeSet<&str> = names.map(|header| header.name.as_str()).collect();
    let names: Arc<[HeaderName]> = names
        .into_iter()
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    for application in applications {
        application.sign_on.deleted = Arc::clone(&names);
    }
}

/// Whether every line lets in people of one identity provider alone, and all of the same.
fn of_one_provider(access: &Access) -> bool {
    fn named(condition: &Condition) -> Option<&str> {
        match condition {
            Condition::Provider(name) => Some(name),
            Condition::All(parts) => parts.iter().find_map(named),
            Condition::Named(_, part) => named(part),
            _ => None,
        }
    }
    let lines = access.allow.iter().filter(|rule| !rule.report_only);
    let names: BTreeSet<_> = lines.map(|rule| named(&rule.condition)).collect();
    names.len() == 1 && !names.contains(&None)
}

fn headers_of(field: Field<'_>) -> Option<Vec<SignOnHeader>> {
    let mut headers: Vec<SignOnHeader> = Vec::new();
    let mut whole = true;
    for (name, value) in field.names()? {
        let template = value.text().and_then(|text| match Template::parse(text) {
            Ok(template) => Some(Arc::new(template)),
            Err(error) => value.refuse("bad_template", error.to_string(), TEMPLATE),
        });
        let name = header_name(name, value, &headers);
        match name.zip(template) {
            Some((name, value)) => headers.push(SignOnHeader { name, value }),
            None => whole = false,
        }
    }
    if headers.is_empty() && whole {
        return field.refuse("empty_section", "no header is named", TEMPLATE);
    }
    whole.then_some(headers)
}

fn header_name(text: &str, field: Field<'_>, known: &[SignOnHeader]) -> Option<HeaderName> {
    const OTHER: &str = "choose another name, such as `X-User` or `Remote-User`";
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    let name = name.filter(|name| name.as_str().bytes().all(plain));
    let Some(name) = name else {
        return field.refuse(
            "bad_header",
            format!("`{text}` is no name of a header field that every application reads alike"),
            "write letters, digits and `-`",
        );
    };
    if is_reserved(name.as_str()) {
        return field.refuse(
            "reserved_header",
            format!("`{text}` is not for what is known of a person"),
            OTHER,
        );
    }
    if known.iter().any(|other| other.name == name) {
        return field.refuse(
            "duplicate_value",
            format!("`{text}` is named twice: names of header fields are the same in either case"),
            "remove one of the two",
        );
    }
    Some(name)
}

/// What frames, routes, conditions or describes a message, or is the gateway's or the browser's to say.
fn is_reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "age",
        "authorization",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "max-forwards",
        "origin",
        "range",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    const PREFIXES: &[&str] = &[
        "accept",
        "access-control-",
        "appproxy-",
        "cache-",
        "client-cert",
        "content-",
        "if-",
        "proxy",
        "sec-",
        "traceparent",
        "tracestate",
        "x-forwarded-",
        "x-original-",
        "x-rewrite-",
    ];
    // By these common proxies say who it is.
    const USUAL: &[&str] = &[
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-forwarded-user",
    ];
    if USUAL.contains(&name) {
        return false;
    }
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
