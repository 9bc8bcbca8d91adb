//! Words of an application that become others, wherever they stand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use encoding_rs::Encoding;

use super::body::{Broken, Rewrite, Text};
use super::markup::Charset;
use crate::model::{Application, ApplicationName, BodyKind, LinkTranslation};

/// The words of all applications, in every encoding that was asked for: made once, since that takes longer than
/// to find them.
#[derive(Debug, Default)]
pub(super) struct AllWords(Mutex<HashMap<Key, Option<Arc<Words>>>>);

/// Of a body whose octets beyond ASCII are carried as other ones, words of ASCII alone.
type Key = (ApplicationName, BodyKind, &'static str, bool);

impl AllWords {
    /// `None` where nothing is replaced.
    pub(super) fn of(
        &self,
        application: &Application,
        kind: BodyKind,
        text: &Text,
    ) -> Option<Arc<Words>> {
        let settings = &application.link_translation;
        if settings.replacements.is_empty() {
            return None;
        }
        let (encoding, only_ascii) = (text.encoding, text.only_ascii);
        let key = (application.name.clone(), kind, encoding.name(), only_ascii);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Words::new(settings, kind, encoding, only_ascii).map(Arc::new);
        all.entry(key).or_insert_with(made).clone()
    }
}

/// The words of one kind of body in one encoding.
#[derive(Debug)]
pub(super) struct Words {
    automaton: AhoCorasick,
    find: Vec<Vec<u8>>,
    /// What stands in place of each.
    instead: Vec<Vec<u8>>,
    /// Where characters of two octets may end like ASCII.
    two_octets: Option<Charset>,
    /// How many times longer a text may become.
    growth: usize,
}

impl Words {
    /// `None` where nothing is replaced in bodies of this kind. A word with a character that the encoding
    /// lacks cannot stand in such a body.
    fn new(
        settings: &LinkTranslation,
        kind: BodyKind,
        encoding: &'static Encoding,
        only_ascii: bool,
    ) -> Option<Self> {
        let encode = |text: &str| {
            let (octets, _, lacks) = encoding.encode(text);
            let good = !lacks && (text.is_ascii() || !only_ascii);
            good.then(|| octets.into_owned())
        };
        let words = settings.replacements.iter();
        let words = words.filter(|word| word.body.contains(&kind));
        let (find, instead): (Vec<Vec<u8>>, Vec<Vec<u8>>) = words
            .filter_map(|word| Some((encode(&word.find)?, encode(&word.replace)?)))
            .unzip();
        if find.is_empty() {
            return None;
        }
        // The longest first, so that a word inside another does not hide it.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // The others take hundreds of octets for each of the words.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&find);
        let growths = find.iter().zip(&instead);
        let growths = growths.map(|(find, instead)| instead.len().div_ceil(find.len().max(1)));
        Some(Self {
            growth: growths.max().unwrap_or(1).max(1),
            // Configuration bounds how many there are, and how long they are.
            automaton: automaton.ok()?,
            find,
            instead,
            two_octets: Charset::new(encoding).filter(|charset| charset.has_ascii_trails()),
        })
    }

    /// From where on a text may be the beginning of a word that has not come whole.
    fn begins(&self, text: &[u8]) -> usize {
        let longest = self.find.iter().map(Vec::len).max().unwrap_or_default();
        let goes_on = |rest: &[u8]| {
            let may_be = |word: &Vec<u8>| word.len() > rest.len() && word.starts_with(rest);
            self.find.iter().any(may_be)
        };
        let first = (text.len() + 1).saturating_sub(longest);
        let found = (first..text.len()).find(|&at| goes_on(&text[at..]));
        found.unwrap_or(text.len())
    }
}

/// Replaces words on the way to another rewriter.
pub(super) struct Replacing {
    words: Arc<Words>,
    /// What may be the beginning of a word.
    held: Vec<u8>,
    /// Whether what came before `held` ends in the middle of a character.
    inside: bool,
    made: Vec<u8>,
    next: Box<dyn Rewrite>,
}

impl Replacing {
    pub(super) fn new(words: Arc<Words>, next: Box<dyn Rewrite>) -> Self {
        Self {
            words,
            held: Vec::new(),
            inside: false,
            made: Vec::new(),
            next,
        }
    }

    /// Moves what is decided into `made`.
    fn decide(&mut self, is_last: bool) {
        let words = Arc::clone(&self.words);
        let text = &self.held;
        let mut at = 0;
        let mut look = 0;
        let until = match is_last {
            true => text.len(),
            false => words.begins(text),
        };
        let mut inside = Inside {
            rule: words.two_octets,
            at: 0,
            inside: self.inside,
        };
        while look < until {
            let Some(found) = words.automaton.find(&text[look..]) else {
                break;
            };
            let begin = look + found.start();
            if begin >= until {
                break;
            }
            if inside.is_inside(text, begin) {
                look = begin + 1;
                continue;
            }
            self.made.extend_from_slice(&text[at..begin]);
            self.made
                .extend_from_slice(&words.instead[found.pattern().as_usize()]);
            at = look + found.end();
            look = at;
        }
        let to = until.max(at);
        self.made.extend_from_slice(&text[at..to]);
        self.inside = inside.is_inside(text, to);
        self.held.drain(..to);
    }
}

/// Whether a position is in the middle of a character.
struct Inside {
    rule: Option<Charset>,
    at: usize,
    inside: bool,
}

impl Inside {
    /// Positions only go up.
    fn is_inside(&mut self, text: &[u8], position: usize) -> bool {
        let Some(rule) = self.rule else {
            return false;
        };
        while self.at < position {
            self.inside = !self.inside && rule.is_lead(text[self.at]);
            self.at += 1;
        }
        self.inside
    }
}

impl Rewrite for Replacing {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.held.extend_from_slice(chunk);
        self.made.clear();
        self.decide(false);
        let pushed = self.next.push(&self.made, out);
        if pushed.is_err() {
            // All that was taken has to be there.
            out.append(&mut self.held);
        }
        pushed
    }

    fn end(mut self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.made.clear();
        self.decide(true);
        let pushed = self.next.push(&self.made, out);
        let ended = self.next.end(out);
        pushed.and(ended)
    }

    fn growth(&self) -> usize {
        self.words.growth.saturating_mul(self.next.growth())
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.held.capacity() + self.made.capacity() + self.next.kept()
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{SHIFT_JIS, UTF_8, WINDOWS_1252};
    use proptest::collection::vec;
    use proptest::sample::select;

    use super::*;
    use crate::model::Replacement;
    use crate::translate::body::testing::{chunks, property};

    /// Gives what it gets.
    struct Same;

    impl Rewrite for Same {
        fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
            out.extend_from_slice(chunk);
            Ok(())
        }

        fn end(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), Broken> {
            Ok(())
        }
    }

    fn settings(pairs: &[(&str, &str)]) -> LinkTranslation {
        let replacements = pairs.iter().map(|(find, replace)| Replacement {
            find: (*find).into(),
            replace: (*replace).into(),
            body: vec![BodyKind::Html],
        });
        LinkTranslation {
            replacements: replacements.collect(),
            ..LinkTranslation::default()
        }
    }

    fn replaced(
        settings: &LinkTranslation,
        encoding: &'static Encoding,
        chunks: &[&[u8]],
    ) -> Vec<u8> {
        let words = Words::new(settings, BodyKind::Html, encoding, false).unwrap();
        let mut replacing = Box::new(Replacing::new(Arc::new(words), Box::new(Same)));
        let mut out = Vec::new();
        for chunk in chunks {
            replacing.push(chunk, &mut out).unwrap();
        }
        replacing.end(&mut out).unwrap();
        out
    }

    #[test]
    fn words_become_others_however_they_come() {
        let settings = settings(&[
            ("ab", "1"),
            ("abc", "22"),
            ("c", ""),
            ("ü", "ue"),
            ("x", "xx"),
        ]);
        for (text, expected) in [
            ("ab abc c", "1 22 "),
            ("aab", "a1"),
            ("x", "xx"),
            ("abab", "11"),
            ("zab", "z1"),
            ("süß", "sueß"),
            ("", ""),
            ("a", "a"),
        ] {
            let octets = text.as_bytes();
            let whole = replaced(&settings, UTF_8, &[octets]);
            assert_eq!(String::from_utf8(whole).unwrap(), expected, "{text}");
            let single: Vec<&[u8]> = octets.chunks(1).collect();
            let by_octet = replaced(&settings, UTF_8, &single);
            assert_eq!(String::from_utf8(by_octet).unwrap(), expected, "{text}");
        }
        assert!(Words::new(&settings, BodyKind::Css, UTF_8, false).is_none());
    }

    #[test]
    fn the_encoding_of_the_body_counts() {
        let settings = settings(&[("ü", "ue"), ("|", "/")]);
        assert_eq!(
            replaced(&settings, WINDOWS_1252, &[b"s\xfc\xdf"]),
            b"sue\xdf"
        );
        // 0x7C is the second octet of a character there, and a bar behind one.
        let text = b"\x83\x7c|\x83|\x7c";
        assert_eq!(replaced(&settings, SHIFT_JIS, &[text]), b"\x83\x7c/\x83|/");
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(replaced(&settings, SHIFT_JIS, &single), b"\x83\x7c/\x83|/");
        // Where octets are carried as others, those of a word beyond ASCII mean something else.
        let words = Words::new(&settings, BodyKind::Html, WINDOWS_1252, true).unwrap();
        assert_eq!(words.find, [b"|"]);
    }

    #[test]
    fn chunks_do_not_matter() {
        let settings = settings(&[("aba", "1"), ("bab", "22"), ("abab", ""), ("bb", "ab")]);
        let text = vec(select(b"abc".to_vec()), 0..64);
        property(
            256,
            (text, vec(1_usize..9, 1..6)),
            |(text, lengths): (Vec<u8>, Vec<usize>)| {
                let whole = replaced(&settings, UTF_8, &[&text]);
                let parts = replaced(&settings, UTF_8, &chunks(&text, &lengths));
                assert_eq!(parts, whole);
            },
        );
    }
}
