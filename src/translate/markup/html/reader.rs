//! The stream through the parser, and how it goes on where the parser cannot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lol_html::html_content::EndTag;
use lol_html::send::{Element, HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, OutputSink, element};

use super::super::output::Output;
use super::attributes::tag_name;
use super::page::{EndMatters, Event, Page, foreign_element, text_element};
use super::region::Region;
use super::{Broken, Finished, Limits};

pub(super) struct Reader {
    page: Shared,
    state: State,
    region: Region,
}

/// The parser's handlers and the reader never hold it at the same time.
type Shared = Arc<Mutex<Page>>;

type Parser = HtmlRewriter<'static, Passed>;

enum State {
    Reading {
        parser: Box<Parser>,
        passed: Passed,
        /// Nothing was read since it was begun anew.
        is_fresh: bool,
    },
    /// Inside a tag that is too long.
    Skipping(TagEnd),
    /// Links cannot be found any longer.
    Passing,
}

/// How far the parser is, in octets. It changes nothing, so what it puts out is what came.
#[derive(Clone, Default)]
struct Passed(Arc<AtomicUsize>);

impl OutputSink for Passed {
    fn handle_chunk(&mut self, chunk: &[u8]) {
        // Only the parser writes, and one thread at a time has it.
        let passed = self.0.load(Ordering::Relaxed);
        self.0.store(passed + chunk.len(), Ordering::Relaxed);
    }
}

/// As much as is read at once: with the longest tag, it is what is held.
const PIECE: usize = 8 * 1024;

impl Reader {
    pub(super) fn new(page: Page) -> Self {
        let limits = page.limits;
        let page = Arc::new(Mutex::new(page));
        Self {
            state: reading(&page, limits, false),
            page,
            region: Region::Markup,
        }
    }

    pub(super) fn feed<O: Output>(&mut self, chunk: &[u8], out: &mut O) -> Result<(), Broken> {
        let mut result = Ok(());
        for piece in chunk.chunks(PIECE) {
            // Whatever happens, all of it comes out.
            if let Err(broken) = self.piece(piece, out) {
                result = Err(broken);
            }
        }
        result
    }

    fn piece<O: Output>(&mut self, piece: &[u8], out: &mut O) -> Result<(), Broken> {
        lock(&self.page).input.extend_from_slice(piece);
        self.read(piece, out)?;
        loop {
            match &mut self.state {
                State::Passing => {
                    self.splice(usize::MAX, out);
                    return Ok(());
                }
                State::Reading { .. } => {
                    let page = lock(&self.page);
                    if page.input.len() <= page.limits.tag {
                        return Ok(());
                    }
                    drop(page);
                    self.begin_skipping();
                }
                State::Skipping(end) => {
                    let found = end.find(&lock(&self.page).input);
                    self.splice(found.unwrap_or(usize::MAX), out);
                    if found.is_none() {
                        return Ok(());
                    }
                    self.begin_anew();
                    let rest = lock(&self.page).input.clone();
                    self.read(&rest, out)?;
                }
            }
        }
    }

    /// Gives octets that are in the input already to the parser.
    fn read<O: Output>(&mut self, octets: &[u8], out: &mut O) -> Result<(), Broken> {
        let mut rest = None;
        loop {
            let State::Reading {
                parser,
                passed,
                is_fresh,
            } = &mut self.state
            else {
                return Ok(());
            };
            let result = parser.write(rest.as_deref().unwrap_or(octets));
            let passed = passed.0.load(Ordering::Relaxed);
            let at_once = (result.is_err() && *is_fresh).then_some(Broken::Memory);
            *is_fresh &= result.is_err();
            let page = lock(&self.page);
            let (broken, end) = (page.broken, passed.saturating_sub(page.origin));
            drop(page);
            self.splice(end, out);
            if let Some(broken) = broken.or(at_once) {
                return Err(self.pass(broken, out));
            }
            if result.is_ok() {
                return Ok(());
            }
            // Too many elements are open: a page that closes nothing. Their names are of no
            // importance, so a new parser goes on without them.
            self.begin_anew();
            rest = Some(lock(&self.page).input.clone());
        }
    }

    /// From here on nothing changes.
    fn pass<O: Output>(&mut self, broken: Broken, out: &mut O) -> Broken {
        self.state = State::Passing;
        let mut page = lock(&self.page);
        page.broken = Some(broken);
        page.events.clear();
        drop(page);
        self.end_region(out);
        self.splice(usize::MAX, out);
        broken
    }

    /// Puts out the input up to a position, with the changes in it.
    fn splice<O: Output>(&mut self, to: usize, out: &mut O) {
        let mut page = lock(&self.page);
        let mut input = std::mem::take(&mut page.input);
        let to = to.min(input.len());
        let mut at = 0;
        let origin = page.origin;
        while let Some(event) = page.events.pop_front_if(|event| event.end() <= origin + to) {
            let begin = match &event {
                Event::Replace { range, .. } => range.start,
                event => event.end(),
            };
            self.region.feed(&input[at..begin - origin], &page, out);
            at = begin - origin;
            match event {
                Event::Replace { range, with } => {
                    out.replace(&input[at..range.end - origin], &with);
                    at = range.end - origin;
                }
                Event::StyleBegins(_) => self.region = Region::style(&page),
                Event::NoscriptBegins(_) => self.region = Region::noscript(&page),
                Event::Ends(_) => self.region.end(&mut page, out),
            }
        }
        self.region.feed(&input[at..to], &page, out);
        input.drain(..to);
        page.origin += to;
        page.input = input;
    }

    fn end_region<O: Output>(&mut self, out: &mut O) {
        let mut page = lock(&self.page);
        self.region.end(&mut page, out);
    }

    fn begin_skipping(&mut self) {
        let mut page = lock(&self.page);
        page.counts.long_tags += 1;
        let name = tag_name(&page.input).to_ascii_lowercase();
        page.foreign = foreign_element(&name).or(page.foreign);
        if page.foreign.is_none() {
            page.text_element = text_element(&name);
        }
        self.state = State::Skipping(TagEnd::default());
    }

    /// A new parser, told in what it begins.
    fn begin_anew(&mut self) {
        let mut page = lock(&self.page);
        page.events.clear();
        let elements = [page.foreign, page.text_element];
        let prefix: String = elements
            .iter()
            .flatten()
            .map(|name| format!("<{name}>"))
            .collect();
        page.origin = prefix.len();
        let limits = page.limits;
        drop(page);
        self.state = reading(&self.page, limits, true);
        if let State::Reading { parser, .. } = &mut self.state {
            // It cannot fail: nothing is open yet.
            let _ = parser.write(prefix.as_bytes());
        }
    }

    pub(super) fn end<O: Output>(&mut self, out: &mut O) -> Finished {
        if let State::Reading { parser, .. } = std::mem::replace(&mut self.state, State::Passing) {
            // It fails only where it runs out of memory; then its last tag stays as it came.
            let _ = parser.end();
        }
        self.splice(usize::MAX, out);
        self.end_region(out);
        let mut page = lock(&self.page);
        Finished {
            counts: page.counts,
            changes: std::mem::take(&mut page.changes),
            broken: page.broken,
        }
    }
}

fn lock(page: &Shared) -> MutexGuard<'_, Page> {
    page.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reading(page: &Shared, limits: Limits, is_fresh: bool) -> State {
    let shared = Arc::clone(page);
    // Any octets are this encoding, so that nothing depends on it: text is decoded by us.
    let encoding = AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252);
    let settings = Settings::new_send()
        .with_encoding(encoding.unwrap_or_else(AsciiCompatibleEncoding::utf_8))
        .with_adjust_charset_on_meta_tag(false)
        // Strict, it would refuse a page with a script inside a `select` element.
        .with_strict(false)
        .with_memory_settings(
            MemorySettings::new()
                .with_preallocated_parsing_buffer_size(0)
                .with_max_allowed_memory_usage(limits.parser),
        )
        .append_element_content_handler(element!("*", move |element| {
            start_tag(element, &shared)
        }));
    let passed = Passed::default();
    State::Reading {
        parser: Box::new(HtmlRewriter::new(settings, passed.clone())),
        passed,
        is_fresh,
    }
}

fn start_tag(element: &mut Element<'_, '_>, shared: &Shared) -> lol_html::HandlerResult {
    let range = element.source_location().bytes();
    let end_matters = lock(shared).start_tag(range, element.namespace_uri());
    // A void element, such as `<svg/>`, has none.
    if end_matters == EndMatters::Yes && element.can_have_content() {
        let shared = Arc::clone(shared);
        element.on_end_tag(Box::new(move |tag: &mut EndTag<'_>| {
            let at = tag.source_location().bytes().start;
            lock(&shared).end_tag(at, &tag.name());
            Ok(())
        }))?;
    }
    Ok(())
}

/// Looks for the end of a tag that is too long to be held.
#[derive(Debug, Default)]
enum TagEnd {
    #[default]
    Plain,
    AfterEquals,
    Unquoted,
    Quoted(u8),
}

impl TagEnd {
    /// The position behind the tag.
    fn find(&mut self, octets: &[u8]) -> Option<usize> {
        for (at, &octet) in octets.iter().enumerate() {
            *self = match (&*self, octet) {
                (Self::Quoted(quote), octet) if octet == *quote => Self::Plain,
                (Self::Quoted(quote), _) => Self::Quoted(*quote),
                (_, b'>') => return Some(at + 1),
                (Self::AfterEquals, b'"' | b'\'') => Self::Quoted(octet),
                (Self::Plain, b'=') => Self::AfterEquals,
                (Self::AfterEquals, octet) if octet.is_ascii_whitespace() => Self::AfterEquals,
                (Self::AfterEquals | Self::Unquoted, octet) if !octet.is_ascii_whitespace() => {
                    Self::Unquoted
                }
                _ => Self::Plain,
            };
        }
        None
    }
}
