//! What people send to an application: external URLs in it become internal, where that is set.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::request::Parts as RequestParts;
use http::uri::PathAndQuery;

use super::{BodyMeter, Looking, is_excluded};
use crate::http::Body;
use crate::model::LinkTranslation;
use crate::translate::body::{
    self, Counts, Decision, MediaType, Sent, Skip, Translating, judge_request, remove_digests,
};
use crate::translate::{Translated, returning, returning_parts, returning_query};

/// A body that is waited for, in octets.
const SHORT: usize = 32 * 1024;

/// How long it is waited for. Then it goes on as it comes, without a length.
const PATIENCE: Duration = Duration::from_secs(10);

impl Looking<'_> {
    /// Maps query and body of a request. Whatever is decided by the request has been.
    pub(in crate::gateway) async fn send_back(&self, parts: &mut RequestParts, body: Body) -> Body {
        let settings = self.settings();
        if !settings.round_trip {
            return body;
        }
        if let Some(uri) = self.uri_back(&parts.uri) {
            parts.uri = uri;
        }
        if http_body::Body::is_end_stream(&body) {
            return body;
        }
        let fields = &mut parts.headers;
        let path = self.path();
        let wants = |media_type: &MediaType| goes_back(settings, &path, media_type);
        let (plan, sent) = match judge_request(&self.method, fields, &wants) {
            Ok(judged) => judged,
            Err(skip) => {
                count_parts(&self.errand.published.bodies, Some(skip));
                return body;
            }
        };
        let view = self.view();
        let maker = move |text: body::Text| match sent {
            Sent::Text(syntax) => returning(&view, syntax, text),
            Sent::Parts(boundary) => {
                let of = view.clone();
                let wants =
                    move |media_type: &MediaType| goes_back(of.settings(), &path, media_type);
                returning_parts(view, &boundary, wants, text)
            }
        };
        let meter = Arc::clone(&self.errand.published.bodies);
        let done = move |counts: Counts, _| count_parts(&meter, counts.skip);
        let translating = Translating::new(plan, Box::new(maker));
        let mut translated = Translated::new(body, translating, Box::new(done));
        if translated.decide().await == Decision::Translated {
            let length = fields.remove(CONTENT_LENGTH);
            remove_digests(fields);
            let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
            // Not every application takes a body whose length it does not know.
            if length.is_some_and(|length| length <= SHORT) {
                let gathered = tokio::time::timeout(PATIENCE, translated.gather(2 * SHORT));
                if let Ok(Some(length)) = gathered.await {
                    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
                }
            }
        }
        Body::boxed(translated).joined()
    }

    /// The same path, with internal URLs in its query; `None` where it stays octet by octet. A query is a form that
    /// stands elsewhere.
    fn uri_back(&self, uri: &Uri) -> Option<Uri> {
        let query = uri.query()?;
        goes_back(self.settings(), &self.path(), &MediaType::form()).ok()?;
        let query = returning_query(&self.view(), query)?;
        let target = format!("{}?{query}", uri.path());
        PathAndQuery::try_from(target).ok().map(Uri::from)
    }
}

/// Whether what is sent as this type is mapped, as answers of the type are. A form may hold whatever came in data,
/// or in hidden fields of a page.
fn goes_back(settings: &LinkTranslation, path: &str, media_type: &MediaType) -> Result<(), Skip> {
    if is_excluded(settings, path, media_type) {
        return Err(Skip::Excluded);
    }
    match media_type.is_form() || settings.body.contains(&media_type.kind) {
        true => Ok(()),
        false => Err(Skip::Type),
    }
}

/// Counts a form with files that could not be taken apart.
fn count_parts(meter: &BodyMeter, skip: Option<Skip>) {
    if let Some(skip @ Skip::Parts) = skip {
        meter.skipped(skip);
    }
}
