//! `examples/container`: the program needs nothing beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, kill_process};

const CONTAINERFILE: &str = "examples/container/Containerfile";

/// What follows an instruction of the Containerfile.
fn instruction(word: &str) -> String {
    let text = fs::read_to_string(CONTAINERFILE).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(word));
    let found = lines.next().unwrap_or_else(|| panic!("no {word}"));
    assert!(lines.next().is_none(), "{word} is there twice");
    found.trim().to_owned()
}

/// The image as the Containerfile describes it: a root with the program and the configuration, without
/// a shell, libraries, `/dev`, `/proc`, authorities or name servers.
#[test]
fn a_gateway_starts_and_stops_in_a_root_that_holds_nothing_else() {
    assert_eq!(instruction("FROM"), "scratch");
    assert_eq!(instruction("USER"), "65532:65532");
    assert_eq!(instruction("CMD"), "[\"gateway\"]");
    let copied = instruction("COPY");
    let (_, program) = copied.rsplit_once(' ').unwrap();
    assert_eq!(instruction("ENTRYPOINT"), format!("[\"{program}\"]"));

    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    for folder in ["usr/bin", "etc/appproxy", "var/lib/appproxy"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_appproxy"), at(program)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["wiki.localhost".to_owned()]).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::DAY;
    params.not_after = now + time::Duration::days(90);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = params.self_signed(&key).unwrap();
    fs::write(at("etc/appproxy/wiki.pem"), leaf.pem()).unwrap();
    fs::write(at("etc/appproxy/wiki.key"), key.serialize_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!(
        "version: 1\nkind: gateway\nlisten: {{ https: [\"{address}\"] }}\nstore: sqlite:/var/lib/appproxy/gateway.db\ncertificates:\n  - {{ chain: /etc/appproxy/wiki.pem, key: /etc/appproxy/wiki.key }}\n"
    );
    fs::write(at("etc/appproxy/gateway.yaml"), config).unwrap();

    // Root may; anybody else needs a user namespace.
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "chroot"]);
    if geteuid().is_root() {
        command = Command::new("chroot");
    }
    let mut gateway = command
        .arg(root.path())
        .args([program, "gateway"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        // Trusted there, so that nothing is worth a warning.
        .env("SSL_CERT_FILE", "/etc/appproxy/wiki.pem")
        // As the harness of the end-to-end tests does it: a port is in the configuration and taken before.
        .envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0")])
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let ready = log.by_ref().map(Result::unwrap).any(|line| {
        said.push(line.clone());
        line.contains("gateway ready")
    });
    if ready {
        kill_process(Pid::from_child(&gateway), Signal::TERM).unwrap();
    }
    said.extend(log.map(Result::unwrap));
    let ended = gateway.wait().unwrap();
    assert!(ready && ended.success(), "{ended}: {said:#?}");
    assert!(at("var/lib/appproxy/gateway.db").exists());
    let lines = said.iter().filter(|line| !line.contains(" INFO "));
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&String>::new());
}
