//! What the rewriters ask about a URL.

/// Published URLs, as the rewriters see them.
pub trait Links: Send + Sync {
    /// What stands in place of a URL: absolute (`http://host:port/path?q#f`), protocol-relative
    /// (`//host/..`) or root-relative (`/path`), any letter case in scheme and host, IDN or
    /// punycode; `None` leaves it as it is. The rewriters ask without query and fragment.
    fn translate(&self, url: &str) -> Option<String>;

    /// What would, of a URL that stands nowhere.
    fn would_translate(&self, url: &str) -> Option<String> {
        self.translate(url)
    }

    /// Whether root-relative URLs change at all (paths differ).
    fn changes_root(&self) -> bool;

    /// A Content Security Policy in a `meta` element with its sources translated; `None` leaves it
    /// as it is.
    fn translate_policy(&self, _policy: &str) -> Option<String> {
        None
    }
}
