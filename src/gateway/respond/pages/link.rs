//! Where a page may lead: a path of the same origin, or a page on the web. There is no third, so that
//! no `javascript:` and no `data:` can ever stand in one.

use std::fmt;

use url::{Origin, Url};

/// A path of the page's own origin, with its query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnPath(String);

impl OwnPath {
    /// Takes a path as it stands in a request or in the configuration; `None` where it is none, or
    /// could be read as a host.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // SECURITY: a second slash, or a backslash that browsers take for one, would name a host;
        // tabs and line breaks are left out of URLs by browsers, so that one could hide a slash.
        let is_path = text.starts_with('/')
            && !text.starts_with("//")
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        is_path.then(|| Self(text.to_owned()))
    }

    /// The path as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page on the web, over https or http.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(Url);

impl WebUrl {
    /// Takes an absolute URL with a host and without a user name or password; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        let is_named = url.username().is_empty() && url.password().is_none();
        (is_web && is_named).then_some(Self(url))
    }

    /// The URL as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Host, and port where it is not the usual one, as people are to see it: names in the letters of
    /// DNS, since other letters can be made to look like them.
    pub(super) fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// The origin as a source of a policy (CSP Level 3, section 2.3.1). An IPv6 address cannot be one,
    /// and a policy that had it would be read without it.
    pub(super) fn source(&self) -> Option<String> {
        match self.0.origin() {
            Origin::Tuple(_, url::Host::Ipv6(_), _) | Origin::Opaque(_) => None,
            origin => Some(origin.ascii_serialization()),
        }
    }
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// To the same origin.
    Own(OwnPath),
    /// Anywhere.
    Web(WebUrl),
}

impl Link {
    /// The address as text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Own(path) => path.as_str(),
            Self::Web(url) => url.as_str(),
        }
    }
}

impl From<OwnPath> for Link {
    fn from(path: OwnPath) -> Self {
        Self::Own(path)
    }
}

impl From<WebUrl> for Link {
    fn from(url: WebUrl) -> Self {
        Self::Web(url)
    }
}

macro_rules! in_an_attribute {
    ($($name:ident)*) => {$(
        /// As it stands in a quoted attribute.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                super::markup::Markup::words(self.as_str()).fmt(f)
            }
        }
    )*};
}

in_an_attribute! { OwnPath WebUrl Link }

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_of_the_same_origin() {
        for good in [
            "/",
            "/a?b=c&d='e'",
            "/a//b",
            "/app/#/x",
            "/%2f%2fevil.example",
        ] {
            assert_eq!(OwnPath::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a b",
            "/é",
            "\\/evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
        ] {
            assert_eq!(OwnPath::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_page_is_on_the_web() {
        for (written, authority, source) in [
            (
                "https://A.example:443/x",
                "a.example",
                Some("https://a.example"),
            ),
            (
                "http://a.example:8080/",
                "a.example:8080",
                Some("http://a.example:8080"),
            ),
            (
                "https://bücher.example/",
                "xn--bcher-kva.example",
                Some("https://xn--bcher-kva.example"),
            ),
            ("https://[::1]:8443/", "[::1]:8443", None),
        ] {
            let url = WebUrl::parse(written).unwrap();
            assert_eq!(url.authority(), authority);
            assert_eq!(url.source().as_deref(), source);
        }
        for bad in [
            "",
            "/x",
            "//a.example/",
            "javascript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://u@a.example/",
            "blob:https://a.example/x",
            "https://",
        ] {
            assert_eq!(WebUrl::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        /// What a browser makes of it: whatever is taken for a path stays at the page's origin.
        #[test]
        fn no_path_leaves_its_origin(text in "[/\\\\.:@a?#%\t\n -~]{0,12}") {
            let page = Url::parse("https://own.example/page").unwrap();
            for text in [text.clone(), format!("/{text}")] {
                if let Some(path) = OwnPath::parse(&text) {
                    let reached = page.join(path.as_str()).unwrap();
                    prop_assert_eq!(reached.origin(), page.origin(), "{}", text);
                }
            }
        }
    }
}
