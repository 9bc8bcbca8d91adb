//! What the first octets of a text say of its encoding.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// "Prescan a byte stream to determine its encoding" of HTML, and the XML declaration.
pub(super) fn html(head: &[u8]) -> Option<&'static Encoding> {
    wide(head)
        .or_else(|| Scan(head).meta())
        .or_else(|| declaration(head))
}

/// `<?x` in UTF-16; nothing else says so without a mark.
fn wide(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    head.starts_with(b"\0<\0?\0x").then_some(UTF_16BE)
}

/// What an XML document declares. Without that it is in UTF-8.
pub(super) fn xml(head: &[u8]) -> Option<&'static Encoding> {
    wide(head).or_else(|| declaration(head))
}

/// `@charset` at the very beginning, exactly as CSS has it.
pub(super) fn css(head: &[u8]) -> Option<&'static Encoding> {
    let rest = head.strip_prefix(b"@charset \"")?;
    let end = rest.iter().position(|&octet| octet == b'"')?;
    if rest.get(end + 1) != Some(&b';') {
        return None;
    }
    seen_in_ascii(&rest[..end])
}

/// The `encoding` of `<?xml …?>`.
fn declaration(head: &[u8]) -> Option<&'static Encoding> {
    let rest = head.strip_prefix(b"<?xml")?;
    let end = rest.iter().position(|&octet| octet == b'>')?;
    let rest = &rest[..end];
    let at = find(rest, b"encoding")? + b"encoding".len();
    let rest = rest[at..].trim_ascii_start().strip_prefix(b"=")?;
    let (&quote, rest) = rest.trim_ascii_start().split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let end = rest.iter().position(|&octet| octet == quote)?;
    if rest[..end].iter().any(|&octet| octet <= b' ') {
        return None;
    }
    seen_in_ascii(&rest[..end])
}

/// A declaration that was read as ASCII is not in UTF-16, whatever it says.
fn seen_in_ascii(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label)?;
    Some(if encoding == UTF_16LE || encoding == UTF_16BE {
        UTF_8
    } else {
        encoding
    })
}

/// The rest of the head. All of it is ASCII to this reader.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    /// Walks to the first `meta` that names an encoding, past comments and other tags.
    fn meta(&mut self) -> Option<&'static Encoding> {
        while let Some(at) = self.0.iter().position(|&octet| octet == b'<') {
            self.0 = &self.0[at..];
            if self.0.starts_with(b"<!--") {
                // `<!-->` is a comment too.
                let end = find(&self.0[2..], b"-->")?;
                self.0 = &self.0[2 + end + 3..];
                continue;
            }
            let after = &self.0[1..];
            let name = after.strip_prefix(b"/").unwrap_or(after);
            if is_meta(after) {
                self.0 = &after[b"meta".len()..];
                if let Some(encoding) = self.meta_attributes() {
                    return Some(encoding);
                }
            } else if name.first().is_some_and(u8::is_ascii_alphabetic) {
                let ends = |octet: &u8| octet.is_ascii_whitespace() || *octet == b'>';
                self.0 = &name[name.iter().position(ends)?..];
                while self.attribute().is_some() {}
            } else if matches!(after.first(), Some(b'!' | b'/' | b'?')) {
                let end = after.iter().position(|&octet| octet == b'>')?;
                self.0 = &after[end + 1..];
            } else {
                self.0 = after;
            }
        }
        None
    }

    fn meta_attributes(&mut self) -> Option<&'static Encoding> {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut is_content_type = false;
        let mut needs_content_type = None;
        let mut label: Option<Vec<u8>> = None;
        while let Some((name, value)) = self.attribute() {
            if seen.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => is_content_type |= value == b"content-type",
                b"content" if label.is_none() => {
                    if let Some(found) = of_content(&value) {
                        label = Some(found.to_vec());
                        needs_content_type = Some(true);
                    }
                }
                b"charset" => {
                    label = Some(value);
                    needs_content_type = Some(false);
                }
                _ => {}
            }
            seen.push(name);
        }
        if self.0.is_empty() || needs_content_type? && !is_content_type {
            return None;
        }
        let label = label?;
        if label.eq_ignore_ascii_case(b"x-user-defined") {
            return Some(WINDOWS_1252);
        }
        seen_in_ascii(&label)
    }

    /// "Get an attribute": name and value in lower case; `None` at the end of the tag, and where
    /// the head ends inside of it: nothing is left to scan then.
    fn attribute(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.skip(|octet| octet.is_ascii_whitespace() || *octet == b'/');
        if self.0.starts_with(b">") {
            return None;
        }
        let found = self.whole_attribute();
        if found.is_none() {
            self.0 = &[];
        }
        found
    }

    fn whole_attribute(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        // An attribute may begin with `=`.
        let ends = |octet: &u8| octet.is_ascii_whitespace() || matches!(octet, b'/' | b'>' | b'=');
        let length = 1 + self.0.get(1..)?.iter().position(ends)?;
        let name = self.take(length);
        self.skip(u8::is_ascii_whitespace);
        let Some(rest) = self.0.strip_prefix(b"=") else {
            return Some((name, Vec::new()));
        };
        self.0 = rest.trim_ascii_start();
        let value = match *self.0.first()? {
            quote @ (b'"' | b'\'') => {
                self.0 = &self.0[1..];
                let length = self.0.iter().position(|&octet| octet == quote)?;
                let value = self.take(length);
                self.0 = &self.0[1..];
                value
            }
            _ => {
                let ends = |octet: &u8| octet.is_ascii_whitespace() || *octet == b'>';
                let length = self.0.iter().position(ends)?;
                self.take(length)
            }
        };
        Some((name, value))
    }

    fn skip(&mut self, what: impl Fn(&u8) -> bool) {
        let to = self.0.iter().position(|octet| !what(octet));
        self.0 = &self.0[to.unwrap_or(self.0.len())..];
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_ascii_lowercase()
    }
}

fn is_meta(tag: &[u8]) -> bool {
    let Some((name, rest)) = tag.split_at_checked(b"meta".len()) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"meta")
        && rest
            .first()
            .is_some_and(|&octet| octet.is_ascii_whitespace() || octet == b'/')
}

/// "Extracting a character encoding from a meta element": the `charset` of a `content`.
fn of_content(content: &[u8]) -> Option<&[u8]> {
    let mut rest = content;
    loop {
        rest = &rest[find(rest, b"charset")? + b"charset".len()..];
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            continue;
        };
        let value = value.trim_ascii_start();
        return match *value.first()? {
            quote @ (b'"' | b'\'') => {
                let end = value[1..].iter().position(|&octet| octet == quote)?;
                Some(&value[1..=end])
            }
            _ => {
                let ends = |octet: &u8| octet.is_ascii_whitespace() || *octet == b';';
                let end = value.iter().position(ends).unwrap_or(value.len());
                Some(&value[..end])
            }
        };
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
