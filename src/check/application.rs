//! An application as a connector finds it: what the facts mean, and what to do.

use url::Url;

use super::{Area, Line};
use crate::clock::Timestamp;
use crate::model::{ErrorCode, Finding};
use crate::tunnel::{Inspected, Served};

/// Milliseconds until the head of an answer, from which on people notice.
const SLOW: u64 = 2000;

/// A certificate that ends within so many seconds is told of.
const ENDS_SOON: i64 = 14 * 86_400;

/// An application, looked at.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    /// What was looked at.
    pub served: &'a Served,
    /// What was found.
    pub found: &'a Inspected,
    /// Which connector looked, where there may be several.
    pub via: Option<&'a str>,
    /// What the gateway does for it, where that is known: at its own side.
    pub helped: Option<Helped>,
}

/// What a gateway does for an application, by its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Helped {
    /// It translates links in its pages.
    pub translates: bool,
    /// It lets connections be signed in.
    pub signs_connections_in: bool,
    /// It tells it who somebody is.
    pub signs_on: bool,
}

impl Looked<'_> {
    /// What there is to say of it, in the order of the steps.
    #[must_use]
    pub fn lines(&self, now: Timestamp) -> Vec<Line> {
        let Inspected {
            address,
            fault,
            status,
            tls,
            ..
        } = self.found;
        let mut lines = Vec::new();
        if let Some(address) = address {
            lines.push(self.pass(format!("takes connections at {address}{}", self.way())));
        }
        if let Some(tls) = tls {
            lines.push(self.secured(tls, now));
        }
        if let Some(fault) = fault {
            lines.push(self.line(self.broken(fault.code.as_str(), &fault.detail)));
            let rest = "its answer and its links: it is not reached";
            lines.push(Line::skip(Area::Applications, self.subject(), rest));
            return lines;
        }
        if let Some(status) = *status {
            lines.push(self.answered(status));
            lines.extend(self.led());
            lines.extend(self.asked_to_sign_in());
        }
        lines.push(self.compared());
        lines
    }

    fn subject(&self) -> String {
        let Served { name, internal, .. } = self.served;
        let via = self.via.map(|via| format!(" via {via}"));
        format!("{name} ({internal}){}", via.unwrap_or_default())
    }

    fn pass(&self, seen: impl Into<String>) -> Line {
        Line::pass(Area::Applications, self.subject(), seen)
    }

    fn line(&self, finding: Finding) -> Line {
        Line::found(Area::Applications, self.subject(), finding)
    }

    fn way(&self) -> String {
        let took = self.found.connect_ms;
        let took = took.map(|ms| format!(" after {ms} ms"));
        let through = self.found.through.as_ref();
        let through = through.map(|proxy| format!(", the proxy {proxy}"));
        format!(
            "{}{}",
            through.unwrap_or_default(),
            took.unwrap_or_default()
        )
    }

    fn secured(&self, tls: &crate::tunnel::Secured, now: Timestamp) -> Line {
        let ends = Timestamp(tls.not_after).to_rfc3339();
        if tls.not_after < now.0.saturating_add(ENDS_SOON) {
            return self.line(Finding::warning(
                "app_certificate_ends",
                format!("its certificate, by {}, ends at {ends}", tls.issuer),
                "renew it at the application: from then on nobody reaches it",
            ));
        }
        self.pass(format!(
            "{}, certificate by {} good until {ends}",
            tls.version, tls.issuer
        ))
    }

    /// Why there is no answer.
    fn broken(&self, word: &str, detail: &str) -> Finding {
        let scheme = self.served.inspect.scheme.as_str();
        match (scheme, self.found.speaks.as_deref()) {
            ("https", Some("http")) => return self.speaks_http(detail),
            ("http", Some("https")) => return self.speaks_tls(),
            _ => {}
        }
        let Some(code) = ErrorCode::from_word(word) else {
            let remedy = "bring connector and gateway to the same version";
            return Finding::error("connector_version", format!("{word}: {detail}"), remedy);
        };
        if code == ErrorCode::BackendFirstByteTimeout {
            return Finding::warning(
                code.as_str(),
                format!("{detail} (this check waits no longer)"),
                "see what the application does at its first page; people wait for it as long as `timeouts: { first_byte: … }` says",
            );
        }
        Finding::error(code.as_str(), detail, remedy(code, self.via.is_none()))
    }

    fn speaks_http(&self, detail: &str) -> Finding {
        Finding::error(
            "app_speaks_http",
            format!("it speaks plain HTTP on this port, and `internal_url` says https: {detail}"),
            format!(
                "write `internal_url: {}`, or the port on which it speaks TLS",
                self.served.internal.replacen("https:", "http:", 1)
            ),
        )
    }

    fn speaks_tls(&self) -> Finding {
        Finding::error(
            "app_speaks_tls",
            "it speaks TLS on this port, and `internal_url` says http",
            format!(
                "write `internal_url: {}`",
                self.served.internal.replacen("http:", "https:", 1)
            ),
        )
    }

    fn answered(&self, status: u16) -> Line {
        let took = self.found.first_byte_ms.unwrap_or_default();
        let path = self.served.inspect.path.as_deref().unwrap_or("/");
        let authority = &self.served.inspect.authority;
        let finding = match status {
            400 if self.found.speaks.as_deref() == Some("https") => self.speaks_tls(),
            400 | 421 => Finding::warning(
                "app_refuses_host",
                format!("it answers {status} when it is asked as `{authority}`"),
                "set `host_header: external`, or the name that it knows itself by, or add the name to those that the application accepts",
            ),
            404 | 410 => Finding::warning(
                "app_not_found",
                format!("it answers {status} at {path}, where its published part begins"),
                "correct the path of `internal_url`, if people should find something there",
            ),
            500.. => Finding::warning(
                "app_answers_error",
                format!("it answers {status} at {path}"),
                "see the application's own log: the connection to it works",
            ),
            _ if took >= SLOW => Finding::warning(
                "app_slow",
                format!("it takes {took} ms to begin its answer ({status})"),
                "see what the application does at its first page; nothing between it and the connector takes that long",
            ),
            _ => return self.pass(format!("answers {status} after {took} ms")),
        };
        self.line(finding)
    }

    /// Where it leads people to at once.
    fn led(&self) -> Option<Line> {
        let location = self.found.location.as_deref()?;
        let internal = Url::parse(&self.served.internal).ok()?;
        let external = Url::parse(&self.served.external).ok();
        let Ok(to) = internal.join(location) else {
            let finding = Finding::warning(
                "app_redirects_nowhere",
                format!("it redirects to `{}`, which is no URL", start_of(location)),
                "see the base URL in the application's own settings",
            );
            return Some(self.line(finding));
        };
        if to.origin() == internal.origin() {
            return Some(self.pass(format!("leads to {}", to.path())));
        }
        if external.is_some_and(|external| external.origin() == to.origin()) {
            return Some(self.pass(format!("leads to its external URL, {}", told(&to))));
        }
        let to_whom = told(&to);
        let finding = match to.host_str() == internal.host_str() {
            true => Finding::warning(
                "app_redirects_scheme",
                format!(
                    "it redirects to {to_whom}, which is itself under another scheme or port than `internal_url` has"
                ),
                format!(
                    "write `internal_url: {}`, or have it stop to redirect what comes from the connector",
                    to.origin().ascii_serialization() + internal.path()
                ),
            ),
            false => Finding::info(
                "app_redirects_elsewhere",
                format!("it redirects to {to_whom}, another host"),
                "if people outside cannot open that, publish it too, or correct the base URL in the application's settings",
            ),
        };
        Some(self.line(finding))
    }

    fn asked_to_sign_in(&self) -> Option<Line> {
        let schemes = &self.found.challenges;
        let helped = self.helped.unwrap_or_default();
        let has = |scheme: &str| schemes.iter().any(|one| one == scheme);
        let finding = match () {
            () if schemes.is_empty() => return None,
            () if has("ntlm") && helped.signs_connections_in => {
                let seen = format!("signs connections in by {}", schemes.join(", "));
                return Some(self.pass(seen));
            }
            () if helped.signs_on => {
                let seen = format!(
                    "signs people in by {}; the gateway tells it who they are (`single_sign_on`), and this check is nobody",
                    schemes.join(", ")
                );
                return Some(self.pass(seen));
            }
            () if has("ntlm") => Finding::info(
                "app_asks_for_ntlm",
                format!("it signs people in by {}", schemes.join(", ")),
                "set `connection_authentication: true` for it: NTLM signs connections in",
            ),
            () if has("negotiate") => Finding::info(
                "app_asks_for_kerberos",
                format!("it signs people in by {}", schemes.join(", ")),
                "browsers outside of the domain cannot answer: let the application accept a header or a password as well, which `single_sign_on` sends",
            ),
            () if has("basic") => Finding::info(
                "app_asks_for_password",
                "it asks for a password (Basic), beside the sign-in at the gateway",
                "where one password is good for all, let the gateway send it: `single_sign_on: { basic: … }`",
            ),
            () => return Some(self.pass(format!("asks programs for {}", schemes.join(", ")))),
        };
        Some(self.line(finding))
    }

    /// Whether people see it under the URL that it has inside.
    fn compared(&self) -> Line {
        let Served {
            external, internal, ..
        } = self.served;
        let (Ok(outside), Ok(inside)) = (Url::parse(external), Url::parse(internal)) else {
            return self.pass("has a wildcard: its URLs are compared with a name alone");
        };
        let parts = [
            ("scheme", outside.scheme() == inside.scheme()),
            ("host", outside.host_str() == inside.host_str()),
            (
                "port",
                outside.port_or_known_default() == inside.port_or_known_default(),
            ),
            ("path", outside.path() == inside.path()),
        ];
        let differ: Vec<_> = parts.iter().filter(|(_, same)| !same).collect();
        let differ: Vec<_> = differ.into_iter().map(|(part, _)| *part).collect();
        if differ.is_empty() {
            return self.pass("has the same URL inside and outside: its links hold");
        }
        let what = format!("{external} differs in {}", differ.join(", "));
        if self.helped.is_some_and(|helped| helped.translates) {
            return self.pass(format!("{what}; links in its pages are translated"));
        }
        self.line(Finding::info(
            "url_differs",
            format!("{what}: links that it writes with its own name lead inside"),
            "set its base URL to the external one where it has such a setting, or `link_translation: { body: [html, css] }`",
        ))
    }
}

/// Without its query, which may have what is secret.
fn told(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn start_of(location: &str) -> &str {
    location.split(['?', '#']).next().unwrap_or_default()
}

/// What helps against a fault that comes before an answer. At the connector it is the gateway's word alone that there
/// is such an application, which is told as such.
const fn remedy(code: ErrorCode, at_the_connector: bool) -> &'static str {
    match code {
        ErrorCode::TargetRefused if at_the_connector => {
            "the gateway says that the application is there: if you know that it is, add it to the list `allow` in connector.yaml, and have the connector read it again: `systemctl reload appproxy-connector`, or SIGHUP"
        }
        ErrorCode::TargetRefused => {
            "add it to the list `allow` in connector.yaml on the connector's host, and have it read again there: `systemctl reload appproxy-connector`, or SIGHUP"
        }
        ErrorCode::BackendDns => {
            "correct the host of `internal_url`, or give it an address on the connector's host: `dns: { hosts: { NAME: [ADDRESS] } }`"
        }
        ErrorCode::BackendRefused => {
            "see whether the application runs and listens on this port and address: `ss -ltn` on its host; from elsewhere a firewall may refuse as well"
        }
        ErrorCode::BackendTlsName => {
            "write the name that its certificate has as `server_name` into `backend_tls`, or correct the host of `internal_url`"
        }
        ErrorCode::BackendTlsTrust => {
            "name the authority of its certificate as `ca` in `backend_tls`; `appproxy check-cert HOST:PORT` on the connector's host tells what it presents"
        }
        ErrorCode::BackendConnectTimeout => {
            "check the firewalls between the connector and the application, and the address"
        }
        ErrorCode::BackendBadResponse => {
            "see whether the port speaks HTTP at all, and the application's own log"
        }
        _ => "see the connector's log at this time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::tunnel::{Fault, Inspect, Secured};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn served(external: &str, internal: &str) -> Served {
        let url = Url::parse(internal).unwrap();
        Served {
            name: "wiki".to_owned(),
            external: external.to_owned(),
            internal: internal.to_owned(),
            inspect: Inspect {
                scheme: url.scheme().to_owned(),
                target: "wiki.corp.local:80".to_owned(),
                authority: "wiki.corp.local".to_owned(),
                path: Some(url.path().to_owned()),
                profile: String::new(),
            },
        }
    }

    fn answered(status: u16) -> Inspected {
        Inspected {
            address: Some("10.0.0.5:80".to_owned()),
            connect_ms: Some(1),
            status: Some(status),
            first_byte_ms: Some(2),
            ..Inspected::default()
        }
    }

    fn codes(served: &Served, found: &Inspected, translates: Option<bool>) -> Vec<&'static str> {
        let looked = Looked {
            served,
            found,
            via: None,
            helped: translates.map(|translates| Helped {
                translates,
                ..Helped::default()
            }),
        };
        let lines = looked.lines(NOW);
        assert!(lines.iter().all(|line| line.subject.starts_with("wiki (")));
        lines
            .iter()
            .filter_map(|line| Some(line.finding()?.code))
            .collect()
    }

    #[test]
    fn what_differs_between_inside_and_outside_is_named() {
        for (external, internal, differs) in [
            ("https://wiki.corp/", "https://wiki.corp/", None),
            ("https://wiki.corp/", "https://wiki.corp:443/", None),
            ("https://wiki.corp/a/", "https://wiki.corp/", Some("path")),
            (
                "https://wiki.corp/",
                "http://wiki.corp:443/",
                Some("scheme"),
            ),
            (
                "https://wiki.corp/",
                "http://wiki.corp/",
                Some("scheme, port"),
            ),
            (
                "https://wiki.example.com/",
                "https://wiki.corp/",
                Some("host"),
            ),
        ] {
            let served = served(external, internal);
            let found = answered(200);
            let looked = Looked {
                served: &served,
                found: &found,
                via: None,
                helped: None,
            };
            let lines = looked.lines(NOW);
            let said = lines.iter().find_map(|line| line.finding());
            let what = said.map(|finding| finding.what.clone());
            let what = what.map(|what| what.split(": ").next().unwrap().to_owned());
            let expected = differs.map(|differs| format!("{external} differs in {differs}"));
            assert_eq!(what, expected, "{external} {internal}");
            assert!(codes(&served, &found, Some(true)).is_empty());
        }
    }

    #[test]
    fn where_an_answer_leads_is_told_by_its_origin() {
        let served = served("https://wiki.example.com/", "http://wiki.corp/");
        for (location, code) in [
            ("/login", None),
            ("login?back=/", None),
            ("http://wiki.corp/login", None),
            ("https://wiki.example.com/login", None),
            ("https://wiki.corp/", Some("app_redirects_scheme")),
            ("http://wiki.corp:8080/", Some("app_redirects_scheme")),
            ("https://sso.example.org/", Some("app_redirects_elsewhere")),
            ("http://[", Some("app_redirects_nowhere")),
        ] {
            let found = Inspected {
                location: Some(location.to_owned()),
                ..answered(302)
            };
            let codes = codes(&served, &found, Some(true));
            assert_eq!(codes.first().copied(), code, "{location}");
        }
    }

    #[test]
    fn each_status_and_each_fault_is_said_once() {
        let served = served("https://wiki.example.com/", "http://wiki.corp/");
        for (status, code) in [
            (200, None),
            (204, None),
            (403, None),
            (400, Some("app_refuses_host")),
            (421, Some("app_refuses_host")),
            (404, Some("app_not_found")),
            (500, Some("app_answers_error")),
            (599, Some("app_answers_error")),
        ] {
            assert_eq!(
                codes(&served, &answered(status), Some(true)),
                Vec::from_iter(code)
            );
        }
        let slow = Inspected {
            first_byte_ms: Some(SLOW),
            ..answered(200)
        };
        assert_eq!(codes(&served, &slow, Some(true)), ["app_slow"]);
        let tls = Inspected {
            speaks: Some("https".to_owned()),
            ..answered(400)
        };
        assert_eq!(codes(&served, &tls, Some(true)), ["app_speaks_tls"]);
        for code in ErrorCode::ALL {
            let found = Inspected {
                fault: Some(Fault {
                    code: code.as_str().to_owned(),
                    detail: "why".to_owned(),
                }),
                ..Inspected::default()
            };
            assert_eq!(codes(&served, &found, None), [code.as_str()]);
        }
        let newer = Inspected {
            fault: Some(Fault {
                code: "from_the_future".to_owned(),
                detail: "why".to_owned(),
            }),
            ..Inspected::default()
        };
        assert_eq!(codes(&served, &newer, None), ["connector_version"]);
    }

    #[test]
    fn what_the_gateway_does_about_a_sign_in_is_not_asked_for_again() {
        let served = served("https://wiki.corp/", "https://wiki.corp/");
        let (none, connections, people) = (
            Helped::default(),
            Helped {
                signs_connections_in: true,
                ..Helped::default()
            },
            Helped {
                signs_on: true,
                ..Helped::default()
            },
        );
        for (scheme, helped, code) in [
            ("ntlm", none, Some("app_asks_for_ntlm")),
            ("ntlm", connections, None),
            ("negotiate", none, Some("app_asks_for_kerberos")),
            ("negotiate", connections, Some("app_asks_for_kerberos")),
            ("negotiate", people, None),
            ("basic", none, Some("app_asks_for_password")),
            ("basic", people, None),
            ("bearer", none, None),
        ] {
            let found = Inspected {
                challenges: vec![scheme.to_owned()],
                ..answered(401)
            };
            let looked = Looked {
                served: &served,
                found: &found,
                via: None,
                helped: Some(helped),
            };
            let lines = looked.lines(NOW);
            let found = lines.iter().find_map(|line| Some(line.finding()?.code));
            assert_eq!(found, code, "{scheme} {helped:?}");
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_warning() {
        let served = served("https://wiki.example.com/", "https://wiki.corp/");
        for (left, code) in [
            (ENDS_SOON - 1, Some("app_certificate_ends")),
            (ENDS_SOON, None),
        ] {
            let found = Inspected {
                tls: Some(Secured {
                    version: "TLSv1_3".to_owned(),
                    issuer: "CN=Corp".to_owned(),
                    not_after: NOW.0 + left,
                }),
                ..answered(200)
            };
            assert_eq!(codes(&served, &found, Some(true)), Vec::from_iter(code));
        }
    }

    #[test]
    fn a_connection_that_is_all_is_compared_and_nothing_else() {
        let served = served("https://wiki.example.com/", "https://wiki.example.com/");
        let found = Inspected {
            address: Some("10.0.0.5:443".to_owned()),
            ..Inspected::default()
        };
        let looked = Looked {
            served: &served,
            found: &found,
            via: Some("hq-1"),
            helped: None,
        };
        let lines = looked.lines(NOW);
        assert_eq!(lines.len(), 2);
        assert!(
            lines
                .iter()
                .all(|line| matches!(line.outcome, Outcome::Pass(_)))
        );
        assert!(lines[0].subject.ends_with(" via hq-1"));
    }
}
