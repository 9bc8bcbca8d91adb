//! All that the tests know of the program's own words: commands, keys of the configuration,
//! messages of the log. Where one of them changes, it changes here.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_appproxy");

/// Says in the log that the gateway takes connections.
pub(crate) const GATEWAY_READY: &str = "gateway ready";

/// Says in a connector's log that a gateway can send it requests.
pub(crate) const TUNNEL_OPEN: &str = "tunnel open";

/// Says in the gateway's log that a connection of a connector has ended.
pub(crate) const TUNNEL_CLOSED: &str = "tunnel closed";

/// The `target` of the one line a request has in the gateway's log.
pub(crate) const ACCESS: &str = "access";

/// What makes the log one JSON object a line.
pub(crate) const LOG_AS_JSON: [&str; 2] = ["--log-format", "json"];

/// The name by which connectors dial the gateway: one that leads where their configuration has it.
pub(crate) const GATEWAY_NAME: &str = "gateway.corp.internal";

/// The group that tokens and applications belong to where none is named.
pub(crate) const GROUP: &str = "default";

/// The path of the gateway's configuration below a stand's folder.
pub(crate) const GATEWAY_FILE: &str = "gateway.yaml";

/// Arguments that run a gateway.
pub(crate) fn gateway(config: &Path, local_connector: bool) -> Vec<String> {
    let mut arguments = with_config(&["gateway"], config);
    if local_connector {
        arguments.push("--local-connector".to_owned());
    }
    arguments
}

/// Arguments that run a connector.
pub(crate) fn connector(config: &Path) -> Vec<String> {
    with_config(&["connector"], config)
}

/// Arguments that print an enrolment token.
pub(crate) fn token_create(config: &Path, group: &str) -> Vec<String> {
    with_config(&["gateway", "token", "create", "--group", group], config)
}

/// Arguments that spend an enrolment token.
pub(crate) fn register(config: &Path, token: &Path) -> Vec<String> {
    let mut arguments = with_config(&["connector", "register"], config);
    arguments.extend(["--token-file".to_owned(), token.display().to_string()]);
    arguments
}

fn with_config(command: &[&str], config: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    arguments.extend(["--config".to_owned(), config.display().to_string()]);
    arguments
}

/// The environment that hands the listeners on standard input, and standard output where there are
/// two, to the program. Without `LISTEN_PID`, which nobody knows before the process exists.
pub(crate) fn inherited(listeners: usize) -> [(&'static str, String); 2] {
    [
        ("LISTEN_FDS", listeners.to_string()),
        ("LISTEN_FDS_FIRST_FD", "0".to_owned()),
    ]
}

/// A gateway's configuration. JSON is YAML, which spares a writer of it.
pub(crate) fn gateway_config(
    folder: &Path,
    https: SocketAddr,
    http: Option<SocketAddr>,
    applications: &[Value],
) -> Value {
    let mut config = json!({
        "version": 1,
        "kind": "gateway",
        "listen": {
            "https": [https.to_string()],
            "public": [format!("{GATEWAY_NAME}:{}", https.port())],
        },
        "store": format!("sqlite:{}", folder.join("gateway.db").display()),
        // A stand that is dropped shall end; whoever looks at the notice sets one of their own.
        "drain": { "notice": "100ms" },
        "certificates": [{
            "chain": folder.join("chain.pem"),
            "key": folder.join("key.pem"),
        }],
    });
    // An empty list is refused: whoever means nothing leaves the key out.
    if let Some(http) = http {
        config["listen"]["http"] = json!([http.to_string()]);
    }
    if !applications.is_empty() {
        config["applications"] = json!(applications);
    }
    config
}

/// An application, open to everybody.
pub(crate) fn application(name: &str, external_url: &str, internal_url: &str) -> Value {
    json!({
        "name": name,
        "external_url": external_url,
        "internal_url": internal_url,
        "pre_authentication": ["passthrough"],
    })
}

/// Limits under which one application and one client have all places there are.
pub(crate) fn no_limits() -> Value {
    json!({ "requests": "100%", "requests_per_address": 1_000_000, "connections_per_address": 1_000_000 })
}

/// The name by which connectors reach an application.
pub(crate) fn internal_name(application: &str) -> String {
    format!("{application}.corp.internal")
}

/// A connector's configuration that reaches these applications, each a name and its port.
pub(crate) fn connector_config(state: &Path, applications: &[(String, u16)]) -> Value {
    let hosts: serde_json::Map<String, Value> = applications
        .iter()
        .map(|(name, _)| internal_name(name))
        .chain([GATEWAY_NAME.to_owned()])
        .map(|name| (name, json!(["127.0.0.1"])))
        .collect();
    // Loopback is refused unless it is listed as such, even behind a name that is.
    let allow: Vec<String> = applications
        .iter()
        .flat_map(|(name, port)| {
            [
                format!("{}:{port}", internal_name(name)),
                format!("127.0.0.1:{port}"),
            ]
        })
        .collect();
    let mut config = json!({
        "version": 1,
        "kind": "connector",
        "state": state,
        "dns": { "hosts": hosts },
    });
    if !allow.is_empty() {
        config["allow"] = json!(allow);
    }
    config
}

/// Sees to it that a connector reaches the gateway by its public name; or, where its configuration
/// names gateways, by those alone, as where that name leads elsewhere inside a network.
pub(crate) fn lead_to_gateway(config: &mut Value) {
    let address = match config.get("gateways") {
        Some(_) => "127.0.0.9",
        None => "127.0.0.1",
    };
    config["dns"]["hosts"][GATEWAY_NAME] = json!([address]);
}

/// The message of a line of the log, where it is one.
pub(crate) fn message(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(line.get("message")?.as_str()?.to_owned())
}

/// For its owner alone, so that there is nothing to warn of.
pub(crate) fn write_key(path: &Path, key: &str) {
    fs::write(path, key).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_from_a_line_of_the_log() {
        let line =
            r#"{"timestamp":"2026-11-22T20:59:01Z","level":"INFO","message":"gateway ready"}"#;
        assert_eq!(message(line).as_deref(), Some(GATEWAY_READY));
        assert_eq!(message("thread 'main' panicked"), None);
    }

    #[test]
    fn the_gateways_file_is_what_the_reader_of_the_documents_would_write() {
        let config = gateway_config(
            Path::new("/tmp/x"),
            "127.0.0.1:4443".parse().unwrap(),
            None,
            &[application(
                "wiki",
                "https://wiki.localhost:4443/",
                "http://wiki.corp.internal:80/",
            )],
        );
        assert_eq!(config["listen"]["https"], json!(["127.0.0.1:4443"]));
        assert_eq!(
            config["listen"]["public"],
            json!(["gateway.corp.internal:4443"])
        );
        assert!(config["listen"].get("http").is_none());
        assert_eq!(config["store"], "sqlite:/tmp/x/gateway.db");
        assert_eq!(
            config["applications"][0]["pre_authentication"],
            json!(["passthrough"])
        );
    }

    #[test]
    fn a_connector_may_reach_the_name_and_the_address_behind_it() {
        let config = connector_config(Path::new("/tmp/x/state"), &[("wiki".to_owned(), 8888)]);
        assert_eq!(
            config["allow"],
            json!(["wiki.corp.internal:8888", "127.0.0.1:8888"])
        );
        assert_eq!(
            config["dns"]["hosts"]["wiki.corp.internal"],
            json!(["127.0.0.1"])
        );
    }
}
