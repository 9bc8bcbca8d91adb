//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::certs::contents::Contents;
use crate::certs::diagnose::{Certificate, Chain, End, Name};
use crate::certs::{Asked, Examined};
use crate::clock::Timestamp;
use crate::model::{Finding, Severity, printable};

/// Characters of what was asked for that are shown.
const SHOWN: usize = 1024;

/// All there is to say.
pub(super) struct Report<'a> {
    pub(super) target: &'a str,
    /// How a server spoke.
    pub(super) how: Option<&'a str>,
    pub(super) contents: &'a Contents,
    pub(super) examined: &'a Examined,
    pub(super) asked: &'a Asked<'a>,
}

impl Report<'_> {
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let what = match (self.contents.form, self.how) {
            (Some(form), _) => format!(": {}", form.as_str()),
            (None, Some(how)) => format!(" speaks {how}"),
            (None, None) => String::new(),
        };
        let _ = writeln!(out, "{}{what}", printable(self.target, SHOWN));
        for fact in &self.contents.facts {
            let _ = writeln!(out, "  {fact}");
        }
        for (at, one) in self.examined.certificates.iter().enumerate() {
            self.certificate(&mut out, at, one);
        }
        self.keys(&mut out);
        for request in &self.examined.requests {
            let _ = writeln!(
                out,
                "  request: {}, {}, for {}",
                request.subject,
                request.key,
                listed(&request.names)
            );
        }
        if let Some(chain) = &self.examined.chain {
            let _ = writeln!(out, "  chain: {}", in_words(chain));
        }
        for list in self.asked.lists {
            let _ = writeln!(
                out,
                "  revocation list: {}, of {}, {} to {}, {}",
                list.file,
                list.issuer,
                list.from.to_rfc3339(),
                list.until.to_rfc3339(),
                plural(list.entries, "certificate")
            );
        }
        out.push('\n');
        for finding in &self.examined.findings {
            let _ = writeln!(out, "{finding}");
        }
        out.push_str(&self.sum());
        out
    }

    fn certificate(&self, out: &mut String, at: usize, one: &Certificate) {
        let name = self
            .contents
            .certificates
            .get(at)
            .and_then(|held| held.friendly_name.as_ref());
        let name = name
            .map(|name| format!(", called `{name}`"))
            .unwrap_or_default();
        let role = match (self.leaf() == Some(at), one.is_self_issued()) {
            (true, _) => "",
            (false, true) => " (a root)",
            (false, false) => " (an intermediate)",
        };
        let _ = writeln!(out, "  {}  {}{role}{name}", at + 1, one.subject);
        if let Some(names) = one.names.as_ref().filter(|names| !names.is_empty()) {
            let names: Vec<_> = names.iter().map(Name::to_text).collect();
            let _ = writeln!(out, "     for {}", listed(&names));
        }
        let _ = writeln!(
            out,
            "     {}, issued by {} with {}",
            one.key, one.issuer, one.signature
        );
        let _ = writeln!(
            out,
            "     {} to {} ({})",
            one.not_before.to_rfc3339(),
            one.not_after.to_rfc3339(),
            left(one, self.asked.now)
        );
        if let Some(place) = one.list_at() {
            let unseen = match self.asked.lists.is_empty() {
                true => ", not looked at without `--crl`",
                false => "",
            };
            let _ = writeln!(out, "     revocation list: {place}{unseen}");
        }
    }

    fn keys(&self, out: &mut String) {
        for (key, held) in self.examined.keys.iter().zip(&self.contents.keys) {
            let of = match key.fits {
                Some(at) => format!("of certificate {}", at + 1),
                None => "of no certificate here".to_owned(),
            };
            let name = held.friendly_name.as_ref();
            let name = name
                .map(|name| format!(", called `{name}`"))
                .unwrap_or_default();
            let provider = held.provider.as_ref();
            let provider = provider
                .map(|name| format!(", kept by {name}"))
                .unwrap_or_default();
            let machine = match held.is_local_machine {
                true => ", a key of the machine",
                false => "",
            };
            let _ = writeln!(out, "  key: {}, {of}{name}{provider}{machine}", key.kind);
        }
    }

    fn leaf(&self) -> Option<usize> {
        self.examined.chain.as_ref()?.order.first().copied()
    }

    fn sum(&self) -> String {
        let count = |severity| {
            self.examined
                .findings
                .iter()
                .filter(|one| one.severity == severity)
                .count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match (errors, warnings) {
            (0, 0) => "Nothing is wrong with it.\n".to_owned(),
            (0, warnings) => format!("{}: it can be used.\n", plural(warnings, "warning")),
            (errors, 0) => format!("{}.\n", plural(errors, "error")),
            (errors, warnings) => format!(
                "{}, {}.\n",
                plural(errors, "error"),
                plural(warnings, "warning")
            ),
        }
    }

    pub(super) fn json(&self) -> String {
        let certificates = self.examined.certificates.iter().enumerate().map(|(at, one)| {
            let names = one.names.as_deref().unwrap_or_default();
            json!({
                "subject": one.subject,
                "issuer": one.issuer,
                "names": names.iter().map(Name::to_text).collect::<Vec<_>>(),
                "key": one.key.to_string(),
                "signature": one.signature,
                "not_before": one.not_before.to_rfc3339(),
                "not_after": one.not_after.to_rfc3339(),
                "serial": one.serial,
                "sha256": one.fingerprint(),
                "revocation_list": one.list_at(),
                "authority": one.is_authority,
                "leaf": self.leaf() == Some(at),
                "friendly_name": self.contents.certificates.get(at).and_then(|held| held.friendly_name.as_ref()),
            })
        });
        let keys = self
            .examined
            .keys
            .iter()
            .zip(&self.contents.keys)
            .map(|(key, held)| {
                json!({
                    "key": key.kind.to_string(),
                    "certificate": key.fits.map(|at| at + 1),
                    "friendly_name": held.friendly_name,
                    "provider": held.provider,
                    "local_machine": held.is_local_machine,
                })
            });
        let requests = self.examined.requests.iter().map(|request| {
            json!({
                "subject": request.subject,
                "names": request.names,
                "key": request.key.to_string(),
            })
        });
        let chain = self.examined.chain.as_ref().map(|chain| {
            json!({
                "order": chain.order.iter().map(|at| at + 1).collect::<Vec<_>>(),
                "end": match chain.end {
                    End::Trusted => "trusted",
                    End::SelfIssued => "own_authority",
                    End::Missing => "missing",
                },
            })
        });
        let lists = self.asked.lists.iter().map(|list| {
            json!({
                "file": list.file,
                "issuer": list.issuer,
                "from": list.from.to_rfc3339(),
                "until": list.until.to_rfc3339(),
                "certificates": list.entries,
            })
        });
        let whole = json!({
            "target": self.target,
            "form": self.contents.form.map(|form| form.as_str()),
            "tls": self.how,
            "facts": self.contents.facts,
            "certificates": certificates.collect::<Vec<_>>(),
            "keys": keys.collect::<Vec<_>>(),
            "requests": requests.collect::<Vec<_>>(),
            "chain": chain,
            "revocation_lists": lists.collect::<Vec<_>>(),
            "findings": self.examined.findings.iter().map(finding).collect::<Vec<_>>(),
        });
        format!("{whole:#}\n")
    }
}

/// A finding for programs.
fn finding(finding: &Finding) -> Value {
    let place = finding.place.as_ref();
    json!({
        "code": finding.code,
        "severity": finding.severity.as_str(),
        "file": place.map(|place| place.file.display().to_string()),
        "line": place.map(|place| place.line).filter(|line| *line > 0),
        "what": finding.what,
        "remedy": finding.remedy,
    })
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 12;
    match names.len() {
        0 => "no name".to_owned(),
        count if count > MOST => {
            let first = names.get(..MOST).unwrap_or_default().join(", ");
            format!("{first} and {} more", count - MOST)
        }
        _ => names.join(", "),
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn left(one: &Certificate, now: Timestamp) -> String {
    let days = (one.not_after.0 - now.0) / 86_400;
    match days {
        _ if now < one.not_before => "not valid yet".to_owned(),
        _ if now > one.not_after => "expired".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    }
}

fn in_words(chain: &Chain) -> String {
    let numbers: Vec<_> = chain.order.iter().map(|at| (at + 1).to_string()).collect();
    let end = match chain.end {
        End::Trusted => "to an authority that this host trusts",
        End::SelfIssued => "to an authority that this host does not trust",
        End::Missing => "and its issuer is missing",
    };
    format!("{}, {end}", numbers.join(", "))
}
