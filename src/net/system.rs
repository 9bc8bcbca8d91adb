//! What the system says about names. Its files change while we run: at boot the network may come
//! after us, and a laptop takes another one.

use std::fs::Metadata;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, system_conf};

/// The files are looked at this often, before a name is looked up.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// What the system says.
pub(super) struct System {
    pub(super) config: Result<(ResolverConfig, ResolverOpts), String>,
    pub(super) hosts_file: Hosts,
}

/// The files it stands in.
pub(super) struct Files {
    pub(super) resolv_conf: PathBuf,
    pub(super) hosts: PathBuf,
}

/// What tells the files from what they were: time, length and number of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark([Option<(i64, i64, u64, u64)>; 2]);

impl Files {
    /// Those of this system.
    pub(super) fn of_system() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }

    /// How they are now; taken before they are read, so that no change is missed.
    pub(super) fn mark(&self) -> Mark {
        let mark = |path: &Path| path.metadata().ok();
        let of = |m: Metadata| (m.mtime(), m.mtime_nsec(), m.len(), m.ino());
        Mark([&self.resolv_conf, &self.hosts].map(|path| mark(path).map(of)))
    }

    pub(super) fn read(&self) -> System {
        let failed =
            |error: &dyn std::fmt::Display| format!("{}: {error}", self.resolv_conf.display());
        let config = std::fs::read(&self.resolv_conf)
            .map_err(|e| failed(&e))
            .and_then(|text| system_conf::parse_resolv_conf(text).map_err(|e| failed(&e)));
        let hosts_file = std::fs::read(&self.hosts).and_then(|text| {
            let mut hosts = Hosts::default();
            hosts.read_hosts_conf(&text[..])?;
            Ok(hosts)
        });
        System {
            config,
            hosts_file: hosts_file.unwrap_or_default(),
        }
    }
}

impl System {
    /// The addresses of a name in the hosts file, of both families.
    pub(super) fn listed(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(|kind| {
                self.hosts_file
                    .lookup_static_host(&Query::query(name.clone(), kind))
            })
            .flat_map(|lookup| {
                let addresses = lookup.answers().iter().filter_map(|r| r.data.ip_addr());
                addresses.collect::<Vec<_>>()
            })
            .collect()
    }
}
