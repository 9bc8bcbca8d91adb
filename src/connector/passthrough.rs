//! A connection whose TLS ends at the application.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::applications::Term;
use super::fault::BackendError;
use super::flight::Flight;
use super::serve::{Errand, Server, within};
use crate::http::Body;
use crate::model::{ErrorCode, Scheme};
use crate::tunnel::Profile;
use crate::upgrade;

impl Server {
    /// An extended CONNECT (RFC 8441) of our own: the octets of a connection whose TLS ends at the
    /// application.
    pub(super) async fn passthrough(
        &self,
        mut request: Request<Incoming>,
        errand: &Errand,
        profile: &Profile,
        flight: Flight,
        mut term: Term,
    ) -> Result<Response<Body>, BackendError> {
        // SECURITY: a gateway that is not what it was gets nothing but TLS in this way, and nothing that
        // the operator did not mean to be spoken to in it.
        if errand.target.scheme != Scheme::Https {
            let detail = "TLS is passed on to https targets alone";
            return Err(BackendError::new(ErrorCode::BadRequest, detail));
        }
        let idle = profile.idle();
        let opened = self.backend.open(&errand.target, profile);
        let application = within(&mut term, opened).await?;
        let client = hyper::upgrade::on(&mut request);
        let going_away = self.going_away.clone();
        tokio::spawn(async move {
            let _flight = flight;
            let Ok(client) = client.await else {
                return;
            };
            let carried = pass_tls(TokioIo::new(client), application, idle);
            // However it ends, both ends are dropped here; the gateway has a line of it.
            tokio::select! {
                _ = carried => {}
                () = going_away.cancelled() => {}
                _ = term.ends() => {}
            }
        });
        Ok(Response::new(Body::empty()))
    }
}

/// Passes a connection on that begins as TLS does (RFC 8446 section 5.1: a handshake record).
async fn pass_tls<C, A>(mut client: C, mut application: A, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = [0; 2];
    let read = timeout(idle, client.read_exact(&mut first)).await;
    read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    if first != [22, 3] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    application.write_all(&first).await?;
    upgrade::carry(client, application, idle, &Arc::default()).await
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn nothing_but_tls_is_passed_on() {
        let idle = Duration::from_secs(60);
        for (said, passes) in [
            (&b"\x16\x03\x01hello"[..], true),
            (b"GET / HTTP/1.1\r\n", false),
            (b"\x16\x02", false),
            (b"\x16", false),
        ] {
            let (mut client, near) = duplex(64);
            let (far, mut application) = duplex(64);
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let told = async {
                let mut told = Vec::new();
                application.read_to_end(&mut told).await.unwrap();
                application.shutdown().await.unwrap();
                told
            };
            let (passed, told) = tokio::join!(pass_tls(near, far, idle), told);
            assert_eq!(passed.is_ok(), passes, "{said:?}");
            assert_eq!(told, if passes { said } else { b"" }, "{said:?}");
        }
    }
}
