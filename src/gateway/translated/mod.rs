//! Bodies of answers whose links are to lead through the gateway, and requests that send them back.

mod back;
mod meter;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::request::Parts as RequestParts;
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

pub(super) use meter::BodyMeter;

use super::exchange::again;
use super::forward::Errand;
use super::report::{self, Told};
use super::respond::Failure;
use super::written::Written;
use crate::auth::Permit;
use crate::http::{self as rules, Body};
use crate::model::{ApplicationName, BodyKind, Exclusion, LinkTranslation};
use crate::translate::body::{
    self, Asked, Counts, Decision, FORM, MediaType, Skip, TagSuffix, Translating, UPLOAD, Verdict,
    judge, mark_translated, prepare_request,
};
use crate::translate::{
    Inline, Report, Rewriting, Translated, View, admit_changed, has_bodies, named_hashes,
    remove_policies_with_hashes,
};

/// A request to an application whose answers are looked through, until its answer comes.
///
/// Most answers are of types that are not translated: what only a translated one needs is not made before.
pub(super) struct Looking<'e> {
    errand: &'e Errand<'e>,
    uri: Uri,
    /// Data at this path passes as it comes, since programs write there.
    is_written: bool,
    /// Pages and style sheets at this path do.
    pages_are_written: bool,
    /// Data inside of pages passes as it comes, since programs write somewhere.
    keeps_data: bool,
    /// Where it is noted down that this request has written data, if the application took it.
    writes: Option<(Arc<Written>, Brings)>,
    /// What of it stayed as it is when it was asked for; tags tell.
    stays: [bool; 3],
    asked: Asked,
    method: Method,
    /// Instead of the answer somebody wants to know what is done to it.
    report: Option<Report>,
}

impl<'e> Looking<'e> {
    /// Prepares a request; `None` where the application's answers pass as they come.
    ///
    /// # Errors
    /// Where somebody asks for a report who may not.
    pub(super) fn prepare(
        errand: &'e Errand<'e>,
        permit: &Permit,
        parts: &mut RequestParts,
        has_body: bool,
    ) -> Result<Option<Self>, Failure> {
        let application = &errand.published.application;
        let report = report::asked_for(application, permit, &parts.headers)?;
        if !has_bodies(application) && report.is_none() {
            return Ok(None);
        }
        let (written, edited) = (&errand.published.written, &errand.published.edited);
        let settings = &application.link_translation;
        // What goes round comes back as it went.
        let may_write = !settings.round_trip && settings.body.iter().any(|kind| kind.is_data());
        let brings = match has_body && !settings.round_trip {
            true => brings(parts),
            false => Brings::Nothing,
        };
        let writes = match brings {
            Brings::Data if may_write => Some(written),
            Brings::Page => Some(edited),
            _ => None,
        };
        let keeps_data = may_write && !written.is_empty();
        let keeps_pages = !settings.round_trip && !edited.is_empty();
        let mut looking = Self {
            errand,
            uri: parts.uri.clone(),
            is_written: false,
            pages_are_written: false,
            keeps_data,
            stays: [false; 3],
            writes: writes.map(|written| (Arc::clone(written), brings)),
            asked: Asked::default(),
            method: parts.method.clone(),
            report,
        };
        if keeps_data || keeps_pages {
            let path = looking.path();
            looking.is_written = keeps_data && written.covers(&path);
            looking.pages_are_written = keeps_pages && edited.covers(&path);
            looking.stays = [looking.is_written, looking.pages_are_written, keeps_data];
        }
        if looking.report.is_some() {
            // What somebody has of the page already says nothing of what is done to it.
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
                parts.headers.remove(name);
            }
        }
        looking.asked = prepare_request(&mut parts.headers, || looking.suffix());
        Ok(Some(looking))
    }

    fn name(&self) -> &'e ApplicationName {
        &self.errand.published.application.name
    }

    fn settings(&self) -> &'e LinkTranslation {
        &self.errand.published.application.link_translation
    }

    /// The path that was asked for, as the configuration names paths.
    fn path(&self) -> String {
        named(self.uri.path())
    }

    /// What the links of this answer are looked through with.
    fn view(&self) -> View {
        let errand = self.errand;
        let application = &errand.published.application;
        View::new(errand.links, application, errand.captured, errand.host)
    }

    fn suffix(&self) -> TagSuffix {
        self.view().tag_suffix(self.stays)
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
        self.note(parts.status);
        let wants = |media_type: &MediaType| self.wants(media_type);
        let (status, fields) = (parts.status, &parts.headers);
        let verdict = judge(&self.method, status, fields, &wants, &self.asked);
        match verdict {
            Verdict::Skip(skip) if self.report.is_none() => {
                self.errand.published.bodies.skipped(skip);
                body
            }
            // In a box: larger than what other answers need.
            _ => Box::pin(self.change(verdict, url, parts, body)).await,
        }
    }

    async fn change(self, verdict: Verdict, url: usize, parts: &mut Parts, body: Body) -> Body {
        if let Some(report) = &self.report {
            let told = Told {
                application: self.name(),
                report: report.clone(),
                verdict: &verdict,
                method: &self.method,
            };
            let rewriting = self.rewriting(url, Inline::default());
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
            // Told of above.
            Verdict::Skip(_) => return body,
        };
        let named = match plan.kind {
            BodyKind::Html => named_hashes(&parts.headers),
            _ => HashSet::new(),
        };
        plan.waits = !named.is_empty();
        let inline = Inline::new(named);
        let rewriting = self.rewriting(url, inline.clone());
        let maker = move |text: body::Text| rewriting.rewriter(plan.kind, text);
        let translating = Translating::new(plan, Box::new(maker));
        let name = self.name().clone();
        let (noted, path) = (inline.clone(), self.path());
        let meter = Arc::clone(&self.errand.published.bodies);
        let done = move |counts: Counts, took: Duration| {
            meter.ended(&counts, took);
            say_kept(&name, &path, &noted);
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

    fn rewriting(&self, url: usize, inline: Inline) -> Rewriting {
        let mut view = self.view();
        view.choose(url);
        Rewriting {
            view,
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
        if let Some(below) = written.note(&self.method, &self.path()) {
            tracing::warn!(
                application = %self.name(),
                path = below.chars().take(LONGEST_PATH).collect::<String>(),
                what,
                "programs write at this path: links there stay as the application sends them, so that nothing that \
                 was changed is written back; set `link_translation: {{ round_trip: true }}` to have them changed in \
                 both directions"
            );
        }
    }

    fn wants(&self, media_type: &MediaType) -> Result<(), Skip> {
        let settings = self.settings();
        let kind = media_type.kind;
        if !settings.body.contains(&kind) {
            return Err(Skip::Type);
        }
        if !settings.exclude.is_empty() && is_excluded(settings, &self.path(), media_type) {
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
        mark_translated(fields, &self.suffix());
    }
}

/// A path as the configuration names paths.
pub(super) fn named(path: &str) -> String {
    let canonical = rules::canonical(path, true).or_else(|_| rules::canonical(path, false));
    canonical.map_or_else(|_| path.to_lowercase(), |path| path.folded().into())
}

/// So much of a path is said in the log.
const LONGEST_PATH: usize = 200;

/// How long the head of a page waits for the beginning of its body, where it has to name what changes there.
const HEAD_WAITS: Duration = Duration::from_secs(1);

/// Whether it passes as it comes, at this path.
pub(super) fn is_excluded(settings: &LinkTranslation, path: &str, media_type: &MediaType) -> bool {
    let MediaType { kind, essence, .. } = media_type;
    let excludes = |one: &Exclusion| one.fits(path, *kind, essence);
    settings.exclude.iter().any(excludes)
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
