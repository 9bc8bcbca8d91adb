//! `backend_tls`: whom the connector trusts, what it asks for and what it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use appproxy::clock::Clock;
use http::Response;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use super::detail;
use crate::harness::{Authority, Backend, Leaf, Stand, body, run, words};

/// Files of a test, and the entries that name them.
struct Folder(TempDir);

impl Folder {
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The files of a certificate, as an entry names them.
    fn certificate(&self, name: &str, leaf: &Leaf) -> Value {
        json!({
            "chain": self.file(&format!("{name}.pem"), &leaf.chain),
            "key": self.file(&format!("{name}.key"), &leaf.key),
        })
    }
}

/// One application: what it presents, what the connector is told of it, and what comes of that.
struct Case {
    name: &'static str,
    tls: Arc<ServerConfig>,
    /// `null` for none.
    entry: Value,
    /// A code, or nothing where the application is reached.
    code: &'static str,
    says: Vec<String>,
}

#[tokio::test]
async fn an_application_is_known_as_its_operator_says_and_not_otherwise() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let (corp, other, clients) = (Authority::new(), Authority::new(), Authority::new());
    let ca = folder.file("corp.pem", corp.pem());
    // Several authorities in one file, as a bundle has them.
    let both = folder.file("both.pem", &format!("{}{}", other.pem(), corp.pem()));
    let wrong_ca = folder.file("other.pem", other.pem());
    let name = |case: &str| words::internal_name(case);
    let leaf = |case: &str| corp.issue(&[&name(case)]);
    let plain = |case: &str| leaf(case).server_config(&["http/1.1"]);
    let pin = |leaf: &Leaf| format!("sha256:{}", leaf.spki);
    let stale = format!("sha256:{}=", "A".repeat(43));
    let now = OffsetDateTime::from_unix_timestamp(Clock::system().now().0).unwrap();
    let expired = corp.issue_with(&[&name("expired")], |params| {
        params.not_before = now - Duration::days(9);
        params.not_after = now - Duration::days(2);
    });
    let unripe = corp.issue_with(&[&name("unripe")], |params| {
        params.not_before = now + Duration::days(2);
    });
    let self_signed = |case: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name(case)]).unwrap();
        let key = &made.signing_key;
        let spki = rcgen::PublicKeyData::subject_public_key_info(key);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        let engine = base64::engine::general_purpose::STANDARD;
        Leaf {
            chain: made.cert.pem(),
            key: key.serialize_pem(),
            spki: base64::Engine::encode(&engine, hash),
        }
    };
    let shown = folder.certificate("client", &clients.issue_client("connector"));
    let strange = folder.certificate("strange", &other.issue_client("connector"));

    let mut cases = Vec::new();
    let mut case = |name, tls, entry, code, says: &[&str]| {
        cases.push(Case {
            name,
            tls,
            entry,
            code,
            says: says.iter().map(|&s| s.to_owned()).collect(),
        });
    };
    case("trusted", plain("trusted"), json!({ "ca": ca }), "", &[]);
    case("bundle", plain("bundle"), json!({ "ca": both }), "", &[]);
    let trust = "backend_tls_trust";
    case(
        "unknown",
        plain("unknown"),
        Value::Null,
        trust,
        &[
            "issued by `CN=appproxy tests`, which is not trusted here",
            "write `ca: FILE` with that authority's certificate in an entry of `backend_tls` with `hosts: [\"unknown.corp.internal:",
        ],
    );
    case(
        "wrong-ca",
        plain("wrong-ca"),
        json!({ "ca": wrong_ca }),
        trust,
        // The two have one name, as those have of which one replaced the other.
        &["signed by another authority of that name", "other.pem"],
    );
    let pinned = leaf("pinned");
    let entry = json!({ "ca": ca, "pins": [stale, pin(&pinned)] });
    case("pinned", pinned.server_config(&[]), entry, "", &[]);
    let mispinned = leaf("mispinned");
    let says = format!("its public key is {}", pin(&mispinned));
    let line = format!("write `pins: [{}]`", pin(&mispinned));
    case(
        "mispinned",
        mispinned.server_config(&[]),
        json!({ "ca": ca, "pins": [stale] }),
        trust,
        &[&says, &line, "connector-1.yaml:"],
    );
    let untrusted = self_signed("pinned-untrusted");
    case(
        "pinned-untrusted",
        untrusted.server_config(&[]),
        json!({ "pins": [pin(&untrusted)] }),
        trust,
        &["is self-signed"],
    );
    let alone = self_signed("alone");
    let says = format!("write `validate: pins` and `pins: [{}]`", pin(&alone));
    case(
        "alone",
        alone.server_config(&[]),
        Value::Null,
        trust,
        &[&says],
    );
    let by_pin = self_signed("elsewhere");
    let entry = json!({ "validate": "pins", "pins": [pin(&by_pin)] });
    case("by-pin", by_pin.server_config(&[]), entry, "", &[]);
    let other_pin = self_signed("other-pin");
    let entry = json!({ "validate": "pins", "pins": [stale] });
    let says = format!("its public key is {}", pin(&other_pin));
    case(
        "other-pin",
        other_pin.server_config(&[]),
        entry,
        trust,
        &[&says],
    );
    let anybody = self_signed("anybody-else");
    let entry = json!({ "validate": "nothing" });
    case("anybody", anybody.server_config(&[]), entry, "", &[]);
    let renamed = corp.issue(&["inner.corp.internal"]);
    let entry = json!({ "ca": ca, "server_name": "inner.corp.internal" });
    case("renamed", renamed.server_config(&[]), entry, "", &[]);
    case(
        "misnamed",
        renamed.server_config(&[]),
        json!({ "ca": ca }),
        "backend_tls_name",
        &[
            "is not for misnamed.corp.internal, but for inner.corp.internal",
            "write `server_name: inner.corp.internal`",
        ],
    );
    let says = ["has expired, at 20", "have it renewed at the application"];
    case(
        "expired",
        expired.server_config(&[]),
        json!({ "ca": ca }),
        trust,
        &says,
    );
    let says = [
        "is not valid yet, but from 20",
        "set this host's clock right",
    ];
    case(
        "unripe",
        unripe.server_config(&[]),
        json!({ "ca": ca }),
        trust,
        &says,
    );
    for (suffix, version) in [("12", &TLS12), ("13", &TLS13)] {
        let names: [&'static str; 3] = match suffix {
            "12" => ["shown12", "unshown12", "strange12"],
            _ => ["shown13", "unshown13", "strange13"],
        };
        let demanding =
            |case: &str| leaf(case).demanding_config(&clients, &[version], &["http/1.1"]);
        let entry = json!({ "ca": ca, "client_certificate": shown });
        case(names[0], demanding(names[0]), entry, "", &[]);
        case(
            names[1],
            demanding(names[1]),
            json!({ "ca": ca }),
            trust,
            &[
                "demands a client certificate issued by CN=appproxy tests, and this connector shows none",
                "write `client_certificate: { chain: FILE, key: FILE }` in the entry of `backend_tls` at ",
            ],
        );
        case(
            names[2],
            demanding(names[2]),
            json!({ "ca": ca, "client_certificate": strange }),
            trust,
            &["the client certificate named in the entry of `backend_tls` at "],
        );
    }

    // Over HTTP/2 it shows before a request is sent.
    let demanding = |case: &str| leaf(case).demanding_config(&clients, &[&TLS13], &["h2"]);
    let entry = json!({ "ca": ca, "client_certificate": shown });
    case("h2-shown", demanding("h2-shown"), entry, "", &[]);
    case(
        "h2-unshown",
        demanding("h2-unshown"),
        json!({ "ca": ca }),
        trust,
        &["asked for a client certificate issued by CN=appproxy tests, was shown none"],
    );

    let (mut stand, mut entries, mut backends) = (Stand::new(), Vec::new(), Vec::new());
    for case in &cases {
        let backend = Backend::agreeing(Arc::clone(&case.tls), |_| async {
            Response::new(body("hello"))
        })
        .await;
        let settings = match case.name.starts_with("h2-") {
            true => json!({ "backend_protocol": "http2" }),
            false => Value::Null,
        };
        stand = stand.tls_application(case.name, &backend, settings);
        if let Value::Object(entry) = &case.entry {
            let mut entry = entry.clone();
            let host = format!("{}:{}", name(case.name), backend.address().port());
            entry.insert("hosts".to_owned(), json!([host]));
            entries.push(Value::Object(entry));
        }
        backends.push(backend);
    }
    let stand = stand
        .connector_setting("backend_tls", json!(entries))
        .start()
        .await;
    let mut reached = 0;
    for case in &cases {
        // The second finds what the first has left.
        for _ in 0..2 {
            let answer = stand.get(&stand.url(case.name, "/")).await;
            if case.code.is_empty() {
                assert_eq!(answer.status, 200, "{}: {answer:?}", case.name);
                assert_eq!(answer.text(), "hello", "{}", case.name);
                reached += 1;
                continue;
            }
            assert_eq!(answer.status, 502, "{}", case.name);
            let (code, said) = detail(&stand, &answer).await;
            assert_eq!(code, case.code, "{}: {said}", case.name);
            for says in &case.says {
                assert!(said.contains(says), "{}: {said}\nlacks {says}", case.name);
            }
        }
    }
    assert_eq!((cases.len(), reached), (23, 2 * 9));
}

#[tokio::test]
async fn the_first_entry_that_names_an_application_counts_and_others_are_strict() {
    let stranger = Authority::new();
    let mut stand = Stand::new();
    let mut backends = Vec::new();
    for name in ["wiki", "mail"] {
        let tls = stranger.server_config(&["nobody.test"], &["http/1.1"]);
        let backend = Backend::tls(tls, |_| async { Response::new(body("hello")) }).await;
        stand = stand.tls_application(name, &backend, Value::Null);
        backends.push(backend);
    }
    let ports: Vec<u16> = backends.iter().map(|b| b.address().port()).collect();
    let stale = format!("sha256:{}=", "A".repeat(43));
    let entries = json!([
        { "hosts": [format!("*.corp.internal:{}", ports[0])], "validate": "nothing" },
        { "hosts": [format!("wiki.corp.internal:{}", ports[0])], "validate": "pins", "pins": [stale] },
    ]);
    let mut stand = stand
        .connector_setting("backend_tls", entries)
        .start()
        .await;
    assert_eq!(stand.get(&stand.url("wiki", "/")).await.text(), "hello");
    let answer = stand.get(&stand.url("mail", "/")).await;
    assert_eq!(detail(&stand, &answer).await.0, "backend_tls_trust");
    // That nothing is validated is said at every start.
    let line = stand.connectors()[0]
        .line("the warning", |line| line.contains("are not validated"))
        .await;
    assert!(line.contains("backend_tls[0]"), "{line}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_said_with_everything_else() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let leaf = Authority::new().issue_client("connector");
    let other = Authority::new().issue_client("connector");
    let mixed = json!({
        "chain": folder.file("client.pem", &leaf.chain),
        "key": folder.file("client.key", &other.key),
    });
    let empty = folder.file("empty.pem", "\n");
    let key = folder.file("key-as-ca.pem", &leaf.key);
    let config = json!({
        "version": 1,
        "kind": "connector",
        "state": "state",
        "conections": 3,
        "backend_tls": [
            { "hosts": ["a.test:443"], "ca": "no-such-file.pem" },
            { "hosts": ["b.test:443"], "ca": empty, "client_certificate": mixed },
            { "hosts": ["c.test:443"], "ca": key },
        ],
    });
    let file = folder.file(
        "connector.yaml",
        &serde_json::to_string_pretty(&config).unwrap(),
    );
    let output = run(words::PROGRAM, &words::connector(Path::new(&file)), &[], "").await;
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = output.stderr;
    for (code, key) in [
        ("unknown_key", "conections"),
        ("file_unreadable", "backend_tls[0].ca"),
        ("file_empty", "backend_tls[1].ca"),
        ("key_mismatch", "backend_tls[1].client_certificate.key"),
        ("certificate_missing", "backend_tls[2].ca"),
    ] {
        let line = said
            .lines()
            .find(|line| line.contains(&format!("[{code}]")))
            .unwrap_or_else(|| panic!("{code} is missing:\n{said}"));
        assert!(line.contains(&format!(": {key}: ")), "{line}");
    }
}
