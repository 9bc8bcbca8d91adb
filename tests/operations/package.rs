//! The Debian package. What it is made of is looked at always; the package itself, named by `PACKAGE`,
//! after `make package` has built it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::run;

/// Source, destination and mode of what `Cargo.toml` puts into the package.
fn assets() -> Vec<[String; 3]> {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let assets = manifest.split("\nassets = [\n").nth(1).unwrap();
    let assets = assets.split("\n]\n").next().unwrap();
    let assets = assets.lines().map(|line| {
        let parts: Vec<String> = line
            .split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        <[String; 3]>::try_from(parts).unwrap_or_else(|parts| panic!("{line}: {parts:?}"))
    });
    assets.collect()
}

#[test]
fn what_the_package_is_made_of_is_there() {
    let assets = assets();
    for [source, destination, mode] in &assets {
        let (folder, pattern) = source.rsplit_once('/').unwrap_or((".", source));
        // Made when the package is.
        if !folder.starts_with("target/") {
            let end = pattern.trim_start_matches('*');
            let found = fs::read_dir(folder).expect(source).any(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name == *pattern || pattern.starts_with('*') && name.ends_with(end)
            });
            assert!(found, "there is nothing at {source}");
        }
        let program = destination == "usr/bin/";
        assert_eq!(mode, if program { "755" } else { "644" }, "{source}");
    }
    assert_eq!(assets.len(), 17);
    // Whoever adds an example adds it here.
    for entry in fs::read_dir("examples").unwrap() {
        let folder = format!("examples/{}/", entry.unwrap().file_name().display());
        assert!(
            assets
                .iter()
                .any(|[source, ..]| source.starts_with(&folder)),
            "{folder}"
        );
    }
}

#[test]
fn the_scripts_of_the_package_are_shell() {
    for script in ["postinst", "prerm", "postrm"] {
        let file = format!("examples/service/debian/{script}");
        assert_eq!(run("sh", &["-n", &file]), (true, String::new()));
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("#!/bin/sh\n") && text.contains("\nset -e\n"),
            "{file}"
        );
    }
}

/// The package that was built, and the folder that it is laid out in.
fn unpacked() -> (String, TempDir) {
    let package = std::env::var("PACKAGE").expect("PACKAGE names the package");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    assert!(run("dpkg-deb", &["--extract", &package, &root]).0);
    (package, folder)
}

#[test]
#[ignore = "wants a package: `make package` builds one and runs this"]
fn the_package_has_all_that_it_promises_and_nothing_of_an_administrators() {
    let (package, _) = unpacked();
    let (good, listed) = run("dpkg-deb", &["--contents", &package]);
    assert!(good, "{listed}");
    let mut files = BTreeMap::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(matches!(words[1], "0/0" | "root/root"), "{line}");
        files.insert(words[5].trim_start_matches('.').to_owned(), words[0]);
    }
    assert_eq!(files.get("/usr/bin/appproxy"), Some(&"-rwxr-xr-x"));
    for file in [
        "/usr/lib/systemd/system/appproxy-gateway.service",
        "/usr/lib/systemd/system/appproxy-gateway.socket",
        "/usr/lib/systemd/system/appproxy-connector.service",
        "/usr/lib/systemd/system/appproxy-connector.path",
        "/usr/lib/sysusers.d/appproxy.conf",
        "/usr/share/bash-completion/completions/appproxy",
        "/usr/share/zsh/vendor-completions/_appproxy",
        "/usr/share/fish/vendor_completions.d/appproxy.fish",
        "/usr/share/doc/appproxy/copyright",
        "/usr/share/doc/appproxy/CHANGELOG.md",
        "/usr/share/doc/appproxy/appproxy.cdx.json",
        "/usr/share/doc/appproxy/docs/upgrade.md",
        "/usr/share/doc/appproxy/examples/first-application/gateway.yaml",
        "/usr/share/doc/appproxy/examples/first-application/connector.yaml",
        "/usr/share/doc/appproxy/examples/container/Containerfile",
        "/usr/share/doc/appproxy/examples/monitoring/alerts.yaml",
        "/usr/share/doc/appproxy/examples/monitoring/dashboard.json",
    ] {
        assert_eq!(files.get(file), Some(&"-rw-r--r--"), "{file}");
    }
    let manual = |name: &&String| name.starts_with("/usr/share/man/man1/appproxy");
    assert_eq!(files.keys().filter(manual).count(), 18);
    // An upgrade has nothing to overwrite there, and nothing to ask.
    let etc = |name: &&String| name.starts_with("/etc") || name.starts_with("/var");
    assert_eq!(files.keys().find(etc), None);
    for (field, expected) in [
        ("Package", "appproxy"),
        ("Architecture", "amd64"),
        ("Depends", "passwd, procps"),
    ] {
        let (_, said) = run("dpkg-deb", &["--field", &package, field]);
        assert_eq!(said.trim(), expected, "{field}");
    }
}

#[test]
#[ignore = "wants a package: `make package` builds one and runs this"]
fn its_program_is_static_and_manual_and_completions_are_those_of_it() {
    let (_, folder) = unpacked();
    let root = folder.path().display();
    let program = format!("{root}/usr/bin/appproxy");
    let version = format!("appproxy {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&program, &["--version"]), (true, version));
    let (_, linked) = run("ldd", &[&program]);
    assert!(linked.contains("statically linked"), "{linked}");
    let page = format!("{root}/usr/share/man/man1/appproxy-gateway.1.gz");
    let mut man = Command::new("man");
    man.args(["-l", &page]);
    man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
    let page = String::from_utf8(man.output().unwrap().stdout).unwrap();
    assert!(
        page.contains("SYNOPSIS") && page.contains("gateway.yaml"),
        "{page}"
    );
    let completion = format!("{root}/usr/share/bash-completion/completions/appproxy");
    let asked = format!(
        "source {completion}; COMP_WORDS=(appproxy gateway token ''); COMP_CWORD=3; _appproxy appproxy '' token; echo \"${{COMPREPLY[@]}}\""
    );
    let (good, offered) = run("bash", &["-c", &asked]);
    assert!(
        good && offered.contains("create") && offered.contains("revoke"),
        "{offered}"
    );
}

#[test]
#[ignore = "wants a package: `make package` builds one and runs this"]
fn it_says_what_the_program_is_built_of() {
    let (_, folder) = unpacked();
    let file = folder
        .path()
        .join("usr/share/doc/appproxy/appproxy.cdx.json");
    let text = fs::read_to_string(file).unwrap();
    let parts: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parts["bomFormat"], "CycloneDX");
    let components = parts["components"].as_array().unwrap();
    let named = |name: &str| {
        let mut components = components.iter();
        components.any(|c| c["name"] == name && c["version"].is_string())
    };
    assert!(named("rustls") && named("hyper") && named("aws-lc-sys"));
    // Of tests alone.
    assert!(!named("proptest"));
    let built = env!("CARGO_MANIFEST_DIR");
    assert!(!text.contains(built), "it names {built}");
}
