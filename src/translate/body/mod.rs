//! The way of a body through a rewriter of links: unpacked, read in its encoding, changed, written
//! in the same encoding, and packed as it came.
//!
//! | file | holds |
//! |---|---|
//! | `fields` | which answers are translated, and what requests and answers say of it |
//! | `codec` | gzip, deflate and br by push, within bounds |
//! | `charset` | which encoding a text has, and the way into one that a rewriter reads |
//! | `multipart` | the parts of what a form with files sends |
//! | `rewrite` | what a rewriter is to all this |
//! | `pipe` | all of it together, and what becomes of it where something goes wrong |

pub mod charset;
pub mod codec;
pub mod fields;
pub mod multipart;
pub mod pipe;
pub mod rewrite;

#[cfg(test)]
pub(super) mod testing;

pub use fields::{
    Asked, Boundary, FORM, Field, MediaType, Plan, Sent, Skip, TagSuffix, UPLOAD, Verdict, Wants,
    judge, judge_request, mark_translated, prepare_request, remove_digests,
};
pub use multipart::Parts;
pub use pipe::{Counts, Decision, Fatal, Step, Translating};
pub use rewrite::{Broken, Links, Maker, Rewrite, Text};
