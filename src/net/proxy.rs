//! A connection through a proxy: the exchange that comes before the first octet of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_socks::TargetAddr;
use tokio_socks::tcp::Socks5Stream;

use crate::model::{Endpoint, Host, Proxy, ProxyCredentials, ProxyScheme};

/// The longest head of an answer to CONNECT; proxies explain themselves at length.
const HEAD: usize = 16 * 1024;
/// Fields of such a head.
const FIELDS: usize = 128;
/// What is shown of a proxy's own words.
const WORDS: usize = 120;

/// What the proxy is asked to connect to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Destination<'a> {
    /// By name; the proxy resolves it.
    Named(&'a Endpoint),
    /// By address.
    At(SocketAddr),
}

/// Why a proxy gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFault {
    /// It wants to know who asks, and nobody told it.
    #[error(
        "it wants a name and a password ({offered}): set `username` and `password` beside its `url`"
    )]
    PasswordWanted {
        /// The schemes it offers.
        offered: String,
    },
    /// It does not take the password.
    #[error("it does not accept the password of `{username}`")]
    PasswordRefused {
        /// Whose password.
        username: String,
    },
    /// It authenticates in a way that is not spoken here.
    #[error(
        "it authenticates by {offered} alone, which appproxy does not speak: let it accept Basic, or this host without a password"
    )]
    Scheme {
        /// The schemes it offers.
        offered: String,
    },
    /// It forbids the destination.
    #[error("it forbids the connection ({said}): permit CONNECT to this host and port there")]
    Forbidden {
        /// Its answer.
        said: String,
    },
    /// It cannot reach the destination.
    #[error("it could not reach it ({said})")]
    Unreachable {
        /// Its answer.
        said: String,
    },
    /// It answered something else.
    #[error("it answered `{said}` instead of connecting")]
    Answer {
        /// Its answer.
        said: String,
    },
    /// It is no such proxy.
    #[error("what answered there does not speak {spoken}: check scheme and port of its `url`")]
    NotAProxy {
        /// What was spoken with it.
        spoken: &'static str,
    },
    /// It closed the connection, or the connection broke.
    #[error("the connection to it broke before it answered: {0}")]
    Broken(#[from] io::Error),
}

/// Has the proxy at the other end of `stream` connect to `destination`. What comes after belongs to
/// the destination; nothing of that is read here.
pub(super) async fn connect(
    proxy: &Proxy,
    stream: TcpStream,
    destination: Destination<'_>,
) -> Result<TcpStream, ProxyFault> {
    match proxy.scheme {
        ProxyScheme::Http => http(stream, destination, proxy.credentials.as_ref()).await,
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
            socks(stream, destination, proxy.credentials.as_ref()).await
        }
    }
}

async fn http(
    mut stream: TcpStream,
    destination: Destination<'_>,
    credentials: Option<&ProxyCredentials>,
) -> Result<TcpStream, ProxyFault> {
    let authority = match destination {
        Destination::Named(endpoint) => endpoint.to_string(),
        Destination::At(address) => address.to_string(),
    };
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(ProxyCredentials { username, password }) = credentials {
        let pair = format!("{username}:{}", password.expose_secret());
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(pair, &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let not_http = || ProxyFault::NotAProxy {
        spoken: "HTTP CONNECT",
    };
    let whole = answer.parse(&head).map_err(|_| not_http())?;
    let (true, Some(status)) = (whole.is_complete(), answer.code) else {
        return Err(not_http());
    };
    let said = || words(status, answer.reason.unwrap_or_default());
    match status {
        200..=299 => Ok(stream),
        407 => Err(authentication(&answer, credentials)),
        401 | 403 | 405 => Err(ProxyFault::Forbidden { said: said() }),
        // tinyproxy says 500.
        500 | 502..=504 => Err(ProxyFault::Unreachable { said: said() }),
        _ => Err(ProxyFault::Answer { said: said() }),
    }
}

fn authentication(
    answer: &httparse::Response<'_, '_>,
    credentials: Option<&ProxyCredentials>,
) -> ProxyFault {
    let mut offered: Vec<String> = Vec::new();
    for field in answer.headers.iter() {
        if field.name.eq_ignore_ascii_case("proxy-authenticate") {
            let scheme = String::from_utf8_lossy(field.value);
            let scheme = scheme.split([' ', ',']).next().unwrap_or_default();
            let scheme = printable(scheme);
            if !offered.contains(&scheme) {
                offered.push(scheme);
            }
        }
    }
    let basic = offered.is_empty() || offered.iter().any(|s| s.eq_ignore_ascii_case("basic"));
    let offered = if offered.is_empty() {
        "it does not say how".to_owned()
    } else {
        offered.join(", ")
    };
    match credentials {
        _ if !basic => ProxyFault::Scheme { offered },
        Some(ProxyCredentials { username, .. }) => ProxyFault::PasswordRefused {
            username: username.clone(),
        },
        None => ProxyFault::PasswordWanted { offered },
    }
}

/// Reads to the empty line and not an octet beyond it.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyFault> {
    let mut head = Vec::new();
    let mut seen = vec![0; 2048];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = head.len();
        head.extend_from_slice(&seen[..count]);
        let end = head
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map(|at| at + 4);
        let taken = end.unwrap_or(head.len()) - before;
        stream.read_exact(&mut seen[..taken]).await?;
        match end {
            Some(end) => {
                head.truncate(end);
                return Ok(head);
            }
            None if head.len() > HEAD || !b"HTTP/".starts_with(&head[..head.len().min(5)]) => {
                return Err(ProxyFault::NotAProxy {
                    spoken: "HTTP CONNECT",
                });
            }
            None => {}
        }
    }
}

async fn socks(
    stream: TcpStream,
    destination: Destination<'_>,
    credentials: Option<&ProxyCredentials>,
) -> Result<TcpStream, ProxyFault> {
    let target = match destination {
        Destination::At(address) => TargetAddr::Ip(address),
        Destination::Named(endpoint) => match &endpoint.host {
            Host::Address(address) => TargetAddr::Ip(SocketAddr::new(*address, endpoint.port)),
            Host::Name(name) => TargetAddr::Domain(name.to_string().into(), endpoint.port),
        },
    };
    let connected = match credentials {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some(ProxyCredentials { username, password }) => {
            let password = password.expose_secret();
            Socks5Stream::connect_with_password_and_socket(stream, target, username, password).await
        }
    };
    connected
        .map(Socks5Stream::into_inner)
        .map_err(|error| socks_fault(error, credentials))
}

fn socks_fault(error: tokio_socks::Error, credentials: Option<&ProxyCredentials>) -> ProxyFault {
    use tokio_socks::Error;
    let said = error.to_string();
    match (error, credentials) {
        (Error::NoAcceptableAuthMethods | Error::UnknownAuthMethod, None) => {
            ProxyFault::PasswordWanted {
                offered: "it does not say how".to_owned(),
            }
        }
        (
            Error::NoAcceptableAuthMethods
            | Error::UnknownAuthMethod
            | Error::PasswordAuthFailure(_),
            Some(ProxyCredentials { username, .. }),
        ) => ProxyFault::PasswordRefused {
            username: username.clone(),
        },
        (Error::ConnectionNotAllowedByRuleset, _) => ProxyFault::Forbidden { said },
        (
            Error::NetworkUnreachable
            | Error::HostUnreachable
            | Error::ConnectionRefused
            | Error::TtlExpired
            | Error::GeneralSocksServerFailure,
            _,
        ) => ProxyFault::Unreachable { said },
        (
            Error::InvalidResponseVersion | Error::InvalidReservedByte | Error::UnknownAddressType,
            _,
        ) => ProxyFault::NotAProxy { spoken: "SOCKS5" },
        (Error::Io(error), _) => ProxyFault::Broken(error),
        _ => ProxyFault::Answer { said },
    }
}

fn words(status: u16, reason: &str) -> String {
    format!("{status} {}", printable(reason))
        .trim_end()
        .to_owned()
}

/// A stranger's words, fit for a log.
fn printable(text: &str) -> String {
    let kept = text.chars().take(WORDS);
    kept.map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn proxy(scheme: ProxyScheme, at: SocketAddr, credentials: bool) -> Proxy {
        Proxy {
            scheme,
            endpoint: Endpoint::parse(&at.to_string()).unwrap(),
            credentials: credentials.then(|| ProxyCredentials {
                username: "svc".into(),
                password: "hunter2".into(),
            }),
            except: Vec::new(),
            named_by: "tunnel_proxy".into(),
        }
    }

    /// Has a proxy give this answer, in pieces of `piece` octets, and says what came of it and what
    /// the proxy was sent.
    async fn answered(
        answer: &[u8],
        piece: usize,
        credentials: bool,
    ) -> (Result<String, ProxyFault>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = proxy(
            ProxyScheme::Http,
            listener.local_addr().unwrap(),
            credentials,
        );
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut end, _) = listener.accept().await.unwrap();
        end.set_nodelay(true).unwrap();
        let target = Endpoint::parse("gw.example.com:443").unwrap();
        let serve = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(end.read_u8().await.unwrap());
            }
            for octets in answer.chunks(piece) {
                // A client that has heard enough closes.
                if end.write_all(octets).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            end.shutdown().await.ok();
            String::from_utf8(request).unwrap()
        };
        let connect = connect(&proxy, stream, Destination::Named(&target));
        let (outcome, request) = tokio::join!(connect, serve);
        let rest = match outcome {
            Err(fault) => Err(fault),
            Ok(mut stream) => {
                let mut rest = String::new();
                stream.read_to_string(&mut rest).await.unwrap();
                Ok(rest)
            }
        };
        (rest, request)
    }

    #[tokio::test]
    async fn what_comes_after_the_proxys_answer_is_the_destinations() {
        for piece in [1, 3, 4096] {
            let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x16hello";
            let (rest, request) = answered(answer, piece, false).await;
            assert_eq!(rest.unwrap(), "\x16hello", "{piece}");
            assert_eq!(
                request,
                "CONNECT gw.example.com:443 HTTP/1.1\r\nHost: gw.example.com:443\r\n\r\n"
            );
        }
    }

    #[tokio::test]
    async fn a_password_goes_as_basic() {
        let (rest, request) = answered(b"HTTP/1.0 200 OK\r\n\r\n", 64, true).await;
        assert_eq!(rest.unwrap(), "");
        assert!(
            request.contains("\r\nProxy-Authorization: Basic c3ZjOmh1bnRlcjI=\r\n"),
            "{request}"
        );
    }

    #[tokio::test]
    async fn every_other_answer_is_told_in_words() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        let cases: &[(&str, bool, &str)] = &[
            (
                "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
                false,
                "wants a name and a password (Basic)",
            ),
            (
                "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=x\r\n\r\n",
                false,
                "wants a name and a password (Negotiate, Basic)",
            ),
            (
                "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
                true,
                "does not accept the password of `svc`",
            ),
            (
                "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n",
                true,
                "by NTLM, Negotiate alone",
            ),
            ("HTTP/1.1 407 No\r\n\r\n", false, "does not say how"),
            (
                "HTTP/1.1 403 Filtered\r\n\r\n<html>",
                false,
                "forbids the connection (403 Filtered)",
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\n\r\n",
                false,
                "could not reach it (502 Bad Gateway)",
            ),
            ("HTTP/1.1 503\r\n\r\n", false, "could not reach it (503)"),
            ("HTTP/1.1 301 Moved\r\n\r\n", false, "answered `301 Moved`"),
            (
                "HTTP/1.1 100 Continue\r\n\r\n",
                false,
                "answered `100 Continue`",
            ),
            (
                "SSH-2.0-OpenSSH_9\r\n",
                false,
                "does not speak HTTP CONNECT",
            ),
            ("\x05\x7f\x00\x00", false, "does not speak HTTP CONNECT"),
            (
                "HTTP/1.1 2x0 OK\r\n\r\n",
                false,
                "does not speak HTTP CONNECT",
            ),
            (
                "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                false,
                "does not speak HTTP CONNECT",
            ),
            (&long, false, "does not speak HTTP CONNECT"),
            ("HTTP/1.1 200 OK\r\n", false, "broke before it answered"),
            ("", false, "broke before it answered"),
        ];
        for (answer, credentials, expected) in cases {
            let (outcome, _) = answered(answer.as_bytes(), 512, *credentials).await;
            let text = outcome.unwrap_err().to_string();
            assert!(text.contains(expected), "{answer:.60}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(cases.len(), 17);
    }

    #[tokio::test]
    async fn socks_answers_are_told_in_words() {
        let cases: &[(&[&[u8]], bool, &str)] = &[
            (&[&[5, 0xff]], false, "wants a name and a password"),
            (
                &[&[5, 2], &[1, 1]],
                true,
                "does not accept the password of `svc`",
            ),
            (
                &[&[5, 0], &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]],
                false,
                "forbids the connection",
            ),
            (
                &[&[5, 0], &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]],
                false,
                "could not reach it",
            ),
            (
                &[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]],
                false,
                "could not reach it",
            ),
            (
                &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
                false,
                "does not speak SOCKS5",
            ),
            (&[&[5]], false, "broke before it answered"),
        ];
        for (answers, credentials, expected) in cases {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap();
            let proxy = proxy(ProxyScheme::Socks5h, at, *credentials);
            let stream = TcpStream::connect(at).await.unwrap();
            let (mut end, _) = listener.accept().await.unwrap();
            let serve = async {
                let mut heard = [0; 512];
                for answer in *answers {
                    if end.read(&mut heard).await.unwrap_or(0) == 0 {
                        break;
                    }
                    end.write_all(answer).await.unwrap();
                }
                end.shutdown().await.ok();
            };
            let target = Endpoint::parse("gw.example.com:443").unwrap();
            let connect = connect(&proxy, stream, Destination::Named(&target));
            let (outcome, ()) = tokio::join!(connect, serve);
            let text = outcome.unwrap_err().to_string();
            assert!(text.contains(expected), "{answers:?}: {text}");
        }
        assert_eq!(cases.len(), 7);
    }
}
