//! `drain`: how long a stop may take.

use std::time::Duration;

use super::field::Field;
use super::{ConnectorDrain, GatewayDrain};

/// A gateway's.
pub(super) fn gateway(field: Field<'_>) -> Option<GatewayDrain> {
    field.section(&[], |section| {
        let usual = GatewayDrain::default();
        let at_notice = section.optional("notice");
        let at_deadline = section.optional("deadline");
        let notice = at_notice.map_or(Some(usual.notice), Field::duration);
        let deadline = at_deadline.map_or(Some(usual.deadline), Field::duration);
        let (notice, deadline) = (notice?, deadline?);
        if notice < deadline {
            return Some(GatewayDrain { notice, deadline });
        }
        let what = "the deadline, which counts from the signal too, would come before the notice's \
                    end, and cut what was given notice";
        let remedy = format!(
            "keep `notice` ({notice:?} now) shorter than `deadline` ({deadline:?} now); \
             without the keys they are `5s` and `30s`"
        );
        at_notice
            .or(at_deadline)?
            .refuse("out_of_range", what, remedy)
    })?
}

/// A connector's.
pub(super) fn connector(field: Field<'_>) -> Option<ConnectorDrain> {
    field.section(&[], |section| {
        let usual = ConnectorDrain::default();
        let deadline = section.optional("deadline");
        let deadline: Option<Duration> = deadline.map_or(Some(usual.deadline), Field::duration);
        Some(ConnectorDrain {
            deadline: deadline?,
        })
    })?
}
