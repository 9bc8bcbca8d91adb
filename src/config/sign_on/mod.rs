//! What an application is told of people.

mod assertion;
mod authorization;
mod headers;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::field::Field;
use super::guard::{Guarding, accesses, knows_people};
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{
    Access, AccessToken, Application, Condition, ExternalUrl, SignIn, SignOn, SignOnHeader,
    Username,
};
use assertion::assertion;
use authorization::{access_token, basic};
pub(super) use headers::header_name;
use headers::headers_of;

/// Ways that the documents describe, not built yet.
const LATER: &[&str] = &["kerberos"];

/// The ways there are.
const WAYS: &[&str] = &["headers", "assertion", "basic", "access_token"];

/// `single_sign_on` of an application.
pub(super) fn sign_on(
    section: &Section<'_>,
    guarding: &Guarding,
    outside: Option<&ExternalUrl>,
    (asked, folder): (&Asked, &Path),
) -> Option<SignOn> {
    let Some(field) = section.optional("single_sign_on") else {
        return Some(SignOn::default());
    };
    let read = field.section(LATER, |section| ways(field, section, outside, folder));
    let methods = guarding.methods.as_deref();
    if methods.is_some_and(|methods| !knows_people(methods)) {
        return field.refuse(
            "conflict",
            "nobody is known where `pre_authentication` asks nobody to sign in",
            "write `pre_authentication: [oidc]`, or remove `single_sign_on`",
        );
    }
    let sign_on = read
        .flatten()
        .and_then(|read| of_whom(field, read, guarding, asked));
    if let Some(sign_on) = sign_on.as_ref().filter(|read| read.says_authorization()) {
        check_connections(section, sign_on);
    }
    sign_on
}

/// What stands in `single_sign_on`.
fn ways(
    field: Field<'_>,
    section: &Section<'_>,
    outside: Option<&ExternalUrl>,
    folder: &Path,
) -> Option<SignOn> {
    let at_headers = section.optional("headers");
    let at_assertion = section.optional("assertion");
    let at_basic = section.optional("basic");
    let at_token = section.optional("access_token");
    if !WAYS.iter().chain(LATER).any(|way| section.has(way)) {
        return field.refuse(
            "empty_section",
            "nothing is said of how the application is told",
            "add `headers: { X-User: \"{upn ?? email}\" }` or `assertion: {}`, or remove it",
        );
    }
    let headers = match at_headers {
        Some(field) => headers_of(field),
        None => Some(Vec::new()),
    };
    // Each field has one meaning.
    let known = headers.iter().flatten().map(|header| header.name.clone());
    let mut known: Vec<_> = known.collect();
    let assertion = at_assertion.map(|field| assertion(field, outside, &known));
    known.extend(assertion.iter().flatten().map(|one| one.header.clone()));
    let basic = at_basic.map(|field| basic(field, folder));
    let token = at_token.map(|field| access_token(field, &known));
    if let (Some(_), Some(Some(AccessToken { header: None, .. })), Some(field)) =
        (&basic, &token, at_token)
    {
        return field.refuse(
            "conflict",
            "`basic` stands in `Authorization` too, and a request has one",
            "keep one of the two, or name another field, such as `access_token: { header: X-Access-Token }`",
        );
    }
    Some(SignOn {
        headers: headers?,
        assertion: shared(assertion)?,
        basic: shared(basic)?,
        access_token: shared(token)?,
        deleted: Arc::default(),
    })
}

/// Absent, or written and refused, or good.
fn shared<T>(read: Option<Option<T>>) -> Option<Option<Arc<T>>> {
    match read {
        Some(read) => Some(Some(Arc::new(read?))),
        None => Some(None),
    }
}

/// Sees to it that people of several providers are not taken for one another.
fn of_whom(
    field: Field<'_>,
    mut read: SignOn,
    guarding: &Guarding,
    asked: &Asked,
) -> Option<SignOn> {
    const REMEDY: &str = "have `{provider}` in it, or write the same `provider: NAME` into each line of \
                          `access.allow`: the same words at another provider are other people";
    let provider = match asked.has_several() {
        true => only_provider(guarding).map(Arc::from),
        false => asked.providers.iter().flatten().next().cloned(),
    };
    if let Some(token) = &mut read.access_token {
        Arc::make_mut(token).provider = provider.clone().unwrap_or_default();
    }
    if !asked.has_several() || provider.is_some() || guarding.guard.is_none() {
        return Some(read);
    }
    let same =
        |what: &str| format!("`{what}` would be the same for people of several identity providers");
    let ambiguous = |header: &&SignOnHeader| !header.value.names("provider");
    if let Some(header) = read.headers.iter().find(ambiguous) {
        return field.refuse("ambiguous", same(header.name.as_str()), REMEDY);
    }
    let username = read.basic.as_ref().map(|basic| &basic.username);
    if let Some(Username::Of(template)) = username
        && !template.names("provider")
    {
        return field.refuse("ambiguous", same("basic.username"), REMEDY);
    }
    if read.access_token.is_some() {
        return field.refuse(
            "ambiguous",
            "tokens of one identity provider would go to an application that takes those of another",
            "write the same `provider: NAME` into each line of `access.allow`",
        );
    }
    Some(read)
}

/// NTLM and Negotiate are of the browser, in the same field.
fn check_connections(section: &Section<'_>, sign_on: &SignOn) {
    let signed_in = section.peek("connection_authentication");
    if signed_in.is_some_and(|field| field.is_word("true")) {
        let way = match sign_on.basic {
            Some(_) => "basic",
            None => "access_token",
        };
        section.error_at_key(
            "single_sign_on",
            "conflict",
            &format!(
                "`{way}` stands in `Authorization`, where `connection_authentication` has browsers answer the application"
            ),
            "keep one of the two",
        );
    }
}

/// What all applications have to know of one another and of the gateway: the names of all are deleted in
/// what clients send to any, and what is signed is the sign-in host's word.
pub(super) fn complete(applications: &mut [Application], sign_in: Option<&SignIn>) {
    let names = applications.iter().flat_map(|one| {
        let certificates = one.client_certificates.as_ref();
        let pem = certificates.and_then(|settings| settings.pem_header.as_ref());
        one.sign_on.names().chain(pem)
    });
    let names: BTreeSet<&str> = names.map(HeaderName::as_str).collect();
    let names: Arc<[HeaderName]> = names
        .into_iter()
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .collect();
    for application in applications {
        application.sign_on.deleted = Arc::clone(&names);
        if let (Some(assertion), Some(sign_in)) = (&mut application.sign_on.assertion, sign_in) {
            Arc::make_mut(assertion).issuer = sign_in.origin().into();
        }
    }
}

/// The identity provider of whose people alone every line lets some in, of the application and of its
/// paths.
fn only_provider(guarding: &Guarding) -> Option<&str> {
    let mut named = accesses(guarding).map(provider_of);
    let first = named.next()??;
    named.all(|other| other == Some(first)).then_some(first)
}

/// The identity provider, where every line lets in people of one alone, and all of the same.
fn provider_of(access: &Access) -> Option<&str> {
    fn named(condition: &Condition) -> Option<&str> {
        match condition {
            Condition::Provider(name) => Some(name),
            Condition::All(parts) => parts.iter().find_map(named),
            Condition::Named(_, part) => named(part),
            _ => None,
        }
    }
    let by_token = |part: &Condition| matches!(part, Condition::ServiceToken(_));
    let lines = access.allow.iter().filter(|rule| !rule.report_only);
    // Of a program with a service token nothing is told.
    let lines = lines.filter(|rule| !rule.condition.is_only_for(&by_token));
    let names: BTreeSet<_> = lines.map(|rule| named(&rule.condition)).collect();
    let only = names.first().copied().flatten();
    only.filter(|_| names.len() == 1)
}
