//! Links of an application's pages that are dead for people outside.
//!
//! A page is read as it came, before anything of it changes. What becomes of each of its links is worked out as
//! browsers outside have it, and compared with what is published.
//!
//! | file | holds |
//! |---|---|
//! | `judge` | one link: whether it leads anywhere, and why not |
//! | `follow` | which pages may be asked for next |
//! | `page` | one page while it is read |
//! | `inside` | hosts that one page names, where what is published is not known |

mod follow;
mod inside;
mod judge;
mod page;

use serde::{Deserialize, Serialize};

pub use inside::Inside;
pub use page::{Crawler, Looked, Looking, Redirect};

/// How many dead links are told. The others are counted.
pub const MOST_DEAD: usize = 100;

/// So much of a page is looked at.
pub const LONGEST_PAGE: usize = 1024 * 1024;

/// The longest URL that is told; of a longer one its beginning is.
const LONGEST: usize = 1000;

/// What was found on the pages of one application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crawled {
    /// In the order they were asked for.
    pub pages: Vec<PageSeen>,
    /// Each once, [`MOST_DEAD`] at most.
    pub dead: Vec<Dead>,
    /// How many more links are dead than are told.
    pub more: u64,
}

/// A page that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSeen {
    /// Where people find it, without the query.
    pub path: String,
    /// What the application answered, if it did.
    pub status: Option<u16>,
    /// Of what type that is.
    pub content_type: Option<String>,
    /// How many links were looked at.
    pub links: u64,
    /// Why it was not looked at, or not to its end: a word, and after a colon what there is to say.
    pub skip: Option<String>,
}

/// A dead link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dead {
    /// The first page it stands on.
    pub page: String,
    /// Where it leads, without query and fragment.
    pub url: String,
    /// Where in the page: `a[href]`, or `style` for the text of that element.
    pub element: String,
    /// What is wrong with it.
    pub why: Why,
    /// How often it stands there, over all pages.
    pub count: u64,
}

/// Why a link is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its host is one of the inside, and no application is published there.
    Unpublished,
    /// It is loaded by http into a page that came by https, and browsers refuse that.
    MixedContent,
    /// The application has it, outside of the path that is published.
    OutOfPath,
    /// It is published, and stays internal, since pages like this are not translated.
    NotTranslated,
}

impl Why {
    /// Its word, as it is written in data.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::MixedContent => "mixed_content",
            Self::OutOfPath => "out_of_path",
            Self::NotTranslated => "not_translated",
        }
    }
}

impl PageSeen {
    /// The same, which was not looked at, or not to its end.
    #[must_use]
    pub fn skipped(mut self, why: &str) -> Self {
        self.skip = Some(why.to_owned());
        self
    }
}

impl Crawled {
    /// Adds a page, and what was found on it.
    pub fn add(&mut self, mut page: PageSeen, looked: Looked) {
        page.links += looked.links;
        self.pages.push(page);
        self.more += looked.more;
        for dead in looked.dead {
            self.more += add(&mut self.dead, dead);
        }
    }
}

/// Adds a dead link to others; gives how many of it are not told.
fn add(all: &mut Vec<Dead>, dead: Dead) -> u64 {
    let is_same = |one: &&mut Dead| {
        (&*one.url, &*one.element, one.why) == (&*dead.url, &*dead.element, dead.why)
    };
    if let Some(known) = all.iter_mut().find(is_same) {
        known.count += dead.count;
    } else if all.len() < MOST_DEAD {
        all.push(dead);
    } else {
        return dead.count;
    }
    0
}

/// The beginning of a text that anybody may have written.
fn short(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests;
