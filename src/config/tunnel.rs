//! What either file says of tunnels: the section `tunnel`, and `congestion`.

use std::time::Duration;

use super::ConnectorCertificates;
use super::field::Field;
use super::section::Section;
use super::units;
use crate::model::{CongestionControl, StreamWindow};

/// What a gateway's section says.
#[derive(Default)]
pub(super) struct OfGateway {
    pub(super) connectors: ConnectorCertificates,
    pub(super) stream_window: StreamWindow,
}

/// The shortest life of a connector's certificate. So short a one is for trying out how renewal
/// works; it still leaves seconds for a renewal that has to be tried again.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);

pub(super) fn gateway(field: Field<'_>) -> Option<OfGateway> {
    field.section(&[], |section| {
        let usual = ConnectorCertificates::default();
        let life = section.optional("certificate_life").map(life);
        let grace = section.optional("renewal_grace").map(Field::duration);
        let window = stream_window(section);
        Some(OfGateway {
            connectors: ConnectorCertificates {
                life: life.unwrap_or(Some(usual.life))?,
                renewal_grace: grace.unwrap_or(Some(usual.renewal_grace))?,
            },
            stream_window: window?,
        })
    })?
}

fn life(field: Field<'_>) -> Option<Duration> {
    let life = field.duration()?;
    if life >= SHORTEST_LIFE {
        return Some(life);
    }
    field.refuse(
        "out_of_range",
        "a certificate that lives less than 10 s cannot be renewed in time",
        "write at least `10s`; without the key it is `90d`",
    )
}

/// A connector's section.
pub(super) fn connector(field: Field<'_>) -> Option<StreamWindow> {
    field.section(&[], stream_window)?
}

/// What a stream may have in flight towards this end.
fn stream_window(section: &Section<'_>) -> Option<StreamWindow> {
    let Some(field) = section.optional("stream_window") else {
        return Some(StreamWindow::USUAL);
    };
    let text = field.text()?;
    match units::size(text) {
        Ok(octets) => StreamWindow::new(octets).or_else(|| {
            field.refuse(
                "out_of_range",
                format!("`{text}` is no size for a window"),
                "write from `64KiB` to `4MiB`; without the key it is `1MiB`",
            )
        }),
        Err(refused) => field.refuse(refused.code(), refused.to_string(), refused.remedy()),
    }
}

/// TCP's congestion control, by the name that the kernel has for it. Whether it has one shows only
/// at a socket.
pub(super) fn congestion(field: Field<'_>) -> Option<CongestionControl> {
    let text = field.text()?;
    CongestionControl::new(text).or_else(|| {
        field.refuse(
            "bad_congestion",
            format!("`{text}` is not the name of a congestion control"),
            "write letters, digits, `_` and `-`, 15 at most, such as `bbr`; \
             `sysctl net.ipv4.tcp_available_congestion_control` shows those there are",
        )
    })
}
