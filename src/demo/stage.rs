//! Everything the demo starts, each part on threads of its own, so that each can be killed for
//! real: its sockets close at once, as if its process had died.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::app::{self, AppControl};
use super::files::{connector_yaml, gateway_yaml, write_certificates};
use super::folder::Folder;
use super::provider::{self, IdentityProvider};
use crate::certs;
use crate::clock::Clock;
use crate::config::{ConnectorConfig, GatewayConfig};
use crate::connector::{self, Applications, BackendTrust, OpenTunnels, StateFolder};
use crate::gateway::{Gateway, Parts};
use crate::local;
use crate::net;
use crate::store::{self, Store, StoreKeys};

/// The name people open; browsers and curl resolve everything below `localhost` themselves.
pub(super) const HOST: &str = "demo.localhost";

/// Where the same application asks for sign-in.
pub(super) const STAFF: &str = "staff.localhost";

/// Where people sign in.
pub(super) const LOGIN: &str = "login.localhost";

/// The name the application knows itself by.
pub(super) const INTERNAL: &str = "demo.corp.internal";

/// The port that is tried first, so that a bookmark keeps working.
const PORT: u16 = 8443;

/// How slow a slowed application is: more than the 3 s the gateway waits here.
const SLOW: Duration = Duration::from_secs(5);

/// Tunnels the connector keeps.
pub(super) const TUNNELS: usize = 2;

/// For something to come up, or to go away.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The running demo. Dropping it ends everything and removes its folder.
pub(super) struct Stage {
    pub(super) address: SocketAddr,
    pub(super) application: SocketAddr,
    gateway: Arc<Gateway>,
    gateway_threads: Threads,
    connector: Option<Threads>,
    backend: Option<Threads>,
    _provider: Threads,
    control: AppControl,
    authority: CertificateDer<'static>,
    folder: Folder,
}

/// A runtime that ends at once when it is dropped, whatever its tasks are doing.
struct Threads(Option<Runtime>);

impl Threads {
    fn new(name: &str) -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .map(|rt| Self(Some(rt)))
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        let runtime = self
            .0
            .as_ref()
            .ok_or_else(|| io::Error::other("its threads have ended"))?;
        Ok(runtime.block_on(future))
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(future);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stage {
    /// Starts everything, with a real enrolment in between.
    pub(super) fn start(port: Option<u16>) -> Result<Self, DemoError> {
        let folder = Folder::new()?;
        let backend = Threads::new("application")?;
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let application = listener.local_addr()?;
        let name = format!("{INTERNAL}:{}", application.port());
        let name = name
            .parse()
            .map_err(|_| DemoError::Late("the application has no name"))?;
        let control = AppControl::new(name, Clock::system());
        serve_application(&backend, listener, &control)?;

        let provider = Threads::new("identity provider")?;
        let issuer = serve_provider(&provider)?;
        let listener = listen(port)?;
        let address = listener.local_addr()?;
        let authority = write_certificates(&folder)?;
        folder.write(
            "gateway.yaml",
            &gateway_yaml(folder.path(), address, application, &issuer),
        )?;
        folder.write(
            "connector.yaml",
            &connector_yaml(folder.path(), address, application),
        )?;
        let gateway_threads = Threads::new("gateway")?;
        let (gateway, store, config) =
            gateway_threads.block_on(start_gateway(folder.path(), listener))??;
        gateway_threads.block_on(enrol(folder.path(), store, &config))??;
        let mut stage = Self {
            address,
            application,
            gateway,
            gateway_threads,
            connector: None,
            backend: Some(backend),
            _provider: provider,
            control,
            authority,
            folder,
        };
        stage.toggle_connector()?;
        Ok(stage)
    }

    /// Kills the connector, or starts it again, and waits until the gateway knows.
    pub(super) fn toggle_connector(&mut self) -> Result<&'static str, DemoError> {
        if self.connector.take().is_some() {
            self.wait_for_tunnels(0)?;
            return Ok("The connector is killed.");
        }
        let config = self.folder.path().join("connector.yaml");
        let config = ConnectorConfig::load(&config).map_err(DemoError::Configuration)?;
        let clock = Clock::system();
        let trust = BackendTrust::load(&config.backend_tls, clock.now());
        let trust = trust.map_err(DemoError::Configuration)?;
        let threads = Threads::new("connector")?;
        threads.spawn(async move {
            // Everything of the demo is on this machine.
            let applications = Applications::new(&config, None, trust);
            let running = connector::run(
                config,
                None,
                applications,
                clock,
                CancellationToken::new(),
                OpenTunnels::default(),
                connector::Watch::default(),
            );
            if let Err(error) = running.await {
                tracing::error!(%error, "the demo's connector ended");
            }
        });
        self.connector = Some(threads);
        self.wait_for_tunnels(TUNNELS)?;
        Ok("The connector runs, its tunnels are open.")
    }

    /// Stops the application, or starts it again on its port.
    pub(super) fn toggle_application(&mut self) -> Result<&'static str, DemoError> {
        if let Some(mut backend) = self.backend.take() {
            // Its socket is to be closed when the next request comes.
            if let Some(runtime) = backend.0.take() {
                runtime.shutdown_timeout(PATIENCE);
            }
            return Ok("The application is stopped.");
        }
        let backend = Threads::new("application")?;
        serve_application(&backend, net::bind(self.application)?, &self.control)?;
        self.backend = Some(backend);
        Ok("The application runs.")
    }

    /// Slows the application down, or heals it.
    pub(super) fn toggle_slow(&mut self) -> &'static str {
        if self.control.delay().is_zero() {
            self.control.set_delay(SLOW);
            return "The application takes 5 s for every answer; the gateway waits 3 s.";
        }
        self.control.set_delay(Duration::ZERO);
        "The application is as fast as before."
    }

    /// Ends the newest sign-in there is.
    pub(super) fn sign_newest_out(&self) -> Result<String, DemoError> {
        let gateway = Arc::clone(&self.gateway);
        let ended = async move { gateway.sign_newest_out().await };
        Ok(match self.gateway_threads.block_on(ended)?? {
            Some(name) => format!("{name} is signed out; what was open by that has ended."),
            None => "Nobody is signed in.".to_owned(),
        })
    }

    fn wait_for_tunnels(&self, wanted: usize) -> Result<(), DemoError> {
        let look = async {
            let mut every = tokio::time::interval(LOOK);
            while self.gateway.open_tunnels() != wanted {
                every.tick().await;
            }
        };
        let waited = async { tokio::time::timeout(PATIENCE, look).await };
        self.gateway_threads
            .block_on(waited)?
            .map_err(|_| DemoError::Late("the connector's tunnels did not change within 10 s"))
    }

    /// The authority that signed the demo's certificate.
    pub(super) fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    /// Its file, for curl.
    pub(super) fn authority_file(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// Where everything is that the demo writes.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How the application calls itself.
    pub(super) fn internal_url(&self) -> String {
        format!("http://{INTERNAL}:{}/", self.application.port())
    }
}

/// Everything ends before its folder goes.
impl Drop for Stage {
    fn drop(&mut self) {
        self.connector = None;
        self.backend = None;
        if let Some(runtime) = self.gateway_threads.0.take() {
            runtime.shutdown_timeout(PATIENCE);
        }
    }
}

fn serve_application(
    threads: &Threads,
    listener: StdListener,
    control: &AppControl,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = threads.block_on(async { TcpListener::from_std(listener) })??;
    threads.spawn(app::serve(listener, control.clone()));
    Ok(())
}

/// Starts the identity provider, and returns its issuer.
fn serve_provider(threads: &Threads) -> Result<String, DemoError> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let authority = listener.local_addr()?.to_string();
    let provider = IdentityProvider::new(&authority, Clock::system())?;
    let issuer = provider.issuer().to_owned();
    let listener = threads.block_on(async { TcpListener::from_std(listener) })??;
    threads.spawn(provider::serve(listener, provider));
    Ok(issuer)
}

/// The wanted port, or the usual one, or any.
fn listen(port: Option<u16>) -> io::Result<StdListener> {
    let bind = |port| net::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match port {
        Some(port) => bind(port),
        None => bind(PORT).or_else(|_| bind(0)),
    }
}

async fn start_gateway(
    folder: &Path,
    listener: StdListener,
) -> Result<(Arc<Gateway>, Arc<dyn Store>, GatewayConfig), DemoError> {
    let clock = Clock::system();
    let config = GatewayConfig::load(&folder.join("gateway.yaml"));
    let config = config.map_err(DemoError::Configuration)?;
    let mut loaded = certs::Loaded::default();
    for files in &config.certificates {
        loaded
            .certificates
            .push(certs::load(files, None, clock.now()).map_err(DemoError::Configuration)?);
    }
    let keys = StoreKeys::for_store(config.store_key.as_ref(), &config.store);
    let store = store::open_sqlite(&config.store, keys.map_err(io::Error::other)?).await?;
    let parts = Parts {
        config: config.clone(),
        loaded,
        store: Arc::clone(&store),
        https: vec![TcpListener::from_std(listener)?],
        http: Vec::new(),
        tunnel: Vec::new(),
        clock,
    };
    Ok((Gateway::start(parts).await?, store, config))
}

/// Registers the connector, over the gateway's public port.
async fn enrol(
    folder: &Path,
    store: Arc<dyn Store>,
    config: &GatewayConfig,
) -> Result<(), DemoError> {
    let state = StateFolder::new(folder.join("connector"));
    let gateways = config.listen.public.clone();
    local::enrol(&state, &*store, gateways, "demo", &Clock::system()).await?;
    Ok(())
}
