//! `check-cert` as it is typed: files with passwords from each place, and servers.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Authority, Backend, Output, Process, Stand, run, words};

/// A file of the tests of certificates.
fn file(name: &str) -> String {
    format!("{}/testdata/certs/files/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn check_cert(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let arguments: Vec<_> = ["check-cert"].iter().chain(arguments).collect();
    run(words::PROGRAM, &arguments, environment, "").await
}

async fn codes(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, Vec<String>) {
    let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
    let output = check_cert(&arguments, environment).await;
    let told: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr));
    let found = told["findings"].as_array().unwrap();
    let codes = found
        .iter()
        .map(|one| one["code"].as_str().unwrap().to_owned());
    (output.status.code().unwrap(), codes.collect())
}

#[tokio::test]
async fn a_password_comes_from_a_file_or_the_environment_and_is_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "Secret123\n").unwrap();
    let pfx = file("pfx-modern.pfx");
    let (code, found) = codes(&[&pfx], &[]).await;
    assert_eq!((code, &*found[0]), (2, "password_needed"));
    for (arguments, environment) in [
        (
            vec![&*pfx, "--password-file", password.to_str().unwrap()],
            vec![],
        ),
        (vec![&*pfx], vec![("APPPROXY_PASSWORD", "Secret123")]),
    ] {
        let (_, found) = codes(&arguments, &environment).await;
        assert!(
            !found.iter().any(|code| code.starts_with("password")),
            "{found:?}"
        );
    }
    let wrong = check_cert(&[&pfx], &[("APPPROXY_PASSWORD", "hunter2")]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        wrong.stdout.contains("[password_wrong]"),
        "{}",
        wrong.stdout
    );
    assert!(!format!("{}{}", wrong.stdout, wrong.stderr).contains("hunter2"));
    // There is no way to write it into the command itself.
    let argument = check_cert(&[&pfx, "--password", "hunter2"], &[]).await;
    assert_eq!(argument.status.code(), Some(64));
}

#[tokio::test]
async fn what_is_no_file_and_no_server_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none.pem");
    let output = check_cert(&[nowhere.to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64));
    assert!(
        output
            .stderr
            .contains("neither a file that is there nor a server"),
        "{}",
        output.stderr
    );
    // A folder, and a file that is far too long.
    let output = check_cert(&[folder.path().to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{}", output.stderr);
    let long = folder.path().join("long.pem");
    fs::File::create(&long).unwrap().set_len(1 << 32).unwrap();
    let output = check_cert(&[long.to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{}", output.stderr);
    // Nobody listens; something else does.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        codes(&[&closed.to_string()], &[]).await,
        (2, vec!["port_closed".to_owned()])
    );
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    assert_eq!(
        codes(&[&address], &[]).await,
        (2, vec!["tls_not_spoken".to_owned()])
    );
}

#[tokio::test]
async fn a_server_is_judged_by_what_it_presents() {
    let backend = Backend::text("hello").await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let address = stand.address().to_string();
    let ca = stand.folder().join("ca.pem");
    let ca = ca.to_str().unwrap();
    // By its address it shows a certificate for a name.
    let (code, found) = codes(&[&address, "--ca", ca, "--host", "wiki.localhost"], &[]).await;
    assert!(
        code == 0 && !found.contains(&"name_not_covered".to_owned()),
        "{code} {found:?}"
    );
    let (code, found) = codes(&[&address, "--host", "wiki.localhost"], &[]).await;
    assert_eq!(code, 2, "{found:?}");
    assert!(found.contains(&"chain_incomplete".to_owned()), "{found:?}");

    // A server of OpenSSL with a certificate that has ended, without its intermediate's name.
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let leaf = authority.issue_with(&["old.localhost"], |params| {
        params.not_before = time::OffsetDateTime::UNIX_EPOCH;
        params.not_after = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(90);
    });
    let (chain, key) = (folder.path().join("old.pem"), folder.path().join("old.key"));
    fs::write(&chain, &leaf.chain).unwrap();
    fs::write(&key, &leaf.key).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www"]);
    server
        .arg("-cert")
        .arg(&chain)
        .arg("-key")
        .arg(&key)
        .stdin(Stdio::null());
    server.arg("-tls1_2");
    let server = Process::start("openssl", &mut server);
    crate::harness::within("openssl listens", async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let address = format!("127.0.0.1:{port}");
    let (code, found) = codes(&[&address, "--host", "new.localhost"], &[]).await;
    assert_eq!(code, 2);
    for wanted in [
        "certificate_expired",
        "name_not_covered",
        "chain_incomplete",
    ] {
        assert!(found.contains(&wanted.to_owned()), "{wanted}: {found:?}");
    }
    server.kill();
}

#[tokio::test]
async fn the_hosts_of_a_configuration_are_those_it_has_to_be_for() {
    let stand = Stand::new().start().await;
    let text = fs::read_to_string(stand.gateway_file()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["applications"] = serde_json::json!([{
        "name": "shop",
        "external_url": "https://a.b.apps.example.com/",
        "internal_url": "http://shop.internal/",
        "pre_authentication": ["passthrough"],
    }]);
    let other = stand.folder().join("other.yaml");
    fs::write(&other, config.to_string()).unwrap();
    let pem = file("pem-right.pem");
    let output = check_cert(&[&pem, "--config", other.to_str().unwrap()], &[]).await;
    assert!(
        output.stdout.contains("[name_not_covered]"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("`*` stands for exactly one label"),
        "{}",
        output.stdout
    );
    // What the certificate that is there is for, a new one would have to be for too.
    config["applications"][0]["external_url"] = serde_json::json!("https://login.localhost/");
    fs::write(&other, config.to_string()).unwrap();
    let output = check_cert(&[&pem, "--config", other.to_str().unwrap()], &[]).await;
    let told = "for no host of the configuration, which has login.localhost";
    assert!(output.stdout.contains(told), "{}", output.stdout);
    assert_eq!(output.status.code(), Some(2));
    // One for a part of what the other is for does not take its place.
    let mut more = config["applications"][0].clone();
    more["name"] = serde_json::json!("other");
    more["external_url"] = serde_json::json!("https://a.apps.localhost/");
    config["applications"].as_array_mut().unwrap().push(more);
    fs::write(&other, config.to_string()).unwrap();
    let part = stand.authority().issue(&["a.apps.localhost"]);
    let part_file = stand.folder().join("part.pem");
    fs::write(&part_file, format!("{}{}", part.chain, part.key)).unwrap();
    let part_file = part_file.display().to_string();
    let output = check_cert(&[&part_file, "--config", other.to_str().unwrap()], &[]).await;
    let told = "login.localhost is covered by ";
    assert!(output.stdout.contains(told), "{}", output.stdout);
    let output = check_cert(
        &[
            &part_file,
            "--config",
            other.to_str().unwrap(),
            "--fail-on",
            "warning",
        ],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(2), "{}", output.stdout);
    // A configuration without hosts asks for none.
    let (_, found) = codes(
        &[&pem, "--config", stand.gateway_file().to_str().unwrap()],
        &[],
    )
    .await;
    assert!(!found.contains(&"name_not_covered".to_owned()), "{found:?}");
}
