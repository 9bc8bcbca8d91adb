//! The keys of what is signed for applications: at the sign-in host, whose word it is, and at the hosts of
//! the applications that get it, which can ask for them where they are asked themselves.

use http::{Request, Response};
use hyper::body::Incoming;

use super::super::front;
use super::super::respond::Failure;
use super::super::sign_on::{self, JWKS};
use super::Visit;
use crate::http::Body;

impl Visit<'_> {
    /// Answers a request for them; anything else is nobody's yet.
    pub(super) async fn keys_at(
        &self,
        path: &str,
        request: &Request<Incoming>,
        is_sign_in_host: bool,
    ) -> Option<Result<Response<Body>, Failure>> {
        if path != JWKS || !front::is_read(request) {
            return None;
        }
        let at_application = |visit: &Self| {
            let found = visit.current.table.host(visit.asked);
            found.is_some_and(|found| {
                let mut all = found.at(visit.scheme, visit.port);
                all.any(|one| one.sign_on.assertion.is_some())
            })
        };
        let is_here = match is_sign_in_host {
            true => sign_on::is_signed(self.current),
            false => at_application(self),
        };
        if !is_here {
            return None;
        }
        Some(sign_on::jwks(self.gateway, request.method(), self.id).await)
    }
}
