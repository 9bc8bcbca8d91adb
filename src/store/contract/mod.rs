//! What every implementation of [`Store`] must do: the cases each of them runs.

mod authorities;
mod codes;
mod service_tokens;
mod sessions;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::{Change, Changed, Enrolled, NewToken, Seen, SpendRefusal, SpendToken, Store};
use crate::clock::Timestamp;
use crate::model::{ConnectorId, GroupName};

use authorities::{a_rotation_overlaps_two_authorities_and_ends_once, the_first_authority_counts};
use codes::{
    a_code_is_gone_once_presented, the_first_secret_counts_and_newer_ones_stand_before_it,
    what_asks_for_a_revocation_twice_is_heard_once, what_was_remembered_is_no_news,
};
use service_tokens::service_tokens_are_listed_used_and_revoked_once;
use sessions::{
    a_name_ends_all_its_sessions_and_sign_ins_under_way, a_session_is_stored_and_listed,
    nothing_hangs_on_what_has_ended, one_at_a_time_renews_and_a_lost_fence_writes_nothing,
    revocation_ends_what_hangs_below_and_is_noted, use_is_noted_to_the_minute_with_the_parent,
    what_has_ended_is_swept_after_a_while,
};
pub(super) use sessions::{session_id, sign_in};

type Case = fn(Arc<dyn Store>) -> BoxFuture<'static, ()>;

macro_rules! cases {
    ($($name:ident)*) => { &[$((stringify!($name), |store| Box::pin($name(store)) as _)),*] };
}

const CASES: &[(&str, Case)] = cases! {
    the_first_authority_counts
    a_rotation_overlaps_two_authorities_and_ends_once
    tokens_are_listed_newest_first_and_revoked_once
    a_token_buys_as_many_connectors_as_it_has_uses
    a_lost_answer_is_repeated_without_spending
    refusals_are_told_apart
    a_key_keeps_its_connector_over_tokens
    two_at_once_share_one_use_fairly
    fifty_at_once_spend_ten_uses
    removal_is_final_and_noted
    changes_have_no_gaps
    a_wait_that_began_before_a_change_ends
    a_connector_is_seen
    the_first_secret_counts_and_newer_ones_stand_before_it
    a_session_is_stored_and_listed
    nothing_hangs_on_what_has_ended
    revocation_ends_what_hangs_below_and_is_noted
    a_name_ends_all_its_sessions_and_sign_ins_under_way
    use_is_noted_to_the_minute_with_the_parent
    one_at_a_time_renews_and_a_lost_fence_writes_nothing
    what_has_ended_is_swept_after_a_while
    a_code_is_gone_once_presented
    what_was_remembered_is_no_news
    what_asks_for_a_revocation_twice_is_heard_once
    service_tokens_are_listed_used_and_revoked_once
};

/// Runs every case, each on a store of its own.
pub(super) async fn contract(fresh: impl AsyncFn() -> Arc<dyn Store>) {
    assert_eq!(CASES.len(), 25);
    for (name, case) in CASES {
        println!("{name}");
        case(fresh().await).await;
    }
}

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A token of this number, in the group `hq`, good for an hour.
pub(super) fn token(number: u8, uses: u32) -> NewToken {
    NewToken {
        id: format!("t{number}"),
        secret_hash: [number; 32],
        group: GroupName::new("hq").unwrap(),
        uses,
        created: NOW.plus(Duration::from_secs(number.into())),
        expires: NOW.plus(HOUR),
    }
}

/// The attempt of a key to spend a token, both by number.
pub(super) fn spend(token: u8, key: u8) -> SpendToken {
    SpendToken {
        secret_hash: [token; 32],
        public_key_hash: [key; 32],
        id: id(key),
        name: format!("host-{key}"),
        now: NOW,
    }
}

pub(super) fn id(key: u8) -> ConnectorId {
    ConnectorId::from_random([key; 12])
}

fn at(spend: SpendToken, now: Timestamp) -> SpendToken {
    SpendToken { now, ..spend }
}

async fn used(store: &dyn Store, id: &str) -> u32 {
    let tokens = store.tokens().await.unwrap();
    tokens.iter().find(|token| token.id == id).unwrap().used
}

async fn tokens_are_listed_newest_first_and_revoked_once(store: Arc<dyn Store>) {
    for number in [2, 1, 3] {
        store.create_token(token(number, 4)).await.unwrap();
    }
    assert!(store.create_token(token(1, 1)).await.is_err(), "it exists");
    assert!(store.revoke_token("t2", NOW).await.unwrap());
    let later = NOW.plus(HOUR);
    assert!(store.revoke_token("t2", later).await.unwrap(), "it exists");
    assert!(!store.revoke_token("t9", NOW).await.unwrap());

    let tokens = store.tokens().await.unwrap();
    let ids: Vec<_> = tokens.iter().map(|token| &token.id[..]).collect();
    assert_eq!(ids, ["t3", "t2", "t1"]);
    let revoked: Vec<_> = tokens.iter().map(|token| token.revoked).collect();
    assert_eq!(
        revoked,
        [None, Some(NOW), None],
        "the first revocation counts"
    );
    let t = &tokens[0];
    assert_eq!((t.group.as_str(), t.uses, t.used), ("hq", 4, 0));
    assert_eq!((t.created, t.expires), (token(3, 4).created, later));
}

async fn a_token_buys_as_many_connectors_as_it_has_uses(store: Arc<dyn Store>) {
    store.create_token(token(1, 2)).await.unwrap();
    for key in [7, 8] {
        let enrolled = store.spend_token(spend(1, key)).await.unwrap().unwrap();
        let group = GroupName::new("hq").unwrap();
        assert_eq!(enrolled, Enrolled { id: id(key), group });
    }
    let third = store.spend_token(spend(1, 9)).await.unwrap();
    assert_eq!(third, Err(SpendRefusal::Spent));
    assert_eq!(used(&*store, "t1").await, 2);

    let connectors = store.connectors().await.unwrap();
    let ids: Vec<_> = connectors.iter().map(|c| c.id.clone()).collect();
    assert_eq!(ids, [id(7), id(8)]);
    let one = store.connector(&id(7)).await.unwrap().unwrap();
    assert_eq!(one, connectors[0]);
    assert_eq!((&one.name[..], one.enrolled), ("host-7", NOW));
    assert_eq!((one.seen, one.removed), (None, None));
    assert_eq!(store.connector(&id(9)).await.unwrap(), None);
}

async fn a_lost_answer_is_repeated_without_spending(store: Arc<dyn Store>) {
    store.create_token(token(1, 1)).await.unwrap();
    let first = store.spend_token(spend(1, 7)).await.unwrap();
    assert!(first.is_ok());
    let expires = token(1, 1).expires;
    for now in [
        NOW,
        expires,
        expires.plus(DAY).minus(Duration::from_secs(1)),
    ] {
        let another_id = SpendToken {
            id: id(99),
            ..at(spend(1, 7), now)
        };
        assert_eq!(store.spend_token(another_id).await.unwrap(), first);
    }
    assert_eq!(used(&*store, "t1").await, 1);
    assert_eq!(store.connectors().await.unwrap().len(), 1);

    let much_later = at(spend(1, 7), expires.plus(DAY));
    let refused = store.spend_token(much_later).await.unwrap();
    assert_eq!(refused, Err(SpendRefusal::Spent));
}

async fn refusals_are_told_apart(store: Arc<dyn Store>) {
    store.create_token(token(1, 2)).await.unwrap();
    store.create_token(token(2, 2)).await.unwrap();
    let refused = async |spend| store.spend_token(spend).await.unwrap().unwrap_err();
    assert_eq!(refused(spend(9, 7)).await, SpendRefusal::Unknown);
    let expires = token(1, 2).expires;
    assert_eq!(
        refused(at(spend(1, 7), expires)).await,
        SpendRefusal::Expired
    );

    store.spend_token(spend(2, 7)).await.unwrap().unwrap();
    store.revoke_token("t2", NOW).await.unwrap();
    assert_eq!(refused(spend(2, 8)).await, SpendRefusal::Revoked);
    assert_eq!(
        refused(spend(2, 7)).await,
        SpendRefusal::Revoked,
        "a repeat too"
    );
    store.remove_connector(&id(7), NOW).await.unwrap();
    assert_eq!(refused(spend(1, 7)).await, SpendRefusal::Removed);
    assert_eq!(
        refused(spend(9, 7)).await,
        SpendRefusal::Unknown,
        "says nothing of keys"
    );
    assert_eq!(used(&*store, "t1").await, 0, "a refusal spends nothing");
}

async fn a_key_keeps_its_connector_over_tokens(store: Arc<dyn Store>) {
    store.create_token(token(1, 1)).await.unwrap();
    let group = GroupName::new("branch").unwrap();
    let second = NewToken {
        group: group.clone(),
        ..token(2, 1)
    };
    store.create_token(second).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
    let again = SpendToken {
        id: id(99),
        ..spend(2, 7)
    };
    let enrolled = store.spend_token(again).await.unwrap().unwrap();
    assert_eq!(
        enrolled,
        Enrolled {
            id: id(7),
            group: group.clone()
        }
    );
    assert_eq!(used(&*store, "t2").await, 1);
    let connectors = store.connectors().await.unwrap();
    assert_eq!(connectors.len(), 1);
    assert_eq!(connectors[0].group, group);
}

async fn two_at_once_share_one_use_fairly(store: Arc<dyn Store>) {
    store.create_token(token(1, 1)).await.unwrap();
    let both = [7, 8].map(|key| store.spend_token(spend(1, key)));
    let outcomes: Vec<_> = join_all(both)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(outcomes.contains(&Err(SpendRefusal::Spent)));

    store.create_token(token(2, 1)).await.unwrap();
    let same = [spend(2, 9), spend(2, 9)].map(|spend| store.spend_token(spend));
    for outcome in join_all(same).await {
        assert_eq!(
            outcome.unwrap().unwrap().id,
            id(9),
            "one key, one connector"
        );
    }
}

async fn fifty_at_once_spend_ten_uses(store: Arc<dyn Store>) {
    store.create_token(token(1, 10)).await.unwrap();
    let all = (0..50).map(|key| store.spend_token(spend(1, key)));
    let outcomes: Vec<_> = join_all(all)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let (good, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 10);
    assert!(refused.iter().all(|r| *r == Err(SpendRefusal::Spent)));
    assert_eq!(used(&*store, "t1").await, 10);
    let connectors = store.connectors().await.unwrap();
    let ids: HashSet<_> = connectors.iter().map(|c| c.id.clone()).collect();
    assert_eq!(ids, good.into_iter().map(|e| e.unwrap().id).collect());
}

async fn removal_is_final_and_noted(store: Arc<dyn Store>) {
    store.create_token(token(1, 2)).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
    let gone = id(7);
    let both = [
        store.remove_connector(&gone, NOW),
        store.remove_connector(&gone, NOW),
    ];
    let removed: Vec<_> = join_all(both)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(removed.iter().filter(|removed| **removed).count(), 1);
    assert!(!store.remove_connector(&id(8), NOW).await.unwrap());

    let record = store.connector(&id(7)).await.unwrap().unwrap();
    assert_eq!(record.removed, Some(NOW), "it stays as its tombstone");
    let change = Change {
        number: 1,
        what: Changed::ConnectorRemoved(id(7)),
    };
    assert_eq!(store.changes(0).await.unwrap(), [change]);
    let repeat = store.spend_token(spend(1, 7)).await.unwrap();
    assert_eq!(repeat, Err(SpendRefusal::Removed));
}

async fn changes_have_no_gaps(store: Arc<dyn Store>) {
    assert_eq!(store.last_change().await.unwrap(), 0);
    store.create_token(token(1, 20)).await.unwrap();
    let ids: Vec<_> = (0..20).map(id).collect();
    for key in 0..20 {
        store.spend_token(spend(1, key)).await.unwrap().unwrap();
    }
    // Every other one twice: what changes nothing takes no number.
    let twice = ids.iter().chain(ids.iter().step_by(2));
    join_all(twice.map(|id| store.remove_connector(id, NOW))).await;
    let changes = store.changes(0).await.unwrap();
    let numbers: Vec<_> = changes.iter().map(|change| change.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
    let distinct: HashSet<_> = changes.iter().map(|c| format!("{:?}", c.what)).collect();
    assert_eq!(distinct.len(), 20);
    assert_eq!(store.last_change().await.unwrap(), 20);
    assert_eq!(store.changes(17).await.unwrap(), changes[17..]);
    assert_eq!(store.changes(20).await.unwrap(), []);
    assert_eq!(store.changes(u64::MAX).await.unwrap(), []);
}

async fn a_wait_that_began_before_a_change_ends(store: Arc<dyn Store>) {
    store.create_token(token(1, 1)).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
    let waits = [store.changed(), store.changed()];
    drop(store.changed());
    store.remove_connector(&id(7), NOW).await.unwrap();
    // First polled only now: the change came before.
    let all = join_all(waits);
    for wait in tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .unwrap()
    {
        wait.unwrap();
    }
}

async fn a_connector_is_seen(store: Arc<dyn Store>) {
    store.create_token(token(1, 1)).await.unwrap();
    store.spend_token(spend(1, 7)).await.unwrap().unwrap();
    let seen = |seconds, address: &str| Seen {
        at: NOW.plus(Duration::from_secs(seconds)),
        address: address.parse().unwrap(),
        version: "0.1.0".into(),
    };
    let last = async || store.connector(&id(7)).await.unwrap().unwrap().seen;
    for now in [
        seen(100, "192.0.2.1"),
        seen(101, "2001:db8::1"),
        seen(200, "2001:db8::1"),
    ] {
        store.connector_seen(&id(7), now.clone()).await.unwrap();
        assert_eq!(last().await, Some(now));
    }
    let earlier = seen(150, "192.0.2.1");
    store.connector_seen(&id(7), earlier).await.unwrap();
    assert_eq!(
        last().await,
        Some(seen(200, "2001:db8::1")),
        "never back in time"
    );
    // But for what a clock wrote that was ahead.
    for now in [seen(90_000, "192.0.2.1"), seen(300, "192.0.2.1")] {
        store.connector_seen(&id(7), now.clone()).await.unwrap();
        assert_eq!(last().await, Some(now));
    }
    store
        .connector_seen(&id(8), seen(1, "192.0.2.1"))
        .await
        .unwrap();
    assert_eq!(store.connectors().await.unwrap().len(), 1);
    assert_eq!(store.last_change().await.unwrap(), 0);
}
