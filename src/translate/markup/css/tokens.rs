//! Where the tokens end that may hold a URL.

use super::names::{escape, is_newline, is_space};

/// What was found of a token's end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The content ends at `content`, the token at `token`.
    Whole { content: usize, token: usize },
    /// It is no such token: a string ended by a newline, a URL with a quote in it. The position is
    /// where to go on.
    Bad(usize),
    /// It goes on behind the end of the text; looking further begins at the position.
    Open(usize),
}

/// Goes from `at` to the end of a string.
pub(super) fn string(text: &[u8], mut at: usize, quote: u8, is_last: bool) -> End {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let special = |&octet: &u8| octet == quote || octet == b'\\' || is_newline(octet);
        let Some(length) = rest.iter().position(special) else {
            at = text.len();
            return if is_last {
                End::Whole {
                    content: at,
                    token: at,
                }
            } else {
                End::Open(at)
            };
        };
        at += length;
        if text[at] == quote {
            return End::Whole {
                content: at,
                token: at + 1,
            };
        }
        if text[at] != b'\\' {
            return End::Bad(at);
        }
        match (text.get(at + 1), text.get(at + 2)) {
            (None, _) | (Some(b'\r'), None) if !is_last => return End::Open(at),
            (Some(b'\r'), Some(b'\n')) => at += 3,
            _ => at += 2,
        }
    }
}

/// Goes from `at` to the end of an unquoted URL, which is behind its parenthesis.
pub(super) fn url(text: &[u8], mut at: usize, is_last: bool) -> End {
    while let Some(&octet) = text.get(at) {
        match octet {
            b')' => {
                return End::Whole {
                    content: at,
                    token: at + 1,
                };
            }
            b'\\' => match escape(&text[at..], is_last) {
                Some((length, _)) => at += length,
                None if !is_last && text.len() - at < 9 && !starts_newline(&text[at + 1..]) => {
                    return End::Open(at);
                }
                None => return End::Bad(at),
            },
            octet if is_space(octet) => {
                let spaces = text[at..].iter().take_while(|&&octet| is_space(octet));
                let after = at + spaces.count();
                return match text.get(after) {
                    Some(b')') => End::Whole {
                        content: at,
                        token: after + 1,
                    },
                    None if is_last => End::Whole {
                        content: at,
                        token: after,
                    },
                    None => End::Open(at),
                    Some(_) => End::Bad(after),
                };
            }
            b'"' | b'\'' | b'(' | 0..=8 | 0x0B | 0x0E..=0x1F | 0x7F => return End::Bad(at),
            _ => at += 1,
        }
    }
    if is_last {
        End::Whole {
            content: at,
            token: at,
        }
    } else {
        End::Open(at)
    }
}

fn starts_newline(text: &[u8]) -> bool {
    text.first().is_some_and(|&octet| is_newline(octet))
}

/// Goes from `at` to where the rest of a bad URL ends: behind the next parenthesis.
pub(super) fn bad_url(text: &[u8], mut at: usize) -> End {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b')', b'\\', rest).map(|length| at + length) {
            None => return End::Open(text.len()),
            Some(end) if text[end] == b')' => {
                return End::Whole {
                    content: end,
                    token: end + 1,
                };
            }
            Some(escape) if escape + 1 == text.len() => return End::Open(escape),
            Some(escape) => at = escape + 2,
        }
    }
}
