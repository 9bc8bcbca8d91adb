//! Late renewal at one gateway: the ended certificate, and a proof of its key over this channel.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::channel::{self, AttemptError};
use super::identity::Identity;
use crate::certs;
use crate::clock::Timestamp;
use crate::model::Endpoint;
use crate::tunnel::enrol::{self, Answer, Enrol, RenewLate, Renewed, Request};
use crate::tunnel::late::Channel;
use crate::tunnel::tls::connector_late;

/// Why a gateway gave nothing.
pub(super) enum Refused {
    /// It never will.
    Final(enrol::Refused),
    /// Another attempt may succeed.
    Again(String),
}

/// Asks a gateway for the next certificate of an identity whose own has ended.
pub(super) async fn renew<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Endpoint,
    identity: &Identity,
    csr: &str,
    now: Timestamp,
    dialling: impl Future<Output = io::Result<S>>,
) -> Result<Renewed, Refused> {
    let answer = ask(gateway, identity, csr, now, dialling).await;
    match answer.map_err(|e| Refused::Again(super::alerts::explain(&e)))? {
        Answer::Renewed(renewed) => Ok(renewed),
        Answer::Refused(refused) if refused.code.ends_an_identity() => Err(Refused::Final(refused)),
        Answer::Refused(refused) => Err(Refused::Again(refused.message)),
        Answer::Enrolled(_) => Err(Refused::Again("it enrols who asked to renew".to_owned())),
    }
}

pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Endpoint,
    identity: &Identity,
    csr: &str,
    now: Timestamp,
    dialling: impl Future<Output = io::Result<S>>,
) -> Result<Answer, AttemptError> {
    let failed = |e: rustls::Error| AttemptError::Handshake(io::Error::other(e));
    let own = &identity.credentials;
    let config = connector_late(own.authorities.clone()).map_err(failed)?;
    let tls = channel::open(gateway, config, dialling).await?;
    let proof = Channel::of(tls.get_ref().1)
        .map_err(failed)?
        .prove(&own.key)
        .map_err(|e| AttemptError::Handshake(io::Error::other(e)))?;
    let request = Request::RenewLate(RenewLate {
        chain: certs::pem("CERTIFICATE", &own.chain[0]),
        csr: csr.to_owned(),
        proof: Enrol::encode_csr(&proof),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: now.0,
    });
    channel::converse(tls, &request).await
}
