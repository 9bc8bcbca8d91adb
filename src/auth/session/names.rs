//! By what sessions are found and revoked: keyed hashes, so that the store cannot be searched for
//! people by whoever has a copy of it.

use super::seal::mac;
use super::sign_in::SignIn;
use crate::model::PersonKey;
use crate::store::{SecretOctets, SessionName};

/// All sessions of a person.
pub(super) fn person(key: &SecretOctets, person: &PersonKey) -> SessionName {
    let parts = [person.authority.as_bytes(), person.subject.as_bytes()];
    SessionName(mac(key, "appproxy name: person", &parts))
}

/// All sessions of a subject of an issuer, as logout tokens name it.
pub(super) fn subject(key: &SecretOctets, issuer: &str, subject: &str) -> SessionName {
    let parts = [issuer.as_bytes(), subject.as_bytes()];
    SessionName(mac(key, "appproxy name: subject", &parts))
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
    all.extend(sign_in.sid.as_ref().map(|id| sid(key, issuer, id)));
    all
}
