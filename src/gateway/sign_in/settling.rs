//! At the hosts of applications: a code that was redeemed becomes the session of this browser there.

use std::sync::Arc;

use http::HeaderMap;
use secrecy::SecretString;

use super::super::respond::Failure;
use super::AtDesk;
use crate::auth::{
    Found, OwnCookies, Redeemed, Session, clear_storage, forget_somebody_else, set_session_cookie,
};
use crate::model::ErrorCode;

/// A session, and what the browser is to be told.
pub(super) struct Settled {
    pub(super) session: Arc<Session>,
    ticket: SecretString,
    /// The browser was signed in as another person before.
    pub(super) is_another: bool,
}

/// Makes the session in place of the one that the browser had here before.
pub(super) async fn settle(
    visit: &AtDesk<'_>,
    redeemed: Redeemed,
    fields: &HeaderMap,
) -> Result<Settled, Failure> {
    let sessions = &visit.gateway.sessions;
    let own = OwnCookies::read(fields);
    let ticket = own.session().ok().flatten();
    let before = ticket.and_then(|ticket| sessions.owner_of(ticket));
    // It is worth nothing more.
    if let Some(ticket) = ticket
        && let Found::Live(before) = sessions.find(&visit.host, ticket).await
    {
        let revoked = sessions.revoke(before.id()).await;
        revoked.map_err(|e| Failure::new(ErrorCode::StoreUnavailable, e.to_string()))?;
    }
    let made = sessions.create_below(redeemed, &visit.device(fields)).await;
    let (ticket, session) = made.map_err(super::entering::failure)?;
    Ok(Settled {
        is_another: before.is_some_and(|before| before != session.owner()),
        session,
        ticket,
    })
}

impl Settled {
    /// Has it clear what pages of the application stored for the person before.
    pub(super) fn clear(&self, answer: &mut HeaderMap) {
        if self.is_another {
            clear_storage(answer);
        }
    }

    /// Gives the browser the ticket, and takes back what belongs to the person before.
    pub(super) fn tell(&self, fields: &HeaderMap, answer: &mut HeaderMap) {
        if self.is_another {
            forget_somebody_else(fields, answer);
        }
        set_session_cookie(answer, &self.ticket);
    }
}
