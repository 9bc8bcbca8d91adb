//! How much and how fast visitors may ask, and readers that take nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::harness::{Answer, Backend, Client, Running, Stand, body, read_head, until, within};

const PARTS: [usize; 5] = [0, 1, 65_535, 65_536, 65_537];

/// An application that counts what it is asked, and what it has read whole.
async fn counting() -> (Backend, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let of_backend = Arc::clone(&counts);
    let backend = Backend::answering(move |request: Request<Incoming>| {
        let counts = Arc::clone(&of_backend);
        async move {
            counts[0].fetch_add(1, Ordering::SeqCst);
            if let Ok(whole) = request.into_body().collect().await {
                counts[1].fetch_add(1, Ordering::SeqCst);
                return Response::new(body(whole.to_bytes().len().to_string()));
            }
            Response::new(body("broken"))
        }
    })
    .await;
    (backend, counts)
}

async fn ask(client: &Client, url: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(client.get(url).await.status.as_u16());
    }
    statuses
}

#[tokio::test]
async fn requests_come_no_faster_than_they_may() {
    let (backend, counts) = counting().await;
    let stand = Stand::new()
        .gateway_setting("limits", json!({ "rate_per_address": "9/h" }))
        .application_with("all", &backend, json!({ "limits": { "rate": "5/h" } }))
        .application_with(
            "each",
            &backend,
            json!({ "limits": { "rate_per_address": "2/h" } }),
        )
        .application("free", &backend)
        .start()
        .await;
    let at = |n| stand.client().at(Ipv4Addr::new(127, 0, 0, n));
    let (all, each, free) = (
        stand.url("all", "/"),
        stand.url("each", "/"),
        stand.url("free", "/"),
    );
    // One address at one application.
    assert_eq!(ask(&at(1), &each, 4).await, [200, 200, 429, 429]);
    assert_eq!(ask(&at(2), &each, 3).await, [200, 200, 429]);
    // All of them at one.
    assert_eq!(ask(&at(3), &all, 3).await, [200; 3]);
    assert_eq!(ask(&at(4), &all, 4).await, [200, 200, 429, 429]);
    // One address everywhere, whatever became of its requests.
    assert_eq!(ask(&at(1), &free, 6).await, [200, 200, 200, 200, 200, 429]);
    let nobody = "https://none.apps.localhost/";
    assert_eq!(ask(&at(1), nobody, 1).await, [429]);
    assert_eq!(ask(&at(5), nobody, 10).await[8..], [404, 429]);
    // It is told when to come again, and so is the log, once.
    let refused = at(1).get(&free).await;
    assert_eq!(refused.header("appproxy-answer"), "gateway;error=throttled");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=400).contains(&seconds), "{seconds}");
    let (asked, whole) = (&counts[0], &counts[1]);
    assert_eq!(asked.load(Ordering::SeqCst), 2 + 2 + 5 + 5);
    assert_eq!(whole.load(Ordering::SeqCst), 14);
    let said = |text| stand.gateway().said(text);
    let addresses = "requests of a client address come faster than they may: they are refused";
    // The gateway's and one application's.
    assert_eq!(said(addresses), 2);
    let application = "requests come faster than the application may have them: they are refused";
    assert_eq!(said(application), 1);
    // Those to no application, and no line for what came too fast.
    assert_eq!(said("request refused"), 9);
}

fn upload(url: &str, octets: usize, says_length: bool) -> Request<crate::harness::ResponseBody> {
    let mut request = Request::post(url);
    if says_length {
        request = request.header("content-length", octets);
    }
    let parts = vec![b'u'; octets];
    let parts: Vec<Result<Frame<Bytes>, std::convert::Infallible>> = parts
        .chunks(10_000)
        .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))))
        .collect();
    let body = StreamBody::new(stream::iter(parts));
    request
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap()
}

fn both(stand: &Running) -> [Client; 2] {
    [stand.client().clone(), stand.client().http2()]
}

#[tokio::test]
async fn a_body_is_no_larger_than_it_may_be() {
    let (backend, counts) = counting().await;
    let stand = Stand::new()
        .gateway_setting("limits", json!({ "body": "64KiB" }))
        .application("small", &backend)
        .application_with("large", &backend, json!({ "limits": { "body": "none" } }))
        .start()
        .await;
    let mut seen = 0;
    for client in both(&stand) {
        for octets in PARTS {
            for says_length in [true, false] {
                let about = format!("{octets} octets, length said: {says_length}");
                let asked = counts[0].load(Ordering::SeqCst);
                let whole = counts[1].load(Ordering::SeqCst);
                let request = upload(&stand.url("small", "/"), octets, says_length);
                let answer = within(&about, client.send(request)).await;
                let answer = Answer::read(answer).await;
                if octets <= 65_536 {
                    assert_eq!(answer.text(), octets.to_string(), "{about}");
                } else {
                    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{about}");
                    let error = answer.header("appproxy-answer");
                    assert_eq!(error, "gateway;error=body_too_large", "{about}");
                    assert_eq!(counts[1].load(Ordering::SeqCst), whole, "{about}");
                    if says_length {
                        assert_eq!(counts[0].load(Ordering::SeqCst), asked, "{about}");
                    }
                }
                seen += 1;
            }
        }
        let request = upload(&stand.url("large", "/"), 1_000_000, false);
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!(answer.text(), "1000000");
    }
    assert_eq!(seen, 2 * PARTS.len() * 2);
}

#[tokio::test]
async fn the_gateway_has_as_many_requests_in_tunnels_as_it_may() {
    const REFUSES: &str = "the gateway has as many requests in tunnels as it may: further ones are \
                           refused; see `limits.requests_total`";
    let slow = crate::limits::Waiting::start().await;
    let stand = Stand::new()
        .gateway_setting("limits", json!({ "requests_total": 3 }))
        .application("slow", &slow.backend)
        .application("other", &slow.backend)
        .start()
        .await;
    let (wait, other) = (stand.url("slow", "/wait"), stand.url("other", "/"));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (client, wait) = (stand.client().clone(), wait.clone());
            tokio::spawn(async move { client.get(&wait).await.status })
        })
        .collect();
    slow.are_waiting(3).await;
    let refused = stand.client().get(&other).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        refused.header("appproxy-answer"),
        "gateway;error=tunnel_busy"
    );
    assert_eq!(ask(stand.client(), &other, 3).await, [503; 3]);
    assert_eq!(stand.gateway().said(REFUSES), 1);
    slow.go.send_replace(true);
    for one in waiting {
        assert_eq!(within("an answer", one).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(ask(stand.client(), &other, 2).await, [200; 2]);
    let again = "the gateway is below its limit of requests again";
    until("it says so", || stand.gateway().said(again) == 1).await;
}

/// A reader that takes nothing holds a place in a tunnel and a connection of the application; not
/// for ever.
#[tokio::test]
async fn rule_09_an_answer_that_nobody_reads_is_given_up() {
    let begun = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicUsize::new(0));
    let counts = (Arc::clone(&begun), Arc::clone(&ended));
    let backend = Backend::raw(move |mut stream| {
        let (begun, ended) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        async move {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
            begun.fetch_add(1, Ordering::SeqCst);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
            let mut wrote = stream.write_all(head.as_bytes()).await;
            while wrote.is_ok() {
                wrote = stream.write_all(&[b'o'; 65_536]).await;
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let settings = json!({ "timeouts": { "idle": "1s" } });
    let stand = Stand::new()
        .application_with("endless", &backend, settings)
        .start()
        .await;
    let ended = |count| {
        let ended = &ended;
        move || ended.load(Ordering::SeqCst) == count
    };
    // HTTP/1.1: its socket is full.
    let mut raw = stand.client().raw("endless.localhost").await;
    let request = "GET / HTTP/1.1\r\nHost: endless.localhost\r\n\r\n";
    let request = request.replace(
        "localhost",
        &format!("localhost:{}", stand.address().port()),
    );
    raw.write_all(request.as_bytes()).await.unwrap();
    until("the application is rid of the first", ended(1)).await;
    // HTTP/2: one stream's window is full, and the connection goes on.
    let connection = stand.client().http2().connect("endless.localhost").await;
    let request = || {
        let request = Request::get(stand.url("endless", "/"));
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let mut held = Vec::new();
    for count in 2..=3 {
        let mut connection = connection.another().unwrap();
        let answer = within("an answer's head", connection.send(request())).await;
        held.push(answer.unwrap());
        until("the application is rid of another", ended(count)).await;
    }
    assert!(connection.is_open());
    assert_eq!(begun.load(Ordering::SeqCst), 3);
    drop((raw, held));
}

/// hyper gives a connection away on which an upgrade was asked for, and keeps it where it breaks: who
/// waits for it then must not be who holds it.
#[tokio::test]
async fn rule_09_a_refused_upgrade_leaves_no_connection_behind() {
    let (backend, _) = counting().await;
    let stand = Stand::new().application("app", &backend).start().await;
    let port = stand.address().port();
    assert_eq!(ask(stand.client(), &stand.url("app", "/"), 1).await, [200]);
    until("it is answered", || stand.gateway().said("request") == 1).await;
    let before = stand.gateway().sockets();
    for end in [
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut stream = stand.client().raw("app.localhost").await;
            let request = format!(
                "GET / HTTP/1.1\r\nHost: none.apps.localhost:{port}\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            within(
                "an answer",
                tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer),
            )
            .await
            .unwrap();
            stream.write_all(end.as_bytes()).await.unwrap();
            held.push(stream);
        }
        drop(held);
        until("every connection is gone", || {
            stand.gateway().sockets() <= before
        })
        .await;
    }
}
