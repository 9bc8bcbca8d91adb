//! The host and its network: each fault in a network and a mount namespace of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::{change, command_in};
use crate::beds::check::{Report, changed};
use crate::harness::{Backend, Running, Stand, run, words};

/// The name of an application in the zone of `name_server.py`.
const NAME: &str = "wiki.corp.test";

/// Looks in namespaces of its own after these commands of a shell; `before` stands before the program.
async fn isolated(setup: &str, before: &[&str], file: &Path) -> Report {
    let script = format!("{{ ip link set lo up\n{setup}\n}} >/dev/null\nexec \"$@\"");
    let file = file.display().to_string();
    let mut arguments = vec!["--net", "--mount", "sh", "-ec", &script, "sh"];
    arguments.extend(before);
    arguments.extend([words::PROGRAM, "check", "--json", "--config", &file]);
    Report::of(&run("unshare", &arguments, &[], "").await)
}

/// Finds this after these commands, and no more after the others.
async fn mended(code: &str, setup: &str, mend: &str, file: &Path) -> Value {
    let line = isolated(setup, &[], file).await.found(code).clone();
    let after = isolated(mend, &[], file).await;
    assert!(!after.has(code), "{:#?}", after.lines);
    line
}

async fn wiki() -> Running {
    let app = Backend::text("wiki").await;
    Stand::new().application("wiki", &app).start().await
}

#[tokio::test]
async fn limits_of_the_host_are_told_and_widened() {
    let mut stand = wiki().await;
    open_files_are_told(&mut stand).await;
    let file = stand.gateway_file();
    let own = isolated("", &[], &file).await;

    // As the remedy has it, after what made it necessary.
    let narrow = "sysctl -w net.ipv4.ip_local_port_range='50000 50999'";
    let few = isolated(narrow, &[], &file).await;
    let command = command_in(few.found("few_ports"), "sysctl ");
    let wide = format!("{narrow}\n{command}");
    assert!(!isolated(&wide, &[], &file).await.has("few_ports"));
    assert!(!own.has("few_ports"), "{:#?}", own.lines);

    // A disk of its own for the store.
    let disk = stand.folder().join("disk");
    fs::create_dir(&disk).unwrap();
    let file = changed(&stand, |config| {
        config["store"] = json!(format!("sqlite:{}/gateway.db", disk.display()));
    });
    let disk = disk.display();
    let small = format!("mount -t tmpfs -o size=32m tmpfs {disk}");
    let large = format!("{small}\nmount -o remount,size=512m {disk}");
    let line = mended("disk_full", &small, &large, &file).await;
    assert!(line["what"].as_str().unwrap().contains("32 MiB"), "{line}");
}

/// Of the service, of this account, and of the gateway that runs: what each may open is what counts.
async fn open_files_are_told(stand: &mut Running) {
    let later = not_started(stand, "127.0.0.1:8443");
    let few = "ulimit -n 1024";
    let line = isolated(few, &[], &later).await;
    let line = line.found("few_open_files");
    assert!(
        line["what"].as_str().unwrap().contains("this account"),
        "{line}"
    );
    // As the remedy has it, in the unit of the service; or for the account, as it was.
    let limit = command_in(line, "LimitNOFILE=");
    command_in(line, "ulimit ");
    for setup in [&*format!("{}\n{few}", unit(&limit)), ""] {
        let after = isolated(setup, &[], &later).await;
        assert!(!after.has("few_open_files"), "{:#?}", after.lines);
    }
    // A unit that gives few is told of, whatever this account may.
    let narrow = unit("LimitNOFILE=1024");
    let line = isolated(&narrow, &[], &later).await;
    let line = line.found("few_open_files");
    assert!(line["what"].as_str().unwrap().contains("service"), "{line}");

    // The one that runs: neither this account nor the unit says what it may.
    let file = stand.gateway_file();
    let limits = Rlimit {
        current: Some(1024),
        maximum: Some(1024),
    };
    prlimit(Some(stand.gateway().pid()), Resource::Nofile, limits).unwrap();
    let running = super::check(&file).await;
    let line = running.found("few_open_files");
    assert!(line["what"].as_str().unwrap().contains("runs"), "{line}");
    stand.restart_gateway().await;
    let after = isolated(few, &[], &file).await;
    assert!(!after.has("few_open_files"), "{:#?}", after.lines);
}

/// A unit of the gateway's service with this setting, of a test's own.
fn unit(setting: &str) -> String {
    let folder = "/etc/systemd/system";
    format!(
        "mount -t tmpfs tmpfs /etc/systemd\nmkdir {folder}\nprintf '[Service]\\n{setting}\\n' >{folder}/appproxy-gateway.service"
    )
}

/// The configuration of a gateway that has not started, which listens there.
fn not_started(stand: &Running, address: &str) -> PathBuf {
    let later = stand.folder().join("later");
    let _ = fs::create_dir(&later);
    changed(stand, |config| {
        let store = later.join("gateway.db");
        config["store"] = json!(format!("sqlite:{}", store.display()));
        config["listen"] = json!({ "https": [address], "public": ["gw.example.com:443"] });
    })
}

#[tokio::test]
async fn an_address_where_nobody_can_listen_is_told_before_the_start() {
    let mut stand = wiki().await;
    for (address, code) in [
        ("192.0.2.1:8443", "address_not_here"),
        // Without the link that it is of.
        ("[fe80::1]:8443", "port_unusable"),
    ] {
        let there = isolated("", &[], &not_started(&stand, address)).await;
        assert_eq!(there.code, 2);
        there.found(code);
        let everywhere = isolated("", &[], &not_started(&stand, "[::]:8443")).await;
        assert!(!everywhere.has(code), "{:#?}", everywhere.lines);
        everywhere.passes("listen.https");
    }

    // Without the capability that the service has.
    let file = not_started(&stand, "127.0.0.1:443");
    let bounded = ["setpriv", "--bounding-set=-net_bind_service"];
    let line = isolated("", &bounded, &file).await;
    let line = line.found("port_forbidden");
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.contains("from 1024 on"), "{remedy}");
    // The unit of the service with what the remedy has: it may, and this account may not.
    let capability = command_in(line, "AmbientCapabilities=");
    let service = isolated(&unit(&capability), &bounded, &file).await;
    assert!(!service.has("port_forbidden"), "{:#?}", service.lines);
    service.passes("listen.https");
    let with_it = isolated("", &[], &file).await;
    assert!(!with_it.has("port_forbidden"), "{:#?}", with_it.lines);
    let high = isolated("", &bounded, &not_started(&stand, "127.0.0.1:1024")).await;
    assert!(!high.has("port_forbidden"), "{:#?}", high.lines);

    // What is written while it runs counts from the next start on.
    let file = stand.gateway_file();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    change(&file, |config| {
        config["listen"]["metrics"] = json!(address.to_string());
    });
    super::check(&file).await.found("port_not_open");
    // Another program has it meanwhile, and the gateway that runs is not taken for it.
    let other = std::net::TcpListener::bind(address).unwrap();
    let line = super::check(&file).await.found("port_taken").clone();
    assert!(
        line["what"]
            .as_str()
            .unwrap()
            .contains("not the gateway that runs"),
        "{line}"
    );
    let command = command_in(&line, "ss ");
    let shown = run("sh", &["-c", &command], &[], "").await.success();
    let own = format!("pid={},", std::process::id());
    assert!(shown.contains(&own), "{shown}");
    drop(other);
    let ended = super::check(&file).await;
    assert!(!ended.has("port_taken"), "{:#?}", ended.lines);
    ended.found("port_not_open");
    stand.restart_gateway().await;
    let after = super::check(&file).await;
    assert!(!after.has("port_not_open"), "{:#?}", after.lines);
}

#[tokio::test]
async fn a_name_whose_alias_leads_nowhere_is_told_from_one_that_is_not_there() {
    let stand = wiki().await;
    let file = changed(&stand, |config| {
        config["applications"][0]["external_url"] = json!(format!("https://{NAME}/"));
    });
    // In a network of its own, where the name server of this machine is the test's.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/python/name_server.py");
    let script = script.display().to_string();
    let look = async |zone: &str| isolated("", &["python3", &script, zone], &file).await;
    let of_wiki = |report: &Report| -> Vec<String> {
        let own = report.lines.iter().filter(|line| {
            line["area"] == "names" && line["subject"].as_str().unwrap().starts_with("wiki")
        });
        own.map(|line| line["code"].as_str().unwrap_or("pass").to_owned())
            .collect()
    };
    let dangling = look("dangling").await;
    let line = dangling.found("dns_dangling");
    let (what, remedy) = (
        line["what"].as_str().unwrap(),
        line["remedy"].as_str().unwrap(),
    );
    assert!(what.contains("gone.hoster.test"), "{line}");
    assert!(remedy.contains(NAME), "{line}");
    for (zone, code) in [
        ("dangling", "dns_dangling"),
        ("missing", "dns_missing"),
        ("failing", "dns_failed"),
        ("silent", "dns_failed"),
        ("nobody", "dns_no_server"),
        // As the remedies say: an address, of a server that is named and answers. Nobody listens there.
        ("mended", "port_closed"),
    ] {
        let seen = look(zone).await;
        assert_eq!(of_wiki(&seen), [code], "{zone}: {:#?}", seen.lines);
    }
}

#[tokio::test]
async fn a_network_without_a_way_to_the_gateway_is_told() {
    let mut stand = wiki().await;
    let file = stand.connector_file();
    change(&file, |config| {
        config["gateways"] = json!(["192.0.2.7:443"])
    });
    let here = "ip addr add 192.0.2.7/32 dev lo";
    let line = mended("unreachable", "", here, &file).await;
    assert!(
        line["remedy"].as_str().unwrap().contains("ip route get"),
        "{line}"
    );
    isolated(here, &[], &file).await.found("port_closed");
}

#[tokio::test]
async fn a_host_without_any_configuration_is_told_what_to_begin_with() {
    let stand = wiki().await;
    let etc = stand.folder().join("etc");
    fs::create_dir(&etc).unwrap();
    let look = async || {
        let setup = format!("mount --bind {} /etc; exec \"$@\"", etc.display());
        let arguments = [
            "--net",
            "--mount",
            "sh",
            "-ec",
            &setup,
            "sh",
            words::PROGRAM,
            "check",
            "--json",
        ];
        Report::of(&run("unshare", &arguments, &[], "").await)
    };
    let nothing = look().await;
    assert_eq!(nothing.code, 2);
    let remedy = nothing.found("no_configuration")["remedy"]
        .as_str()
        .unwrap();
    assert!(remedy.contains("appproxy gateway init"), "{remedy}");
    fs::create_dir(etc.join("appproxy")).unwrap();
    fs::copy(stand.gateway_file(), etc.join("appproxy/gateway.yaml")).unwrap();
    let there = look().await;
    assert!(!there.has("no_configuration"));
    there.passes("/etc/appproxy/gateway.yaml");
}
