//! Heads and trailers of any size: whatever comes of one, the tunnel stays, and with it the
//! requests of everybody else.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::harness::{Backend, Running, Stand, within};

const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The octet with the longest Huffman code that a field can hold: 28 bits.
const WORST: u8 = 0xf9;

/// An application that takes heads of any size, and answers with these octets.
struct Lenient {
    backend: Backend,
    answer: Arc<Mutex<Vec<u8>>>,
    ticks: watch::Sender<u64>,
}

impl Lenient {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new(PLAIN.to_vec()));
        let (ticks, seen) = watch::channel(0);
        let backend = Backend::raw({
            let answer = Arc::clone(&answer);
            move |stream| serve(stream, Arc::clone(&answer), seen.clone())
        })
        .await;
        Self {
            backend,
            answer,
            ticks,
        }
    }

    fn answers(&self, octets: impl Into<Vec<u8>>) {
        *self.answer.lock().unwrap() = octets.into();
    }
}

/// One request a connection. `/ticks` is a body without end, one chunk a tick.
async fn serve(
    mut stream: TcpStream,
    answer: Arc<Mutex<Vec<u8>>>,
    mut ticks: watch::Receiver<u64>,
) {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = request[..end].to_ascii_lowercase();
        let chunked = head.windows(17).any(|w| w == b"transfer-encoding");
        let last = request[end..].windows(5).any(|w| w == b"\r\n0\r\n");
        if !chunked || (last && request.ends_with(b"\r\n\r\n")) {
            break;
        }
    }
    if request.starts_with(b"GET /ticks ") {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut open = stream.write_all(head).await.is_ok();
        while open && ticks.changed().await.is_ok() {
            open = stream.write_all(b"5\r\ntick\n\r\n").await.is_ok();
        }
        return;
    }
    let octets = answer.lock().unwrap().clone();
    let _ = stream.write_all(&octets).await;
    let _ = stream.shutdown().await;
    // Until the connector closes, or takes what was written for lost.
    let _ = stream.read(&mut [0; 1024]).await;
}

/// A stand with one tunnel, and in it a request of somebody else.
struct Witness {
    // Ends first, so that nothing has to be drained.
    other: Incoming,
    stand: Running,
    app: Lenient,
}

impl Witness {
    async fn start() -> Self {
        let app = Lenient::start().await;
        let settings = json!({ "timeouts": { "first_byte": "2s" } });
        let stand = Stand::new()
            .application_with("wiki", &app.backend, settings)
            .connector_setting("connections", json!(1))
            .start()
            .await;
        let request = Request::get("https://wiki.localhost/ticks")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let other = stand.send(request).await;
        assert_eq!(other.status(), StatusCode::OK);
        Self {
            stand,
            app,
            other: other.into_body(),
        }
    }

    /// The other request goes on, in the same tunnel.
    async fn is_unharmed(&mut self, after: &str) {
        self.app.ticks.send_modify(|ticks| *ticks += 1);
        let frame = within(&format!("a tick after {after}"), self.other.frame()).await;
        let octets = frame
            .unwrap_or_else(|| panic!("{after}: the other request ended"))
            .unwrap_or_else(|e| panic!("{after}: the other request broke: {e:?}"))
            .into_data()
            .unwrap();
        assert_eq!(octets, "tick\n", "{after}");
        assert_eq!(self.stand.tunnels(), (1, 0), "{after}");
    }

    fn host(&self) -> String {
        format!("wiki.localhost:{}", self.stand.address().port())
    }

    /// A head with these fields.
    fn head(&self, method: &str, path: &[u8], fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut octets = format!("{method} ").into_bytes();
        octets.extend_from_slice(path);
        let host = self.host();
        octets.extend(format!(" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").bytes());
        octets.extend(lines(fields));
        octets.extend(b"\r\n");
        octets
    }

    /// What [`Witness::head`] leaves of 64 KiB, each field with 32 octets of its own.
    fn left(&self) -> usize {
        64 * 1024 - (4 + self.host().len() + 32) - ("connection".len() + "close".len() + 32)
    }

    /// Writes octets and returns the status of what comes, 0 where nothing does, and all of it.
    async fn exchange(&self, octets: &[u8]) -> (u16, Vec<u8>) {
        let (mut read, mut write) =
            tokio::io::split(self.stand.client().raw("wiki.localhost").await);
        let mut answer = Vec::new();
        // Whoever refuses closes, before it has all or after: both directions end in any manner.
        let write = async {
            let _ = write.write_all(octets).await;
            let _ = write.flush().await;
        };
        let both = async { tokio::join!(write, read.read_to_end(&mut answer)) };
        let _ = within("the end of the answer", both).await;
        let status = answer.get(9..12).map(String::from_utf8_lossy);
        let status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
        (status, answer)
    }
}

fn lines(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let line = |(name, value): &(Vec<u8>, Vec<u8>)| [name, &b": "[..], value, b"\r\n"].concat();
    fields.iter().flat_map(line).collect()
}

fn field(name: impl AsRef<[u8]>, octet: u8, count: usize) -> (Vec<u8>, Vec<u8>) {
    (name.as_ref().to_vec(), vec![octet; count])
}

/// So many fields, `octets` in all, as the limits count them.
fn fields(count: usize, octet: u8, octets: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    const NAME: usize = 5;
    let each = octets / count;
    let one = |i: usize| {
        let more = if i == 0 { octets % count } else { 0 };
        field(format!("x-{i:03}"), octet, each - 32 - NAME + more)
    };
    (0..count).map(one).collect()
}

/// An answer's head with these fields and a body of two octets.
fn answer(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n";
    [&head[..], &lines(fields), b"\r\nok"].concat()
}

fn path(octets: &str, count: usize) -> Vec<u8> {
    let mut path = b"/".to_vec();
    while path.len() + octets.len() <= count {
        path.extend(octets.bytes());
    }
    path
}

#[tokio::test]
async fn rule_9_no_head_of_a_request_ends_a_tunnel() {
    let mut witness = Witness::start().await;
    let left = witness.left();
    let get = |path: &[u8], fields: &[_]| witness.head("GET", path, fields);
    let post = |trailers: &[_]| {
        let chunked = (b"transfer-encoding".to_vec(), b"chunked".to_vec());
        let announced = (b"trailer".to_vec(), b"x-000".to_vec());
        let head = witness.head("POST", b"/", &[chunked, announced]);
        [&head[..], b"2\r\nhi\r\n0\r\n", &lines(trailers), b"\r\n"].concat()
    };
    let large = |octet, count| get(b"/", &[field("x-large", octet, count)]);
    let cookies = vec![(b"cookie".to_vec(), vec![WORST; 200]); 200];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("60,000 octets 0xFF", large(0xff, 60_000), 200),
        ("60,000 of the worst octets", large(WORST, 60_000), 200),
        ("64 KiB", large(b'a', left - 39), 200),
        ("64 KiB of the worst", large(WORST, left - 39), 200),
        ("64 KiB and an octet", large(b'a', left - 38), 431),
        ("70,000 octets", large(WORST, 70_000), 431),
        ("80,000 octets", large(WORST, 80_000), 431),
        ("256 fields", get(b"/", &fields(254, WORST, left)), 200),
        ("257 fields", get(b"/", &fields(255, WORST, left)), 431),
        (
            "a name of 60,000 octets",
            get(b"/", &[field(vec![b'`'; 60_000], b'a', 1)]),
            200,
        ),
        ("200 cookies", get(b"/", &cookies), 200),
        (
            "a cookie of 60,000 octets",
            get(b"/", &[field("cookie", WORST, 60_000)]),
            200,
        ),
        ("a path of 60,000 octets", get(&path("a", 60_000), &[]), 200),
        ("a path of 65,534 octets", get(&path("a", 65_534), &[]), 200),
        ("a path of 65,535 octets", get(&path("a", 65_535), &[]), 431),
        ("a path of UTF-8", get(&path("\u{f9}", 60_000), &[]), 200),
        ("a path that is not UTF-8", get(b"/\xf9\xf9", &[]), 400),
        ("a long query", get(&path("?", 60_000), &[]), 200),
        (
            "a path and a field that fit",
            get(&path("a", 60_000), &[field("x-large", WORST, 6_000)]),
            200,
        ),
        (
            "a path and a field that might not",
            get(&path("a", 60_000), &[field("x-large", WORST, 10_000)]),
            431,
        ),
        (
            "trailers of 60,000 octets",
            post(&[field("x-000", WORST, 60_000)]),
            200,
        ),
        (
            "the largest trailers",
            post(&[field("x-000", WORST, 73_700)]),
            200,
        ),
        ("256 trailers", post(&fields(256, WORST, 64 * 1024)), 200),
    ];
    let seen = cases.len();
    let too_many = post(&[field("x-000", WORST, 80_000)]);
    for (what, octets, expected) in cases {
        let (status, answer) = witness.exchange(&octets).await;
        let start = String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned();
        assert_eq!(status, expected, "{what}: {start}");
        witness.is_unharmed(what).await;
    }
    assert_eq!(seen, 23);

    // The application does not see the end of a body that breaks.
    assert_ne!(witness.exchange(&too_many).await.0, 200);
    witness.is_unharmed("trailers of 80,000 octets").await;
}

#[tokio::test]
async fn rule_14_no_head_of_an_answer_ends_a_tunnel() {
    let mut witness = Witness::start().await;
    let left = 64 * 1024 - ("content-length".len() + 1 + 32);
    let large = |octet, count| answer(&[field("x-large", octet, count)]);
    let trailers = |count| {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-large\r\n\r\n2\r\nok\r\n0\r\n";
        [
            &head[..],
            &lines(&[field("x-large", WORST, count)]),
            b"\r\n",
        ]
        .concat()
    };
    let hints = |count| b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
    let cookies = vec![(b"set-cookie".to_vec(), vec![WORST; 200]); 200];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("60,000 octets 0xFF", large(0xff, 60_000), 200),
        ("60,000 of the worst octets", large(WORST, 60_000), 200),
        ("64 KiB", large(b'a', left - 39), 200),
        ("64 KiB of the worst", large(WORST, left - 39), 200),
        ("64 KiB and an octet", large(b'a', left - 38), 502),
        ("1 MiB", large(WORST, 1 << 20), 502),
        ("no end", vec![b'a'; 1 << 20], 502),
        ("256 fields", answer(&fields(255, WORST, left)), 200),
        ("257 fields", answer(&fields(256, WORST, left)), 502),
        (
            "a name of 60,000 octets",
            answer(&[field(vec![b'`'; 60_000], b'a', 1)]),
            200,
        ),
        ("200 cookies", answer(&cookies), 200),
        ("100 early hints", [&hints(100)[..], PLAIN].concat(), 200),
        ("trailers of 10,000 octets", trailers(10_000), 200),
    ];
    let seen = cases.len();
    let request = witness.head("GET", b"/", &[(b"te".to_vec(), b"trailers".to_vec())]);
    for (what, octets, expected) in cases {
        witness.app.answers(octets);
        let (status, answer) = witness.exchange(&request).await;
        let start = String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned();
        assert_eq!(status, expected, "{what}: {start}");
        witness.is_unharmed(what).await;
    }
    assert_eq!(seen, 13);

    // Beyond what is taken the body breaks, be it before its head is on its way or after.
    witness.app.answers(trailers(60_000));
    let (_, answer) = witness.exchange(&request).await;
    assert!(!answer.ends_with(b"0\r\n\r\n"));
    witness.is_unharmed("trailers of 60,000 octets").await;
}

/// The octets arrive as they were sent, both ways.
#[tokio::test]
async fn a_header_of_60_000_octets_arrives_whole() {
    let witness = Witness::start().await;
    let large = [field("x-large", 0xff, 60_000)];
    witness.app.answers(answer(&large));
    let request = witness.head("GET", b"/", &[]);
    let (status, seen) = witness.exchange(&request).await;
    assert_eq!(status, 200);
    let line = lines(&large);
    assert!(seen.windows(line.len()).any(|w| w == line));
}

/// Shapes that nobody thought of: the front's own rule says what comes of each.
#[tokio::test]
async fn rule_9_whatever_head_the_front_accepts_ends_no_tunnel() {
    const OCTETS: [u8; 6] = [b'a', b'~', b'\\', 0x80, WORST, 0xff];
    let mut witness = Witness::start().await;
    let left = witness.left();
    let mut random = 2_u64;
    let mut below = |bound: usize| {
        // Knuth's generator, so that a failure comes again.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % bound
    };
    let mut statuses = [0; 2];
    for case in 0..60 {
        // Around the bounds, where mistakes live.
        let count = 1 + below(if case % 2 == 0 { 8 } else { 300 });
        let size = (left - 40 + below(80)).max(count * 40);
        let fields = fields(count, OCTETS[below(OCTETS.len())], size);
        let what = format!("{count} fields of {size} octets");
        let accepted = count + 2 <= 256 && size <= left;
        let octets = witness.head("GET", &path("a", 1 + below(200)), &fields);
        let (status, _) = witness.exchange(&octets).await;
        assert_eq!(status, if accepted { 200 } else { 431 }, "{what}");
        statuses[usize::from(accepted)] += 1;
        witness.is_unharmed(&what).await;
    }
    assert!(statuses.iter().all(|&seen| seen >= 10), "{statuses:?}");
}

/// What the front takes over HTTP/2 it takes in any encoding up to 72 KiB; beyond that the client's
/// own connection ends, and nobody else's.
#[tokio::test]
async fn rule_9_no_head_over_http2_ends_a_tunnel() {
    let mut witness = Witness::start().await;
    let client = witness.stand.client().http2();
    let cases = [
        ("60,000 octets", b'a', 60_000, Some(200)),
        ("20,000 octets 0xFF", 0xff, 20_000, Some(200)),
        ("more than 64 KiB", b'a', 66_000, Some(431)),
        ("60,000 octets 0xFF in Huffman's code", 0xff, 60_000, None),
    ];
    for (what, octet, count, expected) in cases {
        let value = http::HeaderValue::from_bytes(&vec![octet; count]).unwrap();
        let request = Request::get(witness.stand.url("wiki", "/"))
            .header("x-large", value)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let mut connection = client.connect("wiki.localhost").await;
        let answer = within(what, connection.send(request)).await;
        let status = answer.ok().map(|answer| answer.status().as_u16());
        assert_eq!(status, expected, "{what}");
        witness.is_unharmed(what).await;
    }
}
