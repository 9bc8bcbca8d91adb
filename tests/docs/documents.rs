//! The documents, and what is read out of them.

use std::fs;

pub(crate) const DOCUMENTS: [&str; 27] = [
    "docs/entra-diagnostics.md",
    "docs/quick-start.md",
    "docs/differences.md",
    "docs/security.md",
    "docs/troubleshooting.md",
    "docs/certificates.md",
    "docs/access.md",
    "docs/capacity.md",
    "docs/operate.md",
    "docs/settings.md",
    "docs/sign-in.md",
    "docs/install.md",
    "docs/backends.md",
    "docs/balancing.md",
    "docs/metrics.md",
    "docs/connectors.md",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/identity.md",
    "docs/performance.md",
    "docs/programs.md",
    "docs/publish.md",
    "docs/link-translation.md",
    "docs/out-of-scope.md",
    "docs/upgrade.md",
    "examples/first-application/README.md",
];

pub(crate) fn documents() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS
        .map(|name| (name, fs::read_to_string(name).expect(name)))
        .into_iter()
}

/// The blocks of a document that are fenced and marked as this language.
pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// What stands between back quotes in running text.
pub(crate) fn spans(text: &str) -> Vec<String> {
    let outside: String = text.split("```").step_by(2).collect();
    outside
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.replace('\n', " "))
        .collect()
}

/// `a\|b` in a table stands for either, `[x]` for what may be left out.
pub(crate) fn expand(span: &str) -> Vec<Vec<String>> {
    let plain = span.replace(['[', ']'], "");
    let mut all = vec![Vec::new()];
    for word in plain.split_whitespace() {
        all = word
            .split("\\|")
            .flat_map(|choice| {
                all.iter().map(move |before: &Vec<String>| {
                    let mut words = before.clone();
                    words.push(choice.to_owned());
                    words
                })
            })
            .collect();
    }
    all
}

/// What stands before a command that is somebody's to type.
const PROGRAMS: [&str; 10] = [
    "appproxy",
    "apt",
    "cargo",
    "curl",
    "journalctl",
    "make",
    "podman",
    "sysctl",
    "systemctl",
    "systemd-analyze",
];

/// A command of a document.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) line: usize,
    /// As it stands, with one of the choices that a table leaves.
    pub(crate) text: String,
    /// Which of the blocks it is in; none in running text.
    pub(crate) block: Option<usize>,
}

fn begins_one(text: &str) -> bool {
    let mut words = text.split(' ');
    let program = words.next();
    program.is_some_and(|word| PROGRAMS.contains(&word)) && words.next().is_some()
}

/// Every command of a document, in its order: the lines of blocks that are marked as `sh`, and what begins
/// like one in running text and in the configurations of others.
pub(crate) fn commands(text: &str) -> Vec<Command> {
    let mut all = Vec::new();
    let mut line = 1;
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            let language = part.lines().next().unwrap_or_default();
            for (at, text) in part.lines().enumerate().skip(1) {
                let (line, text) = (line + at, text.trim().to_owned());
                if language == "sh" && !text.is_empty() {
                    let block = Some(number);
                    all.push(Command { line, text, block });
                } else if ["text", "ini"].contains(&language) && begins_one(&text) {
                    let block = None;
                    all.push(Command { line, text, block });
                }
            }
        } else {
            let mut at = line;
            for (number, span) in part.split('`').enumerate() {
                let one_line = span.replace('\n', " ");
                if number % 2 == 1 && begins_one(&one_line) {
                    all.extend(expand(&one_line).into_iter().map(|words| Command {
                        line: at,
                        text: words.join(" "),
                        block: None,
                    }));
                }
                at += span.matches('\n').count();
            }
        }
        line += part.matches('\n').count();
    }
    all
}

#[test]
fn commands_are_found_where_they_stand() {
    let text = "Say `make\ndemo` or `demo`, or `make`.\n\n```sh\numask 077\n\na > b   # c\n```\n\n```text\nat night {\n    make bed\n}\n```\n| `appproxy x a\\|b [--c]` |\n";
    let found: Vec<_> = commands(text)
        .into_iter()
        .map(|command| (command.line, command.text, command.block.is_some()))
        .collect();
    let expected = [
        (1, "make demo", false),
        (5, "umask 077", true),
        (7, "a > b   # c", true),
        (12, "make bed", false),
        (15, "appproxy x a --c", false),
        (15, "appproxy x b --c", false),
    ];
    assert_eq!(
        found,
        expected.map(|(line, text, block)| (line, text.to_owned(), block))
    );
}
