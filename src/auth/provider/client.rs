//! Exchanges with a provider over HTTP: one connection each, no redirects, no cookies, and a limit to
//! everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, LOCATION, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use zeroize::Zeroizing;

use super::error::{Document, ProviderError};
use crate::certs;
use crate::config::IdentityProvider;
use crate::http::with_causes;
use crate::model::{Endpoint, Finding, Host, Scheme};
use crate::net::Dialler;

/// The longest answer, in octets. The largest are userinfo with thousands of groups.
const LONGEST_ANSWER: usize = 1 << 20;

/// Exchanges with one provider at a time: a storm of sign-ins must not become one of connections.
const AT_ONCE: usize = 32;

/// Octets of an answer's head, which hyper bounds by its buffer.
const HEAD_OCTETS: usize = 64 * 1024;

/// Asks one provider.
#[derive(Debug)]
pub(super) struct Client {
    dialler: Dialler,
    tls: TlsSettings,
    timeout: Duration,
    slots: Semaphore,
    /// Of the keys of the authorities that are trusted beside the system's.
    extra: [u8; 32],
}

/// In a type of its own, since rustls prints whole configurations.
struct TlsSettings(Arc<ClientConfig>);

impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSettings")
    }
}

/// What is sent beside the address.
pub(super) enum Sent<'a> {
    /// A question.
    Nothing,
    /// A form, in its encoded form.
    Form(Zeroizing<String>),
    /// JSON.
    Json(&'a str),
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The media type without parameters, in small letters.
    pub(super) media_type: String,
    /// What is to be shown, where something is missing (RFC 9110 section 11.6.1).
    pub(super) challenges: Vec<String>,
    /// Where it sends whoever asks.
    pub(super) location: Option<String>,
    /// What its clock says (RFC 9110 section 6.6.1), as it is written.
    pub(super) date: Option<String>,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) fn new(config: &IdentityProvider, dialler: Dialler) -> Result<Self, Vec<Finding>> {
        let mut roots = RootCertStore::clone(&certs::system_roots());
        let mut keys = Vec::new();
        if let Some(ca) = &config.extra_ca {
            let extra = certs::load_authorities(&ca.file, &ca.place).map_err(|f| vec![*f])?;
            for root in &extra.roots {
                keys.extend_from_slice(&root.subject_public_key_info);
            }
            roots.extend(extra.roots);
        }
        let unusable = |error: rustls::Error| {
            let what = format!("TLS with the provider cannot be set up: {error}");
            let remedy = "check the certificates that `extra_ca` names";
            vec![Finding::error("provider_tls", what, remedy).at(config.place.clone())]
        };
        let mut tls = ClientConfig::builder_with_provider(certs::provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            dialler,
            tls: TlsSettings(Arc::new(tls)),
            timeout: config.timeout,
            slots: Semaphore::new(AT_ONCE),
            extra: certs::sha256(&keys),
        })
    }

    /// Whether it trusts the same authorities.
    pub(super) fn trusts_as(&self, other: &Self) -> bool {
        self.extra == other.extra
    }

    /// Asks, and reads the whole answer before the deadline. `authorization` is the whole field.
    ///
    /// # Errors
    /// Where there is no answer, one that is too long or too late, or a redirect.
    pub(super) async fn ask(
        &self,
        document: Document,
        url: &Url,
        authorization: Option<Zeroizing<String>>,
        sent: Sent<'_>,
    ) -> Result<Answer, ProviderError> {
        let answer = self.ask_for_any(document, url, authorization, sent).await?;
        match answer.status {
            status @ 300..=399 => Err(ProviderError::Redirected { document, status }),
            _ => Ok(answer),
        }
    }

    /// The same, where a redirect is an answer too. It is not followed.
    ///
    /// # Errors
    /// Where there is no answer, or one that is too long or too late.
    pub(super) async fn ask_for_any(
        &self,
        document: Document,
        url: &Url,
        authorization: Option<Zeroizing<String>>,
        sent: Sent<'_>,
    ) -> Result<Answer, ProviderError> {
        let deadline = Instant::now() + self.timeout;
        let exchange = async {
            let _slot = self
                .slots
                .acquire()
                .await
                .map_err(|_| ProviderError::Busy)?;
            let request = request(url, authorization, sent).ok_or(ProviderError::Answer {
                document,
                why: "its address or our secret cannot be sent in a request",
            })?;
            self.exchange(document, url, request, deadline).await
        };
        let late = ProviderError::Timeout {
            document,
            limit: self.timeout,
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(late))
    }

    async fn exchange(
        &self,
        document: Document,
        url: &Url,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, ProviderError> {
        let unreachable = |why| ProviderError::Unreachable { document, why };
        let (scheme, endpoint) = target(url).ok_or_else(|| unreachable("no host".to_owned()))?;
        let stream = self
            .dialler
            .connect_backend(&endpoint, &|_| Ok(()), deadline)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        if scheme == Scheme::Http {
            return speak(document, stream, request).await;
        }
        let tls = |why| ProviderError::Tls { document, why };
        let name = match &endpoint.host {
            Host::Name(name) => {
                ServerName::try_from(name.to_string()).map_err(|error| tls(error.to_string()))?
            }
            Host::Address(address) => ServerName::from(*address),
        };
        let stream = TlsConnector::from(Arc::clone(&self.tls.0))
            .connect(name, stream)
            .await
            .map_err(|error| tls(with_causes(&error)))?;
        speak(document, stream, request).await
    }
}

/// The endpoint of a URL, with its scheme.
fn target(url: &Url) -> Option<(Scheme, Endpoint)> {
    let scheme = match url.scheme() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let host = Host::parse(url.host_str()?).ok()?;
    let port = url.port_or_known_default()?;
    Some((scheme, Endpoint { host, port }))
}

fn request(
    url: &Url,
    authorization: Option<Zeroizing<String>>,
    sent: Sent<'_>,
) -> Option<Request<Full<Bytes>>> {
    let (_, endpoint) = target(url)?;
    let host = match url.port() {
        Some(_) => endpoint.to_string(),
        None => endpoint.host.to_string(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let (method, media_type, body) = match sent {
        Sent::Nothing => (Method::GET, None, Bytes::new()),
        Sent::Form(form) => (
            Method::POST,
            Some("application/x-www-form-urlencoded"),
            Bytes::copy_from_slice(form.as_bytes()),
        ),
        Sent::Json(text) => (
            Method::POST,
            Some("application/json"),
            Bytes::copy_from_slice(text.as_bytes()),
        ),
    };
    let mut request = Request::builder()
        .method(&method)
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, "appproxy")
        .header(ACCEPT, "application/json");
    if let Some(media_type) = media_type {
        request = request
            .header(CONTENT_TYPE, media_type)
            .header(CONTENT_LENGTH, body.len());
    }
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(&authorization).ok()?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Full::new(body)).ok()
}

async fn speak<S>(
    document: Document,
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ProviderError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| ProviderError::Unreachable {
        document,
        why: with_causes(&error),
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_OCTETS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with this exchange, whatever becomes of it.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(broken)?;
    let media_type = media_type(&response);
    let status = response.status().as_u16();
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    let challenges = challenges.filter_map(|value| value.to_str().ok().map(str::to_owned));
    let challenges = challenges.collect();
    let field = |name| {
        response
            .headers()
            .get(name)?
            .to_str()
            .ok()
            .map(str::to_owned)
    };
    let (location, date) = (field(LOCATION), field(DATE));
    let body = Limited::new(response.into_body(), LONGEST_ANSWER);
    let body =
        body.collect()
            .await
            .map_err(|error| match error.downcast_ref::<hyper::Error>() {
                Some(error) => ProviderError::Unreachable {
                    document,
                    why: with_causes(error),
                },
                None => ProviderError::TooLarge { document },
            })?;
    Ok(Answer {
        status,
        media_type,
        challenges,
        location,
        date,
        body: body.to_bytes(),
    })
}

fn media_type<B>(response: &Response<B>) -> String {
    let field = response.headers().get(CONTENT_TYPE);
    let text = field
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
