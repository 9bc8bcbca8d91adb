//! One link: where it leads for people outside, and why that is nowhere.

use std::sync::Arc;

use http::uri::PathAndQuery;
use url::Url;

use super::{Why, follow, short};
use crate::http::map_path;
use crate::translate::View;
use crate::translate::markup::{Links, Use};
use crate::translate::urls::{Sites, host_of};

/// The longest link that is read: names of hosts take more than linear time.
const LONGEST_LINK: usize = 4096;

/// What links of one page are judged by.
pub(super) struct Judge {
    sites: Arc<Sites>,
    view: View,
    links: Arc<dyn Links>,
    /// Whether what stands there is translated on its way.
    is_translated: bool,
    /// The page, or its base: as the application knows it, and as people do.
    inside: Url,
    outside: Url,
    /// Scheme and authority of a base, where root-relative links lead.
    base: Option<String>,
    has_base: bool,
    /// Where people find the page.
    page: Url,
}

/// A link, as browsers read it.
pub(super) struct Link {
    inside: Url,
    outside: Url,
}

/// A link that leads nowhere.
pub(super) struct Nowhere {
    pub(super) url: String,
    pub(super) why: Why,
}

impl Judge {
    /// Of a page that people find at this path (and query); `None` where nothing is published there.
    pub(super) fn new(
        sites: &Arc<Sites>,
        view: View,
        path: &str,
        is_translated: bool,
    ) -> Option<Self> {
        let application = view.application();
        let map = view.map()?;
        let asked: PathAndQuery = path.parse().ok()?;
        let below = map_path(
            &application.external.path,
            application.internal.path(),
            &asked,
        )?;
        let scheme = map.internal().scheme.as_str();
        let inside = format!("{scheme}://{}{below}", map.host_header());
        let outside = format!("{}{asked}", map.external_origin());
        let (inside, outside) = (Url::parse(&inside).ok()?, Url::parse(&outside).ok()?);
        Some(Self {
            sites: Arc::clone(sites),
            links: view.clone().links(),
            view,
            is_translated,
            inside,
            page: outside.clone(),
            outside,
            base: None,
            has_base: false,
        })
    }

    /// Follows the page's first `base` element.
    pub(super) fn set_base(&mut self, text: &str) {
        if std::mem::replace(&mut self.has_base, true) {
            return;
        }
        let Some(link) = self.read(text) else {
            return;
        };
        let has_origin = link.inside.origin() != self.inside.origin() || text.contains("//");
        self.base = has_origin.then(|| link.inside.origin().ascii_serialization());
        (self.inside, self.outside) = (link.inside, link.outside);
    }

    /// A link as it is written; `None` for what leads to the page itself, to nothing on the web, or is no URL.
    pub(super) fn read(&self, text: &str) -> Option<Link> {
        let text = text.trim_matches(|c: char| c <= ' ');
        if text.is_empty() || text.starts_with('#') || text.len() > LONGEST_LINK {
            return None;
        }
        // Browsers skip these, and take `\` for `/`.
        let text = text.replace(['\t', '\n', '\r'], "");
        let (head, tail) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        let head = head.replace('\\', "/");
        let link = Link {
            inside: self.inside.join(&text).ok()?,
            outside: self.outside.join(&(self.written(head) + tail)).ok()?,
        };
        matches!(link.outside.scheme(), "http" | "https").then_some(link)
    }

    /// A link as people get it.
    fn written(&self, head: String) -> String {
        if !self.is_translated {
            return head;
        }
        let is_rooted = head.starts_with('/') && !head.starts_with("//");
        let external = match &self.base {
            Some(origin) if is_rooted => self.links.translate(&format!("{origin}{head}")),
            _ => self.links.translate(&head),
        };
        external.unwrap_or(head)
    }

    /// Whether a link leads nowhere.
    pub(super) fn judge(&self, link: &Link, purpose: Use) -> Option<Nowhere> {
        let Link { inside, outside } = link;
        let is_loaded = matches!(purpose, Use::Loaded | Use::Sent);
        let is_mixed = is_loaded && self.page.scheme() == "https" && outside.scheme() == "http";
        let dead = |url: &Url, why| {
            let url = told(url);
            Some(Nowhere { url, why })
        };
        if self.leads_somewhere(outside) {
            return None;
        }
        // By http the gateway answers with the way to https, which is for people to follow.
        let by_https = by_https(outside);
        if by_https.is_some_and(|url| self.leads_somewhere(&url)) {
            return is_mixed.then(|| dead(outside, Why::MixedContent)).flatten();
        }
        if !self.is_translated && self.published(inside).is_some() {
            return dead(inside, Why::NotTranslated);
        }
        let map = self.view.map();
        let is_own = outside.origin() == self.page.origin()
            || map.is_some_and(|map| map.is_own_origin_inside(inside));
        if is_own {
            return dead(inside, Why::OutOfPath);
        }
        if host_of(outside).is_some_and(|host| self.sites.is_inside(&host)) {
            return dead(inside, Why::Unpublished);
        }
        is_mixed.then(|| dead(outside, Why::MixedContent)).flatten()
    }

    fn leads_somewhere(&self, url: &Url) -> bool {
        self.sites.owner(url).is_some() || follow::is_ours(url.path()) && self.sites.is_served(url)
    }

    /// Where people find what is at an internal URL.
    fn published(&self, inside: &Url) -> Option<Url> {
        let mut head = inside.clone();
        head.set_query(None);
        head.set_fragment(None);
        Url::parse(&self.links.translate(head.as_str())?).ok()
    }

    /// The path and query of a link that leads to the same application at the same place, as people ask for it,
    /// whether they can get there by this link or not.
    pub(super) fn stays(&self, link: &Link) -> Option<String> {
        let application = self.view.application();
        let is_own = |url: &Url| {
            url.origin() == self.page.origin() && self.sites.owner(url) == Some(&application.name)
        };
        let target = match is_own(&link.outside) {
            true => link.outside.clone(),
            false => {
                let mut target = self.published(&link.inside)?;
                target.set_query(link.inside.query());
                Some(target).filter(is_own)?
            }
        };
        let external = &application.external.path;
        // What lacks its last slash is led to where it has it.
        let path = match external.is_bare(target.path()) {
            true => external.as_str(),
            false => target.path(),
        };
        external.rest(path)?;
        Some(match target.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }
}

impl Link {
    /// Where it leads, for the eye.
    pub(super) fn told(&self) -> String {
        told(&self.outside)
    }
}

/// The same URL by https, where it is by http at the usual port.
fn by_https(url: &Url) -> Option<Url> {
    let mut secure = url.clone();
    let is_usual = url.scheme() == "http" && url.port().is_none();
    (is_usual && secure.set_scheme("https").is_ok()).then_some(secure)
}

/// Without what may be secret, and not too long.
fn told(url: &Url) -> String {
    short(&format!(
        "{}{}",
        url.origin().ascii_serialization(),
        url.path()
    ))
}
