//! Who may use an application.

mod condition;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::field::Field;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{Access, AccessRule, Condition, Countries, PathPrefix, PreAuthentication};
use condition::{At, condition};

/// What conditions may refer to.
pub(in crate::config) struct Known<'k> {
    pub(super) asked: &'k Asked,
    pub(super) rules: &'k NamedRules,
}

/// What rules refer to that stands elsewhere in the file.
#[derive(Debug, Default)]
pub(in crate::config) struct NamedRules {
    /// `access_rules`, by their names; `None` for what was refused.
    named: BTreeMap<String, Option<Arc<Condition>>>,
    /// `country_database`: absent, or written and refused, or good.
    countries: Option<Option<Arc<Countries>>>,
}

/// The largest database that is read, in octets: of all cities of the world they have a tenth of it.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Reads `country_database`.
pub(super) fn countries(field: Field<'_>, folder: &Path) -> Option<Arc<Countries>> {
    let path = field.path(folder)?;
    let refuse = |why: String| {
        let what = format!("{} cannot be used: {why}", path.display());
        let remedy = "bring a database of countries in the form of MaxMind, such as GeoLite2 Country, \
                      and make it readable for the account appproxy runs as";
        field.refuse("country_database", what, remedy)
    };
    let length = std::fs::metadata(&path).map(|found| found.len());
    let octets = match length {
        Ok(length) if length > LARGEST => return refuse("it is larger than 512 MiB".to_owned()),
        Ok(_) => std::fs::read(&path),
        Err(error) => Err(error),
    };
    let octets = match octets {
        Ok(octets) => octets,
        Err(error) => return refuse(error.to_string()),
    };
    match Countries::from_octets(octets) {
        Ok(countries) => Some(Arc::new(countries)),
        Err(error) => refuse(error.to_string()),
    }
}

/// Reads `access_rules`, where it is written.
pub(super) fn named_rules(
    field: Option<Field<'_>>,
    asked: &Asked,
    countries: Option<Option<Arc<Countries>>>,
) -> Option<NamedRules> {
    let mut rules = NamedRules {
        countries,
        ..NamedRules::default()
    };
    if let Some(field) = field {
        let known = Known {
            asked,
            rules: &rules,
        };
        let named = field.names()?.map(|(name, field)| {
            let read = condition(field, &known, At::ruled());
            (name.to_owned(), read.map(Arc::new))
        });
        let named = named.collect();
        rules.named = named;
    }
    Some(rules)
}

/// For what `access` is read.
pub(in crate::config) struct Guarded<'a> {
    /// The methods in front of what it is for; `None` where they cannot be read.
    pub(super) methods: Option<&'a [PreAuthentication]>,
    /// Those of the whole application.
    pub(super) all: Option<&'a [PreAuthentication]>,
    /// For a path: what the application's own says, as far as it could be read.
    pub(super) usual: Option<Option<&'a Access>>,
}

impl Guarded<'_> {
    fn knows(&self) -> Option<bool> {
        let open = PreAuthentication::Passthrough;
        let methods = self.methods?;
        Some(methods.iter().any(|method| *method != open))
    }

    fn has(&self, method: PreAuthentication) -> bool {
        self.methods.is_some_and(|all| all.contains(&method))
    }

    /// Whether no part of the application has a method.
    fn nowhere(&self, method: PreAuthentication) -> bool {
        self.all.is_some_and(|all| !all.contains(&method))
    }
}

/// Who may use an application, or a path of it. SECURITY: where people sign in nothing opens by omission
/// (DESIGN 8, rule 21); where nobody does, `pre_authentication: [passthrough]` has said so.
pub(super) fn access(
    section: &Section<'_>,
    guarded: &Guarded<'_>,
    known: &Known<'_>,
) -> Option<Access> {
    let field = section.optional("access");
    // Whatever else is wrong, every fault is told at once.
    let knows = guarded.knows();
    let access = field.map(|field| {
        let access = read(field, known, knows != Some(false))?;
        fits(field, &access, guarded).then_some(access)
    });
    // SECURITY: whom the application keeps out stays out of its paths.
    let with_deny = |access: Access| {
        let Some(Some(usual)) = guarded.usual else {
            return access;
        };
        let holds = |rule: &&AccessRule| knows == Some(true) || !rule.condition.needs_person();
        let mut deny: Vec<_> = usual.deny.iter().filter(holds).cloned().collect();
        deny.extend(access.deny.iter().cloned());
        Access::new(access.allow.to_vec(), deny)
    };
    let access = match (access, knows?, guarded.usual) {
        (Some(access), _, _) => with_deny(access?),
        (None, false, _) => return Some(with_deny(Access::default())),
        // What is wrong with that is said there.
        (None, true, Some(None)) => return None,
        (None, true, Some(Some(usual))) if !usual.allow.is_empty() => usual.clone(),
        (None, true, _) => {
            let only = |method| guarded.methods == Some(&[method]);
            section.missing(
                "access",
                match () {
                    () if only(PreAuthentication::ServiceToken) => {
                        "say which tokens may, such as `access: { allow: [{ token: ci }] }`"
                    }
                    () if only(PreAuthentication::ClientCertificate) => {
                        "say whose certificates may, such as `access: { allow: [{ certificate: { \
                         organization: Example } }] }`"
                    }
                    () => {
                        "say who may use it, such as `access: { allow: [{ group: staff }] }`; \
                         `access: { allow: [anyone_signed_in] }` lets in everybody who can sign in"
                    }
                },
            );
            return None;
        }
    };
    somebody_may(section, &access, guarded).then_some(access)
}

/// Whether each method has a line that can let somebody in who comes by it.
fn somebody_may(section: &Section<'_>, access: &Access, guarded: &Guarded<'_>) -> bool {
    use PreAuthentication as P;
    let decides = || access.allow.iter().filter(|rule| !rule.report_only);
    let of_tokens = decides().any(|rule| !rule.condition.service_tokens().is_empty());
    let is_certificate = |part: &Condition| matches!(part, Condition::Certificate(_));
    let of_certificates = || decides().any(|rule| rule.condition.is_only_for(&is_certificate));
    let of_people = |by_scope: bool| {
        decides().any(|rule| {
            let condition = &rule.condition;
            !condition.is_only_for(&|part| {
                matches!(part, Condition::ServiceToken(_))
                    || (!by_scope && matches!(part, Condition::Scope(_)))
            })
        })
    };
    let says = |what: &str, remedy: &str| {
        section.error_at_key("access", "nobody_allowed", what, remedy);
        false
    };
    if guarded.has(P::ServiceToken) && !of_tokens {
        return says(
            "no line of `allow` has `token`, so no service token is let in",
            "add one for each token, such as `{ token: ci }`; `gateway service-token create --name ci` \
             makes it",
        );
    }
    if guarded.has(P::ClientCertificate) && !of_certificates() {
        return says(
            "no line of `allow` asks for a certificate, so nobody is let in by one",
            "add one such as `anyone_with_certificate` or `{ certificate: { organization: Example } }`",
        );
    }
    if guarded.has(P::Bearer) && !of_people(true) {
        return says(
            "every line of `allow` wants a service token, so nobody is let in with an access token",
            "add a line such as `{ scope: wiki.read }` or `{ group: staff }`, or remove `bearer`",
        );
    }
    if guarded.has(P::Oidc) && !of_people(false) {
        return says(
            "every line of `allow` wants a token, so nobody is let in who signs in",
            "add a line such as `{ group: staff }`, or remove `oidc`",
        );
    }
    true
}

/// Whether everything that rules ask for can be there.
fn fits(field: Field<'_>, access: &Access, guarded: &Guarded<'_>) -> bool {
    type Named = fn(&Condition) -> Vec<&Arc<str>>;
    let wants: [(&str, PreAuthentication, Named); 2] = [
        (
            "token",
            PreAuthentication::ServiceToken,
            Condition::service_tokens,
        ),
        ("scope", PreAuthentication::Bearer, Condition::scopes),
    ];
    let mut fits = true;
    for (key, method, named) in wants {
        let names = access.conditions().flat_map(named).next();
        if let Some(name) = names.filter(|_| guarded.nowhere(method)) {
            fits = false;
            field.refuse::<()>(
                "conflict",
                format!("`{key}: {name}` is never so: no `pre_authentication` here is `{method}`"),
                format!("write `{method}` into `pre_authentication`, or remove the condition"),
            );
        }
    }
    fits
}

fn read(field: Field<'_>, known: &Known<'_>, signs_in: bool) -> Option<Access> {
    let access = field.section(&[], |section| {
        if section.has("report_only") {
            // Never as a whole: it would open what it is about.
            section.optional("report_only");
            section.error_at_key(
                "report_only",
                "misplaced",
                "rules are reported one by one",
                "write it into a line of `allow` or `deny`, such as `{ group: staff, report_only: true }`",
            );
        }
        let rules = |list: Field<'_>| list.distinct(|item| rule(item, known, (field, signs_in)));
        let (allow, deny) = (section.optional("allow"), section.optional("deny"));
        if allow.is_none() && signs_in {
            field.refuse::<()>(
                "missing_key",
                "`allow` is missing, so nobody is let in",
                "add it, such as `allow: [anyone_signed_in]`",
            );
        }
        if allow.is_none() && deny.is_none() && !signs_in {
            return field.refuse(
                "empty_access",
                "nothing is said of who may",
                "add `allow` or `deny`, or remove `access`: `passthrough` lets everybody in",
            );
        }
        let (allow, deny) = (allow.map(rules), deny.map(rules));
        let allow = match allow {
            Some(read) => read?,
            None if signs_in => return None,
            None => Vec::new(),
        };
        let deny = deny.unwrap_or_else(|| Some(Vec::new()))?;
        Some(Access::new(allow, deny))
    })??;
    // Where all only report, nobody would know who may.
    if !access.allow.is_empty() && access.allow.iter().all(|rule| rule.report_only) {
        return field.refuse(
            "nobody_allowed",
            "every line of `allow` only reports, so nobody is let in",
            "leave one without `report_only`",
        );
    }
    Some(access)
}

/// A line of `allow` or `deny`.
fn rule(
    field: Field<'_>,
    known: &Known<'_>,
    (access, signs_in): (Field<'_>, bool),
) -> Option<AccessRule> {
    let mut report_only = Some(false);
    let read = condition(field, known, At::line(&mut report_only));
    let (condition, report_only) = (read?, report_only?);
    if !signs_in && condition.needs_person() {
        return access.refuse(
            "conflict",
            format!(
                "`{condition}` asks who somebody is, and nobody is known where `pre_authentication` asks \
                 nobody to sign in"
            ),
            "write the method that tells it, such as `pre_authentication: [oidc]` or, for `token`, \
             `[service_token]`; or conditions of the network, the path, the method and the time alone",
        );
    }
    Some(AccessRule::new(condition, report_only))
}

/// Whether every path that rules ask for can be asked for. SECURITY: one that cannot keeps nobody out, and
/// looks as if it did.
pub(super) fn check_paths(section: &Section<'_>, access: &Access, external: &PathPrefix) {
    let published = external.as_str().trim_end_matches('/');
    for path in access.conditions().flat_map(Condition::paths) {
        if !path.is_inside(published) && !path.covers(published) {
            let path = path.as_str();
            section.error_at_key(
                "access",
                "outside",
                &format!(
                    "`path: {path}` is nowhere in the application: it is published below `{}`",
                    external.as_str()
                ),
                "write it as the browser's address has it, from the first `/` on",
            );
        }
    }
}
