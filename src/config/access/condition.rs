//! Conditions, alone and inside each other.

use std::sync::Arc;

use super::super::field::Field;
use super::super::file::did_you_mean;
use super::super::section::{Section, nearest};
use super::values::{
    anyone, certificate, claim, country, domain, email, max_age, methods, networks, only_true,
    path, scope, service_token, time, word,
};
use super::{Known, NamedRules};
use crate::model::{CertificateRule, Condition};

/// The keys of a condition, for whoever wrote none.
const KEYS: &[&str] = &[
    "group",
    "user",
    "anyone_signed_in",
    "email",
    "email_domain",
    "claim",
    "provider",
    "acr",
    "amr",
    "max_age",
    "scope",
    "token",
    "certificate",
    "anyone_with_certificate",
    "ip",
    "country",
    "method",
    "path",
    "time",
    "any",
    "all",
    "not",
    "rule",
];

/// What each identity provider says of people of its own.
const OF_PROVIDERS: &[&str] = &[
    "group",
    "user",
    "claim",
    "email",
    "email_domain",
    "acr",
    "amr",
    "max_age",
    "scope",
];

const ANYONE: &str = "anyone_signed_in";
const ANY_CERTIFICATE: &str = "anyone_with_certificate";
pub(super) const FORMS: &str =
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
        if word == ANY_CERTIFICATE {
            return Some(Condition::Certificate(CertificateRule::any()));
        }
        let remedy =
            did_you_mean(word, &[ANYONE, ANY_CERTIFICATE]).unwrap_or_else(|| FORMS.to_owned());
        return field.refuse("bad_value", format!("`{word}` names nobody"), remedy);
    }
    field.section(&[], |section| parts(field, section, known, at))?
}

/// Conditions side by side: all of them.
#[expect(clippy::too_many_lines, reason = "one key after the other")]
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
    take("acr", &|field| word(field).map(Condition::Acr));
    take("amr", &|field| word(field).map(Condition::Amr));
    take("max_age", &|field| max_age(field).map(Condition::MaxAge));
    take("scope", &|field| scope(field).map(Condition::Scope));
    take("token", &service_token);
    take("certificate", &certificate);
    take(ANY_CERTIFICATE, &|field| {
        let any = Condition::Certificate(CertificateRule::any());
        only_true(field).map(|()| any)
    });
    take("ip", &|field| {
        networks(field).map(|all| Condition::Ip(all.into()))
    });
    take("country", &|field| country(field, known));
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
    for key in OF_PROVIDERS {
        if section.has(key) && !has_provider && known.asked.has_several() {
            section.error_at_key(
                "provider",
                "ambiguous",
                "several identity providers could say this, each of people of its own",
                "say which of the identity providers, by its `name`",
            );
            return None;
        }
    }
    let mut whole = read.into_iter().collect::<Option<Vec<_>>>()?;
    match whole.len() {
        0 => {
            let remedy = format!("write one or more of: {}", KEYS.join(", "));
            field.refuse("bad_value", "there is no condition here", remedy)
        }
        1 => whole.pop(),
        _ => Some(Condition::All(whole.into())),
    }
}

fn named(field: Field<'_>, rules: &NamedRules) -> Option<Condition> {
    let name = field.text()?;
    match rules.named.get(name) {
        Some(Some(condition)) => Some(Condition::Named(name.into(), Arc::clone(condition))),
        // What is wrong with it is said where it stands.
        Some(None) => None,
        None => {
            let names: Vec<_> = rules.named.keys().map(String::as_str).collect();
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
