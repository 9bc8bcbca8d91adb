//! Every command of every document runs.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::documents::{self, DOCUMENTS};
use crate::known;
use crate::quick_start;
use crate::stand::{Before, Count, Stand, configuration};

const fn count(ran: usize, stood_in: usize, elsewhere: usize, pages: usize) -> Count {
    Count {
        ran,
        stood_in,
        elsewhere,
        pages,
    }
}

/// What there is in documents that have commands: run as they stand, run with a stand-in, left to others.
const COUNTS: [(&str, Count); 21] = [
    ("CHANGELOG.md", count(3, 0, 7, 0)),
    ("CONTRIBUTING.md", count(0, 0, 5, 0)),
    ("README.md", count(37, 3, 11, 1)),
    ("docs/access.md", count(4, 0, 0, 0)),
    ("docs/capacity.md", count(0, 0, 1, 0)),
    ("docs/connectors.md", count(6, 0, 2, 0)),
    ("docs/identity.md", count(5, 0, 0, 0)),
    ("docs/install.md", count(9, 8, 6, 1)),
    ("docs/link-translation.md", count(0, 0, 1, 0)),
    ("docs/metrics.md", count(2, 0, 0, 0)),
    ("docs/operate.md", count(12, 0, 0, 0)),
    ("docs/out-of-scope.md", count(0, 0, 1, 0)),
    ("docs/performance.md", count(0, 0, 4, 0)),
    ("docs/programs.md", count(3, 0, 1, 0)),
    ("docs/publish.md", count(11, 0, 1, 1)),
    ("docs/quick-start.md", count(3, 6, 2, 2)),
    ("docs/security.md", count(0, 0, 6, 0)),
    ("docs/sign-in.md", count(4, 0, 0, 0)),
    ("docs/troubleshooting.md", count(6, 0, 14, 0)),
    ("docs/upgrade.md", count(4, 0, 2, 1)),
    ("examples/first-application/README.md", count(4, 0, 0, 1)),
];

/// The program is installed, with the document's own configuration where it has one that is whole, or that
/// of docs/publish.md.
fn program(gateway: &str, connector: &str) -> Before {
    Before::Program {
        gateway: configuration(gateway, "gateway"),
        connector: configuration(connector, "connector"),
    }
}

fn runs(document: &'static str, before: Before) {
    assert_counts(document, &Stand::run(document, before));
}

fn assert_counts(document: &str, counted: &Count) {
    let expected = COUNTS.iter().find(|(name, _)| *name == document);
    let (_, expected) = expected.unwrap_or_else(|| panic!("{document} is not in COUNTS"));
    assert_eq!(counted, expected, "{document}");
}

const PUBLISH: &str = "docs/publish.md";

#[test]
fn those_of_the_readme() {
    runs(
        "README.md",
        Before::Nothing {
            shown_in: "README.md",
        },
    );
}

#[test]
fn those_of_the_first_ten_minutes() {
    assert_counts(quick_start::DOCUMENT, &quick_start::run());
}

#[test]
fn those_that_publish_an_application() {
    runs(PUBLISH, program(PUBLISH, PUBLISH));
}

#[test]
fn those_of_the_first_application() {
    let [gateway, connector] = ["gateway", "connector"]
        .map(|kind| fs::read_to_string(format!("examples/first-application/{kind}.yaml")).unwrap());
    let document = "examples/first-application/README.md";
    runs(document, Before::Program { gateway, connector });
}

#[test]
fn those_that_install_services() {
    runs("docs/install.md", Before::Nothing { shown_in: PUBLISH });
}

#[test]
fn those_that_restart_and_upgrade() {
    let (gateway, connector) = (
        configuration(PUBLISH, "gateway"),
        configuration(PUBLISH, "connector"),
    );
    runs("docs/upgrade.md", Before::Services { gateway, connector });
}

#[test]
fn those_about_a_gateway_that_runs() {
    runs("docs/operate.md", program("docs/operate.md", PUBLISH));
}

#[test]
fn those_about_connectors() {
    runs("docs/connectors.md", program(PUBLISH, PUBLISH));
}

#[test]
fn those_about_identities() {
    runs("docs/identity.md", program("docs/identity.md", PUBLISH));
}

#[test]
fn those_about_who_may() {
    runs("docs/access.md", program("docs/access.md", PUBLISH));
}

#[test]
fn those_about_programs() {
    let document = "docs/programs.md";
    runs(document, program(document, PUBLISH));
}

#[test]
fn those_about_people() {
    runs("docs/sign-in.md", program(PUBLISH, PUBLISH));
}

#[test]
fn those_that_are_told_in_passing() {
    for document in [
        "docs/metrics.md",
        "docs/performance.md",
        "docs/capacity.md",
        "docs/security.md",
        "docs/troubleshooting.md",
        "docs/link-translation.md",
        "docs/out-of-scope.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ] {
        runs(document, program(PUBLISH, PUBLISH));
    }
}

#[test]
fn a_command_that_fails_is_told_with_its_place_and_all_that_it_said() {
    let wrong = documents::Command {
        line: 7,
        text: "appproxy connector register --token-file nothing   # a comment".to_owned(),
        block: None,
    };
    let mut stand = Stand::new("docs/none.md", program(PUBLISH, PUBLISH));
    let failed = catch_unwind(AssertUnwindSafe(|| stand.execute(&wrong))).unwrap_err();
    let told = failed.downcast_ref::<String>().unwrap();
    let begins = "docs/none.md:7: `appproxy connector register --token-file nothing   # a comment` ended with 1\n";
    assert!(told.starts_with(begins), "{told}");
    assert!(told.contains("nothing: "), "{told}");
}

#[test]
fn what_is_said_about_commands_is_about_one_of_them() {
    assert_eq!(known::unused(), Vec::<&str>::new());
}

/// A document that gets its first command is run as well.
#[test]
fn no_document_with_commands_is_left_out() {
    let found: BTreeMap<_, _> = documents::documents()
        .map(|(name, text)| (name, documents::commands(&text).len()))
        .filter(|(_, commands)| *commands > 0)
        .collect();
    let counted = COUNTS
        .iter()
        .map(|(name, count)| (*name, count.ran + count.stood_in + count.elsewhere));
    assert_eq!(found, counted.collect());
    assert!(COUNTS.len() < DOCUMENTS.len());
}
