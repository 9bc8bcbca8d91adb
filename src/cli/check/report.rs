//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::{Area, Line, Outcome};
use crate::model::Severity;

/// For people.
pub(super) fn as_text(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut area: Option<Area> = None;
    for line in lines {
        if area != Some(line.area) {
            area = Some(line.area);
            let _ = writeln!(out, "{}", line.area.as_str());
        }
        let _ = match &line.outcome {
            Outcome::Pass(seen) => writeln!(out, "  ok    {}: {seen}", line.subject),
            Outcome::Skip(why) => writeln!(out, "  skip  {}: {why}", line.subject),
            Outcome::Found(finding) => {
                let place = finding
                    .place
                    .as_ref()
                    .map(|place| format!("{place}: "))
                    .unwrap_or_default();
                writeln!(
                    out,
                    "  {}  {} [{}]\n        {place}{}\n        → {}",
                    mark(finding.severity),
                    line.subject,
                    finding.code,
                    finding.what,
                    finding.remedy
                )
            }
        };
    }
    let count = |wanted: fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let _ = writeln!(
        out,
        "\n{} ok, {} warnings, {} failures, {} skipped",
        count(|line| matches!(line.outcome, Outcome::Pass(_))
            || line.severity() == Some(Severity::Info)),
        count(|line| line.severity() == Some(Severity::Warning)),
        count(|line| line.severity() == Some(Severity::Error)),
        count(|line| matches!(line.outcome, Outcome::Skip(_))),
    );
    out
}

const fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "WARN",
        Severity::Error => "FAIL",
    }
}

/// For programs.
pub(super) fn as_json(lines: &[Line]) -> Value {
    let lines = lines.iter().map(|line| match &line.outcome {
        Outcome::Pass(seen) => json!({
            "area": line.area.as_str(), "subject": line.subject, "outcome": "pass", "seen": seen,
        }),
        Outcome::Skip(why) => json!({
            "area": line.area.as_str(), "subject": line.subject, "outcome": "skip", "why": why,
        }),
        Outcome::Found(finding) => json!({
            "area": line.area.as_str(),
            "subject": line.subject,
            "outcome": match finding.severity {
                Severity::Info => "pass",
                Severity::Warning => "warn",
                Severity::Error => "fail",
            },
            "code": finding.code,
            "place": finding.place.as_ref().map(ToString::to_string),
            "what": finding.what,
            "remedy": finding.remedy,
        }),
    });
    json!({ "lines": lines.collect::<Vec<_>>() })
}
