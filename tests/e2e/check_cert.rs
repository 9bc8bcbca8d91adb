//! `check-cert` as it is typed: files with passwords from each place, and servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Authority, Backend, Leaf, Output, Process, Screen, Stand, run, words};

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

/// A server of OpenSSL with a certificate, and where it is.
async fn served(folder: &Path, leaf: &Leaf) -> (Process, String) {
    let (chain, key) = (folder.join("served.pem"), folder.join("served.key"));
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
    (server, format!("127.0.0.1:{port}"))
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
    let (server, address) = served(folder.path(), &leaf).await;
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

#[tokio::test]
async fn a_revoked_certificate_is_told_of_a_file_and_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let leaf = authority.issue_with(&["shop.localhost"], |params| {
        params.serial_number = Some(4711_u64.into());
    });
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let ca = write("ca.pem", authority.pem());
    let pem = write("shop.pem", &leaf.chain);
    let revoked = write("revoked.crl", &authority.revocation_list(&[815, 4711]));
    let nobody = write("nobody.crl", &authority.revocation_list(&[]));
    let forged = write("forged.crl", &other.revocation_list(&[4711]));
    let (server, address) = served(folder.path(), &leaf).await;
    for target in [&pem, &address] {
        let of_list = async |lists: &[&str]| {
            let mut arguments = vec![&**target, "--ca", &ca, "--host", "shop.localhost"];
            arguments.extend(lists.iter().flat_map(|list| ["--crl", list]));
            let (code, found) = codes(&arguments, &[]).await;
            let told = |one: &String| one == "revoked" || one.starts_with("crl_");
            (code, found.into_iter().filter(told).collect::<Vec<_>>())
        };
        assert_eq!(of_list(&[]).await, (0, vec![]));
        assert_eq!(of_list(&[&nobody]).await, (0, vec![]));
        let told = (2, vec!["revoked".to_owned()]);
        assert_eq!(of_list(&[&nobody, &revoked]).await, told);
        let told = (0, vec!["crl_signature".to_owned()]);
        assert_eq!(of_list(&[&forged]).await, told);
        let told = (2, vec!["crl_unreadable".to_owned()]);
        assert_eq!(of_list(&[&ca]).await, told);
    }
    server.kill();
    // What is not there, and what is longer than any list.
    let nowhere = folder.path().join("nowhere.crl").display().to_string();
    let long = folder.path().join("long.crl");
    fs::File::create(&long).unwrap().set_len(1 << 32).unwrap();
    for list in [&*nowhere, long.to_str().unwrap()] {
        let output = check_cert(&[&pem, "--crl", list], &[]).await;
        assert_eq!(output.status.code(), Some(64), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_password_is_asked_for_on_a_terminal_and_never_shown() {
    // What is typed there is shown where nobody turns that off.
    let (process, mut screen) =
        Screen::start_on_a_terminal("shell", "sh -c 'printf type:; read -r typed; echo read'");
    screen.shows("type:").await;
    screen.press(b"Secret123\n");
    assert!(screen.whole().await.contains("Secret123"));
    process.ended().await;

    let pfx = file("pfx-modern.pfx");
    for (password, is_right) in [("Secret123", true), ("hunter2", false)] {
        let script = format!(
            "env -u APPPROXY_PASSWORD '{}' check-cert '{pfx}'",
            words::PROGRAM
        );
        let (process, mut screen) = Screen::start_on_a_terminal("check-cert", &script);
        let asked = screen.shows("(it will not be shown): ").await;
        let prompt = format!("Password of {pfx} (it will not be shown): ");
        assert_eq!(asked, prompt);
        screen.press(format!("{password}\n").as_bytes());
        let whole = screen.whole().await;
        assert!(!whole.contains(password), "{whole}");
        let opened = whole.contains("key: ECDSA P-256, of certificate 1");
        assert_eq!(opened, is_right, "{whole}");
        let refused = whole.contains("[password_wrong]");
        assert_eq!(refused, !is_right, "{whole}");
        assert!(!whole.contains("[password_needed]"), "{whole}");
        // Its root is trusted by nobody here, so that it is an error whether it opens or not.
        assert_eq!(process.ended().await.code(), Some(2));
    }
}

#[tokio::test]
async fn the_commands_for_a_pfx_without_its_intermediate_make_one_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let pfx = file("pfx-no-intermediate.pfx");
    let roots = format!("{}/testdata/certs/roots.pem", env!("CARGO_MANIFEST_DIR"));
    let password = [("APPPROXY_PASSWORD", "Secret123")];
    let output = check_cert(&[&pfx, "--ca", &roots, "--json"], &password).await;
    let told: Value = serde_json::from_str(&output.stdout).unwrap();
    let mut found = told["findings"].as_array().unwrap().iter();
    let missing = found.find(|one| one["code"] == "chain_incomplete").unwrap();
    // Those between backticks; that which fetches is not for a test, and nobody is there to type a password.
    let commands = missing["remedy"]
        .as_str()
        .unwrap()
        .split('`')
        .skip(1)
        .step_by(2);
    let commands: Vec<_> = commands
        .filter(|one| one.starts_with("openssl pkcs12 ") || one.starts_with("rm "))
        .map(|one| {
            let secret = "openssl pkcs12 -passin pass:Secret123 -passout pass:Secret123";
            let one = one.replace("openssl pkcs12", secret);
            one.replace("-in FILE", &format!("-in '{pfx}'"))
        })
        .collect();
    assert_eq!(commands.len(), 3, "{missing}");
    let whole = fs::read_to_string(file("pem-right.pem")).unwrap();
    let at = whole.rfind("-----BEGIN CERTIFICATE-----").unwrap();
    fs::write(folder.path().join("ISSUER.pem"), &whole[at..]).unwrap();
    let script = format!(
        "cd '{}' && {}",
        folder.path().display(),
        commands.join(" && ")
    );
    let made = run("sh", &["-c", &script], &[], "").await;
    assert!(made.status.success(), "{}", made.stderr);
    let new = folder.path().join("NEW.pfx").display().to_string();
    let (_, found) = codes(&[&new, "--ca", &roots], &password).await;
    let told = |code: &str| found.iter().any(|one| one == code);
    assert!(
        !told("chain_incomplete") && !told("chain_extra") && !told("key_mismatch"),
        "{found:?}"
    );
    assert!(!folder.path().join("ALL.pem").exists());
}
