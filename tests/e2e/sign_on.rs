//! What an application is told of whoever signed in, and that nobody else tells it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use crate::harness::{Backend, Stand, body};
use crate::sign_in::{Browser, provider, with_sign_in};

/// An application that keeps the fields of its last request, trailers included.
async fn listening() -> (Backend, Arc<Mutex<HeaderMap>>) {
    let last = Arc::new(Mutex::new(HeaderMap::new()));
    let keeps = Arc::clone(&last);
    let backend = Backend::answering(move |request: Request<hyper::body::Incoming>| {
        let keeps = Arc::clone(&keeps);
        async move {
            let (head, incoming) = request.into_parts();
            let trailers = incoming.collect().await.ok();
            let trailers = trailers.and_then(|all| all.trailers().cloned());
            let mut fields = head.headers;
            fields.extend(trailers.unwrap_or_default());
            *keeps.lock().unwrap() = fields;
            Response::new(body("inside"))
        }
    })
    .await;
    (backend, last)
}

/// Every spelling that servers take for `x-remote-id`: CGI, WSGI, PHP and Rails make `_` of each separator.
fn spellings() -> Vec<String> {
    let mut all = Vec::new();
    for first in ["-", "_", "."] {
        for second in ["-", "_", "."] {
            all.push(format!("x{first}remote{second}id"));
        }
    }
    all
}

#[tokio::test]
async fn an_application_is_told_who_it_is_by_the_gateway_alone() {
    let issuer = provider().await;
    let (wiki, last) = listening().await;
    let stand = with_sign_in(
        Stand::new().application_with(
            "wiki",
            &wiki,
            json!({
                "pre_authentication": ["oidc"],
                "access": { "allow": ["anyone_signed_in"] },
                "single_sign_on": { "headers": {
                    "X-Remote-Id": "{upn ?? email|before(\"@\")}",
                    "X-Remote-Groups": "{groups|join(\",\")}",
                    "X-Remote-Group": "{groups|repeat}",
                    "X-Remote-Phone": "{phone}",
                    "Remote-User": "CORP\\{subject|upper}",
                } },
            }),
        ),
        &issuer,
    )
    .application("sibling", &wiki)
    .start()
    .await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let told = |name: &str| {
        let last = last.lock().unwrap();
        let all = last.get_all(name).iter();
        let all: Vec<_> = all.map(|v| v.to_str().unwrap().to_owned()).collect();
        all
    };
    let expected = [
        ("x-remote-id", &["alice"][..]),
        ("x-remote-groups", &["admins,staff"]),
        ("x-remote-group", &["admins", "staff"]),
        ("x-remote-phone", &[]),
        ("remote-user", &["CORP\\ALICE"]),
    ];
    let is_right = |after: &str| {
        for (name, values) in expected {
            assert_eq!(told(name), values, "{name} after {after}");
        }
        let last = last.lock().unwrap();
        for name in last.keys() {
            let folded = name
                .as_str()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let is_ours = expected.iter().any(|(ours, _)| *ours == folded);
            assert!(!is_ours || name.as_str() == folded, "{name} after {after}");
        }
    };
    assert_eq!(alice.open(&page).await.status, StatusCode::OK);
    is_right("a plain request");

    // Table 4B, rows 1, 3, 4 and 5: no spelling, not where there is nothing to say, not by `Connection`,
    // not twice, not joined.
    let ask = || Request::get(&page).header("sec-fetch-site", "same-origin");
    let empty = |request: http::request::Builder| request.body(Full::<Bytes>::default()).unwrap();
    let mut forged = 0;
    for name in spellings() {
        let request = ask().header(&name, "bob").header(&name, "bob, carol");
        assert_eq!(alice.send(empty(request)).await.status, StatusCode::OK);
        is_right(&name);
        forged += 1;
    }
    assert_eq!(forged, 9);
    for (name, value) in [
        ("x-remote-phone", "112"),
        ("X_Remote_Phone", "112"),
        ("x-remote_groups", "admins"),
        ("x-remote-group", "root"),
        ("remote_user", "root"),
        ("connection", "x-remote-id, x-remote-groups, remote-user"),
        ("connection", "close, X-Remote-Id"),
    ] {
        let answer = alice.send(empty(ask().header(name, value))).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}");
        is_right(name);
    }
    // Row 2: not by way of an application that nobody signs in to, and that is the same program.
    for name in spellings() {
        let sibling = Request::get(stand.url("sibling", "/")).header(&name, "root");
        let sibling = sibling.header("x-innocent", "1");
        assert_eq!(stand.send(empty(sibling)).await.status(), StatusCode::OK);
        assert_eq!(told("x-innocent"), ["1"]);
        let last = last.lock().unwrap();
        assert!(!last.contains_key(&name), "{name}");
    }
    // A server may take trailers for fields.
    let mut trailers = HeaderMap::new();
    for name in ["x-remote-phone", "x_remote_id", "x-innocent"] {
        trailers.insert(name, "112".parse().unwrap());
    }
    let frames = [
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"text"))),
        Ok(Frame::trailers(trailers)),
    ];
    let request = Request::post(&page)
        .header("origin", stand.url("wiki", ""))
        .header("cookie", alice.cookie("wiki.localhost"))
        .header("te", "trailers")
        .header("trailer", "x-remote-phone")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    let answer = stand.client().http2().send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    is_right("trailers");
    // The handshake of a WebSocket says it too.
    last.lock().unwrap().clear();
    let request = Request::get(&page)
        .header("origin", stand.url("wiki", ""))
        .header("cookie", alice.cookie("wiki.localhost"))
        .header("connection", "upgrade, x-remote-id")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("x_remote_phone", "112");
    stand.send(empty(request)).await;
    is_right("a handshake");

    // Somebody else on the same connection is somebody else.
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "bob").await;
    assert_eq!(bob.open(&page).await.status, StatusCode::OK);
    assert_eq!(told("x-remote-id"), ["bob"]);
    assert_eq!(told("x-remote-groups"), ["guests"]);
}
