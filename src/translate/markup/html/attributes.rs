//! The attributes of a start tag as it is written, each with its place.

use std::ops::Range;

use super::super::charset::Charset;
use super::super::decoded::Decoded;

/// Goes through the attributes of a start tag (HTML, "attribute name state" and on). The rewriter
/// found where the tag ends; its own list would copy every name.
pub(super) struct Attributes<'a> {
    tag: &'a [u8],
    at: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    pub(super) quote: Option<u8>,
    /// With quotes.
    pub(super) whole: Range<usize>,
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r' | b'\x0C')
}

/// The tag's name, as it is written.
pub(super) fn tag_name(tag: &[u8]) -> &[u8] {
    let name = tag.get(1..).unwrap_or_default();
    let end = name
        .iter()
        .position(|&octet| is_space(octet) || octet == b'/' || octet == b'>');
    &name[..end.unwrap_or(name.len())]
}

impl<'a> Attributes<'a> {
    pub(super) fn new(tag: &'a [u8]) -> Self {
        Self {
            tag,
            at: (1 + tag_name(tag).len()).min(tag.len()),
        }
    }

    /// The first attribute of that name, which is the one that counts.
    pub(super) fn find(tag: &'a [u8], name: &[u8]) -> Option<Attribute> {
        let is_it = |attribute: &Attribute| {
            let written = &tag[attribute.name.clone()];
            written.eq_ignore_ascii_case(name)
        };
        Self::new(tag).find(is_it)
    }

    /// The position after whatever is accepted.
    fn after(&self, at: usize, accept: impl Fn(u8) -> bool) -> usize {
        let refused = self.tag[at..].iter().position(|&octet| !accept(octet));
        refused.map_or(self.tag.len(), |length| at + length)
    }
}

impl Iterator for Attributes<'_> {
    type Item = Attribute;

    #[inline]
    fn next(&mut self) -> Option<Attribute> {
        let name = self.after(self.at, |octet| is_space(octet) || octet == b'/');
        if self.tag.get(name).is_none_or(|&octet| octet == b'>') {
            return None;
        }
        // An equals sign at the beginning belongs to the name.
        let name_end = self.after(name + 1, |octet| {
            !is_space(octet) && !matches!(octet, b'/' | b'>' | b'=')
        });
        let equals = self.after(name_end, is_space);
        if self.tag.get(equals) != Some(&b'=') {
            self.at = name_end;
            return Some(Attribute {
                name: name..name_end,
                value: name_end..name_end,
                quote: None,
                whole: name..name_end,
            });
        }
        let mut value = self.after(equals + 1, is_space);
        let quote = self.tag.get(value).copied();
        let quote = quote.filter(|octet| matches!(octet, b'"' | b'\''));
        let (end, whole_end) = if let Some(quote) = quote {
            value += 1;
            let end = memchr::memchr(quote, &self.tag[value..]);
            let end = end.map_or(self.tag.len(), |length| value + length);
            (end, (end + 1).min(self.tag.len()))
        } else {
            let end = self.after(value, |octet| !is_space(octet) && octet != b'>');
            (end, end)
        };
        self.at = whole_end;
        Some(Attribute {
            name: name..name_end,
            value: value..end,
            quote,
            whole: name..whole_end,
        })
    }
}

/// The value without its entities.
pub(super) fn decoded(value: &[u8], charset: Charset) -> Option<Decoded<'_>> {
    // Most have none, and to see that is cheap.
    if memchr::memchr(b'&', value).is_none()
        && let Ok(text) = std::str::from_utf8(value)
        && (charset == Charset::UTF_8 || text.is_ascii())
    {
        return Some(Decoded::plain(text));
    }
    Decoded::new(value, charset, |octet| octet == b'&', entity)
}

/// Named character references that occur in URLs and in what holds URLs; the others stay as they
/// are, since none of them can stand where a URL says where it leads.
const NAMED: [(&[u8], char); 40] = [
    (b"amp", '&'),
    (b"AMP", '&'),
    (b"lt", '<'),
    (b"LT", '<'),
    (b"gt", '>'),
    (b"GT", '>'),
    (b"quot", '"'),
    (b"QUOT", '"'),
    (b"apos", '\''),
    (b"sol", '/'),
    (b"colon", ':'),
    (b"period", '.'),
    (b"num", '#'),
    (b"quest", '?'),
    (b"equals", '='),
    (b"commat", '@'),
    (b"percnt", '%'),
    (b"lowbar", '_'),
    (b"plus", '+'),
    (b"comma", ','),
    (b"semi", ';'),
    (b"excl", '!'),
    (b"dollar", '$'),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"lsqb", '['),
    (b"lbrack", '['),
    (b"rsqb", ']'),
    (b"rbrack", ']'),
    (b"lcub", '{'),
    (b"lbrace", '{'),
    (b"rcub", '}'),
    (b"rbrace", '}'),
    (b"bsol", '\\'),
    (b"Tab", '\t'),
    (b"NewLine", '\n'),
    (b"vert", '|'),
    (b"ast", '*'),
    (b"grave", '`'),
    (b"Hat", '^'),
];

/// Those that need no semicolon, for old pages' sake, come first.
const WITHOUT_SEMICOLON: usize = 8;

/// The character reference at the beginning, in an attribute's value.
fn entity(text: &[u8]) -> Option<(usize, Option<char>)> {
    if text.get(1) == Some(&b'#') {
        return numeric(text);
    }
    let name = &text[1..];
    let letters = name
        .iter()
        .take(8)
        .take_while(|octet| octet.is_ascii_alphanumeric());
    let length = letters.count();
    let known = |name: &[u8]| NAMED.iter().position(|(known, _)| *known == name);
    let index = known(&name[..length])?;
    let after = name.get(length);
    if after == Some(&b';') {
        return Some((length + 2, Some(NAMED[index].1)));
    }
    // `&amp=` is what it looks like: two parameters, of which one has a strange name.
    let counts = index < WITHOUT_SEMICOLON && after != Some(&b'=');
    counts.then(|| (length + 1, Some(NAMED[index].1)))
}

fn numeric(text: &[u8]) -> Option<(usize, Option<char>)> {
    let is_hexadecimal = matches!(text.get(2), Some(b'x' | b'X'));
    let (begin, radix) = if is_hexadecimal { (3, 16) } else { (2, 10) };
    let digits = text.get(begin..)?.iter();
    let mut digits = digits.map_while(|&octet| char::from(octet).to_digit(radix));
    let mut length = begin;
    let code = digits.try_fold(0_u32, |code, digit| {
        length += 1;
        // Longer than any character's number, however many zeros it begins with.
        (length < 64).then(|| code.saturating_mul(radix).saturating_add(digit))
    })?;
    if length == begin {
        return None;
    }
    if text.get(length) == Some(&b';') {
        length += 1;
    }
    // 0x80 to 0x9F mean something else in HTML, and nothing in a URL.
    let character =
        char::from_u32(code).filter(|character| !matches!(character, '\0' | '\u{80}'..='\u{9F}'));
    Some((
        length,
        Some(character.unwrap_or(char::REPLACEMENT_CHARACTER)),
    ))
}

/// The text as it is written in an attribute.
pub(super) fn escaped(text: String, quote: Option<u8>) -> String {
    let is_special = |octet: u8| match octet {
        b'&' => true,
        b'"' => quote != Some(b'\''),
        b'\'' => quote != Some(b'"'),
        b'<' | b'>' | b'=' | b'`' => quote.is_none(),
        _ => quote.is_none() && octet.is_ascii_whitespace(),
    };
    let is_plain = match quote {
        Some(quote) => memchr::memchr2(b'&', quote, text.as_bytes()).is_none(),
        None => !text.bytes().any(is_special),
    };
    if is_plain {
        return text;
    }
    let mut escaped = String::with_capacity(2 * text.len());
    for character in text.chars() {
        match u8::try_from(character)
            .ok()
            .filter(|&octet| is_special(octet))
        {
            Some(b'&') => escaped.push_str("&amp;"),
            Some(b'"') => escaped.push_str("&quot;"),
            Some(octet) => escaped.push_str(&format!("&#{octet};")),
            None => escaped.push(character),
        }
    }
    escaped
}
