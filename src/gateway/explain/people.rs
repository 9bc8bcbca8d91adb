//! Who asks, and what stands in front of what they ask for.

use super::super::question::rule_steps;
use super::super::respond::Failure;
use super::{End, Telling};
use crate::auth::{self, Denied};
use crate::http as rules;
use crate::model::{Application, Guard, Person, PreAuthentication};

impl Telling<'_> {
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

    /// What would be decided of a request of somebody who has signed in.
    pub(super) fn of_person(
        &mut self,
        guard: &Guard,
        person: &Person,
        facts: &auth::Facts<'_>,
    ) -> Result<(), End> {
        let who = format!("{} at {}", person.key.subject, person.provider);
        let (method, how) = match guard.has(PreAuthentication::Oidc) {
            true => (PreAuthentication::Oidc, "signed in"),
            false => (PreAuthentication::Bearer, "by an access token"),
        };
        let method = method.to_string();
        self.step("pre_authentication", method, format!("{how}: {who}"));
        self.steps.extend(rule_steps(guard, Some(person), facts));
        let rule = auth::would_allow(guard, Some(person), facts);
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
        Ok(())
    }
}
