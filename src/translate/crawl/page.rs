//! One page while it is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::judge::Judge;
use super::{Dead, LONGEST_PAGE, add, follow};
use crate::translate::View;
use crate::translate::body::{Broken, Rewrite, Text};
use crate::translate::markup::{Finds, Found, LinkFinder, Use};
use crate::translate::urls::Sites;

/// How many pages to look at next are kept of one page.
const MOST_NEXT: usize = 100;

/// How many links of one page are looked at. SECURITY: each takes its time, and nobody else has the thread meanwhile.
pub(super) const MOST_LINKS: u64 = 5000;

/// Looks at pages of one application.
pub struct Crawler {
    view: View,
    sites: Arc<Sites>,
}

/// Where an answer sends who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// To this path of the same application, as people ask for it.
    Inside(String),
    /// Elsewhere, or to what is not to be asked for.
    Outside(String),
}

/// What was found on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// How many links were looked at.
    pub links: u64,
    /// Those that are dead, each once.
    pub dead: Vec<Dead>,
    /// How many more are dead than are told.
    pub more: u64,
    /// Paths of pages to look at next, as people ask for them.
    pub next: Vec<String>,
    /// The page is longer than what is looked at.
    pub is_too_long: bool,
}

/// One page. Its text goes to a [`rewriter`](Self::rewriter), out of which nothing comes.
#[derive(Clone)]
pub struct Looking(Arc<Mutex<State>>);

struct State {
    judge: Judge,
    path: String,
    looked: Looked,
}

impl Crawler {
    /// Of the application whose links these are.
    #[must_use]
    pub fn new(view: View) -> Self {
        let sites = Arc::new(Sites::new(view.table()));
        Self { view, sites }
    }

    /// Looks at the page that people find at this path and query, and that came from this of the internal URLs;
    /// `None` where the application is not published there. `is_translated`: its links are, on their way.
    #[must_use]
    pub fn page(&self, url: usize, path: &str, is_translated: bool) -> Option<Looking> {
        let judge = self.judge(url, path, is_translated)?;
        let path = path.split('?').next().unwrap_or_default().to_owned();
        Some(Looking(Arc::new(Mutex::new(State {
            judge,
            path,
            looked: Looked::default(),
        }))))
    }

    /// Where `Location` leads in the answer for such a page; `None` where it cannot be read.
    #[must_use]
    pub fn redirect(&self, url: usize, path: &str, location: &str) -> Option<Redirect> {
        let judge = self.judge(url, path, self.view.settings().headers)?;
        let link = judge.read(location)?;
        // One with a query may do something, as a link with one may.
        let inside = judge.stays(&link).filter(|to| follow::may(to));
        Some(inside.map_or_else(|| Redirect::Outside(link.told()), Redirect::Inside))
    }

    fn judge(&self, url: usize, path: &str, is_translated: bool) -> Option<Judge> {
        let mut view = self.view.clone();
        view.choose(url);
        Judge::new(&self.sites, view, path, is_translated)
    }
}

impl Looking {
    /// What looks at the text of the page.
    #[must_use]
    pub fn rewriter(&self, text: &Text) -> Box<dyn Rewrite> {
        Box::new(Reading {
            finder: LinkFinder::new(text.encoding),
            page: self.clone(),
            room: LONGEST_PAGE,
        })
    }

    /// What was found so far.
    #[must_use]
    pub fn looked(&self) -> Looked {
        self.state().looked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finds for State {
    fn found(&mut self, found: Found<'_>) {
        if found.purpose == Use::Base {
            return self.judge.set_base(found.url);
        }
        if self.looked.links >= MOST_LINKS {
            self.looked.is_too_long = true;
            return;
        }
        self.looked.links += 1;
        let Some(link) = self.judge.read(found.url) else {
            return;
        };
        if let Some(nowhere) = self.judge.judge(&link, found.purpose) {
            let element = match (found.element, found.attribute) {
                (element, "") => element.to_owned(),
                // Longer than any that is known.
                ("", attribute) => format!("*[{attribute}]"),
                (element, attribute) => format!("{element}[{attribute}]"),
            };
            let dead = Dead {
                page: self.path.clone(),
                url: nowhere.url,
                element,
                why: nowhere.why,
                count: 1,
            };
            self.looked.more += add(&mut self.looked.dead, dead);
        }
        if found.purpose == (Use::Followed { to_page: true })
            && let Some(path) = self.judge.stays(&link).filter(|path| follow::may(path))
            && self.looked.next.len() < MOST_NEXT
            && path != self.path
            && !self.looked.next.contains(&path)
        {
            self.looked.next.push(path);
        }
    }
}

/// Takes a page in, and gives nothing.
struct Reading {
    /// `None` for an encoding that nothing is found in.
    finder: Option<LinkFinder>,
    page: Looking,
    /// So many octets more are looked at.
    room: usize,
}

impl Rewrite for Reading {
    fn push(&mut self, chunk: &[u8], _out: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(finder) = &mut self.finder else {
            return Err(Broken::Lost("links cannot be found in its encoding"));
        };
        let now = chunk.get(..self.room).unwrap_or(chunk);
        self.room -= now.len();
        let mut state = self.page.state();
        finder.push(now, &mut *state);
        if now.len() == chunk.len() && !state.looked.is_too_long {
            return Ok(());
        }
        state.looked.is_too_long = true;
        Err(Broken::Lost("the page is longer than what is looked at"))
    }

    fn end(self: Box<Self>, _out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(finder) = self.finder {
            finder.end(&mut *self.page.state());
        }
        Ok(())
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.finder.as_ref().map_or(0, LinkFinder::kept)
    }
}
