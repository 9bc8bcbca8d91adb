//! HTTP/1.1 connections kept for the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::Empty;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::detail;
use crate::harness::{Answer, Backend, Stand, read_head};

#[tokio::test]
async fn a_connection_is_kept_as_long_as_the_application_says() {
    /// Says which connection answered, and what the path asks it to say of its life.
    async fn serve(mut stream: TcpStream, number: usize) {
        loop {
            let head = read_head(&mut stream).await;
            if head.is_empty() {
                return;
            }
            let said = match head.split(' ').nth(1).unwrap() {
                "/zero" => "Keep-Alive: timeout=0\r\n",
                "/one" => "Keep-Alive: timeout=1, max=100\r\n",
                "/five" => "Keep-Alive: timeout=5\r\n",
                _ => "",
            };
            let text = number.to_string();
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\n{said}Content-Length: {length}\r\n\r\n{text}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
    let accepted = AtomicUsize::new(0);
    let backend =
        Backend::raw(move |stream| serve(stream, accepted.fetch_add(1, Ordering::SeqCst))).await;
    let stand = Stand::new().application("app", &backend).start().await;
    for (path, connection) in [
        ("/five", "0"),
        ("/", "0"),
        ("/one", "0"),
        ("/", "1"),
        ("/zero", "1"),
        ("/zero", "2"),
        ("/five", "3"),
        ("/", "3"),
    ] {
        let answer = stand.get(&stand.url("app", path)).await;
        assert_eq!(answer.text(), connection, "{path}");
        // What belongs to the connection stays on it.
        assert_eq!(answer.header("keep-alive"), "", "{path}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_reset_is_forgiven_to_what_may_be_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let backend = Backend::raw({
        let asked = Arc::clone(&asked);
        move |mut stream| {
            let asked = Arc::clone(&asked);
            async move {
                read_head(&mut stream).await;
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalive";
                stream.write_all(answer).await.unwrap();
                if !read_head(&mut stream).await.is_empty() {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                // A reset in place of an end.
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    })
    .await;
    let stand = Stand::new().application("app", &backend).start().await;
    let url = stand.url("app", "/");
    assert_eq!(stand.get(&url).await.text(), "alive");
    assert_eq!(stand.get(&url).await.text(), "alive");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let request = Request::post(&url)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let answer = Answer::read(stand.send(request).await).await;
    assert_eq!(answer.status, 502);
    assert_eq!(detail(&stand, &answer).await.0, "backend_bad_response");
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}
