//! Answers that flow, wait, break or are odd.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    IF_RANGE, RANGE, TRAILER,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::http::{Body, BodyError};

use super::{Answer, AppControl, Refusal, Watch, header, query, refuse, text, with};

/// Octets of a download that are handed on at once.
const CHUNK: u64 = 64 * 1024;

/// A download repeats 0, 1, … 250: a prime, so that a slip by any power of two is seen.
const PERIOD: u64 = 251;

/// No answer is made to wait longer.
const LONGEST_WAIT_MS: u64 = 600_000;

/// `/download`
pub(super) fn download<B>(request: &Request<B>, control: &AppControl) -> Answer {
    let size = query::size(request, "size", 10 << 20)?;
    let tag = format!("\"{size}\"");
    let wanted = header(request, &RANGE)
        .filter(|_| header(request, &IF_RANGE).is_none_or(|known| known == tag));
    let (status, start, end) = match range(wanted, size) {
        Range::All => (StatusCode::OK, 0, size),
        Range::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Range::Nowhere => {
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "no such range");
            return Err(refusal.with(CONTENT_RANGE, &format!("bytes */{size}")));
        }
    };
    let pattern: Bytes = (0..CHUNK + PERIOD).map(|i| (i % PERIOD) as u8).collect();
    let chunks = frames((start, pattern), move |(at, pattern)| async move {
        let length = CHUNK.min(end - at);
        let from = (at % PERIOD) as usize;
        let data = pattern.slice(from..from + length as usize);
        (length > 0).then(|| (Ok(Frame::data(data)), (at + length, pattern)))
    });
    let mut response = watched(request, control, chunks, Some(end - start));
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {start}-{}/{size}", end - 1);
        response = with(response, CONTENT_RANGE, &place);
    }
    response = with(response, CONTENT_LENGTH, &(end - start).to_string());
    response = with(response, ACCEPT_RANGES, "bytes");
    response = with(response, ETAG, &tag);
    Ok(with(response, CONTENT_TYPE, "application/octet-stream"))
}

enum Range {
    All,
    /// From the first octet to before the second.
    Part(u64, u64),
    Nowhere,
}

/// RFC 9110, section 14: one range is served; several, or nonsense, are the whole.
fn range(wanted: Option<&str>, size: u64) -> Range {
    let Some((first, last)) = wanted
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Range::All;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::All,
        (Ok(first), _) if first >= size => Range::Nowhere,
        (Ok(first), Ok(last)) => Range::Part(first, size.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, size),
        (Err(_), Ok(0)) if first.is_empty() => Range::Nowhere,
        (Err(_), Ok(_)) if first.is_empty() && size == 0 => Range::Nowhere,
        (Err(_), Ok(last)) if first.is_empty() => Range::Part(size.saturating_sub(last), size),
        _ => Range::All,
    }
}

/// `/events`
pub(super) fn events<B>(request: &Request<B>, control: &AppControl) -> Answer {
    let count = query::number(request, "n", u64::MAX, u64::MAX)?;
    let every = Duration::from_millis(query::number(request, "every_ms", 1000, LONGEST_WAIT_MS)?);
    let before = header(request, &HeaderName::from_static("last-event-id"))
        .and_then(|id| id.parse::<u64>().ok())
        .unwrap_or(0);
    let clock = control.shared.clock.clone();
    let ticks = frames(0_u64, move |sent| {
        let clock = clock.clone();
        async move {
            if sent >= count {
                return None;
            }
            if sent > 0 {
                tokio::time::sleep(every).await;
            }
            let id = before.saturating_add(sent).saturating_add(1);
            let event = format!("id: {id}\ndata: {}\n\n", clock.now().to_rfc3339());
            Some((Ok(Frame::data(event.into())), sent + 1))
        }
    });
    let response = watched(request, control, ticks, None);
    let response = with(response, CACHE_CONTROL, "no-cache");
    Ok(with(response, CONTENT_TYPE, "text/event-stream"))
}

/// `/chunked`
pub(super) fn chunked<B>(request: &Request<B>, control: &AppControl) -> Answer {
    let count = query::number(request, "n", 10, 1_000_000)?;
    let lines = frames(1, move |line| async move {
        let data = Frame::data(format!("chunk {line}\n").into());
        (line <= count).then_some((Ok(data), line + 1))
    });
    let response = watched(request, control, lines, None);
    Ok(with(response, CONTENT_TYPE, "text/plain; charset=utf-8"))
}

/// `/slow`
pub(super) async fn slow<B>(request: &Request<B>) -> Answer {
    let ms = query::number(request, "ms", 1000, LONGEST_WAIT_MS)?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(text(StatusCode::OK, &format!("waited {ms} ms\n")))
}

/// `/status/NNN`
pub(super) fn status(code: &str) -> Answer {
    let status = code
        .parse::<u16>()
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| refuse("/status/ is followed by 200 to 599"))?;
    if matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return Ok(response);
    }
    Ok(text(status, &format!("{status}\n")))
}

/// `/trailers`
pub(super) fn trailers() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-demo-sum", HeaderValue::from_static("42"));
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"the trailer follows\n"))),
        Ok(Frame::trailers(trailers)),
    ];
    let response = Response::new(Body::boxed(StreamBody::new(stream::iter(frames))));
    let response = with(response, TRAILER, "x-demo-sum");
    with(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// `/broken`
pub(super) fn broken() -> Response<Body> {
    let body = frames(false, |half| async move {
        if half {
            // The first half is on its way before the connection breaks.
            tokio::task::yield_now().await;
            return Some((Err(io::Error::other("broken on purpose").into()), true));
        }
        let data = Bytes::from_static(b"the first half\n");
        Some((Ok(Frame::data(data)), true))
    });
    let response = Response::new(body);
    with(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// `/big-header`
pub(super) fn big_header<B>(request: &Request<B>) -> Answer {
    let n = query::number(request, "n", 1024, 1 << 20)?;
    let byte = query::value(request, "byte").unwrap_or_else(|| "61".to_owned());
    let value = u8::from_str_radix(&byte, 16)
        .ok()
        .and_then(|octet| HeaderValue::from_bytes(&vec![octet; n as usize]).ok())
        .ok_or_else(|| refuse("byte is hexadecimal and may stand in a header, such as 61 or ff"))?;
    let mut response = text(StatusCode::OK, &format!("x-big has {n} octets\n"));
    response.headers_mut().insert("x-big", value);
    Ok(response)
}

/// A body that is made frame by frame, as it is taken.
fn frames<S, F, N>(seed: S, next: F) -> Body
where
    S: Send + 'static,
    F: FnMut(S) -> N + Send + 'static,
    N: Future<Output = Option<(Result<Frame<Bytes>, BodyError>, S)>> + Send + 'static,
{
    Body::boxed(StreamBody::new(stream::unfold(seed, next)))
}

/// An answer whose abandonment counts; for HEAD nobody takes the body, and that is well.
fn watched<B>(
    request: &Request<B>,
    control: &AppControl,
    body: Body,
    length: Option<u64>,
) -> Response<Body> {
    if request.method() == Method::HEAD {
        return Response::new(body);
    }
    Response::new(body.with_guard(Watch::new(control, length)))
}
