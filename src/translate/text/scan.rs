//! The text on its way, over any division into chunks.

use std::sync::Arc;

use memchr::{memchr2, memchr3};

use super::Syntax;
use super::candidate::{Found, Url, find};
use super::change::change;
use super::origins::Origins;
use super::spelling::Text;
use super::tail::tail;
use super::xml::{Region, Xml};
use crate::translate::markup::Charset;
use crate::translate::markup::Links;
use crate::translate::markup::Output;

pub(super) struct Scanner {
    charset: Charset,
    syntax: Syntax,
    origins: Arc<Origins>,
    /// Some of what is out already, and what is not decided yet.
    window: Vec<u8>,
    /// The same with the second octet of characters out of the way, in encodings where it may
    /// look like ASCII.
    masked: Vec<u8>,
    /// The last octet was the first of a character.
    is_inside_character: bool,
    /// Up to where the window is out.
    done: usize,
    xml: Option<Xml>,
    /// The host that is looked up, kept for its memory.
    host: String,
}

/// How much is kept of what is out: what stands before a URL decides whether it is one. An
/// attribute's name is the longest of it.
pub(super) const CONTEXT: usize = 256;

/// Larger chunks are taken in parts, so that memory does not depend on who sends them.
const PART: usize = 16 * 1024;

impl Scanner {
    pub(super) fn new(charset: Charset, syntax: Syntax, origins: Arc<Origins>) -> Self {
        Self {
            charset,
            syntax,
            origins,
            window: Vec::new(),
            masked: Vec::new(),
            is_inside_character: false,
            done: 0,
            xml: (syntax == Syntax::Xml).then(Xml::default),
            host: String::new(),
        }
    }

    /// How many octets its buffers take.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.window.capacity() + self.masked.capacity() + self.host.capacity()
    }

    /// Takes what came; returns how many links changed.
    pub(super) fn feed<O: Output>(
        &mut self,
        chunk: &[u8],
        is_last: bool,
        links: &dyn Links,
        out: &mut O,
    ) -> u64 {
        if self.origins.is_empty() {
            out.keep(chunk);
            return 0;
        }
        let mut count = 0;
        for part in chunk.chunks(PART) {
            count += self.part(part, false, links, out);
        }
        if is_last {
            count += self.part(b"", true, links, out);
        }
        count
    }

    fn part<O: Output>(
        &mut self,
        part: &[u8],
        is_last: bool,
        links: &dyn Links,
        out: &mut O,
    ) -> u64 {
        let mut window = std::mem::take(&mut self.window);
        let mut masked = std::mem::take(&mut self.masked);
        window.extend_from_slice(part);
        let has_trails = self.charset.has_ascii_trails();
        if has_trails {
            self.mask(part, &mut masked);
        }
        let mut pass = Pass {
            text: Text {
                octets: &window,
                plain: if has_trails { &masked } else { &window },
                is_last,
                syntax: self.syntax,
                charset: self.charset,
            },
            kept: self.done,
            count: 0,
            links,
            out,
        };
        let done = self.pass(&mut pass);
        pass.keep(done);
        let count = pass.count;
        let past = done.saturating_sub(CONTEXT);
        self.done = done - past;
        window.drain(..past);
        if has_trails {
            masked.drain(..past);
        }
        (self.window, self.masked) = (window, masked);
        count
    }

    fn mask(&mut self, part: &[u8], masked: &mut Vec<u8>) {
        masked.extend(part.iter().map(|&octet| {
            let is_trail = std::mem::take(&mut self.is_inside_character);
            self.is_inside_character = !is_trail && self.charset.is_lead(octet);
            if is_trail { 0x80 } else { octet }
        }));
    }

    /// Goes as far as it can be decided, which it returns.
    fn pass<O: Output>(&mut self, pass: &mut Pass<'_, O>) -> usize {
        let end = pass.text.len();
        let mut at = pass.kept;
        while at < end {
            let region = match &self.xml {
                Some(xml) => xml.region(&pass.text, at),
                None => Some(Region::search(end)),
            };
            let Some(region) = region else {
                return at;
            };
            if region.is_searched
                && let Some(hold) = self.search(pass, at, region.to)
            {
                return hold;
            }
            at = region.to;
            if let Some(xml) = &mut self.xml {
                xml.enter(region.next);
            }
        }
        end
    }

    /// Translates links in a part of the text; returns where one begins that cannot be decided yet.
    fn search<O: Output>(
        &mut self,
        pass: &mut Pass<'_, O>,
        from: usize,
        to: usize,
    ) -> Option<usize> {
        let text = pass.text;
        let (mut at, mut floor) = (from, from);
        while let Some(slash) = text
            .plain
            .get(at..to)
            .and_then(|rest| next(rest, text.syntax))
        {
            at += slash;
            match find(&text, at, &self.origins, &mut self.host) {
                Found::Url(url) if url.begin >= floor => match pass.translate(&url) {
                    Some(end) => {
                        floor = end;
                        at = end.max(at + 1);
                    }
                    None => at += 1,
                },
                Found::Hold(begin) if begin >= floor => return Some(begin),
                Found::Cut if to == text.len() => break,
                _ => at += 1,
            }
        }
        if to < text.len() || text.is_last {
            return None;
        }
        let tail = tail(&text, floor);
        (tail < to).then_some(tail)
    }
}

/// How far text goes that is short.
pub(super) const NEAR: usize = 16;

/// Between tags there is little text: a search that is fast over long ones takes longer to begin.
pub(super) fn near_or_far(
    text: &[u8],
    is_one: impl Fn(u8) -> bool,
    far: impl Fn(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let near = text.get(..NEAR).unwrap_or(text);
    match near.iter().position(|&octet| is_one(octet)) {
        Some(found) => Some(found),
        None if near.len() == text.len() => None,
        None => far(text.get(NEAR..)?).map(|found| found + NEAR),
    }
}

/// Where the next slash may be, however it is written.
fn next(text: &[u8], syntax: Syntax) -> Option<usize> {
    match syntax {
        Syntax::Json | Syntax::JavaScript => memchr3(b'/', b'\\', b'%', text),
        Syntax::Xml => {
            let is_one = |octet| matches!(octet, b'/' | b'&' | b'%');
            near_or_far(text, is_one, |text| memchr3(b'/', b'&', b'%', text))
        }
        Syntax::Text | Syntax::Form => memchr2(b'/', b'%', text),
    }
}

/// A part on its way.
struct Pass<'a, O> {
    text: Text<'a>,
    /// Up to where it is in the output.
    kept: usize,
    count: u64,
    links: &'a dyn Links,
    out: &'a mut O,
}

impl<O: Output> Pass<'_, O> {
    fn keep(&mut self, to: usize) {
        if let Some(octets) = self.text.octets.get(self.kept..to)
            && !octets.is_empty()
        {
            self.out.keep(octets);
            self.kept = to;
        }
    }

    /// Returns where the URL goes on as it came, if it changed.
    fn translate(&mut self, url: &Url<'_>) -> Option<usize> {
        let change = change(url, &self.text, self.links)?;
        let old = self.text.octets.get(url.begin..change.end)?;
        self.keep(url.begin);
        self.out.replace(old, &change.with);
        self.kept = change.end;
        self.count += 1;
        Some(change.end)
    }
}
