//! Style sheets that nobody thought of.

#![no_main]

mod model;
mod translate;

use libfuzzer_sys::fuzz_target;
use translate::markup::CssRewriting;
use translate::{encoding, is_foreign, links};

fn rewritten(sheet: &[u8], how: u8, size: usize) -> Vec<u8> {
    let mut rewriting = CssRewriting::new(links(), encoding(how)).expect("it is like ASCII");
    let mut out = Vec::new();
    for piece in sheet.chunks(size) {
        rewriting.push(piece, &mut out);
    }
    rewriting.end(&mut out);
    out
}

fuzz_target!(|octets: &[u8]| {
    let [how, size, sheet @ ..] = octets else {
        return;
    };
    let whole = rewritten(sheet, *how, sheet.len().max(1));
    let parts = rewritten(sheet, *how, usize::from(*size % 32) + 1);
    assert_eq!(whole, parts, "how it is cut matters");
    if is_foreign(sheet) {
        assert_eq!(whole, sheet, "something else than a link has changed");
    }
});
