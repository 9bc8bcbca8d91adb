//! Text of strangers, as it may be shown.

/// At most `most` characters of `text`, without those that act instead of being read.
///
/// SECURITY: names, versions and messages of the other end stand on operators' terminals and in
/// logs, where an escape sequence would act, a line end would begin a line of its own, and a
/// change of direction would hide what stands beside it.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ' || (!c.is_ascii() && c.is_alphanumeric()))
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_left_out() {
        for (text, shown) in [
            ("Zürich 7: `x`", "Zürich 7: `x`"),
            ("a\u{1b}[31mb\u{7}\r\nc\td", "a[31mbcd"),
            ("a\u{9b}2Jb\u{202e}c\u{200b}d\u{2028}e", "a2Jbcde"),
            ("1234567", "123456"),
        ] {
            let most = if text.len() == 7 { 6 } else { 99 };
            assert_eq!(printable(text, most), shown);
        }
    }
}
