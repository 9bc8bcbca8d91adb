//! Bodies of answers whose links are to lead through the gateway.

use http::request::Parts as RequestParts;
use http::response::Parts;
use http::{HeaderMap, Method};

use super::forward::Errand;
use crate::http::Body;
use crate::model::ApplicationName;
use crate::telemetry::metrics::{TRANSLATED, TRANSLATED_LINKS, TRANSLATED_OCTETS};
use crate::translate::body::{
    self, Asked, Counts, Decision, TagSuffix, Translating, Verdict, judge, mark_translated,
    prepare_request,
};
use crate::translate::{Translated, View, has_bodies};

/// A request to an application whose answers are looked through, until its answer comes.
pub(super) struct Looking {
    view: View,
    suffix: TagSuffix,
    asked: Asked,
    method: Method,
    name: ApplicationName,
}

impl Looking {
    /// Prepares a request; `None` where the application's answers pass as they come.
    pub(super) fn prepare(errand: &Errand<'_>, parts: &mut RequestParts) -> Option<Self> {
        let application = &errand.published.application;
        if !has_bodies(application) {
            return None;
        }
        let view = View::new(errand.links, application, errand.captured, errand.host);
        let suffix = view.tag_suffix();
        Some(Self {
            asked: prepare_request(&mut parts.headers, &suffix),
            view,
            suffix,
            method: parts.method.clone(),
            name: application.name.clone(),
        })
    }

    /// Looks an answer through that came from this of the internal URLs; the head says what becomes of it.
    pub(super) async fn look(mut self, url: usize, parts: &mut Parts, body: Body) -> Body {
        self.view.choose(url);
        let kinds = self.view.kinds();
        let verdict = judge(
            &self.method,
            parts.status,
            &parts.headers,
            kinds,
            &self.asked,
        );
        let plan = match verdict {
            Verdict::Translate(plan) => plan,
            Verdict::Fields => {
                self.mark(&mut parts.headers);
                return body;
            }
            Verdict::Skip(skip) => {
                count(&self.name, skip.name());
                return body;
            }
        };
        let (view, kind) = (self.view.clone(), plan.kind);
        let maker = move |text: body::Text| view.rewriter(kind, text);
        let translating = Translating::new(plan, Box::new(maker));
        let name = self.name.clone();
        let done = move |counts: Counts| {
            count(&name, counts.skip.map_or("translated", body::Skip::name));
            let of = [name.as_str()];
            TRANSLATED_LINKS.counter(&of).increment(counts.links);
            TRANSLATED_OCTETS.counter(&of).increment(counts.taken);
        };
        let mut translated = Translated::new(body, translating, Box::new(done));
        if translated.decide().await == Decision::Translated {
            self.mark(&mut parts.headers);
        }
        Body::boxed(translated)
    }

    fn mark(&self, fields: &mut HeaderMap) {
        mark_translated(fields, &self.suffix);
    }
}

fn count(application: &ApplicationName, outcome: &'static str) {
    TRANSLATED
        .counter(&[application.as_str(), outcome])
        .increment(1);
}
