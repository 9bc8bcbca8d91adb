//! What the tests of several modules stand on.

use std::cell::Cell;
use std::io::Write;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::translate::body::codec::Coding;
use crate::translate::body::rewrite::{Broken, Links, Maker, Rewrite};

pub(crate) const NEEDLE: &[u8] = b"http://wiki.corp.local";
pub(crate) const LINK: &[u8] = b"https://wiki.example.com";

/// Where the toy breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trap {
    None,
    /// It stops at `!stop!`, and everything is out.
    Stop,
    /// It loses `!stop!`.
    Lose,
}

/// Replaces [`NEEDLE`], and holds back what may become one.
pub(crate) struct Toy {
    held: Vec<u8>,
    links: Links,
    trap: Trap,
}

pub(crate) fn toy(trap: Trap) -> Maker {
    Box::new(move |text| {
        assert!(text.encoding.is_ascii_compatible());
        Box::new(Toy {
            held: Vec::new(),
            links: text.links,
            trap,
        })
    })
}

impl Rewrite for Toy {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        self.held.extend_from_slice(chunk);
        let text = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if rest.starts_with(b"!stop!") && self.trap != Trap::None {
                if self.trap == Trap::Lose {
                    return Err(Broken::Lost("trap"));
                }
                out.extend_from_slice(rest);
                return Err(Broken::Stopped("trap"));
            }
            if rest.starts_with(NEEDLE) {
                out.extend_from_slice(LINK);
                self.links.add(1);
                at += NEEDLE.len();
            } else if NEEDLE.starts_with(rest) || b"!stop!".starts_with(rest) {
                break;
            } else {
                out.push(text[at]);
                at += 1;
            }
        }
        self.held = text[at..].to_vec();
        Ok(())
    }

    fn end(self: Box<Self>, out: &mut Vec<u8>) -> Result<(), Broken> {
        out.extend_from_slice(&self.held);
        Ok(())
    }
}

pub(crate) fn replaced(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut toy = toy(Trap::None)(crate::translate::body::rewrite::Text {
        only_ascii: false,
        encoding: encoding_rs::UTF_8,
        links: Links::default(),
    });
    toy.push(text, &mut out).unwrap();
    toy.end(&mut out).unwrap();
    out
}

pub(crate) const CODINGS: [Coding; 4] = [
    Coding::Identity,
    Coding::Gzip,
    Coding::Deflate,
    Coding::Brotli,
];

/// Packed by the libraries' own writers.
pub(crate) fn pack(coding: Coding, text: &[u8]) -> Vec<u8> {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    match coding {
        Coding::Identity => text.to_vec(),
        Coding::Gzip => {
            let mut writer = GzEncoder::new(Vec::new(), Compression::new(6));
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Coding::Deflate => {
            let mut writer = ZlibEncoder::new(Vec::new(), Compression::new(6));
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Coding::Brotli => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            writer.write_all(text).unwrap();
            writer.into_inner()
        }
    }
}

/// Unpacked by the libraries' own readers, whole.
pub(crate) fn unpack(coding: Coding, octets: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut text = Vec::new();
    if octets.is_empty() {
        return text;
    }
    match coding {
        Coding::Identity => text = octets.to_vec(),
        Coding::Gzip => drop(
            flate2::read::GzDecoder::new(octets)
                .read_to_end(&mut text)
                .unwrap(),
        ),
        Coding::Deflate => drop(
            flate2::read::ZlibDecoder::new(octets)
                .read_to_end(&mut text)
                .unwrap(),
        ),
        Coding::Brotli => drop(
            brotli::Decompressor::new(octets, 4096)
                .read_to_end(&mut text)
                .unwrap(),
        ),
    }
    text
}

/// Chunks of these lengths, round and round.
pub(crate) fn chunks<'a>(octets: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut lengths = lengths.iter().copied().cycle();
    let mut rest = octets;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (chunk, behind) = rest.split_at(length);
        found.push(chunk);
        rest = behind;
    }
    found
}

/// Runs a property and makes sure that it ran.
pub(crate) fn property<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value)) {
    let ran = Cell::new(0);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&strategy, |value| {
            ran.set(ran.get() + 1);
            test(value);
            Ok::<_, TestCaseError>(())
        })
        .unwrap();
    assert!(ran.get() >= cases, "{} of {cases} ran", ran.get());
}

/// Octets that compress like text, not like noise.
pub(crate) fn page(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let mut page = b"<!doctype html><meta charset=utf-8>\n".to_vec();
    while page.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let words: [&[u8]; 6] = [
            b"<p class=\"a\">",
            b"lorem ipsum ",
            b"<a href=\"http://wiki.corp.local/x/",
            b"\">",
            "zw\u{f6}lf ".as_bytes(),
            b"http://wiki.corp.localhost ",
        ];
        page.extend_from_slice(words[(state >> 24) as usize % words.len()]);
        page.extend_from_slice(format!("{:x} ", state >> 16).as_bytes());
    }
    page
}
