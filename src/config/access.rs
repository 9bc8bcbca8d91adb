//! Who may use an application.

use std::sync::Arc;

use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{Access, Condition, PreAuthentication, Who};

/// Conditions that the documents describe, not built yet.
const LATER: &[&str] = &[
    "email",
    "email_domain",
    "claim",
    "ip",
    "country",
    "method",
    "path",
    "time",
    "acr",
    "amr",
    "max_age",
    "scope",
    "token",
    "any",
    "all",
    "not",
];
/// Keys of `access` not built yet.
const LATER_KEYS: &[&str] = &["report_only"];

const ANYONE: &str = "anyone_signed_in";
const FORMS: &str = "write `anyone_signed_in`, `{ group: staff }` or `{ user: 00u1a2b3 }`";

/// Who may use an application that asks for sign-in, and nothing where it asks for none. SECURITY:
/// nothing opens by omission (DESIGN 8, rule 21).
pub(super) fn access(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    asked: &Asked,
) -> Option<Access> {
    let field = section.optional("access");
    // Read whatever else is wrong, so that every fault is told at once.
    let access = field.map(|field| read(field, asked));
    let signs_in = methods?.contains(&PreAuthentication::Oidc);
    match (field, signs_in) {
        (Some(_), true) => access?,
        (Some(field), false) => field.refuse(
            "conflict",
            "nobody is known where `pre_authentication` asks nobody to sign in",
            "write `pre_authentication: [oidc]`, or remove `access`",
        ),
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

fn read(field: Field<'_>, asked: &Asked) -> Option<Access> {
    field.section(LATER_KEYS, |section| {
        let conditions = |field: Field<'_>| field.distinct(|item| condition(item, asked));
        let allow = section.required("allow", "[anyone_signed_in]");
        let allow = allow.and_then(conditions);
        let deny = section.optional("deny").map(conditions);
        Some(Access {
            allow: allow?,
            deny: match deny {
                Some(read) => read?,
                None => Vec::new(),
            },
        })
    })?
}

fn condition(field: Field<'_>, asked: &Asked) -> Option<Condition> {
    if let Some(word) = field.lone() {
        if word == ANYONE {
            let who = Who::AnyoneSignedIn;
            return Some(Condition {
                who,
                provider: None,
            });
        }
        let remedy = did_you_mean(word, &[ANYONE]).unwrap_or_else(|| FORMS.to_owned());
        return field.refuse("bad_value", format!("`{word}` names nobody"), remedy);
    }
    field.section(LATER, |section| {
        let text = |name| section.optional(name).map(|field| field.text());
        let (group, user, anyone) = (text("group"), text("user"), text(ANYONE));
        let provider = section
            .optional("provider")
            .map(|field| asked.provider(field));
        let is_later = LATER.iter().any(|name| section.has(name));
        let who = match (group, user, anyone) {
            (Some(group), None, None) => Who::Group(group?.into()),
            (None, Some(user), None) => Who::User(user?.into()),
            (None, None, Some(said)) if said? == "true" => Who::AnyoneSignedIn,
            // It is said already that this version has not built it.
            _ if is_later => return None,
            _ => return field.refuse("bad_value", "exactly one condition belongs here", FORMS),
        };
        let provider: Option<Arc<str>> = match provider {
            Some(read) => Some(read?),
            // SECURITY: another provider's group of this name is another group.
            None if asked.has_several() && who != Who::AnyoneSignedIn => {
                section.error_at_key(
                    "provider",
                    "ambiguous",
                    "several identity providers have groups and users of this name",
                    "say which of the identity providers, by its `name`: each has groups and \
                     users of its own",
                );
                return None;
            }
            None => None,
        };
        Some(Condition { who, provider })
    })?
}
