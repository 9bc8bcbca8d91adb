//! What becomes of a request's body whose length nobody knows, or whose sender stops.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::TRANSFER_ENCODING;
use http::{HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::harness::{Answer, Backend, ResponseBody, Stand, echo, read_head};

/// A body of unknown length whose pieces a test sends when it likes.
fn live() -> (mpsc::Sender<&'static str>, ResponseBody) {
    let (sender, receiver) = mpsc::channel::<&'static str>(4);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let text = receiver.recv().await?;
        Some((
            Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            receiver,
        ))
    });
    (sender, StreamBody::new(frames.boxed()).boxed_unsync())
}

#[tokio::test]
async fn a_get_keeps_its_body_though_nobody_knows_its_length() {
    let backend = Backend::echo().await;
    let stand = Stand::new().application("app", &backend).start().await;
    let url = stand.url("app", "/search");
    for (client, field) in [
        (stand.client().clone(), Some("chunked")),
        (stand.client().http2(), None),
    ] {
        for method in ["GET", "POST"] {
            let (sender, body) = live();
            sender.send("query").await.unwrap();
            sender.send("=1").await.unwrap();
            drop(sender);
            let mut request = Request::builder().method(method).uri(&url);
            if let Some(field) = field {
                let fields = request.headers_mut().unwrap();
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static(field));
            }
            let answer = client.send(request.body(body).unwrap()).await;
            let seen = Answer::read(answer).await.json();
            assert_eq!(seen["method"], method);
            assert_eq!(seen["body"], "query=1", "{method} {field:?}");
        }
        let seen = client.get(&url).await.json();
        assert_eq!(seen["body"], "");
        assert_eq!(seen["headers"]["transfer-encoding"], Value::Null, "{seen}");
    }
}

/// It keeps connections alive, as some of its kind did before HTTP/1.1 was there.
#[tokio::test]
async fn an_application_of_http_1_0_gets_every_body_whole() {
    let (received, mut requests) = mpsc::channel(8);
    let backend = Backend::raw(move |mut stream| {
        let received = received.clone();
        async move {
            loop {
                let mut all = read_head(&mut stream).await;
                if all.is_empty() {
                    return;
                }
                let is_upload = all.to_lowercase().contains("transfer-encoding: chunked");
                while is_upload && !all.ends_with("\r\n0\r\n\r\n") {
                    all.push(char::from(stream.read_u8().await.unwrap()));
                }
                received.send(all).await.unwrap();
                let answer =
                    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let stand = Stand::new().application("old", &backend).start().await;
    for _ in 0..3 {
        assert_eq!(stand.get("https://old.localhost/").await.text(), "ok");
        requests.recv().await.unwrap();
        let (sender, body) = live();
        sender.send("whole").await.unwrap();
        drop(sender);
        let request = Request::post(stand.url("old", "/")).body(body).unwrap();
        assert_eq!(Answer::read(stand.send(request).await).await.text(), "ok");
        let seen = requests.recv().await.unwrap();
        assert!(seen.contains("\r\nwhole\r\n0\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn an_upload_whose_sender_stops_is_not_the_applications_fault() {
    // Both answer what they have received to its end.
    let old = Backend::echo().await;
    let new = Backend::http2(100, |request| async move { echo(request).await }).await;
    let stand = Stand::new()
        .application_with(
            "old",
            &old,
            json!({ "timeouts": { "first_byte": "300ms" } }),
        )
        .application_with(
            "new",
            &new,
            json!({ "timeouts": { "first_byte": "300ms" }, "backend_protocol": "http2" }),
        )
        .start()
        .await;
    for name in ["old", "new"] {
        let (sender, body) = live();
        sender.send("half").await.unwrap();
        let request = Request::post(stand.url(name, "/")).body(body).unwrap();
        let answer = Answer::read(stand.send(request).await).await;
        assert_eq!(answer.status, 408, "{name}: {}", answer.text());
        let line = stand.access_line(answer.header("x-request-id")).await;
        assert_eq!(line["error"], "request_timeout", "{name}");
        drop(sender);
    }
}
