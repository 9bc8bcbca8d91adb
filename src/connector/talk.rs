//! A tunnel with a control stream and nothing else: for a talk with a gateway beside the connector that
//! runs, or before one does.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::alerts::Watched;
use super::serving::LAST_WORD;
use super::tunnel::REASON;
use crate::clock::Clock;
use crate::http::{Body, with_causes};
use crate::model::{ConnectorId, StreamWindow};
use crate::telemetry::printable;
use crate::tunnel::control::{self, Messages, PROTOCOL_VERSION, Sender, Up};
use crate::tunnel::link;

/// The hello of a tunnel that carries no requests.
pub(super) fn hello(id: &ConnectorId, instance: &str, clock: &Clock) -> Up {
    Up::Hello {
        version: PROTOCOL_VERSION,
        id: id.to_string(),
        instance: instance.to_owned(),
        time: clock.now().0,
        max_streams: 0,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        features: Vec::new(),
    }
}

/// Says hello and talks. The error is how the connection ended without a result, in words.
pub(super) async fn talk<S, T>(
    tls: TlsStream<S>,
    hello: &Up,
    talk: impl AsyncFnOnce(&Sender, Messages<Incoming>) -> Result<T, String>,
) -> Result<T, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, body) = control::channel();
    // The queue is empty, so the first message always fits.
    let _ = sender.send(hello);
    let body = Arc::new(Mutex::new(Some(body)));
    let (opened, mut streams) = mpsc::channel::<Incoming>(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let taken = body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut response = Response::new(Body::empty());
        match taken {
            Some(body) => {
                let _ = opened.try_send(request.into_body());
                *response.body_mut() = body;
            }
            None => *response.status_mut() = StatusCode::BAD_GATEWAY,
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let (watched, alert) = Watched::new(tls);
    let http = link::server(StreamWindow::USUAL).serve_connection(TokioIo::new(watched), service);
    let talking = async {
        let stream = streams.recv().await.ok_or("the connection ended")?;
        talk(&sender, Messages::new(stream)).await
    };
    let mut talking = std::pin::pin!(talking);
    tokio::select! {
        biased;
        told = &mut talking => told,
        ended = http => match (timeout(LAST_WORD, talking).await, alert.text(), ended) {
            // What it said last came together with the end.
            (Ok(Ok(said)), ..) => Ok(said),
            (_, Some(text), _) => Err(text),
            (_, None, Ok(())) => Err("it closed the connection".to_owned()),
            (_, None, Err(error)) => Err(printable(&with_causes(&error), REASON)),
        },
    }
}
