//! What pages of other origins are told of an application: by its rules, which the gateway owns
//! whatever the application says. True preflights carry no session, so no application with sign-in
//! could answer one.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::respond::{self, Failure};
use crate::http::Body;
use crate::model::{Application, Cors, ErrorCode, RequestId};

/// What only the rules say; an application's own words would say more, or the same twice.
const OWNED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// An answer that has the rules' words already: that to a preflight.
#[derive(Debug, Clone, Copy)]
struct Told;

/// Whether a browser asks here whether a page may ask (Fetch Standard, section 4.8).
fn is_preflight<B>(request: &Request<B>) -> bool {
    let fields = request.headers();
    *request.method() == Method::OPTIONS
        && fields.contains_key(ORIGIN)
        && fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight by the application's rules. `None` where it is none, or the application looks
/// after such things itself.
///
/// # Errors
/// Where no rule allows what the page wants to do.
pub(super) fn preflight<B>(
    application: &Application,
    request: &Request<B>,
    id: &RequestId,
) -> Result<Option<Response<Body>>, Failure> {
    if !is_preflight(request) {
        return Ok(None);
    }
    let refused = |why: &str| {
        let detail = format!("a page of another origin may not ask: {why}");
        Err(Failure::new(ErrorCode::CrossOrigin, detail))
    };
    let Some(cors) = &application.front.cors else {
        return match application.signs_in() {
            true => refused("the application has no `cors`"),
            false => Ok(None),
        };
    };
    let fields = request.headers();
    let (Some(origin), Some(method)) = (
        one(fields, &ORIGIN),
        one(fields, &ACCESS_CONTROL_REQUEST_METHOD),
    ) else {
        return refused("it says twice who it is, or what it wants");
    };
    if !cors.allows_origin(origin.as_bytes()) {
        return refused("its origin is not among `cors.origins`");
    }
    if !method
        .to_str()
        .is_ok_and(|method| cors.allows_method(method))
    {
        return refused("its method is not among `cors.methods`");
    }
    let asked = fields.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    for list in asked {
        let Ok(list) = list.to_str() else {
            return refused("it names headers that are none");
        };
        let mut names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        if !names.all(|name| cors.allows_header(name)) {
            return refused("one of its headers is not among `cors.headers`");
        }
    }
    let mut response = respond::plain(StatusCode::NO_CONTENT, id);
    response.extensions_mut().insert(Told);
    let headers = response.headers_mut();
    say(headers, cors, Some(origin));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    put_list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers);
    headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.as_secs().into());
    Ok(Some(response))
}

/// Puts the rules' words on an answer, one of ours too, in place of the application's.
pub(super) fn after<B>(response: &mut Response<B>, cors: &Cors, origin: Option<&HeaderValue>) {
    if response.extensions().get::<Told>().is_some() {
        return;
    }
    let fields = response.headers_mut();
    for name in OWNED {
        fields.remove(name);
    }
    say(fields, cors, origin);
}

/// Has an answer say nothing to pages of other origins.
pub(super) fn none<B>(response: &mut Response<B>) {
    for name in OWNED {
        response.headers_mut().remove(name);
    }
}

fn say(fields: &mut HeaderMap, cors: &Cors, origin: Option<&HeaderValue>) {
    fields.append(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| cors.allows_origin(origin.as_bytes())) else {
        return;
    };
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if cors.credentials {
        let yes = HeaderValue::from_static("true");
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    put_list(fields, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose);
}

fn put_list(fields: &mut HeaderMap, name: HeaderName, list: &[std::sync::Arc<str>]) {
    // Names that were read as such: always a field's value.
    if !list.is_empty()
        && let Ok(value) = HeaderValue::try_from(list.join(", "))
    {
        fields.insert(name, value);
    }
}

fn one<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut all = fields.get_all(name).iter();
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::gateway::route::tests::application;
    use crate::model::PreAuthentication;

    fn rules() -> Arc<Cors> {
        Arc::new(Cors {
            origins: vec!["https://portal.example.com".into()],
            methods: vec!["PUT".into()],
            headers: vec!["x-requested-with".into(), "content-type".into()],
            expose: vec!["etag".into()],
            credentials: true,
            max_age: Duration::from_secs(600),
        })
    }

    fn with(cors: Option<Arc<Cors>>, method: PreAuthentication) -> Application {
        let mut some = (*application("wiki", "https://w.example.com/", "http://w.corp/")).clone();
        some.front.cors = cors;
        some.guard.pre_authentication = vec![method];
        some
    }

    fn ask(fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::OPTIONS;
        for (name, value) in fields {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(*name, value);
        }
        request
    }

    const ORIGIN: (&str, &str) = ("origin", "https://portal.example.com");
    const METHOD: &str = "access-control-request-method";
    const HEADERS: &str = "access-control-request-headers";

    #[test]
    fn a_preflight_is_answered_by_the_rules_and_without_rules_refused() {
        let id = RequestId::from_random([1; 8]);
        let own = with(Some(rules()), PreAuthentication::Oidc);
        let bare = with(None, PreAuthentication::Oidc);
        let open = with(None, PreAuthentication::Passthrough);
        let put = [
            ORIGIN,
            (METHOD, "PUT"),
            (HEADERS, "Content-Type,x-requested-with"),
        ];
        let answer = preflight(&own, &ask(&put), &id).unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        for (name, value) in [
            ("access-control-allow-origin", "https://portal.example.com"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "PUT"),
            (
                "access-control-allow-headers",
                "x-requested-with, content-type",
            ),
            ("access-control-max-age", "600"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.headers()[name], value, "{name}");
        }
        let vary = answer.headers().get_all("vary").iter();
        assert!(vary.map(HeaderValue::as_bytes).any(|one| one == b"Origin"));
        assert!(preflight(&bare, &ask(&put), &id).is_err());
        assert!(preflight(&open, &ask(&put), &id).unwrap().is_none());
        for refused in [
            &[("origin", "https://evil.example"), (METHOD, "PUT")][..],
            &[("origin", "null"), (METHOD, "PUT")],
            &[("origin", "https://portal.example.com."), (METHOD, "PUT")],
            &[("origin", "https://PORTAL.example.com"), (METHOD, "PUT")],
            &[("origin", "http://portal.example.com"), (METHOD, "PUT")],
            &[ORIGIN, ORIGIN, (METHOD, "PUT")],
            &[ORIGIN, (METHOD, "PUT"), (METHOD, "GET")],
            &[ORIGIN, (METHOD, "DELETE")],
            &[ORIGIN, (METHOD, "put")],
            &[ORIGIN, (METHOD, "PUT"), (HEADERS, "content-type, x-other")],
            &[
                ORIGIN,
                (METHOD, "PUT"),
                (HEADERS, "content-type"),
                (HEADERS, "x-other"),
            ],
        ] {
            let refusal = preflight(&own, &ask(refused), &id).unwrap_err();
            assert_eq!(refusal.code(), ErrorCode::CrossOrigin, "{refused:?}");
        }
        // What is none goes the usual way, and has to be signed in.
        for other in [&[ORIGIN][..], &[(METHOD, "PUT")], &[]] {
            assert!(preflight(&own, &ask(other), &id).unwrap().is_none());
        }
    }

    #[test]
    fn an_application_with_rules_says_nothing_of_its_own() {
        let lax = || {
            let mut response = Response::new(());
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "*"),
                ("access-control-expose-headers", "*"),
                ("vary", "Accept-Encoding"),
            ] {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(name, value);
            }
            response
        };
        let mut evil = lax();
        let origin = HeaderValue::from_static("https://evil.example");
        after(&mut evil, &rules(), Some(&origin));
        let left: Vec<_> = evil.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["vary"]);
        assert_eq!(evil.headers().get_all("vary").iter().count(), 2);
        let mut good = lax();
        after(
            &mut good,
            &rules(),
            Some(&HeaderValue::from_static(ORIGIN.1)),
        );
        assert_eq!(good.headers()["access-control-allow-origin"], ORIGIN.1);
        assert_eq!(good.headers()["access-control-expose-headers"], "etag");
        assert!(!good.headers().contains_key("access-control-allow-methods"));
    }
}
