//! Enrolment and who may open a tunnel: what a stranger, a thief and a man in the middle get.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use appproxy::certs::{Authority as Ours, PeerConnector, Pin, provider};
use appproxy::clock::{Clock, Timestamp};
use appproxy::model::Endpoint;
use appproxy::store::{AuthorityRecord, StoreKeys, open_sqlite};
use appproxy::tunnel::enrol::{Answer, Enrol, Enrolled, Request, read_line, write_line};
use appproxy::tunnel::tls::{Credentials, connector_enrol, connector_tunnel};
use appproxy::tunnel::token::Token;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Authority, Process, Running, Stand, run, until, within, words};

/// A gateway without connectors.
async fn gateway() -> Running {
    Stand::new().connectors(0).start().await
}

/// Registers with a token on standard input, by one of the command's two names.
async fn register(stand: &Running, config: &Path, token: &str) -> (Option<i32>, String, String) {
    let arguments = ["register", "--config", config.to_str().unwrap()].map(str::to_owned);
    let output = stand.program(&arguments, token).await;
    (output.status.code(), output.stdout, output.stderr)
}

fn refused(sentence: &str) -> (Option<i32>, String, String) {
    (Some(1), String::new(), format!("appproxy: {sentence}\n"))
}

/// A gateway's list, as programs read it.
async fn list(stand: &Running, what: &str) -> Vec<Value> {
    let file = stand.gateway_file();
    let arguments = ["gateway", what, "list", "--json", "--config"].map(str::to_owned);
    let arguments = [&arguments[..], &[file.display().to_string()]].concat();
    let text = stand.program(&arguments, "").await.success();
    serde_json::from_str(&text).unwrap()
}

pub(crate) async fn authority(stand: &Running) -> AuthorityRecord {
    let file = stand.folder().join("gateway.db");
    let keys = StoreKeys::for_store(None, &file).unwrap();
    let store = open_sqlite(&file, keys).await.unwrap();
    store.authorities().await.unwrap().remove(0)
}

/// Every octet of the files below a folder and of a process's log.
fn traces(stand: &Running) -> String {
    let mut all = stand.gateway().log().join("\n");
    for entry in fs::read_dir(stand.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
        }
    }
    all
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn a_token_that_is_not_good_is_refused_with_its_reason_and_leaves_nothing() {
    let mut stand = gateway().await;
    let at = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    let good = stand.token("hq").await;
    let good = good.trim();

    let spent = stand.token("hq").await;
    let first = stand.connector_file();
    let (code, ..) = register(&stand, &first, &spent).await;
    assert_eq!(code, Some(0));

    let revoked = stand.token("hq").await;
    let id = Token::parse(&revoked).unwrap().secret.id();
    let file = stand.gateway_file().display().to_string();
    let revoke = ["gateway", "token", "revoke", &id, "--config", &file].map(str::to_owned);
    let output = stand.program(&revoke, "").await;
    assert_eq!(output.status.code(), Some(0));
    let sentence = format!(
        "Token {id} is worthless from now on. Connectors it enrolled stay; `appproxy gateway connector remove` removes one.\n"
    );
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("", sentence.as_str())
    );

    let expired = stand.token("hq").await;
    let id = Token::parse(&expired).unwrap().secret.id();
    let database = stand.folder().join("gateway.db").display().to_string();
    // The shortest life of a token is a minute; a test does not wait for it.
    let sql =
        format!("PRAGMA busy_timeout=5000; UPDATE tokens SET expires = created WHERE id = '{id}'");
    run("sqlite3", &[&database, &sql], &[], "").await.success();

    let here = Endpoint::parse(&at).unwrap();
    let other_pin = Ours::create(Clock::system().now()).unwrap().pin();
    let foreign = Token::new(vec![here.clone()], other_pin).unwrap();
    let pin = Token::parse(good).unwrap().pin;
    let unknown = Token::new(vec![here], pin).unwrap();
    let nowhere = Token::new(vec![Endpoint::parse("127.0.0.1:1").unwrap()], pin).unwrap();

    let body = &good[..good.len() - 1];
    let last = if good.ends_with('A') { "B" } else { "A" };
    let middle = if &good[60..61] == "A" { "B" } else { "A" };
    let changed = "error [token_damaged] the token is incomplete or was changed on the way: copy it again, whole";
    let by_gateway =
        |code: &str, sentence: &str| format!("error [{code}] the gateway {at} refused: {sentence}");
    let cases: Vec<(&str, String, String)> = vec![
        ("nothing", String::new(), "error [token_missing] no token was given".into()),
        ("blanks", " \n\t".into(), "error [token_missing] no token was given".into()),
        (
            "something else",
            "correct horse battery staple".into(),
            "error [not_a_token] this is not an enrolment token: one begins with `apx1_`; `appproxy gateway token create` prints it".into(),
        ),
        ("the prefix", "apx1_".into(), changed.into()),
        ("truncated", body.into(), changed.into()),
        ("truncated to half", good[..good.len() / 2].into(), changed.into()),
        ("the end mistyped", format!("{body}{last}"), changed.into()),
        ("the middle mistyped", format!("{}{middle}{}", &good[..60], &good[61..]), changed.into()),
        (// The underscore of the second prefix is a good character: what fails is the sum.
            "pasted twice", format!("{good}{good}"), changed.into()),
        (
            "another character",
            format!("{body}!"),
            "error [token_damaged] the token has a character that no token has: it was changed on the way; copy it again, whole".into(),
        ),
        (
            "spent",
            spent,
            by_gateway("token_spent", "this token has been used: every connector needs a use of its own; make another token"),
        ),
        (
            "revoked",
            revoked,
            by_gateway("token_revoked", "this token was revoked: ask who runs the gateway for another one"),
        ),
        (
            "expired",
            expired,
            by_gateway("token_expired", "this token has expired: make another one, with a longer --ttl if need be"),
        ),
        (
            "not issued here",
            unknown.encode().to_string(),
            by_gateway("token_unknown", "this gateway has not issued this token: make one with `appproxy gateway token create` there"),
        ),
        (
            "another gateway's",
            foreign.encode().to_string(),
            format!("no gateway of this token could be used:\n  {at}: error [other_installation] this is a gateway of another installation: its authority is not the one known here"),
        ),
        (
            "nobody there",
            nowhere.encode().to_string(),
            "no gateway of this token could be used:\n  127.0.0.1:1: error [port_closed] cannot be reached: 127.0.0.1:1 refused the connection (tried 127.0.0.1:1): nothing listens on that port".into(),
        ),
    ];
    let mut seen = 0;
    for (name, token, sentence) in &cases {
        let config = stand.connector_file();
        let got = register(&stand, &config, token).await;
        assert_eq!(got, refused(sentence), "{name}");
        assert!(
            !config.with_extension("").join("identity.pem").exists(),
            "{name}"
        );
        seen += 1;
    }
    assert_eq!(seen, 16);
    until("a line of each", || stand.gateway().said("enrolment") >= 5).await;
    let lines: Vec<Value> = stand
        .gateway()
        .log()
        .iter()
        .filter(|line| words::message(line).as_deref() == Some("enrolment"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["code"], Value::Null);
    // The code is the word that whoever registers is told.
    let refusals = &lines[1..];
    assert!(refusals.iter().all(|line| line["code"] == line["outcome"]));
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "enrolled",
            "token_spent",
            "token_revoked",
            "token_expired",
            "token_unknown"
        ]
    );
    assert_eq!(list(&stand, "connector").await.len(), 1);
    // The good one was never presented, whatever was made of it.
    let tokens = list(&stand, "token").await;
    let states: Vec<_> = tokens
        .iter()
        .map(|t| t["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.len(), 4);
    for state in ["valid", "spent", "revoked", "expired"] {
        assert_eq!(
            states.iter().filter(|s| **s == state).count(),
            1,
            "{states:?}"
        );
    }
}

#[tokio::test]
async fn an_address_that_tries_too_often_is_told_to_wait() {
    let mut stand = gateway().await;
    let at = format!("{}:{}", words::GATEWAY_NAME, stand.address().port());
    let pin = Token::parse(&stand.token("hq").await).unwrap().pin;
    let config = stand.connector_file();
    for _ in 0..10 {
        let unknown = Token::new(vec![Endpoint::parse(&at).unwrap()], pin).unwrap();
        let (code, _, text) = register(&stand, &config, &unknown.encode()).await;
        assert_eq!(code, Some(1));
        assert!(text.contains("has not issued this token"), "{text}");
    }
    let told = refused(&format!(
        "no gateway of this token could be used:\n  {at}: error [throttled] too many attempts from this address: wait a minute"
    ));
    // Another attempt is free every few seconds: where these take long, some more are taken.
    within("that it is told to wait", async {
        loop {
            let good = stand.token("hq").await;
            let config = stand.connector_file();
            let got = register(&stand, &config, &good).await;
            if got == told {
                return;
            }
            assert_eq!(got.0, Some(0), "{got:?}");
        }
    })
    .await;
    // What was not looked at costs a good token nothing.
    assert_eq!(list(&stand, "token").await[0]["state"], "valid");
}

/// Types a token into a terminal as soon as it is asked for, and says what was to be seen there.
const TERMINAL: &str = r#"
import json, os, pty, sys, termios
token = sys.stdin.read().strip()
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b""
def read():
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
while b"shown): " not in seen:
    more = read()
    if not more:
        break
    seen += more
echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
line = open(f"/proc/{pid}/cmdline").read()
os.write(terminal, token.encode() + b"\n")
while more := read():
    seen += more
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"status": status, "seen": seen.decode(), "echo": echo, "line": line}))
"#;

#[tokio::test]
async fn the_token_comes_from_a_file_the_environment_standard_input_or_a_terminal_without_echo() {
    let mut stand = gateway().await;
    let mut tokens = Vec::new();
    for _ in 0..6 {
        tokens.push(stand.token("hq").await.trim().to_owned());
    }
    let mut configs = Vec::new();
    for _ in 0..6 {
        configs.push(stand.connector_file());
    }
    let file = stand.folder().join("token");
    fs::write(&file, &tokens[0]).unwrap();
    let file = file.display().to_string();
    let registered = |text: &str| {
        let id = text.strip_prefix("Registered as c").unwrap();
        assert_eq!(id.find(' '), Some(24), "{text}");
        assert_eq!(id.split_once(' ').unwrap().1, "in group hq.\n");
    };
    let config = |n: usize| configs[n].to_str().unwrap();

    for command in [vec!["register"], vec!["connector", "register"]] {
        let n = command.len() - 1;
        fs::write(&file, &tokens[n]).unwrap();
        let arguments = [
            &command[..],
            &["--config", config(n), "--token-file", &file],
        ]
        .concat();
        let arguments: Vec<_> = arguments.into_iter().map(str::to_owned).collect();
        registered(&stand.program(&arguments, "").await.success());
    }
    fs::remove_file(&file).unwrap();
    let arguments = ["register", "--config", config(2), "--token-env", "TOKEN"];
    let output = run(words::PROGRAM, &arguments, &[("TOKEN", &tokens[2])], "").await;
    registered(&output.success());
    let arguments = ["register", "--config", config(3)];
    registered(
        &run(words::PROGRAM, &arguments, &[], &tokens[3])
            .await
            .success(),
    );

    let arguments = [
        "-c",
        TERMINAL,
        words::PROGRAM,
        "connector",
        "register",
        "--config",
        config(4),
    ];
    let seen = run("python3", &arguments, &[], &tokens[4]).await.success();
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["status"], 0, "{seen}");
    assert_eq!(seen["echo"], false);
    let screen = seen["seen"].as_str().unwrap();
    assert!(
        screen.starts_with("Enrolment token (it will not be shown): \r\nRegistered as c"),
        "{screen}"
    );
    assert!(!screen.contains("apx1_"), "{screen}");
    assert!(!seen["line"].as_str().unwrap().contains("apx1_"));

    // What stands on the command line is refused before anything is dialled, and not repeated.
    let arguments = ["register", "--config", config(5), &tokens[5]];
    let output = run(words::PROGRAM, &arguments, &[], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        "appproxy: error [token_exposed] the token must not stand on the command line: every user of this host can read it there, and the shell keeps it. Leave it out to be asked for it, pipe it in, or use --token-file or --token-env. Revoke this one if others use this host\n"
    );

    assert_eq!(list(&stand, "connector").await.len(), 5);
    let traces = traces(&stand);
    for token in &tokens {
        assert!(!traces.contains(token.as_str()));
    }
    assert!(!traces.contains("apx1_"));
}

#[tokio::test]
async fn an_identity_is_private_and_given_up_only_when_asked_to() {
    let mut stand = gateway().await;
    let config = stand.connector_file();
    let state = config.with_extension("");
    let token = stand.token("hq").await;
    assert_eq!(register(&stand, &config, &token).await.0, Some(0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("identity.pem")), 0o600);
    let mut files: Vec<_> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["gateways.json", "identity.pem", "register.lock"]);

    let before = fs::read(state.join("identity.pem")).unwrap();
    let token = stand.token("branch").await;
    let sentence = format!(
        "error [already_registered] {} holds an identity already: add `--replace` to give it up for a new one",
        state.display()
    );
    assert_eq!(register(&stand, &config, &token).await, refused(&sentence));
    assert_eq!(fs::read(state.join("identity.pem")).unwrap(), before);
    assert_eq!(list(&stand, "token").await[0]["used"], 0);

    let arguments = [
        "register",
        "--replace",
        "--config",
        config.to_str().unwrap(),
    ];
    let output = stand.program(&arguments.map(str::to_owned), &token).await;
    assert!(output.success().ends_with(" in group branch.\n"));
    assert_ne!(fs::read(state.join("identity.pem")).unwrap(), before);
    assert_eq!(mode(&state.join("identity.pem")), 0o600);
    assert_eq!(list(&stand, "connector").await.len(), 2);
}

/// Passes TLS on to the gateway up to its answer, which is lost; ends when `until` does.
async fn lose_the_answer(listener: TcpListener, gateway: SocketAddr, until: impl Future) {
    let (client, _) = listener.accept().await.unwrap();
    let server = TcpStream::connect(gateway).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (asked, mut is_asked) = tokio::sync::watch::channel(false);
    let up = async {
        let mut chunk = vec![0; 65536];
        loop {
            let n = from_client.read(&mut chunk).await.unwrap();
            // What is encrypted after the ClientHello is Finished and the request.
            if chunk[0] == 0x17 || (chunk[0] == 0x14 && n > 6) {
                asked.send_replace(true);
            }
            if n == 0 || to_server.write_all(&chunk[..n]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let down = async {
        let mut chunk = vec![0; 65536];
        loop {
            let n = from_server.read(&mut chunk).await.unwrap_or(0);
            if n == 0 || *is_asked.borrow_and_update() {
                break;
            }
            to_client.write_all(&chunk[..n]).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = until => {}
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_had_again_with_the_same_token() {
    let mut stand = gateway().await;
    let config = stand.connector_file();
    let token = stand.token("hq").await;
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut by_relay = Token::parse(&token).unwrap();
    let relay_at = relay.local_addr().unwrap();
    by_relay.gateways = vec![Endpoint::parse(&relay_at.to_string()).unwrap()];
    let text = by_relay.encode();
    let (got, ()) = tokio::join!(
        register(&stand, &config, &text),
        lose_the_answer(relay, stand.address(), stand.gateway().says("enrolment")),
    );
    assert_eq!(got.0, Some(1));
    assert!(
        got.2.starts_with(&format!(
            "appproxy: no gateway of this token could be used:\n  {relay_at}: error [tunnel_ended] the connection "
        )),
        "{}",
        got.2
    );
    let connectors = list(&stand, "connector").await;
    assert_eq!(connectors.len(), 1);
    let id = connectors[0]["id"].as_str().unwrap();

    let got = register(&stand, &config, &token).await;
    assert_eq!(
        (got.0, got.1),
        (Some(0), format!("Registered as {id} in group hq.\n"))
    );
    assert_eq!(list(&stand, "connector").await.len(), 1);
    assert_eq!(list(&stand, "token").await[0]["used"], 1);
    assert!(!config.with_extension("").join("pending.pem").exists());
}

#[tokio::test]
async fn of_two_registrations_at_once_with_one_use_one_wins() {
    let mut stand = gateway().await;
    for round in 1..=4 {
        let token = stand.token("hq").await;
        let (one, two) = (stand.connector_file(), stand.connector_file());
        let (one, two) = tokio::join!(
            register(&stand, &one, &token),
            register(&stand, &two, &token)
        );
        let (won, lost) = if one.0 == Some(0) {
            (one, two)
        } else {
            (two, one)
        };
        assert_eq!(won.0, Some(0), "{won:?} {lost:?}");
        assert_eq!(lost.0, Some(1));
        assert!(
            lost.2.starts_with("appproxy: error [token_spent] "),
            "{}",
            lost.2
        );
        assert!(lost.2.ends_with("refused: this token has been used: every connector needs a use of its own; make another token\n"), "{}", lost.2);
        assert_eq!(list(&stand, "connector").await.len(), round);
    }
}

/// Says the words of enrolment with a request of one's own.
pub(crate) async fn enrol(
    stand: &Running,
    token: &Token,
    key: &KeyPair,
    params: CertificateParams,
) -> Enrolled {
    let csr = params.serialize_request(key).unwrap();
    let tcp = TcpStream::connect(stand.address()).await.unwrap();
    let name = ServerName::try_from(words::GATEWAY_NAME).unwrap();
    let tls = TlsConnector::from(Arc::new(connector_enrol(token.pin).unwrap()));
    let mut tls = tls.connect(name, tcp).await.unwrap();
    let request = Request::Enrol(Enrol {
        secret: token.secret.clone(),
        csr: Enrol::encode_csr(csr.der()),
        name: "evil\u{1b}[2J\nname".to_owned(),
        version: "0".to_owned(),
        time: 0,
    });
    write_line(&mut tls, &request).await.unwrap();
    match read_line(&mut tls).await.unwrap() {
        Answer::Enrolled(enrolled) => enrolled,
        other => panic!("{other:?}"),
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[tokio::test]
async fn of_a_certificate_request_nothing_but_the_key_is_taken() {
    let stand = gateway().await;
    let token = Token::parse(&stand.token("hq").await).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut wishes = CertificateParams::new(vec!["gateway.appproxy.internal".to_owned()]).unwrap();
    wishes.distinguished_name = DistinguishedName::new();
    wishes
        .distinguished_name
        .push(DnType::CommonName, "gateway.appproxy.internal");
    wishes
        .subject_alt_names
        .push(uri("urn:appproxy:group:finance"));
    wishes
        .subject_alt_names
        .push(uri("urn:appproxy:connector:c0123456789abcdef01234567"));
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let enrolled = enrol(&stand, &token, &key, wishes).await;

    let der = CertificateDer::from_pem_slice(enrolled.chain.as_bytes()).unwrap();
    let peer = PeerConnector::from_certificate(&der).unwrap();
    assert_eq!(
        (peer.id.as_str(), peer.group.as_str()),
        (enrolled.id.as_str(), "hq")
    );
    assert_ne!(enrolled.id, "c0123456789abcdef01234567");
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(parsed.subject().to_string(), format!("CN={}", enrolled.id));
    let usage = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !parsed.is_ca());
    let spki = key.public_key_raw();
    assert_eq!(parsed.public_key().subject_public_key.data.as_ref(), spki);
    let life = parsed.validity().not_after.timestamp() - Clock::system().now().0;
    assert!((90 * 86_400 - 60..=90 * 86_400).contains(&life), "{life}");
    // Nor does a name get at the terminal of whoever reads the list.
    assert_eq!(list(&stand, "connector").await[0]["name"], "evil[2Jname");
}

/// A certificate that somebody could show, other than by its life: names, roles, days from now.
struct Shown<'a> {
    names: Vec<SanType>,
    roles: &'a [ExtendedKeyUsagePurpose],
    days: (i64, i64),
}

impl Shown<'_> {
    /// The PEM of key and certificate, signed by this issuer, or by itself.
    fn signed(&self, issuer: Option<&Issuer<'_, KeyPair>>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "appproxy");
        params.subject_alt_names = self.names.clone();
        params.extended_key_usages = self.roles.to_vec();
        let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().0).unwrap();
        params.not_before = now + Duration::days(self.days.0);
        params.not_after = now + Duration::days(self.days.1);
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        (key.serialize_pem(), certificate.pem())
    }
}

pub(crate) fn issuer(record: &AuthorityRecord) -> Issuer<'static, KeyPair> {
    let key = KeyPair::from_pem(record.key_pem.expose_secret()).unwrap();
    Issuer::from_ca_cert_pem(&record.certificate_pem, key).unwrap()
}

pub(crate) fn connector_names(id: &str, group: &str) -> Vec<SanType> {
    vec![
        uri(&format!("urn:appproxy:connector:{id}")),
        uri(&format!("urn:appproxy:group:{group}")),
    ]
}

/// What the gateway's TLS says to a certificate.
pub(crate) async fn tunnel_alert(stand: &Running, config: ClientConfig) -> String {
    let tcp = TcpStream::connect(stand.address()).await.unwrap();
    let name = ServerName::try_from(words::GATEWAY_NAME).unwrap();
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await;
    let error = match tls {
        Err(error) => error,
        // In TLS 1.3 the client is done before the gateway has looked at its certificate.
        Ok(mut tls) => {
            within("the gateway's word", async {
                let mut octets = Vec::new();
                tls.read_to_end(&mut octets).await.unwrap_err()
            })
            .await
        }
    };
    error.to_string()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn a_certificate_that_is_no_connectors_gets_no_tunnel() {
    let stand = gateway().await;
    let token = Token::parse(&stand.token("hq").await).unwrap();
    let key = KeyPair::generate().unwrap();
    let good = enrol(&stand, &token, &key, CertificateParams::default()).await;
    let ours = authority(&stand).await;
    let ours_issuer = issuer(&ours);
    let now = Clock::system().now();
    let other = Ours::create(now).unwrap();
    let other = AuthorityRecord {
        certificate_pem: other.certificate_pem(),
        key_pem: other.key_pem(),
        ends: None,
    };
    let other_issuer = issuer(&other);
    let client = &[ExtendedKeyUsagePurpose::ClientAuth][..];
    let server = &[ExtendedKeyUsagePurpose::ServerAuth][..];
    let both = &[
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ][..];
    let names = || connector_names(&good.id, "hq");
    let shown = |names, roles, days| Shown { names, roles, days };
    let two = [names(), connector_names("c0123456789abcdef01234567", "hq")].concat();
    let gateway = vec![SanType::DnsName(
        "gateway.appproxy.internal".try_into().unwrap(),
    )];
    let cases = [
        (
            "self-signed",
            shown(names(), client, (-1, 1)),
            None,
            "DecryptError",
        ),
        (
            "another authority's",
            shown(names(), client, (-1, 1)),
            Some(&other_issuer),
            "DecryptError",
        ),
        (
            "a server's role",
            shown(names(), server, (-1, 1)),
            Some(&ours_issuer),
            "UnsupportedCertificate",
        ),
        (
            "both roles",
            shown(names(), both, (-1, 1)),
            Some(&ours_issuer),
            "CertificateUnknown",
        ),
        (
            "no role",
            shown(names(), &[], (-1, 1)),
            Some(&ours_issuer),
            "CertificateUnknown",
        ),
        (
            "a gateway's",
            shown(gateway, server, (-1, 1)),
            Some(&ours_issuer),
            "UnsupportedCertificate",
        ),
        (
            "no names",
            shown(Vec::new(), client, (-1, 1)),
            Some(&ours_issuer),
            "CertificateUnknown",
        ),
        (
            "two connectors",
            shown(two, client, (-1, 1)),
            Some(&ours_issuer),
            "CertificateUnknown",
        ),
        (
            "expired",
            shown(names(), client, (-2, -1)),
            Some(&ours_issuer),
            "CertificateExpired",
        ),
        (
            "not yet valid",
            shown(names(), client, (1, 2)),
            Some(&ours_issuer),
            "CertificateExpired",
        ),
    ];
    let mut alerts = Vec::new();
    for (name, shown, issuer, wanted) in &cases {
        let (key, chain) = shown.signed(*issuer);
        let credentials = Credentials {
            chain: vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            authorities: vec![
                CertificateDer::from_pem_slice(ours.certificate_pem.as_bytes()).unwrap(),
            ],
        };
        let got = tunnel_alert(&stand, connector_tunnel(&credentials).unwrap()).await;
        alerts.push((*name, got, format!("received fatal alert: {wanted}")));
    }
    let mut none = connector_enrol(token.pin).unwrap();
    none.alpn_protocols = vec![b"appproxy/1".to_vec()];
    let got = tunnel_alert(&stand, none).await;
    alerts.push((
        "none",
        got,
        "received fatal alert: CertificateRequired".to_owned(),
    ));
    assert_eq!(alerts.len(), 11);
    for (name, got, wanted) in &alerts {
        assert_eq!(got, wanted, "{name}: {alerts:#?}");
    }
    assert!(
        !stand
            .gateway()
            .log()
            .iter()
            .any(|line| line.contains("tunnel open"))
    );
}

/// Starts a connector with an identity of one's own making and waits for the first reason for
/// which it has no tunnel, with its code.
async fn reason(
    stand: &mut Running,
    identity: &str,
    gateway: SocketAddr,
) -> (Process, (String, String)) {
    let config = stand.connector_file();
    let state = config.with_extension("");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("identity.pem"), identity).unwrap();
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    text["gateways"] = json!([gateway.to_string()]);
    fs::write(&config, text.to_string()).unwrap();
    let connector = stand.spawn_connector(&config);
    let line = connector.says("no tunnel; trying again").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    let reason = (text("code"), text("reason"));
    (connector, reason)
}

#[tokio::test]
async fn the_store_decides_whatever_a_certificate_says() {
    let mut stand = gateway().await;
    let token = Token::parse(&stand.token("hq").await).unwrap();
    let key = KeyPair::generate().unwrap();
    let good = enrol(&stand, &token, &key, CertificateParams::default()).await;
    let ours = authority(&stand).await;
    let ours_issuer = issuer(&ours);
    let refused = "the gateway refuses this connector: ";
    let cases = [
        (
            connector_names(&good.id, "finance"),
            format!("{refused}its certificate names the group finance, the store hq"),
        ),
        (
            connector_names("c0123456789abcdef01234567", "hq"),
            format!("{refused}it never was enrolled at this gateway's store"),
        ),
    ];
    let mut seen = 0;
    for (names, wanted) in cases {
        let roles = &[ExtendedKeyUsagePurpose::ClientAuth];
        let (key, chain) = Shown {
            names,
            roles,
            days: (-1, 1),
        }
        .signed(Some(&ours_issuer));
        let identity = format!("{key}{chain}{}", ours.certificate_pem);
        let at = stand.address();
        for _ in 0..4 {
            let (_connector, (code, got)) = reason(&mut stand, &identity, at).await;
            assert_eq!((code.as_str(), &got), ("connector_refused", &wanted));
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
    let line = stand.gateway().line("why", |line| {
        words::message(line).as_deref() == Some(words::TUNNEL_CLOSED)
    });
    assert!(line.await.contains("\"code\":\"connector_refused\""));
    assert!(
        !stand
            .gateway()
            .log()
            .iter()
            .any(|line| line.contains("tunnel open"))
    );
}

/// Something that a connector dials: it counts the connections, each of which it greets with TLS
/// of this configuration, or with silence.
async fn posing(tls: Option<ServerConfig>) -> (SocketAddr, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, counted) = tokio::sync::watch::channel(0);
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            count.send_modify(|count| *count += 1);
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(tls) => {
                        // Whatever the other end thinks of it, it is held open.
                        let mut tls = tls.accept(tcp).await?;
                        tls.read_to_end(&mut Vec::new()).await?;
                    }
                    None => std::future::pending().await,
                }
                std::io::Result::Ok(())
            });
        }
    });
    (address, counted)
}

fn posing_as(key: &str, chain: &[&str], alpn: &[u8]) -> ServerConfig {
    let chain = chain
        .iter()
        .map(|c| CertificateDer::from_pem_slice(c.as_bytes()).unwrap());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let leaf = CertifiedKey::from_der(chain.collect(), key, &provider()).unwrap();
    serving(leaf.into(), alpn)
}

fn serving(leaf: Arc<CertifiedKey>, alpn: &[u8]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf)));
    if !alpn.is_empty() {
        config.alpn_protocols = vec![alpn.to_vec()];
    }
    config
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn a_connector_trusts_no_gateway_but_its_own_and_says_who_was_there_instead() {
    let mut stand = gateway().await;
    let config = stand.enrol("hq").await;
    let identity = fs::read_to_string(config.with_extension("").join("identity.pem")).unwrap();
    let sections: Vec<&str> = identity
        .split_inclusive("-----END CERTIFICATE-----")
        .collect();
    let (own_leaf, own_authority) = (
        &sections[0][sections[0].find("-----BEGIN CERT").unwrap()..],
        sections[1],
    );
    let ours = authority(&stand).await;
    let ours_issuer = issuer(&ours);
    let now = Clock::system().now();
    let another = Ours::create(now).unwrap().issue_gateway(now).unwrap();
    let inspector = Authority::new().issue(&[words::GATEWAY_NAME, "127.0.0.1"]);
    let server = &[ExtendedKeyUsagePurpose::ServerAuth][..];
    let named = || {
        vec![SanType::DnsName(
            "gateway.appproxy.internal".try_into().unwrap(),
        )]
    };
    let signed = |names, days| {
        let (key, chain) = Shown {
            names,
            roles: server,
            days,
        }
        .signed(Some(&ours_issuer));
        let tls = posing_as(&key, &[&chain, &ours.certificate_pem], b"appproxy/1");
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        let time = |t: x509_parser::time::ASN1Time| Timestamp(t.timestamp()).to_rfc3339();
        let validity = leaf.validity();
        (tls, time(validity.not_before), time(validity.not_after))
    };
    let (expired, _, ended) = signed(named(), (-2, -1));
    let (early, begins, _) = signed(named(), (1, 2));
    let (good_key, good_chain) = Shown {
        names: named(),
        roles: server,
        days: (-1, 1),
    }
    .signed(Some(&ours_issuer));
    let role = "the certificate presented there is not for a gateway's role";
    let cases = [
        (
            "a connector",
            posing_as(&identity, &[own_leaf, own_authority], b"appproxy/1"),
            "tunnel_untrusted",
            role,
        ),
        (
            "another name",
            signed(
                vec![SanType::DnsName("gateway.localhost".try_into().unwrap())],
                (-1, 1),
            )
            .0,
            "tunnel_untrusted",
            role,
        ),
        (
            "another installation",
            serving(another, b"appproxy/1"),
            "other_installation",
            "this is a gateway of another installation: its authority is not the one known here; if the gateways changed their authority (`gateway ca rotate`) while this connector was away, register it again with a new token and `--replace`",
        ),
        (
            "a man in the middle",
            posing_as(&inspector.key, &[&inspector.chain], b"appproxy/1"),
            "tls_intercepted",
            "the certificate presented there was issued by `CN=appproxy tests`, not by an appproxy gateway's own authority: something on the way inspects TLS or removes ALPN, or the address is not a gateway's",
        ),
        (
            "an expired gateway",
            expired,
            "clock_wrong",
            &format!(
                "the gateway's certificate has expired, at {ended}. A gateway renews it every day, so this host's clock is probably ahead: set it right"
            ),
        ),
        (
            "a gateway of tomorrow",
            early,
            "clock_wrong",
            &format!(
                "the gateway's certificate is not valid yet, but from {begins} on: this host's clock is behind; set it right"
            ),
        ),
        (
            "no ALPN",
            posing_as(&good_key, &[&good_chain, &ours.certificate_pem], b""),
            "alpn_removed",
            "did not agree to the tunnel's protocol (ALPN): something in between changes TLS",
        ),
    ];
    let mut seen = 0;
    for (name, tls, code, wanted) in cases {
        let (address, mut connections) = posing(Some(tls)).await;
        let (connector, (word, got)) = reason(&mut stand, &identity, address).await;
        assert_eq!(word, code, "{name}");
        let between = if name == "no ALPN" { " " } else { ": " };
        assert_eq!(got, format!("{address}{between}{wanted}"), "{name}");
        // However often it tries, and for however many tunnels, it says so once.
        within("four attempts", connections.wait_for(|count| *count >= 4))
            .await
            .unwrap();
        let lines = connector.log();
        let lines: Vec<_> = lines.iter().filter(|l| l.contains("no tunnel")).collect();
        assert!(lines.len() == 1, "{name}: {lines:#?}");
        seen += 1;
    }
    assert_eq!(seen, 7);

    let (address, _connections) = posing(None).await;
    let (_connector, (code, got)) = reason(&mut stand, &identity, address).await;
    assert_eq!(code, "no_answer");
    assert_eq!(
        got,
        format!("{address} did not finish the TLS handshake within 5s")
    );
    // One that takes TLS and then says nothing.
    let silent = posing_as(
        &good_key,
        &[&good_chain, &ours.certificate_pem],
        b"appproxy/1",
    );
    let (address, _connections) = posing(Some(silent)).await;
    let (_connector, (code, got)) = reason(&mut stand, &identity, address).await;
    assert_eq!(code, "tunnel_silent");
    assert_eq!(got, format!("{address} did not say welcome within 5s"));
}

#[tokio::test]
async fn a_dump_of_the_store_holds_no_private_key() {
    let stand = gateway().await;
    let token = Token::parse(&stand.token("hq").await).unwrap();
    let ours = authority(&stand).await;
    let der = CertificateDer::from_pem_slice(ours.certificate_pem.as_bytes()).unwrap();
    assert!(Pin::of_authority(&der) == Some(token.pin));
    // What is on disk beside the key is of no use: the authority's key is sealed.
    let traces = traces(&stand);
    let key = ours.key_pem.expose_secret();
    let line = key.lines().nth(1).unwrap();
    assert!(
        !traces.contains(line)
            && !fs::read_to_string(stand.folder().join("store.key"))
                .unwrap()
                .contains(line)
    );
    let dump = run(
        "sqlite3",
        &[
            &stand.folder().join("gateway.db").display().to_string(),
            ".dump",
        ],
        &[],
        "",
    )
    .await
    .success();
    assert!(dump.contains("BEGIN CERTIFICATE") && !dump.contains("PRIVATE KEY"));
    let hex = |octets: &[u8]| {
        octets
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect::<String>()
    };
    let secret = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    // PKCS#8 of a P-256 key: its 32 secret octets begin at 36.
    assert!(!dump.contains(&hex(&secret.secret_der()[36..68])));
}
