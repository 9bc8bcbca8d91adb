//! What somebody who is asked for help has to know, in a file.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Exit;
use super::report::as_json;
use crate::check::Line;
use crate::clock::Clock;
use crate::config::{ConnectorConfig, Described, GatewayConfig, Proxies};

/// Names and addresses of the inside are in it.
const MODE: u32 = 0o600;

/// What a file says, without a secret.
pub(super) struct Settings {
    file: PathBuf,
    kind: &'static str,
    settings: Value,
}

impl Settings {
    /// Of a gateway.
    pub(super) fn of_gateway(config: &GatewayConfig) -> Self {
        Self {
            file: config.file.clone(),
            kind: "gateway",
            settings: json!(Described::of(config)),
        }
    }

    /// Of a connector.
    pub(super) fn of_connector(config: &ConnectorConfig, proxies: &Proxies) -> Self {
        let text = |one: &dyn ToString| one.to_string();
        let gateways: Vec<_> = config.gateways.iter().map(|one| text(one)).collect();
        let allow: Vec<_> = config.allow.iter().map(|one| text(one)).collect();
        let backend_tls = config.backend_tls.iter().map(|one| {
            let hosts: Vec<_> = one.hosts.iter().map(|host| text(host)).collect();
            json!({
                "hosts": hosts,
                "ca": one.ca.as_ref().map(|ca| ca.file.display().to_string()),
                "pins": one.pins.len(),
                "server_name": one.server_name.as_ref().map(|name| text(name)),
            })
        });
        let settings = json!({
            "gateways": gateways,
            "state": config.state,
            "allow": allow,
            "connections": format!("{}..{}", config.connections.least, config.connections.most),
            // Without its password.
            "tunnel_proxy": proxies.tunnel.as_ref().map(|proxy| text(proxy)),
            "backend_proxy": proxies.backend.as_ref().map(|proxy| text(proxy)),
            "backend_tls": backend_tls.collect::<Vec<_>>(),
            "dns": { "servers": config.dns.servers, "hosts": config.dns.hosts },
            "metrics": config.metrics,
            "workers": config.workers,
        });
        Self {
            file: config.file.clone(),
            kind: "connector",
            settings,
        }
    }

    /// Of one that is not understood: the lines of the check say why. Its text is not taken along, since a
    /// secret may be what is wrong with it.
    pub(super) fn unread(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            kind: "unknown",
            settings: Value::Null,
        }
    }
}

/// Writes it, for the owner alone.
pub(super) fn write(file: &Path, settings: &[Settings], lines: &[Line]) -> Result<(), Exit> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let configurations = settings
        .iter()
        .map(|one| json!({ "file": one.file, "kind": one.kind, "settings": one.settings }));
    let whole = json!({
        "appproxy": env!("CARGO_PKG_VERSION"),
        "made": Clock::system().now().to_rfc3339(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "system": read("/etc/os-release"),
        "load": read("/proc/loadavg"),
        "configurations": configurations.collect::<Vec<_>>(),
        "check": as_json(lines),
    });
    store(file, &format!("{whole:#}\n"))
        .map_err(|error| Exit::failed(format!("cannot write {}: {error}", file.display())))
}

fn store(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(MODE);
    let mut bundle = options.open(file)?;
    // One that was there has the mode that it had: before anything is in it, it is the owner's alone.
    if bundle.metadata()?.is_file() {
        bundle.set_permissions(Permissions::from_mode(MODE))?;
        bundle.set_len(0)?;
    }
    bundle.write_all(text.as_bytes())
}
