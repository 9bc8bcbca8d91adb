//! What is said of a person, and how much of it fits into a header field.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{LIFE, NotSigned};
use crate::certs::random;
use crate::clock::Timestamp;
use crate::model::{Assertion, Person};

/// The longest assertion, in octets: what servers take of all fields together is seldom more than 16 KiB.
pub(super) const LONGEST: usize = 8 * 1024;

/// Header, signature and the two dots between the parts.
const AROUND: usize = 256;

/// The claims as JSON, and the names of those that there was no room for: groups first, then what the
/// configuration adds, then what is for display.
pub(super) fn said(
    settings: &Assertion,
    person: &Person,
    now: Timestamp,
) -> Result<(String, Vec<Arc<str>>), NotSigned> {
    let id: [u8; 16] = random()?;
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", json!(settings.issuer)),
        ("aud", json!(settings.audience)),
        ("sub", json!(person.key.subject)),
        ("iat", json!(now.0)),
        ("nbf", json!(now.0)),
        ("exp", json!(now.plus(LIFE).0)),
        ("jti", json!(URL_SAFE_NO_PAD.encode(id))),
        ("provider", json!(person.provider)),
        ("authority", json!(person.key.authority)),
    ] {
        claims.insert(name.to_owned(), value);
    }
    let own = |name: &str, value: Option<Value>| Some((Arc::from(name), value?));
    let shown = [
        own("name", person.name.as_ref().map(|name| json!(name))),
        // SECURITY: the claim of this name may be anything that a person typed somewhere.
        own("email", person.email.as_ref().map(|email| json!(email))),
    ];
    let more = settings.claims.iter();
    let more = more.filter_map(|name| Some((Arc::clone(name), person.claim(name)?.clone())));
    let groups = (!person.groups.is_empty()).then(|| json!(person.groups));
    // What goes last is left out first. SECURITY: half a list would say that somebody is in no other
    // group, so it is all or nothing.
    let mut rounds: Vec<Vec<(Arc<str>, Value)>> = vec![
        shown.into_iter().flatten().collect(),
        more.collect(),
        own("groups", groups).into_iter().collect(),
    ];
    let mut left_out: Vec<Arc<str>> = Vec::new();
    loop {
        let mut whole = claims.clone();
        whole.extend(
            rounds
                .iter()
                .flatten()
                .map(|(name, value)| (name.to_string(), value.clone())),
        );
        if !left_out.is_empty() {
            whole.insert("left_out".to_owned(), json!(left_out));
        }
        let text = Value::Object(whole).to_string();
        if text.len().div_ceil(3) * 4 + AROUND <= LONGEST {
            return Ok((text, left_out));
        }
        let gone = rounds.pop().ok_or(NotSigned::TooLong)?;
        left_out.extend(gone.into_iter().map(|(name, _)| name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PersonKey;

    fn settings(claims: &[&str]) -> Assertion {
        Assertion {
            header: Assertion::HEADER,
            issuer: "https://login.test".into(),
            audience: "https://wiki.test/".into(),
            claims: claims.iter().map(|&name| name.into()).collect(),
        }
    }

    fn alice() -> Person {
        Person {
            key: PersonKey {
                authority: "https://sso.test/".into(),
                subject: "1f3c2b".into(),
            },
            provider: "corp".into(),
            name: Some("Alice".into()),
            email: None,
            groups: Arc::new(["admins".into(), "staff".into()]),
            claims: json!({
                "email": "self-chosen@evil.test", "department": "sales", "level": 7, "none": null,
                "realm_access": { "roles": ["a", "b"] },
            })
            .as_object()
            .unwrap()
            .clone(),
        }
    }

    fn read(settings: &Assertion, person: &Person) -> (Value, Vec<Arc<str>>) {
        let (text, left_out) = said(settings, person, Timestamp(1000)).unwrap();
        (serde_json::from_str(&text).unwrap(), left_out)
    }

    #[test]
    fn rule_06_what_is_said_is_what_is_known_and_an_absent_claim_is_absent() {
        let names = [
            "department",
            "realm_access.roles",
            "none",
            "missing",
            "level",
        ];
        let (mut said, left_out) = read(&settings(&names), &alice());
        let id = said["jti"].take();
        assert_eq!(id.as_str().unwrap().len(), 22);
        let expected = json!({
            "iss": "https://login.test", "aud": "https://wiki.test/", "sub": "1f3c2b",
            "iat": 1000, "nbf": 1000, "exp": 1300, "jti": null,
            "provider": "corp", "authority": "https://sso.test/", "name": "Alice",
            "groups": ["admins", "staff"],
            "department": "sales", "realm_access.roles": ["a", "b"], "level": 7,
        });
        assert_eq!(said, expected);
        assert!(left_out.is_empty());
        let (again, _) = read(&settings(&names), &alice());
        assert_ne!(again["jti"], id);
        // Trusted, it is there.
        let trusted = Person {
            email: Some("alice@corp.test".into()),
            groups: Arc::default(),
            ..alice()
        };
        let (said, _) = read(&settings(&[]), &trusted);
        assert_eq!(said["email"], "alice@corp.test");
        assert_eq!(said.get("groups"), None);
        assert_eq!(said.get("department"), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole_and_that_is_said() {
        let many = |count: usize| (0..count).map(|n| format!("group-{n:08}").into()).collect();
        let long = |octets: usize| Some("x".repeat(octets).into());
        let mut wide = alice();
        wide.claims["department"] = "y".repeat(7000).into();
        for (person, expected) in [
            (alice(), &[][..]),
            (
                Person {
                    groups: many(300),
                    ..alice()
                },
                &[],
            ),
            (
                Person {
                    groups: many(400),
                    ..alice()
                },
                &["groups"],
            ),
            (
                Person {
                    groups: many(50_000),
                    ..alice()
                },
                &["groups"],
            ),
            (wide.clone(), &["groups", "department", "level"]),
            (
                Person {
                    name: long(9000),
                    ..alice()
                },
                &["groups", "department", "level", "name"],
            ),
        ] {
            let settings = settings(&["department", "level"]);
            let (said, left_out) = read(&settings, &person);
            assert!(
                left_out
                    .iter()
                    .map(|name| &**name)
                    .eq(expected.iter().copied()),
                "{left_out:?}"
            );
            match expected {
                [] => assert_eq!(said.get("left_out"), None),
                some => assert_eq!(said["left_out"], json!(some)),
            }
            for name in expected {
                assert_eq!(said.get(*name), None, "{name}");
            }
            assert_eq!(said["sub"], "1f3c2b");
        }
        let mut nobody = alice();
        nobody.key.subject = "z".repeat(9000).into();
        let refused = said(&settings(&[]), &nobody, Timestamp(0));
        assert!(matches!(refused, Err(NotSigned::TooLong)));
    }
}
