//! What pages, log and records have of a request at hand.

use http::header::USER_AGENT;
use http::{HeaderMap, Method, Response};

use super::super::respond::pages::{self, Explained, Language, Look, Page, Stopped};
use super::{AtDesk, in_log, web};
use crate::auth::Device;
use crate::http::Body;
use crate::model::Person;
use crate::telemetry::audit::{Actor, Record};

impl AtDesk<'_> {
    pub(super) fn look(&self, fields: &HeaderMap) -> Look<'_> {
        Look {
            language: Language::of(fields),
            theme: &self.current.theme,
            id: self.id,
        }
    }

    pub(super) fn page(
        &self,
        page: &Page<'_>,
        method: &Method,
        fields: &HeaderMap,
    ) -> Response<Body> {
        pages::page(page, &self.look(fields), method)
    }

    /// The beginning of an audit record of something that is done here.
    pub(super) fn record(&self, event: &'static str, actor: Actor<'_>) -> Record {
        let record = Record::new(event, actor);
        let record = record.client(self.client).reference(self.id);
        record.with("host", self.host.as_str())
    }

    /// One of something that a person did.
    pub(super) fn record_of(&self, event: &'static str, person: &Person) -> Record {
        let who = in_log(self.gateway, self.current, &person.key);
        let actor = who.as_deref().map_or(Actor::Nobody, Actor::Known);
        self.record(event, actor)
            .with("provider", &*person.provider)
    }

    pub(super) fn device(&self, fields: &HeaderMap) -> Device {
        let agent = fields.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Device {
            user_agent: agent.unwrap_or_default().to_owned(),
            address: self.client,
        }
    }

    /// A page that says why a sign-in stopped; the log has the rest under the same reference.
    pub(super) fn stopped(
        &self,
        stopped: Stopped<'_>,
        (finding, detail): (&str, &str),
        (method, fields): (&Method, &HeaderMap),
    ) -> Response<Body> {
        // Anybody can bring it about.
        tracing::info!(request_id = %self.id, host = %self.host, finding, detail, "a sign-in stopped");
        self.record("sign_in_failed", Actor::Nobody)
            .failed()
            .with("code", finding)
            .with("cause", detail)
            .write();
        let again = web(&format!("{}/", self.desk.origin()));
        let explained = Explained {
            stopped,
            finding,
            again: again.as_ref(),
        };
        self.page(&Page::Explained(explained), method, fields)
    }
}
