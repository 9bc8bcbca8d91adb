//! Links in pages of others, as a gateway translates them: a few that are kept here, and with
//! `make differential` thousands of Debian's, whose outcome `tests/differential` compares with that of
//! other parsers.

use std::env;
use std::fs;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use appproxy::config::GatewayConfig;
use appproxy::model::{Application, Host};
use appproxy::translate::body::{
    Asked, Decision, MediaType, Plan, Step, Text, Translating, Verdict, judge,
};
use appproxy::translate::{Inline, Rewriting, Table, View};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

/// A page, and how it is published.
struct Page<'a> {
    name: &'a str,
    view: View,
    text: &'a [u8],
    /// Of the lengths of its chunks.
    seed: u32,
}

/// What became of it.
#[derive(PartialEq, Eq)]
struct Outcome {
    text: Vec<u8>,
    links: u64,
    decision: String,
}

impl Page<'_> {
    /// The outcome, which is the same whole, in chunks, and packed.
    fn translated(&self) -> Outcome {
        let whole = self.read(std::iter::once(self.text), None);
        let in_chunks = self.read(chunks(self.text, self.seed), None);
        assert!(whole == in_chunks, "{} in chunks", self.name);
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(self.text).unwrap();
        let packed = packer.finish().unwrap();
        let mut unpacked = self.read(chunks(&packed, self.seed), Some("gzip"));
        let packed = std::mem::take(&mut unpacked.text);
        let mut unpacker = GzDecoder::new(&packed[..]);
        unpacker.read_to_end(&mut unpacked.text).unwrap();
        assert!(whole == unpacked, "{} packed", self.name);
        whole
    }

    /// As `gateway/translated.rs` does it, with an answer that says nothing of its encoding.
    fn read<'c>(
        &self,
        chunks: impl Iterator<Item = &'c [u8]>,
        coding: Option<&'static str>,
    ) -> Outcome {
        let plan = self.plan(coding);
        let rewriting = Rewriting {
            view: self.view.clone(),
            report: None,
            inline: Inline::default(),
            keeps_data: false,
        };
        let maker = move |text: Text| rewriting.rewriter(plan.kind, text);
        let mut translating = Translating::new(plan, Box::new(maker));
        let (mut text, mut piece) = (Vec::new(), Vec::new());
        for mut chunk in chunks {
            loop {
                let step = translating.step(&mut chunk, &mut piece, false).unwrap();
                text.append(&mut piece);
                if step == Step::Done {
                    break;
                }
            }
        }
        translating.end(&mut text).unwrap();
        Outcome {
            text,
            links: translating.counts().links,
            decision: match (translating.decision(), translating.counts().skip) {
                (Some(Decision::Translated), None) => "translated".to_owned(),
                (decision, skip) => format!("{decision:?} {skip:?}"),
            },
        }
    }

    fn plan(&self, coding: Option<&'static str>) -> Plan {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        if let Some(coding) = coding {
            fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        let wants = |media_type: &MediaType| {
            assert!(self.view.settings().body.contains(&media_type.kind));
            Ok(())
        };
        let asked = Asked::default();
        match judge(&Method::GET, StatusCode::OK, &fields, &wants, &asked) {
            Verdict::Translate(plan) => plan,
            verdict => panic!("{verdict:?}"),
        }
    }
}

/// Pieces whose lengths nobody chose: some of a few octets, some of thousands.
fn chunks(octets: &[u8], seed: u32) -> impl Iterator<Item = &[u8]> {
    let mut state = seed;
    let mut rest = octets;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let longest = [7, 300, 3000, 30_000][state as usize >> 30];
        let length = 1 + (state >> 8) as usize % longest;
        let (chunk, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The applications of a page, as a configuration has them; the first one answers.
fn view(entry: &Value) -> View {
    let of = |application: &Value| {
        json!({
            "name": application["name"],
            "external_url": application["external"],
            "internal_url": application["internal"],
            "pre_authentication": ["passthrough"],
            "link_translation": { "body": ["html", "css"] },
        })
    };
    let applications = entry["applications"].as_array().unwrap();
    let config = json!({
        "version": 1,
        "kind": "gateway",
        "listen": { "https": ["127.0.0.1:443"], "public": ["gateway.example:443"] },
        "store": "sqlite:/nowhere/gateway.db",
        "certificates": [{ "chain": "c.pem", "key": "k.pem" }],
        "applications": applications.iter().map(of).collect::<Vec<_>>(),
    });
    // JSON is YAML.
    let config = GatewayConfig::from_text(Path::new("/nowhere/gateway.yaml"), &config.to_string());
    let published: Vec<Arc<Application>> = config.unwrap().applications;
    let name = string(&applications[0], "name");
    let answers = published.iter().find(|one| one.name.as_str() == name);
    let answers = answers.unwrap();
    let host = Host::parse(string(entry, "host")).unwrap();
    let captured = answers.external.host.matches(&host).unwrap();
    let table = Arc::new(Table::new(&published));
    View::new(&table, answers, captured.as_ref(), &host)
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}"))
}

/// The pages of a folder's list, and what became of each.
fn translated(folder: &Path) -> Vec<(Value, Outcome)> {
    let list = fs::read_to_string(folder.join("list.json")).unwrap();
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    let outcome = |entry: Value| {
        let name = string(&entry, "page");
        let text = fs::read(folder.join(name)).unwrap();
        let page = Page {
            name,
            view: view(&entry),
            text: &text,
            seed: u32::try_from(entry["seed"].as_u64().unwrap()).unwrap(),
        };
        let outcome = page.translated();
        (entry, outcome)
    };
    list.into_iter().map(outcome).collect()
}

#[test]
fn pages_that_are_kept_here_come_out_as_expected() {
    let folder = Path::new("testdata/translate/pages");
    let outcomes = translated(folder);
    for (entry, outcome) in &outcomes {
        let page = string(entry, "page");
        let expected = fs::read(folder.join(string(entry, "out"))).unwrap();
        assert_eq!(outcome.decision, "translated", "{page}");
        assert_eq!(
            String::from_utf8_lossy(&outcome.text),
            String::from_utf8_lossy(&expected),
            "{page}"
        );
        assert_eq!(entry["links"], outcome.links, "{page}");
    }
    assert_eq!(outcomes.len(), 5);
}

#[test]
#[ignore = "`make differential` collects the pages and looks at what became of them"]
fn pages_of_a_folder_are_translated() {
    let folder = env::var("DIFFERENTIAL").unwrap();
    let folder = Path::new(&folder);
    let mut outcomes = Vec::new();
    for (entry, outcome) in translated(folder) {
        fs::write(folder.join(string(&entry, "out")), &outcome.text).unwrap();
        outcomes.push(json!({ "links": outcome.links, "decision": outcome.decision }));
    }
    assert!(!outcomes.is_empty());
    let outcomes = Value::from(outcomes).to_string();
    fs::write(folder.join("outcomes/told.json"), outcomes).unwrap();
}
