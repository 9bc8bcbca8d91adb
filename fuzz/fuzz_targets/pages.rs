//! Pages that nobody thought of: how they are cut changes nothing, and what is translated stays.

#![no_main]

mod model;
mod translate;

use libfuzzer_sys::fuzz_target;
use model::LinkAttribute;
use translate::markup::{HtmlOptions, HtmlRewriting, Inline, Scripts};
use translate::{encoding, is_foreign, links, origins};

fn rewritten(page: &[u8], options: HtmlOptions, size: usize) -> Vec<u8> {
    let mut rewriting = HtmlRewriting::new(links(), options).expect("it is like ASCII");
    let mut out = Vec::new();
    for piece in page.chunks(size) {
        let _ = rewriting.push(piece, &mut out);
    }
    rewriting.end(&mut out);
    out
}

fuzz_target!(|octets: &[u8]| {
    let [how, size, page @ ..] = octets else {
        return;
    };
    let options = || HtmlOptions {
        encoding: encoding(how >> 4),
        encoding_is_certain: how & 1 == 0,
        extra_attributes: LinkAttribute::new("data-url").into_iter().collect(),
        scripts: (how & 2 != 0).then(|| Scripts {
            scripts: true,
            json: true,
            origins: origins(),
        }),
        inline: match how & 4 != 0 {
            true => Inline::new(["sha256-x".to_owned()].into()),
            false => Inline::default(),
        },
        own_styles_change: how & 8 != 0,
        own_scripts_change: how & 8 != 0,
    };
    let whole = rewritten(page, options(), page.len().max(1));
    let parts = rewritten(page, options(), usize::from(*size % 32) + 1);
    assert_eq!(whole, parts, "how it is cut matters");
    if is_foreign(page) && how & 8 == 0 {
        assert_eq!(whole, page, "something else than a link has changed");
    }
});
