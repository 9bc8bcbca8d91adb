//! Text as it may stand in a page. What comes from outside gets into one through here alone.

use std::fmt;

/// A piece of HTML that cannot leave the element or the quoted attribute it is put into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Words of ours, for an element or an attribute.
    pub(super) fn words(text: &str) -> Self {
        Self(escape(text, Directions::Kept))
    }

    /// Text from outside, for an element: isolated, so that its direction turns nothing around it.
    pub(super) fn foreign(text: &str) -> Self {
        Self(format!("<bdi>{}</bdi>", escape(text, Directions::Replaced)))
    }

    /// As [`Self::foreign`], with its lines and tabs.
    pub(super) fn foreign_lines(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let pieces = text.split_inclusive(['\n', '\t']).map(|piece| {
            let inner = piece.trim_end_matches(['\n', '\t']);
            escape(inner, Directions::Replaced) + &piece[inner.len()..]
        });
        let out: String = pieces.collect();
        Self(format!("<bdi>{out}</bdi>"))
    }

    /// A value that must come back from a form as it is. See [`Self::is_exact`].
    pub(super) fn value(text: &str) -> Self {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                // As itself it would be read as a line feed.
                '\r' => out.push_str("&#13;"),
                '\0' => out.push('\u{fffd}'),
                c => push(&mut out, c),
            }
        }
        Self(out)
    }

    /// Whether HTML can hold this value as it is: there is no way to write NUL, and where there is a
    /// replacement character the value was none that we could read.
    pub(super) fn is_exact(text: &str) -> bool {
        !text.contains(['\0', '\u{fffd}'])
    }

    /// Puts `value` in place of every `placeholder` of this one.
    pub(super) fn replacing(&self, placeholder: &str, value: &Self) -> Self {
        // The value is not looked at again, whatever placeholder it may hold.
        Self(self.0.replace(placeholder, &value.0))
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that change the direction of what follows, and could be left open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directions {
    Kept,
    Replaced,
}

fn escape(text: &str, directions: Directions) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || (turns && directions == Directions::Replaced) {
            out.push('\u{fffd}');
        } else {
            push(&mut out, c);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let hostile = "<b a=\"x\" b='y'>&\u{1b}\n\u{85}\u{202e}\u{2069}é";
        let escaped = "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}\u{fffd}\u{fffd}";
        assert_eq!(
            Markup::foreign(hostile).to_string(),
            format!("<bdi>{escaped}\u{fffd}\u{fffd}é</bdi>")
        );
        assert_eq!(
            Markup::words(hostile).to_string(),
            format!("{escaped}\u{202e}\u{2069}é")
        );
    }

    #[test]
    fn lines_stay_lines() {
        let shown = Markup::foreign_lines("a\r\n\tb\rc\u{202e}<\n\n");
        assert_eq!(
            shown.to_string(),
            "<bdi>a\n\tb\u{fffd}c\u{fffd}&lt;\n\n</bdi>"
        );
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let value = Markup::value("a\r\n\u{1}\u{202e}\"<é");
        assert_eq!(value.to_string(), "a&#13;\n\u{1}\u{202e}&quot;&lt;é");
        assert!(Markup::is_exact("a\r\n\u{1}"));
        assert!(!Markup::is_exact("a\0"));
        assert!(!Markup::is_exact("\u{fffd}"));
    }
}
