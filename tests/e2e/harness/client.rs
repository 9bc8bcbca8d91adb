//! HTTP, TLS and WebSocket clients that dial one address whatever the name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response as Switched;

use super::authority::is_address;
use super::{Authority, Leaf, within};

/// What a request's body may fail with, as far as a client here cares.
type BodyError = Box<dyn std::error::Error + Send + Sync>;
type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// A TLS stream to the gateway.
pub(crate) type Tls = TlsStream<TcpStream>;

/// A client that trusts one authority and dials one address.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    source: IpAddr,
    /// Written first on every connection.
    header: Arc<[u8]>,
    is_far: bool,
    version: Version,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A connection that carries one request after the other, or with HTTP/2 many at once.
pub(crate) enum Connection {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Client {
    pub(crate) fn new(authority: &Authority, address: SocketAddr) -> Self {
        Self {
            address,
            source: Ipv4Addr::LOCALHOST.into(),
            header: Arc::default(),
            is_far: false,
            version: Version::HTTP_11,
            http1: authority.client_config(&["http/1.1"]),
            http2: authority.client_config(&["h2"]),
        }
    }

    /// The same client over HTTP/2.
    pub(crate) fn http2(&self) -> Self {
        Self {
            version: Version::HTTP_2,
            ..self.clone()
        }
    }

    /// The same client, that shows a certificate where it is asked for one.
    pub(crate) fn showing(&self, authority: &Authority, leaf: &Leaf) -> Self {
        Self {
            http1: authority.showing_config(leaf, &["http/1.1"]),
            http2: authority.showing_config(leaf, &["h2"]),
            ..self.clone()
        }
    }

    /// The same client with TLS of its own for HTTP/1.1.
    pub(crate) fn speaking(&self, http1: Arc<ClientConfig>) -> Self {
        Self {
            http1,
            ..self.clone()
        }
    }

    /// The same client at another of this machine's addresses.
    pub(crate) fn at(&self, source: impl Into<IpAddr>) -> Self {
        Self {
            source: source.into(),
            ..self.clone()
        }
    }

    /// The same client, that writes these octets first on every connection.
    pub(crate) fn saying(&self, header: impl Into<Vec<u8>>) -> Self {
        Self {
            header: header.into().into(),
            ..self.clone()
        }
    }

    /// The same client with the segments of an Ethernet and a small window, where loopback's would put
    /// megabytes into the kernel's buffers.
    pub(crate) fn far(&self) -> Self {
        Self {
            is_far: true,
            ..self.clone()
        }
    }

    /// Gets a URL over a connection of its own. A URL without a port means the port that is dialled.
    pub(crate) async fn get(&self, url: &str) -> Answer {
        let request = Request::get(url).body(Empty::new()).unwrap();
        Answer::read(self.send(request).await).await
    }

    /// Sends a request over a connection of its own; the answer's body comes as it comes.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let host = request.uri().host().expect("a whole URL").to_owned();
        let mut connection = self.connect(&host).await;
        let request = self.with_port(request);
        within("the answer's head", connection.send(request))
            .await
            .unwrap_or_else(|e| panic!("no answer: {e:?}"))
    }

    /// Opens a connection for a host.
    pub(crate) async fn connect(&self, host: &str) -> Connection {
        if self.version == Version::HTTP_2 {
            let stream = TokioIo::new(self.tls(host, &self.http2).await);
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .expect("an HTTP/2 handshake");
            tokio::spawn(connection);
            return Connection::Http2(sender);
        }
        let stream = TokioIo::new(self.raw(host).await);
        let (sender, connection) = http1::handshake(stream).await.expect("an HTTP/1 handshake");
        tokio::spawn(connection.with_upgrades());
        Connection::Http1(sender)
    }

    /// A TLS connection with `http/1.1` agreed, to write what no client would.
    pub(crate) async fn raw(&self, host: &str) -> Tls {
        self.tls(host, &self.http1).await
    }

    /// A TLS connection with `h2` agreed, to send what no client would.
    /// A TLS connection with `h2` agreed, to write frames that no client would.
    pub(crate) async fn raw_http2(&self, host: &str) -> Tls {
        self.tls(host, &self.http2).await
    }

    /// A TCP connection, to stop half way through the handshake.
    pub(crate) async fn tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        // To bind takes a port of those from which listeners get theirs, and one that is free for a
        // moment, while a gateway or an application restarts, would be taken by chance. To connect
        // takes others.
        if self.source != Ipv4Addr::LOCALHOST {
            socket
                .bind(SocketAddr::new(self.source, 0))
                .expect("an address of this machine");
        }
        if self.is_far {
            socket.set_recv_buffer_size(32 * 1024).expect("a socket");
            let socket = socket2::SockRef::from(&socket);
            socket.set_tcp_mss(1460).expect("a socket");
        }
        let mut stream = within("a TCP connection", socket.connect(self.address))
            .await
            .unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.address));
        stream.write_all(&self.header).await.expect("a connection");
        stream
    }

    /// Opens a WebSocket over HTTP/1.1; the request may carry headers.
    pub(crate) async fn websocket(
        &self,
        request: impl IntoClientRequest,
    ) -> (WebSocketStream<Tls>, Switched) {
        let request = request.into_client_request().expect("a WebSocket URL");
        let mut request = self.with_port(request);
        let authority = request.uri().authority().expect("a whole URL").clone();
        let field = authority.as_str().parse().unwrap();
        request.headers_mut().insert(http::header::HOST, field);
        let host = authority.host().to_owned();
        let stream = self.raw(&host).await;
        within(
            "a WebSocket handshake",
            tokio_tungstenite::client_async(request, stream),
        )
        .await
        .unwrap_or_else(|e| panic!("no WebSocket: {e}"))
    }

    async fn tls(&self, host: &str, config: &Arc<ClientConfig>) -> Tls {
        let name = if is_address(host) {
            ServerName::IpAddress(
                host.trim_matches(['[', ']'])
                    .parse::<std::net::IpAddr>()
                    .unwrap()
                    .into(),
            )
        } else {
            ServerName::try_from(host.to_owned()).expect("a host name")
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = self.tcp().await;
        within("a TLS handshake", connector.connect(name, stream))
            .await
            .unwrap_or_else(|e| panic!("no TLS with {host}: {e}"))
    }

    /// Names the port of the address where the URL names none, as the external URL does.
    fn with_port<B>(&self, request: Request<B>) -> Request<B> {
        let (mut head, body) = request.into_parts();
        if head.uri.port().is_none() {
            let mut parts = head.uri.clone().into_parts();
            let authority = format!(
                "{}:{}",
                head.uri.host().expect("a whole URL"),
                self.address.port()
            );
            parts.authority = Some(authority.parse().unwrap());
            head.uri = Uri::from_parts(parts).unwrap();
        }
        Request::from_parts(head, body)
    }
}

impl Connection {
    /// Another handle on the same HTTP/2 connection; HTTP/1.1 has none.
    pub(crate) fn another(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Whether it can take more requests.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Sends a request with a whole URL; the answer's body comes as it comes.
    ///
    /// # Errors
    /// Where the connection ends before the answer's head.
    pub(crate) async fn send<B>(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Incoming>, hyper::Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        match self {
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http1(sender) => {
                sender.ready().await?;
                // HTTP/1.1 wants the authority in Host and the rest in the request line.
                let authority = request.uri().authority().expect("a whole URL").clone();
                if !request.headers().contains_key(http::header::HOST) {
                    let host = authority.as_str().parse().unwrap();
                    request.headers_mut().insert(http::header::HOST, host);
                }
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
                sender.send_request(request).await
            }
        }
    }
}

impl Answer {
    /// Reads an answer's body to its end.
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = within("the answer's body", body.collect())
            .await
            .unwrap_or_else(|e| panic!("the body broke: {e:?}"));
        Self {
            version: head.version,
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
        }
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's value, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.map_or("", |value| value.expect("text"))
    }
}
