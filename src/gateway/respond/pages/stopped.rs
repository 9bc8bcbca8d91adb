//! Why a sign-in stopped, and how to go on.

use super::Look;
use super::catalogue::Word;
use super::document::{Draft, details, paragraph, reference};
use super::link::Link;
use super::markup::Markup;

/// A sign-in that stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Explained<'a> {
    /// Why.
    pub(crate) stopped: Stopped<'a>,
    /// The word for the check that failed, as in the log.
    pub(crate) finding: &'a str,
    /// Where another attempt begins, if one makes sense.
    pub(crate) again: Option<&'a Link>,
}

/// Why a sign-in stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stopped<'a> {
    /// A callback came without the cookie of its beginning.
    NoCookie,
    /// It began again and again.
    Loop,
    /// Its state is too old, or used.
    Expired,
    /// A form was filled in by another person than the one who is signed in.
    OtherPerson,
    /// The identity provider sent an error, or something that is none.
    Provider,
    /// The person, or somebody at the provider, said no.
    Cancelled,
    /// The person is known and may not come in.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the page of the error list says it yet")
    )]
    Refused {
        /// How the person is called.
        person: &'a str,
        /// Where somebody else may sign in.
        other: &'a Link,
    },
}

impl Stopped<'_> {
    const fn words(&self) -> [Word; 3] {
        match self {
            Self::NoCookie => [
                Word::StoppedNoCookieTitle,
                Word::StoppedNoCookieText,
                Word::StoppedNoCookieRemedy,
            ],
            Self::Loop => [
                Word::StoppedLoopTitle,
                Word::StoppedLoopText,
                Word::StoppedLoopRemedy,
            ],
            Self::Expired => [
                Word::StoppedExpiredTitle,
                Word::StoppedExpiredText,
                Word::StoppedExpiredRemedy,
            ],
            Self::OtherPerson => [
                Word::StoppedOtherPersonTitle,
                Word::StoppedOtherPersonText,
                Word::StoppedOtherPersonRemedy,
            ],
            Self::Provider => [
                Word::StoppedProviderTitle,
                Word::StoppedProviderText,
                Word::StoppedProviderRemedy,
            ],
            Self::Cancelled => [
                Word::StoppedCancelledTitle,
                Word::StoppedCancelledText,
                Word::StoppedCancelledRemedy,
            ],
            Self::Refused { .. } => [
                Word::StoppedRefusedTitle,
                Word::StoppedRefusedText,
                Word::StoppedRefusedRemedy,
            ],
        }
    }
}

pub(super) fn draft(look: &Look<'_>, explained: &Explained<'_>) -> Draft {
    let language = look.language;
    let stopped = &explained.stopped;
    let [title, what, remedy] = stopped.words();
    let what = match stopped {
        Stopped::Refused { person, .. } => {
            language.words_with(what, "person", &Markup::foreign(person))
        }
        _ => language.words(what),
    };
    let mut text = paragraph(&what) + &paragraph(&language.words(remedy));
    let other = match stopped {
        Stopped::Refused { other, .. } => Some((*other, Word::StoppedOther)),
        _ => None,
    };
    let again = explained.again.map(|again| (again, Word::StoppedAgain));
    let links = other.into_iter().chain(again).map(|(href, word)| {
        let word = language.words(word);
        format!("<a class=\"button\" href=\"{href}\">{word}</a>\n")
    });
    let links: String = links.collect();
    if !links.is_empty() {
        text += &format!("<div class=\"row\">\n{links}</div>\n");
    }
    let finding = Markup::words(explained.finding);
    let rows = [
        (Word::DetailsError, format!("<code>{finding}</code>")),
        reference(look),
    ];
    text += &details(look, &rows);
    Draft::new(language.words(title), text)
}
