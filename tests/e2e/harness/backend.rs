//! Applications: servers inside the test, on a port of the system's choice.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use appproxy::clock::Clock;
use appproxy::demo::app::{self, AppControl};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use serde_json::{Map, Value, json};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::words;

/// A body that an application of a test answers with; an error cuts the connection.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A body of these octets.
pub(crate) fn body(octets: impl Into<Bytes>) -> ResponseBody {
    Full::new(octets.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// An application. Dropped, it stops: its port refuses, its connections are cut.
pub(crate) struct Backend {
    address: SocketAddr,
    task: JoinHandle<()>,
    /// Its port, once it has stopped: bound, so that nobody else is given it, and refusing.
    kept: Option<Socket>,
}

impl Backend {
    /// Answers every request with this text.
    pub(crate) async fn text(text: &'static str) -> Self {
        Self::answering(move |_| async move { Response::new(body(text)) }).await
    }

    /// Answers every request with what arrived, as JSON: `method`, `target`, `headers` (a list a
    /// name), `body`, `trailers`.
    pub(crate) async fn echo() -> Self {
        Self::answering(|request| async move { echo(request).await }).await
    }

    /// The demo application, published as `demo`, and what can be seen of it.
    pub(crate) async fn demo() -> (Self, AppControl) {
        Self::demo_as("demo").await
    }

    /// The same, published under this name.
    pub(crate) async fn demo_as(name: &str) -> (Self, AppControl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let internal = format!("{}:{}", words::internal_name(name), address.port());
        let control = AppControl::new(internal.parse().expect("a host"), Clock::system());
        let task = tokio::spawn(app::serve(listener, control.clone()));
        (
            Self {
                address,
                task,
                kept: None,
            },
            control,
        )
    }

    /// Answers requests over HTTP/1.1 as `handler` does.
    pub(crate) async fn answering<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        Self::raw(move |stream| http1(stream, handler.clone())).await
    }

    /// The same at this address, where one was a moment ago.
    pub(crate) async fn answering_at<H, F>(address: SocketAddr, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        Self::raw_at(address, move |stream| http1(stream, handler.clone())).await
    }

    /// Answers requests over HTTP/1.1 in TLS as `handler` does.
    pub(crate) async fn tls<H, F>(tls: Arc<ServerConfig>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(tls);
        Self::raw(move |stream| {
            let (acceptor, handler) = (acceptor.clone(), handler.clone());
            async move {
                if let Some(stream) = accept(&acceptor, stream).await {
                    http1(stream, handler).await;
                }
            }
        })
        .await
    }

    /// Answers requests over HTTP/2 that is spoken without asking, at most `at_once` on a
    /// connection.
    pub(crate) async fn http2<H, F>(at_once: u32, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        Self::raw(move |stream| http2(stream, at_once, handler.clone())).await
    }

    /// Answers requests in TLS over whichever protocol of `tls` was agreed on.
    pub(crate) async fn agreeing<H, F>(tls: Arc<ServerConfig>, handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(tls);
        Self::raw(move |stream| {
            let (acceptor, handler) = (acceptor.clone(), handler.clone());
            async move {
                match accept(&acceptor, stream).await {
                    Some(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                        http2(stream, 100, handler).await;
                    }
                    Some(stream) => http1(stream, handler).await,
                    None => {}
                }
            }
        })
        .await
    }

    /// Hands every connection to `serve`, which may misbehave on it as it likes.
    pub(crate) async fn raw<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::raw_at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    /// The same at this address, where one was a moment ago.
    pub(crate) async fn raw_at<S, F>(address: SocketAddr, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            // Ends with the task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            task,
            kept: None,
        }
    }

    /// An application that another process is, at this port.
    pub(crate) fn elsewhere(port: u16) -> Self {
        let address = ([127, 0, 0, 1], port).into();
        let task = tokio::spawn(async {});
        Self {
            address,
            task,
            kept: None,
        }
    }

    /// A port that refuses: it is bound, and nobody listens there.
    pub(crate) async fn refusing() -> Self {
        let mut backend = Self::raw(|_| async {}).await;
        backend.stop().await;
        backend
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until its port refuses. Whoever is to follow can still listen there.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let kept = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        kept.set_reuse_address(true).unwrap();
        if kept.bind(&self.address.into()).is_ok() {
            self.kept = Some(kept);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the head of a message, its empty line included; shorter where the peer goes away before.
/// Octet by octet, so that nothing behind it is taken.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("a head is text")
}

/// Waits until the peer has gone, whatever it still says.
pub(crate) async fn gone(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = vec![0; 64 * 1024];
    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
}

/// Accepts a client; none where it does not like the certificate, or its own is not liked. What such
/// a client sends is read, so that no reset overtakes the alert that says why.
async fn accept(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((_, mut stream)) => {
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            None
        }
    }
}

async fn http1<S, H, F>(stream: S, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // An error is the peer's leaving, or what the handler meant to do.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

async fn http2<S, H, F>(stream: S, at_once: u32, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(at_once)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

pub(crate) async fn echo(request: Request<Incoming>) -> Response<ResponseBody> {
    let (head, incoming) = request.into_parts();
    let Ok(collected) = incoming.collect().await else {
        return Response::new(body("the request's body broke"));
    };
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": fields(&head.headers),
        "trailers": collected.trailers().map(fields),
        "body": String::from_utf8_lossy(&collected.to_bytes()),
    });
    let mut response = Response::new(body(seen.to_string()));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

fn fields(headers: &http::HeaderMap) -> Value {
    let mut fields = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        fields.insert(name.to_string(), json!(values));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use http::Version;
    use tokio::io::AsyncWriteExt;
    use tokio_tungstenite::tungstenite::Message;

    use super::super::{Answer, Authority, Client};
    use super::*;

    const NAME: &str = "wiki.localhost";

    #[tokio::test]
    async fn a_client_talks_http1_to_an_address_by_any_name() {
        let authority = Authority::new();
        let tls = authority.server_config(&[NAME], &["http/1.1"]);
        let backend = Backend::tls(tls, echo).await;
        let client = Client::new(&authority, backend.address());

        let answer = client.get("https://wiki.localhost/a?b=c").await;
        assert_eq!(answer.version, Version::HTTP_11);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["target"], "/a?b=c");
        let host = format!("wiki.localhost:{}", backend.address().port());
        assert_eq!(answer.json()["headers"]["host"], json!([host]));

        // The port in the URL is for the Host, not for the dialling.
        let answer = client.get("https://wiki.localhost:1/").await;
        assert_eq!(
            answer.json()["headers"]["host"],
            json!(["wiki.localhost:1"])
        );

        let mut connection = client.connect(NAME).await;
        for text in ["first", "second"] {
            let request = Request::post("https://wiki.localhost/")
                .body(body(text))
                .unwrap();
            let answer = Answer::read(connection.send(request).await.unwrap()).await;
            assert_eq!(answer.json()["body"], text);
        }
    }

    #[tokio::test]
    async fn a_client_talks_http2_where_it_is_asked_to() {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server_config(&[NAME], &["h2"]));
        let backend = Backend::raw(move |stream| {
            let accepted = acceptor.accept(stream);
            async move {
                let stream = TokioIo::new(accepted.await.unwrap());
                let service = service_fn(async |request| Ok::<_, Infallible>(echo(request).await));
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await;
            }
        })
        .await;
        let client = Client::new(&authority, backend.address()).http2();
        let answer = client.get("https://wiki.localhost/a").await;
        assert_eq!(answer.version, Version::HTTP_2);
        assert_eq!(
            answer.json()["target"],
            format!("https://wiki.localhost:{}/a", backend.address().port())
        );
    }

    #[tokio::test]
    async fn raw_octets_and_websockets_go_through_tls() {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::from(authority.server_config(&[NAME], &["http/1.1"]));
        let backend = Backend::raw(move |stream| {
            let accepted = acceptor.accept(stream);
            async move {
                let stream = accepted.await.unwrap();
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        socket.send(message).await.unwrap();
                    }
                }
            }
        })
        .await;
        let client = Client::new(&authority, backend.address());
        let (mut socket, switched) = client.websocket("wss://wiki.localhost/ws").await;
        assert_eq!(switched.status(), 101);
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(
            socket.next().await.unwrap().unwrap(),
            Message::text("hello")
        );

        let mut raw = client.raw(NAME).await;
        raw.write_all(b"nonsense\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = raw.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 101"), "{rest:?}");
    }

    #[tokio::test]
    async fn a_stopped_application_refuses_and_cuts() {
        let mut backend = Backend::raw(|mut stream| async move {
            let _ = stream.write_all(b"x").await;
            std::future::pending::<()>().await;
        })
        .await;
        let mut open = TcpStream::connect(backend.address()).await.unwrap();
        assert_eq!(open.read_u8().await.unwrap(), b'x');
        backend.stop().await;
        assert_eq!(open.read(&mut [0]).await.unwrap_or(0), 0);
        let error = TcpStream::connect(backend.address()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let refusing = Backend::refusing().await;
        assert!(TcpStream::connect(refusing.address()).await.is_err());
    }
}
