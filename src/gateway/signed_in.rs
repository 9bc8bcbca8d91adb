//! Who is signed in, for operators.

use super::Gateway;
use crate::store::StoreError;

impl Gateway {
    /// Ends every session of every person. Returns how many people's.
    ///
    /// # Errors
    /// Where the store gives no answer: some may have ended.
    pub async fn sign_everybody_out(&self) -> Result<usize, StoreError> {
        let mut ended = 0;
        for session in self.sessions.list().await? {
            // Those of applications end with the one they hang under.
            if session.parent.is_none()
                && session.revoked.is_none()
                && self.sessions.revoke(&session.id).await?
            {
                ended += 1;
            }
        }
        Ok(ended)
    }
}
