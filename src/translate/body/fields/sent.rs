//! How the body of a request is mapped back.

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::Skip;
use super::list::{Quoted, split};
use super::response::{Plan, Wants, how};
use super::types::{MediaType, UPLOAD, unquoted};
use crate::model::BodyKind;
use crate::translate::body::codec::Coding;
use crate::translate::text::Syntax;

/// What a body is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// One text.
    Text(Syntax),
    /// The fields of a form, each on its own, and files between them.
    Parts(Boundary),
}

/// How the body of a request is mapped back, and what it is written in. A form may hold whatever came in
/// data; a page or style sheet is kept where it is put.
///
/// # Errors
/// Where it passes as it comes: answers of its type do, or it cannot be read.
pub fn judge_request(
    method: &Method,
    headers: &HeaderMap,
    wants: Wants<'_>,
) -> Result<(Plan, Sent), Skip> {
    let mut media_type = MediaType::sent(headers).ok_or(Skip::Type)?;
    let may_be_kept = media_type.kind.is_data() || method == Method::PUT;
    if !may_be_kept {
        return Err(Skip::Type);
    }
    wants(&media_type)?;
    let sent = match media_type.essence == UPLOAD {
        true => {
            // Each part has an encoding of its own.
            media_type.charset = None;
            Sent::Parts(Boundary::of(headers).ok_or(Skip::Parts)?)
        }
        false => Sent::Text(syntax(&media_type)),
    };
    let plan = how(headers, &media_type)?;
    match plan.coding {
        // Of what anybody sends, a few octets may ask for a window of 16 MiB.
        Coding::Brotli => Err(Skip::UnknownCoding),
        _ => Ok((plan, sent)),
    }
}

/// What links are looked for in.
pub(super) fn syntax(media_type: &MediaType) -> Syntax {
    match media_type.kind {
        _ if media_type.is_form() => Syntax::Form,
        BodyKind::Json => Syntax::Json,
        BodyKind::JavaScript => Syntax::JavaScript,
        BodyKind::Xml => Syntax::Xml,
        _ => Syntax::Text,
    }
}

/// What stands between the parts of a body (RFC 2046, section 5.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(Box<[u8]>);

impl Boundary {
    /// The most octets one may have.
    pub const LONGEST: usize = 70;

    /// `None` where Content-Type does not name one, or not clearly.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get_all(CONTENT_TYPE).iter().next_back()?;
        let parameters = split(value.as_bytes(), b';', Quoted::Escapes).skip(1);
        let mut values = parameters.filter_map(|parameter| {
            let (name, value) = parameter.split_at_checked(b"boundary=".len())?;
            name.eq_ignore_ascii_case(b"boundary=").then_some(value)
        });
        match (values.next(), values.next()) {
            (Some(value), None) => Self::new(&unquoted(value), value.starts_with(b"\"")),
            _ => None,
        }
    }

    /// More characters than the standard allows, since programs use them, but none that is read in several ways.
    fn new(octets: &[u8], may_have_blanks: bool) -> Option<Self> {
        let is_one = |octet: &u8| match octet {
            b' ' => may_have_blanks,
            b'"' | b'\\' => false,
            octet => octet.is_ascii_graphic(),
        };
        let is_good = (1..=Self::LONGEST).contains(&octets.len())
            && octets.iter().all(is_one)
            && !octets.ends_with(b" ");
        is_good.then(|| Self(octets.into()))
    }

    /// What it is.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}
