//! Bodies of answers whose links are to lead through the gateway, and requests that send them back.

mod back;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::request::Parts as RequestParts;
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::exchange::again;
use super::forward::Errand;
use super::report::{self, Told};
use super::respond::Failure;
use super::written::Written;
use crate::auth::Permit;
use crate::http::{self as rules, Body};
use crate::model::{ApplicationName, BodyKind, Exclusion, LinkTranslation};
use crate::telemetry::metrics::{
    TRANSLATED, TRANSLATED_LINKS, TRANSLATED_OCTETS, TRANSLATION_SECONDS,
};
use crate::translate::body::{
    self, Asked, Counts, Decision, FORM, MediaType, Skip, TagSuffix, Translating, UPLOAD, Verdict,
    judge, mark_translated, prepare_request,
};
use crate::translate::{
    Inline, Report, Rewriting, Translated, View, admit_changed, has_bodies, named_hashes,
    remove_policies_with_hashes,
};

/// A request to an application whose answers are looked through, until its answer comes.
pub(super) struct Looking {
    view: View,
    /// The path that was asked for, as the configuration names paths.
    path: String,
    /// Data at this path passes as it comes, since programs write there.
    is_written: bool,
    /// Pages and style sheets at this path do.
    pages_are_written: bool,
    /// Data inside of pages passes as it comes, since programs write somewhere.
    keeps_data: bool,
    /// Where it is noted down that this request has written data, if the application took it.
    writes: Option<(Arc<Written>, Brings)>,
    suffix: TagSuffix,
    asked: Asked,
    method: Method,
    /// Instead of the answer somebody wants to know what is done to it.
    report: Option<Report>,
}

impl Looking {
    /// Prepares a request; `None` where the application's answers pass as they come.
    ///
    /// # Errors
    /// Where somebody asks for a report who may not.
    pub(super) fn prepare(
        errand: &Errand<'_>,
        permit: &Permit,
        parts: &mut RequestParts,
        has_body: bool,
    ) -> Result<Option<Self>, Failure> {
        let application = &errand.published.application;
        let report = report::asked_for(application, permit, &parts.headers)?;
        if !has_bodies(application) && report.is_none() {
            return Ok(None);
        }
        let path = rules::canonical(parts.uri.path(), true);
        let path = path.or_else(|_| rules::canonical(parts.uri.path(), false));
        let path = path.map_or_else(|_| parts.uri.path().to_lowercase(), |p| p.folded().into());
        let written = &errand.published.written;
        let settings = &application.link_translation;
        // What goes round comes back as it went.
        let may_write = !settings.round_trip && settings.body.iter().any(|kind| kind.is_data());
        let view = View::new(errand.links, application, errand.captured, errand.host);
        let is_written = may_write && written.covers(&path);
        let keeps_data = may_write && !written.is_empty();
        let brings = match has_body && !settings.round_trip {
            true => brings(parts),
            false => Brings::Nothing,
        };
        let pages_are_written = !settings.round_trip && errand.published.edited.covers(&path);
        let writes = match brings {
            Brings::Data if may_write => Some(written),
            Brings::Page => Some(&errand.published.edited),
            _ => None,
        };
        let suffix = view.tag_suffix([is_written, pages_are_written, keeps_data]);
        if report.is_some() {
            // What somebody has of the page already says nothing of what is done to it.
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
                parts.headers.remove(name);
            }
        }
        Ok(Some(Self {
            asked: prepare_request(&mut parts.headers, &suffix),
            path,
            is_written,
            keeps_data,
            writes: writes.map(|written| (Arc::clone(written), brings)),
            pages_are_written,
            view,
            suffix,
            method: parts.method.clone(),
            report,
        }))
    }

    /// The same request for the whole of what it asks for a part of.
    pub(super) fn whole(&self, request: &Request<Body>) -> Option<Request<Body>> {
        let asks = request.headers().contains_key(RANGE) && self.method == Method::GET;
        (asks && http_body::Body::is_end_stream(request.body())).then(|| {
            let mut whole = again(request);
            whole.headers_mut().remove(RANGE);
            whole.headers_mut().remove(IF_RANGE);
            whole
        })
    }

    /// Whether an answer is a part of what is translated as a whole.
    pub(super) fn is_part<B>(&self, answer: &Response<B>) -> bool {
        let wants = |media_type: &MediaType| self.wants(media_type);
        let (status, fields) = (answer.status(), answer.headers());
        judge(&self.method, status, fields, &wants, &self.asked) == Verdict::Skip(Skip::Partial)
    }

    /// Looks an answer through that came from this of the internal URLs; the head says what becomes of it.
    pub(super) async fn look(mut self, url: usize, parts: &mut Parts, body: Body) -> Body {
        self.view.choose(url);
        self.note(parts.status);
        let wants = |media_type: &MediaType| self.wants(media_type);
        let verdict = judge(
            &self.method,
            parts.status,
            &parts.headers,
            &wants,
            &self.asked,
        );
        if let Some(report) = &self.report {
            let told = Told {
                application: self.view.name(),
                report: report.clone(),
                verdict: &verdict,
                method: &self.method,
            };
            let rewriting = self.rewriting(Inline::default());
            return report::answer(told, rewriting, parts, body).await;
        }
        let mut plan = match verdict {
            Verdict::Translate(plan) => plan,
            Verdict::Fields => {
                self.mark(&mut parts.headers);
                if parts.status == StatusCode::NOT_MODIFIED {
                    remove_policies_with_hashes(&mut parts.headers);
                }
                return body;
            }
            Verdict::Skip(skip) => {
                count(self.view.name(), skip.name());
                return body;
            }
        };
        let named = match plan.kind {
            BodyKind::Html => named_hashes(&parts.headers),
            _ => HashSet::new(),
        };
        plan.waits = !named.is_empty();
        let inline = Inline::new(named);
        let rewriting = self.rewriting(inline.clone());
        let maker = move |text: body::Text| rewriting.rewriter(plan.kind, text);
        let translating = Translating::new(plan, Box::new(maker));
        let name = self.view.name().clone();
        let (noted, path) = (inline.clone(), self.path.clone());
        let done = move |counts: Counts, took: Duration| {
            count(&name, counts.skip.map_or("translated", body::Skip::name));
            let of = [name.as_str()];
            say_kept(&name, &path, &noted);
            TRANSLATED_LINKS.counter(&of).increment(counts.links);
            TRANSLATED_OCTETS.counter(&of).increment(counts.taken);
            TRANSLATION_SECONDS
                .histogram(&of)
                .record(took.as_secs_f64());
        };
        let mut translated = Translated::new(body, translating, Box::new(done));
        if plan.waits {
            // A page that comes slowly goes on without: what has not come by then stays as it is.
            let waited = tokio::time::timeout(HEAD_WAITS, translated.wait()).await;
            drop(waited);
            admit_changed(&mut parts.headers, &inline.fix());
        }
        if translated.decide().await == Decision::Translated {
            self.mark(&mut parts.headers);
        }
        Body::boxed(translated)
    }

    fn rewriting(&self, inline: Inline) -> Rewriting {
        Rewriting {
            view: self.view.clone(),
            report: self.report.clone(),
            inline,
            keeps_data: self.keeps_data,
        }
    }

    /// Notes down where data is written. What the application refuses is not kept.
    fn note(&mut self, status: StatusCode) {
        let Some((written, brings)) = self.writes.take() else {
            return;
        };
        if !status.is_success() {
            return;
        }
        let what = match brings {
            Brings::Page => {
                self.pages_are_written = true;
                "pages and style sheets"
            }
            _ => {
                self.is_written = true;
                "JSON, scripts, XML and text, and scripts of all pages,"
            }
        };
        if let Some(below) = written.note(&self.method, &self.path) {
            tracing::warn!(
                application = %self.view.name(),
                path = below.chars().take(LONGEST_PATH).collect::<String>(),
                what,
                "programs write at this path: links there stay as the application sends them, so that nothing that \
                 was changed is written back; set `link_translation: {{ round_trip: true }}` to have them changed in \
                 both directions"
            );
        }
    }

    fn wants(&self, media_type: &MediaType) -> Result<(), Skip> {
        let settings = self.view.settings();
        let kind = media_type.kind;
        if !settings.body.contains(&kind) {
            return Err(Skip::Type);
        }
        if is_excluded(settings, &self.path, media_type) {
            return Err(Skip::Excluded);
        }
        let is_written = match kind.is_data() {
            true => self.is_written,
            false => self.pages_are_written,
        };
        match is_written {
            true => Err(Skip::Written),
            false => Ok(()),
        }
    }

    fn mark(&self, fields: &mut HeaderMap) {
        mark_translated(fields, &self.suffix);
    }
}

/// So much of a path is said in the log.
const LONGEST_PATH: usize = 200;

/// How long the head of a page waits for the beginning of its body, where it has to name what changes there.
const HEAD_WAITS: Duration = Duration::from_secs(1);

/// Whether it passes as it comes, at this path.
fn is_excluded(settings: &LinkTranslation, path: &str, media_type: &MediaType) -> bool {
    let MediaType { kind, essence, .. } = media_type;
    let excludes = |one: &Exclusion| one.fits(path, *kind, essence);
    settings.exclude.iter().any(excludes)
}

fn count(application: &ApplicationName, outcome: &'static str) {
    TRANSLATED
        .counter(&[application.as_str(), outcome])
        .increment(1);
}

/// Says what could not be changed inside a page.
fn say_kept(application: &ApplicationName, path: &str, inline: &Inline) {
    let kept = inline.kept();
    if kept > 0 {
        tracing::info!(
            %application,
            path = path.chars().take(LONGEST_PATH).collect::<String>(),
            kept,
            "styles or scripts inside a page keep their internal URLs: the page's Content-Security-Policy names them \
             by their hashes, and they come behind its first 48 KiB, after its first second, are more than 64, or the \
             policy stands in the page itself; use a nonce, or a file of their own"
        );
    }
}

/// What a request brings that may be kept.
fn brings(parts: &RequestParts) -> Brings {
    let only_asks = matches!(
        parts.method.as_str(),
        "GET"
            | "HEAD"
            | "OPTIONS"
            | "TRACE"
            | "DELETE"
            | "PROPFIND"
            | "REPORT"
            | "SEARCH"
            | "QUERY"
    );
    let kind = MediaType::of(&parts.headers).map(|media_type| media_type.kind);
    let is_form = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|octet| *octet == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        [FORM, UPLOAD]
            .iter()
            .any(|form| essence.eq_ignore_ascii_case(form.as_bytes()))
    });
    match kind {
        _ if only_asks => Brings::Nothing,
        // People edit what they saw, which stayed as it is.
        _ if is_form => Brings::Nothing,
        // Who edits a page in a page sends a form.
        Some(BodyKind::Html | BodyKind::Css) if parts.method == Method::PUT => Brings::Page,
        Some(BodyKind::Html | BodyKind::Css) => Brings::Nothing,
        // Not every program says what it sends.
        _ => Brings::Data,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brings {
    Nothing,
    Data,
    /// Or a style sheet.
    Page,
}
