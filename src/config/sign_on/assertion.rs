//! `assertion`: the gateway's signed word about a person.

use std::sync::Arc;

use http::HeaderName;

use super::super::field::Field;
use super::headers::header_name;
use crate::model::{Assertion, ExternalUrl};

/// Reads it; `known` are the fields beside it. Its issuer is not known yet.
pub(super) fn assertion(
    field: Field<'_>,
    outside: Option<&ExternalUrl>,
    known: &[HeaderName],
) -> Option<Assertion> {
    field.section(&[], |section| {
        let header = match section.optional("header") {
            None => Some(Assertion::HEADER),
            Some(field) => field.text().and_then(|text| {
                // Of all that begins like it this one alone says who somebody is.
                match text.eq_ignore_ascii_case(Assertion::HEADER.as_str()) {
                    true => Some(Assertion::HEADER),
                    false => header_name(text, field, known),
                }
            }),
        };
        let audience = section.optional("audience").map(audience);
        let claims = section
            .optional("claims")
            .map(|field| field.distinct(claim));
        Some(Assertion {
            header: header?,
            issuer: Arc::default(),
            audience: match audience {
                Some(read) => read?,
                None => outside?.to_string().into(),
            },
            claims: match claims {
                Some(read) => read?.into(),
                None => Arc::default(),
            },
        })
    })?
}

fn audience(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    if text.len() > 512 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return field.refuse(
            "bad_value",
            "this is no name of an application: it has a blank or a character outside ASCII, or is too long",
            "write what the application compares `aud` with, or remove it: the external URL stands there then",
        );
    }
    Some(text.into())
}

fn claim(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    if Assertion::OWN.contains(&text) {
        return field.refuse(
            "reserved_claim",
            format!("`{text}` is what the gateway itself says"),
            "remove it: it is there where it is known",
        );
    }
    if text.contains(char::is_control) || text.len() > 256 {
        return field.refuse(
            "bad_value",
            "this is no name of a claim",
            "write its name, or the way to it with dots, such as `realm_access.roles`",
        );
    }
    Some(text.into())
}
