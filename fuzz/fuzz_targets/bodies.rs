//! Packed bodies that nobody thought of, in encodings that are carried.

#![no_main]

mod model;
mod translate;

use encoding_rs::{ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};
use libfuzzer_sys::fuzz_target;
use model::BodyKind;
use translate::body::codec::Coding;
use translate::body::{Broken, Decision, Plan, Rewrite, Text, Translating};
use translate::text::{Syntax, TextRewriting};
use translate::{links, origins};

struct Data(TextRewriting);

impl Rewrite for Data {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.0.push(chunk, out);
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.0.end(out);
        Ok(())
    }
}

fn rewriter(text: Text) -> Box<dyn Rewrite> {
    let made = TextRewriting::new(links(), origins(), Syntax::Text, text.encoding);
    Box::new(Data(made.expect("it is like ASCII")))
}

/// What comes out, whether it ended well, and what its head says.
fn translated(body: &[u8], plan: Plan, size: usize, flushes: bool) -> (Vec<u8>, bool, Option<Decision>) {
    let mut translating = Translating::new(plan, Box::new(rewriter));
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        if translating.push(piece, &mut out, flushes).is_err() {
            return (out, false, translating.decision());
        }
    }
    let ended = translating.end(&mut out).is_ok();
    (out, ended, translating.decision())
}

fuzz_target!(|octets: &[u8]| {
    let [how, size, body @ ..] = octets else {
        return;
    };
    let codings = [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli];
    let charsets = [UTF_8, UTF_16LE, UTF_16BE, ISO_2022_JP, SHIFT_JIS];
    let plan = Plan {
        kind: BodyKind::ALL[usize::from(how >> 5) % BodyKind::ALL.len()],
        coding: codings[usize::from(how & 3)],
        charset: charsets.get(usize::from(how >> 2 & 7)).copied(),
        waits: size & 64 != 0,
    };
    let (whole, is_whole, decision) = translated(body, plan, body.len().max(1), false);
    if matches!(decision, Some(Decision::Untouched(_))) {
        assert_eq!(whole, body, "it is not as it came");
    }
    let size = usize::from(size % 32) + 1;
    let (parts, ended, decided) = translated(body, plan, size, false);
    // Of what is packed and broken, more or less may have been seen before.
    if plan.coding == Coding::Identity {
        let whole = (whole, is_whole, decision);
        assert_eq!(whole, (parts, ended, decided), "how it is cut matters");
    } else if is_whole && ended && decision == decided && !matches!(decision, Some(Decision::Translated)) {
        assert_eq!(whole, parts, "how it is cut matters");
    }
    // With flushes there is another head, maybe; nothing breaks that would not have.
    translated(body, plan, size, true);
});
