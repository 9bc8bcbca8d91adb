//! One request to one application: connection, deadline, answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{AUTHORIZATION, CONNECTION, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::allow::AllowList;
use super::fault::{BackendError, Lost, chain, dial_code, tls_error};
use super::pool::{Connection, Pool, Target};
use super::upload::{Upload, UploadGuard, within};
use crate::http::{Body, Guard};
use crate::model::{Endpoint, ErrorCode, Host, Scheme};
use crate::net::{Dialled, Dialler, Refused};
use crate::tunnel::{Profile, retry};
use crate::upgrade;

/// Fields and octets of an application's answer head.
const HEAD_FIELDS: usize = 256;
const HEAD_OCTETS: usize = 64 * 1024;

/// Reaches applications.
#[derive(Debug)]
pub(super) struct Backend {
    dialler: Dialler,
    allow: AllowList,
    tls: Arc<rustls::ClientConfig>,
    pool: Arc<Pool>,
}

impl Backend {
    pub(super) fn new(
        dialler: Dialler,
        allow: AllowList,
        roots: Arc<rustls::RootCertStore>,
    ) -> Result<Self, rustls::Error> {
        let mut tls = rustls::ClientConfig::builder_with_provider(crate::certs::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            dialler,
            allow,
            tls: Arc::new(tls),
            pool: Pool::new(),
        })
    }

    /// Sends a request and waits for the head of its answer; the body streams after it.
    ///
    /// A connection from the pool may have died while it waited there. Where it was lost before a
    /// single octet of the answer, the request is sent once more on a fresh one: if it was handed
    /// back unsent, or if it is idempotent and without a body (RFC 9110 section 9.2.2).
    pub(super) async fn send(
        &self,
        target: &Target,
        profile: &Profile,
        request: Request<Body>,
    ) -> Result<Response<Body>, BackendError> {
        let keeps = !carries_connection_authentication(request.headers(), &AUTHORIZATION);
        let mut request = request;
        if keeps && let Some(connection) = self.pool.take(target).await {
            let again = repeatable(&request);
            let exchange = self.exchange(target, profile, connection, request, keeps);
            match exchange.await {
                Ok(response) => return Ok(response),
                Err(Lost {
                    request: Some(unsent),
                    ..
                }) => request = *unsent,
                Err(Lost {
                    error,
                    silent,
                    request: None,
                }) => match again {
                    Some(copy) if silent => request = copy,
                    _ => return Err(error),
                },
            }
        }
        let connection = self.connect(target, profile).await?;
        self.exchange(target, profile, connection, request, keeps)
            .await
            .map_err(|lost| lost.error)
    }

    async fn exchange(
        &self,
        target: &Target,
        profile: &Profile,
        mut connection: Connection,
        request: Request<Body>,
        keeps: bool,
    ) -> Result<Response<Body>, Lost> {
        let upload = Arc::new(Upload::new());
        let request = request.map(|body| body.with_guard(UploadGuard(Arc::clone(&upload))));
        let head = connection.sender.try_send_request(request);
        let response = match within(profile.first_byte(), &upload, head).await {
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                let request = error.take_message().map(Box::new);
                return Err(Lost::new(&error.into_error(), request));
            }
            None => {
                let waited = profile.first_byte();
                let detail = format!(
                    "{} did not begin its answer within {waited:?}",
                    target.endpoint
                );
                let error = BackendError::new(ErrorCode::BackendFirstByteTimeout, detail);
                return Err(Lost {
                    error,
                    silent: false,
                    request: None,
                });
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let detail = "the application switched protocols, which nobody asked for";
            let error = BackendError::new(ErrorCode::BackendBadResponse, detail);
            return Err(Lost {
                error,
                silent: false,
                request: None,
            });
        }
        let keeps =
            keeps && !carries_connection_authentication(response.headers(), &WWW_AUTHENTICATE);
        let back = Return(Some(Back {
            connection,
            pool: keeps.then(|| (Arc::clone(&self.pool), target.clone())),
            upload,
        }));
        Ok(response.map(|body| {
            let body = Body::incoming(body).with_idle(profile.idle());
            body.with_guard(back)
        }))
    }

    /// Performs a WebSocket handshake on a connection of its own (RFC 6455 section 4.1) with our
    /// own key. The first part is the answer, its status 101 only where the application agreed.
    pub(super) async fn upgrade(
        &self,
        target: &Target,
        profile: &Profile,
        mut request: Request<Body>,
    ) -> Result<Response<hyper::body::Incoming>, BackendError> {
        let key = upgrade::new_key();
        let fields = request.headers_mut();
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let value = HeaderValue::from_str(&key)
            .map_err(|e| BackendError::new(ErrorCode::Internal, e.to_string()))?;
        fields.insert(http::header::SEC_WEBSOCKET_KEY, value);
        let mut connection = self.connect(target, profile).await?;
        let upload = Upload::new();
        let head = connection.sender.send_request(request);
        let Some(answer) = within(profile.first_byte(), &upload, head).await else {
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
        let response = answer.map_err(|e| Lost::new(&e, None).error)?;
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

    async fn connect(
        &self,
        target: &Target,
        profile: &Profile,
    ) -> Result<Connection, BackendError> {
        let Target { scheme, endpoint } = target;
        let deadline = Instant::now() + profile.connect();
        let allowed = self
            .allow
            .check_target(endpoint)
            .map_err(|refusal| BackendError::new(ErrorCode::TargetRefused, refusal.to_string()))?;
        let permitted =
            |dialled: Dialled<'_>| allowed.check(dialled).map_err(|r| Refused(r.to_string()));
        let stream = self
            .dialler
            .connect_backend(endpoint, &permitted, deadline)
            .await
            .map_err(|error| BackendError::new(dial_code(&error), error.to_string()))?;
        match scheme {
            Scheme::Http => handshake(stream).await,
            Scheme::Https => {
                let tls = self.secure(endpoint, stream);
                let tls = tokio::time::timeout_at(deadline, tls).await.map_err(|_| {
                    let detail = format!("{endpoint} did not finish the TLS handshake in time");
                    BackendError::new(ErrorCode::BackendConnectTimeout, detail)
                })??;
                handshake(tls).await
            }
        }
    }

    async fn secure(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, BackendError> {
        let name = match &endpoint.host {
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|e| BackendError::new(ErrorCode::BackendTlsName, e.to_string()))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        connector
            .connect(name, stream)
            .await
            .map_err(|error| tls_error(endpoint, &error))
    }
}

async fn handshake<S>(stream: S) -> Result<Connection, BackendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        // Fields are lower-case in the tunnel; some old applications know only this form.
        .title_case_headers(true)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_OCTETS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| BackendError::new(ErrorCode::BackendBadResponse, chain(&e)))?;
    let task = tokio::spawn(async move {
        // Its end reaches the request or its body; here there is nobody left to tell.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection {
        sender,
        task: AbortOnDropHandle::new(task),
    })
}

/// The request once more, where sending it twice does what sending it once does.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if !request.body().is_end_stream() || !retry::is_idempotent(request.method()) {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Whether NTLM or Negotiate stands in these fields: such a connection belongs to one person.
fn carries_connection_authentication(fields: &HeaderMap, name: &http::HeaderName) -> bool {
    let is_theirs = |challenge: &[u8]| {
        let challenge = challenge.trim_ascii_start();
        let scheme = challenge.split(|&b| b == b' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    };
    let mut values = fields.get_all(name).iter();
    values.any(|value| value.as_bytes().split(|&b| b == b',').any(is_theirs))
}

/// Brings a connection back to the pool once its answer was read to the end.
struct Return(Option<Back>);

struct Back {
    connection: Connection,
    /// None for a connection that belongs to one person.
    pool: Option<(Arc<Pool>, Target)>,
    upload: Arc<Upload>,
}

impl Guard for Return {
    fn complete(&mut self) {
        // Where the answer came before the whole request was taken, the application has said what
        // it thinks of it: the upload ends here with the connection, or its sender would go on for
        // nothing.
        if let Some(back) = self.0.take()
            && back.upload.done.load(Ordering::Acquire)
            && let Some((pool, target)) = back.pool
        {
            pool.put(target, back.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn connections_with_ntlm_or_negotiate_are_recognised() {
        for (value, expected) in [
            ("NTLM TlRMTVNTUAAB", true),
            ("negotiate YII", true),
            ("Negotiate", true),
            ("NTLM,Basic", true),
            ("Digest realm=x, Negotiate", true),
            ("Basic bmVnb3RpYXRl", false),
            ("Bearer ntlm", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=x"));
            fields.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            assert_eq!(
                carries_connection_authentication(&fields, &WWW_AUTHENTICATE),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn only_idempotent_requests_without_a_body_are_repeated() {
        let request = |method: Method, body| {
            let mut request = Request::new(body);
            *request.method_mut() = method;
            request
        };
        assert!(repeatable(&request(Method::GET, Body::empty())).is_some());
        assert!(repeatable(&request(Method::POST, Body::empty())).is_none());
        assert!(repeatable(&request(Method::PUT, Body::full("x"))).is_none());
    }
}
