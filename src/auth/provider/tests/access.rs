//! Access tokens that programs come with: those that are good, and a corpus of those that are not.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::Signer;
use super::liar::{CLIENT, KEYS, Liar, METADATA, NOW, OBJECT, Plan, State, TENANT, twice};
use super::provider;
use crate::auth::Challenge;
use crate::auth::bearer::{AccessToken, BearerError, verify};
use crate::auth::provider::Provider;
use crate::clock::Timestamp;
use crate::model::Bearer;

const API: &str = "https://api.example.com";

/// So many there are; one that is lost in an edit is missed.
const BROKEN: usize = 68;

fn wanted() -> Bearer {
    Bearer {
        audiences: vec![API.into(), "api://wiki".into()],
        ..Bearer::default()
    }
}

/// A token as RFC 9068 has it.
fn profiled(state: &mut State) {
    state.header["typ"] = "at+jwt".into();
    let base = state.base.clone();
    state.claims = json!({
        "iss": base, "aud": API, "sub": "alice", "client_id": "cli", "iat": NOW, "exp": NOW + 300,
        "jti": "1", "scope": "read write", "groups": ["staff"],
    });
}

async fn judged(
    provider: &Arc<Provider>,
    token: &str,
    wanted: &Bearer,
) -> Result<Arc<AccessToken>, String> {
    let verified = verify(token, std::slice::from_ref(provider), wanted).await;
    verified.map_err(|challenge| match challenge {
        Challenge::Bearer(Some(BearerError::Provider(error))) => error.code().to_owned(),
        Challenge::Bearer(Some(BearerError::Issuer)) => "issuer".to_owned(),
        Challenge::Bearer(Some(BearerError::Audience { .. })) => "audience".to_owned(),
        Challenge::Bearer(Some(BearerError::Client { .. })) => "client".to_owned(),
        Challenge::Provider(_) => "unavailable".to_owned(),
        other => panic!("{other:?}"),
    })
}

type Broken = (&'static str, &'static str, fn(&mut State) -> String);

/// A twist of the claims.
macro_rules! claims {
    ($($name:literal, $code:literal, $claim:literal = $value:expr;)*) => {
        [$(($name, $code, |s: &mut State| { s.set($claim, $value); s.token() }),)*]
    };
}

/// A claim that is not there.
macro_rules! missing {
    ($($code:literal, $claim:literal;)*) => {
        [$((concat!("no ", $claim), $code, |s: &mut State| { s.without($claim); s.token() }),)*]
    };
}

fn set_header(s: &mut State, name: &str, value: Value) -> String {
    s.header[name] = value;
    s.token()
}

/// Another signature than the one that belongs there.
fn resigned(s: &State, signature: &[u8]) -> String {
    let token = s.token();
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn broken() -> Vec<Broken> {
    let mut all: Vec<Broken> = Vec::new();
    all.extend::<[Broken; 27]>(claims! {
        "another issuer", "issuer", "iss" = "https://evil.example/";
        "issuer with a slash", "issuer", "iss" = format!("{}/", "http://127.0.0.1:1");
        "issuer a list", "issuer", "iss" = json!(["x"]);
        "another audience", "audience", "aud" = "https://other.example.com";
        "this gateway's own client as audience", "audience", "aud" = CLIENT;
        "audience with more behind it", "audience", "aud" = format!("{API}/admin");
        "audience in capitals", "audience", "aud" = API.to_uppercase();
        "no audience in a list", "audience", "aud" = json!([]);
        "audience a number", "claim_malformed", "aud" = 7;
        "audience a list of numbers", "claim_malformed", "aud" = json!([7]);
        "audience an object", "claim_malformed", "aud" = json!({"a": API});
        "ended", "token_expired", "exp" = NOW - 60;
        "ended long ago", "token_expired", "exp" = 1;
        "end a text", "claim_malformed", "exp" = "2027";
        "end null", "claim_malformed", "exp" = json!(null);
        "end beyond time", "claim_malformed", "exp" = 1e300;
        "not yet good", "token_not_yet_valid", "nbf" = NOW + 61;
        "made in the future", "token_from_the_future", "iat" = NOW + 61;
        "made a text", "claim_malformed", "iat" = "now";
        "subject empty", "claim_malformed", "sub" = "";
        "subject a number", "claim_malformed", "sub" = 7;
        "subject with a line end", "claim_malformed", "sub" = "a\nb";
        "subject that is very long", "claim_malformed", "sub" = "x".repeat(256);
        "groups that are a number", "claim_malformed", "groups" = 7;
        "groups elsewhere", "groups_elsewhere", "_claim_names" = json!({"groups": "src1"});
        "scope a number", "claim_malformed", "scope" = 7;
        "scope with a control character", "claim_malformed", "scope" = "a\u{7f}b c";
    });
    all.extend::<[Broken; 4]>(missing! {
        "issuer", "iss";
        "claim_missing", "aud";
        "claim_missing", "exp";
        "claim_missing", "sub";
    });
    all.extend::<[Broken; 20]>([
        ("empty", "issuer", |_| String::new()),
        ("one part", "issuer", |_| "opaque-token".to_owned()),
        ("two parts", "issuer", |_| "a.b".to_owned()),
        ("four parts", "token_malformed", |s| {
            format!("{}.x", s.token())
        }),
        ("encrypted", "token_encrypted", |s| {
            format!("{}.x.y", s.token())
        }),
        ("dots alone", "issuer", |_| "..".to_owned()),
        ("no signature", "token_malformed", |s| {
            let token = s.token();
            format!("{}.", token.rsplit_once('.').unwrap().0)
        }),
        ("signature of zeros", "token_signature", |s| {
            resigned(s, &[0; 256])
        }),
        ("signature cut", "token_signature", |s| {
            resigned(s, &[1; 255])
        }),
        ("signature with padding", "token_malformed", |s| {
            format!("{}==", s.token())
        }),
        ("changed claims", "token_signature", |s| {
            let token = s.token();
            let parts: Vec<_> = token.split('.').collect();
            s.set("sub", "root");
            let claims = URL_SAFE_NO_PAD.encode(s.claims.to_string());
            format!("{}.{claims}.{}", parts[0], parts[2])
        }),
        ("claims that are no object", "issuer", |s| {
            s.claims_text = Some("[]".to_owned());
            s.token()
        }),
        ("a claim twice", "token_duplicate_key", |s| {
            s.claims_text = Some(twice(&s.claims, "sub", "\"root\""));
            s.token()
        }),
        ("very long", "token_too_long", |s| {
            s.set("x", "x".repeat(70_000));
            s.token()
        }),
        ("signed by somebody else", "token_signature", |s| {
            s.signer = Signer::OtherRsa;
            s.token()
        }),
        ("a key nobody has", "key_unknown", |s| {
            set_header(s, "kid", "k9".into())
        }),
        ("a key that is no text", "token_malformed", |s| {
            set_header(s, "kid", 7.into())
        }),
        ("demands", "token_critical", |s| {
            set_header(s, "crit", json!(["b64"]))
        }),
        ("no algorithm", "token_malformed", |s| {
            set_header(s, "alg", json!(null))
        }),
        ("its own key", "key_unknown", |s| {
            s.header["jwk"] = Signer::OtherRsa.jwk("k1");
            s.header["jku"] = "https://evil.example/keys".into();
            s.signer = Signer::OtherRsa;
            set_header(s, "kid", "evil".into())
        }),
    ]);
    // `none` in every spelling, and the public key as a shared secret.
    all.extend::<[Broken; 6]>([
        ("none", "token_algorithm", |s| {
            set_header(s, "alg", "none".into())
        }),
        ("None", "token_algorithm", |s| {
            set_header(s, "alg", "None".into())
        }),
        ("NONE", "token_algorithm", |s| {
            set_header(s, "alg", "NONE".into())
        }),
        ("HS256", "token_algorithm", |s| {
            set_header(s, "alg", "HS256".into())
        }),
        ("rs256", "token_algorithm", |s| {
            set_header(s, "alg", "rs256".into())
        }),
        ("an algorithm of another key", "key_unfit", |s| {
            set_header(s, "alg", "ES256".into())
        }),
    ]);
    // Other kinds of tokens.
    all.extend::<[Broken; 11]>([
        ("a logout token", "token_kind", |s| {
            set_header(s, "typ", "logout+jwt".into())
        }),
        ("a security event", "token_kind", |s| {
            set_header(s, "typ", "secevent+jwt".into())
        }),
        ("a proof of possession", "token_kind", |s| {
            set_header(s, "typ", "dpop+jwt".into())
        }),
        ("a kind that is a number", "token_malformed", |s| {
            set_header(s, "typ", 7.into())
        }),
        ("an ID token", "token_kind", |s| {
            s.set("nonce", "n");
            set_header(s, "typ", "JWT".into())
        }),
        ("an ID token without nonce", "token_kind", |s| {
            s.without("scope");
            set_header(s, "typ", "JWT".into())
        }),
        ("an ID token beside an access token", "token_kind", |s| {
            s.set("at_hash", "x");
            set_header(s, "typ", "JWT".into())
        }),
        ("an ID token of a code", "token_kind", |s| {
            s.set("c_hash", "x");
            set_header(s, "typ", "JWT".into())
        }),
        ("an ID token of Keycloak", "token_kind", |s| {
            s.set("typ", "ID");
            set_header(s, "typ", "JWT".into())
        }),
        ("a refresh token of Keycloak", "token_kind", |s| {
            s.set("typ", "Refresh");
            set_header(s, "typ", "JWT".into())
        }),
        ("a logout token without its kind", "token_kind", |s| {
            s.set("events", json!({}));
            set_header(s, "typ", "JWT".into())
        }),
    ]);
    all
}

/// Table 4A, row 14: of whatever is not a token for this application none is taken.
#[tokio::test]
async fn no_broken_access_token_is_taken() {
    let all = broken();
    assert_eq!(all.len(), BROKEN);
    for (name, expected, twist) in all {
        let liar = Liar::start().await;
        let token = liar.with(|state| {
            profiled(state);
            twist(state)
        });
        let provider = Arc::new(provider(&liar, ""));
        // Twice: what was found bad once is not found good by being known.
        for turn in 0..2 {
            let found = judged(&provider, &token, &wanted()).await;
            assert_eq!(found.map(drop), Err(expected.to_owned()), "{name}, {turn}");
        }
    }
}

#[tokio::test]
async fn the_forms_of_providers_are_taken() {
    type Form = (
        &'static str,
        &'static str,
        &'static str,
        bool,
        fn(&mut State),
    );
    let forms: [Form; 9] = [
        ("RFC 9068", "", "alice", false, |_| {}),
        ("RFC 9068 in full", "", "alice", false, |s| {
            s.header["typ"] = "application/at+JWT".into();
            s.without("scope");
        }),
        ("a client's own", "", "cli", true, |s| s.set("sub", "cli")),
        ("Keycloak", "", "alice", false, |s| {
            s.header["typ"] = "JWT".into();
            s.set("typ", "Bearer");
            s.set("azp", "cli");
            s.set("aud", json!(["account", API]));
        }),
        ("Keycloak's service account", "", "0a1b", true, |s| {
            s.header["typ"] = "JWT".into();
            s.set("sub", "0a1b");
            s.set("preferred_username", "service-account-cli");
        }),
        ("Okta", "", "alice", false, |s| {
            s.header.as_object_mut().unwrap().remove("typ");
            s.without("scope");
            s.without("iat");
            s.set("scp", json!(["read", "write"]));
        }),
        ("Auth0's machine", "", "abc@clients", true, |s| {
            s.header["typ"] = "JWT".into();
            s.set("sub", "abc@clients");
            s.set("gty", "client-credentials");
        }),
        ("Entra", "preset: entra", OBJECT, false, |s| {
            s.header["typ"] = "JWT".into();
            s.without("scope");
            s.set("scp", "read write");
            s.set("azpacr", "0");
            s.set("tid", TENANT);
            s.set("oid", OBJECT);
        }),
        ("Entra's application", "preset: entra", OBJECT, true, |s| {
            s.header["typ"] = "JWT".into();
            s.without("scope");
            s.set("roles", json!(["Wiki.Read"]));
            s.set("azpacr", "1");
            s.set("tid", TENANT);
            s.set("oid", OBJECT);
        }),
    ];
    for (name, more, subject, is_of_client, twist) in forms {
        let liar = Liar::start().await;
        let token = liar.with(|state| {
            profiled(state);
            twist(state);
            state.token()
        });
        let provider = Arc::new(provider(&liar, more));
        let found = judged(&provider, &token, &wanted()).await;
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&*found.person.key.subject, subject, "{name}");
        assert_eq!(found.is_of_client, is_of_client, "{name}");
        assert_eq!(found.client.as_deref(), Some("cli"), "{name}");
        let scopes: Vec<_> = found.scopes.iter().map(|scope| &**scope).collect();
        let has_scopes = !name.contains("in full") && !name.contains("application");
        let expected: &[&str] = if has_scopes { &["read", "write"] } else { &[] };
        assert_eq!(scopes, expected, "{name}");
        assert!(found.person.is_in("staff"), "{name}");
        assert_eq!(found.expires, Timestamp(NOW + 360), "{name}");
    }
}

/// Where one registration at the provider is for people and for programs, both kinds of tokens are for it.
#[tokio::test]
async fn an_id_token_for_the_same_audience_is_no_access_token() {
    let own = Bearer {
        audiences: vec![CLIENT.into()],
        ..Bearer::default()
    };
    type Twist = fn(&mut State);
    let plain: Twist = |s| {
        s.header["typ"] = "JWT".into();
        s.set("aud", CLIENT);
        s.set("tid", TENANT);
        s.set("oid", OBJECT);
    };
    let cases: [(&str, &str, Twist, bool); 6] = [
        (
            "roles alone",
            "",
            |s| {
                s.without("scope");
                s.set("roles", json!(["a"]));
            },
            false,
        ),
        ("no client", "", |s| s.without("client_id"), false),
        ("scope and client", "", |_| {}, true),
        (
            "Entra's ID token",
            "preset: entra",
            |s| s.set("roles", json!(["a"])),
            false,
        ),
        (
            "Entra's access token",
            "preset: entra",
            |s| s.set("azpacr", "1"),
            true,
        ),
        (
            "Entra's older one",
            "preset: entra",
            |s| s.set("appidacr", "1"),
            true,
        ),
    ];
    for (name, more, twist, good) in cases {
        let liar = Liar::start().await;
        let token = liar.with(|state| {
            profiled(state);
            plain(state);
            twist(state);
            state.token()
        });
        let provider = Arc::new(provider(&liar, more));
        let found = judged(&provider, &token, &own).await;
        let expected = if good {
            Ok(())
        } else {
            Err("token_kind".to_owned())
        };
        assert_eq!(found.map(drop), expected, "{name}");
    }
}

#[tokio::test]
async fn a_rule_asks_for_no_more_than_the_providers_own_age_allows() {
    let liar = Liar::start().await;
    for (more, asked, expected) in [
        ("", None, None),
        ("", Some(28_800), Some("28800")),
        ("max_age: 15m", None, Some("900")),
        ("max_age: 15m", Some(28_800), Some("900")),
        ("max_age: 15m", Some(60), Some("60")),
    ] {
        let secrets = super::secrets();
        let begin = crate::auth::provider::Begin {
            max_age: asked.map(Duration::from_secs),
            ..super::begin(&secrets)
        };
        let url = provider(&liar, more).begin(&begin).await.unwrap();
        let said = url.query_pairs().find(|(name, _)| name == "max_age");
        assert_eq!(
            said.as_ref().map(|(_, value)| &**value),
            expected,
            "{more} {asked:?}"
        );
    }
}

#[tokio::test]
async fn only_clients_that_are_named_may_come_with_a_token() {
    let liar = Liar::start().await;
    let provider = Arc::new(provider(&liar, ""));
    let of = |clients: &[&str]| Bearer {
        clients: clients.iter().map(|client| (*client).into()).collect(),
        ..wanted()
    };
    let with = liar.with(|state| {
        profiled(state);
        state.token()
    });
    let without = liar.with(|state| {
        state.without("client_id");
        state.token()
    });
    for (token, clients, expected) in [
        (&with, &[][..], Ok(())),
        (&with, &["other", "cli"], Ok(())),
        (&with, &["other"], Err("client".to_owned())),
        (&without, &[], Ok(())),
        (&without, &["cli"], Err("client".to_owned())),
    ] {
        let found = judged(&provider, token, &of(clients)).await;
        assert_eq!(found.map(drop), expected, "{clients:?}");
    }
}

#[tokio::test]
async fn a_token_is_judged_again_after_a_minute_and_never_after_its_end() {
    let liar = Liar::start().await;
    let provider = Arc::new(provider(&liar, ""));
    let token = liar.with(|state| {
        profiled(state);
        state.token()
    });
    let first = judged(&provider, &token, &wanted()).await.unwrap();
    let again = judged(&provider, &token, &wanted()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "it was known");
    // For another application it is none, known or not.
    let other = Bearer {
        audiences: vec!["https://other.example.com".into()],
        ..wanted()
    };
    let elsewhere = judged(&provider, &token, &other).await;
    assert_eq!(elsewhere.unwrap_err(), "audience");
    provider.clock.advance(Duration::from_secs(60));
    let anew = judged(&provider, &token, &wanted()).await.unwrap();
    assert!(!Arc::ptr_eq(&first, &anew), "it was judged again");
    provider.clock.advance(Duration::from_secs(299));
    assert!(judged(&provider, &token, &wanted()).await.is_ok());
    provider.clock.advance(Duration::from_secs(1));
    let ended = judged(&provider, &token, &wanted()).await;
    assert_eq!(ended.unwrap_err(), "token_expired");
}

#[tokio::test]
async fn rule_01_without_the_providers_keys_no_token_is_taken() {
    for path in [METADATA, KEYS] {
        let liar = Liar::start().await;
        let provider = Arc::new(provider(&liar, ""));
        let token = liar.with(|state| {
            profiled(state);
            state.plan(path, Plan::Close);
            state.token()
        });
        let found = judged(&provider, &token, &wanted()).await;
        assert_eq!(found.unwrap_err(), "unavailable", "{path}");
    }
}

#[tokio::test]
async fn entras_tokens_of_the_first_version_are_its_tenants() {
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let entra = super::provider_at(&issuer, "preset: entra");
    let plain = super::provider_at(&issuer, "");
    let first = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
    let other = "9d1f0c3a-5b0e-4a51-9a55-0f6c1c1f2a3b";
    for (issuer, of_entra, of_plain) in [
        (issuer, true, true),
        (first(TENANT), true, false),
        (first(other), false, false),
        (first(&format!("{TENANT}/../x")), false, false),
        (format!("https://sts.windows.net/{TENANT}"), false, false),
        (format!("http://sts.windows.net/{TENANT}/"), false, false),
        (String::new(), false, false),
    ] {
        assert_eq!(entra.may_issue(&issuer), of_entra, "{issuer}");
        assert_eq!(plain.may_issue(&issuer), of_plain, "{issuer}");
    }
}
