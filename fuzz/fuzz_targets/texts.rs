//! Data, scripts and text that nobody thought of.

#![no_main]

mod model;
mod translate;

use libfuzzer_sys::fuzz_target;
use translate::text::{Syntax, TextRewriting};
use translate::{encoding, is_foreign, links, origins};

fn rewritten(text: &[u8], how: u8, size: usize) -> Vec<u8> {
    let all = [
        Syntax::Json,
        Syntax::JavaScript,
        Syntax::Xml,
        Syntax::Text,
        Syntax::Form,
    ];
    let syntax = all[usize::from(how >> 4) % all.len()];
    let rewriting = TextRewriting::new(links(), origins(), syntax, encoding(how & 15));
    let mut rewriting = rewriting.expect("it is like ASCII");
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        rewriting.push(piece, &mut out);
    }
    rewriting.end(&mut out);
    out
}

fuzz_target!(|octets: &[u8]| {
    let [how, size, text @ ..] = octets else {
        return;
    };
    let whole = rewritten(text, *how, text.len().max(1));
    let parts = rewritten(text, *how, usize::from(*size % 32) + 1);
    assert_eq!(whole, parts, "how it is cut matters");
    if is_foreign(text) {
        assert_eq!(whole, text, "something else than a link has changed");
    }
    // What is external stays.
    let again = rewritten(&whole, *how, whole.len().max(1));
    assert_eq!(again, whole, "twice is not once");
});
