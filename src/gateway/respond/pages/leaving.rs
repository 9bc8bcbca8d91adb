//! The way out.

use super::catalogue::Word;
use super::document::{Draft, Posts, hidden, paragraph};
use super::language::Language;
use super::link::{Link, OwnPath, WebUrl};

/// How to sign out: by a form with the field `token`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignOut<'a> {
    /// Where the form is sent.
    pub(crate) action: &'a OwnPath,
    /// What shows that the form is ours.
    pub(crate) token: &'a str,
    /// Where the answer to the form may send people: the provider, to end its own session.
    pub(crate) provider: Option<&'a WebUrl>,
}

/// What became of the session at the identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProviderSession {
    /// It has ended too.
    Ended,
    /// It goes on, or nobody knows.
    Kept,
}

pub(super) fn ask(language: Language, sign_out: &SignOut<'_>) -> Draft {
    let text = paragraph(&language.words(Word::SignOutText));
    Draft {
        posts: posts(sign_out),
        ..Draft::new(
            language.words(Word::SignOutTitle),
            text + &form(language, sign_out),
        )
    }
}

pub(super) fn form(language: Language, sign_out: &SignOut<'_>) -> String {
    let action = sign_out.action;
    let token = hidden("token", sign_out.token);
    let button = language.words(Word::SignOutButton);
    format!(
        "<form method=\"post\" action=\"{action}\">\n{token}<button>{button}</button>\n</form>\n"
    )
}

pub(super) fn posts(sign_out: &SignOut<'_>) -> Posts {
    let provider = sign_out.provider.and_then(WebUrl::source);
    Posts::Home(provider.into_iter().collect())
}

pub(super) fn done(language: Language, sign_in: &Link, provider: ProviderSession) -> Draft {
    let provider = match provider {
        ProviderSession::Ended => Word::SignedOutEnded,
        ProviderSession::Kept => Word::SignedOutKept,
    };
    let text = paragraph(&language.words(provider));
    let again = language.words(Word::SignedOutLink);
    let link = format!("<p><a class=\"button\" href=\"{sign_in}\">{again}</a></p>\n");
    Draft::new(language.words(Word::SignedOutTitle), text + &link)
}
