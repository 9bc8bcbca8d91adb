//! Whole bodies: what comes out, whatever they are packed in and however they are cut, and what is held.

use encoding_rs::{Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;

use super::*;
use crate::model::BodyKind;
use crate::translate::body::codec::Coding;
use crate::translate::body::testing::{
    CODINGS, LINK, NEEDLE, Trap, chunks, pack, page, property, replaced, toy, unpack,
};

fn plan(coding: Coding, charset: Option<&'static Encoding>) -> Plan {
    Plan {
        kind: BodyKind::Html,
        coding,
        charset,
        waits: false,
    }
}

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    octets: Vec<u8>,
    end: Result<(), Fatal>,
    decision: Option<Decision>,
    counts: Counts,
}

fn run(plan: Plan, trap: Trap, body: &[u8], lengths: &[usize], flush: &[bool]) -> Got {
    through(Translating::new(plan, toy(trap)), body, lengths, flush)
}

fn through(mut body: Translating, came: &[u8], lengths: &[usize], flush: &[bool]) -> Got {
    let mut octets = Vec::new();
    let mut end = Ok(());
    let mut flush = flush.iter().cycle();
    let mut frame = Vec::new();
    'body: for mut chunk in chunks(came, lengths) {
        let flush = flush.next().copied().unwrap_or_default();
        loop {
            let step = body.step(&mut chunk, &mut frame, flush);
            assert!(body.decision().is_some() || frame.is_empty());
            assert!(body.kept() + frame.capacity() <= 256 * 1024);
            octets.append(&mut frame);
            match step {
                Ok(Step::More) => {}
                Ok(Step::Done) => break,
                Err(fatal) => {
                    end = Err(fatal);
                    break 'body;
                }
            }
        }
        assert!(chunk.is_empty());
    }
    if end.is_ok() {
        end = body.end(&mut octets);
    }
    let again = body.push(b"x", &mut Vec::new(), true);
    assert_eq!(
        again,
        Err(Fatal::Over),
        "nothing follows an end or an error"
    );
    let counts = body.counts();
    assert_eq!(counts.given, octets.len() as u64);
    let decision = body.decision();
    Got {
        octets,
        end,
        decision,
        counts,
    }
}

struct Written {
    name: &'static str,
    declared: Option<&'static Encoding>,
    /// Says so itself.
    head: &'static str,
    mark: &'static [u8],
    encoding: &'static Encoding,
}

const WRITINGS: [Written; 10] = [
    Written {
        name: "utf-8 declared",
        declared: Some(UTF_8),
        head: "",
        mark: b"",
        encoding: UTF_8,
    },
    Written {
        name: "nothing said",
        declared: None,
        head: "",
        mark: b"",
        encoding: UTF_8,
    },
    Written {
        name: "utf-8 mark",
        declared: Some(SHIFT_JIS),
        head: "",
        mark: b"\xef\xbb\xbf",
        encoding: UTF_8,
    },
    Written {
        name: "shift_jis declared",
        declared: Some(SHIFT_JIS),
        head: "",
        mark: b"",
        encoding: SHIFT_JIS,
    },
    Written {
        name: "shift_jis meta",
        declared: None,
        head: "<meta charset=shift_jis>",
        mark: b"",
        encoding: SHIFT_JIS,
    },
    Written {
        name: "utf-16 mark",
        declared: None,
        head: "",
        mark: b"\xff\xfe",
        encoding: UTF_16LE,
    },
    Written {
        name: "utf-16be mark",
        declared: Some(UTF_8),
        head: "<meta charset=utf-8>",
        mark: b"\xfe\xff",
        encoding: UTF_16BE,
    },
    Written {
        name: "utf-16be declared",
        declared: Some(UTF_16BE),
        head: "",
        mark: b"",
        encoding: UTF_16BE,
    },
    Written {
        name: "iso-2022-jp declared",
        declared: Some(ISO_2022_JP),
        head: "",
        mark: b"",
        encoding: ISO_2022_JP,
    },
    Written {
        name: "iso-2022-jp meta",
        declared: None,
        head: "<meta charset=iso-2022-jp>",
        mark: b"",
        encoding: ISO_2022_JP,
    },
];

fn written(text: &str, how: &Written) -> Vec<u8> {
    let mut octets = how.mark.to_vec();
    if how.encoding == UTF_16LE {
        octets.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    } else if how.encoding == UTF_16BE {
        octets.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    } else {
        let (text, _, unmappable) = how.encoding.encode(text);
        assert!(!unmappable);
        octets.extend_from_slice(&text);
    }
    octets
}

/// Kanji whose octets in ISO-2022-JP and Shift_JIS are those of markup.
const JAPANESE: &str = "日本語のページ、竹＜表＞能構申";

fn text(how: &Written, length: usize, with_links: bool) -> String {
    let mut text = format!("<!doctype html>{}", how.head);
    let href = if with_links {
        "http://wiki.corp.local"
    } else {
        "http://wiki.corp.lokal"
    };
    for i in 0.. {
        if text.len() >= length {
            break;
        }
        text += &format!("<p>{JAPANESE}{i}<a href=\"{href}/{i}\">{JAPANESE}</a>\n");
    }
    text
}

#[test]
fn links_change_in_every_coding_charset_and_chunk() {
    let mut ran = 0;
    for how in &WRITINGS {
        for length in [300, 40_000] {
            for with_links in [true, false] {
                let page = text(how, length, with_links);
                let needle = std::str::from_utf8(NEEDLE).unwrap();
                let links = page.matches(needle).count() as u64;
                assert_eq!(links > 0, with_links);
                let came = written(&page, how);
                let expected = page.replace(needle, std::str::from_utf8(LINK).unwrap());
                let expected = written(&expected, how);
                assert_eq!(
                    came == expected,
                    !with_links,
                    "a page without a hit is the same"
                );
                for coding in CODINGS {
                    let body = pack(coding, &came);
                    let mut seen = Vec::new();
                    for lengths in [&[1][..], &[7], &[usize::MAX]] {
                        let got = run(
                            plan(coding, how.declared),
                            Trap::None,
                            &body,
                            lengths,
                            &[false],
                        );
                        let name = format!("{} {coding:?} {length} {lengths:?}", how.name);
                        assert_eq!(got.end, Ok(()), "{name}");
                        assert_eq!(got.decision, Some(Decision::Translated), "{name}");
                        assert!(unpack(coding, &got.octets) == expected, "{name}");
                        let counts = Counts {
                            taken: body.len() as u64,
                            given: got.octets.len() as u64,
                            links,
                            skip: None,
                        };
                        assert_eq!(got.counts, counts, "{name}");
                        seen.push(got.octets);
                        ran += 1;
                    }
                    if coding == Coding::Identity {
                        assert!(seen.iter().all(|octets| *octets == expected));
                    }
                    // Flushed everywhere; without a declaration only from where it is said.
                    let first = if how.declared.is_some() { 7 } else { 1024 };
                    let got = run(
                        plan(coding, how.declared),
                        Trap::None,
                        &body,
                        &[first, 13, 5000],
                        &[true],
                    );
                    assert!(
                        unpack(coding, &got.octets) == expected,
                        "{} flushed",
                        how.name
                    );
                    ran += 1;
                }
            }
        }
    }
    assert_eq!(ran, 10 * 2 * 2 * 4 * 4);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_goes_wrong_before_the_first_octet_leaves_the_body_untouched() {
    let html = page(3000);
    let gzip = pack(Coding::Gzip, &html);
    let trap = [&html[..500], b"!stop!", &html].concat();
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(html.iter().flat_map(|&octet| [octet, 0]));
    let lone = [&utf16[..], &[0, 0xdc, 0x41, 0]].concat();
    let unreadable = [b"<meta charset=hz-gb-2312>", &html[..]].concat();
    let mut padded = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03".to_vec();
    padded.extend_from_slice(&[b'n'; 100_000]);
    padded.extend_from_slice(&gzip[9..]);
    let cases: [(&str, Plan, Trap, Vec<u8>, Skip); 13] = [
        (
            "not gzip at all",
            plan(Coding::Gzip, None),
            Trap::None,
            html.clone(),
            Skip::Damaged,
        ),
        (
            "not br at all",
            plan(Coding::Brotli, None),
            Trap::None,
            html.clone(),
            Skip::Damaged,
        ),
        (
            "gzip cut",
            plan(Coding::Gzip, None),
            Trap::None,
            gzip[..gzip.len() - 3].to_vec(),
            Skip::Damaged,
        ),
        (
            "gzip cut in its head",
            plan(Coding::Gzip, None),
            Trap::None,
            gzip[..3].to_vec(),
            Skip::Damaged,
        ),
        (
            "one octet of deflate",
            plan(Coding::Deflate, None),
            Trap::None,
            vec![0x78],
            Skip::Damaged,
        ),
        (
            "an endless name",
            plan(Coding::Gzip, None),
            Trap::None,
            padded,
            Skip::NoText,
        ),
        (
            "rewriter stops",
            plan(Coding::Identity, None),
            Trap::Stop,
            trap.clone(),
            Skip::Rewriter,
        ),
        (
            "rewriter loses",
            plan(Coding::Identity, None),
            Trap::Lose,
            trap.clone(),
            Skip::Rewriter,
        ),
        (
            "rewriter stops in gzip",
            plan(Coding::Gzip, None),
            Trap::Stop,
            pack(Coding::Gzip, &trap),
            Skip::Rewriter,
        ),
        (
            "malformed UTF-16",
            plan(Coding::Identity, None),
            Trap::None,
            lone.clone(),
            Skip::Malformed,
        ),
        (
            "malformed UTF-16 in br",
            plan(Coding::Brotli, None),
            Trap::None,
            pack(Coding::Brotli, &lone),
            Skip::Malformed,
        ),
        (
            "half a UTF-16 unit",
            plan(Coding::Identity, None),
            Trap::None,
            utf16[..1001].to_vec(),
            Skip::Malformed,
        ),
        (
            "an encoding nobody reads",
            plan(Coding::Gzip, None),
            Trap::None,
            pack(Coding::Gzip, &unreadable),
            Skip::Charset,
        ),
    ];
    let mut ran = 0;
    for (name, plan, trap, body, skip) in &cases {
        for lengths in [&[1][..], &[7], &[usize::MAX]] {
            let got = run(*plan, *trap, body, lengths, &[false]);
            assert!(got.octets == *body, "{name}");
            assert_eq!(got.end, Ok(()), "{name}");
            assert_eq!(got.decision, Some(Decision::Untouched(*skip)), "{name}");
            assert_eq!(got.counts.skip, Some(*skip), "{name}");
            ran += 1;
        }
    }
    assert_eq!(ran, 39);
}

#[test]
fn a_rewriter_that_stops_later_lets_the_rest_pass() {
    let before = page(HOLD_TEXT + 4000);
    let behind = page(50_000);
    let html = [&before[..], b"!stop!", &behind].concat();
    let expected = [&replaced(&before)[..], b"!stop!", &behind].concat();
    let utf16 = |text: &[u8]| -> Vec<u8> { text.iter().flat_map(|&o| [o, 0]).collect() };
    let (wide, wide_expected) = (utf16(&html), utf16(&expected));
    let mut ran = 0;
    for coding in CODINGS {
        for lengths in [&[1][..], &[7], &[1000, 3], &[usize::MAX]] {
            // What follows the trap in its own chunk is not translated; behind it nothing is.
            let got = run(
                plan(coding, Some(UTF_8)),
                Trap::Stop,
                &pack(coding, &html),
                lengths,
                &[false],
            );
            assert_eq!((got.end, got.counts.skip), (Ok(()), Some(Skip::Rewriter)));
            assert_eq!(got.decision, Some(Decision::Translated));
            assert!(
                unpack(coding, &got.octets) == expected,
                "{coding:?} {lengths:?}"
            );
            let got = run(
                plan(coding, Some(UTF_16LE)),
                Trap::Stop,
                &pack(coding, &wide),
                lengths,
                &[false],
            );
            assert_eq!((got.end, got.counts.skip), (Ok(()), Some(Skip::Rewriter)));
            assert!(
                unpack(coding, &got.octets) == wide_expected,
                "{coding:?} {lengths:?}"
            );
            let got = run(
                plan(coding, Some(UTF_8)),
                Trap::Lose,
                &pack(coding, &html),
                lengths,
                &[false],
            );
            // As it came, where nothing was given yet; never a clean half page.
            match got.decision {
                Some(Decision::Untouched(_)) => assert!(got.octets == pack(coding, &html)),
                _ => assert_eq!(got.end, Err(Fatal::Rewriter(Broken::Lost("trap")))),
            }

            ran += 3;
        }
    }
    assert_eq!(ran, 48);
}

#[test]
fn malformed_text_later_ends_the_rewriting_only() {
    // The rewriter holds back half a needle when the text breaks off.
    let before = [&page(HOLD_TEXT + 4000)[..], b"http://wiki"].concat();
    let behind = page(5000);
    let wide = |text: &[u8]| -> Vec<u8> { text.iter().flat_map(|&o| [0, o]).collect() };
    let lone: &[u8] = &[0xdc, 0x00];
    let before: Vec<u8> = before.into_iter().filter(u8::is_ascii).collect();
    let utf16 = [&wide(&before)[..], lone, &wide(&behind)].concat();
    let expected = [&wide(&replaced(&before))[..], lone, &wide(&behind)].concat();
    let jis: &[u8] = b"\x1b$B!!\x80\x1b(B";
    let iso = [&before[..], jis, &behind].concat();
    let iso_expected = [&replaced(&before)[..], jis, &behind].concat();
    let mut ran = 0;
    for coding in CODINGS {
        for lengths in [&[1][..], &[7], &[usize::MAX]] {
            for (charset, body, expected) in [
                (UTF_16BE, &utf16, &expected),
                (ISO_2022_JP, &iso, &iso_expected),
            ] {
                let got = run(
                    plan(coding, Some(charset)),
                    Trap::None,
                    &pack(coding, body),
                    lengths,
                    &[false],
                );
                assert_eq!((got.end, got.counts.skip), (Ok(()), Some(Skip::Malformed)));
                assert!(
                    unpack(coding, &got.octets) == *expected,
                    "{coding:?} {lengths:?}"
                );
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 24);
}

#[test]
fn a_body_that_does_not_decode_any_more_breaks() {
    let html = page(200_000);
    let mut ran = 0;
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
        let body = pack(coding, &html);
        for lengths in [&[7][..], &[4096], &[usize::MAX]] {
            for length in [body.len() / 2, body.len() - 1] {
                let got = run(
                    plan(coding, None),
                    Trap::None,
                    &body[..length],
                    lengths,
                    &[false],
                );
                assert_eq!(
                    got.end,
                    Err(Fatal::Damaged(Damaged::Truncated)),
                    "{coding:?}"
                );
                assert_eq!(got.decision, Some(Decision::Translated));
                ran += 1;
            }
            let bomb = pack(coding, &vec![b' '; 32 * 1024 * 1024]);
            let got = run(plan(coding, None), Trap::None, &bomb, lengths, &[false]);
            assert_eq!(got.end, Err(Fatal::Damaged(Damaged::Expands)), "{coding:?}");
            // Also where the rewriter is gone.
            let gone = [b"!stop!".to_vec(), vec![b' '; 32 * 1024 * 1024]].concat();
            let mut body = Translating::new(plan(coding, None), toy(Trap::Stop));
            body.commit();
            let got = through(body, &pack(coding, &gone), lengths, &[false]);
            assert_eq!(got.end, Err(Fatal::Damaged(Damaged::Expands)), "{coding:?}");
            ran += 2;
        }
    }
    assert_eq!(ran, 36);
}

#[test]
fn what_the_application_flushed_goes_out() {
    let mut ran = 0;
    for coding in CODINGS {
        for charset in [None, Some(UTF_8)] {
            let mut server = crate::translate::body::codec::Encoder::new(coding);
            let mut client =
                crate::translate::body::codec::Decoder::new(coding, Expansion::default());
            let mut body = Translating::new(plan(coding, charset), toy(Trap::None));
            let parts = [
                "<html>",
                "<a href=http://wiki.corp.local/1>",
                "x",
                "<b>http:",
                "//wiki.corp.local/</b>",
            ];
            let mut seen = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                let (mut chunk, mut out) = (Vec::new(), Vec::new());
                server.encode(part.as_bytes(), &mut chunk).unwrap();
                server.flush(&mut chunk).unwrap();
                body.push(&chunk, &mut out, true).unwrap();
                let mut rest = out.as_slice();
                while let Some(piece) = client.decode(&mut rest).unwrap() {
                    seen.extend_from_slice(piece);
                }
                let mut expected = replaced(parts[..=i].concat().as_bytes());
                if i == 3 {
                    expected.truncate(expected.len() - 5); // What may become a link.
                }
                assert_eq!(seen, expected, "{coding:?} {part}");
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 40);
    // Nothing that is less than a byte order mark.
    let mut body = Translating::new(plan(Coding::Identity, None), toy(Trap::None));
    let mut out = Vec::new();
    body.push(b"\xff\xfe<", &mut out, true).unwrap();
    assert_eq!((out.as_slice(), body.decision()), (&b""[..], None));
    body.push(b"\0", &mut out, true).unwrap();
    assert_eq!(out, b"\xff\xfe<\0");
}

#[test]
fn a_committed_body_is_never_untouched() {
    let html = page(3000);
    let unreadable = [b"<meta charset=hz-gb-2312>", &html[..]].concat();
    let committed = |coding, trap, body: &[u8], lengths: &[usize]| {
        let mut translating = Translating::new(plan(coding, None), toy(trap));
        translating.commit();
        assert_eq!(translating.decision(), Some(Decision::Translated));
        through(translating, body, lengths, &[false])
    };
    let trap = [b"!stop!", &html[..]].concat();
    let mut ran = 0;
    for coding in CODINGS {
        for lengths in [&[1][..], &[7], &[usize::MAX]] {
            for (trap, text, skip, expected) in [
                (Trap::None, &html, None, replaced(&html)),
                (
                    Trap::None,
                    &unreadable,
                    Some(Skip::Charset),
                    unreadable.clone(),
                ),
                (Trap::Stop, &trap, Some(Skip::Rewriter), trap.clone()),
            ] {
                let got = committed(coding, trap, &pack(coding, text), lengths);
                assert_eq!((got.end, got.counts.skip), (Ok(()), skip));
                assert_eq!(got.decision, Some(Decision::Translated));
                assert!(
                    unpack(coding, &got.octets) == expected,
                    "{coding:?} {lengths:?} {skip:?}"
                );
                ran += 1;
            }
            let got = committed(coding, Trap::Lose, &pack(coding, &trap), lengths);
            assert_eq!(got.end, Err(Fatal::Rewriter(Broken::Lost("trap"))));
        }
    }
    assert_eq!(ran, 36);
    let got = committed(Coding::Gzip, Trap::None, &html, &[7]);
    assert_eq!(got.end, Err(Fatal::Damaged(Damaged::Content)));
}

#[test]
fn a_body_without_text_stays_as_it_is() {
    let empty_gzip = pack(Coding::Gzip, b"");
    for (coding, body) in [
        (Coding::Identity, &[][..]),
        (Coding::Gzip, &[]),
        (Coding::Gzip, &empty_gzip),
    ] {
        let got = run(plan(coding, None), Trap::None, body, &[1], &[false]);
        assert_eq!((got.octets.as_slice(), got.end), (body, Ok(())));
        assert_eq!(got.decision, Some(Decision::Translated));
    }
}

#[test]
fn steps_are_bounded_whatever_a_chunk_unpacks_to() {
    let html = page(1_000_000);
    for coding in CODINGS {
        let body = pack(coding, &html);
        let mut translating = Translating::new(plan(coding, None), toy(Trap::None));
        let (mut chunk, mut octets, mut steps) = (body.as_slice(), Vec::new(), 0);
        loop {
            let mut out = Vec::new();
            let step = translating.step(&mut chunk, &mut out, false).unwrap();
            assert!(out.len() < ENOUGH + 32 * 1024, "{coding:?} {}", out.len());
            octets.append(&mut out);
            steps += 1;
            if step == Step::Done {
                break;
            }
        }
        translating.end(&mut octets).unwrap();
        assert!(steps > 2, "{coding:?} {steps}");
        assert!(unpack(coding, &octets) == replaced(&html));
    }
}

#[test]
fn chunks_and_flushes_do_not_change_the_result() {
    let coding = select(CODINGS.to_vec());
    let how = 0..WRITINGS.len();
    let lengths = vec(1_usize..3000, 1..6);
    let flush = vec(any::<bool>(), 1..6);
    property(
        400,
        (coding, how, 100_usize..30_000, lengths, flush),
        |(coding, how, length, lengths, flush)| {
            let how = &WRITINGS[how];
            let body = pack(coding, &written(&text(how, length, true), how));
            let plan = plan(coding, how.declared);
            let flush = if how.declared.is_some() {
                flush
            } else {
                vec![false]
            };
            let whole = run(plan, Trap::None, &body, &[usize::MAX], &[false]);
            let parts = run(plan, Trap::None, &body, &lengths, &flush);
            assert_eq!(parts.end, Ok(()));
            assert!(unpack(coding, &parts.octets) == unpack(coding, &whole.octets));
            assert_eq!(parts.counts.links, whole.counts.links);
        },
    );
}

#[test]
fn no_octets_panic_or_end_a_damaged_body_cleanly() {
    let coding = select(CODINGS.to_vec());
    let charset = select(vec![None, Some(UTF_8), Some(UTF_16LE), Some(ISO_2022_JP)]);
    let octets = (0_usize..30_000, vec(any::<u8>(), 0..300));
    let lengths = vec(1_usize..4000, 1..5);
    let flush = vec(any::<bool>(), 1..6);
    property(
        1500,
        (coding, charset, octets, lengths, flush),
        |(coding, charset, (good, bad), lengths, flush)| {
            let mut body = pack(coding, &page(30_000));
            body.truncate(good);
            body.extend_from_slice(&bad);
            let got = run(plan(coding, charset), Trap::None, &body, &lengths, &flush);
            if let Some(Decision::Untouched(_)) = got.decision {
                assert_eq!((got.octets.as_slice(), got.end), (body.as_slice(), Ok(())));
            } else if got.end.is_ok() {
                // Complete, then: it can be unpacked.
                unpack(coding, &got.octets);
            }
        },
    );
}
