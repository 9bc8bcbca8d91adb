//! Paths against the table of spellings, and by property.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// One line: the path, the outcome on a path-sensitive host, the outcome elsewhere, the folded
/// form (of the sensitive form, or `null` where that is refused).
type Row = (String, String, String, Option<String>);

fn outcome(path: &str, sensitive: bool) -> String {
    match canonical(path, sensitive) {
        Ok(passed) => {
            assert_eq!(passed.as_str(), path, "the path is forwarded as received");
            "passes".to_owned()
        }
        Err(why) => format!("{why:?}"),
    }
}

#[test]
fn rule_2_every_spelling_has_its_verdict() {
    let table = include_str!("../../../testdata/paths/spellings.jsonl");
    let mut seen = 0;
    let mut wrong = String::new();
    for line in table.lines() {
        let (path, sensitive, elsewhere, folded): Row = serde_json::from_str(line).unwrap();
        seen += 1;
        let found = (outcome(&path, true), outcome(&path, false));
        let form = canonical(&path, true).ok().map(|p| p.folded().into_owned());
        if found != (sensitive, elsewhere) || form != folded {
            let _ = writeln!(wrong, "{line}\n    is {found:?} {form:?}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(seen, 113);
}

fn prefix(path: &str) -> PathPrefix {
    PathPrefix::new(path).unwrap()
}

#[test]
fn rule_2_the_prefix_is_replaced_by_octets_and_nothing_else() {
    for (external, internal, target, mapped) in [
        ("/", "/", "/a?b=/c", Some("/a?b=/c")),
        ("/", "/app/", "/", Some("/app/")),
        (
            "/",
            "/app/",
            "/a//b/%7e;x?q=%2F#",
            Some("/app/a//b/%7e;x?q=%2F"),
        ),
        ("/wiki/", "/", "/wiki/", Some("/")),
        ("/wiki/", "/", "/wiki/a/", Some("/a/")),
        ("/wiki/", "/", "/wiki//a", Some("//a")),
        ("/wiki/", "/app/", "/wiki/?", Some("/app/?")),
        ("/wiki/", "/app/", "/wiki/%41%20b?x", Some("/app/%41%20b?x")),
        ("/wiki/", "/app/", "/wiki", None),
        ("/wiki/", "/app/", "/wikipedia/", None),
        ("/wiki/", "/app/", "/Wiki/", None),
        ("/wiki/", "/app/", "/%77iki/", None),
        ("/wiki/", "/app/", "/?/wiki/", None),
        ("/wiki/", "/wiki/", "/wiki?x", None),
    ] {
        let target = PathAndQuery::try_from(target).unwrap();
        let answer = map_path(&prefix(external), &prefix(internal), &target);
        let answer = answer.as_ref().map(PathAndQuery::as_str);
        assert_eq!(answer, mapped, "{external} {internal} {target}");
    }
}

/// Where a path leads on a server that decodes `layers` times, takes `\` for `/`, ignores
/// `;params` and trailing spaces, case, and empty segments.
fn resolve(path: &str, layers: usize) -> String {
    let mut octets = path.as_bytes().to_vec();
    for _ in 0..layers {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < octets.len() {
            let pair = octets.get(at + 1..at + 3);
            let pair = pair.and_then(|p| std::str::from_utf8(p).ok());
            let hexadecimal = pair.filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
            match hexadecimal.and_then(|p| u8::from_str_radix(p, 16).ok()) {
                Some(octet) if octets[at] == b'%' => {
                    decoded.push(octet);
                    at += 3;
                }
                _ => {
                    decoded.push(octets[at]);
                    at += 1;
                }
            }
        }
        octets = decoded;
    }
    let text = String::from_utf8_lossy(&octets)
        .replace('\\', "/")
        .to_lowercase();
    let text = text.split('\0').next().unwrap_or_default();
    let mut resolved: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default().trim_end() {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            name => resolved.push(name),
        }
    }
    format!("/{}/", resolved.join("/"))
}

fn nasty_path() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/", "/", "..", ".", "%2e", "%2E", "%2f", "%5c", "\\", ";", ";x", "%25", "25", "2e", "2f",
        "%", "%%32", "%3b", "%00", "%20", "a", "A", "secret", "//", "%c0%ae", "%u002e", "..;",
        "\t", "wiki", "?",
    ]);
    prop::collection::vec(pieces, 0..10).prop_map(|pieces| format!("/wiki/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn rule_2_nothing_leaves_the_published_internal_path(path in nasty_path(), internal in 0..2) {
        let internal = prefix(["/app/", "/app/sub/"][internal as usize]);
        if let Ok(target) = PathAndQuery::try_from(path.as_str())
            && canonical(target.path(), true).is_ok()
            && let Some(mapped) = map_path(&prefix("/wiki/"), &internal, &target)
        {
            for layers in 0..4 {
                let led = resolve(mapped.path(), layers);
                prop_assert!(led.starts_with(internal.as_str()), "{path} led to {led}");
            }
            prop_assert_eq!(mapped.query(), target.query());
        }
    }

    /// As Tomcat and its like have it: parameters go first, and only then escapes are decoded.
    #[test]
    fn rule_2_whoever_removes_parameters_first_reads_the_folded_path_too(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "/", ";", "%3b", "%3f", "%23", "%253f", "%253b", "a", "B", "admin", ".", "..", "%2e", "x=1",
        ]), 0..14),
    ) {
        let path = format!("/{}", pieces.concat());
        let Ok(clear) = canonical(&path, true) else {
            return Ok(());
        };
        let kept = path.split('/').map(|segment| segment.split(';').next().unwrap());
        let kept = kept.collect::<Vec<_>>().join("/");
        prop_assume!(canonical(&kept, true).is_ok());
        let read = canonical(&kept, true).unwrap().folded().into_owned();
        prop_assert_eq!(clear.folded().into_owned(), read, "{}", path);
    }

    #[test]
    fn rule_2_what_one_server_takes_for_one_path_folds_to_one_form(
        path in "(/[a-zA-Z~._-]{1,4}){1,4}/?", mask in prop::collection::vec(0..4, 30),
    ) {
        let mut spelt = String::new();
        for (c, change) in path.chars().zip(mask.iter().cycle()) {
            match (c, change) {
                ('/', 1) => spelt.push_str("//"),
                ('/', 2) if !spelt.is_empty() => spelt.push_str(";v=1/"),
                ('/', _) | (_, 0) => spelt.push(c),
                (_, 1) => { let _ = write!(spelt, "%{:02x}", u32::from(c)); }
                (_, 2) => { let _ = write!(spelt, "%25{:02X}", u32::from(c)); }
                _ => spelt.push(c.to_ascii_uppercase()),
            }
        }
        if let (Ok(plain), Ok(spelt)) = (canonical(&path, true), canonical(&spelt, true)) {
            prop_assert_eq!(plain.folded(), spelt.folded());
        }
    }

    #[test]
    fn any_text_is_judged_without_a_fault(path in ".{0,60}") {
        for sensitive in [true, false] {
            if let Ok(passed) = canonical(&path, sensitive) {
                let folded = passed.folded();
                prop_assert!(folded.starts_with('/'));
            }
        }
    }
}

#[test]
fn a_long_path_of_nested_escapes_is_refused_after_a_few_layers() {
    let path = format!("/%{}41", "25".repeat(30_000));
    assert_eq!(canonical(&path, true), Err(PathRefusal::Layers));
}
