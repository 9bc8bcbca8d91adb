//! Which connectors are here and which are missed: groups that lose their last connector, connectors
//! that do not come back, and what the store knows of both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Gateway;
use crate::certs::PeerConnector;
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName};
use crate::store::{ConnectorRecord, Seen, Standing};
use crate::telemetry::metrics::{TUNNELS_CLOSED, TUNNELS_OPENED};

/// How often it is looked who is missed.
const LOOK: Duration = Duration::from_secs(60);

/// How often the store is told that a connector is still connected: well within the time after which
/// it counts as inactive, and one small write for each connector.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Who is here, and what the store said last of all that are enrolled.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    here: HashMap<ConnectorId, Here>,
    /// Connectors that are enrolled and not removed.
    enrolled: Vec<ConnectorRecord>,
    /// Whether there was a look before.
    looked: bool,
    inactive: BTreeSet<ConnectorId>,
    hidden: BTreeSet<ConnectorId>,
}

#[derive(Debug)]
struct Here {
    group: GroupName,
    tunnels: u32,
    seen: Seen,
}

/// One tunnel of a connector that is here, until it is dropped.
#[derive(Debug)]
pub(super) struct Present {
    gateway: Arc<Gateway>,
    connector: ConnectorId,
    group: GroupName,
    seen: Seen,
}

/// What is to be said of a connector's standing.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// At the first look: so many were missed before.
    Missed(usize),
    Inactive(ConnectorId, GroupName, Timestamp),
    Hidden(ConnectorId, GroupName, Timestamp),
}

/// A connector for the metrics.
pub(super) struct Row {
    pub(super) connector: ConnectorId,
    pub(super) group: GroupName,
    /// A word of the label `state`.
    pub(super) state: &'static str,
    /// Seconds since it was connected anywhere.
    pub(super) age: i64,
}

impl Presence {
    /// Those that are connected to this gateway.
    pub(super) fn here(&self) -> Vec<ConnectorId> {
        self.state().here.keys().cloned().collect()
    }

    /// Every enrolled connector, and those that are here and not known to be enrolled yet.
    pub(super) fn rows(&self, now: Timestamp) -> Vec<Row> {
        let state = self.state();
        let mut rows = BTreeMap::new();
        for record in &state.enrolled {
            let (standing, last) = (record.standing(now), record.last_known());
            let row = Row {
                connector: record.id.clone(),
                group: record.group.clone(),
                state: match standing {
                    Standing::Inactive => "inactive",
                    Standing::Hidden => "hidden",
                    Standing::Enrolled | Standing::Active | Standing::Removed => "away",
                },
                age: now.0.saturating_sub(last.0).max(0),
            };
            rows.insert(record.id.clone(), row);
        }
        for (connector, here) in &state.here {
            let row = Row {
                connector: connector.clone(),
                group: here.group.clone(),
                state: "connected",
                age: 0,
            };
            rows.insert(connector.clone(), row);
        }
        rows.into_values().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether its group had nobody before.
    fn enter(&mut self, connector: &ConnectorId, group: &GroupName, seen: Seen) -> bool {
        let first = !self.here.values().any(|here| here.group == *group);
        let here = self.here.entry(connector.clone()).or_insert_with(|| Here {
            group: group.clone(),
            tunnels: 0,
            seen: seen.clone(),
        });
        here.tunnels += 1;
        here.seen = seen;
        first
    }

    /// The group that has nobody now, if it is so.
    fn leave(&mut self, connector: &ConnectorId, now: Timestamp) -> Option<GroupName> {
        let here = self.here.get_mut(connector)?;
        here.tunnels = here.tunnels.saturating_sub(1);
        if here.tunnels > 0 {
            return None;
        }
        let Here {
            group, mut seen, ..
        } = self.here.remove(connector)?;
        seen.at = now;
        match self.enrolled.iter_mut().find(|r| r.id == *connector) {
            Some(record) => record.seen = Some(seen),
            // It was enrolled after the last look.
            None => self.enrolled.push(ConnectorRecord {
                id: connector.clone(),
                group: group.clone(),
                name: String::new(),
                enrolled: now,
                seen: Some(seen),
                removed: None,
            }),
        }
        let left = self.here.values().any(|here| here.group == group);
        (!left).then_some(group)
    }

    /// Those who are here and whom the store was told of long ago.
    fn due(&mut self, now: Timestamp) -> Vec<(ConnectorId, Seen)> {
        let due = self
            .here
            .iter_mut()
            .filter(|(_, here)| here.seen.at <= now.minus(REFRESH));
        due.map(|(connector, here)| {
            here.seen.at = now;
            (connector.clone(), here.seen.clone())
        })
        .collect()
    }

    /// What the store says now, and what is new about it.
    fn look(&mut self, records: Vec<ConnectorRecord>, now: Timestamp) -> Vec<News> {
        let (mut inactive, mut hidden) = (BTreeSet::new(), BTreeSet::new());
        let mut news = Vec::new();
        self.enrolled = records;
        self.enrolled.retain(|record| record.removed.is_none());
        for record in &self.enrolled {
            if self.here.contains_key(&record.id) {
                continue;
            }
            let (id, last) = (record.id.clone(), record.last_known());
            match record.standing(now) {
                Standing::Inactive => {
                    if !self.inactive.contains(&id) {
                        news.push(News::Inactive(id.clone(), record.group.clone(), last));
                    }
                    inactive.insert(id);
                }
                Standing::Hidden => {
                    if !self.hidden.contains(&id) {
                        news.push(News::Hidden(id.clone(), record.group.clone(), last));
                    }
                    hidden.insert(id);
                }
                Standing::Enrolled | Standing::Active | Standing::Removed => {}
            }
        }
        let missed = inactive.len();
        (self.inactive, self.hidden) = (inactive, hidden);
        // Whoever was missed before this gateway started is not news one by one.
        match (std::mem::replace(&mut self.looked, true), missed) {
            (true, _) => news,
            (false, 0) => Vec::new(),
            (false, _) => vec![News::Missed(missed)],
        }
    }
}

impl Present {
    /// A tunnel of this connector was taken into service.
    pub(super) fn enter(gateway: &Arc<Gateway>, connector: &PeerConnector, seen: Seen) -> Self {
        let PeerConnector { id, group, .. } = connector;
        TUNNELS_OPENED.count(&[group.as_str()]);
        let first = gateway.presence.state().enter(id, group, seen.clone());
        if first {
            tracing::info!(%group, "connector group has a connector");
        }
        Self {
            gateway: Arc::clone(gateway),
            connector: id.clone(),
            group: group.clone(),
            seen,
        }
    }

    /// It ended, for a reason in one word; where it was the last one the store is told when.
    pub(super) async fn ended(self, reason: &str) {
        TUNNELS_CLOSED.count(&[self.group.as_str(), reason]);
        let (gateway, connector) = (Arc::clone(&self.gateway), self.connector.clone());
        let mut seen = self.seen.clone();
        drop(self);
        let still_here = gateway.presence.state().here.contains_key(&connector);
        // A gateway that stops would write for each of them at once.
        if !still_here && !gateway.is_stopping() {
            seen.at = gateway.clock.now();
            let _ = gateway.store.connector_seen(&connector, seen).await;
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let now = self.gateway.clock.now();
        let left = self.gateway.presence.state().leave(&self.connector, now);
        // A gateway that stops loses all of them, which is no news.
        if let Some(group) = left
            && !self.gateway.is_stopping()
        {
            tracing::warn!(code = "group_away", %group, "connector group has no connector left");
        }
    }
}

/// Looks now and then who is missed, until the gateway stops.
pub(super) async fn watch(gateway: Arc<Gateway>) {
    // Those who are on their way back to a gateway that has just started are not missed.
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = gateway.drain.begins() => return,
        }
        look(&gateway).await;
    }
}

pub(super) async fn look(gateway: &Gateway) {
    let now = gateway.clock.now();
    let due = gateway.presence.state().due(now);
    for (connector, seen) in due {
        // A store that gives no answer is said where its changes are read.
        let _ = gateway.store.connector_seen(&connector, seen).await;
    }
    let Ok(records) = gateway.store.connectors().await else {
        return;
    };
    let news = gateway.presence.state().look(records, now);
    for news in news {
        match news {
            News::Missed(connectors) => tracing::warn!(
                connectors,
                "connectors are inactive: `appproxy gateway connector list` names them"
            ),
            News::Inactive(connector, group, last) => tracing::warn!(
                %connector, %group, last_seen = last.to_rfc3339(),
                "connector is inactive: it has not been connected for 15 minutes"
            ),
            News::Hidden(connector, group, last) => tracing::warn!(
                %connector, %group, last_seen = last.to_rfc3339(),
                "connector has not been connected for 10 days and is listed no more: bring it back, or remove it"
            ),
        }
    }
}

/// Reads who is enrolled, before the first look.
pub(super) async fn begin(gateway: &Gateway) {
    if let Ok(mut records) = gateway.store.connectors().await {
        records.retain(|record| record.removed.is_none());
        gateway.presence.state().enrolled = records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn id(n: u8) -> ConnectorId {
        ConnectorId::from_random([n; 12])
    }

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    fn seen(at: Timestamp) -> Seen {
        Seen {
            at,
            address: [127, 0, 0, 1].into(),
            version: "1".to_owned(),
        }
    }

    fn record(n: u8, last: Timestamp) -> ConnectorRecord {
        ConnectorRecord {
            id: id(n),
            group: group("hq"),
            name: format!("host-{n}"),
            enrolled: Timestamp(0),
            seen: Some(seen(last)),
            removed: None,
        }
    }

    #[test]
    fn a_group_is_empty_when_its_last_tunnel_ends() {
        let mut state = State::default();
        assert!(state.enter(&id(1), &group("hq"), seen(NOW)));
        assert!(!state.enter(&id(1), &group("hq"), seen(NOW)));
        assert!(!state.enter(&id(2), &group("hq"), seen(NOW)));
        assert!(state.enter(&id(3), &group("backup"), seen(NOW)));
        assert_eq!(state.leave(&id(1), NOW), None);
        assert_eq!(state.leave(&id(2), NOW), None);
        assert_eq!(state.leave(&id(1), NOW), Some(group("hq")));
        assert_eq!(state.leave(&id(1), NOW), None);
        assert!(state.enter(&id(2), &group("hq"), seen(NOW)));
        assert_eq!(state.leave(&id(3), NOW), Some(group("backup")));
        // Whoever came and went since the last look at the store is not forgotten.
        let presence = Presence(Mutex::new(state));
        let rows = presence.rows(NOW.plus(MINUTE)).into_iter();
        let states: Vec<_> = rows.map(|row| (row.state, row.age)).collect();
        assert_eq!(states, [("away", 60), ("connected", 0), ("away", 60)]);
    }

    #[test]
    fn a_connector_that_is_missed_is_said_once_and_again_after_it_was_back() {
        let mut state = State::default();
        let look = |state: &mut State, last: Timestamp, now: Timestamp| {
            state.look(vec![record(1, last), record(2, now)], now)
        };
        assert_eq!(look(&mut state, NOW, NOW), []);
        let later = NOW.plus(15 * MINUTE);
        let news = [News::Inactive(id(1), group("hq"), NOW)];
        assert_eq!(look(&mut state, NOW, later), news);
        assert_eq!(look(&mut state, NOW, later.plus(MINUTE)), []);
        assert_eq!(look(&mut state, later, later.plus(MINUTE)), []);
        let again = later.plus(15 * MINUTE);
        let news = [News::Inactive(id(1), group("hq"), later)];
        assert_eq!(look(&mut state, later, again), news);
        let days = later.plus(10 * 24 * 60 * MINUTE);
        let news = [News::Hidden(id(1), group("hq"), later)];
        assert_eq!(look(&mut state, later, days), news);
        assert_eq!(look(&mut state, later, days.plus(MINUTE)), []);
    }

    #[test]
    fn who_was_missed_before_the_start_is_one_sentence_and_who_is_here_is_not_missed() {
        let mut state = State::default();
        let old = NOW.minus(60 * MINUTE);
        state.enter(&id(3), &group("hq"), seen(NOW));
        let records = [1, 2, 3].map(|n| record(n, old));
        assert_eq!(state.look(records.to_vec(), NOW), [News::Missed(2)]);
        assert_eq!(state.look(records.to_vec(), NOW), []);
        let mut removed = records;
        removed[0].removed = Some(NOW);
        state.look(removed.to_vec(), NOW);
        let presence = Presence(Mutex::new(state));
        let rows: Vec<_> = presence
            .rows(NOW)
            .into_iter()
            .map(|r| (r.connector, r.state, r.age))
            .collect();
        let mut expected = vec![(id(2), "inactive", 3600), (id(3), "connected", 0)];
        expected.sort();
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_store_hears_of_those_who_stay() {
        let mut state = State::default();
        state.enter(&id(1), &group("hq"), seen(NOW));
        assert_eq!(state.due(NOW.plus(4 * MINUTE)), []);
        let later = NOW.plus(5 * MINUTE);
        assert_eq!(state.due(later), [(id(1), seen(later))]);
        assert_eq!(state.due(later.plus(MINUTE)), []);
    }
}
