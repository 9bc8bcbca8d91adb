//! Hundreds of clients at once, and cuts on both sides where chance has them: every octet that a
//! client or the application receives belongs to the request it is taken for.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{
    Backend, Client, Connection, Read, Seen, Stand, Tls, read_strictly, until, within,
};

const HTTP1_CLIENTS: u64 = 240;
/// On each HTTP/2 connection.
const HTTP2_CLIENTS: u64 = 12;
const HTTP2_CONNECTIONS: u64 = 5;
const REQUESTS: u64 = 8;
/// Requests written at once over HTTP/1.1 before the first answer.
const PIPELINED: usize = 3;

const HOST: &str = "own.localhost";

/// What the application does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Length,
    Chunked,
    /// 103 before the answer, three times.
    Interim,
    /// The answer before the request's body was read, which is read afterwards.
    Early,
    /// The same, and then the connection ends.
    EarlyEnd,
    /// HTTP/1.0, to the end of the connection.
    Old,
    /// The connection ends without an answer,
    CutBefore,
    /// within its head,
    CutHead,
    /// within its body of known length,
    CutLength,
    /// or within a chunk.
    CutChunk,
}

/// What the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    Whole,
    /// Goes away within its request's body,
    LeavesUpload,
    /// or within the answer's.
    LeavesAnswer,
}

/// All about one request; it follows from its number alone.
#[derive(Debug, Clone, Copy)]
struct Plan {
    id: u64,
    upload: usize,
    answer: usize,
    act: Act,
    manner: Manner,
    /// Where the cut comes, in a thousand parts.
    cut: usize,
}

fn mixed(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Plan {
    fn of(id: u64) -> Self {
        let chance = |what: u64, of: u64| mixed(id.wrapping_mul(31).wrapping_add(what)) % of;
        let size = |what| match chance(what, 8) {
            0 => 0,
            1..=5 => chance(what + 1, 20_000),
            _ => chance(what + 1, 300_000),
        };
        let of = |octets: u64| usize::try_from(octets).unwrap();
        let act = match chance(1, 24) {
            0..=5 => Act::Length,
            6..=10 => Act::Chunked,
            11..=12 => Act::Interim,
            13..=14 => Act::Early,
            15 => Act::EarlyEnd,
            16 => Act::Old,
            17 => Act::CutBefore,
            18 => Act::CutHead,
            19..=21 => Act::CutLength,
            _ => Act::CutChunk,
        };
        let upload = match chance(2, 2) {
            0 => 0,
            _ => of(size(3)),
        };
        let manner = match chance(5, 8) {
            0 if upload > 1 => Manner::LeavesUpload,
            1 => Manner::LeavesAnswer,
            _ => Manner::Whole,
        };
        // A cut is within something.
        let answer = of(size(7)).max(2);
        let cut = of(chance(9, 1000));
        Self {
            id,
            upload,
            answer,
            act,
            manner,
            cut,
        }
    }

    fn is_cut(&self) -> bool {
        matches!(
            self.act,
            Act::CutBefore | Act::CutHead | Act::CutLength | Act::CutChunk
        )
    }

    /// Less than all of so many octets.
    fn part_of(&self, octets: usize) -> usize {
        octets * self.cut / 1000
    }

    fn may_be_pipelined(&self) -> bool {
        self.upload == 0 && self.manner == Manner::Whole
    }
}

/// The octets of a body from `at` on; those of an upload and of an answer differ.
fn octets(id: u64, is_answer: bool, at: usize, count: usize) -> Vec<u8> {
    let seed = mixed(id * 2 + u64::from(is_answer));
    let word = |index: usize| mixed(seed ^ index as u64).to_le_bytes();
    (at..at + count).map(|i| word(i / 8)[i % 8]).collect()
}

fn is_owned(id: u64, is_answer: bool, at: usize, found: &[u8]) -> bool {
    found == octets(id, is_answer, at, found.len())
}

/// What went wrong, and what happened how often.
#[derive(Default)]
struct Book {
    wrong: Mutex<Vec<String>>,
    seen: Mutex<BTreeMap<String, usize>>,
    /// Requests whose head the application has had.
    arrived: Mutex<BTreeSet<u64>>,
}

impl Book {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    fn saw(&self, what: &str) {
        *self
            .seen
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default() += 1;
    }

    fn count(&self, what: &str) -> usize {
        self.seen
            .lock()
            .unwrap()
            .get(what)
            .copied()
            .unwrap_or_default()
    }
}

// The application.

async fn serve(mut stream: TcpStream, book: Arc<Book>) {
    let mut buffer = Vec::new();
    loop {
        let Some(plan) = head(&mut stream, &mut buffer).await else {
            return;
        };
        book.arrived.lock().unwrap().insert(plan.id);
        let early = matches!(plan.act, Act::Early | Act::EarlyEnd);
        if plan.act == Act::CutBefore {
            book.saw("application CutBefore");
            return;
        }
        if early && answer(&mut stream, &plan, &book).await.is_none() {
            return;
        }
        let Some(seen) = whole(&mut stream, &mut buffer, &book).await else {
            return;
        };
        let is_own = seen.body.len() == plan.upload && is_owned(plan.id, false, 0, &seen.body);
        book.check(is_own, || {
            format!(
                "the application has {} octets of another body: {plan:?}",
                seen.body.len()
            )
        });
        if !early && answer(&mut stream, &plan, &book).await.is_none() {
            return;
        }
        if matches!(plan.act, Act::EarlyEnd | Act::Old) {
            return;
        }
    }
}

/// The plan of the request whose head comes next.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Plan> {
    while !buffer.windows(4).any(|w| w == b"\r\n\r\n") {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let line = buffer.split(|&b| b == b'\r').next()?;
    let line = String::from_utf8_lossy(line);
    let id = line.strip_suffix(" HTTP/1.1")?.rsplit('/').next()?;
    Some(Plan::of(id.parse().expect("a number")))
}

/// The request as a strict reader has it, taken out of the buffer; none where it never becomes whole.
async fn whole(stream: &mut TcpStream, buffer: &mut Vec<u8>, book: &Book) -> Option<Seen> {
    loop {
        match read_strictly(buffer) {
            Read::Whole(seen, length) => {
                buffer.drain(..length);
                return Some(seen);
            }
            Read::Doubtful(why) => {
                book.wrong(format!("the application has a doubtful request: {why}"));
                return None;
            }
            Read::Partial if stream.read_buf(buffer).await.ok()? == 0 => {
                book.saw("application left alone");
                return None;
            }
            Read::Partial => {}
        }
    }
}

/// None where the connection is to end, or has.
async fn answer(stream: &mut TcpStream, plan: &Plan, book: &Book) -> Option<()> {
    book.saw(&format!("application {:?}", plan.act));
    let Plan { id, answer, .. } = *plan;
    let all = octets(id, true, 0, answer);
    let owner = format!("X-Owner: {id}\r\n");
    let length = format!("Content-Length: {answer}\r\n");
    let mut out = Vec::new();
    match plan.act {
        Act::Length | Act::Early => {
            out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{owner}{length}\r\n").as_bytes());
            out.extend_from_slice(&all);
        }
        Act::EarlyEnd => {
            let close = "Connection: close\r\n";
            let head = format!("HTTP/1.1 200 OK\r\n{owner}{length}{close}\r\n");
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&all);
        }
        Act::Interim => {
            for _ in 0..3 {
                let early = format!("HTTP/1.1 103 Early Hints\r\nX-Owner: no {id}\r\n\r\n");
                out.extend_from_slice(early.as_bytes());
            }
            out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{owner}{length}\r\n").as_bytes());
            out.extend_from_slice(&all);
        }
        Act::Old => {
            out.extend_from_slice(format!("HTTP/1.0 200 OK\r\n{owner}\r\n").as_bytes());
            out.extend_from_slice(&all);
        }
        Act::Chunked | Act::CutChunk => {
            let chunked = "Transfer-Encoding: chunked\r\n";
            out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{owner}{chunked}\r\n").as_bytes());
            let head = out.len();
            for chunk in all.chunks(5000) {
                out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            if plan.act == Act::CutChunk {
                out.truncate(head + plan.part_of(out.len() - head));
            } else {
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        Act::CutLength => {
            out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{owner}{length}\r\n").as_bytes());
            out.extend_from_slice(&all[..plan.part_of(all.len())]);
        }
        Act::CutHead => out.extend_from_slice(format!("HTTP/1.1 200 OK\r\n{owner}").as_bytes()),
        Act::CutBefore => {}
    }
    stream.write_all(&out).await.ok()?;
    (!plan.is_cut()).then_some(())
}

// The clients.

/// How an exchange ended, as the client has it.
struct Outcome {
    /// The gateway's own answer, if it was that.
    error: Option<String>,
    owner: String,
    body: Vec<u8>,
    /// Whether it came to a clean end.
    whole: bool,
}

impl Outcome {
    fn judge(&self, plan: &Plan, book: &Book) {
        if let Some(error) = &self.error {
            book.saw(&format!("client {error}"));
            book.check(plan.is_cut(), || {
                format!("{error} without a reason: {plan:?}")
            });
            return;
        }
        let says = |what: &str| format!("{what}, {} octets: {plan:?}", self.body.len());
        book.check(self.owner == plan.id.to_string(), || {
            says("a head of another request")
        });
        book.check(is_owned(plan.id, true, 0, &self.body), || {
            says("octets of another answer")
        });
        if self.whole {
            book.saw("client whole");
            book.check(!plan.is_cut(), || says("a clean end of a cut answer"));
            book.check(self.body.len() == plan.answer, || {
                says("a length of another answer")
            });
        } else {
            book.saw("client cut");
            book.check(plan.is_cut(), || says("cut without a reason"));
        }
    }
}

/// One that speaks HTTP/1.1 on a connection as long as it lasts.
async fn http1(client: Client, number: u64, port: u16, book: Arc<Book>) {
    let mut plans: Vec<Plan> = (0..REQUESTS)
        .rev()
        .map(|n| Plan::of(number * 1000 + n))
        .collect();
    let mut connection: Option<Raw> = None;
    while let Some(plan) = plans.pop() {
        let mut batch = vec![plan];
        while batch.len() < PIPELINED
            && batch.iter().all(Plan::may_be_pipelined)
            && plans.last().is_some_and(Plan::may_be_pipelined)
        {
            batch.extend(plans.pop());
        }
        let mut raw = match connection.take() {
            Some(raw) => raw,
            None => Raw::new(client.raw(HOST).await),
        };
        let requests: Vec<u8> = batch.iter().flat_map(|plan| request(plan, port)).collect();
        if batch.len() > 1 {
            book.saw("client pipelined");
        }
        let write = async {
            // The answer may come, and the connection end, before everything was written.
            let _ = raw.writer.write_all(&requests).await;
            let _ = raw.writer.flush().await;
        };
        if plan.manner == Manner::LeavesUpload {
            within("an upload's part", write).await;
            book.saw("client LeavesUpload");
            continue;
        }
        let mut lasts = false;
        let mut answered = 0;
        let read = async {
            for plan in &batch {
                let leaves = plan.manner == Manner::LeavesAnswer;
                let most = if leaves {
                    plan.part_of(plan.answer)
                } else {
                    usize::MAX
                };
                let Some((outcome, keeps)) = raw.reader.answer(most).await else {
                    break;
                };
                answered += 1;
                lasts = keeps && outcome.whole && !leaves;
                if leaves && !outcome.whole {
                    book.saw("client LeavesAnswer");
                    let is_own =
                        outcome.error.is_some() || is_owned(plan.id, true, 0, &outcome.body);
                    book.check(is_own, || format!("octets of another answer: {plan:?}"));
                } else {
                    outcome.judge(plan, &book);
                }
                if !lasts {
                    break;
                }
            }
        };
        within("the answers", async { tokio::join!(write, read) }).await;
        if answered == 0 {
            book.check(false, || format!("no answer at all: {plan:?}"));
        }
        // Those behind one after which the connection ended are asked for again.
        plans.extend(batch.drain(answered.max(1)..).rev());
        connection = lasts.then_some(raw);
    }
}

fn request(plan: &Plan, port: u16) -> Vec<u8> {
    let Plan { id, upload, .. } = *plan;
    let host = format!("Host: {HOST}:{port}\r\n");
    if upload == 0 {
        return format!("GET /{id} HTTP/1.1\r\n{host}\r\n").into_bytes();
    }
    let all = octets(id, false, 0, upload);
    let mut out = if id.is_multiple_of(2) {
        let length = format!("Content-Length: {upload}\r\n");
        format!("POST /{id} HTTP/1.1\r\n{host}{length}\r\n").into_bytes()
    } else {
        let chunked = "Transfer-Encoding: chunked\r\n";
        format!("POST /{id} HTTP/1.1\r\n{host}{chunked}\r\n").into_bytes()
    };
    let head = out.len();
    if id.is_multiple_of(2) {
        out.extend_from_slice(&all);
    } else {
        for chunk in all.chunks(7000) {
            out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    }
    if plan.manner == Manner::LeavesUpload {
        out.truncate(head + plan.part_of(out.len() - head));
    }
    out
}

/// A client's connection.
struct Raw {
    reader: Reader,
    writer: WriteHalf<Tls>,
}

struct Reader {
    stream: ReadHalf<Tls>,
    buffer: Vec<u8>,
}

impl Raw {
    fn new(stream: Tls) -> Self {
        let (stream, writer) = tokio::io::split(stream);
        Self {
            reader: Reader {
                stream,
                buffer: Vec::new(),
            },
            writer,
        }
    }
}

impl Reader {
    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8(line[..end].to_vec()).expect("text"));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// So many octets into `body`, or fewer where the connection ends.
    async fn take(&mut self, count: usize, body: &mut Vec<u8>) -> bool {
        let end = body.len() + count;
        loop {
            let ready = self.buffer.len().min(end - body.len());
            body.extend(self.buffer.drain(..ready));
            if body.len() == end {
                return true;
            }
            if !self.more().await {
                return false;
            }
        }
    }

    /// One answer, or about `most` octets of its body, and whether the connection may go on; none
    /// where the connection ended before its head was whole.
    async fn answer(&mut self, most: usize) -> Option<(Outcome, bool)> {
        self.line().await?;
        let mut fields = BTreeMap::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').expect("a field");
            fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let error = fields.get("appproxy-answer").cloned();
        let (mut body, mut whole) = (Vec::new(), false);
        if let Some(length) = fields.get("content-length") {
            let length: usize = length.parse().expect("a length");
            whole = self.take(length.min(most), &mut body).await && body.len() == length;
        } else {
            assert_eq!(field("transfer-encoding"), "chunked", "{fields:?}");
            while body.len() < most {
                let Some(size) = self.line().await else { break };
                let size = usize::from_str_radix(&size, 16).expect("a size");
                if !self.take(size, &mut body).await || self.line().await != Some(String::new()) {
                    break;
                }
                if size == 0 {
                    whole = true;
                    break;
                }
            }
        }
        let keeps = field("connection") != "close";
        Some((
            Outcome {
                error,
                owner: field("x-owner"),
                body,
                whole,
            },
            keeps,
        ))
    }
}

/// One that shares an HTTP/2 connection with others.
async fn http2(mut connection: Connection, number: u64, port: u16, book: Arc<Book>) {
    for n in 0..REQUESTS {
        let plan = Plan::of(number * 1000 + n);
        let url = format!("https://{HOST}:{port}/{}", plan.id);
        let leaves = plan.manner == Manner::LeavesUpload;
        let upload = octets(plan.id, false, 0, plan.upload);
        let given = if leaves {
            plan.part_of(plan.upload)
        } else {
            plan.upload
        };
        let mut parts: Vec<Result<Frame<Bytes>, Infallible>> = upload[..given]
            .chunks(9000)
            .map(|part| Ok(Frame::data(Bytes::copy_from_slice(part))))
            .collect();
        parts.reverse();
        // One that leaves has more to say and never says it.
        let body = StreamBody::new(stream::unfold(parts, move |mut parts| async move {
            match parts.pop() {
                None if leaves => std::future::pending().await,
                next => next.map(|part| (part, parts)),
            }
        }));
        let method = if plan.upload == 0 { "GET" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .body(body.boxed_unsync());
        let answer = connection.send(request.unwrap());
        if leaves {
            // As soon as there is something to leave.
            let arrived = || book.arrived.lock().unwrap().contains(&plan.id);
            tokio::select! {
                _ = answer => {}
                () = until("the request at the application", arrived) => {}
            }
            book.saw("client LeavesUpload");
            continue;
        }
        let answer = within("an answer over HTTP/2", answer).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => {
                book.check(false, || format!("{why:?}: {plan:?}"));
                continue;
            }
        };
        let most = match plan.manner {
            Manner::LeavesAnswer => plan.part_of(plan.answer),
            _ => usize::MAX,
        };
        let outcome = within("a body over HTTP/2", read(answer, most)).await;
        if outcome.whole || plan.manner == Manner::Whole {
            outcome.judge(&plan, &book);
        } else {
            book.saw("client LeavesAnswer");
            let is_own = outcome.error.is_some() || is_owned(plan.id, true, 0, &outcome.body);
            book.check(is_own, || format!("octets of another answer: {plan:?}"));
        }
    }
}

async fn read(answer: Response<Incoming>, most: usize) -> Outcome {
    let (head, mut incoming) = answer.into_parts();
    let field = |name: &str| {
        let value = head.headers.get(name)?.to_str().expect("text");
        Some(value.to_owned())
    };
    let (mut body, mut whole) = (Vec::new(), false);
    while body.len() < most {
        match incoming.frame().await {
            Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().expect("no trailers")),
            Some(Err(_)) => break,
            None => {
                whole = true;
                break;
            }
        }
    }
    Outcome {
        error: field("appproxy-answer"),
        owner: field("x-owner").unwrap_or_default(),
        body,
        whole,
    }
}

#[tokio::test]
async fn rule_08_every_octet_belongs_to_the_request_it_is_taken_for() {
    let book = Arc::new(Book::default());
    let of_application = Arc::clone(&book);
    let backend = Backend::raw(move |stream| serve(stream, Arc::clone(&of_application))).await;
    let stand = Stand::new().application("own", &backend).start().await;
    let port = stand.address().port();
    let mut clients = JoinSet::new();
    for number in 0..HTTP1_CLIENTS {
        clients.spawn(http1(
            stand.client().clone(),
            number,
            port,
            Arc::clone(&book),
        ));
    }
    for shared in 0..HTTP2_CONNECTIONS {
        let connection = stand.client().http2().connect(HOST).await;
        for number in 0..HTTP2_CLIENTS {
            let number = 10_000 + shared * 100 + number;
            let connection = connection.another().unwrap();
            clients.spawn(http2(connection, number, port, Arc::clone(&book)));
        }
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let wrong = std::mem::take(&mut *book.wrong.lock().unwrap());
    let some: Vec<_> = wrong.iter().take(20).collect();
    assert!(wrong.is_empty(), "{} wrong: {some:#?}", wrong.len());

    // Everything that was to happen did.
    let seen = book.seen.lock().unwrap().clone();
    for act in [
        "Length",
        "Chunked",
        "Interim",
        "Early",
        "EarlyEnd",
        "Old",
        "CutBefore",
    ] {
        let act = format!("application {act}");
        assert!(book.count(&act) > 20, "{act}: {seen:?}");
    }
    for act in ["CutHead", "CutLength", "CutChunk", "left alone"] {
        let act = format!("application {act}");
        assert!(book.count(&act) > 20, "{act}: {seen:?}");
    }
    for act in ["LeavesUpload", "LeavesAnswer", "pipelined", "cut"] {
        let act = format!("client {act}");
        assert!(book.count(&act) > 20, "{act}: {seen:?}");
    }
    assert!(book.count("client whole") > 1000, "{seen:?}");
}
