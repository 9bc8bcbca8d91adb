//! Everything the demo starts: a gateway, a connector that enrols and dials out, an application.
//! Each runs on threads of its own, so that each can be killed for real.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::app::{self, AppControl};
use super::DemoError;
use crate::certs;
use crate::clock::Clock;
use crate::config::{ConnectorConfig, GatewayConfig};
use crate::connector;
use crate::gateway::{Gateway, Parts};
use crate::model::Finding;
use crate::net;
use crate::store::{self, Store, StoreKeys};

/// The name people open; browsers and curl resolve everything below `localhost` themselves.
pub(super) const HOST: &str = "demo.localhost";

/// The name the application knows itself by.
const INTERNAL: &str = "demo.corp.internal";

/// The port that is tried first, so that a bookmark keeps working.
const PORT: u16 = 8443;

/// How long the gateway waits for the slowed application; short, since somebody is watching.
pub(super) const FIRST_BYTE: Duration = Duration::from_secs(3);

/// How slow a slowed application is: more than the gateway waits.
const SLOW: Duration = Duration::from_secs(6);

/// Tunnels the connector keeps.
const CONNECTIONS: usize = 2;

/// For something to come up, or to go away.
const PATIENCE: Duration = Duration::from_secs(10);

/// The running demo.
pub(super) struct Stage {
    folder: Folder,
    gateway: Arc<Gateway>,
    /// Keeps the gateway's threads.
    _gateway_threads: Option<Runtime>,
    connector: Option<Runtime>,
    application: Option<Runtime>,
    control: AppControl,
    slow: bool,
    pub(super) address: SocketAddr,
    pub(super) application_address: SocketAddr,
}

/// A folder of our own that goes with us.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let random: [u8; 6] = certs::random().map_err(io::Error::other)?;
        let mut name = String::from("appproxy-demo-");
        for octet in random {
            let _ = write!(name, "{octet:02x}");
        }
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Starts everything, with a real enrolment in between.
    pub(super) fn start(port: Option<u16>) -> Result<Self, DemoError> {
        let folder = Folder::new()?;
        let application_threads = threads()?;
        let application_listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let application_address = application_listener.local_addr()?;
        let internal = format!("http://{INTERNAL}:{}", application_address.port());
        let control = AppControl::new(&internal);
        serve_application(&application_threads, application_listener, &control)?;

        let listener = listen(port)?;
        let address = listener.local_addr()?;
        write_files(&folder.0, address, application_address)?;
        let gateway_threads = threads()?;
        let gateway = gateway_threads.block_on(start_gateway(&folder.0, listener))?;
        gateway_threads.block_on(enrol(&folder.0, &gateway))?;
        let mut stage = Self {
            folder,
            gateway,
            _gateway_threads: Some(gateway_threads),
            connector: None,
            application: Some(application_threads),
            control,
            slow: false,
            address,
            application_address,
        };
        stage.start_connector()?;
        Ok(stage)
    }
}
