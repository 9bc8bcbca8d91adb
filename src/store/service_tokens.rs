//! Tokens that programs show in place of a sign-in.

use std::fmt;

use super::Reply;
use crate::clock::Timestamp;
use crate::model::ApplicationName;

/// The part of a [`Store`](super::Store) that keeps service tokens.
pub trait ServiceTokenStore: Send + Sync + fmt::Debug {
    /// Stores a token and notes it in the change log.
    fn create_service_token(&self, new: NewServiceToken) -> Reply<'_, ()>;

    /// All tokens, the newest first, those that ended or were revoked included.
    fn service_tokens(&self) -> Reply<'_, Vec<ServiceTokenRecord>>;

    /// Makes the token of this identifier, or all of this name, worthless from `now` on, and notes it in
    /// the change log. Returns how many were worth something before.
    fn revoke_service_tokens<'a>(&'a self, which: &'a str, now: Timestamp) -> Reply<'a, u64>;

    /// Notes that tokens were used, by their identifiers, in one synced write.
    fn touch_service_tokens(&self, used: Vec<(String, Timestamp)>) -> Reply<'_, ()>;
}

/// A token to be stored. The secret itself is never stored.
#[derive(Debug, Clone)]
pub struct NewServiceToken {
    /// Its public identifier.
    pub id: String,
    /// What rules know it by.
    pub name: String,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// The applications it is for.
    pub applications: Vec<ApplicationName>,
    /// The paths it is for, each with all that is below it; empty: every path.
    pub paths: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Timestamp,
}

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTokenRecord {
    /// Its public identifier.
    pub id: String,
    /// What rules know it by.
    pub name: String,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// The applications it is for.
    pub applications: Vec<ApplicationName>,
    /// The paths it is for; empty: every path.
    pub paths: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
    /// When it was last shown to a gateway, to a few seconds.
    pub last_used: Option<Timestamp>,
}
