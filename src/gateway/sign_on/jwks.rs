//! The public keys of what is signed for applications, at every host that has something to do with it.

use http::{Method, Response};

use super::super::Gateway;
use super::super::current::Current;
use super::super::respond::{self, Failure};
use crate::http::Body;
use crate::model::RequestId;

/// Where they are.
pub(in crate::gateway) const PATH: &str = "/.appproxy/jwks";

/// Whether anything is signed by this configuration.
pub(in crate::gateway) fn is_signed(current: &Current) -> bool {
    let mut all = current.table.all().iter();
    all.any(|published| published.application.sign_on.assertion.is_some())
}

/// Answers with them.
///
/// # Errors
/// Where they are not known.
pub(in crate::gateway) async fn answer(
    gateway: &Gateway,
    method: &Method,
    id: &RequestId,
) -> Result<Response<Body>, Failure> {
    let keys = gateway.signer.keys().await?;
    Ok(respond::jwks(keys.jwks(gateway.clock.now()), method, id))
}
