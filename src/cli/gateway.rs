//! `appproxy gateway`: from the configuration to a running gateway.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Exit;
use crate::certs;
use crate::clock::Clock;
use crate::config::GatewayConfig;
use crate::gateway::{Gateway, Parts};
use crate::model::{Finding, Severity};
use crate::net;
use crate::shutdown::Signals;
use crate::store::{self, Store, StoreError, StoreKeys};

/// Runs a gateway until it is told to stop.
pub(super) fn run(config: &Path) -> Result<(), Exit> {
    let clock = Clock::system();
    let (config, certificates) = prepare(config, &clock)?;
    let runtime = super::runtime(config.workers)?;
    runtime.block_on(async move {
        let mut signals = Signals::new().map_err(|e| Exit::failed(format!("no signals: {e}")))?;
        let store = open_store(&config).await?;
        let (https, http) = listeners(&config)?;
        let addresses = |all: &[TcpListener]| -> Vec<String> {
            all.iter()
                .filter_map(|l| l.local_addr().ok())
                .map(|a| a.to_string())
                .collect()
        };
        let (on_https, on_http) = (addresses(&https), addresses(&http));
        let applications = config.applications.len();
        let parts = Parts {
            config,
            certificates,
            store,
            https,
            http,
            clock,
        };
        let gateway = Gateway::start(parts)
            .await
            .map_err(|e| Exit::failed(e.to_string()))?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            applications,
            https = on_https.join(" "),
            http = on_http.join(" "),
            "gateway ready"
        );
        let signal = signals.next().await;
        tracing::info!(
            signal,
            "stopping: no new requests; a second signal ends at once"
        );
        tokio::select! {
            all = gateway.stop() => {
                if !all {
                    tracing::warn!("the drain's deadline has come: what was left is cut");
                }
            }
            signal = signals.next() => tracing::warn!(signal, "stopped at once"),
        }
        tracing::info!("gateway stopped");
        Ok(())
    })
}

/// Everything that can be wrong before a socket is opened, said together.
fn prepare(
    file: &Path,
    clock: &Clock,
) -> Result<(GatewayConfig, Vec<certs::LoadedCertificate>), Exit> {
    let config = GatewayConfig::load(file).map_err(Exit::Findings)?;
    let mut findings = Vec::new();
    let mut certificates = Vec::new();
    for files in &config.certificates {
        match certs::load(files, clock.now()) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                certificates.push(loaded);
            }
            Err(found) => findings.extend(found),
        }
    }
    if findings
        .iter()
        .any(|f: &Finding| f.severity == Severity::Error)
    {
        return Err(Exit::Findings(findings));
    }
    Ok((config, certificates))
}

/// Opens the store of a configuration; the gateway and the commands beside it do so alike.
pub(super) async fn open_store(config: &GatewayConfig) -> Result<Arc<dyn Store>, Exit> {
    let keys = StoreKeys::for_store(config.store_key.as_ref(), &config.store)
        .map_err(|e| Exit::configuration(&config.file, "store_key", e.to_string()))?;
    let opened = store::open_sqlite(&config.store, keys).await;
    opened.map_err(|error| match error {
        StoreError::WrongKey => Exit::configuration(&config.file, "store_key", error.to_string()),
        error => Exit::failed(error.to_string()),
    })
}

/// The configured listeners; those a supervisor handed in take their places in order, https first.
fn listeners(config: &GatewayConfig) -> Result<(Vec<TcpListener>, Vec<TcpListener>), Exit> {
    let inherited = net::inherited_listeners()
        .map_err(|e| Exit::failed(format!("cannot take the inherited listeners: {e}")))?;
    let wanted = config.listen.https.len() + config.listen.http.len();
    if inherited.len() > wanted {
        let have = inherited.len();
        let text = format!("{have} listeners were handed in, the configuration names {wanted}");
        return Err(Exit::configuration(&config.file, "listen", text));
    }
    let mut inherited = inherited.into_iter();
    let mut open = |addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, Exit> {
        addresses
            .iter()
            .map(|&address| take_or_bind(&mut inherited, address))
            .collect()
    };
    Ok((open(&config.listen.https)?, open(&config.listen.http)?))
}

fn take_or_bind(
    inherited: &mut impl Iterator<Item = StdListener>,
    address: SocketAddr,
) -> Result<TcpListener, Exit> {
    let listener = match inherited.next() {
        Some(listener) => Ok(listener),
        None => net::bind(address),
    };
    listener.and_then(TcpListener::from_std).map_err(|error| {
        Exit::failed(format!(
            "cannot listen on {address}: {error}{}",
            bind_hint(&error, address)
        ))
    })
}

fn bind_hint(error: &std::io::Error, address: SocketAddr) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "; another program listens there (see: ss -ltnp 'sport = :{}')",
                address.port()
            )
        }
        std::io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need CAP_NET_BIND_SERVICE".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address".to_owned(),
        _ => String::new(),
    }
}
