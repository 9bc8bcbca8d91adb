//! The connector's file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::field::Field;
use super::file::{self, Kind};
use super::findings::Findings;
use super::proxy::{ProxySetting, proxy};
use super::section::Section;
use super::{
    BackendTls, Connections, ConnectorConfig, ConnectorReading, Dns, allow, backend_tls, drain,
    log, tunnel,
};
use crate::model::{Finding, Host};

/// Keys the documents describe, not built yet.
const LATER: &[&str] = &["limits", "single_sign_on"];

const DEFAULT_CONNECTIONS: Connections = Connections { least: 2, most: 8 };
const MOST_CONNECTIONS: u8 = 8;
const DNS_PORT: u16 = 53;

/// An address to show.
const SAMPLE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

impl ConnectorConfig {
    /// Reads and checks a connector's file.
    ///
    /// # Errors
    /// Every problem found, sorted by place; never an empty list.
    pub fn load(path: &Path) -> Result<Self, Vec<Finding>> {
        Self::read(path).config
    }

    /// As [`ConnectorConfig::load`], and tells which files are named even where something else is
    /// wrong.
    #[must_use]
    pub fn read(path: &Path) -> ConnectorReading {
        match file::read_main(path) {
            Ok(text) => Self::reading(path, &text),
            Err(found) => ConnectorReading {
                config: Err(found),
                backend_tls: Vec::new(),
            },
        }
    }

    /// Checks the text of a connector's file; `file` names it in findings, and its folder is
    /// where relative paths start.
    ///
    /// # Errors
    /// Every problem found, sorted by place; never an empty list.
    pub fn from_text(file: &Path, text: &str) -> Result<Self, Vec<Finding>> {
        Self::reading(file, text).config
    }

    fn reading(file: &Path, text: &str) -> ConnectorReading {
        let findings = Findings::default();
        let mut entries = Vec::new();
        let config = file::read_root(file, text, Kind::Connector, &findings, LATER, |root| {
            read(root, file, &mut entries)
        });
        ConnectorReading {
            config: findings.conclude(file, config),
            backend_tls: entries,
        }
    }
}

/// Reads every key before the first `?`, so that each has its say.
fn read(root: &Section<'_>, path: &Path, entries: &mut Vec<BackendTls>) -> Option<ConnectorConfig> {
    let gateways = root
        .optional("gateways")
        .and_then(|field| field.distinct(Field::endpoint));
    let state = root
        .required("state", "/var/lib/appproxy/connector")
        .and_then(|field| field.path(file::folder(path)));
    let allow = root.optional("allow").and_then(Field::list_or_none);
    let allow = allow.unwrap_or_default().into_iter();
    let allow = allow.filter_map(allow::entry).collect();
    let connections = root.optional("connections").and_then(connections);
    let tunnel = root.optional("tunnel").map(tunnel::connector);
    let congestion = root.optional("congestion").map(tunnel::congestion);
    let drain = root.optional("drain").map(drain::connector);
    let dns = root.optional("dns").and_then(dns);
    let log = root.optional("log");
    let log = log.map(|field| log::read(field, file::folder(path), false));
    let metrics = root.optional("metrics").map(Field::metrics_listener);
    let workers = file::workers(root);
    let folder = file::folder(path);
    let proxy_at = |name| match root.optional(name) {
        Some(field) => proxy(field, folder),
        None => Some(ProxySetting::Unsaid),
    };
    let (tunnel_proxy, backend_proxy) = (proxy_at("tunnel_proxy"), proxy_at("backend_proxy"));
    if let Some(field) = root.optional("backend_tls") {
        *entries = backend_tls::entries(field, folder);
    }
    Some(ConnectorConfig {
        file: path.to_owned(),
        log: log.unwrap_or_else(|| Some(Default::default()))?,
        gateways: gateways.unwrap_or_default(),
        follows_gateways: true,
        state: state?,
        allow,
        connections: connections.unwrap_or(DEFAULT_CONNECTIONS),
        stream_window: tunnel.unwrap_or_else(|| Some(Default::default()))?,
        congestion: match congestion {
            Some(read) => Some(read?),
            None => None,
        },
        drain: drain.unwrap_or_else(|| Some(Default::default()))?,
        tunnel_proxy: tunnel_proxy?,
        backend_proxy: backend_proxy?,
        backend_tls: entries.clone(),
        dns: dns.unwrap_or_default(),
        metrics: metrics.flatten(),
        workers,
    })
}

/// A number, or the range within which load decides.
fn connections(field: Field<'_>) -> Option<Connections> {
    let text = field.text()?;
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let number = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse::<u8>().ok().filter(|_| plain)?;
        (1..=MOST_CONNECTIONS).contains(&number).then_some(number)
    };
    match (number(low), number(high)) {
        (Some(least), Some(most)) if least <= most => Some(Connections { least, most }),
        _ => field.refuse(
            "out_of_range",
            format!("`{text}` is not a number of connections"),
            format!("write a number from 1 to {MOST_CONNECTIONS}, or a range such as `2..8`"),
        ),
    }
}

fn dns(field: Field<'_>) -> Option<Dns> {
    field.section(&[], |section| {
        let servers = section.optional("servers").and_then(Field::list_or_none);
        let servers = servers.unwrap_or_default().into_iter();
        Dns {
            servers: servers.filter_map(server).collect(),
            hosts: section
                .optional("hosts")
                .and_then(hosts)
                .unwrap_or_default(),
        }
    })
}

fn server(field: Field<'_>) -> Option<SocketAddr> {
    let example = "write an address such as `10.0.0.53`, or with a port `10.0.0.53:5353`";
    let read = |text: &str| {
        let address = text.parse().map(|ip| SocketAddr::new(ip, DNS_PORT));
        address
            .or_else(|_| text.parse())
            .ok()
            .filter(|address| address.port() != 0)
            .ok_or_else(|| format!("`{text}` is not the address of a name server"))
    };
    field.parse("bad_address", example, read)
}

/// Names with fixed addresses: the keys are the operator's own.
fn hosts(field: Field<'_>) -> Option<BTreeMap<String, Vec<IpAddr>>> {
    let mut hosts = BTreeMap::new();
    for (written, addresses) in field.names()? {
        let read = Host::parse(written).ok();
        let Some(name) = read.as_ref().and_then(Host::name) else {
            addresses.refuse::<()>(
                "bad_host",
                format!("`{written}` is not a name"),
                "write a name before the colon and its addresses behind it, such as \
                 `wiki.corp.local: [10.1.2.3]`",
            );
            continue;
        };
        if let Some(alone) = addresses.lone().filter(|text| !text.is_empty()) {
            let sample = alone.parse().unwrap_or(SAMPLE);
            addresses.refuse::<()>(
                "wrong_type",
                "a list belongs here",
                format!("write `{written}: [\"{sample}\"]`, also for one address"),
            );
            continue;
        }
        let Some(read) = addresses.distinct(address) else {
            continue;
        };
        if hosts.insert(name.to_owned(), read).is_some() {
            addresses.refuse::<()>(
                "duplicate_value",
                format!("`{name}` has addresses already, in another spelling"),
                "keep one of the two, with all addresses",
            );
        }
    }
    Some(hosts)
}

fn address(field: Field<'_>) -> Option<IpAddr> {
    field.parse(
        "bad_address",
        "write an address, such as `10.1.2.3`",
        |text| {
            text.parse()
                .map_err(|_| format!("`{text}` is not an address"))
        },
    )
}
