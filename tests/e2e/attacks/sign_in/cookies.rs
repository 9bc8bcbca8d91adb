//! C4: the same cookie in other spellings, twice, and among very many.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use super::{TICKET, is_in, stand_with, ticket};
use crate::harness::{Answer, Backend, Reply, Running, Talk};
use crate::sign_in::{Browser, provider};

/// Requests of a navigation with cookies of any octets.
struct Raw {
    talk: Talk,
    authority: String,
}

impl Raw {
    fn at(stand: &Running, host: &str) -> Self {
        Self {
            talk: Talk::with(stand.client(), host),
            authority: format!("{host}:{}", stand.address().port()),
        }
    }

    async fn ask(&mut self, path: &str, cookies: &[&[u8]]) -> Reply {
        let authority = &self.authority;
        let begin = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
        );
        let mut request = begin.into_bytes();
        for cookie in cookies {
            request.extend_from_slice(&[b"Cookie: ", *cookie, b"\r\n"].concat());
        }
        request.extend_from_slice(b"\r\n");
        self.talk.ask(&request).await
    }
}

/// Puts a ticket into a cookie field where `~` stands.
fn filled(pattern: &[u8], ticket: &str) -> Vec<u8> {
    let parts = pattern.split(|&octet| octet == b'~');
    parts.collect::<Vec<_>>().join(ticket.as_bytes())
}

#[tokio::test]
async fn c4_a_ticket_counts_in_its_own_spelling_alone_and_no_spelling_reaches_an_application() {
    let issuer = provider().await;
    let wiki = Backend::echo().await;
    let stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut bob) = (Browser::new(&stand), Browser::new(&stand));
    alice.sign_in(&page, "alice").await;
    bob.sign_in(&page, "bob").await;
    let own = ticket(&alice, "wiki.localhost");
    let theirs = ticket(&bob, "wiki.localhost");
    let mut raw = Raw::at(&stand, "wiki.localhost");

    let spelled: [&[u8]; 34] = [
        b"\xe2\x80\x80__Host-appproxy=~",
        b"\xe2\x80\x89__Host-appproxy=~",
        b"\xe2\x80\xa8__Host-appproxy=~",
        b"\xe3\x80\x80__Host-appproxy=~",
        b"\xef\xbb\xbf__Host-appproxy=~",
        b"\xc2\xa0__Host-appproxy=~",
        b"\xc2\x85__Host-appproxy=~",
        b"\xa0__Host-appproxy=~",
        b"\x85__Host-appproxy=~",
        b"a=1;\xe2\x80\x80__Host-appproxy=~",
        b"__Host-appproxy\xe2\x80\x80=~",
        b"=__Host-appproxy=~",
        b"==__Host-appproxy=~",
        b"a=1; =__Host-appproxy=~",
        b"; =__Host-appproxy=~;",
        b"=~",
        b"~",
        b"__Host-appproxy=",
        b"__Host-appproxy",
        b"__Host-appproxy==~",
        b"__Host-appproxy =~",
        b"__Host-appproxy=\"~\"",
        b"\"__Host-appproxy\"=~",
        b"\"__Host-appproxy=~\"",
        b"a=\"__Host-appproxy=~\"",
        b"a=1,__Host-appproxy=~",
        b"$Version=1,__Host-appproxy=~",
        b"$Version=1; $__Host-appproxy=~",
        b"$__Host-appproxy=~",
        b"__host-appproxy=~",
        b"__HOST-APPPROXY=~",
        b"__Host%2dappproxy=~",
        b"__Host-appproxy%3d~",
        b"__Host-appproxy[]=~",
    ];
    for pattern in spelled {
        let reply = raw.ask("/", &[&filled(pattern, &own)]).await;
        let shown = pattern.escape_ascii();
        assert_eq!(reply.status, 401, "{shown}: {reply:?}");
        // Nor does such a one unseat the real one, nor pass with it.
        let real = format!("{TICKET}={own}; k=v");
        let planted = filled(pattern, &theirs);
        // By octets these are cookies of this name, so there would be two of it.
        let same_name: [&[u8]; 3] = [
            b"__Host-appproxy=",
            b"__Host-appproxy==~",
            b"__Host-appproxy=\"~\"",
        ];
        if same_name.contains(&pattern) {
            continue;
        }
        for cookies in [[&planted[..], real.as_bytes()], [real.as_bytes(), &planted]] {
            let reply = raw.ask("/", &cookies).await;
            assert_eq!(reply.status, 200, "{shown}: {reply:?}");
            let arrived: Value = serde_json::from_str(&reply.body).unwrap();
            let arrived = arrived["headers"]["cookie"][0].as_str().unwrap();
            assert!(arrived.contains("k=v"), "{shown}: {arrived}");
            assert!(!arrived.contains(&own), "{shown}: {arrived}");
            let line = stand.access_line(reply.field("x-request-id")).await;
            assert_eq!(line["person"], "alice", "{shown}");
        }
    }

    // Old ways to write attributes and to quote hold nothing together: ours stays what it is.
    let kept: [&[u8]; 9] = [
        b"$Version=1; __Host-appproxy=~; $Path=/; $Domain=evil.example",
        b"$Version=\"1\"; a=\"1; __Host-appproxy=~; b=2\"",
        b"a=\"; __Host-appproxy=~; b=\"",
        b"a='; __Host-appproxy=~; b='",
        b"a={; __Host-appproxy=~; b=}",
        b"a=\\\"; __Host-appproxy=~; b=\\\"",
        b";;;; __Host-appproxy=~;;;;",
        b"\t __Host-appproxy=~ \t; a",
        b"a=\xff\xfe; __Host-appproxy=~; \xff",
    ];
    for pattern in kept {
        let reply = raw.ask("/", &[&filled(pattern, &own)]).await;
        assert_eq!(reply.status, 200, "{}: {reply:?}", pattern.escape_ascii());
        assert!(!reply.body.contains(&own), "{}", reply.body);
        let line = stand.access_line(reply.field("x-request-id")).await;
        assert_eq!(line["person"], "alice");
    }

    // Two of our names say that somebody planted one. Nobody guesses which, on either host.
    let two: [&[u8]; 5] = [
        b"__Host-appproxy=~; __Host-appproxy=~",
        b"__Host-appproxy=~; a=1; __Host-appproxy=x",
        b"__Host-appproxy=x; __Host-appproxy=~",
        b"__Host-appproxy=; __Host-appproxy=~",
        b"__Host-appproxy=~; __Host-appproxy=\"~\"",
    ];
    let mut at_login = Raw::at(&stand, "login.localhost");
    let own_there = ticket(&alice, "login.localhost");
    for pattern in two {
        let shown = pattern.escape_ascii();
        let reply = raw.ask("/", &[&filled(pattern, &own)]).await;
        assert_eq!(reply.status, 400, "{shown}: {reply:?}");
        assert_eq!(reply.field("appproxy-answer"), "gateway;error=bad_request");
        for path in ["/", "/.appproxy/sign-in", "/.appproxy/sign-out"] {
            let reply = at_login.ask(path, &[&filled(pattern, &own_there)]).await;
            assert_eq!(reply.status, 400, "{shown} {path}: {reply:?}");
        }
    }
    let (own, theirs) = (format!("{TICKET}={own}"), format!("{TICKET}={theirs}"));
    for cookies in [[&own, &theirs], [&theirs, &own]] {
        let cookies = cookies.map(|cookie| cookie.as_bytes());
        assert_eq!(raw.ask("/", &cookies).await.status, 400);
    }
}

#[tokio::test]
async fn c4_ours_are_found_beside_32_kib_of_other_peoples_cookies() {
    let issuer = provider().await;
    let wiki = Backend::echo().await;
    let stand = stand_with(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    // In one field, as a browser that has them sends them all along the way.
    for host in ["wiki.localhost", "login.localhost"] {
        let jar = alice.cookies.entry(host.to_owned()).or_default();
        for n in 0..8 {
            jar.insert(format!("big{n}"), "x".repeat(4096));
        }
    }
    alice.sign_in(&page, "alice").await;
    let answer = alice.open(&page).await;
    assert_eq!(answer.status, StatusCode::OK);
    let arrived = answer.json()["headers"]["cookie"][0].to_string();
    assert!(arrived.len() > 32 * 1024 && !arrived.contains("appproxy"));
    assert!(is_in(&mut alice, &stand).await);

    // In several fields, ours first, last and between.
    let foreign: Vec<_> = (0..8)
        .map(|n| format!("c{n}={}", "y".repeat(4090)))
        .collect();
    let foreign: Vec<_> = foreign.iter().map(String::as_bytes).collect();
    for (host, path) in [
        ("wiki.localhost", "/"),
        ("login.localhost", "/"),
        ("login.localhost", "/.appproxy/sign-out"),
    ] {
        let mut raw = Raw::at(&stand, host);
        let own = format!("{TICKET}={}", ticket(&alice, host));
        for at in [0, 4, 8] {
            let mut cookies = foreign.clone();
            cookies.insert(at, own.as_bytes());
            let reply = raw.ask(path, &cookies).await;
            assert_eq!(reply.status, 200, "{host}{path} {at}: {reply:?}");
        }
        // Over HTTP/2 a browser sends a field for each.
        let mut crumbs = Request::get(format!("https://{host}:{}{path}", stand.address().port()));
        for cookie in foreign.iter().chain([&own.as_bytes()]) {
            crumbs = crumbs.header("cookie", *cookie);
        }
        let crumbs = crumbs.header("sec-fetch-mode", "navigate");
        let crumbs = crumbs.body(Full::<Bytes>::default()).unwrap();
        let answer = Answer::read(stand.client().http2().send(crumbs).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}{path}");
        // What is too much is refused as such, on a page of ours too.
        let twice = [&foreign[..], &foreign, &[own.as_bytes()]].concat();
        let reply = raw.ask(path, &twice).await;
        assert_eq!(reply.status, 431, "{host}{path}: {reply:?}");
        assert_eq!(reply.field("location"), "");
    }
}
