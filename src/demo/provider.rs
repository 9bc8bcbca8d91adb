//! The demo's identity provider: OpenID Connect with two people and no passwords. It asks who you are
//! and believes it, so it is for a demonstration and for tests, and listens on loopback alone.
//!
//! | path | answers |
//! |---|---|
//! | `/.well-known/openid-configuration` | its metadata (OpenID Connect Discovery 1.0) |
//! | `/jwks` | its public key, ES256 |
//! | `/authorize` | a page with a link for each person, or with `login_hint=NAME` that person at once |
//! | `/as/NAME` | 303 to the redirect URI with a code, which serves once |
//! | `/token` | an ID token for a code, with PKCE checked, or for a refresh token, which serves once |
//! | `/end_session` | 303 to `post_logout_redirect_uri` |

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use tokio::net::TcpListener;

use super::answers::{end_session, json_of, one, parameters, see, text};
use crate::certs;
use crate::clock::Clock;
use crate::http::Body;

/// How long an ID token is good for.
const LIFE: Duration = Duration::from_secs(300);

/// How long an access token is at first: so soon it is asked again what is known of somebody.
const ACCESS: Duration = Duration::from_secs(10);

/// Refresh tokens that are remembered.
const MOST_TOKENS: usize = 10_000;

/// A form of a client's.
const FORM: usize = 64 * 1024;

/// A pause after a failed accept, so that a process out of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who there is: a name, as the provider shows it, and groups.
const PEOPLE: [(&str, &str, &[&str]); 2] = [
    ("alice", "Alice Example", &["staff", "admins"]),
    ("bob", "Bob Example", &["guests"]),
];

/// The only client.
pub const CLIENT_ID: &str = "appproxy";

/// A running provider. Clones are the same one.
#[derive(Clone)]
pub struct IdentityProvider {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    key: EncodingKey,
    keys: JwkSet,
    clock: Clock,
    /// What each code is for.
    codes: Mutex<HashMap<String, Code>>,
    people: Mutex<People>,
}

/// Who is known, and who was given what to ask again with.
#[derive(Default)]
struct People {
    /// In place of the groups they have at first; `None`: not known any more.
    groups: HashMap<usize, Option<Vec<String>>>,
    refresh_tokens: HashMap<String, usize>,
    /// In place of the life that access tokens have at first.
    access: Option<Duration>,
    /// Nobody is given what asks again.
    asks_once: bool,
}

struct Code {
    person: usize,
    redirect_uri: String,
    nonce: Option<String>,
    challenge: String,
    at: i64,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No key can be made.
    #[error("the demo's identity provider has no key: {0}")]
    Key(String),
}

impl IdentityProvider {
    /// A provider whose issuer is `http://HOST:PORT`, with a key of its own.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn new(authority: &str, clock: Clock) -> Result<Self, ProviderError> {
        let failed = |error: &dyn std::fmt::Display| ProviderError::Key(error.to_string());
        let pair = rcgen::KeyPair::generate().map_err(|e| failed(&e))?;
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk =
            Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|error| failed(&error))?;
        jwk.common.key_id = Some("demo".to_owned());
        Ok(Self {
            shared: Arc::new(Shared {
                issuer: format!("http://{authority}"),
                key,
                keys: JwkSet { keys: vec![jwk] },
                clock,
                codes: Mutex::default(),
                people: Mutex::default(),
            }),
        })
    }

    /// What a configuration calls it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Puts a person into other groups: what is said when somebody asks the next time.
    pub fn put_into_groups(&self, name: &str, groups: &[&str]) {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        self.change(name, Some(groups));
    }

    /// Forgets a person: whoever asks again is told so.
    pub fn forget(&self, name: &str) {
        self.change(name, None);
    }

    /// Gives access tokens this life from now on.
    pub fn let_tokens_live(&self, life: Duration) {
        self.people().access = Some(life);
    }

    /// Gives no refresh tokens from now on.
    pub fn give_no_refresh_tokens(&self) {
        self.people().asks_once = true;
    }

    fn change(&self, name: &str, groups: Option<Vec<String>>) {
        if let Some(person) = PEOPLE.iter().position(|(known, ..)| *known == name) {
            self.people().groups.insert(person, groups);
        }
    }

    fn people(&self) -> std::sync::MutexGuard<'_, People> {
        let people = self.shared.people.lock();
        people.unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let query = parameters(request.uri().query().unwrap_or_default().as_bytes());
        let is_get = *request.method() == Method::GET;
        Ok(match path.as_str() {
            "/.well-known/openid-configuration" if is_get => self.metadata(),
            "/jwks" if is_get => json_of(StatusCode::OK, &json!(self.shared.keys)),
            "/authorize" if is_get => self.authorize(&query, request.uri().query()),
            "/token" if *request.method() == Method::POST => self.token(request).await,
            "/end_session" if is_get => end_session(&query),
            _ => match path.strip_prefix("/as/").filter(|_| is_get) {
                Some(name) => self.chosen(name, &query),
                None => text(StatusCode::NOT_FOUND, "There is nothing here."),
            },
        })
    }

    /// It has no secrets to compare: a gateway that shows one, as `init` has it written, is let in as well.
    fn metadata(&self) -> Response<Body> {
        let at = |path: &str| format!("{}{path}", self.shared.issuer);
        let metadata = json!({
            "issuer": self.shared.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "jwks_uri": at("/jwks"),
            "end_session_endpoint": at("/end_session"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        json_of(StatusCode::OK, &metadata)
    }

    /// Asks who it is.
    fn authorize(&self, query: &[(String, String)], raw: Option<&str>) -> Response<Body> {
        if let Some(name) = one(query, "login_hint") {
            return self.chosen(name, query);
        }
        let raw = raw
            .unwrap_or_default()
            .replace('&', "&amp;")
            .replace('"', "%22");
        let mut page = "<!doctype html><html lang=en><meta charset=utf-8>\
            <meta name=viewport content=\"width=device-width\"><title>Who are you?</title>\
            <style>body{font:1.1rem system-ui;margin:3rem auto;max-width:30rem}\
            a{display:block;padding:1rem;margin:1rem 0;border:1px solid}</style>\
            <h1>Who are you?</h1><p>The demo's identity provider believes whatever you say.</p>"
            .to_owned();
        for (name, shown, groups) in PEOPLE {
            let groups = groups.join(", ");
            let _ = write!(
                page,
                "<a id=\"{name}\" href=\"/as/{name}?{raw}\">{shown} ({groups})</a>"
            );
        }
        let mut response = Response::new(Body::full(page));
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    /// Somebody said who they are.
    fn chosen(&self, name: &str, query: &[(String, String)]) -> Response<Body> {
        let person = PEOPLE.iter().position(|(known, ..)| *known == name);
        let (Some(person), Some(redirect_uri), Some(challenge)) = (
            person,
            one(query, "redirect_uri"),
            one(query, "code_challenge"),
        ) else {
            return text(StatusCode::BAD_REQUEST, "The request is not complete.");
        };
        if one(query, "client_id") != Some(CLIENT_ID) {
            return text(StatusCode::BAD_REQUEST, "There is no such client.");
        }
        let Ok(code) = certs::random::<32>() else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "There is no code.");
        };
        let code = URL_SAFE_NO_PAD.encode(code);
        let Ok(mut back) = url::Url::parse(redirect_uri) else {
            return text(StatusCode::BAD_REQUEST, "The redirect URI is none.");
        };
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", one(query, "state").unwrap_or_default())
            .append_pair("iss", &self.shared.issuer);
        let new = Code {
            person,
            redirect_uri: redirect_uri.to_owned(),
            nonce: one(query, "nonce").map(str::to_owned),
            challenge: challenge.to_owned(),
            at: self.shared.clock.now().0,
        };
        let mut codes = self
            .shared
            .codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = new.at;
        codes.retain(|_, code| now - code.at < 60);
        codes.insert(code, new);
        see(back.as_str())
    }

    /// An ID token for a code.
    async fn token(&self, request: Request<Incoming>) -> Response<Body> {
        let refuse = |error: &str| json_of(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        let whole = Limited::new(request.into_body(), FORM).collect().await;
        let Ok(whole) = whole else {
            return refuse("invalid_request");
        };
        let form = parameters(&whole.to_bytes());
        if one(&form, "grant_type") == Some("refresh_token") {
            let token = one(&form, "refresh_token").unwrap_or_default();
            let person = self.people().refresh_tokens.remove(token);
            return match person {
                Some(person) => self.tokens(person, None, None),
                None => refuse("invalid_grant"),
            };
        }
        let sid = sid_of(one(&form, "code").unwrap_or_default());
        let code = {
            let mut codes = self
                .shared
                .codes
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            one(&form, "code").and_then(|code| codes.remove(code))
        };
        let Some(code) = code else {
            return refuse("invalid_grant");
        };
        let verifier = one(&form, "code_verifier").unwrap_or_default();
        let challenge = URL_SAFE_NO_PAD.encode(certs::sha256(verifier.as_bytes()));
        let is_own = one(&form, "redirect_uri") == Some(&code.redirect_uri);
        if challenge != code.challenge || !is_own {
            return refuse("invalid_grant");
        }
        self.tokens(code.person, code.nonce, Some(sid))
    }

    /// What is said of a person.
    fn tokens(&self, person: usize, nonce: Option<String>, sid: Option<String>) -> Response<Body> {
        let refuse = |error: &str| json_of(StatusCode::BAD_REQUEST, &json!({ "error": error }));
        let (subject, name, groups) = PEOPLE[person];
        let groups = match self.people().groups.get(&person) {
            Some(Some(other)) => other.clone(),
            Some(None) => return refuse("invalid_grant"),
            None => groups.iter().map(|&group| group.to_owned()).collect(),
        };
        let word = || certs::random::<32>().map(|octets| URL_SAFE_NO_PAD.encode(octets));
        let (Ok(refresh_token), Ok(access_token)) = (word(), word()) else {
            return refuse("server_error");
        };
        let mut people = self.people();
        // Of a demonstration that runs for weeks the first ones are forgotten.
        if people.refresh_tokens.len() >= MOST_TOKENS {
            people.refresh_tokens.clear();
        }
        people.refresh_tokens.insert(refresh_token.clone(), person);
        let access = people.access.unwrap_or(ACCESS);
        let asks_again = !people.asks_once;
        drop(people);
        let now = self.shared.clock.now();
        let mut claims = json!({
            "iss": self.shared.issuer,
            "aud": CLIENT_ID,
            "sub": subject,
            "iat": now.0,
            "auth_time": now.0,
            "exp": now.plus(LIFE).0,
            "name": name,
            "email": format!("{subject}@example.com"),
            "email_verified": true,
            "groups": groups,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        if let Some(sid) = sid {
            claims["sid"] = sid.into();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("demo".to_owned());
        match jsonwebtoken::encode(&header, &claims, &self.shared.key) {
            Ok(token) => {
                let mut given = json!({
                    // Whose it is can be read off it, which is all that it is good for.
                    "access_token": format!("{subject}.{access_token}"),
                    "token_type": "Bearer",
                    "expires_in": access.as_secs(),
                    "id_token": token,
                });
                if asks_again {
                    given["refresh_token"] = refresh_token.into();
                }
                json_of(StatusCode::OK, &given)
            }
            Err(_) => refuse("server_error"),
        }
    }
}

/// What it calls its session that began with this code.
#[must_use]
pub fn sid_of(code: &str) -> String {
    let hash = certs::sha256(code.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash[..16])
}

/// Serves it until the runtime ends.
pub async fn serve(listener: TcpListener, provider: IdentityProvider) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| provider.clone().answer(request));
            // A client that goes away is nobody's fault.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
