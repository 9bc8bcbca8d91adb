//! Serves one tunnel from its handshake to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::client::TlsStream;

use super::alerts::Watched;
use super::dial::DIAL;
use super::status::Connection;
use super::supervisor::{FAREWELL, Shared};
use super::tunnel::{Ended, Tunnel};
use crate::http::{Delivery, with_causes};
use crate::net::Route;
use crate::tunnel::control::Up;
use crate::tunnel::link;

/// For the reader of the control stream to come to its end once the connection is at its own.
pub(super) const LAST_WORD: Duration = Duration::from_millis(100);

/// Serves a tunnel until it ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    tunnel: Arc<Tunnel>,
    stream: TlsStream<TcpStream>,
    route: Route,
    connection: usize,
    state: Arc<Connection>,
) -> Ended {
    let delivery = Delivery::default();
    let service = service_fn({
        let (tunnel, delivery) = (Arc::clone(&tunnel), delivery.clone());
        move |request| {
            let (tunnel, delivery) = (Arc::clone(&tunnel), delivery.clone());
            // In a box: hyper and tokio move what stands here nine times before it first runs.
            Box::pin(async move {
                let answer = tunnel.call(request).await?;
                Ok::<_, Infallible>(answer.map(|body| body.with_delivery(&delivery)))
            })
        }
    });
    let (stream, alert) = Watched::new(stream);
    let http = link::server(shared.supervisor.stream_window);
    let mut http =
        std::pin::pin!(http.serve_connection(TokioIo::new(delivery.of(stream)), service));
    let stop = &shared.supervisor.stop;
    let welcome_by = Instant::now() + DIAL;
    let (mut welcomed, mut drain_said) = (false, false);
    let mut _open = None;
    loop {
        tokio::select! {
            ended = delivery.drive(http.as_mut()) => {
                // What the gateway said last may have come together with the end.
                let _ = timeout(LAST_WORD, tunnel.over.cancelled()).await;
                if let Some(refusal) = alert.refusal(&shared.supervisor.renewal) {
                    return Ended::lost(tunnel.broke(), &refusal);
                }
                return tunnel.reason().unwrap_or_else(|| match ended {
                    Ok(()) => Ended::lost(tunnel.broke(), "the gateway closed the tunnel"),
                    Err(error) => {
                        let why = format!("the tunnel broke: {}", with_causes(&error));
                        Ended::lost(tunnel.broke(), &why)
                    }
                });
            }
            () = tunnel.over.cancelled() => {
                return tunnel.reason().unwrap_or_else(|| Ended::lost(tunnel.broke(), "the control stream ended"));
            }
            () = tunnel.welcome.cancelled(), if !welcomed => {
                welcomed = true;
                _open = Some(shared.supervisor.open.one_more());
                state.open();
                tracing::info!(gateway = %route, connection, "tunnel open");
            }
            () = sleep_until(welcome_by), if !welcomed => {
                let why = format!("{route} did not say welcome within {DIAL:?}");
                return Ended::lost("tunnel_silent", &why);
            }
            () = stop.cancelled(), if !drain_said => {
                drain_said = true;
                let deadline_s = shared.supervisor.drain.deadline.as_secs();
                if !tunnel.say(&Up::Drain { deadline_s }) {
                    return Ended::Stopped;
                }
            }
            () = shared.drained.cancelled() => {
                tunnel.hang_up();
                http.as_mut().graceful_shutdown();
                let _ = timeout(FAREWELL, delivery.drive(http.as_mut())).await;
                return Ended::Stopped;
            }
        }
    }
}
