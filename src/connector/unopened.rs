//! Why a gateway could not be used, by the step at which it ended: the word that `check`, the log and
//! `register` say alike, and what to do.

use super::alerts;
use super::channel::AttemptError;
use crate::model::Finding;
use crate::net::DialError;
use crate::tunnel::tls::GatewayRefusal;

const LISTENS_THERE: &str =
    "see what listens there: `appproxy check-cert HOST:PORT` tells what it presents";

const LOOK_AT_ITS_LOG: &str =
    "see what the gateway's log says of this connector at this time, and try again";

impl AttemptError {
    /// The word for the step at which it ended.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.dial() {
            Some(dial) => dial.code(),
            None => self.explained().0,
        }
    }

    /// Why there is no tunnel, and what to do.
    pub(super) fn finding(&self) -> Finding {
        if let Some(dial) = self.dial() {
            return dial.finding();
        }
        let (code, remedy) = self.explained();
        Finding::error(code, alerts::explain(self), remedy)
    }

    fn dial(&self) -> Option<&DialError> {
        match self {
            Self::Dial(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    const fn explained(&self) -> (&'static str, &'static str) {
        match self {
            Self::Dial(_) => (
                "unreachable",
                "check the way there: `ip route get ADDRESS`, firewalls, and proxies",
            ),
            Self::Untrusted(refusal) => of_refusal(refusal),
            Self::NoAlpn(_) => (
                "alpn_removed",
                "except the gateway's name from TLS inspection, and let load balancers in front of the gateway pass TCP on",
            ),
            Self::Silent(_) => (
                "no_answer",
                "check the firewalls on the way, and whether it is a gateway that listens there",
            ),
            Self::Handshake(_) => ("tunnel_tls", LISTENS_THERE),
            Self::Line(_) => ("tunnel_ended", LOOK_AT_ITS_LOG),
            Self::Later(refused) => (refused.code.as_str(), LOOK_AT_ITS_LOG),
            Self::Request(_) => ("internal", "report it with what is said here"),
            Self::Answer(_) => (
                "answer_unusable",
                "update whichever is older, the gateway or this program",
            ),
        }
    }
}

/// The word for why a gateway is not trusted.
pub(super) const fn code_of(refusal: &GatewayRefusal) -> &'static str {
    of_refusal(refusal).0
}

const fn of_refusal(refusal: &GatewayRefusal) -> (&'static str, &'static str) {
    match refusal {
        GatewayRefusal::Foreign { .. } => (
            "tls_intercepted",
            "except the gateway's name and port from TLS inspection in the device of this issuer, or correct the address where it is not the gateway's",
        ),
        GatewayRefusal::OtherAuthority => (
            "other_installation",
            "correct the address under `gateways:`, or register at this gateway with a token of it and `--replace`",
        ),
        GatewayRefusal::Expired(_) | GatewayRefusal::NotYetValid(_) => (
            "clock_wrong",
            "set this host's clock right (`timedatectl set-ntp true`), or the gateway's where that is the wrong one",
        ),
        GatewayRefusal::Role | GatewayRefusal::Malformed(_) => ("tunnel_untrusted", LISTENS_THERE),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::model::Endpoint;
    use crate::tunnel::enrol::{LineError, RefusalCode, Refused};

    #[test]
    fn each_step_has_its_word_whoever_asks() {
        let text = || "text".to_owned();
        let target = || Endpoint::parse("gw.example.com:443").unwrap();
        let untrusted = |refusal| AttemptError::Untrusted(refusal);
        let later = |code| {
            AttemptError::Later(Refused {
                code,
                message: text(),
            })
        };
        for (error, code) in [
            (
                AttemptError::Dial(io::Error::other(DialError::Timeout {
                    target: target(),
                    tried: String::new(),
                })),
                "no_answer",
            ),
            (
                AttemptError::Dial(io::Error::other("no way")),
                "unreachable",
            ),
            (AttemptError::Silent(Duration::from_secs(5)), "no_answer"),
            (
                untrusted(GatewayRefusal::Foreign { issuer: text() }),
                "tls_intercepted",
            ),
            (
                untrusted(GatewayRefusal::OtherAuthority),
                "other_installation",
            ),
            (
                untrusted(GatewayRefusal::Expired(Timestamp(0))),
                "clock_wrong",
            ),
            (
                untrusted(GatewayRefusal::NotYetValid(Timestamp(0))),
                "clock_wrong",
            ),
            (untrusted(GatewayRefusal::Role), "tunnel_untrusted"),
            (
                untrusted(GatewayRefusal::Malformed(text())),
                "tunnel_untrusted",
            ),
            (
                AttemptError::Handshake(io::Error::other("alert")),
                "tunnel_tls",
            ),
            (AttemptError::NoAlpn(text()), "alpn_removed"),
            (AttemptError::Line(LineError::Cut), "tunnel_ended"),
            (later(RefusalCode::Throttled), "throttled"),
            (later(RefusalCode::Unavailable), "unavailable"),
            (AttemptError::Answer("it is empty"), "answer_unusable"),
        ] {
            assert_eq!(
                (error.code(), error.finding().code),
                (code, code),
                "{error}"
            );
        }
    }
}
