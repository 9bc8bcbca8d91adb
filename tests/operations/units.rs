//! The units of `examples/service`: systemd reads them, and what they leave open is little.

use std::fs;
use std::path::Path;
use std::time::Duration;

use appproxy::config::{ConnectionLimits, ConnectorConfig, GatewayConfig};

use crate::run;

const SERVICES: [&str; 2] = ["appproxy-gateway.service", "appproxy-connector.service"];

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new("examples/service").join(name)).expect(name)
}

/// The value of a unit's key.
fn value(unit: &str, key: &str) -> String {
    let mut values = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("no {key}"));
    assert!(values.next().is_none(), "{key} is there twice");
    value.to_owned()
}

#[test]
fn systemd_takes_every_line_of_every_unit() {
    let verify = |texts: &[(&str, String)]| {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (name, text) in texts {
            let file = folder.path().join(name);
            // It looks whether the program is there.
            let text = text.replace("/usr/bin/appproxy", env!("CARGO_BIN_EXE_appproxy"));
            fs::write(&file, text).unwrap();
            files.push(file.display().to_string());
        }
        let mut arguments = vec!["verify", "--man=no"];
        arguments.extend(files.iter().map(String::as_str));
        run("systemd-analyze", &arguments)
    };
    let entries = fs::read_dir("examples/service").unwrap();
    let names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("appproxy-"))
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let texts: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), unit(name)))
        .collect();
    assert_eq!(verify(&texts), (true, String::new()));
    // It would have told.
    let wrong = unit(SERVICES[0]).replace("ProtectHome", "ProtectHouse");
    let (_, said) = verify(&[(SERVICES[0], wrong)]);
    assert!(said.contains("ProtectHouse"), "{said}");
}

#[test]
fn what_the_services_leave_open_is_below_two_of_ten() {
    for name in SERVICES {
        let file = format!("examples/service/{name}");
        let arguments = ["security", "--no-pager", "--offline=true", "--threshold=20"];
        let (good, said) = run("systemd-analyze", &[&arguments[..], &[&file]].concat());
        let level = said.rsplit("exposure level for ").next().unwrap();
        assert!(level.starts_with(name), "{said}");
        let level: f64 = level.split(' ').nth(1).unwrap().parse().expect(level);
        assert!(good && level < 2.0, "{said}");
    }
}

#[test]
fn times_limits_and_folders_of_the_units_are_those_of_the_program() {
    let gateway = GatewayConfig::load(Path::new("examples/first-application/gateway.yaml"));
    let connector = ConnectorConfig::load(Path::new("examples/first-application/connector.yaml"));
    let (gateway, connector) = (gateway.unwrap(), connector.unwrap());
    let drains = [gateway.drain.deadline, connector.drain.deadline];
    for (name, drain) in SERVICES.into_iter().zip(drains) {
        let unit = unit(name);
        let seconds = |key: &str| -> u64 {
            let value = value(&unit, key);
            value.trim_end_matches('s').parse().expect(key)
        };
        let stop = Duration::from_secs(seconds("TimeoutStopSec"));
        assert_eq!(stop, drain + Duration::from_secs(15), "{name}");
        // Each person's connection may have a second file with it.
        let files = u64::from(ConnectionLimits::default().total) * 2;
        assert!(seconds("LimitNOFILE") > files, "{name}");
        assert_eq!(value(&unit, "User"), "appproxy");
        assert_eq!(value(&unit, "Type"), "notify");
        let folder = |key: &str, at: &str| {
            let value = value(&unit, key);
            Path::new(at).join(value.split(' ').next().unwrap())
        };
        let state = folder("StateDirectory", "/var/lib");
        assert!(connector.state.starts_with(&state) && gateway.store.starts_with(&state));
        let kind = name
            .trim_start_matches("appproxy-")
            .trim_end_matches(".service");
        let configuration = folder("ConfigurationDirectory", "/etc").join(format!("{kind}.yaml"));
        let condition = value(&unit, "ConditionPathExists");
        assert_eq!(condition, configuration.display().to_string());
    }
}
