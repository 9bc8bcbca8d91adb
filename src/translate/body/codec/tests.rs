use proptest::collection::vec;
use proptest::prelude::any;
use proptest::sample::select;

use super::*;
use crate::translate::body::testing::{CODINGS, chunks, pack, page, property, unpack};

fn decode(coding: Coding, octets: &[u8], lengths: &[usize]) -> Result<Vec<u8>, Damaged> {
    let mut decoder = Decoder::new(coding, Expansion::default());
    let mut text = Vec::new();
    for mut chunk in chunks(octets, lengths) {
        while let Some(piece) = decoder.decode(&mut chunk)? {
            assert!(piece.len() <= 16 * 1024);
            text.extend_from_slice(piece);
        }
        assert!(chunk.is_empty());
    }
    decoder.end()?;
    Ok(text)
}

fn encode(coding: Coding, text: &[u8], lengths: &[usize], flush: bool) -> Vec<u8> {
    let mut encoder = Encoder::new(coding);
    let mut out = Vec::new();
    for chunk in chunks(text, lengths) {
        encoder.encode(chunk, &mut out).unwrap();
        if flush {
            encoder.flush(&mut out).unwrap();
        }
    }
    encoder.end(&mut out).unwrap();
    out
}

fn raw_deflate(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let level = flate2::Compression::new(6);
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

#[test]
fn names_are_known_in_any_case() {
    let known = [
        ("gzip", Some(Coding::Gzip)),
        ("X-GZip", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("BR", Some(Coding::Brotli)),
        ("identity", Some(Coding::Identity)),
        ("zstd", None),
        ("compress", None),
        ("gzip2", None),
        ("", None),
    ];
    for (name, coding) in known {
        assert_eq!(Coding::named(name.as_bytes()), coding, "{name}");
    }
}

#[test]
fn every_coding_comes_out_the_same_in_chunks_of_any_length() {
    let mut ran = 0;
    for coding in CODINGS {
        for length in [0, 1, 2, 100, 16 * 1024, 16 * 1024 + 1, 300_000] {
            let text = &page(length)[..length.min(page(length).len())];
            let packed = pack(coding, text);
            for lengths in [&[1][..], &[7], &[usize::MAX], &[3, 1, 40_000]] {
                assert_eq!(decode(coding, &packed, lengths).as_deref(), Ok(text));
                ran += 1;
                for flush in [false, true] {
                    if flush && lengths == [1] && length > 100 {
                        continue;
                    }
                    let again = encode(coding, text, lengths, flush);
                    assert_eq!(
                        unpack(coding, &again),
                        text,
                        "{coding:?} {length} {lengths:?}"
                    );
                    ran += 1;
                }
            }
        }
    }
    assert_eq!(ran, 4 * (7 * 4 * 3 - 3));
}

#[test]
fn what_servers_send_is_understood() {
    let text = page(70_000);
    let gzip = pack(Coding::Gzip, &text);
    let garbage = |coding, tail: &[u8]| [pack(coding, &text).as_slice(), tail].concat();
    let twice = [gzip.as_slice(), &gzip].concat();
    let thrice_with_empty = [&gzip[..], &pack(Coding::Gzip, b""), &gzip].concat();
    let double = [&text[..], &text].concat();
    let cases: [(&str, Coding, Vec<u8>, &[u8]); 12] = [
        ("two members", Coding::Gzip, twice.clone(), &double),
        (
            "an empty member between",
            Coding::Gzip,
            thrice_with_empty,
            &double,
        ),
        (
            "members and zeros",
            Coding::Gzip,
            [&twice[..], &[0; 512]].concat(),
            &double,
        ),
        ("zeros", Coding::Gzip, garbage(Coding::Gzip, &[0; 9]), &text),
        (
            "half a magic",
            Coding::Gzip,
            garbage(Coding::Gzip, &[0x1f]),
            &text,
        ),
        (
            "a wrong magic",
            Coding::Gzip,
            garbage(Coding::Gzip, &[0x1f, 0x8c, 8]),
            &text,
        ),
        (
            "garbage after zlib",
            Coding::Deflate,
            garbage(Coding::Deflate, b"\r\nx"),
            &text,
        ),
        (
            "garbage after br",
            Coding::Brotli,
            garbage(Coding::Brotli, b"\r\nx"),
            &text,
        ),
        ("bare deflate", Coding::Deflate, raw_deflate(&text), &text),
        (
            "bare deflate of nothing",
            Coding::Deflate,
            raw_deflate(b""),
            b"",
        ),
        ("nothing as gzip", Coding::Gzip, Vec::new(), b""),
        ("nothing as br", Coding::Brotli, Vec::new(), b""),
    ];
    let mut ran = 0;
    for (name, coding, octets, text) in &cases {
        for lengths in [&[1][..], &[7], &[usize::MAX]] {
            assert_eq!(
                decode(*coding, octets, lengths).as_deref(),
                Ok(*text),
                "{name}"
            );
            ran += 1;
        }
    }
    assert_eq!(ran, 36);
}

#[test]
fn a_body_cut_anywhere_does_not_end_cleanly() {
    let text = &page(3000);
    let mut ran = 0;
    for (coding, octets) in [
        (Coding::Gzip, pack(Coding::Gzip, text)),
        (Coding::Deflate, pack(Coding::Deflate, text)),
        (Coding::Deflate, raw_deflate(text)),
        (Coding::Brotli, pack(Coding::Brotli, text)),
    ] {
        for length in 1..octets.len() {
            let cut = decode(coding, &octets[..length], &[usize::MAX]);
            assert_eq!(cut, Err(Damaged::Truncated), "{coding:?} {length}");
            ran += 1;
        }
    }
    assert!(ran > 2000, "{ran}");
    let gzip = pack(Coding::Gzip, text);
    let half = [&gzip[..], &gzip[..5]].concat();
    assert_eq!(decode(Coding::Gzip, &half, &[3]), Err(Damaged::Truncated));
}

#[test]
fn what_is_not_of_its_coding_is_damaged() {
    let text = page(3000);
    let mut checksum = pack(Coding::Gzip, &text);
    let at = checksum.len() - 8;
    checksum[at] ^= 1;
    let mut length = pack(Coding::Gzip, &text);
    let at = length.len() - 1;
    length[at] ^= 1;
    let mut adler = pack(Coding::Deflate, &text);
    let at = adler.len() - 1;
    adler[at] ^= 1;
    let bad_member = [&pack(Coding::Gzip, &text)[..], &[0x1f, 0x8b, 9, 0, 0, 0]].concat();
    let cases = [
        (Coding::Gzip, checksum),
        (Coding::Gzip, length),
        (Coding::Deflate, adler),
        (Coding::Gzip, bad_member),
        (Coding::Gzip, text.clone()),
        (Coding::Gzip, pack(Coding::Deflate, &text)),
        (Coding::Brotli, text.clone()),
        (Coding::Deflate, vec![0xff; 100]),
        // A preset dictionary.
        (Coding::Deflate, vec![0x78, 0xbb, 1, 2, 3, 4, 5, 6]),
    ];
    for (coding, octets) in &cases {
        for lengths in [&[1][..], &[usize::MAX]] {
            let decoded = decode(*coding, octets, lengths);
            assert_eq!(decoded, Err(Damaged::Content), "{coding:?} {octets:?}");
        }
    }
}

#[test]
fn bombs_are_stopped_early() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let mut ran = 0;
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
        let bomb = pack(coding, &zeros);
        for lengths in [&[1][..], &[4096], &[usize::MAX]] {
            let mut decoder = Decoder::new(coding, Expansion::default());
            let (mut made, mut taken, mut result) = (0, 0, Ok(()));
            'body: for mut chunk in chunks(&bomb, lengths) {
                taken += chunk.len();
                loop {
                    match decoder.decode(&mut chunk) {
                        Ok(Some(piece)) => made += piece.len(),
                        Ok(None) => break,
                        Err(damaged) => {
                            result = Err(damaged);
                            break 'body;
                        }
                    }
                }
            }
            assert_eq!(result, Err(Damaged::Expands), "{coding:?}");
            assert!(
                made <= 1024 * 1024 + 200 * taken,
                "{coding:?} {made} of {taken}"
            );
            ran += 1;
        }
    }
    assert_eq!(ran, 9);
    // The first mebibyte is free.
    let small = pack(Coding::Brotli, &zeros[..1024 * 1024]);
    assert!(decode(Coding::Brotli, &small, &[1]).is_ok());
}

#[test]
fn what_was_flushed_can_be_unpacked_before_the_end() {
    let mut ran = 0;
    for coding in CODINGS {
        let mut encoder = Encoder::new(coding);
        let mut decoder = Decoder::new(coding, Expansion::default());
        for text in [&b"<html>"[..], b"x", &page(50_000), b"tail"] {
            let mut out = Vec::new();
            encoder.encode(text, &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
            let length = out.len();
            encoder.flush(&mut out).unwrap();
            assert_eq!(out.len(), length, "nothing new, nothing flushed");
            let (mut rest, mut seen) = (out.as_slice(), Vec::new());
            while let Some(piece) = decoder.decode(&mut rest).unwrap() {
                seen.extend_from_slice(piece);
            }
            assert_eq!(seen, text, "{coding:?}");
            ran += 1;
        }
        let mut out = Vec::new();
        encoder.end(&mut out).unwrap();
        assert_eq!(decoder.decode(&mut out.as_slice()), Ok(None));
        assert_eq!(decoder.end(), Ok(()));
    }
    assert_eq!(ran, 16);
}

#[test]
fn a_body_without_an_octet_stays_without() {
    for coding in CODINGS {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(coding);
        encoder.encode(b"", &mut out).unwrap();
        encoder.flush(&mut out).unwrap();
        encoder.end(&mut out).unwrap();
        assert!(out.is_empty(), "{coding:?}");
    }
}

#[test]
fn whatever_goes_in_comes_out() {
    let coding = select(CODINGS.to_vec());
    let text = vec(any::<u8>(), 0..20_000);
    let lengths = vec(1_usize..5000, 1..5);
    property(
        200,
        (coding, text, lengths, any::<bool>()),
        |(coding, text, lengths, flush)| {
            let packed = encode(coding, &text, &lengths, flush);
            assert_eq!(
                decode(coding, &packed, &lengths).as_deref(),
                Ok(text.as_slice())
            );
            assert_eq!(decode(coding, &packed, &[usize::MAX]), Ok(text));
        },
    );
}

#[test]
fn no_octets_panic_and_chunks_do_not_matter() {
    let coding = select(CODINGS.to_vec());
    // Half of a good body, then anything.
    let octets = (0_usize..400, vec(any::<u8>(), 0..300));
    let lengths = vec(1_usize..100, 1..5);
    property(
        2000,
        (coding, octets, lengths),
        |(coding, (good, bad), lengths)| {
            let mut octets = pack(coding, &page(600));
            octets.truncate(good);
            octets.extend_from_slice(&bad);
            let whole = decode(coding, &octets, &[usize::MAX]);
            assert_eq!(decode(coding, &octets, &lengths), whole);
        },
    );
}
