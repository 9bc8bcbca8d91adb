//! Access tokens for applications: which are kept, that none is passed on that has ended, and what becomes
//! of people whose provider gives nothing to get another with.

use std::time::Duration;

use http::{HeaderMap, Method, Response};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::Gateway;
use super::super::respond::pages::Stopped;
use super::carried::Wanted;
use super::desk::Desk;
use super::fresh;
use super::loops::Lacking;
use super::{AtDesk, Visit};
use crate::auth::provider::SignedIn;
use crate::auth::{Challenge, Identity, NoSession, Refreshed, Session, SignIn};
use crate::clock::Timestamp;
use crate::config::IdentityProvider;
use crate::http::Body;
use crate::model::{AccessToken, Application};

/// How long a token is good for whose provider does not say.
const USUAL: Duration = Duration::from_secs(3600);

/// It counts as ended so much before it has: a tenth of its life, which an application needs to use it.
const EARLY: i64 = 10;
const EARLIEST: i64 = 30;

/// The longest one that is kept, in octets: a request with a longer one would reach few applications.
const LONGEST: usize = 16 * 1024;

/// A provider whose tokens are none is left alone for so long.
const PAUSE: Duration = Duration::from_secs(10);

/// Whoever signed in less long ago than this and has no token gets none by signing in again, seconds.
const JUST_NOW: i64 = 60;

/// What is kept of the access token of a new sign-in, and when the provider is to be asked again.
pub(super) fn of_sign_in(
    desk: &Desk,
    config: &IdentityProvider,
    signed_in: &mut SignedIn,
    now: Timestamp,
) -> (Option<(SecretString, Timestamp)>, Option<Timestamp>) {
    let has_token = signed_in.refresh_token.is_some();
    if config.recheck.is_some() && !has_token {
        tracing::warn!(provider = %config.name, "`recheck` has nothing to ask with: the identity provider gave no refresh token; many give one for the scope `offline_access`");
    }
    let name = config.name.as_str();
    let given = (signed_in.access_token.take(), signed_in.access_expires);
    let kept = kept(name, desk.passes_tokens_of(name), given, now);
    let until = fresh::until(config.recheck, (has_token, signed_in.access_expires), now);
    let due = due(until, kept.as_ref(), now);
    (kept, due)
}

/// What is kept of an access token, where an application is to have those of this provider.
pub(super) fn kept(
    provider: &str,
    is_passed_on: bool,
    given: (Option<SecretString>, Option<Timestamp>),
    now: Timestamp,
) -> Option<(SecretString, Timestamp)> {
    let (token, expires) = given;
    let token = token.filter(|_| is_passed_on)?;
    let octets = token.expose_secret().len();
    if octets > LONGEST {
        tracing::warn!(
            provider,
            octets,
            "an access token is longer than 16 KiB: applications do not get it"
        );
        return None;
    }
    Some((token, good_until(expires, now)))
}

fn good_until(expires: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let expires = expires.unwrap_or_else(|| now.plus(USUAL));
    let life = expires.0.saturating_sub(now.0);
    Timestamp(expires.0.saturating_sub((life / EARLY).clamp(0, EARLIEST)))
}

/// When the provider is to be asked again, which is no later than the token ends; but one whose tokens end
/// at once is not asked for every page of every application.
pub(super) fn due(
    fresh_until: Option<Timestamp>,
    kept: Option<&(SecretString, Timestamp)>,
    now: Timestamp,
) -> Option<Timestamp> {
    let until = kept.map(|(_, until)| (*until).max(now.plus(PAUSE)));
    fresh_until.map(|at| until.map_or(at, |until| at.min(until)))
}

/// Whether a token is worth asking for: not where what the provider gave a moment ago was none, or had ended
/// already.
fn may_ask(sign_in: &SignIn, now: Timestamp) -> bool {
    let given = sign_in.access_token.as_ref();
    let lived = given.is_some_and(|(_, until)| sign_in.checked < *until);
    lived || sign_in.checked.plus(PAUSE) <= now
}

impl Visit<'_> {
    /// Sees to it that whoever asks for an application has the access token that it is to have.
    pub(super) async fn with_token(
        &self,
        application: &Application,
        identity: &Identity,
    ) -> Result<(), Challenge> {
        let settings = application.sign_on.access_token.as_ref();
        let (Some(settings), Some(session)) = (settings, identity.session()) else {
            return Ok(());
        };
        let Some(desk) = &self.current.desk else {
            return Ok(());
        };
        // In a box: rare beside requests.
        let renewed = Box::pin(renew(self.gateway, desk, settings, session)).await;
        renewed.map_err(|why| Challenge::SignIn(Some(why)))
    }
}

/// Sees to it that there is a living token, as far as anybody can.
///
/// # Errors
/// Where only the person can, by signing in again.
async fn renew(
    gateway: &Gateway,
    desk: &Desk,
    settings: &AccessToken,
    session: &Session,
) -> Result<(), NoSession> {
    let sign_in = session.sign_in();
    let is_there = sign_in.living_access_token(gateway.clock.now()).is_some();
    // Somebody of another provider is kept out by the rules, and gets no token.
    if is_there || sign_in.person.provider != settings.provider {
        return Ok(());
    }
    if sign_in.refresh_token.is_none() {
        return Err(NoSession::AccessToken);
    }
    if !may_ask(&sign_in, gateway.clock.now()) {
        return Ok(());
    }
    match fresh::ask_again(gateway, desk, session).await {
        Refreshed::Ended => Err(NoSession::Revoked),
        // Where there is none all the same, the application is not asked.
        Refreshed::Renewed | Refreshed::Old => Ok(()),
    }
}

/// What a session at the sign-in host is worth to a host that asks who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It says who it is.
    Enough,
    /// What the host lacks it has not either: the person signs in again, of which most notice nothing.
    TooLittle,
    /// It was made a moment ago, and the next one would be no better.
    Never,
}

/// Judges it.
pub(super) fn worth(wanted: Option<&Wanted>, session: &Session, now: Timestamp) -> Worth {
    let sign_in = session.sign_in();
    let lacks = wanted.is_some_and(|wanted| wanted.lacking == Lacking::Token)
        && sign_in.living_access_token(now).is_none()
        && sign_in.refresh_token.is_none();
    judged(lacks, now.0.saturating_sub(session.created().0))
}

const fn judged(lacks: bool, age: i64) -> Worth {
    match lacks {
        false => Worth::Enough,
        true if age < JUST_NOW => Worth::Never,
        true => Worth::TooLittle,
    }
}

/// Says why it goes on no longer.
pub(super) fn stopped(visit: &AtDesk<'_>, asked: (&Method, &HeaderMap)) -> Response<Body> {
    let said = (Lacking::Token.finding(), Lacking::Token.meaning());
    visit.stopped(Stopped::Loop, said, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_as_ended_before_it_has() {
        let now = Timestamp(1_000_000);
        for (expires, good) in [
            (Some(3600), 3570),
            (Some(300), 270),
            (Some(100), 90),
            (Some(10), 9),
            (Some(0), 0),
            (Some(-5), -5),
            (None, 3570),
        ] {
            let expires = expires.map(|seconds| Timestamp(now.0 + seconds));
            assert_eq!(good_until(expires, now).0 - now.0, good, "{expires:?}");
        }
    }

    #[test]
    fn signing_in_again_is_tried_once_in_a_while() {
        for (lacks, age, expected) in [
            (false, 0, Worth::Enough),
            (false, 3600, Worth::Enough),
            (true, 0, Worth::Never),
            (true, 59, Worth::Never),
            (true, 60, Worth::TooLittle),
            // A clock that was set back.
            (true, -5, Worth::Never),
        ] {
            assert_eq!(judged(lacks, age), expected, "{lacks} {age}");
        }
    }

    #[test]
    fn a_provider_is_asked_before_a_token_ends() {
        let token = |until| Some((SecretString::from("t"), Timestamp(until)));
        for (fresh_until, kept, expected) in [
            (Some(100), token(50), Some(50)),
            (Some(100), token(150), Some(100)),
            (Some(100), None, Some(100)),
            // Not at once, over and over.
            (Some(100), token(3), Some(10)),
            (Some(100), token(-9), Some(10)),
            // There is nothing to ask with.
            (None, token(50), None),
        ] {
            let asked = due(fresh_until.map(Timestamp), kept.as_ref(), Timestamp(0));
            assert_eq!(asked, expected.map(Timestamp));
        }
    }
}
