//! Rules of access in words.

use super::words::Writing;
use super::{EVERYBODY, Opens};
use crate::model::{
    Access, AccessRule, Application, Assertion, Bearer, ClientCertificates, Condition, Guard,
    PreAuthentication, SignOn, Username,
};

/// Lines of rules with what stands behind the names in them: another rule under the same name is another.
fn rules(rules: &[AccessRule], report_only: bool) -> impl Iterator<Item = String> {
    let rules = rules.iter();
    let rules = rules.filter(move |rule| rule.report_only == report_only);
    rules.map(|rule| {
        let mut text = rule.text().to_string();
        named(&rule.condition, &mut |name, condition| {
            text.push_str(&format!(" ({name}: {condition})"));
        });
        text
    })
}

fn named(condition: &Condition, found: &mut dyn FnMut(&str, &Condition)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| named(part, found));
        }
        Condition::Not(part) => named(part, found),
        Condition::Named(name, part) => found(name, part),
        _ => {}
    }
}

/// What stands in front of an application, or of the path that `of` begins with.
pub(super) fn guarded(settings: &mut Writing, of: &str, guard: &Guard) {
    let access = &guard.access;
    let key = |name: &str| format!("{of}{name}");
    settings
        .put(
            &key("pre_authentication"),
            Opens::Any,
            &guard.pre_authentication,
        )
        .put(&key("access.allow"), Opens::More, allowed(guard))
        .put(
            &key("access.deny"),
            Opens::Fewer,
            rules(&access.deny, false),
        )
        .say(&key("access (only reported)"), only_reported(access));
}

/// What stands in front of single paths, and which access tokens are taken.
pub(super) fn guarded_paths(settings: &mut Writing, application: &Application) {
    for one in application.paths.all() {
        guarded(
            settings,
            &format!("paths {}: ", one.path.as_str()),
            &one.guard,
        );
    }
    if application.has(PreAuthentication::Bearer) {
        let Bearer {
            audiences,
            clients,
            forward,
            login,
        } = &*application.bearer;
        settings
            .put("bearer.audience", Opens::More, audiences)
            .put("bearer.clients", Opens::Any, clients)
            .say("bearer.forward", forward.then_some("yes"))
            .say("bearer.login", login.iter().map(|login| &login.client_id));
    }
}

/// Whose certificates count, and what the application learns of them.
pub(super) fn certified(settings: &mut Writing, certificates: Option<&ClientCertificates>) {
    let yes = |is: fn(&ClientCertificates) -> bool| certificates.map(|one| is(one).to_string());
    let ca = certificates.map(|one| one.ca.display().to_string());
    let pem = certificates.and_then(|one| one.pem_header.as_ref());
    let without_origin = certificates
        .iter()
        .flat_map(|one| one.without_origin.iter());
    settings
        .put("client_certificates.ca", Opens::Any, ca)
        .say("client_certificates.forward", yes(|one| one.forward))
        .say(
            "client_certificates.forward_chain",
            yes(|one| one.forward_chain),
        )
        .say("client_certificates.pem_header", pem)
        .put(
            "client_certificates.without_origin",
            Opens::More,
            without_origin.map(|path| path.as_str()),
        );
}

/// Who may; everybody where nobody has to sign in and nothing is said.
fn allowed(guard: &Guard) -> Vec<String> {
    let allow = &guard.access.allow;
    match allow.is_empty() && guard.has(PreAuthentication::Passthrough) {
        true => vec![EVERYBODY.to_owned()],
        false => rules(allow, false).collect(),
    }
}

/// Lines that decide nothing.
fn only_reported(access: &Access) -> impl Iterator<Item = String> {
    rules(&access.allow, true).chain(rules(&access.deny, true))
}

/// What an application is told of people: the keys, and what stands there.
pub(super) fn told(settings: &mut Writing, sign_on: &SignOn) {
    let headers = sign_on.headers.iter();
    let headers = headers.map(|header| format!("{}: {}", header.name, header.value));
    let assertion = sign_on.assertion.as_deref().map(|assertion| {
        let Assertion {
            header,
            issuer: _,
            audience,
            claims,
        } = assertion;
        format!("{header} for {audience} with [{}]", claims.join("|"))
    });
    let basic = sign_on.basic.as_deref().map(|basic| {
        let username = match &basic.username {
            Username::Fixed(name) => name.to_string(),
            Username::Of(template) => template.to_string(),
        };
        format!("{username} with {}", basic.password)
    });
    let token = sign_on.access_token.as_deref().map(|token| {
        let header = token.header.as_ref();
        let header = header.map_or("authorization", |name| name.as_str());
        format!("{header} of {}", token.provider)
    });
    settings
        .put("single_sign_on.headers", Opens::Any, headers)
        .put("single_sign_on.assertion", Opens::Any, assertion)
        .put("single_sign_on.basic", Opens::Any, basic)
        .put("single_sign_on.access_token", Opens::Any, token);
}
