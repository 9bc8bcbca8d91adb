//! Clients that say less than a request, or say it too slowly: nobody else waits for them, and each
//! is closed when its time is over.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::harness::{Backend, Client, Stand, Tls};

/// What a client does that says less than a request, how many do it, and when it must be closed.
struct Silent {
    what: &'static str,
    count: usize,
    by: Duration,
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(30);
/// A machine with other work is late, never early.
const LATE: Duration = Duration::from_secs(12);
const CASES: [Silent; 12] = [
    Silent {
        what: "nothing",
        count: 200,
        by: HANDSHAKE,
    },
    Silent {
        what: "one octet",
        count: 50,
        by: HANDSHAKE,
    },
    Silent {
        what: "an octet a second",
        count: 5,
        by: HANDSHAKE,
    },
    Silent {
        what: "TLS and nothing",
        count: 20,
        by: HEAD,
    },
    Silent {
        what: "half a head",
        count: 20,
        by: HEAD,
    },
    Silent {
        what: "a head, an octet a second",
        count: 5,
        by: HEAD,
    },
    Silent {
        what: "a chunk's size, an octet a second",
        count: 5,
        by: HEAD,
    },
    Silent {
        what: "trailers, an octet a second",
        count: 5,
        by: HEAD,
    },
    Silent {
        what: "HTTP/2 and nothing",
        count: 20,
        by: HEAD,
    },
    Silent {
        what: "HTTP/2 settings",
        count: 20,
        by: HEAD,
    },
    Silent {
        what: "half a head in HTTP/2",
        count: 20,
        by: HEAD,
    },
    Silent {
        what: "no answer to pings",
        count: 5,
        by: Duration::from_secs(40),
    },
];

#[tokio::test]
async fn rule_9_silent_clients_stop_nobody_and_are_closed_in_time() {
    let backend = Backend::text("ok").await;
    let reader = Backend::echo().await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .application("echo", &reader)
        .start()
        .await;
    let client = stand.client().clone();
    let mut closed = JoinSet::new();
    for Silent { what, count, by } in CASES {
        for _ in 0..count {
            let client = client.clone();
            let host = format!("wiki.localhost:{}", stand.address().port());
            closed.spawn(async move {
                let begun = Instant::now();
                let (opened, is_open) = oneshot::channel();
                // So many handshakes take their time too.
                let late = async {
                    let _ = is_open.await;
                    tokio::time::sleep(by + LATE).await;
                };
                tokio::select! {
                    () = silent(&client, what, &host, opened) => {}
                    () = late => panic!("{what}: still open"),
                }
                let open = begun.elapsed();
                assert!(open >= by, "{what}: closed after {open:?}");
                1
            });
        }
    }
    // The one that came last is served as if it were alone.
    for client in [client.clone(), client.http2()] {
        for _ in 0..10 {
            let served = timeout(
                Duration::from_secs(5),
                client.get("https://wiki.localhost/"),
            );
            assert_eq!(served.await.expect("served at once").text(), "ok");
        }
    }
    let mut count = 0;
    while let Some(one) = closed.join_next().await {
        count += one.unwrap();
    }
    assert_eq!(count, 375);
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "ok");
    assert_eq!(stand.tunnels(), (2, 0));
}

/// Says what it is told to, tells that it is connected, and waits for the end.
async fn silent(client: &Client, what: &str, host: &str, opened: oneshot::Sender<()>) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // :method GET, :scheme https, :path /, :authority.
    let mut block = vec![0x82, 0x87, 0x84, 0x41, u8::try_from(host.len()).unwrap()];
    block.extend(host.bytes());
    let headers = |flags: u8, stream: u8| {
        let length = u8::try_from(block.len()).unwrap();
        [&[0, 0, length, 1, flags, 0, 0, 0, stream][..], &block].concat()
    };
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    match what {
        "nothing" | "one octet" | "an octet a second" => {
            let mut stream = client.tcp().await;
            match what {
                "nothing" => {}
                "one octet" => stream.write_all(&[0x16]).await.unwrap(),
                _ => {
                    // The head of a record, and then a ClientHello that never ends.
                    stream
                        .write_all(&[0x16, 3, 1, 1, 0, 1, 0, 0, 252])
                        .await
                        .unwrap();
                    return trickle(stream, opened).await;
                }
            }
            drain(stream, opened).await;
        }
        "TLS and nothing" => drain(client.raw("wiki.localhost").await, opened).await,
        "half a head" => {
            let stream = client.raw("wiki.localhost").await;
            drain(after(stream, b"GET / HTTP/1.1\r\nHo").await, opened).await;
        }
        "a head, an octet a second" => {
            let stream = client.raw("wiki.localhost").await;
            trickle(after(stream, b"GET / HTTP/1.1\r\nX: ").await, opened).await;
        }
        "a chunk's size, an octet a second" | "trailers, an octet a second" => {
            let host = host.replace("wiki", "echo");
            let head =
                format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let begun = match what {
                "trailers, an octet a second" => "5\r\nhello\r\n0\r\nx",
                _ => "5;x",
            };
            let said = [head.as_bytes(), begun.as_bytes()].concat();
            let stream = client.raw("echo.localhost").await;
            trickle(after(stream, &said).await, opened).await;
        }
        _ => {
            let said = match what {
                "HTTP/2 and nothing" => Vec::new(),
                "HTTP/2 settings" => PREFACE.to_vec(),
                "half a head in HTTP/2" => [PREFACE, &headers(END_STREAM, 1)].concat(),
                _ => [PREFACE, &headers(END_STREAM | END_HEADERS, 1)].concat(),
            };
            let stream = client.raw_http2("wiki.localhost").await;
            drain(after(stream, &said).await, opened).await;
        }
    }
}

async fn after(mut stream: Tls, said: &[u8]) -> Tls {
    stream.write_all(said).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// Reads to the end, however it comes.
async fn drain(mut stream: impl AsyncReadExt + Unpin, opened: oneshot::Sender<()>) {
    let _ = opened.send(());
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Writes an octet a second until nobody takes them.
async fn trickle(
    stream: impl AsyncReadExt + AsyncWriteExt + Unpin + Send + 'static,
    opened: oneshot::Sender<()>,
) {
    let (read, mut write) = tokio::io::split(stream);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let write = async {
        loop {
            second.tick().await;
            if write.write_all(b"x").await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = drain(read, opened) => {}
    }
}
