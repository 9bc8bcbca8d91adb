//! Connectors: whether each group that applications name has one.

use std::collections::BTreeMap;

use super::{Known, Running};
use crate::check::{Area, Line};
use crate::model::{Finding, GroupName};
use crate::store::{ConnectorRecord, Standing};

/// Looks at each group.
pub(super) fn look(known: &Known<'_>) -> Vec<Line> {
    let mut groups: BTreeMap<&GroupName, Vec<String>> = BTreeMap::new();
    for application in &known.config.applications {
        for group in application.connectors.groups() {
            groups
                .entry(group)
                .or_default()
                .push(application.name.to_string());
        }
    }
    let lines = groups.iter().map(|(group, applications)| {
        let subject = format!("group {group}");
        match known.connectors {
            None => Line::skip(
                Area::Connectors,
                subject,
                "the store is not there yet, or cannot be read",
            ),
            Some(all) => of_group(subject, group, applications, all, known),
        }
    });
    let mut lines: Vec<_> = lines.collect();
    lines.extend(
        known
            .connectors
            .into_iter()
            .flatten()
            .filter_map(|one| old(one, known)),
    );
    let unused =
        known.connectors.into_iter().flatten().filter(|one| {
            known.is_whole && one.removed.is_none() && !groups.contains_key(&one.group)
        });
    lines.extend(unused.map(of_no_use));
    lines
}

/// A connector that no application sends anything to: its group is misspelt, or left over.
fn of_no_use(one: &ConnectorRecord) -> Line {
    let finding = Finding::warning(
        "group_serves_nothing",
        format!(
            "the connector `{}` is in the group `{}`, which no application names",
            one.name, one.group
        ),
        format!(
            "write `connector_groups: [{}]` into an application, register it with a token of another group, or remove it: `appproxy gateway connector remove {}`",
            one.group, one.id
        ),
    );
    Line::found(Area::Connectors, format!("connector {}", one.name), finding)
}

fn of_group(
    subject: String,
    group: &GroupName,
    applications: &[String],
    all: &[ConnectorRecord],
    known: &Known<'_>,
) -> Line {
    let config = known.config.file.display();
    let own: Vec<_> = all
        .iter()
        .filter(|one| one.group == *group && one.removed.is_none())
        .collect();
    let needed = applications.join(", ");
    let connected: &[String] = match &known.running {
        Running::Told { connected, .. } => connected,
        Running::No | Running::Unheard => &[],
    };
    let is_here = |one: &ConnectorRecord| connected.iter().any(|id| id == one.id.as_str());
    let here = own.iter().filter(|one| is_here(one)).count();
    let registered = own.len();
    let finding = if own.is_empty() {
        Finding::error(
            "group_empty",
            format!("no connector was ever registered for the group `{group}`, which has {needed}"),
            format!(
                "make a token with `appproxy gateway token create --group {group} --config {config}`, and run `appproxy register` where the applications are"
            ),
        )
    } else if here > 0 {
        let seen = format!("{here} of {registered} connectors have a tunnel");
        return Line::pass(Area::Connectors, subject, seen);
    } else {
        match known.running {
            Running::No => {
                let why =
                    format!("registered: {registered}; no gateway runs here to be connected to");
                return Line::skip(Area::Connectors, subject, why);
            }
            Running::Unheard => {
                let why = format!(
                    "registered: {registered}; the gateway that runs does not tell which have a tunnel"
                );
                return Line::skip(Area::Connectors, subject, why);
            }
            Running::Told { .. } => away(group, &own, &needed),
        }
    };
    Line::found(Area::Connectors, subject, finding)
}

/// None has a tunnel. One that was seen a moment ago may have it to another gateway of the same store.
fn away(group: &GroupName, own: &[&ConnectorRecord], needed: &str) -> Finding {
    let last = own.iter().max_by_key(|one| one.last_known());
    let last = last.map(|one| match &one.seen {
        Some(seen) => format!(
            "`{}` was here last at {}, from {}",
            one.name,
            seen.at.to_rfc3339(),
            seen.address
        ),
        None => format!("`{}` is registered and was never here", one.name),
    });
    Finding::error(
        "group_away",
        format!(
            "none of the {} connectors of the group `{group}` has a tunnel to this gateway: {}; {needed} cannot be reached through it",
            own.len(),
            last.unwrap_or_default()
        ),
        "see on its host whether it runs and what it says: `systemctl status appproxy-connector`, `appproxy connector status`",
    )
}

/// A connector of another version.
fn old(one: &ConnectorRecord, known: &Known<'_>) -> Option<Line> {
    let seen = one.seen.as_ref()?;
    let ours = env!("CARGO_PKG_VERSION");
    if one.removed.is_some()
        || seen.version == ours
        || one.standing(known.clock.now()) != Standing::Active
    {
        return None;
    }
    let finding = Finding::warning(
        "connector_version",
        format!(
            "the connector `{}` has version {}, and this gateway is {ours}",
            one.name, seen.version
        ),
        "bring both to the same version: gateways first, then connectors",
    );
    Some(Line::found(
        Area::Connectors,
        format!("connector {}", one.name),
        finding,
    ))
}
