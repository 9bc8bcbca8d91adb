//! Rules of access in words.

use super::EVERYBODY;
use crate::model::{Access, AccessRule, Application, Condition, SignOn};

/// Lines of rules with what stands behind the names in them: another rule under the same name is another.
pub(super) fn rules(rules: &[AccessRule], report_only: bool) -> impl Iterator<Item = String> {
    let rules = rules.iter();
    let rules = rules.filter(move |rule| rule.report_only == report_only);
    rules.map(|rule| {
        let mut text = rule.text().to_string();
        named(&rule.condition, &mut |name, condition| {
            text.push_str(&format!(" ({name}: {condition})"));
        });
        text
    })
}

fn named(condition: &Condition, found: &mut dyn FnMut(&str, &Condition)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| named(part, found));
        }
        Condition::Not(part) => named(part, found),
        Condition::Named(name, part) => found(name, part),
        _ => {}
    }
}

/// Who may; everybody where nobody has to sign in and nothing is said.
pub(super) fn allowed(application: &Application) -> Vec<String> {
    let allow = &application.access.allow;
    match allow.is_empty() && !application.signs_in() {
        true => vec![EVERYBODY.to_owned()],
        false => rules(allow, false).collect(),
    }
}

/// Lines that decide nothing.
pub(super) fn only_reported(access: &Access) -> impl Iterator<Item = String> {
    rules(&access.allow, true).chain(rules(&access.deny, true))
}

/// What an application is told of people.
pub(super) fn told(sign_on: &SignOn) -> impl Iterator<Item = String> {
    let headers = sign_on.headers.iter();
    headers.map(|header| format!("{}: {}", header.name, header.value))
}
