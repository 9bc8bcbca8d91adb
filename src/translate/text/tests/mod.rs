//! What the tests stand on.

mod golden;
mod properties;
mod streaming;
mod unit;

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};

use super::{Origins, Syntax, TextRewriting};
use crate::translate::markup::Links;

/// Pairs of prefixes, both ending in `/`; the longest that matches on a segment boundary counts.
/// As the table of published URLs does, it takes a URL without a path for one with `/`.
#[derive(Clone)]
pub(super) struct Table {
    pairs: Vec<(String, String)>,
    /// What follows the label of a wildcard, here and there.
    wildcard: Option<(String, String)>,
}

const CORP: [(&str, &str); 13] = [
    ("http://wiki.corp/", "https://wiki.example.com/"),
    ("http://wiki.corp:8888/", "https://wiki8.example.com/"),
    ("http://git.corp/code/", "https://apps.example.com/git/"),
    ("http://git.corp/code/deep/", "https://deep.example.com/"),
    ("https://shop.corp/", "https://shop.example.com:8443/"),
    ("http://büro.corp/", "https://buero.example.com/"),
    ("http://portal.corp/", "https://portal.example.com/"),
    ("http://portal.corp/hr/", "https://hr.example.com/staff/"),
    ("http://[fd00::1]/", "https://six.example.com/"),
    ("http://intra/", "https://intra.example.com/"),
    ("http://10.1.2.3:8080/", "https://by-address.example.com/"),
    ("http://odd.corp/", "https://odd.example.com/it's<&>\"/"),
    ("http://mixed.corp/my%20app/", "https://mixed.example.com/"),
];

impl Table {
    pub(super) fn corp() -> Self {
        let pairs = CORP.iter();
        Self {
            pairs: pairs
                .map(|&(from, to)| (from.to_owned(), to.to_owned()))
                .collect(),
            wildcard: Some((
                "http://*.apps.corp".into(),
                "https://*.apps.example.com".into(),
            )),
        }
    }

    /// The way back.
    pub(super) fn back(&self) -> Self {
        let turn = |(from, to): &(String, String)| (to.clone(), from.clone());
        Self {
            pairs: self.pairs.iter().map(turn).collect(),
            wildcard: self.wildcard.as_ref().map(turn),
        }
    }

    /// Its hosts, names in ASCII.
    pub(super) fn origins(&self) -> Arc<Origins> {
        let of_pairs = self.pairs.iter().filter_map(|(from, _)| {
            let (_, rest) = from.split_once("://")?;
            let authority = rest.split('/').next()?;
            let is_address = authority.starts_with('[');
            let host = if is_address {
                authority
            } else {
                authority.split(':').next()?
            };
            Some(host.replace("büro", "xn--bro-hoa"))
        });
        let suffix = self.wildcard.iter();
        let suffix = suffix.filter_map(|(from, _)| Some(from.split_once("*.")?.1.to_owned()));
        let hosts: Vec<String> = of_pairs.chain(suffix).collect();
        Arc::new(Origins::new(hosts.iter().map(String::as_str)))
    }

    fn absolute(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = scheme.to_lowercase();
        let authority = authority.to_lowercase().replace("xn--bro-hoa", "büro");
        let authority = authority.replace("fd00:0::1", "fd00::1");
        let port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(port).unwrap_or(&authority);
        let path = if path.is_empty() { "/" } else { path };
        if let Some((from, to)) = &self.wildcard
            && let Some((from_scheme, suffix)) = from.split_once('*')
            && let Some(label) = authority.strip_suffix(suffix)
            && from_scheme == format!("{scheme}://")
            && !label.contains('.')
        {
            return Some(format!("{}{path}", to.replace('*', label)));
        }
        self.prefix(&format!("{scheme}://{authority}{path}"))
    }

    fn prefix(&self, url: &str) -> Option<String> {
        let fits = |(from, _): &&(String, String)| {
            url.starts_with(from.as_str()) || from.strip_suffix('/') == Some(url)
        };
        let fitting = self.pairs.iter().filter(fits);
        let (from, to) = fitting.max_by_key(|(from, _)| from.len())?;
        Some(match url.strip_prefix(from.as_str()) {
            Some(rest) => format!("{to}{rest}"),
            None => to.trim_end_matches('/').to_owned(),
        })
    }
}

impl Links for Table {
    fn translate(&self, url: &str) -> Option<String> {
        assert!(!url.contains(['?', '#', '\\', '"', ' ']), "{url} was asked");
        if let Some(rest) = url.strip_prefix("//") {
            let schemes = ["https", "http"];
            let found = schemes
                .iter()
                .find_map(|scheme| self.absolute(&format!("{scheme}://{rest}")))?;
            return found.split_once(':').map(|(_, rest)| rest.to_owned());
        }
        self.absolute(url)
    }

    fn changes_root(&self) -> bool {
        true
    }
}

/// A text in chunks of a size, and how many links changed.
pub(super) fn run(
    table: &Table,
    syntax: Syntax,
    encoding: &'static Encoding,
    text: &[u8],
    size: usize,
) -> (Vec<u8>, u64) {
    let links: Arc<dyn Links> = Arc::new(table.clone());
    let mut rewriting = TextRewriting::new(links, table.origins(), syntax, encoding).unwrap();
    let mut out = Vec::new();
    for chunk in text.chunks(size.max(1)) {
        rewriting.push(chunk, &mut out);
    }
    let counts = rewriting.end(&mut out);
    (out, counts.links)
}

/// The same, whole and in UTF-8.
pub(super) fn text(syntax: Syntax, text: &str) -> String {
    let (out, _) = run(&Table::corp(), syntax, UTF_8, text.as_bytes(), text.len());
    String::from_utf8(out).unwrap()
}
