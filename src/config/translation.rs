//! `link_translation` of an application.

use super::field::Field;
use super::file::did_you_mean;
use super::guard::path;
use super::section::Section;
use super::sign_in::Asked;
use crate::model::{
    BodyKind, Exclusion, ExternalUrl, Host, HostPattern, LinkAttribute, LinkTranslation, PathRule,
    Reader, Replacement,
};

/// Reads `link_translation` of an application with these external URLs.
pub(super) fn link_translation(
    field: Field<'_>,
    outside: &[&ExternalUrl],
    asked: &Asked,
) -> Option<LinkTranslation> {
    field.section(&[], |section| {
        let headers = section.optional("headers").map(Field::boolean);
        let body = listed(section, "body", kind);
        let kinds = body.as_deref();
        let round_trip = section.optional("round_trip").map(|field| {
            let round_trip = field.boolean()?;
            match round_trip && kinds.is_some_and(<[BodyKind]>::is_empty) {
                true => field.refuse(
                    "conflict",
                    "nothing is translated that a program could send back",
                    "add kinds of bodies beside it, such as `body: [html, json]`, or remove the line",
                ),
                false => Some(round_trip),
            }
        });
        let attributes = listed(section, "attributes", |field| attribute(field, kinds));
        let goes_back = round_trip == Some(Some(true));
        let replacements = replacements(section, kinds, goes_back);
        let outside_path = |field| path_inside(field, outside);
        let exclude = listed(section, "exclude", |field| {
            exclusion(field, kinds, &outside_path)
        });
        let report = listed(section, "report", |field| reader(field, asked));
        let domains = listed(section, "cookie_domains", |field| {
            cookie_domain(field, outside)
        });
        Some(LinkTranslation {
            headers: headers.unwrap_or(Some(true))?,
            body: body?,
            round_trip: round_trip.unwrap_or(Some(false))?,
            attributes: attributes?,
            replacements: replacements?,
            exclude: exclude?,
            report: report?,
            cookie_domains: domains?,
        })
    })?
}

/// A list that may be missing.
fn listed<'a, T: PartialEq>(
    section: &Section<'a>,
    key: &'static str,
    read: impl Fn(Field<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    match section.optional(key) {
        Some(field) => field.distinct(read),
        None => Some(Vec::new()),
    }
}

/// A kind of body.
fn kind(field: Field<'_>) -> Option<BodyKind> {
    let text = field.text()?;
    if let Some(kind) = BodyKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
        return Some(kind);
    }
    let words = BodyKind::ALL.map(BodyKind::as_str);
    field.refuse(
        "bad_value",
        format!("`{text}` is no kind of body that can be looked through"),
        did_you_mean(text, &words).unwrap_or_else(|| format!("write one of: {}", words.join(", "))),
    )
}

/// One of those that `body` has.
fn kind_of(field: Field<'_>, kinds: Option<&[BodyKind]>) -> Option<BodyKind> {
    let read = kind(field)?;
    match kinds.is_none_or(|kinds| kinds.contains(&read)) {
        true => Some(read),
        false => field.refuse(
            "conflict",
            format!("bodies of the kind `{read}` are not looked through"),
            format!("add `{read}` to `body`, or remove it here"),
        ),
    }
}

/// A further attribute of pages.
fn attribute(field: Field<'_>, kinds: Option<&[BodyKind]>) -> Option<LinkAttribute> {
    let text = field.text()?;
    let Some(attribute) = LinkAttribute::new(text) else {
        return field.refuse(
            "bad_value",
            format!("`{text}` names no attribute"),
            "write an attribute, such as `data-url`, or one of an element, such as `x-player[data-url]`",
        );
    };
    match kinds.is_none_or(|kinds| kinds.contains(&BodyKind::Html)) {
        true => Some(attribute),
        false => field.refuse(
            "conflict",
            "pages are not looked through",
            "add `html` to `body`, or remove `attributes`",
        ),
    }
}

fn replacements(
    section: &Section<'_>,
    kinds: Option<&[BodyKind]>,
    goes_back: bool,
) -> Option<Vec<Replacement>> {
    let Some(field) = section.optional("replacements") else {
        return Some(Vec::new());
    };
    let read = field.distinct(|field| replacement(field, kinds))?;
    let length: usize = read.iter().map(|one| one.find.chars().count()).sum();
    let remedy = "leave those that are needed most";
    if read.len() > Replacement::MOST || length > Replacement::MOST_TOGETHER {
        let what = format!(
            "there are more than {} replacements, or their words have more than {} characters together",
            Replacement::MOST,
            Replacement::MOST_TOGETHER
        );
        return field.refuse("bad_value", what, remedy);
    }
    let is_data = |one: &Replacement| one.body.iter().any(|kind| kind.is_data());
    match goes_back && read.iter().any(is_data) {
        false => Some(read),
        true => field.refuse(
            "conflict",
            "with `round_trip: true` programs write back what they read, and a word that was replaced \
             would not come back as it was",
            "name other kinds in `body` of these lines, such as `body: [html]`, or leave `round_trip` out",
        ),
    }
}

/// A word and what it becomes.
fn replacement(field: Field<'_>, kinds: Option<&[BodyKind]>) -> Option<Replacement> {
    field.section(&[], |section| {
        let find = section.required("find", "\"http://old.corp.local/\"");
        let find = find.and_then(word);
        let replace = section.required("replace", "\"https://wiki.example.com/\"");
        let replace = replace.and_then(word);
        let body = match section.optional("body") {
            Some(field) => field.distinct(|field| kind_of(field, kinds)),
            None => kinds.map(<[BodyKind]>::to_vec),
        };
        if kinds.is_some_and(<[BodyKind]>::is_empty) {
            return field.refuse(
                "conflict",
                "no bodies are looked through",
                "add kinds of bodies beside it, such as `body: [html]`, or remove `replacements`",
            );
        }
        Some(Replacement {
            find: find?,
            replace: replace?,
            body: body?,
        })
    })?
}

fn word(field: Field<'_>) -> Option<Box<str>> {
    let text = field.text()?;
    match text.chars().count() <= Replacement::LONGEST {
        true => Some(text.into()),
        false => field.refuse(
            "bad_value",
            format!("it has more than {} characters", Replacement::LONGEST),
            "write less of it: what stands around it stays",
        ),
    }
}

/// What passes as it comes.
fn exclusion<'a>(
    field: Field<'a>,
    kinds: Option<&[BodyKind]>,
    path: &impl Fn(Field<'a>) -> Option<PathRule>,
) -> Option<Exclusion> {
    let exclusion = field.section(&[], |section| {
        let paths = listed(section, "paths", path);
        let body = listed(section, "body", |field| kind_of(field, kinds));
        let types = listed(section, "types", media_type);
        Some(Exclusion {
            paths: paths?,
            body: body?,
            types: types?,
        })
    })??;
    let Exclusion { paths, body, types } = &exclusion;
    if kinds.is_some_and(<[BodyKind]>::is_empty) {
        return field.refuse(
            "conflict",
            "no bodies are looked through",
            "add kinds of bodies beside it, such as `body: [html]`, or remove `exclude`",
        );
    }
    match paths.is_empty() && body.is_empty() && types.is_empty() {
        true => field.refuse(
            "bad_value",
            "nothing is named that would be excluded",
            "write `paths`, `body`, `types`, or several of them: all have to fit",
        ),
        false => Some(exclusion),
    }
}

/// A path somewhere in the application, as people see it.
fn path_inside(field: Field<'_>, outside: &[&ExternalUrl]) -> Option<PathRule> {
    let rule = path(field)?;
    if rule.as_str().contains('*') {
        let what = format!(
            "`{}` has a `*`, which stands for itself in a path",
            rule.as_str()
        );
        return field.refuse(
            "bad_path",
            what,
            "leave it out: a path covers all that lies below",
        );
    }
    let Some(outside) = outside
        .first()
        .filter(|url| !rule.is_inside(url.path.as_str()))
    else {
        return Some(rule);
    };
    field.refuse(
        "outside",
        format!(
            "`{}` is nowhere in the application, or all of it: it is published below `{}`",
            rule.as_str(),
            outside.path.as_str()
        ),
        "write it as the browser's address has it, from the first `/` on",
    )
}

fn media_type(field: Field<'_>) -> Option<Box<str>> {
    let text = field.text()?;
    let is_token = |part: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(is_plain)
    };
    let good = text
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    match good {
        true => Some(text.to_ascii_lowercase().into()),
        false => field.refuse(
            "bad_value",
            format!("`{text}` is no media type"),
            "write it as `Content-Type` has it, without parameters, such as `text/csv`",
        ),
    }
}

/// Who may ask for reports.
fn reader(field: Field<'_>, asked: &Asked) -> Option<Reader> {
    field.section(&[], |section| {
        let group = section.required("group", "admins");
        let group = group.and_then(Field::text).map(Into::into);
        let provider = section
            .optional("provider")
            .map(|field| asked.provider(field));
        // SECURITY: another provider's group of this name is another group.
        if provider.is_none() && asked.has_several() {
            section.error_at_key(
                "provider",
                "ambiguous",
                "several identity providers could say this, each of people of its own",
                "say which of the identity providers, by its `name`",
            );
            return None;
        }
        Some(Reader {
            group: group?,
            provider: match provider {
                Some(read) => Some((*read?).into()),
                None => None,
            },
        })
    })?
}
/// A domain that browsers take from this application: its host, or one above it.
fn cookie_domain(field: Field<'_>, outside: &[&ExternalUrl]) -> Option<Host> {
    let remedy = "write the external host or a domain above it, such as `example.com` for \
                  `wiki.example.com`";
    let domain = field.parse_host(remedy, Host::parse)?;
    let name = domain.name().filter(|name| name.contains('.'));
    let is_above = |host: &str| {
        let above = |name: &str| {
            host.strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        name.is_some_and(|name| host == name || above(name))
    };
    let is_own = outside.iter().any(|url| match &url.host {
        HostPattern::Exact(host) => host.name().is_some_and(is_above),
        HostPattern::Wildcard { suffix } => is_above(suffix),
    });
    // Where there is none, the external URL is at fault, and says so.
    if !is_own && !outside.is_empty() {
        let what = format!("no browser takes a cookie for `{domain}` from this application");
        return field.refuse("bad_host", what, remedy);
    }
    Some(domain)
}
