//! How a password may have been meant, and which octets come of it.

use std::fmt;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use zeroize::{Zeroize as _, Zeroizing};

const NFC: ComposingNormalizerBorrowed<'_> = ComposingNormalizerBorrowed::new_nfc();
const NFD: DecomposingNormalizerBorrowed<'_> = DecomposingNormalizerBorrowed::new_nfd();

/// How a password was read to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spelling {
    /// As it was given.
    AsGiven,
    /// Without a line end after it, or the blanks (and a byte order mark) around it: a pasted one.
    WithoutBlanks,
    /// Without the quotation marks around it.
    WithoutQuotes,
    /// With each letter and its marks as one character, where it was given as several (NFC).
    Composed,
    /// With the marks of letters as characters of their own, as macOS has them (NFD).
    Decomposed,
    /// Each octet of its UTF-8 as one character: by a program that took a UTF-8 terminal for a
    /// Latin-1 one, such as OpenSSL before 1.1.
    Utf8AsLatin1,
    /// One octet for each character: by a program in a Latin-1 terminal.
    Latin1Octets,
    /// The empty password. To the derivation of PKCS#12 that is not the same as none.
    Empty,
    /// No password.
    Null,
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsGiven => "as given",
            Self::WithoutBlanks => "without a line end or blanks around it",
            Self::WithoutQuotes => "without the quotation marks around it",
            Self::Composed => "with letters and their marks as one character (NFC)",
            Self::Decomposed => "with the marks of letters as characters of their own (NFD)",
            Self::Utf8AsLatin1 => "with its UTF-8 octets as Latin-1 characters",
            Self::Latin1Octets => "as Latin-1 octets",
            Self::Empty => "as the empty password",
            Self::Null => "as no password",
        })
    }
}

/// One spelling of a password.
pub(super) struct Secret {
    pub(super) spelling: Spelling,
    /// For the derivation of PKCS#12: UTF-16, big-endian, with a zero at its end
    /// (RFC 7292 appendix B.1). Where it is beyond the basic plane, in surrogates, as Windows and
    /// OpenSSL do.
    pub(super) wide: Zeroizing<Vec<u8>>,
    /// For PBKDF2: UTF-8, as RFC 9879 has it and everybody does.
    pub(super) octets: Zeroizing<Vec<u8>>,
}

/// All that is worth a try, each octets once, the most likely first.
pub(super) fn spellings(password: Option<&str>) -> Vec<Secret> {
    let mut all = Spellings(Vec::new());
    let Some(given) = password else {
        all.add(Spelling::Null, Zeroizing::new(Vec::new()), b"");
        all.add_text(Spelling::Empty, "");
        return all.0;
    };
    if given.is_empty() {
        all.add_text(Spelling::Empty, "");
        all.add(Spelling::Null, Zeroizing::new(Vec::new()), b"");
        return all.0;
    }
    all.add_text(Spelling::AsGiven, given);
    let line = given.trim_end_matches(['\r', '\n', '\0']);
    let trimmed = given.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}'));
    all.add_text(Spelling::WithoutBlanks, line);
    all.add_text(Spelling::WithoutBlanks, trimmed);
    let inner = [
        ('"', '"'),
        ('\'', '\''),
        ('“', '”'),
        ('‘', '’'),
        ('„', '“'),
        ('`', '`'),
    ]
    .into_iter()
    .find_map(|(open, close)| trimmed.strip_prefix(open)?.strip_suffix(close));
    if let Some(inner) = inner {
        all.add_text(Spelling::WithoutQuotes, inner);
    }
    if !trimmed.is_ascii() {
        // The same to the eye. Both have at most three times the octets: room enough, so that they are not moved.
        let mut text = Zeroizing::new(String::with_capacity(3 * trimmed.len()));
        if NFC.normalize_to(trimmed, &mut *text).is_ok() {
            all.add_text(Spelling::Composed, &text);
        }
        text.zeroize();
        if NFD.normalize_to(trimmed, &mut *text).is_ok() {
            all.add_text(Spelling::Decomposed, &text);
        }
        // Enough room, so that it is not moved: each octet from 0x80 on takes two.
        let mut text = Zeroizing::new(String::with_capacity(2 * trimmed.len()));
        text.extend(trimmed.bytes().map(char::from));
        all.add(Spelling::Utf8AsLatin1, wide(&text), trimmed.as_bytes());
        all.add_text(Spelling::Utf8AsLatin1, &text);
        let mut latin = Zeroizing::new(Vec::with_capacity(trimmed.len()));
        latin.extend(trimmed.chars().map_while(|c| u8::try_from(c).ok()));
        if latin.len() == trimmed.chars().count() {
            all.add(Spelling::Latin1Octets, wide(trimmed), &latin);
        }
    }
    all.0
}

struct Spellings(Vec<Secret>);

impl Spellings {
    fn add_text(&mut self, spelling: Spelling, text: &str) {
        self.add(spelling, wide(text), text.as_bytes());
    }

    fn add(&mut self, spelling: Spelling, wide: Zeroizing<Vec<u8>>, octets: &[u8]) {
        let mut all = self.0.iter();
        if all.all(|other| *other.wide != *wide || **other.octets != *octets) {
            self.0.push(Secret {
                spelling,
                wide,
                octets: Zeroizing::new(octets.to_vec()),
            });
        }
    }
}

fn wide(text: &str) -> Zeroizing<Vec<u8>> {
    // No character takes more than twice its UTF-8.
    let mut octets = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
    octets.extend(text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes));
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(password: Option<&str>) -> Vec<Spelling> {
        spellings(password).iter().map(|s| s.spelling).collect()
    }

    #[test]
    fn a_plain_password_is_tried_once() {
        assert_eq!(names(Some("Secret123")), [Spelling::AsGiven]);
    }

    #[test]
    fn none_and_empty_are_two() {
        assert_eq!(names(None), [Spelling::Null, Spelling::Empty]);
        assert_eq!(names(Some("")), [Spelling::Empty, Spelling::Null]);
    }

    #[test]
    fn a_pasted_one_is_tried_without_what_came_along() {
        let all = spellings(Some("\u{feff} \"pä\" \r\n"));
        let told: Vec<_> = all
            .iter()
            .map(|s| (s.spelling, s.octets.to_vec()))
            .collect();
        let mojibake: String = "\"pä\"".bytes().map(char::from).collect();
        let expected = [
            (
                Spelling::AsGiven,
                "\u{feff} \"pä\" \r\n".as_bytes().to_vec(),
            ),
            (
                Spelling::WithoutBlanks,
                "\u{feff} \"pä\" ".as_bytes().to_vec(),
            ),
            (Spelling::WithoutBlanks, "\"pä\"".as_bytes().to_vec()),
            (Spelling::WithoutQuotes, "pä".as_bytes().to_vec()),
            (Spelling::Decomposed, "\"pa\u{308}\"".as_bytes().to_vec()),
            (Spelling::Utf8AsLatin1, "\"pä\"".as_bytes().to_vec()),
            (Spelling::Utf8AsLatin1, mojibake.into_bytes()),
            (Spelling::Latin1Octets, b"\"p\xe4\"".to_vec()),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn marks_are_tried_as_one_with_their_letters_and_apart() {
        use Spelling::{AsGiven, Composed, Decomposed, Latin1Octets, Utf8AsLatin1};
        let (one, two) = ("p\u{e4}", "pa\u{308}");
        let octets = |given, spelling| {
            let all = spellings(Some(given));
            let found = all.iter().find(|secret| secret.spelling == spelling);
            found.map(|secret| secret.octets.to_vec())
        };
        assert_eq!(octets(two, Composed), Some(one.as_bytes().to_vec()));
        assert_eq!(octets(one, Decomposed), Some(two.as_bytes().to_vec()));
        // What is as it was given is not tried again, and nothing is tried that costs more.
        assert_eq!(
            names(Some(one)),
            [
                AsGiven,
                Decomposed,
                Utf8AsLatin1,
                Utf8AsLatin1,
                Latin1Octets
            ]
        );
        assert_eq!(
            names(Some(two)),
            [AsGiven, Composed, Utf8AsLatin1, Utf8AsLatin1]
        );
        assert_eq!(names(Some("€")), [AsGiven, Utf8AsLatin1, Utf8AsLatin1]);
        // Three hundred marks on one letter end as well.
        let long = format!("a{}", "\u{308}\u{323}".repeat(150));
        assert!(spellings(Some(&long)).len() <= 8);
    }

    #[test]
    fn a_character_beyond_the_basic_plane_is_two_surrogates() {
        assert_eq!(*wide("😀"), [0xd8, 0x3d, 0xde, 0x00, 0, 0]);
    }
}
