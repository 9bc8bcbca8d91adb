//! BER (X.690), as far as a PFX has it: definite and indefinite lengths, strings in pieces.
//!
//! A document is read once, without recursion, into a flat list of its elements; nothing is copied
//! until a string comes in pieces or an element has to be written anew as DER.

mod element;

pub(super) use element::{Children, Element};

use super::limits::{Bound, Limits, MAX_DEPTH};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Tells a constructed element, which holds others, from a primitive one.
const CONSTRUCTED: u8 = 0x20;

/// The octets are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// They cannot be told apart, or another element is expected there.
    Element(&'static str),
    Bound(Bound),
}

impl From<Bound> for Malformed {
    fn from(bound: Bound) -> Self {
        Self::Bound(bound)
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    tag: u8,
    /// Where its tag is, its content, the end of that, and its own end.
    start: usize,
    content: usize,
    content_end: usize,
    end: usize,
    /// The node after all that are within.
    next: usize,
    /// Nothing in it is written otherwise than DER demands, as far as lengths and pieces go.
    is_der: bool,
}

/// One element and all within it.
#[derive(Debug)]
pub(super) struct Document<'a> {
    octets: &'a [u8],
    /// In the order of the octets, so the outermost is the first.
    nodes: Vec<Node>,
}

/// An element whose end is still to come.
struct Open {
    node: usize,
    is_definite: bool,
    /// Where it ends, or else the innermost one around it whose end is known.
    bound: usize,
}

struct Header {
    tag: u8,
    content: usize,
    /// `None` is an indefinite length.
    len: Option<usize>,
    is_minimal: bool,
}

impl<'a> Document<'a> {
    /// Reads the element at the beginning; there may be octets after it.
    pub(super) fn parse(octets: &'a [u8], limits: &mut Limits) -> Result<Self, Malformed> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let mut at = 0;
        loop {
            while let Some(last) = open.last() {
                let rest = octets.get(at..last.bound).unwrap_or_default();
                let after = match last.is_definite {
                    true if rest.is_empty() => at,
                    false if rest.starts_with(&[0, 0]) => at + 2,
                    _ => break,
                };
                let (index, next) = (last.node, nodes.len());
                open.pop();
                let mut is_der = true;
                if let Some(node) = nodes.get_mut(index) {
                    (node.content_end, node.end, node.next) = (at, after, next);
                    is_der = node.is_der;
                }
                if let Some(parent) = open.last().and_then(|p| nodes.get_mut(p.node)) {
                    parent.is_der &= is_der;
                }
                at = after;
            }
            if open.is_empty() && !nodes.is_empty() {
                return Ok(Self { octets, nodes });
            }
            limits.element()?;
            let bound = open.last().map_or(octets.len(), |last| last.bound);
            let header = Header::read(octets.get(..bound).unwrap_or_default(), at)?;
            let end = match header.len {
                Some(len) if len > bound - header.content => {
                    return Err(Malformed::Element(
                        "an element is longer than what it is in",
                    ));
                }
                Some(len) => header.content + len,
                None => bound,
            };
            let is_constructed = header.tag & CONSTRUCTED != 0;
            let is_der = header.is_minimal && header.len.is_some();
            let is_piecemeal = header.tag == OCTET_STRING | CONSTRUCTED;
            nodes.push(Node {
                tag: header.tag,
                start: at,
                content: header.content,
                content_end: end,
                end,
                next: nodes.len() + 1,
                is_der: is_der && !is_piecemeal,
            });
            if is_constructed {
                if open.len() >= MAX_DEPTH {
                    return Err(Bound::Depth.into());
                }
                open.push(Open {
                    node: nodes.len() - 1,
                    is_definite: header.len.is_some(),
                    bound: end,
                });
                at = header.content;
            } else {
                if !is_der && let Some(parent) = open.last().and_then(|p| nodes.get_mut(p.node)) {
                    parent.is_der = false;
                }
                at = end;
            }
        }
    }

    /// Reads an element that is all there is.
    pub(super) fn parse_whole(octets: &'a [u8], limits: &mut Limits) -> Result<Self, Malformed> {
        let document = Self::parse(octets, limits)?;
        match document.octets_after() {
            0 => Ok(document),
            _ => Err(Malformed::Element("there are octets after its end")),
        }
    }

    pub(super) fn root(&self) -> Element<'_, 'a> {
        Element::new(self, 0)
    }

    /// How many octets come after the element.
    pub(super) fn octets_after(&self) -> usize {
        self.octets.len() - self.nodes.first().map_or(0, |node| node.end)
    }
}

impl Header {
    fn read(octets: &[u8], at: usize) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed::Element("an element is cut off");
        let rest = octets.get(at..).unwrap_or_default();
        let [tag, first, rest @ ..] = rest else {
            return Err(SHORT);
        };
        if tag & 0x1f == 0x1f || *tag == 0 {
            return Err(Malformed::Element("an element has a tag that no PFX has"));
        }
        let (content, tag) = (at + 2, *tag);
        let count = match first {
            0x80 if tag & CONSTRUCTED != 0 => {
                return Ok(Self {
                    tag,
                    content,
                    len: None,
                    is_minimal: true,
                });
            }
            0..0x80 => {
                return Ok(Self {
                    tag,
                    content,
                    len: Some(usize::from(*first)),
                    is_minimal: true,
                });
            }
            _ => usize::from(first & 0x7f),
        };
        if !(1..=8).contains(&count) {
            return Err(Malformed::Element("an element has no valid length"));
        }
        let digits = rest.get(..count).ok_or(SHORT)?;
        let len = digits
            .iter()
            .fold(0, |len: u64, digit| len << 8 | u64::from(*digit));
        Ok(Self {
            tag,
            content: content + count,
            is_minimal: len >= 0x80 && digits.first() != Some(&0),
            len: Some(usize::try_from(len).unwrap_or(usize::MAX)),
        })
    }
}
