//! What is known of single commands: which ones want something else in the place of what they name, and
//! which ones run elsewhere. Everything that is not here runs as it stands.

use std::process::Command;

use crate::documents;

/// How a command becomes somebody else's.
pub(crate) const AS_ROOT: [&str; 2] = ["sudo -u appproxy ", "sudo "];

/// Commands that run with something else in the place of what they want, and why.
pub(crate) const STAND_INS: [(&str, &str); 6] = [
    (
        "cargo build --release",
        "a release takes minutes: what was built for this test is put there",
    ),
    (
        "sudo apt install ",
        "the package is not built: it is laid out as Cargo.toml says, its script runs",
    ),
    ("sudoedit ", "the editor writes what the document shows"),
    ("podman build ", "no image: the files have to be there"),
    (
        "podman run ",
        "no image: folders have to be there, the program has to take the words",
    ),
    (
        "podman exec ",
        "no container: the command after its name runs on the machine",
    ),
];

/// Targets of make, which are expanded here (`make -n`), and where they run.
pub(crate) const TARGETS: [(&str, &str); 12] = [
    ("advisories", "`make check`"),
    ("bench", "docs/performance.md has its report"),
    ("bench-micro", "by hand: it measures"),
    ("bench-smoke", "by hand: it wants wrk, h2load and HAProxy"),
    ("check", ".ci/run"),
    (
        "demo",
        "tests/e2e/demo.rs: `appproxy demo` with each of its keys",
    ),
    ("deny", "`make check`"),
    (
        "differential",
        "by hand: it fetches packages, and takes minutes",
    ),
    ("fuzz", "by hand: it wants cargo-fuzz"),
    (
        "package",
        "by hand: it wants cargo-deb and cargo-cyclonedx, and tests what it made",
    ),
    ("soak", "by hand: it takes minutes"),
    ("test", "it runs this"),
];

/// Words that begin like a command and are not run at all, and why.
pub(crate) const LEFT_OUT: [(&str, &str); 10] = [
    (
        "apt purge",
        "names no package; examples/service/debian/postrm is what it does",
    ),
    (
        "cargo doc --no-deps --open",
        "opens a browser; `make doc` in `make check` builds it",
    ),
    (
        "journalctl -u appproxy-gateway",
        "the machine has no journal",
    ),
    (
        "sysctl net.ipv4.tcp_available_congestion_control",
        "asks the kernel alone",
    ),
    (
        "appproxy login",
        "wants a person; tests/e2e/machines.rs has one",
    ),
    (
        "appproxy login URL",
        "wants a person; tests/e2e/machines.rs has one",
    ),
    ("systemctl edit", "names no unit"),
    (
        "systemctl restart",
        "names no unit; docs/upgrade.md has a whole one",
    ),
    ("systemctl status", "names no unit"),
    (
        "systemd-analyze security appproxy-gateway",
        "tests/operations/units.rs runs it",
    ),
];

/// Commands that are run elsewhere, whatever follows them, and why.
pub(crate) const ELSEWHERE: [(&str, &str); 2] = [
    (
        "appproxy check",
        "its verdict is about the machine; tests/e2e/beds/check.rs, tests/e2e/check_cert.rs",
    ),
    (
        "appproxy gateway init",
        "it asks a person; src/cli/init/tests.rs answers",
    ),
];

/// What a table names short, and what it takes to run it.
pub(crate) const SHORT: [(&str, &str); 8] = [
    ("appproxy completions", "bash"),
    ("appproxy gateway connector remove", "ID"),
    (
        "appproxy gateway session create",
        "--user alice --app wiki --group staff",
    ),
    (
        "appproxy gateway service-token create",
        "--name ci --app wiki",
    ),
    ("appproxy gateway service-token revoke", "ci"),
    ("appproxy gateway session revoke", "ID"),
    ("appproxy gateway token create", "--group default"),
    ("appproxy gateway token revoke", "ID"),
];

/// Everything above that no document has any more.
pub(crate) fn unused() -> Vec<&'static str> {
    let all = documents::documents().flat_map(|(_, text)| documents::commands(&text));
    let all: Vec<String> = all.map(|command| command.text).collect();
    let targets = TARGETS.map(|(target, _)| format!("make {target}"));
    let lists = [&STAND_INS[..], &LEFT_OUT, &ELSEWHERE, &SHORT];
    let known = lists.into_iter().flatten().map(|(known, _)| *known);
    let is_used = |known: &str| all.iter().any(|text| text.starts_with(known));
    let mut unused: Vec<_> = known.filter(|known| !is_used(known)).collect();
    unused.extend(
        targets
            .iter()
            .zip(TARGETS)
            .filter(|(target, _)| !is_used(target))
            .map(|(_, (known, _))| known),
    );
    unused
}

/// Makes sure that a target's recipe is whole.
pub(crate) fn expands(place: &str, target: &str) {
    let output = Command::new("make").args(["-n", target]).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run make: {e}"));
    assert!(
        output.status.success() && !output.stdout.is_empty(),
        "{place}: make -n {target}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
