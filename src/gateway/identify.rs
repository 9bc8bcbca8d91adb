//! Who sent a request to an application, and what is answered where that is not known: a page where
//! somebody can sign in, and for programs what they have to show and where they get it (RFC 6750, RFC
//! 9728).

use std::sync::Arc;

use http::header::HeaderName;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use super::current::Current;
use super::front;
use super::published::Published;
use super::respond::{self, Failure};
use super::route::Candidates;
use super::sign_in::{self, Visit};
use crate::auth::bearer::BearerError;
use crate::auth::{self, Challenge, Denied, Facts, Identity, Permit, ShownCertificate, StepUp};
use crate::http::{self as rules, Body};
use crate::model::{
    Application, Condition, ErrorCode, Guard, Host, PreAuthentication, RequestId, Scheme,
};
use crate::telemetry::AccessLine;
use crate::telemetry::audit::{Actor, Record};

/// Where programs find who gives tokens (RFC 9728 section 3), before the path of the application.
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// What is asked for, and what stands in front of it.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) application: &'a Arc<Application>,
    pub(super) guard: &'a Guard,
    pub(super) facts: &'a Facts<'a>,
}

/// Who sent a request, by the word of a provider that is still believed; or how to find out: the answer,
/// and none for a form, which is not lost if it can be helped.
pub(super) async fn identify(
    visit: &Visit<'_>,
    wanted: Wanted<'_>,
    request: &Request<Incoming>,
    access: &mut AccessLine,
) -> Result<Identity, Option<Result<Response<Body>, Failure>>> {
    let facts = wanted.facts;
    let found = visit.identity(wanted.application, wanted.guard, facts);
    let found = found.await;
    if let (Err(_), ShownCertificate::Refused(why)) = (&found, facts.certificate) {
        // Another method may be what is asked for then, and says nothing of it.
        tracing::info!(request_id = %access.id(), %why, "a certificate that does not count");
    }
    let identity = match found {
        Ok(identity) => identity,
        Err(Challenge::SignIn(why)) => {
            let asked = sign_in::Asked::of(facts.method, facts.is_websocket, facts.fields);
            return Err(match asked {
                sign_in::Asked::Form => None,
                _ => {
                    let answer = visit.challenge(facts, asked, why.as_ref(), request);
                    // A program may show a token in place of it.
                    let by_token = wanted.by_bearer().then(|| wanted.challenge(None));
                    Some(answer.map_err(|failure| failure.challenging(by_token)))
                }
            });
        }
        Err(challenge) => return Err(Some(Err(wanted.refusal(&challenge)))),
    };
    match &identity {
        Identity::ServiceToken(token) => {
            access.of_person(format!("service token {} ({})", token.name, token.id).into());
        }
        identity => {
            if let Some(person) = visit.said_of(identity) {
                access.of_person(person);
            }
        }
    }
    Ok(identity)
}

impl Wanted<'_> {
    /// Judges a request of somebody: what it asks for, and a second path where it has one.
    ///
    /// # Errors
    /// With what is answered instead.
    pub(super) fn authorise(
        self,
        visit: &Visit<'_>,
        identity: &Identity,
        request: &Request<Incoming>,
        id: &RequestId,
    ) -> Result<Permit, Box<Result<Response<Body>, Failure>>> {
        let permit = auth::authorise(identity, self.application, self.facts);
        let permit =
            permit.map_err(|denied| Box::new(self.denied(visit, denied, identity, request)))?;
        self.judge_destination(identity)
            .map_err(|failure| Box::new(Err(failure)))?;
        report(&permit, id);
        Ok(permit)
    }

    fn by_bearer(self) -> bool {
        self.guard.has(PreAuthentication::Bearer)
    }

    /// What a program is answered that does not show what it has to.
    fn refusal(self, challenge: &Challenge) -> Failure {
        let failure = Failure::new(challenge.code(), challenge.to_string());
        let failure = match challenge {
            // Whoever shows nothing is asked for it: nothing is denied yet.
            Challenge::SignIn(_)
            | Challenge::Bearer(None)
            | Challenge::ServiceToken(None)
            | Challenge::Certificate(None) => failure,
            _ => failure.denying(),
        };
        let parameters = match challenge {
            Challenge::Bearer(why) => why.as_ref().map(BearerError::told),
            Challenge::ServiceToken(_) if !self.by_bearer() => {
                let own = "Appproxy realm=\"appproxy\", field=\"Appproxy-Authorization\"";
                return failure.challenging(Some(own.to_owned()));
            }
            Challenge::ServiceToken(_) if self.by_bearer() => None,
            // RFC 6750 section 3.1.
            Challenge::InQuery | Challenge::Several(..) | Challenge::Malformed(_)
                if self.by_bearer() =>
            {
                let told = challenge.to_string().replace(['"', '\\'], "'");
                let error = format!("error=\"invalid_request\", error_description=\"{told}\"");
                return failure.challenging(Some(self.challenge(Some(error))));
            }
            _ => return failure,
        };
        let error =
            parameters.map(|told| format!("error=\"invalid_token\", error_description=\"{told}\""));
        failure.challenging(Some(self.challenge(error)))
    }

    /// What somebody is answered who is known and not let in: the way to prove more, where that would
    /// help.
    fn denied(
        self,
        visit: &Visit<'_>,
        denied: Denied,
        identity: &Identity,
        request: &Request<Incoming>,
    ) -> Result<Response<Body>, Failure> {
        let error = match (&denied, identity) {
            (Denied::StepUp { wanted, .. }, Identity::Session(_)) => {
                let answer = visit.step_up(self.facts, wanted, identity, request);
                return answer.unwrap_or_else(|| Err(denied.into()));
            }
            // Another token would do (RFC 9470 section 3).
            (Denied::StepUp { wanted, .. }, Identity::Bearer(_)) => {
                let failure = Failure::new(ErrorCode::TokenRequired, denied.to_string()).denying();
                let error = further_proof(wanted);
                return Err(failure.challenging(Some(self.challenge(Some(error)))));
            }
            (_, Identity::Bearer(_)) => self.insufficient_scope(),
            _ => return Err(denied.into()),
        };
        Err(Failure::from(denied).challenging(Some(self.challenge(Some(error)))))
    }

    /// RFC 6750 section 3.1.
    fn insufficient_scope(self) -> String {
        let scopes = scopes(self.guard);
        let mut error = "error=\"insufficient_scope\"".to_owned();
        if !scopes.is_empty() {
            error.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
        }
        error
    }

    /// The scheme, what is wrong, and where it is said who gives tokens (RFC 9728 section 5.1).
    fn challenge(self, error: Option<String>) -> String {
        let metadata = metadata_url(self.application, self.facts.host);
        let error = error.map_or_else(String::new, |error| format!("{error}, "));
        format!("Bearer {error}resource_metadata=\"{metadata}\"")
    }
}

/// The field by which WebDAV names a second resource (RFC 4918 section 10.3).
const DESTINATION: HeaderName = HeaderName::from_static("destination");

impl Wanted<'_> {
    /// Judges the second path of a request that has one, COPY and MOVE of WebDAV: what may not be asked for
    /// may not be written to either. Where paths decide nothing there is nothing to judge.
    ///
    /// # Errors
    /// Where it is not as good as the first one, or cannot be read.
    fn judge_destination(self, identity: &Identity) -> Result<(), Failure> {
        let by_token = matches!(identity, Identity::ServiceToken(token) if token.goes_by_path());
        if !by_token && !self.application.goes_by_path() {
            return Ok(());
        }
        let bad = || Failure::new(ErrorCode::BadRequest, "its `Destination` cannot be judged");
        for field in self.facts.fields.get_all(&DESTINATION) {
            let text = field.to_str().map_err(|_| bad())?;
            let uri: Uri = text.trim().parse().map_err(|_| bad())?;
            let path = rules::canonical(uri.path(), true).map_err(|_| bad())?;
            let facts = Facts {
                path,
                ..*self.facts
            };
            let denied = |denied: Denied| {
                let detail = format!("its `Destination`: {denied}");
                Failure::new(denied.code(), detail).denying()
            };
            let guard = auth::guard_of(self.application, path).map_err(denied)?;
            if !std::ptr::eq(guard, self.guard) {
                let detail = "its `Destination` has another guard than its path";
                return Err(Failure::new(ErrorCode::Denied, detail).denying());
            }
            auth::judge_again(identity, self.application, facts.circumstances()).map_err(denied)?;
        }
        Ok(())
    }
}

/// What is missing of the proof of who it is.
fn further_proof(wanted: &StepUp) -> String {
    let mut error = "error=\"insufficient_user_authentication\"".to_owned();
    // What could end the text is in no value that a rule may have, and is not said all the same.
    let plain = |acr: &str| !acr.contains(['"', '\\']);
    let acr_values: Vec<&str> = wanted.acr_values.iter().map(|acr| &**acr).collect();
    if !acr_values.is_empty() && acr_values.iter().all(|acr| plain(acr)) {
        error.push_str(&format!(", acr_values=\"{}\"", acr_values.join(" ")));
    }
    if let Some(age) = wanted.max_age {
        error.push_str(&format!(", max_age=\"{age}\""));
    }
    error
}

/// The scopes that one of the lines wants, as operators wrote them.
fn scopes(guard: &Guard) -> Vec<&str> {
    let lines = guard.access.allow.iter();
    let scopes = lines.flat_map(|rule| Condition::scopes(&rule.condition));
    let mut scopes: Vec<&str> = scopes.map(|scope| &**scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// The path of an application without the slash at its end.
fn path_of(application: &Application) -> &str {
    application.external.path.as_str().trim_end_matches('/')
}

fn metadata_url(application: &Application, host: &Host) -> String {
    let authority = application.external.authority(host);
    format!("https://{authority}{METADATA}{}", path_of(application))
}

/// Answers where tokens for an application come from (RFC 9728 section 3.2), if it takes any: anybody may
/// know, as anybody is sent to the same providers to sign in.
pub(super) fn metadata(
    current: &Current,
    candidates: &Candidates<'_>,
    (scheme, host, port): (Scheme, &Host, u16),
    request: &Request<Incoming>,
    id: &RequestId,
) -> Option<Response<Body>> {
    let path = request.uri().path().strip_prefix(METADATA)?;
    if scheme != Scheme::Https || !front::is_read(request) {
        return None;
    }
    let mut all = candidates.at(scheme, port);
    let application = all.find(|one| path_of(one) == path && one.has(PreAuthentication::Bearer))?;
    let issuers = current.config.identity_providers.iter();
    let issuers: Vec<&str> = issuers.map(|provider| &*provider.issuer).collect();
    let mut said = serde_json::json!({
        "resource": format!("https://{}{}", application.external.authority(host), path),
        "resource_name": application.name.as_str(),
        "authorization_servers": issuers,
        "bearer_methods_supported": ["header"],
    });
    let mut all: Vec<&str> = application.guards().flat_map(scopes).collect();
    all.sort_unstable();
    all.dedup();
    if !all.is_empty() {
        said["scopes_supported"] = all.into();
    }
    if let Some(login) = &application.bearer.login {
        let mut all = current.config.identity_providers.iter();
        let named = |own: &str| login.provider.as_deref().is_none_or(|name| *name == *own);
        let provider = all.find(|one| named(one.name.as_str()));
        let scopes: Vec<&str> = login.scopes.iter().map(|scope| &**scope).collect();
        // A word of ours, which RFC 9728 section 2 has room for.
        said["appproxy_login"] = serde_json::json!({
            "issuer": provider.map(|one| &*one.issuer),
            "client_id": &*login.client_id,
            "scopes": scopes,
        });
    }
    let mut response = respond::plain(StatusCode::OK, id);
    let text = said.to_string();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Programs in browsers may read it as well.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if *request.method() != Method::HEAD {
        *response.body_mut() = Body::full(text);
    }
    Some(response)
}

/// What a rule would have done that only reports.
fn report(permit: &Permit, id: &RequestId) {
    if let Some(rule) = permit.would_deny() {
        let application = &permit.application().name;
        tracing::info!(request_id = %id, %application, %rule, "a rule that only reports would deny this");
    }
}

/// Records that somebody was not let in.
pub(super) fn record(failure: &Failure, access: &AccessLine, routed: Option<&Published>) {
    let actor = access.person().map_or(Actor::Nobody, Actor::Known);
    Record::new("denied", actor)
        .failed()
        .client(access.client())
        .reference(access.id())
        .maybe(
            "application",
            routed.map(|one| one.application.name.as_str()),
        )
        .maybe("path", access.path())
        .with("code", failure.code().as_str())
        .with("cause", failure.detail())
        .write();
}
