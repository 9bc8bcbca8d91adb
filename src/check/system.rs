//! Limits of this host.

use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::{Area, Line};
use crate::model::Finding;

/// Open files that a proxy needs at the least: two for each connection, and some.
const FEW_FILES: u64 = 8192;

/// Ports for connections from here.
const FEW_PORTS: u32 = 16_000;

/// Octets that should be left beside a store.
const LITTLE_ROOM: u64 = 200 << 20;

/// Open files, and ports for connections from here.
pub(super) fn limits() -> Vec<Line> {
    let most = getrlimit(Resource::Nofile).maximum;
    let files = match most {
        Some(most) if most < FEW_FILES => Line::found(
            Area::System,
            "open files",
            Finding::warning(
                "few_open_files",
                format!(
                    "a process may open {most} files here: some {} connections, and no more",
                    most / 2
                ),
                "write `LimitNOFILE=1048576` into the service, or run `ulimit -n 65536` before",
            ),
        ),
        Some(most) => Line::pass(Area::System, "open files", format!("{most} may be open")),
        None => Line::pass(Area::System, "open files", "no limit"),
    };
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    vec![files, ports(text.ok().as_deref())]
}

fn ports(range: Option<&str>) -> Line {
    let subject = "ports for connections";
    let mut bounds = range
        .unwrap_or_default()
        .split_whitespace()
        .map(str::parse::<u32>);
    let (Some(Ok(first)), Some(Ok(last))) = (bounds.next(), bounds.next()) else {
        return Line::skip(Area::System, subject, "this system does not tell");
    };
    let count = last.saturating_sub(first) + 1;
    if count < FEW_PORTS {
        let finding = Finding::warning(
            "few_ports",
            format!(
                "only {count} ports ({first} to {last}) are there for connections from this host: to one address they can run out"
            ),
            "widen the range: `sysctl -w net.ipv4.ip_local_port_range=\"15000 65000\"`, and in /etc/sysctl.d to keep it",
        );
        return Line::found(Area::System, subject, finding);
    }
    Line::pass(Area::System, subject, format!("{first} to {last}"))
}

/// Room on the disk of a folder that is written to.
pub(super) fn room(folder: &Path) -> Line {
    let subject = format!("room in {}", folder.display());
    let Ok(disk) = statvfs(folder) else {
        return Line::skip(Area::System, subject, "the folder is not there yet");
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < LITTLE_ROOM {
        let finding = Finding::error(
            "disk_full",
            format!(
                "{} MiB are left where the store is: without room nobody can sign in",
                free >> 20
            ),
            "make room there, or move the store to a larger disk",
        );
        return Line::found(Area::System, subject, finding);
    }
    Line::pass(Area::System, subject, format!("{} MiB", free >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ports_are_told() {
        assert!(ports(Some("32768\t60999\n")).finding().is_none());
        let line = ports(Some("50000 50999"));
        assert_eq!(line.finding().unwrap().code, "few_ports");
        assert!(ports(None).finding().is_none());
        assert!(ports(Some("x y")).finding().is_none());
    }
}
