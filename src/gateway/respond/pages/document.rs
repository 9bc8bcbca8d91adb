//! The document around every page, and the policy that lets it do what it does and nothing else.

use std::fmt::Write as _;

use super::asset::{FIXED, Served};
use super::catalogue::Word;
use super::markup::Markup;
use super::{Html, Look};

/// A page without what is around all of them.
pub(super) struct Draft {
    /// The heading, which is the title of the tab too.
    pub(super) title: Markup,
    /// What stands below the heading.
    pub(super) text: String,
    /// For a script, on the element that holds all this.
    pub(super) state: Option<Markup>,
    /// For that script: what pages of this host stored is to go.
    pub(super) clears: bool,
    pub(super) script: Option<&'static Served>,
    pub(super) posts: Posts,
    pub(super) is_wide: bool,
    pub(super) has_pictures: bool,
    pub(super) may_be_framed: bool,
    /// Its style is in it.
    pub(super) is_whole: bool,
}

impl Draft {
    /// A page that only says something.
    pub(super) fn new(title: Markup, text: String) -> Self {
        Self {
            title,
            text,
            state: None,
            clears: false,
            script: None,
            posts: Posts::Nowhere,
            is_wide: false,
            has_pictures: false,
            may_be_framed: false,
            is_whole: false,
        }
    }
}

/// Where forms of a page lead. Browsers hold what a form is answered with to it too: an answer that
/// sends on to a host that is not named is not followed.
pub(super) enum Posts {
    /// There is no form.
    Nowhere,
    /// To the page's own origin, which may send on to these origins.
    Home(Vec<String>),
    /// To an application, which may send on to wherever it likes.
    Anywhere,
}

pub(super) fn whole(look: &Look<'_>, draft: &Draft) -> Html {
    let theme = look.theme;
    let language = look.language;
    let Draft { title, text, .. } = draft;
    let name = theme.name.as_deref();
    let suffix = name.map(|name| format!(" · {}", Markup::words(name)));
    let suffix = suffix.unwrap_or_default();
    let lang = language.tag();
    let loads = loads(look, draft);
    let header = header(look);
    let footer = footer(look);
    let wide = if draft.is_wide { " class=\"wide\"" } else { "" };
    let state = draft.state.as_ref();
    let state = state.map(|state| format!(" data-state=\"{state}\""));
    let state = state.unwrap_or_default();
    let clears = if draft.clears { " data-clear" } else { "" };
    let text = format!(
        r#"<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}{suffix}</title>
{loads}</head>
<body>
{header}<main{wide}{state}{clears}>
<h1>{title}</h1>
{text}</main>
{footer}</body>
</html>
"#
    );
    Html {
        text,
        policy: policy(look, draft),
    }
}

/// The stylesheets and the script.
fn loads(look: &Look<'_>, draft: &Draft) -> String {
    let theme = look.theme;
    let mut out = String::new();
    if draft.is_whole {
        _ = writeln!(out, "<style>{}</style>", theme.inline);
    } else {
        for style in [Some(&FIXED.style), theme.colours.as_ref()]
            .into_iter()
            .flatten()
        {
            _ = writeln!(out, "<link rel=\"stylesheet\" href=\"{}\">", style.path);
        }
    }
    if let Some(script) = draft.script {
        _ = writeln!(out, "<script src=\"{}\" defer></script>", script.path);
    }
    out
}

/// Whose page it is. The logo says nothing that the name beside it does not say.
fn header(look: &Look<'_>) -> String {
    let theme = look.theme;
    let logo = theme.logo.as_ref();
    let logo = logo.map(|logo| format!("<img src=\"{}\" alt=\"\">", logo.path));
    let name = theme.name.as_deref().map(Markup::words);
    let name = name.map(|name| format!("<span>{name}</span>"));
    match (logo, name) {
        (None, None) => String::new(),
        (logo, name) => format!(
            "<header>{}{}</header>\n",
            logo.unwrap_or_default(),
            name.unwrap_or_default()
        ),
    }
}

fn footer(look: &Look<'_>) -> String {
    let theme = look.theme;
    match (&theme.support, &theme.name) {
        (Some(support), _) => {
            let href = Markup::words(support.as_str());
            let help = look.language.words(Word::FooterHelp);
            format!("<footer><a href=\"{href}\">{help}</a></footer>\n")
        }
        (None, Some(_)) => String::new(),
        (None, None) => "<footer>appproxy</footer>\n".to_owned(),
    }
}

fn policy(look: &Look<'_>, draft: &Draft) -> String {
    let theme = look.theme;
    let style = if draft.is_whole {
        &theme.inline_source
    } else {
        "'self'"
    };
    let mut policy = format!("default-src 'none'; style-src {style}; ");
    if draft.script.is_some() {
        policy.push_str("script-src 'self'; ");
    }
    if draft.has_pictures || theme.logo.is_some() {
        policy.push_str("img-src 'self'; ");
    }
    policy.push_str("base-uri 'none'; form-action ");
    match &draft.posts {
        Posts::Nowhere => policy.push_str("'none'"),
        Posts::Home(others) => {
            policy.push_str("'self'");
            for other in others {
                policy.push(' ');
                policy.push_str(other);
            }
        }
        Posts::Anywhere => policy.push_str("'self' https: http:"),
    }
    let ancestors = if draft.may_be_framed { "*" } else { "'none'" };
    _ = write!(policy, "; frame-ancestors {ancestors}");
    policy
}

/// A paragraph.
pub(super) fn paragraph(text: &Markup) -> String {
    format!("<p>{text}</p>\n")
}

/// A field of a form that is not shown.
pub(super) fn hidden(name: &str, value: &str) -> String {
    let (name, value) = (Markup::value(name), Markup::value(value));
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n")
}

/// A list of terms; each value is markup.
pub(super) fn details(look: &Look<'_>, rows: &[(Word, String)]) -> String {
    let mut out = "<dl>\n".to_owned();
    for (term, value) in rows {
        let term = look.language.words(*term);
        _ = writeln!(out, "<dt>{term}</dt><dd>{value}</dd>");
    }
    out.push_str("</dl>\n");
    out
}

/// The reference, by which the log is searched.
pub(super) fn reference(look: &Look<'_>) -> (Word, String) {
    let id = Markup::words(look.id.as_str());
    (
        Word::DetailsReference,
        format!("<code class=\"id\">{id}</code>"),
    )
}
