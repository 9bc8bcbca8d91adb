//! Hosts of the inside that one page names, for who does not know all that is published.

use std::collections::{BTreeMap, HashSet};

use encoding_rs::UTF_8;
use url::Url;

use super::page::MOST_LINKS;
use crate::model::Host;
use crate::translate::markup::{Finds, Found, LinkFinder, Use};
use crate::translate::urls::{host_of, is_not_public};

/// The longest link that is read: names of hosts take more than linear time.
const LONGEST_LINK: usize = 4096;

/// What the links of a page name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// How many links were looked at; of more the first are.
    pub links: u64,
    /// Hosts that nobody outside has, as far as can be told from their names, with how often they are named.
    pub hosts: BTreeMap<String, u64>,
}

impl Inside {
    /// Reads a page, HTML, or its beginning. `published` are the hosts that are known to be, outside and inside.
    #[must_use]
    pub fn of(page: &[u8], published: &HashSet<Host>) -> Self {
        let mut names = Names {
            published,
            found: Self::default(),
        };
        if let Some(mut finder) = LinkFinder::new(UTF_8) {
            finder.push(page, &mut names);
            finder.end(&mut names);
        }
        names.found
    }
}

struct Names<'a> {
    published: &'a HashSet<Host>,
    found: Inside,
}

impl Finds for Names<'_> {
    fn found(&mut self, link: Found<'_>) {
        if link.purpose == Use::Base || self.found.links >= MOST_LINKS {
            return;
        }
        self.found.links += 1;
        let Some(host) = host_in(link.url) else {
            return;
        };
        if is_not_public(&host) && !self.published.contains(&host) {
            *self.found.hosts.entry(host.to_string()).or_default() += 1;
        }
    }
}

/// The host of a link that names one.
fn host_in(link: &str) -> Option<Host> {
    let link = link.trim_matches(|c: char| c <= ' ');
    if link.len() > LONGEST_LINK {
        return None;
    }
    let url = match link.starts_with("//") {
        true => Url::parse(&format!("http:{link}")),
        false => Url::parse(link),
    };
    let url = url.ok()?;
    matches!(url.scheme(), "http" | "https" | "ws" | "wss")
        .then(|| host_of(&url))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_nobody_outside_has_are_counted() {
        let page = r#"<base href="http://base.corp/"><a href="http://intranet/news">n</a>
            <a href='//INTRANET/x'>n</a><img src=http://10.1.2.3/x.png><a href=/own>o</a>
            <a href="https://www.example.org/">e</a><form action="http://wiki.corp.local/"></form>
            <a href="mailto:a@intranet">m</a><a href="http://[fd00::1]:8080/">6</a><a href="http://[">b</a>"#;
        let published = HashSet::from([Host::parse("wiki.corp.local").unwrap()]);
        let found = Inside::of(page.as_bytes(), &published);
        let hosts: Vec<_> = found.hosts.iter().map(|(h, n)| (h.as_str(), *n)).collect();
        assert_eq!(hosts, [("10.1.2.3", 1), ("[fd00::1]", 1), ("intranet", 2)]);
        assert_eq!(found.links, 9);
        assert_eq!(Inside::of(b"", &published), Inside::default());
    }

    #[test]
    fn of_very_many_links_the_first_are_looked_at() {
        let page: String = (0..MOST_LINKS + 10)
            .map(|n| format!("<a href=http://h{n}/>"))
            .collect();
        let found = Inside::of(page.as_bytes(), &HashSet::new());
        assert_eq!(found.links, MOST_LINKS);
        assert_eq!(found.hosts.len() as u64, MOST_LINKS);
    }
}
