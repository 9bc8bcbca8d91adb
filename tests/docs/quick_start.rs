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
    "ISSUER",
    "appproxy",
    // The client secret, and the file in which it is kept.
    "a-secret-that-was-typed",
    "",
    // A certificate to try with.
    "",
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

/// A command that types the answers, to a provider of the stand's.
fn answers(stand: &mut Stand) -> String {
    let issuer = stand.provider_of_the_demo();
    let answers = ANSWERS.map(|answer| format!("'{}'", answer.replace("ISSUER", &issuer)));
    format!("printf '%s\\n' {}", answers.join(" "))
}

/// Types them on a machine that has the package and nothing else; returns what ran, as for every document.
pub(crate) fn run() -> Count {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let connector = blocks(&text, "yaml").remove(0) + "\n";
    let mut stand = Stand::new(DOCUMENT, Before::Package { connector });
    let answers = answers(&mut stand);
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
            step(&mut stand, &command, words, &answers);
        }
    }
    stand.see_the_wiki(TRIAL);
    stand.counted()
}

/// Nobody thinks of the service's account at every step; and a token may come before the first start.
#[test]
fn what_root_makes_is_the_services_all_the_same() {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let connector = blocks(&text, "yaml").remove(0) + "\n";
    let mut stand = Stand::new(DOCUMENT, Before::Package { connector });
    let answers = answers(&mut stand);
    let all = documents::commands(&text).into_iter();
    let mut commands: Vec<_> = all.filter(|command| command.block.is_some()).collect();
    let at = |words: &str, commands: &[documents::Command]| {
        let mut commands = commands.iter();
        commands.position(|one| one.text.contains(words)).unwrap()
    };
    let (start, token) = (
        at(" enable --now appproxy-gateway", &commands),
        at(" token create ", &commands),
    );
    assert!(start < token);
    commands.swap(start, token);
    let as_appproxy = |commands: &[documents::Command]| {
        let own = commands.iter();
        own.filter(|one| one.text.contains("-u appproxy ")).count()
    };
    assert_eq!(as_appproxy(&commands), 4);
    for command in &commands {
        let words = command.text.replace("-u appproxy ", "");
        step(&mut stand, command, &words, &answers);
    }
    stand.see_the_wiki(TRIAL);
    let others = stand.desk("find /var/lib/appproxy ! -user appproxy");
    assert_eq!(others, "");
}

/// One of the six, with what a person types to it.
fn step(stand: &mut Stand, command: &documents::Command, words: &str, answers: &str) {
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
        // The certificate is one to try with, of which it warns; that is all there is to say.
        stand.typed(command, &format!("{words} > report"));
        let report = stand.desk("cat report");
        assert!(
            report.contains("wiki") && report.contains(" 1 warning, 0 failures, "),
            "{report}"
        );
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
