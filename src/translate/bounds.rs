//! How much memory a body takes between two steps, whatever it is.

use std::collections::HashSet;
use std::sync::Arc;

use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, UTF_16LE};

use super::body::codec::Coding;
use super::body::testing::{chunks, pack};
use super::body::{Boundary, Plan, Step, Text, Translating};
use super::tests::{application, view};
use super::{Inline, Rewriting, Table, View, returning, returning_parts};
use crate::model::{BodyKind, LinkTranslation, Replacement};
use crate::translate::markup::hash_of;
use crate::translate::text::Syntax;

const BOUND: usize = 256 * 1024;

/// Short names inside, long ones outside, and paths that differ: what changes becomes many times longer.
fn seen(settings: LinkTranslation) -> View {
    let long = format!(
        "https://{}.example.com/{}/",
        "w".repeat(60),
        "p".repeat(200)
    );
    let mut wiki = application(&long, "http://w/");
    wiki.link_translation = settings;
    let wiki = Arc::new(wiki);
    let table = Arc::new(Table::new(std::slice::from_ref(&wiki)));
    let (captured, host) = view(&wiki, &format!("{}.example.com", "w".repeat(60)));
    View::new(&table, &wiki, captured.as_ref(), &host)
}

fn settings(words: &[(&str, &str)]) -> LinkTranslation {
    let words = words.iter().map(|(find, replace)| Replacement {
        find: (*find).into(),
        replace: (*replace).into(),
        body: BodyKind::ALL.to_vec(),
    });
    LinkTranslation {
        body: BodyKind::ALL.to_vec(),
        replacements: words.collect(),
        ..LinkTranslation::default()
    }
}

/// The most that is kept at once, with what is given at a time, in octets; and how long the body has become.
fn most(mut body: Translating, came: &[u8], inline: &Inline) -> (usize, usize) {
    let (mut most, mut given) = (0, 0);
    for mut chunk in chunks(came, &[16 * 1024, 1000, 64 * 1024, 7]) {
        loop {
            let mut out = Vec::new();
            let step = body.step(&mut chunk, &mut out, false).unwrap();
            most = most.max(body.kept() + out.capacity());
            given += out.len();
            if given > 0 {
                let _ = inline.fix();
            }
            if step == Step::Done {
                break;
            }
        }
    }
    let mut out = Vec::new();
    body.end(&mut out).unwrap();
    (most.max(out.capacity()), given + out.len())
}

fn plan(kind: BodyKind, charset: &'static Encoding, coding: Coding) -> Plan {
    Plan {
        kind,
        coding,
        charset: Some(charset),
        waits: false,
    }
}

fn written(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    match encoding == UTF_16LE {
        true => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        false => encoding.encode(text).0.into_owned(),
    }
}

/// Texts that want much memory: repeated.
fn pieces() -> Vec<(BodyKind, String)> {
    let link = "http://w/";
    let long = "x".repeat(31_000);
    let longer = "x".repeat(60_000);
    let page = |text: String| (BodyKind::Html, text);
    let hashes = (0..500).map(|number| format!("'sha256-{number:0>43}=' "));
    let hashes = hashes.collect::<String>();
    let mut pieces = vec![
        page(format!("<a href={link}>")),
        page("<a href=/ ping='/ / / / / / / / / / / /'>".to_owned()),
        page(format!("<p title='{long}'>")),
        page(format!("<p title='{longer}'>")),
        page(format!(
            "<a {}href={link}>",
            format!("ping={link} ").repeat(1800)
        )),
        page(format!(
            "<style>{}a{{b:url({link}{long})}}</style>",
            format!("a{{b:url({link})}}").repeat(900)
        )),
        page(format!("<style>a{{b:url({link}{longer})}}</style>")),
        page(format!("<script>'{link}';//{long}\n</script>")),
        page(format!(
            "<noscript><p title='{long}'><style>a{{b:url({link}{long})}}</style></noscript>"
        )),
        page(format!("<iframe srcdoc='<p title={long}><a href={link}>'>")),
        page(format!(
            "<a style='b:url({link}{long})' onclick='{}'>",
            format!("go(\"{link}\");").repeat(900)
        )),
        page(format!(
            "<meta http-equiv=content-security-policy content=\"script-src {hashes}\">"
        )),
        (BodyKind::Css, format!("a{{b:url({link})}}")),
        (BodyKind::Css, format!("a{{b:url({link}{longer})}}")),
        (BodyKind::Css, format!("a{{b:url('{link}{long}')}}")),
    ];
    for kind in [
        BodyKind::Json,
        BodyKind::JavaScript,
        BodyKind::Xml,
        BodyKind::Text,
    ] {
        pieces.extend([
            (kind, format!("\"{link}\",")),
            (kind, "\"http:\\/\\/w\\/\",".to_owned()),
            (kind, "\"//w/\",".to_owned()),
            (kind, format!("\"{link}{}\",", "a/".repeat(20_000))),
            (kind, format!("<a b=\"{link}\" xmlns=\"{longer}\"/>")),
            (kind, format!("<!--{longer}-->")),
            (kind, "http%3A%2F%2Fw%2F ".to_owned()),
        ]);
    }
    pieces
}

/// Texts of words that become longer than anything else does.
fn wordy() -> Vec<(BodyKind, String)> {
    vec![
        (BodyKind::Html, "<p>q q".to_owned()),
        (BodyKind::Html, "<a href=q><style>q</style>".to_owned()),
        (BodyKind::Css, "q ".to_owned()),
        (BodyKind::Json, "\"q\",".to_owned()),
        (BodyKind::Xml, "q".to_owned()),
    ]
}

const LENGTH: usize = 192 * 1024;

#[test]
fn no_body_takes_more_than_its_bound() {
    let words = ["a".repeat(1024), "w".repeat(1024)];
    let all = [
        (settings(&[]), pieces(), LENGTH),
        (
            settings(&[(&words[0], "b"), ("aaaa", &words[1]), ("w/", "w/old/")]),
            pieces(),
            LENGTH,
        ),
        (settings(&[("q", &words[0])]), wordy(), LENGTH / 8),
    ];
    // What a page's own policy names: nothing of it, so that all of it waits.
    let policy: Vec<String> = (0..1200)
        .map(|number| format!("'sha384-{number:0>64}'"))
        .collect();
    let policy: HashSet<String> = policy
        .iter()
        .filter_map(|word| hash_of(word.as_bytes()))
        .collect();
    assert_eq!(policy.len(), 1200);
    let (mut ran, mut largest, mut over) = (0, 0, Vec::new());
    for (settings, pieces, length) in all {
        let view = seen(settings);
        for (kind, piece) in pieces {
            let text = piece.repeat(length.div_ceil(piece.len()));
            for (encoding, coding, waits) in [
                (UTF_8, Coding::Identity, false),
                (UTF_8, Coding::Gzip, false),
                (SHIFT_JIS, Coding::Identity, false),
                (UTF_16LE, Coding::Identity, false),
                (UTF_8, Coding::Identity, true),
                (UTF_8, Coding::Gzip, true),
            ] {
                if waits && kind != BodyKind::Html {
                    continue;
                }
                let inline = Inline::new(if waits {
                    policy.clone()
                } else {
                    HashSet::new()
                });
                let rewriting = Rewriting {
                    view: view.clone(),
                    report: None,
                    inline: inline.clone(),
                    keeps_data: false,
                };
                let maker = move |text: Text| rewriting.rewriter(kind, text);
                let plan = Plan {
                    waits,
                    ..plan(kind, encoding, coding)
                };
                let came = pack(coding, &written(&text, encoding));
                let body = Translating::new(plan, Box::new(maker));
                let (kept, given) = most(body, &came, &inline);
                let begin: String = piece.chars().take(60).collect();
                if kept > BOUND {
                    let name = encoding.name();
                    over.push(format!(
                        "{kept}: {kind}, {name} {coding:?} waits: {waits}: {begin}"
                    ));
                }
                assert!(coding != Coding::Identity || given > length / 2, "{begin}");
                largest = largest.max(kept);
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 2 * (12 * 6 + 31 * 4) + 2 * 6 + 3 * 4);
    assert!(over.is_empty(), "{over:#?}");
    // The bound is one that is needed.
    assert!((BOUND / 2..=BOUND).contains(&largest), "{largest}");
}

#[test]
fn what_is_sent_back_takes_no_more() {
    let view = seen(settings(&[]));
    let long = "x".repeat(8000);
    let outside = format!(
        "https://{}.example.com/{}/",
        "w".repeat(60),
        "p".repeat(200)
    );
    let head = "Content-Disposition: form-data; name=a";
    let mut ran = 0;
    for piece in [
        format!("--b\r\n{head}\r\n\r\n{outside}\r\n"),
        format!(
            "--b\r\n{head}\r\nX: {long}\r\n\r\n{}\r\n",
            outside.repeat(200)
        ),
        format!(
            "--b\r\n{head}; filename=a\r\n\r\n{}",
            "\r\n--b\r".repeat(5000)
        ),
        format!("{outside}&"),
    ] {
        let text = format!("{}--b--\r\n", piece.repeat(LENGTH.div_ceil(piece.len())));
        let mut fields = http::HeaderMap::new();
        let kind = http::HeaderValue::from_static("multipart/form-data; boundary=b");
        fields.insert(http::header::CONTENT_TYPE, kind);
        let boundary = Boundary::of(&fields).unwrap();
        for is_form in [true, false] {
            let view = view.clone();
            let boundary = boundary.clone();
            let maker = move |text: Text| match is_form {
                true => returning_parts(view, &boundary, |_| Ok(()), text),
                false => returning(&view, Syntax::Form, text),
            };
            let plan = plan(BodyKind::Text, UTF_8, Coding::Identity);
            let body = Translating::new(plan, Box::new(maker));
            let (kept, _) = most(body, text.as_bytes(), &Inline::default());
            assert!(kept <= BOUND, "{kept} {is_form}");
            ran += 1;
        }
    }
    assert_eq!(ran, 8);
}
