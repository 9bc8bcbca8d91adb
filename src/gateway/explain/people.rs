//! Who asks, and what stands in front of what they ask for.

use std::sync::Arc;

use http::Method;

use super::super::question::rule_steps;
use super::super::respond::Failure;
use super::{End, Telling};
use crate::auth::{self, Asker, Challenge, Credentials, Denied, Identity};
use crate::http as rules;
use crate::model::{Application, Guard, PreAuthentication};

impl<'q> Telling<'q> {
    /// What stands in front of the path.
    pub(super) fn guard<'b>(
        &mut self,
        application: &'b Application,
        path: rules::CanonicalPath<'_>,
    ) -> Result<&'b Guard, End> {
        let guard = auth::guard_of(application, path).map_err(Failure::from);
        let mut all = application.paths.all().iter();
        if all.len() > 0 {
            let own = guard.as_ref().ok().map(|guard| &raw const **guard);
            let entry = all.find(|one| own == Some(&raw const one.guard));
            let said = match (&guard, entry) {
                (Ok(_), Some(entry)) => format!("`paths` has {} for it", entry.path.as_str()),
                (Ok(_), None) => "no entry of `paths` has it".to_owned(),
                (Err(failure), _) => failure.detail().to_owned(),
            };
            self.step("paths", path.as_str(), said);
        }
        Ok(guard?)
    }

    /// What would be decided of a request of somebody who is named.
    pub(super) fn of_asker(
        &mut self,
        guard: &Guard,
        asker: Asker<'_>,
        facts: &auth::Facts<'_>,
    ) -> Result<(), End> {
        let (method, how, who) = match asker {
            Asker::Person(person) => {
                let who = format!("{} at {}", person.key.subject, person.provider);
                match guard.has(PreAuthentication::Oidc) {
                    true => (PreAuthentication::Oidc, "signed in", who),
                    false => (PreAuthentication::Bearer, "by an access token", who),
                }
            }
            Asker::ServiceToken(name) => {
                let how = "by a service token for this application and path";
                (PreAuthentication::ServiceToken, how, name.to_owned())
            }
            Asker::Certificate | Asker::Nobody => {
                let who = facts.certificate.verified().map(ToString::to_string);
                let how = "by a certificate, taken for one that counts";
                (
                    PreAuthentication::ClientCertificate,
                    how,
                    who.unwrap_or_default(),
                )
            }
        };
        let method = method.to_string();
        self.step("pre_authentication", method, format!("{how}: {who}"));
        self.steps.extend(rule_steps(guard, asker, facts));
        let rule = auth::would_allow(guard, asker, facts);
        let (method, path) = (facts.method, facts.path.as_str());
        let value = format!("{who}, {method} {path}, from {}", facts.client);
        if let Err(Denied::StepUp { wanted, .. }) = &rule {
            let answer =
                format!("further proof of who it is is asked for at the provider: {wanted}");
            self.step("access", value, answer.clone());
            return Err(End::Own(answer));
        }
        let rule = self.decided("access", value, rule.map_err(Failure::from))?;
        self.conclude(format!("allowed by the rule {rule}"));
        self.page(asker, facts);
        Ok(())
    }

    /// What would be decided of a request of whoever it is.
    pub(super) fn unnamed(
        &mut self,
        application: &Arc<Application>,
        guard: &Guard,
        shown: Result<Credentials<'_>, Challenge>,
        facts: &auth::Facts<'_>,
    ) -> Result<(), End> {
        let methods = guard.pre_authentication.iter();
        let methods: Vec<_> = methods.map(|method| method.to_string()).collect();
        let identity = match shown {
            Ok(Credentials::Nothing) => Ok(Identity::Anonymous),
            #[cfg(test)]
            Ok(Credentials::Assumed) => Ok(Identity::Assumed),
            // Whose the request would be is not known here.
            Ok(_) => Err(Challenge::NoMethod),
            Err(challenge) => Err(challenge),
        };
        let identity = identity.map_err(Failure::from);
        let identity = self.decided("pre_authentication", methods.join(", "), identity)?;
        self.conclude(identity.to_string());
        self.steps.extend(rule_steps(guard, Asker::Nobody, facts));
        let permit = auth::authorise(&identity, application, facts).map_err(Failure::from);
        let value = format!(
            "{identity}, {} {}, from {}",
            facts.method,
            facts.path.as_str(),
            facts.client
        );
        let permit = self.decided("access", value, permit)?;
        self.conclude(format!("allowed by the rule {}", permit.rule()));
        Ok(())
    }

    /// Whose request it would be, where somebody is named whom the guard knows.
    pub(super) fn asker(&self, guard: &Guard, shown: &Credentials<'_>) -> Option<Asker<'q>> {
        use PreAuthentication as P;
        let question = self.question;
        let by_certificate = matches!(shown, Credentials::Certificate(_));
        // The first method that is shown decides, as for a request.
        guard
            .pre_authentication
            .iter()
            .find_map(|method| match method {
                P::Oidc | P::Bearer => question.person.as_ref().map(Asker::Person),
                P::ServiceToken => question.service_token.as_deref().map(Asker::ServiceToken),
                P::ClientCertificate => by_certificate.then_some(Asker::Certificate),
                _ => None,
            })
    }

    /// What a browser that proves by itself who it is has to say besides.
    pub(super) fn page(&mut self, asker: Asker<'_>, facts: &auth::Facts<'_>) {
        let safe = matches!(*facts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !safe && matches!(asker, Asker::Person(_) | Asker::Certificate) {
            let scheme = facts.external.scheme.as_str();
            let own = format!("{scheme}://{}", facts.external.authority(facts.host));
            let decision = "it has to come from a page of the application: without this `Origin` it is cross_origin";
            self.step("origin", own, decision);
        }
    }
}
