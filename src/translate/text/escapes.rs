//! Escapes: what they stand for.

/// What stands at the beginning of some text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// A character, in so many octets.
    Is(char, usize),
    /// An escape, of something that is in no URL.
    Other,
    /// No escape.
    Not,
    /// It may become one behind the end.
    Cut,
}

/// Backslashes before a character: more than one where text with escapes is in a string of its own,
/// as JSON in JSON.
const MOST_BACKSLASHES: usize = 3;

/// The longest reference that is read; nobody pads numbers further.
pub(super) const LONGEST_REFERENCE: usize = 12;

/// In JSON and scripts: `\/`, `\u002f`, and in scripts `\x2f`.
pub(super) fn backslash(text: &[u8], has_hex: bool) -> Escape {
    let slashes = text.iter().take(MOST_BACKSLASHES + 1);
    let slashes = slashes.take_while(|&&octet| octet == b'\\').count();
    if slashes == 0 || slashes > MOST_BACKSLASHES {
        return Escape::Not;
    }
    let rest = text.get(slashes + 1..).unwrap_or_default();
    match text.get(slashes) {
        None => Escape::Cut,
        Some(b'/') => Escape::Is('/', slashes + 1),
        Some(b'u') => numbered(rest, 4, slashes + 1),
        Some(b'x') if has_hex => numbered(rest, 2, slashes + 1),
        Some(_) => Escape::Not,
    }
}

/// The character with a number of so many digits, behind so many octets.
fn numbered(text: &[u8], digits: usize, before: usize) -> Escape {
    let mut code = 0;
    for at in 0..digits {
        let Some(&octet) = text.get(at) else {
            return Escape::Cut;
        };
        let Some(digit) = hex(octet) else {
            return Escape::Not;
        };
        code = code * 16 + digit;
    }
    // One half of a character beyond the first 65,536 is in no host name worth finding.
    char::from_u32(code).map_or(Escape::Other, |character| {
        Escape::Is(character, before + digits)
    })
}

fn hex(octet: u8) -> Option<u32> {
    char::from(octet).to_digit(16)
}

/// In XML: `&amp;`, `&#47;`, `&#x2F;`.
pub(super) fn reference(text: &[u8]) -> Escape {
    if text.first() != Some(&b'&') {
        return Escape::Not;
    }
    let is_part = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'#';
    let body = text.iter().skip(1).take(LONGEST_REFERENCE);
    let length = body.take_while(|octet| is_part(octet)).count();
    match text.get(length + 1) {
        Some(b';') if length > 0 => {}
        None => return Escape::Cut,
        Some(_) => return Escape::Not,
    }
    let body = text.get(1..=length).unwrap_or_default();
    match named(body).or_else(|| number(body)) {
        Some(character) => Escape::Is(character, length + 2),
        None => Escape::Other,
    }
}

fn named(name: &[u8]) -> Option<char> {
    Some(match name {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"sol" => '/',
        b"colon" => ':',
        b"period" => '.',
        b"nbsp" => '\u{A0}',
        _ => return None,
    })
}

fn number(body: &[u8]) -> Option<char> {
    let body = std::str::from_utf8(body).ok()?.strip_prefix('#')?;
    let digits = body.strip_prefix(['x', 'X']);
    let code = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => body.parse(),
    };
    char::from_u32(code.ok()?)
}

/// How often something is percent-encoded: not at all, once or twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Plain,
    Once,
    Twice,
}

impl Level {
    /// What an octet begins with.
    pub(super) fn percent(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Once => "%",
            Self::Twice => "%25",
        }
    }
}

/// A percent-encoded character, which may be several octets.
pub(super) fn percent(text: &[u8], level: Level) -> Escape {
    let (first, length) = match octet(text, level) {
        Ok(found) => found,
        Err(escape) => return escape,
    };
    let count = match first {
        ..0x80 => return Escape::Is(char::from(first), length),
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let mut octets = [first, 0, 0, 0];
    for (at, place) in octets.iter_mut().enumerate().take(count).skip(1) {
        match octet(text.get(at * length..).unwrap_or_default(), level) {
            Ok((next, _)) => *place = next,
            Err(Escape::Cut) => return Escape::Cut,
            Err(_) => return Escape::Is(char::REPLACEMENT_CHARACTER, length),
        }
    }
    let octets = octets.get(..count).unwrap_or_default();
    let character = std::str::from_utf8(octets)
        .ok()
        .and_then(|text| text.chars().next());
    match character {
        Some(character) => Escape::Is(character, count * length),
        None => Escape::Is(char::REPLACEMENT_CHARACTER, length),
    }
}

fn octet(text: &[u8], level: Level) -> Result<(u8, usize), Escape> {
    let prefix = level.percent().as_bytes();
    let Some(rest) = text.strip_prefix(prefix) else {
        let is_cut = prefix.starts_with(text);
        return Err(if is_cut { Escape::Cut } else { Escape::Not });
    };
    match numbered(rest, 2, prefix.len()) {
        Escape::Is(character, length) => {
            Ok((u8::try_from(u32::from(character)).unwrap_or(0), length))
        }
        other => Err(other),
    }
}
