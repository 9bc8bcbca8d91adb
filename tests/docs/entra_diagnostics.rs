//! Each fault of Entra that we know of has its row in `docs/entra-diagnostics.md`, and the codes there are
//! explained in `docs/troubleshooting.md`.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use super::troubleshooting::explained;

/// How many faults there are: of certificates, of connectors, on pages, of Kerberos.
const ROWS: [usize; 4] = [17, 18, 17, 12];

/// How a row begins that names no code.
const REASONS: [&str; 3] = ["Does not apply", "Nothing to find", "Waits for Kerberos"];

/// A row: its identifier, and what is said of us.
struct Row {
    id: String,
    here: String,
}

/// The rows of each table, by its section.
fn tables(page: &str) -> Vec<Vec<Row>> {
    let id = Regex::new("^[A-Z]{2,}[A-Z0-9]*-[A-Z0-9-]+( / [A-Z0-9-]+)?$").unwrap();
    let sections = page.split("\n## ").skip(1);
    let tables = sections.map(|section| {
        let lines = section.lines().filter(|line| line.starts_with("| "));
        let rows = lines.filter_map(|line| {
            let inside = line.strip_prefix("| ")?.strip_suffix('|')?;
            let cells: Vec<_> = inside.split(" | ").map(str::trim).collect();
            let [id_here, _, here, _] = cells[..] else {
                panic!("not four columns: {line}");
            };
            id.is_match(id_here).then(|| Row {
                id: id_here.to_owned(),
                here: here.to_owned(),
            })
        });
        rows.collect()
    });
    tables.collect()
}

#[test]
fn every_fault_of_entra_has_one_row() {
    let page = fs::read_to_string("docs/entra-diagnostics.md").unwrap();
    let tables = tables(&page);
    let counts: Vec<_> = tables.iter().map(Vec::len).collect();
    assert_eq!(counts, ROWS, "rows of each table");
    let all: Vec<_> = tables.iter().flatten().map(|row| &*row.id).collect();
    let once: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), once.len()), (64, 64), "{all:?}");
}

#[test]
fn every_code_that_stands_beside_a_fault_of_entra_is_explained() {
    let page = fs::read_to_string("docs/entra-diagnostics.md").unwrap();
    let troubleshooting = fs::read_to_string("docs/troubleshooting.md").unwrap();
    let explained = explained(&troubleshooting);
    let span = Regex::new("`([^`]+)`").unwrap();
    // Settings stand there with a value, and so are no such word.
    let code = Regex::new("^[a-z][a-z0-9]*(_[a-z0-9]+)+$").unwrap();
    let (mut unknown, mut codes) = (Vec::new(), BTreeSet::new());
    for Row { id, here } in tables(&page).into_iter().flatten() {
        let words: Vec<_> = span.captures_iter(&here).map(|s| s[1].to_owned()).collect();
        let looks_like_one = words.iter().filter(|word| code.is_match(word));
        unknown.extend(
            looks_like_one
                .filter(|word| !explained.contains(*word))
                .map(|word| format!("{id}: {word}")),
        );
        let known: Vec<_> = words
            .into_iter()
            .filter(|w| explained.contains(w))
            .collect();
        assert!(
            !known.is_empty() || REASONS.iter().any(|reason| here.starts_with(reason)),
            "{id} has neither a code nor a reason: {here}"
        );
        codes.extend(known);
    }
    assert_eq!(unknown, Vec::<String>::new());
    assert!(codes.len() >= 90, "only {} codes", codes.len());
}
