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
        let subject = plain(&line.subject);
        let _ = match &line.outcome {
            Outcome::Pass(seen) => writeln!(out, "  ok    {subject}: {}", plain(seen)),
            Outcome::Skip(why) => writeln!(out, "  skip  {subject}: {}", plain(why)),
            Outcome::Found(finding) => {
                let place = finding
                    .place
                    .as_ref()
                    .map(|place| format!("{place}: "))
                    .unwrap_or_default();
                writeln!(
                    out,
                    "  {}  {subject} [{}]\n        {place}{}\n        → {}",
                    mark(finding.severity),
                    finding.code,
                    plain(&finding.what),
                    plain(&finding.remedy)
                )
            }
        };
    }
    let count = |wanted: fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let _ = writeln!(
        out,
        "\n{} ok, {}, {}, {} skipped",
        count(|line| matches!(line.outcome, Outcome::Pass(_))
            || line.severity() == Some(Severity::Info)),
        counted(
            count(|line| line.severity() == Some(Severity::Warning)),
            "warning"
        ),
        counted(
            count(|line| line.severity() == Some(Severity::Error)),
            "failure"
        ),
        count(|line| matches!(line.outcome, Outcome::Skip(_))),
    );
    out
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Without what acts instead of being read. SECURITY: names and words of strangers are part of it all.
fn plain(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .map(|c| if c == '\n' { ' ' } else { c })
        .filter(|c| !acts(*c))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Finding;

    #[test]
    fn a_report_is_read_and_does_not_act() {
        let bad = "x\u{1b}[2J\n  ok    y\u{202e}";
        let finding = Finding::error("app_slow", bad, bad);
        let text = as_text(&[
            Line::pass(Area::Links, bad, bad),
            Line::skip(Area::Links, bad, bad),
            Line::found(Area::Links, bad, finding),
        ]);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}
