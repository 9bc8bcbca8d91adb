//! Clients that show certificates: whose count, what an application learns, and what one connection may be
//! used for.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::Full;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{
    Answer, Authority, Backend, Client, Connection, Leaf, Running, Stand, temporary, until, within,
};
use crate::reload::{IN_FORCE, applications, close_of, edit, reload};
use crate::sign_in::{Browser, provider, with_sign_in};

const REQUIRED: (u16, &str) = (403, "certificate_required");
const MISDIRECTED: (u16, &str) = (421, "misdirected");

/// The files of authorities, for as long as a test runs.
struct Files(TempDir);

impl Files {
    fn new(authorities: &[(&str, &Authority)]) -> Self {
        let files = Self(temporary());
        for (name, authority) in authorities {
            files.put(name, authority.pem());
        }
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Puts a file in the place of another, whole.
    fn put(&self, name: &str, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, Path::new(&self.path(name))).unwrap();
    }
}

/// An application for whoever shows a certificate of an authority.
fn for_anyone(ca: &str) -> Value {
    json!({
        "pre_authentication": ["client_certificate"],
        "client_certificates": { "ca": ca },
        "access": { "allow": ["anyone_with_certificate"] },
    })
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

async fn ask(client: &Client, request: Request<Full<Bytes>>) -> Answer {
    Answer::read(client.send(request).await).await
}

/// Asks over a connection that is open.
async fn over(connection: &mut Connection, url: &str) -> Answer {
    let answer = within("an answer", connection.send(get(url))).await;
    Answer::read(answer.unwrap()).await
}

/// What is refused says so in its body.
fn refusal(answer: &Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
    (answer.status.as_u16(), code)
}

fn assert_refused(answer: &Answer, (status, code): (u16, &str), what: &str) {
    assert_eq!(refusal(answer), (status, code.to_owned()), "{what}");
}

/// Waits for the word of the log about why a request was refused.
async fn why(stand: &Running, answer: &Answer) -> String {
    let id = answer.header("x-request-id").to_owned();
    let line = stand.gateway().line("why", move |line| {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        line["request_id"] == *id && line["detail"].is_string()
    });
    let line: Value = serde_json::from_str(&line.await).unwrap();
    line["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_comes_in_by_its_certificate_and_the_application_is_told_of_it() {
    let (devices, strangers) = (Authority::new(), Authority::new());
    let files = Files::new(&[("devices.pem", &devices)]);
    let (kiosk, open) = (Backend::echo().await, Backend::echo().await);
    let settings = json!({
        "pre_authentication": ["client_certificate"],
        "client_certificates": {
            "ca": files.path("devices.pem"),
            "forward_chain": true,
            "pem_header": "X-SSL-Client-Cert",
        },
        "access": {
            "allow": [{ "certificate": { "common_name": "kiosk-7" } }],
            "deny": [{ "certificate": { "serial": "9F:01" } }],
        },
    });
    let stand = Stand::new()
        .application_with("kiosk", &kiosk, settings)
        .application("open", &open)
        .start()
        .await;
    let url = stand.url("kiosk", "/page");
    let plain = stand.client();
    let showing = |leaf: &Leaf| plain.showing(stand.authority(), leaf);
    let good = devices.issue_client("kiosk-7");

    // Who shows none, one of somebody else's, one that is for servers, or one that is over.
    let none = plain.get(&url).await;
    assert_refused(&none, REQUIRED, "none");
    let of_servers = devices.issue(&["kiosk-7"]);
    let over = devices.issue_with(&["kiosk-7"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = OffsetDateTime::now_utc() - Duration::minutes(1);
    });
    let early = devices.issue_with(&["kiosk-7"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = OffsetDateTime::now_utc() + Duration::minutes(9);
    });
    for (leaf, expected) in [
        (strangers.issue_client("kiosk-7"), "none of the authorities"),
        (of_servers, "it is not for clients"),
        (over, "it has expired"),
        (early, "it is not valid yet"),
    ] {
        let answer = showing(&leaf).get(&url).await;
        assert_refused(&answer, REQUIRED, expected);
        let told = why(&stand, &answer).await;
        assert!(told.contains(expected), "{told}");
    }
    // Who has one that counts, and is not named, or is named by `deny`.
    let other = showing(&devices.issue_client("kiosk-8")).get(&url).await;
    assert_refused(&other, (403, "denied"), "another name");
    let told = why(&stand, &other).await;
    assert!(
        told.contains("certificate: { common_name: kiosk-7 }"),
        "{told}"
    );
    let gone = devices.issue_with(&["kiosk-7"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(vec![0x9f, 0x01].into());
    });
    let gone = showing(&gone).get(&url).await;
    assert_refused(&gone, (403, "denied"), "taken back");

    // Who is let in; whatever it says of a certificate itself is not believed.
    let mut forging = get(&url);
    for name in [
        "client-cert",
        "client_cert",
        "x-ssl-client-cert",
        "x_ssl_client_cert",
    ] {
        let value = http::HeaderValue::from_static("forged");
        forging.headers_mut().append(name, value);
    }
    let answer = ask(&showing(&good), forging).await;
    let seen = answer.json();
    let der = &good.certificates()[0];
    let expected = format!(":{}:", BASE64.encode(der));
    assert_eq!(seen["headers"]["client-cert"], json!([expected]), "{seen}");
    let pem = seen["headers"]["x-ssl-client-cert"][0].as_str().unwrap();
    let pem = percent_encoding(pem);
    assert_eq!(pem.replace('\n', ""), good.chain.replace(['\n', '\r'], ""));
    assert!(!seen.to_string().contains("forged"), "{seen}");
    assert_eq!(seen["headers"]["client-cert-chain"], Value::Null);
    let line = stand.access_line(answer.header("x-request-id")).await;
    let person = line["person"].as_str().unwrap();
    assert!(
        person.starts_with("certificate of kiosk-7 (serial "),
        "{line}"
    );

    // Nobody is asked at another host, and what is shown there is nothing to its application.
    let mut forging = get(&stand.url("open", "/"));
    for name in ["client-cert", "x-ssl-client-cert", "x_ssl_client_cert"] {
        let value = http::HeaderValue::from_static("forged");
        forging.headers_mut().append(name, value);
    }
    let seen = ask(&showing(&good), forging).await.json();
    assert!(!seen.to_string().contains("client"), "{seen}");

    // As somebody would try it.
    let folder = temporary();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("c.pem"), &good.chain).unwrap();
    fs::write(at("k.pem"), &good.key).unwrap();
    let (certificate, key) = (at("c.pem"), at("k.pem"));
    let shows = ["--cert", &certificate, "--key", &key];
    for (arguments, status) in [(&shows[..], "200"), (&[], "403")] {
        let status_of = ["-o", "/dev/null", "-w", "%{http_code}", &url];
        let seen = stand.curl(&[arguments, &status_of].concat()).await;
        assert_eq!(seen.stdout, status);
    }
}

fn percent_encoding(text: &str) -> String {
    let decoded = url::form_urlencoded::parse(text.as_bytes()).next();
    decoded.unwrap().0.into_owned()
}

#[tokio::test]
async fn rule_19_a_connection_serves_the_hosts_alone_that_ask_for_the_same_certificate() {
    let (devices, staff) = (Authority::new(), Authority::new());
    let files = Files::new(&[("devices.pem", &devices), ("staff.pem", &staff)]);
    let backend = Backend::echo().await;
    let of_devices = for_anyone(&files.path("devices.pem"));
    let stand = Stand::new()
        .application("open", &backend)
        .application_with("kiosk", &backend, of_devices.clone())
        .application_with("lobby", &backend, of_devices)
        .application_with("staff", &backend, for_anyone(&files.path("staff.pem")))
        .start()
        .await;
    let leaf = devices.issue_client("kiosk-7");
    let client = stand.client().showing(stand.authority(), &leaf);
    // A browser uses one connection of HTTP/2 for every name that the certificate has; whoever attacks uses
    // one of HTTP/1.1 in the same way.
    let hosts = ["open", "kiosk", "lobby", "staff"];
    let mut seen = 0;
    for client in [client.http2(), client.clone()] {
        for (server_name, statuses) in [
            ("open", [200, 421, 421, 421]),
            ("kiosk", [421, 200, 200, 421]),
            ("lobby", [421, 200, 200, 421]),
            // Asked for another authority's, a client shows what it has all the same.
            ("staff", [421, 421, 421, 403]),
        ] {
            let name = format!("{server_name}.localhost");
            for (host, status) in hosts.into_iter().zip(statuses) {
                let mut connection = client.connect(&name).await;
                let answer = over(&mut connection, &stand.url(host, "/")).await;
                seen += 1;
                let what = format!("{server_name} for {host}");
                match status {
                    200 => assert_eq!(answer.status, 200, "{what}"),
                    421 => assert_refused(&answer, MISDIRECTED, &what),
                    _ => assert_refused(&answer, REQUIRED, &what),
                }
            }
        }
    }
    assert_eq!(seen, 32);
    // A client that names no host is asked for nothing.
    let mut config = (*stand.authority().showing_config(&leaf, &["http/1.1"])).clone();
    config.enable_sni = false;
    let nameless = client.speaking(Arc::new(config));
    let mut nameless = nameless.connect("kiosk.localhost").await;
    let answer = over(&mut nameless, &stand.url("kiosk", "/")).await;
    assert_refused(&answer, MISDIRECTED, "no server name");
}

/// Sessions that are resumed whatever the host, as no honest client does.
#[derive(Debug)]
struct AnyHost(ClientSessionMemoryCache);

impl AnyHost {
    fn name() -> ServerName<'static> {
        ServerName::try_from("any.localhost").unwrap()
    }
}

impl ClientSessionStore for AnyHost {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

/// Asks for a page of a host over a new connection: how the handshake went, and the answer's status.
async fn visit(client: &Client, host: &str, port: u16) -> (HandshakeKind, u16) {
    let mut stream = client.raw(host).await;
    let asked = format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("the answer", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap();
    (kind, status.parse().unwrap())
}

#[tokio::test]
async fn rule_19_a_session_is_resumed_at_hosts_of_its_own_policy_alone() {
    let (devices, staff) = (Authority::new(), Authority::new());
    let files = Files::new(&[("devices.pem", &devices), ("staff.pem", &staff)]);
    let backend = Backend::echo().await;
    let stand = Stand::new()
        .application("open", &backend)
        .application_with("kiosk", &backend, for_anyone(&files.path("devices.pem")))
        .application_with("staff", &backend, for_anyone(&files.path("staff.pem")))
        .start()
        .await;
    let leaf = devices.issue_client("kiosk-7");
    let port = stand.address().port();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(stand.authority().roots())
            .with_client_auth_cert(leaf.certificates(), leaf.private_key())
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::store(Arc::new(AnyHost(ClientSessionMemoryCache::new(8))));
        let client = stand.client().speaking(Arc::new(config));
        let mut seen = Vec::new();
        for host in ["open", "open", "kiosk", "kiosk", "staff", "open", "kiosk"] {
            let (kind, status) = visit(&client, &format!("{host}.localhost"), port).await;
            seen.push((host, kind == HandshakeKind::Resumed, status));
        }
        // What is resumed goes on with its certificate, and nothing is resumed elsewhere.
        assert_eq!(
            seen,
            [
                ("open", false, 200),
                ("open", true, 200),
                ("kiosk", false, 200),
                ("kiosk", true, 200),
                ("staff", false, 403),
                ("open", false, 200),
                ("kiosk", false, 200),
            ],
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_ends_while_its_owner_is_connected_ends_what_it_let_in() {
    let devices = Authority::new();
    let files = Files::new(&[("devices.pem", &devices)]);
    let backend = Backend::demo().await.0;
    let stand = Stand::new()
        .application_with("kiosk", &backend, for_anyone(&files.path("devices.pem")))
        .start()
        .await;
    let leaf = devices.issue_with(&["kiosk-7"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(8);
    });
    let client = stand.client().showing(stand.authority(), &leaf);
    let url = stand.url("kiosk", "/");
    let mut kept = client.connect("kiosk.localhost").await;
    assert_eq!(over(&mut kept, &url).await.status, 200);
    let (mut socket, _) = client.websocket(with_origin(&stand, "kiosk")).await;
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "the certificate has ended")
    );
    let answer = over(&mut kept, &url).await;
    assert_refused(&answer, REQUIRED, "over");
    let told = why(&stand, &answer).await;
    assert!(told.contains("it has expired"), "{told}");
}

/// A handshake as a page of the application makes it.
fn with_origin(stand: &Running, name: &str) -> http::Request<()> {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
    let url = stand.url(name, "/ws").replacen("https", "wss", 1);
    let mut request = url.into_client_request().unwrap();
    let origin = stand.url(name, "");
    let origin = origin.trim_end_matches('/').parse().unwrap();
    request.headers_mut().insert("origin", origin);
    request
}

#[tokio::test]
async fn an_authority_that_is_taken_away_lets_nobody_in_who_is_connected() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&[("devices.pem", &old)]);
    let backend = Backend::demo().await.0;
    let stand = Stand::new()
        .application_with("kiosk", &backend, for_anyone(&files.path("devices.pem")))
        .start()
        .await;
    let showing = |leaf: &Leaf| stand.client().showing(stand.authority(), leaf);
    let url = stand.url("kiosk", "/");
    let (of_old, of_new) = (old.issue_client("kiosk-7"), new.issue_client("kiosk-7"));
    let client = showing(&of_old);
    let mut kept = client.connect("kiosk.localhost").await;
    assert_eq!(over(&mut kept, &url).await.status, 200);
    let (mut socket, _) = client.websocket(with_origin(&stand, "kiosk")).await;
    assert_refused(&showing(&of_new).get(&url).await, REQUIRED, "new before");

    // The file alone is another: nobody has to say so.
    let before = stand.gateway().said(IN_FORCE);
    files.put("devices.pem", new.pem());
    until("the new authority", || {
        stand.gateway().said(IN_FORCE) > before
    })
    .await;
    let close = close_of(&mut socket).await;
    assert_eq!(
        (close.code, close.reason.as_str()),
        (CloseCode::Policy, "the certificate has ended")
    );
    let answer = over(&mut kept, &url).await;
    assert_refused(&answer, REQUIRED, "old after");
    let told = why(&stand, &answer).await;
    assert!(told.contains("none of the authorities"), "{told}");
    assert_refused(&client.get(&url).await, REQUIRED, "old again");
    assert_eq!(showing(&of_new).get(&url).await.status, 200);

    // A file that is no good changes nothing.
    let refused = crate::reload::REFUSED;
    files.put("devices.pem", "nothing");
    until("a refusal", || stand.gateway().said(refused) > 0).await;
    assert_eq!(showing(&of_new).get(&url).await.status, 200);
    files.put("devices.pem", new.pem());

    // Where nobody is asked any more, a connection that was is sent to make another.
    let mut kept = showing(&of_new).connect("kiosk.localhost").await;
    assert_eq!(over(&mut kept, &url).await.status, 200);
    edit(&stand.gateway_file(), |config| {
        let kiosk = applications(config)[0].as_object_mut().unwrap();
        kiosk.remove("client_certificates");
        kiosk.remove("access");
        kiosk.insert("pre_authentication".into(), json!(["passthrough"]));
    });
    let reloaded = reload(&stand).await;
    assert_eq!(reloaded["outcome"], "done", "{reloaded}");
    assert_refused(&over(&mut kept, &url).await, MISDIRECTED, "asked before");
    until("the end of the connection", || !kept.is_open()).await;
    assert_eq!(stand.client().get(&url).await.status, 200);
}

#[tokio::test]
async fn what_was_let_in_by_an_authority_that_its_host_gave_up_is_cut_off() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&[("old.pem", &old), ("new.pem", &new)]);
    let backend = Backend::demo().await.0;
    let stand = Stand::new()
        .application_with("kiosk", &backend, for_anyone(&files.path("old.pem")))
        // Another host goes on with it.
        .application_with("lobby", &backend, for_anyone(&files.path("old.pem")))
        .start()
        .await;
    let leaf = old.issue_client("kiosk-7");
    let client = stand.client().showing(stand.authority(), &leaf);
    let (mut gone, _) = client.websocket(with_origin(&stand, "kiosk")).await;
    let (mut stays, _) = client.websocket(with_origin(&stand, "lobby")).await;
    edit(&stand.gateway_file(), |config| {
        let ca = json!(files.path("new.pem"));
        applications(config)[0]["client_certificates"]["ca"] = ca;
    });
    assert_eq!(reload(&stand).await["outcome"], "done");
    let close = close_of(&mut gone).await;
    assert_eq!(close.code, CloseCode::Policy);
    stays.send(Message::text("still here")).await.unwrap();
    let echo = within("the echo", stays.next()).await.unwrap().unwrap();
    assert!(echo.is_text() || echo.is_ping(), "{echo:?}");
}

#[tokio::test]
async fn rule_17_a_certificate_goes_with_every_page_so_what_changes_something_says_its_origin() {
    let devices = Authority::new();
    let files = Files::new(&[("devices.pem", &devices)]);
    let (asked, open) = (Backend::echo().await, Backend::echo().await);
    let certificates =
        json!({ "ca": files.path("devices.pem"), "without_origin": ["/telemetry/"] });
    let mut by_certificate = for_anyone(&files.path("devices.pem"));
    by_certificate["client_certificates"] = certificates.clone();
    let stand = Stand::new()
        .application_with("kiosk", &asked, by_certificate)
        // It looks at the certificate itself.
        .application_with(
            "lobby",
            &open,
            json!({ "client_certificates": certificates }),
        )
        .start()
        .await;
    let leaf = devices.issue_client("kiosk-7");
    let client = stand.client().showing(stand.authority(), &leaf);
    let mut seen = 0;
    for name in ["kiosk", "lobby"] {
        let own = stand.url(name, "");
        let own = own.trim_end_matches('/');
        for (path, fields, status) in [
            ("/page", &[][..], 403),
            ("/page", &[("origin", own)], 200),
            ("/page", &[("origin", "https://evil.localhost")], 403),
            ("/page", &[("origin", "null")], 403),
            ("/telemetry/x", &[], 200),
            ("/telemetry/x", &[("origin", "https://evil.localhost")], 403),
            ("/telemetry/x", &[("sec-fetch-site", "cross-site")], 403),
            (
                "/telemetry/x",
                &[("referer", "https://evil.localhost/")],
                403,
            ),
            ("/Telemetry/x", &[], 403),
            ("/telemetryx", &[], 403),
        ] {
            let mut request = Request::post(stand.url(name, path));
            for (field, value) in fields {
                request = request.header(*field, *value);
            }
            let answer = ask(&client, request.body(Full::default()).unwrap()).await;
            let what = format!("{name} {path} {fields:?}");
            match status {
                200 => assert_eq!(answer.status, 200, "{what}"),
                _ => assert_refused(&answer, (403, "cross_origin"), &what),
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 20);
    // Whoever shows none has nothing that a page could use.
    let request = Request::post(stand.url("lobby", "/page")).body(Full::default());
    let answer = ask(stand.client(), request.unwrap()).await;
    assert_eq!(answer.json()["headers"]["client-cert"], Value::Null);
}

#[tokio::test]
async fn a_certificate_is_wanted_beside_a_sign_in_or_in_its_place() {
    let issuer = provider().await;
    let devices = Authority::new();
    let files = Files::new(&[("devices.pem", &devices)]);
    let backend = Backend::echo().await;
    let both = json!({
        "pre_authentication": ["oidc"],
        "client_certificates": { "ca": files.path("devices.pem") },
        "access": { "allow": [{ "group": "staff", "certificate": { "common_name": "laptop" } }] },
    });
    let either = json!({
        "pre_authentication": ["client_certificate", "oidc"],
        "client_certificates": { "ca": files.path("devices.pem"), "forward": false },
        // From here alone nobody comes in who has shown nothing else.
        "access": { "allow": [
            { "group": "staff" },
            { "ip": ["127.0.0.0/8"], "claim": { "name": "nobody", "value": "x" } },
            { "certificate": { "common_name": "laptop" } },
        ] },
    });
    let by_network = json!({
        "client_certificates": { "ca": files.path("devices.pem") },
        "access": { "deny": [{ "not": "anyone_with_certificate" }] },
    });
    let stand = with_sign_in(
        Stand::new()
            .application_with("both", &backend, both)
            .application_with("either", &backend, either)
            .application_with("shut", &backend, by_network),
        &issuer,
    )
    .start()
    .await;
    let laptop = devices.issue_client("laptop");
    let phone = devices.issue_client("phone");
    let showing = |leaf: &Leaf| stand.client().showing(stand.authority(), leaf);
    // Who signs in without it, and with it.
    let url = stand.url("both", "/");
    for (leaf, status) in [(None, 403), (Some(&phone), 403), (Some(&laptop), 200)] {
        let mut alice = Browser::new(&stand);
        if let Some(leaf) = leaf {
            alice.shows(&showing(leaf));
        }
        alice.sign_in(&url, "alice").await;
        assert_eq!(alice.open(&url).await.status, status);
    }
    let answer = showing(&laptop).get(&url).await;
    assert_refused(&answer, (401, "sign_in_required"), "not signed in");

    let url = stand.url("either", "/");
    let answer = showing(&laptop).get(&url).await;
    assert_eq!(answer.json()["headers"]["client-cert"], Value::Null);
    assert_refused(&showing(&phone).get(&url).await, (403, "denied"), "another");
    assert_refused(
        &stand.client().get(&url).await,
        (401, "sign_in_required"),
        "none",
    );
    let mut alice = Browser::new(&stand);
    alice.sign_in(&url, "alice").await;
    assert_eq!(alice.open(&url).await.status, 200);

    // A rule that needs no identity guards what is open otherwise.
    let url = stand.url("shut", "/");
    assert_eq!(showing(&phone).get(&url).await.status, 200);
    assert_refused(&stand.client().get(&url).await, (403, "denied"), "shut");
}
