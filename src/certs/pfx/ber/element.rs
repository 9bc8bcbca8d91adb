//! One element, and what it says.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::{CONSTRUCTED, Document, INTEGER, Malformed, Node, OCTET_STRING, OID};

/// One element of a document.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Element<'d, 'a> {
    document: &'d Document<'a>,
    index: usize,
}

impl<'d, 'a> Element<'d, 'a> {
    pub(super) fn new(document: &'d Document<'a>, index: usize) -> Self {
        Self { document, index }
    }

    fn node(&self) -> Node {
        // No element is made without a node; the other case would read as an empty one.
        self.document
            .nodes
            .get(self.index)
            .copied()
            .unwrap_or(Node {
                tag: 0,
                start: 0,
                content: 0,
                content_end: 0,
                end: 0,
                next: self.index,
                is_der: false,
            })
    }

    pub(in super::super) fn tag(&self) -> u8 {
        self.node().tag
    }

    pub(in super::super) fn is(&self, tag: u8) -> bool {
        self.tag() == tag
    }

    pub(in super::super) fn is_der(&self) -> bool {
        self.node().is_der
    }

    /// What is in it, as it is written.
    pub(in super::super) fn content(&self) -> &'a [u8] {
        let node = self.node();
        let content = self.document.octets.get(node.content..node.content_end);
        content.unwrap_or_default()
    }

    /// What is directly in it; nothing in a primitive one.
    pub(in super::super) fn children(&self) -> Children<'d, 'a> {
        Children {
            document: self.document,
            at: self.index + 1,
            end: self.node().next,
        }
    }

    /// What is directly in an element of this tag.
    pub(in super::super) fn within(
        &self,
        tag: u8,
        otherwise: &'static str,
    ) -> Result<Children<'d, 'a>, Malformed> {
        match self.is(tag) {
            true => Ok(self.children()),
            false => Err(Malformed::Element(otherwise)),
        }
    }

    /// An octet string, in one piece or in many.
    pub(in super::super) fn octet_string(&self) -> Result<Cow<'a, [u8]>, Malformed> {
        self.octets_tagged(OCTET_STRING)
    }

    /// An octet string under another tag (`IMPLICIT`).
    pub(in super::super) fn octets_tagged(&self, tag: u8) -> Result<Cow<'a, [u8]>, Malformed> {
        const OTHER: Malformed = Malformed::Element("an octet string is expected, and not there");
        if self.is(tag) {
            return Ok(Cow::Borrowed(self.content()));
        }
        if !self.is(tag | CONSTRUCTED) {
            return Err(OTHER);
        }
        let mut whole = Vec::with_capacity(self.content().len());
        for index in self.index + 1..self.node().next {
            let piece = Element { index, ..*self };
            match piece.tag() {
                OCTET_STRING => whole.extend_from_slice(piece.content()),
                // Pieces may come in pieces.
                tag if tag == OCTET_STRING | CONSTRUCTED => {}
                _ => return Err(OTHER),
            }
        }
        Ok(Cow::Owned(whole))
    }

    /// An integer of 0 to 4,294,967,295; a larger one counts as that.
    pub(in super::super) fn number(&self) -> Result<u32, Malformed> {
        let digits = self.content();
        match digits.first() {
            Some(first) if self.is(INTEGER) && *first < 0x80 => {
                Ok(digits.iter().fold(0, |number: u32, digit| {
                    let shifted = number.checked_mul(256);
                    shifted.map_or(u32::MAX, |n| n | u32::from(*digit))
                }))
            }
            _ => Err(Malformed::Element("a number is expected, and not there")),
        }
    }

    /// An object identifier, with points.
    pub(in super::super) fn oid(&self) -> Result<String, Malformed> {
        const OTHER: Malformed = Malformed::Element("an identifier is expected, and not there");
        let octets = self.content();
        // The longest that is known here has eleven.
        if !self.is(OID) || octets.is_empty() || octets.len() > 40 {
            return Err(OTHER);
        }
        let mut text = String::new();
        let mut arc: u64 = 0;
        for octet in octets {
            arc = arc.checked_mul(128).ok_or(OTHER)? | u64::from(octet & 0x7f);
            if octet & 0x80 != 0 {
                continue;
            }
            if text.is_empty() {
                let first = (arc / 40).min(2);
                text = format!("{first}.{}", arc - first * 40);
            } else {
                text = format!("{text}.{arc}");
            }
            arc = 0;
        }
        Ok(text)
    }

    /// The element as DER, as far as lengths and pieces of strings go.
    pub(in super::super) fn der(&self) -> Zeroizing<Vec<u8>> {
        let node = self.node();
        let written = self.document.octets.get(node.start..node.end);
        let written = written.unwrap_or_default();
        if node.is_der {
            return Zeroizing::new(written.to_vec());
        }
        // From the end, as a length stands before what has it. Never grown, so that no copy of a
        // key is left behind: DER has two octets more for a length, and two less for an end.
        let mut reversed = Zeroizing::new(Vec::with_capacity(2 * written.len() + 16));
        self.write_reversed(&mut reversed);
        reversed.reverse();
        reversed
    }

    /// No deeper than the document, that is `MAX_DEPTH`.
    fn write_reversed(&self, out: &mut Vec<u8>) {
        let before = out.len();
        let tag = if self.tag() & CONSTRUCTED == 0 {
            out.extend(self.content().iter().rev());
            self.tag()
        } else if let (true, Ok(whole)) = (self.is(OCTET_STRING | CONSTRUCTED), self.octet_string())
        {
            out.extend(whole.iter().rev());
            OCTET_STRING
        } else {
            let children: Vec<_> = self.children().collect();
            for child in children.iter().rev() {
                child.write_reversed(out);
            }
            self.tag()
        };
        let len = out.len() - before;
        match u8::try_from(len) {
            Ok(short) if short < 0x80 => out.push(short),
            _ => {
                let mut count = 0;
                let mut left = len;
                while left > 0 {
                    out.push(left.to_le_bytes()[0]);
                    left >>= 8;
                    count += 1;
                }
                out.push(0x80 | count);
            }
        }
        out.push(tag);
    }
}

/// The elements directly within another, in order.
#[derive(Debug, Clone)]
pub(in super::super) struct Children<'d, 'a> {
    document: &'d Document<'a>,
    at: usize,
    end: usize,
}

impl<'d, 'a> Children<'d, 'a> {
    /// The next one, which has to be there.
    pub(in super::super) fn need(&mut self) -> Result<Element<'d, 'a>, Malformed> {
        self.next()
            .ok_or(Malformed::Element("an element has too little in it"))
    }
}

impl<'d, 'a> Iterator for Children<'d, 'a> {
    type Item = Element<'d, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let element = Element::new(self.document, self.at);
        self.at = element.node().next.max(self.at + 1);
        Some(element)
    }
}
