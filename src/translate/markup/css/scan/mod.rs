//! The scanner: from token to token, over any division into chunks.

mod urls;

use super::super::charset::Charset;
use super::super::output::Output;
use super::super::value::View;
use super::names::{
    IMPORT, LONGEST_NAME, count, is_function, is_name, is_newline, is_space, may_become_function,
    name_end, name_so_far, plain,
};
use super::pass::Pass;
use super::tokens::{self, End};

pub(super) struct Scanner {
    charset: Charset,
    longest_token: usize,
    /// What is not decided yet.
    held: Vec<u8>,
    /// The same with the second octet of characters out of the way, in encodings where it may
    /// look like ASCII.
    masked: Vec<u8>,
    /// The last octet was the first of a character.
    is_inside_character: bool,
    /// Up to where the end of the token that is held was looked for already.
    looked: usize,
    /// The octet before what is held.
    before: u8,
    /// A name that was too long to be waited for goes on at this position.
    goes_on: Option<usize>,
    state: State,
    /// One bit for each open parenthesis, the innermost last: whether strings in it are URLs.
    /// 128 suffice: what is forgotten counts as no URL.
    parentheses: u128,
    /// After `@import`, and nothing but blanks and comments since.
    is_import: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Comment,
    /// In a string that is no URL, or too long for one.
    String(u8),
    /// In an unquoted URL that is none of ours: malformed, `data:`, or too long.
    BadUrl,
}

/// Why the scanner stopped.
enum Step {
    /// Go on at this position.
    At(usize),
    /// A token begins here whose end has not come; if it grows too long, this is the state to
    /// pass through the rest of it, from where the end was looked for.
    Hold {
        from: usize,
        looked: usize,
        state: State,
    },
}

impl Scanner {
    pub(super) fn new(charset: Charset, longest_token: usize) -> Self {
        Self {
            charset,
            longest_token,
            held: Vec::new(),
            masked: Vec::new(),
            is_inside_character: false,
            looked: 0,
            before: b' ',
            goes_on: None,
            state: State::Between,
            parentheses: 0,
            is_import: false,
        }
    }

    /// How many octets its buffers take.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.held.capacity() + self.masked.capacity()
    }

    /// Takes what came; returns how many links changed.
    pub(super) fn feed<O: Output>(
        &mut self,
        chunk: &[u8],
        is_last: bool,
        view: &View,
        out: &mut O,
    ) -> u64 {
        let mut held = std::mem::take(&mut self.held);
        let mut masked = std::mem::take(&mut self.masked);
        let has_held = !held.is_empty();
        if has_held {
            held.extend_from_slice(chunk);
        }
        let text = if has_held { &held[..] } else { chunk };
        let has_trails = self.charset.has_ascii_trails();
        if has_trails {
            self.mask(chunk, &mut masked);
        }
        let mut pass = Pass {
            text,
            plain: if has_trails { &masked } else { text },
            is_last,
            kept: 0,
            links: 0,
            view,
            out,
        };
        let done = self.pass(&mut pass);
        pass.keep(done);
        let links = pass.links;
        if done > 0 {
            let plain = if has_trails { &masked[..] } else { text };
            self.before = plain[done - 1];
            self.goes_on = self.goes_on.filter(|at| *at == done).map(|_| 0);
        }
        if has_trails {
            masked.drain(..done);
        }
        if has_held {
            held.drain(..done);
        } else {
            held.clear();
            held.extend_from_slice(&chunk[done..]);
        }
        (self.held, self.masked) = (held, masked);
        links
    }

    fn mask(&mut self, chunk: &[u8], masked: &mut Vec<u8>) {
        masked.extend(chunk.iter().map(|&octet| {
            let is_trail = std::mem::take(&mut self.is_inside_character);
            self.is_inside_character = !is_trail && self.charset.is_lead(octet);
            if is_trail { 0x80 } else { octet }
        }));
    }

    /// Goes as far as it can be decided, which it returns.
    fn pass<O: Output>(&mut self, pass: &mut Pass<'_, O>) -> usize {
        let mut at = 0;
        let mut looked = std::mem::take(&mut self.looked);
        while at < pass.plain.len() {
            let step = match self.state {
                State::Between => self.between(pass, at, looked),
                State::Comment => self.comment(pass.plain, at),
                State::String(quote) => self.string(pass, at, quote),
                State::BadUrl => match tokens::bad_url(pass.plain, at) {
                    End::Whole { token, .. } => {
                        self.state = State::Between;
                        Step::At(token)
                    }
                    End::Bad(end) | End::Open(end) if end > at => Step::At(end),
                    _ => return if pass.is_last { pass.plain.len() } else { at },
                },
            };
            looked = 0;
            match step {
                Step::At(next) => at = next,
                Step::Hold { .. } if pass.is_last => return pass.plain.len(),
                Step::Hold {
                    from,
                    looked,
                    state,
                } if looked - from > self.longest_token => {
                    (self.state, self.is_import) = (state, false);
                    at = looked;
                }
                Step::Hold { from, looked, .. } => {
                    self.looked = looked - from;
                    return from;
                }
            }
        }
        at
    }

    fn comment(&mut self, text: &[u8], at: usize) -> Step {
        if let Some(length) = memchr::memmem::find(&text[at..], b"*/") {
            self.state = State::Between;
            return Step::At(at + length + 2);
        }
        let end = text.len() - usize::from(text.last() == Some(&b'*'));
        if end > at {
            Step::At(end)
        } else {
            hold(at, State::Comment)
        }
    }

    fn string<O: Output>(&mut self, pass: &Pass<'_, O>, at: usize, quote: u8) -> Step {
        match tokens::string(pass.plain, at, quote, pass.is_last) {
            End::Whole { token, .. } => {
                self.state = State::Between;
                Step::At(token)
            }
            End::Bad(end) => {
                self.state = State::Between;
                Step::At(end)
            }
            End::Open(end) if end > at => Step::At(end),
            End::Open(_) => hold(at, self.state),
        }
    }

    /// Goes to the next token that matters, and over it.
    fn between<O: Output>(&mut self, pass: &mut Pass<'_, O>, from: usize, looked: usize) -> Step {
        let text = pass.plain;
        let mut at = from;
        if self.is_import {
            at += count(&text[at..], is_space);
        }
        if !self.is_import {
            at += count(&text[at..], |octet| !MATTERS[usize::from(octet)]);
        }
        let Some(&octet) = text.get(at) else {
            return self.end_of_text(text, from);
        };
        match octet {
            b'"' | b'\'' if self.is_import || self.parentheses & 1 == 1 => {
                self.is_import = false;
                self.quoted(pass, at, octet, looked)
            }
            b'"' | b'\'' => {
                self.state = State::String(octet);
                Step::At(at + 1)
            }
            b'/' => match text.get(at + 1) {
                Some(b'*') => {
                    self.state = State::Comment;
                    Step::At(at + 2)
                }
                None => hold(at, State::Between),
                Some(_) => self.no_import(at + 1),
            },
            b'(' => {
                let begin = at
                    - text[from..at]
                        .iter()
                        .rev()
                        .take_while(|&&o| is_name(o))
                        .count();
                let is_known =
                    is_function(&text[begin..at]) && self.stands_alone(text, begin, from);
                self.opened(pass, begin, at, is_known, looked)
            }
            b')' => {
                self.parentheses >>= 1;
                self.no_import(at + 1)
            }
            b'@' => self.at_keyword(text, at, pass.is_last),
            b'\\' => self.escaped_name(pass, from, at, looked),
            _ => {
                // The first of another token after `@import`.
                self.is_import = false;
                Step::At(at)
            }
        }
    }

    fn no_import(&mut self, at: usize) -> Step {
        self.is_import = false;
        Step::At(at)
    }

    /// Nothing that matters is left, but a name may go on behind the end.
    fn end_of_text(&mut self, text: &[u8], from: usize) -> Step {
        let name = text[from..]
            .iter()
            .rev()
            .take_while(|&&o| is_name(o))
            .count();
        let begin = text.len() - name;
        if name > 0 && may_become_function(&text[begin..]) && self.stands_alone(text, begin, from) {
            self.hold_name(text, begin, begin)
        } else {
            Step::At(text.len())
        }
    }

    /// Whether the name that begins there is a token of its own: no hash, no keyword, and not the
    /// end of a longer name. `from` is where a token ended.
    fn stands_alone(&self, text: &[u8], begin: usize, from: usize) -> bool {
        let before = match begin.checked_sub(1) {
            Some(before) => text[before],
            None => self.before,
        };
        // What ended at `from` was no name, unless the text was divided there.
        let is_continued = is_name(before) && begin == 0 && from == 0;
        let is_continued = is_continued || self.goes_on == Some(begin);
        !is_continued && before != b'#' && before != b'@'
    }

    fn at_keyword(&mut self, text: &[u8], at: usize, is_last: bool) -> Step {
        self.is_import = false;
        match name_end(text, at + 1, is_last) {
            None => self.hold_name(text, at, at + 1),
            Some(end) => {
                self.is_import = plain(&text[at + 1..end]).eq_ignore_ascii_case(IMPORT);
                Step::At(end)
            }
        }
    }

    /// A name is waited for while it may be one of ours. One that is longer goes on behind its last whole escape.
    fn hold_name(&mut self, text: &[u8], from: usize, name: usize) -> Step {
        if text.len() - from <= LONGEST_NAME {
            return hold(from, State::Between);
        }
        let end = name_so_far(text, name);
        self.goes_on = Some(end);
        Step::At(end)
    }

    /// A name with escapes; `at` is the first of them.
    fn escaped_name<O: Output>(
        &mut self,
        pass: &mut Pass<'_, O>,
        from: usize,
        at: usize,
        looked: usize,
    ) -> Step {
        self.is_import = false;
        let text = pass.plain;
        if text.get(at + 1).is_some_and(|&octet| is_newline(octet)) {
            return Step::At(at + 2);
        }
        let begin = at
            - text[from..at]
                .iter()
                .rev()
                .take_while(|&&o| is_name(o))
                .count();
        match name_end(text, begin, pass.is_last) {
            None => self.hold_name(text, begin, begin),
            Some(end) if text.get(end) == Some(&b'(') => {
                let is_known = is_function(&plain(&text[begin..end]));
                let is_known = is_known && self.stands_alone(text, begin, from);
                self.opened(pass, begin, end, is_known, looked)
            }
            Some(end) => Step::At(end.max(at + 1)),
        }
    }
}

/// The octets that begin something that matters.
const MATTERS: [bool; 256] = {
    let mut matters = [false; 256];
    let octets = b"\"'/()@\\";
    let mut at = 0;
    while at < octets.len() {
        matters[octets[at] as usize] = true;
        at += 1;
    }
    matters
};

fn hold(from: usize, state: State) -> Step {
    Step::Hold {
        from,
        looked: from,
        state,
    }
}
