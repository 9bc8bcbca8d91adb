//! One URL in a text, wherever the text is: an attribute, a style sheet.

use std::sync::Arc;

use memchr::{memchr2, memchr2_iter, memchr3};

use super::charset::Charset;
use super::decoded::{Decoded, Edit, Edits, MOST_EDITS, shifted};
use super::links::Links;

/// The published URLs, as one page sees them.
#[derive(Clone)]
pub(super) struct View {
    links: Arc<dyn Links>,
    base: Option<Base>,
}

/// Where root-relative URLs lead after a `base` element with a host.
#[derive(Clone)]
struct Base {
    /// As the page says it.
    origin: String,
    /// As it says it after translation.
    translated: String,
}

impl View {
    pub(super) fn new(links: Arc<dyn Links>) -> Self {
        Self { links, base: None }
    }

    pub(super) fn links(&self) -> &dyn Links {
        &*self.links
    }

    /// Follows the page's first `base` element.
    pub(super) fn set_base(&mut self, href: &str) {
        let href = href.trim_matches(|c: char| c <= ' ');
        let Some(origin) = origin(href) else {
            return;
        };
        let head = &href[..href.find(['?', '#']).unwrap_or(href.len())];
        let translated = self.links.translate(head);
        let translated = translated.as_deref().and_then(self::origin);
        self.base = Some(Base {
            origin: origin.to_owned(),
            translated: translated.unwrap_or(origin).to_owned(),
        });
    }

    /// Whether a URL in an attribute, as it is written there, certainly stays as it is: most do,
    /// and to see that early is what makes a page fast.
    pub(super) fn keeps(&self, written: &[u8]) -> bool {
        // Neither a scheme, nor anything encoded.
        if memchr3(b':', b'%', b'&', written).is_some() {
            return false;
        }
        match written {
            [b'/', b'/' | b'\\' | b'\t' | b'\n' | b'\r', ..] => false,
            [b'/', ..] => !self.links.changes_root() && self.base.is_none(),
            [first, ..] => *first > b' ' && *first != b'\\',
            [] => true,
        }
    }

    fn translate(&self, head: &str, kind: Kind) -> Option<String> {
        let Some(base) = self.base.as_ref().filter(|_| kind == Kind::RootRelative) else {
            let may_change = kind != Kind::RootRelative || self.links.changes_root();
            return may_change.then(|| self.links.translate(head)).flatten();
        };
        let url = self.links.translate(&format!("{}{head}", base.origin))?;
        // On the host the base leads to, the path alone is enough.
        let path = url.strip_prefix(&base.translated);
        let path = path.filter(|path| path.starts_with('/') && !path.starts_with("//"));
        path.map_or(Some(url.as_str()), |path| (path != head).then_some(path))
            .map(str::to_owned)
    }
}

/// Scheme and authority, or authority alone with its `//`.
fn origin(url: &str) -> Option<&str> {
    let begin = match kind(url) {
        Kind::Absolute { authority } => authority,
        Kind::ProtocolRelative => 2,
        _ => return None,
    };
    let length = url[begin..].find(['/', '\\', '?', '#']);
    Some(length.map_or(url, |length| &url[..begin + length]))
}

/// How the beginning of a URL says where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `http://host`, with where the host begins.
    Absolute { authority: usize },
    /// `//host`
    ProtocolRelative,
    /// `/path`
    RootRelative,
    /// `javascript:`, `data:` and the like: no URL of ours inside, or none we could change.
    Opaque,
    /// Relative, or of a scheme we do not know.
    Other,
}

const OPAQUE: [&str; 11] = [
    "javascript",
    "data",
    "mailto",
    "vbscript",
    "blob",
    "about",
    "tel",
    "sms",
    "cid",
    "mid",
    "urn",
];

const NETWORK: [&str; 5] = ["http", "https", "ws", "wss", "ftp"];

fn kind(text: &str) -> Kind {
    let octets = text.as_bytes();
    // Browsers take `\` for `/`.
    let is_slash = |at: usize| matches!(octets.get(at), Some(b'/' | b'\\'));
    if is_slash(0) {
        return if is_slash(1) {
            Kind::ProtocolRelative
        } else {
            Kind::RootRelative
        };
    }
    let is_scheme = |octet: &u8| octet.is_ascii_alphanumeric() || b"+-.".contains(octet);
    let length = octets.iter().take_while(|octet| is_scheme(octet)).count();
    if octets.get(length) != Some(&b':') {
        return Kind::Other;
    }
    let is = |name: &&str| text[..length].eq_ignore_ascii_case(name);
    if NETWORK.iter().any(is) && is_slash(length + 1) && is_slash(length + 2) {
        Kind::Absolute {
            authority: length + 3,
        }
    } else if OPAQUE.iter().any(is) {
        Kind::Opaque
    } else {
        Kind::Other
    }
}

/// The changes of a text that is one URL: of what says where it leads, and of absolute URLs in its
/// path and query.
pub(super) fn url(text: &str, view: &View) -> Edits {
    let inner = text.trim_start_matches(|c: char| c <= ' ');
    let begin = text.len() - inner.len();
    let inner = inner.trim_end_matches(|c: char| c <= ' ');
    if memchr3(b'\t', b'\n', b'\r', inner.as_bytes()).is_none() {
        return shifted(trimmed(inner, view), begin);
    }
    let is_skipped = |octet: u8| matches!(octet, b'\t' | b'\n' | b'\r');
    let decoded = Decoded::new(inner.as_bytes(), Charset::UTF_8, is_skipped, |_| {
        Some((1, None))
    });
    let Some(decoded) = decoded else {
        return Edits::new();
    };
    shifted(decoded.raw(trimmed(&decoded.text, view)), begin)
}

/// As [`url()`], of a text that may be something else: only one that is wholly an absolute URL.
pub(super) fn absolute(text: &str, view: &View) -> Edits {
    let inner = text.trim_matches(|c: char| c <= ' ');
    let is_url = matches!(kind(inner), Kind::Absolute { .. });
    if is_url && !inner.bytes().any(|octet| octet <= b' ') {
        url(text, view)
    } else {
        Edits::new()
    }
}

/// As [`absolute`], but protocol-relative and root-relative URLs too.
pub(super) fn url_like(text: &str, view: &View) -> Edits {
    let inner = text.trim_matches(|c: char| c <= ' ');
    let is_url = matches!(
        kind(inner),
        Kind::Absolute { .. } | Kind::ProtocolRelative | Kind::RootRelative
    );
    if is_url && !inner.bytes().any(|octet| octet <= b' ') {
        url(text, view)
    } else {
        Edits::new()
    }
}

fn trimmed(text: &str, view: &View) -> Edits {
    let mut edits = Edits::new();
    let kind = kind(text);
    let mut from = match kind {
        Kind::Opaque => return edits,
        Kind::Absolute { authority } => authority,
        _ => 0,
    };
    if !matches!(kind, Kind::Other) {
        let head = &text[..memchr2(b'?', b'#', text.as_bytes()).unwrap_or(text.len())];
        let edit = if head.contains('\\') {
            let head = head.replace('\\', "/");
            view.translate(&head, kind).map(|new| changed(&head, new))
        } else {
            view.translate(head, kind).map(|new| changed(head, new))
        };
        if let Some(edit) = edit.filter(|edit| text[edit.range.clone()] != edit.with) {
            from = from.max(edit.range.end);
            edits.push(edit);
        }
    }
    nested(text, from, view, &mut edits);
    edits
}

/// What differs: everything before the longest common end.
fn changed(old: &str, mut new: String) -> Edit {
    let ends = old.bytes().rev().zip(new.bytes().rev());
    let mut common = ends.take_while(|(old, new)| old == new).count();
    while !old.is_char_boundary(old.len() - common) || !new.is_char_boundary(new.len() - common) {
        common -= 1;
    }
    new.truncate(new.len() - common);
    Edit {
        range: 0..old.len() - common,
        with: new,
    }
}

/// How one octet of a URL inside another is written.
#[derive(Debug, Clone, Copy)]
struct Written<'a>(&'a str);

impl Written<'_> {
    /// How often it is percent-encoded.
    fn level(self) -> usize {
        match self.0.len() {
            1 => 0,
            3 => 1,
            _ => 2,
        }
    }
}

/// The octet at the beginning of a text, plain or percent-encoded once or twice.
fn written<'a>(text: &'a str, plain: u8, digits: &[u8; 2]) -> Option<Written<'a>> {
    let length = written_length(text.as_bytes(), plain, digits)?;
    Some(Written(&text[..length]))
}

fn written_length(octets: &[u8], plain: u8, digits: &[u8; 2]) -> Option<usize> {
    let begin = match octets {
        [first, ..] if *first == plain => return Some(1),
        [b'%', b'2', b'5', ..] => 3,
        [b'%', ..] => 1,
        _ => return None,
    };
    let found = octets.get(begin..begin + 2)?;
    found.eq_ignore_ascii_case(digits).then_some(begin + 2)
}

/// Absolute URLs in path and query, as they are or percent-encoded once or twice.
fn nested(text: &str, from: usize, view: &View, edits: &mut Edits) {
    let mut done = from;
    for at in memchr2_iter(b':', b'%', &text.as_bytes()[from..]) {
        let at = from + at;
        if edits.len() >= MOST_EDITS {
            return;
        }
        if at < done {
            continue;
        }
        let Some(scheme) = scheme_before(&text[done..at]).map(|length| at - length) else {
            continue;
        };
        let Some(colon) = written(&text[at..], b':', b"3A") else {
            continue;
        };
        let first = at + colon.0.len();
        let Some(slash) = written(&text[first..], b'/', b"2F") else {
            continue;
        };
        let second = first + slash.0.len();
        let Some(other) = written(&text[second..], b'/', b"2F") else {
            continue;
        };
        let end = end_of_nested(text, second + other.0.len());
        if let Some(nested) = rewritten(&text[scheme..end], colon, slash, view) {
            edits.extend(shifted(nested, scheme));
        }
        done = end;
    }
}

/// The length of the scheme a text ends with.
fn scheme_before(text: &str) -> Option<usize> {
    let octets = text.as_bytes();
    let is_at_end = |name: &&&str| {
        let begin = octets.len().checked_sub(name.len());
        begin.is_some_and(|begin| octets[begin..].eq_ignore_ascii_case(name.as_bytes()))
    };
    // The longer one first, since nothing of a name may precede.
    let name = ["https", "http", "wss", "ws"];
    let length = name.iter().find(is_at_end)?.len();
    let before = &octets[..octets.len() - length];
    let is_escape = |escape: &[u8]| {
        escape.first() == Some(&b'%') && escape[1..].iter().all(u8::is_ascii_hexdigit)
    };
    let ends_with_escape = |length: usize| {
        let begin = before.len().checked_sub(length);
        begin.is_some_and(|begin| is_escape(&before[begin..]))
    };
    let is_apart = before
        .last()
        .is_none_or(|last| !last.is_ascii_alphanumeric())
        || ends_with_escape(3)
        || ends_with_escape(5);
    is_apart.then_some(length)
}

/// Where authority and path end of a URL inside another.
fn end_of_nested(text: &str, from: usize) -> usize {
    let octets = text.as_bytes();
    let mut at = from;
    while let Some(&octet) = octets.get(at) {
        let ends = match octet {
            b'?' | b'#' | b'&' | b'"' | b'\'' | b'<' | b'>' | b';' | b',' | b'|' | b'\\' => true,
            octet if octet <= b' ' => true,
            b'%' => {
                let rest = &octets[at + 1..];
                let digits = rest.strip_prefix(b"25").unwrap_or(rest);
                const ENDS: [&[u8]; 10] = [
                    b"3f", b"23", b"26", b"22", b"27", b"3c", b"3e", b"20", b"0a", b"7c",
                ];
                digits
                    .get(..2)
                    .is_some_and(|digits| ENDS.iter().any(|end| digits.eq_ignore_ascii_case(end)))
            }
            _ => false,
        };
        if ends {
            break;
        }
        at += 1;
    }
    at
}

/// The changes of a URL inside another, written as it is written.
fn rewritten(text: &str, colon: Written<'_>, slash: Written<'_>, view: &View) -> Option<Edits> {
    let level = colon.level().max(slash.level());
    let longest = [1, 3, 5][level];
    let escape = |rest: &[u8]| {
        let decoded = |plain: u8, digits| {
            let length = written_length(rest, plain, digits)?;
            (length <= longest).then_some((length, Some(char::from(plain))))
        };
        decoded(b':', b"3A").or_else(|| decoded(b'/', b"2F"))
    };
    let begins = |octet| level > 0 && octet == b'%';
    let decoded = Decoded::new(text.as_bytes(), Charset::UTF_8, begins, escape)?;
    let new = view.links().translate(&decoded.text)?;
    let mut edit = changed(&decoded.text, new);
    let percent = ["%", "%25", "%2525"][level];
    let mut with = String::new();
    for character in edit.with.chars() {
        match character {
            ':' => with.push_str(colon.0),
            '/' => with.push_str(slash.0),
            _ if level == 0 => with.push(character),
            '%' => with.push_str(percent),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => with.push(character),
            _ => {
                let percent = if level == 1 { "%" } else { "%25" };
                for octet in character.encode_utf8(&mut [0; 4]).bytes() {
                    with.push_str(&format!("{percent}{octet:02X}"));
                }
            }
        }
    }
    edit.with = with;
    Some(decoded.raw(vec![edit]))
}
