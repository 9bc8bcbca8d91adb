//! A connector in the gateway's own process, for those who have one host: what the gateway publishes
//! from there it may reach, and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::config::{Allow, AllowHosts, ConnectorConfig, GatewayConfig};
use crate::connector::{
    self, Applications, BackendTrust, ConnectorError, OpenTunnels, RegisterError, Registration,
    StateError, StateFolder, Watch,
};
use crate::gateway::{EnrolError, Gateway, load_authorities};
use crate::model::{Endpoint, Finding, GroupName, InternalHost, NameError};
use crate::net::{Dialler, Resolver};
use crate::owner;
use crate::store::{NewToken, Store, StoreError};
use crate::tunnel::token::{MakeTokenError, Token};

/// For the way from this process to itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The group of applications that name none.
const GROUP: &str = "default";

/// Its folder, beside the store.
const FOLDER: &str = "local-connector";

/// Why there is no connector beside the gateway.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It could not connect to the gateway.
    #[error(
        "`listen.proxy_protocol` has every connection from {0} begin with a PROXY header, which those \
         of a local connector do not: run `appproxy connector` beside the gateway, and have it dial \
         the load balancer"
    )]
    Balanced(IpAddr),
    /// Its folder cannot be made.
    #[error("the local connector's folder {0} cannot be made: {1}")]
    Folder(PathBuf, io::Error),
    /// Its own configuration cannot be used.
    #[error("the local connector cannot be configured: {}", told(.0))]
    Configuration(Vec<Finding>),
    /// What it has of before cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no authority to enrol it.
    #[error(transparent)]
    Authority(#[from] EnrolError),
    /// The store gives no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token can be made for it.
    #[error(transparent)]
    Token(#[from] MakeTokenError),
    /// Its group has no name.
    #[error(transparent)]
    Group(#[from] NameError),
    /// It was not enrolled.
    #[error("the local connector could not be registered: {0}")]
    Register(#[from] RegisterError),
}

fn told(findings: &[Finding]) -> String {
    let all: Vec<_> = findings.iter().map(ToString::to_string).collect();
    all.join("\n")
}

/// A connector that runs. Dropped, it ends at once; its gateway has drained it by then.
#[derive(Debug)]
pub struct Local {
    _running: AbortOnDropHandle<()>,
    _following: AbortOnDropHandle<()>,
}

/// Starts a connector for a gateway that accepts connections already at `door`. It is enrolled where
/// it is not yet, and again where it was removed. What it may reach follows the gateway's
/// configuration.
///
/// # Errors
/// Where it cannot be enrolled or started.
pub async fn start(
    gateway: &Arc<Gateway>,
    store: &dyn Store,
    door: SocketAddr,
    clock: &Clock,
) -> Result<Local, LocalError> {
    let (published, superseded) = gateway.config_and_end();
    let door = reachable(door);
    // A connection to an address of this machine comes from it.
    let mut balanced = published.listen.proxy_protocol.iter();
    if balanced.any(|network| network.contains(&door.ip())) {
        return Err(LocalError::Balanced(door.ip()));
    }
    let folder = published.store.with_file_name(FOLDER);
    owner::make_folder(&folder).map_err(|error| LocalError::Folder(folder.clone(), error))?;
    let config = configuration(&folder, door, &published)?;
    let state = StateFolder::new(&folder);
    let gateways = &config.gateways;
    if is_to_be_enrolled(&state, store).await? {
        enrol(&state, store, gateways.clone(), "local", clock).await?;
    }
    let trust = BackendTrust::load(&[], clock.now()).map_err(LocalError::Configuration)?;
    let applications = Applications::new(&config, None, trust);
    let following = follow(
        Arc::clone(gateway),
        applications.clone(),
        (folder, door),
        superseded,
        clock.clone(),
    );
    let open = OpenTunnels::default();
    let running = connector::run(
        config,
        None,
        applications,
        clock.clone(),
        CancellationToken::new(),
        open.clone(),
        Watch::default(),
    );
    let running = tokio::spawn(async move {
        match running.await {
            Ok(()) => {}
            Err(ConnectorError::Removed) => {
                tracing::error!(
                    "the local connector was removed; start the gateway again to have another"
                );
            }
            Err(error) => tracing::error!(%error, "the local connector ended"),
        }
    });
    // Who finds the gateway ready finds its applications too.
    if timeout(PATIENCE, open.any()).await.is_err() {
        tracing::warn!(%door, "the local connector has no tunnel yet; its own lines in the log say why");
    }
    Ok(Local {
        _running: AbortOnDropHandle::new(running),
        _following: AbortOnDropHandle::new(tokio::spawn(following)),
    })
}

/// Where a process on this machine finds a listener.
fn reachable(mut door: SocketAddr) -> SocketAddr {
    if door.ip().is_unspecified() {
        // A listener at [::] may take IPv6 alone.
        door.set_ip(match door {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    door
}

fn configuration(
    folder: &Path,
    door: SocketAddr,
    published: &GatewayConfig,
) -> Result<ConnectorConfig, LocalError> {
    let text = serde_json::json!({
        "version": 1,
        "kind": "connector",
        "gateways": [door.to_string()],
        "state": folder,
        // Proxies are for ways that leave this machine.
        "tunnel_proxy": "none",
    });
    let config = ConnectorConfig::from_text(&folder.join("connector.yaml"), &text.to_string());
    let mut config = config.map_err(LocalError::Configuration)?;
    config.allow = allow(published);
    config.follows_gateways = false;
    Ok(config)
}

/// The targets of what is published from here.
fn allow(published: &GatewayConfig) -> Vec<Allow> {
    let mut all: Vec<Allow> = Vec::new();
    let mine = published.applications.iter().filter(|application| {
        let mut groups = application.connectors.groups().iter();
        groups.any(|group| group.as_str() == GROUP)
    });
    for url in mine.flat_map(|application| application.internal.all()) {
        let hosts = match &url.host {
            InternalHost::Exact(host) => AllowHosts::Exact(host.clone()),
            InternalHost::Wildcard { suffix } => AllowHosts::Below(Arc::clone(suffix)),
        };
        let line = Allow {
            hosts,
            port: url.port,
        };
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all
}

/// Has the allow-list follow the gateway's configuration; never ends.
async fn follow(
    gateway: Arc<Gateway>,
    applications: Applications,
    (folder, door): (PathBuf, SocketAddr),
    mut superseded: CancellationToken,
    clock: Clock,
) {
    loop {
        superseded.cancelled().await;
        let (published, next) = gateway.config_and_end();
        superseded = next;
        let trust = BackendTrust::load(&[], clock.now()).map_err(LocalError::Configuration);
        let config = configuration(&folder, door, &published);
        match (config, trust) {
            (Ok(config), Ok(trust)) => applications.replace(&config, None, trust),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "the local connector reaches what it reached before");
            }
        }
    }
}

/// Whether there is no connector yet, or it was removed.
async fn is_to_be_enrolled(state: &StateFolder, store: &dyn Store) -> Result<bool, LocalError> {
    if !state.has_identity() {
        return Ok(true);
    }
    let known = store.connector(&state.stored()?.id).await?;
    // Another store than that of its enrolment does not know it at all.
    Ok(known.is_none_or(|known| known.removed.is_some()))
}

/// Makes a token and registers a connector with it, over the gateway's own door.
///
/// # Errors
/// Where no token can be made, or it is not taken.
pub async fn enrol(
    state: &StateFolder,
    store: &dyn Store,
    gateways: Vec<Endpoint>,
    name: &str,
    clock: &Clock,
) -> Result<(), LocalError> {
    let authorities = load_authorities(store, clock.now()).await?;
    let token = Token::new(gateways, authorities.issuing().pin())?;
    let new = NewToken {
        id: token.secret.id(),
        secret_hash: token.secret.hash(),
        group: GroupName::new(GROUP)?,
        uses: 1,
        created: clock.now(),
        expires: clock.now().plus(PATIENCE),
    };
    store.create_token(new).await?;
    let registration = Registration {
        state,
        token: &token,
        name,
        replace: true,
        clock,
    };
    let dialler = Dialler::new(Resolver::new(&[], BTreeMap::new()));
    let dial = async |gateway: &Endpoint| {
        let deadline = Instant::now() + PATIENCE;
        let dialled = dialler.connect_tunnel(gateway, deadline).await;
        dialled.map_err(io::Error::other)
    };
    connector::register(registration, dial).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_reach_what_is_published_from_here_and_nothing_else() {
        let text = r#"
version: 1
kind: gateway
listen: { https: ["127.0.0.1:8443"] }
store: sqlite:gateway.db
certificates: [ { chain: a.pem, key: a.key } ]
applications:
  - { name: one, external_url: "https://one.test/", internal_url: "http://127.0.0.1:3000/", pre_authentication: [passthrough] }
  - { name: two, external_url: "https://two.test/", internal_urls: ["http://a.corp:80/", "http://127.0.0.1:3000/"], pre_authentication: [passthrough] }
  - { name: far, external_url: "https://far.test/", internal_url: "http://far.corp:80/", connector_groups: [hq], pre_authentication: [passthrough] }
  - { name: both, external_url: "https://both.test/", internal_url: "https://both.corp/", connector_groups: [hq, default], pre_authentication: [passthrough] }
  - { name: many, external_url: "https://*.many.test/", internal_url: "http://*.many.corp:8080/", pre_authentication: [passthrough] }
"#;
        let config = GatewayConfig::from_text(Path::new("/etc/gateway.yaml"), text).unwrap();
        let lines: Vec<_> = allow(&config).iter().map(ToString::to_string).collect();
        let expected = [
            "127.0.0.1:3000",
            "a.corp:80",
            "both.corp:443",
            "*.many.corp:8080",
        ];
        assert_eq!(lines, expected);
        let door = SocketAddr::from(([0, 0, 0, 0], 443));
        let own = configuration(Path::new("/state"), reachable(door), &config).unwrap();
        assert_eq!(own.gateways, [Endpoint::parse("127.0.0.1:443").unwrap()]);
        assert!(!own.follows_gateways);
        let door = reachable("[::]:443".parse().unwrap());
        assert_eq!(door.to_string(), "[::1]:443");
    }
}
