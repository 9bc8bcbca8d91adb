//! What conditions come to, by a table and by properties.

use std::path::Path;

use jiff::Timestamp as Moment;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::GatewayConfig;
use crate::http::canonical;
use crate::model::PersonKey;

/// Rows of `testdata/access/cases.txt`.
const ROWS: usize = 169;

fn person(name: &str) -> Option<Person> {
    let address = match name {
        "nobody" => return None,
        "alice" => Some("alice@example.com"),
        "sub" => Some("alice@mail.example.com"),
        "twice" => Some("attacker@evil.com@example.com"),
        "dotted" => Some("alice@example.com."),
        "bare" => Some("example.com"),
        "empty" => Some("@example.com"),
        "wide" => Some("alice@ex\u{e4}mple.com"),
        _ => None,
    };
    let claims = json!({
        "department": "sales", "level": 7, "active": true, "roles": ["a", "b"], "nothing": null,
        "realm_access": { "roles": ["ops"] }, "dotted.name": "x",
    });
    let is_alice = name == "alice";
    Some(Person {
        key: PersonKey {
            authority: "https://sso.example.com/".into(),
            subject: name.into(),
        },
        provider: "corp".into(),
        name: None,
        email: address.map(Into::into),
        groups: match is_alice {
            true => Arc::new(["admins".into(), "staff".into()]),
            false => Arc::new([]),
        },
        claims: match claims {
            serde_json::Value::Object(claims) if is_alice => claims,
            _ => serde_json::Map::new(),
        },
    })
}

/// The rules of an application, as its file is read.
fn access(allow: &str) -> Option<Access> {
    // With several, groups would have to say whose they are.
    let more = match allow.contains("partners") {
        true => ", { name: partners, issuer: 'https://p.example/', client_id: x }",
        false => "",
    };
    let text = format!(
        "
version: 1
kind: gateway
listen: {{ https: ['[::]:443'] }}
store: sqlite:x
certificates: [{{ chain: a, key: b }}]
sign_in: {{ url: 'https://login.example.com/' }}
identity_providers: [ {{ name: corp, issuer: 'https://sso.example.com/', client_id: x }}{more} ]
access_rules: {{ office: {{ ip: [192.0.2.0/24] }}, backstage: {{ path: /admin }} }}
applications:
  - name: wiki
    external_url: https://w.example.com/
    internal_url: http://w.corp/
    pre_authentication: [oidc]
    access: {{ allow: [ {allow} ] }}
"
    );
    let config = GatewayConfig::from_text(Path::new("gateway.yaml"), &text).ok()?;
    Some(config.applications[0].access.clone())
}

/// `METHOD PATH ADDRESS TIME`.
struct Asked {
    method: Method,
    path: String,
    client: IpAddr,
    now: Timestamp,
}

impl Asked {
    fn read(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split_whitespace().collect();
        let [method, path, client, now] = words[..] else {
            assert_eq!(text.trim(), "-");
            return None;
        };
        let now = match now {
            "0" => 0,
            now => now.parse::<Moment>().unwrap().as_second(),
        };
        Some(Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            client: client.parse().unwrap(),
            now: Timestamp(now),
        })
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            client: self.client,
            method: &self.method,
            path: canonical(&self.path, true).unwrap(),
            now: self.now,
        }
    }
}

fn word(holds: Holds) -> &'static str {
    match holds {
        Holds::Yes => "yes",
        Holds::No => "no",
        Holds::Unknown => "?",
    }
}

#[test]
fn conditions_come_to_what_the_table_says() {
    let table = include_str!("../../../testdata/access/cases.txt");
    let rows = table.lines();
    let rows: Vec<_> = rows
        .filter(|row| !row.is_empty() && !row.starts_with('#'))
        .collect();
    assert_eq!(rows.len(), ROWS);
    let mut wrong = Vec::new();
    for row in rows {
        let columns: Vec<_> = row.split(" | ").map(str::trim).collect();
        let read = access(columns[0]);
        let said = match (&read, &columns[1..]) {
            (None, [_, _, expected @ ..]) => (vec!["refused"], expected.to_vec()),
            (Some(access), [who, asked, expected @ ..]) => {
                let condition = &access.allow[0].condition;
                let (person, asked) = (person(who), Asked::read(asked));
                let seen = Seen {
                    person: person.as_ref(),
                    request: asked.as_ref().map(Asked::circumstances),
                };
                let come = [Aim::Open, Aim::Close].map(|aim| word(holds(condition, &seen, aim)));
                (come.to_vec(), expected.to_vec())
            }
            _ => panic!("{row}"),
        };
        if said.0 != said.1 {
            wrong.push(format!("{row}: {:?}", said.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_be_told_keeps_out() {
    let mut access = access("anyone_signed_in").unwrap();
    let deny = self::access("{ email_domain: evil.example }").unwrap();
    access.deny = deny.allow;
    let (alice, bob) = (person("alice").unwrap(), person("bob").unwrap());
    let of = |person| Seen {
        person: Some(person),
        request: None,
    };
    assert!(judge(&access, &of(&alice)).is_ok());
    let denied = judge(&access, &of(&bob)).unwrap_err();
    assert_eq!(denied, Denied::Unknown("email_domain: evil.example".into()));
}

#[test]
fn somebody_who_is_kept_out_is_told_by_which_condition_in_the_log() {
    let access = access("{ group: staff, ip: [192.0.2.0/24] }, { user: carol }").unwrap();
    let alice = person("alice").unwrap();
    let asked = Asked::read("GET / 203.0.113.1 0").unwrap();
    let seen = Seen {
        person: Some(&alice),
        request: Some(asked.circumstances()),
    };
    let denied = judge(&access, &seen).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "no line of `access.allow` lets it in: not `ip: [192.0.2.0/24]` in `group: staff, ip: \
         [192.0.2.0/24]`; not `user: carol`"
    );
}

#[test]
fn many_lines_and_many_groups_are_told_in_a_few_words() {
    let rule = |n: u32| AccessRule::new(Condition::Group(format!("g{n}").into()), false);
    let access = Access {
        allow: (0..10_000).map(rule).collect(),
        deny: Vec::new(),
    };
    let mut alice = person("alice").unwrap();
    let groups: std::collections::BTreeSet<Arc<str>> =
        (0..10_000).map(|n| format!("h{n}").into()).collect();
    alice.groups = groups.into_iter().collect();
    let seen = Seen {
        person: Some(&alice),
        request: None,
    };
    let denied = judge(&access, &seen).unwrap_err().to_string();
    assert!(denied.ends_with("; nor any of 9995 more"), "{denied}");
    assert!(denied.len() < 300, "{denied}");
    assert!(trace(&access, &seen)[0].saw.ends_with(" and 9980 more"));
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::AnyoneSignedIn),
        "(alice|bob)".prop_map(|s| Condition::User(s.into())),
        "(staff|other)".prop_map(|s| Condition::Group(s.into())),
        r"(alice|bob)@example\.com".prop_map(|s| Condition::Email(s.into())),
        r"(example|evil)\.com".prop_map(|s| Condition::EmailDomain(s.into())),
        "(corp|partners)".prop_map(|s| Condition::Provider(s.into())),
        r"(192\.0\.2\.0|203\.0\.113\.0)/24"
            .prop_map(|s| Condition::Ip([s.parse().unwrap()].into())),
        "(GET|POST)".prop_map(|s| Condition::Method([s.parse().unwrap()].into())),
        "/(a|A|b)(/c)?".prop_map(|s| Condition::Path(PathRule::new(&s).unwrap())),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several().prop_map(|parts| Condition::All(parts.into())),
            several().prop_map(|parts| Condition::Any(parts.into())),
            inner
                .clone()
                .prop_map(|part| Condition::Not(Arc::new(part))),
            inner.prop_map(|part| Condition::Named("named".into(), Arc::new(part))),
        ]
    })
}

fn rules() -> impl Strategy<Value = Vec<AccessRule>> {
    let rule = (condition(), any::<bool>()).prop_map(|(is, only)| AccessRule::new(is, only));
    prop::collection::vec(rule, 0..4)
}

/// Somebody or nobody, and a request or none.
fn seen() -> impl Strategy<Value = (Option<Person>, Option<Asked>)> {
    let who = "(alice|bob|sub|twice|nobody)".prop_map(|who| person(&who));
    let asked = r"(GET|POST) /{1,2}(a|A|b|%61|a;x)(/c)? (192\.0\.2\.1|203\.0\.113\.1) 0";
    (
        who,
        prop::option::of(asked.prop_map(|asked| Asked::read(&asked).unwrap())),
    )
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.path, self.client)
    }
}

proptest! {
    #[test]
    fn a_further_deny_opens_nothing(
        allow in rules(), deny in rules(), more in condition(), (who, asked) in seen(),
    ) {
        let seen = Seen {
            person: who.as_ref(),
            request: asked.as_ref().map(Asked::circumstances),
        };
        let before = Access { allow, deny };
        let mut after = before.clone();
        after.deny.push(AccessRule::new(more, false));
        if judge(&after, &seen).is_ok() {
            prop_assert!(judge(&before, &seen).is_ok());
        }
    }

    #[test]
    fn what_only_reports_decides_nothing(
        allow in rules(), deny in rules(), (who, asked) in seen(),
    ) {
        let seen = Seen {
            person: who.as_ref(),
            request: asked.as_ref().map(Asked::circumstances),
        };
        // Where nobody has to sign in an empty list means everybody.
        prop_assume!(who.is_some() || allow.iter().any(|rule| !rule.report_only));
        let all = Access { allow, deny };
        let mut without = all.clone();
        without.allow.retain(|rule| !rule.report_only);
        without.deny.retain(|rule| !rule.report_only);
        prop_assert_eq!(judge(&all, &seen).is_ok(), judge(&without, &seen).is_ok());
    }

    #[test]
    fn the_trace_says_what_the_verdict_says(
        allow in rules(), deny in rules(), (who, asked) in seen(),
    ) {
        let seen = Seen {
            person: who.as_ref(),
            request: asked.as_ref().map(Asked::circumstances),
        };
        let access = Access { allow, deny };
        let traced = trace(&access, &seen);
        let decides = |list| {
            let lines = traced.iter().filter(move |line| line.depth == 0 && !line.report_only);
            lines.filter(move |line| line.list == list)
        };
        let denied = decides("deny").any(|line| line.holds != Holds::No);
        let allowed = decides("allow").any(|line| line.holds == Holds::Yes);
        let open = access.allow.is_empty() && who.is_none();
        prop_assert_eq!(judge(&access, &seen).is_ok(), !denied && (allowed || open));
    }

    #[test]
    fn what_opens_would_close_as_well(is in condition(), (who, asked) in seen()) {
        let seen = Seen {
            person: who.as_ref(),
            request: asked.as_ref().map(Asked::circumstances),
        };
        if holds(&is, &seen, Aim::Open) == Holds::Yes {
            prop_assert_eq!(holds(&is, &seen, Aim::Close), Holds::Yes);
        }
    }

    #[test]
    fn who_may_might(allow in rules(), deny in rules(), (who, asked) in seen()) {
        let access = Access { allow, deny };
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = Seen { person: who.as_ref(), request };
        let before = Seen { person: who.as_ref(), request: None };
        if who.is_some() && judge(&access, &seen).is_ok() {
            prop_assert!(might(&access, &before));
        }
    }
}
