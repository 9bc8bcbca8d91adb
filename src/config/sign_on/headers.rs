//! Header fields that tell an application who it is: their names, and what they say.

use std::sync::Arc;

use http::HeaderName;

use super::super::field::Field;
use crate::model::{SignOnHeader, Template};

pub(super) const TEMPLATE: &str = "write claims in braces, such as \"{upn ?? email}\" or \
                                   \"{groups|join(\\\",\\\")}\", and the whole in quotes";

/// `headers`.
pub(super) fn headers_of(field: Field<'_>) -> Option<Vec<SignOnHeader>> {
    let mut headers: Vec<SignOnHeader> = Vec::new();
    let mut whole = true;
    for (name, value) in field.names()? {
        let template = value.text().and_then(|text| match Template::parse(text) {
            Ok(template) => Some(Arc::new(template)),
            Err(error) => value.refuse("bad_template", error.to_string(), TEMPLATE),
        });
        let known: Vec<_> = headers.iter().map(|header| header.name.clone()).collect();
        let name = header_name(name, value, &known);
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

/// The name of a field that no other one of the application has.
pub(in crate::config) fn header_name(
    text: &str,
    field: Field<'_>,
    known: &[HeaderName],
) -> Option<HeaderName> {
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
    if known.contains(&name) {
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
