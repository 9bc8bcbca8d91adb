//! Octets that were written to be read in two ways (DESIGN 8, rule 8): each is a case of
//! `testdata/http1`, sent as it stands, to an application that keeps every octet it receives.
//!
//! A case is a block of lines; an empty line ends it:
//!
//! ```text
//! # about the cases that follow
//! name: LF alone behind the request line
//! > GET /lf HTTP/1.1\n
//! > Host: {host}\r\n
//! > \r\n
//! = 400
//! ```
//!
//! | line | what |
//! |---|---|
//! | `>` | octets; `\r` `\n` `\t` `\\` `\xNN` are one each, `{host}` is the application's host with `{port}`, `{n}` the case's number, `{a*9}` nine `a` |
//! | `half` | the client closes its sending side behind them |
//! | `=` | the statuses of the answers, `-` where the connection ends without any |
//! | `@` | what the application is to receive: method and target, and behind them its body, if any |
//! | `~` | a request whose body breaks: it may arrive, and not whole |

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Backend, DEADLINE, Read, Reply, Running, Stand, read_strictly, replies};

/// The cases there are at least.
const CASES: usize = 250;

#[derive(Debug, Default)]
struct Case {
    name: String,
    send: Vec<u8>,
    half: bool,
    statuses: Vec<u16>,
    /// As the application is to see them.
    seen: Vec<String>,
    broken: Option<String>,
}

/// Reads the cases of all files.
fn cases(host: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/http1");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        for block in text.split("\n\n") {
            let lines = block.lines().filter(|line| !line.starts_with('#'));
            let mut lines = lines.filter(|line| !line.is_empty()).peekable();
            if lines.peek().is_some() {
                let number = cases.len();
                let case = case(&name, lines, host, number)
                    .unwrap_or_else(|why| panic!("{}: {why}:\n{block}", file.display()));
                cases.push(case);
            }
        }
    }
    cases
}

fn case<'a>(
    file: &str,
    lines: impl Iterator<Item = &'a str>,
    host: &str,
    number: usize,
) -> Result<Case, String> {
    let mut case = Case::default();
    let mut is_answered = false;
    let port = host.rsplit(':').next().unwrap_or_default();
    let filled = |text: &str| {
        text.replace("{n}", &number.to_string())
            .replace("{host}", host)
            .replace("{port}", port)
    };
    for line in lines {
        if let Some(name) = line.strip_prefix("name: ") {
            case.name = format!("{file}: {name}");
        } else if let Some(text) = line.strip_prefix("> ") {
            case.send.extend(octets(&filled(text))?);
        } else if line == "half" {
            case.half = true;
        } else if let Some(statuses) = line.strip_prefix("= ") {
            is_answered = true;
            if statuses != "-" {
                let statuses = statuses.split(' ').map(str::parse);
                case.statuses = statuses
                    .collect::<Result<_, _>>()
                    .map_err(|e: std::num::ParseIntError| e.to_string())?;
            }
        } else if let Some(seen) = line.strip_prefix("@ ") {
            case.seen.push(filled(seen));
        } else if let Some(broken) = line.strip_prefix("~ ") {
            case.broken = Some(filled(broken));
        } else {
            return Err(format!("an unknown line: {line}"));
        }
    }
    if case.name.is_empty() || case.send.is_empty() || !is_answered {
        return Err("name, octets and answer are needed".into());
    }
    Ok(case)
}

/// What a line stands for.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        match first {
            '\\' => {
                let (octet, length) = match after.chars().next() {
                    Some('r') => (b'\r', 1),
                    Some('n') => (b'\n', 1),
                    Some('t') => (b'\t', 1),
                    Some('\\') => (b'\\', 1),
                    Some('x') => {
                        let digits = after.get(1..3).ok_or("\\x without digits")?;
                        let octet = u8::from_str_radix(digits, 16).map_err(|e| e.to_string())?;
                        (octet, 3)
                    }
                    _ => return Err(format!("an unknown escape: \\{after}")),
                };
                octets.push(octet);
                rest = &after[length..];
            }
            '{' if after.contains("*") && after.contains('}') => {
                let (inner, behind) = after.split_once('}').ok_or("{ without }")?;
                let (what, count) = inner.rsplit_once('*').ok_or("{ without *")?;
                let count: usize = count.parse().map_err(|_| format!("a count: {inner}"))?;
                octets.extend(self::octets(what)?.repeat(count));
                rest = behind;
            }
            _ => {
                octets.extend(first.to_string().bytes());
                rest = after;
            }
        }
    }
    Ok(octets)
}

/// What came on one connection to the application.
pub(crate) type Connections = Arc<Mutex<Vec<Vec<u8>>>>;

/// An application that answers each request it can read, keeps the connection, and keeps what came.
pub(crate) async fn origin() -> (Backend, Connections) {
    let connections = Connections::default();
    let record = Arc::clone(&connections);
    let backend = Backend::raw(move |stream| {
        let record = Arc::clone(&record);
        async move {
            let number = {
                let mut all = record.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            answer(stream, &record, number).await;
        }
    })
    .await;
    (backend, connections)
}

async fn answer(mut stream: TcpStream, record: &Connections, number: usize) {
    let mut part = [0; 16 * 1024];
    let mut request = Vec::new();
    while let Ok(n @ 1..) = stream.read(&mut part).await {
        record.lock().unwrap()[number].extend_from_slice(&part[..n]);
        request.extend_from_slice(&part[..n]);
        while let Read::Whole(seen, length) = read_strictly(&request) {
            request.drain(..length);
            let answer: &[u8] = match seen.method.as_str() {
                "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            let _ = stream.write_all(answer).await;
        }
    }
}

/// Sends a case; what comes until the connection ends, and whether it ended cleanly.
async fn send(stand: &Running, case: &Case) -> Result<Vec<u8>, String> {
    let (mut read, mut write) = tokio::io::split(stand.client().raw("wiki.localhost").await);
    let mut answer = Vec::new();
    let write = async {
        // A refusal may come, and the connection end, before everything was written.
        let _ = write.write_all(&case.send).await;
        let _ = write.flush().await;
        if case.half {
            let _ = write.shutdown().await;
        }
        // Kept until the other side has closed.
        write
    };
    let both = async { tokio::join!(write, read.read_to_end(&mut answer)).1 };
    let ended = timeout(DEADLINE, both).await;
    match ended {
        Ok(Ok(_)) => Ok(answer),
        Ok(Err(e)) => Err(format!("{e}, behind {}", answer.escape_ascii())),
        Err(_) => Err(format!("does not end, behind {}", answer.escape_ascii())),
    }
}

/// The requests that came since this was last asked, as cases write them, and what is wrong with
/// them. Those that begin as one whose body breaks are looked at apart.
struct Watch {
    connections: Connections,
    /// How much of each connection was looked at.
    looked_at: Vec<usize>,
    broken: Vec<String>,
}

impl Watch {
    fn new(connections: Connections) -> Self {
        Self {
            connections,
            looked_at: Vec::new(),
            broken: Vec::new(),
        }
    }

    fn news(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut seen, mut wrong) = (Vec::new(), Vec::new());
        let connections = self.connections.lock().unwrap();
        self.looked_at.resize(connections.len(), 0);
        for (octets, at) in connections.iter().zip(&mut self.looked_at) {
            while *at < octets.len() {
                let rest = &octets[*at..];
                let is_broken = self.broken.iter().any(|broken| {
                    let begin = format!("{broken} HTTP/1.1\r\n");
                    rest.starts_with(begin.as_bytes())
                });
                match read_strictly(rest) {
                    Read::Whole(request, length) => {
                        *at += length;
                        if is_broken {
                            wrong.push(format!("a broken body came whole: {request:?}"));
                            continue;
                        }
                        let target: Vec<u8> = request.target.chars().map(|o| o as u8).collect();
                        let mut text = format!("{} {}", request.method, target.escape_ascii());
                        if !request.body.is_empty() {
                            let _ = write!(text, " {}", request.body.escape_ascii());
                        }
                        seen.push(text);
                    }
                    // Looked at again, should it become whole after all.
                    Read::Partial if is_broken => break,
                    Read::Partial => {
                        wrong.push(format!("half a request: {}", rest.escape_ascii()));
                        *at = octets.len();
                    }
                    Read::Doubtful(why) => {
                        wrong.push(format!("{why}: {}", rest.escape_ascii()));
                        *at = octets.len();
                    }
                }
            }
        }
        (seen, wrong)
    }
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Cut where somebody is to read it.
fn short(text: &str) -> String {
    text.chars().take(400).collect()
}

pub(crate) async fn nothing_ambiguous_reaches_an_application() {
    let (backend, connections) = origin().await;
    let stand = Stand::new().application("wiki", &backend).start().await;
    let host = format!("wiki.localhost:{}", stand.address().port());
    let cases = cases(&host);
    let mut watch = Watch::new(connections);
    let mut wrong = Vec::new();
    let mut refusals = Vec::new();
    for case in &cases {
        let mut fault = |what: String| wrong.push(short(&format!("{}: {what}", case.name)));
        watch.broken.extend(case.broken.clone());
        let answers = match send(&stand, case).await {
            Ok(octets) => replies(&octets),
            Err(why) => {
                fault(why);
                Vec::new()
            }
        };
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        if statuses != case.statuses {
            fault(format!("answered {statuses:?}, not {:?}", case.statuses));
        }
        let (seen, doubts) = watch.news();
        // Whichever connection each came on.
        let (seen, expected) = (sorted(seen), sorted(case.seen.clone()));
        if seen != expected {
            fault(format!("the application saw {seen:?}, not {expected:?}"));
        }
        for doubt in doubts {
            fault(doubt);
        }
        for answer in answers.into_iter().filter(|answer| answer.status >= 400) {
            let is_bad = matches!(answer.status, 400 | 431);
            if is_bad && answer.field("connection") != "close" {
                fault("a refusal that does not close".to_owned());
            }
            refusals.push((case.name.clone(), answer));
        }
    }
    for (name, answer) in &refusals {
        if let Err(why) = is_logged(&stand, answer).await {
            wrong.push(format!("{name}: {why}"));
        }
    }
    // What was broken late is so still, and nothing came afterwards.
    let (seen, doubts) = watch.news();
    assert!(seen.is_empty() && doubts.is_empty(), "{seen:?} {doubts:?}");
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(cases.len() >= CASES, "{} cases", cases.len());
    assert!(refusals.len() >= CASES / 2, "{} refusals", refusals.len());
    // The stand is well after all of it.
    assert_eq!(stand.get("https://wiki.localhost/").await.status, 200);
}

/// Ours, with a reference that stands in the log.
async fn is_logged(stand: &Running, answer: &Reply) -> Result<(), String> {
    let id = answer.field("x-request-id");
    if id.is_empty() {
        return Err(format!("{} without a reference", answer.status));
    }
    let line = stand.access_line(id).await;
    let code = line["error"].as_str().unwrap_or_default();
    let expected = match answer.status {
        400 => "bad_request",
        404 => "no_route",
        431 => "too_large",
        502 => "backend_bad_response",
        status => return Err(format!("an answer {status}: {line}")),
    };
    if code != expected || line["status"] != answer.status {
        return Err(format!("{} is logged as {line}", answer.status));
    }
    Ok(())
}

#[test]
fn octets_of_cases_are_what_they_say() {
    let read = octets("a\\r\\n\\x00\\\\{b*3}{x}é").unwrap();
    assert_eq!(read, "a\r\n\0\\bbb{x}é".as_bytes());
    assert!(octets("\\q").is_err() && octets("\\x1").is_err());
}
