//! Sign-in while something around it fails: the store, a cookie, a clock, or the keys under it. Who is
//! signed in stays so, who is not is told, and nobody is sent around in a circle.

use std::process::{Command, Stdio};
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio::time::interval;

use appproxy::auth::{SessionSettings, Sessions};
use appproxy::clock::{Clock, Timestamp};
use appproxy::demo::provider::{self as demo, IdentityProvider};
use appproxy::store::{StoreKeys, open_sqlite};

use crate::harness::{Answer, Backend, Process, Running, Stand, Talk, within};
use crate::sign_in::{Browser, link, location, of_staff, provider, with_sign_in};

const TICKET: &str = "__Host-appproxy";

fn login(stand: &Running) -> String {
    format!("https://login.localhost:{}", stand.address().port())
}

async fn stand(wiki: &Backend, issuer: &str) -> Running {
    let stand = Stand::new()
        .application_with("wiki", wiki, of_staff())
        .application_with("blog", wiki, of_staff());
    with_sign_in(stand, issuer).start().await
}

/// At the provider as somebody; returns the way back.
async fn chosen(browser: &mut Browser, ask: &str, name: &str) -> String {
    let as_name = ask.replace("/authorize?", &format!("/as/{name}?"));
    location(&browser.open(&as_name).await)
}

/// A store that fails while a gateway runs on it: strace answers in the place of the disk.
struct Fault(Process);

impl Fault {
    /// Has these system calls on the files of the store fail with this error.
    async fn begin(stand: &Running, calls: &str, error: &str) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &stand.gateway().id()]);
        command.arg(format!("--trace={calls}"));
        command.arg(format!("--inject={calls}:error={error}"));
        for file in ["gateway.db", "gateway.db-wal", "gateway.db-shm"] {
            command.arg("-P").arg(stand.folder().join(file));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let strace = Process::start("strace", &mut command);
        let attached = |line: &str| line.contains(" attached");
        strace.line("that it is attached", attached).await;
        Self(strace)
    }

    /// The disk is as it was.
    async fn end(self) {
        self.0.terminate();
        self.0.ended().await;
    }
}

/// Something that needs the store came to nothing: it is said, and leads nowhere.
fn unavailable(answer: &Answer) {
    let text = answer.text();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    let code = answer.header("appproxy-answer");
    assert_eq!(code, "gateway;error=store_unavailable");
    assert_eq!(answer.header("location"), "");
    assert_eq!(answer.header("retry-after"), "10");
    assert!(answer.headers.get("set-cookie").is_none());
}

fn sign_out(stand: &Running, token: &str) -> Request<Full<bytes::Bytes>> {
    Request::post(format!("{}/.appproxy/sign-out", login(stand)))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(format!("token={token}")))
        .unwrap()
}

async fn a_store_fails(calls: &str, error: &str, can_read: bool) {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let mut stand = stand(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    // Whom only the store knows, since the gateway began anew.
    let mut dora = Browser::new(&stand);
    dora.sign_in(&page, "alice").await;
    stand.restart_gateway().await;
    let open = |line: &str| line.contains("\"tunnel open\"");
    stand.gateway().line("a tunnel", open).await;
    let (mut alice, mut bob, mut carol) = (
        Browser::new(&stand),
        Browser::new(&stand),
        Browser::new(&stand),
    );
    alice.sign_in(&page, "alice").await;
    assert_eq!(alice.open(&page).await.text(), "wiki");
    let form = alice
        .open(&format!("{}/.appproxy/sign-out", login(&stand)))
        .await;
    let (_, token) = form.text().split_once("name=\"token\" value=\"").unwrap();
    let token = token.split('"').next().unwrap().to_owned();
    // Bob is at the provider, and carol on her way from one host to the other.
    let ask = bob.open_to_provider(&page).await;
    let bobs_way = chosen(&mut bob, &ask, "alice").await;
    let ask = carol.open_to_provider(&page).await;
    let way = chosen(&mut carol, &ask, "alice").await;
    let carols_code = location(&carol.open(&way).await);

    let fault = Fault::begin(&stand, calls, error).await;
    // More than once: it is not the first failure alone that is survived.
    for _ in 0..3 {
        assert_eq!(alice.open(&page).await.text(), "wiki");
        let answer = alice.open(&format!("{}/", login(&stand))).await;
        assert_eq!(answer.status, StatusCode::OK);
        let answer = alice.open(&stand.url("blog", "/")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        unavailable(&alice.open(&link(&answer)).await);
        unavailable(&carol.open(&carols_code).await);
        // What is not on the disk is not said to be done.
        unavailable(&alice.send(sign_out(&stand, &token)).await);
        assert_eq!(alice.open(&page).await.text(), "wiki");
        let answer = dora.open(&page).await;
        match can_read {
            true => assert_eq!(answer.text(), "wiki"),
            // Whether she is signed in cannot be known: to ask her to sign in would be a circle.
            false => unavailable(&answer),
        }
    }
    unavailable(&bob.open(&bobs_way).await);
    // He can begin anew, and is told again where it ends.
    let ask = bob.open_to_provider(&page).await;
    let again = chosen(&mut bob, &ask, "alice").await;
    unavailable(&bob.open(&again).await);
    let answer = bob.open(&page).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    fault.end().await;
    assert_eq!(dora.open(&page).await.text(), "wiki");
    assert_eq!(alice.open(&page).await.text(), "wiki");
    bob.sign_in(&page, "alice").await;
    assert_eq!(bob.open(&page).await.text(), "wiki");
    // Carol's code was not spent on a store that could not say whether it was.
    assert_eq!(carol.open(&carols_code).await.status, StatusCode::OK);
    assert_eq!(carol.open(&page).await.text(), "wiki");
    let blog = stand.url("blog", "/");
    let answer = alice.open(&blog).await;
    let code = location(&alice.open(&link(&answer)).await);
    alice.open(&code).await;
    assert_eq!(alice.open(&blog).await.text(), "wiki");
    let answer = alice.send(sign_out(&stand, &token)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(alice.open(&page).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(alice.open(&blog).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn on_a_full_disk_who_is_signed_in_stays_so_and_nobody_else_gets_in() {
    a_store_fails("write,pwrite64", "ENOSPC", true).await;
}

#[tokio::test]
async fn on_a_disk_that_became_read_only_who_is_signed_in_stays_so_and_nobody_else_gets_in() {
    let calls = "write,pwrite64,ftruncate,fdatasync,fsync";
    a_store_fails(calls, "EROFS", true).await;
}

#[tokio::test]
async fn without_its_store_a_gateway_serves_whom_it_remembers_and_sends_nobody_in_a_circle() {
    // Not its locks: SQLite takes a lock that fails for one of somebody else, and waits for it.
    let calls = "read,pread64,write,pwrite64,ftruncate,openat,fdatasync,fsync";
    a_store_fails(calls, "EIO", false).await;
}

/// Requests of a navigation with a cookie of any octets.
async fn ask(talk: &mut Talk, authority: &str, path: &str, cookie: &[u8]) -> (u16, String) {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nCookie: {TICKET}="
    );
    let request = [head.as_bytes(), cookie, b"\r\n\r\n"].concat();
    let reply = talk.ask(&request).await;
    assert_eq!(
        reply.field("appproxy-answer").split(';').next(),
        Some("gateway")
    );
    (reply.status, reply.field("location").to_owned())
}

#[tokio::test]
async fn a_corrupt_cookie_is_a_sign_in_anew_wherever_it_broke() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    let port = stand.address().port();
    // Letters, digits, the signs of base64 and of tickets, what ends or quotes a value, and octets of
    // no text. An octet that goes, and one that comes twice.
    let classes: [&[u8]; 22] = [
        b"A",
        b"z",
        b"0",
        b"9",
        b"-",
        b"_",
        b".",
        b"=",
        b"+",
        b"/",
        b"\"",
        b"'",
        b",",
        b";",
        b" ",
        b"\t",
        b"%",
        b"\\",
        b"\xff",
        b"\xc3\xa9",
        b"",
        b"..",
    ];
    let (mut challenged, mut seen) = (0, 0);
    for host in ["wiki.localhost", "login.localhost"] {
        let good = alice.cookies[host][TICKET].clone().into_bytes();
        let mut talk = Talk::with(stand.client(), host);
        let authority = format!("{host}:{port}");
        for at in 0..good.len() {
            for class in classes {
                let corrupt = [&good[..at], class, &good[at + 1..]].concat();
                if corrupt == good {
                    continue;
                }
                seen += 1;
                let (status, to) = ask(&mut talk, &authority, "/", &corrupt).await;
                let what = || format!("{host}: {}: {status} {to}", corrupt.escape_ascii());
                match (host, status) {
                    // Nobody is signed in: a page that leads to sign-in, or the way there.
                    ("wiki.localhost", 401) => challenged += 1,
                    ("login.localhost", 303) if to == "/.appproxy/sign-in" => challenged += 1,
                    _ => panic!("{}", what()),
                }
            }
        }
        // Cut short, too long, and not there.
        for length in 0..good.len() {
            let (status, _) = ask(&mut talk, &authority, "/", &good[..length]).await;
            assert!(matches!(status, 401 | 303), "{length}: {status}");
        }
        for cookie in [
            [&good[..], &good].concat(),
            good.repeat(100),
            vec![b'.'; 30_000],
        ] {
            let (status, _) = ask(&mut talk, &authority, "/", &cookie).await;
            assert!(matches!(status, 401 | 303), "{status}");
        }
    }
    assert_eq!(challenged, seen);
    assert!(seen > 4000, "{seen}");

    // A browser whose cookies broke comes in again by itself, and there is no circle on the way.
    let mut broken = Browser::new(&stand);
    broken.cookies.clone_from(&alice.cookies);
    for jar in broken.cookies.values_mut() {
        for value in jar.values_mut() {
            value.replace_range(40..41, "~");
        }
    }
    broken.sign_in(&page, "alice").await;
    assert_eq!(broken.open(&page).await.text(), "wiki");

    // What ties a sign-in to its browser, broken: it stops, with a page.
    for host in ["login.localhost", "wiki.localhost"] {
        let mut bob = Browser::new(&stand);
        let ask = bob.open_to_provider(&page).await;
        let mut way = chosen(&mut bob, &ask, "bob").await;
        if host == "wiki.localhost" {
            way = location(&bob.open(&way).await);
        }
        for value in bob.cookies.get_mut(host).unwrap().values_mut() {
            value.replace_range(3..4, "~");
        }
        let answer = bob.open(&way).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{host}");
        assert_eq!(answer.header("location"), "", "{host}");
        let jar = bob.cookies.get(host).unwrap();
        assert!(!jar.contains_key(TICKET), "{host}");
    }
}

#[tokio::test]
async fn a_provider_whose_clock_is_off_by_ten_minutes_lets_nobody_in_and_the_log_says_so() {
    let right = Clock::system().now();
    let clock = Clock::manual(right);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let idp = IdentityProvider::new(&authority, clock.clone()).unwrap();
    let issuer = idp.issuer().to_owned();
    tokio::spawn(demo::serve(listener, idp));
    let wiki = Backend::text("wiki").await;
    let stand = stand(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let mut alice = Browser::new(&stand);
    alice.sign_in(&page, "alice").await;
    for (by, finding) in [(600, "token_from_the_future"), (-600, "token_expired")] {
        clock.set(Timestamp(Clock::system().now().0 + by));
        let mut bob = Browser::new(&stand);
        // Each time somebody tries, and never by itself.
        for _ in 0..2 {
            let ask = bob.open_to_provider(&page).await;
            let way = chosen(&mut bob, &ask, "bob").await;
            let answer = bob.open(&way).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
            assert_eq!(answer.header("location"), "");
            let says = format!("<code>{finding}</code>");
            assert!(answer.text().contains(&says), "{}", answer.text());
            assert!(!bob.cookies["login.localhost"].contains_key(TICKET));
            let id = answer.header("x-request-id").to_owned();
            let line = stand.gateway().line("why", |line| {
                line.contains(&id) && line.contains(&format!("\"finding\":\"{finding}\""))
            });
            // The operator hears by how much, which is enough to know whose clock to look at.
            let line = line.await;
            assert!(line.contains("\"a sign-in stopped\""), "{line}");
            let seconds = if by > 0 {
                ["600 s", "599 s"]
            } else {
                ["300 s", "301 s"]
            };
            assert!(seconds.iter().any(|s| line.contains(s)), "{line}");
        }
        assert_eq!(alice.open(&page).await.text(), "wiki");
    }
    clock.set(Clock::system().now());
    let mut bob = Browser::new(&stand);
    bob.sign_in(&page, "alice").await;
    assert_eq!(bob.open(&page).await.text(), "wiki");
}

/// Asks for a page until it is answered like this.
async fn until_status(browser: &mut Browser, page: &str, status: StatusCode) {
    let mut look = interval(Duration::from_millis(50));
    within("another answer", async {
        while browser.open(page).await.status != status {
            look.tick().await;
        }
    })
    .await;
}

/// No command does it yet; another gateway on the same store is what a gateway hears it from.
#[tokio::test]
async fn keys_that_are_rotated_under_way_cost_a_sign_in_at_most() {
    let issuer = provider().await;
    let wiki = Backend::text("wiki").await;
    let stand = stand(&wiki, &issuer).await;
    let page = stand.url("wiki", "/");
    let (mut alice, mut bob, mut carol) = (
        Browser::new(&stand),
        Browser::new(&stand),
        Browser::new(&stand),
    );
    alice.sign_in(&page, "alice").await;
    // Bob is at the provider, and carol on her way from one host to the other.
    let ask = bob.open_to_provider(&page).await;
    let bobs_way = chosen(&mut bob, &ask, "alice").await;
    let ask = carol.open_to_provider(&page).await;
    let way = chosen(&mut carol, &ask, "alice").await;
    let carols_code = location(&carol.open(&way).await);

    let file = stand.folder().join("gateway.db");
    let keys = StoreKeys::existing(None, &file).unwrap().unwrap();
    let store = open_sqlite(&file, keys).await.unwrap();
    let other = Sessions::open(store, Clock::system(), SessionSettings::default());
    let other = other.await.unwrap();
    other.rotate_keys().await.unwrap();
    // Nothing tells from outside that it was heard of, and it makes no difference when it is.
    for _ in 0..20 {
        assert_eq!(alice.open(&page).await.text(), "wiki");
    }
    assert_eq!(carol.open(&carols_code).await.status, StatusCode::OK);
    assert_eq!(carol.open(&page).await.text(), "wiki");
    let code = location(&bob.open(&bobs_way).await);
    assert_eq!(bob.open(&code).await.status, StatusCode::OK);
    assert_eq!(bob.open(&page).await.text(), "wiki");

    // Once more at once, as nobody should: what the first key made is worth nothing, which is a
    // challenge at the application, another at the sign-in host, and no more.
    let mut dora = Browser::new(&stand);
    let ask = dora.open_to_provider(&page).await;
    let doras_way = chosen(&mut dora, &ask, "alice").await;
    other.rotate_keys().await.unwrap();
    until_status(&mut alice, &page, StatusCode::UNAUTHORIZED).await;
    let answer = dora.open(&doras_way).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("<code>state_forged</code>"));
    for browser in [&mut alice, &mut bob, &mut carol, &mut dora] {
        browser.sign_in(&page, "alice").await;
        assert_eq!(browser.open(&page).await.text(), "wiki");
    }
}
