//! The links of pages and style sheets, found while they stream. Nothing but links changes: the rest
//! comes out octet by octet as it came.
//!
//! | file | holds |
//! |---|---|
//! | `links` | what is asked about a URL |
//! | `html`, `css` | where URLs stand in a page and in a style sheet |
//! | `value`, `lists`, `refresh` | the URLs of one attribute: alone, several, or behind a time |
//! | `decoded`, `charset`, `output` | entities and encodings, there and back |
//! | `changes` | inline styles that are others now, for policies that name them by hash |

mod changes;
mod charset;
mod css;
mod decoded;
mod html;
mod links;
mod lists;
mod output;
mod refresh;
mod value;

pub use changes::{Changed, Changes};
pub use css::CssRewriting;
pub use html::{Broken, Counts, Finished, HtmlOptions, HtmlRewriting};
pub use links::Links;

#[cfg(test)]
mod tests;
