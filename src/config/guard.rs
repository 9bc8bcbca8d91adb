//! What stands in front of an application and of single paths of it: `pre_authentication`, `access`,
//! `paths` and `bearer`.

use std::sync::Arc;

use super::access::{Guarded, Known, access, check_paths};
use super::application::Common;
use super::field::Field;
use super::file::did_you_mean;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{
    Access, Bearer, ExternalUrl, Guard, GuardedPath, GuardedPaths, Login, PathRule,
    PreAuthentication, Scheme,
};

const METHODS: &[&str] = &[
    "passthrough",
    "oidc",
    "bearer",
    "service_token",
    "client_certificate",
];

/// What an application says of who may reach it, as far as it could be read.
pub(super) struct Guarding {
    pub(super) guard: Option<Guard>,
    pub(super) paths: Option<GuardedPaths>,
    pub(super) bearer: Option<Arc<Bearer>>,
    /// The methods of the application and of its paths; `None` where they cannot be read.
    pub(super) methods: Option<Vec<PreAuthentication>>,
}

/// Reads it. `outsides` are all its external URLs, the first one first.
pub(super) fn guarding(
    section: &Section<'_>,
    outsides: &[&ExternalUrl],
    common: &Common,
) -> Guarding {
    let asked = &common.sign_in;
    let known = Known {
        asked,
        rules: &common.rules,
    };
    let own = section.required("pre_authentication", "[passthrough]");
    let own = own.and_then(|field| methods(field, asked));
    let entries = section.optional("paths").map(Field::list);
    let entries = entries.unwrap_or_else(|| Some(Vec::new()));
    // What is asked of rules depends on all methods, so these are read first.
    let below = entries.as_ref().map(|entries| {
        let all = entries.iter().map(|entry| methods_below(*entry, asked));
        all.collect::<Vec<_>>()
    });
    let all = all_of(own.as_ref(), below.as_deref());
    let guarded = Guarded {
        methods: own.as_deref(),
        all: all.as_deref(),
        usual: None,
    };
    let read = access(section, &guarded, &known);
    let guard = own.zip(read).map(|(own, access)| Guard::new(own, access));
    check_secure(section, all.as_deref(), outsides);
    if let Some((guard, outside)) = guard.as_ref().zip(outsides.first()) {
        check_paths(section, &guard.access, &outside.path);
    }
    let paths = entries.zip(below).and_then(|(entries, below)| {
        let usual = guard.as_ref().map(|guard| &guard.access);
        let mut read = Vec::new();
        let mut whole = true;
        for (entry, methods) in entries.into_iter().zip(below) {
            let guarded = Guarded {
                methods: methods.as_deref(),
                all: all.as_deref(),
                usual: Some(usual),
            };
            let outside = outsides.first().copied();
            match path_entry(entry, (&guarded, outside), &known, &read) {
                Some(path) => read.push(path),
                None => whole = false,
            }
        }
        whole.then(|| GuardedPaths::new(read))
    });
    Guarding {
        bearer: bearer(section, all.as_deref(), (outsides, asked)),
        guard,
        paths,
        methods: all,
    }
}

fn all_of(
    own: Option<&Vec<PreAuthentication>>,
    below: Option<&[Option<Vec<PreAuthentication>>]>,
) -> Option<Vec<PreAuthentication>> {
    let mut all = own?.clone();
    for methods in below? {
        all.extend(methods.as_ref()?);
    }
    Some(all)
}

/// The methods of an entry of `paths`. The entry itself is read afterwards, so what is wrong with its
/// other keys is said then.
fn methods_below(entry: Field<'_>, asked: &Asked) -> Option<Vec<PreAuthentication>> {
    let field = entry.key("pre_authentication")?;
    methods(field, asked)
}

/// One entry of `paths`.
fn path_entry(
    field: Field<'_>,
    (guarded, outside): (&Guarded<'_>, Option<&ExternalUrl>),
    known: &Known<'_>,
    others: &[GuardedPath],
) -> Option<GuardedPath> {
    field.section(&[], |section| {
        let at = section.required("path", "/api/");
        // Read before: see `methods_below`.
        section.required("pre_authentication", "[bearer]");
        let path = at.and_then(path);
        let access = access(section, guarded, known);
        let (path, access) = (path?, access?);
        if let Some(outside) = outside {
            check_paths(section, &access, &outside.path);
            if !path.is_inside(outside.path.as_str()) {
                let what = format!(
                    "`{}` is nowhere in the application, or all of it: it is published below `{}`",
                    path.as_str(),
                    outside.path.as_str()
                );
                let remedy = "write it as the browser's address has it, from the first `/` on";
                return at?.refuse("outside", what, remedy);
            }
        }
        if others.iter().any(|other| other.path.is_like(&path)) {
            return at?.refuse(
                "duplicate_value",
                "this path is in the list already: letters are the same in either case, since some \
                 servers do not tell them apart",
                "remove one of the two",
            );
        }
        Some(GuardedPath {
            path,
            guard: Guard::new(guarded.methods?.to_vec(), access),
        })
    })?
}

pub(super) fn path(field: Field<'_>) -> Option<PathRule> {
    let text = field.text()?;
    match PathRule::new(text) {
        Some(rule) => Some(rule),
        None => field.refuse(
            "bad_path",
            format!("`{text}` is no path that a rule can go by"),
            "write it as the browser's address has it, such as `/api/`: it begins with `/`, is not \
             `/` alone, and has no `%`, `;`, `?`, `#`, empty or dot segments",
        ),
    }
}

/// The methods in order. SECURITY: `passthrough` beside another would open what that one closes.
fn methods(field: Field<'_>, asked: &Asked) -> Option<Vec<PreAuthentication>> {
    let methods = field.distinct(method)?;
    if methods.len() > 1 && methods.contains(&PreAuthentication::Passthrough) {
        return field.refuse(
            "conflict",
            "`passthrough` lets everybody in, whatever stands beside it",
            "write `[passthrough]` alone, or remove it",
        );
    }
    let by_provider = [PreAuthentication::Oidc, PreAuthentication::Bearer];
    if methods.iter().any(|method| by_provider.contains(method)) {
        asked.check(field)?;
    }
    Some(methods)
}

fn method(field: Field<'_>) -> Option<PreAuthentication> {
    let text = field.text()?;
    match text {
        "passthrough" => Some(PreAuthentication::Passthrough),
        "oidc" => Some(PreAuthentication::Oidc),
        "bearer" => Some(PreAuthentication::Bearer),
        "service_token" => Some(PreAuthentication::ServiceToken),
        "client_certificate" => Some(PreAuthentication::ClientCertificate),
        _ => field.refuse(
            "bad_value",
            format!("`{text}` is no kind of pre-authentication"),
            did_you_mean(text, METHODS).unwrap_or_else(|| "write `[passthrough]`".to_owned()),
        ),
    }
}

/// SECURITY: a session's cookie is for https alone, and so is every token.
fn check_secure(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    external: &[&ExternalUrl],
) {
    let open = PreAuthentication::Passthrough;
    let knows = methods.is_some_and(|all| all.iter().any(|method| *method != open));
    let plain = external.iter().find(|url| url.scheme == Scheme::Http);
    if let Some(url) = plain.filter(|_| knows) {
        section.error_at_key(
            "pre_authentication",
            "conflict",
            &format!(
                "`{url}` is http, where whoever listens could use a person's session or a token"
            ),
            "publish it with https",
        );
    }
}

/// `bearer`: which access tokens are taken.
fn bearer(
    section: &Section<'_>,
    methods: Option<&[PreAuthentication]>,
    (outsides, asked): (&[&ExternalUrl], &Asked),
) -> Option<Arc<Bearer>> {
    let takes = methods.map(|all| all.contains(&PreAuthentication::Bearer));
    let field = section.optional("bearer");
    let usual = outsides.first().map(|_| {
        let all = outsides.iter().flat_map(|url| Bearer::usual_audiences(url));
        all.collect::<Vec<_>>()
    });
    let read = match field {
        None => None,
        Some(field) => Some(field.section(&[], |section| {
            let words = |name| section.optional(name).map(|field| field.distinct(word));
            let (audiences, clients) = (words("audience"), words("clients"));
            let forward = section.optional("forward").map(Field::boolean);
            let login = section.optional("login").map(|field| login(field, asked));
            Some(Bearer {
                audiences: match audiences {
                    Some(read) => read?,
                    None => usual.clone()?,
                },
                clients: clients.unwrap_or_else(|| Some(Vec::new()))?,
                forward: forward.unwrap_or(Some(false))?,
                login: match login {
                    Some(read) => Some(read?),
                    None => None,
                },
            })
        })??),
    };
    if let (Some(field), Some(false)) = (field, takes) {
        return field.refuse(
            "conflict",
            "no `pre_authentication` of the application takes access tokens",
            "write `bearer` there, or remove this",
        );
    }
    let bearer = match read {
        Some(read) => read,
        None => Bearer {
            audiences: usual?,
            ..Bearer::default()
        },
    };
    if bearer.audiences.is_empty() && takes == Some(true) {
        section.error_at_key(
            "bearer",
            "no_audience",
            "for whom access tokens have to be (`aud`) is not said, and a wildcard is many hosts",
            "add it, such as `bearer: { audience: [\"api://wiki\"] }`",
        );
        return None;
    }
    Some(Arc::new(bearer))
}

/// `login`: how people get a token for the command line.
fn login(field: Field<'_>, asked: &Asked) -> Option<Login> {
    field.section(&[], |section| {
        let client_id = section.required("client_id", "appproxy-cli").map(word);
        let scopes = section.optional("scopes").map(|field| field.distinct(word));
        let provider = section
            .optional("provider")
            .map(|field| asked.provider(field));
        if provider.is_none() && asked.has_several() {
            section.error_at_key(
                "provider",
                "ambiguous",
                "there are several identity providers",
                "say which of them gives the tokens, by its `name`",
            );
            return None;
        }
        Some(Login {
            client_id: client_id??,
            scopes: scopes.unwrap_or_else(|| Some(Vec::new()))?,
            provider: match provider {
                Some(read) => Some(read?),
                None => None,
            },
        })
    })?
}

fn word(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        false => Some(text.into()),
        true => field.refuse(
            "bad_value",
            "a word without blanks belongs here",
            "write it as the provider's tokens have it, such as `https://api.example.com` or a client's id",
        ),
    }
}

/// Whether a part of the application knows who somebody is.
pub(super) fn knows_people(methods: &[PreAuthentication]) -> bool {
    let by_provider = [PreAuthentication::Oidc, PreAuthentication::Bearer];
    methods.iter().any(|method| by_provider.contains(method))
}

/// Whose `access` counts where several things of an application go by it.
pub(super) fn accesses(guarding: &Guarding) -> impl Iterator<Item = &Access> {
    let own = guarding.guard.iter();
    let paths = guarding.paths.iter().flat_map(|paths| paths.all());
    own.chain(paths.map(|one| &one.guard))
        .map(|guard| &guard.access)
}
