//! An identity provider whose word is the test's: what it says of people, and whatever else it signs.

use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use appproxy::clock::Clock;
use appproxy::demo::provider::{self as demo, IdentityProvider};

use crate::harness::{Answer, Backend, body};
use crate::sign_in::plain;

/// What its key is called.
const KEY: &str = "said";

/// The demo's, with a key of the test's own in front of it.
pub(super) struct Sayer {
    pub(super) issuer: String,
    pub(super) people: IdentityProvider,
    key: Arc<EncodingKey>,
    said: Arc<Mutex<Value>>,
}

impl Sayer {
    pub(super) async fn start() -> Self {
        let key = Arc::new(new_key());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(KEY.to_owned());
        let keys = json!(JwkSet { keys: vec![public] }).to_string();
        let said = Arc::new(Mutex::new(json!({})));
        let behind: Arc<OnceLock<String>> = Arc::default();
        let shared = (
            Arc::clone(&behind),
            Arc::clone(&key),
            Arc::clone(&said),
            keys,
        );
        let front = Backend::answering(move |request| {
            let (behind, key, said, keys) = shared.clone();
            async move {
                let (mut head, content) = request.into_parts();
                let content = content.collect().await.unwrap().to_bytes();
                let asked = head.uri.path_and_query().unwrap().to_string();
                let to = format!("http://{}{asked}", behind.get().unwrap());
                head.uri = to.parse().unwrap();
                head.headers.remove(header::HOST);
                let answer = plain(Request::from_parts(head, Full::new(content))).await;
                let changed = match asked.as_str() {
                    "/jwks" => keys.into_bytes(),
                    "/token" => said_anew(&answer, &key, &said),
                    _ => answer.body.to_vec(),
                };
                let mut response = Response::new(body(changed));
                *response.status_mut() = answer.status;
                for name in [header::CONTENT_TYPE, header::LOCATION] {
                    if let Some(value) = answer.headers.get(&name) {
                        response.headers_mut().insert(name, value.clone());
                    }
                }
                response
            }
        })
        .await;
        let people = IdentityProvider::new(&front.address().to_string(), Clock::system()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        behind.set(address).unwrap();
        let serves = people.clone();
        tokio::spawn(async move {
            // It lives as long as what is behind it.
            let _front = front;
            demo::serve(listener, serves).await;
        });
        Self {
            issuer: people.issuer().to_owned(),
            people,
            key,
            said,
        }
    }

    /// Has it say this of whoever signs in from now on, over what it says anyway; `null` leaves a claim
    /// out.
    pub(super) fn says(&self, claims: Value) {
        *self.said.lock().unwrap() = claims;
    }

    /// A token of this kind, with these claims.
    pub(super) fn token(&self, kind: &str, claims: &Value) -> String {
        signed(&self.key, kind, claims)
    }

    /// The same by somebody else's key, which is called like this one's.
    pub(super) fn forged(kind: &str, claims: &Value) -> String {
        signed(&new_key(), kind, claims)
    }
}

fn new_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate().unwrap();
    EncodingKey::from_ec_der(&pair.serialize_der())
}

fn signed(key: &EncodingKey, kind: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(KEY.to_owned());
    header.typ = Some(kind.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

/// The answer of the token endpoint, with an ID token that says what the test has it say.
fn said_anew(answer: &Answer, key: &EncodingKey, said: &Mutex<Value>) -> Vec<u8> {
    let mut tokens = answer.json();
    let token = tokens["id_token"].as_str().map(str::to_owned);
    if let Some(token) = token {
        let claims = token.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let mut claims: Value = serde_json::from_slice(&claims).unwrap();
        let claims_now = claims.as_object_mut().unwrap();
        for (name, value) in said.lock().unwrap().as_object().unwrap() {
            if value.is_null() {
                claims_now.remove(name);
            } else {
                claims_now.insert(name.clone(), value.clone());
            }
        }
        tokens["id_token"] = signed(key, "JWT", &claims).into();
    }
    tokens.to_string().into_bytes()
}
