//! Uploads: counted and hashed as they arrive, never held.

use aws_lc_rs::digest;
use bytes::{Buf as _, BytesMut};
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{Answer, accepts, header, json, pages, refuse};

/// The most that the header of a part may hold.
const LONGEST_PART_HEAD: usize = 16 * 1024;

/// Answers with the count and the SHA-256 of what arrived.
pub(super) async fn receive(request: Request<Incoming>) -> Answer {
    let html = accepts(&request, "text/html");
    let boundary = header(&request, &CONTENT_TYPE).and_then(boundary_of);
    let mut part = boundary.as_deref().map(FirstPart::new);
    let multipart = part.is_some();
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut octets: u64 = 0;
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        // The connection is broken, so nobody hears this.
        let frame = frame.map_err(|_| refuse("the upload broke off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let mut note = |content: &[u8]| {
            hash.update(content);
            octets += content.len() as u64;
        };
        match &mut part {
            None => note(&data),
            Some(part) => part.read(&data, &mut note).map_err(refuse)?,
        }
    }
    if part.is_some_and(|part| part.place != Place::After) {
        return Err(refuse("the multipart body ends before its first part does"));
    }
    let sha256: String = hash
        .finish()
        .as_ref()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    if html {
        return Ok(pages::uploaded(octets, &sha256));
    }
    Ok(json(&serde_json::json!({
        "octets": octets,
        "sha256": sha256,
        "multipart": multipart,
    })))
}

/// The boundary of `multipart/form-data`.
fn boundary_of(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Finds the content of the first part of a multipart body (RFC 2046, section 5.1).
pub(super) struct FirstPart {
    /// A line end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    held: BytesMut,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Head,
    Content,
    After,
}

impl FirstPart {
    pub(super) fn new(boundary: &str) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter need not follow a line.
            held: BytesMut::from(&b"\r\n"[..]),
            place: Place::Before,
        }
    }

    /// Takes the next octets and hands on those that are content.
    pub(super) fn read(
        &mut self,
        data: &[u8],
        note: &mut impl FnMut(&[u8]),
    ) -> Result<(), &'static str> {
        self.held.extend_from_slice(data);
        loop {
            match self.place {
                Place::Before | Place::Content => {
                    let found = find(&self.held, &self.delimiter);
                    // What could be the beginning of a delimiter waits for the rest of it.
                    let sure = found
                        .unwrap_or_else(|| self.held.len().saturating_sub(self.delimiter.len()));
                    if self.place == Place::Content {
                        note(&self.held[..sure]);
                    }
                    self.held.advance(sure);
                    if found.is_none() {
                        return Ok(());
                    }
                    self.place = if self.place == Place::Before {
                        Place::Head
                    } else {
                        Place::After
                    };
                }
                Place::Head => match find(&self.held, b"\r\n\r\n") {
                    Some(end) => {
                        self.held.advance(end + 4);
                        self.place = Place::Content;
                    }
                    None if self.held.len() > LONGEST_PART_HEAD => {
                        return Err("the head of a part has 16 KiB at most");
                    }
                    None => return Ok(()),
                },
                Place::After => {
                    self.held.clear();
                    return Ok(());
                }
            }
        }
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(place) = hay[from..].iter().position(|octet| *octet == needle[0]) {
        if hay[from + place..].starts_with(needle) {
            return Some(from + place);
        }
        from += place + 1;
    }
    None
}
