//! The gateways a connector knows: those of its configuration, and those kept in its state, which
//! are from its token and what gateways have handed down since.
//!
//! A list that is handed down adds to what is known, and what it adds is kept once a tunnel to it
//! worked. What no gateway names any more goes once it has not answered for a day: until then it may
//! only be down.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::identity::StateFolder;
use super::named::{FixedHosts, KeptGateway};
use super::state_error::StateError;
use crate::model::{ConnectorId, Endpoint};
use crate::net::{Dialled, Refused};

/// Gateways taken from one list, and gateways kept. SECURITY: a gateway that is taken over could
/// otherwise have a connector dial everything there is, and remember it.
const MOST: usize = 32;

/// The longest text that can be a gateway: a name of 253 octets, and a port.
const LONGEST: usize = 260;

/// How long what a gateway named has to work before it gives way where the list is full. SECURITY:
/// lists that change all the time would otherwise have a connector dial everything there is after all.
const TRIAL: Duration = Duration::from_secs(600);

/// What no gateway names goes when it has not answered for so long.
const SILENCE: Duration = Duration::from_secs(86_400);

/// Before the list is written again where that failed.
const AGAIN: Duration = Duration::from_secs(60);

/// The gateways a connector knows.
#[derive(Debug)]
pub(super) struct Known {
    configured: Vec<Endpoint>,
    /// Only those count.
    alone: bool,
    list: Mutex<List>,
    fixed: FixedHosts,
    state: StateFolder,
    id: ConnectorId,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct List {
    kept: Vec<Kept>,
    /// What each gateway named last.
    named: HashMap<Endpoint, Named>,
    /// That a list was cut or read in part is said once.
    said: bool,
    /// That there is no room for what is new is said once.
    said_full: bool,
}

#[derive(Debug)]
struct Kept {
    gateway: KeptGateway,
    /// A tunnel to it stood at any time, or the token named it: it goes into the state.
    worked: bool,
    /// That it may not be dialled is said once.
    refused: bool,
    /// When a tunnel to it stood last; where none ever did, when it became known.
    answered: Instant,
}

#[derive(Debug)]
struct Named {
    gateways: Vec<Endpoint>,
    /// When the gateway that said so answered last: what a dead one said does not count for ever.
    answered: Instant,
}

impl Known {
    pub(super) fn new(
        configured: Vec<Endpoint>,
        kept: Vec<KeptGateway>,
        fixed: FixedHosts,
        state: StateFolder,
        id: ConnectorId,
    ) -> Self {
        let now = Instant::now();
        let kept = kept.into_iter().map(|gateway| Kept {
            gateway,
            worked: true,
            refused: false,
            answered: now,
        });
        Self {
            configured,
            alone: false,
            list: Mutex::new(List {
                kept: kept.collect(),
                named: HashMap::new(),
                said: false,
                said_full: false,
            }),
            fixed,
            state,
            id,
            changed: watch::Sender::new(()),
        }
    }

    /// Those of the configuration, and no others.
    pub(super) fn alone(configured: Vec<Endpoint>, state: StateFolder, id: ConnectorId) -> Self {
        Self {
            alone: true,
            ..Self::new(configured, Vec::new(), FixedHosts::new(), state, id)
        }
    }

    /// All of them, those of the configuration first.
    pub(super) fn all(&self) -> Vec<Endpoint> {
        let mut all = self.configured.clone();
        for kept in &self.list().kept {
            if !all.contains(&kept.gateway.endpoint) {
                all.push(kept.gateway.endpoint.clone());
            }
        }
        all
    }

    /// Whether the operator named gateways, and this is none of them: it may be meant for
    /// connectors that stand elsewhere. So may one that only a gateway named, until a tunnel to it
    /// worked.
    pub(super) fn is_extra(&self, gateway: &Endpoint) -> bool {
        if self.configured.contains(gateway) {
            return false;
        }
        let list = self.list();
        let kept = list.find(gateway);
        !self.configured.is_empty() || kept.is_none_or(|kept| !kept.worked)
    }

    /// Whether a gateway may be dialled there. Where not, it is said once.
    pub(super) fn permit(&self, gateway: &Endpoint, dialled: Dialled<'_>) -> Result<(), Refused> {
        if self.configured.contains(gateway) {
            return Ok(());
        }
        let mut list = self.list();
        let Some(kept) = list
            .kept
            .iter_mut()
            .find(|k| k.gateway.endpoint == *gateway)
        else {
            // It was forgotten meanwhile.
            return Err(Refused(format!("{gateway} is not known any more")));
        };
        let checked = kept.gateway.check(&self.fixed, dialled);
        let Err(refused) = &checked else {
            return checked;
        };
        if !std::mem::replace(&mut kept.refused, true)
            && let Some(by) = &kept.gateway.named_by
        {
            tracing::warn!(code = "gateway_not_dialled", %gateway, %by, reason = %refused, "a gateway named another one that is not dialled");
        }
        checked
    }

    /// A tunnel to it stands: from now on it is kept.
    pub(super) fn works(&self, gateway: &Endpoint) {
        let mut list = self.list();
        let kept = list
            .kept
            .iter_mut()
            .find(|k| k.gateway.endpoint == *gateway);
        let Some(kept) = kept else {
            return;
        };
        kept.answered = Instant::now();
        if !std::mem::replace(&mut kept.worked, true) {
            drop(list);
            self.changed.send_replace(());
        }
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A gateway named these.
    pub(super) fn handed_down(&self, by: &Endpoint, gateways: &[String]) {
        if self.alone {
            return;
        }
        let mut named: Vec<Endpoint> = Vec::new();
        for text in gateways.iter().take(MOST) {
            // SECURITY: what comes out is a name or an address and a port, whatever went in.
            let read = Some(text).filter(|text| text.len() <= LONGEST);
            let read = read.and_then(|text| Endpoint::parse(text).ok());
            named.extend(read.filter(|gateway| !named.contains(gateway)));
        }
        let mut list = self.list();
        if named.len() < gateways.len() && !std::mem::replace(&mut list.said, true) {
            tracing::warn!(code = "gateways_left_out", gateway = %by, named = gateways.len(), taken = named.len(), "the gateway's list of gateways is longer than {MOST}, says things twice or has entries that are no host:port; they are passed over");
        }
        let mut new = Vec::new();
        for gateway in &named {
            if list.find(gateway).is_some() {
                continue;
            }
            if !list.has_room() {
                if !std::mem::replace(&mut list.said_full, true) {
                    tracing::warn!(code = "gateways_left_out", %by, left_out = %gateway, "a gateway named another one, and {MOST} that work or are new are known already: it is left out; if it is needed, add it to `gateways:` of connector.yaml");
                }
                continue;
            }
            list.kept.push(Kept {
                gateway: KeptGateway {
                    endpoint: gateway.clone(),
                    named_by: Some(by.clone()),
                },
                worked: false,
                refused: false,
                answered: Instant::now(),
            });
            new.push(gateway.to_string());
        }
        let named = Named {
            gateways: named,
            answered: Instant::now(),
        };
        list.named.insert(by.clone(), named);
        drop(list);
        if !new.is_empty() {
            tracing::info!(by = %by, new = new.join(", "), "a gateway named gateways that were not known");
            self.changed.send_replace(());
        }
    }

    /// These answer: a tunnel to them stands. Forgets what nobody names and what has not answered
    /// for a day.
    pub(super) fn answer<'a>(&self, gateways: impl Iterator<Item = &'a Endpoint>) {
        let now = Instant::now();
        let mut list = self.list();
        for gateway in gateways {
            let kept = list
                .kept
                .iter_mut()
                .find(|k| k.gateway.endpoint == *gateway);
            if let Some(kept) = kept {
                kept.answered = now;
            }
            if let Some(named) = list.named.get_mut(gateway) {
                named.answered = now;
            }
        }
        let List { kept, named, .. } = &mut *list;
        let is_recent = |answered| now.duration_since(answered) < SILENCE;
        // Where no gateway says who there is, nobody is left out.
        if !named.values().any(|named| is_recent(named.answered)) {
            return;
        }
        named.retain(|_, named| is_recent(named.answered));
        let mut gone = Vec::new();
        kept.retain(|kept| {
            let stays = is_recent(kept.answered)
                || named
                    .values()
                    .any(|named| named.gateways.contains(&kept.gateway.endpoint));
            if !stays {
                gone.push(kept.gateway.endpoint.clone());
            }
            stays
        });
        drop(list);
        for gateway in &gone {
            tracing::info!(%gateway, "no gateway names this one any more, and it has not answered for a day: it is forgotten");
        }
        if !gone.is_empty() {
            self.changed.send_replace(());
        }
    }

    /// Writes each change to the state; never ends.
    pub(super) async fn keep(&self) {
        let mut changes = self.changes();
        let mut said = String::new();
        loop {
            // The sender lives as long as this.
            let _ = changes.changed().await;
            while let Err(error) = self.write().await {
                let text = error.to_string();
                if said != text {
                    tracing::warn!(
                        code = "gateways_not_kept",
                        error = text,
                        "the list of gateways cannot be kept; it counts until this connector ends"
                    );
                    said = text;
                }
                sleep(AGAIN).await;
            }
            if !said.is_empty() {
                said.clear();
                tracing::info!("the list of gateways is kept again");
            }
        }
    }

    async fn write(&self) -> Result<(), StateError> {
        let list = self.to_keep();
        let (state, id) = (self.state.clone(), self.id.clone());
        let written = tokio::task::spawn_blocking(move || state.keep_named(&id, &list));
        // A task that is gone with its runtime has nothing to write any more.
        written.await.unwrap_or(Ok(()))
    }

    fn to_keep(&self) -> Vec<KeptGateway> {
        let list = self.list();
        let worked = list.kept.iter().filter(|kept| kept.worked);
        worked.map(|kept| kept.gateway.clone()).collect()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn find(&self, gateway: &Endpoint) -> Option<&Kept> {
        self.kept.iter().find(|k| k.gateway.endpoint == *gateway)
    }

    /// Whether there is room for one more; what never worked and had its time gives way, the oldest
    /// first.
    fn has_room(&mut self) -> bool {
        if self.kept.len() < MOST {
            return true;
        }
        let now = Instant::now();
        let over = |kept: &Kept| !kept.worked && now.duration_since(kept.answered) >= TRIAL;
        // What became known first stands first.
        let Some(oldest) = self.kept.iter().position(over) else {
            return false;
        };
        let gone = self.kept.remove(oldest);
        tracing::info!(gateway = %gone.gateway.endpoint, "a gateway that never worked gives way to a new one: it is forgotten");
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    fn known(configured: &[&str], kept: &[&str]) -> Known {
        let of_token = |text: &&str| KeptGateway {
            endpoint: endpoint(text),
            named_by: None,
        };
        Known::new(
            configured.iter().map(|text| endpoint(text)).collect(),
            kept.iter().map(of_token).collect(),
            FixedHosts::from([("fixed.test".to_owned(), vec![IpAddr::from([127, 0, 0, 1])])]),
            StateFolder::new("/nonexistent"),
            ConnectorId::from_random([1; 12]),
        )
    }

    fn all(known: &Known) -> Vec<String> {
        known.all().iter().map(ToString::to_string).collect()
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_list_that_is_handed_down_adds_and_never_removes() {
        let known = known(&["a.test:1"], &["b.test:2"]);
        let mut changes = known.changes();
        known.handed_down(
            &endpoint("a.test:1"),
            &owned(&["c.test:3", "A.test:1", "c.test:3"]),
        );
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(all(&known), ["a.test:1", "b.test:2", "c.test:3"]);
        // The same again is no news, and an empty list takes nothing away.
        known.handed_down(&endpoint("a.test:1"), &owned(&["c.test:3", "a.test:1"]));
        known.handed_down(&endpoint("b.test:2"), &[]);
        assert!(!changes.has_changed().unwrap());
        assert_eq!(all(&known), ["a.test:1", "b.test:2", "c.test:3"]);
        let extra: Vec<bool> = known.all().iter().map(|g| known.is_extra(g)).collect();
        assert_eq!(extra, [false, true, true]);
    }

    #[test]
    fn one_that_is_alone_with_its_gateways_hears_of_no_others() {
        let id = ConnectorId::from_random([1; 12]);
        let state = StateFolder::new("/nonexistent");
        let known = Known::alone(vec![endpoint("a.test:1")], state, id);
        known.handed_down(&endpoint("a.test:1"), &owned(&["b.test:2"]));
        assert_eq!(all(&known), ["a.test:1"]);
    }

    #[test]
    fn a_hostile_list_is_bounded_and_read_as_endpoints_or_not_at_all() {
        let known = known(&["a.test:1"], &[]);
        let mut hostile = owned(&[
            "",
            "no port",
            "x\n:1",
            "host:0",
            "host:99999",
            "http://h:1/",
        ]);
        hostile.push(format!("{}:1", "x".repeat(100_000)));
        known.handed_down(&endpoint("a.test:1"), &hostile);
        assert_eq!(all(&known), ["a.test:1"]);
        // However many and however often.
        for round in 0..5 {
            let many: Vec<String> = (0..100).map(|n| format!("h{round}-{n}.test:1")).collect();
            known.handed_down(&endpoint("a.test:1"), &many);
        }
        assert_eq!(known.all().len(), 1 + MOST);
        assert!(all(&known)[1..].iter().all(|name| name.starts_with("h0-")));
    }

    #[test]
    fn what_only_a_gateway_named_is_kept_and_counts_in_full_once_it_worked() {
        let known = known(&[], &["token.test:1"]);
        let kept = || -> Vec<(String, Option<String>)> {
            let kept = known.to_keep().into_iter();
            let texts = kept.map(|k| (k.endpoint.to_string(), k.named_by.map(|by| by.to_string())));
            texts.collect()
        };
        let token = ("token.test:1".to_owned(), None);
        known.handed_down(&endpoint("token.test:1"), &owned(&["new.test:2"]));
        let new = endpoint("new.test:2");
        assert!(known.is_extra(&new) && !known.is_extra(&endpoint("token.test:1")));
        assert_eq!(kept(), std::slice::from_ref(&token));
        let mut changes = known.changes();
        known.works(&new);
        assert!(changes.has_changed().unwrap() && !known.is_extra(&new));
        let by = Some("token.test:1".to_owned());
        assert_eq!(kept(), [token, ("new.test:2".to_owned(), by)]);
        // The next tunnel to it is no news.
        changes.mark_unchanged();
        known.works(&new);
        known.works(&endpoint("never.named.test:3"));
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn a_special_address_needs_the_operators_word_however_often_a_gateway_names_it() {
        let known = known(&["conf.test:1"], &["token.test:1"]);
        let by = endpoint("conf.test:1");
        let named = ["new.test:1", "conf.test:22", "fixed.test:1", "token.test:1"];
        known.handed_down(&by, &owned(&named));
        known.handed_down(&by, &owned(&["conf.test:1"]));
        let at = |gateway: &str, ip: [u8; 4]| {
            let gateway = endpoint(gateway);
            let address = SocketAddr::from((ip, gateway.port));
            known.permit(&gateway, Dialled::Address(address)).is_ok()
        };
        let here = [127, 0, 0, 1];
        for (gateway, expected) in [
            ("conf.test:1", true),
            ("token.test:1", true),
            ("fixed.test:1", true),
            ("new.test:1", false),
            ("conf.test:22", false),
            ("never.named.test:1", false),
        ] {
            assert_eq!(at(gateway, here), expected, "{gateway}");
        }
        assert!(at("new.test:1", [10, 0, 0, 1]) && at("new.test:1", [192, 0, 2, 1]));
        // One that worked may lead elsewhere a moment later.
        known.works(&endpoint("new.test:1"));
        assert!(!at("new.test:1", here));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_list_takes_new_gateways_in_the_place_of_those_that_never_worked() {
        let known = known(&[], &["token.test:1"]);
        let by = endpoint("token.test:1");
        let many: Vec<String> = (1..MOST).map(|n| format!("h{n}.test:1")).collect();
        known.handed_down(&by, &many);
        known.works(&endpoint("h1.test:1"));
        let has = |name: &str| all(&known).contains(&format!("{name}.test:1"));
        // They have their time.
        tokio::time::advance(TRIAL / 2).await;
        known.handed_down(&by, &owned(&["early.test:1"]));
        assert_eq!((known.all().len(), has("early")), (MOST, false));
        tokio::time::advance(TRIAL / 2).await;
        known.handed_down(&by, &owned(&["x.test:1", "y.test:1"]));
        assert_eq!(known.all().len(), MOST);
        assert!(has("x") && has("y") && has("token") && has("h1") && has("h4"));
        assert!(!has("h2") && !has("h3"));
        // Where all worked nothing gives way, however long they are silent.
        for gateway in known.all() {
            known.works(&gateway);
        }
        tokio::time::advance(TRIAL * 2).await;
        known.handed_down(&by, &owned(&["late.test:1"]));
        assert_eq!((known.all().len(), has("late")), (MOST, false));
        assert!(known.list().said_full);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_names_goes_after_a_day_of_silence() {
        const HOUR: Duration = Duration::from_secs(3600);
        let known = known(
            &["conf.test:1"],
            &["named.test:1", "alive.test:1", "old.test:1"],
        );
        let alive = [endpoint("alive.test:1")];
        // Nobody can be left out before somebody said who there is.
        tokio::time::advance(25 * HOUR).await;
        known.answer(alive.iter());
        assert_eq!(known.all().len(), 4);
        known.handed_down(&alive[0], &owned(&["named.test:1", "young.test:1"]));
        known.handed_down(&alive[0], &owned(&["named.test:1"]));
        known.answer(alive.iter());
        assert_eq!(
            all(&known),
            [
                "conf.test:1",
                "named.test:1",
                "alive.test:1",
                "young.test:1"
            ]
        );
        tokio::time::advance(23 * HOUR).await;
        known.answer(alive.iter());
        assert_eq!(known.all().len(), 4);
        tokio::time::advance(2 * HOUR).await;
        known.answer(alive.iter());
        let left = ["conf.test:1", "named.test:1", "alive.test:1"];
        assert_eq!(all(&known), left);
        // A day on which no gateway answers is no reason to forget them.
        tokio::time::advance(48 * HOUR).await;
        known.answer([].iter());
        assert_eq!(all(&known), left);
    }
}
