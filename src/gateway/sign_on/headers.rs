//! Fields of templates.

use http::{HeaderMap, HeaderValue};

use crate::model::{Person, Rendered, RequestId, SignOn};

/// The longest value: one that is longer says nothing, and the log why.
const LONGEST: usize = 8 * 1024;

/// Sets those of an application: a claim that is not there leaves no field (DESIGN 8, rule 6).
pub(super) fn set(fields: &mut HeaderMap, sign_on: &SignOn, person: &Person, id: &RequestId) {
    for header in &sign_on.headers {
        let all = match header.value.render(person) {
            Rendered::Nothing => continue,
            Rendered::One(one) => vec![one],
            Rendered::Each(all) => all,
        };
        let values: Option<Vec<_>> = all.iter().map(|text| value(text)).collect();
        match values.filter(|_| all.iter().map(String::len).sum::<usize>() <= LONGEST) {
            Some(values) => values.into_iter().for_each(|value| {
                fields.append(&header.name, value);
            }),
            None => tracing::warn!(
                request_id = %id,
                header = %header.name,
                "what is known of the person cannot stand in a header field (control characters, or more \
                 than 8 KiB): the application is not told"
            ),
        }
    }
}

/// Without anything that ends a line or a text (RFC 9110 section 5.5), in UTF-8.
fn value(text: &str) -> Option<HeaderValue> {
    let text = text.trim_matches([' ', '\t']);
    let clear = !text.is_empty() && !text.contains(char::is_control);
    let value = HeaderValue::from_bytes(text.as_bytes()).ok();
    value.filter(|_| clear)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::{Told, tell};
    use super::*;
    use crate::model::{PersonKey, SignOnHeader, Template};

    /// What an application sees under `x-user` and its like, where a person's claim has this value.
    fn told(claim: &serde_json::Value, sent: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let mut claims = serde_json::Map::new();
        claims.insert("upn".into(), claim.clone());
        let person = Person {
            key: PersonKey {
                authority: "https://sso.test/".into(),
                subject: "1".into(),
            },
            provider: "corp".into(),
            name: None,
            email: None,
            groups: Arc::new([]),
            claims,
        };
        let sign_on = SignOn {
            headers: vec![SignOnHeader {
                name: "x-user".parse().unwrap(),
                value: Arc::new(Template::parse("{upn}").unwrap()),
            }],
            deleted: Arc::new(["x-user".parse().unwrap()]),
            ..SignOn::default()
        };
        let mut fields = HeaderMap::new();
        for (name, value) in sent {
            let name: http::HeaderName = name.parse().unwrap();
            fields.append(name, value.parse().unwrap());
        }
        let told = Told {
            person: Some(&person),
            more: Vec::new(),
        };
        tell(&mut fields, &sign_on, told, &RequestId::from_random([1; 8]));
        let said = fields.iter();
        said.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn rule_06_claims_cannot_carry_line_ends_and_absent_ones_leave_nothing() {
        let sent = [("x-user", "root"), ("x_user", "root"), ("x-other", "1")];
        let other = ("x-other".to_owned(), b"1".to_vec());
        for harmful in [
            json!("a\r\nX-Admin: 1"),
            json!("a\nb"),
            json!("a\rb"),
            json!("a\u{0}b"),
            json!("a\u{7f}"),
            json!("a\tb"),
            json!("a\u{85}b"),
            json!("\n"),
            json!(" "),
            json!(""),
            json!("x".repeat(LONGEST + 1)),
            json!(null),
            json!({ "a": "b" }),
            json!([]),
            json!(["a", "b"]),
        ] {
            let told = told(&harmful, &sent);
            assert_eq!(told, std::slice::from_ref(&other), "{harmful}");
        }
        for (good, expected) in [
            (json!("alice"), "alice"),
            (json!(" alice "), "alice"),
            (json!("Zo\u{eb}"), "Zo\u{eb}"),
            (json!("a, b; c=\"d\""), "a, b; c=\"d\""),
            (json!(7), "7"),
        ] {
            let user = ("x-user".to_owned(), expected.as_bytes().to_vec());
            assert_eq!(told(&good, &sent), [other.clone(), user], "{good}");
        }
    }
}
