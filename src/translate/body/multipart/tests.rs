//! Forms with files, however they are cut.

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;

use super::*;
use crate::translate::body::rewrite::{Links, Text};
use crate::translate::body::testing::{LINK, NEEDLE, Trap, chunks, property, replaced, toy};
use encoding_rs::{SHIFT_JIS, UTF_8};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

fn boundary(value: &str) -> Option<Boundary> {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
    Boundary::of(&fields)
}

fn parts(trap: Trap) -> Box<Parts> {
    let choose = move |field: &Field, usual: Option<&'static Encoding>| {
        field.judge(&|_| Ok(()))?;
        let text = Text {
            encoding: usual.unwrap_or(UTF_8),
            only_ascii: false,
            links: Links::default(),
        };
        Some(toy(trap)(text))
    };
    let boundary = boundary("multipart/form-data; boundary=b'0").unwrap();
    Box::new(Parts::new(&boundary, 2, Box::new(choose)))
}

/// What comes out, and how it ended.
fn run(body: &[u8], lengths: &[usize], trap: Trap) -> (Vec<u8>, Result<(), Broken>) {
    let mut parts = parts(trap);
    let mut out = Vec::new();
    let mut all = chunks(body, lengths).into_iter();
    while let Some(chunk) = all.next() {
        let pushed = parts.push(chunk, &mut out);
        assert!(parts.window.len() <= LONGEST_HEAD + PIECE);
        if pushed.is_err() {
            all.for_each(|chunk| out.extend_from_slice(chunk));
            return (out, pushed);
        }
    }
    let ended = parts.end(&mut out);
    (out, ended)
}

/// `{n}` is what changes; lines end as they have to.
fn written(text: &str, needle: &[u8]) -> Vec<u8> {
    let needle = String::from_utf8(needle.to_vec()).unwrap();
    text.replace('\n', "\r\n").replace("{n}", &needle).into()
}

const FIELD: &str = "Content-Disposition: form-data; name=\"a\"\n";
const FILE: &str =
    "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\nContent-Type: text/plain\n";

#[test]
fn fields_change_and_everything_else_stays() {
    let ended = Ok(());
    let broken = Err(Broken::Parts);
    let long = "x".repeat(LONGEST_HEAD);
    // Before, after (the same where it is empty), how it ends.
    let cases: Vec<(String, String, Result<(), Broken>)> = [
        // The preamble and the epilogue are nobody's.
        ("{n}\n--b'0\nF\n{n}\n--b'0--\n{n}", "{n}\n--b'0\nF\n{l}\n--b'0--\n{n}", ended),
        ("--b'0\nF\n{n}/a\n--b'0\nX\n{n}\n--b'0\nF\n{n}\n--b'0--\n", "--b'0\nF\n{l}/a\n--b'0\nX\n{n}\n--b'0\nF\n{l}\n--b'0--\n", ended),
        // Blanks behind the boundary, and none of what only looks like one.
        ("--b'0 \t \nF\n{n}\n--b'0x\n--b'0 x\n{n}\n--b'0-\n\n--b'0--", "--b'0 \t \nF\n{l}\n--b'0x\n--b'0 x\n{l}\n--b'0-\n\n--b'0--", ended),
        // A field without a value, in both ways; the line is one of the delimiter.
        ("--b'0\nF\n\n--b'0\nF\n--b'0\nF\n{n}\n--b'0--", "--b'0\nF\n\n--b'0\nF\n--b'0\nF\n{l}\n--b'0--", ended),
        // A part without a head, and one that cannot be read.
        ("--b'0\n\n{n}\n--b'0\nno\n\n{n}\n--b'0\nF\n{n}\n--b'0--", "--b'0\n\n{n}\n--b'0\nno\n\n{n}\n--b'0\nF\n{l}\n--b'0--", ended),
        // Parts in a part.
        ("--b'0\nContent-Disposition: form-data; name=m\nContent-Type: multipart/mixed; boundary=b\n\n--b\nF\n{n}\n--b--\n\n--b'0--", "", ended),
        // The dashes end it, whatever follows.
        ("--b'0\nF\n{n}\n--b'0--x\n--b'0\nF\n{n}", "--b'0\nF\n{l}\n--b'0--x\n--b'0\nF\n{n}", ended),
        // Without an end, or a beginning.
        ("--b'0\nF\n{n}\n--b'0", "--b'0\nF\n{l}\n--b'0", broken),
        ("--b'0\nF", "", broken),
        ("--other\nF\n{n}\n--other--\n", "", broken),
        ("{n}", "", broken),
        ("", "", broken),
        // A head that does not end.
        ("--b'0\nF\n{n}\n--b'0\nA: L\n\n{n}\n--b'0\nF\n{n}\n--b'0--", "--b'0\nF\n{l}\n--b'0\nA: L\n\n{n}\n--b'0\nF\n{n}\n--b'0--", broken),
    ]
    .into_iter()
    .map(|(before, after, end)| {
        let whole = |text: &str| {
            text.replace('F', FIELD).replace('X', FILE).replace('L', &long)
        };
        let after = if after.is_empty() { before } else { after };
        (whole(before), whole(after), end)
    })
    .collect();
    assert_eq!(cases.len(), 13);
    for (before, after, end) in cases {
        let after = after.replace("{l}", std::str::from_utf8(LINK).unwrap());
        let (before, after) = (written(&before, NEEDLE), written(&after, NEEDLE));
        for lengths in [[usize::MAX], [1], [7]] {
            let (out, ended) = run(&before, &lengths, Trap::None);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(&after)
            );
            assert_eq!(ended, end, "{}", String::from_utf8_lossy(&before));
        }
    }
}

#[test]
fn a_field_that_stops_is_the_only_one_that_stays() {
    let body = format!("--b'0\n{FIELD}\n{{n}}!stop!{{n}}\n--b'0\n{FIELD}\n{{n}}\n--b'0--");
    let (out, ended) = run(&written(&body, NEEDLE), &[3], Trap::Stop);
    assert_eq!(ended, Ok(()));
    let link = std::str::from_utf8(LINK).unwrap();
    let after = body
        .replacen("{n}", link, 1)
        .replacen("{n}", "{N}", 1)
        .replacen("{n}", link, 1);
    assert_eq!(out, written(&after.replace("{N}", "{n}"), NEEDLE));
    let (_, ended) = run(&written(&body, NEEDLE), &[3], Trap::Lose);
    assert_eq!(ended, Err(Broken::Lost("trap")));
}

#[test]
fn a_form_names_the_encoding_of_its_fields() {
    for (value, expected) in [
        ("shift_jis", Some(SHIFT_JIS)),
        ("nothing", None),
        ("utf-8", Some(UTF_8)),
        (&*"x".repeat(100_000), None),
    ] {
        let head = "Content-Disposition: form-data; name=_charset_\n";
        let body = format!("--b'0\n{head}\n{value}\n--b'0\n{FIELD}\n{{n}}\n--b'0--");
        let (before, after) = (written(&body, NEEDLE), written(&body, LINK));
        for length in [1, 5000] {
            let mut parts = parts(Trap::None);
            let mut out = Vec::new();
            for chunk in before.chunks(length) {
                parts.push(chunk, &mut out).unwrap();
            }
            assert_eq!(parts.charset, expected, "{value}");
            assert!(parts.window.len() < 100);
            parts.end(&mut out).unwrap();
            assert!(out == after);
        }
    }
}

#[test]
fn boundaries_are_those_that_all_read_alike() {
    let longest = "x".repeat(Boundary::LONGEST);
    let too_long = format!("multipart/form-data; boundary={longest}x");
    let longest = format!("multipart/form-data; boundary={longest}");
    let mut seen = 0;
    for (value, is_one) in [
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk",
            true,
        ),
        (
            "multipart/form-data; charset=utf-8; Boundary=\"a b;c=d\"",
            true,
        ),
        ("Multipart/Form-Data;boundary=a'()+_,-./:=?", true),
        (&longest, true),
        (&too_long, false),
        ("multipart/form-data", false),
        ("multipart/form-data; boundary=", false),
        ("multipart/form-data; boundary=\"\"", false),
        ("multipart/form-data; boundary=\"a \"", false),
        ("multipart/form-data; boundary=a b", false),
        ("multipart/form-data; boundary=a; boundary=b", false),
        ("multipart/form-data; xboundary=a", false),
    ] {
        assert_eq!(boundary(value).is_some(), is_one, "{value}");
        seen += 1;
    }
    assert_eq!(seen, 12);
    let read = boundary("multipart/form-data; boundary=\"a b;c=d\"").unwrap();
    assert_eq!(read.octets(), b"a b;c=d");
}

/// Pieces that are nearly something.
const PIECES: [&str; 16] = [
    "\r\n",
    "\r",
    "\n",
    "-",
    "--",
    "--b'0",
    "\r\n--b'0\r\n",
    "\r\n--b'0--",
    " ",
    "http://wiki.corp.local",
    "http://wiki",
    "\r\n\r\n",
    "Content-Disposition: form-data; name=a\r\n\r\n",
    "; filename=x",
    ":",
    "a",
];

#[test]
fn cuts_do_not_matter_and_nothing_else_changes() {
    let made = vec(select(PIECES.to_vec()), 0..60);
    property(
        600,
        (made, vec(1_usize..40, 1..6)),
        |(made, lengths): (Vec<&str>, Vec<usize>)| {
            let body = format!("--b'0\r\n{}\r\n--b'0--", made.concat());
            let whole = run(body.as_bytes(), &[usize::MAX], Trap::None);
            for lengths in [&lengths[..], &[1]] {
                assert_eq!(run(body.as_bytes(), lengths, Trap::None), whole);
            }
            // The same but for the links: there is no other change.
            let back = String::from_utf8(whole.0).unwrap();
            let back = back.replace(
                std::str::from_utf8(LINK).unwrap(),
                std::str::from_utf8(NEEDLE).unwrap(),
            );
            assert_eq!(back, body);
        },
    );
    // Whatever is in a file.
    property(
        300,
        (vec(any::<u8>(), 0..3000), vec(1_usize..900, 1..6)),
        |(octets, lengths)| {
            let body = [
                &written(&format!("--b'0\n{FILE}\n"), b"")[..],
                &octets,
                NEEDLE,
                b"\r\n--b'0--",
            ]
            .concat();
            assert_eq!(run(&body, &lengths, Trap::None), (body.clone(), Ok(())));
            let field = [
                &written(&format!("--b'0\n{FIELD}\n"), b"")[..],
                &octets,
                NEEDLE,
                b"\r\n--b'0--",
            ]
            .concat();
            assert_eq!(
                run(&field, &lengths, Trap::None),
                (replaced(&field), Ok(()))
            );
        },
    );
}
