//! What of an application's answers and requests is turned from internal to external, and back.

use std::fmt;

use super::condition::PathRule;
use super::url::Host;

/// A kind of body that can be looked through for links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// Pages, XHTML among them.
    Html,
    /// Style sheets.
    Css,
    /// JSON, and what is built on it.
    Json,
    /// Scripts.
    JavaScript,
    /// XML: SVG, RSS, Atom and others.
    Xml,
    /// Other text.
    Text,
}

impl BodyKind {
    /// All kinds, as configurations list them.
    pub const ALL: [Self; 6] = [
        Self::Html,
        Self::Css,
        Self::Json,
        Self::JavaScript,
        Self::Xml,
        Self::Text,
    ];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Css => "css",
            Self::Json => "json",
            Self::JavaScript => "javascript",
            Self::Xml => "xml",
            Self::Text => "text",
        }
    }

    /// Whether programs read it and write it back: a link that changed on its way to them would come
    /// back changed.
    #[must_use]
    pub const fn is_data(self) -> bool {
        matches!(self, Self::Json | Self::JavaScript | Self::Xml | Self::Text)
    }
}

impl fmt::Display for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is rewritten in an application's requests and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTranslation {
    /// Internal URLs in response headers become external ones, and WebDAV's the other way round.
    pub headers: bool,
    /// Kinds of answers in whose bodies they become external too.
    pub body: Vec<BodyKind>,
    /// In requests external URLs become internal again: in bodies where answers of the kind are
    /// translated, in forms, and in the query.
    pub round_trip: bool,
    /// Further attributes of pages that hold a URL.
    pub attributes: Vec<LinkAttribute>,
    /// Words that become others.
    pub replacements: Vec<Replacement>,
    /// What passes as it comes, whatever `body` says.
    pub exclude: Vec<Exclusion>,
    /// Who may ask what was done to an answer.
    pub report: Vec<Reader>,
    /// Domains for which the application may set cookies, each the external host or a parent of
    /// it; every other cookie is for the external host alone.
    pub cookie_domains: Vec<Host>,
}

impl Default for LinkTranslation {
    fn default() -> Self {
        Self {
            headers: true,
            body: Vec::new(),
            round_trip: false,
            attributes: Vec::new(),
            replacements: Vec::new(),
            exclude: Vec::new(),
            report: Vec::new(),
            cookie_domains: Vec::new(),
        }
    }
}

/// An attribute that holds a URL: `data-url` on any element, or `x-player[data-url]` on one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAttribute {
    /// The element, lower case; any where there is none.
    pub element: Option<Box<str>>,
    /// The attribute, lower case.
    pub attribute: Box<str>,
}

impl LinkAttribute {
    /// `None` for anything but `attribute` and `element[attribute]`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (element, attribute) = match text.strip_suffix(']') {
            Some(text) => {
                let (element, attribute) = text.split_once('[')?;
                (Some(element), attribute)
            }
            None => (None, text),
        };
        let is_name = |name: &str| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_:".contains(&b);
            name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
                && name.bytes().all(is_plain)
        };
        let good = is_name(attribute) && element.is_none_or(is_name);
        good.then(|| Self {
            element: element.map(|name| name.to_ascii_lowercase().into()),
            attribute: attribute.to_ascii_lowercase().into(),
        })
    }
}

impl fmt::Display for LinkAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.element {
            Some(element) => write!(f, "{element}[{}]", self.attribute),
            None => f.write_str(&self.attribute),
        }
    }
}

/// A word that becomes another one wherever it stands, before links are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Never empty.
    pub find: Box<str>,
    /// Never empty: what stands around a word must not come together.
    pub replace: Box<str>,
    /// In these kinds of bodies.
    pub body: Vec<BodyKind>,
}

impl Replacement {
    /// The longest word, in characters.
    pub const LONGEST: usize = 1024;

    /// How many an application may have.
    pub const MOST: usize = 64;

    /// How many characters all words that are looked for may have: what finds them grows with it.
    pub const MOST_TOGETHER: usize = 8192;
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} to {:?}", self.find, self.replace)?;
        fmt_list(f, " in ", &self.body)
    }
}

/// Answers that pass as they come. All that is named has to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// At or below one of these external paths; anywhere where there is none.
    pub paths: Vec<PathRule>,
    /// Of one of these kinds; of any where there is none.
    pub body: Vec<BodyKind>,
    /// Of one of these media types, lower case; of any where there is none.
    pub types: Vec<Box<str>>,
}

impl Exclusion {
    /// Whether an answer of this kind and media type passes as it comes. The path is folded: lower case,
    /// decoded.
    #[must_use]
    pub fn fits(&self, path: &str, kind: BodyKind, media_type: &str) -> bool {
        (self.paths.is_empty() || self.paths.iter().any(|one| one.covers_folded(path)))
            && (self.body.is_empty() || self.body.contains(&kind))
            && (self.types.is_empty() || self.types.iter().any(|one| **one == *media_type))
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = [
            ("paths", self.paths.iter().map(|p| p.as_str()).collect()),
            ("body", self.body.iter().map(|kind| kind.as_str()).collect()),
            ("types", self.types.iter().map(|t| &**t).collect::<Vec<_>>()),
        ]
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| format!("{key} {}", values.join(", ")))
        .collect();
        f.write_str(&all.join("; "))
    }
}

/// People who may ask for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// They are in this group, as the provider names it.
    pub group: Box<str>,
    /// The provider says so, where there are several.
    pub provider: Option<Box<str>>,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "{} of {provider}", self.group),
            None => f.write_str(&self.group),
        }
    }
}

fn fmt_list(f: &mut fmt::Formatter<'_>, before: &str, kinds: &[BodyKind]) -> fmt::Result {
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    write!(f, "{before}{}", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_named_with_or_without_an_element() {
        for (text, shown) in [
            ("data-url", Some("data-url")),
            ("Data-URL", Some("data-url")),
            ("x-player[data-url]", Some("x-player[data-url]")),
            ("xlink:href", Some("xlink:href")),
            ("", None),
            ("[data-url]", None),
            ("a[href", None),
            ("a[]", None),
            ("a b", None),
            (".class[href]", None),
            ("a[href=x]", None),
            ("1a", None),
        ] {
            let read = LinkAttribute::new(text).map(|read| read.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }
}
