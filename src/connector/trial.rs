//! Whether a gateway takes this connector, found out beside the connector that runs, or before it does:
//! by a tunnel with a control stream and nothing else, which carries no requests.

use std::io;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use super::channel;
use super::identity::Identity;
use super::talk;
use super::tunnel::REASON;
use crate::clock::Clock;
use crate::model::{Endpoint, Finding};
use crate::telemetry::printable;
use crate::tunnel::Served;
use crate::tunnel::control::{Down, Messages, Sender, Up};
use crate::tunnel::tls::connector_tunnel;

/// From the handshake to the gateway's welcome.
const WELCOME: Duration = Duration::from_secs(3);

/// For the list of applications, which gateways of before it do not have.
const LIST: Duration = Duration::from_secs(1);

/// Applications that are taken.
const MOST: usize = 1000;

/// A gateway that takes this connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Seconds by which this host's clock is ahead of the gateway's.
    pub ahead: i64,
    /// What it publishes of this connector's group; `None` where it does not tell.
    pub served: Option<Vec<Served>>,
    /// How many more there are than it told.
    pub more: u64,
}

/// Knocks at a gateway as the connector with this identity. `dial` gives [`DialError`](crate::net::DialError)s as they are.
///
/// # Errors
/// Why it is not taken, and what to do.
pub async fn try_gateway<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    identity: &Identity,
    gateway: &Endpoint,
    clock: &Clock,
    dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<Trial, Box<Finding>> {
    let config = connector_tunnel(&identity.credentials).map_err(|error| {
        Box::new(Finding::error(
            "identity_unusable",
            format!("this connector's certificate cannot be shown: {error}"),
            "register again with a new token and `--replace`",
        ))
    })?;
    let tls = channel::open(gateway, config, dial(gateway)).await;
    let tls = tls.map_err(|error| Box::new(error.finding()))?;
    let hello = talk::hello(&identity.id, "check", clock);
    let talk = talk::talk(tls, &hello, async |sender, messages| {
        listen(sender, messages, clock).await
    });
    match timeout(WELCOME + LIST, talk).await {
        Ok(Ok(said)) => said,
        Ok(Err(why)) => Err(Box::new(Finding::error(
            "tunnel_ended",
            format!("the tunnel ended before the gateway said welcome: {why}"),
            "see what the gateway's log says of this connector at this time",
        ))),
        Err(_) => Err(Box::new(Finding::error(
            "tunnel_silent",
            format!("the gateway said nothing for {} s", WELCOME.as_secs()),
            "see whether the gateway is overloaded, and whether something on the way holds HTTP/2 back",
        ))),
    }
}

/// Hears the welcome, and asks for the applications.
async fn listen(
    sender: &Sender,
    mut messages: Messages<Incoming>,
    clock: &Clock,
) -> Result<Result<Trial, Box<Finding>>, String> {
    let mut trial: Option<Trial> = None;
    let mut served = Vec::new();
    let mut until = Instant::now() + WELCOME + LIST;
    loop {
        let Ok(message) = timeout_at(until, messages.next()).await else {
            return trial.map(Ok).ok_or_else(|| "it said nothing".to_owned());
        };
        match message.map_err(|e| e.to_string())? {
            Some(Down::Welcome { time, .. }) if trial.is_none() => {
                trial = Some(Trial {
                    ahead: clock.now().0.saturating_sub(time),
                    served: None,
                    more: 0,
                });
                until = Instant::now() + LIST;
                sender.send(&Up::Applications).map_err(|e| e.to_string())?;
            }
            Some(Down::Application { served: one }) if served.len() < MOST => {
                served.push(one.shown())
            }
            Some(Down::Applications { more }) => {
                if let Some(trial) = trial {
                    let served = Some(served);
                    return Ok(Ok(Trial {
                        served,
                        more,
                        ..trial
                    }));
                }
            }
            Some(Down::Removed) => return Ok(Err(Box::new(removed()))),
            Some(Down::Refused { reason }) => return Ok(Err(Box::new(refused(&reason)))),
            Some(_) => {}
            None => match trial {
                Some(trial) => return Ok(Ok(trial)),
                None => return Err("it closed the connection without a word".to_owned()),
            },
        }
    }
}

fn removed() -> Finding {
    Finding::error(
        "connector_removed",
        "this connector was removed at its gateways",
        "make a token with `appproxy gateway token create --group GROUP`, and register again with `appproxy register --replace`",
    )
}

fn refused(reason: &str) -> Finding {
    Finding::error(
        "connector_refused",
        format!(
            "the gateway refuses this connector: {}",
            printable(reason, REASON)
        ),
        "see what its reason asks for; `appproxy gateway connector list` on the gateway tells how it is known there",
    )
}
