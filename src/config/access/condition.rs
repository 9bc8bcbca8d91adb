//! Conditions, alone and inside each other.

use std::sync::Arc;

use http::Method;
use ipnet::IpNet;

use super::super::field::Field;
use super::super::file::did_you_mean;
use super::super::front;
use super::super::section::{Section, nearest};
use super::{Known, NamedRules};
use crate::model::{Condition, Host, PathRule, Week, WeekError};

/// Conditions that the documents describe, not built yet.
const LATER: &[&str] = &["country", "acr", "amr", "max_age", "scope", "token"];

/// The keys of a condition, for whoever wrote none.
const KEYS: &[&str] = &[
    "group",
    "user",
    "anyone_signed_in",
    "email",
    "email_domain",
    "claim",
    "provider",
    "ip",
    "method",
    "path",
    "time",
    "any",
    "all",
    "not",
    "rule",
];

const ANYONE: &str = "anyone_signed_in";
const FORMS: &str =
    "write `anyone_signed_in`, `{ group: staff }`, `{ user: 00u1a2b3 }` or another condition";

/// Conditions inside conditions: more is nobody's intention.
const DEEPEST: usize = 8;

/// Where a condition stands.
pub(super) struct At<'r> {
    depth: usize,
    /// A condition around it says which provider's word counts.
    has_provider: bool,
    /// Set where `report_only` may stand: `None` if it is written and no good.
    report_only: Option<&'r mut Option<bool>>,
}

impl At<'_> {
    pub(super) const fn ruled() -> Self {
        Self {
            depth: 0,
            has_provider: false,
            report_only: None,
        }
    }
}

impl<'r> At<'r> {
    /// A line of `allow` or `deny`, which may only report: whether it does goes there.
    pub(super) const fn line(report_only: &'r mut Option<bool>) -> Self {
        Self {
            depth: 0,
            has_provider: false,
            report_only: Some(report_only),
        }
    }
}

/// Reads one.
pub(super) fn condition(field: Field<'_>, known: &Known<'_>, at: At<'_>) -> Option<Condition> {
    if at.depth > DEEPEST {
        return field.refuse(
            "too_deep",
            format!("conditions stand inside each other more than {DEEPEST} deep"),
            "give parts of it names under `access_rules`",
        );
    }
    if let Some(word) = field.lone() {
        if word == ANYONE {
            return Some(Condition::AnyoneSignedIn);
        }
        let remedy = did_you_mean(word, &[ANYONE]).unwrap_or_else(|| FORMS.to_owned());
        return field.refuse("bad_value", format!("`{word}` names nobody"), remedy);
    }
    field.section(LATER, |section| parts(field, section, known, at))?
}

/// Conditions side by side: all of them.
fn parts(
    field: Field<'_>,
    section: &Section<'_>,
    known: &Known<'_>,
    at: At<'_>,
) -> Option<Condition> {
    let has_provider = at.has_provider || section.has("provider");
    if let Some(report_only) = at.report_only {
        // Read before anything else, so that it is a key that exists.
        *report_only = match section.optional("report_only") {
            Some(field) => field.boolean(),
            None => Some(false),
        };
    }
    let inside = || At {
        depth: at.depth + 1,
        has_provider,
        report_only: None,
    };
    let several = |field: Field<'_>| {
        let parts = field.distinct(|item| condition(item, known, inside()));
        parts.map(Arc::<[Condition]>::from)
    };
    let text = |field: Field<'_>| field.text().map(Arc::<str>::from);
    let mut read = Vec::new();
    let mut take = |key: &'static str, of: &dyn Fn(Field<'_>) -> Option<Condition>| {
        if let Some(field) = section.optional(key) {
            read.push(of(field));
        }
    };
    take("group", &|field| text(field).map(Condition::Group));
    take("user", &|field| text(field).map(Condition::User));
    take(ANYONE, &anyone);
    take("email", &|field| email(field).map(Condition::Email));
    take("email_domain", &|field| {
        domain(field).map(Condition::EmailDomain)
    });
    take("claim", &claim);
    take("provider", &|field| {
        known.asked.provider(field).map(Condition::Provider)
    });
    take("ip", &|field| {
        networks(field).map(|all| Condition::Ip(all.into()))
    });
    take("method", &|field| {
        methods(field).map(|all| Condition::Method(all.into()))
    });
    take("path", &|field| path(field).map(Condition::Path));
    take("time", &|field| {
        time(field).map(|week| Condition::Time(Arc::new(week)))
    });
    take("all", &|field| several(field).map(Condition::All));
    take("any", &|field| several(field).map(Condition::Any));
    take("not", &|field| {
        condition(field, known, inside()).map(|part| Condition::Not(Arc::new(part)))
    });
    take("rule", &|field| named(field, known.rules));
    // SECURITY: another provider's group of this name is another group.
    for key in ["group", "user", "claim", "email", "email_domain"] {
        if section.has(key) && !has_provider && known.asked.has_several() {
            section.error_at_key(
                "provider",
                "ambiguous",
                "several identity providers have groups and users of this name",
                "say which of the identity providers, by its `name`: each has groups and users of \
                 its own",
            );
            return None;
        }
    }
    let is_later = LATER.iter().any(|name| section.has(name));
    let mut whole = read.into_iter().collect::<Option<Vec<_>>>()?;
    match whole.len() {
        // It is said already that this version has not built it.
        _ if is_later => None,
        0 => {
            let remedy = format!("write one or more of: {}", KEYS.join(", "));
            field.refuse("bad_value", "there is no condition here", remedy)
        }
        1 => whole.pop(),
        _ => Some(Condition::All(whole.into())),
    }
}

fn anyone(field: Field<'_>) -> Option<Condition> {
    match field.boolean()? {
        true => Some(Condition::AnyoneSignedIn),
        false => field.refuse("bad_value", "only `true` says something here", FORMS),
    }
}

fn email(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let whole = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    match whole && text.is_ascii() {
        true => Some(text.into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no e-mail address"),
            "write one, such as `alice@example.com`",
        ),
    }
}

fn domain(field: Field<'_>) -> Option<Arc<str>> {
    const FORM: &str = "write what stands behind the `@`, such as `example.com`";
    let text = field.text()?;
    match Host::parse(text) {
        Ok(Host::Name(name)) => Some(name.to_string().into()),
        Ok(Host::Address(_)) => field.refuse("bad_host", "an address is no mail domain", FORM),
        Err(error) => field.refuse("bad_host", error.to_string(), FORM),
    }
}

fn claim(field: Field<'_>) -> Option<Condition> {
    field.section(&[], |section| {
        let name = section.required("name", "department");
        let value = section.required("value", "sales");
        if let Some(field) = name.filter(|field| field.is_word("email")) {
            return field.refuse(
                "unverified",
                "the claim itself may be whatever somebody typed",
                "write `email: alice@example.com` or `email_domain: example.com`: they go by the address \
                 that the provider is trusted with",
            );
        }
        let (name, value) = (name.and_then(Field::text), value.and_then(Field::text));
        Some(Condition::Claim {
            name: name?.into(),
            value: value?.into(),
        })
    })?
}

fn networks(field: Field<'_>) -> Option<Vec<IpNet>> {
    field.distinct(front::network)
}

fn methods(field: Field<'_>) -> Option<Vec<Method>> {
    field.distinct(|item| {
        const FORM: &str = "write methods as they are sent, such as `[GET, HEAD]`";
        let text = item.text()?;
        let known = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if known && method != Method::CONNECT => Some(method),
            _ => item.refuse("bad_value", format!("`{text}` is no method"), FORM),
        }
    })
}

fn path(field: Field<'_>) -> Option<PathRule> {
    let text = field.text()?;
    match PathRule::new(text) {
        Some(rule) => Some(rule),
        None => field.refuse(
            "bad_path",
            format!("`{text}` is no path that a rule can go by"),
            "write it as the browser's address has it, such as `/admin/`: it begins with `/`, is not \
             `/` alone, and has no `%`, `;`, `?`, `#`, empty or dot segments",
        ),
    }
}

fn time(field: Field<'_>) -> Option<Week> {
    field.section(&[], |section| {
        let days = section.optional("days").map(|field| {
            let days = field.distinct(|item| item.text().map(str::to_owned));
            days.map(|days| (days, field))
        });
        let text = |field: Option<Field<'_>>, usual: &'static str| match field {
            Some(field) => field.text().map(str::to_owned),
            None => Some(usual.to_owned()),
        };
        let (at_from, at_to) = (section.optional("from"), section.optional("to"));
        let at_zone = section.required("zone", "Europe/Berlin");
        let (from, to) = (text(at_from, "00:00"), text(at_to, "24:00"));
        let zone = at_zone.and_then(|field| field.text());
        let (days, at_days) = match days {
            Some(read) => {
                let (days, at) = read?;
                (days, Some(at))
            }
            None => (Vec::new(), None),
        };
        let (from, to, zone) = (from?, to?, zone?);
        let days: Vec<&str> = days.iter().map(String::as_str).collect();
        let error = match Week::new(&days, &from, &to, zone) {
            Ok(week) => return Some(week),
            Err(error) => error,
        };
        let (at, remedy) = match &error {
            WeekError::Day(_) => (
                at_days,
                "write days as `[mon, tue, wed, thu, fri, sat, sun]`",
            ),
            WeekError::Zone(_) => (
                at_zone,
                "write a name of the time zone database, such as `Europe/Berlin` or `UTC`",
            ),
            WeekError::Time(text) if *text == to && *text != from => (
                at_to,
                "write hours and minutes in quotes, such as \"18:00\"",
            ),
            WeekError::Time(_) => (
                at_from,
                "write hours and minutes in quotes, such as \"08:00\"",
            ),
            WeekError::Empty => (
                None,
                "write another `to`: an end before `from` is on the next day",
            ),
        };
        at.unwrap_or(field)
            .refuse("bad_time", error.to_string(), remedy)
    })?
}

fn named(field: Field<'_>, rules: &NamedRules) -> Option<Condition> {
    let name = field.text()?;
    match rules.0.get(name) {
        Some(Some(condition)) => Some(Condition::Named(name.into(), Arc::clone(condition))),
        // What is wrong with it is said where it stands.
        Some(None) => None,
        None => {
            let names: Vec<_> = rules.0.keys().map(String::as_str).collect();
            let remedy = match (nearest(name, names.iter().copied()), &names[..]) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => {
                    "add it at the top of the file, such as `access_rules: { office: { ip: \
                               [192.0.2.0/24] } }`; rules there name no others"
                        .to_owned()
                }
                (None, names) => format!("write one of: {}", names.join(", ")),
            };
            field.refuse("unknown_rule", format!("there is no rule `{name}`"), remedy)
        }
    }
}
