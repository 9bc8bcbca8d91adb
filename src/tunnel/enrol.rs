//! The words of enrolment: one JSON line up, one JSON line down, then the connection ends.

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::token::TokenSecret;

/// The longest line, in octets, its end included.
pub const LONGEST_LINE: usize = 64 * 1024;
/// How long each end waits for the whole conversation.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What a connector asks for. A verb this version does not know gets a proper answer.
#[derive(Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// A certificate, for a token.
    Enrol(Enrol),
    /// Another certificate, for one that has ended.
    RenewLate(RenewLate),
    /// A verb of another version.
    #[serde(other)]
    Unknown,
}

/// A connector presents its token and its public key.
#[derive(Serialize, Deserialize)]
pub struct Enrol {
    /// The token's secret.
    pub secret: TokenSecret,
    /// A PKCS#10 request, DER, base64.
    pub csr: String,
    /// What the connector calls itself: its host's name.
    pub name: String,
    /// Its version of appproxy.
    pub version: String,
    /// Its clock, in seconds since 1970.
    pub time: i64,
}

/// A connector whose certificate has ended shows it, and that it has its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewLate {
    /// The certificate it has, PEM, leaf first.
    pub chain: String,
    /// A PKCS#10 request for the same key, DER, base64.
    pub csr: String,
    /// By that key over this very channel, base64; see [`super::late`].
    pub proof: String,
    /// Its version of appproxy.
    pub version: String,
    /// Its clock, in seconds since 1970.
    pub time: i64,
}

impl fmt::Debug for Enrol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrol")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

impl Enrol {
    /// The request's octets; `None` where the base64 is broken.
    #[must_use]
    pub fn csr_der(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.csr).ok()
    }

    /// The form in which a request travels.
    #[must_use]
    pub fn encode_csr(der: &[u8]) -> String {
        STANDARD.encode(der)
    }
}

/// What a gateway answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Answer {
    /// Here is the certificate.
    Enrolled(Enrolled),
    /// Here is the next certificate of the same connector.
    Renewed(Renewed),
    /// No.
    Refused(Refused),
}

/// A connector's new identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its certificate, PEM, leaf first.
    pub chain: String,
    /// The authorities to trust, PEM, the one that issues first.
    pub authorities: Vec<String>,
    /// Its identifier.
    pub id: String,
    /// Its group.
    pub group: String,
    /// Where the gateways are dialled, as `host:port`.
    pub gateways: Vec<String>,
    /// The gateway's clock, in seconds since 1970.
    pub time: i64,
}

/// What a connector whose certificate had ended goes on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Renewed {
    /// Its next certificate, PEM, leaf first.
    pub chain: String,
    /// The authorities to trust from now on, PEM, the one that issues first.
    pub authorities: Vec<String>,
    /// Where the gateways are dialled, as `host:port`.
    pub gateways: Vec<String>,
    /// The gateway's clock, in seconds since 1970.
    pub time: i64,
}

/// A refusal, for the program and for the person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for programs; [`RefusalCode::Other`] for one this version does not know.
    pub code: RefusalCode,
    /// Why, and what to do.
    pub message: String,
}

/// The closed list of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request cannot be understood.
    BadRequest,
    /// A verb this gateway does not know.
    UnknownVerb,
    /// Its key or signature is not good.
    BadCsr,
    /// This gateway has not issued the token.
    TokenUnknown,
    /// Every use of the token is spent.
    TokenSpent,
    /// The token's time is over.
    TokenExpired,
    /// An operator revoked the token.
    TokenRevoked,
    /// The connector of this key was removed.
    ConnectorRemoved,
    /// The certificate ended too long ago to be renewed.
    RenewalTooLate,
    /// The certificate is of no authority that counts here, or not any more.
    CertificateUnknown,
    /// Whoever shows the certificate did not prove that its key is theirs.
    BadProof,
    /// Too many attempts from this address.
    Throttled,
    /// The gateway cannot use its store, or failed otherwise: another attempt may succeed.
    Unavailable,
    /// One of a newer version.
    #[serde(other)]
    Other,
}

impl RefusalCode {
    /// The word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownVerb => "unknown_verb",
            Self::BadCsr => "bad_csr",
            Self::TokenUnknown => "token_unknown",
            Self::TokenSpent => "token_spent",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::ConnectorRemoved => "connector_removed",
            Self::RenewalTooLate => "renewal_too_late",
            Self::CertificateUnknown => "certificate_unknown",
            Self::BadProof => "bad_proof",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Other => "other",
        }
    }

    /// Whether no gateway will ever renew this identity: only a new token helps.
    #[must_use]
    pub const fn ends_an_identity(self) -> bool {
        matches!(
            self,
            Self::ConnectorRemoved | Self::RenewalTooLate | Self::CertificateUnknown
        )
    }

    /// Whether the same token may succeed later, or at another gateway.
    #[must_use]
    pub const fn may_succeed_later(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }
}

/// Why a line could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other end closed before the end of its line.
    #[error("the connection was closed in the middle of a message")]
    Cut,
    /// The line is longer than [`LONGEST_LINE`].
    #[error("the message is longer than 64 KiB")]
    TooLong,
    /// It is not the JSON that was expected. What it is instead is not quoted: it may hold a secret.
    #[error("the message cannot be understood")]
    Malformed,
}

/// Reads one line.
///
/// # Errors
/// Where the connection breaks, or the line is too long or not what was expected.
pub async fn read_line<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, LineError> {
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    loop {
        let from = line.len();
        if (&mut *stream).take(4096).read_buf(&mut *line).await? == 0 {
            return Err(LineError::Cut);
        }
        let end = line[from..].iter().position(|&b| b == b'\n');
        if from + end.unwrap_or(line.len() - from) >= LONGEST_LINE {
            return Err(LineError::TooLong);
        }
        if let Some(end) = end {
            return serde_json::from_slice(&line[..from + end]).map_err(|_| LineError::Malformed);
        }
    }
}

/// Writes one line and flushes it.
///
/// # Errors
/// Where the connection breaks, or the message is longer than a line may be.
pub async fn write_line<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> Result<(), LineError> {
    let mut line = Zeroizing::new(serde_json::to_vec(message).map_err(|_| LineError::Malformed)?);
    line.push(b'\n');
    if line.len() > LONGEST_LINE {
        return Err(LineError::TooLong);
    }
    stream.write_all(&line).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    async fn read(octets: &[u8]) -> Result<Request, LineError> {
        read_line(&mut &octets[..]).await
    }

    #[tokio::test]
    async fn a_line_is_read_whole_or_refused() {
        let mut up = Vec::new();
        let enrol = Enrol {
            secret: serde_json::from_str(&format!("\"{SECRET}\"")).unwrap(),
            csr: Enrol::encode_csr(&[1, 2]),
            name: "host".to_owned(),
            version: "1".to_owned(),
            time: 5,
        };
        assert!(!format!("{enrol:?}").contains(SECRET));
        write_line(&mut up, &Request::Enrol(enrol)).await.unwrap();
        let Request::Enrol(read_back) = read(&up).await.unwrap() else {
            panic!("another verb");
        };
        assert_eq!(read_back.csr_der(), Some(vec![1, 2]));
        assert!(matches!(
            read(&up[..up.len() - 1]).await,
            Err(LineError::Cut)
        ));
        assert!(matches!(read(b"{}\n").await, Err(LineError::Malformed)));
        assert!(matches!(
            read(b"{\"verb\":\"renew_early\",\"x\":1}\n").await,
            Ok(Request::Unknown)
        ));
        let long = vec![b' '; LONGEST_LINE];
        assert!(matches!(read(&long).await, Err(LineError::TooLong)));
        let mut longest = vec![b' '; LONGEST_LINE - 17];
        longest.extend_from_slice(b"{\"verb\":\"other\"}\n");
        assert!(matches!(read(&longest).await, Ok(Request::Unknown)));
        longest.insert(0, b' ');
        assert!(matches!(read(&longest).await, Err(LineError::TooLong)));
    }

    #[tokio::test]
    async fn a_code_of_another_version_is_understood_as_such() {
        let line = b"{\"result\":\"refused\",\"code\":\"quota\",\"message\":\"full\"}\n";
        let Answer::Refused(refused) = read_line(&mut &line[..]).await.unwrap() else {
            panic!("not refused");
        };
        assert_eq!(refused.code, RefusalCode::Other);
    }
}
