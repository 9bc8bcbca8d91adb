//! What goes through the browser and only the gateway can read.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::loops::{Began, Lacking};
use crate::auth::provider::SignInSecrets;
use crate::auth::{
    LogMark, NonceHash, SessionError, SessionHost, Sessions, SignInId, StateError, StepUp,
};
use crate::model::SessionId;

/// How long somebody may take to sign in, with a forgotten password and a new telephone.
pub(super) const WITHIN: Duration = Duration::from_secs(3600);

/// The longest page that is gone back to: it waits in a cookie, and browsers drop longer ones.
const TARGET: usize = 2048;

/// An application's host wants to know who somebody is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// The sign-in there.
    pub(super) id: SignInId,
    /// Where.
    pub(super) to: SessionHost,
    /// The configuration names the host, and not only a wildcard that it fits.
    pub(super) exact: bool,
    /// What only the browser that began has.
    pub(super) nonce: NonceHash,
    /// When.
    pub(super) began: Began,
    /// What was wrong with the session there.
    pub(super) lacking: Lacking,
    /// The further proof that is wanted of who it is.
    pub(super) step_up: Option<Stepping>,
}

/// A sign-in of which further proof is wanted. SECURITY: of another one nothing is, or a link could have
/// somebody else's sign-in end for a new one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stepping {
    /// Its identifier.
    pub(super) of: String,
    pub(super) wanted: StepUp,
}

impl Wanted {
    const PURPOSE: &str = "wanted";

    pub(super) fn seal(&self, sessions: &Sessions) -> Result<String, SessionError> {
        sessions.seal_state(Self::PURPOSE, self, WITHIN)
    }

    pub(super) fn open(sessions: &Sessions, text: &str) -> Result<Self, StateError> {
        sessions.open_state(Self::PURPOSE, text)
    }
}

/// A sign-in that is with the identity provider: its `state`.
#[derive(Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub(super) id: SignInId,
    pub(super) nonce: NonceHash,
    /// The provider's name.
    pub(super) provider: String,
    oidc_nonce: String,
    verifier: String,
    pub(super) began: LogMark,
    pub(super) wanted: Option<Wanted>,
    /// Where to go on where no host wants to know; one of ours.
    pub(super) after: Option<String>,
}

impl UnderWay {
    const PURPOSE: &str = "under way";

    pub(super) fn new(
        id: SignInId,
        nonce: NonceHash,
        provider: &str,
        secrets: &SignInSecrets,
        began: LogMark,
        (wanted, after): (Option<Wanted>, Option<String>),
    ) -> Self {
        Self {
            id,
            nonce,
            provider: provider.to_owned(),
            oidc_nonce: secrets.nonce.clone(),
            verifier: secrets.verifier.expose_secret().to_owned(),
            began,
            wanted,
            after,
        }
    }

    /// The further proof that is wanted.
    pub(super) fn step_up(&self) -> Option<&StepUp> {
        let stepping = self.wanted.as_ref()?.step_up.as_ref()?;
        Some(&stepping.wanted)
    }

    pub(super) fn secrets(&self) -> SignInSecrets {
        SignInSecrets {
            nonce: self.oidc_nonce.clone(),
            verifier: self.verifier.clone().into(),
        }
    }

    pub(super) fn seal(&self, sessions: &Sessions) -> Result<String, SessionError> {
        sessions.seal_state(Self::PURPOSE, self, WITHIN)
    }

    pub(super) fn open(sessions: &Sessions, text: &str) -> Result<Self, StateError> {
        sessions.open_state(Self::PURPOSE, text)
    }
}

/// The value of the cookie at an application's host: a secret, and the page to go back to.
pub(super) fn cookie(
    sessions: &Sessions,
    secret: &str,
    target: &str,
    path: &str,
) -> Result<SecretString, SessionError> {
    // A page whose address is longer is found by its path, or at the application's beginning.
    let fitting = [target, path, "/"];
    let target = fitting.iter().find(|text| text.len() <= TARGET);
    let target = target.copied().unwrap_or("/");
    let sealed = sessions.seal_state(TARGET_PURPOSE, &target, WITHIN)?;
    Ok(format!("{secret}.{sealed}").into())
}

const TARGET_PURPOSE: &str = "target";

/// The page to go back to.
pub(super) fn target(sessions: &Sessions, cookie: &[u8]) -> Result<String, StateError> {
    let text = std::str::from_utf8(cookie).map_err(|_| StateError::Forged)?;
    let (_, sealed) = text.split_once('.').ok_or(StateError::Forged)?;
    sessions.open_state(TARGET_PURPOSE, sealed)
}

/// What shows that a form is ours, and whose session it is for.
pub(super) struct FormToken;

impl FormToken {
    const PURPOSE: &str = "form";

    /// For what it does.
    pub(super) fn make(
        sessions: &Sessions,
        (session, does): (&SessionId, &str),
    ) -> Result<String, SessionError> {
        sessions.seal_state(Self::PURPOSE, &(session.as_str(), does), WITHIN)
    }

    pub(super) fn is_for(
        sessions: &Sessions,
        text: &str,
        (session, does): (&SessionId, &str),
    ) -> bool {
        let opened = sessions.open_state::<(String, String)>(Self::PURPOSE, text);
        opened.is_ok_and(|(of, what)| of == session.as_str() && what == does)
    }
}
