//! What providers may do, and what some do: taken as it is meant.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::keys::Signer;
use super::liar::{
    ACCESS, CODE, GROUPS, Liar, NOW, OBJECT, REFRESH, State, TENANT, TOKENS, USERINFO,
};
use super::{BACK, provider, sign_in};
use crate::auth::provider::SignedIn;
use crate::auth::provider::claims::at_hash;
use crate::clock::Timestamp;
use crate::model::SigningAlgorithm;

type Oddity = (
    &'static str,
    &'static str,
    fn(&mut State),
    fn(&SignedIn) -> bool,
);

/// So many there are.
const ODDITIES: usize = 53;

fn signed(state: &mut State, algorithm: &str, signer: Signer) {
    state.header["alg"] = algorithm.into();
    state.signer = signer;
    state.keys = vec![signer.jwk("k1")];
}

fn groups(signed_in: &SignedIn) -> Vec<&str> {
    signed_in
        .person
        .groups
        .iter()
        .map(|group| &**group)
        .collect()
}

fn email(signed_in: &SignedIn) -> Option<&str> {
    signed_in.person.email.as_deref()
}

fn is_alice(signed_in: &SignedIn) -> bool {
    let person = &signed_in.person;
    let issuer = person.claims["iss"].as_str().unwrap();
    *person.key.authority == *issuer
        && *person.key.subject == *"alice"
        && *person.provider == *"test"
        && person.name.as_deref() == Some("Alice")
        && person.email.as_deref() == Some("alice@example.com")
        && groups(signed_in) == ["admins", "staff"]
}

const TABLE: &[Oddity] = &[
    ("nothing odd", "", |_| (), is_alice),
    ("RS384", "", |s| signed(s, "RS384", Signer::Rsa), is_alice),
    ("RS512", "", |s| signed(s, "RS512", Signer::Rsa), is_alice),
    ("PS256", "", |s| signed(s, "PS256", Signer::Rsa), is_alice),
    ("PS384", "", |s| signed(s, "PS384", Signer::Rsa), is_alice),
    ("PS512", "", |s| signed(s, "PS512", Signer::Rsa), is_alice),
    ("ES256", "", |s| signed(s, "ES256", Signer::P256), is_alice),
    ("ES384", "", |s| signed(s, "ES384", Signer::P384), is_alice),
    (
        "EdDSA",
        "",
        |s| signed(s, "EdDSA", Signer::Ed25519),
        is_alice,
    ),
    (
        "Ed25519 by its new name",
        "",
        |s| signed(s, "Ed25519", Signer::Ed25519),
        is_alice,
    ),
    (
        "allowed by name",
        "allowed_algorithms: [RS256]",
        |_| (),
        is_alice,
    ),
    (
        "no kid and one key",
        "",
        |s| s.header = json!({"alg": "RS256"}),
        is_alice,
    ),
    (
        "no kid and one fitting key",
        "",
        |s| {
            s.header = json!({"alg": "RS256"});
            s.keys.insert(0, Signer::P256.jwk("k0"));
        },
        is_alice,
    ),
    (
        "no kid anywhere",
        "",
        |s| {
            s.header = json!({"alg": "RS256"});
            s.keys[0].as_object_mut().unwrap().remove("kid");
        },
        is_alice,
    ),
    (
        "two keys of one kid",
        "",
        |s| s.keys.insert(0, Signer::OtherRsa.jwk("k1")),
        is_alice,
    ),
    (
        "an OKP key first",
        "",
        |s| s.keys.insert(0, Signer::Ed25519.jwk("k0")),
        is_alice,
    ),
    (
        "keys of unknown kinds",
        "",
        |s| {
            s.keys
                .insert(0, json!({"kty": "AKP", "kid": "k0", "alg": "ML-DSA-65"}));
            s.keys.insert(1, json!("hello"));
            s.keys.insert(
                2,
                json!({"kty": "OKP", "crv": "X448", "kid": "k1", "x": "AA"}),
            );
        },
        is_alice,
    ),
    (
        "keys with more than is known",
        "",
        |s| {
            s.keys[0]["x5c"] = json!(["!"]);
            s.keys[0]["ext"] = json!({"a": 1});
            s.keys[0]["key_ops"] = json!(["verify"]);
            s.keys[0]["alg"] = "RS256".into();
        },
        is_alice,
    ),
    (
        "typ in small letters",
        "",
        |s| s.header["typ"] = "jwt".into(),
        is_alice,
    ),
    (
        "no typ",
        "",
        |s| s.header = json!({"alg": "RS256", "kid": "k1"}),
        is_alice,
    ),
    (
        "a header with more than is known",
        "",
        |s| {
            s.header["x5t"] = "AA".into();
            s.header["new"] = json!([1]);
        },
        is_alice,
    ),
    (
        "aud a list of us",
        "",
        |s| s.set("aud", json!(["client-1"])),
        is_alice,
    ),
    (
        "aud several with azp",
        "",
        |s| {
            s.set("aud", json!(["client-2", "client-1"]));
            s.set("azp", "client-1");
        },
        is_alice,
    ),
    ("azp", "", |s| s.set("azp", "client-1"), is_alice),
    (
        "float times",
        "max_age: 1h",
        |s| {
            s.set("iat", 1_799_999_999.25);
            s.set("exp", 1_800_000_300.75);
            s.set("auth_time", 1_799_999_990.9);
        },
        |r| is_alice(r) && r.auth_time == Some(Timestamp(NOW - 10)),
    ),
    (
        "a clock that is half a minute off",
        "",
        |s| {
            s.set("iat", NOW + 30);
            s.set("nbf", NOW + 30);
        },
        is_alice,
    ),
    (
        "ended half a minute ago",
        "",
        |s| s.set("exp", NOW - 30),
        is_alice,
    ),
    (
        "at_hash",
        "",
        |s| s.set("at_hash", at_hash(ACCESS, SigningAlgorithm::Rs256)),
        is_alice,
    ),
    (
        "at_hash of RS512",
        "",
        |s| {
            signed(s, "RS512", Signer::Rsa);
            s.set("at_hash", at_hash(ACCESS, SigningAlgorithm::Rs512));
        },
        is_alice,
    ),
    (
        "sub of 255",
        "",
        |s| {
            s.set("sub", "a".repeat(255));
            s.userinfo = json!({"sub": "a".repeat(255)});
        },
        |r| r.subject.len() == 255,
    ),
    (
        "no expires_in, token type in capitals",
        "",
        |s| s.tokens = json!({"access_token": ACCESS, "token_type": "BEARER"}),
        |r| is_alice(r) && r.access_expires.is_none() && r.refresh_token.is_none(),
    ),
    (
        "expires_in a text",
        "",
        |s| s.tokens["expires_in"] = "60".into(),
        |r| r.access_expires == Some(Timestamp(NOW + 60)),
    ),
    (
        "expires_in without end",
        "",
        |s| s.tokens["expires_in"] = json!(1e300),
        |r| r.access_expires.is_none(),
    ),
    (
        "all that is told of the sign-in",
        "",
        |_| (),
        |r| {
            r.sid.as_deref() == Some("s1")
                && r.acr.as_deref() == Some("gold")
                && r.amr.len() == 2
                && r.access_expires == Some(Timestamp(NOW + 3600))
                && r.refresh_token
                    .as_ref()
                    .is_some_and(|t| t.expose_secret() == REFRESH)
        },
    ),
    (
        "one group alone",
        "",
        |s| s.set("groups", "staff"),
        |r| groups(r) == ["staff"],
    ),
    (
        "paths of Keycloak",
        "preset: keycloak",
        |s| s.set("groups", json!(["/staff", "/staff/it"])),
        |r| groups(r) == ["/staff", "/staff/it"],
    ),
    (
        "no groups",
        "userinfo: never",
        |s| s.without("groups"),
        |r| groups(r).is_empty(),
    ),
    (
        "groups null",
        "userinfo: never",
        |s| s.set("groups", json!(null)),
        |r| groups(r).is_empty(),
    ),
    (
        "groups deep down",
        "claims: { groups: realm_access.roles }",
        |s| s.set("realm_access", json!({"roles": ["r"]})),
        |r| groups(r) == ["r"],
    ),
    (
        "a claim with dots in its name",
        "claims: { groups: 'https://a.example/groups' }",
        |s| s.set("https://a.example/groups", json!(["g"])),
        |r| groups(r) == ["g"],
    ),
    (
        "ten thousand groups",
        "",
        |s| {
            s.without("groups");
            s.userinfo["groups"] = (0..10_000).map(|n| format!("g{n}")).collect();
        },
        |r| r.person.groups.len() == 10_000 && r.person.is_in("g9999"),
    ),
    (
        "a name with lines",
        "",
        |s| s.set("name", "Al\r\nice\u{202e}"),
        is_alice,
    ),
    (
        "an address nobody verified",
        "",
        |s| s.without("email_verified"),
        |r| email(r).is_none(),
    ),
    (
        "an address that is not verified",
        "",
        |s| s.set("email_verified", false),
        |r| email(r).is_none(),
    ),
    (
        "verified in letters",
        "",
        |s| s.set("email_verified", "true"),
        is_alice,
    ),
    (
        "trusted all the same",
        "trust_email: true",
        |s| s.set("email_verified", false),
        is_alice,
    ),
    (
        "another address is verified",
        "userinfo: always",
        |s| {
            s.without("email_verified");
            s.userinfo =
                json!({"sub": "alice", "email": "root@example.com", "email_verified": true});
        },
        |r| email(r).is_none(),
    ),
    (
        "the token's word counts",
        "userinfo: always",
        |s| s.userinfo = json!({"sub": "alice", "name": "Mallory", "groups": ["root"], "more": 1}),
        |r| is_alice(r) && r.person.claims["more"] == 1,
    ),
    (
        "userinfo says the rest",
        "",
        |s| {
            for claim in ["name", "email", "email_verified", "groups"] {
                s.without(claim);
            }
            s.userinfo = json!({"sub": "alice", "name": "Alice", "email": "alice@example.com", "email_verified": true, "groups": ["staff", "admins"]});
        },
        is_alice,
    ),
    (
        "Entra's own verification",
        "preset: entra",
        |s| {
            s.without("email_verified");
            s.set("xms_edov", true);
        },
        |r| {
            email(r) == Some("alice@example.com")
                && *r.person.key.authority == *TENANT
                && *r.person.key.subject == *OBJECT
        },
    ),
    (
        "Entra's address is anybody's",
        "preset: entra",
        |_| (),
        |r| email(r).is_none(),
    ),
    (
        "groups in pages",
        "preset: entra",
        |s| {
            s.without("groups");
            s.set("_claim_names", json!({"groups": "src1"}));
            s.set(
                "_claim_sources",
                json!({"src1": {"endpoint": "https://graph.windows.net/evil"}}),
            );
            let next = format!("{}{GROUPS}?$skiptoken=a", s.base);
            s.groups = vec![
                json!({"value": ["b", "a"], "@odata.nextLink": next}),
                json!({"value": ["c", "a"]}),
            ];
        },
        |r| groups(r) == ["a", "b", "c"],
    ),
    (
        "Google's groups",
        "preset: google",
        |s| s.set("groups", json!(["a@example.com"])),
        |r| groups(r) == ["a@example.com"],
    ),
];

#[tokio::test]
async fn what_is_odd_and_legal_is_taken_as_it_is_meant() {
    let (mut seen, mut wrong) = (0, String::new());
    for (name, more, twist, check) in TABLE {
        let liar = Liar::start().await;
        liar.with(twist);
        match sign_in(&provider(&liar, more)).await {
            Ok(signed_in) if check(&signed_in) => {
                let shown = format!("{signed_in:?}");
                assert!(
                    !shown.contains("hunter2") && !shown.contains("eyJ"),
                    "{shown}"
                );
            }
            Ok(signed_in) => {
                wrong += &format!("{name}: {signed_in:?} {:?}\n", signed_in.person.claims)
            }
            Err(error) => wrong += &format!("{name}: {error:?}\n"),
        }
        assert!(liar.with(|s| s.asked.iter().all(|asked| !asked.cookie)));
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(seen, ODDITIES);
}

#[tokio::test]
async fn the_provider_is_asked_only_for_what_the_token_does_not_say() {
    for (more, asked, twist) in [
        ("", 0, (|_| ()) as fn(&mut State)),
        ("userinfo: always", 1, |_| ()),
        ("userinfo: never", 0, |s| s.without("email")),
        ("", 1, |s| s.without("email")),
        ("", 1, |s| s.without("groups")),
        ("preset: google", 0, |s| s.without("groups")),
        ("preset: entra", 0, |s| s.without("groups")),
        ("", 0, |s| {
            s.without("groups");
            s.metadata["userinfo_endpoint"] = json!(null);
        }),
    ] {
        let liar = Liar::start().await;
        liar.with(twist);
        sign_in(&provider(&liar, more)).await.unwrap();
        assert_eq!(liar.with(|s| s.count(USERINFO)), asked, "{more}");
        let bearer = liar.with(|s| s.asked.iter().find(|a| a.path == USERINFO).cloned());
        let bearer = bearer.map(|asked| asked.authorization.unwrap());
        assert!(bearer.is_none_or(|bearer| bearer == format!("Bearer {ACCESS}")));
    }
}

#[tokio::test]
async fn the_code_goes_with_its_verifier_and_our_proof() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secret = file("secret", "a b&:%\n");
    let secrets = format!("client_secrets: [{{ file: '{secret}' }}]");
    let liar = Liar::start().await;
    let asked = async |liar: &Liar, more: &str| {
        sign_in(&provider(liar, more)).await.unwrap();
        liar.with(|s| {
            s.asked
                .iter()
                .rfind(|asked| asked.path == TOKENS)
                .cloned()
                .unwrap()
        })
    };
    let public = asked(&liar, "").await;
    assert_eq!(public.authorization, None);
    for (field, value) in [
        ("grant_type", "authorization_code"),
        ("code", CODE),
        ("redirect_uri", BACK),
        ("code_verifier", "verifier-hunter2"),
        ("client_id", "client-1"),
    ] {
        assert_eq!(public.form[field], value);
    }
    // Without a word, and where several are taken, it is Basic, each part encoded as in a form.
    let basic = asked(&liar, &secrets).await;
    assert_eq!(
        basic.authorization.as_deref(),
        Some("Basic Y2xpZW50LTE6YStiJTI2JTNBJTI1")
    );
    assert!(!basic.form.contains_key("client_secret"));
    liar.with(|s| {
        s.metadata["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"])
    });
    let post = asked(&liar, &secrets).await;
    assert_eq!(post.authorization, None);
    assert_eq!(post.form["client_secret"], "a b&:%");

    liar.with(|s| s.metadata["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt"]));
    for (signer, algorithm) in [(Signer::OtherRsa, "RS256"), (Signer::P256, "ES256")] {
        let key = file("key", &signer.pem());
        let more = format!("private_key_jwt: {{ key: '{key}', key_id: k9 }}");
        let first = asked(&liar, &more).await.form["client_assertion"].clone();
        let second = asked(&liar, &more).await.form["client_assertion"].clone();
        let claims = |token: &str| proof_claims(token, signer, algorithm);
        let (first, second) = (claims(&first), claims(&second));
        assert_ne!(first["jti"], second["jti"]);
        assert_eq!(first["iss"], "client-1");
        assert_eq!(first["sub"], "client-1");
        assert_eq!(
            first["aud"],
            liar.with(|s| s.metadata["token_endpoint"].clone())
        );
        assert_eq!(first["exp"], NOW + 60);
    }
}

/// What a proof says, once its signature is found good.
fn proof_claims(token: &str, signer: Signer, algorithm: &str) -> serde_json::Value {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let jwk: Jwk = serde_json::from_value(signer.jwk("k9")).unwrap();
    let algorithm: Algorithm = algorithm.parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let read = decode::<serde_json::Value>(token, &key, &validation).unwrap();
    assert_eq!(read.header.kid.as_deref(), Some("k9"));
    read.claims
}

#[tokio::test]
async fn the_next_secret_is_tried_where_one_is_refused_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, name).unwrap();
        format!("{{ file: '{}' }}", path.display())
    };
    let all: Vec<_> = ["old", "new", "newer"].map(secret).into();
    let liar = Liar::start().await;
    liar.with(|s| s.refuses = vec!["old"]);
    let provider = provider(&liar, &format!("client_secrets: [{}]", all.join(", ")));
    let tries = async |expected: usize, good: bool| {
        let before = liar.with(|s| s.count(TOKENS));
        let outcome = sign_in(&provider).await;
        assert_eq!(outcome.as_ref().is_ok(), good, "{outcome:?}");
        assert_eq!(liar.with(|s| s.count(TOKENS)) - before, expected);
        outcome.err().map(|error| error.code())
    };
    tries(2, true).await;
    tries(1, true).await;
    liar.with(|s| s.refuses = vec!["old", "new"]);
    tries(2, true).await;
    liar.with(|s| s.refuses = vec!["old", "new", "newer"]);
    assert_eq!(tries(3, false).await, Some("client_refused"));
    // What is not about our proof is not tried again: the code may have been spent.
    let text = json!({"error": "invalid_grant"}).to_string();
    liar.with(|s| {
        s.plan(
            TOKENS,
            super::liar::Plan::Reply(400, "application/json", text),
        )
    });
    assert_eq!(tries(1, false).await, Some("invalid_grant"));
    // One that cannot be read any more does not keep the others from being tried.
    liar.with(|s| {
        s.plans.clear();
        s.refuses.clear();
    });
    std::fs::remove_file(folder.path().join("newer")).unwrap();
    tries(1, true).await;
}

#[test]
fn what_cannot_be_read_is_found_at_the_start() {
    let dialler = || crate::net::Dialler::new(crate::net::Resolver::new(&[], Default::default()));
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, Signer::P384.pem()).unwrap();
    for (more, code) in [
        (
            "client_secrets: [{ file: /nowhere }]".to_owned(),
            "bad_secret",
        ),
        (
            "client_secrets: [{ env: APPPROXY_TEST_NOT_SET }]".to_owned(),
            "bad_secret",
        ),
        (
            "private_key_jwt: { key: /nowhere }".to_owned(),
            "file_unreadable",
        ),
        (
            format!("private_key_jwt: {{ key: '{}' }}", key.display()),
            "key_unsupported",
        ),
        ("extra_ca: /nowhere".to_owned(), "file_unreadable"),
    ] {
        let config = super::config("https://idp.example", &more);
        let clock = crate::clock::Clock::system();
        let found = super::Provider::new(Arc::clone(&config), dialler(), clock).unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, code);
        assert!(found[0].place.as_ref().is_some_and(|place| place.line > 0));
    }
}
