use encoding_rs::{EUC_JP, SHIFT_JIS, WINDOWS_1251};
use proptest::collection::vec;
use proptest::prelude::{Just, any};
use proptest::prop_oneof;
use proptest::string::string_regex;

use super::*;
use crate::translate::body::testing::{chunks, property};

const UTF16_CARRIES: [Carry; 2] = [Carry::Utf16 { big: false }, Carry::Utf16 { big: true }];

fn carried(charset: Charset) -> &'static Encoding {
    match charset.carry {
        Carry::AsIs => charset.encoding,
        Carry::Utf16 { big: false } => UTF_16LE,
        Carry::Utf16 { big: true } => UTF_16BE,
        Carry::Iso2022Jp => ISO_2022_JP,
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_encoding_is_what_a_browser_takes() {
    let long = format!("{}<meta charset=shift_jis>", " ".repeat(1010));
    let html: [(&[u8], &Encoding); 45] = [
        (b"", WINDOWS_1252),
        (b"<p>", WINDOWS_1252),
        (b"\xef\xbb\xbf<meta charset=shift_jis>", UTF_8),
        (b"\xff\xfe<\0", UTF_16LE),
        (b"\xfe\xff\0<", UTF_16BE),
        (b"<\0?\0x\0m\0l\0", UTF_16LE),
        (b"\0<\0?\0x\0m\0l", UTF_16BE),
        (b"<meta charset=shift_jis>", SHIFT_JIS),
        (b"<META CharSet = 'Shift_JIS' >", SHIFT_JIS),
        (b"<meta charset=\"shift_jis\"/>", SHIFT_JIS),
        (b"<meta/charset=shift_jis>", SHIFT_JIS),
        (b"<meta\ncharset=shift_jis>", SHIFT_JIS),
        (b"<meta charset=iso-2022-jp>", ISO_2022_JP),
        (b"<meta charset=utf-16>", UTF_8),
        (b"<meta charset=utf-16be>", UTF_8),
        (b"<meta charset=x-user-defined>", WINDOWS_1252),
        (b"<meta charset=nonsense><meta charset=euc-jp>", EUC_JP),
        (b"<metax charset=shift_jis>", WINDOWS_1252),
        (b"<meta>charset=shift_jis>", WINDOWS_1252),
        (b"</meta charset=shift_jis>", WINDOWS_1252),
        (b"<!-- <meta charset=shift_jis> -->", WINDOWS_1252),
        (b"<!--><meta charset=shift_jis>", SHIFT_JIS),
        (b"<!-- x --><meta charset=shift_jis>", SHIFT_JIS),
        (b"<!-- <meta charset=shift_jis>", WINDOWS_1252),
        (b"<!doctype html><meta charset=shift_jis>", SHIFT_JIS),
        (b"<? x ?><meta charset=shift_jis>", SHIFT_JIS),
        (b"</p><meta charset=shift_jis>", SHIFT_JIS),
        (b"<><meta charset=shift_jis>", SHIFT_JIS),
        (b"<a title='<meta charset=shift_jis>'>", WINDOWS_1252),
        (b"<a title='><meta charset=shift_jis>", WINDOWS_1252),
        (b"<a =x b><meta charset=shift_jis>", SHIFT_JIS),
        (
            b"<meta http-equiv=content-type content='text/html; charset=shift_jis'>",
            SHIFT_JIS,
        ),
        (
            b"<meta content='text/html; charset=shift_jis' http-equiv=Content-Type>",
            SHIFT_JIS,
        ),
        (
            b"<meta http-equiv=content-type content='charset = \"shift_jis\" x'>",
            SHIFT_JIS,
        ),
        (
            b"<meta http-equiv=content-type content='charset charset=shift_jis;x'>",
            SHIFT_JIS,
        ),
        (
            b"<meta http-equiv=content-type content=\"charset='shift_jis\">",
            WINDOWS_1252,
        ),
        (
            b"<meta content='text/html; charset=shift_jis'>",
            WINDOWS_1252,
        ),
        (
            b"<meta http-equiv=refresh content='1; charset=shift_jis'>",
            WINDOWS_1252,
        ),
        (b"<meta charset=euc-jp charset=shift_jis>", EUC_JP),
        (b"<meta charset=shift_jis", WINDOWS_1252),
        (b"<?xml version='1.0' encoding='shift_jis'?>", SHIFT_JIS),
        (b"<?xml encoding = \"utf-16\"?>", UTF_8),
        (b"<?xml encoding='shift_jis'?><meta charset=euc-jp>", EUC_JP),
        (b" <?xml encoding='shift_jis'?>", WINDOWS_1252),
        (long.as_bytes(), WINDOWS_1252),
    ];
    let css: [(&[u8], &Encoding); 9] = [
        (b"", WINDOWS_1252),
        (b"@charset \"shift_jis\";", SHIFT_JIS),
        (b"@charset \"utf-16\";", UTF_8),
        (b"\xef\xbb\xbf@charset \"shift_jis\";", UTF_8),
        (b"\xff\xfe@\0", UTF_16LE),
        (b"@charset 'shift_jis';", WINDOWS_1252),
        (b"@charset  \"shift_jis\";", WINDOWS_1252),
        (b"@charset \"shift_jis\" ;", WINDOWS_1252),
        (b"<meta charset=shift_jis>", WINDOWS_1252),
    ];
    let mut ran = 0;
    for (kind, cases) in [(BodyKind::Html, &html[..]), (BodyKind::Css, &css[..])] {
        for (head, encoding) in cases {
            let found = detect(kind, None, head, true).unwrap().unwrap();
            let text = String::from_utf8_lossy(head);
            assert_eq!(carried(found), *encoding, "{text}");
            // A declaration wins over the text, a mark over both.
            let found = detect(kind, Some(WINDOWS_1251), head, true)
                .unwrap()
                .unwrap();
            let marked = Encoding::for_bom(head).map_or(WINDOWS_1251, |(e, _)| e);
            assert_eq!(carried(found), marked, "{text}");
            assert_eq!(
                found.mark,
                Encoding::for_bom(head).map_or(0, |(_, mark)| mark)
            );
            ran += 1;
        }
    }
    assert_eq!(ran, 54);
}

#[test]
fn it_waits_for_what_could_tell() {
    let page = [b' '; PRESCAN];
    let cases: [(Option<&'static Encoding>, &[u8], bool); 10] = [
        (None, b"", true),
        (None, &page[1..], true),
        (None, &page, false),
        (Some(UTF_8), b"", true),
        (Some(UTF_8), b"<", false),
        (Some(UTF_8), b"\xef", true),
        (Some(UTF_8), b"\xef\xbb", true),
        (Some(UTF_8), b"\xef\xbc", false),
        (Some(UTF_8), b"\xff", true),
        (None, b"\xfe\xff", false),
    ];
    for (declared, head, waits) in cases {
        let found = detect(BodyKind::Html, declared, head, false).unwrap();
        assert_eq!(found.is_none(), waits, "{head:?}");
    }
    let replacement = Encoding::for_label(b"iso-2022-kr");
    assert_eq!(
        detect(BodyKind::Html, replacement, b"<p>", true),
        Err(Unreadable)
    );
}

#[test]
fn no_head_panics() {
    let word = prop_oneof![
        Just("<meta "),
        Just("charset"),
        Just("="),
        Just("'"),
        Just("\""),
        Just(">"),
        Just("<!--"),
        Just("-->"),
        Just("<?xml "),
        Just("encoding"),
        Just("content"),
        Just("http-equiv"),
        Just("/"),
        Just("content-type"),
        Just("utf-8"),
        Just(" "),
        Just("<a"),
        Just("</"),
        Just("@charset \""),
        Just("\";"),
    ];
    property(2000, vec(word, 0..40), |words| {
        let head = words.concat();
        for kind in [BodyKind::Html, BodyKind::Css] {
            assert!(detect(kind, None, head.as_bytes(), true).unwrap().is_some());
        }
    });
    property(1000, vec(any::<u8>(), 0..200), |head| {
        assert!(detect(BodyKind::Html, None, &head, true).unwrap().is_some());
    });
}

/// In and back, without a rewriter.
fn round(carry: Carry, octets: &[u8], lengths: &[usize]) -> Result<(Vec<u8>, Vec<u8>), usize> {
    let (mut inward, mut outward) = (Inward::new(carry), Outward::new(carry));
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    let mut left = octets.len();
    for chunk in chunks(octets, lengths) {
        left -= chunk.len();
        let mut text = Vec::new();
        let result = inward.push(chunk, &mut text);
        seen.extend_from_slice(&text);
        // It comes back in other pieces than it went in.
        for piece in text.chunks(5) {
            outward.push(piece, &mut out).unwrap();
        }
        if let Err(Malformed(rest)) = result {
            let at = octets.len() - left - rest.len();
            assert_eq!([&out[..], &rest].concat(), &octets[..octets.len() - left]);
            return Err(at);
        }
    }
    outward.end().unwrap();
    assert!(inward.held().len() < 4);
    out.extend_from_slice(inward.held());
    Ok((seen, out))
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let octets = |unit: u16| {
        if big {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        }
    };
    text.encode_utf16().flat_map(octets).collect()
}

#[test]
fn utf_16_goes_as_utf_8_and_comes_back() {
    let text =
        string_regex("(?s)[a-z<>\u{e9}\u{ffff}\u{10000}\u{10ffff}\u{feff}\\x00]{0,60}|\\PC{0,60}")
            .unwrap();
    property(
        1000,
        (text, vec(1_usize..9, 1..4), any::<bool>()),
        |(text, lengths, big)| {
            let octets = utf16(&text, big);
            let (seen, back) = round(Carry::Utf16 { big }, &octets, &lengths).unwrap();
            assert_eq!(seen, text.as_bytes());
            assert_eq!(back, octets);
        },
    );
}

#[test]
fn malformed_utf_16_is_told_where_it_begins() {
    let mut ran = 0;
    for (units, at) in [
        (&[0x41, 0xdc00, 0x41][..], 2),
        (&[0x41, 0xd800, 0x41], 2),
        (&[0xd800, 0xd800, 0xdc00], 0),
        (&[0x41, 0xd83d, 0xde00, 0xdfff], 6),
    ] {
        for carry in UTF16_CARRIES {
            let big = carry == Carry::Utf16 { big: true };
            let octets: Vec<u8> = units
                .iter()
                .flat_map(|&unit: &u16| {
                    if big {
                        unit.to_be_bytes()
                    } else {
                        unit.to_le_bytes()
                    }
                })
                .collect();
            for length in [1, 2, 3, 4, 5, 100] {
                assert_eq!(
                    round(carry, &octets, &[length]),
                    Err(at),
                    "{units:x?} {length}"
                );
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 48);
    // An end inside a code point is held, and said by nobody but the end.
    let (seen, back) = round(UTF16_CARRIES[0], b"a\0\x3d\xd8\0", &[2]).unwrap();
    assert_eq!(
        (seen.as_slice(), back.as_slice()),
        (&b"a"[..], &b"a\0\x3d\xd8\0"[..])
    );
}

#[test]
fn iso_2022_jp_shows_ascii_where_ascii_is_meant() {
    let cases: [(&[u8], &[u8]); 9] = [
        (b"<a href=x>", b"<a href=x>"),
        (b"a\x1b$B<\"\x1b(Bb<", b"a\x1b$B\xbc\xa2\x1b(Bb<"),
        (
            b"\x1b$@!!\x1b$B!!\x1b(J~",
            b"\x1b$@\xa1\xa1\x1b$B\xa1\xa1\x1b(J~",
        ),
        (b"\x1b(I12\x1b(B12", b"\x1b(I\xb1\xb2\x1b(B12"),
        // Not escape sequences: they mean what their octets mean.
        (b"\x1b(x\x1b$Z", b"\x1b(x\x1b$Z"),
        (
            b"\x1b$B!!\x1b(x!\x1b\x1b(Bx",
            b"\x1b$B\xa1\xa1\x1b\xa8\xf8\xa1\x1b\x1b(Bx",
        ),
        (b"\x1b$B!!\x1b$\x1b(Bx", b"\x1b$B\xa1\xa1\x1b\xa4\x1b(Bx"),
        (b"\x1b$B!\n!", b"\x1b$B\xa1\n\xa1"),
        (b"a\x1b$", b"a"),
    ];
    for (octets, seen) in cases {
        for length in [1, 2, 3, 100] {
            let (text, back) = round(Carry::Iso2022Jp, octets, &[length]).unwrap();
            assert_eq!(text, seen, "{octets:?}");
            assert_eq!(back, octets);
        }
    }
    assert_eq!(round(Carry::Iso2022Jp, b"ab\x1b$\x80cd", &[1]), Err(2));
    assert_eq!(round(Carry::Iso2022Jp, b"ab\x1b$\x80cd", &[100]), Err(2));
}

#[test]
fn iso_2022_jp_comes_back_as_it_was() {
    let text = string_regex(
        "[a-z<>\"=\u{3042}-\u{3093}\u{ff71}-\u{ff9d}\u{65e5}\u{672c}\u{a5}\u{203e}]{0,80}",
    )
    .unwrap();
    property(500, (text, vec(1_usize..9, 1..4)), |(text, lengths)| {
        let (octets, _, unmappable) = ISO_2022_JP.encode(&text);
        assert!(!unmappable);
        let (_, back) = round(Carry::Iso2022Jp, &octets, &lengths).unwrap();
        assert_eq!(back, *octets);
    });
    // Not even a well-formed text is needed.
    let octets = vec(
        prop_oneof![0_u8..0x80, Just(0x1b), Just(b'$'), Just(b'('), Just(b'B')],
        0..200,
    );
    property(
        1000,
        (octets, vec(1_usize..9, 1..4)),
        |(octets, lengths)| {
            let (seen, back) = round(Carry::Iso2022Jp, &octets, &lengths).unwrap();
            assert_eq!(back, octets);
            assert_eq!(round(Carry::Iso2022Jp, &octets, &[1000]).unwrap().0, seen);
        },
    );
}

#[test]
fn text_that_is_not_utf_8_is_refused_on_the_way_back() {
    for text in [&b"a\x80"[..], b"\xc3a", b"\xed\xa0\x80"] {
        for length in [1, 100] {
            let mut outward = Outward::new(UTF16_CARRIES[0]);
            let mut out = Vec::new();
            let result = text
                .chunks(length)
                .try_for_each(|t| outward.push(t, &mut out));
            assert_eq!(result, Err(NotText), "{text:?}");
        }
    }
    let mut outward = Outward::new(UTF16_CARRIES[0]);
    outward.push(b"a\xc3", &mut Vec::new()).unwrap();
    assert_eq!(outward.end(), Err(NotText));
}
