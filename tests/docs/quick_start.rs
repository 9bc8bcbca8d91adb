//! The first ten minutes: how many commands and edits `docs/quick-start.md` has, and that they lead to the
//! application.

use std::fs;

use crate::documents::{self, blocks};
use crate::stand::{Before, Count, Stand};

pub(crate) const DOCUMENT: &str = "docs/quick-start.md";

/// What a person new to it has patience for.
const MOST_COMMANDS: usize = 6;
const MOST_EDITS: usize = 1;

/// The certificate that `init` makes to try with.
const TRIAL: &str = "/etc/appproxy/example.com.pem";

/// The answers to `init`, in the order of its questions, between quotation marks; ISSUER is the provider.
const ANSWERS: [&str; 12] = [
    "example.com",
    // Where connectors dial.
    "",
    // A certificate to try with.
    "",
    "ISSUER",
    "appproxy",
    // The file of the client secret, and the secret.
    "",
    "a-secret-that-was-typed",
    // Where people sign in.
    "",
    "everybody",
    "wiki",
    "http://wiki.corp.local:8888/",
    // Where people open it.
    "",
];

fn typed() -> Vec<String> {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let lines = blocks(&text, "sh").join("\n");
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn it_takes_six_commands_and_one_edit() {
    let typed = typed();
    let (edits, commands): (Vec<_>, Vec<_>) =
        typed.iter().partition(|line| line.starts_with("sudoedit "));
    assert!(commands.len() <= MOST_COMMANDS, "{commands:#?}");
    assert!(edits.len() <= MOST_EDITS, "{edits:#?}");
    // One line is one command, and writes no file by the way.
    for line in &typed {
        assert!(!line.contains(['&', ';', '|', '<', '>', '\\']), "{line}");
    }
    // None that is wanted is hidden elsewhere on the page.
    for (step, words) in [
        "appproxy gateway init",
        "appproxy check",
        "systemctl enable --now appproxy-gateway",
        "appproxy gateway token create",
        "appproxy register",
        "appproxy check --app",
    ]
    .iter()
    .enumerate()
    {
        assert!(commands[step].contains(words), "{step}: {commands:#?}");
    }
    let text = fs::read_to_string(DOCUMENT).unwrap();
    assert_eq!(blocks(&text, "yaml").len(), MOST_EDITS);
}

/// Types them on a machine that has the package and nothing else; returns what ran, as for every document.
pub(crate) fn run() -> Count {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let connector = blocks(&text, "yaml").remove(0) + "\n";
    let mut stand = Stand::new(DOCUMENT, Before::Package { connector });
    let issuer = stand.provider_of_the_demo();
    let answers = ANSWERS.map(|answer| format!("'{}'", answer.replace("ISSUER", &issuer)));
    let answers = format!("printf '%s\\n' {}", answers.join(" "));
    for command in documents::commands(&text) {
        let words = command.text.as_str();
        if command.block.is_none() {
            if words == "appproxy gateway" {
                // From here on without services; so far it was with them.
                stand.see_the_wiki(TRIAL);
                stand.desk("sudo -u appproxy appproxy connector status");
                stand.desk(
                    "systemctl stop appproxy-connector.path appproxy-connector appproxy-gateway",
                );
            }
            stand.execute(&command);
        } else {
            step(&mut stand, &command, &answers);
        }
    }
    stand.see_the_wiki(TRIAL);
    stand.counted()
}

/// One of the six, with what a person types to it.
fn step(stand: &mut Stand, command: &documents::Command, answers: &str) {
    let words = command.text.as_str();
    if words.ends_with(" gateway init") {
        let said = stand.typed(command, &format!("{answers} | {words}"));
        let lines = stand.desk("wc -l < /etc/appproxy/gateway.yaml");
        assert!(lines.parse::<usize>().unwrap() <= 40, "{lines}");
        // What the page has next is what `init` says.
        let typed = typed().into_iter().skip(1);
        for next in typed.filter(|line| !line.starts_with("sudoedit ")) {
            let is_told = said.out.lines().any(|line| line.trim() == next);
            assert!(is_told, "{next} is not in\n{said}");
        }
    } else if words.contains(" appproxy check") {
        // Nobody there answers questions about names; what else it says is for other tests.
        stand.typed(command, &format!("{words} > report || [ $? = 2 ]"));
        let report = stand.desk("cat report");
        assert!(report.contains("wiki"), "{report}");
    } else if words.contains(" token create ") {
        stand.typed(command, &format!("{words} > token"));
    } else if words.ends_with(" register") {
        let said = stand.typed(command, &format!("{words} < token"));
        let started = "The service appproxy-connector has started it";
        assert!(said.errors.contains(started), "{said}");
        let reaches = "It may reach wiki.corp.local:8888, and nothing else";
        assert!(said.errors.contains(reaches), "{said}");
    } else {
        stand.execute(command);
    }
}

#[test]
fn a_package_alone_starts_nothing_and_waits_for_a_registration() {
    let mut stand = Stand::new(
        DOCUMENT,
        Before::Package {
            connector: String::new(),
        },
    );
    stand.desk("systemctl is-enabled appproxy-connector appproxy-connector.path");
    assert_eq!(
        stand.desk("ls -A /etc/appproxy /var/lib/appproxy"),
        "/etc/appproxy:\n\n/var/lib/appproxy:"
    );
    stand.desk("! systemctl is-enabled appproxy-gateway");
}
