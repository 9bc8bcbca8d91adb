//! `brand`: whose our own pages are, and how they look.

use std::path::Path;
use std::sync::Arc;

use super::field::Field;
use crate::model::{Brand, Colour, LogoFile, SupportLink};

/// Of a name, in characters: it stands in one line beside the logo, and in the title of a tab.
const NAME: usize = 60;

/// What the parts of a page that are no text must have against what is around them (WCAG 2.2,
/// 1.4.11). Text on the colour is white or black, whichever is read better: of any colour one of the
/// two has 4.5 and more (1.4.3).
const CONTRAST: f64 = 3.0;

/// Reads the section. The logo is its owner's to open.
pub(super) fn read(field: Field<'_>, folder: &Path) -> Option<Brand> {
    field.section(&[], |section| {
        let name = section.optional("name").map(name);
        let logo = section.optional("logo").map(|field| logo(field, folder));
        let colour = section.optional("colour").map(colour);
        let support = section.optional("support").map(support);
        if name.is_none() && logo.is_some() {
            section.missing(
                "name",
                "add it: what is only in a picture cannot be read out",
            );
        }
        Some(Brand {
            name: match name {
                Some(read) => Some(read?),
                None => None,
            },
            logo: match logo {
                Some(read) => Some(read?),
                None => None,
            },
            colour: match colour {
                Some(read) => Some(read?),
                None => None,
            },
            support: match support {
                Some(read) => Some(read?),
                None => None,
            },
        })
    })?
}

fn name(field: Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    let length = text.chars().count();
    if length > NAME {
        return field.refuse(
            "out_of_range",
            format!("the name has {length} characters, and {NAME} have room"),
            "write a shorter one",
        );
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || text.contains(char::is_control) {
        return field.refuse(
            "bad_name",
            "this is no name that could stand on a page",
            "write it on one line",
        );
    }
    Some(words.join(" ").into())
}

pub(super) fn logo(field: Field<'_>, folder: &Path) -> Option<LogoFile> {
    let path = field.path(folder)?;
    let kind = path.extension().and_then(|kind| kind.to_str());
    if !kind.is_some_and(|kind| ["svg", "png"].contains(&kind.to_ascii_lowercase().as_str())) {
        return field.refuse(
            "bad_logo",
            format!("`{}` is no SVG and no PNG file", field.text()?),
            "name a local file that ends in `.svg` or `.png`; nothing is fetched from elsewhere",
        );
    }
    Some(LogoFile {
        path,
        place: field.place().clone(),
    })
}

fn colour(field: Field<'_>) -> Option<Colour> {
    const FORM: &str = "write six hexadecimal digits in quotes, such as `\"#0b5cad\"`";
    if field.is_absent() {
        return field.refuse(
            "missing_value",
            "there is no value here: without quotes, `#` begins a comment",
            FORM,
        );
    }
    let text = field.text()?;
    let Some(colour) = Colour::parse(text) else {
        return field.refuse("bad_colour", format!("`{text}` is no colour"), FORM);
    };
    let ratio = colour.contrast(Colour::WHITE);
    if ratio < CONTRAST {
        // Rounded down, so that it never reads as if it were enough.
        let ratio = (ratio * 100.0).floor() / 100.0;
        return field.refuse(
            "low_contrast",
            format!(
                "buttons of `{text}` would hardly be seen on white: the contrast is {ratio}:1, and \
                 WCAG 2.2 (1.4.11) asks for {CONTRAST}:1"
            ),
            "choose a darker one; at night it is made lighter where that is needed",
        );
    }
    Some(colour)
}

fn support(field: Field<'_>) -> Option<SupportLink> {
    let text = field.text()?;
    SupportLink::parse(text).or_else(|| {
        // Not repeated: before an `@` there may be a password.
        field.refuse(
            "bad_url",
            "this is neither an address to write to nor a page",
            "write `mailto:help@example.com` or `https://example.com/help`",
        )
    })
}
