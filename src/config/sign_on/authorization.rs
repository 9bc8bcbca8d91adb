//! What goes into `Authorization`: `basic`, and `access_token` where no other field is named.

use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::super::field::Field;
use super::headers::{TEMPLATE, header_name};
use crate::model::{AccessToken, Basic, Template, TemplateError, Username};

/// `basic`.
pub(super) fn basic(field: Field<'_>, folder: &Path) -> Option<Basic> {
    field.section(&[], |section| {
        let username = section.required("username", "\"{upn}\"");
        let username = username.and_then(username_of);
        let password = section.required("password", "{ file: /etc/appproxy/wiki.password }");
        let place = password.map(|field| field.place().clone());
        let password = password.and_then(|field| field.secret(folder));
        Some(Basic {
            username: username?,
            password: password?,
            place: place?,
        })
    })?
}

fn username_of(field: Field<'_>) -> Option<Username> {
    let text = field.text()?;
    if text.contains(|c: char| c.is_control()) {
        return field.refuse(
            "bad_value",
            "a user name has no control characters",
            "remove them",
        );
    }
    match Template::parse(text) {
        Ok(template) if template.repeats() => field.refuse(
            "bad_template",
            "`repeat` makes several of one, and a person has one user name",
            "remove it, or name a claim that is one text",
        ),
        Ok(template) => Some(Username::Of(Arc::new(template))),
        // The same for all, as it is written.
        Err(TemplateError::Constant) => {
            let name = text.replace("{{", "{").replace("}}", "}");
            if name.contains(':') {
                return field.refuse(
                    "bad_value",
                    "a colon would end the user name",
                    "write the name the application knows, without `:`",
                );
            }
            Some(Username::Fixed(name.into()))
        }
        Err(error) => field.refuse("bad_template", error.to_string(), TEMPLATE),
    }
}

/// `access_token`. Whose it is, is not known yet.
pub(super) fn access_token(field: Field<'_>, known: &[HeaderName]) -> Option<AccessToken> {
    field.section(&[], |section| {
        let header = section.optional("header");
        let header = header.map(|field| {
            let name = field.text()?;
            header_name(name, field, known)
        });
        Some(AccessToken {
            header: match header {
                Some(read) => Some(read?),
                None => None,
            },
            provider: Arc::default(),
        })
    })?
}
