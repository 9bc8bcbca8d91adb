//! Published paths.

use std::sync::Arc;

use super::UrlError;

/// A published path: begins and ends in `/`, without escapes or dot segments, so that what a
/// request's path must begin with is one sequence of octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// Takes a path such as `/` or `/wiki/`.
    ///
    /// # Errors
    /// Where the path is not of that form.
    pub fn new(path: &str) -> Result<Self, UrlError> {
        let refuse = |why| UrlError::Path(path.to_owned(), why);
        if !path.starts_with('/') {
            return Err(refuse("no `/` at its beginning"));
        }
        if !path.ends_with('/') {
            return Err(UrlError::NoTrailingSlash(path.to_owned()));
        }
        if path.contains("//") {
            return Err(refuse("an empty segment (`//`)"));
        }
        if path.split('/').any(|s| s == "." || s == "..") {
            return Err(refuse("a dot segment"));
        }
        if let Some(bad) = path.bytes().find(|&b| !is_plain_path_octet(b)) {
            return Err(refuse(match bad {
                b'%' => "an escape (`%`): publish the path above it",
                b'\\' => "a backslash",
                b';' => "a `;`",
                _ => "a character that would have to be escaped: publish the path above it",
            }));
        }
        if path == "/.appproxy/" || path.starts_with("/.appproxy/") {
            return Err(refuse(
                "the beginning `/.appproxy/`, which is the gateway's own on every host",
            ));
        }
        Ok(Self(path.into()))
    }

    /// The root, `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The path, with both its slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// What remains of a request's path below this prefix, without a leading slash; `None` where
    /// the path is not below it. `/wiki` itself is not below `/wiki/`: see [`PathPrefix::is_bare`].
    #[must_use]
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.0)
    }

    /// Whether `path` is this prefix without its last slash: the visitor is sent to the form with it.
    #[must_use]
    pub fn is_bare(&self, path: &str) -> bool {
        !self.is_root() && self.0.strip_suffix('/') == Some(path)
    }
}

fn is_plain_path_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&b)
}
