//! Scripts and styles inside a page that its Content Security Policy names by their hashes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What of a page's own code has changed that a policy names. Shared by who looks the page through and who
/// sends its head: until the head goes out its policy can name what such code has become, and from then on it
/// may not change.
#[derive(Debug, Clone, Default)]
pub struct Inline(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By policies of the head.
    named: Names,
    /// By policies inside the page, which are out already.
    named_inside: Names,
    changed: Vec<Changed>,
    is_fixed: bool,
    kept: u64,
}

/// A set of hashes. A few octets for each are enough: what is taken for another one is treated with more care.
#[derive(Debug, Default)]
struct Names {
    marks: HashSet<u64>,
    /// There are more than are remembered, and so anything may be one of them.
    has_more: bool,
}

/// How many hashes are remembered: bounds the memory.
const MOST_NAMES: usize = 1024;

impl Names {
    fn add(&mut self, hash: &str) {
        match self.marks.len() < MOST_NAMES {
            true => drop(self.marks.insert(mark(hash))),
            false => self.has_more |= !self.marks.contains(&mark(hash)),
        }
    }

    fn has_any(&self, hashes: &[Hash]) -> bool {
        self.has_more || hashes.iter().any(|hash| self.marks.contains(&mark(hash)))
    }

    fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

fn mark(hash: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash.hash(&mut hasher);
    hasher.finish()
}

/// A hash source of CSP Level 3 without quotes, such as `sha256-…`, in the usual alphabet of base64.
pub type Hash = String;

/// The text of an element or attribute that is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// How a policy may name what came.
    pub old: [Hash; 3],
    /// How it names what goes out.
    pub new: Hash,
}

/// Bounds the memory, and the policy; a page with more is better served by a nonce.
const MOST: usize = 64;

impl Inline {
    /// With what the policies of the head name.
    #[must_use]
    pub fn new(named: HashSet<Hash>) -> Self {
        let mut state = State::default();
        named.iter().for_each(|hash| state.named.add(hash));
        Self(Arc::new(Mutex::new(state)))
    }

    /// What has changed so far. Nothing more that is named changes.
    #[must_use]
    pub fn fix(&self) -> Vec<Changed> {
        let mut state = self.lock();
        state.is_fixed = true;
        std::mem::take(&mut state.changed)
    }

    /// How many texts stayed as they came, since they may not change any more.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.lock().kept
    }

    /// How many octets it takes: a mark and an octet beside it, in tables up to half empty.
    #[cfg(test)]
    pub(in crate::translate) fn octets(&self) -> usize {
        let state = self.lock();
        let marks = state.named.marks.capacity() + state.named_inside.marks.capacity();
        let changed = state.changed.iter();
        let texts = changed.map(|one| {
            one.old
                .iter()
                .chain([&one.new])
                .map(String::capacity)
                .sum::<usize>()
        });
        2 * 9 * marks + texts.sum::<usize>() + state.changed.capacity() * size_of::<Changed>()
    }

    /// Whether code has to be seen as a whole before it changes.
    pub(in crate::translate) fn is_named(&self) -> bool {
        let state = self.lock();
        !state.named.is_empty() || !state.named_inside.is_empty()
    }

    /// What a policy inside the page names holds from there on.
    pub(super) fn name_inside(&self, policy: &[u8]) {
        let mut state = self.lock();
        hashes_of(policy).for_each(|hash| state.named_inside.add(&hash));
    }

    /// Notes down that one text becomes another; `false` where it has to stay.
    pub(super) fn change(&self, old: &str, new: &str) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if state.named.is_empty() && state.named_inside.is_empty() {
            return true;
        }
        let all = [
            ("sha256", &SHA256),
            ("sha384", &SHA384),
            ("sha512", &SHA512),
        ];
        let old = all.map(|(name, algorithm)| source(name, algorithm, old));
        let is_named = state.named.has_any(&old);
        let is_full = state.changed.len() == MOST || state.named.has_more;
        let has_to_stay = is_named && (state.is_fixed || is_full);
        if has_to_stay || state.named_inside.has_any(&old) {
            state.kept += 1;
            return false;
        }
        if is_named {
            let new = source("sha256", &SHA256, new);
            state.changed.push(Changed { old, new });
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Over the text in UTF-8, in which HTML has made line ends one.
fn source(name: &str, algorithm: &'static Algorithm, text: &str) -> Hash {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    format!(
        "{name}-{}",
        STANDARD.encode(digest(algorithm, text.as_bytes()))
    )
}

/// How many hashes of one policy are heeded: more than anybody writes.
const MOST_HASHES: usize = 4096;

/// The hashes that policies name.
pub fn hashes_of(policy: &[u8]) -> impl Iterator<Item = Hash> {
    let words = policy.split(|octet| octet.is_ascii_whitespace() || matches!(octet, b';' | b','));
    words.filter_map(hash_of).take(MOST_HASHES)
}

/// The hash that a word of a policy is. Both alphabets of base64 are read.
#[must_use]
pub fn hash_of(word: &[u8]) -> Option<Hash> {
    let inner = word.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let (name, value) = inner.split_at_checked("sha256-".len())?;
    let name = name.to_ascii_lowercase();
    if ![&b"sha256-"[..], b"sha384-", b"sha512-"].contains(&&*name) {
        return None;
    }
    let value = value.iter().map(|octet| match octet {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    String::from_utf8(name.into_iter().chain(value).collect()).ok()
}
