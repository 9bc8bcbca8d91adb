//! What old and odd applications and clients say, and what becomes of it on the way.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::harness::{
    Answer, Backend, Client, ResponseBody, Running, Stand, body, gone, read_head, within,
};

type Piece = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

/// A body whose frames a test sends when it likes.
fn live() -> (mpsc::Sender<Piece>, ResponseBody) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    (sender, StreamBody::new(frames.boxed()).boxed_unsync())
}

fn both(stand: &Running) -> [Client; 2] {
    [stand.client().clone(), stand.client().http2()]
}

/// RFC 9112 section 5.2: a proxy puts a space for each fold, or refuses the answer.
#[tokio::test]
async fn a_value_that_an_application_folded_over_lines_is_one_line() {
    let backend = Backend::raw(async |mut stream| {
        while !read_head(&mut stream).await.is_empty() {
            let answer = "HTTP/1.1 200 OK\r\nX-Folded: one,\r\n two,\r\n\tthree\r\nX-Plain: a\r\n\
                          Set-Cookie: a=b;\r\n  Path=/\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for client in both(&stand) {
        let answer = client.get(&stand.url("app", "/")).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
        let folded = answer.header("x-folded");
        assert_eq!(
            folded.split_whitespace().collect::<Vec<_>>(),
            ["one,", "two,", "three"]
        );
        assert!(!folded.contains(['\r', '\n']), "{folded:?}");
        assert_eq!(answer.header("x-plain"), "a");
        let cookie = answer.header("set-cookie");
        assert_eq!(
            cookie.split_whitespace().collect::<Vec<_>>(),
            ["a=b;", "Path=/"]
        );
    }
}

/// MS-TSGU section 3.3: RDG_OUT_DATA has an answer without an end, RDG_IN_DATA a body without one,
/// and what is said in one is answered in the other.
#[tokio::test]
async fn the_two_endless_bodies_of_a_remote_desktop_gateway_pass() {
    let (hand_over, mut outs) = mpsc::channel::<mpsc::Sender<Piece>>(1);
    let outs_of_backend = hand_over.clone();
    let (said, mut heard) = mpsc::channel::<Bytes>(1);
    let backend = Backend::answering(move |request: Request<Incoming>| {
        let (hand_over, said) = (outs_of_backend.clone(), said.clone());
        async move {
            if request.method().as_str() == "RDG_OUT_DATA" {
                let (pieces, endless) = live();
                hand_over.send(pieces).await.unwrap();
                return Response::new(endless);
            }
            assert_eq!(request.method().as_str(), "RDG_IN_DATA");
            let mut endless = request.into_body();
            while let Some(Ok(frame)) = endless.frame().await {
                said.send(frame.into_data().unwrap()).await.unwrap();
            }
            Response::new(body("over"))
        }
    })
    .await;
    // An answer's head that is due while the body flows does not count from its beginning.
    let settings = json!({ "timeouts": { "first_byte": "2s" } });
    let stand = Stand::new()
        .application_with("app", &backend, settings)
        .start()
        .await;
    for client in both(&stand) {
        let method = |name: &str| {
            let request = Request::builder().uri(stand.url("app", "/remoteDesktopGateway/"));
            request.method(name)
        };
        let out = method("RDG_OUT_DATA").body(Empty::<Bytes>::new()).unwrap();
        let mut down = client.send(out).await.into_body();
        let out = within("the way down", outs.recv()).await.unwrap();
        let (up, endless) = live();
        let request = method("RDG_IN_DATA").body(endless).unwrap();
        let sending = {
            let client = client.clone();
            tokio::spawn(async move { Answer::read(client.send(request).await).await })
        };
        for turn in 0..20 {
            let said = Bytes::from(format!("packet {turn}"));
            up.send(Ok(Frame::data(said.clone()))).await.unwrap();
            let arrived = within("a packet up", heard.recv()).await.unwrap();
            assert_eq!(arrived, said);
            out.send(Ok(Frame::data(arrived))).await.unwrap();
            let back = within("a packet down", down.frame())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(back.into_data().unwrap(), said);
        }
        drop((up, out));
        let answer = within("the answer", sending).await.unwrap();
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, "over"));
        let rest = within("the end", down.collect()).await.unwrap();
        assert_eq!(rest.to_bytes(), "");
    }
}

#[tokio::test]
async fn rule_14_a_flood_of_informational_answers_is_a_bad_answer() {
    let backend = Backend::raw(async |mut stream| {
        let head = read_head(&mut stream).await;
        let count: usize = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        for _ in 0..count {
            let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
            if stream.write_all(early.as_bytes()).await.is_err() {
                return;
            }
        }
        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
        gone(&mut stream).await;
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    for (count, is_good) in [(128, true), (129, false), (1_000_000, false)] {
        let answer = stand.get(&stand.url("app", &format!("/{count}"))).await;
        if is_good {
            assert_eq!((answer.status, answer.text()), (StatusCode::OK, "ok"));
        } else {
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{count}");
            let line = stand.access_line(answer.header("x-request-id")).await;
            assert_eq!(line["error"], "backend_bad_response");
        }
        // The handshake of a WebSocket is no way round.
        let request = Request::get(stand.url("app", &format!("/{count}")))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = Answer::read(stand.client().send(request).await).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{count}");
    }
}

#[tokio::test]
async fn an_upload_that_its_sender_breaks_off_is_not_the_applications_fault() {
    let old = Backend::echo().await;
    let new = Backend::http2(
        100,
        |request| async move { crate::harness::echo(request).await },
    )
    .await;
    let http2 = json!({ "backend_protocol": "http2" });
    let mut stand = Stand::new()
        .application("old", &old)
        .application_with("new", &new, http2)
        .start()
        .await;
    let connector = stand.connectors().remove(0);
    let mut seen = 0;
    for client in both(&stand) {
        for name in ["old", "new"] {
            let (pieces, upload) = live();
            let request = Request::post(stand.url(name, "/")).body(upload).unwrap();
            let mut connection = client.connect(&format!("{name}.localhost")).await;
            let sending = tokio::spawn(async move { connection.send(request).await.is_err() });
            let half = Frame::data(Bytes::from_static(b"half"));
            pieces.send(Ok(half)).await.unwrap();
            pieces.send(Err("gone".into())).await.unwrap();
            assert!(within("its end", sending).await.unwrap());
            assert_eq!(stand.get(&stand.url(name, "/")).await.status, 200);
            seen += 1;
        }
    }
    // When it has stopped, everything has come to its end.
    connector.terminate();
    assert!(connector.ended().await.success());
    assert_eq!(connector.said("no answer from the application"), 0);
    assert_eq!(seen, 4);
}

/// Whatever it had sent is on its way to the visitor, and then comes the cut: never a clean end, and
/// never one that swallows what stood before it.
#[tokio::test]
async fn all_that_an_application_sent_before_it_broke_off_arrives() {
    const OCTETS: [usize; 4] = [0, 1, 20_000, 1_000_000];
    let backend = Backend::raw(async |mut stream| {
        let head = read_head(&mut stream).await;
        let path = head.split(' ').nth(1).unwrap();
        let (framing, octets) = path[1..].split_once('/').unwrap();
        let octets: usize = octets.parse().unwrap();
        let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
        let body = vec![b'o'; octets];
        match framing {
            "length" => answer.extend(b"Content-Length: 2000000\r\n\r\n"),
            "chunks" => answer.extend(b"Transfer-Encoding: chunked\r\n\r\n"),
            other => panic!("{other}"),
        }
        if framing == "chunks" {
            for part in body.chunks(50_000) {
                answer.extend(format!("{:x}\r\n", part.len()).bytes());
                answer.extend(part);
                answer.extend(b"\r\n");
            }
        } else {
            answer.extend(body);
        }
        stream.write_all(&answer).await.unwrap();
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let mut seen = 0;
    for client in both(&stand) {
        for framing in ["length", "chunks"] {
            for octets in OCTETS.repeat(5) {
                let about = format!("{framing}, {octets} octets");
                let request = Request::get(stand.url("app", &format!("/{framing}/{octets}")));
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                let answer = within(&about, client.send(request)).await;
                assert_eq!(answer.status(), StatusCode::OK, "{about}");
                let (mut body, mut came) = (answer.into_body(), 0);
                let end = loop {
                    match within(&about, body.frame()).await {
                        Some(Ok(frame)) => came += frame.into_data().unwrap().len(),
                        end => break end,
                    }
                };
                assert!(matches!(end, Some(Err(_))), "{about}: a clean end");
                assert_eq!(came, octets, "{about}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * 2 * 4 * 5);
}

/// A status without a name has none on the way out either; and who waits for a word before an
/// upload learns that the connection ends with the refusal.
#[tokio::test]
async fn what_the_gateway_writes_of_its_own_is_by_the_letter() {
    let backend = Backend::raw(async |mut stream| {
        while !read_head(&mut stream).await.is_empty() {
            let answer = "HTTP/1.1 299 Our Own Word\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let port = stand.address().port();
    let stream = stand.client().raw("app.localhost").await;
    let request =
        format!("GET / HTTP/1.1\r\nHost: app.localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = crate::harness::exchange(stream, request.as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 299 \r\n"), "{answer}");
    let stream = stand.client().raw("app.localhost").await;
    let request = format!(
        "PUT /.appproxy/x HTTP/1.1\r\nHost: app.localhost:{port}\r\nExpect: 100-continue\r\n\
         Content-Length: 10\r\n\r\n"
    );
    let answer = crate::harness::exchange(stream, request.as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 404 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}
