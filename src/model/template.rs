//! What is made of a person's claims for an application: `{upn ?? email|lower}`.
//!
//! One grammar: text, and between braces alternatives that are separated by `??`, each a claim with
//! filters behind it. The first alternative that there is counts; where there is none the whole comes to
//! nothing. `{{` and `}}` are braces.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::person::Person;

/// Text with claims in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Arc<[Part]>,
    /// As it is written.
    text: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Never empty.
    FirstOf(Vec<Expression>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Expression {
    claim: String,
    filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    /// Small letters of ASCII.
    Lower,
    /// Capital letters of ASCII.
    Upper,
    /// What stands before the first one of these; nothing is there where none is.
    Before(String),
    /// What stands behind the first one of these.
    After(String),
    /// One text of a list.
    Join(String),
    /// A field for each of a list.
    Repeat,
}

/// Why something is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its other one.
    #[error("a brace has no other one; `{{{{` and `}}}}` stand for braces")]
    Brace,
    /// Nothing between `??`.
    #[error("a claim is missing in `{0}`")]
    NoClaim(String),
    /// Not one of the filters.
    #[error(
        "there is no filter `{0}`; there are lower, upper, before(\"@\"), after(\"\\\\\"), join(\",\") and repeat"
    )]
    Filter(String),
    /// `repeat` beside text, or not at the end.
    #[error(
        "`repeat` makes fields of a list: it stands alone, behind the last claim, without text around it"
    )]
    Repeat,
    /// A text of no claim at all would be everybody's.
    #[error("there is no claim in it")]
    Constant,
}

/// What became of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rendered {
    /// A claim that is not there.
    Nothing,
    /// One value.
    One(String),
    /// One for each of a list; never none.
    Each(Vec<String>),
}

/// A value on its way.
enum Found {
    One(String),
    List(Vec<String>),
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = inner_end(rest).filter(|_| brace == "{");
            let end = end.ok_or(TemplateError::Brace)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::FirstOf(alternatives(&rest[..end])?));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let expressions = |part: &Part| match part {
            Part::Text(_) => Vec::new(),
            Part::FirstOf(all) => all.clone(),
        };
        let all: Vec<_> = parts.iter().flat_map(expressions).collect();
        if all.is_empty() {
            return Err(TemplateError::Constant);
        }
        let repeats = |one: &Expression| one.filters.contains(&Filter::Repeat);
        let ends = |one: &Expression| one.filters.last() == Some(&Filter::Repeat);
        if all.iter().any(repeats) && (parts.len() != 1 || !all.iter().all(ends)) {
            return Err(TemplateError::Repeat);
        }
        Ok(Self {
            parts: parts.into(),
            text: text.into(),
        })
    }

    /// Whether this claim is in it for certain: not as one of several.
    #[must_use]
    pub fn names(&self, claim: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::FirstOf(all) => matches!(&all[..], [one] if one.claim == claim),
        })
    }

    /// Whether it makes fields of a list.
    #[must_use]
    pub fn repeats(&self) -> bool {
        let repeats = |one: &Expression| one.filters.contains(&Filter::Repeat);
        self.parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::FirstOf(all) => all.iter().any(repeats),
        })
    }

    /// What it comes to for somebody. `subject`, `provider`, `email`, `name` and `groups` are what the
    /// gateway believes of them; everything else is a claim by its name. A list without `join` or
    /// `repeat` is nothing: which of them would it be?
    #[must_use]
    pub fn render(&self, person: &Person) -> Rendered {
        let mut whole = String::new();
        for part in self.parts.iter() {
            let alternatives = match part {
                Part::Text(text) => {
                    whole.push_str(text);
                    continue;
                }
                Part::FirstOf(alternatives) => alternatives,
            };
            let found = alternatives.iter().find_map(|one| one.value(person));
            match found {
                None => return Rendered::Nothing,
                Some(Found::One(text)) => whole.push_str(&text),
                // Alone, as `parse` has seen to.
                Some(Found::List(all)) => return Rendered::Each(all),
            }
        }
        Rendered::One(whole)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where the brace is that ends an expression: not one in quotes.
fn inner_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            b'{' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// Splits where it is not in quotes.
fn split<'a>(text: &'a str, by: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut from, mut at, mut quoted) = (0, 0, false);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if !quoted && rest.starts_with(by) {
            parts.push(&text[from..at]);
            at += by.len();
            from = at;
            continue;
        }
        let next = rest.chars().next().map_or(1, char::len_utf8);
        quoted ^= rest.starts_with('"');
        at += next;
    }
    parts.push(&text[from..]);
    parts
}

fn alternatives(text: &str) -> Result<Vec<Expression>, TemplateError> {
    let each = split(text, "??").into_iter().map(|one| {
        let mut words = split(one, "|").into_iter().map(str::trim);
        let claim = words.next().unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "\"()".contains(c);
        if claim.is_empty() || claim.contains(odd) {
            return Err(TemplateError::NoClaim(text.trim().to_owned()));
        }
        Ok(Expression {
            claim: claim.to_owned(),
            filters: words.map(filter).collect::<Result<_, _>>()?,
        })
    });
    each.collect()
}

fn filter(text: &str) -> Result<Filter, TemplateError> {
    let argument = |name: &str| {
        let inner = text.strip_prefix(name)?.strip_prefix("(\"")?;
        let inner = inner.strip_suffix("\")")?;
        (!inner.is_empty() && !inner.contains('"')).then(|| inner.to_owned())
    };
    let with = |name, filter: fn(String) -> Filter| argument(name).map(filter);
    match text {
        "lower" => Some(Filter::Lower),
        "upper" => Some(Filter::Upper),
        "repeat" => Some(Filter::Repeat),
        _ => with("before", Filter::Before)
            .or_else(|| with("after", Filter::After))
            .or_else(|| with("join", Filter::Join)),
    }
    .ok_or_else(|| TemplateError::Filter(text.to_owned()))
}

impl Expression {
    fn value(&self, person: &Person) -> Option<Found> {
        let mut found = said(person, &self.claim)?;
        let mut repeats = false;
        for filter in &self.filters {
            found = match (filter, found) {
                (Filter::Repeat, found) => {
                    repeats = true;
                    // Whoever is on the way may join fields with commas (RFC 9110 section 5.3).
                    Found::List(found.without(","))
                }
                (Filter::Join(by), found) => Found::One(found.without(by).join(by)),
                (filter, Found::One(one)) => Found::One(filter.of(one)?),
                (filter, Found::List(all)) => {
                    Found::List(all.into_iter().filter_map(|one| filter.of(one)).collect())
                }
            };
        }
        match found {
            Found::One(one) => (!one.is_empty()).then_some(Found::One(one)),
            Found::List(all) => (repeats && !all.is_empty()).then_some(Found::List(all)),
        }
    }
}

impl Found {
    /// SECURITY: without what has a separator in it, which would be two to whoever takes them apart.
    /// Blanks around a separator mean nothing to most.
    fn without(self, separator: &str) -> Vec<String> {
        let all = match self {
            Self::One(one) => vec![one],
            Self::List(all) => all,
        };
        let bare = match separator.trim() {
            "" => separator,
            bare => bare,
        };
        all.into_iter().filter(|one| !one.contains(bare)).collect()
    }
}

impl Filter {
    /// Of one text.
    fn of(&self, text: String) -> Option<String> {
        match self {
            // SECURITY: of ASCII alone: U+212A would become a `k`, and somebody somebody else.
            Self::Lower => Some(text.to_ascii_lowercase()),
            Self::Upper => Some(text.to_ascii_uppercase()),
            Self::Before(mark) => text.split_once(mark).map(|(before, _)| before.to_owned()),
            Self::After(mark) => text.split_once(mark).map(|(_, after)| after.to_owned()),
            Self::Join(_) | Self::Repeat => Some(text),
        }
    }
}

/// What is said of somebody.
fn said(person: &Person, claim: &str) -> Option<Found> {
    let one = |text: &Arc<str>| Found::One(text.to_string());
    match claim {
        "subject" => Some(one(&person.key.subject)),
        "provider" => Some(one(&person.provider)),
        // SECURITY: the claim itself may be anything that a person typed somewhere.
        "email" => person.email.as_ref().map(one),
        "name" => person.name.as_ref().map(one),
        "groups" => Some(Found::List(
            person
                .groups
                .iter()
                .map(|group| group.to_string())
                .collect(),
        )),
        claim => match person.claim(claim)? {
            Value::Array(all) => Some(Found::List(all.iter().filter_map(text_of).collect())),
            value => text_of(value).map(Found::One),
        },
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::person::PersonKey;
    use super::*;

    fn alice() -> Person {
        let claims = json!({
            "upn": "Alice@Corp.example", "email": "self-chosen@evil.example", "level": 7, "ok": true,
            "roles": ["a", "b,admin", "c"], "empty": "", "object": { "inner": "x" }, "none": null,
            "logon": "CORP\\alice",
            "kelvin": "\u{212a}im",
        });
        let serde_json::Value::Object(claims) = claims else {
            unreachable!()
        };
        Person {
            key: PersonKey {
                authority: "https://login.test/".into(),
                subject: "1f3c2b".into(),
            },
            provider: "corp".into(),
            name: Some("Alice".into()),
            email: None,
            groups: Arc::new(["admins".into(), "staff".into()]),
            claims,
        }
    }

    #[test]
    fn templates_come_to_what_they_say() {
        let one = |text: &str| Rendered::One(text.to_owned());
        let each = |all: &[&str]| Rendered::Each(all.iter().map(|&s| s.to_owned()).collect());
        for (text, expected) in [
            ("{upn}", one("Alice@Corp.example")),
            ("{upn|lower}", one("alice@corp.example")),
            ("{ upn | upper }", one("ALICE@CORP.EXAMPLE")),
            ("{upn|before(\"@\")|lower}", one("alice")),
            ("{upn|after(\"@\")}", one("Corp.example")),
            ("{logon|after(\"\\\")}", one("alice")),
            ("{name|before(\"@\")}", Rendered::Nothing),
            ("{missing ?? upn}", one("Alice@Corp.example")),
            ("{missing ?? none ?? empty ?? level}", one("7")),
            ("{name|before(\"@\") ?? subject}", one("1f3c2b")),
            ("{missing}", Rendered::Nothing),
            ("user-{missing}", Rendered::Nothing),
            ("CORP\\{upn|before(\"@\")}", one("CORP\\Alice")),
            ("{{{level}}}", one("{7}")),
            ("{provider}/{subject}/{ok}", one("corp/1f3c2b/true")),
            // What the provider is not trusted with is not there, whatever the claim says.
            ("{email}", Rendered::Nothing),
            ("{email ?? upn}", one("Alice@Corp.example")),
            ("{object.inner}", one("x")),
            ("{object}", Rendered::Nothing),
            ("{groups}", Rendered::Nothing),
            ("{groups|join(\",\")}", one("admins,staff")),
            ("{groups|upper|join(\", \")}", one("ADMINS, STAFF")),
            ("{groups|repeat}", each(&["admins", "staff"])),
            ("{upn|repeat}", each(&["Alice@Corp.example"])),
            ("{missing|repeat}", Rendered::Nothing),
            // Nobody is in a group because of a name.
            ("{roles|join(\",\")}", one("a,c")),
            ("{roles|join(\", \")}", one("a, c")),
            ("{roles|repeat}", each(&["a", "c"])),
            ("{kelvin|lower}", one("\u{212a}im")),
            ("{kelvin|upper}", one("\u{212a}IM")),
            ("{roles|join(\"|\")}", one("a|b,admin|c")),
            ("{roles|join(\"}\")}", one("a}b,admin}c")),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.render(&alice()), expected, "{text}");
            assert_eq!(template.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_template_says_why() {
        use TemplateError as E;
        for (text, expected) in [
            ("{upn", E::Brace),
            ("upn}", E::Brace),
            ("{a{b}}", E::Brace),
            ("{}", E::NoClaim(String::new())),
            ("{a ?? }", E::NoClaim("a ??".into())),
            ("{a b}", E::NoClaim("a b".into())),
            ("{a|lowr}", E::Filter("lowr".into())),
            ("{a|before(@)}", E::Filter("before(@)".into())),
            ("{a|join(\"\")}", E::Filter("join(\"\")".into())),
            ("{a|}", E::Filter(String::new())),
            ("x{groups|repeat}", E::Repeat),
            ("{groups|repeat|lower}", E::Repeat),
            ("{a ?? groups|repeat}", E::Repeat),
            ("admin", E::Constant),
            ("", E::Constant),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }
}
