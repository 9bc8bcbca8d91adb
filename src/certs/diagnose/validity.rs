//! From when to when, and how long that is.

use super::Place as At;
use super::certificate::Certificate;
use crate::clock::Timestamp;
use crate::model::Finding;

const DAY: i64 = 86_400;

/// This program is not older: a clock that says so is wrong.
const EARLIEST: Timestamp = Timestamp(1_793_491_200);

/// From when on, for how many days at most a certificate of a public authority may be valid
/// (CA/Browser Forum Baseline Requirements 6.3.2, ballot SC-081v3).
const PUBLIC_LIMITS: [(Timestamp, i64); 5] = [
    (Timestamp(1_519_862_400), 825),
    (Timestamp(1_598_918_400), 398),
    (Timestamp(1_773_532_800), 200),
    (Timestamp(1_805_068_800), 100),
    (Timestamp(1_868_227_200), 47),
];

/// What Apple's systems take from an authority of one's own, in days (since 2019-07-01).
const PRIVATE_LIMIT: i64 = 825;

/// Days, in words.
fn days(seconds: i64) -> String {
    match seconds / DAY {
        0 => format!("{} hours", seconds / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// How the certificate stands to the clock.
pub(super) fn of_time(one: &Certificate, at: At, now: Timestamp, found: &mut Vec<Finding>) {
    if now < one.not_before {
        let early = now < EARLIEST;
        let remedy = if early {
            "set this host's clock, for instance with `timedatectl set-ntp true`"
        } else {
            "wait, or check this host's clock with `timedatectl`"
        };
        found.push(Finding::error(
            if early { "clock_wrong" } else { "certificate_not_yet_valid" },
            format!(
                "{} is valid only from {}, and this host's clock says {}: browsers refuse it until then",
                at.of(one),
                one.not_before.to_rfc3339(),
                now.to_rfc3339()
            ),
            remedy,
        ));
    } else if now > one.not_after {
        let (code, remedy) = if at.is_leaf() {
            (
                "certificate_expired",
                "renew it, or check this host's clock with `timedatectl`",
            )
        } else {
            (
                "chain_expired",
                "take the chain that the authority gives today: it often has another certificate of the same name",
            )
        };
        found.push(Finding::error(
            code,
            format!(
                "{} expired at {}, {} ago: browsers refuse it",
                at.of(one),
                one.not_after.to_rfc3339(),
                days(now.0 - one.not_after.0)
            ),
            remedy,
        ));
    } else if ends_soon(one, now) {
        found.push(Finding::warning(
            "certificate_ends_soon",
            format!(
                "{} ends at {}, in {}",
                at.of(one),
                one.not_after.to_rfc3339(),
                days(one.not_after.0 - now.0)
            ),
            "renew it now; where that happens by itself, see why it did not",
        ));
    }
}

/// Within its last third, and the last 30 days: what renews by itself does so at a third.
fn ends_soon(one: &Certificate, now: Timestamp) -> bool {
    let life = one.not_after.0.saturating_sub(one.not_before.0);
    // A day of grace, so that whoever renews at exactly a third is not warned of it each time.
    let last = (life / 3 - DAY).min(30 * DAY);
    one.not_after.0 - now.0 < last.max((life / 10).min(DAY))
}

/// How long the leaf's life is, for those who refuse what is too long.
pub(super) fn of_length(leaf: &Certificate, is_public: bool, found: &mut Vec<Finding>) {
    // Both ends belong to the time in which it is valid.
    let life = leaf.not_after.0.saturating_sub(leaf.not_before.0) + 1;
    let limits = PUBLIC_LIMITS.iter().rev();
    let of_its_time = limits
        .filter(|_| is_public)
        .find(|(from, _)| leaf.not_before >= *from)
        .map(|&(_, limit)| limit);
    let limit = of_its_time.unwrap_or(PRIVATE_LIMIT);
    if life <= limit * DAY {
        return;
    }
    let whole = (life - 1) / DAY + 1;
    found.push(if is_public {
        Finding::error(
            "certificate_lifetime",
            format!(
                "the certificate is valid for {whole} days, and browsers refuse more than {limit} of one that a public authority issues at that time"
            ),
            format!("have it issued for {limit} days at most"),
        )
    } else {
        Finding::warning(
            "certificate_lifetime",
            format!(
                "the certificate is valid for {whole} days: Apple's devices refuse more than {limit}, of authorities of one's own too"
            ),
            format!("have it issued for {limit} days at most"),
        )
    });
}
