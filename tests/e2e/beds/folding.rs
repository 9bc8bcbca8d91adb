//! Applications that make one name of many: CGI, WSGI and PHP turn `-` into `_`, and some of them more. Table
//! 4B, row 1, on every way to an application.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::{python, server_at, text};
use crate::harness::{Answer, Backend, Process, Running, Stand, temporary};
use crate::reload::gateway;
use crate::sign_in::{Browser, provider, with_sign_in};

fn source(name: &str) -> String {
    format!("{}/tests/e2e/folding/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Apache with one program behind every path.
fn cgi(folder: &Path, port: u16) -> Command {
    let home = text(folder);
    let program = folder.join("fields.cgi");
    fs::copy(source("fields.cgi"), &program).unwrap();
    for path in [folder, &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = format!(
        "ServerRoot /usr/lib/apache2\nDefaultRuntimeDir {home}\nPidFile {home}/pid\n\
         Listen 127.0.0.1:{port}\nServerName localhost\nUser www-data\nGroup www-data\n\
         LoadModule mpm_prefork_module modules/mod_mpm_prefork.so\n\
         LoadModule authz_core_module modules/mod_authz_core.so\n\
         LoadModule alias_module modules/mod_alias.so\n\
         LoadModule cgi_module modules/mod_cgi.so\n\
         ErrorLog /dev/stderr\nDocumentRoot {home}\nScriptAliasMatch ^/ {home}/fields.cgi\n\
         <Directory {home}>\nOptions ExecCGI\nRequire all granted\n</Directory>\n"
    );
    let file = folder.join("apache.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(file);
    // Apache ends its whole process group with itself, and the test is not to be in it.
    command.process_group(0);
    command
}

fn wsgi(port: u16) -> Command {
    let mut command = Command::new("python3");
    command.args([python("wsgi_bed.py"), port.to_string()]);
    command
}

fn php(port: u16) -> Command {
    let mut command = Command::new("php");
    command.args([
        "-q",
        "-S",
        &format!("127.0.0.1:{port}"),
        &source("fields.php"),
    ]);
    command
}

/// Everything that some server takes for `name`: each `-` as it is, as `_` and as `.`; over HTTP case is none.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for part in name.split('-') {
        let separators: &[&str] = if all == [""] { &[""] } else { &["-", "_", "."] };
        let longer = all.iter().flat_map(|before| {
            separators
                .iter()
                .map(move |separator| format!("{before}{separator}{part}"))
        });
        all = longer.collect();
    }
    all
}

/// What an application says that it was told under this name, whatever the spelling was.
fn told(answer: &Answer, name: &str) -> Vec<String> {
    let wanted = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
    let lines = answer.text().lines();
    let lines = lines.filter_map(|line| line.split_once('='));
    let folded = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    lines
        .filter(|(name, _)| folded(name) == wanted)
        .map(|(_, value)| value.to_owned())
        .collect()
}

async fn ask(stand: &Running, url: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(url);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request = request.header(name, *value);
    }
    let request = request.body(Full::<Bytes>::default()).unwrap();
    Answer::read(stand.send(request).await).await
}

#[tokio::test]
async fn rule_05_no_spelling_tells_an_application_who_it_is() {
    let folder = temporary();
    let issuer = provider().await;
    let (cgi, wsgi, php): ((Process, u16), (Process, u16), (Process, u16)) = tokio::join!(
        server_at("apache", |port| self::cgi(folder.path(), port)),
        server_at("wsgi", self::wsgi),
        server_at("php", self::php),
    );
    let backends = [("cgi", cgi.1), ("wsgi", wsgi.1), ("php", php.1)];
    let backends = backends.map(|(name, port)| (name, Backend::elsewhere(port)));
    let settings = json!({
        "pre_authentication": ["oidc"],
        "access": { "allow": ["anyone_signed_in"] },
        "single_sign_on": { "headers": {
            "X-Remote-Id": "{subject}",
            "X-Remote-Phone": "{phone}",
        } },
        "paths": [
            { "path": "/open/", "pre_authentication": ["passthrough"] },
            { "path": "/api/", "pre_authentication": ["service_token"],
              "access": { "allow": [{ "token": "ci" }] } },
        ],
    });
    let mut stand = Stand::new();
    for (name, backend) in &backends {
        stand = stand.application_with(name, backend, settings.clone());
    }
    let stand = with_sign_in(stand, &issuer).start().await;
    let apps = ["--app", "cgi", "--app", "wsgi", "--app", "php"];
    let create = [&["service-token", "create", "--name", "ci"][..], &apps].concat();
    let token = gateway(&stand, &create).await.success();
    let token = format!("Bearer {}", token.trim_end());
    let mut asked = 0;
    for (name, _) in &backends {
        let mut alice = Browser::new(&stand);
        alice.sign_in(&stand.url(name, "/"), "alice").await;
        let cookie = alice.cookie(&format!("{name}.localhost"));
        let ways = [
            ("/page", ("cookie", cookie.as_str()), &["alice"][..]),
            ("/open/page", ("x-innocent", "1"), &[]),
            ("/api/page", ("appproxy-authorization", token.as_str()), &[]),
        ];
        for (path, way, id) in ways {
            let url = stand.url(name, path);
            let look = async || {
                let mut look = tokio::time::interval(std::time::Duration::from_millis(100));
                loop {
                    look.tick().await;
                    let answer = ask(&stand, &url, &[way]).await;
                    // The gateway hears of the token in a moment.
                    if answer.status == StatusCode::OK {
                        return;
                    }
                }
            };
            let limit = std::time::Duration::from_secs(20);
            tokio::time::timeout(limit, look())
                .await
                .expect("it is let in");
            for spelling in [spellings("x-remote-id"), spellings("x-remote-phone")].concat() {
                let forged = (spelling.as_str(), "root");
                let answer = ask(&stand, &url, &[way, forged, forged]).await;
                assert_eq!(answer.status, StatusCode::OK, "{name} {path} {spelling}");
                assert_eq!(told(&answer, "x-remote-id"), id, "{name} {path} {spelling}");
                let phone = told(&answer, "x-remote-phone");
                assert_eq!(phone, [""; 0], "{name} {path} {spelling}");
                asked += 1;
            }
            // What common proxies say, and what only the gateway does.
            for forged in ["x-forwarded-for", "x-real-ip", "forwarded", "client-cert"] {
                for spelling in spellings(forged) {
                    let answer = ask(&stand, &url, &[way, (&spelling, "6.6.6.6")]).await;
                    let said = told(&answer, forged);
                    assert!(said.len() <= 1, "{name} {path} {spelling}: {said:?}");
                    let is_forged = |value: &String| value.contains("6.6.6.6");
                    assert!(
                        !said.iter().any(is_forged),
                        "{name} {path} {spelling}: {said:?}"
                    );
                    asked += 1;
                }
            }
            assert!(!ask(&stand, &url, &[way]).await.text().contains("apxs1_"));
        }
    }
    // Two names of ours in 9 spellings each; four of others in 9, 9, 1 and 3.
    assert_eq!(asked, 3 * 3 * (2 * 9 + 9 + 9 + 1 + 3));
}
