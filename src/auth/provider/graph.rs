//! The groups of a person who is in more than Entra puts into a token, from Microsoft Graph.
//!
//! The address in `_claim_sources` is not used: it is that of an interface that was switched off, and an
//! address out of a token is nothing to send an access token to.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::client::{Client, Sent};
use super::error::{Document, ProviderError};
use super::person::{MOST_GROUPS, listed};

/// Pages that are read; one has a thousand groups or more.
const MOST_PAGES: usize = 20;

/// Asks for all groups, the nested ones included.
pub(super) async fn groups(
    client: &Client,
    graph: &Url,
    access_token: &SecretString,
) -> Result<Vec<String>, ProviderError> {
    let document = Document::Groups;
    let unfit = |why| ProviderError::Answer { document, why };
    let first = graph.join("v1.0/me/getMemberObjects");
    let mut url = first.map_err(|_| unfit("Microsoft Graph has no address"))?;
    let mut sent = Sent::Json(r#"{"securityEnabledOnly":false}"#);
    let mut groups: Vec<String> = Vec::new();
    for _ in 0..MOST_PAGES {
        let bearer = format!("Bearer {}", access_token.expose_secret());
        let bearer = Some(Zeroizing::new(bearer));
        let answer = client.ask(document, &url, bearer, sent).await?;
        match answer.status {
            200 => {}
            status @ (429 | 500..) => return Err(ProviderError::Status { document, status }),
            status => return Err(ProviderError::GroupsRefused { status }),
        }
        let page: Value =
            serde_json::from_slice(&answer.body).map_err(|_| unfit("it is not JSON"))?;
        let value = page.get("value").filter(|value| value.is_array());
        groups.extend(listed(
            "groups",
            Some(value.ok_or_else(|| unfit("it has no list `value`"))?),
        )?);
        if groups.len() > MOST_GROUPS {
            return Err(ProviderError::TooManyGroups);
        }
        let Some(next) = page.get("@odata.nextLink") else {
            return Ok(groups);
        };
        let next = next.as_str().and_then(|next| Url::parse(next).ok());
        let next = next.filter(|next| next.origin() == graph.origin());
        url = next.ok_or_else(|| unfit("its next page is elsewhere"))?;
        sent = Sent::Nothing;
    }
    Err(ProviderError::TooManyGroups)
}
