//! The way in: to sign-in, back from it, and what is asked in between.

use super::asset::FIXED;
use super::catalogue::Word;
use super::document::{Draft, Posts, hidden, paragraph};
use super::language::Language;
use super::link::{Link, OwnPath, WebUrl};
use super::markup::Markup;

/// An identity provider to choose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    /// As the operator calls it.
    pub(crate) name: &'a str,
    /// Where signing in there begins.
    pub(crate) begin: &'a Link,
}

/// A question whether a host may know who somebody is. The answer is the field `answer` of the form:
/// `confirm` or `cancel`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirm<'a> {
    /// Who asks. The answer to the form may send people there.
    pub(crate) site: &'a WebUrl,
    /// Where the form is sent.
    pub(crate) action: &'a OwnPath,
    /// Names and values of fields that are sent with it.
    pub(crate) fields: &'a [(&'a str, &'a str)],
}

pub(super) fn keep(language: Language, state: &str, sign_in: &Link) -> Draft {
    let link = go(language, Word::KeepLink, sign_in.to_string());
    Draft {
        state: Some(Markup::value(state)),
        script: Some(&FIXED.keep),
        ..Draft::new(language.words(Word::KeepTitle), link)
    }
}

pub(super) fn back(language: Language, state: &str, target: &OwnPath, clears: bool) -> Draft {
    let link = go(language, Word::ReturnLink, target.to_string());
    Draft {
        state: Some(Markup::value(state)),
        script: Some(&FIXED.back),
        clears,
        ..Draft::new(language.words(Word::ReturnTitle), link)
    }
}

/// The link a script follows. It is there for everybody: a browser may run scripts and not get ours.
fn go(language: Language, word: Word, href: String) -> String {
    let text = language.words(word);
    format!("<p><a href=\"{href}\" data-go>{text}</a></p>\n")
}

pub(super) fn frame(language: Language, open: &Link) -> Draft {
    let text = paragraph(&language.words(Word::FrameText));
    let link = language.words(Word::FrameLink);
    let link = format!(
        "<p><a class=\"button\" href=\"{open}\" target=\"_blank\" rel=\"noopener\">{link}</a></p>\n"
    );
    Draft {
        may_be_framed: true,
        ..Draft::new(language.words(Word::FrameTitle), text + &link)
    }
}

pub(super) fn chooser(language: Language, providers: &[Choice<'_>]) -> Draft {
    let items = providers.iter().map(|Choice { name, begin }| {
        let name = Markup::foreign(name);
        format!("<li><a class=\"button\" href=\"{begin}\">{name}</a></li>\n")
    });
    let items: String = items.collect();
    let list = format!("<ul class=\"list\">\n{items}</ul>\n");
    Draft::new(language.words(Word::ChooserTitle), list)
}

pub(super) fn enter(language: Language, action: &OwnPath, code: &str) -> Draft {
    let text = paragraph(&language.words(Word::EnterText));
    let (field, button) = (hidden("code", code), language.words(Word::EnterButton));
    let form = format!(
        "<form method=\"post\" action=\"{action}\">\n{field}<button>{button}</button>\n</form>\n"
    );
    Draft {
        posts: Posts::Home(Vec::new()),
        ..Draft::new(language.words(Word::EnterTitle), text + &form)
    }
}

pub(super) fn confirm(language: Language, confirm: &Confirm<'_>) -> Draft {
    let Confirm {
        site,
        action,
        fields,
    } = confirm;
    let host = Markup::foreign(&site.authority());
    let text = paragraph(&language.words_with(Word::ConfirmText, "host", &host));
    let fields = fields.iter().map(|(name, value)| hidden(name, value));
    let fields: String = fields.collect();
    let (yes, no) = (
        language.words(Word::ConfirmYes),
        language.words(Word::ConfirmNo),
    );
    let form = format!(
        r#"<form method="post" action="{action}">
{fields}<div class="row">
<button name="answer" value="confirm">{yes}</button>
<button class="plain" name="answer" value="cancel">{no}</button>
</div>
</form>
"#
    );
    Draft {
        posts: Posts::Home(site.source().into_iter().collect()),
        ..Draft::new(language.words(Word::ConfirmTitle), text + &form)
    }
}
