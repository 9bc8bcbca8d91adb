//! What a connection to an application says before anything else: whose it is, in a PROXY header
//! (see [`crate::net::proxy_header`]), where the application is told so.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::fault::BackendError;
use crate::model::{Endpoint, Ends, ErrorCode, ProxyProtocol};
use crate::net::proxy_header;
use crate::tunnel::Profile;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Says {
    version: ProxyProtocol,
    /// The client's connection; `None`: it is this connector's own.
    of: Option<Ends>,
}

impl Says {
    /// That it is this client's.
    pub(super) fn of_client(version: ProxyProtocol, ends: Ends) -> Self {
        Self {
            version,
            of: Some(ends),
        }
    }

    /// What a connection for a request has to say.
    ///
    /// # Errors
    /// Where it has to, and the gateway did not say whose request it is.
    pub(super) fn for_request(
        profile: &Profile,
        ends: Option<Ends>,
    ) -> Result<Option<Self>, BackendError> {
        match (profile.proxy_protocol(), ends) {
            (None, _) => Ok(None),
            (Some(version), Some(ends)) => Ok(Some(Self::of_client(version, ends))),
            (Some(_), None) => {
                let detail = "the application is to be told whose its connections are, and the \
                              gateway did not say";
                Err(BackendError::new(ErrorCode::BadRequest, detail))
            }
        }
    }

    /// What a connection has to say that asks whether the application is alive.
    pub(super) fn for_probe(profile: &Profile) -> Option<Self> {
        let version = profile.proxy_protocol()?;
        Some(Self { version, of: None })
    }

    /// Says it on a fresh connection, before TLS.
    pub(super) async fn write(
        &self,
        stream: &mut TcpStream,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<(), BackendError> {
        let header = proxy_header::write(self.version, self.of.as_ref());
        match timeout_at(deadline, stream.write_all(&header)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let detail =
                    format!("{endpoint} broke the connection before its first octet: {error}");
                Err(BackendError::new(ErrorCode::BackendBadResponse, detail))
            }
            Err(_) => {
                let detail = format!("{endpoint} did not take the PROXY header in time");
                Err(BackendError::new(ErrorCode::BackendConnectTimeout, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BackendProtocol, BackendTimeouts};

    #[test]
    fn what_has_to_be_said_is_said_or_nothing_is_sent() {
        let ends = "192.0.2.7:1 198.51.100.1:443".parse().ok();
        let plain = Profile::new(&BackendTimeouts::default(), BackendProtocol::Http1);
        assert!(matches!(Says::for_request(&plain, ends), Ok(None)));
        assert!(matches!(Says::for_request(&plain, None), Ok(None)));
        assert_eq!(Says::for_probe(&plain), None);
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            let profile = plain.clone().with_proxy_protocol(Some(version));
            let says = Says::for_request(&profile, ends).ok().flatten();
            assert_eq!(says, ends.map(|ends| Says::of_client(version, ends)));
            let refused = Says::for_request(&profile, None).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BadRequest);
            let probe = Says::for_probe(&profile).unwrap();
            assert_eq!(probe.of, None);
        }
    }
}
