//! A fresh connection to an application: dialled where the allow-list permits, secured on the
//! connector's own terms, and ready to carry requests. What the configuration says of it all is
//! swapped as a whole.

use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::allow::AllowList;
use super::fault::{BackendError, HEAD_OCTETS, client_certificate_fault, dial_code, tls_error};
use super::pool::{Connection, Target};
use super::shared::{Multiplexed, Unopened};
use super::trust::{ASKED, Asked, BackendTrust};
use crate::config::{ConnectorConfig, Dns};
use crate::http::with_causes;
use crate::model::{BackendProtocol, Endpoint, ErrorCode, Proxy, Scheme};
use crate::net::{Dialled, Dialler, Refused, Resolver};
use crate::telemetry::metrics::BACKEND_CONNECT;

/// Fields of an application's answer head.
const HEAD_FIELDS: usize = 256;

/// Opens connections to applications, as one configuration has it.
#[derive(Debug)]
pub(super) struct Reach {
    dialler: Dialler,
    pub(super) allow: AllowList,
    trust: BackendTrust,
    /// The configuration's number; the first is 1.
    pub(super) number: u64,
    /// Another configuration has taken its place.
    pub(super) replaced: CancellationToken,
    /// The allow-list as it is written, for the status.
    pub(super) lines: Vec<String>,
    /// The proxy on the way, for the status.
    pub(super) proxy: Option<String>,
}

/// A connection that has carried nothing yet.
#[derive(Debug)]
pub(super) enum Fresh {
    Http1(Connection),
    Http2(Multiplexed),
}

impl Reach {
    pub(super) fn new(
        number: u64,
        config: &ConnectorConfig,
        proxy: Option<Proxy>,
        trust: BackendTrust,
    ) -> Self {
        let Dns { servers, hosts } = &config.dns;
        Self {
            lines: config.allow.iter().map(ToString::to_string).collect(),
            proxy: proxy.as_ref().map(ToString::to_string),
            allow: AllowList::new(config.allow.clone(), hosts),
            dialler: Dialler::new(Resolver::new(servers, hosts.clone())).through(proxy),
            trust,
            number,
            replaced: CancellationToken::new(),
        }
    }

    /// A connection that speaks what is wanted, or HTTP/1.1 where the application chooses it.
    pub(super) async fn connect(
        &self,
        target: &Target,
        wanted: BackendProtocol,
        deadline: Instant,
    ) -> Result<Fresh, BackendError> {
        let began = Instant::now();
        let fresh = self.open(target, wanted, deadline).await?;
        BACKEND_CONNECT
            .histogram(&[])
            .record(began.elapsed().as_secs_f64());
        Ok(fresh)
    }

    async fn open(
        &self,
        target: &Target,
        wanted: BackendProtocol,
        deadline: Instant,
    ) -> Result<Fresh, BackendError> {
        let Target {
            scheme, endpoint, ..
        } = target;
        let stream = self.dial_for(target, deadline).await?;
        let asked = Arc::new(Asked::default());
        match (scheme, wanted) {
            (Scheme::Http, BackendProtocol::Http1) => speak_http1(stream, asked).await,
            (Scheme::Http, BackendProtocol::Http2) => {
                self.speak_http2(endpoint, stream, asked, deadline).await
            }
            (Scheme::Https, _) => {
                let secured = self.secure(endpoint, stream, wanted, Arc::clone(&asked));
                let stream = timeout_at(deadline, secured).await.map_err(|_| {
                    let detail = format!("{endpoint} did not finish the TLS handshake in time");
                    BackendError::new(ErrorCode::BackendConnectTimeout, detail)
                })??;
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.speak_http2(endpoint, stream, asked, deadline).await
                } else {
                    speak_http1(stream, asked).await
                }
            }
        }
    }

    /// A connection on which nothing was said but whose it is, where it has to be.
    pub(super) async fn dial_for(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<TcpStream, BackendError> {
        let Target { endpoint, says, .. } = target;
        let mut stream = self.dial(endpoint, deadline).await?;
        if let Some(says) = says {
            says.write(&mut stream, endpoint, deadline).await?;
        }
        Ok(stream)
    }

    /// A connection that speaks HTTP/1.1.
    pub(super) async fn connect_http1(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection, BackendError> {
        match self
            .connect(target, BackendProtocol::Http1, deadline)
            .await?
        {
            Fresh::Http1(connection) => Ok(connection),
            Fresh::Http2(_) => {
                let detail = "the application chose HTTP/2, which was not offered";
                Err(BackendError::new(ErrorCode::BackendBadResponse, detail))
            }
        }
    }

    /// The fault of an application that ended a connection without an answer after it had asked for
    /// a client certificate, where that was the reason.
    pub(super) fn client_certificate_fault(
        &self,
        target: &Target,
        asked: &Asked,
        alert: Option<rustls::AlertDescription>,
    ) -> Option<BackendError> {
        let terms = self.trust.terms(&target.endpoint);
        client_certificate_fault(&target.endpoint, terms, asked, alert)
    }

    async fn dial(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<TcpStream, BackendError> {
        let allowed = self
            .allow
            .check_target(endpoint)
            .map_err(|refusal| BackendError::new(ErrorCode::TargetRefused, refusal.to_string()))?;
        let permitted =
            |dialled: Dialled<'_>| allowed.check(dialled).map_err(|r| Refused(r.to_string()));
        self.dialler
            .connect_backend(endpoint, &permitted, deadline)
            .await
            .map_err(|error| BackendError::new(dial_code(&error), error.to_string()))
    }

    /// The proxy on the way to a target, where there is one.
    pub(super) fn proxy_for(&self, endpoint: &Endpoint) -> Option<String> {
        self.dialler.proxy_for(endpoint).map(ToString::to_string)
    }

    /// TLS on a connection, with whom it is wanted.
    pub(super) async fn secure(
        &self,
        endpoint: &Endpoint,
        stream: TcpStream,
        wanted: BackendProtocol,
        asked: Arc<Asked>,
    ) -> Result<TlsStream<TcpStream>, BackendError> {
        let terms = self.trust.terms(endpoint);
        let (config, name) = terms
            .offer(endpoint, wanted)
            .map_err(|why| BackendError::new(ErrorCode::BackendTlsName, why))?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        ASKED
            .scope(Arc::clone(&asked), handshake)
            .await
            .map_err(|error| tls_error(endpoint, terms, &asked, &error))
    }

    async fn speak_http2<S>(
        &self,
        endpoint: &Endpoint,
        stream: S,
        asked: Arc<Asked>,
        deadline: Instant,
    ) -> Result<Fresh, BackendError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = Multiplexed::open(stream);
        match timeout_at(deadline, opened).await {
            Ok(Ok(connection)) => Ok(Fresh::Http2(connection)),
            Ok(Err(unopened)) => {
                let terms = self.trust.terms(endpoint);
                if let Some(error) = client_certificate_fault(endpoint, terms, &asked, None) {
                    // Nothing was sent yet that could be sent twice.
                    return Err(BackendError::new(ErrorCode::BackendTlsTrust, error.detail));
                }
                let said = match unopened {
                    Unopened::Closed => String::new(),
                    Unopened::Broken(why) => format!(": {why}"),
                };
                let detail = format!(
                    "{endpoint} does not speak HTTP/2 there{said}; \
                     write `backend_protocol: http1` for this application, or leave it out"
                );
                Err(BackendError::new(ErrorCode::BackendBadResponse, detail))
            }
            Err(_) => {
                let detail = format!(
                    "{endpoint} did not begin to speak HTTP/2 in time; does it at all on this port?"
                );
                Err(BackendError::new(ErrorCode::BackendConnectTimeout, detail))
            }
        }
    }
}

async fn speak_http1<S>(stream: S, asked: Arc<Asked>) -> Result<Fresh, BackendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        // Fields are lower-case in the tunnel; some old applications know only this form.
        .title_case_headers(true)
        // Old ones fold long values over lines; a space stands for each fold (RFC 9112 section 5.2).
        .allow_obsolete_multiline_headers_in_responses(true)
        .max_headers(HEAD_FIELDS)
        .max_buf_size(HEAD_OCTETS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| BackendError::new(ErrorCode::BackendBadResponse, with_causes(&e)))?;
    let task = tokio::spawn(async move {
        // Its end reaches the request or its body; here there is nobody left to tell.
        let _ = connection.with_upgrades().await;
    });
    Ok(Fresh::Http1(Connection {
        sender,
        task: AbortOnDropHandle::new(task),
        asked,
        proven: false,
    }))
}
