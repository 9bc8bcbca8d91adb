//! The way of a page's octets, from what came to what is put out.

use super::super::output::Output;
use super::page::{Inside, Page};
use super::region::Region;
use super::tags::{Sink, StartTag, Tags};
use super::{Broken, Finished};

pub(super) struct Reader {
    page: Page,
    tags: Tags,
    region: Region,
    /// What came and is not decided: the beginning of a tag.
    held: Vec<u8>,
    /// Whether links cannot be found any longer.
    is_passing: bool,
}

/// As much as is added at once to what is held: with the longest tag, it is the most that is.
const PIECE: usize = 8 * 1024;

impl Reader {
    pub(super) fn new(page: Page) -> Self {
        Self {
            tags: Tags::new(page.limits.tag),
            page,
            region: Region::Markup,
            held: Vec::new(),
            is_passing: false,
        }
    }

    /// How many octets its buffers take, and those of what the page knows of its policies.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.held.capacity() + self.region.kept() + self.page.options.inline.octets()
    }

    pub(super) fn feed<O: Output>(&mut self, chunk: &[u8], out: &mut O) -> Result<(), Broken> {
        out.expect(chunk.len());
        let mut rest = chunk;
        while !rest.is_empty() {
            if self.is_passing {
                out.keep(rest);
                break;
            }
            let result = if self.held.is_empty() {
                // Most of a page is never copied but into the output.
                let (read, result) = self.read(rest, out);
                self.held
                    .extend_from_slice(rest.get(read..).unwrap_or_default());
                rest = b"";
                result
            } else {
                let (piece, after) = rest.split_at(rest.len().min(PIECE));
                rest = after;
                let mut held = std::mem::take(&mut self.held);
                held.extend_from_slice(piece);
                let (read, result) = self.read(&held, out);
                held.drain(..read);
                self.held = held;
                result
            };
            if let Err(broken) = result {
                // Whatever happens, all of it comes out.
                out.keep(rest);
                return Err(broken);
            }
        }
        Ok(())
    }

    /// Reads what came, and puts out as much as is decided, which it gives.
    fn read<O: Output>(&mut self, input: &[u8], out: &mut O) -> (usize, Result<(), Broken>) {
        let mut passage = Passage {
            page: &mut self.page,
            region: &mut self.region,
            input,
            done: 0,
            out,
        };
        let decided = self.tags.read(input, &mut passage);
        if let Some(broken) = passage.page.broken {
            // From here on nothing changes.
            passage.keep(input.len());
            self.is_passing = true;
            return (input.len(), Err(broken));
        }
        passage.keep(decided);
        (decided, Ok(()))
    }

    pub(super) fn end<O: Output>(mut self, out: &mut O) -> Finished {
        // A tag that does not end is none.
        let mut passage = Passage {
            page: &mut self.page,
            region: &mut self.region,
            input: &self.held,
            done: 0,
            out,
        };
        passage.keep(self.held.len());
        self.region.end(&mut self.page, out);
        Finished {
            counts: self.page.counts,
            broken: self.page.broken,
        }
    }
}

/// What came, on its way out.
struct Passage<'a, O> {
    page: &'a mut Page,
    region: &'a mut Region,
    input: &'a [u8],
    /// How much of the input was put out.
    done: usize,
    out: &'a mut O,
}

impl<O: Output> Passage<'_, O> {
    /// Puts out the input up to a position: it stays, but for what the region changes.
    fn keep(&mut self, to: usize) {
        let octets = self.input.get(self.done..to).unwrap_or_default();
        self.page.counts.links += self.region.feed(octets, self.page, self.out);
        self.done = to;
    }

    /// Whatever was read on its own ends: its end tag is here, or it is a style in SVG, which any tag
    /// ends.
    fn end_region(&mut self, at: usize) {
        if !matches!(self.region, Region::Markup) {
            self.keep(at);
            self.region.end(self.page, self.out);
        }
    }
}

impl<O: Output> Sink for Passage<'_, O> {
    fn start_tag(&mut self, tag: &StartTag<'_>) {
        self.end_region(tag.range.start);
        if self.page.broken.is_some() {
            return;
        }
        for splice in self.page.start_tag(tag) {
            self.keep(tag.range.start + splice.range.start);
            let old = tag.octets.get(splice.range).unwrap_or_default();
            self.out.replace(old, &splice.with);
            self.done += old.len();
        }
        let Some(inside) = self.page.inside(tag) else {
            return;
        };
        self.keep(tag.range.end);
        *self.region = match inside {
            Inside::Code(language) => Region::code(language, self.page),
            Inside::Noscript => Region::noscript(self.page),
        };
    }

    fn long_tag(&mut self, at: usize) {
        self.end_region(at);
        self.page.counts.long_tags += 1;
    }

    fn end_tag(&mut self, at: usize) {
        self.end_region(at);
    }
}
