//! Enrolment from the connector's side: a token becomes an identity on disk.

use std::fmt;
use std::io;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::identity::{Identity, StateError, StateFolder};
use crate::certs::Pin;
use crate::clock::Clock;
use crate::model::{ConnectorId, Endpoint, GroupName, Host};
use crate::tunnel::enrol::{
    Answer, DEADLINE, Enrol, Enrolled, LineError, Refused, Request, read_line, write_line,
};
use crate::tunnel::tls::{GatewayRefusal, connector_enrol};
use crate::tunnel::token::Token;

/// Dialling and TLS together.
const DIAL_DEADLINE: Duration = Duration::from_secs(5);
/// From here on a differing clock is worth a sentence, in seconds.
const SKEW: u64 = 60;

/// What to register, and where.
#[derive(Debug)]
pub struct Registration<'a> {
    /// Where the identity goes.
    pub state: &'a StateFolder,
    /// What it is bought with.
    pub token: &'a Token,
    /// What the connector is called in the gateway's list: its host's name.
    pub name: &'a str,
    /// Whether an identity that is there already may go.
    pub replace: bool,
    /// Now.
    pub clock: &'a Clock,
}

/// A fresh identity, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The connector's identifier.
    pub id: ConnectorId,
    /// Its group.
    pub group: GroupName,
    /// Where gateways are dialled from now on.
    pub gateways: Vec<Endpoint>,
    /// One sentence about the clock, where it differs from the gateway's by more than a minute.
    pub skew: Option<String>,
}

/// Why there is no identity now.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There was one before.
    #[error("{0} holds an identity already: add `--replace` to give it up for a new one")]
    Registered(std::path::PathBuf),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A gateway said no.
    #[error("the gateway {gateway} refused: {}", refused.message)]
    Refused {
        /// Which gateway.
        gateway: Endpoint,
        /// With which answer.
        refused: Refused,
    },
    /// No gateway of the token gave an answer that counts.
    #[error("no gateway of this token could be used:{}", list(.0))]
    NoGateway(Vec<(Endpoint, AttemptError)>),
}

/// Why one gateway could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Dial(io::Error),
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It is not the gateway the token was made by.
    #[error("{0}")]
    Untrusted(GatewayRefusal),
    /// The TLS handshake failed otherwise.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// Something on the way does not pass the protocol on.
    #[error(
        "`appproxy-enrol/1` was not chosen in the TLS handshake: something on the way removes ALPN, or the gateway is too old"
    )]
    NoAlpn,
    /// The connection broke during the conversation.
    #[error("the connection broke: {0}")]
    Line(#[from] LineError),
    /// It wants another attempt later.
    #[error("{}", .0.message)]
    Later(Refused),
    /// The request could not be made.
    #[error("the certificate request cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    /// Its answer does not hold together.
    #[error("the gateway's answer cannot be used: {0}")]
    Answer(&'static str),
}

/// Enrols with a token: tries its gateways in order, checks the answer and keeps it. The key never
/// leaves the state folder. Where this fails or is cut off, another call with the same token goes
/// on with the same key, and the gateway counts it as the same connector.
///
/// # Errors
/// See [`RegisterError`].
pub async fn register<S: AsyncRead + AsyncWrite + Unpin>(
    registration: Registration<'_>,
    dial: impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<Registered, RegisterError> {
    let Registration { state, token, .. } = registration;
    let _lock = state.lock()?;
    if state.has_identity() && !registration.replace {
        return Err(RegisterError::Registered(state.path().to_owned()));
    }
    let key = state.pending_key(&token.secret.id())?;
    let mut failed = Vec::new();
    for gateway in &token.gateways {
        match attempt(&registration, &key, gateway, &dial).await {
            Ok(Answer::Enrolled(enrolled)) => {
                let checked = Checked::new(&enrolled, &key, token.pin);
                match checked {
                    Ok(checked) => return keep(&registration, &enrolled, checked),
                    Err(what) => failed.push((gateway.clone(), AttemptError::Answer(what))),
                }
            }
            Ok(Answer::Refused(refused)) if refused.code.may_succeed_later() => {
                failed.push((gateway.clone(), AttemptError::Later(refused)));
            }
            Ok(Answer::Refused(refused)) => {
                let gateway = gateway.clone();
                return Err(RegisterError::Refused { gateway, refused });
            }
            Err(error) => failed.push((gateway.clone(), error)),
        }
    }
    Err(RegisterError::NoGateway(failed))
}

async fn attempt<S: AsyncRead + AsyncWrite + Unpin>(
    registration: &Registration<'_>,
    key: &KeyPair,
    gateway: &Endpoint,
    dial: &impl AsyncFn(&Endpoint) -> io::Result<S>,
) -> Result<Answer, AttemptError> {
    let token = registration.token;
    let config =
        connector_enrol(token.pin).map_err(|e| AttemptError::Handshake(io::Error::other(e)))?;
    let name = match &gateway.host {
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|e| AttemptError::Dial(io::Error::other(e)))?,
        Host::Address(address) => ServerName::from(*address),
    };
    let connect = async {
        let stream = dial(gateway).await.map_err(AttemptError::Dial)?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|e| match GatewayRefusal::of(&e) {
                Some(refusal) => AttemptError::Untrusted(refusal.clone()),
                None => AttemptError::Handshake(e),
            })
    };
    let mut tls = timeout(DIAL_DEADLINE, connect)
        .await
        .map_err(|_| AttemptError::Silent(DIAL_DEADLINE))??;
    if tls.get_ref().1.alpn_protocol() != Some(crate::tunnel::tls::ALPN_ENROL) {
        return Err(AttemptError::NoAlpn);
    }
    let mut params = CertificateParams::default();
    // The gateway takes nothing but the key, so nothing else is told.
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(key)?;
    let request = Request::Enrol(Enrol {
        secret: token.secret.clone(),
        csr: Enrol::encode_csr(csr.der()),
        name: registration.name.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: registration.clock.now().0,
    });
    let converse = async {
        write_line(&mut tls, &request).await?;
        read_line(&mut tls).await
    };
    Ok(timeout(DEADLINE, converse)
        .await
        .map_err(|_| AttemptError::Silent(DEADLINE))??)
}

/// An answer that holds together: what will be on disk.
struct Checked {
    identity: Identity,
    pem: Zeroizing<String>,
    gateways: Vec<Endpoint>,
}

impl Checked {
    fn new(enrolled: &Enrolled, key: &KeyPair, pin: Pin) -> Result<Self, &'static str> {
        let authority = CertificateDer::from_pem_slice(enrolled.authority.as_bytes())
            .map_err(|_| "its authority is not a certificate")?;
        // The handshake proved the pin; what is kept from now on must be the same authority.
        if Pin::of_authority(&authority) != Some(pin) {
            return Err("its authority is not the token's");
        }
        let pem = Zeroizing::new(format!(
            "{}{}\n{}\n",
            key.serialize_pem(),
            enrolled.chain.trim(),
            enrolled.authority.trim()
        ));
        let identity = Identity::from_pem(pem.as_bytes())?;
        if identity.id.as_str() != enrolled.id || identity.group.as_str() != enrolled.group {
            return Err("its certificate names another connector");
        }
        let gateways = enrolled.gateways.iter().map(|g| Endpoint::parse(g));
        Ok(Self {
            identity,
            pem,
            gateways: gateways
                .collect::<Result<_, _>>()
                .map_err(|_| "its list of gateways is malformed")?,
        })
    }
}

fn keep(
    registration: &Registration<'_>,
    enrolled: &Enrolled,
    checked: Checked,
) -> Result<Registered, RegisterError> {
    let gateways = if checked.gateways.is_empty() {
        registration.token.gateways.clone()
    } else {
        checked.gateways
    };
    // The identity last: where it is, the rest is too.
    registration.state.keep_gateways(&gateways)?;
    registration.state.keep_identity(&checked.pem)?;
    registration.state.forget_pending()?;
    Ok(Registered {
        id: checked.identity.id,
        group: checked.identity.group,
        gateways,
        skew: skew(registration.clock.now().0, enrolled.time),
    })
}

fn skew(here: i64, there: i64) -> Option<String> {
    let seconds = here.abs_diff(there);
    let direction = if here < there { "behind" } else { "ahead of" };
    (seconds > SKEW).then(|| {
        format!(
            "this host's clock is {seconds} s {direction} the gateway's: set one of them right, or certificates will seem expired or not valid yet"
        )
    })
}

fn list(failed: &[(Endpoint, AttemptError)]) -> impl fmt::Display {
    struct List(String);
    impl fmt::Display for List {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }
    let lines = failed.iter().map(|(g, e)| format!("\n  {g}: {e}"));
    List(lines.collect())
}
