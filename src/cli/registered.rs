//! What follows a registration: who starts the connector, whether it came up, and what it may reach.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::status;
use crate::check::connector::Running;
use crate::config::{CONNECTOR_FILE, ConnectorConfig, connector_command};
use crate::connector::Registered;

/// The folder that the package's units know; with another one nobody waits for an identity.
const STATE: &str = "/var/lib/appproxy/connector";

/// There where systemd is the service manager that runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// There where the unit is enabled that waits for an identity.
const WAITS: &str = "/etc/systemd/system/multi-user.target.wants/appproxy-connector.path";

/// The connector's service, as a package or somebody by hand brings it.
const SERVICES: [&str; 2] = [
    "/usr/lib/systemd/system/appproxy-connector.service",
    "/etc/systemd/system/appproxy-connector.service",
];

/// How long a service is waited for: it has 10 seconds for its first tunnel.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines of the allow-list that are shown.
const SHOWN: usize = 5;

/// Who starts a connector that was registered with this configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Starter {
    /// The service, by itself: a unit waits for the identity.
    Itself,
    /// The service, once somebody enables it.
    Service,
    /// Whoever runs the program.
    Hand,
}

impl Starter {
    /// `root` is the machine's; tests have one of their own.
    fn of(config: &ConnectorConfig, root: &Path) -> Self {
        let is_there = |path: &str| root.join(path.trim_start_matches('/')).symlink_metadata();
        let is_there = |path: &str| is_there(path).is_ok();
        let is_usual = config.file == Path::new(CONNECTOR_FILE);
        if !is_usual || !is_there(SYSTEMD) || !SERVICES.iter().any(|unit| is_there(unit)) {
            return Self::Hand;
        }
        match config.state == Path::new(STATE) && is_there(WAITS) {
            true => Self::Itself,
            false => Self::Service,
        }
    }
}

/// What to tell somebody whose connector was just registered. Where the service starts it, that is waited
/// for, so that nothing runs or fails unseen.
pub(super) async fn what_follows(config: &ConnectorConfig, registered: &Registered) -> String {
    let starter = Starter::of(config, Path::new("/"));
    let told = match starter {
        Starter::Itself => wait(config, registered.id.as_str()).await,
        Starter::Service | Starter::Hand => None,
    };
    text(config, starter, told.as_ref(), registered.id.as_str())
}

/// Waits until the connector of this identity has a tunnel; else returns what was said last.
async fn wait(config: &ConnectorConfig, id: &str) -> Option<Running> {
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < until {
        if let Some(told) = status::running(config).await {
            let stands = told.id == id && told.tunnels > 0;
            last = Some(told);
            if stands {
                break;
            }
        }
        sleep(PAUSE).await;
    }
    last
}

fn text(config: &ConnectorConfig, starter: Starter, told: Option<&Running>, id: &str) -> String {
    let start = match (starter, told) {
        (Starter::Itself, Some(told)) if told.id != id => {
            "The connector that runs here still has another identity: `sudo systemctl restart appproxy-connector`."
                .to_owned()
        }
        (Starter::Itself, Some(told)) if told.tunnels > 0 => format!(
            "The service appproxy-connector has started it, and starts it with this host from now on. It is connected, tunnels: {}.",
            told.tunnels
        ),
        (Starter::Itself, Some(_)) => {
            "The service appproxy-connector has started it, and it has no tunnel yet: `sudo -u appproxy appproxy connector status` says why."
                .to_owned()
        }
        (Starter::Itself, None) => {
            "The service appproxy-connector was to start it by itself, and it does not run: `systemctl status appproxy-connector.path appproxy-connector` says why; start it with `sudo systemctl restart appproxy-connector`."
                .to_owned()
        }
        (Starter::Service, _) => {
            "Start it, now and with this host, with `sudo systemctl enable --now appproxy-connector`."
                .to_owned()
        }
        (Starter::Hand, _) => format!(
            "Start it with `{}`.",
            connector_command("appproxy connector", &config.file)
        ),
    };
    format!("{start}\n{}\n", reach(config))
}

/// What it may reach, and where to write more.
fn reach(config: &ConnectorConfig) -> String {
    let file = config.file.display();
    if config.allow.is_empty() {
        return format!(
            "It may reach nothing yet: write host and port of each application under `allow` in {file}, such as `allow: [\"wiki.corp.local:8080\"]`."
        );
    }
    let mut shown = String::new();
    for (index, line) in config.allow.iter().take(SHOWN).enumerate() {
        let _ = write!(shown, "{}{line}", if index == 0 { "" } else { ", " });
    }
    if config.allow.len() > SHOWN {
        let _ = write!(shown, " and {} more", config.allow.len() - SHOWN);
    }
    format!("It may reach {shown}, and nothing else: what is missing goes under `allow` in {file}.")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "c77a8fe213c1a32fd4b4131de";

    fn config(file: &str, state: &str, allow: &str) -> ConnectorConfig {
        let folder = tempfile::tempdir().unwrap();
        let written = folder.path().join("connector.yaml");
        let text = format!("version: 1\nkind: connector\nstate: {state}\nallow: [{allow}]\n");
        fs::write(&written, text).unwrap();
        let mut config = ConnectorConfig::load(&written).unwrap();
        config.file = file.into();
        config
    }

    #[test]
    fn a_service_starts_what_it_waits_for_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path.trim_start_matches('/'));
        let make = |path: &str| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            symlink("/nowhere", at(path)).unwrap();
        };
        let usual = config(CONNECTOR_FILE, STATE, "");
        let starter = |config: &ConnectorConfig| Starter::of(config, root.path());
        make(SERVICES[0]);
        make(WAITS);
        // Units alone start nothing, as in a container.
        assert_eq!(starter(&usual), Starter::Hand);
        make(SYSTEMD);
        assert_eq!(starter(&usual), Starter::Itself);
        for (config, expected) in [
            (config("/srv/c.yaml", STATE, ""), Starter::Hand),
            (config(CONNECTOR_FILE, "/srv/state", ""), Starter::Service),
        ] {
            assert_eq!(starter(&config), expected, "{config:?}");
        }
        fs::remove_file(at(WAITS)).unwrap();
        assert_eq!(starter(&usual), Starter::Service);
        fs::remove_file(at(SERVICES[0])).unwrap();
        assert_eq!(starter(&usual), Starter::Hand);
    }

    #[test]
    fn the_unit_waits_where_the_identity_is_written() {
        let unit = fs::read_to_string("examples/service/appproxy-connector.path").unwrap();
        let watched = format!("\nPathChanged={STATE}/identity.pem\n");
        assert!(unit.contains(&watched), "{unit}");
        assert!(!unit.contains("\nPathExists"), "{unit}");
        assert!(unit.contains("\nWantedBy=multi-user.target\n"), "{unit}");
    }

    #[test]
    fn what_is_told_is_how_it_stands() {
        let usual = config(CONNECTOR_FILE, STATE, "wiki.corp.local:8080");
        let told = |id: &str, tunnels| {
            let id = id.to_owned();
            let allow = Vec::new();
            Some(Running {
                id,
                tunnels,
                allow,
                open_files: None,
            })
        };
        for (starter, told, expected) in [
            (
                Starter::Itself,
                told(ID, 2),
                "has started it, and starts it with this host",
            ),
            (
                Starter::Itself,
                told(ID, 0),
                "has no tunnel yet: `sudo -u appproxy appproxy connector status`",
            ),
            (
                Starter::Itself,
                told("other", 2),
                "`sudo systemctl restart appproxy-connector`",
            ),
            (
                Starter::Itself,
                None,
                "`systemctl status appproxy-connector.path appproxy-connector`",
            ),
            (
                Starter::Service,
                None,
                "`sudo systemctl enable --now appproxy-connector`",
            ),
            (Starter::Hand, None, "Start it with `appproxy connector`."),
        ] {
            let text = text(&usual, starter, told.as_ref(), ID);
            assert!(text.contains(expected), "{text}");
            assert!(text.ends_with(
                "\nIt may reach wiki.corp.local:8080, and nothing else: what is missing goes under `allow` in /etc/appproxy/connector.yaml.\n"
            ), "{text}");
        }
    }

    #[test]
    fn what_may_be_reached_is_named_and_not_without_end() {
        let none = reach(&config("/srv/c.yaml", STATE, ""));
        assert!(
            none.starts_with("It may reach nothing yet: ") && none.contains("/srv/c.yaml"),
            "{none}"
        );
        let many: Vec<_> = (1..=7).map(|n| format!("\"10.1.0.{n}:80\"")).collect();
        let many = reach(&config("/srv/c.yaml", STATE, &many.join(", ")));
        let five = "10.1.0.1:80, 10.1.0.2:80, 10.1.0.3:80, 10.1.0.4:80, 10.1.0.5:80 and 2 more,";
        assert!(many.contains(five), "{many}");
    }
}
