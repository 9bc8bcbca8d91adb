//! A malicious application behind an honest connector.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Backend, Connection, Running, Stand, within};

/// What an application answers with, to what, and what the visitor is to see.
struct Lie {
    what: &'static str,
    method: Method,
    answer: &'static [u8],
    /// The status, and the body that follows it; a body that breaks is `None`.
    seen: (u16, Option<&'static str>),
}

const fn get(
    what: &'static str,
    answer: &'static [u8],
    status: u16,
    body: Option<&'static str>,
) -> Lie {
    Lie {
        what,
        method: Method::GET,
        answer,
        seen: (status, body),
    }
}

const fn head(what: &'static str, answer: &'static [u8], status: u16) -> Lie {
    Lie {
        what,
        method: Method::HEAD,
        answer,
        seen: (status, Some("")),
    }
}

/// Stands for the body of an error of ours, whatever it says.
const OURS: &str = "(ours)";

const LIES: &[Lie] = &[
    get("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw", 502, Some(OURS)),
    get("101 to another protocol", b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 502, Some(OURS)),
    get("chunked after a length", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, Some("hello")),
    get("a length after chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, Some("hello")),
    get("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 502, Some(OURS)),
    get("one length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, Some("hello")),
    get("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", 200, Some("hello")),
    get("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", 502, Some(OURS)),
    get("a length without bound", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", 502, Some(OURS)),
    get("a coding nobody offered", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 502, Some(OURS)),
    get("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 502, Some(OURS)),
    get("a chunk that is not one", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 200, None),
    get("a body that is too short", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", 200, None),
    get("a body that is too long", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned", 200, Some("hello")),
    get("a body after 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\npoisoned", 204, Some("")),
    get("a body after 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\npoisoned", 304, Some("")),
    head("a body after HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned", 200),
    head("chunks after HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npoisoned\r\n0\r\n\r\n", 200),
    get("NUL in a value", b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n", 502, Some(OURS)),
    get("a bare CR in a value", b"HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n", 502, Some(OURS)),
    get("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", 502, Some(OURS)),
    get("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502, Some(OURS)),
    get("a status below 100", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", 502, Some(OURS)),
    get("a status nobody knows", b"HTTP/1.1 999 \xff\xfe\r\nContent-Length: 5\r\n\r\nhello", 999, Some("hello")),
    get("no HTTP at all", b"SSH-2.0-OpenSSH_9.9\r\n", 502, Some(OURS)),
    get("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 502, Some(OURS)),
    get("fields of ours", b"HTTP/1.1 200 OK\r\nAppproxy-Error: sign_in_required\r\nappproxy_error: internal\r\nAppproxy-Answer: gateway\r\nAppproxy-Timing: 18446744073709551615\r\nConnection: x-request-id, appproxy-timing, content-length\r\nContent-Length: 5\r\n\r\nhello", 200, Some("hello")),
    get("fields of ours after the body", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: appproxy-error, content-length\r\n\r\n5\r\nhello\r\n0\r\nAppproxy-Error: internal\r\nContent-Length: 0\r\n\r\n", 200, Some("hello")),
    get("many interim answers", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, Some("hello")),
];

/// Answers `GET /N` with the lie of that number, and everything else with its path.
async fn serve(mut stream: TcpStream) {
    let mut octets = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let Ok(read) = stream.read(&mut chunk).await else {
            return;
        };
        if read == 0 {
            return;
        }
        octets.extend_from_slice(&chunk[..read]);
        let Some(end) = octets.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head: Vec<u8> = octets.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let lie = path.strip_prefix('/').and_then(|n| n.parse::<usize>().ok());
        if let Some(lie) = lie {
            let answer = LIES[lie].answer;
            let sent = stream.write_all(answer).await;
            // What is cut short is cut, and nothing else is closed: the connection may be kept.
            let cut = LIES[lie].what == "a body that is too short";
            if sent.is_err() || cut {
                return;
            }
            continue;
        }
        let honest = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
            path.len()
        );
        if stream.write_all(honest.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn ask(
    connection: &mut Connection,
    method: &Method,
    url: &str,
) -> Result<(u16, http::HeaderMap, Option<Bytes>), String> {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = within(url, connection.send(request))
        .await
        .map_err(|e| e.to_string())?;
    let (head, body) = answer.into_parts();
    let body = within(url, body.collect())
        .await
        .ok()
        .map(|body| body.to_bytes());
    Ok((head.status.as_u16(), head.headers, body))
}

#[tokio::test]
async fn whatever_an_application_answers_reaches_its_own_visitor_alone() {
    let liar = Backend::raw(serve).await;
    let honest = Backend::text("hello").await;
    let stand = Stand::new()
        .application("liar", &liar)
        .application("honest", &honest);
    let mut stand = stand.start().await;
    assert_eq!(LIES.len(), 29);
    let mut wrong = Vec::new();
    for client in [stand.client().clone(), stand.client().http2()] {
        let mut others = client.connect("honest.localhost").await;
        for (number, lie) in LIES.iter().enumerate() {
            let port = stand.address().port();
            let url = format!("https://liar.localhost:{port}/{number}");
            // A body that breaks ends an HTTP/1 connection, so each has one of its own.
            let mut connection = client.connect("liar.localhost").await;
            let seen = ask(&mut connection, &lie.method, &url).await;
            match seen {
                Ok((status, headers, body)) => {
                    let answer = headers.get("appproxy-answer");
                    let ours = answer.is_some_and(|a| a == "gateway;error=backend_bad_response");
                    let body = body.map(|b| String::from_utf8_lossy(&b).into_owned());
                    let body = if ours && lie.method == Method::GET {
                        Some(OURS.to_owned())
                    } else {
                        body
                    };
                    // Where the body breaks at once, its head may not have left the connector.
                    let lost = lie.seen.1.is_none() && status == 502 && !ours;
                    if lost {
                        continue;
                    }
                    if (status, body.as_deref()) != lie.seen || (ours != (lie.seen.1 == Some(OURS)))
                    {
                        wrong.push(format!(
                            "{}: {status} {body:?} ours={ours} {headers:?}",
                            lie.what
                        ));
                    }
                    for name in [
                        "appproxy-error",
                        "appproxy_error",
                        "appproxy-timing",
                        "transfer-encoding-x",
                    ] {
                        if headers.contains_key(name) {
                            wrong.push(format!("{}: {name} passed", lie.what));
                        }
                    }
                    if !headers.contains_key("x-request-id") {
                        wrong.push(format!("{}: no reference", lie.what));
                    }
                }
                // A body that breaks at once may end the visitor's connection before the head is
                // flushed. Nothing has arrived then, and the access line must say that it was cut.
                Err(_) if lie.seen.1.is_none() => {
                    let path = format!("\"path\":\"/{number}\"");
                    let cut = |line: &str| {
                        line.contains(&path)
                            && line.contains("\"ended\":\"cut\"")
                            && line.contains("\"status\":200")
                    };
                    let line = stand.gateway().line("the cut answer's access line", cut);
                    line.await;
                }
                Err(error) => wrong.push(format!("{}: no answer: {error}", lie.what)),
            }
            // The next visitor of the same application is answered what was asked for.
            for turn in 0..2 {
                let path = format!("/own-{number}-{turn}");
                let url = format!("https://liar.localhost:{port}{path}");
                let mut connection = client.connect("liar.localhost").await;
                let next = ask(&mut connection, &Method::GET, &url).await;
                let good = matches!(&next, Ok((200, _, Some(body))) if body == path.as_bytes());
                if !good {
                    wrong.push(format!("{}: the next visitor: {next:?}", lie.what));
                }
            }
            let url = format!("https://honest.localhost:{port}/");
            let other = ask(&mut others, &Method::GET, &url).await;
            if !matches!(&other, Ok((200, _, Some(body))) if body == "hello") {
                wrong.push(format!("{}: another application: {other:?}", lie.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(lost_tunnels(&mut stand), 0);
}

/// How often a tunnel was lost.
fn lost_tunnels(stand: &mut Running) -> usize {
    let closed = |line: &String| line.contains("\"tunnel closed\"");
    stand
        .gateway()
        .log()
        .iter()
        .filter(|line| closed(line))
        .count()
}
