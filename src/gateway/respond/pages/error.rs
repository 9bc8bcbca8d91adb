//! The page of an error. It carries its style in itself.

use super::Look;
use super::catalogue::Word;
use super::document::{Draft, details, paragraph, reference};
use super::markup::Markup;
use crate::gateway::respond::words;
use crate::model::ErrorCode;

pub(super) fn draft(look: &Look<'_>, code: ErrorCode, notice: Option<&str>) -> Draft {
    let language = look.language;
    let remedy = match notice {
        Some(notice) => Markup::words(notice),
        None => language.words(words::remedy(code)),
    };
    let status = words::status(code).as_u16();
    let side = language.words(words::side(code.side()));
    let rows = [
        (Word::DetailsWhere, side.to_string()),
        (Word::DetailsError, format!("{status} <code>{code}</code>")),
        reference(look),
    ];
    Draft {
        is_whole: true,
        ..Draft::new(
            language.words(words::message(code)),
            paragraph(&remedy) + &details(look, &rows),
        )
    }
}
