//! Holds the source to the layers, the file size and the module table that `src/lib.rs` documents.
//!
//! A path is followed by the depth of its file: `super::connector` leaves the module when it is
//! written in `gateway/mod.rs` and stays inside when it is written in `gateway/route.rs`. Comments,
//! strings and modules under `#[cfg(test)]` do not count; support code for tests that is compiled
//! otherwise does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

const LAYER_0: &[&str] = &["model", "clock", "owner", "shutdown"];
const LAYER_1: &[&str] = &["config", "http", "net", "certs", "telemetry"];
const LAYER_2: &[&str] = &["tunnel", "upgrade", "translate", "store"];
const LAYER_3: &[&str] = &["auth"];
const LAYER_4: &[&str] = &["gateway", "connector", "admin", "check"];
const LAYER_5: &[&str] = &["cli", "demo", "local"];

/// Each module with the modules it may import, a list a group. A module that is not listed here
/// fails the test.
const ALLOWED: &[(&str, &[&[&str]])] = &[
    ("model", &[]),
    ("clock", &[]),
    ("owner", &[]),
    ("shutdown", &[]),
    ("config", &[LAYER_0]),
    ("http", &[LAYER_0]),
    ("net", &[LAYER_0]),
    ("certs", &[LAYER_0]),
    ("telemetry", &[LAYER_0]),
    ("tunnel", &[LAYER_0, LAYER_1]),
    ("upgrade", &[LAYER_0, LAYER_1]),
    ("translate", &[LAYER_0, LAYER_1]),
    ("store", &[LAYER_0, LAYER_1]),
    ("auth", &[LAYER_0, LAYER_1, &["store"]]),
    ("gateway", &[LAYER_0, LAYER_1, LAYER_2, LAYER_3]),
    ("check", &[LAYER_0, LAYER_1, LAYER_2, LAYER_3]),
    ("connector", &[LAYER_0, LAYER_1, &["tunnel", "upgrade"]]),
    ("admin", &[LAYER_0, LAYER_1, &["store", "auth"]]),
    // `demo` is imported by `cli` alone.
    (
        "cli",
        &[LAYER_0, LAYER_1, LAYER_2, LAYER_3, LAYER_4, LAYER_5],
    ),
    (
        "demo",
        &[LAYER_0, LAYER_1, LAYER_2, LAYER_3, LAYER_4, &["local"]],
    ),
    ("local", &[LAYER_0, LAYER_1, LAYER_2, LAYER_3, LAYER_4]),
];

/// Lines of a source file before its tests.
const MAX_LINES: usize = 400;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// What a path that opens the whole crate at once is called (`use crate::*`, `use super as up`).
const WHOLE_CRATE: &str = "*";

#[test]
fn modules_import_only_what_lies_below_them() -> io::Result<()> {
    let files = sources(Path::new("src"))?;
    assert!(files.len() >= 17, "found only {} source files", files.len());
    let faults = layer_faults(&files);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn no_file_outgrows_one_room() -> io::Result<()> {
    let faults = length_faults(&sources(Path::new("src"))?);
    assert!(
        faults.is_empty(),
        "split these along their doc lines:\n{}",
        faults.join("\n")
    );
    Ok(())
}

#[test]
fn crate_docs_name_every_module() -> io::Result<()> {
    let text = fs::read_to_string("src/lib.rs")?;
    let missing = undocumented_modules(&text);
    assert!(
        missing.is_empty(),
        "the docs of src/lib.rs say nothing about: {}",
        missing.join(", ")
    );
    Ok(())
}

// Trees that must be caught, and trees that must pass. Each row is one file of a tree on disk, so
// that reading a folder is proven too.

/// A file, its text, and the module it must be caught importing.
const BAD: &[(&str, &str, &str)] = &[
    ("gateway/mod.rs", "use crate::connector::X;", "connector"),
    ("gateway/mod.rs", "use super::connector;", "connector"),
    ("gateway.rs", "use super::connector::Y;", "connector"),
    ("gateway/a.rs", "use super::super::connector;", "connector"),
    (
        "gateway/a/b.rs",
        "use super::super::super::connector::Z;",
        "connector",
    ),
    (
        "gateway/a/mod.rs",
        "fn f() { super::super::demo::run() }",
        "demo",
    ),
    (
        "gateway/mod.rs",
        "use super::{model, connector::{A, B}};",
        "connector",
    ),
    ("gateway/a.rs", "use super::{b, super::{cli as c}};", "cli"),
    (
        "gateway/mod.rs",
        "use crate::{http::{Body, connector}, demo};",
        "demo",
    ),
    ("gateway/mod.rs", "use self::super::connector;", "connector"),
    ("connector/mod.rs", "use appproxy::store::Store;", "store"),
    ("connector/mod.rs", "use ::appproxy::auth;", "auth"),
    ("model/mod.rs", "type T = crate::clock::Clock;", "clock"),
    ("tunnel/mod.rs", "use crate::store;", "store"),
    ("http/mod.rs", "use crate :: net;", "net"),
    ("http/mod.rs", "use crate:: // why\n /* and */ net;", "net"),
    ("http/mod.rs", "mod inner { use super::super::net; }", "net"),
    (
        "http/mod.rs",
        "mod inner { pub fn f() {} } use super::net;",
        "net",
    ),
    (
        "http/mod.rs",
        "#[cfg(test)] mod tests { fn f() {} }\nuse crate::net;",
        "net",
    ),
    (
        "http/mod.rs",
        "#[cfg(not(test))] mod real { use crate::net; }",
        "net",
    ),
    (
        "http/testing.rs",
        "fn f() { crate::gateway::run() }",
        "gateway",
    ),
    (
        "http/mod.rs",
        "const C: char = '\"'; use crate::net;",
        "net",
    ),
    (
        "http/mod.rs",
        "fn f<'a>(x: &'a str) { crate::net::g(x) }",
        "net",
    ),
    (
        "http/mod.rs",
        r####"const R: &str = r#"""#; use crate::net;"####,
        "net",
    ),
    (
        "http/mod.rs",
        r#"const S: &str = "\""; use crate::net;"#,
        "net",
    ),
    ("http/mod.rs", "use crate::r#net;", "net"),
    (
        "http/mod.rs",
        "macro_rules! m { () => { $crate::net::f() } }",
        "net",
    ),
    ("http/mod.rs", "use crate::*;", WHOLE_CRATE),
    ("http/mod.rs", "use super::*;", WHOLE_CRATE),
    ("http/mod.rs", "use crate as all;", WHOLE_CRATE),
    ("http/mod.rs", "use super as all;", WHOLE_CRATE),
    ("http/mod.rs", "use crate::{self as all};", WHOLE_CRATE),
    ("http/mod.rs", "use appproxy as all;", WHOLE_CRATE),
];

#[test]
fn bad_trees_are_caught() -> io::Result<()> {
    for (path, text, named) in BAD {
        let tree = tree(&[(*path, *text)])?;
        let faults = layer_faults(&sources(tree.path())?);
        let wanted = format!("may not import `{named}`");
        assert!(
            faults.len() == 1 && faults[0].contains(path) && faults[0].ends_with(&wanted),
            "{path}: {text}\nwanted one fault that ends in {wanted}\ngot {faults:?}"
        );
    }
    Ok(())
}

#[test]
fn good_trees_pass() -> io::Result<()> {
    for (path, text) in [
        ("lib.rs", "pub mod gateway; use crate::connector::X;"),
        ("main.rs", "use appproxy::cli;"),
        (
            "gateway/mod.rs",
            "use crate::{auth, http::Body, gateway::a};",
        ),
        (
            "gateway/mod.rs",
            "use super::{tunnel::{self, link}, store};",
        ),
        ("gateway/a.rs", "use super::connector;"),
        ("gateway/a/b.rs", "use super::super::connector;"),
        ("gateway/a/mod.rs", "use super::{connector, super::tunnel};"),
        (
            "gateway/mod.rs",
            "pub(crate) mod connector { pub(in crate::gateway) fn f() {} }",
        ),
        ("gateway/mod.rs", "mod inner { use super::connector; }"),
        ("gateway/mod.rs", "use other::appproxy::connector;"),
        ("connector/mod.rs", "use crate::{tunnel, upgrade};"),
        ("cli/mod.rs", "use crate::{gateway, connector, demo};"),
        ("demo/mod.rs", "use crate::{gateway, connector};"),
        (
            "http/mod.rs",
            "// use crate::net;\n/* crate::net /* nested */ crate::net */",
        ),
        (
            "http/mod.rs",
            "//! Beside [`crate::net`].\n/// And `super::net`.\nfn f() {}",
        ),
        (
            "http/mod.rs",
            r##"const S: &str = "crate::net"; const R: &str = r#"a" crate::net"#;"##,
        ),
        (
            "http/mod.rs",
            r#"const B: &[u8] = b"crate::net"; const C: &CStr = c"crate::net";"#,
        ),
        (
            "http/mod.rs",
            "use crate::model;\n#[cfg(test)]\nmod tests { use crate::net; fn f() {} }",
        ),
        (
            "http/mod.rs",
            "#[cfg(test)] mod tests { #[allow(x)] mod deep { use crate::net; } }",
        ),
        ("http/tests.rs", "use crate::net;"),
        ("http/tests/heads.rs", "use crate::net;"),
    ] {
        let tree = tree(&[(path, text)])?;
        let faults = layer_faults(&sources(tree.path())?);
        assert!(faults.is_empty(), "{path}: {text}\n{faults:?}");
    }
    Ok(())
}

#[test]
fn an_unlisted_module_is_a_fault() -> io::Result<()> {
    let tree = tree(&[("utils.rs", "")])?;
    assert_eq!(
        layer_faults(&sources(tree.path())?),
        ["utils.rs: module `utils` has no row in ALLOWED"]
    );
    Ok(())
}

#[test]
fn a_long_file_is_a_fault_and_its_tests_do_not_count() -> io::Result<()> {
    let line = "// line\n";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(900));
    let tree = tree(&[
        ("http/fits.rs", &(line.repeat(MAX_LINES) + &tests)),
        ("http/long.rs", &(line.repeat(MAX_LINES + 1) + &tests)),
        ("http/tests.rs", &line.repeat(900)),
        (
            "http/helper_first.rs",
            &format!("#[cfg(test)]\nuse a;\n{}", line.repeat(MAX_LINES + 1)),
        ),
    ])?;
    assert_eq!(
        length_faults(&sources(tree.path())?),
        [
            "http/helper_first.rs: 403 lines before its tests",
            "http/long.rs: 401 lines before its tests",
        ]
    );
    Ok(())
}

#[test]
fn a_module_without_a_line_in_the_docs_is_a_fault() {
    let text =
        "//! | `http` | bodies |\n//! gateways\n\npub mod gateway;\nmod http;\npub mod net;\n";
    assert_eq!(undocumented_modules(text), ["gateway", "net"]);
}

/// A source file: its path below `src`, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module the file is, from the crate's root: `gateway/a/mod.rs` is `["gateway", "a"]`.
    fn module(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if parts.last() == Some(&"mod") {
            parts.pop();
        }
        parts
    }

    /// Whether the whole file is a module of tests, which its parent declares under `#[cfg(test)]`.
    fn is_test(&self) -> bool {
        self.module().iter().skip(1).any(|part| *part == "tests")
    }
}

fn layer_faults(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let module = file.module();
        let top = module[0];
        if top == "lib" || top == "main" {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == top) else {
            let path = &file.path;
            faults.push(format!("{path}: module `{top}` has no row in ALLOWED"));
            continue;
        };
        for import in imports(&module, &file.text) {
            if import != top && !allowed.iter().any(|group| group.contains(&import.as_str())) {
                let path = &file.path;
                faults.push(format!("{path}: `{top}` may not import `{import}`"));
            }
        }
    }
    faults
}

fn length_faults(files: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let lines = lines_before_tests(&file.text);
        let longer = LONGER.iter().any(|(path, _)| *path == file.path);
        if lines > MAX_LINES && !longer {
            faults.push(format!("{}: {lines} lines before its tests", file.path));
        }
    }
    faults
}

/// Lines up to the first `#[cfg(test)]` that stands right above a module.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && opens_module(pair[1]));
    tests.unwrap_or(lines.len())
}

/// Whether a line opens a module, whoever may see it.
fn opens_module(line: &str) -> bool {
    let after = line.strip_prefix("pub(crate) ").unwrap_or(line);
    after.starts_with("mod ")
}

/// The modules that `lib.rs` declares and its `//!` docs do not name as a word of their own.
fn undocumented_modules(text: &str) -> Vec<String> {
    let words: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .collect();
    text.lines()
        .map(|line| line.trim_start_matches("pub "))
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| !words.contains(name))
        .map(str::to_owned)
        .collect()
}

/// The top-level modules that the code of a file of `module` names, `*` for all of them at once.
fn imports(module: &[&str], text: &str) -> BTreeSet<String> {
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        found: BTreeSet::new(),
    };
    let mut here: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
    // How deep in braces each inline module was opened.
    let (mut depth, mut opened) = (0_usize, Vec::new());
    while let Some(token) = reader.tokens.get(reader.at).cloned() {
        let starts = starts_a_path(&reader.tokens[..reader.at]);
        match token.as_str() {
            "#" if reader.is_next(&["#", "[", "cfg", "(", "test", ")", "]", "mod"]) => {
                reader.at += 7;
                reader.skip_module();
                continue;
            }
            "mod" if reader.tokens.get(reader.at + 2).is_some_and(|t| t == "{") => {
                here.push(reader.tokens[reader.at + 1].clone());
                opened.push(depth);
                depth += 1;
                reader.at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if opened.last() == Some(&depth) {
                    opened.pop();
                    here.pop();
                }
            }
            "crate" | "super" | "self" | "appproxy" if starts => {
                reader.path(&here, None);
                continue;
            }
            _ => {}
        }
        reader.at += 1;
    }
    reader.found
}

/// Follows the paths in a file's tokens.
struct Reader {
    tokens: Vec<String>,
    at: usize,
    found: BTreeSet<String>,
}

impl Reader {
    fn is_next(&self, wanted: &[&str]) -> bool {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        rest.len() >= wanted.len() && rest.iter().zip(wanted).all(|(have, want)| have == want)
    }

    /// Steps over `mod name;` or `mod name { … }`.
    fn skip_module(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token.as_str() {
                ";" if depth == 0 => return,
                "{" => depth += 1,
                "}" if depth == 1 => return,
                "}" => depth -= 1,
                _ => {}
            }
        }
    }

    /// Reads a path, or one branch of a `use` group whose prefix is `base`, and notes the top-level
    /// module it leads to. `here` is the module the path is written in.
    fn path(&mut self, here: &[String], base: Option<Vec<String>>) {
        let mut path = base;
        let mut segments = 0;
        while let Some(token) = self.tokens.get(self.at).cloned() {
            match (token.as_str(), &mut path) {
                ("{", Some(prefix)) => {
                    let prefix = prefix.clone();
                    return self.group(here, &prefix);
                }
                ("*", Some(prefix)) if prefix.is_empty() => {
                    self.found.insert(WHOLE_CRATE.to_owned());
                    self.at += 1;
                    return;
                }
                ("crate" | "appproxy", none @ None) => *none = Some(Vec::new()),
                ("self", none @ None) => *none = Some(here.to_vec()),
                ("super", none @ None) => *none = Some(here[..here.len() - 1].to_vec()),
                ("self", Some(_)) => {}
                ("super", Some(prefix)) => {
                    prefix.pop();
                }
                (word, Some(prefix)) if is_word(word) => {
                    if prefix.is_empty() {
                        // Nothing further down changes where the path leads, a group below it
                        // included.
                        self.found.insert(word.to_owned());
                    }
                    prefix.push(word.to_owned());
                }
                _ => return,
            }
            segments += 1;
            self.at += 1;
            if self.tokens.get(self.at).is_none_or(|next| next != "::") {
                break;
            }
            self.at += 1;
        }
        let renamed = self.tokens.get(self.at).is_some_and(|next| next == "as");
        if segments > 0 && renamed && path.is_some_and(|path| path.is_empty()) {
            self.found.insert(WHOLE_CRATE.to_owned());
        }
    }

    /// Reads the branches of a `use` group.
    fn group(&mut self, here: &[String], prefix: &[String]) {
        self.at += 1;
        while let Some(token) = self.tokens.get(self.at).cloned() {
            match token.as_str() {
                "}" => {
                    self.at += 1;
                    return;
                }
                "," => self.at += 1,
                "as" => self.at += 2,
                _ => {
                    let before = self.at;
                    self.path(here, Some(prefix.to_vec()));
                    self.at = self.at.max(before + 1);
                }
            }
        }
    }
}

/// Whether a path starts after these tokens: `::appproxy` starts at the list of crates, while
/// `other::appproxy` is somebody else's.
fn starts_a_path(before: &[String]) -> bool {
    match before {
        [.., word, colons] if colons == "::" => {
            !is_word(word) || ["use", "in", "as", "return"].contains(&word.as_str())
        }
        _ => true,
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single characters, without blanks, comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest).or_else(|| character(rest)) {
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else if first.is_alphanumeric() || first == '_' {
            let word = rest.strip_prefix("r#").unwrap_or(rest);
            let length = word
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(word.len());
            tokens.push(word[..length].to_owned());
            rest.len() - word.len() + length
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the block comment that `text` starts with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        depth += step.0;
        at += step.1;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string literal that `text` starts with, its prefix included.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .find(|prefix| text.starts_with(prefix))?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inside = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let inside = body.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + 1 + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of the character literal or lifetime that `text` starts with.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text).strip_prefix('\'')?;
    let before = text.len() - body.len();
    let first = body.chars().next()?;
    if first == '\\' {
        let end = body.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(before + end + 1);
    }
    if body[first.len_utf8()..].starts_with('\'') {
        return Some(before + first.len_utf8() + 1);
    }
    let lifetime = body
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(body.len());
    Some(before + lifetime)
}

/// Every `.rs` file below a folder, by name.
fn sources(src: &Path) -> io::Result<Vec<Source>> {
    fn visit(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                visit(&path, found)?;
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut paths = Vec::new();
    visit(src, &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path)?;
            let below = path.strip_prefix(src).unwrap_or(&path);
            let path = below.to_string_lossy().replace('\\', "/");
            Ok(Source { path, text })
        })
        .collect()
}

/// A folder that stands for `src`, with these files.
fn tree(files: &[(&str, &str)]) -> io::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    for (path, text) in files {
        let path = dir.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(dir)
}
