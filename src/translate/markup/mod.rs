//! The links of pages and style sheets, found while they stream. Nothing but links changes: the rest
//! comes out octet by octet as it came.
//!
//! | file | holds |
//! |---|---|
//! | `links` | what is asked about a URL |
//! | `html`, `css` | where URLs stand in a page and in a style sheet |
//! | `value`, `lists`, `refresh` | the URLs of one attribute: alone, several, or behind a time |
//! | `decoded`, `charset`, `output` | entities and encodings, there and back |
//! | `inline` | scripts and styles of a page that are others now, for policies that name them by hash |

mod charset;
mod css;
mod decoded;
mod html;
mod inline;
mod links;
mod lists;
mod output;
mod refresh;
mod value;

pub(super) use charset::Charset;
pub use css::CssRewriting;
pub(super) use decoded::Edits;
pub use html::{Broken, Counts, Finished, HtmlOptions, HtmlRewriting, Scripts};
pub(super) use html::{Finds, Found, LinkFinder, Use};
pub use inline::{Changed, Hash, Inline, hash_of, hashes_of};
pub use links::Links;
pub(super) use output::{Collected, Output};

#[cfg(test)]
mod tests;
