//! `limits`: what one application, one address and everybody together may ask for.

use std::num::NonZeroU32;

use super::ConnectionLimits;
use super::field::Field;
use super::section::Section;
use super::units;
use crate::model::{ApplicationLimits, Rate, RateUnit, RequestLimit};

/// More requests than any gateway carries: whoever wants no limit writes this.
const MOST_REQUESTS: u64 = 1_000_000;

/// Requests of one client address at once. A quarter of the places that one connector has as it is
/// delivered: enough for an office of hundreds behind one address, each with a WebSocket open, and
/// not enough for one client to stand in everybody's way.
const REQUESTS_PER_ADDRESS: u32 = 512;

/// Requests of one session at once: many tabs of an application that keeps connections open, and half
/// of what an address may have, so that no one person takes what others behind it need.
const REQUESTS_PER_SESSION: u32 = 256;

/// Requests that may be in tunnels at once, whatever the tunnels take: as many as connections. Each
/// may have a few hundred KiB in memory where both of its ends are slow.
const REQUESTS_TOTAL: u32 = 20_000;

/// `limits` of the gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct GatewayLimits {
    pub(super) requests_total: u32,
    pub(super) requests_per_address: u32,
    /// Requests of one session at once.
    pub(super) requests_per_session: u32,
    pub(super) rate_per_address: Option<Rate>,
    pub(super) connections: ConnectionLimits,
    /// `connections` stands in the file.
    pub(super) connections_are_written: bool,
    /// For every application that says nothing else.
    pub(super) usual: ApplicationLimits,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            requests_total: REQUESTS_TOTAL,
            requests_per_address: REQUESTS_PER_ADDRESS,
            requests_per_session: REQUESTS_PER_SESSION,
            rate_per_address: None,
            connections: ConnectionLimits::default(),
            connections_are_written: false,
            usual: ApplicationLimits::default(),
        }
    }
}

/// `limits` of an application.
pub(super) fn application(field: Field<'_>, usual: ApplicationLimits) -> Option<ApplicationLimits> {
    field.section(&[], |section| {
        let requests = or(section, "requests", usual.requests, request_limit);
        let per_address = or(
            section,
            "requests_per_address",
            usual.per_address,
            some_count,
        );
        let rate = or(section, "rate", usual.rate, rate);
        let rate_per_address = or(
            section,
            "rate_per_address",
            usual.rate_per_address,
            self::rate,
        );
        let body = or(section, "body", usual.body, body);
        Some(ApplicationLimits {
            requests: requests?,
            per_address: per_address?,
            rate: rate?,
            rate_per_address: rate_per_address?,
            body: body?,
        })
    })?
}

/// `limits` of the gateway.
pub(super) fn gateway(field: Field<'_>) -> Option<GatewayLimits> {
    field.section(&[], |section| {
        let default = GatewayLimits::default();
        let requests = or(section, "requests", default.usual.requests, request_limit);
        let body = or(section, "body", default.usual.body, body);
        let total = or(section, "requests_total", default.requests_total, count);
        let per_address = default.requests_per_address;
        let per_address = or(section, "requests_per_address", per_address, count);
        let per_session = default.requests_per_session;
        let per_session = or(section, "requests_per_session", per_session, count);
        let rate = or(section, "rate_per_address", None, rate);
        let connections = section.optional("connections");
        let all = connections.map_or(Some(default.connections.total), count);
        let each = default.connections.per_address;
        let each = or(section, "connections_per_address", each, count);
        Some(GatewayLimits {
            requests_total: total?,
            requests_per_address: per_address?,
            requests_per_session: per_session?,
            rate_per_address: rate?,
            connections: ConnectionLimits {
                total: all?,
                per_address: each?,
            },
            connections_are_written: connections.is_some(),
            usual: ApplicationLimits {
                requests: requests?,
                body: body?,
                ..default.usual
            },
        })
    })?
}

/// What stands there, or what counts where nothing does.
fn or<T>(
    section: &Section<'_>,
    key: &'static str,
    usual: T,
    read: impl FnOnce(Field<'_>) -> Option<T>,
) -> Option<T> {
    section.optional(key).map_or(Some(usual), read)
}

fn count(field: Field<'_>) -> Option<u32> {
    let number = field.number(1..=MOST_REQUESTS)?;
    u32::try_from(number).ok()
}

fn some_count(field: Field<'_>) -> Option<Option<u32>> {
    count(field).map(Some)
}

fn request_limit(field: Field<'_>) -> Option<RequestLimit> {
    let text = field.text()?;
    let Some(share) = text.strip_suffix('%') else {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return count(field).map(RequestLimit::Count);
        }
        return field.refuse(
            "wrong_type",
            "a share of the places in tunnels or a number of requests belongs here",
            "write a share such as `80%`, or a number such as `500`",
        );
    };
    let plain = share.bytes().all(|b| b.is_ascii_digit());
    match share.parse() {
        Ok(share @ 1..=100) if plain => Some(RequestLimit::Share(share)),
        _ => field.refuse(
            "out_of_range",
            "this is no share of the places in tunnels",
            "write `1%` to `100%`, such as `80%`, or a number of requests",
        ),
    }
}

/// `none` stands for no limit where there is one by `limits` of the gateway.
fn rate(field: Field<'_>) -> Option<Option<Rate>> {
    let text = field.text()?;
    if text == "none" {
        return Some(None);
    }
    let read = text.split_once('/').and_then(|(requests, per)| {
        let plain = requests.bytes().all(|b| b.is_ascii_digit());
        let number = requests.parse().ok().filter(|_| plain)?;
        let requests = NonZeroU32::new(number).filter(|n| u64::from(n.get()) <= MOST_REQUESTS)?;
        let per = match per {
            "s" => RateUnit::Second,
            "m" => RateUnit::Minute,
            "h" => RateUnit::Hour,
            _ => return None,
        };
        Some(Rate { requests, per })
    });
    if read.is_some() {
        return Some(read);
    }
    field.refuse(
        "bad_rate",
        format!("`{text}` is no rate"),
        "write a whole number of requests and s, m or h, such as `50/s` or `600/m`; or `none`",
    )
}

fn body(field: Field<'_>) -> Option<Option<u64>> {
    let text = field.text()?;
    if text == "none" {
        return Some(None);
    }
    match units::size(text) {
        Ok(octets) => Some(Some(octets)),
        Err(refused) => field.refuse(refused.code(), refused.to_string(), refused.remedy()),
    }
}
