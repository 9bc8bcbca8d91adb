//! Every code that the program says is in `docs/troubleshooting.md`, and every code there is one of the
//! program's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use appproxy::model::ErrorCode;
use regex::Regex;

/// Words of the source that look like codes of findings and are none: keys, words of other protocols, and why a
/// crawl passes a page over.
const NO_CODES: &[&str] = &[
    "access",
    "affinity",
    "backend_proxy",
    "backend_tls",
    "client_certificates",
    "country_database",
    "external_url",
    "internal_url",
    "pre_authentication",
    "report_only",
    "server_error",
    "server_name",
    "sign_in",
    "single_sign_on",
    "invalid_request",
    "tls_passthrough",
    "too_long",
    "tunnel_proxy",
];

/// Each source file without its tests.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push((path.display().to_string(), without_tests(&path)));
        }
    }
}

fn without_tests(path: &Path) -> String {
    let mut text = fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]\nmod tests {");
    text.truncate(end.unwrap_or(text.len()));
    text
}

fn codes_of_the_source() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 300, "only {} files", files.len());
    let said = Regex::new(
        r#"(?:Finding::(?:error|warning|info)|Reason::new|Ended::lost|refuse(?:::<[^>]*>)?|error_at_key|error|coded|parse)\(\s*(?:"[^"]*",\s*)?"([a-z][a-z0-9]*(?:_[a-z0-9]+)+)""#,
    )
    .unwrap();
    // Of one word.
    let short = Regex::new(
        r#"(?:(?:Finding::(?:error|warning|info)|refuse(?:::<[^>]*>)?|findings\.error)\(|error_at_key\([^,]+,)\s*"([a-z]+)""#,
    )
    .unwrap();
    let logged = Regex::new(r#"[ (]code = "([a-z_]+)""#).unwrap();
    // What an error says of itself.
    let told = Regex::new(r"(?s)fn code\w*\([^)]*\) -> (?:Option<)?&'static str>? \{(.*?)\n    \}")
        .unwrap();
    let any = Regex::new(r#""([a-z][a-z0-9]*(?:_[a-z0-9]+)+)""#).unwrap();
    let of_provider = Regex::new(r#"= "([a-z_]+)", \w+,\s*""#).unwrap();
    let refused = Regex::new(r#"Self::\w+ => "([a-z_]+)""#).unwrap();
    let known = Regex::new(r#"(?:known|of_person|passing)\(\s*"([a-z_]+)""#).unwrap();
    let mut codes = BTreeSet::new();
    for (path, text) in &files {
        // Here no other words stand in quotation marks.
        let all = path.contains("/certs/")
            || path.contains("/check/")
            || OF_CHECK.contains(&path.as_str());
        let mut patterns = vec![if all { &any } else { &said }, &short, &logged];
        if path.ends_with("provider/error.rs") {
            patterns.push(&of_provider);
        }
        if path.ends_with("tunnel/enrol.rs") {
            patterns.push(&refused);
        }
        if path.ends_with("provider/known.rs") {
            patterns.push(&known);
        }
        for pattern in patterns {
            codes.extend(pattern.captures_iter(text).map(|found| found[1].to_owned()));
        }
        for body in told.captures_iter(text) {
            codes.extend(any.captures_iter(&body[1]).map(|code| code[1].to_owned()));
        }
    }
    codes.extend(ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()));
    codes.retain(|code| !NO_CODES.contains(&code.as_str()));
    codes
}

/// Where `check` has its codes from, beside what it shares with the start and with `check-cert`.
const OF_CHECK: &[&str] = &[
    "src/check",
    "src/cli/check",
    "src/connector/trial.rs",
    "src/connector/unopened.rs",
    "src/connector/state_error.rs",
    "src/net/finding.rs",
    "src/certs/presented.rs",
];

/// What `check` says of providers and applications in the words of the request path.
const SHARED: &[&str] = &[
    "backend_bad_response",
    "backend_connect_timeout",
    "backend_dns",
    "backend_first_byte_timeout",
    "backend_refused",
    "backend_tls_name",
    "backend_tls_trust",
    "client_authentication_unsupported",
    "client_refused",
    "client_secret_expired",
    "client_secret_wrong",
    "client_unknown",
    "endpoint_missing",
    "endpoint_refused",
    "issuer_mismatch",
    "provider_answer_too_large",
    "provider_bad_answer",
    "provider_redirects",
    "provider_status",
    "provider_timeout",
    "provider_tls",
    "provider_unreachable",
    "redirect_uri_mismatch",
    "target_refused",
];

/// What no test makes, with the reason.
const NOT_MADE: &[(&str, &str)] = &[
    ("answer_unusable", "`register` says it, and not `check`"),
    (
        "bad_host",
        "a configuration takes no such host; `check-cert --host` alone can be told one",
    ),
    (
        "check_late",
        "what is waited for has limits of its own, which end before",
    ),
    ("identity_busy", "`register` says it, and not `check`"),
    (
        "identity_unusable",
        "an identity that does not fit is `identity_damaged` when it is read",
    ),
    (
        "wrong_kind",
        "by this `check` sees that a file is a connector's, and says nothing",
    ),
];

#[test]
fn every_fault_of_check_is_made_by_an_end_to_end_test() {
    let mut files = Vec::new();
    for place in OF_CHECK {
        let path = Path::new(place);
        if path.is_dir() {
            sources(path, &mut files);
        } else {
            files.push(((*place).to_owned(), without_tests(path)));
        }
    }
    let any = Regex::new(r#""([a-z][a-z0-9]*(?:_[a-z0-9]+)+)""#).unwrap();
    let found = files.iter().flat_map(|(_, text)| any.captures_iter(text));
    let mut codes: BTreeSet<String> = found.map(|found| found[1].to_owned()).collect();
    codes.retain(|code| !NO_CODES.contains(&code.as_str()));
    codes.extend(SHARED.iter().map(|&code| code.to_owned()));
    assert!(codes.len() >= 100, "only {} codes", codes.len());

    let mut tests = Vec::new();
    sources(Path::new("tests/e2e/check"), &mut tests);
    assert!(tests.len() >= 9, "only {} files", tests.len());
    for file in ["tests/e2e/beds/check.rs", "tests/e2e/check_cert.rs"] {
        tests.push((file.to_owned(), fs::read_to_string(file).unwrap()));
    }
    let is_made = |code: &str| {
        let quoted = format!("\"{code}\"");
        tests.iter().any(|(_, text)| text.contains(&quoted))
    };
    let excused = |code: &str| NOT_MADE.iter().any(|(one, _)| *one == code);
    let missing: Vec<_> = codes
        .iter()
        .filter(|code| !is_made(code) && !excused(code))
        .collect();
    assert!(missing.is_empty(), "no end-to-end test makes {missing:?}");
    for (code, reason) in NOT_MADE {
        assert!(codes.contains(*code), "nothing says {code}");
        assert!(!is_made(code) && !reason.is_empty(), "{code} is made");
    }
}

/// The codes in the first columns of the page's tables, each with what happened and what to do.
pub(super) fn explained(page: &str) -> BTreeSet<String> {
    let word = Regex::new("^`([a-z][a-z0-9_]*)`$").unwrap();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let (mut explained, mut count) = (BTreeSet::new(), 0);
    for row in rows {
        let columns: Vec<_> = row.split(" | ").map(str::trim).collect();
        let [codes, happened, remedy] = columns[..] else {
            panic!("not three columns: {row}");
        };
        if codes == "code" {
            continue;
        }
        assert!(!happened.is_empty() && !remedy.is_empty(), "{row}");
        for code in codes.split(", ") {
            let code = word.captures(code);
            let code = code.unwrap_or_else(|| panic!("no row of codes: {row}"));
            explained.insert(code[1].to_owned());
        }
        count += 1;
    }
    assert!(count >= 280, "only {count} rows");
    explained
}

#[test]
fn every_code_is_explained_and_every_explained_code_exists() {
    let page = fs::read_to_string("docs/troubleshooting.md").unwrap();
    let codes = codes_of_the_source();
    assert!(codes.len() >= 340, "only {} codes", codes.len());
    let explained = explained(&page);
    // A list of bare words says nothing of any.
    let list = Regex::new("^`[a-z_]+`(?:, `[a-z_]+`)+").unwrap();
    let listed: Vec<_> = page.lines().filter(|line| list.is_match(line)).collect();
    assert!(listed.is_empty(), "{listed:?}");
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
