//! What has to wait for the next chunk.

use super::around::may_begin;
use super::spelling::Text;

/// How far a URL goes at most before its host begins: a scheme, a colon and two slashes as long as
/// they are ever written.
const LONGEST: usize = 64;

/// Where a URL may begin whose host has not come; the end where there is none. Nothing before `from`
/// is looked at.
pub(super) fn tail(text: &Text<'_>, from: usize) -> usize {
    let end = text.len();
    let begins = |&at: &usize| {
        let octet = text.octet(at).unwrap_or_default();
        matches!(
            octet,
            b'h' | b'H' | b'w' | b'W' | b'/' | b'\\' | b'%' | b'&'
        ) && may_begin(text, at)
    };
    let from = from.max(end.saturating_sub(LONGEST));
    (from..end).find(begins).unwrap_or(end)
}
