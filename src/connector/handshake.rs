//! A WebSocket's handshake with an application.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::time::Instant;

use super::backend::Backend;
use super::fault::{BackendError, Lost};
use super::informational::Informational;
use super::pinned::Client;
use super::pool::Target;
use super::upload::{Upload, within};
use crate::http::Body;
use crate::model::ErrorCode;
use crate::tunnel::Profile;
use crate::upgrade;

impl Backend {
    /// Performs a WebSocket handshake on a connection of its own (RFC 6455 section 4.1) with our
    /// own key. The first part is the answer, its status 101 only where the application agreed.
    ///
    /// A client connection's own connection goes with it, whatever the application answers.
    pub(super) async fn upgrade(
        &self,
        target: &Target,
        profile: &Profile,
        client: Option<Client<'_>>,
        mut request: Request<Body>,
    ) -> Result<Response<hyper::body::Incoming>, BackendError> {
        let key = upgrade::new_key();
        let fields = request.headers_mut();
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let value = HeaderValue::from_str(&key)
            .map_err(|e| BackendError::new(ErrorCode::Internal, e.to_string()))?;
        fields.insert(http::header::SEC_WEBSOCKET_KEY, value);
        let deadline = Instant::now() + profile.connect();
        let own = match client {
            Some(client) => {
                let turn = client.turn(target, profile).await?;
                turn.take(target, deadline).await
            }
            None => None,
        };
        let mut connection = match own {
            Some(connection) => connection,
            None => self.reach().connect_http1(target, deadline).await?,
        };
        let upload = Upload::new();
        let informational = Informational::of(&mut request);
        let head = connection.sender.send_request(request);
        let head = within(profile.first_byte(), &upload, head);
        let Some(answer) = informational.before(head).await? else {
            let waited = profile.first_byte();
            let detail = format!(
                "{} did not answer the handshake within {waited:?}",
                target.endpoint
            );
            return Err(BackendError::new(
                ErrorCode::BackendFirstByteTimeout,
                detail,
            ));
        };
        let response = answer.map_err(|e| {
            let lost = Lost::new(&e, None);
            self.explain(target, &connection, &e, lost).error
        })?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            upgrade::check_switching(&response, &key)
                .map_err(|e| BackendError::new(ErrorCode::BackendBadResponse, e.to_string()))?;
        } else if response.status().is_success() {
            // In the tunnel a 2xx would mean that the upgrade happened.
            let status = response.status();
            let detail = format!("the application answered a WebSocket handshake with {status}");
            return Err(BackendError::new(ErrorCode::BackendBadResponse, detail));
        }
        // There is no upload to wait for: the connection ends with the answer's body, or hands its
        // stream to the WebSocket.
        drop(connection.task.detach());
        Ok(response)
    }
}
