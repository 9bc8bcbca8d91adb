use proptest::prelude::*;

use super::*;

/// Scans a connection that arrives in pieces as a reader does that holds back what did not pass;
/// nobody answers. Returns what passed.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Fault>, Scanner) {
    let mut scanner = Scanner::new();
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        let scanned = scanner.scan(&held);
        passed.extend(held.drain(..scanned.passed));
        if scanned.fault.is_some() {
            return (passed, scanned.fault, scanner);
        }
    }
    (passed, None, scanner)
}

fn whole(octets: &[u8]) -> (Vec<u8>, Option<Fault>, Scanner) {
    read([octets])
}

fn fault(octets: &[u8]) -> Option<Fault> {
    let (_, at_once, _) = whole(octets);
    let (_, one_by_one, _) = read(octets.chunks(1));
    assert_eq!(
        at_once,
        one_by_one,
        "{:?}",
        octets.escape_ascii().to_string()
    );
    at_once
}

const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET http://a.test/x?y=%20 HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "GET HTTPS://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "PROPFIND /a|b{c}\"d HTTP/1.1\r\nHost: a.test\r\nDepth: 1\r\n\r\n",
    "RDG_IN_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
    "GET /\u{fc}ber HTTP/1.1\r\nHost: a.test\r\nX-Name: J\u{fc}rgen\tX\r\nX-Empty:\r\nX: \t \r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a.test\r\nCONTENT-LENGTH:\t5 \r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
];

#[test]
fn rule_08_what_is_well_formed_passes_whole_in_any_pieces_and_in_a_row() {
    let mut all = String::new();
    for good in GOOD {
        let (passed, fault, scanner) = whole(good.as_bytes());
        assert_eq!(
            (passed.as_slice(), fault),
            (good.as_bytes(), None),
            "{good}"
        );
        assert_eq!(scanner.heads(), 1, "{good}");
        assert!(scanner.is_between(), "{good}");
        let (passed, fault, _) = read(good.as_bytes().chunks(1));
        assert_eq!(
            (passed.as_slice(), fault),
            (good.as_bytes(), None),
            "{good}"
        );
        all.push_str(good);
    }
    for size in [1, 2, 3, 7, 64, 10_000] {
        let (passed, fault, scanner) = read(all.as_bytes().chunks(size));
        assert_eq!((passed.as_slice(), fault), (all.as_bytes(), None));
        assert_eq!(scanner.heads(), GOOD.len() as u64);
    }
}

/// Of each what is wrong with it. None lets an octet of its head pass.
const BAD_HEADS: &[(&str, Fault)] = &[
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::EmptyLine),
    ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::BareLf),
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", Fault::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", Fault::BareLf),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", Fault::BareLf),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n",
        Fault::BareCr,
    ),
    ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Fault::BareCr),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", Fault::BareCr),
    ("GET /\r\n\r\n", Fault::RequestLine),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Fault::RequestLine),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("G\u{c9}T / HTTP/1.1\r\nHost: a\r\n\r\n", Fault::RequestLine),
    ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET /<x> HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET http://[a/ HTTP/1.1\r\nHost: a\r\n\r\n", Fault::Target),
    ("GET a.test HTTP/1.1\r\nHost: a\r\n\r\n", Fault::TargetForm),
    (
        "GET a.test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        Fault::TargetForm,
    ),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Fault::TargetForm),
    (
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Fault::TargetForm,
    ),
    ("GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", Fault::TargetForm),
    (
        "CONNECT a.test:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        Fault::Connect,
    ),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", Fault::Version),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Fault::Version),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::TargetForm),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Fault::Folded),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        Fault::Folded,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz: z\r\n\r\n",
        Fault::Folded,
    ),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Fault::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Fault::FieldName),
    ("GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", Fault::FieldName),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX Y: y\r\n\r\n",
        Fault::FieldName,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n",
        Fault::FieldName,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX\x0b: y\r\n\r\n",
        Fault::FieldName,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        Fault::FieldName,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\u{a0}X: y\r\n\r\n",
        Fault::FieldName,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        Fault::FieldValue,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\x0bz\r\n\r\n",
        Fault::FieldValue,
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        Fault::FieldValue,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u{661}\r\n\r\nhello",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nx",
        Fault::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{e7}hunked\r\n\r\n",
        Fault::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::TwoLengths,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        Fault::TwoLengths,
    ),
];

#[test]
fn rule_08_a_head_that_two_readers_read_differently_is_refused_before_any_octet_passes() {
    let before = GOOD[9].as_bytes();
    for (bad, why) in BAD_HEADS {
        assert_eq!(fault(bad.as_bytes()), Some(*why), "{bad:?}");
        let (passed, _, mut scanner) = whole(bad.as_bytes());
        assert_eq!(passed, b"", "{bad:?}");
        assert_eq!(scanner.heads(), 0, "{bad:?}");
        // Nothing passes afterwards.
        let later = scanner.scan(before);
        assert_eq!((later.passed, later.fault), (0, Some(*why)));
        assert!(scanner.refuses_head());
        // Behind a good one, that one passes and it alone.
        let row = [before, bad.as_bytes()].concat();
        for size in [1, 5, row.len()] {
            let (passed, found, scanner) = read(row.chunks(size));
            assert_eq!((passed.as_slice(), found), (before, Some(*why)), "{bad:?}");
            assert_eq!(scanner.heads(), 1);
        }
    }
}

#[test]
fn rule_08_chunks_are_read_by_the_letter() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("5;{}\r\nhello\r\n", "x".repeat(CHUNK_LINE));
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(FIELDS + 1));
    let large = format!("0\r\nX: {}", "y".repeat(TRAILERS));
    for (body, why) in [
        ("\r\n", Fault::ChunkSize),
        ("x\r\n", Fault::ChunkSize),
        ("0x5\r\nhello\r\n", Fault::ChunkSize),
        ("+5\r\nhello\r\n", Fault::ChunkSize),
        ("-5\r\nhello\r\n", Fault::ChunkSize),
        (" 5\r\nhello\r\n", Fault::ChunkSize),
        ("5 \r\nhello\r\n", Fault::ChunkSize),
        ("5 ;x\r\nhello\r\n", Fault::ChunkSize),
        ("5\t\r\nhello\r\n", Fault::ChunkSize),
        ("5\0\r\nhello\r\n", Fault::ChunkSize),
        ("5;\0\r\nhello\r\n", Fault::ChunkSize),
        ("5;x\rhello\r\n", Fault::BareCr),
        ("5\nhello\r\n", Fault::BareLf),
        ("5;x\nhello\r\n", Fault::BareLf),
        ("10000000000000005\r\nhello\r\n", Fault::ChunkSize),
        ("0000000000000005\r\nhello\r\n", Fault::ChunkSize),
        (&long, Fault::ChunkSize),
        ("5\r\nhell\r\n0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello!\r\n", Fault::ChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", Fault::ChunkEnd),
        ("5\r\nhello5\r\nhello\r\n", Fault::ChunkEnd),
        ("0\r\nX : y\r\n\r\n", Fault::FieldName),
        ("0\r\nX: y\r\n z\r\n\r\n", Fault::Folded),
        ("0\r\nX: \0\r\n\r\n", Fault::FieldValue),
        ("0\r\nX: y\n\r\n", Fault::BareLf),
        ("0\r\n\n", Fault::BareLf),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Fault::FieldName),
        (&many, Fault::Trailers),
        (&large, Fault::Trailers),
    ] {
        let octets = [head, body].concat();
        assert_eq!(fault(octets.as_bytes()), Some(why), "{body:?}");
        let (passed, _, scanner) = whole(octets.as_bytes());
        assert!(passed.starts_with(head.as_bytes()), "{body:?}");
        assert!(!scanner.refuses_head(), "{body:?}");
    }
}

#[test]
fn heads_are_bounded_with_and_without_an_end() {
    let begin = "GET / HTTP/1.1\r\nHost: a\r\n";
    let fields = |count: usize| format!("{begin}{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(fault(fields(FIELDS - 1).as_bytes()), None);
    assert_eq!(fault(fields(FIELDS).as_bytes()), Some(Fault::TooManyFields));
    let long = |octets: usize| format!("{begin}X: {}\r\n\r\n", "y".repeat(octets));
    let rest = long(0).len();
    assert_eq!(fault(long(HEAD - rest).as_bytes()), None);
    assert_eq!(
        fault(long(HEAD - rest + 1).as_bytes()),
        Some(Fault::HeadTooLarge)
    );
    let endless = "x".repeat(HEAD + 1);
    assert_eq!(fault(endless.as_bytes()), Some(Fault::HeadTooLarge));
    // What the parser would refuse for its length, and say nothing of it.
    let target = |octets: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(octets - 1));
    assert_eq!(fault(target(65_534).as_bytes()), None);
    assert_eq!(fault(target(65_535).as_bytes()), Some(Fault::TargetTooLong));
    let name = |octets: usize| format!("{begin}{}: y\r\n\r\n", "x".repeat(octets));
    assert_eq!(fault(name(65_535).as_bytes()), None);
    assert_eq!(fault(name(65_536).as_bytes()), Some(Fault::HeadTooLarge));
    for fault in [
        Fault::HeadTooLarge,
        Fault::TooManyFields,
        Fault::TargetTooLong,
    ] {
        assert!(fault.is_too_large());
    }
    assert!(!Fault::Version.is_too_large());
}

#[test]
fn nothing_passes_behind_a_request_to_upgrade_until_it_is_answered() {
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let frames = b"\x81\x80\r\n\0\xffnot HTTP";
    let row = [GOOD[0].as_bytes(), upgrade.as_bytes(), frames].concat();
    let length = GOOD[0].len() + upgrade.len();
    let (passed, fault, mut scanner) = whole(&row);
    assert_eq!((passed.len(), fault), (length, None));
    assert!(scanner.waits());
    assert_eq!(scanner.scan(frames).passed, 0);
    // The answer to the one before decides nothing.
    scanner.answered(1, false);
    assert!(scanner.waits());
    scanner.answered(2, true);
    assert!(scanner.is_upgraded());
    assert_eq!(scanner.scan(frames).passed, frames.len());

    // Refused, what follows is a request again.
    let (_, _, mut scanner) = whole(upgrade.as_bytes());
    assert_eq!(scanner.scan(GOOD[0].as_bytes()).passed, 0);
    scanner.answered(1, false);
    assert_eq!(scanner.scan(GOOD[0].as_bytes()).passed, GOOD[0].len());
    let (_, _, mut scanner) = whole(upgrade.as_bytes());
    scanner.answered(1, false);
    assert_eq!(scanner.scan(frames).fault, Some(Fault::RequestLine));

    // Answered before its body was sent, the body is still one.
    let posted = upgrade
        .replace("GET", "POST")
        .replace("Host", "Content-Length: 5\r\nHost");
    let (passed, _, mut scanner) = whole(posted.as_bytes());
    assert_eq!(passed.len(), posted.len());
    scanner.answered(1, false);
    let rest = [b"GET /", GOOD[0].as_bytes()].concat();
    assert_eq!(scanner.scan(&rest).passed, rest.len());
    assert_eq!(scanner.heads(), 2);

    // HTTP/1.0 knows no upgrade.
    let (_, _, scanner) = whole(upgrade.replace("1.1", "1.0").as_bytes());
    assert!(!scanner.waits());
}

/// Octets as attackers send them: pieces of HTTP in any order.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(GOOD).prop_map(|good| good.as_bytes().to_vec()),
        2 => prop::sample::select(BAD_HEADS).prop_map(|(bad, _)| bad.as_bytes().to_vec()),
        2 => prop::sample::select(&[
            "\r\n", "\n", "\r", ":", " ", "0\r\n\r\n", "Upgrade: websocket\r\n", "5;x\r\nhello\r\n",
            "GET / HTTP/1.1\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 3\r\n", "Host: a\r\n",
        ][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn how_octets_are_cut_changes_nothing(octets in anything(), sizes in prop::collection::vec(1_usize..40, 1..20)) {
        let (passed, fault, scanner) = whole(&octets);
        let mut pieces = Vec::new();
        let (mut rest, mut sizes) = (octets.as_slice(), sizes.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let cut = read(pieces);
        prop_assert_eq!(&cut.0, &passed);
        prop_assert_eq!(cut.1, fault);
        prop_assert_eq!(cut.2.heads(), scanner.heads());
        prop_assert!(octets.starts_with(&passed));
    }

    /// What passes a parser reads as the same requests, one after the other.
    #[test]
    fn what_passes_a_parser_reads_as_it_was_read_here(octets in anything()) {
        let (passed, _, scanner) = whole(&octets);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        if scanner.heads() > 0 {
            let read = request.parse(&passed);
            prop_assert!(read.is_ok_and(|read| read.is_complete()), "{:?}", passed.escape_ascii().to_string());
        } else {
            prop_assert!(passed.is_empty());
        }
    }
}
