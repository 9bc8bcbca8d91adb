//! What the tests of all rewriters stand on, and the tests of them together.

mod golden;
mod properties;
mod scripts;
mod streaming;

use std::sync::Arc;

use super::{CssRewriting, Finished, HtmlOptions, HtmlRewriting, Links};
use crate::model::LinkAttribute;

/// Pairs of prefixes, both ending in `/`; the longest that matches on a segment boundary counts.
pub(crate) struct Table {
    pairs: Vec<(String, String)>,
    /// The same of paths alone.
    root: Option<(String, String)>,
}

impl Table {
    pub(crate) fn new(pairs: &[(&str, &str)], root: Option<(&str, &str)>) -> Self {
        Self {
            pairs: pairs
                .iter()
                .map(|&(from, to)| (from.to_owned(), to.to_owned()))
                .collect(),
            root: root.map(|(from, to)| (from.to_owned(), to.to_owned())),
        }
    }

    /// The applications the golden files know.
    pub(crate) fn corp() -> Self {
        Self::new(&CORP, Some(("/app/", "/portal/")))
    }

    /// The way back.
    pub(crate) fn back(&self) -> Self {
        let turned: Vec<_> = self.pairs.iter().map(|(a, b)| (&**b, &**a)).collect();
        let root = self.root.as_ref().map(|(a, b)| (&**b, &**a));
        Self::new(&turned, root)
    }

    fn absolute(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = scheme.to_lowercase();
        let authority = authority.to_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(port).unwrap_or(&authority);
        prefix(&self.pairs, &format!("{scheme}://{authority}{path}"))
    }
}

pub(crate) const CORP: [(&str, &str); 6] = [
    ("http://wiki.corp/", "https://wiki.example.com/"),
    ("http://wiki.corp:8888/", "https://wiki8.example.com/"),
    ("http://git.corp/code/", "https://apps.example.com/git/"),
    ("http://git.corp/code/deep/", "https://deep.example.com/"),
    ("https://shop.corp/", "https://shop.example.com:8443/"),
    ("http://büro.corp/", "https://buero.example.com/"),
];

fn prefix(pairs: &[(String, String)], url: &str) -> Option<String> {
    let fits = |(from, _): &&(String, String)| {
        url.starts_with(from.as_str()) || from.strip_suffix('/') == Some(url)
    };
    let (from, to) = pairs
        .iter()
        .filter(fits)
        .max_by_key(|(from, _)| from.len())?;
    Some(match url.strip_prefix(from.as_str()) {
        Some(rest) => format!("{to}{rest}"),
        None => to.trim_end_matches('/').to_owned(),
    })
}

impl Links for Table {
    fn translate(&self, url: &str) -> Option<String> {
        if let Some(rest) = url.strip_prefix("//") {
            let schemes = ["http", "https"];
            let found = schemes
                .iter()
                .find_map(|scheme| self.absolute(&format!("{scheme}://{rest}")))?;
            return found.split_once(':').map(|(_, rest)| rest.to_owned());
        }
        if url.starts_with('/') {
            return prefix(self.root.as_slice(), url);
        }
        self.absolute(url)
    }

    fn changes_root(&self) -> bool {
        self.root.is_some()
    }

    fn translate_policy(&self, policy: &str) -> Option<String> {
        let new = policy.replace("http://wiki.corp", "https://wiki.example.com");
        (new != policy).then_some(new)
    }
}

pub(crate) fn options() -> HtmlOptions {
    HtmlOptions {
        extra_attributes: vec![LinkAttribute::new("data-url").unwrap()],
        ..HtmlOptions::default()
    }
}

/// A page in chunks of a size.
pub(crate) fn html_with(
    links: Table,
    options: HtmlOptions,
    page: &[u8],
    size: usize,
) -> (Vec<u8>, Finished) {
    let mut rewriting = HtmlRewriting::new(Arc::new(links), options).unwrap();
    let mut out = Vec::new();
    for chunk in page.chunks(size.max(1)) {
        let _ = rewriting.push(chunk, &mut out);
    }
    let finished = rewriting.end(&mut out);
    (out, finished)
}

pub(crate) fn html(links: Table, page: &[u8], size: usize) -> Vec<u8> {
    html_with(links, options(), page, size).0
}

pub(crate) fn css(links: Table, text: &[u8], size: usize) -> Vec<u8> {
    css_with(links, encoding_rs::UTF_8, text, size)
}

pub(crate) fn css_with(
    links: Table,
    encoding: &'static encoding_rs::Encoding,
    text: &[u8],
    size: usize,
) -> Vec<u8> {
    let mut rewriting = CssRewriting::new(Arc::new(links), encoding).unwrap();
    let mut out = Vec::new();
    for chunk in text.chunks(size.max(1)) {
        rewriting.push(chunk, &mut out);
    }
    rewriting.end(&mut out);
    out
}

#[test]
fn rewriters_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<HtmlRewriting>();
    is_send::<CssRewriting>();
}
