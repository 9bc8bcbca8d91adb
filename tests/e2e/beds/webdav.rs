//! WebDAV: Apache's mod_dav, and litmus which judges servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{TOOL, server_at, text};
use crate::harness::{Backend, Stand, run_for, temporary};

/// What litmus 0.13 tests: basic 16, copymove 13, props 30, locks 41, http 4.
const TESTS: usize = 104;

/// Apache with folders below `/dav/` that may be written to.
fn apache(folder: &Path, port: u16) -> Command {
    let home = text(folder);
    let config = format!(
        "ServerRoot /usr/lib/apache2\nDefaultRuntimeDir {home}\nPidFile {home}/pid\n\
         Listen 127.0.0.1:{port}\nServerName localhost\nUser www-data\nGroup www-data\n\
         LoadModule mpm_event_module modules/mod_mpm_event.so\n\
         LoadModule authz_core_module modules/mod_authz_core.so\n\
         LoadModule mime_module modules/mod_mime.so\nTypesConfig /dev/null\n\
         LoadModule dav_module modules/mod_dav.so\nLoadModule dav_fs_module modules/mod_dav_fs.so\n\
         ErrorLog /dev/stderr\nDocumentRoot {home}/site\nDavLockDB {home}/locks/db\n\
         <Directory {home}/site>\nDav on\nRequire all granted\n</Directory>\n"
    );
    let file = folder.join("apache.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(file);
    command
}

/// What litmus says of a server, a line a test, without its headings.
async fn litmus(folder: &Path, url: &str) -> Vec<String> {
    // It writes its logs into the folder where it starts.
    fs::create_dir(folder).unwrap();
    let script = "cd \"$0\" && exec litmus --keep-going \"$1\"";
    let arguments = ["-c", script, text(folder), url];
    let output = run_for(TOOL, "sh", &arguments, &[], "").await;
    let said = output.stdout.replace('\r', "\n");
    let tests = said.lines().map(str::trim);
    let is_test = |line: &&str| {
        let outcome = ["pass", "FAIL", "WARNING", "SKIPPED"];
        !line.starts_with("<-") && outcome.iter().any(|word| line.contains(word))
    };
    tests.filter(is_test).map(str::to_owned).collect()
}

#[tokio::test]
async fn litmus_passes_what_it_passes_without_the_proxy() {
    let folder = temporary();
    for part in [
        "",
        "site",
        "site/dav",
        "site/dav/direct",
        "site/dav/proxied",
        "locks",
    ] {
        let path = folder.path().join(part);
        fs::create_dir_all(&path).unwrap();
        // Apache gives up root.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (_apache, port) = server_at("apache", |port| apache(folder.path(), port)).await;
    let backend = Backend::elsewhere(port);
    // litmus resolves its server's name as the system does, and trusts the system's authorities.
    let stand = Stand::new()
        .redirects()
        .application_with(
            "dav",
            &backend,
            json!({
                "external_url": "http://localhost:{http}/dav/",
                "internal_url": "http://dav.corp.internal:{backend}/dav/",
            }),
        )
        .start()
        .await;
    let front = stand.plain_address().port();
    let judge = async |name: &str, port: u16| {
        let url = format!("http://localhost:{port}/dav/{name}/");
        litmus(&stand.folder().join(name), &url).await
    };
    let (direct, proxied) = tokio::join!(judge("direct", port), judge("proxied", front));
    let passed = |lines: &[String]| lines.iter().filter(|line| line.contains("pass")).count();
    assert_eq!(direct, proxied);
    assert_eq!(passed(&direct), TESTS, "{direct:#?}");
    assert!(
        !direct.iter().any(|line| line.contains("FAIL")),
        "{direct:#?}"
    );
}
