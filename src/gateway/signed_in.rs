//! Who is signed in, for operators.

use super::Gateway;
use crate::store::StoreError;

impl Gateway {
    /// Ends the sign-in that is the newest, with all that hangs under it. Returns whose it was, as the
    /// provider calls them; `None` where nobody is signed in.
    ///
    /// # Errors
    /// Where the store gives no answer: it may have ended.
    pub async fn sign_newest_out(&self) -> Result<Option<String>, StoreError> {
        let now = self.clock.now();
        let listed = self.sessions.list().await?;
        let mut alive = listed.into_iter().filter(|session| {
            // Those of applications end with the one they hang under.
            session.parent.is_none() && session.revoked.is_none() && session.ends > now
        });
        let Some(newest) = alive.next() else {
            return Ok(None);
        };
        self.sessions.revoke(&newest.id).await?;
        let shown = newest.shown;
        let name = shown.map(|shown| shown.name.unwrap_or(shown.person.subject));
        Ok(Some(name.map_or_else(
            || "somebody".to_owned(),
            |name| name.to_string(),
        )))
    }
}
