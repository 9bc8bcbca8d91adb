//! Octets as no client would send them, and what an application receives of them.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Backend, Client, Tls, within};

/// One answer of a raw exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, values without the white space around them.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.fields.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A field's value, empty where there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(n, _)| n == name);
        field.map_or("", |(_, value)| value)
    }
}

/// Writes octets, then reads until the other side closes. The client keeps its sending side open: it
/// is the other side that has to come to an end, be it through `Connection: close`.
pub(crate) async fn exchange<S>(mut stream: S, octets: &[u8]) -> Vec<u8>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A refusal may come, and the connection end, before everything was written.
    let _ = stream.write_all(octets).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    within("the end of a raw exchange", async {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..n]);
        }
    })
    .await;
    answer
}

/// The answers in what a raw exchange gave; their bodies are of known length.
pub(crate) fn replies(mut octets: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !octets.is_empty() {
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n");
        let (head, rest) = octets.split_at(end.expect("a whole head") + 4);
        let mut lines = std::str::from_utf8(head).expect("text").trim_end().lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let (body, rest) = rest.split_at(length);
        replies.push(Reply {
            status: status.expect("a status").parse().expect("a number"),
            fields,
            body: String::from_utf8_lossy(body).into_owned(),
        });
        octets = rest;
    }
    replies
}

/// One connection to a host, opened anew where the other side closes it, for heads as they are written.
pub(crate) struct Talk {
    client: Client,
    host: String,
    stream: Option<Tls>,
}

impl Talk {
    pub(crate) fn with(client: &Client, host: &str) -> Self {
        Self {
            client: client.clone(),
            host: host.to_owned(),
            stream: None,
        }
    }

    /// Sends a request and reads its answer, whose body is of known length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Reply {
        let kept = self.stream.take();
        let reply = match kept {
            Some(stream) => self.on(stream, request).await,
            None => None,
        };
        // What was kept may have been closed meanwhile.
        match reply {
            Some(reply) => reply,
            None => {
                let stream = self.client.raw(&self.host).await;
                let reply = self.on(stream, request).await;
                reply.unwrap_or_else(|| panic!("no answer to {}", shown(request)))
            }
        }
    }

    /// Closes it: the next request has one of its own.
    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }

    async fn on(&mut self, mut stream: Tls, request: &[u8]) -> Option<Reply> {
        // A refusal may come before everything was written.
        let _ = stream.write_all(request).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let whole = within("an answer", async {
            let mut part = [0; 16 * 1024];
            while whole_length(&answer).is_none_or(|length| answer.len() < length) {
                match stream.read(&mut part).await {
                    Ok(n @ 1..) => answer.extend_from_slice(&part[..n]),
                    _ => return false,
                }
            }
            true
        })
        .await;
        if !whole {
            assert!(answer.is_empty(), "half an answer to {}", shown(request));
            return None;
        }
        let length = whole_length(&answer).expect("it is whole");
        let reply = replies(&answer[..length]).pop();
        let reply = reply.expect("one answer");
        // What comes after it is the answer to what some request was taken for beside itself.
        if reply.field("connection") != "close" && answer.len() == length {
            self.stream = Some(stream);
        }
        Some(reply)
    }
}

fn shown(request: &[u8]) -> String {
    let shown = &request[..request.len().min(300)];
    String::from_utf8_lossy(shown).into_owned()
}

/// How long an answer is that begins like this, once its head is there.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(!head.contains("\r\ntransfer-encoding:"), "{head}");
    let length = head.split_once("\r\ncontent-length:")?.1.lines().next()?;
    Some(end + length.trim().parse::<usize>().expect("a length"))
}

/// An application that keeps every octet it receives, and answers each head with an empty 200.
pub(crate) struct Recorder {
    pub(crate) backend: Backend,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let backend = Backend::raw(move |mut stream| {
            let record = Arc::clone(&record);
            async move {
                let mut part = [0; 4096];
                let mut request = Vec::new();
                while let Ok(n @ 1..) = stream.read(&mut part).await {
                    record.lock().unwrap().extend_from_slice(&part[..n]);
                    request.extend_from_slice(&part[..n]);
                    if is_whole(&request) {
                        let answer =
                            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                        return;
                    }
                }
            }
        })
        .await;
        Self { backend, seen }
    }

    /// What has come since this was last asked.
    pub(crate) fn taken(&self) -> String {
        let octets = std::mem::take(&mut *self.seen.lock().unwrap());
        String::from_utf8_lossy(&octets).into_owned()
    }
}

/// Whether these octets are one whole request.
fn is_whole(octets: &[u8]) -> bool {
    let Some(end) = octets.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&octets[..end]).to_ascii_lowercase();
    let body = &octets[end + 4..];
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    match length.map(|length| length.trim().parse()) {
        Some(length) => body.len() >= length.expect("a length"),
        None if head.contains("transfer-encoding:") => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let octets =
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\n\r\nhiHTTP/1.1 400 Bad\r\n\r\n";
        let read = replies(octets);
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].status, read[0].body.as_str()), (200, "hi"));
        assert_eq!(read[0].field("x-a"), "b");
        assert_eq!((read[1].status, read[1].body.as_str()), (400, ""));
    }

    #[test]
    fn a_request_is_whole_with_its_body() {
        for (octets, whole) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], true),
            (b"GET / HTTP/1.1\r\n", false),
            (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", false),
            (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", true),
            (
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                true,
            ),
        ] {
            assert_eq!(is_whole(octets), whole);
        }
    }
}
