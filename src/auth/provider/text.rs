//! What of a provider's words may be shown, and what may go into a decision or a header.

/// What is shown of a word of the provider.
const SHOWN: usize = 60;

/// A name for display has no more characters than this.
const LONGEST_NAME: usize = 256;

/// Whether a character can forge a line, a header or the look of a name: controls, line and paragraph
/// separators, and what turns the direction of text around.
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A name without what is harmful, and not longer than a page can show; `None` where nothing is left.
pub(super) fn cleaned(name: &str) -> Option<String> {
    let clean: String = name
        .chars()
        .filter(|c| !is_harmful(*c))
        .take(LONGEST_NAME)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

/// A short word of the provider, for a message.
pub(super) fn shown(word: &str) -> String {
    let mut text = String::new();
    for (count, c) in word.chars().enumerate() {
        if count == SHOWN {
            text.push('…');
            break;
        }
        if is_harmful(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_words_are_shown_escaped() {
        assert_eq!(cleaned(" A\r\nli\u{202e}ce ").as_deref(), Some("Alice"));
        assert_eq!(cleaned("\u{2066}\0"), None);
        assert_eq!(cleaned(&"x".repeat(1000)).map(|n| n.len()), Some(256));
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
        assert!(!is_harmful('é') && !is_harmful(' ') && is_harmful('\u{2028}'));
    }
}
