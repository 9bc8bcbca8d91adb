//! Visitors that stay where they are, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::choice::Copies;
use crate::harness::{Answer, Backend, Client, Running, Stand, until, within, words};

async fn four(affinity: &str) -> (Copies, Running, Vec<std::path::PathBuf>) {
    let copies = Copies::new(4).await;
    let mut stand = Stand::new()
        .application_with(
            "wiki",
            &copies.0[0].backend,
            json!({ "affinity": affinity }),
        )
        .connectors(0)
        .start()
        .await;
    let configs = copies.connectors(&mut stand).await;
    (copies, stand, configs)
}

/// A visitor with a cookie jar of one.
#[derive(Default)]
struct Visitor {
    cookie: Option<String>,
    /// How often it was given one.
    given: usize,
}

impl Visitor {
    async fn get(&mut self, client: &Client, upgrade: bool) -> Answer {
        let mut request = Request::get("https://wiki.localhost/");
        let cookies = match &self.cookie {
            Some(cookie) => format!("a=1; {cookie}; b=2"),
            None => "a=1; b=2".to_owned(),
        };
        request = request.header("cookie", cookies);
        if upgrade {
            for (name, value) in [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ] {
                request = request.header(name, value);
            }
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = Answer::read(client.send(request).await).await;
        let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert!(set.len() <= 1, "{set:?}");
        if let Some(set) = set.first() {
            let set = set.to_str().unwrap();
            let (cookie, attributes) = set.split_once(';').unwrap();
            assert_eq!(attributes, " Path=/; Secure; HttpOnly; SameSite=Lax");
            let (name, value) = cookie.split_once('=').unwrap();
            assert!(name.starts_with("__Host-appproxy-to-"), "{set}");
            assert!(
                value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit()),
                "{set}"
            );
            self.cookie = Some(cookie.to_owned());
            self.given += 1;
        }
        answer
    }

    /// Which copies answer so many requests.
    async fn visits(&mut self, client: &Client, count: usize) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let answer = self.get(client, false).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            seen.insert(answer.text().to_owned());
        }
        seen
    }
}

fn number(copies: &Copies, ip: &str) -> usize {
    let mut all = copies.0.iter();
    all.position(|copy| copy.address.ip().to_string() == ip)
        .unwrap()
}

#[tokio::test]
async fn a_cookie_keeps_a_visitor_with_one_connector_until_that_is_gone() {
    let (copies, mut stand, configs) = four("cookie").await;
    let client = stand.client().clone();
    let mut visitor = Visitor::default();
    let home = visitor.visits(&client, 200).await;
    assert_eq!((home.len(), visitor.given), (1, 1), "{home:?}");
    let home = home.first().unwrap().clone();

    // Visitors without one are spread over all.
    let mut others = BTreeSet::new();
    within("visitors at every copy", async {
        while others.len() < 4 {
            others.extend(Visitor::default().visits(&client, 1).await);
        }
    })
    .await;

    // It says nothing of what stands behind it, and what is made up is no key to anything.
    let cookie = visitor.cookie.clone().unwrap();
    let (name, _) = cookie.split_once('=').unwrap();
    for forged in ["0123456789abcdef", "", "zzz"] {
        let mut forger = Visitor {
            cookie: Some(format!("{name}={forged}")),
            given: 0,
        };
        forger.visits(&client, 2).await;
        assert_eq!(forger.given, 1, "{forged:?}");
    }

    // A WebSocket's handshake goes there too.
    for _ in 0..20 {
        let answer = visitor.get(&client, true).await;
        // The copies speak no WebSocket: they answer with 200, which is no proper answer to that.
        assert_eq!(
            answer.header("appproxy-answer"),
            "gateway;error=backend_bad_response"
        );
        let line = stand.access_line(answer.header("x-request-id")).await;
        let plain = visitor.get(&client, false).await;
        let plain = stand.access_line(plain.header("x-request-id")).await;
        assert_eq!(line["connector"], plain["connector"]);
    }

    // The gateway's restart changes nothing.
    stand.restart_gateway().await;
    let client = stand.client().clone();
    until("all four are back", || {
        stand.gateway().said(words::TUNNEL_OPEN) >= 8
    })
    .await;
    assert_eq!(
        visitor.visits(&client, 50).await,
        BTreeSet::from([home.clone()])
    );
    assert_eq!(visitor.given, 1);

    // Its connector dies: another takes the visitor, for good.
    let dead = number(&copies, &home);
    let process = stand.connectors().remove(dead);
    process.kill();
    process.ended().await;
    let second = visitor.visits(&client, 200).await;
    assert_eq!((second.len(), visitor.given), (1, 2), "{second:?}");
    assert!(!second.contains(&home));
    stand.start_connector(&configs[dead]).await;
    assert_eq!(visitor.visits(&client, 200).await, second);
    assert_eq!(visitor.given, 2);

    // Rule 7: no copy was ever sent it.
    for copy in &copies.0 {
        let cookies = copy.cookies.lock().unwrap();
        assert!(
            cookies.iter().all(|cookie| cookie == "a=1; b=2"),
            "{cookies:?}"
        );
    }
}

#[tokio::test]
async fn a_websocket_that_is_agreed_to_is_given_a_cookie() {
    let backend = Backend::raw(|stream| async move {
        if let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await {
            let _ = futures_util::StreamExt::next(&mut socket).await;
        }
    })
    .await;
    let stand = Stand::new()
        .application_with("wiki", &backend, json!({ "affinity": "cookie" }))
        .start()
        .await;
    let url = "wss://wiki.localhost/";
    let (_socket, switched) = stand.client().websocket(url).await;
    let cookie = switched.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-appproxy-to-"), "{cookie}");
    let (pair, _) = cookie.split_once(';').unwrap();
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("cookie", pair.parse().unwrap());
    let (_socket, switched) = stand.client().websocket(request).await;
    assert!(!switched.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn an_address_stays_with_one_connector_and_moves_only_when_that_goes() {
    const ADDRESSES: u8 = 60;
    let (copies, mut stand, configs) = four("address").await;
    let homes = async |stand: &Running| {
        let mut homes = BTreeMap::new();
        for n in 1..=ADDRESSES {
            let client = stand.client().at(Ipv4Addr::new(127, 0, 9, n));
            let mut visitor = Visitor::default();
            let seen = visitor.visits(&client, 3).await;
            assert_eq!((seen.len(), visitor.given), (1, 0), "{n}: {seen:?}");
            homes.insert(n, seen.first().unwrap().clone());
        }
        homes
    };
    let before = homes(&stand).await;
    // Of so many every copy has some; that they are spread evenly is a unit's test.
    let used: BTreeSet<&String> = before.values().collect();
    assert_eq!(used.len(), 4, "{before:?}");

    let gone = copies.0[1].address.ip().to_string();
    let process = stand.connectors().remove(1);
    process.terminate();
    assert!(process.ended().await.success());
    let during = homes(&stand).await;
    for (n, home) in &before {
        if *home == gone {
            assert_ne!(during[n], gone);
        } else {
            assert_eq!(during[n], *home, "nobody else moves");
        }
    }
    stand.start_connector(&configs[1]).await;
    assert_eq!(homes(&stand).await, before);
}

/// A visitor with a whole cookie jar, and what every Set-Cookie said.
#[derive(Default)]
struct Jar {
    cookies: BTreeMap<String, String>,
    set: Vec<String>,
}

impl Jar {
    fn bring<B>(&self, request: &mut Request<B>) {
        let pairs = self.cookies.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !pairs.is_empty() {
            let field = pairs.join("; ").parse().unwrap();
            request.headers_mut().insert("cookie", field);
        }
    }

    fn take(&mut self, answer: &Answer) {
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (pair, _) = set.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
            self.set.push(set.to_owned());
        }
    }

    async fn get(&mut self, client: &Client, url: &str) -> String {
        let mut request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
        self.bring(&mut request);
        let answer = Answer::read(client.send(request).await).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.take(&answer);
        answer.text().to_owned()
    }

    /// Over plain HTTP, as a browser would that has these cookies.
    async fn get_plain(&mut self, at: SocketAddr, host: &str) -> String {
        let stream = TcpStream::connect(at).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get("/")
            .header("host", format!("{host}:{}", at.port()))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let mut request = request;
        self.bring(&mut request);
        let answer = within("an answer over plain HTTP", sender.send_request(request)).await;
        let answer = Answer::read(answer.unwrap()).await;
        connection.abort();
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.take(&answer);
        answer.text().to_owned()
    }
}

/// Four connectors, each with a copy of its own, and these applications by name and external URL.
async fn several(applications: &[(&str, &str)]) -> (Copies, Running) {
    let copies = Copies::new(4).await;
    let internal = format!("http://{}:{{backend}}/", words::internal_name("wiki"));
    let mut stand = Stand::new().redirects().connectors(0);
    for (name, external) in applications {
        let settings = json!({
            "affinity": "cookie", "external_url": external, "internal_url": internal,
        });
        stand = stand.application_with(name, &copies.0[0].backend, settings);
    }
    let mut stand = stand.start().await;
    copies.connectors(&mut stand).await;
    (copies, stand)
}

#[tokio::test]
async fn two_applications_of_one_host_keep_a_visitor_each_by_a_cookie_of_its_own() {
    let applications = [
        ("wiki", "https://wiki.localhost:{https}/wiki/"),
        ("blog", "https://wiki.localhost:{https}/blog/"),
    ];
    let (copies, stand) = several(&applications).await;
    let client = stand.client().clone();
    let (wiki, blog) = (
        "https://wiki.localhost/wiki/",
        "https://wiki.localhost/blog/",
    );
    let mut homes = BTreeSet::new();
    for _ in 0..20 {
        let mut jar = Jar::default();
        let home = (jar.get(&client, wiki).await, jar.get(&client, blog).await);
        let names: Vec<_> = jar.cookies.keys().collect();
        assert_eq!((names.len(), jar.set.len()), (2, 2), "{:?}", jar.set);
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("__Host-appproxy-to-"))
        );
        // Each is sent both cookies, heeds its own, and never takes the other's for none.
        for _ in 0..5 {
            assert_eq!(jar.get(&client, wiki).await, home.0);
            assert_eq!(jar.get(&client, blog).await, home.1);
        }
        assert_eq!(jar.set.len(), 2, "{:?}", jar.set);
        homes.insert(home);
    }
    assert!(
        homes.iter().any(|(wiki, blog)| wiki != blog),
        "the two are chosen apart: {homes:?}"
    );
    for copy in &copies.0 {
        assert_eq!(*copy.cookies.lock().unwrap(), BTreeSet::new());
    }
}

#[tokio::test]
async fn over_plain_http_the_cookie_is_one_that_browsers_take_there() {
    let applications = [("plain", "http://plain.localhost:{http}/")];
    let (copies, stand) = several(&applications).await;
    let mut homes = BTreeSet::new();
    for _ in 0..20 {
        let mut jar = Jar::default();
        let home = jar
            .get_plain(stand.plain_address(), "plain.localhost")
            .await;
        // `Secure`, and a name that wants it, would be thrown away.
        let [set] = &jar.set[..] else {
            panic!("{:?}", jar.set)
        };
        assert!(set.starts_with("appproxy-to-"), "{set}");
        assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
        for _ in 0..5 {
            let again = jar
                .get_plain(stand.plain_address(), "plain.localhost")
                .await;
            assert_eq!(again, home);
        }
        assert_eq!(jar.set.len(), 1, "{:?}", jar.set);
        homes.insert(home);
    }
    assert!(homes.len() > 1, "{homes:?}");
    for copy in &copies.0 {
        assert_eq!(*copy.cookies.lock().unwrap(), BTreeSet::new());
    }
}
