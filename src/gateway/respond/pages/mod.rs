//! Pages of our own, for people: the way into an application, out of it, and why it stopped.
//!
//! Pure rendering: a [`Page`] says what is to be shown, a [`Look`] for whom and in whose colours, and
//! [`render`] makes [`Html`] of both: a document and the policy (CSP) it needs. Nothing here reads a
//! request or decides anything.
//!
//! | what | file |
//! |---|---|
//! | the document around every page, and its policy | `document` |
//! | the pages, by the way of a person | `entering`, `launcher`, `leaving`, `stopped`, `expired`, `error` |
//! | sentences, and which language | `catalogue`, `language` |
//! | what may stand in a page, and where one may lead | `markup`, `link` |
//! | brand, stylesheet, scripts | `theme`, `asset`, `assets/` |
//! | as responses | `answer` |
//!
//! No page runs a script of its own text, loads anything from elsewhere, or is framed, but for the one
//! that tells people in a frame to leave it. Every page works without its script. Error pages carry
//! their style in themselves, since they are shown where nothing else may be reached.

mod answer;
mod asset;
mod catalogue;
mod document;
mod entering;
mod error;
mod expired;
mod language;
mod launcher;
mod leaving;
mod link;
mod markup;
mod stopped;
mod theme;

use http::StatusCode;

use crate::model::{ErrorCode, RequestId};

pub(crate) use answer::{asset, page};
pub(super) use catalogue::Word;
pub(crate) use entering::{Choice, Confirm};
pub(crate) use expired::Expired;
pub(crate) use language::Language;
pub(crate) use launcher::{Launcher, Tile};
pub(crate) use leaving::{ProviderSession, SignOut};
pub(crate) use link::{Link, OwnPath, WebUrl};
pub(crate) use stopped::{Explained, Stopped};
pub use theme::LogoError;
pub(crate) use theme::Theme;

/// What is to be shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Page<'a> {
    /// On the way to sign-in, at the application's host: keeps the fragment in the tab.
    Keep {
        /// Under which the fragment is kept; the same as in [`Page::Return`].
        state: &'a str,
        /// Where sign-in begins.
        sign_in: &'a Link,
    },
    /// Back from sign-in, at the application's host: goes on to the page, with the fragment.
    Return {
        /// As in [`Page::Keep`].
        state: &'a str,
        /// The page that was asked for.
        target: &'a OwnPath,
        /// What pages here stored is somebody else's.
        clears: bool,
    },
    /// In a frame, where nobody can sign in. The only page that may be framed.
    Frame {
        /// What is opened in a new tab.
        open: &'a Link,
    },
    /// Several identity providers.
    Chooser {
        /// In the order of the configuration.
        providers: &'a [Choice<'a>],
    },
    /// An operator's one-time link was opened.
    Enter {
        /// Where it is redeemed.
        action: &'a OwnPath,
        /// What redeems it.
        code: &'a str,
    },
    /// A wildcard host asks for the person.
    Confirm(Confirm<'a>),
    /// The applications of a person.
    Launcher(Launcher<'a>),
    /// Asks before it signs out.
    SignOut(SignOut<'a>),
    /// Signed out.
    SignedOut {
        /// Where sign-in begins.
        sign_in: &'a Link,
        /// What became of the session there.
        provider: ProviderSession,
    },
    /// Why a sign-in stopped.
    Explained(Explained<'a>),
    /// A form that came after its session had ended.
    Expired(Expired<'a>),
    /// An error of the closed list.
    Error {
        /// Which.
        code: ErrorCode,
        /// What the operator wrote in place of our own advice.
        notice: Option<&'a str>,
    },
}

impl Page<'_> {
    /// The status of a response with this page.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Keep { .. } | Self::Frame { .. } | Self::Expired(_) => StatusCode::UNAUTHORIZED,
            Self::Explained(_) => StatusCode::FORBIDDEN,
            Self::Error { code, .. } => super::words::status(*code),
            Self::Return { .. }
            | Self::Chooser { .. }
            | Self::Enter { .. }
            | Self::Confirm(_)
            | Self::Launcher(_)
            | Self::SignOut(_)
            | Self::SignedOut { .. } => StatusCode::OK,
        }
    }
}

/// For whom a page is, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    /// What the visitor reads.
    pub(crate) language: Language,
    /// The brand of the configuration in force.
    pub(crate) theme: &'a Theme,
    /// The reference of the request.
    pub(crate) id: &'a RequestId,
}

/// A page as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Html {
    /// The document, UTF-8.
    pub(crate) text: String,
    /// Its Content-Security-Policy.
    pub(crate) policy: String,
}

/// Makes a page.
pub(crate) fn render(page: &Page<'_>, look: &Look<'_>) -> Html {
    let language = look.language;
    let draft = match page {
        Page::Keep { state, sign_in } => entering::keep(language, state, sign_in),
        Page::Return {
            state,
            target,
            clears,
        } => entering::back(language, state, target, *clears),
        Page::Frame { open } => entering::frame(language, open),
        Page::Chooser { providers } => entering::chooser(language, providers),
        Page::Enter { action, code } => entering::enter(language, action, code),
        Page::Confirm(confirm) => entering::confirm(language, confirm),
        Page::Launcher(launcher) => launcher::draft(language, launcher),
        Page::SignOut(sign_out) => leaving::ask(language, sign_out),
        Page::SignedOut { sign_in, provider } => leaving::done(language, sign_in, *provider),
        Page::Explained(explained) => stopped::draft(look, explained),
        Page::Expired(expired) => expired::draft(language, expired),
        Page::Error { code, notice } => error::draft(look, *code, *notice),
    };
    document::whole(look, &draft)
}

#[cfg(test)]
mod tests;
