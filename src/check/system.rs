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

/// Where units of services are, the operator's before the package's.
const UNITS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];

/// Open files, and ports for connections from here. `running` is what a process that runs may open (`None`:
/// no limit, or it is not known), and `unit` the name of its service.
pub(super) fn limits(running: Option<Option<u64>>, unit: &str) -> Vec<Line> {
    let files = match running {
        Some(most) => files("the one that runs", most),
        None => match of_service(unit) {
            Some(most) => files("the service", most),
            // As a start raises it.
            None => files(
                "a process of this account",
                getrlimit(Resource::Nofile).maximum,
            ),
        },
    };
    vec![files, ports()]
}

/// Ports for connections from here.
pub(super) fn ports() -> Line {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    of_range(text.ok().as_deref())
}

/// What the line of open files is about.
pub(super) const OPEN_FILES: &str = "open files";

fn files(whose: &str, most: Option<u64>) -> Line {
    let subject = OPEN_FILES;
    match most {
        Some(most) if most < FEW_FILES => {
            let what = format!(
                "{whose} may open {most} files: some {} connections, and no more",
                most / 2
            );
            let remedy = "write `LimitNOFILE=1048576` into the service, or run `ulimit -n 65536` before it starts; then restart it";
            Line::found(
                Area::System,
                subject,
                Finding::warning("few_open_files", what, remedy),
            )
        }
        Some(most) => Line::pass(Area::System, subject, format!("{whose} may open {most}")),
        None => Line::pass(Area::System, subject, "no limit"),
    }
}

/// The texts of a unit, the one that counts first.
pub(super) fn unit(name: &str) -> Option<String> {
    let files = UNITS.map(|folder| Path::new(folder).join(name));
    files
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())
}

/// What the unit of a service lets it open; `None` where there is none, or it says nothing of it.
fn of_service(name: &str) -> Option<Option<u64>> {
    limit_of(&unit(name)?)
}

/// What a unit lets its service open (`systemd.exec`(5), `LimitNOFILE=`); the last one counts.
fn limit_of(unit: &str) -> Option<Option<u64>> {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix("LimitNOFILE="));
    let value = values.next_back()?.trim();
    // The hard limit is what a start raises it to.
    let hard = value.rsplit(':').next().unwrap_or(value);
    match hard {
        "infinity" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn of_range(range: Option<&str>) -> Line {
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
    fn a_unit_says_how_many_files() {
        for (unit, expected) in [
            ("[Service]\nLimitNOFILE=1048576\n", Some(Some(1_048_576))),
            ("LimitNOFILE=1024:524288\n", Some(Some(524_288))),
            ("LimitNOFILE=1024\nLimitNOFILE=infinity\n", Some(None)),
            ("LimitNOFILE=many\n", None),
            ("#LimitNOFILE=1\n", None),
        ] {
            assert_eq!(limit_of(unit), expected, "{unit}");
        }
        let code = |most| files("x", most).finding().map(|finding| finding.code);
        assert_eq!(code(Some(1024)), Some("few_open_files"));
        assert_eq!(code(Some(65_536)), None);
        assert_eq!(code(None), None);
    }

    #[test]
    fn few_ports_are_told() {
        assert!(of_range(Some("32768\t60999\n")).finding().is_none());
        let line = of_range(Some("50000 50999"));
        assert_eq!(line.finding().unwrap().code, "few_ports");
        assert!(of_range(None).finding().is_none());
        assert!(of_range(Some("x y")).finding().is_none());
    }
}
