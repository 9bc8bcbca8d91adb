//! `mode: tls_passthrough`: TLS ends at the application, and the gateway knows the server name alone.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::harness::{
    Answer, Authority, Backend, Client, Running, Stand, body, echo, until, within,
};
use crate::reload::{applications, edit, reload};

fn passing(access: Value) -> Value {
    let mut settings = json!({ "mode": "tls_passthrough" });
    if !access.is_null() {
        settings["access"] = access;
    }
    settings
}

/// An application with a certificate of its own, which wants one of each client.
struct Vault {
    inside: Authority,
    clients: Authority,
    backend: Backend,
}

impl Vault {
    async fn new() -> Self {
        let (inside, clients) = (Authority::new(), Authority::new());
        let leaf = inside.issue(&["vault.localhost"]);
        let tls = leaf.demanding_config(&clients, &[&TLS12, &TLS13], &["h2", "http/1.1"]);
        let backend = Backend::agreeing(tls, |request| async move {
            match request.uri().path() {
                "/back" => match request.into_body().collect().await {
                    Ok(collected) => Response::new(body(collected.to_bytes())),
                    Err(error) => Response::new(body(error.to_string())),
                },
                _ => echo(request).await,
            }
        });
        Self {
            backend: backend.await,
            inside,
            clients,
        }
    }

    /// A client that knows the application, and not the gateway.
    fn client(&self, stand: &Running) -> Client {
        let leaf = self.clients.issue_client("alice");
        Client::new(&self.inside, stand.address()).showing(&self.inside, &leaf)
    }
}

fn post(url: &str, octets: &Bytes) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::new(octets.clone())).unwrap()
}

/// Begins TLS with a host, and says how that failed.
async fn refusal(client: &Client, authority: &Authority, host: &str) -> String {
    let config = authority.client_config(&["http/1.1"]);
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let stream = client.tcp().await;
    let handshake = TlsConnector::from(config).connect(name, stream);
    let outcome = within("the end of the handshake", handshake).await;
    outcome.expect_err("it is refused").to_string()
}

/// The access line of the newest connection that the log has, once there are so many.
async fn line_of(stand: &Running, count: usize) -> Value {
    let lines = || {
        let lines = stand.gateway().log();
        let lines = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        let is_one = |line: &Value| line["target"] == "access" && line["protocol"] == "TLS";
        lines.filter(is_one).collect::<Vec<Value>>()
    };
    until("the access line", || lines().len() >= count).await;
    lines().pop().unwrap()
}

#[tokio::test]
async fn tls_ends_at_the_application_which_sees_the_clients_own_certificate() {
    let vault = Vault::new().await;
    let wiki = Backend::echo().await;
    let stand = Stand::new()
        .tls_application("vault", &vault.backend, passing(Value::Null))
        .application("wiki", &wiki)
        .start()
        .await;
    let url = stand.url("vault", "/page?q=1");
    let client = vault.client(&stand);
    let mut count = 0;
    for client in [client.clone(), client.http2()] {
        let answer = client.get(&url).await;
        let seen = answer.json();
        // Nothing of ours is in it.
        let names: Vec<_> = seen["headers"].as_object().unwrap().keys().collect();
        assert!(names.iter().all(|name| *name == "host"), "{names:?}");
        assert_eq!(answer.header("x-request-id"), "");
        count += 1;
        let line = line_of(&stand, count).await;
        for (field, expected) in [
            ("application", json!("vault")),
            ("host", json!("vault.localhost")),
            ("path", json!("")),
            ("error", Value::Null),
            ("ended", json!("complete")),
            ("client", json!("127.0.0.1")),
        ] {
            assert_eq!(line[field], expected, "{field}: {line}");
        }
        assert!(line["octets_in"].as_u64().unwrap() > 500, "{line}");
        assert!(line["octets_out"].as_u64().unwrap() > 500, "{line}");
        assert!(line["connector"].is_string(), "{line}");
    }
    // Megabytes arrive as they were sent, both ways at once.
    let octets: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let octets = Bytes::from(octets);
    let back = client
        .send(post(&stand.url("vault", "/back"), &octets))
        .await;
    assert!(Answer::read(back).await.body == octets);
    // The application is the one that refuses who shows nothing; the gateway has no part in it.
    let told = refusal(stand.client(), stand.authority(), "vault.localhost").await;
    // Its certificate is of an authority that this client does not know.
    assert!(told.contains("invalid peer certificate"), "{told}");

    // What came through TLS of the gateway's own does not come there, nor the other way round.
    let mut other = stand.client().connect("wiki.localhost").await;
    let request = Request::get(&url).body(Full::<Bytes>::default()).unwrap();
    let answer = Answer::read(other.send(request).await.unwrap()).await;
    assert_eq!(answer.json()["error"]["code"], "misdirected");
    let mut inside = client.connect("vault.localhost").await;
    let request = Request::get(stand.url("wiki", "/")).body(Full::<Bytes>::default());
    let answer = Answer::read(inside.send(request.unwrap()).await.unwrap()).await;
    let seen = answer.json()["headers"]["host"][0].clone();
    assert!(
        seen.as_str().unwrap().starts_with("wiki.localhost"),
        "{seen}"
    );
    assert_eq!(stand.get(&stand.url("wiki", "/")).await.status, 200);
}

#[tokio::test]
async fn who_is_not_let_in_gets_an_alert_and_whom_a_reload_shuts_out_is_cut_off() {
    let vault = Vault::new().await;
    let only = |address: &str| passing(json!({ "allow": [{ "ip": [address] }] }));
    let stand = Stand::new()
        .tls_application("vault", &vault.backend, only("127.0.0.2"))
        .start()
        .await;
    let told = refusal(stand.client(), &vault.inside, "vault.localhost").await;
    assert!(told.contains("AccessDenied"), "{told}");
    let line = line_of(&stand, 1).await;
    assert_eq!(line["error"], "denied");
    let id = line["request_id"].clone();
    let why = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["request_id"] == id && line["detail"].to_string().contains("ip: [127.0.0.2/32]")
    };
    stand.gateway().line("why", why).await;
    let audited = |line: &str| line.contains("\"audit\"") && line.contains("denied");
    stand.gateway().line("the audit", audited).await;

    let friend = vault.client(&stand).at(Ipv4Addr::new(127, 0, 0, 2));
    let url = stand.url("vault", "/");
    let mut kept = friend.connect("vault.localhost").await;
    let request = || Request::get(&url).body(Full::<Bytes>::default()).unwrap();
    let answer = within("an answer", kept.send(request())).await.unwrap();
    assert_eq!(Answer::read(answer).await.status, 200);
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["access"]["allow"][0]["ip"] = json!(["127.0.0.3"]);
    });
    assert_eq!(reload(&stand).await["outcome"], "done");
    until("the cut", || !kept.is_open()).await;
    let line = line_of(&stand, 2).await;
    assert_eq!(
        (&line["ended"], &line["client"]),
        (&json!("cut"), &json!("127.0.0.2"))
    );
    let told = refusal(&friend, &vault.inside, "vault.localhost").await;
    assert!(told.contains("AccessDenied"), "{told}");

    // What is closed for everybody is closed here too.
    edit(&stand.gateway_file(), |config| {
        applications(config)[0]["access"]["allow"][0]["ip"] = json!(["127.0.0.0/8"]);
        config["maintenance"] = json!(true);
    });
    assert_eq!(reload(&stand).await["outcome"], "done");
    let told = refusal(&friend, &vault.inside, "vault.localhost").await;
    assert!(told.contains("InternalError"), "{told}");
    assert_eq!(line_of(&stand, 4).await["error"], "maintenance");
}

#[tokio::test]
async fn what_cannot_be_reached_is_an_alert_with_its_reason_in_the_log() {
    let vault = Vault::new().await;
    let refusing = Backend::refusing().await;
    let elsewhere = passing(json!(null));
    let mut nowhere = passing(json!(null));
    nowhere["connector_groups"] = json!(["nobody"]);
    let mut unlisted = passing(json!(null));
    unlisted["internal_url"] = json!("https://10.9.8.7:{backend}/");
    let stand = Stand::new()
        .tls_application("refuses", &refusing, elsewhere)
        .tls_application("nowhere", &vault.backend, nowhere)
        .tls_application("unlisted", &vault.backend, unlisted)
        .start()
        .await;
    let cases = [
        ("refuses", "backend_refused"),
        ("nowhere", "no_connector"),
        ("unlisted", "target_refused"),
    ];
    for (number, (name, code)) in cases.into_iter().enumerate() {
        let host = format!("{name}.localhost");
        let told = refusal(stand.client(), &vault.inside, &host).await;
        assert!(told.contains("InternalError"), "{name}: {told}");
        let line = line_of(&stand, number + 1).await;
        assert_eq!(line["error"], code, "{line}");
    }
}

#[tokio::test]
async fn the_application_is_told_of_the_client_where_it_wants_to_be() {
    let (said, mut saying) = mpsc::unbounded_channel();
    let backend = Backend::raw(move |mut stream| {
        let said = said.clone();
        async move {
            let mut octets = [0; 4096];
            let mut read = 0;
            // The line, and the first octets of the client's own.
            while !octets[..read]
                .windows(4)
                .any(|four| four == b"\r\n\x16\x03")
            {
                match stream.read(&mut octets[read..]).await {
                    Ok(more) if more > 0 => read += more,
                    _ => break,
                }
            }
            let _ = said.send(String::from_utf8_lossy(&octets[..read]).into_owned());
        }
    })
    .await;
    let mut settings = passing(json!(null));
    settings["proxy_protocol"] = json!("v1");
    let stand = Stand::new()
        .tls_application("vault", &backend, settings)
        .start()
        .await;
    let authority = Authority::new();
    let client = stand.client().at(Ipv4Addr::new(127, 0, 0, 9));
    let port = stand.address().port();
    refusal(&client, &authority, "vault.localhost").await;
    let told = within("what it is told", saying.recv()).await.unwrap();
    assert!(
        told.starts_with("PROXY TCP4 127.0.0.9 127.0.0.1 "),
        "{told}"
    );
    let (line, _) = told.split_once("\r\n").unwrap();
    assert!(line.ends_with(&format!(" {port}")), "{line}");
}
