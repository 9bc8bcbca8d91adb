//! The rewriters alone, so that a build takes seconds and not the program's minutes.

#![allow(dead_code, unused_imports, reason = "the program uses the rest")]

#[path = "../../../src/translate/body/mod.rs"]
pub mod body;
#[path = "../../../src/translate/markup/mod.rs"]
pub mod markup;
#[path = "../../../src/translate/text/mod.rs"]
pub mod text;

use std::sync::Arc;

use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, WINDOWS_1252};
use markup::Links;
use text::Origins;

/// What is published here. External hosts are nobody's internal ones.
pub const PUBLISHED: [(&str, &str); 3] = [
    ("http://wiki.corp/", "https://wiki.example/"),
    ("https://git.corp:8443/code/", "https://apps.example/git/"),
    ("http://git.corp/", "https://git.example:444/"),
];

/// Links of an application whose paths differ.
pub struct Few;

impl Links for Few {
    fn translate(&self, url: &str) -> Option<String> {
        if let Some(rest) = url.strip_prefix("/app/") {
            return Some(format!("/portal/{rest}"));
        }
        let lower = url.to_ascii_lowercase();
        let behind_scheme = |url: &'static str| match lower.starts_with("//") {
            true => url.split_once(':').map_or(url, |(_, rest)| rest),
            false => url,
        };
        PUBLISHED.iter().find_map(|(inside, outside)| {
            let (inside, outside) = (behind_scheme(inside), behind_scheme(outside));
            let is_there = lower.starts_with(inside);
            is_there.then(|| format!("{outside}{}", &url[inside.len()..]))
        })
    }

    fn changes_root(&self) -> bool {
        true
    }
}

pub fn links() -> Arc<dyn Links> {
    Arc::new(Few)
}

pub fn origins() -> Arc<Origins> {
    Arc::new(Origins::new(["wiki.corp", "git.corp"]))
}

pub fn encoding(byte: u8) -> &'static Encoding {
    [UTF_8, WINDOWS_1252, SHIFT_JIS][usize::from(byte) % 3]
}

/// Whether nothing can change: no host is there, in whatever spelling, and no path of the application.
pub fn is_foreign(text: &[u8]) -> bool {
    // The letters of `corp` and of `app` may be written as escapes.
    !text.iter().any(|octet| b"oOpP%&\\".contains(octet))
}
