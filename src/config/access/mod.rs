//! Who may use an application.

mod condition;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::field::Field;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{Access, AccessRule, Condition, PathPrefix, PreAuthentication};
use condition::{At, condition};

/// What conditions may refer to.
pub(in crate::config) struct Known<'k> {
    pub(super) asked: &'k Asked,
    pub(super) rules: &'k NamedRules,
}

/// `access_rules`, by their names; `None` for what was refused.
#[derive(Debug, Default)]
pub(in crate::config) struct NamedRules(BTreeMap<String, Option<Arc<Condition>>>);

/// Reads `access_rules`.
pub(super) fn named_rules(field: Field<'_>, asked: &Asked) -> Option<NamedRules> {
    let none = NamedRules::default();
    let known = Known {
        asked,
        rules: &none,
    };
    let rules = field.names()?.map(|(name, field)| {
        let read = condition(field, &known, At::ruled());
        (name.to_owned(), read.map(Arc::new))
    });
    Some(NamedRules(rules.collect()))
}

/// Who may use an application. SECURITY: where people sign in nothing opens by omission (DESIGN 8, rule
/// 21); where nobody does, `pre_authentication: [passthrough]` has said so.
pub(super) fn access(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    known: &Known<'_>,
) -> Option<Access> {
    let field = section.optional("access");
    // Whatever else is wrong, every fault is told at once.
    let signs_in = methods.map(|methods| methods.contains(&PreAuthentication::Oidc));
    let access = field.map(|field| read(field, known, signs_in != Some(false)));
    match (access, signs_in?) {
        (Some(access), _) => access,
        (None, true) => {
            section.missing(
                "access",
                "say who may use it, such as `access: { allow: [{ group: staff }] }`; \
                 `access: { allow: [anyone_signed_in] }` lets in everybody who can sign in",
            );
            None
        }
        (None, false) => Some(Access::default()),
    }
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
        Some(Access {
            allow: match allow {
                Some(read) => read?,
                None if signs_in => return None,
                None => Vec::new(),
            },
            deny: deny.unwrap_or_else(|| Some(Vec::new()))?,
        })
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
            "write `pre_authentication: [oidc]`, or conditions of the network, the path, the method \
             and the time alone",
        );
    }
    Some(AccessRule::new(condition, report_only))
}

/// Whether every path that rules ask for can be asked for. SECURITY: one that cannot keeps nobody out, and
/// looks as if it did.
pub(super) fn check_paths(section: &Section<'_>, access: &Access, external: &PathPrefix) {
    let published = external.as_str().trim_end_matches('/');
    for path in access.conditions().flat_map(Condition::paths) {
        let below = path.as_str().strip_prefix(published);
        let below = below.is_some_and(|rest| rest.starts_with('/'));
        if !below && !path.covers(published) {
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
