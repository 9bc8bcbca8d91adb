//! Every code that the program says is in `docs/troubleshooting.md`, and every code there is one of the
//! program's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use appproxy::model::ErrorCode;
use regex::Regex;

/// Words of the source that look like codes of findings and are none: keys, and words of other protocols.
const NO_CODES: &[&str] = &[
    "access",
    "affinity",
    "backend_tls",
    "client_certificates",
    "country_database",
    "external_url",
    "internal_url",
    "pre_authentication",
    "report_only",
    "server_error",
    "sign_in",
    "single_sign_on",
    "invalid_request",
];

/// Each source file without its tests.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            found.push((path.display().to_string(), text[..end].to_owned()));
        }
    }
}

fn codes_of_the_source() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 300, "only {} files", files.len());
    let said = Regex::new(
        r#"(?:Finding::(?:error|warning|info)|refuse(?:::<[^>]*>)?|error_at_key|error)\(\s*(?:"[^"]*",\s*)?"([a-z][a-z0-9]*(?:_[a-z0-9]+)+)""#,
    )
    .unwrap();
    // Of one word.
    let short =
        Regex::new(r#"(?:Finding::(?:error|warning|info)|refuse(?:::<[^>]*>)?)\(\s*"([a-z]+)""#)
            .unwrap();
    let any = Regex::new(r#""([a-z][a-z0-9]*(?:_[a-z0-9]+)+)""#).unwrap();
    let of_provider = Regex::new(r#"= "([a-z_]+)", \w+,\s*""#).unwrap();
    let known = Regex::new(r#"(?:known|of_person|passing)\(\s*"([a-z_]+)""#).unwrap();
    let mut codes = BTreeSet::new();
    for (path, text) in &files {
        // Here no other words stand in quotation marks.
        let all = path.contains("/certs/") || path.contains("/check/");
        let mut patterns = vec![if all { &any } else { &said }, &short];
        if path.ends_with("provider/error.rs") {
            patterns.push(&of_provider);
        }
        if path.ends_with("provider/known.rs") {
            patterns.push(&known);
        }
        for pattern in patterns {
            codes.extend(pattern.captures_iter(text).map(|found| found[1].to_owned()));
        }
    }
    codes.extend(ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()));
    codes.retain(|code| !NO_CODES.contains(&code.as_str()));
    codes
}

#[test]
fn every_code_is_explained_and_every_explained_code_exists() {
    let page = fs::read_to_string("docs/troubleshooting.md").unwrap();
    let codes = codes_of_the_source();
    assert!(codes.len() >= 250, "only {} codes", codes.len());
    let word = Regex::new("`([a-z][a-z0-9_]*)`").unwrap();
    // The first column of each table, and the list at the end.
    let (tables, list) = page.split_once("## The configuration is refused").unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `"));
    let columns = rows.map(|row| format!("`{}", row.split(" | ").next().unwrap()));
    let explained: BTreeSet<String> = columns
        .chain([list.to_owned()])
        .flat_map(|text| {
            let found = word.captures_iter(&text);
            found.map(|found| found[1].to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<_> = codes.difference(&explained).collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md says nothing of {missing:?}"
    );
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let of_nobody: Vec<_> = explained
        .iter()
        .filter(|code| {
            let quoted = format!("\"{code}\"");
            !files.iter().any(|(_, text)| text.contains(&quoted))
        })
        .collect();
    assert!(of_nobody.is_empty(), "nothing says {of_nobody:?}");
}
