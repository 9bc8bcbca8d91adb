//! The tokens that hold a URL.

use super::super::super::output::Output;
use super::super::names::{count, is_space, plain};
use super::super::pass::{Pass, Quote};
use super::super::tokens::{self, End};
use super::{Scanner, State, Step};

impl Scanner {
    /// A parenthesis at `at`, after a name that begins at `begin`.
    pub(super) fn opened<O: Output>(
        &mut self,
        pass: &mut Pass<'_, O>,
        begin: usize,
        at: usize,
        is_known: bool,
        looked: usize,
    ) -> Step {
        let text = pass.plain;
        self.is_import = false;
        let is_url = is_known && plain(&text[begin..at]).eq_ignore_ascii_case(b"url");
        if is_url {
            let content = at + 1 + count(&text[at + 1..], is_space);
            match text.get(content) {
                None => {
                    return Step::Hold {
                        from: begin,
                        looked: text.len(),
                        state: State::BadUrl,
                    };
                }
                // What is too long is so however it is divided into chunks.
                Some(_) if content - begin > self.longest_token => {
                    self.state = State::BadUrl;
                    return Step::At(content);
                }
                Some(b'"' | b'\'') => {}
                Some(_) => return self.unquoted(pass, begin, content, looked),
            }
        }
        self.parentheses = self.parentheses << 1 | u128::from(is_known);
        Step::At(at + 1)
    }

    fn unquoted<O: Output>(
        &mut self,
        pass: &mut Pass<'_, O>,
        begin: usize,
        content: usize,
        looked: usize,
    ) -> Step {
        if is_data(&pass.plain[content..]) {
            self.state = State::BadUrl;
            return Step::At(content);
        }
        let from = content.max(begin + looked);
        match tokens::url(pass.plain, from, pass.is_last) {
            End::Whole {
                content: end,
                token,
            } => {
                if end - begin <= self.longest_token {
                    pass.translate(content..end, Quote::None, self.charset);
                }
                Step::At(token)
            }
            End::Bad(end) => {
                self.state = State::BadUrl;
                Step::At(end)
            }
            End::Open(looked) => Step::Hold {
                from: begin,
                looked,
                state: State::BadUrl,
            },
        }
    }

    pub(super) fn quoted<O: Output>(
        &mut self,
        pass: &mut Pass<'_, O>,
        at: usize,
        quote: u8,
        looked: usize,
    ) -> Step {
        if is_data(&pass.plain[at + 1..]) {
            self.state = State::String(quote);
            return Step::At(at + 1);
        }
        let from = (at + 1).max(at + looked);
        match tokens::string(pass.plain, from, quote, pass.is_last) {
            End::Whole { content, token } => {
                if content - at <= self.longest_token {
                    pass.translate(at + 1..content, Quote::Of(quote), self.charset);
                }
                Step::At(token)
            }
            End::Bad(end) => Step::At(end),
            End::Open(looked) => {
                // The token is looked at again from its quote.
                self.is_import = self.parentheses & 1 == 0;
                Step::Hold {
                    from: at,
                    looked,
                    state: State::String(quote),
                }
            }
        }
    }
}

/// `data:` URLs are long, and nothing of ours.
fn is_data(text: &[u8]) -> bool {
    let scheme = text.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}
