//! A provider over time: away and back, with other keys; refreshed, and signed out of.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{advance, pause, resume};
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::keys::Signer;
use super::liar::{KEYS, Liar, METADATA, NOW, Plan, REFRESH, State, TOKENS, USERINFO, serve};
use super::{begin, provider, provider_at, secrets, sign_in};
use crate::clock::Timestamp;
use crate::model::Prompt;

/// Moves every clock of the process, but not what happens meanwhile.
async fn later(by: Duration) {
    pause();
    advance(by).await;
    resume();
}

const HALF_A_MINUTE: Duration = Duration::from_secs(31);
const OVER_AN_HOUR: Duration = Duration::from_secs(3601);

#[tokio::test]
async fn a_gateway_starts_without_its_provider_and_finds_it_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let provider = provider_at(&format!("http://{address}"), "");
    let error = sign_in(&provider).await.unwrap_err();
    assert_eq!(error.code(), "provider_unreachable");
    assert!(error.is_unavailable());
    let _liar = Liar::on(TcpListener::bind(address).await.unwrap(), "http");
    // Not at once: nobody hammers a provider that is down.
    assert_eq!(sign_in(&provider).await.unwrap_err(), error);
    later(Duration::from_secs(2)).await;
    sign_in(&provider).await.unwrap();
}

#[tokio::test]
async fn what_is_known_is_fetched_once_by_however_many() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    let all = (0..20).map(|_| sign_in(&provider));
    for outcome in futures_util::future::join_all(all).await {
        outcome.unwrap();
    }
    let count = |path: &str| liar.with(|s| s.count(path));
    assert_eq!((count(METADATA), count(KEYS), count(TOKENS)), (1, 1, 20));
    later(OVER_AN_HOUR).await;
    sign_in(&provider).await.unwrap();
    assert_eq!((count(METADATA), count(KEYS)), (2, 2));
}

#[tokio::test]
async fn new_keys_are_found_and_unknown_ones_fetched_once_in_half_a_minute() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    let fetches = || liar.with(|s| s.count(KEYS));
    sign_in(&provider).await.unwrap();
    later(HALF_A_MINUTE).await;
    liar.with(|s| {
        s.signer = Signer::P256;
        s.header = json!({"alg": "ES256", "kid": "k2"});
        s.keys.push(Signer::P256.jwk("k2"));
    });
    sign_in(&provider).await.unwrap();
    assert_eq!(fetches(), 2);
    // Anybody can send a logout token that names a key nobody has.
    liar.with(|s| s.header["kid"] = "nobody's".into());
    for _ in 0..20 {
        let error = sign_in(&provider).await.unwrap_err();
        assert_eq!(error.code(), "key_unknown");
    }
    assert_eq!(fetches(), 2);
    later(HALF_A_MINUTE).await;
    for _ in 0..20 {
        sign_in(&provider).await.unwrap_err();
    }
    assert_eq!(fetches(), 3);
    // A key that changed under its name is found too.
    later(HALF_A_MINUTE).await;
    liar.with(|s| {
        s.signer = Signer::OtherRsa;
        s.header = json!({"alg": "RS256", "kid": "k1"});
        s.keys = vec![Signer::OtherRsa.jwk("k1")];
    });
    sign_in(&provider).await.unwrap();
    // The old one does not count any more.
    liar.with(|s| s.signer = Signer::Rsa);
    assert_eq!(
        sign_in(&provider).await.unwrap_err().code(),
        "token_signature"
    );
}

#[tokio::test]
async fn keys_and_metadata_are_kept_while_the_provider_cannot_give_them() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    sign_in(&provider).await.unwrap();
    for plan in [
        Plan::Reply(503, "text/html", String::new()),
        Plan::Reply(200, "text/html", "<p>".to_owned()),
        Plan::Close,
        Plan::Redirect,
    ] {
        liar.with(|s| {
            s.plan(METADATA, plan.clone());
            s.plan(KEYS, plan);
        });
        later(OVER_AN_HOUR).await;
        sign_in(&provider).await.unwrap();
    }
    // It says that it is another: what it said before counts.
    liar.with(|s| {
        s.plans.clear();
        s.metadata["issuer"] = "https://evil.example".into();
    });
    later(OVER_AN_HOUR).await;
    sign_in(&provider).await.unwrap();
}

#[tokio::test]
async fn the_browser_is_sent_with_everything_it_has_to_bring() {
    let liar = Liar::start().await;
    let more = "scopes: [openid, a.b], max_age: 1h, prompt: consent, acr_values: [gold, silver]";
    let (secrets, written) = (secrets(), provider(&liar, more));
    let pairs = |url: &Url| {
        let pairs = url.query_pairs().into_owned();
        pairs.collect::<Vec<(String, String)>>()
    };
    let url = written.begin(&begin(&secrets)).await.unwrap();
    assert_eq!(url.path(), "/authorize");
    let expected = [
        ("tenant", "a&b"),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("client_id", "client-1"),
        ("redirect_uri", super::BACK),
        ("scope", "openid a.b"),
        ("state", "state-1"),
        ("nonce", "nonce-hunter2"),
        ("code_challenge_method", "S256"),
        (
            "code_challenge",
            "HmCUGdzUFO-Jts_foc_n7lW2ns8uRUIjM45RvenCUm8",
        ),
        ("prompt", "consent"),
        ("max_age", "3600"),
        ("acr_values", "gold silver"),
    ];
    let expected: Vec<_> = expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let said = pairs(&url);
    // The verifier itself does not go.
    assert!(!url.as_str().contains("verifier"));
    assert_eq!(said, expected);

    let google = provider(&liar, "preset: google");
    let better: [Arc<str>; 1] = ["mfa".into()];
    let wanted = super::Begin {
        prompt: Some(Prompt::None),
        max_age: Some(Duration::from_secs(5)),
        acr_values: &better,
        login_hint: Some("alice@example.com"),
        ..begin(&secrets)
    };
    let said = pairs(&google.begin(&wanted).await.unwrap());
    for (name, value) in [
        ("prompt", "none"),
        ("max_age", "5"),
        ("acr_values", "mfa"),
        ("login_hint", "alice@example.com"),
        ("access_type", "offline"),
        ("scope", "openid email profile"),
    ] {
        assert!(
            said.contains(&(name.to_owned(), value.to_owned())),
            "{name}: {said:?}"
        );
    }
    let (one, other) = (
        super::SignInSecrets::new().unwrap(),
        super::SignInSecrets::new().unwrap(),
    );
    assert_ne!(one.nonce, other.nonce);
    assert_eq!(one.verifier.expose_secret().len(), 43);
    assert!(!format!("{one:?}").contains(one.verifier.expose_secret()));
}

#[tokio::test]
async fn a_refresh_tells_who_it_still_is() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    let signed_in = sign_in(&provider).await.unwrap();
    let token = signed_in.refresh_token.unwrap();
    let again = async || {
        provider
            .refresh(&token, &signed_in.issuer, &signed_in.subject)
            .await
    };
    // As a refreshed token is: without a nonce, and with other groups.
    liar.with(|s| {
        s.without("nonce");
        s.set("groups", json!(["left"]));
        s.tokens["refresh_token"] = "next-hunter2".into();
    });
    let refreshed = again().await.unwrap();
    assert!(refreshed.person.unwrap().is_in("left"));
    assert_eq!(
        refreshed.refresh_token.unwrap().expose_secret(),
        "next-hunter2"
    );
    assert_eq!(refreshed.access_expires, Some(Timestamp(NOW + 3600)));
    let asked = liar.with(|s| s.asked.iter().rfind(|a| a.path == TOKENS).cloned().unwrap());
    assert_eq!(asked.form["grant_type"], "refresh_token");
    assert_eq!(asked.form["refresh_token"], REFRESH);

    liar.with(|s| {
        s.with_id_token = false;
        s.tokens = json!({"access_token": "a", "token_type": "bearer"});
    });
    let sparse = again().await.unwrap();
    assert!(sparse.person.is_none() && sparse.id_token.is_none());
    assert!(sparse.refresh_token.is_none() && sparse.access_expires.is_none());

    liar.with(|s| {
        s.with_id_token = true;
        s.set("sub", "bob");
    });
    let failed = again().await.unwrap_err();
    assert_eq!(failed.error.code(), "subject_changed");
    assert!(failed.error.denies_person());
    let text = json!({"error": "invalid_grant", "error_description": "hunter2"}).to_string();
    liar.with(|s| s.plan(TOKENS, Plan::Reply(400, "application/json", text)));
    let error = again().await.unwrap_err().error;
    assert_eq!(error, super::ProviderError::InvalidGrant);
    assert!(!error.is_unavailable() && error.denies_person());
    liar.with(|s| s.plan(TOKENS, Plan::Reply(503, "text/plain", String::new())));
    let error = again().await.unwrap_err().error;
    assert!(error.is_unavailable() && !error.denies_person());
}

/// A provider that rotates refresh tokens has spent the one that was sent, whatever else goes wrong.
#[tokio::test]
async fn a_refresh_that_fails_in_the_middle_keeps_the_next_token() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "userinfo: always");
    let signed_in = sign_in(&provider).await.unwrap();
    let token = signed_in.refresh_token.unwrap();
    let again = async || {
        provider
            .refresh(&token, &signed_in.issuer, &signed_in.subject)
            .await
    };
    liar.with(|s| {
        s.without("nonce");
        s.tokens["refresh_token"] = "next-hunter2".into();
        s.plan(USERINFO, Plan::Reply(503, "text/plain", String::new()));
    });
    let failed = again().await.unwrap_err();
    assert!(!failed.error.denies_person(), "{failed:?}");
    assert_eq!(failed.next.unwrap().expose_secret(), "next-hunter2");
    // Nor is somebody let in on whom the provider has closed its door.
    for status in [401, 403] {
        liar.with(|s| s.plan(USERINFO, Plan::Reply(status, "text/plain", String::new())));
        assert!(again().await.unwrap_err().error.denies_person());
    }
    for (said, denies) in [
        (
            json!({"error": "invalid_grant", "error_description": "AADSTS50105: x"}),
            true,
        ),
        (
            json!({"error": "invalid_grant", "error_description": "AADSTS53003: x"}),
            true,
        ),
        (json!({"error": "interaction_required"}), true),
        (json!({"error": "access_denied"}), true),
        (json!({"error": "invalid_client"}), false),
        (json!({"error": "temporarily_unavailable"}), false),
        (json!({"error": "invalid_scope"}), false),
    ] {
        let text = said.to_string();
        liar.with(|s| s.plan(TOKENS, Plan::Reply(400, "application/json", text)));
        let error = again().await.unwrap_err().error;
        assert_eq!(error.denies_person(), denies, "{said}");
    }
}

/// Without an ID token userinfo says who it is, where it tells the groups.
#[tokio::test]
async fn a_refresh_without_an_id_token_asks_userinfo() {
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    let signed_in = sign_in(&provider).await.unwrap();
    let token = signed_in.refresh_token.unwrap();
    let again = async || {
        provider
            .refresh(&token, &signed_in.issuer, &signed_in.subject)
            .await
    };
    let subject = signed_in.subject.to_string();
    liar.with(|s| {
        s.with_id_token = false;
        s.userinfo = json!({ "sub": subject, "groups": ["left"] });
    });
    let person = again().await.unwrap().person.unwrap();
    assert!(person.is_in("left"));
    liar.with(|s| s.userinfo = json!({ "sub": subject }));
    assert!(again().await.unwrap().person.is_none());
    liar.with(|s| s.userinfo = json!({ "sub": "bob", "groups": ["left"] }));
    assert!(again().await.unwrap_err().error.denies_person());
}

#[tokio::test]
async fn the_browser_is_sent_to_sign_out_where_there_is_a_place_for_it() {
    let liar = Liar::start().await;
    let known = provider(&liar, "");
    let signed_in = sign_in(&known).await.unwrap();
    let url = known.end_session_url(Some(&signed_in.id_token), "https://a.example/", "s");
    let url = url.await.unwrap();
    let said: Vec<_> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/logout");
    for (name, value) in [
        ("a", "b"),
        ("id_token_hint", signed_in.id_token.expose_secret()),
        ("client_id", "client-1"),
        ("post_logout_redirect_uri", "https://a.example/"),
        ("state", "s"),
    ] {
        assert!(
            said.contains(&(name.to_owned(), value.to_owned())),
            "{name}: {said:?}"
        );
    }
    liar.with(|s| s.metadata["end_session_endpoint"] = json!(null));
    let without = provider(&liar, "")
        .end_session_url(None, "https://a.example/", "s")
        .await;
    assert_eq!(without, None);
    let gone = provider_at("http://127.0.0.1:1", "");
    assert_eq!(
        gone.end_session_url(None, "https://a.example/", "s").await,
        None
    );
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout(state: &mut State) {
    state.header["typ"] = "logout+jwt".into();
    state.claims = json!({
        "iss": state.base, "aud": "client-1", "iat": NOW, "exp": NOW + 120, "jti": "j1",
        "sub": "alice", "sid": "s1", "events": { EVENT: {} },
    });
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn logout_tokens_are_judged_as_back_channel_logout_has_it() {
    type Row = (&'static str, Option<&'static str>, fn(&mut State));
    let rows: &[Row] = &[
        ("as it should be", None, |_| ()),
        ("typ JWT", None, |s| s.header["typ"] = "JWT".into()),
        ("no typ", None, |s| {
            s.header = json!({"alg": "RS256", "kid": "k1"})
        }),
        ("no exp", None, |s| s.without("exp")),
        ("sub alone", None, |s| s.without("sid")),
        ("sid alone", None, |s| s.without("sub")),
        ("aud a list", None, |s| s.set("aud", json!(["client-1"]))),
        ("two minutes old", None, |s| s.set("iat", NOW - 120)),
        ("event with members", None, |s| {
            s.claims["events"][EVENT]["a"] = json!(1)
        }),
        ("two events", None, |s| {
            s.claims["events"]["urn:other"] = json!({})
        }),
        ("neither", Some("logout_of_nobody"), |s| {
            s.without("sub");
            s.without("sid");
        }),
        ("no events", Some("logout_event"), |s| s.without("events")),
        ("another event", Some("logout_event"), |s| {
            s.set("events", json!({"urn:other": {}}))
        }),
        ("event no object", Some("logout_event"), |s| {
            s.claims["events"][EVENT] = json!(true)
        }),
        ("events a list", Some("logout_event"), |s| {
            s.set("events", json!([EVENT]))
        }),
        ("nonce", Some("logout_nonce"), |s| s.set("nonce", "n")),
        ("nonce null", Some("logout_nonce"), |s| {
            s.set("nonce", Value::Null)
        }),
        ("no jti", Some("claim_missing"), |s| s.without("jti")),
        ("jti empty", Some("claim_malformed"), |s| s.set("jti", "")),
        ("no iat", Some("claim_missing"), |s| s.without("iat")),
        ("old", Some("logout_too_old"), |s| s.set("iat", NOW - 181)),
        ("of the future", Some("token_from_the_future"), |s| {
            s.set("iat", NOW + 61)
        }),
        ("ended", Some("token_expired"), |s| s.set("exp", NOW - 61)),
        ("another issuer", Some("token_issuer"), |s| {
            s.set("iss", "https://evil.example")
        }),
        ("another audience", Some("token_audience"), |s| {
            s.set("aud", "client-2")
        }),
        ("alg none", Some("token_algorithm"), |s| {
            s.header["alg"] = "none".into()
        }),
        ("alg HS256", Some("token_algorithm"), |s| {
            s.header["alg"] = "HS256".into()
        }),
        ("an access token", Some("token_kind"), |s| {
            s.header["typ"] = "at+jwt".into()
        }),
        ("keyed by another", Some("token_signature"), |s| {
            s.signer = Signer::OtherRsa
        }),
        ("claims twice", Some("token_duplicate_key"), |s| {
            s.claims_text = Some(super::liar::twice(&s.claims, "sid", "\"s2\""))
        }),
    ];
    let liar = Liar::start().await;
    let provider = provider(&liar, "");
    for (name, code, twist) in rows {
        let token = liar.with(|s| {
            s.signer = Signer::Rsa;
            s.claims_text = None;
            s.header = json!({"alg": "RS256", "kid": "k1"});
            logout(s);
            twist(s);
            s.token()
        });
        let judged = provider.verify_logout_token(&token).await;
        assert_eq!(
            judged.as_ref().err().map(|error| error.code()),
            *code,
            "{name}"
        );
        if let Ok(judged) = judged {
            assert_eq!(*judged.jti, *"j1");
            assert!(judged.sid.as_deref().is_none_or(|sid| sid == "s1"));
            assert!(judged.sub.as_deref().is_none_or(|sub| sub == "alice"));
        }
    }
    assert_eq!(rows.len(), 30);
    // An ID token signs nobody out.
    let fresh = Liar::start().await;
    let id_token = fresh.with(|s| s.token());
    let provider = super::provider(&fresh, "");
    let error = provider.verify_logout_token(&id_token).await.unwrap_err();
    assert_eq!(error.code(), "logout_event");
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(crate::certs::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], der)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // What it says is made for this address.
    let plain = Liar::start().await;
    let base = format!("https://localhost:{port}");
    plain.with(|s| {
        s.metadata = serde_json::from_str(&s.metadata.to_string().replace(&s.base, &base)).unwrap();
        s.set("iss", base.clone());
    });
    let state = Arc::clone(&plain.state);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(TokioIo::new(stream), state).await;
                }
            });
        }
    });
    let error = sign_in(&provider_at(&base, "")).await.unwrap_err();
    assert_eq!(error.code(), "provider_tls");
    assert!(error.remedy().contains("extra_ca"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let more = format!("extra_ca: '{}'", file.display());
    let signed_in = sign_in(&provider_at(&base, &more)).await.unwrap();
    assert_eq!(*signed_in.issuer, *base);
    // For its name alone.
    let other = sign_in(&provider_at(&format!("https://127.0.0.1:{port}"), &more)).await;
    assert_eq!(other.unwrap_err().code(), "provider_tls");
}
