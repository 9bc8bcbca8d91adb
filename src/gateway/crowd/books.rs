//! The places of a crowd: how many there are, whose, and which of them are idle since when.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use tokio_util::sync::CancellationToken;

use crate::gateway::affinity::Client;

/// All places.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of the next place, and of the next moment at which one becomes idle.
    next: u64,
    pub(super) places: HashMap<u64, Place>,
    pub(super) all: Group,
    pub(super) addresses: HashMap<Client, Group>,
    /// Those of which no address is known yet.
    pub(super) unnamed: Group,
}

/// The connections under one limit.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) door: Part,
    pub(super) people: Part,
    /// The log was told that the limit is reached.
    pub(super) told: bool,
}

/// Those of one stage.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) open: usize,
    /// The idle ones, oldest first: the moment and the place.
    idle: BTreeMap<u64, u64>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) owner: Owner,
    pub(super) stage: Stage,
    /// The moment since which it is idle.
    pub(super) idle: Option<u64>,
    pub(super) leave: CancellationToken,
}

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Client(Client),
    /// Not known yet: whoever passes it on has not said.
    Unnamed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Door,
    Person,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Total,
    Address(Client),
    Unnamed,
}

impl State {
    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn groups(&mut self, owner: Owner) -> [&mut Group; 2] {
        let own = match owner {
            Owner::Client(client) => self.addresses.entry(client).or_default(),
            Owner::Unnamed => &mut self.unnamed,
        };
        [&mut self.all, own]
    }

    /// Those that a limit is for.
    pub(super) fn under(&mut self, limit: Limit) -> Option<&mut Group> {
        match limit {
            Limit::Total => Some(&mut self.all),
            Limit::Address(client) => self.addresses.get_mut(&client),
            Limit::Unnamed => Some(&mut self.unnamed),
        }
    }

    /// Notes a place.
    pub(super) fn add(&mut self, number: u64, place: Place) {
        for group in self.groups(place.owner) {
            let part = group.part(place.stage);
            part.open += 1;
            if let Some(moment) = place.idle {
                part.idle.insert(moment, number);
            }
        }
        self.places.insert(number, place);
    }

    /// Takes a place out; `None` where it had to make room before.
    pub(super) fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        for group in self.groups(place.owner) {
            let part = group.part(place.stage);
            part.open -= 1;
            if let Some(moment) = place.idle {
                part.idle.remove(&moment);
            }
        }
        // Whoever has none leaves nothing behind.
        match place.owner {
            Owner::Client(client) => {
                if let Entry::Occupied(group) = self.addresses.entry(client)
                    && group.get().open() == 0
                {
                    group.remove();
                }
            }
            Owner::Unnamed if self.unnamed.open() == 0 => self.unnamed.told = false,
            Owner::Unnamed => {}
        }
        Some(place)
    }
}

impl Group {
    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.door.open + self.people.open
    }

    fn part(&mut self, stage: Stage) -> &mut Part {
        match stage {
            Stage::Door => &mut self.door,
            Stage::Person => &mut self.people,
        }
    }

    /// The oldest idle one, of a stage or of both.
    pub(super) fn oldest(&self, stage: Option<Stage>) -> Option<u64> {
        let first = |part: &Part| part.idle.first_key_value().map(|(at, who)| (*at, *who));
        let [door, person] = [
            first(&self.door).filter(|_| stage != Some(Stage::Person)),
            first(&self.people).filter(|_| stage != Some(Stage::Door)),
        ];
        door.into_iter().chain(person).min().map(|(_, who)| who)
    }
}
