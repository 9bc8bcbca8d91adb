//! HTTP/2 as no client writes it: what could become something else in HTTP/1.1 is refused on its
//! way in, what floods is bounded, and whoever is beside it is served.

use std::collections::HashMap;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf};
use tokio::time::timeout;

use crate::harness::{
    Connection, DEADLINE, Read, Running, Seen, Stand, Tls, read_strictly, within,
};
use crate::smuggling::{Connections, origin};

/// The cases there are at least, floods apart.
const CASES: usize = 60;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 32;
const WHOLE: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A number behind a prefix of seven bits (RFC 7541 section 5.1).
fn number(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let mut octets = vec![127];
    value -= 127;
    while value >= 128 {
        octets.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    octets.push(u8::try_from(value).unwrap());
    octets
}

/// Fields as literals, without Huffman's code and without a table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.extend(number(text.len()));
            block.extend(text.bytes());
        }
    }
    block
}

/// What is to come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// 200, and the application sees the request once.
    Served,
    /// The stream or the connection is ended, or the answer is 4xx; the application sees nothing.
    Refused,
    /// The same, only that the head was good: the application may see it, and its end never.
    Broken,
    /// The same, of what follows a request that was whole: that may be seen.
    Late,
}

use Fate::{Broken, Late, Refused, Served};

struct Case {
    name: &'static str,
    fate: Fate,
    frames: Vec<u8>,
}

/// What came: the status of stream 1, or how it or the connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Status(u16),
    Reset,
    GoAway,
    Closed,
    Nothing,
}

/// One case after the other, each with a path of its own: `/1/`, `/2/` and so on.
struct Cases {
    host: String,
    all: Vec<Case>,
}

impl Cases {
    fn path(&self) -> String {
        format!("/{}/", self.all.len() + 1)
    }

    fn frames(&mut self, fate: Fate, name: &'static str, frames: Vec<u8>) {
        self.all.push(Case { name, fate, frames });
    }

    /// A GET with these pseudo-headers in place of its own (empty names leave them out), and these
    /// fields.
    fn head(&self, pseudo: &[(&str, &str)], fields: &[(&str, &str)]) -> Vec<u8> {
        let path = self.path();
        let own = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", self.host.as_str()),
            (":path", path.as_str()),
        ];
        let mut list: Vec<(&str, &str)> = own
            .into_iter()
            .filter(|(name, _)| {
                !pseudo
                    .iter()
                    .any(|(other, _)| other.trim_start_matches('-') == *name)
            })
            .collect();
        list.extend(pseudo.iter().filter(|(name, _)| !name.starts_with('-')));
        list.extend(fields);
        block(&list)
    }

    fn get(
        &mut self,
        fate: Fate,
        name: &'static str,
        pseudo: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) {
        let frames = frame(HEADERS, WHOLE, 1, &self.head(pseudo, fields));
        self.frames(fate, name, frames);
    }

    /// A POST with these fields and this body, each part in a frame of its own.
    fn post(&mut self, fate: Fate, name: &'static str, fields: &[(&str, &str)], body: &[&str]) {
        let mut frames = self.open(fields);
        for (i, part) in body.iter().enumerate() {
            let flags = if i + 1 == body.len() { END_STREAM } else { 0 };
            frames.extend(frame(DATA, flags, 1, part.as_bytes()));
        }
        self.frames(fate, name, frames);
    }

    /// A POST whose trailers are these.
    fn trailers(&mut self, fate: Fate, name: &'static str, flags: u8, trailers: &[(&str, &str)]) {
        let mut frames = self.open(&[]);
        frames.extend(frame(DATA, 0, 1, b"hello"));
        frames.extend(frame(HEADERS, flags, 1, &block(trailers)));
        self.frames(fate, name, frames);
    }

    /// The head of a POST.
    fn open(&self, fields: &[(&str, &str)]) -> Vec<u8> {
        frame(
            HEADERS,
            END_HEADERS,
            1,
            &self.head(&[(":method", "POST")], fields),
        )
    }

    /// A whole GET, to put something behind it.
    fn whole(&self) -> Vec<u8> {
        frame(HEADERS, WHOLE, 1, &self.head(&[], &[]))
    }
}

fn pseudo_headers(cases: &mut Cases) {
    let host = cases.host.clone();
    let host = host.as_str();
    cases.get(Served, "nothing odd", &[], &[]);
    for (name, without) in [
        ("no :method", "-:method"),
        ("no :scheme", "-:scheme"),
        ("no :path", "-:path"),
        ("neither :authority nor Host", "-:authority"),
    ] {
        cases.get(Refused, name, &[(without, "")], &[]);
    }
    cases.get(
        Served,
        "Host for :authority",
        &[("-:authority", "")],
        &[("host", host)],
    );
    cases.get(Served, "both, alike", &[], &[("host", host)]);
    for (name, field) in [
        ("Host beside another :authority", ("host", "evil.test")),
        ("two methods", (":method", "POST")),
        ("two schemes", (":scheme", "https")),
        ("two paths", (":path", "/smuggled")),
        ("two authorities", (":authority", "evil.test")),
        (":status", (":status", "200")),
        ("an unknown one", (":foo", "bar")),
        ("one in capitals", (":Path", "/smuggled")),
        (":protocol with GET", (":protocol", "websocket")),
    ] {
        cases.get(Refused, name, &[], &[field]);
    }
    cases.get(Refused, "two Hosts", &[], &[("host", host), ("host", host)]);
    cases.get(
        Refused,
        "one behind a field",
        &[("-:path", "")],
        &[("x", "y"), (":path", "/smuggled")],
    );
    let user = format!("user@{host}");
    let path = format!("{host}/x");
    let fragment = format!("{host}#x");
    let list = format!("{host}, evil.test");
    let injected = format!("{host}\r\nX: y");
    for (name, authority) in [
        ("a user in :authority", user.as_str()),
        ("a path in :authority", &path),
        ("a fragment in :authority", &fragment),
        ("a list in :authority", &list),
        ("a field in :authority", &injected),
        ("an empty :authority", ""),
        ("a space in :authority", "wiki localhost"),
        ("NUL in :authority", "wiki.localhost\0"),
        ("another :authority", "other.localhost"),
    ] {
        cases.get(Refused, name, &[(":authority", authority)], &[]);
    }
    for (name, path) in [
        ("an empty :path", ""),
        (":path without a slash", "smuggled"),
        (":path with a question mark first", "?smuggled"),
        (":path that is a URL", "https://evil.test/smuggled"),
        (":path with an at sign first", "@evil.test/smuggled"),
        (":path with a space", "/smuggled b"),
        (
            ":path with a request",
            "/smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /",
        ),
        (":path with LF", "/smuggled\nb"),
        (":path with CR", "/smuggled\rb"),
        (":path with NUL", "/smuggled\0b"),
        (":path with DEL", "/smuggled\x7fb"),
        (":path with a tab", "/smuggled\tb"),
        (":path *, for GET", "*"),
    ] {
        cases.get(Refused, name, &[(":path", path)], &[]);
    }
    // The parser cuts a fragment off unseen: what is decided on and forwarded is what stands before.
    let fragment = format!("{}#smuggled", cases.path());
    cases.get(
        Served,
        ":path with a fragment",
        &[(":path", &fragment)],
        &[],
    );
    for (name, method) in [
        ("an empty :method", ""),
        (":method with a space", "GET /smuggled"),
        (
            ":method with a request",
            "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\nGET",
        ),
        (":method with NUL", "GET\0"),
        (":method beyond ASCII", "G\u{c9}T"),
        ("CONNECT with a path", "CONNECT"),
    ] {
        cases.get(Refused, name, &[(":method", method)], &[]);
    }
    for (name, scheme) in [
        ("an empty :scheme", ""),
        (":scheme with a request", "https://x/ HTTP/1.1\r\n\r\n"),
        ("another :scheme", "ftp"),
        (":scheme with a space", "ht tps"),
    ] {
        cases.get(Refused, name, &[(":scheme", scheme)], &[]);
    }
    let bare = [(":method", "CONNECT"), ("-:scheme", ""), ("-:path", "")];
    cases.get(Refused, "CONNECT", &bare, &[]);
    for (name, protocol, fields) in [
        (
            "extended CONNECT for another protocol",
            "foo",
            &[("sec-websocket-version", "13")][..],
        ),
        (
            "extended CONNECT for h2c",
            "h2c",
            &[("sec-websocket-version", "13")],
        ),
        ("extended CONNECT without a version", "websocket", &[]),
        (
            "extended CONNECT of version 8",
            "websocket",
            &[("sec-websocket-version", "8")],
        ),
        (
            "extended CONNECT with a length",
            "websocket",
            &[("sec-websocket-version", "13"), ("content-length", "5")],
        ),
    ] {
        let pseudo = [(":method", "CONNECT"), (":protocol", protocol)];
        let head = cases.head(&pseudo, fields);
        cases.frames(Refused, name, frame(HEADERS, END_HEADERS, 1, &head));
    }
    let pseudo = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        ("-:path", ""),
    ];
    let head = cases.head(&pseudo, &[("sec-websocket-version", "13")]);
    cases.frames(
        Refused,
        "extended CONNECT without a path",
        frame(HEADERS, END_HEADERS, 1, &head),
    );
}

fn fields(cases: &mut Cases) {
    for (fate, name, field) in [
        (Refused, "Connection", ("connection", "close")),
        (
            Refused,
            "Connection that names Host",
            ("connection", "host"),
        ),
        (
            Refused,
            "Transfer-Encoding",
            ("transfer-encoding", "chunked"),
        ),
        (
            Refused,
            "Transfer-Encoding: identity",
            ("transfer-encoding", "identity"),
        ),
        (Refused, "Upgrade", ("upgrade", "h2c")),
        (Refused, "Keep-Alive", ("keep-alive", "timeout=5")),
        (
            Refused,
            "Proxy-Connection",
            ("proxy-connection", "keep-alive"),
        ),
        (Refused, "TE: gzip", ("te", "gzip")),
        (Refused, "TE: trailers, gzip", ("te", "trailers, gzip")),
        (Served, "TE: trailers", ("te", "trailers")),
        (Served, "HTTP2-Settings", ("http2-settings", "AAMAAABk")),
        (Served, "content_length", ("content_length", "5")),
        (
            Served,
            "transfer_encoding",
            ("transfer_encoding", "chunked"),
        ),
        (Served, "Expect", ("expect", "100-continue")),
        (Refused, "a name in capitals", ("X-Upper", "y")),
        (
            Refused,
            "Transfer-Encoding in capitals",
            ("Transfer-Encoding", "chunked"),
        ),
        (Refused, "a name of nothing", ("", "y")),
        (Refused, "a colon in a name", ("x:y", "z")),
        (
            Refused,
            "a colon behind a name",
            ("transfer-encoding:", "chunked"),
        ),
        (Refused, "a space in a name", ("x y", "z")),
        (
            Refused,
            "a space behind a name",
            ("transfer-encoding ", "chunked"),
        ),
        (
            Refused,
            "a field in a name",
            ("x\r\ntransfer-encoding: chunked\r\ny", "z"),
        ),
        (Refused, "LF in a name", ("x\ny", "z")),
        (Refused, "NUL in a name", ("x\0y", "z")),
        (Refused, "a name beyond ASCII", ("x\u{e9}", "z")),
        (
            Refused,
            "a field in a value",
            ("foo", "bar\r\nTransfer-Encoding: chunked"),
        ),
        (
            Refused,
            "a request in a value",
            ("foo", "bar\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x"),
        ),
        (Refused, "LF in a value", ("foo", "bar\nbaz: x")),
        (Refused, "CR in a value", ("foo", "bar\rbaz: x")),
        (Refused, "NUL in a value", ("foo", "bar\0")),
        (Refused, "DEL in a value", ("foo", "bar\x7f")),
        (Refused, "LF behind a value", ("foo", "bar\n")),
    ] {
        cases.get(fate, name, &[], &[field]);
    }
}

fn lengths(cases: &mut Cases) {
    let length = |value| ("content-length", value);
    cases.post(
        Served,
        "a length that agrees",
        &[length("5")],
        &["hel", "lo"],
    );
    cases.post(Served, "no length", &[], &["hel", "lo"]);
    cases.post(Served, "no length and nothing", &[], &[""]);
    cases.post(
        Served,
        "a body that is a request",
        &[],
        &["0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"],
    );
    for (name, value, body) in [
        ("longer than the body", "6", &["hel", "lo"][..]),
        ("shorter than the body", "4", &["hel", "lo"]),
        (
            "zero, with a body",
            "0",
            &["GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"],
        ),
        ("longer than nothing", "6", &[""]),
        ("with a sign", "+5", &["hello"]),
        ("negative", "-5", &["hello"]),
        ("a list", "5, 5", &["hello"]),
        ("a word", "five", &["hello"]),
        ("of nothing", "", &["hello"]),
        ("with a field behind it", "5\r\nx: y", &["hello"]),
    ] {
        cases.post(Broken, name, &[length(value)], body);
    }
    cases.get(
        Refused,
        "a length of nothing, and no body",
        &[],
        &[length("")],
    );
    cases.post(
        Refused,
        "a length with a zero before it",
        &[length("05")],
        &["hello"],
    );
    cases.get(Broken, "a length, and no body", &[], &[length("5")]);
    cases.post(
        Broken,
        "two lengths",
        &[length("5"), length("6")],
        &["hello"],
    );
    cases.post(
        Broken,
        "two lengths, the second right",
        &[length("6"), length("5")],
        &["hello"],
    );
    cases.post(
        Broken,
        "two lengths alike",
        &[length("5"), length("5")],
        &["hello"],
    );
    cases.post(
        Broken,
        "a length and Transfer-Encoding",
        &[length("5"), ("transfer-encoding", "chunked")],
        &["hello"],
    );
}

fn trailers(cases: &mut Cases) {
    cases.trailers(Served, "trailers", WHOLE, &[("x-sum", "1")]);
    cases.trailers(
        Served,
        "Content-Length in trailers",
        WHOLE,
        &[("content-length", "99")],
    );
    cases.trailers(Served, "Host in trailers", WHOLE, &[("host", "evil.test")]);
    // The parser reads over known ones and passes on the others, so nobody sees them.
    for (name, field) in [
        (":path in trailers", (":path", "/smuggled")),
        (":method in trailers", (":method", "POST")),
    ] {
        cases.trailers(Served, name, WHOLE, &[field, ("x-sum", "1")]);
    }
    for (name, flags, field) in [
        (
            "an unknown pseudo-header in trailers",
            WHOLE,
            (":foo", "bar"),
        ),
        (
            "Transfer-Encoding in trailers",
            WHOLE,
            ("transfer-encoding", "chunked"),
        ),
        ("Connection in trailers", WHOLE, ("connection", "close")),
        (
            "a field in the value of a trailer",
            WHOLE,
            ("x", "y\r\nz: z"),
        ),
        ("a name in capitals in trailers", WHOLE, ("X-Sum", "1")),
        (
            "trailers that do not end the stream",
            END_HEADERS,
            ("x-sum", "1"),
        ),
    ] {
        cases.trailers(Broken, name, flags, &[field]);
    }
}

fn frames(cases: &mut Cases) {
    let ping = |flags, length| frame(PING, flags, 0, &vec![0; length]);
    let update = |id, by: u32| frame(WINDOW_UPDATE, 0, id, &by.to_be_bytes());
    let setting = |id: u16, value: u32| {
        let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        frame(SETTINGS, 0, 0, &payload)
    };
    for (name, frames) in [
        (
            "DATA on a stream that is not open",
            frame(DATA, END_STREAM, 1, b"hello"),
        ),
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, b"hello")),
        (
            "RST_STREAM on a stream that is not open",
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
        ),
        (
            "CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
        ),
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
        ),
        ("SETTINGS of five octets", frame(SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        (
            "an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &[0; 6]),
        ),
        ("a window that is too large", setting(4, 1 << 31)),
        ("frames that are too small", setting(5, 1)),
        ("PING of seven octets", ping(0, 7)),
        ("a window's update that overflows", update(0, (1 << 31) - 1)),
        ("an update by nothing", update(0, 0)),
        ("an update on a stream that is not open", update(1, 1)),
        (
            "an index that is not in the table",
            frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0x03]),
        ),
        ("index 0", frame(HEADERS, WHOLE, 1, &[0x80])),
        (
            "a table that is too large",
            frame(HEADERS, WHOLE, 1, &[0x3f, 0xff, 0xff, 0xff, 0x0f]),
        ),
        (
            "a literal that is cut short",
            frame(HEADERS, WHOLE, 1, &[0, 5, b'x']),
        ),
        (
            "a number without end",
            frame(HEADERS, WHOLE, 1, &[0xff; 40]),
        ),
        ("no field at all", frame(HEADERS, WHOLE, 1, &[])),
    ] {
        cases.frames(Refused, name, frames);
    }
    let head = cases.head(&[], &[]);
    cases.frames(
        Refused,
        "HEADERS on stream 0",
        frame(HEADERS, WHOLE, 0, &head),
    );
    let head = cases.head(&[], &[]);
    cases.frames(
        Refused,
        "HEADERS on a server's stream",
        frame(HEADERS, WHOLE, 2, &head),
    );
    let head = cases.head(&[], &[]);
    let mixed = [frame(HEADERS, END_STREAM, 1, &head), ping(0, 8)].concat();
    cases.frames(Refused, "PING in the middle of a head", mixed);
    let head = cases.head(&[], &[]);
    let mixed = [
        frame(HEADERS, END_STREAM, 1, &head),
        frame(CONTINUATION, END_HEADERS, 3, &[]),
    ];
    cases.frames(Refused, "CONTINUATION of another stream", mixed.concat());
    let head = [&[255][..], &cases.head(&[], &[])].concat();
    cases.frames(
        Refused,
        "more padding than there is",
        frame(HEADERS, WHOLE | PADDED, 1, &head),
    );
    let head = [&[0, 0, 0, 1, 0][..], &cases.head(&[], &[])].concat();
    cases.frames(
        Refused,
        "a stream that depends on itself",
        frame(HEADERS, WHOLE | PRIORITISED, 1, &head),
    );
    let large = frame(DATA, 0, 1, &[0; 1 << 15]);
    cases.frames(Refused, "a frame that is too large", large);

    // What follows a whole request cannot undo it.
    for (name, behind) in [
        ("DATA behind the end", frame(DATA, 0, 1, b"hello")),
        (
            "a second head behind the end",
            frame(HEADERS, WHOLE, 1, &block(&[("x", "y")])),
        ),
        ("a lower stream behind a higher one", Vec::new()),
    ] {
        let mut frames = cases.whole();
        if behind.is_empty() {
            let head = cases.head(&[], &[]);
            frames = frame(HEADERS, WHOLE, 5, &head);
            frames.extend(cases.whole());
        }
        frames.extend(behind);
        cases.frames(Late, name, frames);
    }

    // Odd, and allowed.
    let head = [&[3][..], &cases.head(&[], &[]), &[0; 3]].concat();
    cases.frames(Served, "padding", frame(HEADERS, WHOLE | PADDED, 1, &head));
    let mut parts = frame(200, 0, 0, b"unknown");
    parts.extend(cases.whole());
    cases.frames(Served, "an unknown frame", parts);
    let mut parts = frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 7]);
    parts.extend(cases.whole());
    cases.frames(Served, "a priority for nobody", parts);
    let head = cases.head(&[], &[]);
    let mut parts = frame(HEADERS, END_STREAM, 1, &head[..7]);
    parts.extend(frame(CONTINUATION, 0, 1, &head[7..9]));
    parts.extend(frame(CONTINUATION, 0, 1, &[]));
    parts.extend(frame(CONTINUATION, END_HEADERS, 1, &head[9..]));
    cases.frames(Served, "a head in four frames", parts);
}

/// Opens a connection: the preface and settings that forbid a table, so that answers can be read
/// without one.
async fn open(stand: &Running) -> Tls {
    let mut stream = stand.client().raw_http2("wiki.localhost").await;
    let settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
    stream
        .write_all(&[PREFACE, &settings].concat())
        .await
        .unwrap();
    stream
}

async fn play(stand: &Running, octets: &[u8]) -> Came {
    let (mut read, mut write) = tokio::io::split(open(stand).await);
    let play = async {
        let write = async {
            let _ = write.write_all(octets).await;
            let _ = write.flush().await;
        };
        // Kept open until something came.
        let (came, ()) = tokio::join!(came(&mut read), write);
        came
    };
    timeout(DEADLINE, play).await.unwrap_or(Came::Nothing)
}

async fn next(read: &mut ReadHalf<Tls>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    read.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], id, payload))
}

/// How stream 1 ends, or the connection before it.
async fn came(read: &mut ReadHalf<Tls>) -> Came {
    let mut status = None;
    while let Some((kind, flags, id, payload)) = next(read).await {
        match kind {
            GOAWAY => return Came::GoAway,
            RST_STREAM if id == 1 || id == 2 => return status.map_or(Came::Reset, Came::Status),
            HEADERS if id == 1 => {
                status = status.or_else(|| Some(status_of(&payload)));
                if flags & END_STREAM != 0 {
                    return status.map_or(Came::Nothing, Came::Status);
                }
            }
            DATA if id == 1 && flags & END_STREAM != 0 => {
                return status.map_or(Came::Nothing, Came::Status);
            }
            _ => {}
        }
    }
    Came::Closed
}

/// The status in a head, which is its first field.
fn status_of(block: &[u8]) -> u16 {
    // Changes of the table's size come before.
    let at = block.iter().position(|octet| octet >> 5 != 1).unwrap();
    match block[at] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        // Name 8 of the static table, with a value.
        0x48 | 0x08 | 0x18 => {
            let (length, value) = (block[at + 1], &block[at + 2..]);
            if length & 0x80 == 0 {
                let text = std::str::from_utf8(&value[..3]).unwrap();
                return text.parse().unwrap();
            }
            digits(value)
        }
        other => panic!("a head that begins with {other:#x}"),
    }
}

/// Three digits in Huffman's code: five bits for 0 to 2, six for the others.
fn digits(octets: &[u8]) -> u16 {
    let bits: String = octets.iter().take(3).map(|o| format!("{o:08b}")).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        if five <= 2 {
            number = number * 10 + five;
            at += 5;
        } else {
            let six = u16::from_str_radix(&bits[at..at + 6], 2).unwrap();
            number = number * 10 + six - 0x19 + 3;
            at += 6;
        }
    }
    number
}

/// What the application has seen of each case, by the number in its path: whole requests, and heads
/// that were cut short.
fn sorted(connections: &Connections) -> Result<HashMap<usize, (Vec<Seen>, usize)>, String> {
    let mut seen: HashMap<usize, (Vec<Seen>, usize)> = HashMap::new();
    let of = |target: &str| -> Option<usize> { target.split('/').nth(1)?.parse().ok() };
    for octets in connections.lock().unwrap().iter() {
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            match read_strictly(rest) {
                Read::Whole(request, length) => {
                    rest = &rest[length..];
                    if request.target != "/beside" {
                        let number = of(&request.target)
                            .ok_or_else(|| format!("came on its own: {request:?}"))?;
                        seen.entry(number).or_default().0.push(request);
                    }
                }
                Read::Partial => {
                    let text = rest.escape_ascii().to_string();
                    let target = text.split(' ').nth(1).and_then(of);
                    let number = target.ok_or_else(|| format!("half a request: {text}"))?;
                    seen.entry(number).or_default().1 += 1;
                    break;
                }
                Read::Doubtful(why) => {
                    return Err(format!("{why}: {}", rest.escape_ascii()));
                }
            }
        }
    }
    Ok(seen)
}

/// A client that has nothing to do with it is served on its own connection.
async fn beside(connection: &mut Connection, stand: &Running, what: &str) {
    let request = Request::get(stand.url("wiki", "/beside"));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let answer = within(what, connection.send(request)).await;
    let answer = answer.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(answer.status(), 200, "{what}");
}

#[tokio::test]
async fn rule_08_nothing_of_http2_becomes_ambiguous_in_http1() {
    let (backend, connections) = origin().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    let mut cases = Cases {
        host,
        all: Vec::new(),
    };
    pseudo_headers(&mut cases);
    fields(&mut cases);
    lengths(&mut cases);
    trailers(&mut cases);
    frames(&mut cases);
    let mut innocent = stand.client().http2().connect("wiki.localhost").await;
    let mut wrong = Vec::new();
    for case in &cases.all {
        let came = play(&stand, &case.frames).await;
        let is_right = match (case.fate, &came) {
            (_, Came::Nothing) => false,
            (Served, came) => *came == Came::Status(200),
            (Late, came) => matches!(came, Came::Status(200) | Came::Reset | Came::GoAway),
            (_, Came::Status(status)) => (400..500).contains(status),
            _ => true,
        };
        if !is_right {
            wrong.push(format!("{}: {came:?}, not {:?}", case.name, case.fate));
        }
        beside(&mut innocent, &stand, case.name).await;
    }
    let seen = sorted(&connections).unwrap_or_else(|why| panic!("{why}; {wrong:#?}"));
    for (i, case) in cases.all.iter().enumerate() {
        let none = (Vec::new(), 0);
        let (whole, cut) = seen.get(&(i + 1)).unwrap_or(&none);
        let is_right = match case.fate {
            Served => whole.len() == 1 && *cut == 0,
            Refused => whole.is_empty() && *cut == 0,
            Broken => whole.is_empty(),
            Late => whole.len() <= 1,
        };
        if !is_right {
            wrong.push(format!("{}: {whole:?} and {cut} cut short", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(cases.all.len() >= CASES, "{} cases", cases.all.len());
}

/// Sends a flood, and behind it a PING. Whether that is answered, or the connection ended first.
async fn flood(stand: &Running, octets: &[u8]) -> &'static str {
    let (mut read, mut write) = tokio::io::split(open(stand).await);
    let write = async {
        // The other end may have enough before it has all.
        let _ = write.write_all(octets).await;
        let _ = write.write_all(&frame(PING, 0, 0, b"the last")).await;
        let _ = write.flush().await;
        write
    };
    let read = async {
        while let Some((kind, flags, _, payload)) = next(&mut read).await {
            match kind {
                GOAWAY => return "ended",
                PING if flags & ACK != 0 && payload == b"the last" => return "borne",
                _ => {}
            }
        }
        "ended"
    };
    let both = async { tokio::join!(read, write).0 };
    timeout(DEADLINE, both).await.unwrap_or("stuck")
}

#[tokio::test]
async fn rule_09_floods_of_frames_are_borne_or_end_their_own_connection() {
    let (backend, connections) = origin().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    let cases = Cases {
        host,
        all: Vec::new(),
    };
    let head = cases.head(&[], &[]);
    let open = cases.open(&[]);
    let opened = |id| {
        frame(
            HEADERS,
            END_HEADERS,
            id,
            &cases.head(&[(":method", "POST")], &[]),
        )
    };
    let many = |one: &[u8], count| one.repeat(count);
    let resets: Vec<u8> = (0..3000_u32)
        .flat_map(|i| {
            [
                opened(2 * i + 1),
                frame(RST_STREAM, 0, 2 * i + 1, &[0, 0, 0, 8]),
            ]
            .concat()
        })
        .collect();
    let faults: Vec<u8> = (0..3000_u32)
        .flat_map(|i| {
            let id = 2 * i + 1;
            // An update by nothing is a fault of the stream: the server resets it.
            [opened(id), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
        })
        .collect();
    let opens: Vec<u8> = (0..2000_u32).flat_map(|i| opened(2 * i + 1)).collect();
    let begun = |flags| frame(HEADERS, flags, 1, &head);
    let field = block(&[("x", &"y".repeat(4000))]);
    let floods = [
        (
            "CONTINUATION of nothing",
            [
                begun(END_STREAM),
                many(&frame(CONTINUATION, 0, 1, &[]), 50_000),
            ]
            .concat(),
            &["ended"][..],
        ),
        (
            "CONTINUATION of fields",
            [
                begun(END_STREAM),
                many(&frame(CONTINUATION, 0, 1, &field), 2000),
            ]
            .concat(),
            &["ended"],
        ),
        ("rapid resets", resets, &["ended"]),
        ("resets that the server is made to send", faults, &["ended"]),
        ("streams beyond the limit", opens, &["ended", "borne"]),
        (
            "empty DATA",
            [open.clone(), many(&frame(DATA, 0, 1, &[]), 50_000)].concat(),
            &["ended", "borne"],
        ),
        (
            "padded DATA of nothing",
            [open.clone(), many(&frame(DATA, PADDED, 1, &[0]), 50_000)].concat(),
            &["ended", "borne"],
        ),
        (
            "PING",
            many(&frame(PING, 0, 0, &[0; 8]), 50_000),
            &["ended", "borne"],
        ),
        (
            "SETTINGS",
            many(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]), 50_000),
            &["ended", "borne"],
        ),
        (
            "PRIORITY",
            many(&frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]), 50_000),
            &["ended", "borne"],
        ),
        (
            "updates of a window",
            [
                open,
                many(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), 50_000),
            ]
            .concat(),
            &["ended", "borne"],
        ),
        (
            "unknown frames",
            many(&frame(99, 0, 0, &[0; 100]), 50_000),
            &["ended", "borne"],
        ),
    ];
    let mut innocent = stand.client().http2().connect("wiki.localhost").await;
    beside(&mut innocent, &stand, "before").await;
    let before = stand.gateway().memory();
    let mut wrong = Vec::new();
    for (name, octets, expected) in &floods {
        let came = flood(&stand, octets).await;
        if !expected.contains(&came) {
            wrong.push(format!("{name}: {came}"));
        }
        beside(&mut innocent, &stand, name).await;
        let memory = stand.gateway().memory();
        if memory > before + 64 {
            wrong.push(format!("{name}: {before} MiB became {memory} MiB"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(floods.len(), 12);
    assert!(sorted(&connections).is_ok());
}

#[test]
fn a_status_is_read_in_each_of_its_forms() {
    for (block, status) in [
        (&[0x88][..], 200),
        (&[0x20, 0x8c], 400),
        (&[0x48, 3, b'4', b'3', b'1'], 431),
        // 011010 011001 00001, and ones behind.
        (&[0x08, 0x83, 0b0110_1001, 0b1001_0000, 0b1111_1111], 431),
    ] {
        assert_eq!(status_of(block), status, "{block:?}");
    }
}
