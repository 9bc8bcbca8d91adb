//! A form that came after its session had ended: what was entered is shown, and sent again by the
//! person, not by us.

use std::fmt::Write as _;

use super::catalogue::Word;
use super::document::{Draft, Posts, hidden, paragraph};
use super::language::Language;
use super::link::{Link, OwnPath};
use super::markup::Markup;

/// Characters of a value that are shown. More is sent again all the same.
const SHOWN: usize = 2000;

/// Parts of names whose values nobody should read over a shoulder, in lower case.
const SECRETS: [&str; 6] = ["pass", "pwd", "secret", "token", "kennwort", "contrase"];

/// A form of `application/x-www-form-urlencoded`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expired<'a> {
    /// Where it was sent.
    pub(crate) action: &'a OwnPath,
    /// Names and values, decoded, in their order.
    pub(crate) fields: &'a [(String, String)],
    /// Where signing in begins; it opens in a new tab.
    pub(crate) sign_in: &'a Link,
}

impl Expired<'_> {
    /// Whether a browser would send these very fields for a form that holds them.
    fn can_be_sent(&self) -> bool {
        self.fields.iter().all(|(name, value)| {
            // HTML 4.10.22.4: a field without a name is not sent, and `_charset_` gets a value of the
            // browser's.
            !name.is_empty()
                && !name.eq_ignore_ascii_case("_charset_")
                && Markup::is_exact(name)
                && Markup::is_exact(value)
        })
    }
}

pub(super) fn draft(language: Language, expired: &Expired<'_>) -> Draft {
    let can_be_sent = expired.can_be_sent();
    let sign_in = expired.sign_in;
    let link = language.words(Word::ExpiredSignIn);
    let link = format!(
        "<a class=\"button\" href=\"{sign_in}\" target=\"_blank\" rel=\"noopener\">{link}</a>"
    );
    let mut text = paragraph(&language.words(Word::ExpiredText));
    if can_be_sent {
        let first = language.words(Word::ExpiredStepSignIn);
        let then = language.words(Word::ExpiredStepSend);
        _ = write!(
            text,
            "<ol>\n<li><p>{first}</p>\n<p>{link}</p></li>\n<li>{then}</li>\n</ol>\n"
        );
        text += &table(language, expired.fields);
        text += &form(language, expired);
    } else {
        text += &paragraph(&language.words(Word::ExpiredInexact));
        text += &table(language, expired.fields);
        _ = writeln!(text, "<p>{link}</p>");
    }
    Draft {
        posts: if can_be_sent {
            Posts::Anywhere
        } else {
            Posts::Nowhere
        },
        ..Draft::new(language.words(Word::ExpiredTitle), text)
    }
}

fn table(language: Language, fields: &[(String, String)]) -> String {
    let caption = language.words(Word::ExpiredCaption);
    let (field, value) = (
        language.words(Word::ExpiredField),
        language.words(Word::ExpiredValue),
    );
    let mut out = format!(
        "<table>\n<caption>{caption}</caption>\n\
         <thead><tr><th scope=\"col\">{field}</th><th scope=\"col\">{value}</th></tr></thead>\n<tbody>\n"
    );
    for (name, value) in fields {
        let value = if is_secret(name) {
            language.words(Word::ExpiredMasked)
        } else {
            shown(value)
        };
        let name = Markup::foreign(name);
        _ = writeln!(
            out,
            "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>"
        );
    }
    out.push_str("</tbody>\n</table>\n");
    out
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|part| name.contains(part))
}

fn shown(value: &str) -> Markup {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => Markup::foreign_lines(&format!("{}…", &value[..end])),
        None => Markup::foreign_lines(value),
    }
}

fn form(language: Language, expired: &Expired<'_>) -> String {
    let action = expired.action;
    let fields = expired.fields.iter();
    let fields: String = fields.map(|(name, value)| hidden(name, value)).collect();
    let send = language.words(Word::ExpiredSend);
    format!(
        "<form method=\"post\" action=\"{action}\" accept-charset=\"utf-8\" autocomplete=\"off\">\n\
         {fields}<button>{send}</button>\n</form>\n"
    )
}
