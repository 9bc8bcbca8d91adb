//! By what sessions are found and revoked: keyed hashes, so that the store cannot be searched for
//! people by whoever has a copy of it.

use serde::{Deserialize, Serialize};

use super::seal::mac;
use super::sign_in::SignIn;
use crate::model::PersonKey;
use crate::store::{SecretOctets, SessionName};

/// All sessions of a person.
pub(super) fn person(key: &SecretOctets, person: &PersonKey) -> SessionName {
    let parts = [person.authority.as_bytes(), person.subject.as_bytes()];
    SessionName(mac(key, "appproxy name: person", &parts))
}

/// Whose a session is or was: the same for all sessions of a person, and no name that the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner(pub(super) [u8; OWNER]);

/// Octets of an [`Owner`].
const OWNER: usize = 16;

impl Owner {
    /// The one of a person.
    pub(super) fn of(key: &SecretOctets, person: &PersonKey) -> Self {
        let parts = [person.authority.as_bytes(), person.subject.as_bytes()];
        let whole = mac(key, "appproxy owner", &parts);
        let mut owner = [0; OWNER];
        owner.copy_from_slice(&whole[..OWNER]);
        Self(owner)
    }
}

/// All sessions of a subject of an issuer, as logout tokens name it.
pub(super) fn subject(key: &SecretOctets, issuer: &str, subject: &str) -> SessionName {
    let parts = [issuer.as_bytes(), subject.as_bytes()];
    SessionName(mac(key, "appproxy name: subject", &parts))
}

/// Of those the ones of which the provider did not say to which session of its own they belong.
pub(super) fn subject_without_sid(key: &SecretOctets, issuer: &str, subject: &str) -> SessionName {
    let parts = [issuer.as_bytes(), subject.as_bytes()];
    SessionName(mac(key, "appproxy name: subject without sid", &parts))
}

/// Those of one session at the provider.
pub(super) fn sid(key: &SecretOctets, issuer: &str, sid: &str) -> SessionName {
    let parts = [issuer.as_bytes(), sid.as_bytes()];
    SessionName(mac(key, "appproxy name: sid", &parts))
}

/// A token that may come once.
pub(super) fn token(key: &SecretOctets, issuer: &str, jti: &str) -> SessionName {
    let parts = [issuer.as_bytes(), jti.as_bytes()];
    SessionName(mac(key, "appproxy name: jti", &parts))
}

/// All that a sign-in is found by.
pub(super) fn all(key: &SecretOctets, sign_in: &SignIn) -> Vec<SessionName> {
    let issuer = &sign_in.issuer;
    let mut all = vec![
        person(key, &sign_in.person.key),
        subject(key, issuer, &sign_in.subject),
    ];
    all.push(match &sign_in.sid {
        Some(id) => sid(key, issuer, id),
        None => subject_without_sid(key, issuer, &sign_in.subject),
    });
    all
}
