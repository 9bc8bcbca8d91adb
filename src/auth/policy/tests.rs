//! What conditions come to, by a table and by properties.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::Method;
use jiff::Timestamp as Moment;
use proptest::prelude::*;
use serde_json::json;

use super::super::bearer::AccessToken;
use super::*;
use crate::clock::Timestamp;
use crate::config::GatewayConfig;
use crate::http::canonical;
use crate::model::{CertificatePart, CertificateRule, ClientCertificate, MaxAge, PersonKey};

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
    Some(config.applications[0].guard.access.clone())
}

/// `METHOD PATH ADDRESS TIME`.
struct Asked {
    method: Method,
    path: String,
    client: IpAddr,
    now: Timestamp,
    shown: Option<ClientCertificate>,
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
            shown: None,
        })
    }

    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            certificate: self.shown.as_ref(),
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
                let request = asked.as_ref().map(Asked::circumstances);
                let seen = Seen::person(person.as_ref(), request);
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
    let of = |person| Seen::person(Some(person), None);
    assert!(judge(&access, &of(&alice)).is_ok());
    let denied = judge(&access, &of(&bob)).unwrap_err();
    assert_eq!(denied, Denied::Unknown("email_domain: evil.example".into()));
}

#[test]
fn somebody_who_is_kept_out_is_told_by_which_condition_in_the_log() {
    let access = access("{ group: staff, ip: [192.0.2.0/24] }, { user: carol }").unwrap();
    let alice = person("alice").unwrap();
    let asked = Asked::read("GET / 203.0.113.1 0").unwrap();
    let seen = Seen::person(Some(&alice), Some(asked.circumstances()));
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
    let access = Access::new((0..10_000).map(rule).collect(), Vec::new());
    let mut alice = person("alice").unwrap();
    let groups: std::collections::BTreeSet<Arc<str>> =
        (0..10_000).map(|n| format!("h{n}").into()).collect();
    alice.groups = groups.into_iter().collect();
    let seen = Seen::person(Some(&alice), None);
    let denied = judge(&access, &seen).unwrap_err().to_string();
    assert!(denied.ends_with("; nor any of 9995 more"), "{denied}");
    assert!(denied.len() < 300, "{denied}");
    assert!(trace(&access, &seen)[0].saw.ends_with(" and 9980 more"));
}

fn max_age(seconds: u64) -> MaxAge {
    MaxAge {
        age: Duration::from_secs(seconds),
        text: format!("{seconds}s").into(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn further_proof_is_asked_for_where_it_would_help() {
    let rule = |text: &str| access(text).unwrap().allow[0].clone();
    let asked = Asked::read("GET /admin 192.0.2.1 2026-11-30T12:00:00Z").unwrap();
    let now = asked.now.0;
    let with = |claims: Value| {
        let mut alice = person("alice").unwrap();
        let claims = claims.as_object().unwrap().clone();
        alice.claims.extend(claims);
        alice
    };
    let none = with(json!({}));
    let silver = with(json!({ "acr": "silver", "amr": ["pwd"], "auth_time": now - 3600 }));
    let gold = with(json!({ "acr": "gold", "amr": ["pwd", "mfa"], "auth_time": now - 60 }));
    let wants = |acr: &[&str], max_age, anew| {
        let acr_values = acr.iter().map(|one| (*one).into()).collect();
        Some(StepUp {
            acr_values,
            max_age,
            anew,
        })
    };
    let (staff_gold, not_gold) = ("{ group: staff, acr: gold }", "{ not: { acr: gold } }");
    for (allow, deny, who, let_in, expected) in [
        (
            staff_gold,
            None,
            &none,
            false,
            wants(&["gold"], None, false),
        ),
        (
            staff_gold,
            None,
            &silver,
            false,
            wants(&["gold"], None, false),
        ),
        (staff_gold, None, &gold, true, None),
        // Nothing helps.
        ("{ group: nobody, acr: gold }", None, &none, false, None),
        (
            "anyone_signed_in",
            Some("{ group: staff }"),
            &none,
            false,
            None,
        ),
        (
            "{ acr: gold, ip: [203.0.113.0/24] }",
            None,
            &none,
            false,
            None,
        ),
        (
            "anyone_signed_in",
            Some(not_gold),
            &silver,
            false,
            wants(&["gold"], None, false),
        ),
        ("anyone_signed_in", Some(not_gold), &gold, true, None),
        (
            "anyone_signed_in",
            Some("{ acr: silver }"),
            &silver,
            false,
            wants(&[], None, true),
        ),
        ("{ amr: mfa }", None, &silver, false, wants(&[], None, true)),
        ("{ amr: mfa }", None, &gold, true, None),
        (
            "{ max_age: 10m }",
            None,
            &silver,
            false,
            wants(&[], Some(600), false),
        ),
        (
            "{ max_age: 10m }",
            None,
            &none,
            false,
            wants(&[], Some(600), false),
        ),
        ("{ max_age: 10m }", None, &gold, true, None),
        (
            "anyone_signed_in",
            Some("{ not: { max_age: 10m } }"),
            &none,
            false,
            wants(&[], Some(600), false),
        ),
        (
            "{ any: [ { acr: gold }, { acr: phr } ] }",
            None,
            &silver,
            false,
            wants(&["gold", "phr"], None, false),
        ),
        (
            "{ acr: gold, max_age: 10m }, { acr: silver, group: nobody }",
            None,
            &silver,
            false,
            wants(&["gold"], Some(600), false),
        ),
    ] {
        let deny = deny.map(rule).into_iter().collect();
        let access = Access::new(access(allow).unwrap().allow.to_vec(), deny);
        let seen = Seen::person(Some(who), Some(asked.circumstances()));
        assert_eq!(judge(&access, &seen).is_ok(), let_in, "{allow}");
        let proof = step_up(&access, &seen).filter(|_| !let_in);
        assert_eq!(proof, expected, "{allow}");
    }
    // Clocks may be a minute apart, and what lies in the future is no recent sign-in.
    for (ago, expected) in [
        (0, true),
        (660, true),
        (661, false),
        (-60, true),
        (-61, false),
    ] {
        let who = with(json!({ "auth_time": now - ago }));
        let seen = Seen::person(Some(&who), Some(asked.circumstances()));
        let access = access("{ max_age: 10m }").unwrap();
        assert_eq!(judge(&access, &seen).is_ok(), expected, "{ago}");
    }
}

#[test]
fn programs_come_in_by_what_is_written_for_them() {
    let rule = |condition| AccessRule::new(condition, false);
    let ip = || Condition::Ip(["192.0.2.0/24".parse().unwrap()].into());
    let named = |name: &str| Condition::ServiceToken(name.into());
    let scope = |name: &str| Condition::Scope(name.into());
    let not = |part| Condition::Not(Arc::new(part));
    let asked = Asked::read("GET / 192.0.2.1 0").unwrap();
    let user = token("alice", "read write", false);
    let client = token("alice", "read", true);
    let session = person("alice");
    let circumstances = asked.circumstances();
    let seen = [
        Seen::person(session.as_ref(), Some(circumstances)),
        Seen::token(&user, circumstances),
        Seen::token(&client, circumstances),
        Seen::service_token("ci", circumstances),
    ];
    for (condition, expected) in [
        (Condition::AnyoneSignedIn, [true, true, false, false]),
        (Condition::Group("staff".into()), [true, true, true, false]),
        (Condition::User("alice".into()), [true, true, false, false]),
        (
            Condition::Email("alice@example.com".into()),
            [true, true, false, false],
        ),
        (
            not(Condition::User("bob".into())),
            [true, true, true, false],
        ),
        (scope("read"), [false, true, true, false]),
        (scope("write"), [false, true, false, false]),
        (scope("writ"), [false; 4]),
        (named("ci"), [false, false, false, true]),
        (named("other"), [false; 4]),
        // By a line that has not its name no service token comes in.
        (ip(), [true, true, true, false]),
        (
            not(Condition::Group("robots".into())),
            [true, true, true, false],
        ),
        (not(named("other")), [true, true, true, false]),
        (
            Condition::All([named("ci"), ip()].into()),
            [false, false, false, true],
        ),
        (
            Condition::Any([named("other"), ip()].into()),
            [true, true, true, false],
        ),
        (
            Condition::Any([named("ci"), Condition::AnyoneSignedIn].into()),
            [true, true, false, true],
        ),
    ] {
        let access = Access::new(vec![rule(condition.clone())], Vec::new());
        let let_in = seen.map(|seen| judge(&access, &seen).is_ok());
        assert_eq!(let_in, expected, "{condition}");
    }
    // What keeps people out keeps a program out only if it says so.
    let allow = vec![rule(named("ci")), rule(Condition::AnyoneSignedIn)];
    for (deny, expected) in [
        (
            Condition::Group("staff".into()),
            [false, false, false, true],
        ),
        (
            Condition::EmailDomain("evil.example".into()),
            [true, true, false, true],
        ),
        (named("ci"), [true, true, false, false]),
        (not(Condition::AnyoneSignedIn), [true, true, false, false]),
        (ip(), [false; 4]),
    ] {
        let access = Access::new(allow.clone(), vec![rule(deny.clone())]);
        let let_in = seen.map(|seen| judge(&access, &seen).is_ok());
        assert_eq!(let_in, expected, "{deny}");
    }
    let access = Access::new(vec![rule(ip())], Vec::new());
    let denied = judge(&access, &seen[3]).unwrap_err().to_string();
    assert!(denied.contains("it takes one with `token: ci`"), "{denied}");
}

fn certificate(name: &str) -> ClientCertificate {
    ClientCertificate {
        parts: vec![(CertificatePart::CommonName, Some(name.into()))],
        not_after: 100,
        der: Box::new([]),
        chain: Vec::new(),
    }
}

/// A rule for certificates of this name; for any where it is empty.
fn named_by(name: &str) -> CertificateRule {
    match name {
        "" => CertificateRule::any(),
        name => CertificateRule::new(vec![(CertificatePart::CommonName, name.into())]),
    }
}

#[test]
fn who_shows_a_certificate_comes_in_by_what_is_written_for_certificates() {
    let rule = |condition| AccessRule::new(condition, false);
    let ip = || Condition::Ip(["192.0.2.0/24".parse().unwrap()].into());
    let named = |name: &str| Condition::Certificate(named_by(name));
    let not = |part| Condition::Not(Arc::new(part));
    let mut with = Asked::read("GET / 192.0.2.1 0").unwrap();
    with.shown = Some(certificate("kiosk"));
    let without = Asked::read("GET / 192.0.2.1 0").unwrap();
    let alice = person("alice");
    // By it alone, signed in beside it and without it, and nobody with and without it.
    let seen = [
        Seen::certificate(with.circumstances()),
        Seen::person(alice.as_ref(), Some(with.circumstances())),
        Seen::person(alice.as_ref(), Some(without.circumstances())),
        Seen::person(None, Some(with.circumstances())),
        Seen::person(None, Some(without.circumstances())),
    ];
    for (condition, expected) in [
        (named(""), [true, true, false, true, false]),
        (named("kiosk"), [true, true, false, true, false]),
        (named("Kiosk"), [false; 5]),
        (named("lobby"), [false; 5]),
        (not(named("lobby")), [false, true, true, true, true]),
        (ip(), [false, true, true, true, true]),
        (
            Condition::All([ip(), named("kiosk")].into()),
            [true, true, false, true, false],
        ),
        (
            Condition::Any([ip(), named("kiosk")].into()),
            [false, true, true, true, true],
        ),
        (Condition::AnyoneSignedIn, [false, true, true, false, false]),
        (
            Condition::Any([named("kiosk"), Condition::AnyoneSignedIn].into()),
            [false, true, true, true, false],
        ),
        (
            Condition::All([named("kiosk"), Condition::Group("staff".into())].into()),
            [false, true, false, false, false],
        ),
        (
            Condition::All([named("kiosk"), not(Condition::Group("staff".into()))].into()),
            [true, false, false, false, false],
        ),
    ] {
        let access = Access::new(vec![rule(condition.clone())], Vec::new());
        let let_in = seen.map(|seen| judge(&access, &seen).is_ok());
        assert_eq!(let_in, expected, "{condition}");
    }
    // What closes does so whatever the letters.
    for (deny, expected) in [
        (named("Kiosk"), [false, false, true, false, true]),
        (not(named("")), [true, true, false, true, false]),
        (
            Condition::User("kiosk".into()),
            [true, true, true, false, false],
        ),
    ] {
        let allow = vec![rule(named("")), rule(ip())];
        let access = Access::new(allow, vec![rule(deny.clone())]);
        let let_in = seen.map(|seen| judge(&access, &seen).is_ok());
        assert_eq!(let_in, expected, "{deny}");
    }
    // Nothing opens by omission.
    assert!(judge(&Access::default(), &seen[0]).is_err());
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        Just(Condition::AnyoneSignedIn),
        "(alice|bob)".prop_map(|s| Condition::User(s.into())),
        "(staff|other)".prop_map(|s| Condition::Group(s.into())),
        r"(alice|bob)@example\.com".prop_map(|s| Condition::Email(s.into())),
        r"(example|evil)\.com".prop_map(|s| Condition::EmailDomain(s.into())),
        "(corp|partners)".prop_map(|s| Condition::Provider(s.into())),
        "(read|write)".prop_map(|s| Condition::Scope(s.into())),
        "(gold|silver)".prop_map(|s| Condition::Acr(s.into())),
        "(mfa|pwd)".prop_map(|s| Condition::Amr(s.into())),
        (60_u64..600).prop_map(|seconds| Condition::MaxAge(max_age(seconds))),
        "(ci|other)".prop_map(|s| Condition::ServiceToken(s.into())),
        "(kiosk|Kiosk|lobby|)".prop_map(|s| Condition::Certificate(named_by(&s))),
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

/// Whoever sends something.
#[derive(Debug)]
enum Visitor {
    Person(Option<Person>),
    Token(AccessToken),
    Program(&'static str),
    Certificate,
}

impl Visitor {
    fn seen<'a>(&'a self, request: Option<Circumstances<'a>>) -> Seen<'a> {
        match (self, request) {
            (Self::Person(person), request) => Seen::person(person.as_ref(), request),
            (Self::Token(token), Some(request)) => Seen::token(token, request),
            (Self::Program(name), Some(request)) => Seen::service_token(name, request),
            (Self::Certificate, Some(request)) => Seen::certificate(request),
            // Such always want something.
            (_, None) => Seen::person(None, None),
        }
    }

    fn is_nobody(&self) -> bool {
        matches!(self, Self::Person(None))
    }
}

fn token(who: &str, scopes: &str, is_of_client: bool) -> AccessToken {
    AccessToken {
        person: person(who).unwrap(),
        is_of_client,
        issuer: "https://sso.example.com/".into(),
        audiences: vec!["https://w.example.com".into()],
        client: Some("cli".into()),
        scopes: scopes.split(' ').map(Into::into).collect(),
        expires: Timestamp(100),
    }
}

/// Somebody, a program or nobody, and a request or none.
fn seen() -> impl Strategy<Value = (Visitor, Option<Asked>)> {
    let who = prop_oneof![
        3 => "(alice|bob|sub|twice|nobody)".prop_map(|who| Visitor::Person(person(&who))),
        1 => ("(alice|bob)", "(read|read write|other)", any::<bool>())
            .prop_map(|(who, scopes, is)| Visitor::Token(token(&who, &scopes, is))),
        1 => prop_oneof![Just("ci"), Just("backup")].prop_map(Visitor::Program),
        1 => Just(()).prop_map(|()| Visitor::Certificate),
    ];
    let asked = r"(GET|POST) /{1,2}(a|A|b|%61|a;x)(/c)? (192\.0\.2\.1|203\.0\.113\.1) 0";
    let asked = prop::option::of(asked.prop_map(|asked| Asked::read(&asked).unwrap()));
    let shown = prop::option::of("(kiosk|lobby)".prop_map(|name| certificate(&name)));
    (who, asked, shown).prop_map(|(who, mut asked, shown)| {
        if asked.is_none() && !matches!(who, Visitor::Person(_)) {
            asked = Asked::read("GET /a 192.0.2.1 0");
        }
        if let Some(asked) = &mut asked {
            asked.shown = match who {
                Visitor::Certificate => shown.or_else(|| Some(certificate("kiosk"))),
                _ => shown,
            };
        }
        (who, asked)
    })
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
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = who.seen(request);
        let before = Access::new(allow.clone(), deny.clone());
        let more = [AccessRule::new(more, false)];
        let after = Access::new(allow, [&deny[..], &more[..]].concat());
        if judge(&after, &seen).is_ok() {
            prop_assert!(judge(&before, &seen).is_ok());
        }
    }

    #[test]
    fn what_only_reports_decides_nothing(
        allow in rules(), deny in rules(), (who, asked) in seen(),
    ) {
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = who.seen(request);
        // Where nobody has to sign in an empty list means everybody.
        prop_assume!(!who.is_nobody() || allow.iter().any(|rule| !rule.report_only));
        let decides = |rules: &[AccessRule]| {
            let rules = rules.iter().filter(|rule| !rule.report_only);
            rules.cloned().collect::<Vec<_>>()
        };
        let without = Access::new(decides(&allow), decides(&deny));
        let all = Access::new(allow, deny);
        prop_assert_eq!(judge(&all, &seen).is_ok(), judge(&without, &seen).is_ok());
    }

    #[test]
    fn the_trace_says_what_the_verdict_says(
        allow in rules(), deny in rules(), (who, asked) in seen(),
    ) {
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = who.seen(request);
        let access = Access::new(allow, deny);
        let traced = trace(&access, &seen);
        let decides = |list| {
            let lines = traced.iter().filter(move |line| line.depth == 0 && !line.report_only);
            lines.filter(move |line| line.list == list)
        };
        let denied = decides("deny").any(|line| line.holds != Holds::No);
        let may = |line: usize| seen.may_come_by(&access.allow[line]);
        let allowed = decides("allow").any(|one| one.holds == Holds::Yes && may(one.line));
        let open = access.allow.is_empty() && who.is_nobody();
        prop_assert_eq!(judge(&access, &seen).is_ok(), !denied && (allowed || open));
    }

    #[test]
    fn what_opens_would_close_as_well(is in condition(), (who, asked) in seen()) {
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = who.seen(request);
        if holds(&is, &seen, Aim::Open) == Holds::Yes {
            prop_assert_eq!(holds(&is, &seen, Aim::Close), Holds::Yes);
        }
    }

    #[test]
    fn who_may_might(allow in rules(), deny in rules(), (who, asked) in seen()) {
        let access = Access::new(allow, deny);
        let Visitor::Person(Some(person)) = &who else {
            return Ok(());
        };
        let request = asked.as_ref().map(Asked::circumstances);
        let seen = Seen::person(Some(person), request);
        let before = Seen::person(Some(person), None);
        if judge(&access, &seen).is_ok() {
            prop_assert!(might(&access, &before));
        }
    }

    #[test]
    fn the_first_line_decides_whether_it_is_found_by_its_group_or_not(
        lines in prop::collection::vec("(group [a-f]|user (alice|bob))", 1..12), who in "(alice|bob)",
        own in "[a-f]{0,4}",
    ) {
        let rules = lines.iter().map(|line| {
            let condition = match line.split_once(' ').unwrap() {
                ("group", group) => Condition::Group(group.into()),
                (_, user) => Condition::User(user.into()),
            };
            AccessRule::new(condition, false)
        });
        let rules: Vec<_> = rules.collect();
        let mut who = person(&who).unwrap();
        let own: std::collections::BTreeSet<Arc<str>> = own.chars().map(|c| c.to_string().into()).collect();
        who.groups = own.into_iter().collect();
        let seen = Seen::person(Some(&who), None);
        let first = rules.iter().find(|rule| holds(&rule.condition, &seen, Aim::Open) == Holds::Yes);
        let first = first.map(|rule| Arc::clone(rule.text()));
        let anyone = || AccessRule::new(Condition::AnyoneSignedIn, false);
        let allow = Access::new(rules.clone(), Vec::new());
        let by = judge(&allow, &seen).ok().map(|allowed| Arc::clone(allowed.by.unwrap()));
        prop_assert_eq!(&by, &first);
        let deny = Access::new(vec![anyone()], rules);
        prop_assert_eq!(judge(&deny, &seen).err(), first.map(Denied::Named));
    }

    #[test]
    fn who_is_sent_for_further_proof_would_be_let_in_with_the_best(
        allow in rules(), deny in rules(), (who, asked) in seen(),
    ) {
        let access = Access::new(allow, deny);
        let seen = who.seen(asked.as_ref().map(Asked::circumstances));
        if step_up(&access, &seen).is_some() {
            let anew = Seen { anew: true, ..seen };
            prop_assert!(judge(&access, &anew).is_ok());
            prop_assert!(seen.person.is_some());
        }
    }
}
