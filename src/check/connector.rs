//! A connector: its identity, its gateways, and the applications that its group serves.

use super::application::Looked;
use super::{Area, Line, links, system};
use crate::clock::Timestamp;
use crate::config::{ConnectorConfig, connector_command};
use crate::model::Finding;
use crate::translate::crawl::Inside;
use crate::tunnel::{Inspected, Served};

/// The unit of its service.
const CONNECTOR_UNIT: &str = "appproxy-connector.service";

/// Seconds by which clocks may differ: certificates are not valid before they were issued.
const SKEW: i64 = 60;

/// What was found out, before it is judged.
#[derive(Debug)]
pub struct Known<'a> {
    /// The configuration, as start-up takes it.
    pub config: &'a ConnectorConfig,
    /// Now.
    pub now: Timestamp,
    /// Who it is, or why that is not known.
    pub identity: Result<Enrolled, Finding>,
    /// The connector that runs with this state; `None` where none runs.
    pub running: Option<Running>,
    /// Every gateway it knows, and how far it came there.
    pub gateways: Vec<(String, Result<Reached, Finding>)>,
    /// The applications, as far as a gateway told them; `None` where none did. What was not looked at in time
    /// has no facts.
    pub applications: Option<Vec<Visited>>,
    /// How many more there are than were told.
    pub more: u64,
}

/// An application, looked at from here.
#[derive(Debug, Clone)]
pub struct Visited {
    /// As the gateway publishes it.
    pub served: Served,
    /// What was found; `None` where there was no time.
    pub found: Option<Inspected>,
    /// What the links of its first page name, where that is one.
    pub links: Option<Inside>,
}

/// A connector that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// The identifier of its identity.
    pub id: String,
    /// How many tunnels it has.
    pub tunnels: usize,
    /// What it may reach, as it was read.
    pub allow: Vec<String>,
    /// How many files and sockets it may have open; `None` where there is no limit, or it does not tell.
    pub open_files: Option<u64>,
}

/// Who a connector is.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its identifier.
    pub id: String,
    /// Its group.
    pub group: String,
    /// When its certificate was issued.
    pub issued: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// How far it came at a gateway.
#[derive(Debug, Clone, Copy)]
pub enum Reached {
    /// Something takes connections there. Without an identity more cannot be known.
    Port,
    /// The gateway takes this connector.
    Tunnel {
        /// Seconds by which this host's clock is ahead of the gateway's.
        ahead: i64,
    },
}

/// Judges it all.
#[must_use]
pub fn check(known: &Known<'_>) -> Vec<Line> {
    let running = known.running.as_ref();
    let mut lines = system::limits(running.map(|one| one.open_files), CONNECTOR_UNIT);
    lines.push(allowed(known.config));
    lines.extend(enrolled(known));
    lines.extend(gateways(known));
    lines.extend(applications(known));
    lines.sort_by_key(|line| line.area);
    lines
}

fn allowed(config: &ConnectorConfig) -> Line {
    if config.allow.is_empty() {
        let finding = Finding::error(
            "allow_empty",
            "`allow` is empty: this connector reaches no application",
            format!(
                "name host and port of each application in {}, such as `allow: [\"wiki.corp.local:8080\"]`",
                config.file.display()
            ),
        );
        return Line::found(Area::Configuration, "allow", finding);
    }
    Line::pass(Area::Configuration, "allow", written(config).join(", "))
}

fn written(config: &ConnectorConfig) -> Vec<String> {
    config.allow.iter().map(ToString::to_string).collect()
}

fn enrolled(known: &Known<'_>) -> Vec<Line> {
    let subject = known.config.state.display().to_string();
    let line = match &known.identity {
        Err(finding) => Line::found(Area::Enrolment, subject, finding.clone()),
        Ok(enrolled) => of_certificate(subject, enrolled, known.now),
    };
    vec![line, running(known)]
}

/// The connector that runs, and by what.
fn running(known: &Known<'_>) -> Line {
    let id = known.identity.as_ref().map(|one| one.id.as_str()).ok();
    match &known.running {
        Some(running) if id.is_some_and(|id| id != running.id) => Line::found(
            Area::Enrolment,
            "connector",
            Finding::warning(
                "not_in_force",
                format!(
                    "the connector that runs is {}, and the identity that is kept now another one",
                    running.id
                ),
                "restart it: `systemctl restart appproxy-connector`",
            ),
        ),
        Some(running) if running.allow != written(known.config) => Line::found(
            Area::Enrolment,
            "connector",
            Finding::warning(
                "not_in_force",
                "the connector that runs goes by another `allow` than is in this file now",
                "have it read the file again: `systemctl reload appproxy-connector`, or send it SIGHUP",
            ),
        ),
        Some(Running { tunnels: 0, .. }) => Line::found(
            Area::Enrolment,
            "connector",
            Finding::error(
                "connector_no_tunnel",
                "the connector runs and has no tunnel",
                "mend what is said of the gateways below; `appproxy connector status` tells when it tries again",
            ),
        ),
        Some(Running { tunnels, .. }) => Line::pass(
            Area::Enrolment,
            "connector",
            format!("runs, tunnels: {tunnels}"),
        ),
        None => Line::found(
            Area::Enrolment,
            "connector",
            Finding::warning(
                "connector_not_running",
                "no connector runs here with this configuration",
                format!(
                    "start it: `systemctl enable --now appproxy-connector`, or `{}`",
                    connector_command("appproxy connector", &known.config.file)
                ),
            ),
        ),
    }
}

fn of_certificate(subject: String, enrolled: &Enrolled, now: Timestamp) -> Line {
    let Enrolled {
        id,
        group,
        issued,
        not_after,
    } = enrolled;
    let until = not_after.to_rfc3339();
    let life = not_after.0.saturating_sub(issued.0);
    let left = not_after.0.saturating_sub(now.0);
    if left <= 0 {
        let finding = Finding::error(
            "identity_expired",
            format!("the certificate of the connector {id} has ended, at {until}"),
            "start it: gateways renew one for 30 days after its end; where they refuse, register again with a new token and `--replace`",
        );
        return Line::found(Area::Enrolment, subject, finding);
    }
    // It is renewed when two thirds are over.
    if left < life / 6 {
        let finding = Finding::warning(
            "identity_not_renewed",
            format!(
                "the certificate of the connector {id} ends at {until}, and should have been renewed before now"
            ),
            "let it have a tunnel: it asks for another one then; its log says why it does not get one",
        );
        return Line::found(Area::Enrolment, subject, finding);
    }
    let seen = format!("connector {id} of group {group}, certificate good until {until}");
    Line::pass(Area::Enrolment, subject, seen)
}

fn gateways(known: &Known<'_>) -> Vec<Line> {
    if known.identity.is_err() && known.gateways.is_empty() {
        let why = "none is configured; a token names them";
        return vec![Line::skip(Area::Gateways, "all of them", why)];
    }
    if known.gateways.is_empty() {
        let finding = Finding::error(
            "no_gateways",
            "this connector knows no gateway",
            format!(
                "write `gateways: [\"gw.example.com:443\"]` into {}, or register again",
                known.config.file.display()
            ),
        );
        return vec![Line::found(Area::Gateways, "all of them", finding)];
    }
    let mut lines = Vec::new();
    for (gateway, outcome) in &known.gateways {
        match outcome {
            Err(finding) => lines.push(Line::found(Area::Gateways, gateway, finding.clone())),
            Ok(Reached::Port) => {
                let seen = "takes connections; more is known once this connector is registered";
                lines.push(Line::pass(Area::Gateways, gateway, seen));
            }
            Ok(Reached::Tunnel { ahead }) => {
                let seen = "takes this connector, through TLS that nobody opened on the way";
                lines.push(Line::pass(Area::Gateways, gateway, seen));
                lines.push(clock(gateway, *ahead));
            }
        }
    }
    lines
}

fn clock(gateway: &str, ahead: i64) -> Line {
    let subject = format!("{gateway}: clock");
    if ahead.abs() <= SKEW {
        return Line::pass(Area::Gateways, subject, format!("{ahead} s apart"));
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let finding = Finding::warning(
        "clock_wrong",
        format!(
            "this host's clock is {} s {side} the gateway's",
            ahead.abs()
        ),
        "set the wrong one of the two, for instance with `timedatectl set-ntp true`",
    );
    Line::found(Area::Gateways, subject, finding)
}

fn applications(known: &Known<'_>) -> Vec<Line> {
    let Some(all) = &known.applications else {
        let is_taken = |outcome: &Result<Reached, _>| matches!(outcome, Ok(Reached::Tunnel { .. }));
        let why = match known.gateways.iter().any(|(_, outcome)| is_taken(outcome)) {
            true => "no gateway tells which ones this connector's group serves: they are older",
            false => "no gateway takes this connector, and they alone know them",
        };
        return vec![Line::skip(Area::Applications, "all of them", why)];
    };
    if all.is_empty() {
        let group = known.identity.as_ref().map(|one| one.group.as_str());
        let group = group.unwrap_or_default();
        let finding = Finding::warning(
            "group_serves_nothing",
            format!("no application at the gateway names the group `{group}`"),
            format!(
                "write `connector_groups: [{group}]` into the application in gateway.yaml, or register with a token of the group that it names"
            ),
        );
        return vec![Line::found(Area::Applications, "all of them", finding)];
    }
    let mut lines: Vec<_> = all.iter().flat_map(|one| of_one(one, known.now)).collect();
    let named = all
        .iter()
        .filter_map(|one| Some((one, one.links.as_ref()?)));
    lines.extend(named.map(|(one, links)| links::inside(&one.served, links)));
    if known.more > 0 {
        let why = format!("{} more are not looked at", known.more);
        lines.push(Line::skip(Area::Applications, "further ones", why));
    }
    lines
}

fn of_one(visited: &Visited, now: Timestamp) -> Vec<Line> {
    let served = &visited.served;
    let Some(found) = &visited.found else {
        let why = "there was no time left";
        let subject = format!("{} ({})", served.name, served.internal);
        return vec![Line::skip(Area::Applications, subject, why)];
    };
    let looked = Looked {
        served,
        found,
        via: None,
        helped: None,
    };
    looked.lines(now)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const DAY: i64 = 86_400;

    fn config() -> ConnectorConfig {
        let text = "version: 1\nkind: connector\nstate: /s\nallow: [\"wiki.corp:80\"]\n";
        ConnectorConfig::from_text(Path::new("connector.yaml"), text).unwrap()
    }

    fn enrolled(issued: i64, not_after: i64) -> Enrolled {
        Enrolled {
            id: "c1".to_owned(),
            group: "hq".to_owned(),
            issued: Timestamp(NOW.0 + issued),
            not_after: Timestamp(NOW.0 + not_after),
        }
    }

    fn runs(tunnels: usize) -> Option<Running> {
        let allow = vec!["wiki.corp:80".to_owned()];
        let id = "c1".to_owned();
        Some(Running {
            id,
            tunnels,
            allow,
            open_files: None,
        })
    }

    fn known(config: &ConnectorConfig) -> Known<'_> {
        Known {
            config,
            now: NOW,
            identity: Ok(enrolled(-DAY, 89 * DAY)),
            running: runs(2),
            gateways: vec![("gw:443".to_owned(), Ok(Reached::Tunnel { ahead: 0 }))],
            applications: None,
            more: 0,
        }
    }

    fn codes(known: &Known<'_>) -> Vec<&'static str> {
        let lines = check(known).into_iter();
        let own = lines.filter(|line| line.area != Area::System);
        own.filter_map(|line| Some(line.finding()?.code)).collect()
    }

    #[test]
    fn a_certificate_is_told_of_when_its_renewal_is_late() {
        let config = config();
        for (issued, not_after, code) in [
            (-DAY, 89 * DAY, None),
            // Two thirds are over a moment ago.
            (-61 * DAY, 29 * DAY, None),
            (-76 * DAY, 14 * DAY, Some("identity_not_renewed")),
            (-90 * DAY, 0, Some("identity_expired")),
            (-100 * DAY, -10 * DAY, Some("identity_expired")),
        ] {
            let known = Known {
                identity: Ok(enrolled(issued, not_after)),
                ..known(&config)
            };
            assert_eq!(codes(&known), Vec::from_iter(code), "{not_after}");
        }
    }

    #[test]
    fn clocks_gateways_and_tunnels_are_told_of() {
        let config = config();
        assert!(codes(&known(&config)).is_empty());
        for (ahead, code) in [
            (SKEW, None),
            (-SKEW, None),
            (SKEW + 1, Some("clock_wrong")),
            (-SKEW - 1, Some("clock_wrong")),
        ] {
            let known = Known {
                gateways: vec![("gw:443".to_owned(), Ok(Reached::Tunnel { ahead }))],
                ..known(&config)
            };
            assert_eq!(codes(&known), Vec::from_iter(code), "{ahead}");
        }
        let none = Known {
            gateways: Vec::new(),
            running: runs(0),
            ..known(&config)
        };
        assert_eq!(codes(&none), ["connector_no_tunnel", "no_gateways"]);
        let other = Known {
            running: runs(2).map(|running| Running {
                allow: Vec::new(),
                ..running
            }),
            ..known(&config)
        };
        assert_eq!(codes(&other), ["not_in_force"]);
        let before = Known {
            running: runs(2).map(|running| Running {
                id: "c0".to_owned(),
                ..running
            }),
            ..known(&config)
        };
        assert_eq!(codes(&before), ["not_in_force"]);
        let away = Known {
            running: None,
            applications: Some(Vec::new()),
            ..known(&config)
        };
        assert_eq!(
            codes(&away),
            ["connector_not_running", "group_serves_nothing"]
        );
        // Without an identity there is nothing to say of gateways.
        let nobody = Known {
            identity: Err(Finding::error("not_registered", "none", "register")),
            gateways: Vec::new(),
            ..known(&config)
        };
        assert_eq!(codes(&nobody), ["not_registered"]);
    }
}
