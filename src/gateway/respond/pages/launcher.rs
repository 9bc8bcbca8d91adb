//! The applications that a person may open.

use std::fmt::Write as _;

use super::asset::FIXED;
use super::catalogue::Word;
use super::document::{Draft, paragraph};
use super::language::Language;
use super::leaving::{self, SignOut};
use super::link::{OwnPath, WebUrl};
use super::markup::Markup;

/// A person and what they may open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launcher<'a> {
    /// How the person is called.
    pub(crate) person: &'a str,
    /// In the order they are shown.
    pub(crate) applications: &'a [Tile<'a>],
    /// How to sign out.
    pub(crate) sign_out: SignOut<'a>,
}

/// An application.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// As the operator calls it.
    pub(crate) name: &'a str,
    /// What it is for.
    pub(crate) description: Option<&'a str>,
    /// What is opened; its host is shown.
    pub(crate) url: &'a WebUrl,
    /// A picture of ours; without one, the first letter of the name.
    pub(crate) icon: Option<&'a OwnPath>,
}

pub(super) fn draft(language: Language, launcher: &Launcher<'_>) -> Draft {
    let person = Markup::foreign(launcher.person);
    let person = language.words_with(Word::LauncherPerson, "person", &person);
    let sign_out = leaving::form(language, &launcher.sign_out);
    let mut text = format!(
        "<div class=\"bar\">\n{}{sign_out}</div>\n",
        paragraph(&person)
    );
    let applications = launcher.applications;
    if applications.is_empty() {
        text += &paragraph(&language.words(Word::LauncherEmpty));
        text += &paragraph(&language.words(Word::LauncherEmptyRemedy));
    } else {
        text += &search(language);
        text += "<ul class=\"tiles\">\n";
        for tile in applications {
            text += &item(tile);
        }
        text += "</ul>\n";
    }
    Draft {
        script: (!applications.is_empty()).then_some(&FIXED.launcher),
        posts: leaving::posts(&launcher.sign_out),
        is_wide: true,
        has_pictures: applications.iter().any(|tile| tile.icon.is_some()),
        ..Draft::new(language.words(Word::LauncherTitle), text)
    }
}

/// Shown by the script, without which it does nothing.
fn search(language: Language) -> String {
    let label = language.words(Word::LauncherSearch);
    let found = language.words(Word::LauncherFound);
    format!(
        r#"<div class="search" role="search" hidden>
<label for="search">{label}</label>
<input id="search" type="search" autocomplete="off" spellcheck="false">
<p role="status" data-found="{found}"></p>
</div>
"#
    )
}

fn item(tile: &Tile<'_>) -> String {
    let url = tile.url;
    let name = Markup::foreign(tile.name);
    let icon = match tile.icon {
        Some(icon) => format!("<img class=\"icon\" src=\"{icon}\" alt=\"\">"),
        None => {
            let letter = tile.name.chars().find(|c| c.is_alphanumeric());
            let letter: String = letter.into_iter().flat_map(char::to_uppercase).collect();
            let letter = Markup::foreign(&letter);
            format!("<span class=\"icon letter\" aria-hidden=\"true\">{letter}</span>")
        }
    };
    let mut out = format!("<li><a href=\"{url}\">{icon}<strong>{name}</strong>");
    if let Some(description) = tile.description {
        let description = Markup::foreign(description);
        _ = write!(out, " <span class=\"text\">{description}</span>");
    }
    let host = Markup::foreign(&url.authority());
    _ = writeln!(out, " <small>{host}</small></a></li>");
    out
}
