//! From the command line to a running process, or to the reason why there is none.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Authority, Backend, Output, Process, Stand, run, within, words};

/// A folder with a certificate and a gateway's configuration, whose port is taken: whatever tries
/// to listen says so instead of what is expected.
struct Folder {
    folder: tempfile::TempDir,
    taken: TcpListener,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for name in ["a", "b"] {
            let leaf = authority.issue(&["wiki.localhost"]);
            fs::write(folder.path().join(format!("{name}.pem")), leaf.chain).unwrap();
            words::write_key(&folder.path().join(format!("{name}.key")), &leaf.key);
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder, taken }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A configuration with nothing wrong with it but its port.
    fn good(&self) -> String {
        let at = self.taken.local_addr().unwrap();
        format!(
            "version: 1\nkind: gateway\nlisten: {{ https: [\"{at}\"], public: [\"{at}\"] }}\nstore: sqlite:gateway.db\ncertificates:\n  - chain: a.pem\n    key: a.key\n"
        )
    }

    /// What makes a host trust the authority of the certificates here.
    fn trust(&self) -> (&'static str, String) {
        (
            "SSL_CERT_FILE",
            self.path().join("ca.pem").display().to_string(),
        )
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs a gateway with this configuration, which must not come up and must leave nothing.
    async fn refuses(&self, config: &str) -> Output {
        let file = self.path().join("gateway.yaml");
        fs::write(&file, config).unwrap();
        let before = self.files();
        let file = file.display().to_string();
        let output = run(words::PROGRAM, &["gateway", "--config", &file], &[], "").await;
        assert_eq!(self.files(), before, "{}", output.stderr);
        assert_eq!(output.stdout, "");
        output
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn every_fault_of_a_configuration_is_said_at_once_and_nothing_is_started() {
    let folder = Folder::new();
    let good = folder.good();
    let at = folder.path().display().to_string();
    let file = format!("{at}/gateway.yaml");
    let two = "applications:\n  - { name: a, external_url: \"https://wiki.localhost/\", internal_url: \"http://a.internal/\", pre_authentication: [passthrough] }\n  - { name: b, external_url: \"https://WIKI.localhost:443/\", internal_url: \"http://b.internal/\", pre_authentication: [passthrough] }\n";
    fs::write(
        folder.path().join("open.key"),
        format!("{}=\n", "A".repeat(43)),
    )
    .unwrap();
    fs::set_permissions(
        folder.path().join("open.key"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let missing = format!("cannot read {at}/none.pem: No such file or directory (os error 2)");
    let cases: Vec<(&str, String, Vec<String>)> = vec![
        (
            "unknown key",
            format!("{good}wrokers: 2\n"),
            vec![format!(
                "error [unknown_key] {file}:8:1: wrokers: there is no key `wrokers` here\n    did you mean `workers`?"
            )],
        ),
        (
            "equal external URLs",
            format!("{good}{two}"),
            vec!["applications[1].external_url".into()],
        ),
        (
            "duplicate key",
            format!("{good}workers: 1\nworkers: 2\n"),
            vec!["error [duplicate_key] ".into()],
        ),
        (
            "missing unit",
            format!("{good}defaults: {{ timeouts: {{ first_byte: 30 }} }}\n"),
            vec!["defaults.timeouts.first_byte".into()],
        ),
        (
            "a URL with a typo",
            format!("{good}{}", two.replace("https://wiki", "htps://wiki")),
            vec!["applications[0].external_url".into()],
        ),
        (
            "a missing file",
            good.replace("a.pem", "none.pem"),
            vec![format!(
                "error [file_unreadable] {file}:6:12: certificates[0].chain: {missing}\n    check the path: there is no such file"
            )],
        ),
        (
            "a key that is a folder",
            good.replace("a.key", "../"),
            vec![format!(
                "error [file_unreadable] {file}:7:10: certificates[0].key: cannot read "
            )],
        ),
        (
            "a chain that does not fit its key",
            good.replace("a.key", "b.key"),
            vec![format!(
                "error [key_mismatch] {file}:7:10: certificates[0].key: the private key in {at}/b.key does not belong to the certificate in {at}/a.pem\n"
            )],
        ),
        (
            "a folder of the store that is not there",
            good.replace("sqlite:", "sqlite:state/"),
            vec![format!(
                "error [unusable] {file}:4:8: store: the store cannot be used: its folder {at}/state does not exist: make it with `install -d -m 700 {at}/state`, owned by the user that runs the gateway\n"
            )],
        ),
        (
            "a store below a file",
            good.replace("sqlite:", "sqlite:a.pem/"),
            vec![format!(
                "error [unusable] {file}:4:8: store: the store cannot be used: cannot open its folder {at}/a.pem: it is not a folder\n"
            )],
        ),
        (
            "a store key that others may read",
            format!("{good}store_key: {{ file: open.key }}\n"),
            vec![format!(
                "error [unusable] {file}:8:12: store_key: the store key {at}/open.key is open to others (mode 0644): run `chmod 600 {at}/open.key`, and make a new key if somebody may have read it\n    correct it and start again; nothing was started\n"
            )],
        ),
        (
            "a store key in a variable that is not set",
            format!("{good}store_key: {{ env: APPPROXY_TEST_KEY }}\n"),
            vec![format!(
                "error [unusable] {file}:8:12: store_key: cannot read the store key: the environment variable APPPROXY_TEST_KEY is not set\n"
            )],
        ),
        (
            "all of it",
            format!(
                "{}wrokers: 2\nstore_key: {{ file: open.key }}\n",
                good.replace("a.key", "b.key")
            ) + &two.replace("https://wiki", "htps://wiki")
                + "  - name: c\n",
            vec![
                "[unknown_key] ".into(),
                "applications[0].external_url".into(),
                "applications[2]".into(),
                "[key_mismatch] ".into(),
            ],
        ),
        (
            "certificate and store",
            format!(
                "{}store_key: {{ file: open.key }}\n",
                good.replace("a.key", "b.key")
            ),
            vec!["[key_mismatch] ".into(), "[unusable] ".into()],
        ),
    ];
    let mut seen = 0;
    for (name, config, wanted) in cases {
        let output = folder.refuses(&config).await;
        assert_eq!(output.status.code(), Some(64), "{name}: {}", output.stderr);
        for wanted in wanted {
            assert!(
                output.stderr.contains(&wanted),
                "{name}: {wanted}\n{}",
                output.stderr
            );
        }
        // Each finding is where, what and a remedy.
        for pair in output.stderr.lines().collect::<Vec<_>>().chunks(2) {
            let place = format!("] {file}");
            assert!(
                pair[0].starts_with("error [") && pair[0].contains(&place),
                "{name}: {pair:?}"
            );
            assert!(
                pair[1].starts_with("    ") && pair[1].len() > 8,
                "{name}: {pair:?}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 14);
}

#[tokio::test]
async fn a_taken_port_is_named_and_exits_with_1() {
    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, folder.good()).unwrap();
    let arguments = ["gateway", "--config", file.to_str().unwrap()];
    let (name, ca) = folder.trust();
    let output = run(words::PROGRAM, &arguments, &[(name, &ca)], "").await;
    let at = folder.taken.local_addr().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        format!(
            "appproxy: cannot listen on {at}: Address already in use (os error 98); another program listens there, or this one already runs (see: ss -ltnp 'sport = :{}')\n",
            at.port()
        )
    );
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_64_and_help_with_0() {
    let mut seen = 0;
    for arguments in [
        &["gatewy"][..],
        &["gateway", "--confg", "x"],
        &["gateway", "token", "create"],
        &["gateway", "token", "create", "--group", "a b"],
        &["gateway", "token", "create", "--group", "hq", "--ttl", "60"],
        &["gateway", "token", "create", "--group", "hq", "--uses", "0"],
        &["gateway", "connector", "remove"],
        &["register", "--token-file", "x", "--token-env", "Y"],
        &["--log-format", "xml", "demo"],
        &[],
    ] {
        let output = run(words::PROGRAM, arguments, &[], "").await;
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}\n{}",
            output.stderr
        );
        assert_eq!(output.stdout, "", "{arguments:?}");
        assert!(
            output.stderr.contains("--help"),
            "{arguments:?}\n{}",
            output.stderr
        );
        seen += 1;
    }
    assert_eq!(seen, 10);
    for (arguments, wanted) in [
        (
            &["--help"][..],
            "Publishes web applications of a private network to the internet",
        ),
        (
            &["gateway", "--help"],
            "Run a gateway, or look after its tokens and connectors",
        ),
        (
            &["gateway", "token", "create", "--help"],
            "Make a token with which connectors enrol; prints it and nothing else",
        ),
        (&["connector", "--help"], "Run a connector, or register it"),
        (
            &["register", "--help"],
            "Register this connector with a one-time token",
        ),
        (
            &["connector", "register", "--help"],
            "Turn a one-time token into this connector's certificate",
        ),
    ] {
        let output = run(words::PROGRAM, arguments, &[], "").await;
        assert_eq!(output.stderr, "");
        let text = output.success();
        assert!(text.starts_with(wanted), "{arguments:?}\n{text}");
        assert!(
            !text.contains("[default: /etc/appproxy/gateway.yaml]") || arguments[0] == "gateway"
        );
    }
}

#[tokio::test]
async fn the_wrong_store_key_is_a_finding_and_the_right_one_opens() {
    let mut stand = Stand::new().connectors(0).start().await;
    stand.stop_gateway().await;
    let key = stand.folder().join("store.key");
    let good = fs::read(&key).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let database = stand.folder().join("gateway.db");
    assert_eq!(
        fs::metadata(&database).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let file = stand.gateway_file();
    let at = stand.folder().display().to_string();
    let command = [
        "gateway",
        "token",
        "list",
        "--config",
        file.to_str().unwrap(),
    ];
    let run_it = || run(words::PROGRAM, &command[..], &[], "");
    let other = format!("{}=\n", "A".repeat(43));
    let is_finding = |output: Output, code: &str, wanted: &str| {
        assert_eq!(output.status.code(), Some(64), "{}", output.stderr);
        assert!(output.stderr.contains(wanted), "{}", output.stderr);
        assert!(
            output.stderr.starts_with(&format!("error [{code}] ")),
            "{}",
            output.stderr
        );
    };
    fs::write(&key, other).unwrap();
    is_finding(
        run_it().await,
        "store_key_wrong",
        ": store: the store key does not open this store\n",
    );
    fs::write(&key, "x\n").unwrap();
    is_finding(
        run_it().await,
        "unusable",
        "line 1 of the store key is not the base64 of 32 octets",
    );
    fs::write(&key, "").unwrap();
    is_finding(run_it().await, "unusable", "the store key is empty");
    fs::remove_file(&key).unwrap();
    is_finding(
        run_it().await,
        "unusable",
        &format!("the store {at}/gateway.db exists, but its key {at}/store.key does not"),
    );
    assert!(!key.exists());
    fs::write(&key, good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    is_finding(run_it().await, "unusable", "is open to others (mode 0640)");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    run_it().await.success();
    stand.restart_gateway().await;
}

#[tokio::test]
async fn an_expired_certificate_is_a_warning_and_inherited_listeners_are_counted() {
    let backend = Backend::text("here").await;
    let stand = Stand::new()
        .application("wiki", &backend)
        .redirects()
        .start()
        .await;
    // Two inherited: https first, then http.
    assert_eq!(stand.get("https://wiki.localhost/").await.text(), "here");
    let url = format!("http://wiki.localhost:{}/", stand.plain_address().port());
    let text = stand
        .curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &url])
        .await;
    assert!(text.success().starts_with('3'));

    let folder = Folder::new();
    let file = folder.path().join("gateway.yaml");
    fs::write(&file, folder.good()).unwrap();
    let mut command = Command::new(words::PROGRAM);
    command
        .args(words::gateway(&file, false))
        .args(words::LOG_AS_JSON);
    command.envs(words::inherited(2)).envs([folder.trust()]);
    let listener = || Stdio::from(OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap()));
    command.stdin(listener()).stdout(listener());
    let before = folder.files();
    let process = Process::start("gateway", &mut command);
    assert_eq!(process.ended().await.code(), Some(64));
    assert_eq!(
        process.log(),
        [
            format!(
                "error [unusable] {}:3:9: listen: 2 listeners were handed in, the configuration names 1",
                file.display()
            ),
            "    correct it and start again; nothing was started".to_owned(),
        ]
    );
    assert_eq!(folder.files(), before);

    // One inherited in place of the address that is taken.
    let old = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["wiki.localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let chain = folder.path().join("old.pem");
    fs::write(&chain, params.self_signed(&old).unwrap().pem()).unwrap();
    words::write_key(&folder.path().join("old.key"), &old.serialize_pem());
    fs::write(
        &file,
        folder
            .good()
            .replace("a.pem", "old.pem")
            .replace("a.key", "old.key"),
    )
    .unwrap();
    let mut command = Command::new(words::PROGRAM);
    command
        .args(words::gateway(&file, false))
        .args(words::LOG_AS_JSON);
    command.envs(words::inherited(1)).stdin(listener());
    let process = Process::start("gateway", &mut command);
    process.says(words::GATEWAY_READY).await;
    let log = process.log();
    let warning: Value = serde_json::from_str(&log[0]).unwrap();
    assert_eq!(warning["level"], "WARN");
    let text = warning["message"].as_str().unwrap();
    let start = format!(
        "warning [certificate_expired] {}:6:12: certificates[0].chain: {}: the certificate expired at 2020-01-02T00:00:00Z, ",
        file.display(),
        chain.display()
    );
    assert!(text.starts_with(&start), "{text}");
    // That it has started is recorded beside.
    let plain = log
        .iter()
        .filter(|line| !line.contains(r#""target":"audit""#));
    // Beside that it has ended, nobody else has signed it.
    assert_eq!(plain.count(), 3);
    let second: Value = serde_json::from_str(&log[1]).unwrap();
    let text = second["message"].as_str().unwrap();
    assert!(text.starts_with("warning [self_signed] "), "{text}");
}

#[tokio::test]
async fn a_first_signal_drains_and_a_second_ends_at_once() {
    let (began, mut has_begun) = tokio::sync::watch::channel(0);
    let (finish, may_finish) = tokio::sync::watch::channel(false);
    let backend = Backend::answering(move |_| {
        began.send_modify(|n| *n += 1);
        let mut may_finish = may_finish.clone();
        async move {
            may_finish.wait_for(|may| *may).await.unwrap();
            http::Response::new(crate::harness::body("late"))
        }
    })
    .await;
    let mut stand = Stand::new().application("wiki", &backend).start().await;
    // The answer in flight is waited for, by the connector too.
    let (client, url) = (stand.client().clone(), "https://wiki.localhost/");
    let waiting = tokio::spawn(async move { client.get(url).await.text().to_owned() });
    within("the request", has_begun.wait_for(|n| *n == 1))
        .await
        .unwrap();
    let connector = stand.connectors().remove(0);
    connector.terminate();
    connector
        .says("draining: the gateways send no new requests")
        .await;
    finish.send_replace(true);
    assert_eq!(waiting.await.unwrap(), "late");
    assert_eq!(connector.ended().await.code(), Some(0));
    assert_eq!(
        words::message(connector.log().last().unwrap()).as_deref(),
        Some("connector stopped")
    );

    finish.send_replace(false);
    let config = stand.folder().join("connector-1.yaml");
    stand.start_connector(&config).await;
    let client = stand.client().clone();
    let cut = tokio::spawn(async move { client.get("https://wiki.localhost/").await });
    within("the request", has_begun.wait_for(|n| *n == 2))
        .await
        .unwrap();
    stand.gateway().terminate();
    stand
        .gateway()
        .says("stopping: everybody is sent elsewhere; a second signal ends at once")
        .await;
    stand.gateway().terminate();
    assert_eq!(stand.gateway().ended().await.code(), Some(0));
    stand.gateway().says("stopped at once").await;
    assert!(cut.await.is_err());
    stand.connectors()[0].terminate();
    stand.connectors()[0]
        .says("draining: the gateways send no new requests")
        .await;
    stand.connectors()[0].terminate();
    assert_eq!(stand.connectors()[0].ended().await.code(), Some(0));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases over one stand")]
async fn a_connector_without_a_good_identity_says_what_to_do() {
    let mut stand = Stand::new().connectors(0).start().await;
    let config = stand.enrol("hq").await;
    let state = config.with_extension("");
    let identity = state.join("identity.pem");
    let good = fs::read_to_string(&identity).unwrap();
    let none = stand.connector_file();
    let at = |config: &Path| config.with_extension("").display().to_string();
    let half = &good[..good.len() / 2];
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let other_key = other + &good[good.find("-----BEGIN CERT").unwrap()..];
    let damaged = |what: &str| {
        format!(
            "{}/identity.pem is damaged ({what}): register again with a new token and `--replace`",
            at(&config)
        )
    };
    let cases = [
        (
            &none,
            None,
            "not_registered",
            format!(
                "there is no identity in {}: run `appproxy connector register --config {}` with a token first",
                at(&none),
                none.display()
            ),
        ),
        (
            &config,
            Some(String::new()),
            "identity_damaged",
            damaged("it has no private key"),
        ),
        (
            &config,
            Some(half.to_owned()),
            "identity_damaged",
            damaged("a certificate is cut off or changed"),
        ),
        (
            &config,
            Some(other_key),
            "identity_damaged",
            damaged("its key does not fit its certificate"),
        ),
    ];
    let mut seen = 0;
    for (config, text, code, wanted) in cases {
        if let Some(text) = text {
            fs::write(&identity, text).unwrap();
        }
        let file = config.display().to_string();
        let output = run(words::PROGRAM, &["connector", "--config", &file], &[], "").await;
        assert_eq!(output.status.code(), Some(64), "{}", output.stderr);
        assert_eq!(
            output.stderr,
            format!(
                "error [{code}] {file}: state: {wanted}\n    correct it and start again; nothing was started\n"
            )
        );
        seen += 1;
    }
    assert_eq!(seen, 4);
    fs::write(&identity, good).unwrap();
    fs::remove_file(state.join("gateways.json")).unwrap();
    let file = config.display().to_string();
    let output = run(words::PROGRAM, &["connector", "--config", &file], &[], "").await;
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(
        output.stderr,
        format!(
            "error [no_gateways] {file}: state: no gateway is known: write `gateways:` in the configuration, or register again\n    correct it and start again; nothing was started\n"
        )
    );

    // A gateway that is down is said once, and dialled until it is up.
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    text["gateways"] = json!([stand.address().to_string()]);
    fs::write(&config, text.to_string()).unwrap();
    stand.stop_gateway().await;
    let connector = stand.spawn_connector(&config);
    let line: Value =
        serde_json::from_str(&connector.says("no tunnel; trying again").await).unwrap();
    let gateway = stand.address();
    assert_eq!(line["code"], "port_closed");
    assert_eq!(
        line["reason"],
        format!("{gateway} refused the connection (tried {gateway}): nothing listens on that port")
    );
    stand.restart_gateway().await;
    connector.says(words::TUNNEL_OPEN).await;
    connector.terminate();
    assert_eq!(connector.ended().await.code(), Some(0));
}
