//! Clients that are programs: curl, and a browser.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::Running;
use super::process::{self, Output};

/// How long all steps together may take; each has a shorter deadline of its own.
const VISIT: Duration = Duration::from_secs(60);

impl Running {
    /// Runs curl with these arguments, with the authority trusted and every `*.localhost` name, which
    /// curl resolves by itself, on loopback.
    pub(crate) async fn curl(&self, arguments: &[&str]) -> Output {
        process::run("curl", &self.curl_arguments(arguments), &[], "").await
    }

    /// Starts curl in the same way, to be watched while it runs.
    pub(crate) fn start_curl(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new("curl");
        for name in process::PROXIES {
            command.env_remove(name);
        }
        command
            .args(self.curl_arguments(arguments))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start curl: {e}"))
    }

    fn curl_arguments(&self, arguments: &[&str]) -> Vec<String> {
        let authority = self.folder().join("ca.pem").display().to_string();
        let mut all = vec!["--silent", "--show-error", "--ipv4"];
        all.extend(["--max-time", "25", "--cacert", &authority]);
        all.extend(arguments);
        all.into_iter().map(str::to_owned).collect()
    }

    /// Has headless Chromium take these steps (see `node/browse.mjs`) and returns what it saw. Hosts
    /// are names that do not end in `.localhost` and shall lead to the gateway, or elsewhere by a rule
    /// such as [`Trap::rule`](super::Trap::rule).
    pub(crate) async fn browse(&self, hosts: &[&str], steps: &Value) -> Value {
        browse(&[self.spki()], hosts, steps).await
    }
}

/// Has headless Chromium take steps; certificates of these public keys are taken, and these hosts
/// lead to loopback, or with `=` and an address behind their name to that.
pub(crate) async fn browse(keys: &[&str], hosts: &[&str], steps: &Value) -> Value {
    let mut arguments = vec![format!(
        "{}/tests/e2e/node/browse.mjs",
        env!("CARGO_MANIFEST_DIR")
    )];
    for key in keys {
        arguments.extend(["--spki".to_owned(), (*key).to_owned()]);
    }
    for host in hosts {
        let rule = match host.contains('=') {
            true => (*host).to_owned(),
            false => format!("{host}=127.0.0.1"),
        };
        arguments.extend(["--resolve".to_owned(), rule]);
    }
    let input = steps.to_string();
    let output = process::run_for(VISIT, "node", &arguments, &[], &input).await;
    assert_ne!(output.status.code(), Some(2), "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap_or_else(|e| {
        panic!(
            "{e}: the browser printed {}\n{}",
            output.stdout, output.stderr
        )
    })
}

/// What was seen at the step that is called this (`as`).
pub(crate) fn at<'a>(steps: &Value, seen: &'a Value, name: &str) -> &'a Value {
    let steps = steps.as_array().expect("a list");
    let at = steps.iter().position(|step| step["as"] == name);
    &seen["steps"][at.unwrap_or_else(|| panic!("there is no step {name}"))]
}

#[cfg(test)]
mod browser {
    use http::Response;
    use serde_json::json;

    use super::super::{Authority, Backend, body};
    use super::*;

    #[tokio::test]
    async fn a_browser_takes_the_certificate_it_was_told_of_and_no_other() {
        let authority = Authority::new();
        let page = "<title>Wiki</title><p id=text>hello</p>";
        let leaf = authority.issue(&["wiki.example.com"]);
        let backend = Backend::tls(leaf.server_config(&["http/1.1"]), move |_| async move {
            let mut response = Response::new(body(page));
            let html = http::HeaderValue::from_static("text/html");
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, html);
            response
        })
        .await;
        let url = format!("https://wiki.example.com:{}/", backend.address().port());
        let steps = json!([{ "goto": url }, { "wait": "#text", "text": "hello" }]);
        let seen = browse(&[&leaf.spki], &["wiki.example.com"], &steps).await;
        assert_eq!(seen["steps"][0]["title"], "Wiki", "{seen}");
        assert_eq!(seen["steps"][1]["text"], "hello", "{seen}");

        let other = authority.issue(&["wiki.example.com"]);
        let seen = browse(&[&other.spki], &["wiki.example.com"], &steps).await;
        let error = seen["steps"][0]["error"].as_str().unwrap();
        assert!(error.contains("ERR_CERT_AUTHORITY_INVALID"), "{seen}");
    }
}
