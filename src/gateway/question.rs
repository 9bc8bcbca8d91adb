//! What is asked of a gateway that explains itself, and what it says.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request, Uri};
use serde::{Deserialize, Serialize};

use crate::auth::{self, Asker, ShownCertificate};
use crate::model::{ClientCertificate, Guard, Person, Scheme};

/// Whose request it would be.
#[derive(Debug, Default)]
pub struct Visitor {
    /// Somebody's, as if they had signed in.
    pub person: Option<Person>,
    /// A program's with a service token of this name.
    pub service_token: Option<String>,
    /// What its client shows, taken for one that counts.
    pub certificate: Option<ClientCertificate>,
}

/// A request that nobody sends.
#[derive(Debug)]
pub struct Question {
    pub(super) request: Request<()>,
    pub(super) scheme: Scheme,
    pub(super) client: IpAddr,
    pub(super) person: Option<Person>,
    pub(super) service_token: Option<String>,
    pub(super) certificate: ShownCertificate,
}

/// Why something is no question.
#[derive(Debug, thiserror::Error)]
pub enum NoQuestion {
    /// The URL is none.
    #[error("`{0}` is no URL that a request can have: {1}")]
    Url(String, String),
}

/// What would become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Every decision on its way, in their order.
    pub steps: Vec<Step>,
    /// It would reach the application.
    pub reaches: bool,
    /// The error code it would be answered with.
    pub code: Option<String>,
    /// What it would be answered with, in words.
    pub answer: String,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is decided.
    pub stage: String,
    /// By which value.
    pub value: String,
    /// How.
    pub decision: String,
}

impl Question {
    /// # Errors
    /// Where a browser could not ask for it.
    pub fn new(
        url: &str,
        method: Method,
        client: IpAddr,
        visitor: Visitor,
    ) -> Result<Self, NoQuestion> {
        let no = |why: &str| NoQuestion::Url(url.to_owned(), why.to_owned());
        let uri: Uri = url
            .parse()
            .map_err(|e: http::uri::InvalidUri| no(&e.to_string()))?;
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            _ => return Err(no("it must begin with https:// or http://")),
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        // Which names the host in its target alone; what is asked for means the same in each version.
        *request.version_mut() = http::Version::HTTP_2;
        Ok(Self {
            request,
            scheme,
            client,
            person: visitor.person,
            service_token: visitor.service_token,
            certificate: visitor.certificate.map_or(ShownCertificate::None, |one| {
                ShownCertificate::Verified(Arc::new(one))
            }),
        })
    }
}

/// What each condition of an application's rules comes to.
pub(super) fn rule_steps(guard: &Guard, asker: Asker<'_>, facts: &auth::Facts<'_>) -> Vec<Step> {
    let traced = auth::explain_rules(guard, asker, facts).into_iter();
    let steps = traced.map(|traced| {
        let saw = match traced.saw.as_str() {
            "" => String::new(),
            saw => format!(", saw {saw}"),
        };
        let only = match traced.report_only {
            true => ", only reported",
            false => "",
        };
        Step {
            stage: format!("access.{}[{}]", traced.list, traced.line),
            value: format!("{}{}", "  ".repeat(traced.depth), traced.condition),
            decision: format!("{}{saw}{only}", traced.holds),
        }
    });
    steps.collect()
}
