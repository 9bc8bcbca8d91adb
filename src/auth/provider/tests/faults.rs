//! What a provider can do wrong, each refused with a finding of its own.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::keys::{Signer, weak_jwk};
use super::liar::{
    ACCESS, CODE, GROUPS, KEYS, Liar, METADATA, NOW, Plan, REFRESH, State, TOKENS, USERINFO, twice,
};
use super::{ProviderError, provider, provider_at, sign_in_with};
use crate::model::ErrorCode;

/// A fault: its name, the code it has to be found under, keys of the configuration that matter, and
/// what the provider does.
type Fault = (&'static str, &'static str, &'static str, fn(&mut State));

/// So many there are; one that is lost in an edit is missed.
const FAULTS: usize = 167;

const ENTRA: &str = "preset: entra";
const ALWAYS: &str = "userinfo: always";

fn html(status: u16) -> Plan {
    Plan::Reply(status, "text/html", "<p>Sign in".to_owned())
}

fn error(status: u16, error: &str, description: &str) -> Plan {
    let text = json!({"error": error, "error_description": description});
    Plan::Reply(status, "application/json", text.to_string())
}

const METADATA_FAULTS: &[Fault] = &[
    ("metadata 404", "provider_status", "", |s| {
        s.plan(METADATA, html(404))
    }),
    ("metadata 500", "provider_status", "", |s| {
        s.plan(METADATA, html(500))
    }),
    ("metadata HTML", "provider_bad_answer", "", |s| {
        s.plan(METADATA, html(200))
    }),
    ("metadata a list", "provider_bad_answer", "", |s| {
        s.metadata = json!([])
    }),
    ("metadata cut short", "provider_unreachable", "", |s| {
        s.plan(METADATA, Plan::CutShort)
    }),
    ("metadata closes", "provider_unreachable", "", |s| {
        s.plan(METADATA, Plan::Close)
    }),
    ("metadata redirects", "provider_redirects", "", |s| {
        s.plan(METADATA, Plan::Redirect)
    }),
    ("metadata endless", "provider_answer_too_large", "", |s| {
        s.plan(METADATA, Plan::Endless)
    }),
    ("metadata silent", "provider_timeout", "", |s| {
        s.plan(METADATA, Plan::Hang)
    }),
    ("metadata dripping", "provider_timeout", "", |s| {
        s.plan(METADATA, Plan::Drip)
    }),
    (
        "metadata silent, short limit",
        "provider_timeout",
        "timeout: 1s",
        |s| s.plan(METADATA, Plan::Hang),
    ),
    ("no issuer", "provider_bad_answer", "", |s| {
        s.metadata["issuer"] = json!(null)
    }),
    ("issuer with a slash", "issuer_mismatch", "", |s| {
        s.metadata["issuer"] = format!("{}/", s.base).into()
    }),
    ("issuer in capitals", "issuer_mismatch", "", |s| {
        s.metadata["issuer"] = s.base.to_uppercase().into()
    }),
    ("issuer of another", "issuer_mismatch", "", |s| {
        s.metadata["issuer"] = "https://evil.example".into()
    }),
    ("no token endpoint", "endpoint_missing", "", |s| {
        s.metadata["token_endpoint"] = json!(null)
    }),
    ("no authorization endpoint", "endpoint_missing", "", |s| {
        s.metadata["authorization_endpoint"] = json!(1)
    }),
    ("no keys", "endpoint_missing", "", |s| {
        s.metadata["jwks_uri"] = json!({})
    }),
    ("token endpoint without TLS", "endpoint_refused", "", |s| {
        s.metadata["token_endpoint"] = "http://idp.example/token".into()
    }),
    (
        "authorization endpoint is a script",
        "endpoint_refused",
        "",
        |s| s.metadata["authorization_endpoint"] = "javascript:alert(1)".into(),
    ),
    ("keys in a file", "endpoint_refused", "", |s| {
        s.metadata["jwks_uri"] = "file:///etc/passwd".into()
    }),
    ("userinfo with a password", "endpoint_refused", "", |s| {
        s.metadata["userinfo_endpoint"] = "https://a:b@idp.example/".into()
    }),
    ("logout with a fragment", "endpoint_refused", "", |s| {
        s.metadata["end_session_endpoint"] = "https://idp.example/#a".into()
    }),
    (
        "no way to prove who we are",
        "client_authentication_unsupported",
        "client_secrets: [{ file: /dev/null }]",
        |s| s.metadata["token_endpoint_auth_methods_supported"] = json!(["tls_client_auth"]),
    ),
];

const KEY_FAULTS: &[Fault] = &[
    ("keys 404", "provider_status", "", |s| {
        s.plan(KEYS, html(404))
    }),
    ("keys HTML", "provider_bad_answer", "", |s| {
        s.plan(KEYS, html(200))
    }),
    ("keys no list", "provider_bad_answer", "", |s| {
        s.plan(
            KEYS,
            Plan::Reply(200, "application/json", r#"{"keys":{}}"#.into()),
        )
    }),
    ("keys silent", "provider_timeout", "", |s| {
        s.plan(KEYS, Plan::Hang)
    }),
    ("keys dripping", "provider_timeout", "", |s| {
        s.plan(KEYS, Plan::Drip)
    }),
    ("keys endless", "provider_answer_too_large", "", |s| {
        s.plan(KEYS, Plan::Endless)
    }),
    ("keys redirect", "provider_redirects", "", |s| {
        s.plan(KEYS, Plan::Redirect)
    }),
    ("keys empty", "key_unknown", "", |s| s.keys.clear()),
    ("key unknown", "key_unknown", "", |s| {
        s.header["kid"] = "k2".into()
    }),
    ("kid a path", "key_unknown", "", |s| {
        s.header["kid"] = "../../../dev/null".into()
    }),
    ("kid a URL", "key_unknown", "", |s| {
        s.header["kid"] = "https://evil.example/key".into()
    }),
    ("kid forges a line", "key_unknown", "", |s| {
        s.header["kid"] = "k1\r\nINFO signed in\u{202e}".into()
    }),
    ("kid empty", "key_unknown", "", |s| {
        s.header["kid"] = "".into()
    }),
    ("key for encryption", "key_unknown", "", |s| {
        s.keys[0]["use"] = "enc".into()
    }),
    ("key that only signs", "key_unknown", "", |s| {
        s.keys[0]["key_ops"] = json!(["sign"])
    }),
    ("key of another kind", "key_unfit", "", |s| {
        s.keys = vec![Signer::P256.jwk("k1")]
    }),
    ("key of another curve", "key_unfit", "", |s| {
        s.header["alg"] = "ES256".into();
        s.signer = Signer::P384;
        s.keys = vec![Signer::P384.jwk("k1")];
    }),
    ("key for another algorithm", "key_unfit", "", |s| {
        s.keys[0]["alg"] = "PS512".into()
    }),
    ("key for an unknown algorithm", "key_unfit", "", |s| {
        s.keys[0]["alg"] = "RSA-OAEP".into()
    }),
    ("key with a shared secret", "key_unknown", "", |s| {
        s.keys = vec![json!({"kty": "oct", "kid": "k1", "k": "AAAA"})]
    }),
    ("key too short", "key_weak", "", |s| {
        s.keys = vec![weak_jwk("k1")]
    }),
    ("several keys and no kid", "key_ambiguous", "", |s| {
        s.header = json!({"alg": "RS256"});
        s.keys.push(Signer::OtherRsa.jwk("k2"));
    }),
    ("no fitting key and no kid", "key_missing", "", |s| {
        s.header = json!({"alg": "RS256"});
        s.keys = vec![Signer::P256.jwk("k1")];
    }),
    ("keyed by another", "token_signature", "", |s| {
        s.signer = Signer::OtherRsa
    }),
];

const ANSWER_FAULTS: &[Fault] = &[
    ("tokens 500", "provider_status", "", |s| {
        s.plan(TOKENS, html(500))
    }),
    ("tokens 429", "provider_status", "", |s| {
        s.plan(TOKENS, html(429))
    }),
    ("tokens 404", "provider_status", "", |s| {
        s.plan(TOKENS, html(404))
    }),
    ("tokens HTML", "provider_bad_answer", "", |s| {
        s.plan(TOKENS, html(200))
    }),
    ("tokens a list", "provider_bad_answer", "", |s| {
        s.tokens = json!([])
    }),
    ("tokens silent", "provider_timeout", "", |s| {
        s.plan(TOKENS, Plan::Hang)
    }),
    ("tokens dripping", "provider_timeout", "", |s| {
        s.plan(TOKENS, Plan::Drip)
    }),
    ("tokens endless", "provider_answer_too_large", "", |s| {
        s.plan(TOKENS, Plan::Endless)
    }),
    ("tokens redirect", "provider_redirects", "", |s| {
        s.plan(TOKENS, Plan::Redirect)
    }),
    ("tokens close", "provider_unreachable", "", |s| {
        s.plan(TOKENS, Plan::Close)
    }),
    ("tokens cut short", "provider_unreachable", "", |s| {
        s.plan(TOKENS, Plan::CutShort)
    }),
    ("no ID token", "id_token_missing", "", |s| {
        s.with_id_token = false
    }),
    ("ID token a number", "id_token_missing", "", |s| {
        s.with_id_token = false;
        s.tokens["id_token"] = json!(1);
    }),
    ("tokens of another kind", "token_type", "", |s| {
        s.tokens["token_type"] = "DPoP".into()
    }),
    ("code refused", "invalid_grant", "", |s| {
        s.plan(TOKENS, error(400, "invalid_grant", "code expired"))
    }),
    ("client refused", "client_refused", "", |s| {
        s.plan(TOKENS, error(401, "invalid_client", ""))
    }),
    ("refused with status 200", "scope_refused", "", |s| {
        s.plan(TOKENS, error(200, "invalid_scope", ""))
    }),
    ("secret ended", "client_secret_expired", "", |s| {
        s.plan(
            TOKENS,
            error(401, "invalid_client", "AADSTS7000222: keys are expired"),
        )
    }),
    ("redirect URI", "redirect_uri_mismatch", "", |s| {
        s.plan(TOKENS, error(400, "invalid_client", "AADSTS50011"))
    }),
    ("not assigned", "user_not_assigned", "", |s| {
        s.plan(TOKENS, error(400, "invalid_grant", "AADSTS50105: x"))
    }),
    ("no consent", "consent_required", "", |s| {
        s.plan(TOKENS, error(400, "invalid_grant", "AADSTS65001: x"))
    }),
    (
        "down by its own word",
        "provider_says_unavailable",
        "",
        |s| s.plan(TOKENS, error(400, "temporarily_unavailable", "")),
    ),
    (
        "error that echoes our secrets",
        "provider_refused",
        "",
        |s| {
            s.plan(
                TOKENS,
                error(400, CODE, "the code code-hunter2 and verifier-hunter2"),
            )
        },
    ),
    ("error a list", "provider_refused", "", |s| {
        s.plan(
            TOKENS,
            Plan::Reply(400, "application/json", r#"{"error":["hunter2"]}"#.into()),
        )
    }),
];

const TOKEN_FAULTS: &[Fault] = &[
    ("alg none", "token_algorithm", "", |s| {
        s.header["alg"] = "none".into();
        s.mangle = |token| format!("{}.", token.rsplit_once('.').unwrap().0);
    }),
    ("alg None", "token_algorithm", "", |s| {
        s.header["alg"] = "nOnE".into()
    }),
    (
        "alg HS256 with the public key",
        "token_algorithm",
        "",
        |s| s.header["alg"] = "HS256".into(),
    ),
    ("alg unknown", "token_algorithm", "", |s| {
        s.header["alg"] = "ES512".into()
    }),
    (
        "alg not allowed",
        "token_algorithm",
        "allowed_algorithms: [ES256]",
        |_| (),
    ),
    ("alg missing", "token_malformed", "", |s| {
        s.header = json!({"kid": "k1"})
    }),
    ("alg a list", "token_malformed", "", |s| {
        s.header["alg"] = json!(["RS256"])
    }),
    ("alg other than signed with", "token_signature", "", |s| {
        s.mangle = |token| {
            let (_, rest) = token.split_once('.').unwrap();
            format!(
                "{}.{rest}",
                URL_SAFE_NO_PAD.encode(r#"{"alg":"PS256","kid":"k1"}"#)
            )
        }
    }),
    ("crit", "token_critical", "", |s| {
        s.header["crit"] = json!(["exp"])
    }),
    ("crit empty", "token_critical", "", |s| {
        s.header["crit"] = json!([])
    }),
    ("an access token", "token_kind", "", |s| {
        s.header["typ"] = "at+jwt".into()
    }),
    ("an access token by its long name", "token_kind", "", |s| {
        s.header["typ"] = "application/AT+JWT".into()
    }),
    ("a logout token", "token_kind", "", |s| {
        s.header["typ"] = "logout+jwt".into()
    }),
    ("typ a number", "token_malformed", "", |s| {
        s.header["typ"] = json!(1)
    }),
    ("kid a number", "token_malformed", "", |s| {
        s.header["kid"] = json!(1)
    }),
    ("two parts", "token_malformed", "", |s| {
        s.mangle = |token| token.rsplit_once('.').unwrap().0.to_owned()
    }),
    ("four parts", "token_malformed", "", |s| {
        s.mangle = |token| token + ".AAAA"
    }),
    ("five parts", "token_encrypted", "", |s| {
        s.mangle = |token| token + ".AAAA.AAAA"
    }),
    ("enc", "token_encrypted", "", |s| {
        s.header["enc"] = "A128GCM".into()
    }),
    ("no token at all", "token_malformed", "", |s| {
        s.mangle = |_| "hunter2".to_owned()
    }),
    ("no signature", "token_malformed", "", |s| {
        s.mangle = |token| format!("{}.", token.rsplit_once('.').unwrap().0)
    }),
    ("padded", "token_malformed", "", |s| {
        s.mangle = |token| token + "=="
    }),
    ("blank before", "token_malformed", "", |s| {
        s.mangle = |token| format!(" {token}")
    }),
    ("header twice", "token_duplicate_key", "", |s| {
        s.header_text = Some(twice(&s.header, "alg", "\"RS256\""))
    }),
    ("claims twice", "token_duplicate_key", "", |s| {
        s.claims_text = Some(twice(&s.claims, "sub", "\"bob\""))
    }),
    ("claims twice, in escapes", "token_duplicate_key", "", |s| {
        s.claims_text = Some(twice(&s.claims, "\\u0073ub", "\"bob\""))
    }),
    ("claims a list", "token_malformed", "", |s| {
        s.claims_text = Some("[]".to_owned())
    }),
    ("claims too deep", "token_malformed", "", |s| {
        s.claims_text = Some(format!("{{\"a\":{}", "[".repeat(500)))
    }),
    ("claims not UTF-8", "token_malformed", "", |s| {
        s.mangle = |token| {
            let parts: Vec<_> = token.split('.').collect();
            format!(
                "{}.{}.{}",
                parts[0],
                URL_SAFE_NO_PAD.encode(b"{\"sub\":\"\xff\"}"),
                parts[2]
            )
        }
    }),
    ("too long", "token_too_long", "", |s| {
        s.set("filler", "x".repeat(64 * 1024))
    }),
    ("claims changed", "token_signature", "", |s| {
        s.mangle = |token| {
            let parts: Vec<_> = token.split('.').collect();
            format!(
                "{}.{}.{}",
                parts[0],
                URL_SAFE_NO_PAD.encode(r#"{"sub":"admin"}"#),
                parts[2]
            )
        }
    }),
    ("signature of nothing", "token_signature", "", |s| {
        s.mangle = |token| format!("{}.AAAA", token.rsplit_once('.').unwrap().0)
    }),
    ("its own key in the header", "token_signature", "", |s| {
        s.header["jwk"] = Signer::OtherRsa.jwk("k1");
        s.signer = Signer::OtherRsa;
    }),
    ("its own key at a URL", "token_signature", "", |s| {
        s.header["jku"] = "https://evil.example/".into();
        s.signer = Signer::OtherRsa;
    }),
    ("ES256 with nothing", "token_signature", "", |s| {
        // CVE-2022-21449: r and s of nought fit every key where nobody looks.
        s.header = json!({"alg": "ES256", "kid": "k1"});
        s.keys = vec![Signer::P256.jwk("k1")];
        s.mangle = |token| {
            format!(
                "{}.{}",
                token.rsplit_once('.').unwrap().0,
                URL_SAFE_NO_PAD.encode([0; 64])
            )
        };
    }),
];

const CLAIM_FAULTS: &[Fault] = &[
    ("iss missing", "claim_missing", "", |s| s.without("iss")),
    ("iss other", "token_issuer", "", |s| {
        s.set("iss", "https://evil.example")
    }),
    ("iss with a slash", "token_issuer", "", |s| {
        s.set("iss", format!("{}/", s.base))
    }),
    ("iss a list", "token_issuer", "", |s| {
        s.set("iss", json!([s.base]))
    }),
    ("aud missing", "claim_missing", "", |s| s.without("aud")),
    ("aud other", "token_audience", "", |s| {
        s.set("aud", "client-2")
    }),
    ("aud empty", "token_audience", "", |s| {
        s.set("aud", json!([]))
    }),
    ("aud a list of others", "token_audience", "", |s| {
        s.set("aud", json!(["client-2", "client-11"]))
    }),
    (
        "aud several without azp",
        "token_authorized_party",
        "",
        |s| s.set("aud", json!(["client-1", "client-2"])),
    ),
    ("azp other", "token_authorized_party", "", |s| {
        s.set("azp", "client-2")
    }),
    ("azp other of several", "token_authorized_party", "", |s| {
        s.set("aud", json!(["client-1", "client-2"]));
        s.set("azp", "client-2");
    }),
    ("azp null", "token_authorized_party", "", |s| {
        s.set("azp", json!(null))
    }),
    ("exp missing", "claim_missing", "", |s| s.without("exp")),
    ("exp past", "token_expired", "", |s| s.set("exp", NOW - 61)),
    ("exp a text", "claim_malformed", "", |s| {
        s.set("exp", (NOW + 300).to_string())
    }),
    ("exp negative", "claim_malformed", "", |s| s.set("exp", -1)),
    ("exp beyond all times", "claim_malformed", "", |s| {
        s.set("exp", 1e300)
    }),
    ("iat missing", "claim_missing", "", |s| s.without("iat")),
    ("iat to come", "token_from_the_future", "", |s| {
        s.set("iat", NOW + 600)
    }),
    ("nbf to come", "token_not_yet_valid", "", |s| {
        s.set("nbf", NOW + 600)
    }),
    ("nbf a list", "claim_malformed", "", |s| {
        s.set("nbf", json!([]))
    }),
    ("nonce missing", "claim_missing", "", |s| s.without("nonce")),
    ("nonce other", "nonce_mismatch", "", |s| {
        s.set("nonce", "nonce-hunter3")
    }),
    ("nonce null", "nonce_mismatch", "", |s| {
        s.set("nonce", json!(null))
    }),
    ("sub missing", "claim_missing", "", |s| s.without("sub")),
    ("sub empty", "claim_malformed", "", |s| s.set("sub", "")),
    ("sub a number", "claim_malformed", "", |s| s.set("sub", 7)),
    ("sub too long", "claim_malformed", "", |s| {
        s.set("sub", "a".repeat(256))
    }),
    ("sub with a line", "claim_malformed", "", |s| {
        s.set("sub", "alice\nbob")
    }),
    ("auth_time missing", "claim_missing", "max_age: 1h", |_| ()),
    (
        "auth_time too early",
        "authentication_too_old",
        "max_age: 1h",
        |s| s.set("auth_time", NOW - 3661),
    ),
    ("at_hash other", "at_hash_mismatch", "", |s| {
        s.set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")
    }),
    ("at_hash a number", "at_hash_mismatch", "", |s| {
        s.set("at_hash", 1)
    }),
    ("sid a list", "claim_malformed", "", |s| {
        s.set("sid", json!([]))
    }),
];

const PERSON_FAULTS: &[Fault] = &[
    ("email with a line", "claim_characters", "", |s| {
        s.set("email", "a@b\r\nX-Admin: 1")
    }),
    ("email turned around", "claim_characters", "", |s| {
        s.set("email", "a\u{202e}@b")
    }),
    ("email a list", "claim_malformed", "", |s| {
        s.set("email", json!(["a@b"]))
    }),
    ("group with a line", "claim_characters", "", |s| {
        s.set("groups", json!(["staff", "a\nb"]))
    }),
    ("group turned around", "claim_characters", "", |s| {
        s.set("groups", json!(["\u{2066}staff"]))
    }),
    ("group with NUL", "claim_characters", "", |s| {
        s.set("groups", json!("a\0"))
    }),
    ("group a number", "claim_malformed", "", |s| {
        s.set("groups", json!([1]))
    }),
    ("groups an object", "claim_malformed", "", |s| {
        s.set("groups", json!({"staff": true}))
    }),
    ("groups too many", "groups_too_many", "", |s| {
        s.without("groups");
        s.userinfo["groups"] = (0..10_001).map(|n| format!("g{n}")).collect();
    }),
    ("groups elsewhere", "groups_elsewhere", "", |s| {
        s.without("groups");
        s.set("_claim_names", json!({"groups": "src1"}));
    }),
    ("userinfo of another", "userinfo_subject", ALWAYS, |s| {
        s.userinfo = json!({"sub": "bob"})
    }),
    ("userinfo of nobody", "userinfo_subject", ALWAYS, |s| {
        s.userinfo = json!({})
    }),
    ("userinfo refused", "provider_status", ALWAYS, |s| {
        s.plan(USERINFO, html(401))
    }),
    ("userinfo signed", "userinfo_signed", ALWAYS, |s| {
        s.plan(
            USERINFO,
            Plan::Reply(200, "application/jwt; a=b", "a.b.c".into()),
        )
    }),
    ("userinfo HTML", "provider_bad_answer", ALWAYS, |s| {
        s.plan(USERINFO, html(200))
    }),
    ("userinfo silent", "provider_timeout", ALWAYS, |s| {
        s.plan(USERINFO, Plan::Hang)
    }),
    (
        "userinfo without an access token",
        "access_token_missing",
        ALWAYS,
        |s| s.tokens = json!({"token_type": "Bearer"}),
    ),
    ("no tid", "claim_missing", ENTRA, |s| s.without("tid")),
    ("no oid", "claim_missing", ENTRA, |s| s.without("oid")),
    ("oid of no form", "claim_malformed", ENTRA, |s| {
        s.set("oid", "alice")
    }),
    ("Graph refuses", "groups_refused", ENTRA, |s| {
        s.set("hasgroups", true)
    }),
    ("Graph is down", "provider_status", ENTRA, |s| {
        s.set("hasgroups", true);
        s.plan(GROUPS, html(503));
    }),
    ("Graph is silent", "provider_timeout", ENTRA, |s| {
        s.set("hasgroups", true);
        s.plan(GROUPS, Plan::Hang);
    }),
    ("Graph sends elsewhere", "provider_bad_answer", ENTRA, |s| {
        s.set("hasgroups", true);
        s.groups = vec![json!({"value": [], "@odata.nextLink": "https://evil.example/"})];
    }),
    ("Graph says nothing", "provider_bad_answer", ENTRA, |s| {
        s.set("hasgroups", true);
        s.groups = vec![json!({"values": []})];
    }),
    ("Graph has no end", "groups_too_many", ENTRA, |s| {
        s.set("hasgroups", true);
        let page = json!({"value": ["g"], "@odata.nextLink": format!("{}{GROUPS}", s.base)});
        s.groups = vec![page; 30];
    }),
];

#[tokio::test]
async fn each_fault_is_refused_with_its_own_finding_and_none_hangs() {
    let tables = [
        METADATA_FAULTS,
        KEY_FAULTS,
        ANSWER_FAULTS,
        TOKEN_FAULTS,
        CLAIM_FAULTS,
        PERSON_FAULTS,
    ];
    let (mut seen, mut wrong, mut names) = (0, String::new(), BTreeSet::new());
    for (name, code, more, twist) in tables.into_iter().flatten() {
        assert!(names.insert(name), "{name} is there twice");
        let liar = Liar::start().await;
        liar.with(twist);
        let outcome = sign_in_with(&provider(&liar, more), None).await;
        liar.resume();
        seen += 1;
        match outcome {
            Ok(signed_in) => wrong += &format!("{name}: signed in as {:?}\n", signed_in.person),
            Err(error) => {
                if error.code() != *code {
                    wrong += &format!("{name}: {} and not {code}: {error}\n", error.code());
                }
                tells_no_secrets(name, &error);
                let unavailable = error.is_unavailable();
                let expected = match unavailable {
                    true => ErrorCode::ProviderUnavailable,
                    false => ErrorCode::SignInFailed,
                };
                assert_eq!(error.error_code(), expected);
                // What concerns one person or one token is not the provider's being away.
                let of_token = [
                    "token_", "claim_", "key_", "nonce_", "client_", "groups_", "at_hash",
                ];
                let is_of_token = of_token.iter().any(|start| code.starts_with(start));
                assert!(!(is_of_token && unavailable), "{name}: {error}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(seen, FAULTS);
}

/// Nothing that was secret stands in what is logged of a fault, nor anything that forges a line.
fn tells_no_secrets(name: &str, error: &ProviderError) {
    for text in [
        error.to_string(),
        format!("{error:?}"),
        error.remedy().to_owned(),
    ] {
        for secret in [
            "hunter2",
            CODE,
            ACCESS,
            REFRESH,
            "eyJ",
            "evil.example/key\n",
        ] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
        assert!(
            !text.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{name}: {text}"
        );
        assert!(!text.is_empty() && text.len() < 600, "{name}: {text}");
    }
}

#[tokio::test]
async fn a_callback_has_to_be_from_the_provider_that_was_asked() {
    for (promised, said, code) in [
        (true, None, Some("callback_issuer_missing")),
        (
            true,
            Some("https://evil.example"),
            Some("callback_issuer_mismatch"),
        ),
        (
            false,
            Some("https://evil.example"),
            Some("callback_issuer_mismatch"),
        ),
        (false, Some(""), Some("callback_issuer_mismatch")),
        (false, None, None),
    ] {
        let liar = Liar::start().await;
        liar.with(|s| {
            s.metadata["authorization_response_iss_parameter_supported"] = promised.into()
        });
        let outcome = sign_in_with(&provider(&liar, ""), said).await;
        assert_eq!(outcome.err().map(|error| error.code()), code, "{said:?}");
        // The code did not go anywhere.
        assert_eq!(liar.with(|s| s.count(TOKENS)), usize::from(code.is_none()));
    }
    let liar = Liar::start().await;
    liar.with(|s| s.metadata["authorization_response_iss_parameter_supported"] = true.into());
    let (provider, base) = (provider(&liar, ""), liar.with(|s| s.base.clone()));
    assert!(sign_in_with(&provider, Some(&base)).await.is_ok());
    let denied = provider.refused("access_denied", None, Some(&base)).await;
    assert_eq!(denied.code(), "access_denied");
    let mixed_up = provider.refused("access_denied", None, None).await;
    assert_eq!(mixed_up.code(), "callback_issuer_missing");
}

#[tokio::test]
async fn who_shares_an_issuer_is_told_apart_by_tenant() {
    const OTHER: &str = "11111111-5b0e-4a51-9a55-0f6c1c1f2a3b";
    for (tid, iss, code) in [
        (super::liar::TENANT, super::liar::TENANT, None),
        (OTHER, OTHER, Some("token_tenant")),
        (super::liar::TENANT, OTHER, Some("token_issuer")),
        (OTHER, super::liar::TENANT, Some("token_issuer")),
        ("{tenantid}", "{tenantid}", Some("token_tenant")),
    ] {
        let liar = Liar::start().await;
        let base = liar.with(|s| {
            s.metadata["issuer"] = format!("{}/{{tenantid}}/v2.0", s.base).into();
            s.set("tid", tid);
            s.set("iss", format!("{}/{iss}/v2.0", s.base));
            let metadata = s.metadata.to_string();
            let plan = Plan::Reply(200, "application/json", metadata);
            s.plan("/organizations/v2.0/.well-known/openid-configuration", plan);
            s.base.clone()
        });
        let more = format!("preset: entra, tenants: [{}]", super::liar::TENANT);
        let provider = provider_at(&format!("{base}/organizations/v2.0"), &more);
        let outcome = sign_in_with(&provider, None).await;
        assert_eq!(
            outcome.as_ref().err().map(ProviderError::code),
            code,
            "{tid} {iss}"
        );
        if let Ok(signed_in) = outcome {
            assert_eq!(*signed_in.person.key.authority, *super::liar::TENANT);
            assert_eq!(*signed_in.person.key.subject, *super::liar::OBJECT);
        }
    }
}

#[tokio::test]
async fn nobody_there_and_no_tls_are_found_as_such() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let error = sign_in_with(&provider_at(&format!("http://{address}"), ""), None).await;
    assert_eq!(error.unwrap_err().code(), "provider_unreachable");
    let liar = Liar::start().await;
    let error = sign_in_with(&provider_at(&format!("https://{}", liar.address), ""), None).await;
    assert_eq!(error.unwrap_err().code(), "provider_tls");
}

#[tokio::test]
async fn clocks_that_are_apart_are_told_by_how_much() {
    for (claim, at, code, seconds) in [
        ("exp", -600, "token_expired", "600 s"),
        ("iat", 601, "token_from_the_future", "601 s"),
        ("nbf", 602, "token_not_yet_valid", "602 s"),
    ] {
        let liar = Liar::start().await;
        liar.with(|s| s.set(claim, NOW + at));
        let error = sign_in_with(&provider(&liar, ""), None).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(seconds), "{error}");
    }
}

#[test]
fn every_code_is_of_one_fault() {
    let codes: BTreeSet<_> = ProviderError::CODES.iter().collect();
    assert_eq!(codes.len(), ProviderError::CODES.len());
}
