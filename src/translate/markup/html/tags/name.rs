//! Names of elements.

use super::text::{Script, Text};

/// The longest name that means anything: `annotation-xml`.
const LONGEST: usize = 14;

/// A name in lower case; empty if it is longer than any that means anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    octets: [u8; LONGEST],
    length: usize,
}

impl Name {
    pub(super) fn new(written: &[u8]) -> Self {
        let mut octets = [0; LONGEST];
        let mut length = 0;
        if let Some(lower) = octets.get_mut(..written.len()) {
            lower.copy_from_slice(written);
            lower.make_ascii_lowercase();
            length = written.len();
        }
        Self { octets, length }
    }

    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// What is inside of an element in HTML, if that is text and no markup (HTML, "parsing HTML fragments",
/// has the list). With scripts, which is how pages are read, `noscript` is one of them.
pub(super) fn text(name: &[u8]) -> Option<Text> {
    Some(match name {
        b"title" => Text::Raw(b"title"),
        b"textarea" => Text::Raw(b"textarea"),
        b"style" => Text::Raw(b"style"),
        b"xmp" => Text::Raw(b"xmp"),
        b"iframe" => Text::Raw(b"iframe"),
        b"noembed" => Text::Raw(b"noembed"),
        b"noframes" => Text::Raw(b"noframes"),
        b"noscript" => Text::Raw(b"noscript"),
        b"script" => Text::Script(Script::Plain),
        b"plaintext" => Text::Plain,
        _ => return None,
    })
}

/// Whether a start tag of that name ends SVG and MathML (HTML, "the rules for parsing tokens in
/// foreign content"). `font` does with some attributes.
pub(super) fn leaves(name: &[u8]) -> bool {
    matches!(
        name,
        b"b" | b"big"
            | b"blockquote"
            | b"body"
            | b"br"
            | b"center"
            | b"code"
            | b"dd"
            | b"div"
            | b"dl"
            | b"dt"
            | b"em"
            | b"embed"
            | b"h1"
            | b"h2"
            | b"h3"
            | b"h4"
            | b"h5"
            | b"h6"
            | b"head"
            | b"hr"
            | b"i"
            | b"img"
            | b"li"
            | b"listing"
            | b"menu"
            | b"meta"
            | b"nobr"
            | b"ol"
            | b"p"
            | b"pre"
            | b"ruby"
            | b"s"
            | b"small"
            | b"span"
            | b"strong"
            | b"strike"
            | b"sub"
            | b"sup"
            | b"table"
            | b"tt"
            | b"u"
            | b"ul"
            | b"var"
    )
}
