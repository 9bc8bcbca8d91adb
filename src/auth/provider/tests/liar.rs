//! A provider that does as it is told, the worst included. It listens on loopback and runs in the
//! test's own runtime.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::form_urlencoded;

use super::keys::Signer;

pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const CLIENT: &str = "client-1";
pub(super) const NONCE: &str = "nonce-hunter2";
pub(super) const CODE: &str = "code-hunter2";
pub(super) const ACCESS: &str = "access-hunter2";
pub(super) const REFRESH: &str = "refresh-hunter2";
pub(super) const TENANT: &str = "8d1f0c3a-5b0e-4a51-9a55-0f6c1c1f2a3b";
pub(super) const OBJECT: &str = "0a0b0c0d-5b0e-4a51-9a55-0f6c1c1f2a3b";

pub(super) const METADATA: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";
pub(super) const TOKENS: &str = "/token";
pub(super) const USERINFO: &str = "/userinfo";
pub(super) const GROUPS: &str = "/v1.0/me/getMemberObjects";

/// What it does instead of an answer.
#[derive(Clone)]
pub(super) enum Plan {
    Reply(u16, &'static str, String),
    Redirect,
    /// Never answers. The clock runs ahead from here on.
    Hang,
    /// Begins, and goes on octet by octet for ever.
    Drip,
    /// An answer without an end.
    Endless,
    /// Closes the connection.
    Close,
    /// Promises more than comes.
    CutShort,
}

/// A question it was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) form: HashMap<String, String>,
    pub(super) cookie: bool,
}

/// Everything it says; a test twists it.
pub(super) struct State {
    pub(super) base: String,
    pub(super) metadata: Value,
    pub(super) keys: Vec<Value>,
    pub(super) signer: Signer,
    pub(super) header: Value,
    pub(super) claims: Value,
    /// In place of the two above.
    pub(super) header_text: Option<String>,
    pub(super) claims_text: Option<String>,
    /// What becomes of the token that was signed.
    pub(super) mangle: fn(String) -> String,
    pub(super) with_id_token: bool,
    pub(super) tokens: Value,
    pub(super) userinfo: Value,
    /// Pages of groups, one a question.
    pub(super) groups: Vec<Value>,
    pub(super) plans: HashMap<&'static str, Plan>,
    /// Secrets it does not take.
    pub(super) refuses: Vec<&'static str>,
    pub(super) asked: Vec<Asked>,
    paused: bool,
}

impl State {
    fn new(base: String) -> Self {
        let at = |path: &str| format!("{base}{path}");
        Self {
            metadata: json!({
                "issuer": base,
                "authorization_endpoint": at("/authorize?tenant=a%26b"),
                "token_endpoint": at(TOKENS),
                "jwks_uri": at(KEYS),
                "userinfo_endpoint": at(USERINFO),
                "end_session_endpoint": at("/logout?a=b"),
                "msgraph_host": base.trim_start_matches("http://"),
                "something_new": {"deeply": [1, 2]},
            }),
            keys: vec![Signer::Rsa.jwk("k1")],
            signer: Signer::Rsa,
            header: json!({"alg": "RS256", "kid": "k1", "typ": "JWT"}),
            claims: json!({
                "iss": base, "aud": CLIENT, "sub": "alice", "nonce": NONCE,
                "iat": NOW, "exp": NOW + 300,
                "name": "Alice", "email": "alice@example.com", "email_verified": true,
                "groups": ["staff", "admins", "staff"], "sid": "s1", "acr": "gold",
                "amr": ["pwd", "mfa"], "tid": TENANT, "oid": OBJECT,
            }),
            header_text: None,
            claims_text: None,
            mangle: |token| token,
            with_id_token: true,
            tokens: json!({
                "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600,
                "refresh_token": REFRESH,
            }),
            userinfo: json!({"sub": "alice"}),
            groups: Vec::new(),
            plans: HashMap::new(),
            refuses: Vec::new(),
            asked: Vec::new(),
            paused: false,
            base,
        }
    }

    /// A token as it would be given.
    pub(super) fn token(&self) -> String {
        let header = self.header_text.clone();
        let claims = self.claims_text.clone();
        let header = header.unwrap_or_else(|| self.header.to_string());
        let claims = claims.unwrap_or_else(|| self.claims.to_string());
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        let encoded = |text: String| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.signer.sign(algorithm, message.as_bytes());
        (self.mangle)(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    pub(super) fn set(&mut self, claim: &str, value: impl Into<Value>) {
        self.claims[claim] = value.into();
    }

    pub(super) fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim);
    }

    pub(super) fn plan(&mut self, path: &'static str, plan: Plan) {
        self.plans.insert(path, plan);
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.asked.iter().filter(|asked| asked.path == path).count()
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        match asked.path.as_str() {
            METADATA => (200, self.metadata.clone()),
            KEYS => (200, json!({"keys": self.keys})),
            TOKENS => {
                let field = asked.authorization.clone().unwrap_or_default();
                let pair = field.strip_prefix("Basic ").unwrap_or_default();
                let pair = base64::engine::general_purpose::STANDARD
                    .decode(pair)
                    .unwrap();
                let pair = String::from_utf8(pair).unwrap();
                let secret = match pair.split_once(':') {
                    Some((_, secret)) => secret.to_owned(),
                    None => asked.form.get("client_secret").cloned().unwrap_or_default(),
                };
                if self.refuses.contains(&secret.as_str()) {
                    return (401, json!({"error": "invalid_client"}));
                }
                let mut tokens = self.tokens.clone();
                if self.with_id_token && tokens.is_object() {
                    tokens["id_token"] = self.token().into();
                }
                (200, tokens)
            }
            USERINFO => (200, self.userinfo.clone()),
            GROUPS => match self.groups.is_empty() {
                true => (403, json!({})),
                false => (200, self.groups.remove(0)),
            },
            _ => (404, json!({})),
        }
    }
}

/// Runs until dropped.
pub(super) struct Liar {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Liar {
    pub(super) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), "http")
    }

    pub(super) fn on(listener: TcpListener, scheme: &str) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::new(format!("{scheme}://{address}"))));
        let shared = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(TokioIo::new(stream), Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            _task: task,
        }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Lets the clock go as it should again.
    pub(super) fn resume(&self) {
        if std::mem::take(&mut self.state.lock().unwrap().paused) {
            tokio::time::resume();
        }
    }
}

/// Serves one connection, over TLS too.
pub(super) async fn serve<S>(stream: S, state: Arc<Mutex<State>>)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { respond(request, state).await }
    });
    // How a connection ends is the client's business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Body>, std::io::Error> {
    let field = |name| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (path, authorization) = (request.uri().path().to_owned(), field(AUTHORIZATION));
    let cookie = field(COOKIE).is_some();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked = Asked {
        path,
        authorization,
        form: form_urlencoded::parse(&body).into_owned().collect(),
        cookie,
    };
    let (plan, usual) = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        let plan = state.plans.get(asked.path.as_str()).cloned();
        if matches!(plan, Some(Plan::Hang | Plan::Drip)) && !state.paused {
            // Nothing but clocks is waited for from here on, so they may run ahead.
            state.paused = true;
            tokio::time::pause();
        }
        let usual = plan.is_none().then(|| state.answer(&asked));
        (plan, usual)
    };
    let reply = |status: u16, media_type: &str, body: Body| {
        let builder = Response::builder().status(status);
        Ok(builder.header(CONTENT_TYPE, media_type).body(body).unwrap())
    };
    let whole = |text: String| Full::new(Bytes::from(text)).boxed();
    match (plan, usual) {
        (None, Some((status, value))) => {
            reply(status, "application/json", whole(value.to_string()))
        }
        (Some(Plan::Reply(status, media_type, text)), _) => reply(status, media_type, whole(text)),
        (Some(Plan::Redirect), _) => Ok(Response::builder()
            .status(302)
            .header(LOCATION, "/elsewhere")
            .body(whole(String::new()))
            .unwrap()),
        (Some(Plan::Close), _) => Err(std::io::ErrorKind::ConnectionReset.into()),
        (Some(Plan::Drip), _) => {
            let drops = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
            });
            reply(200, "application/json", StreamBody::new(drops).boxed())
        }
        (Some(Plan::Endless), _) => {
            let flood = stream::unfold((), async |()| {
                Some((Ok(Frame::data(Bytes::from_static(&[b' '; 8192]))), ()))
            });
            reply(200, "application/json", StreamBody::new(flood).boxed())
        }
        (Some(Plan::CutShort), _) => {
            let part = stream::iter([Ok(Frame::data(Bytes::from_static(b"{")))]);
            let mut answer = reply(200, "application/json", StreamBody::new(part).boxed());
            if let Ok(answer) = &mut answer {
                answer.headers_mut().insert("content-length", 100.into());
            }
            answer
        }
        (Some(Plan::Hang), _) | (None, None) => pending().await,
    }
}

/// A claim set with one more key, as text, so that it can stand there twice.
pub(super) fn twice(object: &Value, key: &str, value: &str) -> String {
    let text = Map::clone(object.as_object().unwrap());
    let text = Value::Object(text).to_string();
    format!("{},\"{key}\":{value}}}", &text[..text.len() - 1])
}
