//! Files that somebody has spoilt: each is refused with a reason and a place, or means what it says.
//!
//! Every case follows from its file and its number, which are told where one fails.

use std::fs;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use appproxy::auth::{Facts, Holds, ShownCertificate, explain_rules, would_allow};
use appproxy::clock::Timestamp;
use appproxy::config::{Change, ConnectorConfig, GatewayConfig};
use appproxy::http::canonical;
use appproxy::model::{Application, Finding, Guard, Host, Person, PersonKey, PreAuthentication};
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use crate::{files, lines, yaml};

/// How often each valid file is spoilt, and each invalid one, in its text and again in its tree.
const VALID_ROUNDS: u64 = 60;
const INVALID_ROUNDS: u64 = 8;
const SECRET_ROUNDS: u64 = 30;
const INCLUDED_ROUNDS: u64 = 300;

/// Far more than any of these texts takes, on a machine that has other work to do.
const LONGEST: Duration = Duration::from_secs(5);

/// A key that no reader has.
const NO_KEY: &str = "a_key_that_there_cannot_be";

/// What stands where somebody wrote a secret into the file.
const MARKER: &str = "correct-horse-battery";

/// Keys behind which a secret may stand that belongs elsewhere.
const SECRETS: &[&str] = &["store_key", "password", "client_secrets", "private_key_jwt"];

/// Keys of addresses, in which people write passwords before an `@`.
const ADDRESSES: &[&str] = &[
    "issuer",
    "store",
    "url",
    "external_url",
    "alternate_external_urls",
    "internal_url",
    "internal_urls",
    "host_header",
    "default_domain",
    "public",
];

/// What means something to YAML, to a terminal or to some server.
const PIECES: &str = "\
    \t¦\0¦\r¦\r\n¦\n¦\n\n¦\u{feff}¦\u{202e}¦\u{85}¦\u{2028}¦\u{7f}¦\u{e9}¦\u{1d518}¦: ¦:¦- ¦-¦? ¦# ¦\
    #¦[¦]¦{¦}¦,¦'¦\"¦|¦>-\n¦&a ¦*a¦!t ¦!!binary ¦%YAML 1.1\n¦---\n¦...\n¦<<: ¦${HOME}¦~¦@¦`¦\\¦\
    \\x00¦not: ¦any: [¦all: [¦[[[[[[[[¦{a: {a: {a: ¦  ";

const INDENTS: &[&str] = &[" ", "  ", "    ", "\t", " \t", "- ", "# ", "? "];

/// Values of every kind that may stand where another belongs.
const ODD: &str = "\
    ~¦null¦true¦false¦yes¦0¦-1¦1¦007¦0x1F¦1_000¦1.5e308¦.nan¦-.inf¦18446744073709551616¦\
    -99999999999999999999999999999999¦2026-02-30¦0s¦99999999999999999999d¦1/0¦101%¦*nobody¦&a x¦\
    !t x¦!!binary aGk=¦? x¦- x¦|¦>-¦[¦}¦'¦\"¦@x¦`x`¦%x¦a: b¦<<: *a¦${HOME}¦\u{feff}¦\u{202e}x¦\t¦\r¦\
    \0¦a\nb¦\u{1b}[31m¦\u{e9}\u{1d518}¦passthrough¦oidc¦anyone_signed_in¦*¦/¦/../x¦0.0.0.0/0¦::/0¦\
    [::]:0¦localhost:65536¦https://user:pw@x/¦https://*.*.example.com/¦http://[::1¦xn--¦\
    {upn|before(}¦";

/// Conditions as operators write them.
const CONDITIONS: &[&str] = &[
    "anyone_signed_in",
    "{ anyone_signed_in: true }",
    "{ anyone_signed_in: false }",
    "{ group: staff }",
    "{ group: staff, ip: [192.0.2.0/24], report_only: true }",
    "{ user: alice, provider: corp }",
    "{ email: alice@example.com }",
    "{ email_domain: example.com }",
    "{ claim: { name: department, value: sales } }",
    "{ acr: gold, max_age: 1h }",
    "{ scope: wiki.read }",
    "{ token: ci }",
    "{ ip: [192.0.2.0/24, '2001:db8::/32'] }",
    "{ country: [DE] }",
    "{ method: [GET] }",
    "{ path: /admin/ }",
    "{ time: { from: '22:00', to: '05:30', zone: UTC } }",
    "{ rule: office }",
];

/// A file that has all its applications from another one.
const INCLUDING: &str = "
version: 1
kind: gateway
listen: { https: ['127.0.0.1:443'], http: ['127.0.0.1:80'] }
store: sqlite:/nowhere/x.db
default_domain: apps.example.net
certificates: [ { chain: c.pem, key: k.pem } ]
sign_in: { url: 'https://login.example.com/' }
identity_providers: [ { name: corp, issuer: 'https://sso.example.com/', client_id: x } ]
access_rules:
  office: { ip: [192.0.2.0/24] }
  reads: { method: [GET, HEAD] }
  known: anyone_signed_in
  robots: { any: [ { token: ci }, { token: backup } ] }
include: part.yaml
";

/// Numbers that follow from a file and the number of a case alone (SplitMix64).
struct Dice(u64);

impl Dice {
    fn new(file: &Path, round: u64) -> Self {
        let name = file.to_str().unwrap().bytes();
        let name = name.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(name.wrapping_add(round << 32))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another one, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.roll() % end).unwrap()
    }

    /// One of the words of a table, between which a `¦` stands.
    #[expect(clippy::explicit_auto_deref, reason = "it lives as long as the table")]
    fn word(&mut self, table: &'static str) -> &'static str {
        let words: Vec<_> = table.split('¦').collect();
        *self.of(&words)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A file's values, so that they can be moved about; keys may be there twice.
#[derive(Debug, Clone)]
enum Tree {
    /// Written as it is, whatever YAML makes of it.
    Raw(String),
    /// Written in quotes.
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn one(key: &str, value: Tree) -> Tree {
    Tree::Map(vec![(key.to_owned(), value)])
}

impl Tree {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Raw("~".to_owned()),
            Value::Bool(yes) => Self::Raw(yes.to_string()),
            Value::Number(number) => Self::Raw(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(entries) => {
                let entries = entries.iter();
                Self::Map(entries.map(|(k, v)| (k.clone(), Self::of(v))).collect())
            }
        }
    }

    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::List(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            Self::Raw(_) | Self::Text(_) => Vec::new(),
        }
    }

    /// How many values there are, this one among them.
    fn size(&self) -> usize {
        1 + self.parts().into_iter().map(Self::size).sum::<usize>()
    }

    /// One of them by its number, this one being 0.
    fn at(&mut self, number: usize) -> &mut Self {
        if number == 0 {
            return self;
        }
        let parts: Vec<&mut Self> = match self {
            Self::List(items) => items.iter_mut().collect(),
            Self::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
            Self::Raw(_) | Self::Text(_) => Vec::new(),
        };
        let mut left = number - 1;
        for part in parts {
            let size = part.size();
            if left < size {
                return part.at(left);
            }
            left -= size;
        }
        panic!("there are not so many values: {number}")
    }

    fn has(&self, text: &str) -> bool {
        match self {
            Self::Raw(own) | Self::Text(own) => own.contains(text),
            other => other.parts().into_iter().any(|part| part.has(text)),
        }
    }

    /// The numbers of the values of these keys, and of the entries where such a value is a list.
    /// `number` is that of this one.
    fn places(&self, keys: &[&str], number: usize, found: &mut Vec<usize>) {
        let mut next = number + 1;
        if let Self::Map(entries) = self {
            for (key, value) in entries {
                if keys.contains(&key.as_str()) {
                    found.push(next);
                    if let Self::List(items) = value {
                        let mut item = next + 1;
                        for one in items {
                            found.push(item);
                            item += one.size();
                        }
                    }
                }
                next += value.size();
            }
            next = number + 1;
        }
        for part in self.parts() {
            part.places(keys, next, found);
            next += part.size();
        }
    }

    /// All values, and all keys with theirs.
    fn gather(&self, values: &mut Vec<Self>, entries: &mut Vec<(String, Self)>) {
        values.push(self.clone());
        if let Self::Map(own) = self {
            entries.extend(own.iter().cloned());
        }
        for part in self.parts() {
            part.gather(values, entries);
        }
    }

    /// As a text of YAML, in one style or another.
    fn written(&self, dice: &mut Dice) -> String {
        let mut text = String::new();
        self.write(0, dice, &mut text);
        text.push('\n');
        text
    }

    fn write(&self, depth: usize, dice: &mut Dice, text: &mut String) {
        let block = depth < 4 && dice.below(4) > 0;
        let indent = format!("\n{}", "  ".repeat(depth));
        match self {
            Self::List(items) if block && !items.is_empty() => {
                for item in items {
                    text.push_str(&indent);
                    text.push('-');
                    item.write(depth + 1, dice, text);
                }
            }
            Self::Map(entries) if block && !entries.is_empty() => {
                for (key, value) in entries {
                    text.push_str(&indent);
                    text.push_str(&key_text(key));
                    text.push(':');
                    value.write(depth + 1, dice, text);
                }
            }
            other => {
                text.push(' ');
                text.push_str(&other.flow());
            }
        }
    }

    fn flow(&self) -> String {
        match self {
            Self::Raw(text) => text.clone(),
            Self::Text(text) => serde_json::to_string(text).unwrap(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(entries) => {
                let entries = entries.iter();
                let entries: Vec<_> = entries
                    .map(|(key, value)| format!("{}: {}", key_text(key), value.flow()))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

fn key_text(key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match !key.is_empty() && key.bytes().all(plain) {
        true => key.to_owned(),
        false => serde_json::to_string(key).unwrap(),
    }
}

/// A file as it is before anything happens to it.
struct Source {
    file: PathBuf,
    octets: Vec<u8>,
    /// `None` where it is no YAML.
    tree: Option<Tree>,
    is_valid: bool,
}

impl Source {
    fn rounds(&self) -> u64 {
        match self.is_valid {
            true => VALID_ROUNDS,
            false => INVALID_ROUNDS,
        }
    }
}

/// All files, and what they have that may be moved into others.
struct Pool {
    sources: Vec<Source>,
    rows: Vec<Vec<u8>>,
    values: Vec<Tree>,
    entries: Vec<(String, Tree)>,
}

fn pool() -> Pool {
    let mut pool = Pool {
        sources: Vec::new(),
        rows: Vec::new(),
        values: Vec::new(),
        entries: Vec::new(),
    };
    for (folder, is_valid) in [
        ("testdata/config/valid", true),
        ("examples/first-application", true),
        ("testdata/config/invalid", false),
    ] {
        for file in files(folder, "yaml") {
            let octets = fs::read(&file).unwrap();
            let value = std::str::from_utf8(&octets).ok().and_then(yaml);
            let tree = value.as_ref().map(Tree::of);
            if let Some(tree) = &tree {
                tree.gather(&mut pool.values, &mut pool.entries);
            }
            pool.rows.extend(rows(&octets));
            pool.sources.push(Source {
                file,
                octets,
                tree,
                is_valid,
            });
        }
    }
    pool
}

fn rows(octets: &[u8]) -> Vec<Vec<u8>> {
    let rows = octets.split_inclusive(|octet| *octet == b'\n');
    rows.map(<[u8]>::to_vec).collect()
}

fn mangle_text(octets: &mut Vec<u8>, pool: &Pool, dice: &mut Dice) {
    let at = dice.below(octets.len() + 1);
    match dice.below(16) {
        0 => octets.truncate(at),
        1 => {
            if let Some(octet) = octets.get_mut(at) {
                *octet = dice.roll().to_le_bytes()[0] & 0x7f;
            }
        }
        2 => {
            if let Some(octet) = octets.get_mut(at) {
                *octet = dice.roll().to_le_bytes()[0];
            }
        }
        3 => {
            let end = octets.len().min(at + dice.below(40));
            octets.splice(at..end, []);
        }
        4 | 5 => {
            octets.splice(at..at, dice.word(PIECES).bytes());
        }
        6 => {
            let digit = octets[at..].iter().position(u8::is_ascii_digit);
            if let Some(start) = digit.map(|start| at + start) {
                let digits = octets[start..].iter().take_while(|o| o.is_ascii_digit());
                let end = start + digits.count();
                octets.splice(start..end, dice.word(ODD).bytes());
            }
        }
        7 => {
            let end: &[u8] = match dice.below(2) {
                0 => b"\r\n",
                _ => b"\r",
            };
            let rows: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
            let joined = rows.join(end);
            *octets = joined;
        }
        8 => {
            // The beginning of one file and the end of another.
            let other = &dice.of(&pool.sources).octets;
            let from = dice.below(other.len() + 1);
            octets.truncate(at);
            octets.extend_from_slice(&other[from..]);
        }
        9 => {
            octets.splice(0..0, "\u{feff}".bytes());
        }
        _ => mangle_rows(octets, pool, dice),
    }
}

fn mangle_rows(octets: &mut Vec<u8>, pool: &Pool, dice: &mut Dice) {
    let mut rows = rows(octets);
    if rows.is_empty() {
        return;
    }
    let (row, other) = (dice.below(rows.len()), dice.below(rows.len()));
    match dice.below(8) {
        0 => drop(rows.remove(row)),
        1 => {
            let twin = rows[other].clone();
            rows.insert(row, twin);
        }
        2 => rows.swap(row, other),
        3 => rows.insert(row, dice.of(&pool.rows).clone()),
        4 => rows[row] = dice.of(&pool.rows).clone(),
        5 => {
            rows[row].splice(0..0, dice.of(INDENTS).bytes());
        }
        6 => {
            let blanks = rows[row].iter().take_while(|octet| **octet == b' ');
            let fewer = dice.below(blanks.count() + 1);
            rows[row].splice(0..fewer, []);
        }
        _ => {
            let twin = rows[row].clone();
            let times: usize = *dice.of(&[2, 40, 400]);
            rows.splice(row..row, std::iter::repeat_n(twin, times));
        }
    }
    *octets = rows.concat();
}

/// Does something to one value. With `MARKER` in the file, whatever it is in stays where it is, and
/// nothing comes in that could make it a part of something else.
fn mangle_tree(tree: &mut Tree, pool: &Pool, dice: &mut Dice, has_marker: bool) {
    let number = dice.below(tree.size());
    let chosen = tree.at(number);
    if has_marker && chosen.has(MARKER) {
        return;
    }
    match dice.below(13) {
        0 | 1 => *chosen = dice.of(&pool.values).clone(),
        2 | 3 if has_marker => *chosen = nested(dice),
        2 | 3 => *chosen = odd(dice),
        4 => *chosen = conditions(dice),
        5 => {
            let inner = std::mem::replace(chosen, Tree::List(Vec::new()));
            *chosen = match dice.below(5) {
                0 => Tree::List(vec![inner]),
                1 => one("not", inner),
                2 => one("any", Tree::List(vec![inner])),
                3 => one("all", Tree::List(vec![inner])),
                _ => one(&dice.of(&pool.entries).0, inner),
            };
        }
        6 => {
            let first = chosen.parts().first().map(|first| Tree::clone(first));
            *chosen = first.unwrap_or_else(|| Tree::Raw("~".to_owned()));
        }
        _ => mangle_parts(chosen, pool, dice),
    }
}

/// Does something to what stands in a list or behind keys.
fn mangle_parts(tree: &mut Tree, pool: &Pool, dice: &mut Dice) {
    match tree {
        Tree::List(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(4) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.rotate_left(at),
                _ => items.insert(at, dice.of(&pool.values).clone()),
            }
        }
        Tree::Map(entries) if !entries.is_empty() => {
            let at = dice.below(entries.len());
            match dice.below(6) {
                0 => drop(entries.remove(at)),
                1 => entries.push(entries[at].clone()),
                2 => entries.rotate_left(at),
                3 => entries[at].0.clone_from(&dice.of(&pool.entries).0),
                4 => entries[at].0 = dice.word(ODD).to_owned(),
                _ => entries.insert(at, dice.of(&pool.entries).clone()),
            }
        }
        other => *other = dice.of(&pool.values).clone(),
    }
}

fn odd(dice: &mut Dice) -> Tree {
    match dice.below(8) {
        0..=2 => Tree::Raw(dice.word(ODD).to_owned()),
        3 | 4 => Tree::Text(dice.word(ODD).to_owned()),
        5 => {
            let times: usize = *dice.of(&[60, 300, 20_000]);
            Tree::Text("long".repeat(times))
        }
        6 => nested(dice),
        _ => {
            let count: usize = *dice.of(&[0, 1, 3, 400]);
            Tree::List((0..count).map(|n| Tree::Raw(n.to_string())).collect())
        }
    }
}

fn condition(dice: &mut Dice) -> Tree {
    Tree::of(&yaml(dice.of::<&str>(CONDITIONS)).unwrap())
}

/// Something inside something, beyond what any reader goes down to.
fn nested(dice: &mut Dice) -> Tree {
    let mut tree = condition(dice);
    let depth: usize = *dice.of(&[2, 8, 15, 31, 33, 40]);
    for _ in 0..depth {
        tree = match dice.below(5) {
            0 => Tree::List(vec![tree]),
            1 => one("not", tree),
            2 => one("any", Tree::List(vec![tree])),
            3 => one("all", Tree::List(vec![tree])),
            _ => one("a", tree),
        };
    }
    tree
}

/// A condition of conditions, about as deep as they may be.
fn conditions(dice: &mut Dice) -> Tree {
    let mut tree = condition(dice);
    for _ in 0..dice.below(11) {
        tree = match dice.below(3) {
            0 => one("not", tree),
            1 => one("any", Tree::List(vec![condition(dice), tree])),
            _ => one("all", Tree::List(vec![condition(dice), tree])),
        };
    }
    tree
}

/// What came of the cases.
#[derive(Debug, Default)]
struct Tally {
    read: u64,
    accepted: u64,
    refused: u64,
}

enum Read {
    Gateway(Box<GatewayConfig>),
    Connector(Box<ConnectorConfig>),
}

fn is_connector(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.starts_with("connector")
}

fn read(file: &Path, text: &str) -> Result<Read, Vec<Finding>> {
    match is_connector(file) {
        true => ConnectorConfig::from_text(file, text).map(|c| Read::Connector(Box::new(c))),
        false => GatewayConfig::from_text(file, text).map(|c| Read::Gateway(Box::new(c))),
    }
}

/// Puts a text to the reader of its file, and looks at what it says. Empty where it is accepted.
fn put(file: &Path, text: &str, case: &str, tally: &mut Tally) -> Vec<Finding> {
    let began = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| read(file, text)));
    let took = began.elapsed();
    let Ok(read) = read else {
        panic!("{case}: the reader panics\n{text:?}");
    };
    assert!(took < LONGEST, "{case}: it took {took:?}\n{text:?}");
    tally.read += 1;
    match read {
        Ok(read) => {
            tally.accepted += 1;
            check_accepted(file, text, &read, case);
            Vec::new()
        }
        Err(found) => {
            tally.refused += 1;
            check_refused(file, text, &found, case);
            found
        }
    }
}

fn check_refused(file: &Path, text: &str, found: &[Finding], case: &str) {
    assert!(
        !found.is_empty(),
        "{case}: refused without a word\n{text:?}"
    );
    for finding in found {
        let Finding {
            code, what, remedy, ..
        } = finding;
        let said = [*code, what.as_str(), remedy.as_str()];
        let is_said = said.iter().all(|part| !part.trim().is_empty());
        assert!(is_said, "{case}: {finding:?}\n{text:?}");
        let Some(place) = &finding.place else {
            panic!("{case}: it is nowhere: {finding:?}\n{text:?}");
        };
        let drives = |part: &str| part.contains(char::is_control);
        let is_plain = !drives(what) && !drives(remedy) && !drives(&place.key);
        assert!(is_plain, "{case}: {finding:?}\n{text:?}");
        let last = match place.file == file {
            true => line_count(text),
            // An included file; where it cannot be read, all of it is meant.
            false => {
                let octets = fs::read(&place.file).unwrap_or_default();
                line_count(&String::from_utf8_lossy(&octets))
            }
        };
        assert!(place.line <= last, "{case}: {finding:?}\n{text:?}");
    }
}

/// The number of the last line; behind a line break one more begins.
fn line_count(text: &str) -> u64 {
    let text = text.replace("\r\n", "\n");
    1 + u64::try_from(text.matches(['\n', '\r']).count()).unwrap()
}

fn check_accepted(file: &Path, text: &str, accepted: &Read, case: &str) {
    let Ok(again) = read(file, text) else {
        panic!("{case}: accepted, and then not\n{text:?}");
    };
    match (accepted, &again) {
        (Read::Gateway(config), Read::Gateway(again)) => {
            assert!(
                config.applications == again.applications,
                "{case}: other applications where it is read again\n{text:?}"
            );
            let changes = Change::between(config, again);
            assert!(changes.is_empty(), "{case}: {changes:?}\n{text:?}");
            for application in &config.applications {
                let is_closed = application.guards().all(is_closed);
                assert!(is_closed, "{case}: {:?}\n{text:?}", application.name);
            }
            if let Some(value) = yaml(text) {
                let written = value["applications"].as_array();
                let written = written.map(Vec::as_slice).unwrap_or_default();
                check_meaning(written, &config.applications, case);
            }
        }
        (Read::Connector(config), Read::Connector(again)) => {
            assert_eq!(format!("{config:?}"), format!("{again:?}"), "{case}");
        }
        _ => panic!("{case}: whose file is it?"),
    }
    // Nothing ends the file before its end.
    let longer = format!("{text}\n{NO_KEY}: 1\n");
    let is_read = read(file, &longer).is_ok();
    assert!(!is_read, "{case}: its end is not read\n{text:?}");
}

/// Whether nothing opens by omission: `passthrough` stands alone, and where it does not a line says who.
fn is_closed(guard: &Guard) -> bool {
    let methods = &guard.pre_authentication;
    let allow = &guard.access.allow;
    let says_who = allow.iter().any(|rule| !rule.report_only);
    match guard.has(PreAuthentication::Passthrough) {
        true => methods.len() == 1 && (allow.is_empty() || says_who),
        false => !methods.is_empty() && says_who,
    }
}

/// Whether applications have the names, the methods, and as many rules as another reader of YAML finds.
fn check_meaning(written: &[Value], applications: &[Arc<Application>], case: &str) {
    assert!(written.len() <= applications.len(), "{case}");
    for (written, application) in written.iter().zip(applications) {
        if let Some(name) = written["name"].as_str() {
            assert_eq!(name, application.name.as_str(), "{case}");
        }
        check_methods(written, &application.guard, case);
        for (list, rules) in [
            ("allow", &application.guard.access.allow),
            ("deny", &application.guard.access.deny),
        ] {
            let lines = written["access"][list].as_array();
            let lines = lines.map(Vec::as_slice).unwrap_or_default();
            let reports = lines.iter().filter(|line| line["report_only"] == true);
            let reporting = rules.iter().filter(|rule| rule.report_only);
            assert_eq!(
                (lines.len(), reports.count()),
                (rules.len(), reporting.count()),
                "{case}: `{list}` of {}",
                application.name
            );
        }
        let below = application.paths.all();
        let paths = written["paths"].as_array();
        let paths = paths.map(Vec::as_slice).unwrap_or_default();
        assert_eq!(paths.len(), below.len(), "{case}");
        for entry in paths {
            let Some(path) = entry["path"].as_str() else {
                continue;
            };
            let path = path.strip_suffix('/').unwrap_or(path);
            let own = below.iter().find(|one| one.path.as_str() == path);
            check_methods(entry, &own.unwrap().guard, case);
        }
    }
}

fn check_methods(written: &Value, guard: &Guard, case: &str) {
    let listed = written["pre_authentication"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|one| one.as_str().unwrap()).collect();
    let methods = guard.pre_authentication.iter();
    let methods: Vec<_> = methods.map(ToString::to_string).collect();
    assert_eq!(methods, listed, "{case}");
}

#[test]
fn a_spoilt_text_is_refused_with_a_reason_or_means_what_it_says() {
    let pool = pool();
    let folder = tempfile::tempdir().unwrap();
    let mut tally = Tally::default();
    let mut expected = 0;
    for source in &pool.sources {
        for round in 0..source.rounds() {
            expected += 1;
            let case = format!("text {round} of {}", source.file.display());
            let mut dice = Dice::new(&source.file, round);
            let mut octets = source.octets.clone();
            for _ in 0..=dice.below(3) {
                mangle_text(&mut octets, &pool, &mut dice);
            }
            match String::from_utf8(octets) {
                Ok(text) => drop(put(&source.file, &text, &case, &mut tally)),
                Err(error) => {
                    let octets = error.as_bytes();
                    let file = folder.path().join(source.file.file_name().unwrap());
                    fs::write(&file, octets).unwrap();
                    let found = match is_connector(&file) {
                        true => ConnectorConfig::load(&file).map(drop),
                        false => GatewayConfig::load(&file).map(drop),
                    };
                    let found = found.unwrap_err();
                    assert_eq!(found[0].code, "not_utf8", "{case}");
                    check_refused(&file, &String::from_utf8_lossy(octets), &found, &case);
                    tally.read += 1;
                    tally.refused += 1;
                }
            }
        }
    }
    assert_eq!(tally.read, expected, "{tally:?}");
    assert!(tally.read >= 2_500, "{tally:?}");
    // Neither is all there is.
    assert!(tally.accepted >= 50 && tally.refused >= 1_000, "{tally:?}");
}

#[test]
fn spoilt_values_are_refused_with_a_reason_or_mean_what_they_say() {
    let pool = pool();
    let mut tally = Tally::default();
    let mut expected = 0;
    for source in &pool.sources {
        let Some(tree) = &source.tree else {
            continue;
        };
        for round in 0..source.rounds() {
            expected += 1;
            let case = format!("tree {round} of {}", source.file.display());
            let mut dice = Dice::new(&source.file, round);
            let mut tree = tree.clone();
            // The first one is as it was, so that a refusal is for what has been done.
            if round > 0 {
                for _ in 0..=dice.below(3) {
                    mangle_tree(&mut tree, &pool, &mut dice, false);
                }
            }
            let text = tree.written(&mut dice);
            let found = put(&source.file, &text, &case, &mut tally);
            if round == 0 && source.is_valid {
                assert!(found.is_empty(), "{case}: {}\n{text}", lines(&found));
            }
        }
    }
    assert_eq!(tally.read, expected, "{tally:?}");
    assert!(tally.read >= 2_200, "{tally:?}");
    assert!(tally.accepted >= 50 && tally.refused >= 1_000, "{tally:?}");
}

#[test]
fn spoilt_files_that_are_included_are_refused_with_a_reason_or_mean_what_they_say() {
    let pool = pool();
    let folder = tempfile::tempdir().unwrap();
    let (main, part) = (
        folder.path().join("gateway.yaml"),
        folder.path().join("part.yaml"),
    );
    let valid = pool.sources.iter().filter(|source| source.is_valid);
    let roots = valid.filter_map(|source| match &source.tree {
        Some(Tree::Map(entries)) => Some(entries),
        _ => None,
    });
    let applications = roots
        .flatten()
        .filter(|(key, _)| key == "applications")
        .flat_map(|(_, value)| value.parts());
    let applications: Vec<&Tree> = applications.collect();
    let mut tally = Tally::default();
    for round in 0..INCLUDED_ROUNDS {
        let mut dice = Dice::new(Path::new("part.yaml"), round);
        let count = 1 + dice.below(3);
        let items = (0..count).map(|_| Tree::clone(dice.of::<&Tree>(&applications)));
        let mut tree = Tree::List(items.collect());
        let (values, text) =
            [(false, false), (true, false), (false, true), (true, true)][dice.below(4)];
        if values {
            mangle_tree(&mut tree, &pool, &mut dice, false);
        }
        let mut octets = tree.written(&mut dice).into_bytes();
        if text {
            mangle_text(&mut octets, &pool, &mut dice);
        }
        fs::write(&part, &octets).unwrap();
        let text = String::from_utf8_lossy(&octets);
        let case = format!("included {round}: {text:?}");
        let found = put(&main, INCLUDING, &case, &mut tally);
        if found.is_empty()
            && let Some(Value::Array(written)) = yaml(&text)
        {
            let config = GatewayConfig::from_text(&main, INCLUDING).unwrap();
            assert_eq!(written.len(), config.applications.len(), "{case}");
            check_meaning(&written, &config.applications, &case);
        }
    }
    assert_eq!(tally.read, INCLUDED_ROUNDS, "{tally:?}");
    assert!(tally.accepted >= 10 && tally.refused >= 50, "{tally:?}");
}

/// A secret as somebody might write it where only its place belongs.
fn hidden(dice: &mut Dice) -> Tree {
    let text = |text: &str| Tree::Text(text.to_owned());
    let marker = || text(MARKER);
    match dice.below(14) {
        0 => marker(),
        1 => Tree::Raw(MARKER.to_owned()),
        2 => Tree::List(vec![marker()]),
        3 => Tree::List(vec![Tree::List(vec![marker()])]),
        // No name of a variable, nor of a credential, nor a path.
        4 => one("env", text(&format!("{MARKER}!"))),
        5 => one("credential", text(&format!("../{MARKER}"))),
        6 => one("file", text(&format!("{MARKER}\n"))),
        7 => Tree::Map(vec![
            ("file".to_owned(), marker()),
            ("env".to_owned(), marker()),
        ]),
        8 => one("value", marker()),
        9 => one("env", one("value", marker())),
        10 => Tree::Raw(format!("!secret {MARKER}")),
        11 => Tree::Raw(format!("&s {MARKER}")),
        12 => text(&format!("${{{MARKER}}}")),
        // Never closed.
        _ => Tree::Raw(format!("'{MARKER}")),
    }
}

/// An address with a password in it, good or bad otherwise.
fn address(dice: &mut Dice) -> Tree {
    let forms = [
        "https://user:MARKER@host.example/",
        "https://user:MARKER@host.example/path",
        "https://user:MARKER@ho st/",
        "http://MARKER@[::1",
        "postgres://user:MARKER@db.example/x",
        "user:MARKER@host.example:443",
        "socks9://user:MARKER@proxy.example:1",
    ];
    Tree::Text(dice.of(&forms).replace("MARKER", MARKER))
}

#[test]
fn a_secret_in_a_spoilt_file_is_never_repeated() {
    let pool = pool();
    let mut tally = Tally::default();
    let valid = pool.sources.iter().filter(|source| source.is_valid);
    for source in valid {
        for round in 0..SECRET_ROUNDS {
            let case = format!("secret {round} of {}", source.file.display());
            let mut dice = Dice::new(&source.file, round);
            let mut tree = source.tree.clone().unwrap();
            let (keys, secret) = match dice.below(3) {
                0 => (ADDRESSES, address(&mut dice)),
                _ => (SECRETS, hidden(&mut dice)),
            };
            let mut places = Vec::new();
            tree.places(keys, 0, &mut places);
            if !places.is_empty() {
                *tree.at(*dice.of(&places)) = secret;
            } else if let (Tree::Map(entries), false) = (&mut tree, is_connector(&source.file)) {
                entries.push(("store_key".to_owned(), secret));
            } else {
                continue;
            }
            for _ in 0..dice.below(4) {
                mangle_tree(&mut tree, &pool, &mut dice, true);
            }
            let text = tree.written(&mut dice);
            let found = put(&source.file, &text, &case, &mut tally);
            let said = lines(&found);
            assert!(!found.is_empty(), "{case}: accepted\n{text}");
            assert!(!said.contains(MARKER), "{case}: {said}\n{text}");
        }
    }
    assert!(tally.read >= 500, "{tally:?}");
}

/// A condition, and what it means by the documents alone.
#[derive(Debug, Clone)]
enum Says {
    Anyone,
    User(&'static str),
    Group(&'static str),
    Provider,
    Ip(&'static str),
    Method(&'static str),
    Path(&'static str),
    /// Side by side.
    GroupAt(&'static str, &'static str),
    Office,
    Insiders,
    All(Vec<Says>),
    Any(Vec<Says>),
    Not(Box<Says>),
}

/// A line of `allow` or `deny`, and whether it only reports.
type Line = (Says, bool);

impl Says {
    fn text(&self) -> String {
        let several = |parts: &[Self]| {
            let parts = parts.iter().map(|part| format!("{{ {} }}", part.text()));
            // Once each, as the reader wants it.
            let mut texts: Vec<String> = Vec::new();
            for part in parts {
                if !texts.contains(&part) {
                    texts.push(part);
                }
            }
            texts.join(", ")
        };
        match self {
            Self::Anyone => "anyone_signed_in: true".to_owned(),
            Self::User(name) => format!("user: {name}"),
            Self::Group(name) => format!("group: {name}"),
            Self::Provider => "provider: corp".to_owned(),
            Self::Ip(network) => format!("ip: [{network}]"),
            Self::Method(method) => format!("method: [{method}]"),
            Self::Path(path) => format!("path: {path}"),
            Self::GroupAt(name, network) => format!("group: {name}, ip: [{network}]"),
            Self::Office => "rule: office".to_owned(),
            Self::Insiders => "rule: insiders".to_owned(),
            Self::All(parts) => format!("all: [ {} ]", several(parts)),
            Self::Any(parts) => format!("any: [ {} ]", several(parts)),
            Self::Not(part) => format!("not: {{ {} }}", part.text()),
        }
    }

    /// Whether it is so; `None` where it cannot be told of nobody.
    fn is_so(&self, asked: &Asked) -> Option<bool> {
        let of_person = |is: &dyn Fn(&str) -> bool| asked.who.map(is);
        match self {
            Self::Anyone => Some(asked.who.is_some()),
            Self::User(name) => of_person(&|who| who == *name),
            Self::Group(name) => of_person(&|who| groups(who).contains(name)),
            Self::Provider => of_person(&|_| true),
            Self::Ip(network) => Some(network.split_once(".0/24").unwrap().0 == asked.network()),
            Self::Method(method) => Some(*method == asked.method),
            Self::Path(path) => {
                let rest = asked.path.strip_prefix(*path);
                Some(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
            }
            &Self::GroupAt(name, network) => all([
                Self::Group(name).is_so(asked),
                Self::Ip(network).is_so(asked),
            ]),
            Self::Office => Self::Ip("192.0.2.0/24").is_so(asked),
            Self::Insiders => any([
                Self::Group("staff").is_so(asked),
                Self::User("bob").is_so(asked),
            ]),
            Self::All(parts) => all(parts.iter().map(|part| part.is_so(asked))),
            Self::Any(parts) => any(parts.iter().map(|part| part.is_so(asked))),
            Self::Not(part) => part.is_so(asked).map(|is| !is),
        }
    }
}

/// All of them; where none is not so and one cannot be told, neither can this.
#[expect(
    clippy::manual_try_fold,
    reason = "one that is not so counts also behind one that cannot be told"
)]
fn all(parts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let parts = parts.into_iter();
    parts.fold(Some(true), |all, part| match (all, part) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    })
}

fn any(parts: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let turned = parts.into_iter().map(|part| part.map(|is| !is));
    all(turned).map(|is| !is)
}

/// Who asks for what, and from where.
#[derive(Debug)]
struct Asked {
    who: Option<&'static str>,
    client: &'static str,
    method: &'static str,
    path: &'static str,
}

impl Asked {
    fn network(&self) -> &str {
        self.client.rsplit_once('.').unwrap().0
    }
}

/// Sorted, as a person has them.
fn groups(who: &str) -> &'static [&'static str] {
    match who {
        "alice" => &["admins", "staff"],
        _ => &["guests"],
    }
}

fn person(who: &str) -> Person {
    let groups = groups(who).iter().map(|group| Arc::<str>::from(*group));
    Person {
        key: PersonKey {
            authority: "https://sso.example.com/".into(),
            subject: who.into(),
        },
        provider: "corp".into(),
        name: None,
        email: None,
        groups: groups.collect(),
        claims: serde_json::Map::new(),
    }
}

fn says() -> impl Strategy<Value = Says> {
    let of = |all: &[&'static str]| prop::sample::select(all.to_vec());
    let named = || of(&["admins", "staff", "guests", "nobody"]);
    let network = || of(&["192.0.2.0/24", "203.0.113.0/24"]);
    let leaf = prop_oneof![
        Just(Says::Anyone),
        of(&["alice", "bob"]).prop_map(Says::User),
        named().prop_map(Says::Group),
        Just(Says::Provider),
        network().prop_map(Says::Ip),
        of(&["GET", "POST"]).prop_map(Says::Method),
        of(&["/admin", "/admin/users", "/public"]).prop_map(Says::Path),
        (named(), network()).prop_map(|(group, network)| Says::GroupAt(group, network)),
        Just(Says::Office),
        Just(Says::Insiders),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            several().prop_map(Says::All),
            several().prop_map(Says::Any),
            inner.clone().prop_map(|part| Says::Not(Box::new(part))),
        ]
    })
}

fn more_lines() -> impl Strategy<Value = Vec<Line>> {
    let only = prop::bool::weighted(0.2);
    prop::collection::vec((says(), only), 0..4)
}

fn asked() -> impl Strategy<Value = Asked> {
    let who = prop_oneof![Just(Some("alice")), Just(Some("bob")), Just(None)];
    let client = prop::sample::select(vec!["192.0.2.7", "203.0.113.9", "198.51.100.1"]);
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    let path = prop::sample::select(vec![
        "/",
        "/admin",
        "/admin/users/1",
        "/administrator",
        "/public/",
    ]);
    (who, client, method, path).prop_map(|(who, client, method, path)| Asked {
        who,
        client,
        method,
        path,
    })
}

fn line_text((says, report_only): &Line) -> String {
    match report_only {
        true => format!("{{ {}, report_only: true }}", says.text()),
        false => format!("{{ {} }}", says.text()),
    }
}

/// Each once, as the reader wants it.
fn distinct(lines: impl IntoIterator<Item = Line>) -> Vec<Line> {
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        let text = line_text(&line);
        if !kept.iter().any(|other| line_text(other) == text) {
            kept.push(line);
        }
    }
    kept
}

/// An application with these rules, as it is read from a file; `None` where two lines come to the same
/// in other words, which is refused.
fn application(allow: &[Line], deny: &[Line]) -> Option<Arc<Application>> {
    let list = |key: &str, lines: &[Line]| {
        let lines: Vec<_> = lines.iter().map(line_text).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!("      {key}: [ {} ]\n", lines.join(", ")),
        }
    };
    let text = format!(
        "version: 1\nkind: gateway\nlisten: {{ https: ['127.0.0.1:443'] }}\nstore: sqlite:/nowhere/x.db\n\
         certificates: [ {{ chain: c.pem, key: k.pem }} ]\nsign_in: {{ url: 'https://login.example.com/' }}\n\
         identity_providers: [ {{ name: corp, issuer: 'https://sso.example.com/', client_id: x }} ]\n\
         access_rules:\n  office: {{ ip: [192.0.2.0/24] }}\n  \
         insiders: {{ any: [ {{ group: staff }}, {{ user: bob }} ] }}\n\
         applications:\n  - name: wiki\n    external_url: https://wiki.example.com/\n    \
         internal_url: http://wiki.corp/\n    pre_authentication: [oidc]\n    access:\n{}{}",
        list("allow", allow),
        list("deny", deny),
    );
    match GatewayConfig::from_text(Path::new("/nowhere/gateway.yaml"), &text) {
        Ok(config) => Some(Arc::clone(&config.applications[0])),
        Err(found) => {
            let is_twin = found.iter().all(|one| one.code == "duplicate_value");
            assert!(is_twin, "{}\n{text}", lines(&found));
            None
        }
    }
}

/// What an application's rules say: whether they let it in, and what each line comes to, `deny` first.
fn judged(application: &Application, asked: &Asked) -> (bool, Vec<Option<bool>>) {
    let fields = HeaderMap::new();
    let host = Host::parse("wiki.example.com").unwrap();
    let method: Method = asked.method.parse().unwrap();
    let client: IpAddr = asked.client.parse().unwrap();
    let facts = Facts {
        certificate: &ShownCertificate::None,
        client,
        method: &method,
        is_websocket: false,
        path: canonical(asked.path, true).unwrap(),
        query: None,
        now: Timestamp(1_800_000_000),
        fields: &fields,
        external: &application.external,
        host: &host,
    };
    let who = asked.who.map(person);
    let traced = explain_rules(&application.guard, who.as_ref(), &facts);
    let traced = traced.iter().filter(|line| line.depth == 0);
    let holds = traced.map(|line| match line.holds {
        Holds::Yes => Some(true),
        Holds::No => Some(false),
        Holds::Unknown => None,
    });
    let is_in = would_allow(&application.guard, who.as_ref(), &facts).is_ok();
    (is_in, holds.collect())
}

proptest! {
    #[test]
    fn generated_rules_mean_what_they_say(
        first in says(), allow in more_lines(), deny in more_lines(), further in says(), asked in asked(),
    ) {
        // One line decides: where all only report nobody is let in, which is refused.
        let allow = distinct(std::iter::once((first, false)).chain(allow));
        let deny = distinct(deny);
        let Some(read) = application(&allow, &deny) else {
            return Ok(());
        };
        let is_so = |(says, _): &Line| says.is_so(&asked);
        let expected: Vec<_> = deny.iter().chain(&allow).map(is_so).collect();
        let (is_in, traced) = judged(&read, &asked);
        prop_assert_eq!(&traced, &expected);
        // What `deny` names stays out, and so does what it cannot tell.
        let decides = |lines: &[Line]| {
            let lines = lines.iter().filter(|(_, report_only)| !report_only);
            lines.map(is_so).collect::<Vec<_>>()
        };
        let is_denied = decides(&deny).iter().any(|is| *is != Some(false));
        let is_allowed = decides(&allow).contains(&Some(true));
        prop_assert_eq!(is_in, !is_denied && is_allowed);
        // A further line of `deny` opens nothing, and closes what it names.
        let closes = further.is_so(&asked) != Some(false);
        let more = distinct(deny.into_iter().chain([(further, false)]));
        if let Some(read) = application(&allow, &more) {
            prop_assert_eq!(judged(&read, &asked).0, is_in && !closes);
        }
    }
}
