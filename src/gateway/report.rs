//! What link translation does to an answer, told instead of the answer to people who may know.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{HeaderName, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::respond::Failure;
use crate::auth::Permit;
use crate::http::Body;
use crate::model::{Application, ApplicationName, ErrorCode};
use crate::translate::body::{self, Counts, Translating, Verdict};
use crate::translate::{Report, Rewriting, Seen, Translated};

/// With any value it asks for a report.
const FIELD: HeaderName = HeaderName::from_static("appproxy-translation-report");

/// How long a body is read for a report, and how much of it. A page that never ends has a report, too.
const LONGEST: Duration = Duration::from_secs(10);
const MOST: u64 = 64 * 1024 * 1024;

/// Whether a request asks for a report.
///
/// # Errors
/// Where it does, and whoever sent it is in none of the groups that may.
pub(super) fn asked_for(
    application: &Application,
    permit: &Permit,
    fields: &HeaderMap,
) -> Result<Option<Report>, Failure> {
    if !fields.contains_key(FIELD) {
        return Ok(None);
    }
    let may = permit.person().is_some_and(|person| {
        let mut readers = application.link_translation.report.iter();
        readers.any(|reader| {
            let says = |provider: &str| *person.provider == *provider;
            person.is_in(&reader.group) && reader.provider.as_deref().is_none_or(says)
        })
    });
    match may {
        true => Ok(Some(Report::default())),
        false => Err(Failure::new(
            ErrorCode::Denied,
            format!(
                "a report of link translation was asked for with `{FIELD}`, and `link_translation.report` names \
                 no group that this person is in"
            ),
        )),
    }
}

/// What is reported of.
pub(super) struct Told<'t> {
    pub(super) application: &'t ApplicationName,
    pub(super) report: Report,
    pub(super) verdict: &'t Verdict,
    pub(super) method: &'t Method,
}

/// Reads an answer to its end and makes a report of it.
pub(super) async fn answer(
    told: Told<'_>,
    rewriting: Rewriting,
    parts: &mut Parts,
    body: Body,
) -> Body {
    let read = match told.verdict {
        Verdict::Translate(plan) => {
            let kind = plan.kind;
            let maker = move |text: body::Text| rewriting.rewriter(kind, text);
            let translating = Translating::new(*plan, Box::new(maker));
            let mut translated = Translated::new(body, translating, Box::new(|_, _| {}));
            Some(read(&mut translated).await)
        }
        Verdict::Fields | Verdict::Skip(_) => None,
    };
    let octets = text(&told, read.as_ref(), parts).to_string();
    parts.status = StatusCode::OK;
    parts.headers.clear();
    let fields = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    for (name, value) in fields {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    match *told.method == Method::HEAD {
        true => Body::empty(),
        false => Body::full(octets),
    }
}

/// How far a body came, and what became of it.
struct Read {
    end: &'static str,
    counts: Counts,
    took: Duration,
}

async fn read(translated: &mut Translated) -> Read {
    let all = async {
        loop {
            match translated.frame().await {
                None => break "complete",
                Some(Err(_)) => break "broken",
                Some(Ok(_)) if translated.counts().0.taken > MOST => break "too long",
                Some(Ok(_)) => {}
            }
        }
    };
    let end = tokio::time::timeout(LONGEST, all).await;
    let (counts, took) = translated.counts();
    Read {
        end: end.unwrap_or("too slow"),
        counts,
        took,
    }
}

fn text(told: &Told<'_>, read: Option<&Read>, parts: &Parts) -> Value {
    let field = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let outcome = match (told.verdict, read) {
        (Verdict::Skip(skip), _) => skip.name(),
        (Verdict::Fields, _) => "fields",
        (Verdict::Translate(_), read) => {
            let skip = read.and_then(|read| read.counts.skip);
            skip.map_or("translated", body::Skip::name)
        }
    };
    let Seen {
        changed,
        kept,
        more,
    } = told.report.seen();
    let changed: Vec<_> = changed
        .into_iter()
        .map(|((from, to), count)| json!({ "from": from, "to": to, "count": count }))
        .collect();
    let kept: Vec<_> = kept
        .into_iter()
        .map(|(url, count)| json!({ "url": url, "count": count }))
        .collect();
    json!({
        "application": told.application.as_str(),
        "status": parts.status.as_u16(),
        "content_type": field(CONTENT_TYPE),
        "content_encoding": field(CONTENT_ENCODING),
        "outcome": outcome,
        "end": read.map(|read| read.end),
        "octets_taken": read.map(|read| read.counts.taken),
        "octets_given": read.map(|read| read.counts.given),
        "seconds": read.map(|read| read.took.as_secs_f64()),
        "links": read.map(|read| read.counts.links),
        "changed": changed,
        "kept": kept,
        "further": more,
    })
}
